//! Questions of any type, and whole answers as a person writes records (RFC 1035 §5, 3597).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{RECORDS_MAX, Reader, UDP_BYTES_MAX, write_name};

/// Types of records that have a name here.
const KINDS: [(&str, u16); 19] = [
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("MX", 15),
    ("TXT", 16),
    ("AAAA", 28),
    ("SRV", 33),
    ("NAPTR", 35),
    ("DNAME", 39),
    ("DS", 43),
    ("SSHFP", 44),
    ("DNSKEY", 48),
    ("TLSA", 52),
    ("SVCB", 64),
    ("HTTPS", 65),
    ("ANY", 255),
    ("CAA", 257),
];

/// Codes of answers.
const CODES: [(&str, u8); 9] = [
    ("NOERROR", 0),
    ("FORMERR", 1),
    ("SERVFAIL", 2),
    ("NXDOMAIN", 3),
    ("NOTIMP", 4),
    ("REFUSED", 5),
    ("YXDOMAIN", 6),
    ("NOTAUTH", 9),
    ("NOTZONE", 10),
];

/// What is asked, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// Comes back with the answer.
    pub id: u16,
    /// The name; a dot at its end is optional.
    pub name: &'a str,
    /// The record type, by its number.
    pub kind: u16,
    /// Whether the server is to ask others.
    pub recursion: bool,
    /// Whether the server is to say if it has validated the answer (the flag AD).
    pub validate: bool,
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// That of the question.
    pub id: u16,
    /// Whether it did not fit, so that it is to be asked for over TCP.
    pub truncated: bool,
    /// Whether the server is responsible for the name itself.
    pub authoritative: bool,
    /// Whether the server says that it has validated the signatures (DNSSEC).
    pub authenticated: bool,
    /// 0 for success, 3 where the name does not exist; see [`code_name`].
    pub code: u8,
    /// The answer's own section.
    pub answers: Vec<Record>,
    /// Who is responsible.
    pub authority: Vec<Record>,
    /// What else is useful.
    pub additional: Vec<Record>,
}

/// A record. Names end in a dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose it is.
    pub name: String,
    /// Its type, by its number.
    pub kind: u16,
    /// What it says: `10 mx.example.org.`; the texts of a TXT record joined, without quotes.
    pub data: String,
}

/// The number of a type: `MX`, or `TYPE15`.
pub fn kind_of(name: &str) -> Option<u16> {
    let known = KINDS.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, number)| *number);
    known.or_else(|| name.strip_prefix("TYPE")?.parse().ok())
}

/// The name of a type.
pub fn kind_name(kind: u16) -> String {
    let known = KINDS.iter().find(|(_, number)| *number == kind);
    known.map_or_else(|| format!("TYPE{kind}"), |(name, _)| (*name).to_owned())
}

/// The number of a code: `NXDOMAIN`.
pub fn code_of(name: &str) -> Option<u8> {
    CODES.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, number)| *number)
}

/// The name of a code.
pub fn code_name(code: u8) -> String {
    CODES
        .iter()
        .find(|(_, number)| *number == code)
        .map_or_else(|| format!("code {code}"), |(name, _)| (*name).to_owned())
}

/// Writes a question.
pub fn query(query: &Query<'_>) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(64);
    out.extend(query.id.to_be_bytes());
    // One question, and one additional record for EDNS. AD in a question asks for AD in the answer (RFC 6840 §5.7).
    out.extend([u8::from(query.recursion), if query.validate { 0x20 } else { 0 }, 0, 1, 0, 0, 0, 0, 0, 1]);
    write_name(query.name, &mut out)?;
    out.extend(query.kind.to_be_bytes());
    out.extend([0, 1]);
    out.extend([0, 0, 41]);
    out.extend(UDP_BYTES_MAX.to_be_bytes());
    out.extend([0; 6]);
    Ok(out)
}

impl Message {
    /// Reads an answer. The error says what is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Message, String> {
        let mut reader = Reader { bytes, at: 0 };
        let id = reader.u16()?;
        let flags = reader.u16()?;
        if flags & 0x8000 == 0 {
            return Err("it is a question, not an answer".into());
        }
        let counts = [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?];
        for _ in 0..counts[0] {
            reader.name()?;
            reader.skip(4)?;
        }
        let truncated = flags & 0x0200 != 0;
        let mut sections = [Vec::new(), Vec::new(), Vec::new()];
        'sections: for (section, count) in sections.iter_mut().zip(&counts[1..]) {
            for _ in 0..usize::from(*count).min(RECORDS_MAX) {
                match reader.text_record() {
                    Ok(record) => section.push(record),
                    // Whoever cuts an answer short may cut it anywhere.
                    Err(_) if truncated => break 'sections,
                    Err(error) => return Err(error),
                }
            }
        }
        let [answers, authority, additional] = sections;
        Ok(Message {
            id,
            truncated,
            authoritative: flags & 0x0400 != 0,
            authenticated: flags & 0x0020 != 0,
            code: (flags & 0xf) as u8,
            answers,
            authority,
            additional,
        })
    }
}

impl Reader<'_> {
    fn u32(&mut self) -> Result<u32, String> {
        self.take(4).map(|it| u32::from_be_bytes([it[0], it[1], it[2], it[3]]))
    }

    fn text_record(&mut self) -> Result<Record, String> {
        let name = self.name()?;
        let kind = self.u16()?;
        self.skip(6)?;
        let length = usize::from(self.u16()?);
        let begin = self.at;
        let data = self.take(length)?;
        let end = self.at;
        self.at = begin;
        let data = match kind {
            1 => Ipv4Addr::from(<[u8; 4]>::try_from(data).map_err(|_| "an A record has no address")?).to_string(),
            28 => Ipv6Addr::from(<[u8; 16]>::try_from(data).map_err(|_| "an AAAA record has no address")?).to_string(),
            2 | 5 | 12 | 39 => self.name()?,
            6 => {
                let (primary, person) = (self.name()?, self.name()?);
                let numbers = [self.u32()?, self.u32()?, self.u32()?, self.u32()?, self.u32()?];
                format!("{primary} {person} {}", numbers.map(|it| it.to_string()).join(" "))
            }
            15 => format!("{} {}", self.u16()?, self.name()?),
            16 => self.texts(end)?.concat(),
            33 => format!("{} {} {} {}", self.u16()?, self.u16()?, self.u16()?, self.name()?),
            43 => format!("{} {} {} {}", self.u16()?, self.byte()?, self.byte()?, self.hex(end)?),
            44 => format!("{} {} {}", self.byte()?, self.byte()?, self.hex(end)?),
            52 => format!("{} {} {} {}", self.byte()?, self.byte()?, self.byte()?, self.hex(end)?),
            257 => {
                let flags = self.byte()?;
                let length = usize::from(self.byte()?);
                let tag = String::from_utf8_lossy(self.take(length)?).into_owned();
                let value = end.checked_sub(self.at).ok_or("a CAA record breaks off")?;
                format!("{flags} {tag} \"{}\"", String::from_utf8_lossy(self.take(value)?))
            }
            _ => format!("\\# {length} {}", hex(data)),
        };
        self.at = end;
        Ok(Record { name, kind, data })
    }

    fn byte(&mut self) -> Result<u8, String> {
        self.take(1).map(|it| it[0])
    }

    fn hex(&mut self, end: usize) -> Result<String, String> {
        self.take(end.checked_sub(self.at).ok_or("a record breaks off")?).map(hex)
    }

    fn texts(&mut self, end: usize) -> Result<Vec<String>, String> {
        let mut texts = Vec::new();
        while self.at < end {
            let length = usize::from(self.byte()?);
            texts.push(String::from_utf8_lossy(self.take(length)?).into_owned());
        }
        Ok(texts)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer to `example.org ANY` with one record of many types; names point at the question.
    fn answer() -> Vec<u8> {
        let mut out =
            b"\x00\x07\x85\xa3\x00\x01\x00\x06\x00\x01\x00\x00\x07example\x03org\x00\x00\xff\x00\x01".to_vec();
        let mut record = |kind: u16, data: &[u8]| {
            out.extend(b"\xc0\x0c");
            out.extend(kind.to_be_bytes());
            out.extend(b"\x00\x01\x00\x00\x00\x3c");
            out.extend((data.len() as u16).to_be_bytes());
            out.extend(data);
        };
        record(1, &[192, 0, 2, 1]);
        record(15, b"\x00\x0a\x02mx\xc0\x0c");
        record(16, b"\x06v=spf1\x05 -all");
        record(257, b"\x00\x05issueca.example");
        record(52, b"\x03\x01\x01\xab\xcd");
        record(999, b"\x01\x02");
        record(6, b"\x02ns\xc0\x0c\x01h\xc0\x0c\x00\x00\x00\x05\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x04");
        out
    }

    #[test]
    fn a_whole_answer_is_read() {
        let got = Message::read(&answer()).unwrap();
        let flags = (got.id, got.truncated, got.authoritative, got.authenticated, got.code);
        assert_eq!(flags, (7, false, true, true, 3));
        let lines: Vec<String> =
            got.answers.iter().map(|it| format!("{} {} {}", it.name, kind_name(it.kind), it.data)).collect();
        assert_eq!(
            lines,
            [
                "example.org. A 192.0.2.1",
                "example.org. MX 10 mx.example.org.",
                "example.org. TXT v=spf1 -all",
                "example.org. CAA 0 issue \"ca.example\"",
                "example.org. TLSA 3 1 1 abcd",
                "example.org. TYPE999 \\# 2 0102",
            ]
        );
        assert_eq!(got.authority[0].data, "ns.example.org. h.example.org. 5 1 2 3 4");
    }

    #[test]
    fn what_is_cut_short_is_refused_unless_it_says_so() {
        let whole = answer();
        for length in 0..whole.len() {
            assert!(Message::read(&whole[..length]).is_err(), "{length}");
        }
        let mut cut = whole[..60].to_vec();
        cut[2] |= 2;
        assert!(Message::read(&cut).unwrap().truncated);
    }

    #[test]
    fn a_question_asks_for_validation() {
        let bytes = query(&Query { id: 7, name: "a.b", kind: 15, recursion: true, validate: true }).unwrap();
        assert_eq!(bytes[..12], *b"\x00\x07\x01\x20\x00\x01\x00\x00\x00\x00\x00\x01");
        assert_eq!(bytes[12..21], *b"\x01a\x01b\x00\x00\x0f\x00\x01");
        assert!(query(&Query { id: 7, name: "a..b", kind: 1, recursion: true, validate: false }).is_err());
    }

    #[test]
    fn names_of_types_and_codes() {
        assert_eq!((kind_of("mx"), kind_of("TYPE99"), kind_of("NONE")), (Some(15), Some(99), None));
        assert_eq!((code_of("nxdomain"), code_name(2), code_name(14)), (Some(3), "SERVFAIL".into(), "code 14".into()));
    }
}
