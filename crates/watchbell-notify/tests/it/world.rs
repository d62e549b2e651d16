//! Receivers that answer as a case wants, and groups of alerts to tell them of.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watchbell_model::{Alert, Deliver, GroupNotification, Labels, MemoryState, NotificationReason, State, Timestamp};
use watchbell_notify::{Library, Notify, NotifyConfig, ReceiverConfig, RunbooksConfig, Site};
use watchbell_runtime::sim::World;
use watchbell_runtime::{Clock, Runtime, Stream};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) at: Timestamp,
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }
    /// Everything of it, to look for words.
    pub(crate) fn all(&self) -> String {
        format!("{}\n{:?}\n{}", self.line, self.headers, self.body)
    }
}

/// What a receiver does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Status, a header line or nothing, body.
    Status(u16, &'static str, &'static str),
    /// Never answers.
    Hang,
    /// Closes the connection.
    Close,
}

/// A receiver at a host, port 80.
#[derive(Clone)]
pub(crate) struct Receiver {
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Receiver {
    /// Answers the requests as `answer` says, which is given the number of the request from 0 and the request.
    pub(crate) fn at(
        world: &World,
        host: &str,
        answer: impl Fn(usize, &Seen) -> Answer + Send + Sync + 'static,
    ) -> Receiver {
        let receiver = Receiver { seen: Arc::default() };
        let (seen, clock, answer) = (Arc::clone(&receiver.seen), world.clock.clone(), Arc::new(answer));
        world.net.serve(host, 80, move |stream| {
            let (seen, clock, answer) = (Arc::clone(&seen), clock.clone(), Arc::clone(&answer));
            async move {
                serve(stream, &clock, &seen, &*answer).await;
            }
        });
        receiver
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

async fn serve(
    mut stream: Stream,
    clock: &Clock,
    seen: &Mutex<Vec<Seen>>,
    answer: &(dyn Fn(usize, &Seen) -> Answer + Send + Sync),
) -> Option<()> {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if bytes.len() >= end + 4 + length.unwrap_or(0) {
            break (head, String::from_utf8_lossy(&bytes[end + 4..]).into_owned());
        }
    };
    let mut lines = head.lines();
    let line = lines.next().unwrap_or_default().to_owned();
    let headers = lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.into(), value.into()));
    let request = Seen { at: clock.now(), line, headers: headers.collect(), body };
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(request.clone());
        seen.len() - 1
    };
    match answer(number, &request) {
        Answer::Status(status, header, body) => {
            let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
            let text = format!("HTTP/1.1 {status} X\r\n{header}Content-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(text.as_bytes()).await.ok()?;
            stream.shutdown().await.ok()
        }
        Answer::Hang => std::future::pending().await,
        Answer::Close => None,
    }
}

pub(crate) const OK: Answer = Answer::Status(200, "", "ok");

/// Receivers as JSON, which is read as the configuration's YAML would be.
pub(crate) fn receivers(json: serde_json::Value) -> Vec<ReceiverConfig> {
    serde_json::from_value(json).unwrap()
}

/// One receiver `oncall` with webhooks at these hosts.
pub(crate) fn webhooks(hosts: &[&str]) -> Vec<ReceiverConfig> {
    let configs: Vec<_> = hosts.iter().map(|host| serde_json::json!({"url": format!("http://{host}/hook")})).collect();
    receivers(serde_json::json!([{"name": "oncall", "webhook_configs": configs}]))
}

pub(crate) fn config(receivers: Vec<ReceiverConfig>) -> NotifyConfig {
    let mut runbooks = RunbooksConfig::default();
    runbooks.sources.insert("monitor/mapped".into(), "imap-down".parse().unwrap());
    let text = "# IMAP is down\n## What it means\nx\n## Impact\nx\n## First checks\nx\n## Escalation\nx\n";
    NotifyConfig {
        receivers,
        templates: Arc::default(),
        runbooks: Arc::new(Library::embedded(&runbooks, &[("imap-down", text)])),
        site: Site::new("home", "https://bell.example.org".parse().unwrap()),
        retry_for: NotifyConfig::RETRY_FOR,
    }
}

/// A process: what is opened and runs until it is cut off.
pub(crate) struct Process {
    pub(crate) runtime: Runtime,
    pub(crate) notify: Arc<Notify>,
}

impl Process {
    pub(crate) fn start(world: &World, state: Arc<dyn State>, config: NotifyConfig) -> Process {
        let runtime = world.runtime();
        let notify = Notify::open(runtime.clone(), state).unwrap();
        notify.apply(config);
        runtime.supervisor.reconcile("notify", notify.tasks());
        Process { runtime, notify }
    }

    pub(crate) fn memory(world: &World, receivers: Vec<ReceiverConfig>) -> (Process, Arc<MemoryState>) {
        let state = Arc::new(MemoryState::new());
        (Process::start(world, Arc::clone(&state) as Arc<dyn State>, config(receivers)), state)
    }

    pub(crate) fn apply(&self, config: NotifyConfig) {
        self.notify.apply(config);
        self.runtime.supervisor.reconcile("notify", self.notify.tasks());
    }

    pub(crate) async fn deliver(&self, group: GroupNotification) {
        self.notify.deliver(vec![group], Vec::new()).await.unwrap();
    }

    /// Lets time pass until nothing waits, at most this long; answers whether nothing does.
    pub(crate) async fn settle(&self, limit: Duration) -> bool {
        let end = self.runtime.clock.monotonic() + limit;
        while !self.notify.outbox().is_empty() {
            if self.runtime.clock.monotonic() >= end {
                return false;
            }
            self.runtime.clock.sleep(Duration::from_millis(100)).await;
        }
        true
    }

    pub(crate) fn troubles(&self) -> Vec<String> {
        self.runtime.troubles.list().into_iter().map(|it| format!("{}: {}", it.key, it.summary)).collect()
    }

    /// As `kill -9` would.
    pub(crate) fn crash(self) {
        self.runtime.supervisor.abort();
    }
}

pub(crate) fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

/// An alert that fires since two minutes before `now`.
pub(crate) fn alert(name: &str, severity: &str, now: Timestamp) -> Alert {
    Alert {
        labels: Labels::from_pairs([("alertname", name), ("severity", severity), ("source", "monitor/imap")]),
        annotations: Labels::from_pairs([
            ("summary", format!("{name} is down")),
            ("description", "The TLS handshake fails: connection refused.".into()),
            ("runbook_url", "https://bell.example.org/runbooks/imap-down".into()),
        ]),
        starts_at: now - minutes(2),
        ends_at: None,
        generator_url: "https://bell.example.org/alarms/monitor/imap".into(),
    }
}

pub(crate) fn group(key: &str, sequence: u64, alerts: Vec<Alert>, now: Timestamp) -> GroupNotification {
    GroupNotification {
        receiver: "oncall".into(),
        group_key: format!("{{}}:{{alertname=\"{key}\"}}"),
        sequence,
        group_labels: Labels::from_pairs([("alertname", key)]),
        route_labels: Labels::empty(),
        alerts,
        reason: if sequence == 1 { NotificationReason::First } else { NotificationReason::NewAlerts },
        acknowledged_by: None,
        at: now,
    }
}

/// One alert that fires, alone in its group.
pub(crate) fn firing(name: &str, now: Timestamp) -> GroupNotification {
    group(name, 1, vec![alert(name, "critical", now)], now)
}

/// The same, over.
pub(crate) fn resolved(name: &str, now: Timestamp) -> GroupNotification {
    let alert = Alert { ends_at: Some(now), starts_at: now - minutes(12), ..alert(name, "critical", now) };
    GroupNotification { reason: NotificationReason::AllResolved, ..group(name, 2, vec![alert], now) }
}
