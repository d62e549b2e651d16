//! Asks when a domain's registration ends, by RDAP (RFC 9082, 9083): the registry's own answer, over HTTP.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use watchbell_model::{Path, Problems, Span, Timestamp, Url};
use watchbell_runtime::http::{self, Request};

use super::attempt::{Attempt, Failure};
use super::config::check_host;
use super::dialogue::shown;
use super::kinds::{Kind, Probing};
use super::tls::date;

/// Where it is written which registry knows which top level domain.
const BOOTSTRAP: &str = "https://data.iana.org/rdap/dns.json";
const ANSWER_BYTES_MAX: usize = 1 << 20;
const REDIRECTS_MAX: u32 = 5;
/// More often no registry wants to be asked.
const INTERVAL_MIN: Span = Span::seconds(3600);

/// A domain's registration: it must not end soon, nor be taken off the net.
#[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainConfig {
    /// The domain as it was registered, such as `example.org`.
    pub name: String,
    /// With how many days left it counts as down.
    #[serde(default = "DomainConfig::default_days_min")]
    pub days_min: u32,
    /// Where it is written which registry to ask; by default IANA's list.
    #[serde(default)]
    pub bootstrap: Option<Url>,
    /// The registry's own RDAP address, such as `https://rdap.example/`; then no list is asked.
    #[serde(default)]
    pub rdap: Option<Url>,
}

impl DomainConfig {
    fn default_days_min() -> u32 {
        21
    }

    async fn registry(&self, attempt: &mut Attempt<'_>) -> Result<String, Failure> {
        if let Some(url) = &self.rdap {
            return Ok(url.as_str().to_owned());
        }
        let url = match &self.bootstrap {
            Some(url) => url.clone(),
            None => BOOTSTRAP.parse().map_err(|error: watchbell_model::UrlError| Failure(error.to_string()))?,
        };
        let list = get(attempt, url, "the list of registries").await?;
        let top = self.name.rsplit('.').next().unwrap_or_default();
        service(&list, top).ok_or_else(|| {
            Failure(format!(
                "the registry of `.{top}` answers no such questions (RDAP): give `rdap`, or watch it in another way"
            ))
        })
    }

    fn judge(&self, answer: &Value, now: Timestamp) -> Result<(Timestamp, String), (Option<Timestamp>, Failure)> {
        let event = |wanted: &str| {
            let events = answer["events"].as_array()?;
            let event = events.iter().find(|it| it["eventAction"].as_str() == Some(wanted))?;
            Timestamp::parse_rfc3339(event["eventDate"].as_str()?)
        };
        let Some(end) = event("expiration") else {
            return Err((None, Failure::new("the registry does not say when the registration ends")));
        };
        let statuses = answer["status"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let held: Vec<&str> = statuses
            .filter(|it| matches!(*it, "client hold" | "server hold" | "redemption period" | "pending delete"))
            .collect();
        if !held.is_empty() {
            return Err((
                Some(end),
                Failure(format!("the registry has taken the domain off the net: {}", held.join(", "))),
            ));
        }
        let days = end.since(now).as_secs() / 86_400;
        if end <= now {
            return Err((Some(end), Failure(format!("the registration has ended on {}", date(end)))));
        }
        let words = format!("registered until {}, for {days} more days", date(end));
        if days < u64::from(self.days_min) {
            return Err((Some(end), Failure(format!("{words}, less than {}: renew it", self.days_min))));
        }
        Ok((end, words))
    }
}

impl Kind for DomainConfig {
    fn target(&self) -> String {
        self.name.clone()
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        check_host(&self.name, &path.field("name"), problems);
        if !self.name.contains('.') || self.name.ends_with('.') {
            problems
                .error(&path.field("name"), format!("`{}` is not a domain that somebody registered", self.name))
                .hint("such as `example.org`");
        }
    }

    fn interval_min(&self) -> Span {
        INTERVAL_MIN
    }

    fn described(&self) -> &'static [(&'static str, &'static str)] {
        &[("probe_domain_expiry_timestamp_seconds", "When the registration ends, in Unix time.")]
    }

    fn probe<'a>(&'a self, attempt: &'a mut Attempt<'_>) -> Probing<'a> {
        Box::pin(async move {
            let registry = self.registry(attempt).await?;
            let url = format!("{}/domain/{}", registry.trim_end_matches('/'), self.name);
            let url = url.parse().map_err(|error: watchbell_model::UrlError| Failure(error.to_string()))?;
            let answer = get(attempt, url, "the registry's answer").await?;
            let judged = self.judge(&answer, attempt.runtime.clock.now());
            let end = match &judged {
                Ok((end, _)) => Some(*end),
                Err((end, _)) => *end,
            };
            if let Some(end) = end {
                attempt.sample("probe_domain_expiry_timestamp_seconds", &[], end.as_seconds());
            }
            judged.map(|(_, words)| words).map_err(|(_, failure)| failure)
        })
    }
}

async fn get(attempt: &mut Attempt<'_>, url: Url, what: &str) -> Result<Value, Failure> {
    let place = url.as_str().to_owned();
    let mut request = Request::get(url).header("accept", "application/rdap+json, application/json");
    request.timeout = attempt.remaining();
    request.body_max = ANSWER_BYTES_MAX;
    request.redirects_max = REDIRECTS_MAX;
    let response = http::send(attempt.runtime, request).await;
    let response = response.map_err(|error| Failure(format!("{what} cannot be had from {place}: {error}")))?;
    for (phase, time) in &response.phases {
        attempt.spent(*phase, *time);
    }
    match response.status {
        200 => {}
        404 => return Err(Failure(format!("the registry knows no such domain ({place} answers 404)"))),
        429 => return Err(Failure::new("the registry is asked too often (429): lengthen `interval`")),
        status => return Err(Failure(format!("{what} cannot be had: {place} answers with status {status}"))),
    }
    serde_json::from_slice(&response.body)
        .map_err(|error| Failure(format!("{what} is not JSON: {}", shown(&error.to_string()))))
}

/// The address of the registry of a top level domain: `[[["org", …], ["https://rdap.example/", …]], …]`.
fn service(list: &Value, top: &str) -> Option<String> {
    let services = list["services"].as_array()?;
    let service = services.iter().find(|service| {
        service[0]
            .as_array()
            .is_some_and(|tops| tops.iter().any(|it| it.as_str().is_some_and(|it| it.eq_ignore_ascii_case(top))))
    })?;
    let urls = service[1].as_array()?.iter().filter_map(Value::as_str);
    urls.max_by_key(|url| url.starts_with("https://")).map(str::to_owned)
}
