//! The stage itself: takes groups of alerts in, writes them as pages, and keeps them in the outbox.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use watchbell_model::{
    Alert, BoxFuture, Change, Deliver, Draw, GroupNotification, Labels, NotificationReason, Severity, State,
    StateError, Timestamp,
};
use watchbell_runtime::{Addresses, Runtime, Task, fault};

use crate::OUTBOX_PAGES_MAX;
use crate::channels::picture::Shows;
use crate::channels::{Channel, Draft};
use crate::config::{NotifyConfig, ReceiverConfig, Site};
use crate::outbox::{Entry, EntryState, FLOOD_GROUP, OUTBOX, Outcome, digest, key, row};
use crate::page::Page;
use crate::queue::{Configured, Inner, News};
use crate::route_labels;
use crate::runbook::Library;
use crate::sender::{self, Next};
use crate::template_data::Templates;
use crate::waiting::Held;

/// The notify stage.
pub struct Notify {
    pub(crate) runtime: Runtime,
    pub(crate) state: Arc<dyn State>,
    inner: Mutex<Inner>,
    /// Stand in for a resolver that does not answer: what is watched may be what resolves.
    pub(crate) addresses: Addresses,
    /// One `deliver` at a time: between looking for a key and writing it nobody else may do the same.
    delivering: tokio::sync::Mutex<()>,
    pub(crate) keeper: tokio::sync::Notify,
    pub(crate) draw: OnceLock<Arc<dyn Draw>>,
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
            templates: Arc::new(Templates::default()),
            runbooks: Arc::new(Library::default()),
            site: nowhere,
            retry_for: NotifyConfig::RETRY_FOR,
        };
        let mut inner = Inner::new(config);
        let addresses = Addresses::default();
        let runtime = Runtime { net: runtime.net.remembering(addresses.clone()), ..runtime };
        let unreadable = inner.read(&runtime, state.as_ref(), &addresses)?;
        if unreadable > 0 {
            let summary = format!("{unreadable} rows of the outbox cannot be read and are left alone");
            runtime.troubles.set("outbox-rows", Severity::Critical, summary);
        }
        let notify = Notify {
            runtime,
            state,
            inner: Mutex::new(inner),
            addresses,
            delivering: tokio::sync::Mutex::new(()),
            keeper: tokio::sync::Notify::new(),
            draw: OnceLock::new(),
        };
        Ok(Arc::new(notify))
    }

    /// Has pages carry pictures from now on. Only the first call counts.
    pub fn draw_with(&self, draw: Arc<dyn Draw>) {
        let _ = self.draw.set(draw);
    }

    /// Makes this the configuration. Pages in the outbox go on as they were rendered; pages for a channel that is gone
    /// wait for it to come back and are a trouble. Hand [`Notify::tasks`] to the supervisor afterwards.
    pub fn apply(&self, config: NotifyConfig) {
        let mut inner = self.lock();
        inner.channels.clear();
        for receiver in &config.receivers {
            for (name, channel) in receiver.channels() {
                inner.channels.insert(name, Configured::new(&receiver.name, channel));
            }
        }
        inner.config = Arc::new(config);
        inner.applied = true;
        // A channel that was put right is tried at once.
        let waiting: Vec<String> = inner.entries.channels().map(str::to_owned).collect();
        for channel in waiting {
            inner.entries.due_now(&channel);
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

    /// The labels of a group's route, written over the group.
    pub fn route_labels(&self, group: &GroupNotification) -> Labels {
        let config = Arc::clone(&self.lock().config);
        route_labels::write(group, &config).0
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic while held")
    }

    pub(crate) fn wake_of(&self, channel: &str) -> Arc<tokio::sync::Notify> {
        Arc::clone(&self.lock().slots.entry(channel.to_owned()).or_default().wake)
    }

    /// How many tries of a channel may be under way.
    pub(crate) fn at_once(&self, name: &str) -> usize {
        let inner = self.lock();
        // What does not answer is not pressed.
        let failing = inner.slots.get(name).is_some_and(|slot| slot.failing);
        inner.channels.get(name).filter(|_| !failing).map_or(1, |it| it.channel.at_once())
    }

    pub(crate) fn next(&self, name: &str, one_by_one: bool) -> Next {
        self.lock().next(name, self.runtime.clock.monotonic(), one_by_one)
    }

    /// Pages whose channel is gone and whose time is over.
    pub(crate) fn orphans(&self) -> Vec<(u64, Entry)> {
        let mut inner = self.lock();
        self.judge_orphans(&inner);
        inner.orphans(self.runtime.clock.now())
    }

    /// Says on the board which channels are gone while pages wait for them.
    fn judge_orphans(&self, inner: &Inner) {
        let waiting = inner.entries.channels();
        let gone: BTreeSet<&str> = waiting.filter(|name| !inner.channels.contains_key(*name)).collect();
        const PREFIX: &str = "page-without-channel/";
        for trouble in self.runtime.troubles.list() {
            if trouble.key.strip_prefix(PREFIX).is_some_and(|channel| !gone.contains(channel)) {
                self.runtime.troubles.clear(&trouble.key);
            }
        }
        for channel in gone {
            let summary = format!(
                "Pages wait for the channel {channel}, which is not configured any more; bring it back, or they are given up"
            );
            self.runtime.troubles.set(&format!("{PREFIX}{channel}"), Severity::Critical, summary);
        }
    }

    /// A group written for each channel of its receiver that wants it; `None` if there is no such receiver.
    pub(crate) fn drafts(&self, group: &GroupNotification) -> Option<Vec<(String, Arc<dyn Channel>, Entry)>> {
        let config = Arc::clone(&self.lock().config);
        let receiver = config.receivers.iter().find(|it| it.name == group.receiver)?;
        Some(self.write(group, receiver, &config))
    }

    fn write(
        &self,
        group: &GroupNotification,
        receiver: &ReceiverConfig,
        config: &NotifyConfig,
    ) -> Vec<(String, Arc<dyn Channel>, Entry)> {
        let mut drafts = Vec::new();
        let (route_labels, errors) = route_labels::write(group, config);
        let group = GroupNotification { route_labels, ..group.clone() };
        for (name, channel) in receiver.channels() {
            let mut told = group.clone();
            if !channel.options().send_resolved {
                told.alerts.retain(|alert| !alert.is_resolved_at(group.at));
            }
            let over = told.alerts.is_empty() && !group.alerts.is_empty();
            let hush = over || group.reason == NotificationReason::Acknowledged;
            let group = if hush { &group } else { &told };
            if let Some(mut entry) = self.entry(&name, &receiver.name, &*channel, group, hush, config) {
                entry.rendered.template_errors.extend_from_slice(&errors);
                drafts.push((name, channel, entry));
            }
        }
        drafts
    }

    /// A group as a page for one channel, or what is to `hush` the channel about it, if anything is.
    fn entry(
        &self,
        name: &str,
        receiver: &str,
        channel: &dyn Channel,
        group: &GroupNotification,
        hush: bool,
        config: &NotifyConfig,
    ) -> Option<Entry> {
        let mut page = Page::write(group, &config.site, &config.runbooks);
        let shows = channel.picture();
        let draw = self.draw.get().filter(|_| shows != Shows::Nothing && !hush);
        let mut subject = draw.and_then(|draw| page.subject(group).filter(|subject| draw.has_graph(subject)));
        if shows == Shows::Linked {
            // The link brings it, whenever it is opened.
            page.picture_url = subject.take().and_then(|subject| config.site.picture_address(&subject));
        }
        let key = key(name, group);
        let (site, templates) = (&config.site, &*config.templates);
        let draft = Draft { page: &page, group, site, templates, key: &key };
        let rendered = if hush { channel.hush(&draft)? } else { channel.render(&draft) };
        let title = match &group.acknowledged_by {
            Some(by) => format!("{by} sees to it: {}", page.title),
            None => page.title.clone(),
        };
        Some(Entry {
            channel: name.to_owned(),
            receiver: receiver.to_owned(),
            kind: channel.kind().to_owned(),
            group_key: group.group_key.clone(),
            sequence: group.sequence,
            digest: digest(group),
            key,
            title,
            severity: page.severity,
            resolved: page.is_resolved(),
            hush,
            first: group.reason == NotificationReason::First,
            about_given_up: about_given_up(&group.alerts),
            without_runbook: page.runbook_is_stub,
            what: page.alerts.first().map_or_else(|| page.title.clone(), |alert| alert.summary.clone()),
            since: page.alerts.first().map_or(group.at, |alert| alert.since),
            runbook_url: page.runbook_url,
            rendered,
            subject,
            state: EntryState::Queued,
            attempts: 0,
            // Not when it was decided: a disk that failed may have held it up, and it has its full time.
            enqueued_at: self.runtime.clock.now(),
            last_error: None,
        })
    }

    /// Puts one page in the place of several that wait for a channel.
    pub(crate) async fn merge(&self, name: &str, ids: &[u64]) -> Result<(), StateError> {
        let _turn = self.delivering.lock().await;
        let now = self.runtime.clock.now();
        let (id, entry, changes) = {
            let mut inner = self.lock();
            let config = Arc::clone(&inner.config);
            let Some(through) = inner.channels.get(name).cloned() else { return Ok(()) };
            let one = |id: &u64| inner.entries.get(*id).map(|held| (*id, held.entry.clone()));
            let covered: Vec<(u64, Entry)> = ids.iter().filter_map(one).collect();
            let id = inner.id_next;
            inner.id_next += 1;
            let group = flood(&through.receiver, &covered, id, now);
            let entry = self.entry(name, &through.receiver, &*through.channel, &group, false, &config);
            let Some(mut entry) = entry else { return Ok(()) };
            if covered.iter().all(|(_, it)| !it.about_given_up.is_empty()) {
                entry.about_given_up = covered.iter().flat_map(|(_, it)| it.about_given_up.clone()).collect();
            }
            let mut changes = vec![entry.put(id)];
            for (covered, it) in &covered {
                changes.push(Change::delete(OUTBOX, row(*covered)));
                changes.extend(inner.log(&it.record(*covered, Outcome::Merged, format!("page {id} tells of it"), now)));
            }
            (id, entry, changes)
        };
        let result = self.state.commit(changes).await;
        self.note_commit(&result);
        result?;
        tracing::info!(channel = name, count = ids.len(), page = id, "pages are told of in one");
        let mut inner = self.lock();
        inner.replace(ids, id, entry);
        self.measure(&inner);
        Ok(())
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
            let mut inner = self.lock();
            let begun =
                new.iter().filter(|(_, entry)| entry.first).map(|(_, entry)| entry.group_key.as_str()).collect();
            changes.extend(inner.forget_threads(&begun));
            let held = known.iter().filter_map(|id| Some((id, inner.entries.get(*id)?)));
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
                match inner.entries.get(id) {
                    Some(_) => inner.entries.change(id, |held| held.on_disk = true),
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

/// The channels whose given-up pages all firing alerts tell of; none if any tells of something else.
fn about_given_up(alerts: &[Alert]) -> Vec<String> {
    let channel = |alert: &Alert| alert.labels.get("source")?.strip_prefix("self/page-given-up/").map(str::to_owned);
    alerts.iter().map(channel).collect::<Option<Vec<String>>>().unwrap_or_default()
}

/// Pages that wait as one group: each an alert that says what its page says.
fn flood(receiver: &str, covered: &[(u64, Entry)], id: u64, now: Timestamp) -> GroupNotification {
    let alert = |(_, entry): &(u64, Entry)| {
        // A page of an older version does not say.
        let what = if entry.what.is_empty() { entry.title.as_str() } else { entry.what.as_str() };
        Alert {
            labels: Labels::from_pairs([("alertname", what), ("severity", entry.severity.as_str())]),
            annotations: Labels::from_pairs([("summary", what), ("runbook_url", entry.runbook_url.as_str())]),
            starts_at: entry.since.min(entry.enqueued_at),
            ends_at: entry.resolved.then_some(entry.enqueued_at),
            generator_url: String::new(),
        }
    };
    GroupNotification {
        receiver: receiver.to_owned(),
        group_key: format!("{FLOOD_GROUP}{id}"),
        sequence: id,
        group_labels: Labels::empty(),
        route_labels: Labels::empty(),
        alerts: covered.iter().map(alert).collect(),
        reason: NotificationReason::Flood,
        acknowledged_by: None,
        at: now,
    }
}
