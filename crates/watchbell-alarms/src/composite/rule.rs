//! Rules of composite alarms: which states of other alarms make one, in CloudWatch's language.
//!
//! `ALARM(Website) AND (ALARM(Checkout) OR NOT OK("The queue")) AND AT_LEAST(2, ALARM, (a, b, c))`. `NOT` binds tightest,
//! then `AND`, then `OR`. A name with a space, a parenthesis or a comma stands in quotes; within them a backslash goes
//! before a quote.

use std::fmt;

use watchbell_model::AlarmState;

/// As in CloudWatch: how long a rule is at most, in characters, and of how many parts and alarms it is made.
const CHARS_MAX: usize = 10_240;
const ELEMENTS_MAX: usize = 500;
const CHILDREN_MAX: usize = 100;

/// A rule over names of alarms.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// `TRUE` or `FALSE`.
    Always(bool),
    /// An alarm is in a state.
    Is(AlarmState, String),
    /// Not so.
    Not(Box<Rule>),
    /// All of them.
    And(Vec<Rule>),
    /// Any of them.
    Or(Vec<Rule>),
    /// So many alarms are in a state, or are not.
    AtLeast {
        /// How many.
        count: Count,
        /// Whether they must not be in the state.
        not: bool,
        /// The state.
        state: AlarmState,
        /// Names.
        of: Vec<String>,
    },
}

/// How many of several, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Count {
    /// So many.
    Number(usize),
    /// So many of a hundred, rounded up.
    Percent(usize),
}

impl Count {
    fn of(self, all: usize) -> usize {
        match self {
            Count::Number(number) => number,
            Count::Percent(percent) => (all * percent).div_ceil(100),
        }
    }
}

/// Why a rule is refused, and at which character, from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at character {at} of the rule)")]
pub struct RuleError {
    /// What is wrong.
    pub message: String,
    /// Where.
    pub at: usize,
}

impl std::str::FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Rule, RuleError> {
        if text.chars().count() > CHARS_MAX {
            return Err(RuleError { message: format!("it is longer than {CHARS_MAX} characters"), at: CHARS_MAX });
        }
        let mut reader = Reader { text, at: 0, depth: 0, elements: 0 };
        let rule = reader.or()?;
        reader.skip_space();
        if reader.at < text.len() {
            return Err(reader.expected("AND, OR or the end"));
        }
        let children = rule.children();
        if children.len() > CHILDREN_MAX {
            return Err(RuleError { message: format!("it names more than {CHILDREN_MAX} alarms"), at: 1 });
        }
        Ok(rule)
    }
}

impl Rule {
    /// Whether it holds.
    pub fn holds(&self, state: &impl Fn(&str) -> AlarmState) -> bool {
        match self {
            Rule::Always(always) => *always,
            Rule::Is(wanted, name) => state(name) == *wanted,
            Rule::Not(rule) => !rule.holds(state),
            Rule::And(rules) => rules.iter().all(|rule| rule.holds(state)),
            Rule::Or(rules) => rules.iter().any(|rule| rule.holds(state)),
            Rule::AtLeast { count, not, state: wanted, of } => {
                of.iter().filter(|name| (state(name) == *wanted) != *not).count() >= count.of(of.len())
            }
        }
    }

    /// The alarms it names, each once, in order.
    pub fn children(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        self.each(false, &mut |name, _, _| {
            if !names.contains(&name) {
                names.push(name);
            }
        });
        names
    }

    /// The alarms that may be what it holds for, in order: those that it wants in `ALARM`, or not (`true`) in `OK`.
    pub fn causes(&self) -> Vec<(&str, AlarmState, bool)> {
        let mut causes: Vec<(&str, AlarmState, bool)> = Vec::new();
        self.each(false, &mut |name, state, not| {
            let is_cause = (state == AlarmState::Alarm && !not) || (state == AlarmState::Ok && not);
            if is_cause && !causes.iter().any(|(known, ..)| *known == name) {
                causes.push((name, state, not));
            }
        });
        causes
    }

    /// The rule with other names.
    pub fn renamed(&self, name: &impl Fn(&str) -> String) -> Rule {
        let all = |rules: &[Rule]| rules.iter().map(|rule| rule.renamed(name)).collect();
        match self {
            Rule::Always(always) => Rule::Always(*always),
            Rule::Is(state, of) => Rule::Is(*state, name(of)),
            Rule::Not(rule) => Rule::Not(Box::new(rule.renamed(name))),
            Rule::And(rules) => Rule::And(all(rules)),
            Rule::Or(rules) => Rule::Or(all(rules)),
            Rule::AtLeast { count, not, state, of } => {
                Rule::AtLeast { count: *count, not: *not, state: *state, of: of.iter().map(|of| name(of)).collect() }
            }
        }
    }

    /// Visits each name with the state that it is asked for, and whether it must not be in it.
    fn each<'a>(&'a self, negated: bool, visit: &mut impl FnMut(&'a str, AlarmState, bool)) {
        match self {
            Rule::Always(_) => {}
            Rule::Is(state, name) => visit(name, *state, negated),
            Rule::Not(rule) => rule.each(!negated, visit),
            Rule::And(rules) | Rule::Or(rules) => rules.iter().for_each(|rule| rule.each(negated, visit)),
            Rule::AtLeast { not, state, of, .. } => of.iter().for_each(|name| visit(name, *state, *not != negated)),
        }
    }

    fn binds(&self) -> u8 {
        match self {
            Rule::Or(_) => 0,
            Rule::And(_) => 1,
            _ => 2,
        }
    }
}

fn write_name(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    let is_quoted = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | ',' | '"' | '\\');
    let is_plain = !name.is_empty() && !name.contains(is_quoted);
    if is_plain { f.write_str(name) } else { write!(f, "\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")) }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let within = |f: &mut fmt::Formatter<'_>, rule: &Rule, binds: u8| match rule.binds() < binds {
            true => write!(f, "({rule})"),
            false => write!(f, "{rule}"),
        };
        match self {
            Rule::Always(always) => f.write_str(if *always { "TRUE" } else { "FALSE" }),
            Rule::Is(state, name) => {
                write!(f, "{state}(")?;
                write_name(f, name)?;
                f.write_str(")")
            }
            Rule::Not(rule) => {
                f.write_str("NOT ")?;
                match **rule {
                    Rule::Not(_) => write!(f, "({rule})"),
                    _ => within(f, rule, 2),
                }
            }
            Rule::And(rules) | Rule::Or(rules) => {
                let (word, binds) = if let Rule::And(_) = self { (" AND ", 2) } else { (" OR ", 1) };
                for (at, rule) in rules.iter().enumerate() {
                    if at > 0 {
                        f.write_str(word)?;
                    }
                    within(f, rule, binds)?;
                }
                Ok(())
            }
            Rule::AtLeast { count, not, state, of } => {
                match count {
                    Count::Number(number) => write!(f, "AT_LEAST({number}, ")?,
                    Count::Percent(percent) => write!(f, "AT_LEAST({percent}%, ")?,
                }
                write!(f, "{}{state}, (", if *not { "NOT " } else { "" })?;
                for (at, name) in of.iter().enumerate() {
                    if at > 0 {
                        f.write_str(", ")?;
                    }
                    write_name(f, name)?;
                }
                f.write_str("))")
            }
        }
    }
}

/// How deep parentheses may go.
const DEPTH_MAX: usize = 100;

struct Reader<'a> {
    text: &'a str,
    /// In bytes.
    at: usize,
    depth: usize,
    elements: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn error(&self, message: String) -> RuleError {
        RuleError { message, at: self.text[..self.at].chars().count() + 1 }
    }

    /// What should stand here, and what does.
    fn expected(&self, what: &str) -> RuleError {
        let found: String = self.rest().chars().take_while(|c| !c.is_whitespace()).take(20).collect();
        let found = if found.is_empty() { "nothing more".to_owned() } else { format!("`{found}`") };
        self.error(format!("expected {what}, found {found}"))
    }

    fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// Takes what stands here, if it is this.
    fn take(&mut self, what: &str) -> bool {
        self.skip_space();
        let is = self.rest().starts_with(what);
        if is {
            self.at += what.len();
        }
        is
    }

    fn demand(&mut self, what: &str) -> Result<(), RuleError> {
        if self.take(what) { Ok(()) } else { Err(self.expected(&format!("`{what}`"))) }
    }

    /// Takes a whole word, if it stands here.
    fn word(&mut self, word: &str) -> bool {
        self.skip_space();
        let rest = self.rest();
        let is = rest
            .strip_prefix(word)
            .is_some_and(|after| after.chars().next().is_none_or(|next| !(next.is_alphanumeric() || next == '_')));
        if is {
            self.at += word.len();
        }
        is
    }

    fn or(&mut self) -> Result<Rule, RuleError> {
        let mut rules = vec![self.and()?];
        while self.word("OR") {
            rules.push(self.and()?);
        }
        Ok(if rules.len() == 1 { rules.remove(0) } else { Rule::Or(rules) })
    }

    fn and(&mut self) -> Result<Rule, RuleError> {
        let mut rules = vec![self.not()?];
        while self.word("AND") {
            rules.push(self.not()?);
        }
        Ok(if rules.len() == 1 { rules.remove(0) } else { Rule::And(rules) })
    }

    fn not(&mut self) -> Result<Rule, RuleError> {
        if self.word("NOT") { Ok(Rule::Not(Box::new(self.primary()?))) } else { self.primary() }
    }

    fn primary(&mut self) -> Result<Rule, RuleError> {
        self.elements += 1;
        if self.elements > ELEMENTS_MAX {
            return Err(self.error(format!("it has more than {ELEMENTS_MAX} parts")));
        }
        for (word, always) in [("TRUE", true), ("FALSE", false)] {
            if self.word(word) {
                return Ok(Rule::Always(always));
            }
        }
        if self.word("AT_LEAST") {
            return self.at_least();
        }
        if let Some(state) = self.state() {
            self.demand("(")?;
            let name = self.name()?;
            self.demand(")")?;
            return Ok(Rule::Is(state, name));
        }
        if self.take("(") {
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err(self.error(format!("parentheses go deeper than {DEPTH_MAX}")));
            }
            let rule = self.or()?;
            self.demand(")")?;
            self.depth -= 1;
            return Ok(rule);
        }
        Err(self.expected("ALARM(…), OK(…), INSUFFICIENT_DATA(…), AT_LEAST(…), TRUE, FALSE, NOT or `(`"))
    }

    fn state(&mut self) -> Option<AlarmState> {
        let states = [AlarmState::Alarm, AlarmState::Ok, AlarmState::InsufficientData];
        states.into_iter().find(|state| self.word(&state.to_string()))
    }

    fn at_least(&mut self) -> Result<Rule, RuleError> {
        self.demand("(")?;
        self.skip_space();
        let digits: String = self.rest().chars().take_while(char::is_ascii_digit).collect();
        let number = digits.parse::<usize>().ok().filter(|number| *number > 0);
        let number = number.ok_or_else(|| self.expected("how many, such as `2` or `50%`"))?;
        self.at += digits.len();
        let count = if self.take("%") { Count::Percent(number) } else { Count::Number(number) };
        if matches!(count, Count::Percent(percent) if percent > 100) {
            return Err(self.error(format!("{number}% is more than all")));
        }
        self.demand(",")?;
        let not = self.word("NOT");
        let state = self.state().ok_or_else(|| self.expected("ALARM, OK or INSUFFICIENT_DATA"))?;
        self.demand(",")?;
        self.demand("(")?;
        let mut of = vec![self.name()?];
        while self.take(",") {
            of.push(self.name()?);
        }
        self.demand(")")?;
        self.demand(")")?;
        self.elements += of.len();
        if matches!(count, Count::Number(number) if number > of.len()) {
            return Err(self.error(format!("{number} of {} can never be", of.len())));
        }
        Ok(Rule::AtLeast { count, not, state, of })
    }

    fn name(&mut self) -> Result<String, RuleError> {
        if !self.take("\"") {
            let is_part = |c: &char| !c.is_whitespace() && !matches!(c, '(' | ')' | ',' | '"');
            let name: String = self.rest().chars().take_while(is_part).collect();
            if name.is_empty() {
                return Err(self.expected("the name of an alarm"));
            }
            self.at += name.len();
            return Ok(name);
        }
        let begin = self.at;
        let (mut name, mut escaped) = (String::new(), false);
        for (at, c) in self.text[begin..].char_indices() {
            match c {
                _ if escaped => {
                    name.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                '"' => {
                    self.at = begin + at + 1;
                    return Ok(name);
                }
                _ => name.push(c),
            }
        }
        self.at = begin;
        Err(self.error("the quote is not closed".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, alarms: &[&str], holds: bool) {
        let rule: Rule = text.parse().unwrap();
        let state = |name: &str| if alarms.contains(&name) { AlarmState::Alarm } else { AlarmState::Ok };
        assert_eq!(rule.holds(&state), holds, "{text} with {alarms:?}");
        assert_eq!(rule.to_string().parse::<Rule>().unwrap(), rule);
    }

    #[test]
    fn rules_hold_as_they_say() {
        check("ALARM(a) AND NOT ALARM(b)", &["a"], true);
        check("ALARM(a) AND NOT ALARM(b)", &["a", "b"], false);
        check("ALARM(a) OR ALARM(b) AND ALARM(c)", &["a"], true);
        check("(ALARM(a) OR\nALARM(b)) AND ALARM(c)", &["a"], false);
        check(r#"ALARM("the \"first\", (a)")"#, &[r#"the "first", (a)"#], true);
        check("AT_LEAST(2, ALARM, (a, b, c))", &["a", "c"], true);
        check("AT_LEAST(2, ALARM, (a, b, c))", &["c"], false);
        check("AT_LEAST(60%, NOT OK, (a, b, c))", &["a", "b"], true);
        check("AT_LEAST(60%, NOT OK, (a, b, c))", &["a"], false);
        check("NOT (ALARM(a) OR OK(b))", &["b"], true);
        check("TRUE", &[], true);
        check("OK(monitor/web) AND INSUFFICIENT_DATA(x)", &[], false);
    }

    #[test]
    fn what_is_no_rule_is_refused_with_its_place() {
        let check = |text: &str, expected: &str| assert_eq!(text.parse::<Rule>().unwrap_err().to_string(), expected);
        check("ALARM(A", "expected `)`, found nothing more (at character 8 of the rule)");
        check("ALARM(A) ALARM(B)", "expected AND, OR or the end, found `ALARM(B)` (at character 10 of the rule)");
        check("ALARM(name with space)", "expected `)`, found `with` (at character 12 of the rule)");
        check(
            "AT_LEAST(0, ALARM, ())",
            "expected how many, such as `2` or `50%`, found `0,` (at character 10 of the rule)",
        );
        check("AT_LEAST(3, ALARM, (a, b))", "3 of 2 can never be (at character 27 of the rule)");
        check("ALARM(\"a)", "the quote is not closed (at character 8 of the rule)");
        check(
            "FOO(A)",
            "expected ALARM(…), OK(…), INSUFFICIENT_DATA(…), AT_LEAST(…), TRUE, FALSE, NOT or `(`, found `FOO(A)` \
             (at character 1 of the rule)",
        );
        let deep = "(".repeat(5000) + "TRUE";
        assert!(deep.parse::<Rule>().unwrap_err().message.contains("deeper"));
    }

    #[test]
    fn causes_are_what_a_rule_waits_for() {
        let rule: Rule = "(ALARM(a) OR NOT OK(b)) AND NOT ALARM(c) AND NOT (OK(d) AND ALARM(e))".parse().unwrap();
        let causes: Vec<&str> = rule.causes().into_iter().map(|(name, ..)| name).collect();
        assert_eq!(causes, ["a", "b", "d"]);
        assert_eq!(rule.children(), ["a", "b", "c", "d", "e"]);
    }

    fn rules() -> impl Strategy<Value = Rule> {
        let state = prop_oneof![Just(AlarmState::Alarm), Just(AlarmState::Ok), Just(AlarmState::InsufficientData)];
        let leaf = prop_oneof![
            any::<bool>().prop_map(Rule::Always),
            (state.clone(), ".{1,8}").prop_map(|(state, name)| Rule::Is(state, name)),
            (1..100_usize, any::<bool>(), state, prop::collection::vec("[a-z\"\\\\ ,()é]{1,5}", 1..4))
                .prop_map(|(percent, not, state, of)| Rule::AtLeast { count: Count::Percent(percent), not, state, of }),
        ];
        leaf.prop_recursive(4, 30, 3, |inner| {
            let some = prop::collection::vec(inner.clone(), 2..4);
            prop_oneof![
                inner.prop_map(|rule| Rule::Not(Box::new(rule))),
                some.clone().prop_map(Rule::And),
                some.prop_map(Rule::Or),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(rule in rules()) {
            prop_assert_eq!(rule.to_string().parse::<Rule>(), Ok(rule));
        }

        #[test]
        fn what_nobody_wrote_is_no_panic(text in "[A-Z_a()\", %0-9\\\\]{0,40}") {
            let _ = text.parse::<Rule>();
        }
    }
}
