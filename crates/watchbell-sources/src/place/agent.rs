//! The agent: probes what its server says, and reports over one outgoing connection.

use std::sync::Arc;
use std::time::Duration;

use watchbell_model::{Append, MemoryState, Observe, Secret, Url};
use watchbell_runtime::http::{Kept, Proxies, Request, Response};
use watchbell_runtime::tls::TlsOptions;
use watchbell_runtime::{CancellationToken, Runtime};

use super::buffer::Buffer;
use super::exchange::{Answer, Assignment, Exchange, PROTOCOL, RefusedMonitor};
use crate::Context;
use crate::probe::{self, Live, MonitorConfig};

/// Where the server takes reports.
const PATH: &str = "/api/agent/v1/exchange";
/// How long one exchange may take.
const EXCHANGE_TIME_MAX: Duration = Duration::from_secs(20);
/// How much an assignment may have, in bytes.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// Time between two exchanges, so that results go together.
const PACE: Duration = Duration::from_millis(200);
/// Time between tries while the server cannot be reached: at first, and at most, so that a cut that is over in time is
/// not told of as silence.
const AGAIN_MIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(10);

/// Why an agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Its token and the secrets of monitors would travel for all to read.
    #[error("{server} is not secret on its way: use https, or --insecure where the way is safe all the same")]
    Insecure {
        /// The server.
        server: Url,
    },
}

/// An agent.
pub struct Agent {
    runtime: Runtime,
    request: Request,
    buffer: Arc<Buffer>,
    context: Context,
    run: String,
    assignment: u64,
    refused: Vec<RefusedMonitor>,
    ahead_ms: Option<i64>,
}

/// Why an exchange failed.
enum Failed {
    /// It may work again at any time.
    Away(String),
    /// Somebody has to do something about it.
    Refused(String),
}

impl Agent {
    /// An agent of this server, which has probed nothing yet. It reports through the proxies; what it probes it reaches
    /// directly.
    ///
    /// # Errors
    /// If the server is another host and the way to it is not secret, unless that is `insecure`ly wanted.
    pub fn new(
        runtime: Runtime,
        server: &Url,
        token: &Secret,
        tls: TlsOptions,
        proxies: Proxies,
        insecure: bool,
    ) -> Result<Agent, AgentError> {
        let is_loopback =
            server.host() == "localhost" || server.host().parse::<std::net::IpAddr>().is_ok_and(|it| it.is_loopback());
        if !server.is_https() && !is_loopback && !insecure {
            return Err(AgentError::Insecure { server: server.clone() });
        }
        let url = server.join(PATH).parse().expect("an address with a path is one");
        let mut request = Request::post(url, Vec::new())
            .header("authorization", format!("Bearer {}", token.expose()))
            .header("content-type", "application/json");
        (request.timeout, request.body_max) = (EXCHANGE_TIME_MAX, ANSWER_BYTES_MAX);
        (request.tls, request.proxies) = (tls, proxies);
        let buffer = Arc::new(Buffer::new(runtime.clock.clone()));
        let context = Context {
            runtime: runtime.clone(),
            append: Arc::clone(&buffer) as Arc<dyn Append>,
            observe: Arc::clone(&buffer) as Arc<dyn Observe>,
            state: Arc::new(MemoryState::new()),
            live: Live::default(),
        };
        let run = runtime.rng.uuid();
        Ok(Agent { runtime, request, buffer, context, run, assignment: 0, refused: Vec::new(), ahead_ms: None })
    }

    /// Probes and reports until it is stopped; probes go on while the server cannot be reached.
    pub async fn run(mut self, stop: CancellationToken) {
        let clock = self.runtime.clock.clone();
        let mut connection = Kept::default();
        let mut again = AGAIN_MIN;
        // What was said last of how it goes, so that a long outage is two lines of the log.
        let mut said: Option<String> = None;
        loop {
            let done = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                done = self.exchange(&mut connection) => done,
            };
            let (words, wait) = match done {
                Ok((place, waiting)) => {
                    again = AGAIN_MIN;
                    let wait = if waiting == 0 { PACE } else { Duration::ZERO };
                    (Ok(format!("it reports as `{place}`")), wait)
                }
                Err(Failed::Away(words)) => {
                    let wait = again.mul_f64(0.5 + self.runtime.rng.unit() / 2.0);
                    again = (again * 2).min(AGAIN_MAX);
                    (Err(words), wait)
                }
                Err(Failed::Refused(words)) => (Err(words), AGAIN_MAX),
            };
            let text = match &words {
                Ok(text) | Err(text) => text.clone(),
            };
            if said.as_ref() != Some(&text) {
                let server = self.request.url.origin();
                match words {
                    Ok(words) => tracing::info!(server, "{words}"),
                    Err(words) => tracing::error!(server, "{words}"),
                }
                said = Some(text);
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = clock.sleep(wait) => {}
            }
        }
    }

    /// Reports what waits, and does what the answer says; gives the name of the place, and how much waits still.
    async fn exchange(&mut self, connection: &mut Kept) -> Result<(String, u64), Failed> {
        let clock = self.runtime.clock.clone();
        let part = self.buffer.part();
        let own_network = self
            .runtime
            .troubles
            .list()
            .into_iter()
            .find(|it| it.key == probe::OWN_NETWORK_TROUBLE)
            .map(|it| it.summary);
        let exchange = Exchange {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            run: self.run.clone(),
            assignment: self.assignment,
            first: part.first,
            entries: part.entries,
            waiting: part.waiting,
            dropped: part.dropped,
            ahead_ms: self.ahead_ms,
            own_network,
            refused: self.refused.clone(),
        };
        self.request.body = serde_json::to_vec(&exchange).expect("our own documents serialise");
        let sent_at = clock.now();
        let response = connection.send(&self.runtime, &self.request).await;
        let response = response.map_err(|error| Failed::Away(format!("the server cannot be reached: {error}")))?;
        let answered_at = clock.now();
        let answer = read(&response)?;
        // As NTP does: the time that the server took is not the way's.
        let ahead = (sent_at.as_millis() - answer.received_at.as_millis())
            + (answered_at.as_millis() - answer.answered_at.as_millis());
        self.ahead_ms = Some(ahead / 2);
        self.buffer.taken(answer.next);
        if let Some(assignment) = answer.assignment {
            self.take(assignment).await;
        }
        answer.probe_now.iter().for_each(|name| self.context.live.wake(name));
        Ok((answer.place, part.waiting))
    }

    /// Probes this from now on, and nothing else.
    async fn take(&mut self, assignment: Assignment) {
        let mut monitors = Vec::new();
        self.refused.clear();
        for value in assignment.monitors {
            let name = value["name"].as_str().unwrap_or_default().to_owned();
            match monitor(value) {
                Ok(monitor) => monitors.push(monitor),
                Err(reason) => {
                    tracing::error!(monitor = name, "it cannot be probed from here: {reason}");
                    self.refused.push(RefusedMonitor { monitor: name, reason });
                }
            }
        }
        tracing::info!(monitors = monitors.len(), "told what to probe");
        self.context.live.set_own_network(assignment.own_network).await;
        let tasks = probe::tasks(&monitors, &assignment.egress, &self.context);
        self.runtime.supervisor.reconcile("probe", tasks);
        self.assignment = assignment.id;
    }
}

/// A monitor as the server sends it, seen from here: this is the only place there is.
fn monitor(value: serde_json::Value) -> Result<MonitorConfig, String> {
    let mut monitor: MonitorConfig = serde_json::from_value(value).map_err(|error| error.to_string())?;
    (monitor.places, monitor.quorum) = (Vec::new(), watchbell_model::Quorum::default());
    // The server refuses such a configuration; an agent does not rely on that.
    if !monitor.is_for_agents() {
        return Err(format!("`{}` cannot be probed from elsewhere", monitor.kind()));
    }
    Ok(monitor)
}

fn read(response: &Response) -> Result<Answer, Failed> {
    if response.status == 200 {
        return serde_json::from_slice(&response.body)
            .map_err(|error| Failed::Refused(format!("the server's answer cannot be read, renew one side: {error}")));
    }
    let said: Option<serde_json::Value> = serde_json::from_slice(&response.body).ok();
    let said = said.as_ref().and_then(|said| said["error"].as_str()).unwrap_or("it does not say why");
    let words = format!("the server answers {}: {said}", response.status);
    Err(match response.status {
        400..500 if response.status != 408 && response.status != 429 => Failed::Refused(words),
        _ => Failed::Away(words),
    })
}
