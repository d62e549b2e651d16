//! One loop per channel: takes the page whose turn it is, sends it, records what became of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use watchbell_model::{Change, Picture, Severity, Span, StateError};
use watchbell_runtime::http::{self, Request, Response};
use watchbell_runtime::process::Command;
use watchbell_runtime::{CancellationToken, Runtime, aws, fault};

use crate::DELIVERIES_MAX;
use crate::backoff;
use crate::channels::picture::Shows;
use crate::channels::{self, ANSWER_MAX, Attempt, AwsCall, Follow, Outgoing, Talk, Verdict, VerdictKind};
use crate::notify::Notify;
use crate::outbox::{
    ADDRESS, CHANNEL, DELIVERY, DeliveryRecord, Entry, EntryState, OUTBOX, Outcome, THREAD, row, thread_key,
};
use crate::queue::{Configured, Inner};
use crate::smtp;

/// How long the keeper waits between its rounds when nothing calls it.
const KEEPER_ROUND: Duration = Duration::from_secs(60);
/// First and longest wait before a commit that failed is tried again.
const COMMIT_AGAIN_MIN: Duration = Duration::from_secs(1);
const COMMIT_AGAIN_MAX: Duration = Duration::from_secs(60);
/// The exit code by which a program asks to be started again later (sysexits.h).
const EX_TEMPFAIL: i32 = 75;
/// Requests of one talk with a service.
const TALK_MAX: usize = 8;

/// How long a page waits for its picture, whatever draws it.
const PICTURE_WAIT_MAX: Duration = Duration::from_secs(3);
/// How long the next page may have to wait for a picture that goes after its page.
const BESIDE_MAX: Duration = Duration::from_secs(5);

/// How often in one try an answer leads to something else.
const FOLLOWS_MAX: u32 = 3;

/// What a channel's loop does next.
pub(crate) enum Next {
    /// Sends this page.
    Send { id: u64, entry: Box<Entry>, through: Configured, thread: Option<String> },
    /// Tells of these pages in one.
    Merge(Vec<u64>),
    /// Nothing is due before this much time has passed, or at all.
    Wait(Option<Duration>),
}

/// Sends the pages of one channel until it is told to stop. Tries that are under way are finished first.
pub(crate) async fn run(notify: Arc<Notify>, name: String, stop: CancellationToken) {
    let wake = notify.wake_of(&name);
    let mut tries = FuturesUnordered::new();
    let mut one_by_one = false;
    while !stop.is_cancelled() {
        let next = match tries.len() < notify.at_once(&name) {
            true => notify.next(&name, std::mem::take(&mut one_by_one)),
            false => Next::Wait(None),
        };
        let wait = match next {
            Next::Merge(ids) => {
                // A disk that cannot take them back keeps them from being put together, not from being sent.
                one_by_one = notify.merge(&name, &ids).await.is_err();
                continue;
            }
            Next::Send { id, entry, through, thread } => {
                tries.push(notify.try_once(id, *entry, through, thread));
                continue;
            }
            Next::Wait(wait) => wait,
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(()) = tries.next() => {}
            () = wake.notified() => {}
            () = notify.runtime.clock.sleep(wait.unwrap_or_default()), if wait.is_some() => {}
        }
    }
    while tries.next().await.is_some() {}
}

/// Tries commits again that failed after a page was sent, and gives up pages whose channel is gone for too long.
pub(crate) async fn keep(notify: Arc<Notify>, stop: CancellationToken) {
    let mut wait = COMMIT_AGAIN_MIN;
    loop {
        let left = notify.commit_unmarked().await;
        notify.give_up_orphans().await;
        let round = match left {
            true => wait,
            false => KEEPER_ROUND,
        };
        wait = if left { (wait * 2).min(COMMIT_AGAIN_MAX) } else { COMMIT_AGAIN_MIN };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = notify.keeper.notified() => {}
            () = notify.runtime.clock.sleep(round) => {}
        }
    }
}

/// What became of a page that was sent.
pub(crate) struct Sent {
    pub(crate) verdict: Verdict,
    /// What is remembered of it for the group's next pages.
    pub(crate) remembered: Option<String>,
    /// The last answer by which it was accepted.
    answer: Option<Response>,
}

/// Sends a page as it was rendered, and with a picture where the channel shows one within its messages. If it is refused
/// with the picture, it goes out without.
pub(crate) async fn send(
    runtime: &Runtime,
    through: &Configured,
    entry: &Entry,
    thread: Option<&str>,
    picture: Option<&Picture>,
) -> Sent {
    let (channel, disk) = (&*through.channel, &runtime.disk);
    let refused = |kind, reason: &str| {
        let excerpt = channels::without_secrets(channel, disk, reason);
        Sent { verdict: Verdict { kind, status: None, excerpt }, remembered: None, answer: None }
    };
    let now = runtime.clock.now();
    let mut attempt = Attempt { disk, now, key: &entry.key, resolved: entry.resolved, thread, picture };
    let mut outgoing = match channel.send(&entry.rendered, &attempt) {
        Ok(outgoing) => VecDeque::from(outgoing),
        // What is missing, such as a file, may be put right without a reload.
        Err(reason) => return refused(VerdictKind::Retry(None), &reason),
    };
    let mut verdict = Verdict { kind: VerdictKind::Accepted, status: None, excerpt: String::new() };
    let (mut remembered, mut accepted_by, mut followed) = (None, None, 0);
    while let Some(one) = outgoing.pop_front() {
        let learnt;
        (verdict, learnt) = match one {
            Outgoing::Http(request) => {
                let (said, answer) = ask(runtime, through, *request).await;
                let follow = answer.as_ref().filter(|_| followed < FOLLOWS_MAX);
                if let Some(follow) = follow.and_then(|answer| channel.follow(&entry.rendered, &attempt, answer)) {
                    followed += 1;
                    outgoing = match follow {
                        Follow::Instead(outgoing) => outgoing.into(),
                        Follow::Alone => {
                            attempt.thread = None;
                            match channel.send(&entry.rendered, &attempt) {
                                Ok(outgoing) => outgoing.into(),
                                Err(reason) => return refused(VerdictKind::Retry(None), &reason),
                            }
                        }
                    };
                    continue;
                }
                let first = (attempt.thread.is_none() && remembered.is_none()) || channel.relearns();
                let accepted = answer.filter(|_| said.kind == VerdictKind::Accepted);
                let learnt = accepted.as_ref().filter(|_| first).and_then(|answer| channel.thread(answer));
                accepted_by = accepted.or(accepted_by);
                (said, learnt)
            }
            Outgoing::Aside(request) => {
                let (aside, _) = ask(runtime, through, *request).await;
                if aside.kind != VerdictKind::Accepted {
                    let said = aside.excerpt;
                    tracing::info!(channel = channel.kind(), said, "what goes with a page was not taken");
                }
                (verdict, None)
            }
            Outgoing::Talk(talk) => converse(runtime, through, talk).await,
            Outgoing::Aws(call) => (call_aws(runtime, through, &call).await, None),
            Outgoing::Exec(command) => (run_program(runtime, through, *command).await, None),
            Outgoing::Mail(mail) => {
                let sent = smtp::send(runtime, &mail).await;
                let excerpt = channels::without_secrets(channel, disk, &sent.words);
                let taken = sent.taken.and_then(|taken| serde_json::to_string(&taken).ok());
                (Verdict { kind: sent.kind, status: sent.status, excerpt }, taken)
            }
        };
        remembered = learnt.or(remembered);
        // A quota of files is told as too much too, without a time to wait.
        let refused_with_it = verdict.kind == VerdictKind::Refused
            || (verdict.status, verdict.kind) == (Some(429), VerdictKind::Retry(None));
        if refused_with_it && attempt.picture.take().is_some() {
            let said = &verdict.excerpt;
            tracing::info!(channel = channel.kind(), said, "a page is refused with its picture and goes out without");
            followed = 0;
            outgoing = match channel.send(&entry.rendered, &attempt) {
                Ok(outgoing) => outgoing.into(),
                Err(reason) => return refused(VerdictKind::Retry(None), &reason),
            };
        } else if verdict.kind != VerdictKind::Accepted {
            break;
        }
    }
    Sent { verdict, remembered, answer: accepted_by }
}

/// Sends what brings a picture after its page.
async fn bring(runtime: &Runtime, through: &Configured, mut talk: Box<dyn Talk>) -> Result<(), String> {
    let mut answer = None;
    for _ in 0..TALK_MAX {
        let Some(request) = talk.next(answer.as_ref()).map_err(|(_, reason)| reason)? else { return Ok(()) };
        let said;
        (said, answer) = ask(runtime, through, request).await;
        if answer.as_ref().is_none_or(|answer| !(200..300).contains(&answer.status)) {
            return Err(words(&said));
        }
    }
    Err("the talk came to no end".into())
}

/// One request, and its answer.
async fn ask(runtime: &Runtime, through: &Configured, mut request: Request) -> (Verdict, Option<Response>) {
    let (channel, disk) = (&*through.channel, &runtime.disk);
    request.timeout = channel.options().timeout;
    request.body_max = ANSWER_MAX;
    let mut request = match through.client.prepare(runtime, request).await {
        Ok(request) => request,
        Err(reason) => {
            let excerpt = channels::without_secrets(channel, disk, &reason);
            return (Verdict { kind: VerdictKind::Retry(None), status: None, excerpt }, None);
        }
    };
    // A redirect turns a page into a question about one.
    request.redirects_max = 0;
    let answer = http::send(runtime, request).await;
    let verdict = channels::judge(channel, answer.as_ref(), runtime.clock.now(), disk);
    (verdict, answer.ok())
}

/// One call of an API at AWS.
async fn call_aws(runtime: &Runtime, through: &Configured, call: &AwsCall) -> Verdict {
    let (channel, disk) = (&*through.channel, &runtime.disk);
    let timeout = channel.options().timeout;
    let ask = aws::Ask { runtime, client: &through.client, timeout, body_max: ANSWER_MAX };
    let signed = async {
        let region = aws::region(&call.account, &ask).await?;
        let credentials = Box::pin(aws::current(&call.account, &region, &ask, &through.aws)).await?;
        let url = aws::url(call.service, &call.account.endpoint, &region, &runtime.environment)?;
        let mut request = aws::form(url, call.service, call.call, &call.fields);
        request.timeout = timeout;
        request.body_max = ANSWER_MAX;
        let request = through.client.prepare(runtime, request).await?;
        Ok::<_, String>(aws::signed(request, &credentials, &region, call.service.name, runtime.clock.now()))
    };
    let mut request = match signed.await {
        Ok(request) => request,
        Err(reason) => {
            let excerpt = channels::without_secrets(channel, disk, &reason);
            return Verdict { kind: VerdictKind::Retry(None), status: None, excerpt };
        }
    };
    request.redirects_max = 0;
    let answer = http::send(runtime, request).await;
    let verdict = channels::judge(channel, answer.as_ref(), runtime.clock.now(), disk);
    if verdict.kind != VerdictKind::Accepted {
        through.aws.forget();
    }
    verdict
}

/// One run of a program.
async fn run_program(runtime: &Runtime, through: &Configured, command: Command) -> Verdict {
    let channel = &*through.channel;
    let (kind, words) = match runtime.processes.run(&runtime.clock, command).await {
        Ok(ended) => {
            let kind = match ended.code {
                Some(0) => VerdictKind::Accepted,
                // A signal says nothing about the page.
                Some(EX_TEMPFAIL) | None => VerdictKind::Retry(None),
                Some(_) => VerdictKind::Refused,
            };
            let how = ended.code.map_or("it was ended by a signal".to_owned(), |code| format!("exit code {code}"));
            (kind, format!("{how}: {}", String::from_utf8_lossy(&ended.output)))
        }
        Err(reason) => (VerdictKind::Retry(None), reason),
    };
    let excerpt = channels::without_secrets(channel, &runtime.disk, words.trim_end_matches([':', ' ']));
    Verdict { kind, status: None, excerpt }
}

/// Several requests, each after the answer to the one before.
async fn converse(runtime: &Runtime, through: &Configured, mut talk: Box<dyn Talk>) -> (Verdict, Option<String>) {
    let channel = &*through.channel;
    let mut verdict = Verdict { kind: VerdictKind::Accepted, status: None, excerpt: String::new() };
    let (mut answer, mut remembered) = (None, None);
    for _ in 0..TALK_MAX {
        let request = match talk.next(answer.as_ref()) {
            Ok(Some(request)) => request,
            Ok(None) => return (verdict, remembered),
            Err((kind, reason)) => {
                let excerpt = channels::without_secrets(channel, &runtime.disk, &reason);
                return (Verdict { kind, excerpt, ..verdict }, remembered);
            }
        };
        (verdict, answer) = ask(runtime, through, request).await;
        if verdict.kind != VerdictKind::Accepted {
            if verdict.status.is_some_and(|status| talk.forgives(status)) {
                continue;
            }
            return (verdict, remembered);
        }
        remembered = answer.as_ref().and_then(|answer| channel.thread(answer)).or(remembered);
    }
    (Verdict { kind: VerdictKind::Refused, excerpt: "the talk came to no end".into(), ..verdict }, remembered)
}

/// A page whose try is under way; however the try ends, the page is free for the next one.
struct Turn<'a> {
    notify: &'a Notify,
    id: u64,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.notify.lock().entries.change(self.id, |held| held.busy = false);
    }
}

impl Notify {
    /// One try of one page: claim, send, record.
    async fn try_once(&self, id: u64, entry: Entry, through: Configured, thread: Option<String>) {
        let _turn = Turn { notify: self, id };
        // A disk that cannot note the try does not hold up the page.
        self.note_commit(&self.state.commit(vec![entry.put(id)]).await);
        fault::point("notify.claimed");
        let shows = through.channel.picture();
        let picture = self.picture_of(&entry, shows).await;
        let begun = self.runtime.clock.monotonic();
        fault::point("notify.before_send");
        let within = picture.as_ref().filter(|_| shows == Shows::Within);
        let sent = send(&self.runtime, &through, &entry, thread.as_deref(), within).await;
        fault::point("notify.after_send");
        let took = self.runtime.clock.monotonic().saturating_sub(begun);
        let retry_for = through.channel.retry_for();
        let Sent { verdict, remembered, answer } = sent;
        let brought = match (picture.filter(|_| shows == Shows::Beside), answer) {
            (Some(picture), Some(answer)) if verdict.kind == VerdictKind::Accepted => {
                let thread = thread.as_deref().or(remembered.as_deref());
                let (disk, now) = (&self.runtime.disk, self.runtime.clock.now());
                let attempt = Attempt { disk, now, key: &entry.key, resolved: entry.resolved, thread, picture: None };
                through.channel.beside(&attempt, &answer, &picture)
            }
            _ => None,
        };
        let name = entry.channel.clone();
        self.conclude(id, entry, verdict, remembered, took, retry_for).await;
        if let Some(talk) = brought {
            self.bring_beside(&name, &through, talk).await;
        }
    }

    /// The picture that goes with the first try of a page; with a later one goes none, since it may be what made the
    /// first one fail.
    async fn picture_of(&self, entry: &Entry, shows: Shows) -> Option<Picture> {
        let (subject, draw) = (entry.subject.as_ref()?, self.draw.get()?);
        let wanted = match shows {
            Shows::Within => true,
            Shows::Beside => !entry.resolved,
            Shows::Nothing | Shows::Linked => false,
        };
        if !wanted || entry.attempts > 1 {
            return None;
        }
        let drawn = self.runtime.clock.timeout(PICTURE_WAIT_MAX, draw.draw(subject)).await;
        drawn.ok().flatten()
    }

    /// Sends what brings a picture after its page, unless it would take the place of a page.
    async fn bring_beside(&self, name: &str, through: &Configured, talk: Box<dyn Talk>) {
        if !self.lock().may_send_more(name, self.runtime.clock.monotonic()) {
            return;
        }
        let brought = self.runtime.clock.timeout(BESIDE_MAX, bring(&self.runtime, through, talk)).await;
        let failed = brought.unwrap_or_else(|_| Err("it took too long".into())).err();
        if let Some(reason) = failed {
            let said = channels::without_secrets(&*through.channel, &self.runtime.disk, &reason);
            tracing::info!(channel = name, said, "the picture of a page was not taken");
        }
    }

    /// Decides what follows from a verdict and puts it on disk.
    async fn conclude(
        &self,
        id: u64,
        mut entry: Entry,
        verdict: Verdict,
        remembered: Option<String>,
        took: Duration,
        retry_for: Option<Duration>,
    ) {
        let now = self.runtime.clock.now();
        let retry_for = retry_for.unwrap_or_else(|| self.lock().config.retry_for);
        let over = backoff::is_over(entry.enqueued_at, now, retry_for, entry.attempts);
        let outcome = match verdict.kind {
            VerdictKind::Accepted => Outcome::Accepted,
            VerdictKind::Refused => Outcome::Refused,
            VerdictKind::Retry(_) if over => Outcome::GivenUp,
            VerdictKind::Retry(_) => Outcome::Retry,
        };
        let wait = match (outcome, verdict.kind) {
            (Outcome::Retry, VerdictKind::Retry(Some(asked))) => Some(asked),
            (Outcome::Retry, _) => Some(backoff::wait(entry.attempts, self.runtime.rng.unit())),
            _ => None,
        };
        let record = DeliveryRecord {
            status: verdict.status,
            took: Span(took),
            next_in: wait.map(Span),
            ..entry.record(id, outcome, verdict.excerpt.clone(), now)
        };
        self.count(&record, &entry);
        entry.state = if outcome == Outcome::Retry { EntryState::Queued } else { EntryState::Accepted };
        let why = words(&verdict);
        let mut changes = Vec::new();
        if outcome == Outcome::Retry {
            entry.last_error = Some(why.clone());
            changes.push(entry.put(id));
        } else {
            changes.push(Change::delete(OUTBOX, row(id)));
        }
        {
            let mut inner = self.lock();
            self.remember(&mut inner, id, &entry, outcome, &why, wait, verdict.kind, &mut changes);
            changes.extend(inner.remember_thread(&entry, outcome, remembered));
            changes.extend(inner.log(&record));
        }
        let addresses = self.addresses.unkept();
        changes.extend(addresses.iter().map(|(host, known)| Change::put(ADDRESS, host, known)));
        fault::point("notify.before_mark");
        let result = self.state.commit(changes.clone()).await;
        self.note_commit(&result);
        if result.is_ok() {
            self.addresses.kept(&addresses);
        }
        fault::point("notify.marked");
        if outcome == Outcome::Retry {
            return;
        }
        let mut inner = self.lock();
        let on_disk = inner.entries.get(id).is_some_and(|held| held.on_disk);
        match result {
            Ok(()) => {
                inner.entries.remove(id);
            }
            // It is known here, so it is not sent again; the disk learns of it later.
            Err(_) => {
                inner.unmarked.push((id, changes));
                self.keeper.notify_one();
            }
        }
        inner.finished(entry.key, entry.digest, on_disk);
        self.measure(&inner);
    }

    /// What memory keeps of a try; adds what the disk must keep of the channel.
    #[expect(clippy::too_many_arguments, reason = "it is one step of `conclude`, which has all of them at hand")]
    fn remember(
        &self,
        inner: &mut Inner,
        id: u64,
        entry: &Entry,
        outcome: Outcome,
        why: &str,
        wait: Option<Duration>,
        verdict: VerdictKind,
        changes: &mut Vec<Change>,
    ) {
        let monotonic = self.runtime.clock.monotonic();
        let slot = inner.slots.entry(entry.channel.clone()).or_default();
        let before = slot.memory.clone();
        let trouble = format!("page-given-up/{}", entry.channel);
        match outcome {
            Outcome::Accepted => {
                slot.memory.last_accepted = Some(self.runtime.clock.now());
                slot.memory.last_error = None;
                if slot.memory.given_up.take().is_some() {
                    self.runtime.troubles.clear(&trouble);
                }
                // The channel is back: what waits for it need not wait any longer.
                if std::mem::take(&mut slot.failing) {
                    inner.entries.due_now(&entry.channel);
                }
            }
            Outcome::Retry => {
                slot.failing = true;
                slot.memory.last_error = Some(why.to_owned());
                if let (VerdictKind::Retry(Some(asked)), true) = (verdict, wait.is_some()) {
                    slot.not_before = monotonic + asked;
                }
            }
            Outcome::Merged => {}
            // That what is done with could not be stopped keeps nobody from knowing.
            Outcome::Refused | Outcome::GivenUp if entry.hush => slot.memory.last_error = Some(why.to_owned()),
            Outcome::Refused | Outcome::GivenUp => {
                slot.memory.last_error = Some(why.to_owned());
                // A page about this very trouble, given up in turn, is no new trouble: else there would be no end.
                let about_itself = entry.about_given_up.contains(&entry.channel);
                if !about_itself && slot.memory.given_up.is_none() {
                    let after =
                        if outcome == Outcome::Refused { "it was refused" } else { "it was tried for too long" };
                    let summary = format!(
                        "A page could not be delivered through {}: `{}`; {after}: {why}",
                        entry.channel, entry.title
                    );
                    self.runtime.troubles.set(&trouble, Severity::Critical, summary.clone());
                    slot.memory.given_up = Some(summary);
                }
            }
        }
        if slot.memory != before {
            changes.push(Change::put(CHANNEL, entry.channel.clone(), &slot.memory));
        }
        inner.entries.change(id, |held| {
            held.entry = entry.clone();
            held.due = wait.map_or(Duration::ZERO, |wait| monotonic + wait);
        });
    }

    /// Tries again what could not be marked; answers whether some is left.
    async fn commit_unmarked(&self) -> bool {
        loop {
            let Some((id, changes)) = self.lock().unmarked.first().cloned() else { return false };
            let result = self.state.commit(changes).await;
            self.note_commit(&result);
            if result.is_err() {
                return true;
            }
            let mut inner = self.lock();
            inner.unmarked.remove(0);
            inner.entries.remove(id);
        }
    }

    /// Pages for channels that are not configured any more wait for the channel to come back, but not for ever.
    async fn give_up_orphans(&self) {
        for (id, entry) in self.orphans() {
            let excerpt = "the channel is not configured any more".to_owned();
            let verdict = Verdict { kind: VerdictKind::Refused, status: None, excerpt };
            self.conclude(id, entry, verdict, None, Duration::ZERO, None).await;
        }
    }

    /// Says on the board whether the outbox can be written.
    pub(crate) fn note_commit(&self, result: &Result<(), StateError>) {
        match result {
            Ok(()) => self.runtime.troubles.clear("outbox"),
            Err(error) => {
                let words =
                    "The outbox cannot be written; pages are sent from memory and may arrive twice after a crash";
                self.runtime.troubles.set("outbox", Severity::Critical, format!("{words}: {error}"));
            }
        }
    }

    fn count(&self, record: &DeliveryRecord, entry: &Entry) {
        let metrics = &self.runtime.metrics;
        let labels = [("channel", record.channel.as_str()), ("outcome", record.outcome.as_str())];
        metrics
            .counter("watchbell_deliveries_total", "Tries to hand a page to a channel, by how they ended.", &labels)
            .inc();
        if record.outcome == Outcome::Accepted {
            let help = "Time from the writing of a page to its acceptance by a channel.";
            let bounds = &[0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 1800.0, 3600.0, 21_600.0, 86_400.0];
            let histogram = metrics.histogram("watchbell_delivery_seconds", help, &labels[..1], bounds);
            histogram.observe(record.at.since(entry.enqueued_at).as_secs_f64());
        }
        let (channel, title, attempt) = (&record.channel, &record.title, record.attempt);
        match record.outcome {
            Outcome::Accepted => tracing::info!(channel, title, attempt, "page delivered"),
            Outcome::Retry => tracing::warn!(channel, title, attempt, said = record.said, "page not delivered yet"),
            _ => tracing::error!(channel, title, attempt, said = record.said, "page given up"),
        }
    }
}

impl Inner {
    /// What is kept of a group on a channel until a page said that the group is over.
    fn remember_thread(&mut self, entry: &Entry, outcome: Outcome, remembered: Option<String>) -> Option<Change> {
        let ended = entry.resolved && outcome != Outcome::Retry;
        // No page follows that of a flood, nor one of an episode after which the next has begun.
        let mut waiting = self.entries.of_group(&entry.channel, &entry.group_key).map(|held| &held.entry);
        let mut last = || entry.is_flood() || waiting.any(|it| it.first && it.sequence > entry.sequence);
        match remembered {
            Some(thread) if !ended && !last() => {
                let key = thread_key(&entry.channel, &entry.group_key);
                let change = Change::put(THREAD, key.clone(), &thread);
                (self.threads.insert(key, thread.clone()) != Some(thread)).then_some(change)
            }
            _ if ended => {
                let key = thread_key(&entry.channel, &entry.group_key);
                self.threads.remove(&key).map(|_| Change::delete(THREAD, key))
            }
            _ => None,
        }
    }

    /// The rows of a try: the record, and the oldest one's end.
    pub(crate) fn log(&mut self, record: &DeliveryRecord) -> Vec<Change> {
        let number = self.log_next;
        self.log_next += 1;
        let mut changes = vec![Change::put(DELIVERY, row(number), record)];
        if let Some(oldest) = number.checked_sub(DELIVERIES_MAX) {
            changes.push(Change::delete(DELIVERY, row(oldest)));
        }
        changes
    }
}

/// A verdict in words.
fn words(verdict: &Verdict) -> String {
    match (verdict.status, verdict.excerpt.as_str()) {
        (Some(status), "") => format!("status {status}"),
        (Some(status), said) => format!("status {status}: {said}"),
        (None, said) => said.to_owned(),
    }
}
