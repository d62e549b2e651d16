//! The stage itself: takes groups of alerts in, keeps them in the outbox, and shows how it stands.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use watchbell_model::{
    Alert, BoxFuture, Change, Deliver, GroupNotification, Labels, NotificationReason, Severity, Span, State,
    StateError, Timestamp,
};
use watchbell_runtime::{Runtime, Task, fault};

use crate::backoff;
use crate::channels::{Channel, Draft, VerdictKind};
use crate::config::{NotifyConfig, ReceiverConfig, Site};
use crate::outbox::{
    CHANNEL, ChannelMemory, DELIVERY, DeliveryRecord, Entry, EntryState, OUTBOX, OutboxEntry, Outcome, digest, key,
    key_of_other, row,
};
use crate::page::Page;
use crate::runbook::Library;
use crate::sender::{self, Next};
use crate::{DELIVERIES_MAX, OUTBOX_PAGES_MAX};

/// Keys of finished pages that are remembered, so that the same page handed in again is not sent again.
const FINISHED_MAX: usize = 10_000;
/// Rows read at once.
const SCAN: usize = 1000;

/// A channel as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ChannelStatus {
    /// Its name: `oncall/ntfy`.
    pub name: String,
    /// The receiver it belongs to.
    pub receiver: String,
    /// `ntfy`, `pushover`, `slack` or `webhook`.
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
    /// `ntfy`, `pushover`, `slack` or `webhook`.
    pub kind: &'static str,
    /// Headers and body.
    pub text: String,
}

/// A page in memory.
pub(crate) struct Held {
    pub(crate) entry: Entry,
    /// When it is due, on the monotonic clock, which does not jump.
    pub(crate) due: Duration,
    /// Whether a try is under way.
    pub(crate) busy: bool,
    /// Whether the disk has it.
    pub(crate) on_disk: bool,
}

/// What memory keeps of a channel.
#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) memory: ChannelMemory,
    /// Whether the last try failed.
    pub(crate) failing: bool,
    /// The channel asked not to be tried before this (monotonic).
    pub(crate) not_before: Duration,
    wake: Arc<tokio::sync::Notify>,
}

pub(crate) struct Inner {
    pub(crate) config: Arc<NotifyConfig>,
    /// Whether that is a configuration at all.
    applied: bool,
    /// Configured channels by name.
    channels: BTreeMap<String, (String, Channel)>,
    pub(crate) entries: BTreeMap<u64, Held>,
    pub(crate) slots: BTreeMap<String, Slot>,
    /// Keys of pages that are done, with their digest and whether the disk knew them; oldest first in `order`.
    done: BTreeMap<String, (String, bool)>,
    order: VecDeque<String>,
    /// Pages that are done while the disk does not know it yet.
    pub(crate) unmarked: Vec<(u64, Vec<Change>)>,
    id_next: u64,
    pub(crate) log_next: u64,
}

/// The notify stage.
pub struct Notify {
    pub(crate) runtime: Runtime,
    pub(crate) state: Arc<dyn State>,
    inner: Mutex<Inner>,
    /// One `deliver` at a time: between looking for a key and writing it nobody else may do the same.
    delivering: tokio::sync::Mutex<()>,
    pub(crate) keeper: tokio::sync::Notify,
}

impl Notify {
    /// Reads the outbox. Until [`Notify::apply`] nothing is configured and nothing is sent.
    ///
    /// # Errors
    /// The state cannot be read. A row that cannot be understood is left where it is, logged and a trouble.
    pub fn open(runtime: Runtime, state: Arc<dyn State>) -> Result<Arc<Notify>, StateError> {
        let nowhere = Site::new("watchbell", "http://127.0.0.1:9800".parse().expect("it is an address"));
        let config = NotifyConfig {
            receivers: Vec::new(),
            runbooks: Arc::new(Library::default()),
            site: nowhere,
            retry_for: NotifyConfig::RETRY_FOR,
        };
        let mut inner = Inner {
            config: Arc::new(config),
            applied: false,
            channels: BTreeMap::new(),
            entries: BTreeMap::new(),
            slots: BTreeMap::new(),
            done: BTreeMap::new(),
            order: VecDeque::new(),
            unmarked: Vec::new(),
            id_next: 1,
            log_next: 1,
        };
        let unreadable = inner.read(&runtime, state.as_ref())?;
        if unreadable > 0 {
            let summary = format!("{unreadable} rows of the outbox cannot be read and are left alone");
            runtime.troubles.set("outbox-rows", Severity::Critical, summary);
        }
        let notify = Notify {
            runtime,
            state,
            inner: Mutex::new(inner),
            delivering: tokio::sync::Mutex::new(()),
            keeper: tokio::sync::Notify::new(),
        };
        Ok(Arc::new(notify))
    }

    /// Makes this the configuration. Pages in the outbox go on as they were rendered; pages for a channel that is gone
    /// wait for it to come back and are a trouble. Hand [`Notify::tasks`] to the supervisor afterwards.
    pub fn apply(&self, config: NotifyConfig) {
        let mut inner = self.lock();
        inner.channels.clear();
        for receiver in &config.receivers {
            for (name, channel) in receiver.channels() {
                inner.channels.insert(name, (receiver.name.clone(), channel));
            }
        }
        inner.config = Arc::new(config);
        inner.applied = true;
        // A channel that was put right is tried at once.
        for held in inner.entries.values_mut() {
            held.due = Duration::ZERO;
        }
        for slot in inner.slots.values() {
            slot.wake.notify_one();
        }
        self.forget_troubles(&mut inner);
        self.judge_orphans(&inner);
        drop(inner);
        self.keeper.notify_one();
    }

    /// Takes troubles off the board that a new configuration may have ended, and that nothing else would.
    fn forget_troubles(&self, inner: &mut Inner) {
        for trouble in self.runtime.troubles.list() {
            let gone = trouble.key.strip_prefix("page-given-up/").is_some_and(|it| !inner.channels.contains_key(it));
            let about_config =
                ["page-without-receiver/", "page-template/"].iter().any(|it| trouble.key.starts_with(it));
            if gone || about_config {
                self.runtime.troubles.clear(&trouble.key);
            }
        }
        for (name, slot) in &mut inner.slots {
            if !inner.channels.contains_key(name) {
                slot.memory.given_up = None;
            }
        }
    }

    /// One task per configured channel, and the keeper.
    pub fn tasks(self: &Arc<Self>) -> Vec<Task> {
        let names: Vec<String> = self.lock().channels.keys().cloned().collect();
        let mut tasks = Vec::with_capacity(names.len() + 1);
        for name in names {
            let notify = Arc::clone(self);
            // A loop asks for the configuration at each try, so it need not be restarted, which would cut off a try.
            tasks.push(Task::new(format!("channel:{name}"), 0, move |stop| {
                sender::run(Arc::clone(&notify), name.clone(), stop)
            }));
        }
        let notify = Arc::clone(self);
        tasks.push(Task::new("keeper", 0, move |stop| sender::keep(Arc::clone(&notify), stop)));
        tasks
    }

    /// The run books in use.
    pub fn runbooks(&self) -> Arc<Library> {
        Arc::clone(&self.lock().config.runbooks)
    }

    /// Pages that are not delivered yet, oldest first.
    pub fn outbox(&self) -> Vec<OutboxEntry> {
        let now = self.runtime.clock.monotonic();
        let wait = |held: &Held| Some(Span(held.due.checked_sub(now)?)).filter(|span| !span.is_zero());
        self.lock().entries.iter().map(|(id, held)| held.entry.view(*id, wait(held))).collect()
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
        let waiting = inner.entries.values().map(|held| held.entry.channel.clone());
        let names: BTreeSet<String> = inner.channels.keys().cloned().chain(waiting).collect();
        let one = |name: String| {
            let mine = || inner.entries.values().map(|held| &held.entry).filter(|entry| entry.channel == name);
            let known = inner.channels.get(&name);
            let memory = inner.slots.get(&name).map(|slot| slot.memory.clone()).unwrap_or_default();
            let receiver = known.map(|(receiver, _)| receiver.clone());
            let kind = known.map(|(_, channel)| channel.kind().to_owned());
            ChannelStatus {
                receiver: receiver.or_else(|| mine().next().map(|it| it.receiver.clone())).unwrap_or_default(),
                kind: kind.or_else(|| mine().next().map(|it| it.kind.clone())).unwrap_or_default(),
                configured: known.is_some(),
                queued: mine().count(),
                oldest: mine().map(|entry| entry.enqueued_at).min(),
                last_accepted: memory.last_accepted,
                last_error: memory.last_error,
                given_up: memory.given_up,
                name,
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
            // Two tests must not be taken for one.
            entry.key = self.runtime.rng.uuid();
            for (_, value) in entry.rendered.headers.iter_mut().filter(|(header, _)| is_key_header(header)) {
                *value = entry.key.clone();
            }
            let verdict = sender::send(&self.runtime, &channel, &entry).await;
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
                Err(_) => entry.rendered.body.replace('&', "\n"),
            };
            format!("{}\n{body}\n", headers.collect::<String>())
        };
        let one = |(name, channel, entry): (String, Channel, Entry)| Preview {
            channel: name,
            kind: channel.kind(),
            text: text(&entry),
        };
        Some(drafts.into_iter().map(one).collect())
    }

    /// What [`Notify::send_test`] would send.
    pub fn preview_test(&self, receiver: &str) -> Option<Vec<Preview>> {
        self.preview(receiver, &test_group(receiver, self.runtime.clock.now()))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic while held")
    }

    pub(crate) fn wake_of(&self, channel: &str) -> Arc<tokio::sync::Notify> {
        Arc::clone(&self.lock().slots.entry(channel.to_owned()).or_default().wake)
    }

    /// Which page of a channel is next: of each group only the oldest, of those that are due what fires before what is
    /// over, the worst first, then the oldest.
    pub(crate) fn next(&self, name: &str) -> Next {
        let now = self.runtime.clock.monotonic();
        let mut inner = self.lock();
        let Some((_, channel)) = inner.channels.get(name).cloned() else { return Next::Wait(None) };
        let not_before = inner.slots.get(name).map_or(Duration::ZERO, |slot| slot.not_before);
        let mut groups = BTreeSet::new();
        let mut best: Option<(bool, std::cmp::Reverse<Severity>, u64)> = None;
        let mut soonest: Option<Duration> = None;
        for (id, held) in &inner.entries {
            let entry = &held.entry;
            let waits = entry.channel == name && entry.state != EntryState::Accepted;
            if !waits || !groups.insert(entry.group_key.as_str()) || held.busy {
                continue;
            }
            let due = held.due.max(not_before);
            if due > now {
                soonest = Some(soonest.map_or(due, |it| it.min(due)));
                continue;
            }
            let rank = (entry.resolved, std::cmp::Reverse(entry.severity), *id);
            if best.is_none_or(|have| rank < have) {
                best = Some(rank);
            }
        }
        let Some((_, _, id)) = best else {
            return Next::Wait(soonest.map(|due| due.saturating_sub(now)));
        };
        let held = inner.entries.get_mut(&id).expect("it was just found");
        held.busy = true;
        held.entry.attempts += 1;
        held.entry.state = EntryState::Sending;
        // Should this very page make the loop panic, others come first when it starts again.
        held.due = now + backoff::wait(held.entry.attempts, 1.0);
        Next::Send { id, entry: Box::new(held.entry.clone()), channel: Box::new(channel) }
    }

    /// Pages whose channel is gone and whose time is over.
    pub(crate) fn orphans(&self) -> Vec<(u64, Entry)> {
        let now = self.runtime.clock.now();
        let mut guard = self.lock();
        let inner = &mut *guard;
        self.judge_orphans(inner);
        let retry_for = inner.config.retry_for;
        let channels = &inner.channels;
        let gone = |held: &Held| {
            let entry = &held.entry;
            let waits = entry.state != EntryState::Accepted && !held.busy;
            waits && !channels.contains_key(&entry.channel) && now.since(entry.enqueued_at) >= retry_for
        };
        let gone = inner.entries.iter_mut().filter(|(_, held)| gone(held));
        gone.map(|(id, held)| {
            held.busy = true;
            (*id, held.entry.clone())
        })
        .collect()
    }

    /// Says on the board which channels are gone while pages wait for them.
    fn judge_orphans(&self, inner: &Inner) {
        let waiting = inner.entries.values().filter(|held| held.entry.state != EntryState::Accepted);
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for held in waiting.filter(|held| !inner.channels.contains_key(&held.entry.channel)) {
            *counts.entry(&held.entry.channel).or_default() += 1;
        }
        const PREFIX: &str = "page-without-channel/";
        for trouble in self.runtime.troubles.list() {
            if trouble.key.strip_prefix(PREFIX).is_some_and(|channel| !counts.contains_key(channel)) {
                self.runtime.troubles.clear(&trouble.key);
            }
        }
        for (channel, _) in counts {
            let summary = format!(
                "Pages wait for the channel {channel}, which is not configured any more; bring it back, or they are given up"
            );
            self.runtime.troubles.set(&format!("{PREFIX}{channel}"), Severity::Critical, summary);
        }
    }

    /// A group written for each channel of its receiver that wants it; `None` if there is no such receiver.
    fn drafts(&self, group: &GroupNotification) -> Option<Vec<(String, Channel, Entry)>> {
        let config = Arc::clone(&self.lock().config);
        let receiver = config.receivers.iter().find(|it| it.name == group.receiver)?;
        Some(self.write(group, receiver, &config))
    }

    fn write(
        &self,
        group: &GroupNotification,
        receiver: &ReceiverConfig,
        config: &NotifyConfig,
    ) -> Vec<(String, Channel, Entry)> {
        let mut drafts = Vec::new();
        for (name, channel) in receiver.channels() {
            let mut group = group.clone();
            if !channel.send_resolved() {
                group.alerts.retain(|alert| !alert.is_resolved_at(group.at));
                if group.alerts.is_empty() {
                    continue;
                }
            }
            let page = Page::write(&group, &config.site, &config.runbooks);
            let key = key(&name, &group);
            let rendered = channel.render(&Draft { page: &page, group: &group, site: &config.site, key: &key });
            let entry = Entry {
                channel: name.clone(),
                receiver: receiver.name.clone(),
                kind: channel.kind().to_owned(),
                group_key: group.group_key.clone(),
                sequence: group.sequence,
                digest: digest(&group),
                key,
                title: page.title.clone(),
                severity: page.severity,
                resolved: page.is_resolved(),
                about_given_up: about_given_up(&group.alerts),
                without_runbook: page.runbook_is_stub,
                rendered,
                state: EntryState::Queued,
                attempts: 0,
                // Not when it was decided: a disk that failed may have held it up, and it has its full time.
                enqueued_at: self.runtime.clock.now(),
                last_error: None,
            };
            drafts.push((name, channel, entry));
        }
        drafts
    }

    async fn deliver_now(&self, groups: Vec<GroupNotification>, with: Vec<Change>) -> Result<(), StateError> {
        let _turn = self.delivering.lock().await;
        let config = {
            let inner = self.lock();
            if !inner.applied && !groups.is_empty() {
                let reason = "the configuration is not there yet".to_owned();
                return Err(StateError { doing: "written", reason });
            }
            Arc::clone(&inner.config)
        };
        let mut new: Vec<(u64, Entry)> = Vec::new();
        let mut known: Vec<u64> = Vec::new();
        for group in &groups {
            let Some(receiver) = self.receiver_of(group, &config) else { continue };
            for (_, _, entry) in self.write(group, receiver, &config) {
                let mut inner = self.lock();
                match inner.news(entry, group.reason) {
                    News::New(entry) => {
                        let id = inner.id_next;
                        inner.id_next += 1;
                        self.note_rendering(&entry);
                        new.push((id, *entry));
                    }
                    News::InMemoryOnly(id) => known.push(id),
                    News::Known => {}
                }
            }
        }
        let mut changes: Vec<Change> = new.iter().map(|(id, entry)| entry.put(*id)).collect();
        {
            let inner = self.lock();
            let held = known.iter().filter_map(|id| Some((id, inner.entries.get(id)?)));
            changes.extend(held.map(|(id, held)| held.entry.put(*id)));
        }
        changes.extend(with);
        let result = if changes.is_empty() { Ok(()) } else { self.state.commit(changes).await };
        self.note_commit(&result);
        fault::point("notify.enqueued");
        // A disk that fails keeps nobody from being told: the pages are sent from memory, and the caller, who learns of
        // the failure, hands them in again, which is then one page and not two.
        let mut inner = self.lock();
        if result.is_ok() {
            for id in known {
                match inner.entries.get_mut(&id) {
                    Some(held) => held.on_disk = true,
                    // It was delivered meanwhile; the row just written must go again.
                    None => inner.unmarked.push((id, vec![Change::delete(OUTBOX, row(id))])),
                }
            }
            self.keeper.notify_one();
        }
        for (id, entry) in new {
            inner.slots.entry(entry.channel.clone()).or_default();
            let held = Held { entry, due: Duration::ZERO, busy: false, on_disk: result.is_ok() };
            inner.entries.insert(id, held);
        }
        for slot in inner.slots.values() {
            slot.wake.notify_one();
        }
        self.measure(&inner);
        result
    }

    /// The receiver of a group. A name nobody configured, which only a reload half done can bring, is taken over by
    /// the first receiver that has a channel, and is a trouble.
    fn receiver_of<'c>(&self, group: &GroupNotification, config: &'c NotifyConfig) -> Option<&'c ReceiverConfig> {
        let trouble = format!("page-without-receiver/{}", group.receiver);
        if let Some(receiver) = config.receivers.iter().find(|it| it.name == group.receiver) {
            self.runtime.troubles.clear(&trouble);
            return Some(receiver);
        }
        // Where no receiver is configured at all, nobody wants to be told.
        if config.receivers.is_empty() {
            return None;
        }
        let stand_in = config.receivers.iter().find(|it| !it.is_empty());
        let to = stand_in.map_or("nobody", |it| it.name.as_str());
        let summary =
            format!("A page is for the receiver `{}`, which is not configured; it went to {to}", group.receiver);
        self.runtime.troubles.set(&trouble, Severity::Critical, summary);
        stand_in
    }

    fn note_rendering(&self, entry: &Entry) {
        let metrics = &self.runtime.metrics;
        let labels = [("channel", entry.channel.as_str())];
        if entry.without_runbook {
            let help = "Pages that link to a generated page, since nobody wrote a run book.";
            metrics.counter("watchbell_pages_without_runbook_total", help, &labels).inc();
        }
        let trouble = format!("page-template/{}", entry.channel);
        match entry.rendered.template_errors.first() {
            None => self.runtime.troubles.clear(&trouble),
            Some(error) => {
                let help = "Pages whose own template failed; they went out with the built-in words.";
                metrics.counter("watchbell_page_template_errors_total", help, &labels).inc();
                let summary = format!("A template of {} fails; the built-in words stand in: {error}", entry.channel);
                self.runtime.troubles.set(&trouble, Severity::Warning, summary);
            }
        }
    }

    pub(crate) fn measure(&self, inner: &Inner) {
        let count = inner.entries.len();
        let gauge = self.runtime.metrics.gauge("watchbell_outbox_pages", "Pages that are not delivered yet.", &[]);
        gauge.set(count as f64);
        let troubles = &self.runtime.troubles;
        if count > OUTBOX_PAGES_MAX {
            let help = "Times a page was accepted although the outbox was full.";
            self.runtime.metrics.counter("watchbell_outbox_overfull_total", help, &[]).inc();
            let summary = format!("More than {OUTBOX_PAGES_MAX} pages wait in the outbox; none is dropped");
            troubles.set("outbox-full", Severity::Critical, summary);
        } else {
            troubles.clear("outbox-full");
        }
    }
}

impl Deliver for Notify {
    fn deliver(&self, groups: Vec<GroupNotification>, with: Vec<Change>) -> BoxFuture<'_, Result<(), StateError>> {
        Box::pin(self.deliver_now(groups, with))
    }
}

/// What a page that is handed in is to the outbox.
enum News {
    New(Box<Entry>),
    /// It is there, but the disk does not have it.
    InMemoryOnly(u64),
    Known,
}

impl Inner {
    fn news(&self, mut entry: Entry, reason: NotificationReason) -> News {
        loop {
            let held = self.entries.iter().find(|(_, held)| held.entry.key == entry.key);
            let (same, on_disk, id) = match (held, self.done.get(&entry.key)) {
                (Some((id, held)), _) => (held.entry.digest == entry.digest, held.on_disk, Some(*id)),
                (None, Some((digest, on_disk))) => (*digest == entry.digest, *on_disk, None),
                (None, None) => break,
            };
            if same || on_disk {
                let waits = id.filter(|id| self.entries[id].entry.state != EntryState::Accepted);
                return match waits {
                    Some(id) if !on_disk => News::InMemoryOnly(id),
                    _ => News::Known,
                };
            }
            // The first page of this sequence went out from memory only; this one tells of more.
            entry.key = key_of_other(&entry.key, &entry.digest);
            for (_, value) in entry.rendered.headers.iter_mut().filter(|(header, _)| is_key_header(header)) {
                *value = entry.key.clone();
            }
        }
        // A reminder of what has not arrived yet adds nothing: the first page is still being tried.
        let waits = |held: &Held| {
            let it = &held.entry;
            (&it.channel, &it.group_key) == (&entry.channel, &entry.group_key)
                && it.state != EntryState::Accepted
                && !it.resolved
        };
        if reason == NotificationReason::Repeat && self.entries.values().any(waits) {
            return News::Known;
        }
        News::New(Box::new(entry))
    }

    /// Remembers a page that is done.
    pub(crate) fn finished(&mut self, key: String, digest: String, on_disk: bool) {
        self.order.push_back(key.clone());
        self.done.insert(key, (digest, on_disk));
        while self.order.len() > FINISHED_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.done.remove(&oldest);
            }
        }
    }

    /// Reads all rows; answers how many could not be understood.
    fn read(&mut self, runtime: &Runtime, state: &dyn State) -> Result<usize, StateError> {
        let mut unreadable = 0;
        scan(state, OUTBOX, |key, value| {
            self.id_next = self.id_next.max(key.parse::<u64>().map_or(0, |id| id + 1));
            match (key.parse(), serde_json::from_slice::<Entry>(value)) {
                (Ok(id), Ok(mut entry)) => {
                    // Of a try that a crash cut off nobody knows the end.
                    entry.state = EntryState::Queued;
                    self.slots.entry(entry.channel.clone()).or_default();
                    let held = Held { entry, due: Duration::ZERO, busy: false, on_disk: true };
                    self.entries.insert(id, held);
                }
                _ => unreadable += 1,
            }
        })?;
        scan(state, CHANNEL, |key, value| match serde_json::from_slice::<ChannelMemory>(value) {
            Ok(memory) => {
                if let Some(summary) = &memory.given_up {
                    runtime.troubles.set(&format!("page-given-up/{key}"), Severity::Critical, summary.clone());
                }
                self.slots.entry(key.to_owned()).or_default().memory = memory;
            }
            Err(_) => unreadable += 1,
        })?;
        scan(state, DELIVERY, |key, value| {
            self.log_next = self.log_next.max(key.parse::<u64>().map_or(0, |number| number + 1));
            match serde_json::from_slice::<DeliveryRecord>(value) {
                Ok(record) => {
                    self.id_next = self.id_next.max(record.page + 1);
                    if record.outcome != Outcome::Retry {
                        self.finished(record.key, String::new(), true);
                    }
                }
                Err(_) => unreadable += 1,
            }
        })?;
        Ok(unreadable)
    }
}

fn scan(state: &dyn State, table: &str, mut each: impl FnMut(&str, &[u8])) -> Result<(), StateError> {
    let mut from = String::new();
    loop {
        let rows = state.scan(table, &from, SCAN)?;
        for (key, value) in &rows {
            each(key, value);
        }
        match rows.last() {
            Some((last, _)) if rows.len() == SCAN => from = format!("{last}\0"),
            _ => return Ok(()),
        }
    }
}

/// The channels whose given-up pages all firing alerts tell of; none if any tells of something else.
fn about_given_up(alerts: &[Alert]) -> Vec<String> {
    let channel = |alert: &Alert| alert.labels.get("source")?.strip_prefix("self/page-given-up/").map(str::to_owned);
    alerts.iter().map(channel).collect::<Option<Vec<String>>>().unwrap_or_default()
}

fn is_key_header(name: &str) -> bool {
    name.eq_ignore_ascii_case("idempotency-key") || name.eq_ignore_ascii_case("webhook-id")
}

fn test_group(receiver: &str, now: Timestamp) -> GroupNotification {
    let labels = Labels::from_pairs([("alertname", "Test"), ("severity", "info"), ("source", "self/test")]);
    let annotations = Labels::from_pairs([
        ("summary", "This is a test page"),
        ("description", "Somebody asked watchbell to show that pages arrive here. Nothing is wrong."),
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
