//! The outbox in memory: which page is next, which is news, which is done. Pure: time is an argument.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use watchbell_model::{Change, NotificationReason, Severity, State, StateError, Timestamp};
use watchbell_runtime::{Addresses, HttpClient, Runtime, aws};

use crate::backoff;
use crate::channels::{Channel, Pace};
use crate::config::{HttpConfig, NotifyConfig};
use crate::outbox::{
    ADDRESS, CHANNEL, ChannelMemory, DELIVERY, DeliveryRecord, Entry, EntryState, OUTBOX, Outcome, THREAD,
    THREAD_PARTS, key_of_other, thread_key,
};
use crate::sender::Next;
use crate::waiting::{Held, Waiting};

/// Keys of finished pages that are remembered, so that the same page handed in again is not sent again.
const FINISHED_MAX: usize = 10_000;
/// So many pages that wait for a person at the same time are told of in one.
pub(crate) const FLOOD: usize = 10;
/// Rows read at once.
const SCAN: usize = 1000;

/// A channel of the configuration.
#[derive(Clone)]
pub(crate) struct Configured {
    pub(crate) receiver: String,
    pub(crate) channel: Arc<dyn Channel>,
    /// Keeps a token while it holds.
    pub(crate) client: Arc<HttpClient>,
    /// Keeps credentials of AWS while they hold.
    pub(crate) aws: Arc<aws::Memory>,
}

impl Configured {
    pub(crate) fn new(receiver: &str, channel: Arc<dyn Channel>) -> Configured {
        let client = channel.options().http.map(HttpConfig::http_client).unwrap_or_default();
        Configured {
            receiver: receiver.to_owned(),
            channel,
            client: Arc::new(HttpClient::new(client)),
            aws: Arc::default(),
        }
    }
}

/// What memory keeps of a channel.
#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) memory: ChannelMemory,
    /// Whether the last try failed.
    pub(crate) failing: bool,
    /// The channel asked not to be tried before this (monotonic).
    pub(crate) not_before: Duration,
    pub(crate) wake: Arc<tokio::sync::Notify>,
    /// How many pages may go at once, at that monotonic time; see [`Pace`].
    allowance: Option<(f64, Duration)>,
}

impl Slot {
    /// How long until a page may be sent, if it may not be now.
    fn wait(&mut self, pace: Pace, now: Duration) -> Option<Duration> {
        let burst = f64::from(pace.burst);
        let (left, at) = self.allowance.unwrap_or((burst, now));
        let grown = now.saturating_sub(at).as_secs_f64() / pace.every.as_secs_f64();
        let left = (left + grown).min(burst);
        self.allowance = Some((left, now));
        (left < 1.0).then(|| pace.every.mul_f64(1.0 - left) + Duration::from_millis(1))
    }

    /// A page is sent.
    fn take(&mut self) {
        if let Some((left, _)) = &mut self.allowance {
            *left -= 1.0;
        }
    }
}

pub(crate) struct Inner {
    pub(crate) config: Arc<NotifyConfig>,
    /// Whether that is a configuration at all.
    pub(crate) applied: bool,
    /// Configured channels by name.
    pub(crate) channels: BTreeMap<String, Configured>,
    pub(crate) entries: Waiting,
    pub(crate) slots: BTreeMap<String, Slot>,
    /// What channels answered of groups that are not over, by [`thread_key`](crate::outbox::thread_key).
    pub(crate) threads: BTreeMap<String, String>,
    /// Keys of pages that are done, with their digest and whether the disk knew them; oldest first in `order`.
    done: BTreeMap<String, (String, bool)>,
    order: VecDeque<String>,
    /// Pages that are done while the disk does not know it yet.
    pub(crate) unmarked: Vec<(u64, Vec<Change>)>,
    pub(crate) id_next: u64,
    pub(crate) log_next: u64,
}

/// What a page that is handed in is to the outbox.
pub(crate) enum News {
    New(Box<Entry>),
    /// It is there, but the disk does not have it.
    InMemoryOnly(u64),
    Known,
}

impl Inner {
    /// Nothing yet, with a configuration that tells nobody.
    pub(crate) fn new(config: NotifyConfig) -> Inner {
        Inner {
            config: Arc::new(config),
            applied: false,
            channels: BTreeMap::new(),
            entries: Waiting::default(),
            slots: BTreeMap::new(),
            threads: BTreeMap::new(),
            done: BTreeMap::new(),
            order: VecDeque::new(),
            unmarked: Vec::new(),
            id_next: 1,
            log_next: 1,
        }
    }

    /// Which page of a channel is next: of each group only the oldest, of those that are due what fires before what is
    /// over, the worst first, then the oldest. Of a flood, those that are to be told of in one, unless `one_by_one`.
    pub(crate) fn next(&mut self, name: &str, now: Duration, one_by_one: bool) -> Next {
        let Some(through) = self.channels.get(name).cloned() else { return Next::Wait(None) };
        let not_before = self.slots.get(name).map_or(Duration::ZERO, |slot| slot.not_before);
        let mut ready = self.entries.ready(name, now);
        let (first, count) = (ready.next(), ready.len() + 1);
        drop(ready);
        let Some(id) = first else {
            let soonest = self.entries.soonest(name);
            return Next::Wait(soonest.map(|due| due.max(not_before).saturating_sub(now)));
        };
        if not_before > now {
            return Next::Wait(Some(not_before - now));
        }
        let (channel, slot) = (&through.channel, self.slots.entry(name.to_owned()).or_default());
        if let Some(wait) = channel.pace().and_then(|pace| slot.wait(pace, now)) {
            return Next::Wait(Some(wait));
        }
        // What was tried may have arrived, and what has a message of its own changes that one.
        if count >= FLOOD && !one_by_one && channel.is_for_people() {
            let ready: Vec<u64> = self.entries.ready(name, now).collect();
            let fresh = |id: &u64| {
                let entry = self.entries.get(*id).map(|held| &held.entry);
                entry.is_some_and(|entry| entry.attempts == 0 && !entry.hush && self.thread_of(entry).is_none())
            };
            let ids: Vec<u64> = ready.into_iter().filter(fresh).collect();
            if ids.len() >= FLOOD {
                return Next::Merge(ids);
            }
        }
        self.slots.entry(name.to_owned()).or_default().take();
        self.entries.change(id, |held| {
            held.busy = true;
            held.entry.attempts += 1;
            held.entry.state = EntryState::Sending;
            // Should this very page make the loop panic, others come first when it starts again.
            held.due = now + backoff::wait(held.entry.attempts, 1.0);
        });
        let entry = Box::new(self.entries.get(id).expect("it was just found").entry.clone());
        let thread = self.thread_of(&entry).cloned();
        Next::Send { id, entry, through, thread }
    }

    /// Whether a channel takes one more message than its pages, and no page waits for it; it is counted as sent.
    pub(crate) fn may_send_more(&mut self, name: &str, now: Duration) -> bool {
        let Some(pace) = self.channels.get(name).map(|through| through.channel.pace()) else { return false };
        if self.entries.ready(name, now).len() > 0 {
            return false;
        }
        let slot = self.slots.entry(name.to_owned()).or_default();
        if pace.is_some_and(|pace| slot.wait(pace, now).is_some()) {
            return false;
        }
        slot.take();
        true
    }

    /// What the channel answered of an earlier page of the same episode, or of an earlier try of this one.
    fn thread_of(&self, entry: &Entry) -> Option<&String> {
        self.threads.get(&thread_key(&entry.channel, &entry.group_key))
    }

    /// Forgets what an earlier episode of these groups left on any channel that does not learn it anew: its end may have
    /// told nobody.
    pub(crate) fn forget_threads(&mut self, groups: &BTreeSet<&str>) -> Vec<Change> {
        let relearns = |name: &str| self.channels.get(name).is_some_and(|it| it.channel.relearns());
        let left = |key: &str| {
            let parts = key.split_once(THREAD_PARTS);
            parts.is_some_and(|(channel, group)| groups.contains(group) && !relearns(channel))
        };
        if groups.is_empty() {
            return Vec::new();
        }
        self.threads.extract_if(.., |key, _| left(key)).map(|(key, _)| Change::delete(THREAD, key)).collect()
    }

    /// Pages whose channel is gone and whose time is over.
    pub(crate) fn orphans(&mut self, now: Timestamp) -> Vec<(u64, Entry)> {
        let retry_for = self.config.retry_for;
        let gone = self.entries.channels().filter(|name| !self.channels.contains_key(*name));
        let ids: Vec<u64> = gone.flat_map(|name| self.entries.of_channel(name)).collect();
        let is_over = |held: &Held| !held.busy && now.since(held.entry.enqueued_at) >= retry_for;
        let over = |id: u64| {
            let held = self.entries.get(id).filter(|held| is_over(held))?;
            let entry = held.entry.clone();
            self.entries.change(id, |held| held.busy = true);
            Some((id, entry))
        };
        ids.into_iter().filter_map(over).collect()
    }

    pub(crate) fn news(&self, mut entry: Entry, reason: NotificationReason) -> News {
        loop {
            let held = self.entries.of_key(&entry.key);
            let (same, on_disk, id) = match (held, self.done.get(&entry.key)) {
                (Some((id, held)), _) => (held.entry.digest == entry.digest, held.on_disk, Some(id)),
                (None, Some((digest, on_disk))) => (*digest == entry.digest, *on_disk, None),
                (None, None) => break,
            };
            if same || on_disk {
                let waits = held.filter(|(_, held)| held.entry.state != EntryState::Accepted).and(id);
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
        let mut waiting = self.entries.of_group(&entry.channel, &entry.group_key);
        if reason == NotificationReason::Repeat && waiting.any(|held| !held.entry.resolved) {
            return News::Known;
        }
        News::New(Box::new(entry))
    }

    /// Puts one page in the place of several.
    pub(crate) fn replace(&mut self, covered: &[u64], id: u64, entry: Entry) {
        for covered in covered {
            if let Some(held) = self.entries.remove(*covered) {
                self.finished(held.entry.key, held.entry.digest, held.on_disk);
            }
        }
        self.entries.insert(id, Held { entry, due: Duration::ZERO, busy: false, on_disk: true });
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
    pub(crate) fn read(
        &mut self,
        runtime: &Runtime,
        state: &dyn State,
        addresses: &Addresses,
    ) -> Result<usize, StateError> {
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
        scan(state, THREAD, |key, value| match serde_json::from_slice::<String>(value) {
            Ok(thread) => {
                self.threads.insert(key.to_owned(), thread);
            }
            Err(_) => unreadable += 1,
        })?;
        scan(state, ADDRESS, |key, value| match serde_json::from_slice(value) {
            Ok(known) => addresses.restore(key, known),
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

/// Headers that hold the idempotency key.
pub(crate) fn is_key_header(name: &str) -> bool {
    name.eq_ignore_ascii_case("idempotency-key") || name.eq_ignore_ascii_case("webhook-id")
}
