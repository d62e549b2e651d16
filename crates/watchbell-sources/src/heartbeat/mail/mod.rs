//! Pings that come by mail: a small server that takes mail for heartbeats and for nobody else.
//!
//! Invariants: a mail is answered with `250` only when its pings are on disk; a client has bounded time, a bounded number of
//! connections and mails, and no more of it is kept in memory than one mail has at most.

mod session;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use watchbell_model::{ByteSize, Path, Problems, Secret, Severity};
use watchbell_runtime::metrics::Counter;
use watchbell_runtime::{CancellationToken, Disk, Runtime, Stream, Task, tls};

use super::Heartbeats;
use super::request::{PingAnswer, PingRequest, PingTarget};
use session::{Door, Envelope, Session, Step, Terms};

/// How many connections are served at a time; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 64;
/// How many of them one client may have.
const CONNECTIONS_OF_CLIENT_MAX: u32 = 8;
/// How long a client may be silent, and how long it may stay.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const SESSION_MAX: Duration = Duration::from_secs(300);
/// How long a command line may be, in bytes; RFC 5321 allows 512 and more with options.
const LINE_MAX: usize = 2048;
/// How many clients are counted at a time.
const CLIENTS_MAX: usize = 4096;
/// After the address could not be had, or the system refused to accept, the next try comes this much later.
const LISTEN_AGAIN: Duration = Duration::from_secs(15);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The trouble on the board while nobody can bring mail.
const TROUBLE: &str = "heartbeat/mail";

/// Pings by mail: to `<uuid>@…` or `<ping key>+<slug>@…`, at the address where mail is taken. Nothing is passed on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PingMailConfig {
    /// Where mail is taken, such as `0.0.0.0:25`, or `127.0.0.1:2525` behind a mail server of your own.
    pub listen: String,
    /// What it calls itself.
    #[serde(default = "PingMailConfig::default_hostname")]
    pub hostname: String,
    /// Domains whose mail is taken; by default whatever stands behind the `@`.
    #[serde(default)]
    pub domains: Vec<String>,
    /// The certificate with its chain as PEM; with it `STARTTLS` is offered. Read anew for each connection.
    #[serde(default)]
    pub cert_file: Option<PathBuf>,
    /// The key of the certificate as PEM.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// How long a mail may be; at most `10MB`.
    #[serde(default = "PingMailConfig::default_size")]
    pub size_max: ByteSize,
    /// How many mails one client may bring in a minute.
    #[serde(default = "PingMailConfig::default_rate")]
    pub per_minute: u32,
}

impl PingMailConfig {
    /// The longest mail that can be asked for.
    const SIZE_MOST: u64 = 10 << 20;

    fn default_hostname() -> String {
        "watchbell".into()
    }

    fn default_size() -> ByteSize {
        ByteSize(1 << 20)
    }

    fn default_rate() -> u32 {
        120
    }

    /// Makes files it names relative to the folder of the configuration.
    pub fn anchor(&mut self, base: &std::path::Path) {
        for file in [&mut self.cert_file, &mut self.key_file].into_iter().flatten() {
            *file = base.join(&*file);
        }
    }

    /// What is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        if self.listen.parse::<SocketAddr>().is_err() {
            problems
                .error(&path.field("listen"), format!("`{}` is not an address to listen on", self.listen))
                .hint("an IP address and a port, such as `0.0.0.0:25`");
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        if self.hostname.is_empty() || !self.hostname.bytes().all(plain) {
            problems
                .error(&path.field("hostname"), format!("`{}` is not the name of a host", self.hostname))
                .hint("such as `watch.example.org`");
        }
        if self.cert_file.is_some() != self.key_file.is_some() {
            problems.error(path, "there is only one of `cert_file` and `key_file`").hint("STARTTLS needs both");
        }
        if self.size_max.0 == 0 || self.size_max.0 > PingMailConfig::SIZE_MOST {
            problems
                .error(&path.field("size_max"), format!("{} bytes are not a usable bound", self.size_max.0))
                .hint("above 0, at most `10MB`");
        }
        if self.per_minute == 0 {
            problems.error(&path.field("per_minute"), "nobody could bring a mail").hint("the default is 120");
        }
    }

    fn terms(&self) -> Terms {
        Terms {
            hostname: self.hostname.clone(),
            domains: self.domains.clone(),
            size_max: self.size_max.0,
            starttls: self.cert_file.is_some(),
        }
    }

    /// Certificate and key as they are now.
    fn certificate(&self, disk: &Disk) -> io::Result<(Vec<u8>, Secret)> {
        let (Some(certificate), Some(key)) = (&self.cert_file, &self.key_file) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        Ok((disk.read(certificate)?, Secret::new(disk.read_text(key)?)))
    }
}

impl Heartbeats {
    /// Takes mail as the configuration says.
    pub fn mail_task(&self, config: &PingMailConfig) -> Task {
        let mut hasher = DefaultHasher::new();
        config.hash(&mut hasher);
        let (heartbeats, config) = (self.clone(), config.clone());
        Task::new("mail", hasher.finish(), move |stop| {
            let server = Arc::new(Server::new(heartbeats.clone(), config.clone()));
            async move { server.run(stop).await }
        })
    }
}

struct Server {
    runtime: Runtime,
    heartbeats: Heartbeats,
    config: PingMailConfig,
    terms: Terms,
    clients: Mutex<BTreeMap<IpAddr, Client>>,
    taken: Counter,
    refused: Counter,
    failed: Counter,
}

/// What is known of a client.
#[derive(Clone, Copy, Default)]
struct Client {
    open: u32,
    /// When its present minute began, by the monotonic clock, and its mails since then.
    since: Duration,
    mails: u32,
}

impl Server {
    fn new(heartbeats: Heartbeats, config: PingMailConfig) -> Server {
        let runtime = heartbeats.0.context.runtime.clone();
        let help = "Mails that were brought as pings, by what became of them.";
        let counter = |outcome| runtime.metrics.counter("watchbell_ping_mails_total", help, &[("outcome", outcome)]);
        let (taken, refused, failed) = (counter("taken"), counter("refused"), counter("failed"));
        Server { terms: config.terms(), runtime, heartbeats, config, clients: Mutex::default(), taken, refused, failed }
    }

    async fn run(self: &Arc<Server>, stop: CancellationToken) {
        let (clock, troubles) = (&self.runtime.clock, &self.runtime.troubles);
        let Ok(address) = self.config.listen.parse::<SocketAddr>() else { return stop.cancelled().await };
        let listener = loop {
            match self.runtime.net.listen(address).await {
                Ok(listener) => break listener,
                Err(error) => {
                    let words = format!("pings by mail cannot come: {address} cannot be listened on: {error}");
                    troubles.set(TROUBLE, Severity::Critical, words);
                }
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return troubles.clear(TROUBLE),
                () = clock.sleep(LISTEN_AGAIN) => {}
            }
        };
        troubles.clear(TROUBLE);
        tracing::info!(address = %listener.local_addr(), "pings by mail are taken");
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                accepted = async {
                    let slot = Arc::clone(&room).acquire_owned().await.expect("the semaphore is never closed");
                    (slot, listener.accept().await)
                } => accepted,
            };
            let (slot, (stream, peer)) = match accepted {
                (slot, Ok(accepted)) => (slot, accepted),
                (_, Err(error)) => {
                    tracing::warn!(%error, "a connection with mail was not accepted");
                    clock.sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (server, stop, peer) = (Arc::clone(self), stop.clone(), peer.ip().to_canonical());
            let client = client_of(peer);
            self.runtime.supervisor.detached(async move {
                let ended = tokio::select! {
                    biased;
                    () = stop.cancelled() => Ok(()),
                    ended = server.serve(stream, peer, client) => ended,
                };
                if let Err(error) = ended {
                    tracing::debug!(%error, %peer, "a connection with mail ended badly");
                }
                drop(slot);
            });
        }
    }

    async fn serve(&self, stream: Stream, peer: IpAddr, client: IpAddr) -> io::Result<()> {
        let mut talk = Talk {
            clock: self.runtime.clock.clone(),
            stream,
            read: Vec::new(),
            until: self.runtime.clock.monotonic() + SESSION_MAX,
        };
        if !self.enter(client) {
            self.refused.inc();
            return talk.say("421 4.7.0 too many connections").await;
        }
        let ended = self.session(&mut talk, peer, client).await;
        self.leave(client);
        ended
    }

    async fn session(&self, talk: &mut Talk, peer: IpAddr, client: IpAddr) -> io::Result<()> {
        let door = Guarded { server: self, client };
        let mut session = Session::default();
        talk.say(&format!("220 {} ESMTP watchbell", self.terms.hostname)).await?;
        loop {
            let Some(line) = talk.line().await? else { return talk.say("500 5.5.2 the line is too long").await };
            match session.command(&line, &self.terms, &door) {
                Step::Say(words) => {
                    if words.starts_with("550") {
                        self.refused.inc();
                    }
                    talk.say(&words).await?;
                }
                Step::Last(words) => return talk.say(&words).await,
                Step::Starttls => {
                    // What came along in the clear might be somebody else's.
                    if !talk.read.is_empty() {
                        return talk.say("501 5.5.1 nothing may follow STARTTLS").await;
                    }
                    let (certificate, key) = match self.config.certificate(&self.runtime.disk) {
                        Ok(pair) => pair,
                        Err(error) => {
                            tracing::error!(%error, "the certificate of pings by mail cannot be read");
                            talk.say("454 4.7.0 there is no certificate now").await?;
                            continue;
                        }
                    };
                    talk.say("220 2.0.0 go ahead").await?;
                    talk.secure(&certificate, &key).await?;
                    session.secured();
                }
                Step::Data => {
                    talk.say("354 end with a dot on a line of its own").await?;
                    let Some(message) = talk.message(self.terms.size_max).await? else {
                        self.refused.inc();
                        return talk.say("552 5.3.4 the mail is too long").await;
                    };
                    let words = self.take(session.take(), peer, &message).await;
                    talk.say(words).await?;
                }
            }
        }
    }

    /// Hands a mail on as pings. If one of them cannot be kept, the mail comes again for all.
    async fn take(&self, envelope: Envelope, peer: IpAddr, message: &[u8]) -> &'static str {
        let mut lost = false;
        for target in envelope.to {
            let request = PingRequest::of_mail(target, &envelope.from, peer, message);
            // A heartbeat that went away meanwhile has nobody who waits for it.
            lost |= self.heartbeats.ping(request).await == PingAnswer::UNAVAILABLE;
        }
        if lost { &self.failed } else { &self.taken }.inc();
        if lost { "451 4.3.0 not kept, try again" } else { "250 2.0.0 kept" }
    }

    /// Counts a connection; whether it may stay.
    fn enter(&self, client: IpAddr) -> bool {
        let mut clients = self.clients.lock().expect("no panic while held");
        if clients.len() >= CLIENTS_MAX {
            let now = self.runtime.clock.monotonic();
            clients.retain(|_, client| client.open > 0 || now.saturating_sub(client.since) < Duration::from_secs(60));
        }
        if clients.len() >= CLIENTS_MAX && !clients.contains_key(&client) {
            return false;
        }
        let client = clients.entry(client).or_default();
        let may_stay = client.open < CONNECTIONS_OF_CLIENT_MAX;
        client.open += u32::from(may_stay);
        may_stay
    }

    fn leave(&self, client: IpAddr) {
        if let Some(client) = self.clients.lock().expect("no panic while held").get_mut(&client) {
            client.open -= 1;
        }
    }
}

/// The outside, as one client sees it.
struct Guarded<'s> {
    server: &'s Server,
    client: IpAddr,
}

impl Door for Guarded<'_> {
    fn knows(&self, target: &PingTarget) -> bool {
        self.server.heartbeats.knows(target)
    }

    fn admits(&self) -> bool {
        let now = self.server.runtime.clock.monotonic();
        let mut clients = self.server.clients.lock().expect("no panic while held");
        let client = clients.entry(self.client).or_default();
        if now.saturating_sub(client.since) >= Duration::from_secs(60) {
            (client.since, client.mails) = (now, 0);
        }
        client.mails += 1;
        client.mails <= self.server.config.per_minute
    }
}

/// Who counts as one client: an address, or the network that a customer has of IPv6.
fn client_of(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
    }
}

/// A connection, read by lines.
struct Talk {
    clock: watchbell_runtime::Clock,
    stream: Stream,
    /// What came and was not used yet.
    read: Vec<u8>,
    /// When it ends in any case, by the monotonic clock.
    until: Duration,
}

impl Talk {
    async fn bounded<T>(&mut self, what: impl AsyncFnOnce(&mut Talk) -> io::Result<T>) -> io::Result<T> {
        let left = self.until.saturating_sub(self.clock.monotonic()).min(SILENCE_MAX);
        let clock = self.clock.clone();
        clock.timeout(left, what(self)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn say(&mut self, words: &str) -> io::Result<()> {
        let words = format!("{words}\r\n");
        self.bounded(async |talk: &mut Talk| {
            talk.stream.write_all(words.as_bytes()).await?;
            talk.stream.flush().await
        })
        .await
    }

    async fn more(&mut self) -> io::Result<()> {
        self.bounded(async |talk: &mut Talk| match talk.stream.read_buf(&mut talk.read).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        })
        .await
    }

    /// The next line without its end; nothing if it is too long.
    async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.read[searched..].iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=searched + at).collect();
                return Ok((line.len() <= LINE_MAX).then(|| line.trim_ascii_end().to_vec()));
            }
            searched = self.read.len();
            if searched > LINE_MAX {
                return Ok(None);
            }
            self.more().await?;
        }
    }

    /// A mail up to the dot that ends it, which stands between ends of lines as the standard has them and no others;
    /// nothing if it is too long.
    async fn message(&mut self, size_max: u64) -> io::Result<Option<Vec<u8>>> {
        const END: &[u8] = b"\r\n.\r\n";
        // A mail without a line begins behind the end of `DATA`.
        self.read.splice(..0, *b"\r\n");
        let mut searched: usize = 0;
        loop {
            let from = searched.saturating_sub(END.len());
            if let Some(at) = self.read[from..].windows(END.len()).position(|it| it == END) {
                let rest = self.read.split_off(from + at + END.len());
                let mut message = std::mem::replace(&mut self.read, rest);
                message.truncate(from + at + 2);
                return Ok((message.len() as u64 <= size_max + 2).then(|| unstuffed(&message)));
            }
            searched = self.read.len();
            if searched as u64 > size_max + END.len() as u64 {
                return Ok(None);
            }
            self.more().await?;
        }
    }

    async fn secure(&mut self, certificate: &[u8], key: &Secret) -> io::Result<()> {
        self.bounded(async |talk: &mut Talk| {
            let (plain, _) = tokio::io::duplex(1);
            let stream = std::mem::replace(&mut talk.stream, Box::new(plain));
            talk.stream = tls::accept(stream, certificate, key).await.map_err(io::Error::other)?;
            Ok(())
        })
        .await
    }
}

/// Without the end of line before it, and without the dots that were put before others.
fn unstuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len());
    let mut at_line = false;
    for (at, byte) in message.iter().enumerate() {
        if !(at_line && *byte == b'.') {
            out.push(*byte);
        }
        at_line = at > 0 && message[at - 1..=at] == *b"\r\n";
    }
    out.drain(..2);
    out
}
