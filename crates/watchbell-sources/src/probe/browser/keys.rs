//! Keys that can be pressed.

use serde_json::{Value, json};

/// Name, Windows' number, and the text that it types.
const NAMED: [(&str, u32, &str); 14] = [
    ("Enter", 13, "\r"),
    ("Tab", 9, ""),
    ("Escape", 27, ""),
    ("Space", 32, " "),
    ("Backspace", 8, ""),
    ("Delete", 46, ""),
    ("ArrowLeft", 37, ""),
    ("ArrowUp", 38, ""),
    ("ArrowRight", 39, ""),
    ("ArrowDown", 40, ""),
    ("Home", 36, ""),
    ("End", 35, ""),
    ("PageUp", 33, ""),
    ("PageDown", 34, ""),
];

/// The names of keys that have one.
pub(super) fn names() -> Vec<&'static str> {
    NAMED.iter().map(|(name, ..)| *name).collect()
}

/// How the browser is told that a key goes down, without the `type` of the event; `None` if there is no such key.
pub(super) fn key(name: &str) -> Option<Value> {
    if let Some((name, number, text)) = NAMED.iter().find(|(have, ..)| *have == name) {
        let key = if *name == "Space" { " " } else { name };
        return Some(json!({"key": key, "code": name, "windowsVirtualKeyCode": number, "text": text}));
    }
    let mut characters = name.chars();
    match (characters.next(), characters.next()) {
        (Some(one), None) if !one.is_control() => Some(json!({"key": name, "text": name})),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_names_or_are_characters() {
        assert_eq!(key("Enter").unwrap()["text"], "\r");
        assert_eq!(key("Space").unwrap()["key"], " ");
        assert_eq!(key("ß").unwrap(), json!({"key": "ß", "text": "ß"}));
        assert!(names().into_iter().all(|name| key(name).is_some()));
        for none in ["", "enter", "ab", "\n"] {
            assert!(key(none).is_none(), "{none:?}");
        }
    }
}
