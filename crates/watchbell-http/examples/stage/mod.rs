//! A small site made up for the preview and for tests: three monitors, two heartbeats, a rule, two channels.
//!
//! Every stage is the real one; only the series are in memory and nobody sends pages unless the caller runs the tasks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use watchbell_alarms::{Alarms, Desired, Pictures, Runbook, certificate, heartbeat, monitor, rule};
use watchbell_alerts::Alerts;
use watchbell_http::{
    Auth, CallbacksConfig, ConfigView, Handles, HealthchecksConfig, LoadResult, QueryConfig, SinkConfig, SiteInfo,
    StatusPageConfig,
};
use watchbell_model::{
    Append, AppendError, Appended, Batch, BoxFuture, Certificate, Checkup, Cleaned, Deleted, Exemplar, Figures, HOME,
    HistogramSample, Import, Imported, Labels, Lookup, Matcher, MemoryState, Metadata, Observation, Observe, Part,
    Point, ProbeResult, Query, QueryError, Quorum, Sample, Schedule, Secret, Series, SeriesKey, Severity, Snapshot,
    Span, Timestamp, Upkeep, UpkeepError, Url,
};
use watchbell_notify::{Library, Notify, NotifyConfig, ReceiverConfig, RunbooksConfig, Site};
use watchbell_runtime::{CancellationToken, Runtime};
use watchbell_sources::Context;
use watchbell_sources::heartbeat::{HeartbeatConfig, Heartbeats};
use watchbell_sources::intake::Intake;
use watchbell_sources::place::Places;
use watchbell_sources::probe::Live;
use watchbell_sources::probe::blackbox::Blackbox;
use watchbell_sources::scrape::Targets;

/// What senders to the sink prove themselves with.
pub(crate) const SINK_SECRET: &str = "a secret of the sink";
/// What clients of Healthchecks prove themselves with.
pub(crate) const HEALTHCHECKS_KEY: &str = "a-key-of-32-characters-to-change";
/// What those prove themselves with that only read.
pub(crate) const HEALTHCHECKS_READ_KEY: &str = "a-key-of-32-characters-to-read--";

/// Series in memory.
#[derive(Default)]
pub(crate) struct Memory(Mutex<BTreeMap<Labels, Vec<Sample>>>, Mutex<Facts>);

/// What is known about them besides.
#[derive(Default)]
struct Facts {
    exemplars: Vec<(Labels, Exemplar)>,
    histograms: Vec<(Labels, HistogramSample)>,
    metadata: Vec<(String, Metadata)>,
}

impl Append for Memory {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Appended, AppendError>> {
        let (mut all, mut facts) = (self.0.lock().unwrap(), self.1.lock().unwrap());
        let of = |(series, exemplar): &(u32, Exemplar)| match &batch.series[*series as usize] {
            SeriesKey::Labels(labels) => Some((labels.clone(), exemplar.clone())),
            SeriesKey::Known(_) => None,
        };
        facts.exemplars.extend(batch.exemplars.iter().filter_map(of));
        for it in &batch.histograms {
            if let SeriesKey::Labels(labels) = &batch.series[it.series as usize] {
                let sample = HistogramSample { timestamp: it.timestamp, histogram: Arc::clone(&it.histogram) };
                facts.histograms.push((labels.clone(), sample));
            }
        }
        facts.metadata.extend(batch.metadata.iter().cloned());
        let appended = Appended {
            kept: batch.len() as u64,
            kept_histograms: batch.histograms.len() as u64,
            kept_exemplars: batch.exemplars.len() as u64,
            ..Appended::default()
        };
        for point in batch.points() {
            all.entry(point.labels).or_default().push(Sample { timestamp: point.timestamp, value: point.value });
        }
        Box::pin(async move { Ok(appended) })
    }
}

/// Takes everything that has a name; nothing is ever damaged.
impl Upkeep for Memory {
    fn figures(&self, top: usize, _: bool) -> Result<Figures, UpkeepError> {
        let all = self.0.lock().unwrap();
        let mut metrics: Vec<(String, u64)> = Vec::new();
        for labels in all.keys() {
            let name = labels.name().unwrap_or_default();
            match metrics.iter_mut().find(|(have, _)| have == name) {
                Some((_, count)) => *count += 1,
                None => metrics.push((name.to_owned(), 1)),
            }
        }
        metrics.truncate(top);
        let (series, samples) = (all.len() as u64, all.values().map(|samples| samples.len() as u64).sum());
        let memory = Part { name: "memory".into(), pieces: series, samples: Some(samples), ..Part::default() };
        Ok(Figures { series, active: series, metrics, parts: vec![memory], ..Figures::default() })
    }

    fn check(&self, deep: bool) -> Result<Checkup, UpkeepError> {
        let looked_at = vec![(if deep { "samples" } else { "series" }.to_owned(), self.0.lock().unwrap().len() as u64)];
        Ok(Checkup { looked_at, ..Checkup::default() })
    }

    fn delete(
        &self,
        matchers: &[Vec<Matcher>],
        start: Timestamp,
        end: Timestamp,
        dry_run: bool,
    ) -> Result<Deleted, UpkeepError> {
        let mut deleted = Deleted::default();
        let fits =
            |labels: &Labels| matchers.iter().any(|set| set.iter().all(|matcher| matcher.matches_labels(labels)));
        for (labels, samples) in self.0.lock().unwrap().iter_mut().filter(|(labels, _)| fits(labels)) {
            let goes = |sample: &Sample| sample.timestamp >= start && sample.timestamp <= end;
            deleted.series += 1;
            deleted.samples += samples.iter().filter(|sample| goes(sample)).count() as u64;
            deleted.examples.push(labels.clone());
            if !dry_run {
                samples.retain(|sample| !goes(sample));
            }
        }
        Ok(deleted)
    }

    fn clean(&self) -> Result<Cleaned, UpkeepError> {
        Ok(Cleaned { blocks: 1, bytes_freed: 1000 })
    }

    fn snapshot(&self, name: &str) -> Result<Snapshot, UpkeepError> {
        if name.contains('/') {
            return Err(UpkeepError::Refused(format!("`{name}` is no name for a snapshot")));
        }
        Ok(Snapshot { name: name.to_owned(), path: format!("/data/snapshots/{name}").into(), bytes: 7 })
    }

    fn import(&self) -> Result<Box<dyn Import + '_>, UpkeepError> {
        Ok(Box::new(Importing(self, Imported::default())))
    }
}

struct Importing<'a>(&'a Memory, Imported);

impl Import for Importing<'_> {
    fn add(&mut self, series: Series) -> Result<(), UpkeepError> {
        if series.labels.name().is_none() {
            self.1.invalid += series.samples.len() as u64;
            self.1.example = Some(format!("{} has no name", series.labels));
            return Ok(());
        }
        let mut all = self.0.0.lock().unwrap();
        let samples = all.entry(series.labels).or_default();
        for sample in series.samples {
            match samples.binary_search_by_key(&sample.timestamp, |it| it.timestamp) {
                Ok(_) => self.1.known += 1,
                Err(at) => {
                    samples.insert(at, sample);
                    self.1.added += 1;
                }
            }
        }
        Ok(())
    }

    fn so_far(&self) -> Imported {
        self.1.clone()
    }

    fn finish(self: Box<Self>) -> Result<Imported, UpkeepError> {
        Ok(self.1)
    }
}

impl Query for Memory {
    fn select(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Series>, QueryError> {
        let all = self.0.lock().unwrap();
        let fits = |labels: &Labels| matchers.iter().all(|matcher| matcher.matches_labels(labels));
        let found = all.iter().filter(|(labels, _)| fits(labels)).map(|(labels, samples)| {
            let within = samples.iter().filter(|it| it.timestamp >= start && it.timestamp <= end);
            Series::new(labels.clone(), within.copied().collect())
        });
        let mut found: Vec<Series> = found.filter(|series| !series.samples.is_empty()).collect();
        let histograms = &self.1.lock().unwrap().histograms;
        let within = histograms.iter().filter(|(_, it)| it.timestamp >= start && it.timestamp <= end);
        for (labels, sample) in within.filter(|(labels, _)| fits(labels)) {
            found.push(Series { histograms: vec![sample.clone()], ..Series::new(labels.clone(), Vec::new()) });
        }
        found.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(found)
    }

    fn exemplars(&self, lookup: &Lookup<'_>) -> Result<Vec<(Labels, Vec<Exemplar>)>, QueryError> {
        let facts = self.1.lock().unwrap();
        let passes = |labels: &Labels| {
            lookup.matchers.iter().any(|set| set.iter().all(|matcher| matcher.matches_labels(labels)))
        };
        let within = |exemplar: &Exemplar| lookup.start <= exemplar.timestamp && exemplar.timestamp <= lookup.end;
        let all = facts.exemplars.iter().filter(|(labels, exemplar)| passes(labels) && within(exemplar));
        Ok(all.map(|(labels, exemplar)| (labels.clone(), vec![exemplar.clone()])).collect())
    }

    fn metadata(&self, metric: Option<&str>) -> Result<Vec<(String, Vec<Metadata>)>, QueryError> {
        let facts = self.1.lock().unwrap();
        let all = facts.metadata.iter().filter(|(name, _)| metric.is_none_or(|metric| metric == name));
        Ok(all.map(|(name, metadata)| (name.clone(), vec![metadata.clone()])).collect())
    }
}

/// A configuration that nobody wrote.
pub(crate) struct Settings {
    pub(crate) load: Mutex<LoadResult>,
    pub(crate) url: Mutex<Option<Url>>,
    /// What clients of Healthchecks prove themselves with: to change, and to read.
    pub(crate) keys: Mutex<[&'static str; 2]>,
    pub(crate) query: Mutex<QueryConfig>,
    pub(crate) callbacks: Mutex<CallbacksConfig>,
    pub(crate) status_pages: Mutex<Arc<[Arc<StatusPageConfig>]>>,
    /// How often it was read again to the end.
    pub(crate) reloads: std::sync::atomic::AtomicU32,
    started_at: Timestamp,
}

impl ConfigView for Settings {
    fn resolve_timeout(&self) -> watchbell_model::Span {
        watchbell_model::Span::minutes(5)
    }

    fn site(&self) -> SiteInfo {
        SiteInfo { name: "mail.example.org".into(), url: self.url.lock().unwrap().clone() }
    }

    fn last_load(&self) -> LoadResult {
        self.load.lock().unwrap().clone()
    }

    fn reload(&self) -> BoxFuture<'_, Result<(), Vec<String>>> {
        Box::pin(async {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            self.reloads.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            Err(vec!["watchbell.yml:3:5: monitors[0].runbook: there is no run book `x`".to_owned()])
        })
    }

    fn healthchecks(&self) -> HealthchecksConfig {
        let [key, read_key] = *self.keys.lock().unwrap();
        HealthchecksConfig { key: Secret::new(key), read_key: Secret::new(read_key), ..HealthchecksConfig::default() }
    }

    fn sink(&self) -> SinkConfig {
        SinkConfig { secret: Secret::new(SINK_SECRET), ..SinkConfig::default() }
    }

    fn callbacks(&self) -> CallbacksConfig {
        self.callbacks.lock().unwrap().clone()
    }

    fn status_pages(&self) -> Arc<[Arc<StatusPageConfig>]> {
        Arc::clone(&self.status_pages.lock().unwrap())
    }

    fn query(&self) -> QueryConfig {
        self.query.lock().unwrap().clone()
    }

    fn external_labels(&self) -> Labels {
        Labels::from_pairs([("site", "one")])
    }

    fn shown(&self) -> String {
        "global:\n  scrape_interval: 15s\n".into()
    }

    fn flags(&self) -> BTreeMap<String, String> {
        let flags = [
            ("storage.tsdb.retention.time", "1y"),
            ("web.external-url", "https://watch.example.org/"),
            ("web.listen-address", "127.0.0.1:9800"),
        ];
        flags.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    fn version(&self) -> &str {
        "0.0.0"
    }

    fn started_at(&self) -> Timestamp {
        self.started_at
    }
}

/// All stages of the site.
pub(crate) struct Stage {
    pub(crate) runtime: Runtime,
    pub(crate) state: Arc<MemoryState>,
    pub(crate) series: Arc<Memory>,
    pub(crate) alarms: Arc<Alarms>,
    pub(crate) alerts: Arc<Alerts>,
    pub(crate) notify: Arc<Notify>,
    pub(crate) heartbeats: Heartbeats,
    pub(crate) auth: Auth,
    pub(crate) config: Arc<Settings>,
    pub(crate) places: Places,
    pub(crate) stop: CancellationToken,
}

const IMAP: &str = "# IMAP is down\n\n## What it means\n\nDovecot does not answer on 993: nobody can read mail.\n\n\
    ## Who is impacted\n\nEverybody with a mailbox. Mail still arrives and is queued.\n\n## What to check first\n\n\
    1. `systemctl status dovecot`\n2. the disk: `df -h /var/mail`\n\n```\njournalctl -u dovecot -n 50\n```\n\n\
    | seen | means |\n|---|---|\n| `No space left` | see [disk full](disk-full) |\n| `bind() failed` | two of it run |\n\n\
    ## How to escalate\n\nCall the hoster, contract number in the safe. <script>alert(1)</script>\n";
const DISK: &str = "# A disk is almost full\n\n## What it means\n\nSoon nothing can be written.\n";

impl Stage {
    /// Opens every stage. `channels` are addresses that take pages as webhooks, by receiver `on-call`.
    pub(crate) async fn open(runtime: Runtime, channels: &[&str]) -> Stage {
        let stage = Stage::bare(runtime, Arc::new(MemoryState::new()), Stage::receivers(channels)).await;
        stage.begin(desired(), &["backup", "log-rotate"].map(job)).await;
        stage
    }

    /// The receiver `on-call` with these addresses.
    pub(crate) fn receivers(channels: &[&str]) -> Vec<ReceiverConfig> {
        let webhooks: Vec<_> = channels.iter().map(|url| serde_json::json!({ "url": url })).collect();
        let receiver = serde_json::json!({ "name": "on-call", "webhook_configs": webhooks });
        vec![serde_json::from_value(receiver).unwrap()]
    }

    /// Opens every stage on what was kept; nothing is judged yet.
    pub(crate) async fn bare(runtime: Runtime, state: Arc<MemoryState>, receivers: Vec<ReceiverConfig>) -> Stage {
        let series = Arc::new(Memory::default());
        let notify = Notify::open(runtime.clone(), state.clone()).unwrap();
        let alerts = Alerts::open(runtime.clone(), state.clone(), notify.clone()).unwrap();
        let (query, append) = (series.clone(), series.clone());
        let site: Url = "https://watch.example.org".parse().unwrap();
        let alarms =
            Alarms::open(runtime.clone(), state.clone(), query, append, alerts.clone(), site.to_string()).unwrap();
        let context = Context {
            runtime: runtime.clone(),
            append: series.clone(),
            observe: alarms.clone(),
            state: state.clone(),
            live: Live::default(),
        };
        let places = Places::new(context.clone());
        let heartbeats = Heartbeats::open(context, None).await.unwrap();
        let auth = Auth::open(state.clone(), runtime.clock.clone(), runtime.rng.clone()).await.unwrap();
        let now = runtime.clock.now();
        let books = [("imap-down", IMAP), ("disk-full", DISK), ("job-silent", "# A job is silent\n")];
        let library = Arc::new(Library::embedded(&RunbooksConfig::default(), &books));
        let config = Settings {
            load: Mutex::new(LoadResult { loaded_at: now, refused_at: None, problems: Vec::new() }),
            url: Mutex::new(Some(site.clone())),
            query: Mutex::default(),
            callbacks: Mutex::default(),
            status_pages: Mutex::new(Arc::from([])),
            keys: Mutex::new([HEALTHCHECKS_KEY, HEALTHCHECKS_READ_KEY]),
            reloads: Default::default(),
            started_at: now,
        };
        let stage = Stage {
            state,
            series,
            alarms,
            alerts,
            notify,
            heartbeats,
            auth,
            config: Arc::new(config),
            places,
            stop: CancellationToken::new(),
            runtime,
        };
        let first = receivers[0].name.clone();
        let auth = stage.auth.clone();
        let sign = move |path: &str| auth.sign(path);
        let site = Site { sign: Some(Arc::new(sign)), ..Site::new("mail.example.org", site) };
        let retry_for = NotifyConfig::RETRY_FOR;
        stage.notify.apply(NotifyConfig { receivers, templates: Arc::default(), runbooks: library, site, retry_for });
        let route = serde_json::json!({ "receiver": first, "group_by": ["alertname"], "group_wait": "1s" });
        let route = serde_json::from_value(route).unwrap();
        stage.alerts.apply(&watchbell_alerts::Config { route, ..Default::default() }).unwrap();
        stage
    }

    /// Judges from now on.
    pub(crate) async fn begin(&self, desired: Desired, jobs: &[HeartbeatConfig]) {
        let supervisor = &self.runtime.supervisor;
        supervisor.reconcile("alerts", self.alerts.tasks());
        self.alarms.apply(desired).await.unwrap();
        supervisor.reconcile("alarms", self.alarms.tasks());
        self.heartbeats.apply(jobs).await.unwrap();
    }

    /// What the surfaces are given.
    pub(crate) fn handles(&self) -> Handles {
        Handles {
            runtime: self.runtime.clone(),
            auth: self.auth.clone(),
            state: self.state.clone(),
            query: self.series.clone(),
            append: self.series.clone(),
            upkeep: self.series.clone(),
            alarms: self.alarms.clone(),
            draw: Pictures::new(self.runtime.clone(), self.series.clone(), &self.alarms),
            alerts: self.alerts.clone(),
            notify: self.notify.clone(),
            heartbeats: self.heartbeats.clone(),
            live: Live::default(),
            places: self.places.clone(),
            blackbox: Blackbox::new(self.runtime.clone()),
            targets: Targets::new(),
            intake: Intake::new(&self.runtime, self.series.clone()),
            config: self.config.clone(),
            stop: self.stop.clone(),
        }
    }

    /// A probe's outcome now, judged and kept.
    pub(crate) async fn probe(&self, monitor: &str, outcome: Result<u64, &str>) {
        let at = self.runtime.clock.now();
        let millis = outcome.unwrap_or(1);
        let labels = [("monitor", monitor), ("job", "monitor")];
        let points = vec![
            Point::new("probe_success", &labels, at, f64::from(u8::from(outcome.is_ok()))),
            Point::new("probe_duration_seconds", &labels, at, millis as f64 / 1e3),
        ];
        self.series.append(points.into()).await.unwrap();
        let certificate = Certificate {
            not_after: at + std::time::Duration::from_secs(60 * 86_400),
            subject: "CN=mail.example.org".into(),
            issuer: "CN=Example CA".into(),
            fingerprint: "ab".repeat(32),
        };
        let seen = ProbeResult {
            monitor: monitor.to_owned(),
            place: HOME.to_owned(),
            at,
            success: outcome.is_ok(),
            duration: Span::millis(millis),
            message: outcome.err().unwrap_or("it answers").to_owned(),
            phases: Vec::new(),
            certificate: outcome.is_ok().then_some(certificate),
        };
        self.alarms.observe(vec![Observation::Probe(seen)], Vec::new()).await.unwrap();
    }
}

/// Status pages as a configuration writes them, as JSON.
pub(crate) fn status_pages(pages: serde_json::Value) -> Arc<[Arc<StatusPageConfig>]> {
    let pages: Vec<StatusPageConfig> = serde_json::from_value(pages).unwrap();
    pages.into_iter().map(Arc::new).collect()
}

fn book(name: &str) -> Runbook {
    Runbook { reference: name.parse().unwrap(), url: format!("https://watch.example.org/runbooks/{name}") }
}

fn desired() -> Desired {
    let monitor = |name: &str, kind: &str, target: &str| monitor::Spec {
        name: name.into(),
        kind: kind.into(),
        target: target.into(),
        places: vec![HOME.to_owned()],
        quorum: Quorum::default(),
        interval: Span::minutes(1),
        retry_interval: Span::seconds(20),
        timeout: Span::seconds(10),
        retries: 1,
        severity: Severity::Critical,
        runbook: book("imap-down"),
        labels: Labels::from_pairs([("team", "mail")]),
        description: String::new(),
        certificate: Some(certificate::Spec {
            monitor: name.into(),
            alert_days: vec![21, 7, 1],
            severity: Severity::Warning,
            runbook: book("imap-down"),
            labels: Labels::empty(),
        }),
    };
    let heartbeat = |name: &str| heartbeat::Spec {
        id: name.into(),
        name: name.into(),
        schedule: Schedule::Period(Span::hours(24)),
        grace: Span::hours(1),
        manual_resume: false,
        severity: Severity::Warning,
        runbook: book("job-silent"),
        labels: Labels::empty(),
        description: String::new(),
    };
    let rules = serde_json::json!({ "groups": [{ "name": "host", "interval": "15s", "rules": [{
        "alert": "DiskAlmostFull",
        "expr": "1 - node_filesystem_avail_bytes / node_filesystem_size_bytes > 0.9",
        "labels": { "severity": "warning" },
        "annotations": {
            "summary": "{{ $labels.mountpoint }} is {{ $value | humanizePercentage }} full",
            "runbook_url": "https://watch.example.org/runbooks/disk-full",
        },
    }] }] });
    let rules: rule::RuleFile = serde_json::from_value(rules).unwrap();
    Desired {
        monitors: vec![
            monitor("imap", "imap", "mail.example.org:993"),
            monitor("smtp", "smtp", "mail.example.org:25"),
            monitor("webmail", "http", "https://webmail.example.org/"),
        ],
        heartbeats: ["backup", "log-rotate"].map(heartbeat).into(),
        groups: rules.groups("rules.yml", rule::GroupDefaults::default()).unwrap(),
        rule_globals: rule::RuleGlobals::default(),
        ..Desired::default()
    }
}

fn job(name: &str) -> HeartbeatConfig {
    serde_json::from_value(serde_json::json!({ "name": name, "period": "1d", "grace": "1h", "runbook": "job-silent" }))
        .unwrap()
}
