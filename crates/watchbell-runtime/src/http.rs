//! One HTTP client for probes, scrapes and deliveries: times each phase, bounds everything, follows redirects itself.

mod exchange;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use watchbell_model::{Timestamp, Url};

use self::exchange::Open;
use crate::tls::{TlsError, TlsOptions, TlsReport};
use crate::{NetError, Runtime};

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
    /// Which versions of HTTP are spoken.
    pub versions: Versions,
    /// What holds until a redirect leads to another host.
    pub first: FirstHost,
    /// Whether a redirect from `https` to `http` is followed.
    pub downgrades: bool,
    /// Whether cookies are kept from one redirect to the next.
    pub cookies: bool,
    /// Whether the body is read to its end, though no more than `body_max` of it is kept.
    pub drain: bool,
}

/// Which versions of HTTP are spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// HTTP/1.1.
    #[default]
    One,
    /// HTTP/2 where TLS is spoken and the server chooses it, else HTTP/1.1.
    Both,
    /// HTTP/2, without TLS too.
    Two,
}

/// How the host of an address is spoken to, in place of what its name says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FirstHost {
    /// Where to connect.
    pub address: Option<IpAddr>,
    /// What it is called in `Host`.
    pub host: Option<String>,
    /// The name that its certificate must have; goes before that of [`TlsOptions`].
    pub server_name: Option<String>,
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
            versions: Versions::default(),
            first: FirstHost::default(),
            downgrades: false,
            cookies: false,
            drain: false,
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
    /// How long the body is said to be; 0 where there can be none.
    pub content_length: Option<u64>,
    /// How much of the body was read, kept or not.
    pub body_length: u64,
    /// Headers that came behind the body.
    pub trailers: Vec<(String, String)>,
}

/// How far a request has come. Of one that failed it says what was seen before.
#[derive(Debug, Default)]
pub struct Progress {
    /// As [`Response::phases`].
    pub phases: Vec<(&'static str, Duration)>,
    /// The last answer, whose body may be missing.
    pub answer: Option<Response>,
    doing: &'static str,
}

impl Progress {
    fn spent(&mut self, name: &'static str, time: Duration) {
        match self.phases.iter_mut().find(|(have, _)| *have == name) {
            Some((_, total)) => *total += time,
            None => self.phases.push((name, time)),
        }
    }
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
pub fn http_date(text: &str) -> Option<Timestamp> {
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
    #[error("no answer within {} s (while {phase})", (limit.as_secs_f64() * 10.0).round() / 10.0)]
    Timeout {
        /// What was going on: `resolving the name or connecting`, `shaking hands over TLS`, `waiting for the answer`,
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
const HANDSHAKE: &str = "shaking hands over TLS";
const WAITING: &str = "waiting for the answer";
const READING: &str = "reading the answer";

/// Sends a request and reads the answer, each over a fresh connection.
pub async fn send(runtime: &Runtime, request: Request) -> Result<Response, HttpError> {
    send_watched(runtime, request, &Mutex::default()).await
}

/// As [`send`], for those who want to know how far it came.
pub async fn send_watched(
    runtime: &Runtime,
    mut request: Request,
    progress: &Mutex<Progress>,
) -> Result<Response, HttpError> {
    request.tls.alpn = match request.versions {
        Versions::One => Vec::new(),
        Versions::Both => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Versions::Two => vec![b"h2".to_vec()],
    };
    let limit = request.timeout;
    seen(progress).doing = CONNECTING;
    match runtime.clock.timeout(limit, follow(runtime, request, progress)).await {
        Ok(done) => done,
        Err(_) => Err(HttpError::Timeout { phase: seen(progress).doing, limit }),
    }
}

fn seen(progress: &Mutex<Progress>) -> std::sync::MutexGuard<'_, Progress> {
    progress.lock().expect("no panic while held")
}

async fn follow(runtime: &Runtime, mut request: Request, progress: &Mutex<Progress>) -> Result<Response, HttpError> {
    let mut redirects = 0;
    let mut jar: Vec<Cookie> = Vec::new();
    loop {
        let with_cookies = Cookie::header(&jar, request.url.host()).map(|it| request.clone().header("cookie", it));
        let sent = with_cookies.as_ref().unwrap_or(&request);
        let mut response = exchange::once(runtime, sent, redirects, progress).await?;
        let location = match response.status {
            301 | 302 | 303 | 307 | 308 => response.header("location").map(str::to_owned),
            _ => None,
        };
        let Some(location) = location.filter(|_| redirects < request.redirects_max) else {
            response.phases = seen(progress).phases.clone();
            return Ok(response);
        };
        redirects += 1;
        let next = request.url.resolve(&location).map_err(|error| HttpError::Redirect(error.to_string()))?;
        if request.url.is_https() && !next.is_https() && !request.downgrades {
            return Err(HttpError::Redirect(format!("from https to {next}")));
        }
        if request.cookies {
            jar.extend(Cookie::all(&response, request.url.host()));
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
        if request.url.host() != next.host() {
            request.first = FirstHost::default();
        }
        if response.status == 303 || (matches!(response.status, 301 | 302) && request.method == "POST") {
            request.method = "GET".into();
            request.body.clear();
        }
        request.url = next;
    }
}

/// One connection that is kept between requests, for who speaks to one server all the time. No redirect is followed.
#[derive(Default)]
pub struct Kept(Option<Open>);

impl Kept {
    /// Sends a request to the server, over a new connection if there is none; after an error there is none.
    pub async fn send(&mut self, runtime: &Runtime, request: &Request) -> Result<Response, HttpError> {
        let progress = Mutex::new(Progress { doing: CONNECTING, ..Progress::default() });
        let kept = self.0.take();
        let exchange = async {
            let mut open = match kept {
                Some(open) => open,
                None => Open::new(runtime, request, &progress).await?,
            };
            let response = open.exchange(runtime, request, (0, true), &progress).await?;
            Ok::<_, HttpError>((open, response))
        };
        let done = runtime.clock.timeout(request.timeout, exchange).await;
        let (open, response) = match done {
            Ok(done) => done?,
            Err(_) => return Err(HttpError::Timeout { phase: seen(&progress).doing, limit: request.timeout }),
        };
        self.0 = Some(open).filter(|open| !open.is_closed() && !response.truncated);
        Ok(response)
    }
}

/// A cookie that goes back to the host it is from, for as long as redirects are followed.
struct Cookie {
    host: String,
    name: String,
    value: String,
}

impl Cookie {
    fn all(response: &Response, host: &str) -> Vec<Cookie> {
        let set = response.headers.iter().filter(|(name, _)| name == "set-cookie");
        set.filter_map(|(_, text)| {
            let (name, value) = text.split(';').next()?.split_once('=')?;
            Some(Cookie { host: host.to_owned(), name: name.trim().to_owned(), value: value.trim().to_owned() })
        })
        .collect()
    }

    /// Those of a host, as a header; of several with one name, the last.
    fn header(jar: &[Cookie], host: &str) -> Option<String> {
        let mut told: Vec<&Cookie> = Vec::new();
        for cookie in jar.iter().filter(|cookie| cookie.host == host) {
            told.retain(|other| other.name != cookie.name);
            told.push(cookie);
        }
        let pairs: Vec<String> = told.iter().map(|it| format!("{}={}", it.name, it.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}
