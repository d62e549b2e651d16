//! Text of matchers: `severity="critical"`, `{job=~"mail.*", env!=test}`, as configuration, API and amtool write them.
//!
//! Two readings exist in the field. The newer one takes any UTF-8 name and quotes what is special; the classic one
//! knows only plain names but takes nearly anything as a value. As Alertmanager does by default, both are tried: a text
//! that the classic reading understands keeps its classic meaning, so that no existing configuration changes its meaning.
//! [`MatcherMode`] leaves one of them out.

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{MatchOp, Matcher};

/// How the text of matchers is read, and which label names are taken, as Alertmanager's modes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(from = "Written")]
pub enum MatcherMode {
    /// By both readings; where they differ the classic one holds. Any UTF-8 is a label name.
    #[default]
    Fallback,
    /// By the newer reading alone: what it does not take is refused. Any UTF-8 is a label name.
    Utf8Strict,
    /// By the classic reading alone; a label name is letters, digits and `_`, and no digit first.
    Classic,
}

/// The modes as they are written.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Written {
    /// By the newer rules and by the classic ones; where they differ the classic ones hold.
    Fallback,
    /// By the newer rules alone.
    Utf8Strict,
    /// By the classic rules alone; label names are letters, digits and `_`, and no digit first.
    Classic,
    /// The same as `utf8-strict`, as Alertmanager's flag has it.
    Utf8StrictMode,
    /// The same as `classic`, as Alertmanager's flag has it.
    ClassicMode,
}

impl From<Written> for MatcherMode {
    fn from(written: Written) -> MatcherMode {
        match written {
            Written::Fallback => MatcherMode::Fallback,
            Written::Utf8Strict | Written::Utf8StrictMode => MatcherMode::Utf8Strict,
            Written::Classic | Written::ClassicMode => MatcherMode::Classic,
        }
    }
}

impl MatcherMode {
    /// Reads matchers separated by commas, with or without braces around them.
    ///
    /// # Errors
    /// The mode does not take the text.
    pub fn parse(self, text: &str) -> Result<Vec<Matcher>, MatcherTextError> {
        let refuse = |reason: String| MatcherTextError { text: text.chars().take(200).collect(), reason };
        if text.len() > MATCHER_TEXT_MAX {
            return Err(refuse(format!("it is longer than {MATCHER_TEXT_MAX} bytes")));
        }
        match self {
            MatcherMode::Fallback => match (modern(text), classic(text)) {
                (_, Ok(matchers)) | (Ok(matchers), Err(_)) => Ok(matchers),
                (Err(reason), Err(_)) => Err(refuse(reason)),
            },
            MatcherMode::Utf8Strict => modern(text).map_err(refuse),
            MatcherMode::Classic => classic(text).map_err(refuse),
        }
    }

    /// Reads exactly one matcher.
    ///
    /// # Errors
    /// The mode does not take the text, or it is none or several.
    pub fn parse_one(self, text: &str) -> Result<Matcher, MatcherTextError> {
        let mut matchers = self.parse(text)?;
        match (matchers.pop(), matchers.is_empty()) {
            (Some(matcher), true) => Ok(matcher),
            (None, _) => Err(MatcherTextError { text: text.to_owned(), reason: "it is empty".into() }),
            (Some(_), false) => Err(MatcherTextError { text: text.to_owned(), reason: "it is more than one".into() }),
        }
    }

    /// What is wrong with a label name, if the mode does not take it.
    pub fn refuses_name(self, name: &str) -> Option<String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        match self {
            _ if name.is_empty() => Some("a label name cannot be empty".to_owned()),
            MatcherMode::Classic if name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(plain) => {
                Some(format!("`{name}` is not a label name in the mode `classic`"))
            }
            MatcherMode::Fallback | MatcherMode::Utf8Strict | MatcherMode::Classic => None,
        }
    }
}

/// Where the two readings of a text that the classic one takes part ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Difference {
    /// The newer one does not take it.
    ClassicOnly,
    /// The newer one takes it for something else.
    Disagreement,
}

impl Difference {
    /// Of a text, if there is one.
    pub(crate) fn of(text: &str) -> Option<Difference> {
        let classic = classic(text).ok()?;
        match modern(text) {
            Err(_) => Some(Difference::ClassicOnly),
            Ok(modern) => (modern != classic).then_some(Difference::Disagreement),
        }
    }
}

/// Why a text is not a list of matchers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a matcher: {reason}")]
pub struct MatcherTextError {
    /// As written.
    pub text: String,
    /// What is wrong, with the position in characters from one where that is known.
    pub reason: String,
}

/// The longest text that is read.
pub const MATCHER_TEXT_MAX: usize = 16 * 1024;

/// The text of matchers as Alertmanager prints them in a route's key.
pub(crate) fn print_matchers(matchers: &[Matcher]) -> String {
    let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\""));
    let one = |matcher: &Matcher| {
        let plain = !matcher.name.is_empty() && !matcher.name.chars().any(is_reserved);
        let name = if plain { matcher.name.clone() } else { quote(&matcher.name) };
        format!("{name}{}{}", matcher.op.as_str(), quote(&matcher.value))
    };
    format!("{{{}}}", matchers.iter().map(one).collect::<Vec<_>>().join(","))
}

fn is_reserved(c: char) -> bool {
    c.is_whitespace() || "{}!=~,\\\"'`".contains(c)
}

fn matcher(name: String, op: MatchOp, value: String) -> Result<Matcher, String> {
    Matcher::new(name, op, value).map_err(|error| error.to_string())
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Open,
    Close,
    Comma,
    Op(MatchOp),
    Text(String),
}

fn modern(text: &str) -> Result<Vec<Matcher>, String> {
    let mut tokens = Tokens { chars: text.chars().collect(), at: 0 };
    let mut matchers = Vec::new();
    let mut next = tokens.next()?;
    let braces = next == Some(Token::Open);
    if braces {
        next = tokens.next()?;
    }
    loop {
        let name = match next {
            Some(Token::Text(name)) => name,
            None | Some(Token::Close) => break,
            Some(_) => return Err(tokens.wrong("a label name")),
        };
        let Some(Token::Op(op)) = tokens.next()? else { return Err(tokens.wrong("an operator such as `=` or `=~`")) };
        let Some(Token::Text(value)) = tokens.next()? else { return Err(tokens.wrong("a value")) };
        matchers.push(matcher(name, op, value)?);
        next = tokens.next()?;
        match next {
            Some(Token::Comma) => next = tokens.next()?,
            None | Some(Token::Close) => break,
            Some(_) => return Err(tokens.wrong("a comma or the end")),
        }
    }
    match (braces, next) {
        (false, None) => Ok(matchers),
        (true, Some(Token::Close)) => match tokens.next()? {
            None => Ok(matchers),
            Some(_) => Err(tokens.wrong("nothing after the closing brace")),
        },
        (true, _) => Err(tokens.wrong("a closing brace")),
        (false, _) => Err("it has a closing brace and no opening one".to_owned()),
    }
}

struct Tokens {
    chars: Vec<char>,
    at: usize,
}

impl Tokens {
    fn wrong(&self, wanted: &str) -> String {
        format!("expected {wanted} at position {}", self.at.max(1))
    }

    fn next(&mut self) -> Result<Option<Token>, String> {
        while self.chars.get(self.at).is_some_and(|c| c.is_whitespace()) {
            self.at += 1;
        }
        let Some(&c) = self.chars.get(self.at) else { return Ok(None) };
        self.at += 1;
        let token = match c {
            '{' => Token::Open,
            '}' => Token::Close,
            ',' => Token::Comma,
            '=' if self.eat('~') => Token::Op(MatchOp::Regex),
            '=' => Token::Op(MatchOp::Equal),
            '!' if self.eat('~') => Token::Op(MatchOp::NotRegex),
            '!' if self.eat('=') => Token::Op(MatchOp::NotEqual),
            '!' => return Err(self.wrong("`!=` or `!~`")),
            '"' => Token::Text(self.quoted()?),
            c if is_reserved(c) => return Err(format!("`{c}` at position {} must stand in double quotes", self.at)),
            _ => {
                let start = self.at - 1;
                while self.chars.get(self.at).is_some_and(|c| !is_reserved(*c)) {
                    self.at += 1;
                }
                Token::Text(self.chars[start..self.at].iter().collect())
            }
        };
        Ok(Some(token))
    }

    fn eat(&mut self, c: char) -> bool {
        let there = self.chars.get(self.at) == Some(&c);
        self.at += usize::from(there);
        there
    }

    /// The rest of a double-quoted text, with Go's escapes.
    fn quoted(&mut self) -> Result<String, String> {
        let start = self.at;
        let mut bytes = Vec::new();
        let unclosed = || format!("the double quote at position {start} is not closed");
        loop {
            let c = *self.chars.get(self.at).ok_or_else(unclosed)?;
            self.at += 1;
            match c {
                '"' => break,
                '\n' => return Err(format!("a line break at position {} must be written as `\\n`", self.at)),
                '\\' => {
                    let escape = *self.chars.get(self.at).ok_or_else(unclosed)?;
                    self.at += 1;
                    match escape {
                        'a' => bytes.push(7),
                        'b' => bytes.push(8),
                        'f' => bytes.push(12),
                        'n' => bytes.push(b'\n'),
                        'r' => bytes.push(b'\r'),
                        't' => bytes.push(b'\t'),
                        'v' => bytes.push(11),
                        '\\' | '"' => bytes.push(escape as u8),
                        'x' => bytes.push(self.number(2, 16)? as u8),
                        'u' | 'U' => {
                            let number = self.number(if escape == 'u' { 4 } else { 8 }, 16)?;
                            let c = char::from_u32(number).ok_or_else(|| self.wrong("a Unicode character"))?;
                            bytes.extend(c.to_string().bytes());
                        }
                        '0'..='7' => {
                            self.at -= 1;
                            let number = self.number(3, 8)?;
                            bytes.push(u8::try_from(number).map_err(|_| self.wrong("an octal number up to 377"))?);
                        }
                        _ => return Err(format!("`\\{escape}` at position {} is not an escape", self.at - 1)),
                    }
                }
                c => bytes.extend(c.to_string().bytes()),
            }
        }
        String::from_utf8(bytes).map_err(|_| format!("the text at position {start} is not UTF-8"))
    }

    fn number(&mut self, digits: usize, radix: u32) -> Result<u32, String> {
        let text: String = self.chars.iter().skip(self.at).take(digits).collect();
        let number = (text.len() == digits).then(|| u32::from_str_radix(&text, radix).ok()).flatten();
        let number = number.ok_or_else(|| self.wrong("the digits of an escape"))?;
        self.at += digits;
        Ok(number)
    }
}

fn classic(text: &str) -> Result<Vec<Matcher>, String> {
    let text = text.strip_prefix('{').unwrap_or(text);
    let text = text.strip_suffix('}').unwrap_or(text);
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            ',' if !quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            // An escape that a comma follows outside quotes stays open, as it always did.
            ',' => {}
            '"' if escaped => escaped = false,
            '"' => quoted = !quoted,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    if !text[start..].trim().is_empty() {
        parts.push(&text[start..]);
    }
    parts.into_iter().map(classic_one).collect()
}

fn classic_one(part: &str) -> Result<Matcher, String> {
    let part = part.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let end = part.find(|c| !plain(c)).unwrap_or(part.len());
    let (name, rest) = part.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("`{part}` does not begin with a label name"));
    }
    let rest = rest.trim_start();
    let ops = [MatchOp::Regex, MatchOp::NotRegex, MatchOp::NotEqual, MatchOp::Equal];
    let op = ops.into_iter().find(|op| rest.starts_with(op.as_str())).ok_or("it has no operator")?;
    let written = rest[op.as_str().len()..].trim_start();
    let (raw, mut open) = match written.strip_prefix('"') {
        Some(raw) => (raw, true),
        None => (written, false),
    };
    let stray = || format!("`{written}` has a double quote that is not escaped");
    let mut value = String::new();
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => value.push('\n'),
                Some(c @ ('"' | '\\')) => value.push(c),
                // Neither an escape: the backslash stands for itself.
                Some(c) => value.extend(['\\', c]),
                None => value.push('\\'),
            },
            '"' if open && chars.peek().is_none() => open = false,
            '"' => return Err(stray()),
            c => value.push(c),
        }
    }
    if open {
        return Err(stray());
    }
    matcher(name.to_owned(), op, value)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(texts: &[&str], expect: Expect) {
        let line = |text: &&str| match MatcherMode::Fallback.parse(text) {
            Ok(matchers) => {
                let mark = match Difference::of(text) {
                    None => "",
                    Some(Difference::ClassicOnly) => "  (classic)",
                    Some(Difference::Disagreement) => "  (disagreement)",
                };
                format!("{text:34} {}{mark}\n", print_matchers(&matchers))
            }
            Err(error) => format!("{text:34} error: {}\n", error.reason),
        };
        expect.assert_eq(&texts.iter().map(line).collect::<String>());
    }

    #[test]
    fn what_both_readings_agree_on() {
        check(
            &[
                "{}",
                "",
                "{foo=bar}",
                r#"{foo="bar"}"#,
                "{foo=~bar.*}",
                r#"{foo=~"bar.*"}"#,
                "{foo!=bar}",
                r#"{foo!~"bar.*"}"#,
                r#"{foo="bar",baz!~".*quux", derp="wat"}"#,
                r#"{foo=""}"#,
                r#"{foo="bar,quux", job="job1"}"#,
                r#"{foo = "bar", dings != "bums", }"#,
                "foo=bar,dings!=bums",
                r#"{quote="She said: \"Hi, ladies! That's gender-neutral…\""}"#,
                r#"statuscode=~"5..""#,
                r#"contains_quote != "\"" , contains_comma !~ "foo,bar" , "#,
            ],
            expect![[r#"
                {}                                 {}
                                                   {}
                {foo=bar}                          {foo="bar"}
                {foo="bar"}                        {foo="bar"}
                {foo=~bar.*}                       {foo=~"bar.*"}
                {foo=~"bar.*"}                     {foo=~"bar.*"}
                {foo!=bar}                         {foo!="bar"}
                {foo!~"bar.*"}                     {foo!~"bar.*"}
                {foo="bar",baz!~".*quux", derp="wat"} {foo="bar",baz!~".*quux",derp="wat"}
                {foo=""}                           {foo=""}
                {foo="bar,quux", job="job1"}       {foo="bar,quux",job="job1"}
                {foo = "bar", dings != "bums", }   {foo="bar",dings!="bums"}
                foo=bar,dings!=bums                {foo="bar",dings!="bums"}
                {quote="She said: \"Hi, ladies! That's gender-neutral…\""} {quote="She said: \"Hi, ladies! That's gender-neutral…\""}
                statuscode=~"5.."                  {statuscode=~"5.."}
                contains_quote != "\"" , contains_comma !~ "foo,bar" ,  {contains_quote!="\"",contains_comma!~"foo,bar"}
            "#]],
        );
    }

    #[test]
    fn what_only_the_newer_reading_takes() {
        check(
            &[r#"{name-with-dashes = "bar"}"#, r#""with space"="🙂""#, r#"{Σ=Ω}"#, r#"a.b="\u00e9\x41\101\t""#],
            expect![[r#"
                {name-with-dashes = "bar"}         {name-with-dashes="bar"}
                "with space"="🙂"                   {"with space"="🙂"}
                {Σ=Ω}                              {Σ="Ω"}
                a.b="\u00e9\x41\101\t"             {a.b="éAA	"}
            "#]],
        );
    }

    #[test]
    fn what_only_the_classic_reading_takes_keeps_its_meaning() {
        check(
            &[
                "{foo='}",
                "{foo=`}",
                r"{foo=\n}",
                r"{foo=bar\n}",
                r"{foo=\t}",
                r"{foo=bar\t}",
                r"{foo=bar\}",
                r"{foo=bar\\}",
                r#"{foo=\"}"#,
                r#"{foo=bar\"}"#,
                "tricky=~~~",
                r#"trickier==\\=\=\""#,
                "{foo=bar}}",
                "{foo=bar}},}",
                "{foo=,bar=}}",
                "job=",
                "{foo=",
                "{foo=}b",
                "foo=a b",
                r#"foo="a\tb""#,
            ],
            expect![[r#"
                {foo='}                            {foo="'"}  (classic)
                {foo=`}                            {foo="`"}  (classic)
                {foo=\n}                           {foo="\n"}  (classic)
                {foo=bar\n}                        {foo="bar\n"}  (classic)
                {foo=\t}                           {foo="\\t"}  (classic)
                {foo=bar\t}                        {foo="bar\\t"}  (classic)
                {foo=bar\}                         {foo="bar\\"}  (classic)
                {foo=bar\\}                        {foo="bar\\"}  (classic)
                {foo=\"}                           {foo="\""}  (classic)
                {foo=bar\"}                        {foo="bar\""}  (classic)
                tricky=~~~                         {tricky=~"~~"}  (classic)
                trickier==\\=\=\"                  {trickier="=\\=\\=\""}  (classic)
                {foo=bar}}                         {foo="bar}"}  (classic)
                {foo=bar}},}                       {foo="bar}}"}  (classic)
                {foo=,bar=}}                       {foo="",bar="}"}  (classic)
                job=                               {job=""}  (classic)
                {foo=                              {foo=""}  (classic)
                {foo=}b                            {foo="}b"}  (classic)
                foo=a b                            {foo="a b"}  (classic)
                foo="a\tb"                         {foo="a\\tb"}  (disagreement)
            "#]],
        );
    }

    #[test]
    fn what_neither_takes_is_said_with_its_place() {
        check(
            &[
                "{,}",
                r#"job="value"#,
                r#"job=value""#,
                r#"trickier==\\=\=\"""#,
                r#"contains_unescaped_quote = foo"bar"#,
                r#"{foo=~"invalid[regexp"}"#,
                r#""{foo=\"bar"}"#,
                r#""foo=\"bar""#,
                r#""foo=\"bar\"""#,
                r#""foo=\"bar\""#,
                r#""{foo=\"bar\"}""#,
                r#""foo="bar"""#,
                "{{foo=",
                "severity critical",
                "severity",
                "a!b",
                "a-b=c d",
                r#"a-b="\q""#,
                r#"a-b="\ud800""#,
            ],
            expect![[r#"
                {,}                                error: expected a label name at position 2
                job="value                         error: the double quote at position 5 is not closed
                job=value"                         error: the double quote at position 10 is not closed
                trickier==\\=\=\""                 error: expected a value at position 10
                contains_unescaped_quote = foo"bar error: the double quote at position 31 is not closed
                {foo=~"invalid[regexp"}            error: `invalid[regexp` is not a regular expression: error: unclosed character class
                "{foo=\"bar"}                      error: expected an operator such as `=` or `=~` at position 13
                "foo=\"bar"                        error: expected an operator such as `=` or `=~` at position 11
                "foo=\"bar\""                      error: expected an operator such as `=` or `=~` at position 13
                "foo=\"bar\"                       error: the double quote at position 1 is not closed
                "{foo=\"bar\"}"                    error: expected an operator such as `=` or `=~` at position 15
                "foo="bar""                        error: expected an operator such as `=` or `=~` at position 9
                {{foo=                             error: expected a label name at position 2
                severity critical                  error: expected an operator such as `=` or `=~` at position 17
                severity                           error: expected an operator such as `=` or `=~` at position 8
                a!b                                error: expected `!=` or `!~` at position 2
                a-b=c d                            error: expected a comma or the end at position 7
                a-b="\q"                           error: `\q` at position 6 is not an escape
                a-b="\ud800"                       error: expected a Unicode character at position 11
            "#]],
        );
    }

    /// Each text by the newer reading alone, by the classic one alone, and by both.
    #[test]
    fn a_mode_leaves_a_reading_out() {
        let texts =
            ["a=b", "a-b=c", "\"Σ\"=c", "a=b c", "a=\"b\\tc\"", "a:b=c", "{a=b", "a=", "1a=b", "{a=b}}", "a==b"];
        let read = |mode: MatcherMode, text: &str| match mode.parse(text) {
            Ok(matchers) => print_matchers(&matchers),
            Err(_) => "-".to_owned(),
        };
        let line = |text: &&str| {
            let all = [MatcherMode::Utf8Strict, MatcherMode::Classic, MatcherMode::Fallback].map(|it| read(it, text));
            format!("{text:10} {:14} {:14} {}\n", all[0], all[1], all[2])
        };
        expect![[r#"
            a=b        {a="b"}        {a="b"}        {a="b"}
            a-b=c      {a-b="c"}      -              {a-b="c"}
            "Σ"=c      {Σ="c"}        -              {Σ="c"}
            a=b c      -              {a="b c"}      {a="b c"}
            a="b\tc"   {a="b	c"}      {a="b\\tc"}    {a="b\\tc"}
            a:b=c      {a:b="c"}      {a:b="c"}      {a:b="c"}
            {a=b       -              {a="b"}        {a="b"}
            a=         -              {a=""}         {a=""}
            1a=b       {1a="b"}       -              {1a="b"}
            {a=b}}     -              {a="b}"}       {a="b}"}
            a==b       -              {a="=b"}       {a="=b"}
        "#]]
        .assert_eq(&texts.iter().map(line).collect::<String>());
    }

    #[test]
    fn names_are_plain_in_the_classic_mode() {
        let refused = |name: &str| {
            [MatcherMode::Fallback, MatcherMode::Utf8Strict, MatcherMode::Classic]
                .map(|it| it.refuses_name(name).is_some())
        };
        assert_eq!(refused("a_B0"), [false, false, false]);
        assert_eq!(refused(""), [true, true, true]);
        for name in ["0a", "a-b", "a:b", "Σ"] {
            assert_eq!(refused(name), [false, false, true], "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_printed_reads_back(name in "[a-z_]{1,4}|[ -~]{1,6}|[äé🙂 ]{1,3}", value in "[ -~\n🙂]{0,8}") {
            let matcher = Matcher::new(name, MatchOp::Equal, value).unwrap();
            let text = print_matchers(std::slice::from_ref(&matcher));
            proptest::prop_assert_eq!(MatcherMode::Utf8Strict.parse(&text).unwrap(), vec![matcher.clone()]);
            proptest::prop_assert_eq!(MatcherMode::Fallback.parse(&text).unwrap(), vec![matcher.clone()]);
            if MatcherMode::Classic.refuses_name(&matcher.name).is_none() {
                proptest::prop_assert_eq!(MatcherMode::Classic.parse(&text).unwrap(), vec![matcher]);
            }
        }

        #[test]
        fn no_text_breaks_the_reader(text in "[{}=!~,\"\\\\'a\n xu0]{0,16}") {
            for mode in [MatcherMode::Fallback, MatcherMode::Utf8Strict, MatcherMode::Classic] {
                let _ = mode.parse(&text);
            }
        }
    }
}
