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
use watchbell_notify::{ChannelDefaults, HttpConfig, NtfySwitchConfig, PingConfig, PingMethod, ReceiverConfig};

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
    /// In place of an address: a message that waits on somebody else's ntfy server and is put off each time.
    #[serde(default)]
    pub ntfy: Option<NtfySwitchConfig>,
    /// How often it is asked; at least `10s`, and `1m` unless given; a message of ntfy is put off every `10m`. Let the
    /// other side wait for twice that and two minutes before it tells.
    #[serde(default)]
    pub every: Option<Span>,
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
    /// How often it is asked.
    fn every(&self) -> Span {
        self.every.unwrap_or(if self.ntfy.is_some() { Span::minutes(10) } else { Span::minutes(1) })
    }

    /// Finds what is wrong with all of them; `receivers` are those of the configuration.
    pub fn check_all(all: &[DeadmanConfig], receivers: &[ReceiverConfig], path: &Path, problems: &mut Problems) {
        for (at, it) in all.iter().enumerate() {
            let path = path.index(at);
            let every = it.every();
            match &it.ntfy {
                Some(ntfy) => it.check_ntfy(ntfy, &path, problems),
                None => it.ping().check_alone(&path, problems),
            }
            if every < EVERY_MIN {
                problems
                    .error(&path.field("every"), format!("a ping every {every} is too much"))
                    .hint(format!("at least `{EVERY_MIN}`; the usual is `1m`"));
            }
            if let Some(after) = it.after.filter(|after| *after < every) {
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
        if let Some(ntfy) = &mut self.ntfy {
            if let Some(file) = &mut ntfy.token_file {
                *file = base.join(&*file);
            }
            match &mut ntfy.http_config {
                Some(http) => http.anchor_http_client(base),
                None => ntfy.http_config.clone_from(&defaults.http_config),
            }
        }
    }

    fn check_ntfy(&self, ntfy: &NtfySwitchConfig, path: &Path, problems: &mut Problems) {
        let place = path.field("ntfy");
        ntfy.check_alone(&place, problems);
        if self.url.is_some() || self.url_file.is_some() {
            problems.error(path, "there are both `url` and `ntfy`").hint("give each an entry of its own");
        }
        let every = self.every();
        if ntfy.delay.duration() < every.duration().saturating_mul(2) {
            problems
                .error(&place.field("delay"), format!("{} is short for what is put off every {every}", ntfy.delay))
                .hint("at least twice as long as `every`, so that one failing try does not have it delivered");
        }
        if ntfy.is_too_often(every) {
            problems
                .warning(&path.field("every"), format!("ntfy.sh does not take a message every {every} from everybody"))
                .hint("it takes 250 a day, those of pages included: `10m`, or a server of your own");
        }
    }

    /// The receiver that stands for it.
    fn receiver(&self, name: String) -> ReceiverConfig {
        let mut receiver = ReceiverConfig::named(name);
        match &self.ntfy {
            Some(ntfy) => {
                let ntfy = NtfySwitchConfig { retry_for: ntfy.retry_for.or(Some(self.after())), ..ntfy.clone() };
                receiver.ntfy_switch_configs.push(ntfy);
            }
            None => receiver.ping_configs.push(self.ping()),
        }
        receiver
    }

    fn after(&self) -> Span {
        self.after.unwrap_or(Span(self.every().duration().saturating_mul(3)))
    }

    fn ping(&self) -> PingConfig {
        PingConfig {
            url: self.url.clone(),
            url_file: self.url_file.clone(),
            method: self.method,
            retry_for: Some(self.after()),
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
    let own = all.iter().enumerate().map(|(at, it)| it.receiver(name(at)));
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
        group_interval: Some(it.every()),
        repeat_interval: Some(it.every()),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(entry: serde_json::Value) -> Vec<String> {
        let entry: DeadmanConfig = serde_json::from_value(entry).expect("an entry");
        let mut problems = Problems::new();
        DeadmanConfig::check_all(&[entry], &[], &Path::root().field("deadman"), &mut problems);
        problems.0.into_iter().map(|it| format!("{}: {}", it.path, it.message)).collect()
    }

    #[test]
    fn a_message_on_an_ntfy_server_waits_longer_than_it_is_put_off() {
        let own = serde_json::json!({"url": "https://push.example.org", "topic": "t", "delay": "4m"});
        assert_eq!(problems(serde_json::json!({"ntfy": {"topic": "t"}})), Vec::<String>::new());
        assert_eq!(problems(serde_json::json!({"every": "1m", "ntfy": own})), Vec::<String>::new());
        for (entry, said) in [
            (serde_json::json!({"ntfy": {"topic": "a b"}}), "deadman[0].ntfy.topic: `a b` is not a topic"),
            (
                serde_json::json!({"ntfy": {"topic": "t", "delay": "15m"}}),
                "deadman[0].ntfy.delay: 15m is short for what is put off every 10m",
            ),
            (
                serde_json::json!({"ntfy": {"topic": "t", "delay": "4d"}}),
                "deadman[0].ntfy.delay: a message cannot wait for 4d",
            ),
            (
                serde_json::json!({"every": "1m", "ntfy": {"topic": "t"}}),
                "deadman[0].every: ntfy.sh does not take a message every 1m from everybody",
            ),
            (
                serde_json::json!({"url": "https://hc-ping.com/x", "ntfy": {"topic": "t"}}),
                "deadman[0]: there are both `url` and `ntfy`",
            ),
        ] {
            assert_eq!(problems(entry), [said]);
        }
    }
}
