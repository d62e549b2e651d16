//! What this crate needs to know of the configuration, and may ask of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{BoxFuture, Labels, MatchOp, Matcher, Path, Problems, Secret, Span, Timestamp, Url};
use watchbell_notify::HttpConfig;
use watchbell_query::promql::Features;
use watchbell_sources::heartbeat::MADE_MAX;

use crate::status::StatusPageConfig;

/// Where foreign senders bring alerts to: `POST /sink`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    /// What senders prove themselves with: as the header `X-Alert-Secret`, as `Authorization: Bearer`, or by signing the
    /// body with it (HMAC-SHA256 in `X-Hub-Signature-256`, as GitHub does). Without one only API tokens are taken.
    #[serde(default)]
    pub secret: Secret,
    /// Topics of Amazon SNS that send here, which can carry no secret: their messages are taken by their signatures.
    #[serde(default)]
    pub sns: SnsConfig,
}

/// Whose messages are taken that come from Amazon SNS.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SnsConfig {
    /// ARNs of topics, such as `arn:aws:sns:eu-central-1:123456789012:alarms`. Their subscriptions are confirmed by
    /// themselves: subscribe `https://…/sink` with the protocol HTTPS.
    #[serde(default)]
    pub topics: Vec<String>,
    /// How the certificates of signatures are fetched from AWS and subscriptions confirmed there.
    #[serde(default)]
    pub http_config: Option<HttpConfig>,
}

/// Buttons of providers by which a page is acknowledged: each posts to an address of ours, and proves that it is the
/// provider.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CallbacksConfig {
    /// The button `Acknowledge` in messages of Slack apps: the app's *Interactivity* posts to `/callback/slack`.
    pub slack: SlackCallback,
    /// What people do in PagerDuty: a webhook (v3) with `incident.acknowledged`, `incident.unacknowledged` and
    /// `incident.resolved` posts to `/callback/pagerduty`.
    pub pagerduty: SecretCallback,
    /// The button `Acknowledge` in messages of Telegram bots: `setWebhook` with the address `/callback/telegram` and this
    /// secret as `secret_token`.
    pub telegram: SecretCallback,
    /// What people do in Opsgenie: a webhook for `Acknowledge` and `UnAcknowledge` posts to `/callback/opsgenie`, with this
    /// secret as the header `X-Alert-Secret`.
    pub opsgenie: SecretCallback,
}

/// How Slack proves itself.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SlackCallback {
    /// The app's signing secret, which Slack shows under *Basic Information*; take it from a secret: `${secret:name}`.
    /// Without one there are no buttons.
    pub signing_secret: Secret,
    /// Where messages may be changed by way of the answer to a button; addresses elsewhere are not asked.
    pub answers_url: Url,
}

impl Default for SlackCallback {
    fn default() -> SlackCallback {
        let answers_url = "https://hooks.slack.com".parse().expect("it is an address");
        SlackCallback { signing_secret: Secret::default(), answers_url }
    }
}

/// How another provider proves itself.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SecretCallback {
    /// The secret that the provider and watchbell share; take it from a secret: `${secret:name}`. Without one nothing is
    /// taken.
    pub secret: Secret,
}

impl CallbacksConfig {
    /// Adds what is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        let secrets = [
            ("slack", "signing_secret", &self.slack.signing_secret),
            ("pagerduty", "secret", &self.pagerduty.secret),
            ("telegram", "secret", &self.telegram.secret),
            ("opsgenie", "secret", &self.opsgenie.secret),
        ];
        for (provider, field, secret) in secrets {
            let path = path.field(provider).field(field);
            let secret = secret.expose();
            if secret.trim() != secret {
                problems.error(&path, "it begins or ends with white space").hint("take the white space out");
            }
            if !secret.is_empty() && secret.len() < SinkConfig::SECRET_LEN_MIN {
                let message = format!("it is shorter than {} characters", SinkConfig::SECRET_LEN_MIN);
                problems.warning(&path, message).hint("whoever guesses it can acknowledge pages");
            }
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if !self.telegram.secret.expose().chars().all(allowed) {
            problems
                .error(&path.field("telegram").field("secret"), "Telegram does not take it")
                .hint("only letters, digits, `_` and `-`; make one with `openssl rand -hex 24`");
        }
    }
}

impl SinkConfig {
    /// A shorter secret could be guessed.
    const SECRET_LEN_MIN: usize = 16;

    /// Adds what is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        let secret = self.secret.expose();
        if !secret.is_empty() && secret.len() < SinkConfig::SECRET_LEN_MIN {
            problems
                .warning(&path.field("secret"), format!("it is shorter than {} characters", SinkConfig::SECRET_LEN_MIN))
                .hint("make one with `openssl rand -base64 24`");
        }
        if secret.trim() != secret {
            problems
                .error(&path.field("secret"), "it begins or ends with white space, which no header can carry")
                .hint("take the white space out; a secret from a file loses its last newline by itself");
        }
        for (at, topic) in self.sns.topics.iter().enumerate() {
            let parts: Vec<&str> = topic.split(':').collect();
            if parts.len() != 6 || parts[0] != "arn" || parts[2] != "sns" || parts[3].is_empty() || parts[5].is_empty()
            {
                problems
                    .error(&path.field("sns").field("topics").index(at), format!("`{topic}` is no topic of SNS"))
                    .hint("such as `arn:aws:sns:eu-central-1:123456789012:alarms`");
            }
        }
        if let Some(http) = &self.sns.http_config {
            http.http_client().check(&path.field("sns").field("http_config"), problems);
        }
    }
}

/// The API by which clients of Healthchecks make and read heartbeats: `/api/v1/checks/`, also under `v2` and `v3`.
///
/// Any API token (`watchbell token new …`) is taken as a key that may change everything, too.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthchecksConfig {
    /// The key that may change everything: `X-Api-Key`, or `api_key` in a body. Its clients expect 32 characters.
    pub key: Secret,
    /// The key that may only read, and is not shown where jobs report.
    pub read_key: Secret,
    /// How many heartbeats may be made by the API; by pings with `?create=1` twice as many.
    pub checks_max: usize,
}

impl Default for HealthchecksConfig {
    fn default() -> HealthchecksConfig {
        HealthchecksConfig { key: Secret::default(), read_key: Secret::default(), checks_max: MADE_MAX }
    }
}

impl HealthchecksConfig {
    /// As long as Healthchecks makes them, and as its clients check them.
    pub(crate) const KEY_LEN: usize = 32;

    /// Adds what is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        for (field, key) in [("key", &self.key), ("read_key", &self.read_key)] {
            let key = key.expose();
            if !key.is_empty() && (key.len() != HealthchecksConfig::KEY_LEN || key.contains(char::is_whitespace)) {
                problems
                    .error(&path.field(field), "it has not 32 characters without white space")
                    .hint("make one with `openssl rand -hex 16`");
            }
        }
        if !self.key.expose().is_empty() && self.key == self.read_key {
            problems
                .error(&path.field("read_key"), "it is the key that may change everything")
                .hint("make another one with `openssl rand -hex 16`");
        }
    }
}

/// What queries may take. Prometheus is told this by flags: `--query.timeout` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QueryConfig {
    /// How long a query may take, its wait for a turn included. A client may ask for less.
    pub timeout: Span,
    /// How many queries run at a time; further ones wait for their turn. Read at the start only.
    #[schemars(range(min = 1, max = 1000))]
    pub max_concurrency: usize,
    /// How many samples one query may load; a native histogram counts as one for every ten of its buckets. A sample
    /// takes 16 bytes while the query runs.
    #[schemars(range(min = 1))]
    pub max_samples: usize,
    /// How old the newest sample of a series may be for the series to have a value.
    pub lookback_delta: Span,
    /// Experimental parts of PromQL that queries and rules may use, by the words of Prometheus' `--enable-feature`:
    /// `promql-experimental-functions` (`info`, `limitk`, `mad_over_time`, …), `promql-extended-range-selectors`
    /// (`anchored`, `smoothed`), `promql-binop-fill-modifiers` (`fill`). None if it is empty, as in Prometheus.
    pub enable_features: Vec<String>,
    /// Queries that take longer are logged; `0s` logs none.
    pub log_slower_than: Span,
    /// Pages of which other sites may read answers in a browser, as a regular expression that fits the whole origin,
    /// such as `https://grafana\\.example\\.org`. None if it is empty.
    pub cors_origin: String,
}

impl Default for QueryConfig {
    fn default() -> QueryConfig {
        QueryConfig {
            timeout: Span::minutes(2),
            max_concurrency: 20,
            max_samples: 10_000_000,
            lookback_delta: Span::minutes(5),
            enable_features: Vec::new(),
            log_slower_than: Span::seconds(10),
            cors_origin: String::new(),
        }
    }
}

impl QueryConfig {
    /// What is switched on of the language; names that do not exist are found by [`QueryConfig::check`].
    pub fn features(&self) -> Features {
        Features::named(self.enable_features.iter().map(String::as_str)).unwrap_or_default()
    }

    /// Adds what is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        for (field, span, such_as) in [("timeout", self.timeout, "2m"), ("lookback_delta", self.lookback_delta, "5m")] {
            if span.is_zero() {
                problems
                    .error(&path.field(field), "no time at all lets no query have an answer")
                    .hint(format!("write how long, such as `{such_as}`"));
            }
        }
        for (at, name) in self.enable_features.iter().enumerate() {
            if Features::named([name.as_str()]).is_err() {
                problems
                    .error(&path.field("enable_features").index(at), format!("there is no feature `{name}`"))
                    .hint(format!("known are {}", Features::NAMES.join(", ")));
            }
        }
        if let Err(error) = Matcher::new("origin", MatchOp::Regex, self.cors_origin.as_str()) {
            problems.error(&path.field("cors_origin"), error.to_string());
        }
    }
}

/// Whose watchbell this is.
#[derive(Debug, Clone, Default)]
pub struct SiteInfo {
    /// As configured under `site.name`.
    pub name: String,
    /// The prefix of every link in a page, if it is configured.
    pub url: Option<Url>,
}

/// What the last load of the configuration came to.
#[derive(Debug, Clone)]
pub struct LoadResult {
    /// When the configuration in use was loaded.
    pub loaded_at: Timestamp,
    /// When a later one was refused, if it was.
    pub refused_at: Option<Timestamp>,
    /// Each problem with its file, line and hint: errors if it was refused, warnings otherwise.
    pub problems: Vec<String>,
}

/// The configuration as the surfaces see it. The binary implements it, since only it knows all of the file.
pub trait ConfigView: Send + Sync {
    /// Whose watchbell this is, by the configuration in use.
    fn site(&self) -> SiteInfo;

    /// What the last load came to.
    fn last_load(&self) -> LoadResult;

    /// Reads the configuration again; the problems if it was refused, and the old one stays in use.
    fn reload(&self) -> BoxFuture<'_, Result<(), Vec<String>>>;

    /// The API of Healthchecks.
    fn healthchecks(&self) -> HealthchecksConfig;

    /// The sink, by the configuration in use.
    fn sink(&self) -> SinkConfig;

    /// Buttons of providers, by the configuration in use.
    fn callbacks(&self) -> CallbacksConfig {
        CallbacksConfig::default()
    }

    /// Pages for those who use what is watched.
    fn status_pages(&self) -> Arc<[Arc<StatusPageConfig>]> {
        Arc::from([])
    }

    /// How long an alert of a foreign sender lasts that names no end and is not sent again (`global.resolve_timeout`).
    fn resolve_timeout(&self) -> Span;

    /// The label `job` of this host's own series.
    fn host_job(&self) -> String {
        "host".to_owned()
    }

    /// What queries may take.
    fn query(&self) -> QueryConfig;

    /// Labels that every series and alert has for others (`global.external_labels`).
    fn external_labels(&self) -> Labels;

    /// The configuration in force as YAML, without its secrets.
    fn shown(&self) -> String;

    /// What Prometheus is told by flags, under their names.
    fn flags(&self) -> BTreeMap<String, String>;

    /// Where Alertmanagers elsewhere are that are told of what fires.
    fn alertmanagers(&self) -> Vec<String> {
        Vec::new()
    }

    /// Which release runs.
    fn version(&self) -> &str;

    /// Since when it runs.
    fn started_at(&self) -> Timestamp;
}
