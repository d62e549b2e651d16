//! A stage to play timelines on: simulated time, state in memory that can fail or be cut off at any commit, and a
//! deliverer that keeps what it is given in the same commit, as the real outbox does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;
use watchbell_alerts::{
    Acknowledgement, Alerts, Config, DowntimeConfig, DowntimeError, Episode, InhibitRule, Judgement, MatcherMode,
    RouteConfig, Silence, TimeInterval, Verdict,
};
use watchbell_model::{
    Alert, BoxFuture, Change, Deliver, GroupNotification, Labels, MemoryState, Raise, Span, State, StateError,
    Timestamp,
};
use watchbell_runtime::Runtime;
use watchbell_runtime::sim::{self, World};

/// What goes wrong at the n-th commit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    None,
    /// It fails.
    Fails(u64),
    /// It is made and said to have failed, as when a disk answers too late.
    FailsLate(u64),
    /// The process dies before it is made.
    CrashBefore(u64),
    /// It is made, and the process dies before it is answered.
    CrashAfter(u64),
}

struct FlakyState {
    inner: MemoryState,
    fault: Fault,
    commits: AtomicU64,
    crashed: Notify,
}

impl State for FlakyState {
    fn commit(&self, changes: Vec<Change>) -> BoxFuture<'_, Result<(), StateError>> {
        Box::pin(async move {
            let number = self.commits.fetch_add(1, Ordering::SeqCst) + 1;
            if self.fault == Fault::Fails(number) {
                return Err(StateError { doing: "written", reason: "this commit was to fail".into() });
            }
            let crash = match self.fault {
                Fault::CrashBefore(at) | Fault::CrashAfter(at) => at == number,
                Fault::None | Fault::Fails(_) | Fault::FailsLate(_) => false,
            };
            if !(crash && self.fault == Fault::CrashBefore(number)) {
                self.inner.commit(changes).await?;
            }
            if self.fault == Fault::FailsLate(number) {
                return Err(StateError { doing: "written", reason: "nobody knows whether it was".into() });
            }
            if crash {
                self.crashed.notify_one();
                std::future::pending::<()>().await;
            }
            Ok(())
        })
    }
    fn get(&self, table: &str, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        self.inner.get(table, key)
    }
    fn scan(&self, table: &str, from: &str, limit: usize) -> Result<Vec<(String, Vec<u8>)>, StateError> {
        self.inner.scan(table, from, limit)
    }
    fn scan_back(&self, table: &str, before: Option<&str>, limit: usize) -> Result<Vec<(String, Vec<u8>)>, StateError> {
        self.inner.scan_back(table, before, limit)
    }
}

const PAGES: &str = "test.pages";

struct Outbox(Arc<FlakyState>);

impl Deliver for Outbox {
    fn deliver(&self, groups: Vec<GroupNotification>, mut with: Vec<Change>) -> BoxFuture<'_, Result<(), StateError>> {
        for group in &groups {
            // An acknowledgement has the sequence of what it is about.
            let seen_to = if group.acknowledged_by.is_some() { "\nacknowledged" } else { "" };
            let key = format!("{}\n{}\n{:020}{seen_to}", group.receiver, group.group_key, group.sequence);
            // What is in the outbox already stays as it is.
            if self.0.get(PAGES, &key).expect("memory can be read").is_none() {
                with.push(Change::put(PAGES, key, group));
            }
        }
        self.0.commit(with)
    }
}

/// A configuration out of three JSON texts.
pub(crate) fn config(route: &str, inhibit_rules: &str, time_intervals: &str) -> Config {
    Config {
        route: serde_json::from_str::<RouteConfig>(route).expect("a route"),
        inhibit_rules: serde_json::from_str::<Vec<InhibitRule>>(inhibit_rules).expect("inhibit rules"),
        time_intervals: serde_json::from_str::<Vec<TimeInterval>>(time_intervals).expect("time intervals"),
        ..Config::default()
    }
}

/// One with people on duty, out of two more.
pub(crate) fn with_duty(config: Config, schedules: &str, escalations: &str) -> Config {
    Config {
        schedules: serde_json::from_str(schedules).expect("schedules"),
        escalations: serde_json::from_str(escalations).expect("escalations"),
        ..config
    }
}

pub(crate) struct Stage {
    world: World,
    state: Arc<FlakyState>,
    runtime: Runtime,
    alerts: Arc<Alerts>,
    configs: Vec<Config>,
    current: usize,
    start: Timestamp,
    shown: Vec<(Timestamp, String)>,
    silences: Vec<String>,
}

/// What a timeline came to.
pub(crate) struct Played {
    /// Pages and what was shown, with times.
    pub(crate) text: String,
    /// Pages without times and sequences.
    pub(crate) pages: Vec<String>,
    pub(crate) commits: u64,
    pub(crate) troubles: Vec<String>,
}

/// Plays `30s raise a | 1m resolve a | 10m end`; with `crash_after`, the process dies after that many steps.
pub(crate) fn play(configs: &[Config], timeline: &str, fault: Fault, crash_after: Option<usize>) -> Played {
    sim::run(1, |world| async move {
        let state = Arc::new(FlakyState {
            inner: MemoryState::new(),
            fault,
            commits: AtomicU64::new(0),
            crashed: Notify::new(),
        });
        let runtime = world.runtime();
        let alerts = open(&runtime, &state, &configs[0]);
        let start = world.clock.now();
        let mut stage = Stage {
            world,
            state,
            runtime,
            alerts,
            configs: configs.to_vec(),
            current: 0,
            start,
            shown: Vec::new(),
            silences: Vec::new(),
        };
        for (number, step) in timeline.split('|').map(str::trim).enumerate() {
            stage.step(step).await;
            if crash_after == Some(number) {
                stage.restart();
            }
        }
        stage.played()
    })
}

fn open(runtime: &Runtime, state: &Arc<FlakyState>, config: &Config) -> Arc<Alerts> {
    let outbox = Arc::new(Outbox(Arc::clone(state)));
    let alerts = Alerts::open(runtime.clone(), Arc::clone(state) as Arc<dyn State>, outbox).expect("it opens");
    alerts.apply(config).expect("the configuration is right");
    runtime.supervisor.reconcile("alerts", alerts.tasks());
    alerts
}

pub(crate) fn labels(spec: &str) -> Labels {
    let pair = |text: &str| match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => ("alertname".to_owned(), text.to_owned()),
    };
    Labels::from_pairs(spec.split(',').map(pair))
}

impl Stage {
    fn at(&self, text: &str) -> Timestamp {
        self.start + text.parse::<Span>().expect("a time").duration()
    }

    /// The process dies and another one starts.
    fn restart(&mut self) {
        self.runtime.supervisor.abort();
        self.runtime = self.world.runtime();
        self.alerts = open(&self.runtime, &self.state, &self.configs[self.current]);
    }

    async fn until(&mut self, at: Timestamp) {
        loop {
            let state = Arc::clone(&self.state);
            // Let the loop, which may just have been started, have its turn at this very moment first.
            tokio::task::yield_now().await;
            tokio::select! {
                biased;
                () = state.crashed.notified() => self.restart(),
                () = self.world.clock.sleep(at.since(self.start + self.elapsed())) => return,
            }
        }
    }

    fn elapsed(&self) -> std::time::Duration {
        // The steady clock: a jump of the wall clock does not move the timeline.
        self.world.clock.monotonic()
    }

    /// As our alarms do: what was not answered is raised again, unless the timeline only tries.
    async fn raise(&mut self, alert: Alert, stubborn: bool) {
        loop {
            let (state, alerts) = (Arc::clone(&self.state), Arc::clone(&self.alerts));
            let raised = tokio::select! {
                biased;
                () = state.crashed.notified() => None,
                raised = alerts.raise(vec![alert.clone()], Vec::new()) => Some(raised),
            };
            match raised {
                Some(Ok(())) => return,
                Some(Err(_)) if !stubborn => return,
                Some(Err(_)) => self.world.clock.sleep(std::time::Duration::from_millis(1)).await,
                None => self.restart(),
            }
        }
    }

    async fn step(&mut self, step: &str) {
        let words: Vec<&str> = step.split_whitespace().collect();
        let at = self.at(words[0]);
        self.until(at).await;
        let now = self.world.clock.now();
        let after = |word: &str| words.iter().position(|have| *have == word).map(|found| words[found + 1]);
        match words[1] {
            "raise" | "try" | "resolve" => {
                let annotations = Labels::from_pairs(after("note").map(|note| ("note", note)));
                let ends_at = if words[1] == "resolve" { Some(now) } else { None };
                let alert = Alert {
                    labels: labels(words[2]),
                    annotations,
                    starts_at: after("from").map_or(now, |from| self.at(from)),
                    ends_at: after("until").map(|until| self.at(until)).or(ends_at),
                    generator_url: String::new(),
                };
                self.raise(alert, words[1] != "try").await;
            }
            "silence" => {
                let silence = Silence {
                    id: String::new(),
                    matchers: vec![MatcherMode::Fallback.parse(words[2]).expect("matchers")],
                    starts_at: now,
                    ends_at: now + words[4].parse::<Span>().expect("a duration").duration(),
                    created_by: "me".into(),
                    comment: "why".into(),
                    annotations: Labels::empty(),
                    updated_at: now,
                };
                loop {
                    let (state, alerts) = (Arc::clone(&self.state), Arc::clone(&self.alerts));
                    let set = tokio::select! {
                        biased;
                        () = state.crashed.notified() => None,
                        set = alerts.set_silence(silence.clone()) => Some(set),
                    };
                    match set {
                        Some(Ok(id)) => break self.silences.push(id),
                        Some(Err(_)) => {}
                        None => {
                            self.restart();
                            // Who asked looks whether it was done before asking again.
                            let mut known = self.alerts.silences().into_iter().map(|silence| silence.id);
                            if let Some(id) = known.find(|id| !self.silences.contains(id)) {
                                break self.silences.push(id);
                            }
                        }
                    }
                }
            }
            "unsilence" => {
                let id = self.silences.pop().expect("a silence was made");
                loop {
                    let (state, alerts) = (Arc::clone(&self.state), Arc::clone(&self.alerts));
                    let ended = tokio::select! {
                        biased;
                        () = state.crashed.notified() => None,
                        ended = alerts.expire_silence(&id) => Some(ended),
                    };
                    match ended {
                        // Already ended: the commit before the crash was made.
                        Some(Ok(()) | Err(watchbell_alerts::SilenceError::Ended(_))) => break,
                        Some(Err(_)) => {}
                        None => self.restart(),
                    }
                }
            }
            "ack" | "unack" => {
                let by =
                    (words[1] == "ack").then(|| Acknowledgement { by: "me".into(), at: now, comment: String::new() });
                let fingerprint = labels(words[2]).fingerprint();
                loop {
                    let (state, alerts) = (Arc::clone(&self.state), Arc::clone(&self.alerts));
                    let done = tokio::select! {
                        biased;
                        () = state.crashed.notified() => None,
                        done = alerts.acknowledge(vec![fingerprint], by.clone()) => Some(done),
                    };
                    match done {
                        Some(Ok(_)) => break,
                        Some(Err(_)) => {}
                        None => self.restart(),
                    }
                }
            }
            "downtime" => {
                let until = (now + words[5].parse::<Span>().expect("a duration").duration()).to_string();
                let time = |text: &str| text.trim_end_matches('Z').to_owned();
                let downtime: DowntimeConfig = serde_json::from_value(serde_json::json!({
                    "name": words[2], "matchers": [words[3]], "from": time(&now.to_string()), "until": time(&until),
                }))
                .expect("a downtime");
                loop {
                    let (state, alerts) = (Arc::clone(&self.state), Arc::clone(&self.alerts));
                    let made = tokio::select! {
                        biased;
                        () = state.crashed.notified() => None,
                        made = alerts.make_downtime(downtime.clone(), "me", "why") => Some(made),
                    };
                    match made {
                        Some(Ok(_)) => break,
                        Some(Err(error)) => assert!(matches!(error, DowntimeError::State(_)), "{error}"),
                        None => {
                            self.restart();
                            if self.made(words[2]).is_some() {
                                break;
                            }
                        }
                    }
                }
            }
            "undowntime" => {
                while let Some(id) = self.made(words[2]) {
                    let (state, alerts) = (Arc::clone(&self.state), Arc::clone(&self.alerts));
                    let ended = tokio::select! {
                        biased;
                        () = state.crashed.notified() => None,
                        ended = alerts.end_downtime(&id) => Some(ended),
                    };
                    match ended {
                        Some(Ok(())) => break,
                        Some(Err(error)) => assert!(matches!(error, DowntimeError::State(_)), "{error}"),
                        None => self.restart(),
                    }
                }
            }
            "judge" => {
                let (fingerprint, word) = (labels(words[2]).fingerprint(), words[3]);
                let says = Judgement::ALL.into_iter().find(|it| it.as_str() == word);
                let verdict = says.map(|verdict| Verdict { verdict, by: "me".into(), at: now, note: String::new() });
                loop {
                    let (state, alerts) = (Arc::clone(&self.state), Arc::clone(&self.alerts));
                    let latest = alerts.episodes(|it| it.key().1 == fingerprint).first().map(Episode::key);
                    let done = tokio::select! {
                        biased;
                        () = state.crashed.notified() => None,
                        done = alerts.judge(latest.into_iter().collect(), verdict.clone()) => Some(done),
                    };
                    match done {
                        Some(Ok(_)) => break,
                        Some(Err(_)) => {}
                        None => self.restart(),
                    }
                }
            }
            "episodes" => {
                let text: Vec<String> = self.alerts.episodes(|_| true).iter().map(|it| self.episode(it)).collect();
                let text = if text.is_empty() { "none".to_owned() } else { text.join("; ") };
                self.shown.push((self.start + self.elapsed(), format!("episodes {text}")));
            }
            "reload" => {
                self.current = words[2].parse().expect("a number");
                self.alerts.apply(&self.configs[self.current]).expect("the configuration is right");
            }
            "crash" => self.restart(),
            "down" => {
                // Dead for a while.
                self.runtime.supervisor.abort();
                self.world.clock.sleep(words[2].parse::<Span>().expect("a duration").duration()).await;
                self.restart();
            }
            "jump" => self.world.clock.jump(words[2].parse::<i64>().expect("seconds") * 1000),
            "break" => self.state.inner.set_broken(true),
            "mend" => self.state.inner.set_broken(false),
            "show" => {
                let text: Vec<String> = self.alerts.alerts().iter().map(show).collect();
                let at = self.start + self.elapsed();
                let text = if text.is_empty() { "nothing".to_owned() } else { text.join("; ") };
                self.shown.push((at, format!("shows {text}")));
            }
            "end" => {}
            other => panic!("`{other}` is not a step"),
        }
        // Whatever is due at this moment happens before the next step.
        self.until(self.start + self.elapsed() + std::time::Duration::from_micros(1)).await;
    }

    /// The downtime of a name that was made and is not ended.
    fn made(&self, name: &str) -> Option<String> {
        let made = self.alerts.downtimes().into_iter().filter_map(|it| it.made);
        made.filter(|it| it.downtime.name == name && it.ended_at.is_none()).map(|it| it.id).next()
    }

    fn episode(&self, episode: &Episode) -> String {
        let time = |at: Timestamp| since(self.start, at);
        let mut text = format!("{} from {}", short(&episode.labels), time(episode.starts_at));
        text += &episode.ends_at.map(|end| format!(" to {}", time(end))).unwrap_or_default();
        text += &episode.acknowledged.as_ref().map(|it| format!(" seen to by {}", it.by)).unwrap_or_default();
        text + &episode.verdict.as_ref().map(|it| format!(" {} by {}", it.verdict.as_str(), it.by)).unwrap_or_default()
    }

    fn played(self) -> Played {
        let rows = self.state.inner.scan(PAGES, "", usize::MAX).expect("memory can be read");
        let mut lines = self.shown;
        let mut pages = Vec::new();
        let mut groups: Vec<GroupNotification> =
            rows.iter().map(|(_, value)| serde_json::from_slice(value).expect("a page")).collect();
        groups.sort_by(|a, b| (a.at, &a.receiver, &a.group_key).cmp(&(b.at, &b.receiver, &b.group_key)));
        for group in groups {
            let words = page(&group);
            lines.push((group.at, format!("page {words}")));
            pages.push(words);
        }
        pages.sort();
        lines.sort_by_key(|(at, _)| *at);
        let text = lines.iter().map(|(at, line)| format!("{} {line}\n", since(self.start, *at))).collect();
        let troubles = self.runtime.troubles.list();
        Played {
            text,
            pages,
            commits: self.state.commits.load(Ordering::SeqCst),
            troubles: troubles.into_iter().map(|trouble| format!("{}: {}", trouble.key, trouble.summary)).collect(),
        }
    }
}

fn since(start: Timestamp, at: Timestamp) -> String {
    Span(at.since(start)).to_string()
}

fn short(labels: &Labels) -> String {
    let words: Vec<String> = labels
        .iter()
        .map(|(name, value)| if name == "alertname" { value.to_owned() } else { format!("{name}={value}") })
        .collect();
    words.join(",")
}

fn page(group: &GroupNotification) -> String {
    let alert = |alert: &Alert| {
        let state = if alert.ends_at.is_some() { "-" } else { "+" };
        let note = alert.annotations.get("note").map(|note| format!(" ({note})")).unwrap_or_default();
        format!("{state}{}{note}", short(&alert.labels))
    };
    let alerts: Vec<String> = group.alerts.iter().map(alert).collect();
    let reason = serde_json::to_string(&group.reason).expect("a word");
    format!("{} {{{}}} {}: {}", group.receiver, short(&group.group_labels), reason.trim_matches('"'), alerts.join(" "))
}

fn show(view: &watchbell_alerts::AlertView) -> String {
    let state = format!("{:?}", view.state).to_lowercase();
    let mut text = format!("{} {state}", short(&view.alert.labels));
    for (word, list) in [("silenced", view.silenced_by.len()), ("inhibited", view.inhibited_by.len())] {
        if list > 0 {
            text += &format!(" {word} by {list}");
        }
    }
    if let Some(by) = &view.acknowledged {
        text += &format!(" acknowledged by {}", by.by);
    }
    if !view.muted_by.is_empty() {
        text += &format!(" muted by {}", view.muted_by.join(","));
    }
    text + " to " + &view.receivers.join(",")
}

/// What people are told if nothing goes wrong.
pub(crate) fn check_plain(configs: &[Config], timeline: &str, expect: expect_test::Expect) {
    expect.assert_eq(&play(configs, timeline, Fault::None, None).text);
}

/// Pages are the same after a crash at any step, a crash before and after any commit, and a failure of any commit.
pub(crate) fn check(configs: &[Config], timeline: &str, expect: expect_test::Expect) {
    let plain = play(configs, timeline, Fault::None, None);
    expect.assert_eq(&plain.text);
    for step in 0..timeline.split('|').count() {
        let crashed = play(configs, timeline, Fault::None, Some(step));
        assert_eq!(crashed.text, plain.text, "after a crash behind step {step}");
    }
    for commit in 1..=plain.commits {
        for fault in [Fault::Fails, Fault::FailsLate, Fault::CrashBefore, Fault::CrashAfter].map(|fault| fault(commit))
        {
            let played = play(configs, timeline, fault, None);
            assert_eq!(played.pages, plain.pages, "with {fault:?}:\n{}", played.text);
        }
    }
}
