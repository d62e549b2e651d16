//! A mail as bytes (RFC 5322, MIME). Pure.
//!
//! Everything is kept within 7 bits and short lines, so that any server takes it as it is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use watchbell_model::{Severity, Timestamp};

use crate::channels::picture::{FILE, PNG};
use crate::cut::{Unit, cut, one_line};
use crate::page::Page;

/// The longest line of a body in quoted-printable, in bytes.
const LINE_MAX: usize = 76;
/// The longest header that is written as it is, in bytes; RFC 5322 allows lines of 998.
const HEADER_MAX: usize = 900;
/// Bytes of text within one encoded word, whose whole may have 75.
const WORD_MAX: usize = 42;

/// A mailbox: `Ops team <ops@example.org>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mailbox {
    pub(crate) name: String,
    pub(crate) address: String,
}

/// Reads mailboxes as they stand in `To`: with names or without, commas between them.
pub(crate) fn mailboxes(text: &str) -> Result<Vec<Mailbox>, String> {
    let mut list = Vec::new();
    for part in split(text) {
        let part = part.trim();
        if part.is_empty() {
            continue;
        }
        let (name, address) = match part.strip_suffix('>').and_then(|it| it.rsplit_once('<')) {
            Some((name, address)) => (unquoted(name.trim()), address.trim()),
            None => (String::new(), part),
        };
        let ends = address.rsplit_once('@').filter(|(user, host)| !user.is_empty() && !host.is_empty());
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | ',' | '"' | '(' | ')');
        if ends.is_none() || address.chars().any(odd) {
            return Err(format!("`{}` is not an address", one_line(part)));
        }
        list.push(Mailbox { name: one_line(&name), address: address.to_owned() });
    }
    Ok(list)
}

/// Splits at commas that stand in no quotes.
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut quoted, mut escaped) = (vec![String::new()], false, false);
    for c in text.chars() {
        match c {
            ',' if !quoted => parts.push(String::new()),
            _ => {
                if c == '"' && !escaped {
                    quoted = !quoted;
                }
                escaped = c == '\\' && !escaped;
                parts.last_mut().expect("there is always one").push(c);
            }
        }
    }
    parts
}

fn unquoted(name: &str) -> String {
    match name.strip_prefix('"').and_then(|it| it.strip_suffix('"')) {
        Some(inner) => inner.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => name.to_owned(),
    }
}

/// Mailboxes as a header's value.
pub(crate) fn mailbox_header(list: &[Mailbox]) -> String {
    let one = |it: &Mailbox| match it.name.as_str() {
        "" => it.address.clone(),
        name if name.is_ascii() => {
            format!("\"{}\" <{}>", name.replace('\\', "\\\\").replace('"', "\\\""), it.address)
        }
        name => format!("{} <{}>", words(name), it.address),
    };
    list.iter().map(one).collect::<Vec<_>>().join(",\r\n ")
}

/// Text as a header's value: as it is, or in encoded words (RFC 2047) where it holds more than ASCII.
pub(crate) fn text_header(text: &str) -> String {
    let text = one_line(text);
    if text.is_ascii() && text.len() <= HEADER_MAX && !text.contains("=?") { text } else { words(&text) }
}

fn words(text: &str) -> String {
    let mut words: Vec<String> = vec![String::new()];
    for c in text.chars() {
        if words.last().is_some_and(|word| word.len() + c.len_utf8() > WORD_MAX) {
            words.push(String::new());
        }
        words.last_mut().expect("there is always one").push(c);
    }
    let words: Vec<String> = words.iter().map(|word| format!("=?utf-8?B?{}?=", STANDARD.encode(word))).collect();
    words.join("\r\n ")
}

/// `Mon, 05 Jan 2026 00:00:00 +0000`
pub(crate) fn date(at: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = at.to_string();
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or("00");
    // 1970-01-01 was a Thursday.
    let day = DAYS[at.as_millis().div_euclid(86_400_000).rem_euclid(7) as usize];
    let month = part(5..7).parse::<usize>().ok().and_then(|month| MONTHS.get(month.wrapping_sub(1)));
    format!("{day}, {} {} {} {} +0000", part(8..10), month.unwrap_or(&"Jan"), part(0..4), part(11..19))
}

/// A body of text, of HTML, or of both for the reader to choose from; with the headers that say so.
pub(crate) fn body(text: Option<&str>, html: Option<&str>, id: &str) -> (Vec<(String, String)>, String) {
    let mut headers = vec![("MIME-Version".to_owned(), "1.0".to_owned())];
    let parts: Vec<(&str, String)> = [("plain", text), ("html", html)]
        .into_iter()
        .filter_map(|(kind, text)| Some((kind, quoted_printable(text?))))
        .collect();
    let kind = |kind: &str| ("Content-Type".to_owned(), format!("text/{kind}; charset=utf-8"));
    let encoding = ("Content-Transfer-Encoding".to_owned(), "quoted-printable".to_owned());
    if let [(only, body)] = parts.as_slice() {
        headers.extend([kind(only), encoding]);
        return (headers, body.clone());
    }
    // Quoted-printable never holds `=_`, so that no text can end a part.
    let boundary = format!("=_watchbell_{id}");
    headers.push(("Content-Type".into(), format!("multipart/alternative;\r\n boundary=\"{boundary}\"")));
    let mut body = String::new();
    for (part, text) in &parts {
        let lines: String = [kind(part), encoding.clone()].map(|(name, value)| format!("{name}: {value}\r\n")).concat();
        body.push_str(&format!("--{boundary}\r\n{lines}\r\n{text}\r\n"));
    }
    body.push_str(&format!("--{boundary}--\r\n"));
    (headers, body)
}

/// Where a picture stands in our own HTML, as it is written above; else it stands at the end.
const BEFORE: [&str; 2] = ["\r\n<p style=3D\"margin:0 0 12px\"><a href=3D\"", "\r\n</body>"];

/// The mail with a picture in it (RFC 2387): its headers and its body become the first part of a whole that has the
/// picture as its second, which the HTML shows. Readers of text see it as an attachment.
pub(crate) fn with_picture(
    headers: &[(String, String)],
    body: &str,
    id: &str,
    picture: &[u8],
) -> (Vec<(String, String)>, String) {
    let (part, mut whole): (Vec<_>, Vec<_>) =
        headers.iter().cloned().partition(|(name, _)| name.to_ascii_lowercase().starts_with("content-"));
    let kind = part.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let kind = kind.and_then(|(_, value)| value.split(';').next()).unwrap_or("text/plain").to_owned();
    let boundary = format!("=_picture_{id}");
    whole.push(("Content-Type".into(), format!("multipart/related;\r\n boundary=\"{boundary}\";\r\n type=\"{kind}\"")));
    let image = format!(
        "\r\n<p style=3D\"margin:0 0 16px\"><img src=3D\"cid:{FILE}\" alt=3D\"Graph\" width=3D\"1=\r\n00%\" style=3D\"max-width:800px\"></p>"
    );
    let mut body = body.to_owned();
    if let Some(place) = BEFORE.iter().find_map(|before| body.rfind(before)) {
        body.insert_str(place, &image);
    }
    let mut out = format!("--{boundary}\r\n");
    for (name, value) in &part {
        out.push_str(&format!("{name}: {value}\r\n"));
    }
    out.push_str(&format!(
        "\r\n{body}\r\n--{boundary}\r\nContent-Type: {PNG}; name=\"{FILE}\"\r\nContent-Transfer-Encoding: base64\r\n\
         Content-ID: <{FILE}>\r\nContent-Disposition: inline; filename=\"{FILE}\"\r\n\r\n"
    ));
    let encoded = STANDARD.encode(picture);
    for line in encoded.as_bytes().chunks(LINE_MAX) {
        out.extend(line.iter().map(|byte| char::from(*byte)));
        out.push_str("\r\n");
    }
    out.push_str(&format!("--{boundary}--\r\n"));
    (whole, out)
}

fn quoted_printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    for line in text.replace("\r\n", "\n").split('\n') {
        let mut length = 0;
        let mut bytes = line.bytes().peekable();
        while let Some(byte) = bytes.next() {
            let last = bytes.peek().is_none();
            let plain = match byte {
                b' ' | b'\t' => !last,
                b'=' => false,
                _ => byte.is_ascii_graphic(),
            };
            let piece = if plain { char::from(byte).to_string() } else { format!("={byte:02X}") };
            if length + piece.len() >= LINE_MAX {
                out.push_str("=\r\n");
                length = 0;
            }
            length += piece.len();
            out.push_str(&piece);
        }
        out.push_str("\r\n");
    }
    out
}

/// The five characters HTML keeps for itself.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// The page as HTML that reads well on a phone and loads nothing from elsewhere.
pub(crate) fn html(page: &Page, site: &str) -> String {
    let (color, word) = match (page.is_resolved(), page.severity) {
        (true, _) => ("#15803d", "RESOLVED"),
        (_, Severity::Critical) => ("#b91c1c", "CRITICAL"),
        (_, Severity::Warning) => ("#b45309", "WARNING"),
        (_, Severity::Info) => ("#1d4ed8", "INFO"),
    };
    let title = escaped(&page.title);
    let text = escaped(&page.text).replace('\n', "<br>\n");
    let (runbook, alarm) = (escaped(&page.runbook_url), escaped(&page.alarm_url));
    let what = page.alerts.first().map_or(title.clone(), |alert| escaped(&alert.summary));
    let action =
        |(label, url): (&str, &str)| format!(r#" · <a href="{}" style="color:#1d4ed8">{label}</a>"#, escaped(url));
    let actions: String = page.actions().map(action).collect();
    let preview = escaped(&cut(&one_line(&page.text), 120, Unit::Characters));
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
</head>
<body style="margin:0;padding:12px;background:#f4f4f5;color:#18181b;font:16px/1.5 -apple-system,Segoe UI,Roboto,Helvetica,Arial,sans-serif">
<div style="display:none;max-height:0;overflow:hidden">{preview}</div>
<div style="max-width:600px;margin:0 auto;background:#ffffff;border:1px solid #d4d4d8;border-radius:8px;overflow:hidden">
<div style="background:{color};color:#ffffff;padding:10px 16px;font-weight:bold;letter-spacing:1px">{word}</div>
<div style="padding:16px">
<h1 style="margin:0 0 12px;font-size:20px;line-height:1.3;overflow-wrap:anywhere">{what}</h1>
<p style="margin:0 0 16px;overflow-wrap:anywhere">{text}</p>
<p style="margin:0 0 12px"><a href="{runbook}" style="display:inline-block;background:{color};color:#ffffff;padding:12px 20px;border-radius:6px;text-decoration:none;font-weight:bold">Open the run book</a></p>
<p style="margin:0"><a href="{alarm}" style="color:#1d4ed8">Show the alarm</a>{actions}</p>
</div>
</div>
<p style="max-width:600px;margin:12px auto;color:#71717a;font-size:13px">Sent by watchbell, {site}</p>
</body>
</html>
"#,
        site = escaped(site),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailboxes_are_read_and_written() {
        let list = mailboxes(r#"a@x.org, "Ops, \"night\"" <b@x.org>,Jürg <c@x.org>, "#).unwrap();
        let names: Vec<(&str, &str)> = list.iter().map(|it| (it.name.as_str(), it.address.as_str())).collect();
        assert_eq!(names, [("", "a@x.org"), ("Ops, \"night\"", "b@x.org"), ("Jürg", "c@x.org")]);
        let written = mailbox_header(&list);
        assert_eq!(written, "a@x.org,\r\n \"Ops, \\\"night\\\"\" <b@x.org>,\r\n =?utf-8?B?SsO8cmc=?= <c@x.org>");
        for wrong in ["nobody", "@x", "a@", "a b@x", "a@x> RCPT TO:<b@x"] {
            assert!(mailboxes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_body_stays_within_short_lines_of_ascii() {
        let text = format!("grün = {} \n.\nend", "👩‍🚒 x".repeat(50));
        let encoded = quoted_printable(&text);
        assert!(encoded.is_ascii() && encoded.lines().all(|line| line.len() <= LINE_MAX), "{encoded}");
        assert!(encoded.starts_with("gr=C3=BCn =3D =F0=9F"), "{encoded}");
        let header = text_header(&text);
        assert!(header.lines().all(|line| line.len() <= 76), "{header}");
        assert_eq!(text_header("a\r\nBcc: b"), "a Bcc: b");
    }

    #[test]
    fn a_date_has_its_weekday() {
        let at = |text| date(Timestamp::parse_rfc3339(text).unwrap());
        assert_eq!(at("2026-01-05T01:02:03Z"), "Mon, 05 Jan 2026 01:02:03 +0000");
        assert_eq!(at("1969-12-31T23:59:59Z"), "Wed, 31 Dec 1969 23:59:59 +0000");
        assert_eq!(at("2024-02-29T12:00:00Z"), "Thu, 29 Feb 2024 12:00:00 +0000");
    }
}
