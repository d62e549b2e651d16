//! A bigger store: where samples go on to and where they are read back from.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{
    AzureAd, ByteSize, GoogleIam, HttpClientConfig, Labels, Path, Problems, RelabelConfig, SigV4Config, Span, Url,
    is_reserved_header,
};

/// The smallest queue: some minutes of a small machine.
const QUEUE_SIZE_MIN: u64 = 32 << 20;
/// How many requests may be under way at once at most.
const SHARDS_MAX: usize = 200;
/// How many places samples may go on to; each has a queue of its own.
const WRITES_MAX: usize = 16;

/// A store beyond this machine that all samples are sent on to and read back from: anything that takes Prometheus'
/// remote write. Samples wait in a queue on disk until it has taken them, so it may be away for hours. Rules are
/// evaluated here in any case, so an alarm means the same everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoteConfig {
    /// Where samples are sent, in the shape of Prometheus' `remote_write`.
    pub write: RemoteWriteConfig,
    /// Where they are sent besides, each with a queue of its own: one that does not answer delays no other.
    #[serde(default)]
    pub also: Vec<RemoteWriteConfig>,
    /// Where they are read back from. Without it only what is kept here is seen.
    #[serde(default)]
    pub read: Option<RemoteReadConfig>,
    /// Labels that series have there and not here, as `global.external_labels` says.
    #[serde(skip, default = "Labels::empty")]
    pub external_labels: Labels,
    /// The tenant, sent with every request to `write` and `read`.
    #[serde(default)]
    pub tenant: Option<String>,
    /// The header that names the tenant: `X-Scope-OrgID` for Mimir and Loki, `THANOS-TENANT` for Thanos.
    #[serde(default = "RemoteConfig::default_tenant_header")]
    pub tenant_header: String,
    /// Whether samples are kept here too. With `cache` (the default) the newest, as far as `storage.metrics.retention`
    /// reaches, are read from here and older ones from there; alarms are judged while the other store is away. With
    /// `off` everything is read from there, and rules cannot be evaluated while it is away.
    #[serde(default)]
    pub local: Local,
    /// What waits on disk for the other store, and for each of `also`.
    #[serde(default)]
    pub queue: QueueConfig,
}

/// Whether samples are kept here too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Local {
    /// The newest.
    #[default]
    Cache,
    /// None.
    Off,
}

/// What waits on disk for the other store.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QueueConfig {
    /// How much it may hold; past that the oldest samples go, counted and with a trouble of their own. Default `2GB`.
    pub size: ByteSize,
    /// How long samples may wait; older ones go likewise. Default `2d`.
    pub age: Span,
}

impl Default for QueueConfig {
    fn default() -> QueueConfig {
        QueueConfig { size: ByteSize(2 << 30), age: Span::days(2) }
    }
}

watchbell_model::with_http_client! {
    /// Where samples are sent, as in a `prometheus.yml`. Here a redirect is never followed, whatever `follow_redirects` says,
    /// because it would take samples and credentials elsewhere.
    #[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct RemoteWriteConfig {
        /// The address, such as `https://mimir.example.org/api/v1/push` or `http://victoria:8428/api/v1/write`.
        pub url: Url,
        /// What it is called in troubles and metrics; with it a queue stays its own when the address changes. By default
        /// the address.
        #[serde(default)]
        pub name: Option<String>,
        /// How long one request may take.
        #[serde(default = "RemoteWriteConfig::default_timeout")]
        pub remote_timeout: Span,
        /// The message that is sent. A receiver that does not know 2.0 gets 1.0 all the same.
        #[serde(default)]
        pub protobuf_message: Message,
        /// More headers.
        #[serde(default)]
        pub headers: BTreeMap<String, String>,
        /// Whether examples are sent too.
        #[serde(default)]
        pub send_exemplars: bool,
        /// Whether native histograms are sent too.
        #[serde(default = "yes")]
        pub send_native_histograms: bool,
        /// How requests are made.
        #[serde(default)]
        pub queue_config: SendConfig,
        /// Rules that change the labels of what is sent, or leave it out.
        #[serde(default)]
        pub write_relabel_configs: Vec<RelabelConfig>,
        /// Whether what metrics are is sent too.
        #[serde(default)]
        pub metadata_config: MetadataConfig,
        /// Taken from a `prometheus.yml` without effect: an address is looked up anew for each connection.
        #[serde(default)]
        pub round_robin_dns: Option<bool>,
        /// As whom requests to Amazon's Prometheus are signed.
        #[serde(default)]
        pub sigv4: Option<SigV4Config>,
        /// As whom Azure Monitor is asked.
        #[serde(default)]
        pub azuread: Option<AzureAd>,
        /// As whom Google's Cloud Monitoring is asked.
        #[serde(default)]
        pub google_iam: Option<GoogleIam>,
    }
}

/// Whether what metrics are is sent too. 1.0 sends it whenever it is learnt, 2.0 with every sample, so that the times of
/// Prometheus' own sender have no meaning here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MetadataConfig {
    /// Whether it is sent. Default `true`.
    pub send: bool,
    /// Taken from a `prometheus.yml` without effect.
    pub send_interval: Option<Span>,
    /// Taken from a `prometheus.yml` without effect.
    pub max_samples_per_send: Option<usize>,
}

impl Default for MetadataConfig {
    fn default() -> MetadataConfig {
        MetadataConfig { send: true, send_interval: None, max_samples_per_send: None }
    }
}

/// A message of remote write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub enum Message {
    /// 1.0, which every receiver knows.
    #[default]
    #[serde(rename = "prometheus.WriteRequest")]
    V1,
    /// 2.0: smaller, with what metrics are and when counting began.
    #[serde(rename = "io.prometheus.write.v2.Request")]
    V2,
}

/// How requests are made, under the names of Prometheus' `queue_config`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SendConfig {
    /// How many samples are in memory for each request that may be under way; the others wait on disk. Default 10,000.
    pub capacity: usize,
    /// How many requests are under way at once at most. The samples of one series always go one after the other. Default 8.
    pub max_shards: usize,
    /// How many samples one request holds at most. Default 2000.
    pub max_samples_per_send: usize,
    /// How long samples wait for a request to be full. Default `5s`.
    pub batch_send_deadline: Span,
    /// The first wait after a failure; it doubles. Default `30ms`.
    pub min_backoff: Span,
    /// The longest wait between two tries, unless the receiver asks for more. Default `5s`.
    pub max_backoff: Span,
    /// Samples that are older than this when they are about to be sent go, counted as dropped. Without it, or with `0s`,
    /// only `queue.age` counts.
    pub sample_age_limit: Option<Span>,
    /// Taken from a `prometheus.yml` without effect: there are as many requests as are needed, up to `max_shards`.
    pub min_shards: Option<usize>,
    /// Taken from a `prometheus.yml` without effect: a receiver that says 429 is always asked again, since what was
    /// acknowledged here must not be lost.
    pub retry_on_http_429: Option<bool>,
}

impl Default for SendConfig {
    fn default() -> SendConfig {
        SendConfig {
            capacity: 10_000,
            max_shards: 8,
            max_samples_per_send: 2000,
            batch_send_deadline: Span::seconds(5),
            min_backoff: Span::millis(30),
            max_backoff: Span::seconds(5),
            min_shards: None,
            retry_on_http_429: None,
            sample_age_limit: None,
        }
    }
}

watchbell_model::with_http_client! {
    /// Where samples are read back from. Only raw samples are asked for, never what an expression gives, and the store is
    /// always asked to fail rather than to give a part. A redirect is never followed, whatever `follow_redirects` says.
    #[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct RemoteReadConfig {
        /// The address, which ends in `/read` or `/export`: `http://prometheus:9090/api/v1/read`,
        /// `https://mimir.example.org/prometheus/api/v1/read`, `http://victoria:8428/api/v1/export`. Labels are looked up
        /// beside it, under `series`, `labels` and `label/<name>/values`.
        pub url: Url,
        /// How samples are asked for. By default what the address ends in.
        #[serde(default)]
        pub kind: Option<ReadKind>,
        /// How long one question may take.
        #[serde(default = "RemoteReadConfig::default_timeout")]
        pub remote_timeout: Span,
        /// More headers.
        #[serde(default)]
        pub headers: BTreeMap<String, String>,
        /// Taken from a `prometheus.yml` without effect.
        #[serde(default)]
        pub name: Option<String>,
        /// Taken from a `prometheus.yml` without effect: what is kept here in full is never asked for there.
        #[serde(default)]
        pub read_recent: Option<bool>,
        /// Whether the external labels are asked for too and taken off what is answered, so that it joins what is kept here.
        #[serde(default = "yes")]
        pub filter_external_labels: bool,
        /// Only questions that ask for these labels with these values, by `=`, are asked there.
        #[serde(default)]
        pub required_matchers: BTreeMap<String, String>,
    }
}

/// How samples are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadKind {
    /// Prometheus' remote read: Prometheus, Mimir, Cortex, Thanos' sidecar.
    RemoteRead,
    /// VictoriaMetrics' `/api/v1/export`.
    Export,
}

fn yes() -> bool {
    true
}

impl RemoteConfig {
    fn default_tenant_header() -> String {
        "X-Scope-OrgID".into()
    }

    /// What a `prometheus.yml` with these `remote_write` and at most one `remote_read` asks for; nothing without any.
    pub fn of_prometheus(writes: &[RemoteWriteConfig], read: Option<RemoteReadConfig>) -> Option<RemoteConfig> {
        let (write, also) = writes.split_first()?;
        Some(RemoteConfig {
            external_labels: Labels::empty(),
            write: write.clone(),
            also: also.to_vec(),
            read,
            tenant: None,
            tenant_header: RemoteConfig::default_tenant_header(),
            local: Local::Cache,
            queue: QueueConfig::default(),
        })
    }

    /// Makes files it names relative to the folder of the configuration.
    pub fn anchor(&mut self, base: &std::path::Path) {
        self.write.anchor(base);
        self.also.iter_mut().for_each(|write| write.anchor(base));
        if let Some(read) = &mut self.read {
            read.anchor_http_client(base);
        }
    }

    /// What is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        let also = (0..).zip(&self.also).map(|(at, write)| (path.field("also").index(at), write));
        let writes: Vec<_> = std::iter::once((path.field("write"), &self.write)).chain(also).collect();
        RemoteWriteConfig::check_all(&writes, path, problems);
        if let Some(read) = &self.read {
            read.check(&path.field("read"), problems);
        } else if self.local == Local::Off {
            problems
                .error(path, "samples are kept nowhere that they can be read from")
                .hint("give `read`, or leave out `local: off`");
        }
        if self.tenant_header.is_empty() || !self.tenant_header.bytes().all(is_token) {
            let header = &self.tenant_header;
            problems.error(&path.field("tenant_header"), format!("`{header}` is not the name of a header"));
        }
        let queue = path.field("queue");
        if self.queue.size.0 < QUEUE_SIZE_MIN {
            problems
                .error(&queue.field("size"), format!("{} bytes hold too little", self.queue.size.0))
                .hint(format!("at least {}MB; the default is 2GB", QUEUE_SIZE_MIN >> 20));
        }
        if self.queue.age < Span::minutes(10) {
            problems
                .error(&queue.field("age"), format!("`{}` is too short", self.queue.age))
                .hint("at least `10m`; the default is `2d`");
        }
    }
}

impl RemoteWriteConfig {
    fn default_timeout() -> Span {
        Span::seconds(30)
    }

    /// Makes files it names relative to the folder of the configuration.
    pub fn anchor(&mut self, base: &std::path::Path) {
        self.anchor_http_client(base);
        if let Some(azuread) = &mut self.azuread {
            azuread.anchor(base);
        }
        if let Some(google_iam) = &mut self.google_iam {
            google_iam.anchor(base);
        }
    }

    /// How the other store is spoken to.
    pub(crate) fn client(&self) -> HttpClientConfig {
        HttpClientConfig {
            sigv4: self.sigv4.clone(),
            azuread: self.azuread.clone(),
            google_iam: self.google_iam.clone(),
            follow_redirects: false,
            ..self.http_client()
        }
    }

    /// What is wrong with all that samples are sent to, each with its place; `path` is where they stand.
    pub fn check_all(writes: &[(Path, &RemoteWriteConfig)], path: &Path, problems: &mut Problems) {
        let mut names = BTreeSet::new();
        for (path, write) in writes {
            write.check(path, problems);
            match &write.name {
                Some(name) if name.trim().is_empty() => {
                    problems.error(&path.field("name"), "the name is empty").hint("leave it out, or give one");
                }
                Some(name) if !names.insert(name) => {
                    problems
                        .error(&path.field("name"), format!("there are two named `{name}`"))
                        .hint("give each a name of its own: its queue goes by it");
                }
                Some(_) | None => {}
            }
        }
        if writes.len() > WRITES_MAX {
            problems
                .error(path, format!("there are {} places that samples go on to", writes.len()))
                .hint(format!("at most {WRITES_MAX} can be"));
        }
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        self.check_bearer(path, problems);
        self.client().check(path, problems);
        check_timeout(self.remote_timeout, path, problems);
        check_headers(&self.headers, path, problems);
        RelabelConfig::check_all(&self.write_relabel_configs, &path.field("write_relabel_configs"), problems);
        let (send, path) = (&self.queue_config, path.field("queue_config"));
        let given = send.max_shards != SendConfig::default().max_shards;
        if send.min_shards.is_some_and(|least| least == 0 || (given && least > send.max_shards)) {
            problems
                .error(&path.field("min_shards"), format!("there are to be {} at most", send.max_shards))
                .hint("from 1 to `max_shards`, or leave it out: it has no effect here");
        }
        if send.max_shards == 0 || send.max_shards > SHARDS_MAX {
            problems
                .error(&path.field("max_shards"), format!("{} is not a usable number", send.max_shards))
                .hint(format!("from 1 to {SHARDS_MAX}"));
        }
        if send.max_samples_per_send == 0 || send.max_samples_per_send > 100_000 {
            problems
                .error(&path.field("max_samples_per_send"), format!("{} is not usable", send.max_samples_per_send))
                .hint("from 1 to 100,000; receivers refuse large requests");
        }
        if send.capacity < send.max_samples_per_send || send.capacity > 1_000_000 {
            problems
                .error(&path.field("capacity"), format!("{} is not usable", send.capacity))
                .hint("at least `max_samples_per_send`, at most 1,000,000");
        }
        if send.min_backoff.is_zero() || send.min_backoff > send.max_backoff {
            problems
                .error(&path.field("min_backoff"), format!("`{}` is not between 0 and `max_backoff`", send.min_backoff))
                .hint("the default is `30ms`");
        }
    }
}

impl RemoteReadConfig {
    fn default_timeout() -> Span {
        Span::minutes(1)
    }

    /// How samples are asked for, `None` where neither the configuration nor the address says.
    pub(crate) fn kind(&self) -> Option<ReadKind> {
        self.kind.or_else(|| {
            let path = self.url.path_and_query();
            let path = path.split('?').next().unwrap_or_default();
            [("/read", ReadKind::RemoteRead), ("/export", ReadKind::Export)]
                .into_iter()
                .find(|(end, _)| path.ends_with(end))
                .map(|(_, kind)| kind)
        })
    }

    /// How the other store is spoken to.
    pub(crate) fn client(&self) -> HttpClientConfig {
        HttpClientConfig { follow_redirects: false, ..self.http_client() }
    }

    /// What is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        self.check_bearer(path, problems);
        self.client().check(path, problems);
        check_timeout(self.remote_timeout, path, problems);
        check_headers(&self.headers, path, problems);
        for name in self.required_matchers.keys().filter(|name| name.is_empty()) {
            problems
                .error(&path.field("required_matchers").field(name), "a label has a name")
                .hint("such as `tenant: ops`");
        }
        if self.kind().is_none() {
            problems.error(&path.field("url"), format!("`{}` does not end in `/read` or `/export`", self.url)).hint(
                "such as `http://prometheus:9090/api/v1/read` or `http://victoria:8428/api/v1/export`; or say `kind`",
            );
        }
    }
}

fn check_timeout(timeout: Span, path: &Path, problems: &mut Problems) {
    if timeout.is_zero() || timeout > Span::minutes(10) {
        problems
            .error(&path.field("remote_timeout"), format!("`{timeout}` is not a usable bound"))
            .hint("above 0, at most `10m`");
    }
}

fn check_headers(headers: &BTreeMap<String, String>, path: &Path, problems: &mut Problems) {
    for (name, value) in headers {
        let path = path.field("headers").field(name);
        if name.is_empty() || !name.bytes().all(is_token) || value.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            problems.error(&path, format!("`{name}` cannot be sent as a header"));
        } else if is_reserved_header(name) {
            problems
                .error(&path, format!("the header `{name}` is set already"))
                .hint("credentials stand in `basic_auth` or `authorization`");
        }
    }
}

/// A byte that may stand in a header's name (RFC 9110).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_told_with_what_would_be_right() {
        let config: RemoteConfig = serde_json::from_value(serde_json::json!({
            "write": {
                "url": "http://mimir/push",
                "remote_timeout": "0s",
                "headers": { "Authorization": "x", "bad header": "y", "X-Fine": "z" },
                "basic_auth": { "username": "me" },
                "write_relabel_configs": [{ "action": "hashmod", "target_label": "x" }],
                "sigv4": { "region": "eu-central-1" }, "azuread": {},
                "queue_config": { "max_shards": 0, "capacity": 5, "min_backoff": "9s" },
            },
            "read": { "url": "http://mimir/query", "required_matchers": { "job": "a" } },
            "also": [{ "url": "http://vm/w", "name": "vm" }, { "url": "http://vm/w", "name": "vm", "remote_timeout": "0s" }, { "url": "http://x", "name": " " }],
            "tenant_header": "",
            "queue": { "size": "1MB", "age": "1s" },
        }))
        .unwrap();
        let mut problems = Problems::new();
        config.check(&Path::root().field("remote"), &mut problems);
        let said: Vec<String> = problems
            .0
            .iter()
            .map(|it| format!("{}: {}; {}", it.path, it.message, it.hint.clone().unwrap_or_default()))
            .collect();
        expect_test::expect![[r#"
            remote.write.basic_auth: there is no password; such as `password: ${secret:name}`
            remote.write: there are other credentials beside `sigv4`; at most one of `basic_auth`, `oauth2`, `authorization` and `sigv4` goes with a request
            remote.write.azuread: it is not clear as whom Azure is asked; give one of `managed_identity`, `workload_identity`, `oauth` and `sdk`
            remote.write: there are other credentials beside `azuread`; at most one of `basic_auth`, `oauth2`, `authorization`, `sigv4`, `azuread` and `google_iam` goes with a request
            remote.write.remote_timeout: `0s` is not a usable bound; above 0, at most `10m`
            remote.write.headers.Authorization: the header `Authorization` is set already; credentials stand in `basic_auth` or `authorization`
            remote.write.headers.bad header: `bad header` cannot be sent as a header; 
            remote.write.write_relabel_configs[0].modulus: `hashmod` asks for a modulus; the number of parts, such as 4
            remote.write.queue_config.max_shards: 0 is not a usable number; from 1 to 200
            remote.write.queue_config.capacity: 5 is not usable; at least `max_samples_per_send`, at most 1,000,000
            remote.write.queue_config.min_backoff: `9s` is not between 0 and `max_backoff`; the default is `30ms`
            remote.also[1].remote_timeout: `0s` is not a usable bound; above 0, at most `10m`
            remote.also[1].name: there are two named `vm`; give each a name of its own: its queue goes by it
            remote.also[2].name: the name is empty; leave it out, or give one
            remote.read.url: `http://mimir/query` does not end in `/read` or `/export`; such as `http://prometheus:9090/api/v1/read` or `http://victoria:8428/api/v1/export`; or say `kind`
            remote.tenant_header: `` is not the name of a header; 
            remote.queue.size: 1048576 bytes hold too little; at least 32MB; the default is 2GB
            remote.queue.age: `1s` is too short; at least `10m`; the default is `2d`"#]].assert_eq(&said.join("\n"));

        let good: RemoteConfig = serde_json::from_value(serde_json::json!({
            "write": {
                "url": "http://vm:8428/api/v1/write", "protobuf_message": "io.prometheus.write.v2.Request",
                "enable_http2": true, "follow_redirects": true, "round_robin_dns": false,
                "metadata_config": { "send": false, "send_interval": "1m", "max_samples_per_send": 500 },
                "write_relabel_configs": [{ "source_labels": ["__name__"], "regex": "go_.*", "action": "drop" }],
                "queue_config": { "min_shards": 1, "retry_on_http_429": true, "sample_age_limit": "1h" },
            },
            "read": { "url": "http://vm:8428/api/v1/export?x=1", "read_recent": true, "name": "vm" },
            "local": "off",
        }))
        .unwrap();
        let mut none = Problems::new();
        good.check(&Path::root(), &mut none);
        assert_eq!((none, good.read.unwrap().kind()), (Problems::new(), Some(ReadKind::Export)));
    }
}
