//! Hands a mail to a server (RFC 5321): greeting, `EHLO`, TLS, `AUTH`, each recipient, the message.
//!
//! A recipient that is refused does not lose the page for the others; one that is put off is tried again alone. Each
//! answer is bounded, and the whole by one timeout. A password never gets into the words of an error: they hold what
//! the server said, and the sender blots out what it repeats.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watchbell_model::{Secret, TlsConfig};
use watchbell_runtime::tls::{self, TlsOptions};
use watchbell_runtime::{Runtime, Stream};

use crate::channels::VerdictKind;
use crate::cut::one_line;

/// The longest line and the most lines of one answer.
const LINE_BYTES_MAX: usize = 4 << 10;
const REPLY_LINES_MAX: usize = 100;
/// How long a server may take to say goodbye; what became of the mail is known by then.
const FAREWELL_MAX: Duration = Duration::from_millis(300);

/// When a connection is made secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encryption {
    /// From the first byte.
    Implicit,
    /// By `STARTTLS`, without which nothing is sent.
    StartTls,
    /// Never.
    None,
}

/// A mail and the server that takes it.
pub(crate) struct Mail {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) hello: String,
    pub(crate) encryption: Encryption,
    pub(crate) tls: TlsConfig,
    pub(crate) username: String,
    pub(crate) password: Secret,
    /// The secret of CRAM-MD5.
    pub(crate) secret: Secret,
    pub(crate) identity: String,
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) message: String,
    pub(crate) timeout: Duration,
    pub(crate) taken: Taken,
}

/// Which recipients of a page have it, so that those who were put off are tried again alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Taken {
    /// The page's key.
    pub(crate) key: String,
    pub(crate) by: Vec<String>,
}

/// What became of it.
pub(crate) struct Sent {
    pub(crate) kind: VerdictKind,
    pub(crate) status: Option<u16>,
    pub(crate) words: String,
    /// Who has it, where some have not.
    pub(crate) taken: Option<Taken>,
}

struct Failure {
    kind: VerdictKind,
    status: Option<u16>,
    words: String,
}

impl Failure {
    fn again(words: impl Into<String>) -> Failure {
        Failure { kind: VerdictKind::Retry(None), status: None, words: words.into() }
    }
}

/// Sends a mail.
pub(crate) async fn send(runtime: &Runtime, mail: &Mail) -> Sent {
    let limit = mail.timeout;
    let failure = match runtime.clock.timeout(limit, talk(runtime, mail)).await {
        Ok(Ok(sent)) => return sent,
        Ok(Err(failure)) => failure,
        Err(_) => Failure::again(format!("{} did not take the mail within {} s", mail.host, limit.as_secs_f64())),
    };
    Sent { kind: failure.kind, status: failure.status, words: failure.words, taken: None }
}

async fn talk(runtime: &Runtime, mail: &Mail) -> Result<Sent, Failure> {
    let connection = runtime.net.connect(&mail.host, mail.port).await;
    let connection = connection.map_err(|error| Failure::again(error.to_string()))?;
    let mut server = Server { stream: connection.stream, bytes: Vec::new() };
    if mail.encryption == Encryption::Implicit {
        server = server.secure(runtime, mail).await?;
    }
    server.reply("the greeting").await?.expect(220, "the greeting")?;
    let mut offers = server.hello(mail).await?;
    if mail.encryption == Encryption::StartTls {
        if !offers.has("STARTTLS", "") {
            return Err(Failure::again(format!(
                "{} does not offer STARTTLS, and `require_tls` asks for it",
                mail.host
            )));
        }
        server.ask("STARTTLS", "STARTTLS").await?.expect(220, "STARTTLS")?;
        server = server.secure(runtime, mail).await?;
        offers = server.hello(mail).await?;
    }
    if !mail.username.is_empty() && offers.has("AUTH", "") {
        server.sign_in(mail, &offers).await?;
    }
    let sent = server.hand_over(mail, &offers).await;
    // Whether the server says goodbye changes nothing of what became of the mail.
    let _ = runtime.clock.timeout(FAREWELL_MAX, server.ask("QUIT", "QUIT")).await;
    sent
}

struct Server {
    stream: Stream,
    /// Read and not used yet.
    bytes: Vec<u8>,
}

struct Reply {
    code: u16,
    lines: Vec<String>,
}

impl Reply {
    fn words(&self) -> String {
        one_line(&format!("{} {}", self.code, self.lines.join(" ")))
    }

    fn is_put_off(&self) -> bool {
        (400..500).contains(&self.code)
    }

    fn expect(self, code: u16, what: &str) -> Result<Reply, Failure> {
        if self.code == code {
            return Ok(self);
        }
        let kind = if (500..600).contains(&self.code) { VerdictKind::Refused } else { VerdictKind::Retry(None) };
        let words = format!("{what} was answered with {}", self.words());
        Err(Failure { kind, status: Some(self.code), words })
    }

    /// Whether an `EHLO` answer has a keyword with a parameter, which may be empty.
    fn has(&self, keyword: &str, parameter: &str) -> bool {
        self.lines.iter().skip(1).any(|line| {
            // Servers of long ago write `AUTH=LOGIN`.
            let mut words = line.split([' ', '=']);
            words.next().is_some_and(|it| it.eq_ignore_ascii_case(keyword))
                && (parameter.is_empty() || words.any(|it| it.eq_ignore_ascii_case(parameter)))
        })
    }
}

impl Server {
    async fn secure(self, runtime: &Runtime, mail: &Mail) -> Result<Server, Failure> {
        // What came before the handshake could be anybody's.
        if !self.bytes.is_empty() {
            return Err(Failure::again("the server sent more before the TLS handshake than was asked for"));
        }
        let options = TlsOptions::of(&mail.tls, &runtime.disk).map_err(Failure::again)?;
        let name = options.server_name.clone().unwrap_or_else(|| mail.host.clone());
        let (stream, report) = tls::connect(runtime, self.stream, &name, &options)
            .await
            .map_err(|error| Failure::again(error.to_string()))?;
        if let (false, Err(reason)) = (mail.tls.insecure_skip_verify, &report.verified) {
            return Err(Failure::again(format!("the certificate of {} is not trusted: {reason}", mail.host)));
        }
        Ok(Server { stream, bytes: Vec::new() })
    }

    async fn hello(&mut self, mail: &Mail) -> Result<Reply, Failure> {
        // An address introduces itself in brackets.
        let name = match mail.hello.parse() {
            Ok(std::net::IpAddr::V4(address)) => format!("[{address}]"),
            Ok(std::net::IpAddr::V6(address)) => format!("[IPv6:{address}]"),
            Err(_) => mail.hello.clone(),
        };
        let reply = self.ask(&format!("EHLO {name}"), "EHLO").await?;
        if matches!(reply.code, 500 | 502 | 504) {
            return self.ask(&format!("HELO {name}"), "HELO").await?.expect(250, "HELO");
        }
        reply.expect(250, "EHLO")
    }

    async fn sign_in(&mut self, mail: &Mail, offers: &Reply) -> Result<(), Failure> {
        let (user, password) = (&mail.username, mail.password.expose());
        let encode = |text: &str| STANDARD.encode(text);
        if !mail.secret.is_empty() && offers.has("AUTH", "CRAM-MD5") {
            let challenge = self.ask("AUTH CRAM-MD5", "AUTH CRAM-MD5").await?.expect(334, "AUTH CRAM-MD5")?;
            let challenge = STANDARD.decode(challenge.lines.concat().trim());
            let challenge = challenge.map_err(|_| Failure::again("the challenge of CRAM-MD5 is not base64"))?;
            let mut mac =
                Hmac::<md5::Md5>::new_from_slice(mail.secret.expose().as_bytes()).expect("a key of any length is one");
            mac.update(&challenge);
            let digest: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            let answer = encode(&format!("{user} {digest}"));
            self.ask(&answer, "AUTH CRAM-MD5").await?.expect(235, "AUTH CRAM-MD5")?;
        } else if password.is_empty() {
            return Err(Failure::again("the server asks for a password, and there is none for what it offers"));
        } else if offers.has("AUTH", "PLAIN") {
            let answer = encode(&format!("{}\0{user}\0{password}", mail.identity));
            self.ask(&format!("AUTH PLAIN {answer}"), "AUTH PLAIN").await?.expect(235, "AUTH PLAIN")?;
        } else if offers.has("AUTH", "LOGIN") {
            self.ask("AUTH LOGIN", "AUTH LOGIN").await?.expect(334, "AUTH LOGIN")?;
            self.ask(&encode(user), "the user's name").await?.expect(334, "the user's name")?;
            self.ask(&encode(password), "AUTH LOGIN").await?.expect(235, "AUTH LOGIN")?;
        } else {
            return Err(Failure::again("the server offers no way to sign in that is known: PLAIN, LOGIN, CRAM-MD5"));
        }
        Ok(())
    }

    async fn hand_over(&mut self, mail: &Mail, offers: &Reply) -> Result<Sent, Failure> {
        let has_utf8 = offers.has("SMTPUTF8", "");
        let utf8 = has_utf8 && (!mail.from.is_ascii() || mail.to.iter().any(|to| !to.is_ascii()));
        let parameters = if utf8 { " SMTPUTF8" } else { "" };
        let from = format!("MAIL FROM:<{}>{parameters}", mail.from);
        self.ask(&from, "MAIL FROM").await?.expect(250, "MAIL FROM")?;
        let (mut taken, mut put_off, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        let mut worst = None;
        for to in mail.to.iter().filter(|to| !mail.taken.by.contains(to)) {
            if !to.is_ascii() && !has_utf8 {
                refused.push(format!("{to}: the server takes ASCII addresses only"));
                continue;
            }
            let reply = self.ask(&format!("RCPT TO:<{to}>"), "RCPT TO").await?;
            let why = || format!("{to}: {}", reply.words());
            match reply.code {
                250..=252 => taken.push(to.clone()),
                421 => return Err(reply.expect(250, "RCPT TO").err().expect("421 is not 250")),
                // What too many recipients are answered with by servers that follow the older standard.
                552 => put_off.push(why()),
                _ if reply.is_put_off() => put_off.push(why()),
                _ => refused.push(why()),
            }
            if !matches!(reply.code, 250..=252) {
                worst = Some(reply.code);
            }
        }
        let mut status = worst;
        let mut words = Vec::new();
        if !taken.is_empty() {
            self.ask("DATA", "DATA").await?.expect(354, "DATA")?;
            let reply = self.ask(&stuffed(&mail.message), "the mail").await?.expect(250, "the mail")?;
            status = Some(reply.code);
            words.push(reply.words());
        }
        if !refused.is_empty() {
            words.push(format!("refused: {}", refused.join(", ")));
        }
        if !put_off.is_empty() {
            words.push(format!("put off: {}", put_off.join(", ")));
        }
        let by: Vec<String> = mail.taken.by.iter().chain(&taken).cloned().collect();
        let kind = match (put_off.is_empty(), by.is_empty()) {
            (false, _) => VerdictKind::Retry(None),
            (true, false) => VerdictKind::Accepted,
            (true, true) => VerdictKind::Refused,
        };
        let taken = (!put_off.is_empty() && !by.is_empty()).then(|| Taken { key: mail.taken.key.clone(), by });
        Ok(Sent { kind, status, words: words.join("; "), taken })
    }

    /// Sends a line, or the mail with its end, and reads the answer.
    async fn ask(&mut self, line: &str, what: &str) -> Result<Reply, Failure> {
        let broke = |error: std::io::Error| Failure::again(format!("the connection broke at {what}: {error}"));
        self.stream.write_all(format!("{line}\r\n").as_bytes()).await.map_err(broke)?;
        self.stream.flush().await.map_err(broke)?;
        self.reply(what).await
    }

    async fn reply(&mut self, what: &str) -> Result<Reply, Failure> {
        let mut lines = Vec::new();
        loop {
            let line = self.line(what).await?;
            let code = line.get(..3).filter(|it| it.bytes().all(|byte| byte.is_ascii_digit()));
            let (Some(code), rest) = (code.and_then(|it| it.parse().ok()), line.get(3..).unwrap_or_default()) else {
                return Err(Failure::again(format!("{what} was answered with something that is not SMTP")));
            };
            lines.push(rest.get(1..).unwrap_or_default().to_owned());
            if !rest.starts_with('-') {
                return Ok(Reply { code, lines });
            }
            if lines.len() > REPLY_LINES_MAX {
                return Err(Failure::again(format!("the answer to {what} has more than {REPLY_LINES_MAX} lines")));
            }
        }
    }

    async fn line(&mut self, what: &str) -> Result<String, Failure> {
        loop {
            if let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.bytes.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if self.bytes.len() > LINE_BYTES_MAX {
                return Err(Failure::again(format!(
                    "a line of the answer to {what} is longer than {LINE_BYTES_MAX} bytes"
                )));
            }
            let mut buffer = [0; 1024];
            match self.stream.read(&mut buffer).await {
                Ok(0) => return Err(Failure::again(format!("the server closed the connection at {what}"))),
                Ok(count) => self.bytes.extend_from_slice(&buffer[..count]),
                Err(error) => return Err(Failure::again(format!("the connection broke at {what}: {error}"))),
            }
        }
    }
}

/// A message as `DATA` takes it, with its end: a line that begins with a dot gets one more.
fn stuffed(message: &str) -> String {
    let mut out = String::with_capacity(message.len() + 16);
    for line in message.lines() {
        if line.starts_with('.') {
            out.push('.');
        }
        out.push_str(line);
        out.push_str("\r\n");
    }
    out.push('.');
    out
}
