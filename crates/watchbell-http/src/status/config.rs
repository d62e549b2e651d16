//! `status_pages:` of the configuration.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_alarms::Pictures;
use watchbell_model::{AlarmId, Path, Problems, Secret, Url, near_hint};

/// A page for those who use what is watched: what works, what does not, and since when. It is served at `/status/NAME`.
///
/// With `public: true` everybody sees it, with a `token` those who have it; otherwise those who are signed in.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatusPageConfig {
    /// The last part of its address: small letters, digits and `-`.
    pub name: String,
    /// What stands on top; the name of the site unless it is given.
    #[serde(default)]
    pub title: Option<String>,
    /// A few words under the title.
    #[serde(default)]
    pub description: String,
    /// A host name of its own, such as `status.example.org`: its root is this page, and nothing else of watchbell is there.
    #[serde(default)]
    pub host: Option<String>,
    /// Whether everybody may see it.
    #[serde(default)]
    pub public: bool,
    /// Who knows it may see the page, as `/status/NAME?token=…`; take it from a secret: `${secret:name}`.
    #[serde(default)]
    pub token: Secret,
    /// What it shows, in this order.
    pub groups: Vec<StatusGroupConfig>,
    /// Its colours: those that the reader's device asks for, or always the same.
    #[serde(default)]
    pub theme: Theme,
    /// The last line.
    #[serde(default)]
    pub footer: String,
    /// How many days the bars go back.
    #[serde(default = "StatusPageConfig::default_history_days")]
    #[schemars(range(min = 1, max = 365))]
    pub history_days: u32,
    /// Whose days they are and in which zone times are written: `Europe/Berlin`, `UTC`, or `Local` for this machine's.
    #[serde(default = "StatusPageConfig::default_time_zone")]
    pub time_zone: String,
    /// Whether it says when certificates end.
    #[serde(default)]
    pub show_certificates: bool,
    /// Whether it says how long the last probe took.
    #[serde(default)]
    pub show_latency: bool,
    /// Whether it says what a probe saw that failed. That may name addresses and other things of the inside.
    #[serde(default)]
    pub show_reasons: bool,
}

/// Colours of a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Theme {
    /// As the reader's device has it.
    #[default]
    Auto,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

/// Things that belong together.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatusGroupConfig {
    /// What people call them.
    #[serde(default)]
    pub name: String,
    /// What is in it, in this order.
    pub items: Vec<StatusItemConfig>,
}

/// One thing that works or does not: a monitor or a heartbeat.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatusItemConfig {
    /// The monitor that knows it.
    #[serde(default)]
    pub monitor: Option<String>,
    /// Or the heartbeat.
    #[serde(default)]
    pub heartbeat: Option<String>,
    /// What people call it; the monitor's or heartbeat's own name unless it is given.
    #[serde(default)]
    pub name: Option<String>,
    /// A few words under it.
    #[serde(default)]
    pub description: String,
}

impl StatusItemConfig {
    /// The alarm that knows whether it works.
    pub(crate) fn alarm(&self) -> AlarmId {
        match (&self.monitor, &self.heartbeat) {
            (Some(name), _) => format!("monitor/{name}"),
            (None, name) => format!("heartbeat/{}", name.as_deref().unwrap_or_default()),
        }
    }

    /// What people call it.
    pub(crate) fn shown_name(&self) -> &str {
        let name = self.name.as_ref().or(self.monitor.as_ref()).or(self.heartbeat.as_ref());
        name.map_or("", String::as_str)
    }
}

/// A name as part of an address: `Reading mail` is `reading-mail`.
pub(crate) fn slug(name: &str) -> String {
    let plain: String = name.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    plain.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

impl StatusPageConfig {
    /// A shorter token could be guessed.
    const TOKEN_LEN_MIN: usize = 16;
    const DAYS_MAX: u32 = 365;

    fn default_history_days() -> u32 {
        90
    }

    fn default_time_zone() -> String {
        "UTC".into()
    }

    /// Whose days are shown.
    pub(crate) fn zone(&self) -> TimeZone {
        Pictures::zone_of(&self.time_zone).unwrap_or(TimeZone::UTC)
    }

    /// Adds what is wrong with all of them. `monitors` and `heartbeats` are the names of the configuration, `site` is the
    /// address of everything else.
    pub fn check_all(
        pages: &[StatusPageConfig],
        monitors: &[&str],
        heartbeats: &[&str],
        site: Option<&Url>,
        path: &Path,
        problems: &mut Problems,
    ) {
        let (mut names, mut hosts) = (BTreeSet::new(), BTreeSet::new());
        for (at, page) in pages.iter().enumerate() {
            let path = path.index(at);
            page.check(monitors, heartbeats, &path, problems);
            if !names.insert(&page.name) {
                problems
                    .error(&path.field("name"), format!("there are two status pages named `{}`", page.name))
                    .hint("give each a name of its own");
            }
            let Some(host) = &page.host else { continue };
            if !hosts.insert(host.to_ascii_lowercase()) {
                problems
                    .error(&path.field("host"), format!("another status page is at `{host}` already"))
                    .hint("give each a host name of its own, or none");
            }
            if site.is_some_and(|site| site.host().eq_ignore_ascii_case(host)) {
                problems
                    .error(&path.field("host"), "it is the host of `site.url`, where everything else is")
                    .hint(format!("leave it out, the page is at `/status/{}` there; or take another name", page.name));
            }
        }
    }

    fn check(&self, monitors: &[&str], heartbeats: &[&str], path: &Path, problems: &mut Problems) {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || !self.name.chars().all(plain) {
            problems
                .error(&path.field("name"), format!("`{}` cannot be part of an address", self.name))
                .hint("small letters, digits and `-`, such as `public`");
        }
        if let Some(host) = &self.host
            && (host.is_empty() || !host.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.'))
        {
            problems
                .error(&path.field("host"), format!("`{host}` is not a host name"))
                .hint("without `https://`, a port or a path, such as `status.example.org`");
        }
        let token = self.token.expose();
        if self.public && !token.is_empty() {
            problems
                .error(&path.field("token"), "everybody may see the page, so it needs no token")
                .hint("leave out `public` or `token`");
        }
        if !token.is_empty() && token.len() < StatusPageConfig::TOKEN_LEN_MIN {
            let words = format!("it is shorter than {} characters and can be guessed", StatusPageConfig::TOKEN_LEN_MIN);
            problems.error(&path.field("token"), words).hint("make one with `openssl rand -hex 16`");
        }
        if !token.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~')) {
            problems
                .error(&path.field("token"), "it does not fit into an address")
                .hint("letters, digits, `-` and `_`");
        }
        if !(1..=StatusPageConfig::DAYS_MAX).contains(&self.history_days) {
            problems
                .error(&path.field("history_days"), format!("{} days cannot be shown", self.history_days))
                .hint(format!("1 to {}", StatusPageConfig::DAYS_MAX));
        }
        if Pictures::zone_of(&self.time_zone).is_none() {
            problems
                .error(&path.field("time_zone"), format!("`{}` is not a known time zone", self.time_zone))
                .hint("write it as `Europe/Berlin`, `UTC` or `Local`");
        }
        let groups = path.field("groups");
        if self.groups.iter().all(|group| group.items.is_empty()) {
            problems
                .error(&groups, "the page shows nothing")
                .hint("name monitors or heartbeats under `groups[].items`");
        }
        let mut slugs = BTreeSet::new();
        for (at, group) in self.groups.iter().enumerate() {
            for (nth, item) in group.items.iter().enumerate() {
                let path = groups.index(at).field("items").index(nth);
                item.check(monitors, heartbeats, &path, problems);
                let name = item.shown_name();
                if !name.is_empty() && slug(name).is_empty() {
                    problems.error(&path.field("name"), format!("`{name}` has neither a letter nor a digit"));
                } else if !name.is_empty() && !slugs.insert(slug(name)) {
                    problems
                        .error(&path, format!("the page shows `{name}` twice"))
                        .hint("give one of them a `name` of its own; that is also what its badges are called");
                }
            }
        }
    }
}

impl StatusItemConfig {
    fn check(&self, monitors: &[&str], heartbeats: &[&str], path: &Path, problems: &mut Problems) {
        let (field, kind, name, known) = match (&self.monitor, &self.heartbeat) {
            (Some(name), None) => ("monitor", "monitors", name, monitors),
            (None, Some(name)) => ("heartbeat", "heartbeats", name, heartbeats),
            (both, _) => {
                let words = if both.is_some() { "it is of a monitor and of a heartbeat" } else { "nothing is named" };
                problems.error(path, words).hint("give `monitor` or `heartbeat`, the name of one");
                return;
            }
        };
        if !known.contains(&name.as_str()) {
            let other = if field == "monitor" { heartbeats } else { monitors };
            let hint = if other.contains(&name.as_str()) {
                format!("it is a {}", if field == "monitor" { "heartbeat" } else { "monitor" })
            } else {
                near_hint(name, kind, known.iter().copied())
            };
            problems.error(&path.field(field), format!("there is no {field} named `{name}`")).hint(hint);
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn said(json: &str) -> String {
        let pages: Vec<StatusPageConfig> = serde_json::from_str(json).expect("pages");
        let mut problems = Problems::new();
        let site: Url = "https://watch.example.org".parse().expect("an address");
        let path = Path::root().field("status_pages");
        StatusPageConfig::check_all(&pages, &["imap", "smtp"], &["backup"], Some(&site), &path, &mut problems);
        let line = |it: &watchbell_model::Problem| {
            format!("{}: {} ({})\n", it.path, it.message, it.hint.as_deref().unwrap_or_default())
        };
        problems.0.iter().map(line).collect()
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let good = r#"[{"name": "public", "public": true, "host": "status.example.org", "groups": [{"name": "Mail",
            "items": [{"monitor": "imap", "name": "Reading mail"}, {"monitor": "smtp"}, {"heartbeat": "backup"}]}]}]"#;
        assert_eq!(said(good), "");
        expect![[r#"
            status_pages[0].name: `Public page` cannot be part of an address (small letters, digits and `-`, such as `public`)
            status_pages[0].host: `https://x` is not a host name (without `https://`, a port or a path, such as `status.example.org`)
            status_pages[0].token: everybody may see the page, so it needs no token (leave out `public` or `token`)
            status_pages[0].token: it is shorter than 16 characters and can be guessed (make one with `openssl rand -hex 16`)
            status_pages[0].token: it does not fit into an address (letters, digits, `-` and `_`)
            status_pages[0].history_days: 0 days cannot be shown (1 to 365)
            status_pages[0].time_zone: `Mars/Olympus` is not a known time zone (write it as `Europe/Berlin`, `UTC` or `Local`)
            status_pages[0].groups: the page shows nothing (name monitors or heartbeats under `groups[].items`)
            status_pages[1].groups[0].items[0].monitor: there is no monitor named `imp` (did you mean `imap`?)
            status_pages[1].groups[0].items[1].monitor: there is no monitor named `backup` (it is a heartbeat)
            status_pages[1].groups[0].items[2]: nothing is named (give `monitor` or `heartbeat`, the name of one)
            status_pages[1].groups[0].items[3]: it is of a monitor and of a heartbeat (give `monitor` or `heartbeat`, the name of one)
            status_pages[1].groups[0].items[5]: the page shows `IMAP!` twice (give one of them a `name` of its own; that is also what its badges are called)
            status_pages[1].host: it is the host of `site.url`, where everything else is (leave it out, the page is at `/status/a` there; or take another name)
            status_pages[2].name: there are two status pages named `a` (give each a name of its own)
            status_pages[2].host: another status page is at `WATCH.example.org` already (give each a host name of its own, or none)
            status_pages[2].host: it is the host of `site.url`, where everything else is (leave it out, the page is at `/status/a` there; or take another name)
        "#]]
        .assert_eq(&said(
            r#"[{"name": "Public page", "host": "https://x", "public": true, "token": "a b", "history_days": 0,
                "time_zone": "Mars/Olympus", "groups": []},
              {"name": "a", "host": "watch.example.org", "groups": [{"items": [{"monitor": "imp"},
                {"monitor": "backup"}, {}, {"monitor": "imap", "heartbeat": "backup", "name": "b"},
                {"monitor": "imap"}, {"monitor": "smtp", "name": "IMAP!"}]}]},
              {"name": "a", "host": "WATCH.example.org", "groups": [{"items": [{"monitor": "imap"}]}]}]"#,
        ));
    }

    #[test]
    fn a_name_becomes_part_of_an_address() {
        for (name, slug) in [("Reading mail", "reading-mail"), ("IMAP (993)", "imap-993"), ("Über uns", "über-uns")] {
            assert_eq!(super::slug(name), slug);
        }
    }
}
