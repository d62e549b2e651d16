//! A ping: an address is asked, and that is all. Whoever is behind it tells people when it is not asked any more.
//!
//! It carries no words, so there is nothing to be cut, filled or linked; and one that is late is worth nothing once the
//! next one is due, so that it is not tried for as long as a page.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems, Secret, Span};
use watchbell_runtime::Disk;
use watchbell_runtime::http::Request;

use super::{Attempt, Channel, Draft, HasOptions, Options, Outgoing, Rendered, address_of, check_address, secret_of};
use crate::config::{self, HttpConfig};
use crate::template_data::Templates;

/// How long a ping is tried unless it is said.
const RETRY_FOR: Span = Span::minutes(3);

/// An address that is asked, without a word of what is wrong: a check of Healthchecks, a heartbeat of another watchbell
/// (`/ping/<key>/<slug>`), of PagerDuty or of Opsgenie.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PingConfig {
    /// The address; whoever has it can ping in your place, so take it from a secret: `${secret:name}`.
    #[serde(default)]
    pub url: Option<Secret>,
    /// A file that holds it.
    #[serde(default)]
    pub url_file: Option<PathBuf>,
    /// How it is asked.
    #[serde(default)]
    pub method: PingMethod,
    /// How long one ping is tried; `3m` unless given. After that it is given up, which is a trouble.
    #[serde(default)]
    pub retry_for: Option<Span>,
    /// Whether it is asked also when an alert is over.
    #[serde(default)]
    pub send_resolved: bool,
    /// Bound on one try; `10s` unless given.
    #[serde(default)]
    pub timeout: Span,
    /// How the address is spoken to; unless given, as `global.http_config` says.
    #[serde(default)]
    pub http_config: Option<HttpConfig>,
}

/// How an address is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum PingMethod {
    /// `GET`
    #[default]
    Get,
    /// `POST`, without a body.
    Post,
}

impl PingConfig {
    /// Finds what is wrong with it where it is no channel of a receiver, which sees to the rest.
    pub fn check_alone(&self, path: &Path, problems: &mut Problems) {
        self.check_url(path, problems);
        config::check_timeout(self.timeout, path, problems);
        if let Some(http) = &self.http_config {
            http.http_client().check(&path.field("http_config"), problems);
        }
    }

    fn check_url(&self, path: &Path, problems: &mut Problems) {
        let hint = "give the address, or a file that holds it as `url_file`";
        check_address("url", &self.url, &self.url_file, hint, path, problems);
    }
}

impl HasOptions for PingConfig {
    fn options(&self) -> Options<'_> {
        Options {
            send_resolved: self.send_resolved,
            timeout: config::timeout(self.timeout),
            http: self.http_config.as_ref(),
        }
    }

    fn http_mut(&mut self) -> Option<&mut Option<HttpConfig>> {
        Some(&mut self.http_config)
    }
}

impl Channel for PingConfig {
    fn kind(&self) -> &'static str {
        "ping"
    }

    fn files_mut(&mut self) -> Vec<&mut PathBuf> {
        self.url_file.iter_mut().collect()
    }

    fn check(&self, _: &Templates, path: &Path, problems: &mut Problems) {
        self.check_url(path, problems);
    }

    fn render(&self, draft: &Draft<'_>) -> Rendered {
        let headers = vec![("Idempotency-Key".into(), draft.key.to_owned())];
        Rendered { headers, body: String::new(), template_errors: Vec::new() }
    }

    fn send(&self, rendered: &Rendered, attempt: &Attempt<'_>) -> Result<Vec<Outgoing>, String> {
        let url = address_of(attempt.disk, "url", &self.url, &self.url_file)?;
        let mut request = match self.method {
            PingMethod::Get => Request::get(url),
            PingMethod::Post => Request::post(url, ""),
        };
        request.headers.clone_from(&rendered.headers);
        Ok(vec![Outgoing::Http(Box::new(request))])
    }

    fn retry_for(&self) -> Option<Duration> {
        Some(self.retry_for.unwrap_or(RETRY_FOR).duration())
    }

    fn is_for_people(&self) -> bool {
        false
    }

    /// Pings that overtake each other say nothing more.
    fn at_once(&self) -> usize {
        1
    }

    fn secrets(&self, disk: &Disk) -> Vec<Secret> {
        config::url_secrets(&secret_of(disk, &self.url, &self.url_file))
    }
}
