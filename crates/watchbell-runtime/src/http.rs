//! One HTTP client for probes, scrapes and deliveries: times each phase, bounds everything, follows redirects itself.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use watchbell_model::{Timestamp, Url};

use crate::tls::{self, TlsError, TlsOptions, TlsReport};
use crate::{NetError, Runtime, Stream};

pub use crate::proxy::{Proxies, Proxy};

/// A request and its bounds.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// Where to.
    pub url: Url,
    /// Headers as sent, besides `Host`, `User-Agent` and `Content-Length`.
    pub headers: Vec<(String, String)>,
    /// The body, empty for none.
    pub body: Vec<u8>,
    /// Bound on the whole, redirects included.
    pub timeout: Duration,
    /// How much of the answer's body is read; the rest is left.
    pub body_max: usize,
    /// How many redirects are followed; the next one is an answer like any other.
    pub redirects_max: u32,
    /// TLS roots.
    pub tls: TlsOptions,
    /// Whether a certificate that is not trusted is an error.
    pub verify: bool,
    /// Through what it goes.
    pub proxies: Proxies,
    /// A socket of this machine to connect to, in place of the address' host; no redirect leads elsewhere from it.
    pub socket: Option<PathBuf>,
    /// Headers besides the well-known ones that stay with the host they were meant for, in lower case.
    pub secret_headers: Vec<String>,
}

impl Request {
    /// A `GET` with ten seconds, 1 MiB and no redirects.
    pub fn get(url: Url) -> Request {
        Request {
            method: "GET".into(),
            url,
            headers: Vec::new(),
            body: Vec::new(),
            timeout: Duration::from_secs(10),
            body_max: 1 << 20,
            redirects_max: 0,
            tls: TlsOptions::default(),
            verify: true,
            proxies: Proxies::default(),
            socket: None,
            secret_headers: Vec::new(),
        }
    }

    /// A `POST` with the same bounds.
    pub fn post(url: Url, body: impl Into<Vec<u8>>) -> Request {
        Request { method: "POST".into(), body: body.into(), ..Request::get(url) }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Request {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// Such as 200.
    pub status: u16,
    /// Names in lower case, values with odd bytes replaced.
    pub headers: Vec<(String, String)>,
    /// As much of the body as was asked for.
    pub body: Vec<u8>,
    /// Whether there was more.
    pub truncated: bool,
    /// Time per phase, summed over redirects: `resolve`, `connect`, `tls`, `processing`, `transfer`.
    pub phases: Vec<(&'static str, Duration)>,
    /// The last connection's TLS, if it had any.
    pub tls: Option<TlsReport>,
    /// Where the answer came from, after redirects.
    pub url: Url,
    /// How many redirects were followed.
    pub redirects: u32,
    /// Such as `HTTP/1.1`.
    pub version: String,
}

impl Response {
    /// A header's first value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What a `Retry-After` header asks for: seconds, or an HTTP date. Not bounded: whoever waits has a bound of their own.
pub fn retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    match header.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) if !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit()) => Some(Duration::MAX),
        Err(_) => Some(http_date(header)?.since(now)),
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, the one form of RFC 9110 that senders may write.
fn http_date(text: &str) -> Option<Timestamp> {
    let mut words = text.split_once(", ")?.1.split(' ');
    let (day, month, year) = (words.next()?, words.next()?, words.next()?);
    let time = words.next()?;
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|it| *it == month)? + 1;
    Timestamp::parse_rfc3339(&format!("{year:0>4}-{month:02}-{day:0>2}T{time}Z"))
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection.
    #[error(transparent)]
    Net(#[from] NetError),
    /// No TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The certificate is not trusted and was asked to be.
    #[error("{0}")]
    Certificate(Untrusted),
    /// The time was up.
    #[error("no answer within {} s (while {phase})", limit.as_secs_f64())]
    Timeout {
        /// What was going on: `resolving the name or connecting`, `the TLS handshake`, `waiting for the answer`,
        /// `reading the answer`.
        phase: &'static str,
        /// The bound.
        limit: Duration,
    },
    /// What came was not HTTP, or the connection broke.
    #[error("the answer is not HTTP or broke off: {0}")]
    Protocol(String),
    /// A redirect that leads nowhere, or from `https` to `http`.
    #[error("the redirect cannot be followed: {0}")]
    Redirect(String),
    /// The proxy did not let us through.
    #[error("the proxy {proxy} {reason}")]
    Proxy {
        /// Its address.
        proxy: String,
        /// What it said.
        reason: String,
    },
    /// The request itself cannot be written.
    #[error("the request cannot be sent: {0}")]
    Request(String),
}

/// A certificate that is not trusted: the words, and what the handshake showed, for those who look closer.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Untrusted {
    /// Why it is not trusted.
    pub reason: String,
    /// What was shown.
    pub report: Box<TlsReport>,
}

impl HttpError {
    /// Whether the request had certainly not reached the server, so that sending it again cannot double it.
    pub fn is_before_send(&self) -> bool {
        match self {
            HttpError::Net(_)
            | HttpError::Tls(_)
            | HttpError::Certificate(_)
            | HttpError::Proxy { .. }
            | HttpError::Request(_) => true,
            HttpError::Timeout { phase, .. } => matches!(*phase, CONNECTING | HANDSHAKE),
            HttpError::Protocol(_) | HttpError::Redirect(_) => false,
        }
    }
}

const CONNECTING: &str = "resolving the name or connecting";
const HANDSHAKE: &str = "the TLS handshake";
const WAITING: &str = "waiting for the answer";
const READING: &str = "reading the answer";

/// Sends a request and reads the answer, each over a fresh connection.
pub async fn send(runtime: &Runtime, request: Request) -> Result<Response, HttpError> {
    let phase = Arc::new(Mutex::new(CONNECTING));
    let limit = request.timeout;
    match runtime.clock.timeout(limit, follow(runtime, request, &phase)).await {
        Ok(done) => done,
        Err(_) => Err(HttpError::Timeout { phase: *phase.lock().expect("no panic while held"), limit }),
    }
}

async fn follow(runtime: &Runtime, mut request: Request, phase: &Mutex<&'static str>) -> Result<Response, HttpError> {
    let mut phases: Vec<(&'static str, Duration)> = Vec::new();
    let mut redirects = 0;
    loop {
        let mut response = once(runtime, &request, phase, &mut phases).await?;
        let location = match response.status {
            301 | 302 | 303 | 307 | 308 => response.header("location").map(str::to_owned),
            _ => None,
        };
        let Some(location) = location.filter(|_| redirects < request.redirects_max) else {
            response.phases = phases;
            response.redirects = redirects;
            return Ok(response);
        };
        redirects += 1;
        let next = request.url.resolve(&location).map_err(|error| HttpError::Redirect(error.to_string()))?;
        if request.url.is_https() && !next.is_https() {
            return Err(HttpError::Redirect(format!("from https to {next}")));
        }
        if request.url.origin() != next.origin() {
            // Credentials stay with the host they were meant for.
            let secret = ["authorization", "cookie", "x-api-key", "x-alert-secret", "proxy-authorization"];
            let mine = std::mem::take(&mut request.secret_headers);
            request.headers.retain(|(name, _)| {
                let name = name.to_ascii_lowercase();
                !secret.contains(&name.as_str()) && !mine.contains(&name)
            });
        }
        if response.status == 303 || (matches!(response.status, 301 | 302) && request.method == "POST") {
            request.method = "GET".into();
            request.body.clear();
        }
        request.url = next;
    }
}

async fn once(
    runtime: &Runtime,
    request: &Request,
    phase: &Mutex<&'static str>,
    phases: &mut Vec<(&'static str, Duration)>,
) -> Result<Response, HttpError> {
    let mut open = Open::new(runtime, request, phase, phases).await?;
    open.exchange(runtime, request, "close", phase, phases).await
}

fn spent(phases: &mut Vec<(&'static str, Duration)>, name: &'static str, time: Duration) {
    match phases.iter_mut().find(|(have, _)| *have == name) {
        Some((_, total)) => *total += time,
        None => phases.push((name, time)),
    }
}

fn broke(error: hyper::Error) -> HttpError {
    HttpError::Protocol(hyper_words(&error))
}

/// A connection over which requests may be sent, one after the other.
struct Open {
    sender: hyper::client::conn::http1::SendRequest<Full<Bytes>>,
    /// Driven by each exchange and dropped with it: no task is left behind by a timeout.
    driver: Pin<Box<hyper::client::conn::http1::Connection<TokioIo<Stream>, Full<Bytes>>>>,
    tls: Option<TlsReport>,
}

impl Open {
    async fn new(
        runtime: &Runtime,
        request: &Request,
        phase: &Mutex<&'static str>,
        phases: &mut Vec<(&'static str, Duration)>,
    ) -> Result<Open, HttpError> {
        let clock = &runtime.clock;
        let enter = |now: &'static str| *phase.lock().expect("no panic while held") = now;
        enter(CONNECTING);
        let proxy = request.proxies.of(&request.url).filter(|_| request.socket.is_none());
        let next = proxy.map_or(&request.url, |proxy| &proxy.url);
        let stream = if let Some(socket) = &request.socket {
            let begun = clock.monotonic();
            let stream = runtime.net.connect_unix(socket).await;
            spent(phases, "connect", clock.monotonic() - begun);
            stream.map_err(|error| NetError::socket(socket, &error))?
        } else {
            let connection = runtime.net.connect(next.host(), next.port()).await?;
            spent(phases, "resolve", connection.resolve);
            spent(phases, "connect", connection.connect);
            match proxy {
                None => connection.stream,
                Some(proxy) => proxy.enter(runtime, connection.stream, request).await?,
            }
        };
        let (stream, tls) = if request.url.is_https() {
            enter(HANDSHAKE);
            let begun = clock.monotonic();
            let name = request.tls.server_name.as_deref().unwrap_or(request.url.host());
            let (stream, report) = tls::connect(runtime, stream, name, &request.tls).await?;
            spent(phases, "tls", clock.monotonic() - begun);
            if let (true, Err(reason)) = (request.verify, &report.verified) {
                return Err(HttpError::Certificate(Untrusted { reason: reason.clone(), report: Box::new(report) }));
            }
            (stream, Some(report))
        } else {
            (stream, None)
        };
        let (sender, driver) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(64 << 10)
            .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(broke)?;
        Ok(Open { sender, driver: Box::pin(driver), tls })
    }

    /// Sends one request and reads its answer; `connection` says what becomes of the connection then.
    async fn exchange(
        &mut self,
        runtime: &Runtime,
        request: &Request,
        connection: &str,
        phase: &Mutex<&'static str>,
        phases: &mut Vec<(&'static str, Duration)>,
    ) -> Result<Response, HttpError> {
        let clock = &runtime.clock;
        let enter = |now: &'static str| *phase.lock().expect("no panic while held") = now;
        enter(WAITING);
        let begun = clock.monotonic();
        let message = message(request, connection)?;
        let (sender, driver) = (&mut self.sender, self.driver.as_mut());
        let exchange = async {
            let answer = sender.send_request(message).await.map_err(broke)?;
            let waited = clock.monotonic() - begun;
            enter(READING);
            let (head, mut body) = answer.into_parts();
            let mut bytes = Vec::new();
            let mut truncated = false;
            while let Some(frame) = body.frame().await {
                if let Ok(data) = frame.map_err(broke)?.into_data() {
                    let room = request.body_max - bytes.len();
                    bytes.extend_from_slice(&data[..data.len().min(room)]);
                    if data.len() > room {
                        truncated = true;
                        break;
                    }
                }
            }
            Ok::<_, HttpError>((head, bytes, truncated, waited, clock.monotonic() - begun - waited))
        };
        let driver = async {
            let _ = driver.await;
            std::future::pending::<()>().await
        };
        let (head, body, truncated, waited, read) = tokio::select! {
            biased;
            done = exchange => done?,
            () = driver => unreachable!("the driver never ends before the exchange"),
        };
        spent(phases, "processing", waited);
        spent(phases, "transfer", read);
        let headers = head.headers.iter();
        let headers = headers
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        Ok(Response {
            status: head.status.as_u16(),
            headers: headers.collect(),
            body,
            truncated,
            phases: Vec::new(),
            tls: self.tls.clone(),
            url: request.url.clone(),
            redirects: 0,
            version: format!("{:?}", head.version),
        })
    }
}

/// The request as it is written.
fn message(request: &Request, connection: &str) -> Result<http::Request<Full<Bytes>>, HttpError> {
    let proxy = request.proxies.of(&request.url).filter(|_| request.socket.is_none());
    let whole = proxy.filter(|proxy| !request.url.is_https() && !proxy.socks);
    let mut builder = http::Request::builder()
        .method(request.method.as_str())
        .uri(match whole {
            Some(_) => format!("{}{}", request.url.origin(), request.url.path_and_query()),
            None => request.url.path_and_query().to_owned(),
        })
        .header("host", request.url.authority());
    if let Some(authorization) = whole.and_then(Proxy::authorization) {
        builder = builder.header("proxy-authorization", authorization.expose());
    }
    if !request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent")) {
        builder = builder.header("user-agent", concat!("watchbell/", env!("CARGO_PKG_VERSION")));
    }
    for (name, value) in &request.headers {
        builder = builder.header(name.as_str(), value.as_str());
    }
    let message = builder.header("connection", connection).body(Full::new(Bytes::from(request.body.clone())));
    message.map_err(|error| HttpError::Request(error.to_string()))
}

/// One connection that is kept between requests, for who speaks to one server all the time. No redirect is followed.
#[derive(Default)]
pub struct Kept(Option<Open>);

impl Kept {
    /// Sends a request to the server, over a new connection if there is none; after an error there is none.
    pub async fn send(&mut self, runtime: &Runtime, request: &Request) -> Result<Response, HttpError> {
        let phase = Mutex::new(CONNECTING);
        let mut phases = Vec::new();
        let kept = self.0.take();
        let exchange = async {
            let mut open = match kept {
                Some(open) => open,
                None => Open::new(runtime, request, &phase, &mut phases).await?,
            };
            let response = open.exchange(runtime, request, "keep-alive", &phase, &mut phases).await?;
            Ok::<_, HttpError>((open, response))
        };
        let done = runtime.clock.timeout(request.timeout, exchange).await;
        let (open, response) = match done {
            Ok(done) => done?,
            Err(_) => {
                let phase = *phase.lock().expect("no panic while held");
                return Err(HttpError::Timeout { phase, limit: request.timeout });
            }
        };
        self.0 = Some(open).filter(|open| !open.sender.is_closed() && !response.truncated);
        Ok(response)
    }
}

fn hyper_words(error: &hyper::Error) -> String {
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return "the server closed the connection".into();
    }
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        words = format!("{words}: {inner}");
        cause = inner.source();
    }
    words
}
