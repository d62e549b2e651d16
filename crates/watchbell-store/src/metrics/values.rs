//! Which values an expression can match: texts, or texts with some beginning; so that a dictionary in order need not be
//! gone through from end to end.
//!
//! Pure. What is found here is exact: where an expression is too rich for it, the answer is its known beginning and
//! that the rest must be asked of the expression itself.

use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};

/// More texts than this are not told one by one.
const TEXTS_MAX: usize = 256;

/// What follows a known beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rest {
    /// Nothing: the beginning is all.
    Nothing,
    /// Whatever there is.
    Any,
    /// At least one more character.
    More,
    /// What the expression says.
    Asked,
}

/// The beginnings of all values that the expression of a matcher (`=~`, anchored) matches, and what follows them.
/// Sorted; several may begin alike.
pub(crate) fn beginnings(expression: &str) -> Vec<(String, Rest)> {
    // What is no expression by itself, as `a)|(b`, can be one within the parentheses that a matcher puts around it.
    let parsed = regex_syntax::ParserBuilder::new().dot_matches_new_line(true).build().parse(expression);
    let mut found = parsed.ok().and_then(|hir| all(&hir)).unwrap_or_else(|| vec![(String::new(), Rest::Asked)]);
    found.sort();
    found.dedup();
    found
}

/// `None` if there are too many.
fn all(hir: &Hir) -> Option<Vec<(String, Rest)>> {
    match hir.kind() {
        HirKind::Capture(inner) => all(&inner.sub),
        HirKind::Alternation(branches) => {
            let mut found = Vec::new();
            for branch in branches {
                found.extend(all(branch)?);
                if found.len() > TEXTS_MAX {
                    return None;
                }
            }
            Some(found)
        }
        HirKind::Concat(parts) => Some(in_a_row(parts)),
        _ => Some(in_a_row(std::slice::from_ref(hir))),
    }
}

fn in_a_row(parts: &[Hir]) -> Vec<(String, Rest)> {
    let mut texts = vec![String::new()];
    for (at, part) in parts.iter().enumerate() {
        // What people write although the whole is anchored anyway.
        let needless = match part.kind() {
            HirKind::Look(Look::Start) => at == 0,
            HirKind::Look(Look::End) => at + 1 == parts.len(),
            _ => false,
        };
        if needless {
            continue;
        }
        match set(part).and_then(|set| product(&texts, &set)) {
            Some(longer) => texts = longer,
            None => {
                let last = parts[at + 1..].iter().all(|part| matches!(part.kind(), HirKind::Look(Look::End)));
                let rest = if last { rest(part) } else { Rest::Asked };
                return texts.into_iter().map(|text| (text, rest)).collect();
            }
        }
    }
    texts.into_iter().map(|text| (text, Rest::Nothing)).collect()
}

/// What the last part of an expression says.
fn rest(part: &Hir) -> Rest {
    match part.kind() {
        HirKind::Capture(inner) => rest(&inner.sub),
        HirKind::Repetition(Repetition { min: 0, max: None, sub, .. }) if is_any(sub) => Rest::Any,
        HirKind::Repetition(Repetition { min: 1, max: None, sub, .. }) if is_any(sub) => Rest::More,
        _ => Rest::Asked,
    }
}

/// Whether it is a dot, which matches every character here.
fn is_any(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Capture(inner) => is_any(&inner.sub),
        HirKind::Class(Class::Unicode(class)) => {
            class.ranges().iter().map(|range| (range.start(), range.end())).eq([('\0', char::MAX)])
        }
        _ => false,
    }
}

/// All texts that a part can be, if they are few.
fn set(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Empty => Some(vec![String::new()]),
        HirKind::Literal(literal) => Some(vec![String::from_utf8(literal.0.to_vec()).ok()?]),
        HirKind::Class(Class::Unicode(class)) => {
            let count: usize = class.ranges().iter().map(|range| range.len()).sum();
            let texts = || class.ranges().iter().flat_map(|range| range.start()..=range.end()).map(String::from);
            (count <= TEXTS_MAX).then(|| texts().collect())
        }
        HirKind::Class(Class::Bytes(_)) | HirKind::Look(_) => None,
        HirKind::Capture(inner) => set(&inner.sub),
        HirKind::Repetition(Repetition { min, max, sub, .. }) => {
            let (max, sub) = (max.filter(|max| *max as usize <= TEXTS_MAX)?, set(sub)?);
            let (mut texts, mut longest) = (Vec::new(), vec![String::new()]);
            for times in 0..=max {
                if times >= *min {
                    texts.extend_from_slice(&longest);
                }
                if times < max {
                    longest = product(&longest, &sub)?;
                }
            }
            (texts.len() <= TEXTS_MAX).then_some(texts)
        }
        HirKind::Concat(parts) => {
            parts.iter().try_fold(vec![String::new()], |texts, part| product(&texts, &set(part)?))
        }
        HirKind::Alternation(branches) => {
            let texts: Vec<String> =
                branches.iter().map(set).collect::<Option<Vec<_>>>()?.into_iter().flatten().collect();
            (texts.len() <= TEXTS_MAX).then_some(texts)
        }
    }
}

fn product(beginnings: &[String], ends: &[String]) -> Option<Vec<String>> {
    let few = beginnings.len().saturating_mul(ends.len()) <= TEXTS_MAX;
    few.then(|| beginnings.iter().flat_map(|one| ends.iter().map(move |end| format!("{one}{end}"))).collect())
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;
    use watchbell_model::{MatchOp, Matcher};

    use super::*;

    fn check(expressions: &str, expected: Expect) {
        let lines = expressions.split_whitespace().map(|expression| {
            let said: Vec<String> =
                beginnings(expression).iter().map(|(text, rest)| format!(" {text:?} {rest:?}")).collect();
            format!("{expression}:{}\n", said.join(","))
        });
        expected.assert_eq(&lines.collect::<String>());
    }

    #[test]
    fn sets_and_prefixes_are_seen() {
        check(
            r"a|b|c foo.* foo.+ .* .+ (a|b)c? ^(foo|bar)$ foo.*|bar (ab|ac).* (?i)ab foo[0-9]+ a\.b .*foo foo(.*) a{2} [^a]",
            expect![[r#"
                a|b|c: "a" Nothing, "b" Nothing, "c" Nothing
                foo.*: "foo" Any
                foo.+: "foo" More
                .*: "" Any
                .+: "" More
                (a|b)c?: "a" Nothing, "ac" Nothing, "b" Nothing, "bc" Nothing
                ^(foo|bar)$: "bar" Nothing, "foo" Nothing
                foo.*|bar: "bar" Nothing, "foo" Any
                (ab|ac).*: "ab" Any, "ac" Any
                (?i)ab: "AB" Nothing, "Ab" Nothing, "aB" Nothing, "ab" Nothing
                foo[0-9]+: "foo" Asked
                a\.b: "a.b" Nothing
                .*foo: "" Asked
                foo(.*): "foo" Any
                a{2}: "aa" Nothing
                [^a]: "" Asked
            "#]],
        );
        assert_eq!(beginnings("[a-z][a-z][a-z]"), beginnings("[a-z][a-z]{2}"));
    }

    proptest! {
        #[test]
        fn what_is_said_is_what_matches(
            expression in "([abé]|[ab]?|\\.|\\.\\*|\\.\\+|\\(|\\)|\\||\\?|\\+|\\*|\\^|\\$|\\[ab\\]|\\{1,2\\}|\\(\\?i\\)){0,7}",
            values in prop::collection::vec("[abAé\n]{0,4}", 1..30),
        ) {
            let Ok(matcher) = Matcher::new("x", MatchOp::Regex, &*expression) else { return Ok(()) };
            let found = beginnings(&expression);
            for value in values.iter().map(String::as_str).chain([""]) {
                let said = found.iter().any(|(text, rest)| value.starts_with(&**text) && match rest {
                    Rest::Nothing => value == text,
                    Rest::Any => true,
                    Rest::More => value.len() > text.len(),
                    Rest::Asked => matcher.matches(value),
                });
                prop_assert_eq!(said, matcher.matches(value), "{} on {:?}: {:?}", expression, value, found);
            }
        }
    }
}
