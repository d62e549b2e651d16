//! How it stands, and what would be sent: views for pages, APIs and the command line.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use watchbell_model::{Alert, GroupNotification, Labels, NotificationReason, Span, StateError, Timestamp};

use crate::DELIVERIES_MAX;
use crate::channels::picture::Shows;
use crate::channels::{Channel, VerdictKind};
use crate::notify::Notify;
use crate::outbox::{DELIVERY, DeliveryRecord, Entry, OutboxEntry};
use crate::queue::{Configured, is_key_header};
use crate::sender;
use crate::waiting::Held;

/// A channel as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ChannelStatus {
    /// Its name: `oncall/ntfy`.
    pub name: String,
    /// The receiver it belongs to.
    pub receiver: String,
    /// Such as `ntfy` or `slack`.
    pub kind: String,
    /// Whether the configuration still has it.
    pub configured: bool,
    /// Pages that wait for it.
    pub queued: usize,
    /// When the oldest of them was written.
    pub oldest: Option<Timestamp>,
    /// When it last took a page.
    pub last_accepted: Option<Timestamp>,
    /// Why the last try failed, unless one has worked since.
    pub last_error: Option<String>,
    /// What was given up, unless a page was accepted since.
    pub given_up: Option<String>,
}

/// What became of a test page on one channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TestResult {
    /// The channel: `oncall/ntfy`.
    pub channel: String,
    /// Whether it took the page.
    pub accepted: bool,
    /// The answer's status, if there was an answer.
    pub status: Option<u16>,
    /// What it said.
    pub said: String,
}

/// A page as a channel would send it, without credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// The channel: `oncall/ntfy`.
    pub channel: String,
    /// Such as `ntfy` or `slack`.
    pub kind: &'static str,
    /// Headers and body.
    pub text: String,
    /// Whether a picture of the graph goes with it, in words.
    pub picture: Option<&'static str>,
}

impl Notify {
    /// Pages that are not delivered yet, oldest first.
    pub fn outbox(&self) -> Vec<OutboxEntry> {
        let now = self.runtime.clock.monotonic();
        let wait = |held: &Held| Some(Span(held.due.checked_sub(now)?)).filter(|span| !span.is_zero());
        self.lock().entries.iter().map(|(id, held)| held.entry.view(id, wait(held))).collect()
    }

    /// The newest tries, newest first.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn deliveries(&self, limit: usize) -> Result<Vec<DeliveryRecord>, StateError> {
        let rows = self.state.scan_back(DELIVERY, None, limit.min(DELIVERIES_MAX as usize))?;
        Ok(rows.iter().filter_map(|(_, value)| serde_json::from_slice(value).ok()).collect())
    }

    /// Channels as they stand, by name: configured ones, and gone ones that pages wait for.
    pub fn channels(&self) -> Vec<ChannelStatus> {
        let inner = self.lock();
        let mut waiting: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
        for (_, held) in inner.entries.iter() {
            waiting.entry(&held.entry.channel).or_default().push(&held.entry);
        }
        let names: BTreeSet<&str> = inner.channels.keys().map(String::as_str).chain(waiting.keys().copied()).collect();
        let one = |name: &str| {
            let mine = waiting.get(name).map_or(&[][..], Vec::as_slice);
            let known = inner.channels.get(name);
            let memory = inner.slots.get(name).map(|slot| slot.memory.clone()).unwrap_or_default();
            let receiver = known.map(|it| it.receiver.clone());
            let kind = known.map(|it| it.channel.kind().to_owned());
            ChannelStatus {
                receiver: receiver.or_else(|| mine.first().map(|it| it.receiver.clone())).unwrap_or_default(),
                kind: kind.or_else(|| mine.first().map(|it| it.kind.clone())).unwrap_or_default(),
                configured: known.is_some(),
                queued: mine.len(),
                oldest: mine.iter().map(|entry| entry.enqueued_at).min(),
                last_accepted: memory.last_accepted,
                last_error: memory.last_error,
                given_up: memory.given_up,
                name: name.to_owned(),
            }
        };
        names.into_iter().map(one).collect()
    }

    /// Sends a page that says it is a test through each channel of a receiver, past the outbox, and waits for the
    /// answers; `None` if there is no such receiver.
    pub async fn send_test(&self, receiver: &str) -> Option<Vec<TestResult>> {
        let now = self.runtime.clock.now();
        let group = test_group(receiver, now);
        let drafts = self.drafts(&group)?;
        let mut results = Vec::new();
        for (name, channel, mut entry) in drafts {
            let through = Configured::new(receiver, channel);
            // Two tests must not be taken for one.
            entry.key = self.runtime.rng.uuid();
            for (_, value) in entry.rendered.headers.iter_mut().filter(|(header, _)| is_key_header(header)) {
                *value = entry.key.clone();
            }
            let sender::Sent { verdict, .. } = sender::send(&self.runtime, &through, &entry, None, None).await;
            results.push(TestResult {
                channel: name,
                accepted: verdict.kind == VerdictKind::Accepted,
                status: verdict.status,
                said: verdict.excerpt,
            });
        }
        Some(results)
    }

    /// What each channel of a receiver would be sent, without credentials; `None` if there is no such receiver.
    pub fn preview(&self, receiver: &str, group: &GroupNotification) -> Option<Vec<Preview>> {
        let group = GroupNotification { receiver: receiver.to_owned(), ..group.clone() };
        let drafts = self.drafts(&group)?;
        let text = |entry: &Entry| {
            let headers = entry.rendered.headers.iter().map(|(name, value)| format!("{name}: {value}\n"));
            let body = match serde_json::from_str::<serde_json::Value>(&entry.rendered.body) {
                Ok(body) => serde_json::to_string_pretty(&body).unwrap_or_default(),
                Err(_) if entry.rendered.is_form() => entry.rendered.body.replace('&', "\n"),
                Err(_) => entry.rendered.body.replace("\r\n", "\n"),
            };
            format!("{}\n{body}\n", headers.collect::<String>())
        };
        let one = |(name, channel, entry): (String, Arc<dyn Channel>, Entry)| Preview {
            channel: name,
            kind: channel.kind(),
            text: text(&entry),
            picture: match channel.picture() {
                Shows::Nothing => None,
                Shows::Within => Some("a picture of the graph goes along, where what fires has one"),
                Shows::Beside => Some("a picture of the graph follows, where what fires has one"),
                Shows::Linked => Some("a link to a picture of the graph goes along, where what fires has one"),
            },
        };
        Some(drafts.into_iter().map(one).collect())
    }

    /// What [`Notify::send_test`] would send.
    pub fn preview_test(&self, receiver: &str) -> Option<Vec<Preview>> {
        self.preview(receiver, &test_group(receiver, self.runtime.clock.now()))
    }
}

fn test_group(receiver: &str, now: Timestamp) -> GroupNotification {
    let labels = Labels::from_pairs([("alertname", "Test"), ("severity", "info"), ("source", "self/test")]);
    let annotations = Labels::from_pairs([
        ("summary", "This is a test page"),
        ("description", "Somebody asked watchbell to show that pages arrive here. Nothing is wrong."),
        ("runbook_url", "self-test"),
    ]);
    let alert =
        Alert { labels: labels.clone(), annotations, starts_at: now, ends_at: None, generator_url: String::new() };
    GroupNotification {
        receiver: receiver.to_owned(),
        group_key: "test".into(),
        sequence: 0,
        group_labels: labels,
        alerts: vec![alert],
        reason: NotificationReason::First,
        at: now,
    }
}
