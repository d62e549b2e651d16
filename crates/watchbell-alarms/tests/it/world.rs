//! A watchbell that has only its alarms.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use watchbell_alarms::{Alarms, Desired, Runbook, certificate, heartbeat, monitor};
use watchbell_model::{
    Alert, Append, AppendError, Appended, Batch, BoxFuture, Certificate, Change, HOME, Labels, Matcher, MemoryState,
    Observation, Observe, Ping, PingKind, ProbeResult, Query, QueryError, Quorum, Raise, RunbookRef, Sample, Schedule,
    Series, Severity, Span, State, StateError, Timestamp, is_stale,
};
use watchbell_runtime::{Runtime, sim};

/// What outlives a crash, and what was raised.
#[derive(Clone)]
pub(crate) struct Disk {
    pub(crate) state: Arc<MemoryState>,
    pub(crate) raised: Arc<Raised>,
    pub(crate) store: Arc<Store>,
    pub(crate) world: sim::World,
}

/// Takes alerts and says what is new about them: `1m firing MonitorDown …`.
pub(crate) struct Raised {
    state: Arc<MemoryState>,
    clock: watchbell_runtime::Clock,
    start: Timestamp,
    firing: Mutex<Vec<Alert>>,
    text: Mutex<String>,
    pub(crate) broken: AtomicBool,
}

impl Raise for Raised {
    fn raise(&self, alerts: Vec<Alert>, with: Vec<Change>) -> BoxFuture<'_, Result<(), StateError>> {
        Box::pin(async move {
            if self.broken.load(Ordering::SeqCst) {
                return Err(StateError { doing: "written", reason: "the disk is full".into() });
            }
            self.state.commit(with).await?;
            let mut firing = self.firing.lock().unwrap();
            for alert in alerts {
                let known = firing.iter().position(|have| have.labels == alert.labels);
                let what = match (known, alert.ends_at) {
                    (Some(at), Some(_)) => {
                        firing.remove(at);
                        "resolved"
                    }
                    (None, None) => {
                        firing.push(alert.clone());
                        "firing"
                    }
                    (Some(at), None) => {
                        assert_eq!(firing[at].starts_at, alert.starts_at, "a refresh begins nothing");
                        firing[at] = alert;
                        continue;
                    }
                    (None, Some(_)) => panic!("resolved without firing: {alert:?}"),
                };
                let at = Span::millis(self.clock.now().since(self.start).as_millis() as u64);
                let summary = alert.annotations.get("summary").unwrap_or("");
                let resolution = alert.annotations.get("resolution").map(|why| format!(" [{why}]")).unwrap_or_default();
                let source = alert.labels.get("source").unwrap_or("");
                let line = format!("{at} {what} {source}: {summary}{resolution}\n");
                self.text.lock().unwrap().push_str(&line);
            }
            Ok(())
        })
    }
}

impl Raised {
    /// What was raised since it was asked last.
    pub(crate) fn take(&self) -> String {
        std::mem::take(&mut self.text.lock().unwrap())
    }

    /// What fires.
    pub(crate) fn firing(&self) -> Vec<Alert> {
        self.firing.lock().unwrap().clone()
    }

    /// Forgets everything, as if whoever holds the alerts had lost them.
    pub(crate) fn forget(&self) {
        self.firing.lock().unwrap().clear();
    }
}

/// Series in memory.
#[derive(Default)]
pub(crate) struct Store {
    series: Mutex<BTreeMap<Labels, Vec<Sample>>>,
    pub(crate) broken: AtomicBool,
}

impl Query for Store {
    fn select(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Series>, QueryError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(QueryError::Unavailable("a block is torn".into()));
        }
        let all = self.series.lock().unwrap();
        let mine = all.iter().filter(|(labels, _)| matchers.iter().all(|matcher| matcher.matches_labels(labels)));
        let cut = |(labels, samples): (&Labels, &Vec<Sample>)| {
            let within = samples.iter().filter(|it| start <= it.timestamp && it.timestamp <= end);
            Series::new(labels.clone(), within.copied().collect())
        };
        Ok(mine.map(cut).filter(|series| !series.samples.is_empty()).collect())
    }
}

impl Append for Store {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Appended, AppendError>> {
        Box::pin(async move {
            for point in batch.points() {
                self.put(point.labels, point.timestamp, point.value);
            }
            Ok(Appended::default())
        })
    }
}

impl Store {
    pub(crate) fn put(&self, labels: Labels, timestamp: Timestamp, value: f64) {
        self.series.lock().unwrap().entry(labels).or_default().push(Sample { timestamp, value });
    }

    /// The samples of a metric as text.
    pub(crate) fn show(&self, name: &str, start: Timestamp) -> String {
        let mut text = String::new();
        for (labels, samples) in self.series.lock().unwrap().iter().filter(|(labels, _)| labels.name() == Some(name)) {
            let values: Vec<String> = samples
                .iter()
                .map(|it| {
                    let value = if is_stale(it.value) { "stale".to_owned() } else { it.value.to_string() };
                    format!("{value}@{}", it.timestamp.since(start).as_secs())
                })
                .collect();
            text.push_str(&format!("{labels} {}\n", values.join(" ")));
        }
        text
    }
}

impl Disk {
    pub(crate) fn new(world: sim::World) -> Disk {
        let state = Arc::new(MemoryState::new());
        let raised = Raised {
            state: Arc::clone(&state),
            clock: world.clock.clone(),
            start: world.clock.now(),
            firing: Mutex::default(),
            text: Mutex::default(),
            broken: AtomicBool::new(false),
        };
        Disk { state, raised: Arc::new(raised), store: Arc::default(), world }
    }

    /// Starts a watchbell on this disk.
    pub(crate) async fn start(&self, desired: Desired) -> Bell {
        let runtime = self.world.runtime();
        let alarms = Alarms::open(
            runtime.clone(),
            self.state.clone(),
            self.store.clone(),
            self.store.clone(),
            self.raised.clone(),
            "https://wb".into(),
        )
        .unwrap();
        alarms.apply(desired).await.unwrap();
        runtime.supervisor.reconcile("alarms", alarms.tasks());
        Bell { alarms, start: runtime.clock.now(), runtime }
    }
}

/// A watchbell that runs.
pub(crate) struct Bell {
    pub(crate) alarms: Arc<Alarms>,
    pub(crate) runtime: Runtime,
    pub(crate) start: Timestamp,
}

impl Bell {
    pub(crate) fn crash(self) {
        self.runtime.supervisor.abort();
    }

    pub(crate) async fn wait(&self, time: &str) {
        self.runtime.clock.sleep(time.parse::<Span>().unwrap().duration()).await;
    }

    pub(crate) async fn probe(&self, monitor: &str, failure: Option<&str>) -> Result<(), StateError> {
        self.seen(monitor, failure, None).await
    }

    pub(crate) async fn seen(
        &self,
        monitor: &str,
        failure: Option<&str>,
        certificate: Option<Certificate>,
    ) -> Result<(), StateError> {
        let result = ProbeResult {
            monitor: monitor.to_owned(),
            place: HOME.to_owned(),
            at: self.runtime.clock.now(),
            success: failure.is_none(),
            duration: Span::millis(20),
            message: failure.unwrap_or("* OK ready").to_owned(),
            phases: Vec::new(),
            certificate,
        };
        self.alarms.observe(vec![Observation::Probe(result)], Vec::new()).await
    }

    pub(crate) async fn ping(&self, heartbeat: &str, kind: PingKind) {
        let ping = Ping { heartbeat: heartbeat.to_owned(), at: self.runtime.clock.now(), kind, run: None };
        let row = Change::put("sources.ping", self.runtime.clock.now().to_string(), &ping);
        self.alarms.observe(vec![Observation::Ping(ping)], vec![row]).await.unwrap();
    }

    pub(crate) fn history(&self) -> String {
        let mut history = self.alarms.history(None, 100);
        history.reverse();
        history.iter().map(|it| format!("{} {} -> {}: {}\n", it.alarm, it.from, it.to, it.reason)).collect()
    }
}

pub(crate) fn runbook() -> Runbook {
    Runbook { reference: RunbookRef::Named("down".into()), url: "https://wb/runbooks/down".into() }
}

pub(crate) fn monitor(name: &str, retries: u32) -> monitor::Spec {
    monitor::Spec {
        name: name.to_owned(),
        kind: "imap".into(),
        target: "mail.example.org:993".into(),
        places: vec![HOME.to_owned()],
        quorum: Quorum::default(),
        interval: Span::minutes(1),
        retry_interval: Span::seconds(20),
        timeout: Span::seconds(10),
        retries,
        severity: Severity::Critical,
        runbook: runbook(),
        labels: Labels::empty(),
        description: String::new(),
        certificate: Some(certificate::Spec {
            monitor: name.to_owned(),
            alert_days: vec![21, 7, 1],
            severity: Severity::Warning,
            runbook: runbook(),
            labels: Labels::empty(),
        }),
    }
}

pub(crate) fn heartbeat(name: &str, period: &str, grace: &str) -> heartbeat::Spec {
    heartbeat::Spec {
        id: name.to_owned(),
        name: name.to_owned(),
        schedule: Schedule::Period(period.parse().unwrap()),
        grace: grace.parse().unwrap(),
        manual_resume: false,
        severity: Severity::Warning,
        runbook: runbook(),
        labels: Labels::empty(),
        description: String::new(),
    }
}

pub(crate) fn desired(monitors: &[monitor::Spec], heartbeats: &[heartbeat::Spec]) -> Desired {
    Desired { monitors: monitors.to_vec(), heartbeats: heartbeats.to_vec(), ..Desired::default() }
}
