//! Text cut to a provider's limit, on a character's boundary, so that one sees it was cut.

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Bytes,
    Characters,
    /// Characters as UTF-16 counts them: an emoji is two.
    Utf16,
}

impl Unit {
    /// How long a text is.
    pub(crate) fn size(self, text: &str) -> usize {
        text.chars().map(|c| self.size_of(c)).sum()
    }

    fn size_of(self, c: char) -> usize {
        match self {
            Unit::Bytes => c.len_utf8(),
            Unit::Characters => 1,
            Unit::Utf16 => c.len_utf16(),
        }
    }
}

/// `text` if it fits in `max`, else as much of it as fits with `…` at its end.
pub(crate) fn cut(text: &str, max: usize, unit: Unit) -> String {
    if unit.size(text) <= max {
        return text.to_owned();
    }
    let mut left = max.saturating_sub(unit.size_of('…'));
    let mut out = String::new();
    for c in text.chars() {
        let Some(rest) = left.checked_sub(unit.size_of(c)) else { break };
        left = rest;
        out.push(c);
    }
    out.truncate(out.trim_end().len());
    out.push('…');
    out
}

/// `text` as `write` writes it (which may lengthen it, as escapes do), cut so that the whole fits in `max`.
pub(crate) fn cut_as(text: &str, max: usize, unit: Unit, write: impl Fn(&str) -> String) -> String {
    let mut room = max;
    loop {
        let out = write(&cut(text, room, unit));
        let over = unit.size(&out).saturating_sub(max);
        if over == 0 || room == 0 {
            return out;
        }
        room = room.saturating_sub(over);
    }
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
        assert_eq!(cut("👩👩👩", 4, Unit::Utf16), "👩…");
        let doubled = |text: &str| text.replace('a', "aa");
        assert_eq!(cut_as("aaab", 7, Unit::Characters, doubled), "aaaaaab");
        assert_eq!(cut_as("aaaab", 7, Unit::Characters, doubled), "aaaa…");
        assert_eq!(cut_as("aaaa", 0, Unit::Characters, doubled), "…");
        assert_eq!(one_line(" a\r\nb\u{0}\tc "), "a b c");
    }
}
