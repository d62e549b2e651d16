//! What the world reads in DNS about a domain's mail: MX, SPF, DKIM, DMARC, MTA-STS, TLS-RPT, PTR and block lists.

use std::collections::BTreeSet;
use std::net::IpAddr;

use base64::Engine as _;
use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems};
use watchbell_runtime::http::{self, Request};
use watchbell_wire::dns::{Message, kind_of};

use super::attempt::{Attempt, Failure};
use super::config::{check_host, check_port};
use super::dialogue::shown;
use super::dns::{DnsTransport, Resolver, code_words, reversed};
use super::kinds::{Kind, Probing};

const NO_SUCH_NAME: u8 = 3;
/// How many look-ups a receiver makes for one SPF record (RFC 7208 §4.6.4).
const SPF_LOOKUPS_MAX: usize = 10;
/// How many mail servers are looked at.
const SERVERS_MAX: usize = 20;
const POLICY_BYTES_MAX: usize = 64 << 10;

/// A domain's mail as the world reads it in DNS: each aspect is a series of its own, and each that is asked for must be
/// right.
#[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MailDomainConfig {
    /// The domain behind the `@`.
    pub domain: String,
    /// What must be right: `mx`, `spf`, `dkim`, `dmarc`, `mta_sts`, `tls_rpt`, `ptr`, `dnsbl`. By default `mx`, `spf`,
    /// `dmarc` and `ptr`, with `dkim` where there are selectors and `dnsbl` where there are lists.
    #[serde(default)]
    pub aspects: Option<Vec<Aspect>>,
    /// The selectors with which mail is signed, as in `<selector>._domainkey.<domain>`.
    #[serde(default)]
    pub dkim_selectors: Vec<String>,
    /// Block lists on which no mail server may stand, such as `zen.spamhaus.org`. Many refuse those who ask through
    /// public name servers.
    #[serde(default)]
    pub dnsbl: Vec<String>,
    /// Addresses that send mail, besides those of the mail servers: looked up in `dnsbl`, and for `ptr`.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// The name server to ask; by default the first one that this machine uses.
    #[serde(default)]
    pub server: Option<String>,
    /// Its port.
    #[serde(default = "MailDomainConfig::default_port")]
    pub port: u16,
}

/// A part of what a domain says of its mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// There are mail servers, and they have addresses.
    Mx,
    /// Who may send: one record, with an end, within the look-ups that receivers make.
    Spf,
    /// Keys of signatures: each selector has one.
    Dkim,
    /// What receivers do with mail that fails.
    Dmarc,
    /// Receiving by TLS only: record and policy, which fits the mail servers.
    MtaSts,
    /// Where others report failed TLS.
    TlsRpt,
    /// Each address has a name, which has that address.
    Ptr,
    /// No address is on a block list.
    Dnsbl,
}

impl Aspect {
    fn name(self) -> &'static str {
        match self {
            Aspect::Mx => "mx",
            Aspect::Spf => "spf",
            Aspect::Dkim => "dkim",
            Aspect::Dmarc => "dmarc",
            Aspect::MtaSts => "mta_sts",
            Aspect::TlsRpt => "tls_rpt",
            Aspect::Ptr => "ptr",
            Aspect::Dnsbl => "dnsbl",
        }
    }
}

/// Looks things up for one probe.
struct Looking<'a, 'r> {
    config: &'a MailDomainConfig,
    attempt: &'a mut Attempt<'r>,
    /// Names of mail servers, without the last dot.
    servers: Vec<String>,
    addresses: BTreeSet<IpAddr>,
}

impl MailDomainConfig {
    fn default_port() -> u16 {
        53
    }

    fn aspects(&self) -> Vec<Aspect> {
        match &self.aspects {
            Some(given) => given.clone(),
            None => {
                let mut aspects = vec![Aspect::Mx, Aspect::Spf, Aspect::Dmarc, Aspect::Ptr];
                aspects.extend((!self.dkim_selectors.is_empty()).then_some(Aspect::Dkim));
                aspects.extend((!self.dnsbl.is_empty()).then_some(Aspect::Dnsbl));
                aspects
            }
        }
    }
}

impl Kind for MailDomainConfig {
    fn target(&self) -> String {
        self.domain.clone()
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        let names = [("domain", Some(&self.domain)), ("server", self.server.as_ref())];
        for (field, name) in names {
            if let Some(name) = name {
                check_host(name, &path.field(field), problems);
            }
        }
        check_port(self.port, &path.field("port"), problems);
        for (field, list) in [("dkim_selectors", &self.dkim_selectors), ("dnsbl", &self.dnsbl)] {
            for (at, name) in list.iter().enumerate() {
                check_host(name, &path.field(field).index(at), problems);
            }
        }
        let aspects = self.aspects();
        if aspects.is_empty() {
            problems.error(&path.field("aspects"), "nothing is asked for").hint("leave it out for the usual ones");
        }
        for (aspect, has, field) in [
            (Aspect::Dkim, !self.dkim_selectors.is_empty(), "dkim_selectors"),
            (Aspect::Dnsbl, !self.dnsbl.is_empty(), "dnsbl"),
        ] {
            if aspects.contains(&aspect) && !has {
                problems
                    .error(
                        &path.field(field),
                        format!("`{}` is asked for, and there is nothing to look at", aspect.name()),
                    )
                    .hint(format!("give `{field}`, or leave `{}` out of `aspects`", aspect.name()));
            }
        }
    }

    fn described(&self) -> &'static [(&'static str, &'static str)] {
        &[("probe_mail_domain_aspect", "Whether an aspect of a domain's mail is right.")]
    }

    fn probe<'a>(&'a self, attempt: &'a mut Attempt<'_>) -> Probing<'a> {
        Box::pin(async move {
            let mut looking = Looking {
                config: self,
                attempt,
                servers: Vec::new(),
                addresses: self.addresses.iter().copied().collect(),
            };
            // The others build on the mail servers.
            let servers = looking.mx().await;
            let (mut good, mut bad) = (Vec::new(), Vec::new());
            for aspect in self.aspects() {
                let judged = match aspect {
                    Aspect::Mx => servers.clone(),
                    Aspect::Spf => looking.spf().await,
                    Aspect::Dkim => looking.dkim().await,
                    Aspect::Dmarc => looking.dmarc().await,
                    Aspect::MtaSts => looking.mta_sts().await,
                    Aspect::TlsRpt => looking.tls_rpt().await,
                    Aspect::Ptr => looking.ptr().await,
                    Aspect::Dnsbl => looking.dnsbl().await,
                };
                let value = if judged.is_ok() { 1.0 } else { 0.0 };
                looking.attempt.sample("probe_mail_domain_aspect", &[("aspect", aspect.name())], value);
                match judged {
                    Ok(()) => good.push(aspect.name()),
                    Err(Failure(words)) => bad.push(format!("{}: {words}", aspect.name())),
                }
            }
            if bad.is_empty() { Ok(format!("{} are right", good.join(", "))) } else { Err(Failure(bad.join("; "))) }
        })
    }
}

impl Looking<'_, '_> {
    async fn ask(&mut self, name: &str, kind: &str) -> Result<Message, Failure> {
        let resolver = Resolver {
            server: self.config.server.as_deref(),
            port: self.config.port,
            transport: DnsTransport::Udp,
            ..Resolver::of_this_machine()
        };
        resolver.ask(self.attempt, name, kind_of(kind).unwrap_or(1), true).await
    }

    /// The records of a name; none if it does not exist.
    async fn records(&mut self, name: &str, kind: &str) -> Result<Vec<String>, Failure> {
        let message = self.ask(name, kind).await?;
        match message.code {
            0 | NO_SUCH_NAME => {}
            other => return Err(Failure(format!("{kind} of {name}: the server answered {}", code_words(other)))),
        }
        let wanted = kind_of(kind);
        Ok(message.answers.into_iter().filter(|it| Some(it.kind) == wanted).map(|it| it.data).collect())
    }

    /// The one text of a name that begins so.
    async fn text(&mut self, name: &str, begin: &str) -> Result<String, Failure> {
        let mut texts = self.records(name, "TXT").await?;
        texts.retain(|text| {
            text.get(..begin.len()).is_some_and(|it| it.eq_ignore_ascii_case(begin))
                && text[begin.len()..].chars().next().is_none_or(|c| c == ';' || c.is_whitespace())
        });
        match texts.len() {
            1 => Ok(texts.remove(0)),
            0 => Err(Failure(format!("there is no `{begin}` record at {name}"))),
            many => {
                Err(Failure(format!("there are {many} `{begin}` records at {name}, and receivers take none of them")))
            }
        }
    }

    async fn addresses_of(&mut self, name: &str) -> Result<Vec<IpAddr>, Failure> {
        let mut addresses = Vec::new();
        for kind in ["A", "AAAA"] {
            addresses.extend(self.records(name, kind).await?.iter().filter_map(|it| it.parse::<IpAddr>().ok()));
        }
        Ok(addresses)
    }

    async fn mx(&mut self) -> Result<(), Failure> {
        let domain = self.config.domain.clone();
        let records = self.records(&domain, "MX").await?;
        if records.is_empty() {
            return Err(Failure(format!("{domain} has no MX record")));
        }
        let servers: Vec<String> = records
            .iter()
            .filter_map(|record| record.split_once(' '))
            .map(|(_, name)| name.trim_end_matches('.').to_lowercase())
            .take(SERVERS_MAX)
            .collect();
        if servers.iter().any(String::is_empty) {
            return Err(Failure(format!("{domain} says that it takes no mail (MX `.`)")));
        }
        self.servers.clone_from(&servers);
        for server in servers {
            let addresses = self.addresses_of(&server).await?;
            if addresses.is_empty() {
                return Err(Failure(format!("the mail server {server} has no address")));
            }
            self.addresses.extend(addresses);
        }
        Ok(())
    }

    async fn spf(&mut self) -> Result<(), Failure> {
        let domain = self.config.domain.clone();
        let record = self.text(&domain, "v=spf1").await?;
        let terms: Vec<String> = record.split_whitespace().skip(1).map(str::to_lowercase).collect();
        let redirects = terms.iter().any(|term| term.starts_with("redirect="));
        match terms.iter().find(|term| term.trim_start_matches(['+', '-', '~', '?']) == "all").map(String::as_str) {
            Some("-all" | "~all") => {}
            Some("?all") => {
                return Err(Failure::new("it ends in `?all`, which says nothing of others: use `-all` or `~all`"));
            }
            Some(_) => return Err(Failure::new("it ends in `+all`: everybody may send mail of this domain")),
            None if redirects => {}
            None => return Err(Failure::new("it has no end: add `-all` or `~all`")),
        }
        let lookups = self.spf_lookups(&record).await?;
        if lookups > SPF_LOOKUPS_MAX {
            return Err(Failure(format!(
                "it takes more than {SPF_LOOKUPS_MAX} look-ups, after which receivers give up: have fewer `include`s"
            )));
        }
        Ok(())
    }

    /// How many look-ups a receiver makes for a record and all that it includes; counting ends soon above the bound.
    async fn spf_lookups(&mut self, record: &str) -> Result<usize, Failure> {
        let mut open = vec![record.to_owned()];
        let mut lookups = 0;
        while let Some(record) = open.pop() {
            for term in record.split_whitespace().skip(1) {
                let term = term.trim_start_matches(['+', '-', '~', '?']).to_lowercase();
                let name = term.split([':', '=', '/']).next().unwrap_or_default();
                if !matches!(name, "include" | "a" | "mx" | "ptr" | "exists" | "redirect") {
                    continue;
                }
                lookups += 1;
                if lookups > SPF_LOOKUPS_MAX {
                    return Ok(lookups);
                }
                let other = term.split_once(['=', ':']).map(|(_, other)| other.to_owned());
                if let ("include" | "redirect", Some(other)) = (name, other)
                    && !other.contains('%')
                {
                    let included = self.text(&other, "v=spf1").await;
                    open.push(included.map_err(|Failure(words)| Failure(format!("`{term}`: {words}")))?);
                }
            }
        }
        Ok(lookups)
    }

    async fn dkim(&mut self) -> Result<(), Failure> {
        for selector in self.config.dkim_selectors.clone() {
            let name = format!("{selector}._domainkey.{}", self.config.domain);
            let texts = self.records(&name, "TXT").await?;
            let Some(key) = texts.iter().find_map(|text| tag(text, "p")) else {
                return Err(Failure(format!("there is no key at {name}")));
            };
            let key: String = key.split_whitespace().collect();
            if key.is_empty() {
                return Err(Failure(format!("the key at {name} is revoked (`p=` is empty)")));
            }
            if base64::engine::general_purpose::STANDARD.decode(&key).is_err() {
                return Err(Failure(format!("the key at {name} is broken: it is not base64")));
            }
        }
        Ok(())
    }

    async fn dmarc(&mut self) -> Result<(), Failure> {
        let record = self.text(&format!("_dmarc.{}", self.config.domain), "v=DMARC1").await?;
        match tag(&record, "p").as_deref() {
            Some("none" | "quarantine" | "reject") => Ok(()),
            Some(other) => Err(Failure(format!("`p={}` is not a policy", shown(other)))),
            None => Err(Failure::new("it has no policy (`p=`)")),
        }
    }

    async fn tls_rpt(&mut self) -> Result<(), Failure> {
        let record = self.text(&format!("_smtp._tls.{}", self.config.domain), "v=TLSRPTv1").await?;
        let to = tag(&record, "rua").unwrap_or_default();
        if to.starts_with("mailto:") || to.starts_with("https:") {
            return Ok(());
        }
        Err(Failure::new("it does not say where to report (`rua=mailto:…`)"))
    }

    async fn mta_sts(&mut self) -> Result<(), Failure> {
        let domain = self.config.domain.clone();
        let record = self.text(&format!("_mta-sts.{domain}"), "v=STSv1").await?;
        if tag(&record, "id").is_none_or(|id| id.is_empty()) {
            return Err(Failure::new("the record has no `id`"));
        }
        let url = format!("https://mta-sts.{domain}/.well-known/mta-sts.txt");
        let parsed = url.parse().map_err(|error: watchbell_model::UrlError| Failure(error.to_string()))?;
        let mut request = Request::get(parsed);
        request.timeout = self.attempt.remaining();
        request.body_max = POLICY_BYTES_MAX;
        let response = http::send(self.attempt.runtime, request).await;
        let response = response.map_err(|error| Failure(format!("the policy cannot be had from {url}: {error}")))?;
        if response.status != 200 {
            return Err(Failure(format!("{url} answers with status {}", response.status)));
        }
        judge_policy(&String::from_utf8_lossy(&response.body), &self.servers)
    }

    async fn ptr(&mut self) -> Result<(), Failure> {
        if self.addresses.is_empty() {
            return Err(Failure::new("there are no addresses to look at"));
        }
        for address in self.addresses.clone() {
            let names = self.records(&reversed(address), "PTR").await?;
            let Some(name) = names.first() else {
                return Err(Failure(format!("{address} has no name (PTR), and many receivers refuse its mail")));
            };
            if !self.addresses_of(name).await?.contains(&address) {
                return Err(Failure(format!("{address} is called {name}, which does not have that address")));
            }
        }
        Ok(())
    }

    async fn dnsbl(&mut self) -> Result<(), Failure> {
        if self.addresses.is_empty() {
            return Err(Failure::new("there are no addresses to look at"));
        }
        for zone in self.config.dnsbl.clone() {
            for address in self.addresses.clone() {
                let name = listed_name(address, &zone);
                let found = self.records(&name, "A").await?;
                let Some(code) = found.first() else { continue };
                if code.starts_with("127.255.255.") {
                    return Err(Failure(format!(
                        "{zone} answers nothing to this name server ({code}): ask it through one of your own"
                    )));
                }
                let why = self.records(&name, "TXT").await.unwrap_or_default().join(" ");
                let why = if why.is_empty() { code.clone() } else { format!("{code}, `{}`", shown(&why)) };
                return Err(Failure(format!("{address} is on the block list {zone}: {why}")));
            }
        }
        Ok(())
    }
}

/// Under which name a block list has an address.
fn listed_name(address: IpAddr, zone: &str) -> String {
    let name = reversed(address);
    let digits = name.trim_end_matches(".in-addr.arpa").trim_end_matches(".ip6.arpa");
    format!("{digits}.{zone}")
}

/// The value of `name=value` in a list with semicolons.
fn tag(record: &str, name: &str) -> Option<String> {
    record.split(';').find_map(|part| {
        let (have, value) = part.split_once('=')?;
        have.trim().eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

/// Whether a policy of MTA-STS (RFC 8461 §3.2) is one, and fits the mail servers.
fn judge_policy(policy: &str, servers: &[String]) -> Result<(), Failure> {
    let fields: Vec<(&str, &str)> = policy
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect();
    let field = |wanted: &str| fields.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
    if field("version") != Some("STSv1") {
        return Err(Failure::new("the policy does not say `version: STSv1`"));
    }
    let mode = field("mode").unwrap_or_default();
    if !matches!(mode, "enforce" | "testing" | "none") {
        return Err(Failure(format!("`mode: {}` of the policy is none that is known", shown(mode))));
    }
    if field("max_age").and_then(|age| age.parse::<u32>().ok()).is_none() {
        return Err(Failure::new("the policy does not say for how long it holds (`max_age`)"));
    }
    let patterns: Vec<String> =
        fields.iter().filter(|(name, _)| *name == "mx").map(|(_, value)| value.to_lowercase()).collect();
    let fits = |server: &str| {
        patterns.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(rest) => server.split_once('.').is_some_and(|(_, parent)| parent == rest),
            None => pattern == server,
        })
    };
    match servers.iter().find(|server| mode != "none" && !fits(server)) {
        Some(server) => {
            Err(Failure(format!("the policy does not name the mail server {server}: others would not deliver to it")))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies() {
        let servers = ["mx1.example.org".to_owned(), "a.mx.example.org".to_owned()];
        let judge = |policy: &str| judge_policy(policy, &servers).map_err(|it| it.0);
        let good =
            "version: STSv1\r\nmode: enforce\r\nmx: mx1.example.org\r\nmx: *.mx.example.org\r\nmax_age: 86400\r\n";
        assert_eq!(judge(good), Ok(()));
        assert_eq!(
            judge(&good.replace("*.mx.", "*.")),
            Err("the policy does not name the mail server a.mx.example.org: others would not deliver to it".into())
        );
        for (old, new) in [("STSv1", "STSv2"), ("enforce", "on"), ("max_age", "age")] {
            assert!(judge(&good.replace(old, new)).is_err(), "{new}");
        }
    }

    #[test]
    fn parts_of_records() {
        assert_eq!(tag("v=DMARC1; p=reject; rua=mailto:a@b", "p").as_deref(), Some("reject"));
        assert_eq!(tag("v=DKIM1; k=rsa; p=", "p").as_deref(), Some(""));
        assert_eq!(tag("v=DKIM1", "p"), None);
        assert_eq!(listed_name("192.0.2.1".parse().unwrap(), "bl.example"), "1.2.0.192.bl.example");
    }
}
