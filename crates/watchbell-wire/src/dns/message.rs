//! Questions of any type, and whole answers as a person writes records (RFC 1035 §5, 3597).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Head, RECORDS_MAX, Reader, UDP_BYTES_MAX, write_name};

/// Types of records that have a name here.
const KINDS: [(&str, u16); 83] = [
    ("A", 1),
    ("NS", 2),
    ("MD", 3),
    ("MF", 4),
    ("CNAME", 5),
    ("SOA", 6),
    ("MB", 7),
    ("MG", 8),
    ("MR", 9),
    ("NULL", 10),
    ("PTR", 12),
    ("HINFO", 13),
    ("MINFO", 14),
    ("MX", 15),
    ("TXT", 16),
    ("RP", 17),
    ("AFSDB", 18),
    ("X25", 19),
    ("ISDN", 20),
    ("RT", 21),
    ("NSAP-PTR", 23),
    ("SIG", 24),
    ("KEY", 25),
    ("PX", 26),
    ("GPOS", 27),
    ("AAAA", 28),
    ("LOC", 29),
    ("NXT", 30),
    ("EID", 31),
    ("NIMLOC", 32),
    ("SRV", 33),
    ("ATMA", 34),
    ("NAPTR", 35),
    ("KX", 36),
    ("CERT", 37),
    ("DNAME", 39),
    ("OPT", 41),
    ("APL", 42),
    ("DS", 43),
    ("SSHFP", 44),
    ("IPSECKEY", 45),
    ("RRSIG", 46),
    ("NSEC", 47),
    ("DNSKEY", 48),
    ("DHCID", 49),
    ("NSEC3", 50),
    ("NSEC3PARAM", 51),
    ("TLSA", 52),
    ("SMIMEA", 53),
    ("HIP", 55),
    ("NINFO", 56),
    ("RKEY", 57),
    ("TALINK", 58),
    ("CDS", 59),
    ("CDNSKEY", 60),
    ("OPENPGPKEY", 61),
    ("CSYNC", 62),
    ("ZONEMD", 63),
    ("SVCB", 64),
    ("HTTPS", 65),
    ("SPF", 99),
    ("UINFO", 100),
    ("UID", 101),
    ("GID", 102),
    ("UNSPEC", 103),
    ("NID", 104),
    ("L32", 105),
    ("L64", 106),
    ("LP", 107),
    ("EUI48", 108),
    ("EUI64", 109),
    ("TKEY", 249),
    ("TSIG", 250),
    ("IXFR", 251),
    ("AXFR", 252),
    ("MAILB", 253),
    ("MAILA", 254),
    ("ANY", 255),
    ("URI", 256),
    ("CAA", 257),
    ("AVC", 258),
    ("TA", 32_768),
    ("DLV", 32_769),
];

/// Classes of records.
const CLASSES: [(&str, u16); 6] = [("IN", 1), ("CS", 2), ("CH", 3), ("HS", 4), ("NONE", 254), ("ANY", 255)];

/// Codes of answers.
const CODES: [(&str, u8); 11] = [
    ("NOERROR", 0),
    ("FORMERR", 1),
    ("SERVFAIL", 2),
    ("NXDOMAIN", 3),
    ("NOTIMP", 4),
    ("REFUSED", 5),
    ("YXDOMAIN", 6),
    ("YXRRSET", 7),
    ("NXRRSET", 8),
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
    /// The class, by its number: 1 for all but the odd question.
    pub class: u16,
    /// Whether a long answer may come over UDP (EDNS).
    pub edns: bool,
}

impl<'a> Query<'a> {
    /// A question as most are: of the internet, to a server that asks others and says if it has validated the answer.
    pub fn new(id: u16, name: &'a str, kind: u16) -> Query<'a> {
        Query { id, name, kind, recursion: true, validate: true, class: 1, edns: true }
    }
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
    /// Its class, by its number.
    pub class: u16,
    /// For how many seconds it may be kept.
    pub ttl: u32,
    /// What it says: `10 mx.example.org.`; the texts of a TXT record joined, without quotes.
    pub data: String,
    /// As a zone file has it, where that differs.
    quoted: Option<String>,
}

impl Record {
    /// The record on a line, with tabs between its parts, as zone files have it.
    pub fn line(&self) -> String {
        let class = CLASSES.iter().find(|(_, number)| *number == self.class);
        let class = class.map_or_else(|| format!("CLASS{}", self.class), |(name, _)| (*name).to_owned());
        let data = self.quoted.as_ref().unwrap_or(&self.data);
        format!("{}\t{}\t{class}\t{}\t{data}", self.name, self.ttl, kind_name(self.kind))
    }
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

/// The number of a class: `IN`.
pub fn class_of(name: &str) -> Option<u16> {
    CLASSES.iter().find(|(have, _)| *have == name).map(|(_, number)| *number)
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
    let flags = [u8::from(query.recursion), if query.validate { 0x20 } else { 0 }];
    out.extend(flags);
    out.extend([0, 1, 0, 0, 0, 0, 0, u8::from(query.edns)]);
    write_name(query.name, &mut out)?;
    out.extend(query.kind.to_be_bytes());
    out.extend(query.class.to_be_bytes());
    if query.edns {
        out.extend([0, 0, 41]);
        out.extend(UDP_BYTES_MAX.to_be_bytes());
        out.extend([0; 6]);
    }
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
    fn text_record(&mut self) -> Result<Record, String> {
        let Head { name, kind, class, ttl, data, end } = self.head()?;
        let mut quoted = None;
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
            16 => {
                let texts = self.texts(end)?;
                quoted = Some(texts.iter().map(|it| format!("{it:?}")).collect::<Vec<_>>().join(" "));
                texts.concat()
            }
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
            _ => format!("\\# {} {}", data.len(), hex(data)),
        };
        self.at = end;
        Ok(Record { name, kind, class, ttl, data, quoted })
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
        assert_eq!(got.answers[1].line(), "example.org.\t60\tIN\tMX\t10 mx.example.org.");
        assert_eq!(got.answers[2].line(), "example.org.\t60\tIN\tTXT\t\"v=spf1\" \" -all\"");
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
        let bytes = query(&Query::new(7, "a.b", 15)).unwrap();
        assert_eq!(bytes[..12], *b"\x00\x07\x01\x20\x00\x01\x00\x00\x00\x00\x00\x01");
        assert_eq!(bytes[12..21], *b"\x01a\x01b\x00\x00\x0f\x00\x01");
        let plain = Query { class: 3, edns: false, validate: false, ..Query::new(7, "a.b", 15) };
        assert_eq!(
            query(&plain).unwrap(),
            b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x01b\x00\x00\x0f\x00\x03"
        );
        assert!(query(&Query::new(7, "a..b", 1)).is_err());
    }

    #[test]
    fn names_of_types_and_codes() {
        assert_eq!((kind_of("mx"), kind_of("TYPE99"), kind_of("NONE")), (Some(15), Some(99), None));
        assert_eq!((code_of("nxdomain"), code_name(2), code_name(14)), (Some(3), "SERVFAIL".into(), "code 14".into()));
    }
}
