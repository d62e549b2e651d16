//! Asks a name server, and judges what it answers.

use std::sync::Mutex;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems, Url};
use watchbell_runtime::http::{self, Progress, Request, Versions};
use watchbell_wire::dns::{self, Message, Query};

use super::attempt::{Attempt, Failure, Trust};
use super::config::{check_host, check_port, host_and_port};
use super::dialogue::shown;
use super::kinds::{Kind, Probing};
use super::tls::with_trust;
use super::wire::Wire;

const SUCCESS: u8 = 0;
const SOA: u16 = 6;
const TXT: u16 = 16;
const ANY: u16 = 255;
/// How much of an answer over HTTPS is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

with_trust! {
    /// A name server: it answers, and what it answers is what should be there.
    #[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct DnsConfig {
        /// The name to ask for. For a `PTR` record an address may stand here.
        pub name: String,
        /// The type of record: `A`, `AAAA`, `MX`, `TXT`, `NS`, `SOA`, `CAA`, `TLSA` and so on, or `TYPE` with a number.
        #[serde(default = "DnsConfig::default_kind", rename = "type")]
        pub kind: String,
        /// The name server; by default the first one that this machine uses.
        #[serde(default)]
        pub server: Option<String>,
        /// Its port: by default 53, with `transport: tls` 853, with `https` 443.
        #[serde(default)]
        pub port: Option<u16>,
        /// How it is asked.
        #[serde(default)]
        pub transport: DnsTransport,
        /// Where it is asked with `transport: https`.
        #[serde(default = "DnsConfig::default_path")]
        pub path: String,
        /// Whether it is to ask others for what it does not know. `false` proves that it is responsible itself.
        #[serde(default = "watchbell_model::yes")]
        pub recursion: bool,
        /// What its answer must be called: `NOERROR`, `NXDOMAIN`, `REFUSED` and so on.
        #[serde(default = "DnsConfig::default_rcode")]
        pub rcode: String,
        /// All the records there may be, in any order.
        #[serde(default)]
        pub equals: Option<Vec<String>>,
        /// Records that must be there; others may be.
        #[serde(default)]
        pub contains: Vec<String>,
        /// Whether there must be no record at all.
        #[serde(default)]
        pub none: bool,
        /// Whether the server must say that it has validated the answer (DNSSEC).
        #[serde(default)]
        pub authenticated: bool,
    }
}

/// How a name server is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DnsTransport {
    /// UDP, and TCP where the answer does not fit.
    #[default]
    Udp,
    /// TCP.
    Tcp,
    /// TLS (RFC 7858).
    Tls,
    /// HTTPS (RFC 8484).
    Https,
}

/// Whom to ask, and how.
pub(crate) struct Resolver<'a> {
    /// A name or an address; the machine's first server where there is none.
    pub(crate) server: Option<&'a str>,
    pub(crate) port: u16,
    pub(crate) transport: DnsTransport,
    pub(crate) path: &'a str,
    pub(crate) trust: Trust<'a>,
}

impl DnsConfig {
    fn default_kind() -> String {
        "A".into()
    }

    fn default_path() -> String {
        "/dns-query".into()
    }

    fn default_rcode() -> String {
        "NOERROR".into()
    }

    fn port(&self) -> u16 {
        self.port.unwrap_or(match self.transport {
            DnsTransport::Udp | DnsTransport::Tcp => 53,
            DnsTransport::Tls => 853,
            DnsTransport::Https => 443,
        })
    }

    fn kind(&self) -> u16 {
        dns::kind_of(&self.kind).unwrap_or(1)
    }

    /// The name as it is asked for: an address as its name in `in-addr.arpa`.
    fn asked(&self) -> String {
        match self.name.parse() {
            Ok(address) if self.kind() == 12 => reversed(address),
            _ => self.name.clone(),
        }
    }

    fn judge(&self, message: &Message) -> Result<String, Failure> {
        let kind = self.kind();
        let what = format!("{} of {}", self.kind.to_ascii_uppercase(), self.name);
        let (code, wanted) = (dns::code_name(message.code), self.rcode.to_ascii_uppercase());
        if code != wanted {
            return Err(Failure(format!(
                "expected {wanted} for {what}, but the server answered {}",
                code_words(message.code)
            )));
        }
        let records: Vec<&str> =
            message.answers.iter().filter(|it| kind == ANY || it.kind == kind).map(|it| it.data.as_str()).collect();
        let list = if records.is_empty() { "nothing".to_owned() } else { shown(&records.join(", ")) };
        let have: Vec<String> = records.iter().map(|it| normal(it, kind)).collect();
        let missing =
            |wanted: &[String]| wanted.iter().find(|it| !have.contains(&normal(it, kind))).map(|it| shown(it));
        if self.none && !records.is_empty() {
            return Err(Failure(format!("expected no {what}, but there is {list}")));
        }
        if let Some(missing) = missing(&self.contains) {
            return Err(Failure(format!("expected `{missing}` among {what}, but there is {list}")));
        }
        if let Some(equals) = &self.equals {
            if let Some(missing) = missing(equals) {
                return Err(Failure(format!("expected `{missing}` among {what}, but there is {list}")));
            }
            let wanted: Vec<String> = equals.iter().map(|it| normal(it, kind)).collect();
            if let Some(at) = have.iter().position(|it| !wanted.contains(it)) {
                return Err(Failure(format!("`{}` is among {what} and should not be", shown(records[at]))));
            }
        }
        let asks = self.none || self.equals.is_some() || !self.contains.is_empty();
        if records.is_empty() && !asks && message.code == SUCCESS {
            return Err(Failure(format!("there is no {what}")));
        }
        if self.authenticated && !message.authenticated {
            return Err(Failure(format!(
                "the server does not say that it has validated {what} (DNSSEC): it is not signed, or the server does not \
                 validate"
            )));
        }
        if !self.recursion && !message.authoritative {
            return Err(Failure(format!("the server is not responsible for {what}: its answer is not authoritative")));
        }
        Ok(if message.code == SUCCESS { list } else { code })
    }
}

impl Kind for DnsConfig {
    fn target(&self) -> String {
        match &self.server {
            Some(server) => {
                format!("{}/{}/{}", host_and_port(server, self.port()), self.name, self.kind.to_ascii_uppercase())
            }
            None => format!("{}/{}", self.name, self.kind.to_ascii_uppercase()),
        }
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        if let Some(server) = &self.server {
            check_host(server, &path.field("server"), problems);
        } else if self.transport != DnsTransport::Udp && self.transport != DnsTransport::Tcp {
            problems
                .error(&path.field("transport"), "this machine's own name server is asked in clear text")
                .hint("name a `server` that speaks TLS");
        }
        check_port(self.port(), &path.field("port"), problems);
        self.check_trust(path, problems);
        if dns::kind_of(&self.kind).is_none() {
            problems
                .error(&path.field("type"), format!("`{}` is not a type of record", self.kind))
                .hint("such as `MX`, or `TYPE` with its number");
        }
        if dns::code_of(&self.rcode).is_none() {
            problems
                .error(&path.field("rcode"), format!("`{}` is not what an answer is called", self.rcode))
                .hint("such as `NOERROR` or `NXDOMAIN`");
        }
        if let Err(reason) = dns::query(&Query::new(0, &self.asked(), 1)) {
            problems.error(&path.field("name"), reason).hint("such as `example.org`");
        }
        if self.none && (self.equals.is_some() || !self.contains.is_empty()) {
            problems.error(path, "there must be none and some").hint("keep `none`, or `equals` and `contains`");
        }
        if !self.path.starts_with('/') {
            problems.error(&path.field("path"), "it does not begin with `/`").hint("usually `/dns-query`");
        }
    }

    fn anchor(&mut self, base: &std::path::Path) {
        self.anchor_trust(base);
    }

    fn described(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("probe_dns_answer_rrs", "How many records the answer has."),
            ("probe_dns_authority_rrs", "How many records say who is responsible."),
            ("probe_dns_additional_rrs", "How many further records came."),
            ("probe_dns_query_succeeded", "Whether the server answered at all."),
            ("probe_dns_serial", "The serial number of the zone (SOA)."),
            ("probe_dns_duration_seconds", "How long each phase took."),
        ]
    }

    fn probe<'a>(&'a self, attempt: &'a mut Attempt<'_>) -> Probing<'a> {
        Box::pin(async move {
            let resolver = Resolver {
                server: self.server.as_deref(),
                port: self.port(),
                transport: self.transport,
                path: &self.path,
                trust: self.trust(self.server.as_deref().unwrap_or_default()),
            };
            let clock = attempt.runtime.clock.clone();
            let begun = clock.monotonic();
            let asked = resolver.ask(attempt, &self.asked(), self.kind(), self.recursion).await;
            let took = clock.monotonic() - begun;
            attempt.stop_the_watch();
            attempt.sample("probe_dns_query_succeeded", &[], if asked.is_ok() { 1.0 } else { 0.0 });
            let others = attempt.seen.phases.iter().map(|(_, time)| *time).sum();
            attempt.spent("request", took.saturating_sub(others));
            for (phase, time) in attempt.seen.phases.clone() {
                attempt.sample("probe_dns_duration_seconds", &[("phase", &phase)], time.as_secs_f64());
            }
            let message = asked?;
            attempt.sample("probe_dns_answer_rrs", &[], message.answers.len() as f64);
            attempt.sample("probe_dns_authority_rrs", &[], message.authority.len() as f64);
            attempt.sample("probe_dns_additional_rrs", &[], message.additional.len() as f64);
            let soa =
                message.answers.iter().find(|it| it.kind == SOA).and_then(|it| it.data.split(' ').nth(2)?.parse().ok());
            if let Some(serial) = soa {
                attempt.sample("probe_dns_serial", &[], serial);
            }
            self.judge(&message)
        })
    }
}

impl Resolver<'_> {
    /// The machine's own.
    pub(crate) fn of_this_machine() -> Resolver<'static> {
        let trust = Trust { server_name: "", verify: true, roots_file: None, client: None };
        Resolver { server: None, port: 53, transport: DnsTransport::Udp, path: "", trust }
    }

    /// Asks for records of a name.
    pub(crate) async fn ask(
        &self,
        attempt: &mut Attempt<'_>,
        name: &str,
        kind: u16,
        recursion: bool,
    ) -> Result<Message, Failure> {
        let server = match self.server {
            Some(server) => server.to_owned(),
            None => crate::dns::first_server(attempt.runtime).map_err(Failure)?.to_string(),
        };
        // Over HTTPS the question is the same each time, so that it can be kept on the way (RFC 8484 §4.1).
        let id = if self.transport == DnsTransport::Https { 0 } else { attempt.runtime.rng.next_u64() as u16 };
        let question = dns::query(&Query { recursion, ..Query::new(id, name, kind) }).map_err(Failure)?;
        let place = host_and_port(&server, self.port);
        if self.transport == DnsTransport::Udp {
            let socket = attempt.datagrams(&server, self.port).await?;
            let waiting_for = format!("an answer of the name server {place}");
            let read = |bytes: &[u8]| Message::read(bytes).ok().filter(|it| it.id == id);
            let message = attempt.ask(&socket, &question, &waiting_for, read).await?;
            if !message.truncated {
                return Ok(message);
            }
        }
        let bytes = match self.transport {
            DnsTransport::Https => self.over_https(attempt, &place, question).await?,
            _ => {
                let stream = attempt.connect(&server, self.port).await?;
                let mut wire = Wire::new(attempt, stream);
                if self.transport == DnsTransport::Tls {
                    wire.secure(self.trust).await?;
                }
                let length = (question.len() as u16).to_be_bytes();
                wire.send(&[&length[..], &question].concat(), "the question").await?;
                let length = wire.take(2, "an answer of the name server").await?;
                wire.take(usize::from(u16::from_be_bytes([length[0], length[1]])), "the answer of the name server")
                    .await?
            }
        };
        let message =
            Message::read(&bytes).map_err(|why| Failure(format!("the answer of {place} is broken: {why}")))?;
        if message.id == id { Ok(message) } else { Err(Failure(format!("{place} answers another question"))) }
    }

    async fn over_https(&self, attempt: &mut Attempt<'_>, place: &str, question: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let url: Url = format!("https://{place}{}", self.path)
            .parse()
            .map_err(|error: watchbell_model::UrlError| Failure(error.to_string()))?;
        let mut request = Request::post(url, question)
            .header("content-type", "application/dns-message")
            .header("accept", "application/dns-message");
        request.timeout = attempt.remaining();
        request.body_max = ANSWER_BYTES_MAX;
        // RFC 8484 recommends HTTP/2; some servers, such as unbound, speak nothing else.
        request.versions = Versions::Both;
        request.tls = attempt.tls_options(self.trust)?;
        request.tls.server_name = Some(self.trust.server_name.to_owned()).filter(|name| !name.is_empty());
        request.verify = self.trust.verify;
        let progress = Mutex::new(Progress::default());
        let answer = http::send_watched(attempt.runtime, request, &progress).await;
        attempt.saw_answer(&answer, progress);
        let response = answer.map_err(|error| Failure(error.to_string()))?;
        match response.status {
            200 => Ok(response.body),
            status => Err(Failure(format!("expected an answer, but the server answered status {status}"))),
        }
    }
}

/// The name under which an address' records stand.
pub(crate) fn reversed(address: std::net::IpAddr) -> String {
    match address {
        std::net::IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        std::net::IpAddr::V6(address) => {
            let digits: Vec<String> = address
                .octets()
                .iter()
                .rev()
                .flat_map(|byte| [byte & 0xf, byte >> 4])
                .map(|it| format!("{it:x}"))
                .collect();
            format!("{}.ip6.arpa", digits.join("."))
        }
    }
}

/// What a code means to a person.
pub(crate) fn code_words(code: u8) -> String {
    let name = dns::code_name(code);
    match code {
        0 => format!("{name} (the name exists)"),
        2 => format!("{name} (the server cannot find out, or signatures are wrong)"),
        3 => format!("{name} (there is no such name)"),
        5 => format!("{name} (it does not answer that, or not us)"),
        _ => name,
    }
}

/// A record as it is compared: names in small letters without their last dot, addresses in their shortest form; texts
/// as they are, without quotes around them.
fn normal(data: &str, kind: u16) -> String {
    if kind == TXT {
        return data.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(data).to_owned();
    }
    let words = data.split_whitespace().map(|word| match word.parse::<std::net::IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) if word.len() > 1 => word.trim_end_matches('.').to_lowercase(),
        Err(_) => word.to_lowercase(),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_compared_by_what_they_mean() {
        assert_eq!(normal("10 MX.Example.org.", 15), normal("10  mx.example.org", 15));
        assert_eq!(normal("2001:DB8:0::1", 28), normal("2001:db8::1", 28));
        assert_eq!(normal("\"v=spf1 -ALL\"", TXT), "v=spf1 -ALL");
        assert_ne!(normal("A", TXT), normal("a", TXT));
    }

    #[test]
    fn addresses_as_names() {
        assert_eq!(reversed("192.0.2.1".parse().unwrap()), "1.2.0.192.in-addr.arpa");
        let name = reversed("2001:db8::1".parse().unwrap());
        assert!(name.starts_with("1.0.0.0.") && name.ends_with("8.b.d.0.1.0.0.2.ip6.arpa"), "{name}");
    }
}
