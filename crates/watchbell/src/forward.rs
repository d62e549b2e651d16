//! Alertmanagers elsewhere: what fires here is told to them too, as a Prometheus tells them, so that a `prometheus.yml`
//! moves over before its Alertmanager does.
//!
//! Nothing is kept on disk: all that fires is said again every minute, with a time after which it is over unless it is
//! said once more, so that neither side can miss a beginning or an end for long.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Map, Value, json};
use watchbell_alerts::Alerts;
use watchbell_model::{
    Alert, HttpClientConfig, LabelSet, Labels, Path, Problems, Relabel, RelabelConfig, Severity, SigV4Config, Span,
    Timestamp, Url, nearest,
};
use watchbell_runtime::http::Request;
use watchbell_runtime::{CancellationToken, HttpClient, Runtime, Task};
use watchbell_sources::discovery::{Discovery, TargetGroup};
use watchbell_sources::scrape::ScrapeConfig;

/// How often it is looked whether there is something to say.
const ROUND: Duration = Duration::from_secs(5);
/// How often all that fires is said again (Prometheus' `resend-delay`).
const AGAIN: Duration = Duration::from_secs(60);
/// An alert that is not said again ends after this long (four times that, as Prometheus has it).
const ENDS_AFTER: Duration = Duration::from_secs(240);
/// For how long the end of an alert is said (as Prometheus).
const ENDED_FOR: Duration = Duration::from_secs(15 * 60);
/// How many alerts go in one request.
const BATCH: usize = 256;
/// After how long of failures somebody is told.
const TOLD_AFTER: Duration = Duration::from_secs(60);
/// How much of an answer is read.
const ANSWER_MAX: usize = 16 << 10;
/// How alerts of our own name their alarm; a dead man's switch is ours alone.
const OWN: [&str; 5] = ["rule/", "monitor/", "heartbeat/", "certificate/", "self/"];
const DEADMAN: &str = "rule/deadman/";

/// What an entry of `alerting.alertmanagers` may say besides where they are and how they are spoken to.
const FIELDS: [&str; 5] = ["path_prefix", "timeout", "api_version", "sigv4", "alert_relabel_configs"];
/// Where they are and how they are spoken to, besides `*_sd_configs`.
const OF_JOB: [&str; 16] = [
    "scheme",
    "static_configs",
    "relabel_configs",
    "basic_auth",
    "authorization",
    "oauth2",
    "bearer_token",
    "bearer_token_file",
    "tls_config",
    "proxy_url",
    "no_proxy",
    "proxy_from_environment",
    "proxy_connect_header",
    "http_headers",
    "follow_redirects",
    "enable_http2",
];

/// Some Alertmanagers, and how they are spoken to.
#[derive(Debug, Clone)]
pub struct AlertmanagerConfig {
    /// Where they are, which of them are meant, and the HTTP client, in the shape of a job.
    job: ScrapeConfig,
    path: String,
    timeout: Span,
    sigv4: Option<SigV4Config>,
    alert_relabel: Vec<RelabelConfig>,
    /// A hash of all that was said, to see whether it changed.
    key: u64,
}

impl AlertmanagerConfig {
    /// Reads an entry of `alerting.alertmanagers`; files are relative to `base`. The error names the field.
    pub fn read(said: &Value, base: &std::path::Path) -> Result<AlertmanagerConfig, String> {
        let Some(fields) = said.as_object() else { return Err("it is not a mapping".into()) };
        let mut fields: Map<String, Value> = fields.clone();
        let known = || FIELDS.into_iter().chain(OF_JOB);
        let is_known = |name: &str| known().any(|it| it == name) || name.ends_with("_sd_configs");
        if let Some(name) = fields.keys().find(|name| !is_known(name)) {
            let near = nearest(name, known()).map(|near| format!("; `{near}` is one")).unwrap_or_default();
            return Err(format!("`{name}` is not a field of it{near}"));
        }
        let mut own = FIELDS.map(|name| fields.remove(name));
        let [prefix, timeout, version, sigv4, relabel] = own.each_mut().map(Option::take);
        let text = |name: &str, value: Option<Value>| match value {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("{name}: a text is expected")),
        };
        if let Some(version) = text("api_version", version)?.filter(|version| version != "v2") {
            return Err(format!("api_version: `{version}` is not one that Alertmanagers have; it is `v2`"));
        }
        let timeout = match text("timeout", timeout)? {
            Some(text) => text.parse::<Span>().map_err(|error| format!("timeout: {error}"))?,
            None => Span::seconds(10),
        };
        if timeout.is_zero() {
            return Err("timeout: a request that may take no time always fails".into());
        }
        let prefix = text("path_prefix", prefix)?.unwrap_or_default();
        let sigv4 = sigv4.map(serde_json::from_value).transpose().map_err(|error| format!("sigv4: {error}"))?;
        let alert_relabel = relabel.map_or(Ok(Vec::new()), serde_json::from_value);
        fields.insert("job_name".into(), "alertmanagers".into());
        let mut job: ScrapeConfig = serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())?;
        job.anchor(base);
        Ok(AlertmanagerConfig {
            job,
            path: format!("/{}/api/v2/alerts", prefix.trim_matches('/')).replace("//", "/"),
            timeout,
            sigv4,
            alert_relabel: alert_relabel.map_err(|error| format!("alert_relabel_configs: {error}"))?,
            key: key(said),
        })
    }

    /// Finds what is wrong with all that were read.
    pub fn check_all(all: &[Result<AlertmanagerConfig, String>], path: &Path, problems: &mut Problems) {
        for (at, read) in all.iter().enumerate() {
            let path = path.index(at);
            match read {
                Ok(config) => config.check(&path, problems),
                Err(reason) => {
                    problems
                        .error(&path, reason.as_str())
                        .hint("as in Prometheus: `static_configs: [{targets: ['host:9093']}]`");
                }
            }
        }
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        self.job.check(path, problems);
        RelabelConfig::check_all(&self.alert_relabel, &path.field("alert_relabel_configs"), problems);
        self.client().check_sigv4(path, problems);
    }

    /// How they are spoken to.
    fn client(&self) -> HttpClientConfig {
        HttpClientConfig { sigv4: self.sigv4.clone(), ..self.job.http_client() }
    }
}

/// Tells Alertmanagers elsewhere what fires.
pub struct Forward {
    runtime: Runtime,
    alerts: Arc<Alerts>,
    /// Addresses in use, by entry; see [`Forward::urls`].
    urls: Mutex<BTreeMap<usize, Vec<Url>>>,
}

/// One entry at work.
struct Entry {
    at: usize,
    config: AlertmanagerConfig,
    client: HttpClient,
    relabel: Relabel,
    alert_relabel: Relabel,
    /// What each discovery gave last.
    found: Mutex<BTreeMap<u64, Vec<TargetGroup>>>,
}

/// What an Alertmanager was told.
#[derive(Default)]
struct Peer {
    /// By the alert: whether it was over, and when it was said.
    said: BTreeMap<u64, (bool, Duration)>,
    failing_since: Option<Duration>,
}

impl Forward {
    /// Tells nobody until its tasks run.
    pub fn new(runtime: Runtime, alerts: Arc<Alerts>) -> Arc<Forward> {
        Arc::new(Forward { runtime, alerts, urls: Mutex::default() })
    }

    /// One task for each entry and one for each of its discoveries, for the supervisor.
    pub fn tasks(self: &Arc<Forward>, configs: Vec<AlertmanagerConfig>) -> Vec<Task> {
        self.urls.lock().expect("no panic while held").retain(|at, _| *at < configs.len());
        let mut tasks = Vec::new();
        for (at, config) in configs.into_iter().enumerate() {
            let discoveries = config.job.discoveries();
            let entry = Arc::new(Entry {
                at,
                client: HttpClient::new(config.client()),
                relabel: Relabel::new(&config.job.relabel_configs),
                alert_relabel: Relabel::new(&config.alert_relabel),
                found: Mutex::default(),
                config,
            });
            let key = entry.config.key;
            for discovery in discoveries.into_iter().map(Arc::new) {
                let (runtime, entry) = (self.runtime.clone(), Arc::clone(&entry));
                let name = format!("{at}/{}/{:016x}", discovery.name(), discovery.key());
                tasks.push(Task::new(name, key, move |stop| {
                    find(runtime.clone(), Arc::clone(&entry), Arc::clone(&discovery), stop)
                }));
            }
            let forward = Arc::clone(self);
            tasks.push(Task::new(at.to_string(), key, move |stop| {
                let (forward, entry) = (Arc::clone(&forward), Arc::clone(&entry));
                async move { forward.run(&entry, stop).await }
            }));
        }
        tasks
    }

    /// Who is told.
    pub fn urls(&self) -> Vec<Url> {
        self.urls.lock().expect("no panic while held").values().flatten().cloned().collect()
    }

    async fn run(&self, entry: &Entry, stop: CancellationToken) {
        let clock = &self.runtime.clock;
        let mut peers: BTreeMap<String, (Url, Peer)> = BTreeMap::new();
        let mut firing: BTreeMap<u64, Alert> = BTreeMap::new();
        let mut ended: BTreeMap<u64, (Alert, Duration)> = BTreeMap::new();
        loop {
            let (now, monotonic) = (clock.now(), clock.monotonic());
            let current = self.firing(&entry.alert_relabel);
            for (id, alert) in std::mem::replace(&mut firing, current) {
                if !firing.contains_key(&id) {
                    ended.insert(id, (Alert { ends_at: Some(now), ..alert }, monotonic));
                }
            }
            ended.retain(|id, (_, at)| !firing.contains_key(id) && monotonic.saturating_sub(*at) <= ENDED_FOR);

            let urls = entry.urls();
            peers.retain(|name, _| urls.iter().any(|url| url.as_str() == name));
            for url in &urls {
                peers.entry(url.as_str().to_owned()).or_insert_with(|| (url.clone(), Peer::default()));
            }
            self.urls.lock().expect("no panic while held").insert(entry.at, urls);
            let tell = peers.values_mut().map(|(url, peer)| self.tell(entry, url, peer, &firing, &ended, now));
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = join_all(tell) => {}
            }
            self.judge(&peers);
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = clock.sleep(ROUND) => {}
            }
        }
    }

    /// What fires of our own, by its labels after `alert_relabel_configs`.
    fn firing(&self, relabel: &Relabel) -> BTreeMap<u64, Alert> {
        let is_own = |labels: &Labels| {
            let source = labels.get("source").unwrap_or_default();
            OWN.iter().any(|own| source.starts_with(own)) && !source.starts_with(DEADMAN)
        };
        let own = self.alerts.alerts().into_iter().map(|view| view.alert).filter(|alert| is_own(&alert.labels));
        let relabelled = own.filter_map(|mut alert| {
            let mut set = LabelSet::of(&alert.labels);
            let kept = relabel.change(&mut set);
            alert.labels = set.labels();
            (kept && !alert.labels.is_empty()).then(|| (alert.fingerprint(), alert))
        });
        relabelled.collect()
    }

    /// Says what is new, what ended, and what was not said for a minute.
    async fn tell(
        &self,
        entry: &Entry,
        url: &Url,
        peer: &mut Peer,
        firing: &BTreeMap<u64, Alert>,
        ended: &BTreeMap<u64, (Alert, Duration)>,
        now: Timestamp,
    ) {
        let monotonic = self.runtime.clock.monotonic();
        peer.said.retain(|id, _| firing.contains_key(id) || ended.contains_key(id));
        let all = firing.iter().map(|(id, alert)| (id, alert, false));
        // Of an alert that it never heard of, the end is no news.
        let over = ended.iter().map(|(id, (alert, _))| (id, alert, true)).filter(|it| peer.said.contains_key(it.0));
        let due: Vec<(u64, &Alert, bool)> = all
            .chain(over)
            .filter(|(id, _, over)| {
                let said = peer.said.get(id);
                said.is_none_or(|(was, at)| was != over || monotonic.saturating_sub(*at) >= AGAIN)
            })
            .map(|(id, alert, over)| (*id, alert, over))
            .collect();
        for batch in due.chunks(BATCH) {
            let body: Vec<Value> = batch.iter().map(|(_, alert, _)| posted(alert, now)).collect();
            let request = Request {
                method: "POST".into(),
                body: Value::Array(body).to_string().into(),
                ..Request::get(url.clone())
            }
            .header("content-type", "application/json");
            let timeout = entry.config.timeout.duration();
            match entry.client.ask(&self.runtime, request, timeout, ANSWER_MAX).await {
                Ok(_) => {
                    peer.failing_since = None;
                    peer.said.extend(batch.iter().map(|(id, _, over)| (*id, (*over, monotonic))));
                    self.count(url, "sent", batch.len());
                }
                Err(reason) => {
                    tracing::warn!("alerts are not taken: {reason}");
                    peer.failing_since.get_or_insert(monotonic);
                    self.count(url, "failed", batch.len());
                    return;
                }
            }
        }
    }

    fn count(&self, url: &Url, outcome: &str, alerts: usize) {
        let help = "Alerts that were told to Alertmanagers elsewhere, each time they were.";
        let labels = [("alertmanager", url.as_str()), ("outcome", outcome)];
        self.runtime.metrics.counter("watchbell_forwarded_alerts_total", help, &labels).add(alerts as u64);
    }

    /// Says on the board who takes no alerts.
    fn judge(&self, peers: &BTreeMap<String, (Url, Peer)>) {
        let monotonic = self.runtime.clock.monotonic();
        let failing = |peer: &Peer| peer.failing_since.is_some_and(|at| monotonic.saturating_sub(at) >= TOLD_AFTER);
        for (name, (_, peer)) in peers {
            let key = format!("alertmanager/{name}");
            match failing(peer) {
                true => {
                    let words = format!("The Alertmanager at {name} has taken no alerts for a minute");
                    self.runtime.troubles.set(&key, Severity::Critical, words);
                }
                false => self.runtime.troubles.clear(&key),
            }
        }
    }

    /// Takes troubles off the board of Alertmanagers that nobody is told by any more.
    pub fn forget_troubles(&self) {
        let urls: BTreeSet<String> = self.urls().iter().map(|url| url.as_str().to_owned()).collect();
        for trouble in self.runtime.troubles.list() {
            if trouble.key.strip_prefix("alertmanager/").is_some_and(|url| !urls.contains(url)) {
                self.runtime.troubles.clear(&trouble.key);
            }
        }
    }
}

impl Entry {
    /// The addresses that are listed and were found, after relabelling.
    fn urls(&self) -> Vec<Url> {
        let listed = self.config.job.static_configs.iter().map(|group| TargetGroup {
            source: String::new(),
            labels: group.labels.clone(),
            targets: group.targets.iter().map(|address| Labels::from_pairs([("__address__", address)])).collect(),
        });
        let found: Vec<TargetGroup> =
            self.found.lock().expect("no panic while held").values().flatten().cloned().collect();
        let groups: Vec<TargetGroup> = listed.chain(found).collect();
        let pairs = groups.iter().flat_map(|group| group.targets.iter().map(|own| (&group.labels, own)));
        let mut urls: BTreeMap<String, Url> = BTreeMap::new();
        for (group, own) in pairs {
            let mut set = LabelSet::of(group);
            own.iter().for_each(|(name, value)| set.set(name, value));
            set.set("__scheme__", self.config.job.scheme.as_str());
            set.set("__alerts_path__", &self.config.path);
            if !self.relabel.change(&mut set) {
                continue;
            }
            let text = format!("{}://{}{}", set.get("__scheme__"), set.get("__address__"), set.get("__alerts_path__"));
            match text.parse::<Url>() {
                Ok(url) => drop(urls.insert(text, url)),
                Err(error) => tracing::warn!("not the address of an Alertmanager: {text}: {error}"),
            }
        }
        urls.into_values().collect()
    }
}

/// Asks a discovery again and again.
async fn find(runtime: Runtime, entry: Arc<Entry>, discovery: Arc<Discovery>, stop: CancellationToken) {
    loop {
        let answer = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            answer = discovery.targets(&runtime) => answer,
        };
        match answer {
            Ok(groups) => drop(entry.found.lock().expect("no panic while held").insert(discovery.key(), groups)),
            Err(error) => {
                tracing::warn!(kind = discovery.name(), "a discovery of Alertmanagers failed, its last stay: {error}");
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = runtime.clock.sleep(discovery.refresh_interval().duration()) => {}
        }
    }
}

fn key(said: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    said.to_string().hash(&mut hasher);
    hasher.finish()
}

/// An alert as `POST /api/v2/alerts` takes it.
fn posted(alert: &Alert, now: Timestamp) -> Value {
    let ends_at = alert.ends_at.filter(|at| *at <= now).unwrap_or(now + ENDS_AFTER);
    json!({
        "labels": alert.labels,
        "annotations": alert.annotations,
        "startsAt": alert.starts_at,
        "endsAt": ends_at,
        "generatorURL": alert.generator_url,
    })
}
