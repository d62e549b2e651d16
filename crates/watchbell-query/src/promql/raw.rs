//! Strings of the language that are not UTF-8, which escapes such as `\xff` can write.
//!
//! A byte that belongs to no character is kept as one of the last 128 code points of Unicode's last private plane, so
//! that every text is a `str`, nothing is lost, and two strings are equal only if their bytes are. Nothing that is stored
//! has such bytes: these texts select nothing and name no label.

/// Where the code points begin that stand for the bytes 0x80 to 0xff.
const FIRST: u32 = 0x10_ff80;

/// Bytes as text. Text that is UTF-8 stays as it is.
pub(super) fn text(bytes: Vec<u8>) -> String {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return text,
        Err(error) => error.into_bytes(),
    };
    let mut text = String::with_capacity(bytes.len() + 4);
    let put = |text: &mut String, bytes: &[u8]| {
        text.extend(bytes.iter().filter_map(|byte| char::from_u32(FIRST + u32::from(byte - 0x80))));
    };
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match byte(c) {
                // One that stands for a byte elsewhere is spelled out, so that it is not taken for that.
                Some(_) => put(&mut text, c.encode_utf8(&mut [0; 4]).as_bytes()),
                None => text.push(c),
            }
        }
        put(&mut text, chunk.invalid());
    }
    text
}

/// The byte that a character stands for.
pub(super) fn byte(c: char) -> Option<u8> {
    (u32::from(c) >= FIRST).then(|| (u32::from(c) - FIRST + 0x80) as u8)
}

/// Whether a text is UTF-8, and so may be the name of a label, or a regular expression.
pub(crate) fn is_utf8(text: &str) -> bool {
    !text.chars().any(|c| byte(c).is_some())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::promql::{parse, quote};

    #[test]
    fn bytes_that_are_no_characters_are_kept() {
        assert_eq!(text(b"a\xc3\xa9".to_vec()), "a\u{e9}");
        let wrong = text(b"a\xc5z".to_vec());
        assert_eq!((quote(&wrong).as_str(), is_utf8(&wrong)), (r#""a\xc5z""#, false));
        assert_ne!(wrong, text(b"a\xc6z".to_vec()));
        assert!(is_utf8("a\u{e9}\u{10ff7f}"));
    }

    proptest! {
        #[test]
        fn every_string_reads_back_from_its_print(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let written: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
            let expr = parse(&format!("\"{written}\"")).unwrap();
            let again = parse(&expr.to_string()).unwrap();
            prop_assert_eq!(format!("{:?}", expr.node), format!("{:?}", again.node));
            prop_assert_eq!(String::from_utf8(bytes.clone()).is_ok_and(|text| is_utf8(&text)), {
                matches!(&expr.node, crate::promql::Node::Text(text) if is_utf8(text))
            });
        }
    }
}
