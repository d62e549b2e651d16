//! Opens a WebSocket (RFC 6455), and says something and waits for an answer if asked to.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::Regex;
use ring::digest;
use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems, Secret, Url};

use super::attempt::{Attempt, Failure};
use super::dialogue::shown;
use super::http::{check_headers, check_regex, regex_words, status_words};
use super::kinds::{Kind, Probing};
use super::tls::with_trust;
use super::wire::{Message, Wire};

const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The longest head of an answer.
const HEAD_BYTES_MAX: usize = 16 << 10;
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

with_trust! {
    /// A WebSocket: it opens, and what is said over it is answered.
    #[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct WebsocketConfig {
        /// The address, with `https://` for `wss://` and `http://` for `ws://`.
        pub url: Url,
        /// Headers to send, such as `Origin` or `Authorization`. Their values are never shown.
        #[serde(default)]
        pub headers: BTreeMap<String, Secret>,
        /// The subprotocol to ask for, which the server must take.
        #[serde(default)]
        pub protocol: Option<String>,
        /// A text to send once it is open. It is never shown.
        #[serde(default)]
        pub send: Option<Secret>,
        /// A regular expression: a message must come in which it matches somewhere.
        #[serde(default)]
        pub expect: Option<String>,
    }
}

/// A request for a WebSocket.
pub(crate) struct Opening<'a> {
    pub(crate) url: &'a Url,
    /// What the server is called.
    pub(crate) host: String,
    pub(crate) headers: Vec<(String, String)>,
    /// The subprotocol that the server must take.
    pub(crate) protocol: Option<&'a str>,
}

impl WebsocketConfig {
    async fn talk(&self, wire: &mut Wire<'_, '_>) -> Result<String, Failure> {
        if self.url.is_https() {
            wire.secure(self.trust(self.url.host())).await?;
        }
        let headers = self.headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect();
        let protocol = self.protocol.as_deref();
        let opening = Opening { url: &self.url, host: self.url.authority(), headers, protocol };
        let (status, opened) = opening.open(wire).await?;
        wire.attempt.sample("probe_websocket_status_code", &[], f64::from(status));
        wire.attempt.sample("probe_websocket_connection_upgraded", &[], if status == 101 { 1.0 } else { 0.0 });
        opened?;
        if let Some(text) = &self.send {
            say(wire, text.expose()).await?;
        }
        let words = match &self.expect {
            None => "the WebSocket opens".to_owned(),
            Some(pattern) => wait_for(wire, pattern).await?,
        };
        say_goodbye(wire).await;
        Ok(words)
    }
}

impl Opening<'_> {
    /// Asks for it. Gives the answer's status, and whether it is open.
    pub(crate) async fn open(&self, wire: &mut Wire<'_, '_>) -> Result<(u16, Result<(), Failure>), Failure> {
        let mut key = [0; 16];
        wire.attempt.runtime.rng.fill(&mut key);
        let key = STANDARD.encode(key);
        let mut request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: watchbell/{}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n",
            self.url.path_and_query(),
            self.host,
            env!("CARGO_PKG_VERSION"),
        );
        if let Some(protocol) = self.protocol {
            request.push_str(&format!("Sec-WebSocket-Protocol: {protocol}\r\n"));
        }
        for (name, value) in &self.headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        wire.send(format!("{request}\r\n").as_bytes(), "the request").await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() >= HEAD_BYTES_MAX {
                return Err(Failure(format!("the head of the answer is longer than {HEAD_BYTES_MAX} bytes")));
            }
            head.push(wire.byte("the answer").await?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let first = head.lines().next().unwrap_or_default();
        let status: Option<u16> = first.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
        let Some(status) = status else {
            return Err(Failure(format!("the answer is not HTTP: `{}`", shown(first))));
        };
        Ok((status, self.judge(status, &head, &key)))
    }

    fn judge(&self, status: u16, head: &str, key: &str) -> Result<(), Failure> {
        let headers: Vec<(&str, &str)> = head.lines().skip(1).filter_map(|line| line.split_once(':')).collect();
        let header = |wanted: &str| {
            headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
        };
        if status != 101 {
            return Err(Failure(format!("expected status 101, but the server answered {}", status_words(status))));
        }
        let proof = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes());
        if header("sec-websocket-accept") != Some(STANDARD.encode(proof).as_str()) {
            return Err(Failure::new("the answer is not one to our request: its `Sec-WebSocket-Accept` is wrong"));
        }
        if self.protocol.is_some() && header("sec-websocket-protocol") != self.protocol {
            return Err(Failure(format!(
                "expected the protocol `{}`, but the server takes {}",
                self.protocol.unwrap_or_default(),
                header("sec-websocket-protocol").map_or("none".to_owned(), |it| format!("`{}`", shown(it)))
            )));
        }
        Ok(())
    }
}

impl Kind for WebsocketConfig {
    fn target(&self) -> String {
        self.url.as_str().to_owned()
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        self.check_trust(path, problems);
        check_headers(&self.headers, &path.field("headers"), problems);
        let is_token = |text: &str| ::http::HeaderName::from_bytes(text.as_bytes()).is_ok();
        if self.protocol.as_deref().is_some_and(|name| !is_token(name)) {
            problems.error(&path.field("protocol"), "it is not a protocol's name").hint("such as `graphql-ws`");
        }
        if let Some(pattern) = &self.expect {
            check_regex(pattern, &path.field("expect"), problems);
        }
    }

    fn anchor(&mut self, base: &std::path::Path) {
        self.anchor_trust(base);
    }

    fn described(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("probe_websocket_connection_upgraded", "Whether the WebSocket was opened."),
            ("probe_websocket_status_code", "Status of the answer."),
        ]
    }

    fn probe<'a>(&'a self, attempt: &'a mut Attempt<'_>) -> Probing<'a> {
        Box::pin(async move {
            let stream = attempt.connect(self.url.host(), self.url.port()).await?;
            self.talk(&mut Wire::new(attempt, stream)).await
        })
    }
}

/// Sends a text.
pub(crate) async fn say(wire: &mut Wire<'_, '_>, text: &str) -> Result<(), Failure> {
    send(wire, TEXT, text.as_bytes()).await
}

/// Says that it is over (1000); whether that is heard changes nothing.
pub(crate) async fn say_goodbye(wire: &mut Wire<'_, '_>) {
    let _ = send(wire, CLOSE, &1000_u16.to_be_bytes()).await;
}

/// Sends a frame, masked as clients must.
async fn send(wire: &mut Wire<'_, '_>, kind: u8, body: &[u8]) -> Result<(), Failure> {
    let mut mask = [0; 4];
    wire.attempt.runtime.rng.fill(&mut mask);
    wire.send(&frame(kind, body, mask), "a message").await
}

fn frame(kind: u8, body: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = vec![0x80 | kind];
    match body.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        long @ 126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend((long as u16).to_be_bytes());
        }
        longer => {
            frame.push(0x80 | 127);
            frame.extend((longer as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(body.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// Reads messages until one matches.
async fn wait_for(wire: &mut Wire<'_, '_>, pattern: &str) -> Result<String, Failure> {
    let regex = Regex::new(pattern).map_err(|error| Failure(regex_words(&error)))?;
    let waiting_for = format!("a message that matches `{pattern}`");
    loop {
        let message = hear(wire, &waiting_for).await?;
        let text = String::from_utf8_lossy(&message);
        if regex.is_match(&text) {
            return Ok(format!("the server says `{}`", shown(&text)));
        }
    }
}

/// The next message, its parts put together.
pub(crate) async fn hear(wire: &mut Wire<'_, '_>, waiting_for: &str) -> Result<Vec<u8>, Failure> {
    let mut whole: Vec<u8> = Vec::new();
    loop {
        let head = wire.take(2, waiting_for).await?;
        let (is_last, kind) = (head[0] & 0x80 != 0, head[0] & 0xf);
        let length = match head[1] & 0x7f {
            126 => Message(&wire.take(2, waiting_for).await?).be(2),
            127 => Message(&wire.take(8, waiting_for).await?).be(8),
            short => u64::from(short),
        };
        let body = wire.take(usize::try_from(length).unwrap_or(usize::MAX), waiting_for).await?;
        match kind {
            PING => send(wire, PONG, &body).await?,
            PONG => {}
            CLOSE => {
                let mut body = Message(&body);
                let code = body.be(2);
                let words = String::from_utf8_lossy(body.0).into_owned();
                return Err(Failure(format!(
                    "the server closed the WebSocket instead of sending {waiting_for}: code {code}{}",
                    if words.is_empty() { String::new() } else { format!(", `{}`", shown(&words)) }
                )));
            }
            _ => {
                whole.extend(body);
                if whole.len() > super::wire::MESSAGE_BYTES_MAX {
                    return Err(Failure::new("the server sends a message that is too long"));
                }
                if is_last {
                    return Ok(whole);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames() {
        assert_eq!(frame(TEXT, b"hi", [1, 2, 3, 4]), [0x81, 0x82, 1, 2, 3, 4, b'h' ^ 1, b'i' ^ 2]);
        assert_eq!(frame(TEXT, &[0; 126], [0; 4])[..4], [0x81, 0xfe, 0, 126]);
        assert_eq!(frame(TEXT, &[0; 65_536], [0; 4])[..10], [0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
