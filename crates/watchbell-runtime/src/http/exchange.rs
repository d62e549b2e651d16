//! One request and its answer over one connection, in HTTP/1.1 or HTTP/2.

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use watchbell_model::BoxFuture;

use super::{
    CONNECTING, HANDSHAKE, HttpError, Progress, Proxy, READING, Request, Response, Untrusted, Versions, WAITING, seen,
};
use crate::tls::{self, TlsReport};
use crate::{NetError, Runtime, Stream};

pub(super) async fn once(
    runtime: &Runtime,
    request: &Request,
    redirects: u32,
    progress: &Mutex<Progress>,
) -> Result<Response, HttpError> {
    Open::new(runtime, request, progress).await?.exchange(runtime, request, (redirects, false), progress).await
}

/// A connection over which requests may be sent, one after the other.
pub(super) struct Open {
    sender: Sender,
    /// Driven by each exchange and dropped with it: no task is left behind by a timeout.
    driver: Driver,
    tls: Option<TlsReport>,
}

impl Open {
    pub(super) async fn new(
        runtime: &Runtime,
        request: &Request,
        progress: &Mutex<Progress>,
    ) -> Result<Open, HttpError> {
        let (stream, tls) = connect(runtime, request, progress).await?;
        let two = match request.versions {
            Versions::One => false,
            Versions::Both => tls.as_ref().is_some_and(|report| report.alpn.as_deref() == Some(b"h2")),
            Versions::Two => true,
        };
        let (sender, driver) = speak(stream, two).await.map_err(|error| broke(&error))?;
        Ok(Open { sender, driver, tls })
    }

    /// Whether nothing more can be sent over it.
    pub(super) fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::One(sender) => sender.is_closed(),
            Sender::Two(sender) => sender.is_closed(),
        }
    }

    /// Sends one request and reads its answer, after so many redirects; `keep` says that the connection is to stay.
    pub(super) async fn exchange(
        &mut self,
        runtime: &Runtime,
        request: &Request,
        (redirects, keep): (u32, bool),
        progress: &Mutex<Progress>,
    ) -> Result<Response, HttpError> {
        let clock = &runtime.clock;
        seen(progress).doing = WAITING;
        let begun = clock.monotonic();
        let whole = request.proxies.of(&request.url).filter(|_| request.socket.is_none());
        let whole = whole.filter(|proxy| !request.url.is_https() && !proxy.socks);
        let message = message(request, whole, matches!(self.sender, Sender::Two(_)), keep)?;
        let (sender, driver, tls) = (&mut self.sender, &mut self.driver, &self.tls);
        let exchange = async {
            let answer = sender.send(message).await.map_err(|error| broke(&error))?;
            let waited = clock.monotonic() - begun;
            let (head, body) = answer.into_parts();
            let mut response = response(request, &head, &body, tls.clone());
            response.redirects = redirects;
            {
                let mut progress = seen(progress);
                progress.doing = READING;
                progress.spent("processing", waited);
                progress.answer = Some(response.clone());
            }
            read(&mut response, body, request).await?;
            seen(progress).spent("transfer", clock.monotonic() - begun - waited);
            Ok(response)
        };
        let driver = async {
            driver.await;
            std::future::pending::<()>().await
        };
        tokio::select! {
            biased;
            done = exchange => done,
            () = driver => unreachable!("the driver never ends before the exchange"),
        }
    }
}

/// A connection over which the request can go, and what TLS showed.
async fn connect(
    runtime: &Runtime,
    request: &Request,
    progress: &Mutex<Progress>,
) -> Result<(Stream, Option<TlsReport>), HttpError> {
    let clock = &runtime.clock;
    seen(progress).doing = CONNECTING;
    let proxy = request.proxies.of(&request.url).filter(|_| request.socket.is_none());
    let next = proxy.map_or(&request.url, |proxy| &proxy.url);
    let stream = if let Some(socket) = &request.socket {
        let begun = clock.monotonic();
        let stream = runtime.net.connect_unix(socket).await;
        seen(progress).spent("connect", clock.monotonic() - begun);
        stream.map_err(|error| NetError::socket(socket, &error))?
    } else {
        let address = request.first.address.filter(|_| proxy.is_none()).map(|address| address.to_string());
        let connection = runtime.net.connect(address.as_deref().unwrap_or(next.host()), next.port()).await?;
        {
            let mut progress = seen(progress);
            progress.spent("resolve", connection.resolve);
            progress.spent("connect", connection.connect);
        }
        match proxy {
            None => connection.stream,
            Some(proxy) => proxy.enter(runtime, connection.stream, request).await?,
        }
    };
    if !request.url.is_https() {
        return Ok((stream, None));
    }
    seen(progress).doing = HANDSHAKE;
    let begun = clock.monotonic();
    let name = request.first.server_name.as_deref().or(request.tls.server_name.as_deref());
    let (stream, report) = tls::connect(runtime, stream, name.unwrap_or(request.url.host()), &request.tls).await?;
    seen(progress).spent("tls", clock.monotonic() - begun);
    if let (true, Err(reason)) = (request.verify, &report.verified) {
        return Err(HttpError::Certificate(Untrusted { reason: reason.clone(), report: Box::new(report) }));
    }
    Ok((stream, Some(report)))
}

/// The request as it is sent; `whole` is a proxy that wants the whole address, `keep` that the connection stays.
fn message(
    request: &Request,
    whole: Option<&Proxy>,
    two: bool,
    keep: bool,
) -> Result<http::Request<Full<Bytes>>, HttpError> {
    let url = &request.url;
    let host = request.first.host.clone().unwrap_or_else(|| url.authority());
    let mut builder = http::Request::builder().method(request.method.as_str()).uri(match whole {
        _ if two => format!("{}://{host}{}", if url.is_https() { "https" } else { "http" }, url.path_and_query()),
        Some(_) => format!("{}{}", url.origin(), url.path_and_query()),
        None => url.path_and_query().to_owned(),
    });
    if !two {
        builder = builder.header("host", host);
    }
    if let Some(authorization) = whole.and_then(Proxy::authorization) {
        builder = builder.header("proxy-authorization", authorization.expose());
    }
    if !request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent")) {
        builder = builder.header("user-agent", concat!("watchbell/", env!("CARGO_PKG_VERSION")));
    }
    for (name, value) in &request.headers {
        builder = builder.header(name.as_str(), value.as_str());
    }
    if !two {
        builder = builder.header("connection", if keep { "keep-alive" } else { "close" });
    }
    let body = Full::new(Bytes::from(request.body.clone()));
    builder.body(body).map_err(|error| HttpError::Request(error.to_string()))
}

/// Who takes the request, and what must be polled meanwhile.
async fn speak(stream: Stream, two: bool) -> hyper::Result<(Sender, Driver)> {
    let io = TokioIo::new(stream);
    if !two {
        let mut builder = http1::Builder::new();
        let (sender, connection) = builder.max_buf_size(64 << 10).handshake(io).await?;
        return Ok((Sender::One(sender), Box::pin(async { drop(connection.await) })));
    }
    let (beside, work) = Beside::new();
    let (sender, connection) = http2::Builder::new(beside).handshake(io).await?;
    let driver = async {
        tokio::join!(biased; async { drop(connection.await) }, work);
    };
    Ok((Sender::Two(sender), Box::pin(driver)))
}

type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

impl Sender {
    async fn send(&mut self, message: http::Request<Full<Bytes>>) -> hyper::Result<http::Response<Incoming>> {
        match self {
            Sender::One(sender) => sender.send_request(message).await,
            Sender::Two(sender) => sender.send_request(message).await,
        }
    }
}

/// What a connection in HTTP/2 wants done beside itself is done where the connection is, and ends with it.
#[derive(Clone)]
struct Beside(mpsc::UnboundedSender<BoxFuture<'static, ()>>);

impl Beside {
    fn new() -> (Beside, impl Future<Output = ()> + Send) {
        let (sender, mut queue) = mpsc::unbounded_channel::<BoxFuture<'static, ()>>();
        let work = async move {
            let mut under_way = FuturesUnordered::new();
            loop {
                tokio::select! {
                    biased;
                    Some(more) = queue.recv() => under_way.push(more),
                    Some(()) = under_way.next() => {}
                    else => return,
                }
            }
        };
        (Beside(sender), work)
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Beside {
    fn execute(&self, future: F) {
        // Nobody polls any more when the connection is gone.
        let _ = self.0.send(Box::pin(future));
    }
}

/// The answer, of which nothing but the head came yet.
fn response(request: &Request, head: &http::response::Parts, body: &Incoming, report: Option<TlsReport>) -> Response {
    let headers = texts(&head.headers);
    let told = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, text)| text.trim().parse().ok());
    Response {
        status: head.status.as_u16(),
        content_length: told.or(body.size_hint().exact()),
        headers,
        body: Vec::new(),
        truncated: false,
        phases: Vec::new(),
        tls: report,
        url: request.url.clone(),
        redirects: 0,
        version: format!("{:?}", head.version),
        body_length: 0,
        trailers: Vec::new(),
    }
}

async fn read(response: &mut Response, mut body: Incoming, request: &Request) -> Result<(), HttpError> {
    while let Some(frame) = body.frame().await {
        match frame.map_err(|error| broke(&error))?.into_data() {
            Ok(data) => {
                let room = request.body_max - response.body.len();
                response.body.extend_from_slice(&data[..data.len().min(room)]);
                response.body_length += data.len() as u64;
                response.truncated |= data.len() > room;
                if response.truncated && !request.drain {
                    return Ok(());
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    response.trailers = texts(&trailers);
                }
            }
        }
    }
    Ok(())
}

fn texts(headers: &http::HeaderMap) -> Vec<(String, String)> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

fn broke(error: &hyper::Error) -> HttpError {
    HttpError::Protocol(hyper_words(error))
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
