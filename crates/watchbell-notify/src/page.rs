//! Writes a group of alerts as a page: words a person understands who was asleep a minute ago.
//!
//! Pure. The same page is what every channel starts from; a channel with templates of its own replaces the words, never
//! the run book.

use serde::Serialize;
use watchbell_model::{
    Alert, GroupNotification, Labels, NotificationReason, RunbookRef, Severity, Span, Subject, Timestamp,
};

use crate::config::Site;
use crate::cut::{Unit, cut, one_line};
use crate::runbook::Library;

/// Alerts named in a page's text; the rest is counted.
const NAMED_MAX: usize = 10;
/// The longest title before a channel cuts it further, in characters.
const TITLE_MAX: usize = 250;
/// The longest description that is taken over, in characters.
const DESCRIPTION_MAX: usize = 2000;

/// Whether anything still fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PageStatus {
    /// Something does.
    Firing,
    /// All is over.
    Resolved,
}

/// One alert of a page.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PageAlert {
    /// What is wrong, in one line.
    pub summary: String,
    /// How bad it is.
    pub severity: Severity,
    /// Since when.
    pub since: Timestamp,
    /// When it was over, if it is.
    pub until: Option<Timestamp>,
    /// Its labels.
    pub labels: Labels,
    /// Its run book, or the generated page in its place.
    pub runbook_url: String,
}

/// A group of alerts, written for a person.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Page {
    /// One line: `[CRITICAL] IMAP TLS handshake is down`.
    pub title: String,
    /// A few lines: what, since when, what else.
    pub text: String,
    /// The worst of what fires, or of what fired.
    pub severity: Severity,
    /// Whether anything still fires.
    pub status: PageStatus,
    /// The run book of the worst alert.
    pub runbook_url: String,
    /// Whether that is a generated page, since nobody wrote a run book.
    pub runbook_is_stub: bool,
    /// The page of the alarm that raised the worst alert, or the site.
    pub alarm_url: String,
    /// Where somebody who is not signed in says that they see to it, by `POST`; `GET` asks first. Nothing for what is
    /// over, or where links cannot be signed.
    pub acknowledge_url: Option<String>,
    /// Where it can be silenced for a while; the same way.
    pub silence_url: Option<String>,
    /// Where it can be said whether the page was worth it, of what is over too; the same way.
    pub verdict_url: Option<String>,
    /// Where a picture of the graph is for a week; nothing where there is none, or where only this machine would find it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture_url: Option<String>,
    /// Names the group for ever: its later pages replace earlier ones where a channel can do that.
    pub sequence_id: String,
    /// Alerts, worst and oldest first, firing before resolved.
    pub alerts: Vec<PageAlert>,
    /// When it was written.
    pub at: Timestamp,
}

impl Page {
    /// Writes a group. A group without alerts is written as its labels.
    pub fn write(group: &GroupNotification, site: &Site, runbooks: &Library) -> Page {
        let alerts = sorted(group);
        let status = if group.is_resolved() { PageStatus::Resolved } else { PageStatus::Firing };
        let listed: Vec<PageAlert> = alerts
            .iter()
            .map(|alert| PageAlert {
                summary: cut(&summary(alert), TITLE_MAX, Unit::Characters),
                severity: severity(alert),
                since: alert.starts_at,
                until: alert.ends_at.filter(|end| *end <= group.at),
                labels: alert.labels.clone(),
                runbook_url: runbook(alert, site, runbooks).0,
            })
            .collect();
        let first = alerts.first().copied();
        let (runbook_url, runbook_is_stub) = match first {
            Some(alert) => runbook(alert, site, runbooks),
            None => (site.open_address("/runbooks/stub"), true),
        };
        let alarm_url = match first {
            Some(alert) if is_web(&alert.generator_url) => alert.generator_url.clone(),
            _ => site.address("/"),
        };
        let of_alerts = first.is_some() && group.reason != NotificationReason::Flood;
        let action = |name: &str| {
            let open = status == PageStatus::Firing && of_alerts;
            open.then(|| site.action_address(name, group, "")).flatten()
        };
        // Which of the group's alerts it is about: those that began within.
        let since = alerts.iter().map(|alert| alert.starts_at).min().unwrap_or(group.at).as_millis() / 1000;
        let about = format!("&since={since}&at={}", group.at.as_millis() / 1000 + 1);
        let verdict_url = of_alerts.then(|| site.action_address("verdict", group, &about)).flatten();
        Page {
            acknowledge_url: action("acknowledge"),
            silence_url: action("silence"),
            verdict_url,
            picture_url: None,
            title: title(&listed, status, &group.group_labels),
            text: text(&listed, first, group.at, runbook_is_stub),
            severity: listed.first().map_or(Severity::Critical, |alert| alert.severity),
            status,
            runbook_url,
            runbook_is_stub,
            alarm_url,
            sequence_id: group.group_id(),
            alerts: listed,
            at: group.at,
        }
    }

    /// What a picture of it shows: the worst alert, and those that the same alarm raised.
    pub(crate) fn subject(&self, group: &GroupNotification) -> Option<Subject> {
        Subject::of(&self.alerts.first()?.summary, &sorted(group), group.at)
    }

    /// What can be done about it without signing in: what the link is called, and where it leads.
    pub(crate) fn actions(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all =
            [("Acknowledge", &self.acknowledge_url), ("Silence", &self.silence_url), ("Mark false", &self.verdict_url)];
        all.into_iter().filter_map(|(label, url)| Some((label, url.as_deref()?)))
    }

    /// Whether it is over.
    pub(crate) fn is_resolved(&self) -> bool {
        self.status == PageStatus::Resolved
    }
}

/// The alerts of a group: what fires before what is over, the worst first, then the oldest.
fn sorted(group: &GroupNotification) -> Vec<&Alert> {
    let mut alerts: Vec<&Alert> = group.alerts.iter().collect();
    let over = |alert: &Alert| alert.is_resolved_at(group.at);
    alerts.sort_by_key(|alert| (over(alert), std::cmp::Reverse(severity(alert)), alert.starts_at));
    alerts
}

/// How bad an alert says it is. Words of other systems are taken in their sense; one that is unknown or missing is
/// critical, so that nobody sleeps through it.
pub(crate) fn severity(alert: &Alert) -> Severity {
    let word = alert.labels.get("severity").unwrap_or("").to_ascii_lowercase();
    match word.as_str() {
        "info" | "informational" | "notice" | "none" | "debug" | "ok" | "low" => Severity::Info,
        "warning" | "warn" | "minor" | "moderate" | "medium" | "ticket" => Severity::Warning,
        _ => Severity::Critical,
    }
}

/// The annotation `summary`, or what else says what is wrong.
fn summary(alert: &Alert) -> String {
    let said = ["summary", "message", "title"].iter().find_map(|name| alert.annotations.get(name));
    if let Some(said) = said.map(one_line).filter(|said| !said.is_empty()) {
        return said;
    }
    let name = one_line(if alert.name().is_empty() { "An alert without a name" } else { alert.name() });
    let at = ["instance", "monitor", "heartbeat", "host", "job", "service"].iter();
    match at.copied().find_map(|label| alert.labels.get(label)) {
        Some(place) => format!("{name} ({})", one_line(place)),
        None => name,
    }
}

fn title(alerts: &[PageAlert], status: PageStatus, group: &Labels) -> String {
    let Some(first) = alerts.first() else {
        return cut(&format!("[CRITICAL] {group}"), TITLE_MAX, Unit::Characters);
    };
    let end = match status {
        PageStatus::Resolved => {
            let since = alerts.iter().map(|alert| alert.since).min().unwrap_or(first.since);
            let until = alerts.iter().filter_map(|alert| alert.until).max().unwrap_or(first.since);
            format!("{} (after {})", more(alerts.len() - 1), words(until.since(since)))
        }
        PageStatus::Firing => more(alerts.iter().filter(|alert| alert.until.is_none()).count().saturating_sub(1)),
    };
    let start = match status {
        PageStatus::Firing => format!("[{}] ", first.severity.as_str().to_uppercase()),
        PageStatus::Resolved => "RESOLVED: ".to_owned(),
    };
    // The end says how many more there are and must survive the cut.
    let room = TITLE_MAX - start.chars().count() - end.chars().count();
    format!("{start}{}{end}", cut(&first.summary, room, Unit::Characters))
}

fn more(count: usize) -> String {
    if count == 0 { String::new() } else { format!(" (+{count} more)") }
}

fn words(time: std::time::Duration) -> String {
    if time.as_secs() == 0 { "less than a second".to_owned() } else { Span(time).in_words() }
}

fn text(alerts: &[PageAlert], first: Option<&Alert>, now: Timestamp, stub: bool) -> String {
    let mut lines = Vec::new();
    if let (Some(alert), Some(shown)) = (first, alerts.first()) {
        if let Some(description) =
            alert.annotations.get("description").map(str::trim).filter(|it| !it.is_empty() && *it != shown.summary)
        {
            lines.push(cut(description, DESCRIPTION_MAX, Unit::Characters));
        }
        lines.push(match shown.until {
            None if now.since(shown.since).as_secs() == 0 => format!("Since {}.", moment(shown.since)),
            None => format!("Since {}, for {}.", moment(shown.since), words(now.since(shown.since))),
            Some(until) => {
                let length = words(until.since(shown.since));
                format!("From {} to {}, {length}.", moment(shown.since), moment(until))
            }
        });
        if let Some(value) = alert.annotations.get("value") {
            lines.push(format!("Value: {}", cut(&one_line(value), TITLE_MAX, Unit::Characters)));
        }
        let places = ["source", "instance", "job"].iter().filter_map(|label| alert.labels.get(label));
        let places: Vec<String> = places.map(one_line).collect();
        if !places.is_empty() {
            lines.push(format!("Where: {}", cut(&places.join(", "), TITLE_MAX, Unit::Characters)));
        }
    }
    let rest = alerts.get(1..).unwrap_or_default();
    let firing: Vec<&PageAlert> = rest.iter().filter(|alert| alert.until.is_none()).collect();
    let over: Vec<&PageAlert> = rest.iter().filter(|alert| alert.until.is_some()).collect();
    list(&mut lines, "Also firing", &firing, |alert| {
        format!("- [{}] {}", alert.severity.as_str().to_uppercase(), alert.summary)
    });
    list(&mut lines, "Over", &over, |alert| {
        let length = alert.until.unwrap_or(alert.since).since(alert.since);
        format!("- {} after {}", alert.summary, words(length))
    });
    if stub {
        lines.push("Nobody has written a run book for this yet; the link opens a generated page.".to_owned());
    }
    lines.join("\n")
}

fn list(lines: &mut Vec<String>, heading: &str, alerts: &[&PageAlert], line: impl Fn(&PageAlert) -> String) {
    if alerts.is_empty() {
        return;
    }
    lines.push(format!("{heading}:"));
    lines.extend(alerts.iter().take(NAMED_MAX).map(|alert| line(alert)));
    if alerts.len() > NAMED_MAX {
        lines.push(format!("- and {} more", alerts.len() - NAMED_MAX));
    }
}

/// `2026-01-05 00:02 UTC`
pub(crate) fn moment(at: Timestamp) -> String {
    let text = at.to_string();
    match (text.get(..10), text.get(11..16)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        _ => text,
    }
}

fn is_web(url: &str) -> bool {
    url.parse::<watchbell_model::Url>().is_ok()
}

/// The run book of an alert, and whether it is a generated page: its own annotation, else the one of its source,
/// else a page made up of what is known of the alert.
fn runbook(alert: &Alert, site: &Site, runbooks: &Library) -> (String, bool) {
    let own = alert.annotations.get("runbook_url").or_else(|| alert.annotations.get("runbook"));
    let own = own.and_then(|text| text.trim().parse::<RunbookRef>().ok());
    let of_source = || alert.labels.get("source").and_then(|source| runbooks.for_source(source));
    let opened = own.and_then(|it| opened(&it, site, runbooks)).or_else(|| opened(&of_source()?, site, runbooks));
    match opened {
        Some(url) => (url, false),
        None => (site.open_address(&format!("/runbooks/stub?fingerprint={:016x}", alert.fingerprint())), true),
    }
}

/// The address of a run book, if it opens: one of ours must be there; what others serve is taken on trust.
fn opened(runbook: &RunbookRef, site: &Site, runbooks: &Library) -> Option<String> {
    let under_site = format!("{}/runbooks/", site.url.as_str().trim_end_matches('/'));
    let name = match runbook {
        RunbookRef::Named(name) => name,
        RunbookRef::External(url) => match url.as_str().strip_prefix(&under_site) {
            // A generated page is made when it is opened.
            Some(name) if name.starts_with("stub?") => return Some(url.as_str().to_owned()),
            Some(name) => name,
            None => return Some(url.as_str().to_owned()),
        },
    };
    // A heading's anchor stays behind, since only the path is signed.
    let name = name.split(['?', '#']).next().unwrap_or(name);
    runbooks.contains(name).then(|| site.open_address(&format!("/runbooks/{name}")))
}
