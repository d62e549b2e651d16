//! The outbox's rows and the delivery log's: JSON documents of the tables `notify.outbox`, `notify.delivery` (both under
//! numbers that grow), `notify.channel` (under a channel's name), `notify.address` (under a host: what it last resolved to) and
//! `notify.thread` (under channel and group: what the channel answered of the group's first page, as text). Fields that are not known are ignored and new ones
//! have defaults, so that rows of an older version stay readable. None holds a credential.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use watchbell_model::{Change, GroupNotification, NotificationReason, Severity, Span, Subject, Timestamp};

use crate::channels::Rendered;

/// Pages that are not delivered yet; the key is a number that grows.
pub(crate) const OUTBOX: &str = "notify.outbox";
/// Tries; the key is a number that grows.
pub(crate) const DELIVERY: &str = "notify.delivery";
/// What is remembered of each channel, by its name.
pub(crate) const CHANNEL: &str = "notify.channel";
/// What a channel answered of a group's page, for later pages of the group; see [`thread_key`].
pub(crate) const THREAD: &str = "notify.thread";

/// The addresses that hosts of channels last had, by host.
pub(crate) const ADDRESS: &str = "notify.address";

/// How the group key of a page begins that tells of several groups.
pub(crate) const FLOOD_GROUP: &str = "flood/";

/// Where a page in the outbox stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntryState {
    /// It waits for its turn or its next try.
    Queued,
    /// A try is under way; after a crash, whether it arrived is unknown, and it is sent again with the same key.
    Sending,
    /// The channel took it, but the disk could not be told yet. It is not sent again.
    Accepted,
}

/// A page in the outbox, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) channel: String,
    pub(crate) receiver: String,
    pub(crate) kind: String,
    pub(crate) group_key: String,
    pub(crate) sequence: u64,
    /// The same for every try.
    pub(crate) key: String,
    /// Of what it tells, to tell a repetition from other news under the same key.
    pub(crate) digest: String,
    pub(crate) title: String,
    pub(crate) severity: Severity,
    pub(crate) resolved: bool,
    /// Whether it is the group's first page: what an earlier episode left in the channel is not its message.
    #[serde(default)]
    pub(crate) first: bool,
    /// Whether it tells nothing new and stops what earlier pages set going; see
    /// [`Channel::hush`](crate::channels::Channel::hush).
    #[serde(default)]
    pub(crate) hush: bool,
    /// The channels whose given-up pages this page tells of, if it tells of nothing else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) about_given_up: Vec<String>,
    /// Whether it links to a generated page, since nobody wrote a run book.
    #[serde(default)]
    pub(crate) without_runbook: bool,
    /// What a page that tells of several says of it: the worst alert in one line, since when, and its run book.
    #[serde(default)]
    pub(crate) what: String,
    #[serde(default)]
    pub(crate) since: Timestamp,
    #[serde(default)]
    pub(crate) runbook_url: String,
    pub(crate) rendered: Rendered,
    /// What the picture is of that goes with the first try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<Subject>,
    pub(crate) state: EntryState,
    pub(crate) attempts: u32,
    pub(crate) enqueued_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_error: Option<String>,
}

/// A page in the outbox, for APIs and pages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct OutboxEntry {
    /// Its number; smaller ones came earlier.
    pub id: u64,
    /// Which channel it is for: `oncall/ntfy`.
    pub channel: String,
    /// The group it tells of.
    pub group_key: String,
    /// Its first line.
    pub title: String,
    /// How bad it is.
    pub severity: Severity,
    /// Whether it tells that it is over.
    pub resolved: bool,
    /// Where it stands.
    pub state: EntryState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was written.
    pub enqueued_at: Timestamp,
    /// Why the last try failed.
    pub last_error: Option<String>,
    /// How long until the next try, if one is due later.
    pub next_in: Option<Span>,
}

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The channel took the page.
    Accepted,
    /// It did not; the page is tried again.
    Retry,
    /// The channel refused it for good. The page was given up.
    Refused,
    /// It was tried for too long. The page was given up.
    GivenUp,
    /// So many waited that another page tells of it too.
    Merged,
}

impl Outcome {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Outcome::Accepted => "accepted",
            Outcome::Retry => "retry",
            Outcome::Refused => "refused",
            Outcome::GivenUp => "given_up",
            Outcome::Merged => "merged",
        }
    }
}

/// One try to hand a page to a channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DeliveryRecord {
    /// When it ended.
    pub at: Timestamp,
    /// The number the page had in the outbox.
    pub page: u64,
    /// The channel: `oncall/ntfy`.
    pub channel: String,
    /// The group it told of.
    pub group_key: String,
    /// The page's first line.
    pub title: String,
    /// The page's idempotency key on this channel.
    pub key: String,
    /// Which try it was, from 1.
    pub attempt: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// The answer's status, if there was an answer.
    pub status: Option<u16>,
    /// The beginning of the answer, or of the error.
    pub said: String,
    /// How long the try took.
    pub took: Span,
    /// From the writing of the page to the end of the try.
    #[serde(default)]
    pub waited: Span,
    /// Until the next try.
    pub next_in: Option<Span>,
}

/// What is remembered of a channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChannelMemory {
    #[serde(default)]
    pub(crate) last_accepted: Option<Timestamp>,
    #[serde(default)]
    pub(crate) last_error: Option<String>,
    /// The trouble of its last given-up page, until it accepts one again.
    #[serde(default)]
    pub(crate) given_up: Option<String>,
}

/// The key of what is remembered of a group on a channel.
pub(crate) fn thread_key(channel: &str, group_key: &str) -> String {
    format!("{channel}{THREAD_PARTS}{group_key}")
}

/// Between channel and group in such a key.
pub(crate) const THREAD_PARTS: char = '\u{1}';

/// A number as a key, so that keys sort as their numbers do.
pub(crate) fn row(number: u64) -> String {
    format!("{number:020}")
}

impl Entry {
    pub(crate) fn is_flood(&self) -> bool {
        self.group_key.starts_with(FLOOD_GROUP)
    }

    pub(crate) fn put(&self, id: u64) -> Change {
        Change::put(OUTBOX, row(id), self)
    }

    /// A record of the delivery log about it, without a try.
    pub(crate) fn record(&self, id: u64, outcome: Outcome, said: String, at: Timestamp) -> DeliveryRecord {
        DeliveryRecord {
            at,
            page: id,
            channel: self.channel.clone(),
            group_key: self.group_key.clone(),
            title: self.title.clone(),
            key: self.key.clone(),
            attempt: self.attempts,
            outcome,
            status: None,
            said,
            took: Span::ZERO,
            waited: Span(at.since(self.enqueued_at)),
            next_in: None,
        }
    }

    pub(crate) fn view(&self, id: u64, next_in: Option<Span>) -> OutboxEntry {
        OutboxEntry {
            id,
            channel: self.channel.clone(),
            group_key: self.group_key.clone(),
            title: self.title.clone(),
            severity: self.severity,
            resolved: self.resolved,
            state: self.state,
            attempts: self.attempts,
            enqueued_at: self.enqueued_at,
            last_error: self.last_error.clone(),
            next_in,
        }
    }
}

/// The idempotency key of a page on a channel: the same for every try, in every process.
pub(crate) fn key(channel: &str, group: &GroupNotification) -> String {
    let mut hash = Sha256::new();
    for part in [channel, &group.receiver, &group.group_key, &group.sequence.to_string()] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    // It has the sequence of the page that it is about.
    if group.reason == NotificationReason::Acknowledged {
        hash.update("acknowledged");
    }
    hex(&hash.finalize())
}

/// The key of other news that came under the same sequence, since the first could not be written to disk.
pub(crate) fn key_of_other(key: &str, digest: &str) -> String {
    hex(&Sha256::digest(format!("{key}/{digest}")))
}

/// Which alerts a group tells of, and which of them are over.
pub(crate) fn digest(group: &GroupNotification) -> String {
    let mut hash = Sha256::new();
    for alert in &group.alerts {
        hash.update(alert.fingerprint().to_le_bytes());
        hash.update([u8::from(alert.is_resolved_at(group.at))]);
    }
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
