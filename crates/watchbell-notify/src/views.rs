//! How it stands, and what would be sent: views for pages, APIs and the command line.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use watchbell_model::{Alert, GroupNotification, Labels, NotificationReason, Span, StateError, Timestamp};

use crate::ACKNOWLEDGE_ACTION;
use crate::channels::picture::Shows;
use crate::channels::{Channel, VerdictKind};
use crate::notify::Notify;
use crate::outbox::{DELIVERY, DeliveryRecord, Entry, OutboxEntry, Outcome, row};
use crate::page::Page;
use crate::queue::{Configured, is_key_header};
use crate::sender;
use crate::waiting::Held;

/// Rows of the delivery log that are read at once.
const SEARCHED_AT_ONCE: usize = 500;
/// The kind whose bodies are mails.
const EMAIL: &str = "email";

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

/// Tries that are looked for in the log; what is not given takes all.
#[derive(Clone, Debug, Default)]
pub struct DeliverySearch {
    /// Words that each stand somewhere in the title, the channel, the group, the key or the answer, whatever their case.
    pub words: String,
    /// The channel, or the receiver with all of its channels.
    pub channel: Option<String>,
    /// How they ended: any of these; all if there is none.
    pub outcomes: Vec<Outcome>,
    /// Only those before the one with this number.
    pub before: Option<u64>,
}

impl DeliverySearch {
    fn takes(&self, record: &DeliveryRecord) -> bool {
        let of = |name: &String| {
            let rest = record.channel.strip_prefix(name.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let text = [&record.title, &record.channel, &record.group_key, &record.key, &record.said].map(String::as_str);
        let status = record.status.map(|status| status.to_string()).unwrap_or_default();
        let text = format!("{} {status}", text.join(" ")).to_lowercase();
        self.channel.as_ref().is_none_or(of)
            && (self.outcomes.is_empty() || self.outcomes.contains(&record.outcome))
            && self.words.to_lowercase().split_whitespace().all(|word| text.contains(word))
    }
}

/// A page as a channel would send it, without credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Preview {
    /// The channel: `oncall/ntfy`.
    pub channel: String,
    /// Such as `ntfy` or `slack`.
    pub kind: &'static str,
    /// Headers and body.
    pub text: String,
    /// The same when all is over; nothing where nobody is told of that.
    pub end: Option<String>,
    /// What somebody can open or press in it: `Run book`, `Acknowledge`.
    pub buttons: Vec<String>,
    /// Whether a picture of the graph goes with it, in words.
    pub picture: Option<&'static str>,
    /// Templates of the configuration that fail; the built-in words stand in their place.
    pub template_errors: Vec<String>,
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
        let found = self.search(&DeliverySearch::default(), limit)?;
        Ok(found.into_iter().map(|(_, record)| record).collect())
    }

    /// The newest tries that are looked for, newest first, each with its number in the log.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn search(&self, wanted: &DeliverySearch, limit: usize) -> Result<Vec<(u64, DeliveryRecord)>, StateError> {
        let mut found = Vec::new();
        let mut before = wanted.before.map(row);
        loop {
            let rows = self.state.scan_back(DELIVERY, before.as_deref(), SEARCHED_AT_ONCE)?;
            for (key, value) in &rows {
                let (Ok(number), Ok(record)) = (key.parse(), serde_json::from_slice(value)) else { continue };
                if found.len() < limit && wanted.takes(&record) {
                    found.push((number, record));
                }
            }
            match rows.last() {
                Some((last, _)) if rows.len() == SEARCHED_AT_ONCE && found.len() < limit => {
                    before = Some(last.clone());
                }
                _ => return Ok(found),
            }
        }
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
        let config = Arc::clone(&self.lock().config);
        let group = GroupNotification { receiver: receiver.to_owned(), ..group.clone() };
        let drafts = self.drafts(&group)?;
        let page = Page::write(&group, &config.site, &config.runbooks);
        let over = |alert: &Alert| Alert { ends_at: Some(group.at), ..alert.clone() };
        let alerts = group.alerts.iter().map(over).collect();
        let end = GroupNotification { alerts, reason: NotificationReason::AllResolved, ..group.clone() };
        let ends: BTreeMap<String, String> = self
            .drafts(&end)?
            .into_iter()
            .filter(|(_, _, entry)| !entry.hush)
            .map(|(name, _, entry)| (name, shown(&entry)))
            .collect();
        let one = |(name, channel, entry): (String, Arc<dyn Channel>, Entry)| Preview {
            kind: channel.kind(),
            text: shown(&entry),
            end: ends.get(&name).cloned(),
            buttons: buttons(&entry, &page),
            picture: match channel.picture() {
                Shows::Nothing => None,
                Shows::Within => Some("a picture of the graph goes along, where what fires has one"),
                Shows::Beside => Some("a picture of the graph follows, where what fires has one"),
                Shows::Linked => Some("a link to a picture of the graph goes along, where what fires has one"),
            },
            template_errors: entry.rendered.template_errors,
            channel: name,
        };
        Some(drafts.into_iter().map(one).collect())
    }

    /// What [`Notify::send_test`] would send.
    pub fn preview_test(&self, receiver: &str) -> Option<Vec<Preview>> {
        self.preview(receiver, &test_group(receiver, self.runtime.clock.now()))
    }
}

/// What is sent, as a person reads it.
fn shown(entry: &Entry) -> String {
    let rendered = &entry.rendered;
    let headers = rendered.headers.iter().map(|(name, value)| format!("{name}: {value}\n"));
    let body = match serde_json::from_str::<serde_json::Value>(&rendered.body) {
        Ok(body) => serde_json::to_string_pretty(&body).unwrap_or_default(),
        Err(_) if rendered.is_form() => form_lines(&rendered.body),
        Err(_) if entry.kind == EMAIL => unquoted(&rendered.body),
        Err(_) => rendered.body.replace("\r\n", "\n"),
    };
    format!("{}\n{body}\n", headers.collect::<String>())
}

/// What can be opened or pressed in a page, by the words that stand for it everywhere.
fn buttons(entry: &Entry, page: &Page) -> Vec<String> {
    let text = format!("{}\n{}", shown(entry), entry.rendered.body).replace("&amp;", "&");
    let links = [("Run book", page.runbook_url.as_str()), ("Alarm", &page.alarm_url)];
    let there = |url: &str| !url.is_empty() && text.contains(url);
    let links = links.into_iter().chain(page.actions()).filter(|(_, url)| there(url));
    let own = text.contains(ACKNOWLEDGE_ACTION).then(|| "Acknowledge (a button of its own)".to_owned());
    links.map(|(label, _)| label.to_owned()).chain(own).collect()
}

/// The fields of a form, a line each.
fn form_lines(body: &str) -> String {
    let lines = body.split('&').map(|field| {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        format!(
            "{name} = {}",
            String::from_utf8_lossy(&decoded(&value.replace('+', " "), b'%')).replace('\n', "\n    ")
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A mail as quoted-printable hides it.
fn unquoted(body: &str) -> String {
    let whole = body.replace("=\r\n", "").replace("\r\n", "\n");
    String::from_utf8_lossy(&decoded(&whole, b'=')).into_owned()
}

/// Bytes that stand as two hexadecimal digits after a sign.
fn decoded(text: &str, sign: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.filter(|_| *first == sign).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    out
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
        route_labels: Labels::empty(),
        alerts: vec![alert],
        reason: NotificationReason::First,
        acknowledged_by: None,
        at: now,
    }
}
