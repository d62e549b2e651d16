//! A receiver of pages (ntfy, Pushover, Slack, a webhook) that answers as it is told to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watchbell_model::Timestamp;
use watchbell_runtime::{Clock, Stream};

/// What a receiver does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Takes it: status 200 and a body that every provider's client accepts.
    Accept,
    /// Answers with a status and, if given, `Retry-After` in seconds. The request does not count as received.
    Refuse(u16, Option<u64>),
    /// Reads the request and never answers.
    Hang,
    /// Reads the request and closes the connection.
    Close,
    /// Takes it, and closes the connection without an answer: the sender cannot know.
    AcceptAndClose,
}

/// A request that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// When.
    pub at: Timestamp,
    /// Such as `POST`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// As sent.
    pub body: String,
}

/// The receiver. Clones share what was received.
#[derive(Clone)]
pub struct Receiver {
    clock: Clock,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    behaviour: Behaviour,
    received: Vec<Received>,
    tries: u64,
}

const HEAD_MAX: usize = 64 << 10;

impl Receiver {
    /// One that accepts everything.
    pub fn new(clock: Clock) -> Receiver {
        let inner = Inner { behaviour: Behaviour::Accept, received: Vec::new(), tries: 0 };
        Receiver { clock, inner: Arc::new(Mutex::new(inner)) }
    }

    /// From now on it does this.
    pub fn behave(&self, behaviour: Behaviour) {
        self.lock().behaviour = behaviour;
    }

    /// What was accepted as yet, oldest first.
    pub fn received(&self) -> Vec<Received> {
        self.lock().received.clone()
    }

    /// How many requests came, accepted or not.
    pub fn tries(&self) -> u64 {
        self.lock().tries
    }

    /// Answers the requests of one connection.
    pub async fn serve(&self, mut stream: Stream) {
        while let Some(request) = self.read(&mut stream).await {
            let due = self.due(&request.body);
            let behaviour = {
                let mut inner = self.lock();
                inner.tries += 1;
                if matches!(inner.behaviour, Behaviour::Accept | Behaviour::AcceptAndClose) {
                    inner.received.push(request);
                }
                inner.behaviour.clone()
            };
            let (status, retry) = match behaviour {
                Behaviour::Accept => (200, None),
                Behaviour::Refuse(status, retry) => (status, retry),
                Behaviour::Hang => return std::future::pending().await,
                Behaviour::Close | Behaviour::AcceptAndClose => return,
            };
            // `status: 1` is Pushover's yes, `id` and `healthy` are ntfy's; of Slack's webhook any 200 will do.
            let due = due.map_or(String::new(), |due| format!(r#","event":"message","sequence_id":"x","time":{due}"#));
            let body =
                if status == 200 { format!(r#"{{"status":1,"id":"x","healthy":true{due}}}"#) } else { "{}".into() };
            let retry = retry.map_or(String::new(), |seconds| format!("Retry-After: {seconds}\r\n"));
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{retry}\r\n", body.len());
            if stream.write_all(format!("{head}{body}").as_bytes()).await.is_err() {
                return;
            }
        }
    }

    /// When ntfy would deliver a message that it is to hold back, in seconds since 1970.
    fn due(&self, body: &str) -> Option<i64> {
        let (_, rest) = body.split_once(r#""delay":""#)?;
        let delay: i64 = rest.split_once('s')?.0.parse().ok()?;
        Some(self.clock.now().as_millis() / 1000 + delay)
    }

    async fn read(&self, stream: &mut Stream) -> Option<Received> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() > HEAD_MAX {
                return None;
            }
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.lines();
        let mut words = lines.next()?.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let body = String::from_utf8_lossy(&body).into_owned();
        Some(Received { at: self.clock.now(), method, path, headers, body })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic while held")
    }
}
