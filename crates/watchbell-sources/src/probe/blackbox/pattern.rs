//! Regular expressions as Go's programs write them, over bytes.

use std::borrow::Cow;
use std::sync::OnceLock;

use regex::bytes::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use watchbell_model::{Path, Problems};

use super::super::http::regex_words;

/// A regular expression, made when it is first needed.
#[derive(Debug, Clone, Default)]
pub struct Pattern {
    text: String,
    regex: OnceLock<Result<Regex, String>>,
}

impl Pattern {
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The expression, or why it is none.
    pub(super) fn regex(&self) -> Result<&Regex, &str> {
        let made = self.regex.get_or_init(|| Regex::new(&of_go(&self.text)).map_err(|error| regex_words(&error)));
        made.as_ref().map_err(String::as_str)
    }

    pub(super) fn is_match(&self, bytes: &[u8]) -> bool {
        self.regex().is_ok_and(|regex| regex.is_match(bytes))
    }

    pub(super) fn check(&self, path: &Path, problems: &mut Problems) {
        if let Err(reason) = self.regex() {
            problems
                .error(path, format!("Could not compile regular expression `{}`: {reason}", self.text))
                .hint("escape `.`, `(`, `[`, `*` and `+` with a backslash if they are meant as they stand");
        }
    }

    pub(super) fn check_all(patterns: &[Pattern], path: &Path, problems: &mut Problems) {
        for (at, pattern) in patterns.iter().enumerate() {
            pattern.check(&path.index(at), problems);
        }
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Pattern, D::Error> {
        Ok(Pattern { text: String::deserialize(from)?, regex: OnceLock::new() })
    }
}

impl JsonSchema for Pattern {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Pattern".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "regex" })
    }
}

/// What means something else in Go's syntax: `\Q…\E` is taken as it stands, and `\<` and `\>` are no word's ends.
fn of_go(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = &rest[at..];
        if let Some(quoted) = escape.strip_prefix("\\Q") {
            let (inside, after) = quoted.split_once("\\E").unwrap_or((quoted, ""));
            out.push_str(&regex::escape(inside));
            rest = after;
            continue;
        }
        let length = 1 + escape[1..].chars().next().map_or(0, char::len_utf8);
        match &escape[..length] {
            "\\<" => out.push('<'),
            "\\>" => out.push('>'),
            other => out.push_str(other),
        }
        rest = &escape[length..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_mean_what_they_mean_in_go() {
        for (pattern, text, yes) in [
            (r"^\Qa.b\E+$", "a.bb", true),
            (r"\Qa.b", "axb", false),
            (r"\<title\>", "<title>", true),
            (r"\\<", "\\<", true),
            (r"^250[- ]STARTTLS", "250-STARTTLS", true),
            (r"é\.", "café.", true),
        ] {
            let pattern: Pattern = serde_json::from_value(pattern.into()).unwrap();
            assert_eq!(pattern.is_match(text.as_bytes()), yes, "{pattern:?} {text}");
        }
        let broken: Pattern = serde_json::from_value(":[".into()).unwrap();
        assert!(broken.regex().is_err());
    }
}
