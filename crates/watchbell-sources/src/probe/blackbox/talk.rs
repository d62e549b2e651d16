//! `prober: tcp` and `prober: unix`: connects, and talks line by line if there is anything to say.

use std::io::ErrorKind;

use regex::bytes::Captures;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watchbell_model::TlsConfig;
use watchbell_runtime::Stream;

use super::super::attempt::Failure;
use super::config::QueryResponse;
use super::{Probe, host_and_port_of};

/// The longest line, as Go's scanner has it.
const LINE_BYTES_MAX: usize = 64 << 10;

pub(super) async fn probe_tcp(it: &mut Probe<'_, '_>) -> Result<(), Failure> {
    let module = it.module;
    let tcp = &module.config.tcp;
    let target = &it.question.target;
    let Some((host, port)) = host_and_port_of(target) else {
        return Err(Failure(format!("`{target}` is not a host with a port, such as `mail.example.org:25`")));
    };
    let address = it.choose(&tcp.preferred_ip_protocol, tcp.ip_protocol_fallback, host).await?;
    it.record.debug("Dialing TCP", &[("tls", if tcp.tls { "true" } else { "false" })]);
    let stream = it.attempt.connect(&address.to_string(), port).await?;
    let name = if it.question.hostname.is_empty() { host } else { &it.question.hostname };
    let name = name.to_owned();
    Talk { lines: Lines::new(stream), tls: &tcp.tls_config, name }.run(it, tcp.tls, &tcp.query_response).await
}

pub(super) async fn probe_unix(it: &mut Probe<'_, '_>) -> Result<(), Failure> {
    let module = it.module;
    let unix = &module.config.unix;
    let path = std::path::PathBuf::from(&it.question.target);
    it.record.debug("Dialing unix", &[("tls", if unix.tls { "true" } else { "false" })]);
    let connecting = it.attempt.runtime.net.connect_unix(&path);
    let stream = it.attempt.within("a connection to the socket", connecting).await?;
    let stream = stream.map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => {
            Failure(format!("permission denied connecting to unix socket {}", path.display()))
        }
        _ => Failure(format!("the socket {} cannot be connected to: {error}", path.display())),
    })?;
    let lines = Lines::new(stream);
    Talk { lines, tls: &unix.tls_config, name: String::new() }.run(it, unix.tls, &unix.query_response).await
}

/// A talk under way.
struct Talk<'a> {
    lines: Lines,
    tls: &'a TlsConfig,
    /// The name that a certificate must have where the configuration gives none.
    name: String,
}

impl Talk<'_> {
    async fn run(mut self, it: &mut Probe<'_, '_>, secure: bool, steps: &[QueryResponse]) -> Result<(), Failure> {
        if secure {
            self.secure(it).await?;
        }
        it.record.debug("Successfully dialed", &[]);
        it.record.zero(&["probe_failed_due_to_regex", "probe_failed_due_to_bytes"]);
        for (at, step) in steps.iter().enumerate() {
            it.record.debug("Processing query response entry", &[("entry_number", &at.to_string())]);
            self.step(it, step).await?;
        }
        Ok(())
    }

    async fn step(&mut self, it: &mut Probe<'_, '_>, step: &QueryResponse) -> Result<(), Failure> {
        let mut send = step.send.expose().as_bytes().to_vec();
        if let Some(expect) = &step.expect {
            let regex = expect.regex().map_err(Failure::new)?;
            loop {
                let Some(line) = self.lines.line(it, expect.as_str()).await? else {
                    it.record.set("probe_failed_due_to_regex", 1.0);
                    return Err(Failure(format!("Regexp did not match: no line matched `{}`", expect.as_str())));
                };
                it.record.debug("Read line", &[("line", &String::from_utf8_lossy(&line))]);
                if let Some(captures) = regex.captures(&line) {
                    it.record.debug("Regexp matched", &[("regexp", expect.as_str())]);
                    it.record.set("probe_failed_due_to_regex", 0.0);
                    send = expanded(&captures, &send);
                    tell_labels(it, step, &captures);
                    break;
                }
            }
        }
        if !step.expect_bytes.is_empty() {
            let wanted = step.expect_bytes.as_bytes();
            let got = self.lines.bytes(it, wanted.len()).await?;
            if got != wanted {
                it.record.set("probe_failed_due_to_bytes", 1.0);
                return Err(Failure(format!("Bytes did not match: expected {wanted:?}, got {got:?}")));
            }
            it.record.set("probe_failed_due_to_bytes", 0.0);
        }
        if !send.is_empty() {
            it.record.debug("Sending line", &[("bytes", &send.len().to_string())]);
            send.push(b'\n');
            let stream = &mut self.lines.stream;
            let sent = it.attempt.within("the server to take a line", async {
                stream.write_all(&send).await?;
                stream.flush().await
            });
            sent.await?.map_err(|error| Failure(format!("Failed to send: {error}")))?;
        }
        if step.starttls {
            self.secure(it).await?;
            it.record.debug("TLS Handshake (client) succeeded.", &[]);
        }
        Ok(())
    }

    async fn secure(&mut self, it: &mut Probe<'_, '_>) -> Result<(), Failure> {
        let stream = std::mem::replace(&mut self.lines.stream, Box::new(tokio::io::empty()));
        let (stream, report) = it.secure(stream, self.tls, &self.name).await?;
        // What came before in clear text is no part of what is said now.
        self.lines = Lines::new(stream);
        it.record.saw_tls(&report, false, true);
        Ok(())
    }
}

/// A text with `${1}` and the like replaced by the groups of a match.
fn expanded(captures: &Captures<'_>, text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    captures.expand(text, &mut out);
    out
}

fn tell_labels(it: &mut Probe<'_, '_>, step: &QueryResponse, captures: &Captures<'_>) {
    if step.labels.is_empty() {
        return;
    }
    let labels: Vec<(&str, String)> = step
        .labels
        .iter()
        .map(|label| {
            let value = expanded(captures, label.value.as_bytes());
            (label.name.as_str(), String::from_utf8_lossy(&value).into_owned())
        })
        .collect();
    let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
    it.record.set_with("probe_expect_info", &labels, 1.0);
}

/// What a server says, by lines.
struct Lines {
    stream: Stream,
    buffer: Vec<u8>,
    ended: bool,
}

impl Lines {
    fn new(stream: Stream) -> Lines {
        Lines { stream, buffer: Vec::new(), ended: false }
    }

    /// The next line without its end; `None` at the end of all.
    async fn line(&mut self, it: &mut Probe<'_, '_>, expect: &str) -> Result<Option<Vec<u8>>, Failure> {
        let mut searched = 0;
        loop {
            let end = self.buffer[searched..].iter().position(|byte| *byte == b'\n').map(|at| searched + at);
            if let Some(end) = end {
                let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(Some(line));
            }
            if self.ended {
                let rest = std::mem::take(&mut self.buffer);
                return Ok(Some(rest).filter(|rest| !rest.is_empty()));
            }
            if self.buffer.len() >= LINE_BYTES_MAX {
                return Err(Failure(format!("a line is longer than {LINE_BYTES_MAX} bytes")));
            }
            searched = self.buffer.len();
            self.more(it, &format!("a line that matches `{expect}`")).await?;
        }
    }

    async fn bytes(&mut self, it: &mut Probe<'_, '_>, count: usize) -> Result<Vec<u8>, Failure> {
        while self.buffer.len() < count {
            if self.ended {
                return Err(Failure(format!("Read less data than expected: {} of {count} bytes", self.buffer.len())));
            }
            self.more(it, &format!("{count} bytes")).await?;
        }
        Ok(self.buffer.drain(..count).collect())
    }

    async fn more(&mut self, it: &mut Probe<'_, '_>, waiting_for: &str) -> Result<(), Failure> {
        let mut chunk = [0; 4096];
        match it.attempt.within(waiting_for, self.stream.read(&mut chunk)).await? {
            Ok(0) => self.ended = true,
            Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
            // TLS that ends without saying so.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => self.ended = true,
            Err(error) => return Err(Failure(format!("Error reading from connection: {error}"))),
        }
        Ok(())
    }
}
