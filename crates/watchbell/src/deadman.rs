//! The dead man's switch: somebody else notices when watchbell is dead.
//!
//! An alarm that always fires goes to an address elsewhere again and again, on the way of every page: sample, store,
//! rule, alert, outbox, channel. Whatever stops on that way stops the pings, and whoever misses them tells people.
//!
//! A `deadman` stands for what could almost be written by hand: the rule of the pack `deadman`, a receiver for each entry,
//! and a route before all others. What could not: no silence, inhibition or acknowledgement stops it.

use std::path::Path as FilePath;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_alerts::RouteConfig;
use watchbell_model::{Path, Problems, Secret, Span};
use watchbell_notify::{ChannelDefaults, HttpConfig, PingConfig, PingMethod, ReceiverConfig};

/// The name under which its rules are shown.
pub const PACK: &str = "packs/deadman";
/// How often watchbell's own numbers are taken at least, as the rule expects them.
pub const SAMPLE: Span = Span::seconds(15);
/// The least time between pings.
const EVERY_MIN: Span = Span::seconds(10);
/// The alert it sends on, and no other of that name.
const MATCHERS: [&str; 2] = ["alertname=\"Watchdog\"", "source=\"rule/deadman/Watchdog\""];

/// An address that is asked as long as watchbell lives, and tells people when it is not asked any more: a check of
/// Healthchecks, a heartbeat of another watchbell (`/ping/<key>/<slug>`), of PagerDuty or of Opsgenie.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadmanConfig {
    /// The address; whoever has it can ping in your place, so take it from a secret: `${secret:name}`.
    #[serde(default)]
    pub url: Option<Secret>,
    /// A file that holds it.
    #[serde(default)]
    pub url_file: Option<PathBuf>,
    /// How it is asked.
    #[serde(default)]
    pub method: PingMethod,
    /// How often it is asked; at least `10s`. Let the other side wait for twice that and two minutes before it tells.
    #[serde(default = "DeadmanConfig::default_every")]
    pub every: Span,
    /// After how long of failing pings watchbell itself tells that it does not reach the address; three times `every`
    /// unless given.
    #[serde(default)]
    pub after: Option<Span>,
    /// Bound on one try; `10s` unless given.
    #[serde(default)]
    pub timeout: Span,
    /// How the address is spoken to; unless given, as `global.http_config` says.
    #[serde(default)]
    pub http_config: Option<HttpConfig>,
}

impl DeadmanConfig {
    fn default_every() -> Span {
        Span::minutes(1)
    }

    /// Finds what is wrong with all of them; `receivers` are those of the configuration.
    pub fn check_all(all: &[DeadmanConfig], receivers: &[ReceiverConfig], path: &Path, problems: &mut Problems) {
        for (at, it) in all.iter().enumerate() {
            let path = path.index(at);
            it.ping().check_alone(&path, problems);
            if it.every < EVERY_MIN {
                problems
                    .error(&path.field("every"), format!("a ping every {} is too much", it.every))
                    .hint(format!("at least `{EVERY_MIN}`; the usual is `1m`"));
            }
            if let Some(after) = it.after.filter(|after| *after < it.every) {
                problems
                    .error(&path.field("after"), format!("{after} is over before the next ping is due"))
                    .hint("at least as long as `every`; three times that unless given");
            }
        }
        let taken = |receiver: &ReceiverConfig| (0..all.len()).any(|at| receiver.name == name(at));
        for (at, receiver) in receivers.iter().enumerate().filter(|(_, receiver)| taken(receiver)) {
            problems
                .error(
                    &Path::root().field("receivers").index(at).field("name"),
                    format!("`{}` is what an entry of `deadman` is called", receiver.name),
                )
                .hint("give the receiver another name");
        }
    }

    /// Takes over what is said for all channels, and makes files it names relative to a folder.
    pub fn complete(&mut self, defaults: &ChannelDefaults, base: &FilePath) {
        if let Some(file) = &mut self.url_file {
            *file = base.join(&*file);
        }
        match &mut self.http_config {
            Some(http) => http.anchor_http_client(base),
            None => self.http_config.clone_from(&defaults.http_config),
        }
    }

    fn ping(&self) -> PingConfig {
        PingConfig {
            url: self.url.clone(),
            url_file: self.url_file.clone(),
            method: self.method,
            retry_for: Some(self.after.unwrap_or(Span(self.every.duration().saturating_mul(3)))),
            timeout: self.timeout,
            http_config: self.http_config.clone(),
            ..PingConfig::default()
        }
    }
}

/// What the receiver of an entry is called.
fn name(at: usize) -> String {
    format!("deadman-{}", at + 1)
}

/// The receivers of a configuration, and one for each entry.
pub fn receivers(configured: &[ReceiverConfig], all: &[DeadmanConfig]) -> Vec<ReceiverConfig> {
    let own = all
        .iter()
        .enumerate()
        .map(|(at, it)| ReceiverConfig { ping_configs: vec![it.ping()], ..ReceiverConfig::named(name(at)) });
    configured.iter().cloned().chain(own).collect()
}

/// The route of a configuration with one before all others, which takes the alert that always fires to every entry.
pub fn route(mut configured: RouteConfig, all: &[DeadmanConfig]) -> RouteConfig {
    if all.is_empty() {
        return configured;
    }
    let entries = all.iter().enumerate().map(|(at, it)| RouteConfig {
        receiver: Some(name(at)),
        group_by: Some(vec!["alertname".into()]),
        group_wait: Some(Span::ZERO),
        group_interval: Some(it.every),
        repeat_interval: Some(it.every),
        continue_: at + 1 < all.len(),
        always: true,
        ..RouteConfig::default()
    });
    let first = RouteConfig {
        matchers: MATCHERS.map(str::to_owned).to_vec(),
        routes: entries.collect(),
        ..RouteConfig::default()
    };
    configured.routes.insert(0, first);
    configured
}
