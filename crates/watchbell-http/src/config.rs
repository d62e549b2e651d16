//! What this crate needs to know of the configuration, and may ask of it.

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{BoxFuture, Path, Problems, Secret, Span, Timestamp, Url};

/// Where foreign senders bring alerts to: `POST /sink`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    /// What senders prove themselves with, as the header `X-Alert-Secret` or as `Authorization: Bearer`. Without one
    /// only API tokens are taken.
    #[serde(default)]
    pub secret: Secret,
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

    /// The sink, by the configuration in use.
    fn sink(&self) -> SinkConfig;

    /// How long an alert of a foreign sender lasts that names no end and is not sent again (`global.resolve_timeout`).
    fn resolve_timeout(&self) -> Span;

    /// The label `job` of this host's own series.
    fn host_job(&self) -> String {
        "host".to_owned()
    }

    /// Which release runs.
    fn version(&self) -> &str;

    /// Since when it runs.
    fn started_at(&self) -> Timestamp;
}
