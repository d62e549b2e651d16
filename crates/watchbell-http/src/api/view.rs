//! What the own API answers: the documents the UI and scripts read.
//!
//! Every type here derives its JSON schema; `docs/reference/openapi.json` and `web/src/api.gen.ts` are written from
//! them by a test, so the three cannot drift apart. Times are RFC 3339 in UTC, lengths of time are seconds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use watchbell_model::{AlarmKind, AlarmState, HeartbeatState, Labels, Timestamp, Transition};
use watchbell_sources::heartbeat::{Alerting, Definition};

mod status;

pub(crate) use status::{
    Incident, NewIncident, NewIncidentUpdate, StatusPage, StatusPageAccess, StatusPageFigure, StatusPageItem,
};

/// All that the first page shows, in one answer.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Overview {
    /// When this was true.
    pub now: Timestamp,
    /// Whose watchbell this is.
    pub site: Site,
    /// Whether the configuration in use is the one on disk.
    pub config: ConfigState,
    /// Alarms in `ALARM`, the worst first, then the longest.
    pub wrong: Vec<Alarm>,
    /// How many alarms there are in each state.
    pub totals: Totals,
    /// Every monitor, those that are down first.
    pub monitors: Vec<Monitor>,
    /// Every heartbeat, those that are missed first.
    pub heartbeats: Vec<Heartbeat>,
    /// Alerts that fire, as they are grouped for receivers.
    pub groups: Vec<AlertGroup>,
    /// Pages on their way.
    pub outbox: Outbox,
    /// This machine; absent when its figures are not collected.
    pub host: Option<Host>,
}

/// Whose watchbell this is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Site {
    /// As configured under `site.name`.
    pub name: String,
    /// The prefix of every link in a page.
    pub url: String,
    /// Which release runs.
    pub version: String,
    /// Since when it runs.
    pub started_at: Timestamp,
}

/// Whether the configuration in use is the one on disk.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct ConfigState {
    /// When the configuration in use was loaded.
    pub loaded_at: Timestamp,
    /// When a later one was refused, if it was.
    pub refused_at: Option<Timestamp>,
    /// Why it was refused: every problem with its place. Warnings of a good one otherwise.
    pub problems: Vec<String>,
}

/// How many alarms there are in each state.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Totals {
    /// In `OK`.
    pub ok: u64,
    /// In `ALARM`.
    pub alarm: u64,
    /// In `INSUFFICIENT_DATA`.
    pub insufficient_data: u64,
}

/// Where a run book is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct RunbookLink {
    /// Its name, or the address of a page elsewhere.
    pub name: String,
    /// Where it opens.
    pub href: String,
}

/// An alarm in a list.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Alarm {
    /// Its name for ever, such as `monitor/imap`.
    pub id: String,
    /// Its page.
    pub href: String,
    /// What it judges.
    pub kind: AlarmKind,
    /// What people call it.
    pub name: String,
    /// What it says.
    pub state: AlarmState,
    /// Since when it says so.
    pub since: Timestamp,
    /// Why, in words.
    pub reason: String,
    /// How bad it is.
    pub severity: String,
    /// What to do about it.
    pub runbook: Option<RunbookLink>,
    /// Whether all its alerts are held back, by a silence, another alert or a time interval.
    pub muted: bool,
    /// How many label sets are firing.
    pub firing: u64,
    /// How many label sets wait for the rule's `for`.
    pub pending: u64,
    /// The last judgement's error, if it failed.
    pub error: Option<String>,
}

/// An alarm's page.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct AlarmPage {
    /// As in a list.
    pub alarm: Alarm,
    /// The condition, in words or PromQL.
    pub condition: String,
    /// What to draw, the judged series first.
    pub graphs: Vec<Graph>,
    /// Labels its alerts carry.
    pub labels: Labels,
    /// What is pending or firing.
    pub contributors: Vec<Contributor>,
    /// What each place says of a monitor; empty where it is probed from home alone.
    pub places: Vec<watchbell_alarms::PlaceVote>,
    /// When it was judged last.
    pub judged_at: Option<Timestamp>,
    /// Changes of state, newest first.
    pub history: Vec<Transition>,
}

/// A graph to draw.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Graph {
    /// What it shows, in words.
    pub title: String,
    /// The PromQL expression to ask `/api/v1/query_range` for.
    pub query: String,
    /// `seconds`, `state` (1 is good, 0 is bad) or nothing.
    pub unit: String,
    /// The threshold to draw, in the graph's unit.
    pub threshold: Option<f64>,
}

/// One label set of an alarm that is pending or firing.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Contributor {
    /// Its alert's labels.
    pub labels: Labels,
    /// Whether it still waits for the rule's `for`.
    pub pending: bool,
    /// Since when the condition holds.
    pub since: Timestamp,
    /// The value that was judged last.
    pub value: Option<f64>,
}

/// A monitor with its last day.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Monitor {
    /// What people call it.
    pub name: String,
    /// The page of its alarm.
    pub href: String,
    /// What is probed.
    pub target: String,
    /// What its alarm says.
    pub state: AlarmState,
    /// Since when.
    pub since: Timestamp,
    /// What the last probe saw, in words.
    pub reason: String,
    /// How bad it is when it is down.
    pub severity: String,
    /// What to do when it is down.
    pub runbook: Option<RunbookLink>,
    /// What each place says of it; empty where it is probed from home alone.
    pub places: Vec<watchbell_alarms::PlaceVote>,
    /// When it was judged last.
    pub judged_at: Option<Timestamp>,
    /// How long the last probe took, in seconds.
    pub latency: Option<f64>,
    /// The share of probes that succeeded in the last 24 hours, 0 to 1.
    pub availability: Option<f64>,
    /// The same per half hour, oldest first, 48 of them; null where nothing was probed.
    pub bars: Vec<Option<f64>>,
    /// Seconds until the certificate it shows expires, if it shows one.
    pub certificate_expires_in: Option<f64>,
}

/// A heartbeat as it stands.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Heartbeat {
    /// What people call it.
    pub name: String,
    /// The page of its alarm.
    pub href: String,
    /// Where it stands now.
    pub state: HeartbeatState,
    /// Whether a run has started and not ended.
    pub started: bool,
    /// The last success or failure.
    pub last_ping: Option<Timestamp>,
    /// When the next sign of life is due.
    pub next_ping: Option<Timestamp>,
    /// When it alarms unless a sign of life comes.
    pub deadline: Option<Timestamp>,
    /// When the job reports, in words: `every 5m`, or an expression and its time zone.
    pub schedule: String,
    /// How often the job reports, in seconds; with an expression, the time between two times to come.
    pub period: f64,
    /// Time allowed on top, in seconds.
    pub grace: f64,
    /// How long the last run took, in seconds, if it reported its start.
    pub last_duration: Option<f64>,
    /// The address the job pings.
    pub ping_url: Option<String>,
    /// The heartbeat's own part of that address.
    pub uuid: String,
    /// Whether it stands in the configuration; otherwise a ping or the API made it.
    pub configured: bool,
    /// What is wanted of it, in Healthchecks' words.
    pub definition: Definition,
    /// What the configuration says of its alerts, if it stands there.
    pub alerting: Option<Alerting>,
    /// What to do when it is silent.
    pub runbook: Option<RunbookLink>,
}

/// Alerts of one group of one receiver.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct AlertGroup {
    /// Who is told.
    pub receiver: String,
    /// What the group is grouped by.
    pub labels: Labels,
    /// What is in it, longest first.
    pub alerts: Vec<Alert>,
}

/// An alert that fires.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Alert {
    /// The identity of its label set, in hex.
    pub fingerprint: String,
    /// Its label `alertname`.
    pub name: String,
    /// How bad it is.
    pub severity: String,
    /// What a person reads first.
    pub summary: String,
    /// What a person reads next.
    pub description: String,
    /// Its identity.
    pub labels: Labels,
    /// Since when.
    pub starts_at: Timestamp,
    /// Whether anybody is told.
    pub state: AlertState,
    /// Silences that hold it back.
    pub silenced_by: Vec<String>,
    /// Alerts that hold it back.
    pub inhibited_by: Vec<String>,
    /// Time intervals that hold it back.
    pub muted_by: Vec<String>,
    /// Who sees to it, if anybody does.
    pub acknowledged: Option<watchbell_alerts::Acknowledgement>,
    /// What was said of its page already.
    pub verdict: Option<watchbell_alerts::Verdict>,
    /// What to do about it.
    pub runbook: Option<RunbookLink>,
    /// The page of what raised it; http and https only.
    pub source_href: Option<String>,
}

/// An alert that people were told of, from its beginning to its end.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Episode {
    /// The identity of its label set, in hex.
    pub fingerprint: String,
    /// Its label `alertname`.
    pub name: String,
    /// The identity of the alarm that raised it, such as `monitor/imap`; empty if it is not ours.
    pub alarm: String,
    /// How bad it was.
    pub severity: String,
    /// What was wrong.
    pub summary: String,
    /// Its identity.
    pub labels: Labels,
    /// Since when it fired; with the fingerprint it names the episode.
    pub starts_at: Timestamp,
    /// When people were told of it first.
    pub told_at: Timestamp,
    /// Until when it fired; nothing while it does.
    pub ends_at: Option<Timestamp>,
    /// Who saw to it first, if anybody did.
    pub acknowledged: Option<watchbell_alerts::Acknowledgement>,
    /// What was said of its page.
    pub verdict: Option<watchbell_alerts::Verdict>,
}

/// What somebody says of a page.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewVerdict {
    /// Whether it was worth it.
    pub verdict: watchbell_alerts::Judgement,
    /// When the episode began that is meant; the latest, unless given.
    #[serde(default)]
    pub starts_at: Option<Timestamp>,
    /// Who; unless given, who asks.
    #[serde(default)]
    pub by: String,
    /// A few words beside it.
    #[serde(default)]
    pub note: String,
}

/// Whether anybody is told of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AlertState {
    /// People are told.
    Active,
    /// Held back by a silence, another alert or a time interval.
    Suppressed,
}

/// A silence.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Silence {
    /// Its identity.
    pub id: String,
    /// What an alert must match to be held back.
    pub matchers: Vec<SilenceMatcher>,
    /// From when.
    pub starts_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// Whether it is in force.
    pub state: SilenceState,
}

/// Whether a silence is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SilenceState {
    /// Not yet.
    Pending,
    /// Now.
    Active,
    /// No longer.
    Expired,
}

/// A condition of a silence on one label.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SilenceMatcher {
    /// The label.
    pub name: String,
    /// `=`, `!=`, `=~` or `!~`.
    pub op: String,
    /// A value or a regular expression.
    pub value: String,
}

/// That somebody sees to an alert.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAcknowledgement {
    /// Who; unless given, who asks.
    #[serde(default)]
    pub by: String,
    /// A few words for the others.
    #[serde(default)]
    pub comment: String,
}

/// What is asked for to make a silence.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSilence {
    /// What an alert must match to be held back; at least one.
    pub matchers: Vec<SilenceMatcher>,
    /// For how long from now, in seconds.
    pub duration: f64,
    /// Why.
    #[serde(default)]
    pub comment: String,
}

/// A downtime: a known period in which certain alerts page nobody.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Downtime {
    /// Names it for ever; nothing if it stands in the configuration.
    pub id: Option<String>,
    /// What it covers, and when.
    pub downtime: watchbell_alerts::DowntimeConfig,
    /// Who made it; empty if it stands in the configuration.
    pub by: String,
    /// Why.
    pub why: String,
    /// When it was made.
    pub made_at: Option<Timestamp>,
    /// When somebody ended it, if somebody did.
    pub ended_at: Option<Timestamp>,
    /// Whether it is in force.
    pub state: DowntimeState,
    /// Until when it is in force at least, if it is.
    pub in_force_until: Option<Timestamp>,
    /// When it begins next, where that can be said.
    pub next_at: Option<Timestamp>,
}

/// Whether a downtime is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DowntimeState {
    /// Now.
    Active,
    /// It will be, once or again.
    Pending,
    /// No longer.
    Over,
}

/// What is asked for to make a downtime.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewDowntime {
    /// What it covers, and when. With `lasts` alone it begins now.
    pub downtime: watchbell_alerts::DowntimeConfig,
    /// Who makes it; unless given, who asks.
    #[serde(default)]
    pub by: String,
    /// Why.
    #[serde(default)]
    pub why: String,
}

/// Pages on their way.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Outbox {
    /// How many pages wait to be accepted.
    pub queued: u64,
    /// Since when the oldest waits.
    pub oldest: Option<Timestamp>,
    /// Channels that pages go through.
    pub channels: Vec<Channel>,
}

/// A channel that pages go through.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Channel {
    /// The receiver it belongs to and its own kind, such as `on-call/ntfy`.
    pub name: String,
    /// When it accepted a page last.
    pub accepted_at: Option<Timestamp>,
    /// Why the last try failed, if it did and none was accepted since.
    pub error: Option<String>,
    /// How many pages wait for it.
    pub queued: u64,
}

/// What is scraped, what is not and why.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Targets {
    /// All targets, in order of job and instance.
    pub targets: Vec<watchbell_sources::scrape::TargetStatus>,
    /// What was discovered and is not scraped, as much of it as is kept.
    pub dropped: Vec<watchbell_sources::scrape::DroppedTarget>,
    /// How many targets relabelling dropped, by job.
    pub dropped_counts: std::collections::BTreeMap<String, u64>,
    /// Where targets come from that no configuration lists.
    pub discoveries: Vec<watchbell_sources::scrape::DiscoveryStatus>,
}

/// One try to hand a page to a channel.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Delivery {
    /// Its number; later ones have higher ones.
    pub id: u64,
    /// The number of the page; its other tries have the same.
    pub page: u64,
    /// When the try ended.
    pub at: Timestamp,
    /// The channel it went to.
    pub channel: String,
    /// The page's title.
    pub title: String,
    /// Which try it was, from one.
    pub attempt: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// What the channel answered, in words.
    pub detail: String,
    /// The answer's status, if there was an answer.
    pub status: Option<u16>,
    /// How long the try took, in milliseconds.
    pub took_ms: u64,
    /// From the writing of the page to the end of the try, in milliseconds.
    pub waited_ms: u64,
    /// The group that it told of.
    pub group: String,
    /// What every try of the page has in common for the provider.
    pub key: String,
    /// When it is tried again, if it is.
    pub retry_at: Option<Timestamp>,
}

/// What became of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// The channel took the page.
    Accepted,
    /// It is tried again later.
    Retry,
    /// Nobody tries again; an alert says so elsewhere.
    Gaveup,
    /// So many waited that another page tells of it too.
    Merged,
}

/// This machine over the last hours.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Host {
    /// Its name.
    pub instance: String,
    /// The share of CPU time that was not idle, 0 to 1.
    pub cpu: Chart,
    /// The share of memory that is not available, 0 to 1.
    pub memory: Chart,
    /// Bytes of memory there are.
    pub memory_bytes: Option<f64>,
    /// The load over one minute.
    pub load: Option<f64>,
    /// File systems, the fullest first.
    pub disks: Vec<DiskUse>,
}

/// A small chart: evenly spaced values up to now.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Chart {
    /// Seconds between two values.
    pub step: f64,
    /// Oldest first; null where nothing is known.
    pub values: Vec<Option<f64>>,
}

/// A series summed up over windows. The lists have an item for each window that has a value; numbers that JSON cannot
/// write are null.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct RollupSeries {
    /// Whose it is.
    pub labels: Labels,
    /// Length of a window in seconds.
    pub step: f64,
    /// When each window begins, in seconds since 1970.
    pub starts: Vec<f64>,
    /// Least values.
    pub min: Vec<Option<f64>>,
    /// Greatest values.
    pub max: Vec<Option<f64>>,
    /// Means.
    pub mean: Vec<Option<f64>>,
    /// Last values.
    pub last: Vec<Option<f64>>,
    /// By how much a counter grew, resets made good.
    pub increase: Vec<Option<f64>>,
    /// How many values there are.
    pub count: Vec<u64>,
}

/// How full a file system is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct DiskUse {
    /// Where it is mounted.
    pub mountpoint: String,
    /// The share that is used, 0 to 1.
    pub used: f64,
    /// Bytes there are.
    pub bytes: f64,
}

/// A run book in the list.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Runbook {
    /// Its name.
    pub name: String,
    /// Its first heading.
    pub title: String,
    /// Where it opens.
    pub href: String,
    /// Required parts it lacks.
    pub missing: Vec<String>,
    /// Alarms that link to it.
    pub alarms: Vec<Alarm>,
}

/// A notice that something changed, sent as a server-sent event.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct ChangeNotice {
    /// What to read again: `alarms`, `heartbeats`, `alerts`, `outbox`, `config`.
    pub topics: Vec<String>,
}

/// Why a request was refused.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Refusal {
    /// In words.
    pub error: String,
}

/// A browser that is signed in.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Session {
    /// Names the session; not its secret.
    pub id: String,
    /// Whether it is the one that asks.
    pub here: bool,
    /// When it began.
    pub began_at: Timestamp,
    /// When it was used last, to within ten minutes.
    pub seen_at: Timestamp,
    /// The browser, as it calls itself.
    pub agent: String,
    /// The address it began from.
    pub address: String,
}
