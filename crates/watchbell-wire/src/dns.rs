//! Questions to name servers and their answers (RFC 1035, 2782, 3596, 6891): the record types that lead to a host.

mod message;

use std::net::{Ipv4Addr, Ipv6Addr};

pub use message::{Message, Query, Record, class_of, code_name, code_of, kind_name, kind_of, query};

/// How many records of an answer are read.
const RECORDS_MAX: usize = 10_000;
/// How many pointers a name may follow; also stops circles.
const POINTERS_MAX: usize = 64;
/// How large an answer over UDP may be, as told to the server.
const UDP_BYTES_MAX: u16 = 4096;
/// The longest name, as it is sent.
const NAME_BYTES_MAX: usize = 255;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordType {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Name servers.
    Ns,
    /// Mail servers.
    Mx,
    /// Hosts and ports of a service.
    Srv,
}

impl RecordType {
    fn code(self) -> u16 {
        match self {
            RecordType::A => 1,
            RecordType::Ns => 2,
            RecordType::Mx => 15,
            RecordType::Aaaa => 28,
            RecordType::Srv => 33,
        }
    }
}

/// What a record says. Names end in a dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordData {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// A name server.
    Ns(String),
    /// A mail server.
    Mx {
        /// The lowest is tried first.
        preference: u16,
        /// Its name.
        exchange: String,
    },
    /// A host of a service.
    Srv {
        /// The lowest is tried first.
        priority: u16,
        /// Its share among those of one priority.
        weight: u16,
        /// Its port.
        port: u16,
        /// Its name.
        target: String,
    },
    /// Something else, by its number.
    Other(u16),
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// That of the question.
    pub id: u16,
    /// Whether it did not fit, so that it is to be asked for over TCP.
    pub truncated: bool,
    /// 0 for success, 3 where the name does not exist.
    pub code: u8,
    /// The records of the answer's own section, in the server's order.
    pub records: Vec<RecordData>,
}

/// A question. `edns` says that a long answer may come over UDP.
pub fn question(id: u16, name: &str, kind: RecordType, edns: bool) -> Result<Vec<u8>, String> {
    query(&Query { validate: false, edns, ..Query::new(id, name, kind.code()) })
}

fn write_name(name: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let refuse = |what: &str| format!("`{name}` is not a name: {what}");
    let begin = out.len();
    for part in name.trim_end_matches('.').split('.').filter(|_| !name.trim_end_matches('.').is_empty()) {
        match u8::try_from(part.len()) {
            Ok(length @ 1..=63) => out.push(length),
            Ok(0) => return Err(refuse("there are two dots beside each other")),
            _ => return Err(refuse("one of its parts is longer than 63 bytes")),
        }
        out.extend(part.as_bytes());
    }
    out.push(0);
    if out.len() - begin > NAME_BYTES_MAX {
        return Err(refuse("it is longer than 255 bytes"));
    }
    Ok(())
}

/// An answer. The error says what is wrong with it.
pub fn answer(bytes: &[u8]) -> Result<Answer, String> {
    let mut reader = Reader { bytes, at: 0 };
    let id = reader.u16()?;
    let flags = reader.u16()?;
    if flags & 0x8000 == 0 {
        return Err("it is a question, not an answer".into());
    }
    let (questions, answers) = (reader.u16()?, reader.u16()?);
    reader.at = 12;
    for _ in 0..questions {
        reader.name()?;
        reader.skip(4)?;
    }
    let truncated = flags & 0x0200 != 0;
    let mut records = Vec::new();
    for _ in 0..usize::from(answers).min(RECORDS_MAX) {
        match reader.record() {
            Ok(record) => records.push(record),
            // Whoever cuts an answer short may cut it anywhere.
            Err(_) if truncated => break,
            Err(error) => return Err(error),
        }
    }
    Ok(Answer { id, truncated, code: (flags & 0xf) as u8, records })
}

/// A record before its data are read.
struct Head<'a> {
    name: String,
    kind: u16,
    class: u16,
    ttl: u32,
    data: &'a [u8],
    /// Where the next record begins.
    end: usize,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let taken = self.at.checked_add(count).and_then(|end| self.bytes.get(self.at..end));
        self.at = self.at.saturating_add(count);
        taken.ok_or_else(|| "it breaks off".into())
    }

    fn skip(&mut self, count: usize) -> Result<(), String> {
        self.take(count).map(|_| ())
    }

    fn u16(&mut self) -> Result<u16, String> {
        self.take(2).map(|it| u16::from_be_bytes([it[0], it[1]]))
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.take(4).map(|it| u32::from_be_bytes([it[0], it[1], it[2], it[3]]))
    }

    /// All of a record but what its data mean; reads on at their beginning.
    fn head(&mut self) -> Result<Head<'a>, String> {
        let (name, kind, class, ttl) = (self.name()?, self.u16()?, self.u16()?, self.u32()?);
        let length = usize::from(self.u16()?);
        let begin = self.at;
        let data = self.take(length)?;
        let end = self.at;
        self.at = begin;
        Ok(Head { name, kind, class, ttl, data, end })
    }

    fn record(&mut self) -> Result<RecordData, String> {
        let Head { kind, data, end, .. } = self.head()?;
        let record = match kind {
            1 => RecordData::A(<[u8; 4]>::try_from(data).map_err(|_| "an A record has no address")?.into()),
            28 => RecordData::Aaaa(<[u8; 16]>::try_from(data).map_err(|_| "an AAAA record has no address")?.into()),
            2 => RecordData::Ns(self.name()?),
            15 => RecordData::Mx { preference: self.u16()?, exchange: self.name()? },
            33 => {
                RecordData::Srv { priority: self.u16()?, weight: self.u16()?, port: self.u16()?, target: self.name()? }
            }
            other => RecordData::Other(other),
        };
        self.at = end;
        Ok(record)
    }

    /// A name, which may go on elsewhere in the answer.
    fn name(&mut self) -> Result<String, String> {
        let mut name = String::new();
        let mut pointers = 0;
        let mut after = None;
        loop {
            let length = self.take(1)?[0];
            match length {
                0 => break,
                1..=63 => {
                    for byte in self.take(usize::from(length))? {
                        match byte {
                            b'.' | b'\\' => name.extend(['\\', char::from(*byte)]),
                            b'!'..=b'~' => name.push(char::from(*byte)),
                            odd => name.push_str(&format!("\\{odd:03}")),
                        }
                    }
                    name.push('.');
                }
                192..=255 => {
                    pointers += 1;
                    if pointers > POINTERS_MAX || name.len() > 4 * NAME_BYTES_MAX {
                        return Err("a name in it never ends".into());
                    }
                    let low = self.take(1)?[0];
                    after.get_or_insert(self.at);
                    self.at = usize::from(length & 63) << 8 | usize::from(low);
                }
                _ => return Err("a name in it is of a kind that is not known".into()),
            }
        }
        if let Some(after) = after {
            self.at = after;
        }
        Ok(if name.is_empty() { ".".into() } else { name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer to `_web._tcp.example.org SRV`, with names that point at the question, as servers write them.
    const ANSWER: &[u8] = b"\x12\x34\x81\x80\x00\x01\x00\x04\x00\x00\x00\x00\
        \x04_web\x04_tcp\x07example\x03org\x00\x00\x21\x00\x01\
        \xc0\x0c\x00\x21\x00\x01\x00\x00\x00\x3c\x00\x0a\x00\x01\x00\x02\x1f\x90\x01a\xc0\x16\
        \xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x02\xc0\x16\
        \xc0\x16\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x00\x00\x01\
        \xc0\x16\x00\x0f\x00\x01\x00\x00\x00\x3c\x00\x07\x00\x0a\x02mx\xc0\x16";

    #[test]
    fn an_answer_is_read() {
        let got = answer(ANSWER).expect("it is an answer");
        let records = vec![
            RecordData::Srv { priority: 1, weight: 2, port: 8080, target: "a.example.org.".into() },
            RecordData::Other(5),
            RecordData::A([10, 0, 0, 1].into()),
            RecordData::Mx { preference: 10, exchange: "mx.example.org.".into() },
        ];
        assert_eq!(got, Answer { id: 0x1234, truncated: false, code: 0, records });
    }

    #[test]
    fn a_question_is_written() {
        let bytes = question(7, "example.org.", RecordType::A, true).expect("it is a name");
        assert_eq!(
            bytes,
            b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x07example\x03org\x00\x00\x01\x00\x01\
              \x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00"
        );
        assert_eq!(question(7, ".", RecordType::Ns, false).expect("the root").len(), 12 + 1 + 4);
        for bad in ["a..b", &"x".repeat(64), &vec!["x".repeat(60); 5].join(".")] {
            assert!(question(7, bad, RecordType::A, true).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_broken_is_refused() {
        for length in 0..ANSWER.len() {
            assert!(answer(&ANSWER[..length]).is_err(), "{length}");
        }
        let circle = b"\x00\x01\x81\x80\x00\x00\x00\x01\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01";
        assert_eq!(answer(circle), Err("a name in it never ends".into()));
        assert!(answer(&question(1, "a.b", RecordType::A, false).expect("a name")).is_err());
    }
}
