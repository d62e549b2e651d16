//! What a mail says (RFC 5322, MIME): its subject and its text, as somebody would read them.
//!
//! Takes whatever comes: what is not as the standards have it is read as plain text. Attachments are left out.
//! Everything is linear in the length of the mail, and parts within parts are followed to a small depth.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// How deep parts lie within parts at most.
const DEPTH_MAX: usize = 6;
/// How many parts are looked at.
const PARTS_MAX: usize = 100;
/// How long an encoded word may be, in bytes; RFC 2047 says 75.
const WORD_MAX: usize = 1000;
/// Takes base64 with or without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What a mail says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailText {
    /// Its subject, decoded.
    pub subject: String,
    /// Its first plain text, and the words of its first HTML below it.
    pub text: String,
}

/// Reads a mail.
pub fn read(mail: &[u8]) -> MailText {
    let (head, body) = halves(mail);
    let mut found = Found { plain: None, html: None, left: PARTS_MAX };
    found.part(&head, body, DEPTH_MAX);
    let texts = [found.plain, found.html.map(|html| words(&html))];
    MailText {
        subject: decoded_words(field(&head, "subject")),
        text: texts.into_iter().flatten().collect::<Vec<_>>().join("\n"),
    }
}

struct Found {
    plain: Option<String>,
    html: Option<String>,
    left: usize,
}

impl Found {
    fn part(&mut self, head: &[(String, String)], body: &[u8], depth: usize) {
        if self.left == 0 || depth == 0 {
            return;
        }
        self.left -= 1;
        let kind = field(head, "content-type");
        let name = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if name.starts_with("multipart/") {
            if let Some(boundary) = parameter(kind, "boundary") {
                for part in parts(body, &boundary) {
                    let (head, body) = halves(part);
                    self.part(&head, body, depth - 1);
                }
                return;
            }
        } else if field(head, "content-disposition").trim_start().to_ascii_lowercase().starts_with("attachment") {
            return;
        }
        let slot = match name.as_str() {
            "text/html" => &mut self.html,
            // Nothing said is plain text, and so is a multipart without a boundary.
            _ if name.is_empty() || name == "text/plain" || name.starts_with("multipart/") => &mut self.plain,
            _ => return,
        };
        if slot.is_none() {
            let bytes = match field(head, "content-transfer-encoding").trim().to_ascii_lowercase().as_str() {
                "base64" => from_base64(body),
                "quoted-printable" => unquoted(body, false),
                _ => body.to_vec(),
            };
            *slot = Some(text_of(&bytes, &parameter(kind, "charset").unwrap_or_default()));
        }
    }
}

/// The fields of the head, unfolded, names in lower case; and the body.
fn halves(mail: &[u8]) -> (Vec<(String, String)>, &[u8]) {
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut rest = mail;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at(end);
        rest = after;
        let line = line.trim_ascii_end();
        if line.is_empty() {
            return (fields, rest);
        }
        let line = String::from_utf8_lossy(line);
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push_str(&line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), value.trim_start().to_owned()));
        }
    }
    (fields, rest)
}

fn field<'a>(head: &'a [(String, String)], name: &str) -> &'a str {
    head.iter().find(|(it, _)| it == name).map_or("", |(_, value)| value)
}

/// A parameter such as `boundary` of a field's value.
fn parameter(value: &str, name: &str) -> Option<String> {
    value.split(';').skip(1).find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
    })
}

/// What lies between lines that are the boundary.
fn parts<'a>(body: &'a [u8], boundary: &str) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let mut begin = None;
    let mut at = 0;
    while at < body.len() {
        let end = body[at..].iter().position(|byte| *byte == b'\n').map_or(body.len(), |it| at + it + 1);
        let line = body[at..end].trim_ascii_end();
        if let Some(rest) = line.strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary.as_bytes()))
            && (rest.is_empty() || rest == b"--")
        {
            parts.extend(begin.map(|begin| &body[begin..at]));
            begin = rest.is_empty().then_some(end);
            if begin.is_none() {
                break;
            }
        }
        at = end;
    }
    parts.extend(begin.map(|begin| &body[begin..]));
    parts
}

fn from_base64(text: &[u8]) -> Vec<u8> {
    let letters: Vec<u8> =
        text.iter().copied().filter(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/')).collect();
    BASE64.decode(letters).unwrap_or_default()
}

/// Quoted-printable; in an encoded word `_` is a space.
fn unquoted(text: &[u8], is_word: bool) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at + 1..];
        match text[at] {
            b'=' if rest.starts_with(b"\r\n") => at += 2,
            b'=' if rest.starts_with(b"\n") => at += 1,
            b'=' => match (digit(rest.first()), digit(rest.get(1))) {
                (Some(high), Some(low)) => {
                    out.push((high * 16 + low) as u8);
                    at += 2;
                }
                _ => out.push(b'='),
            },
            b'_' if is_word => out.push(b' '),
            byte => out.push(byte),
        }
        at += 1;
    }
    out
}

/// Bytes of a character set: UTF-8 and what Latin-1 covers; others as far as they are UTF-8.
fn text_of(bytes: &[u8], charset: &str) -> String {
    let latin = ["iso-8859-1", "iso-8859-15", "windows-1252", "latin1"];
    if latin.iter().any(|name| charset.eq_ignore_ascii_case(name)) {
        bytes.iter().map(|byte| char::from(*byte)).collect()
    } else {
        String::from_utf8_lossy(bytes).into_owned()
    }
}

/// A field with its encoded words (RFC 2047) decoded; the space between two of them goes.
fn decoded_words(field: &str) -> String {
    let mut out = String::new();
    let mut rest = field;
    let mut after_word = false;
    while let Some(at) = rest.find("=?") {
        let Some((text, length)) = word(&rest[at..]) else {
            out.push_str(&rest[..at + 2]);
            rest = &rest[at + 2..];
            after_word = false;
            continue;
        };
        if !(after_word && rest[..at].trim().is_empty()) {
            out.push_str(&rest[..at]);
        }
        out.push_str(&text);
        rest = &rest[at + length..];
        after_word = true;
    }
    out + rest
}

/// The encoded word that this begins with, and how long it is.
fn word(text: &str) -> Option<(String, usize)> {
    let text = &text[..text.floor_char_boundary(WORD_MAX)];
    let mut fields = text[2..].splitn(3, '?');
    let (charset, encoding, rest) = (fields.next()?, fields.next()?, fields.next()?);
    let (encoded, _) = rest.split_once("?=")?;
    if encoded.contains(char::is_whitespace) {
        return None;
    }
    let bytes = match encoding {
        "B" | "b" => from_base64(encoded.as_bytes()),
        "Q" | "q" => unquoted(encoded.as_bytes(), true),
        _ => return None,
    };
    let length = 2 + charset.len() + 1 + encoding.len() + 1 + encoded.len() + 2;
    Some((text_of(&bytes, charset.split('*').next().unwrap_or_default()), length))
}

/// The words of HTML, without its tags, styles and scripts.
fn words(html: &str) -> String {
    let mut out = String::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        let tag = &rest[at + 1..];
        let name: String = tag.chars().take_while(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase();
        let end = match name.as_str() {
            "style" | "script" => {
                let close = format!("</{name}");
                tag.char_indices()
                    .find(|(at, _)| {
                        tag.as_bytes()[*at..]
                            .get(..close.len())
                            .is_some_and(|it| it.eq_ignore_ascii_case(close.as_bytes()))
                    })
                    .map_or(tag.len(), |(at, _)| at)
            }
            _ => 0,
        };
        rest = tag[end..].find('>').map_or("", |close| &tag[end + close + 1..]);
        if matches!(name.as_str(), "br" | "p" | "div" | "tr" | "li" | "td" | "th") {
            out.push(' ');
        }
    }
    out.push_str(rest);
    for (entity, letter) in
        [("&nbsp;", " "), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")]
    {
        out = out.replace(entity, letter);
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    fn check(mail: &str, expected: Expect) {
        let MailText { subject, text } = read(mail.replace('\n', "\r\n").as_bytes());
        expected.assert_eq(&format!("{subject}\n{}", text.replace('\r', "")));
    }

    #[test]
    fn a_plain_mail() {
        check(
            "From: cron@db1\nSubject: Backup of\n db1: OK\n\nline one\nline two\n",
            expect![[r#"
                Backup of db1: OK
                line one
                line two
            "#]],
        );
        check("no head at all\n", expect!["\n\n"]);
        check(
            "\njust: text",
            expect![[r#"

            just: text"#]],
        );
    }

    #[test]
    fn words_and_parts_are_decoded() {
        check(
            "Subject: =?utf-8?q?R=C3=A9sultat_=3F?= =?UTF-8?B?OiDDqWNoZWM=?= of =?x\nContent-Type: multipart/mixed; boundary=\"b 1\"\n\n\
             preamble\n--b 1\nContent-Type: multipart/alternative; boundary=b2\n\n--b2\n\
             Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\ncaf=E9 =\nau lait =zz\n--b2\n\
             Content-Type: text/html\nContent-Transfer-Encoding: base64\n\n\
             PHN0eWxlPnAge308L1NUWUxFPjxwPmRvbmUgJmFtcDsg\nPGI+ZHVzdGVkPC9iPjwvcD48YnI+eA==\n--b2--\n\n--b 1\n\
             Content-Disposition: attachment\nContent-Type: text/plain\n\nan attachment that FAILED\n--b 1--\nepilogue\n",
            expect![[r#"
                Résultat ?: échec of =?x
                café au lait =zz

                done & dusted x"#]],
        );
    }

    #[test]
    fn parts_end_where_they_are_cut_off() {
        check(
            "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nfirst\n--bx\n--b",
            expect![[r#"

            first
            --bx
        "#]],
        );
        check(
            "Content-Type: multipart/mixed\n\nno boundary",
            expect![[r#"

            no boundary"#]],
        );
        check("Content-Type: image/png\n\nnone", expect!["\n\n"]);
        check(
            "Content-Type: text/html\n\na<b",
            expect![[r#"

            a"#]],
        );
        let deep = |depth: usize| {
            let head = |at: usize| format!("Content-Type: multipart/mixed; boundary=b{at}\n\n--b{at}\n");
            (0..depth).map(head).collect::<String>() + "\ndeep"
        };
        check(
            &deep(DEPTH_MAX - 1),
            expect![[r#"

            deep"#]],
        );
        check(&deep(DEPTH_MAX), expect!["\n\n"]);
    }

    proptest! {
        #[test]
        fn anything_can_be_read(text in "(?s)[a-zA-Z:;=?<>&_\r\n\\-é/\" ]{0,300}", bytes: Vec<u8>) {
            let mut mail = text.into_bytes();
            read(&mail);
            mail.extend(bytes);
            read(&mail);
        }
    }
}
