//! Text cut to a provider's limit, on a character's boundary, so that one sees it was cut.

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Bytes,
    Characters,
}

/// `text` if it fits in `max`, else as much of it as fits with `…` at its end.
pub(crate) fn cut(text: &str, max: usize, unit: Unit) -> String {
    let size = |c: char| match unit {
        Unit::Bytes => c.len_utf8(),
        Unit::Characters => 1,
    };
    if text.chars().map(size).sum::<usize>() <= max {
        return text.to_owned();
    }
    let mut left = max.saturating_sub(size('…'));
    let mut out = String::new();
    for c in text.chars() {
        let Some(rest) = left.checked_sub(size(c)) else { break };
        left = rest;
        out.push(c);
    }
    out.truncate(out.trim_end().len());
    out.push('…');
    out
}

/// One line without control characters, for titles and headers.
pub(crate) fn one_line(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_control() || c.is_whitespace()).filter(|it| !it.is_empty()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_falls_between_characters_and_shows() {
        assert_eq!(cut("grün", 5, Unit::Bytes), "grün");
        assert_eq!(cut("grünes", 6, Unit::Bytes), "gr…");
        assert_eq!(cut("grünes", 4, Unit::Characters), "grü…");
        assert_eq!(cut("👩‍🚒👩‍🚒👩‍🚒", 2, Unit::Characters), "👩…");
        assert_eq!(cut("ab", 0, Unit::Bytes), "…");
        assert_eq!(one_line(" a\r\nb\u{0}\tc "), "a b c");
    }
}
