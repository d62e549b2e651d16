//! `dns_sd_configs`: the hosts that a name leads to.

use futures_util::StreamExt;
use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Labels, Path, Problems, Span};
use watchbell_runtime::Runtime;
use watchbell_wire::dns::{RecordData, RecordType};

use super::ask::ASKED_MAX;
use super::target::Target;
use super::{Kept, TargetGroup};

/// The hosts that names lead to, asked of the machine's name servers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsSd {
    /// The names.
    pub names: Vec<String>,
    /// `SRV`, `A`, `AAAA`, `MX` or `NS`.
    #[serde(default = "DnsSd::default_type", rename = "type")]
    pub kind: String,
    /// The port of the hosts, which only an SRV record says itself.
    #[serde(default)]
    pub port: u16,
    /// How often the names are asked for.
    #[serde(default = "DnsSd::default_refresh_interval")]
    pub refresh_interval: Span,
}

impl DnsSd {
    fn default_type() -> String {
        "SRV".into()
    }

    fn default_refresh_interval() -> Span {
        Span::seconds(30)
    }

    fn record_type(&self) -> Option<RecordType> {
        Some(match self.kind.to_ascii_uppercase().as_str() {
            "SRV" => RecordType::Srv,
            "A" => RecordType::A,
            "AAAA" => RecordType::Aaaa,
            "MX" => RecordType::Mx,
            "NS" => RecordType::Ns,
            _ => return None,
        })
    }

    /// What is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        if self.names.is_empty() {
            problems.error(&path.field("names"), "there is no name").hint("such as `_prometheus._tcp.example.org`");
        }
        match self.record_type() {
            None => problems
                .error(&path.field("type"), format!("`{}` is not a type of record that leads to hosts", self.kind))
                .hint("there are `SRV`, `A`, `AAAA`, `MX` and `NS`"),
            Some(RecordType::Srv) => {}
            Some(_) if self.port == 0 => problems
                .error(&path.field("port"), format!("records of type {} say no port", self.kind))
                .hint("such as `port: 9100`"),
            Some(_) => {}
        }
        super::check_refresh(self.refresh_interval, path, problems);
    }

    pub(super) async fn targets(&self, runtime: &Runtime, kept: &Kept) -> Result<Vec<TargetGroup>, String> {
        let kind = self.record_type().ok_or("the type of record is not known")?;
        let parts = futures_util::stream::iter(self.names.clone())
            .map(async |name| {
                let records = crate::dns::lookup(runtime, &name, kind).await;
                let group = |records: Vec<RecordData>| {
                    let targets = records.iter().filter_map(|record| self.describe(&name, record)).collect();
                    vec![TargetGroup { source: name.clone(), labels: Labels::empty(), targets }]
                };
                (name.clone(), records.map(group))
            })
            .buffered(ASKED_MAX);
        kept.renew("dns", parts.collect().await)
    }

    fn describe(&self, name: &str, record: &RecordData) -> Option<Labels> {
        let mut target = Target::new();
        target.set("__meta_dns_name", name);
        let rooted = |name: &str| name.trim_end_matches('.').to_owned();
        match record {
            RecordData::A(ip) => target.at(&ip.to_string(), self.port),
            RecordData::Aaaa(ip) => target.at(&ip.to_string(), self.port),
            RecordData::Srv { port, target: host, .. } => target
                .at(&rooted(host), port)
                .set("__meta_dns_srv_record_target", host)
                .set("__meta_dns_srv_record_port", port.to_string()),
            RecordData::Mx { exchange, .. } => {
                target.at(&rooted(exchange), self.port).set("__meta_dns_mx_record_target", exchange)
            }
            RecordData::Ns(host) => target.at(&rooted(host), self.port).set("__meta_dns_ns_record_target", host),
            RecordData::Other(_) => return None,
        };
        Some(target.labels())
    }
}
