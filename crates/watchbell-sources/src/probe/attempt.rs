//! One probe under way: its deadline, and what it has seen so far.
//!
//! What was seen is kept apart from what a step returns, so that a probe that fails late still tells of the
//! certificate, the address and the times before.
//!
//! Invariant: every wait goes through [`Attempt::within`], so no step can outlast the monitor's timeout and the message
//! names the step that hung.

use std::borrow::Cow;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use watchbell_model::{Certificate, Secret, Span, Timestamp};
use watchbell_runtime::http::{HttpError, Progress, Response};
use watchbell_runtime::tls::{self, Leaf, TlsOptions, TlsReport};
use watchbell_runtime::{Datagrams, Runtime, Stream};

use super::config::{MonitorConfig, host_and_port};
use super::live::Live;

/// How long an answer to a datagram is waited for until the question is sent again.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Why a target did not do all that was asked, in words for a person at night: what was expected, and what came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failure(pub(crate) String);

impl Failure {
    pub(crate) fn new(words: impl Into<String>) -> Failure {
        Failure(words.into())
    }
}

/// What a probe saw, whether it succeeded or not.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Time per phase, in the order in which they began; a phase that comes twice is summed.
    pub(crate) phases: Vec<(Cow<'static, str>, Duration)>,
    /// The address that took the connection.
    pub(crate) peer: Option<SocketAddr>,
    /// The certificate that was shown.
    pub(crate) certificate: Option<Certificate>,
    /// Why the certificate would not be trusted, if it is not.
    pub(crate) untrusted: Option<String>,
    /// Version and cipher of TLS.
    pub(crate) tls: Option<(String, String)>,
    /// The server's own certificate.
    pub(crate) leaf: Option<Leaf>,
    /// When the chain ends that is trusted.
    pub(crate) chain_ends: Option<Timestamp>,
    /// What only web probes see.
    pub(crate) http: Option<HttpSeen>,
    /// What only this kind sees: name, labels, value.
    pub(crate) samples: Vec<(String, Vec<(String, String)>, f64)>,
    /// Whether nothing is known yet, so that there is nothing to judge.
    pub(crate) nothing: bool,
}

/// The answer to a web request.
#[derive(Debug)]
pub(crate) struct HttpSeen {
    pub(crate) status: u16,
    pub(crate) redirects: u32,
    /// As the header says; `None` without one.
    pub(crate) content_length: Option<u64>,
    pub(crate) body_length: u64,
    pub(crate) is_tls: bool,
    /// Such as `HTTP/1.1`.
    pub(crate) version: String,
    /// Whether a keyword or a condition on the body failed; `None` if none was asked for.
    pub(crate) body_refused: Option<bool>,
}

/// How far a certificate is believed.
#[derive(Clone, Copy)]
pub(crate) struct Trust<'a> {
    /// The name it must be for.
    pub(crate) server_name: &'a str,
    /// Whether a certificate that is not trusted is a failure.
    pub(crate) verify: bool,
    /// Trusted roots, in place of the machine's.
    pub(crate) roots_file: Option<&'a Path>,
    /// Files with the certificate that is shown to the server, and its key.
    pub(crate) client: Option<(&'a Path, &'a Path)>,
}

/// One probe under way.
pub(crate) struct Attempt<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) monitor: &'a MonitorConfig,
    /// What is known of other monitors.
    pub(crate) live: &'a Live,
    pub(crate) seen: Seen,
    timeout: Span,
    /// On the monotonic clock, as the next two.
    deadline: Duration,
    begun: Duration,
    ended: Option<Duration>,
    is_talk: bool,
}

impl<'a> Attempt<'a> {
    pub(crate) fn begin(monitor: &'a MonitorConfig, runtime: &'a Runtime, live: &'a Live) -> Attempt<'a> {
        let timeout = monitor.probe_timeout();
        let begun = runtime.clock.monotonic();
        let deadline = begun + timeout.duration();
        Attempt { runtime, monitor, live, seen: Seen::default(), timeout, deadline, begun, ended: None, is_talk: false }
    }

    /// The result is known: what follows is politeness and does not count.
    pub(crate) fn stop_the_watch(&mut self) {
        self.ended.get_or_insert(self.runtime.clock.monotonic());
    }

    /// The probe's time begins now: until here it waited for its turn.
    pub(crate) fn begin_again(&mut self) {
        self.begun = self.runtime.clock.monotonic();
        self.deadline = self.begun + self.timeout.duration();
    }

    /// What was stopped goes on: another talk follows.
    pub(crate) fn go_on(&mut self) {
        self.ended = None;
    }

    /// How long it took, up to now or up to when the watch was stopped.
    pub(crate) fn duration(&self) -> Duration {
        self.ended.unwrap_or_else(|| self.runtime.clock.monotonic()).saturating_sub(self.begun)
    }

    /// What is left of the probe's time.
    pub(crate) fn remaining(&self) -> Duration {
        self.deadline.saturating_sub(self.runtime.clock.monotonic())
    }

    /// Waits for a step until the deadline; `waiting_for` completes the sentence "gave up after 10s waiting for …".
    pub(crate) async fn within<F: Future>(&self, waiting_for: &str, step: F) -> Result<F::Output, Failure> {
        let done = self.runtime.clock.timeout(self.remaining(), step).await;
        done.map_err(|_| Failure(format!("gave up after {} waiting for {waiting_for}", self.timeout)))
    }

    pub(crate) fn spent(&mut self, phase: impl Into<Cow<'static, str>>, time: Duration) {
        let phase = phase.into();
        match self.seen.phases.iter_mut().find(|(have, _)| *have == phase) {
            Some((_, total)) => *total += time,
            None => self.seen.phases.push((phase, time)),
        }
    }

    /// Resolves a name and connects.
    pub(crate) async fn connect(&mut self, host: &str, port: u16) -> Result<Stream, Failure> {
        let target = host_and_port(host, port);
        let runtime = self.runtime;
        let waiting_for = format!("a connection to {target}");
        let connection = self.within(&waiting_for, runtime.net.connect(host, port)).await?;
        let connection = connection.map_err(|error| Failure(error.to_string()))?;
        self.spent("resolve", connection.resolve);
        self.spent("connect", connection.connect);
        self.seen.peer = Some(connection.peer);
        Ok(connection.stream)
    }

    /// The first address of a name.
    pub(crate) async fn resolve(&mut self, host: &str) -> Result<IpAddr, Failure> {
        let clock = self.runtime.clock.clone();
        let begun = clock.monotonic();
        let found = self.within(&format!("the address of {host}"), self.runtime.net.resolve(host)).await?;
        self.spent("resolve", clock.monotonic() - begun);
        let found = found.map_err(|error| Failure(error.to_string()))?;
        let address = found[0];
        self.seen.peer = Some(SocketAddr::new(address, 0));
        Ok(address)
    }

    /// A way to send datagrams to a port.
    pub(crate) async fn datagrams(&mut self, host: &str, port: u16) -> Result<Datagrams, Failure> {
        let to = SocketAddr::new(self.resolve(host).await?, port);
        self.seen.peer = Some(to);
        let socket = self.runtime.net.datagrams(to).await;
        socket.map_err(|error| Failure(format!("nothing can be sent to {to}: {error}")))
    }

    /// Sends a question, and again as long as nothing comes, since datagrams get lost; `read` takes the answer, and
    /// nothing else that comes.
    pub(crate) async fn ask<T>(
        &mut self,
        socket: &Datagrams,
        question: &[u8],
        waiting_for: &str,
        mut read: impl FnMut(&[u8]) -> Option<T>,
    ) -> Result<T, Failure> {
        let clock = self.runtime.clock.clone();
        let refused = |error: std::io::Error| {
            let words = match error.kind() {
                std::io::ErrorKind::ConnectionRefused => "nothing listens there".to_owned(),
                _ => error.to_string(),
            };
            Failure(format!("expected {waiting_for}, but {words}"))
        };
        let asking = async {
            loop {
                socket.send(question).await.map_err(refused)?;
                let again = clock.monotonic() + ASK_AGAIN;
                loop {
                    let left = again.saturating_sub(clock.monotonic());
                    match clock.timeout(left, socket.receive()).await {
                        Ok(Ok(bytes)) => {
                            if let Some(answer) = read(&bytes) {
                                return Ok(answer);
                            }
                        }
                        Ok(Err(error)) => return Err(refused(error)),
                        Err(_) => break,
                    }
                }
            }
        };
        self.within(waiting_for, asking).await?
    }

    /// Makes a connection secret and judges the certificate.
    pub(crate) async fn secure(&mut self, stream: Stream, trust: Trust<'_>) -> Result<Stream, Failure> {
        let options = self.tls_options(trust)?;
        let clock = self.runtime.clock.clone();
        let begun = clock.monotonic();
        let handshake = tls::connect(self.runtime, stream, trust.server_name, &options);
        let done = self.within("the TLS handshake", handshake).await?;
        self.spent("tls", clock.monotonic() - begun);
        let (stream, report) = done.map_err(|error| Failure(error.to_string()))?;
        self.saw_tls(&report);
        match &self.seen.untrusted {
            Some(reason) if trust.verify => Err(Failure(reason.clone())),
            _ => Ok(stream),
        }
    }

    /// Keeps what a handshake showed.
    pub(crate) fn saw_tls(&mut self, report: &TlsReport) {
        self.seen.certificate = report.certificate.clone();
        self.seen.leaf = report.leaf();
        self.seen.chain_ends = report.chain_ends;
        self.seen.untrusted = report.verified.clone().err();
        self.seen.tls = Some((report.version.clone(), report.cipher.clone()));
    }

    /// Keeps what was seen of a web request, whether it was answered or not.
    pub(crate) fn saw_answer(&mut self, answer: &Result<Response, HttpError>, progress: Mutex<Progress>) {
        for (phase, time) in progress.into_inner().expect("no panic while held").phases {
            self.spent(phase, time);
        }
        match answer {
            Ok(Response { tls: Some(report), .. }) => self.saw_tls(report),
            Err(HttpError::Certificate(untrusted)) => self.saw_tls(&untrusted.report),
            _ => {}
        }
    }

    /// Files are read anew for each probe, so that a renewed one counts at once.
    pub(crate) fn tls_options(&self, trust: Trust<'_>) -> Result<TlsOptions, Failure> {
        let read = |what: &str, path: &Path| {
            let read = self.runtime.disk.read(path);
            read.map_err(|error| Failure(format!("{what} in {} cannot be read: {error}", path.display())))
        };
        let roots_pem = trust.roots_file.map(|path| read("the trusted roots", path)).transpose()?;
        let client_pem = match trust.client {
            None => None,
            Some((certificate, key)) => {
                let key = read("the key of the client's certificate", key)?;
                let key = Secret::new(String::from_utf8_lossy(&key));
                Some((read("the client's certificate", certificate)?, key))
            }
        };
        Ok(TlsOptions { roots_pem, client_pem, ..TlsOptions::default() })
    }

    /// From now on the time that is neither the network's nor that of TLS is the server's.
    pub(crate) fn talks(&mut self) {
        self.is_talk = true;
    }

    /// There is nothing to judge yet.
    pub(crate) fn says_nothing(&mut self) {
        self.seen.nothing = true;
    }

    /// Adds a sample under a name that the kind describes.
    pub(crate) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.seen.samples.push((name.to_owned(), labels, value));
    }

    /// Ends the probe; gives how long it took and what was seen.
    pub(crate) fn end(mut self) -> (Duration, Seen) {
        self.stop_the_watch();
        let duration = self.duration();
        let mut seen = self.seen;
        if self.is_talk {
            let others = seen.phases.iter().map(|(_, time)| *time).sum();
            seen.phases.push(("processing".into(), duration.saturating_sub(others)));
        }
        (duration, seen)
    }
}
