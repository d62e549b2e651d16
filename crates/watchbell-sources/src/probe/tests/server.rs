//! A server that follows a script, and the certificates it shows.
//!
//! Lines of a script: `< text` says a line (`\r\n` inside is a line end, too); `<raw text` says it without a line end;
//! `> text` hears a line that begins so; `request` hears a web request; `tls KIND` makes the connection secret with a
//! certificate of that kind; `<bytes TEXT` says bytes, written as `\\x00`; `some` hears whatever comes; `drip` says everything from here on byte by byte; `flood` says a million bytes;
//! `hang` does nothing ever after; `close` closes. At the end of a script the server hears on and says nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watchbell_runtime::sim::SimNet;
use watchbell_runtime::{Clock, Stream};

use super::HOST;

/// An authority, and servers' certificates of every kind. Simulated time begins on 5 January 2026.
#[derive(Clone)]
pub(crate) struct Certificates(Arc<CertifiedIssuer<'static, KeyPair>>);

impl Certificates {
    pub(crate) fn new() -> Certificates {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        let key = KeyPair::generate().unwrap();
        Certificates(Arc::new(CertifiedIssuer::self_signed(params, key).unwrap()))
    }

    pub(crate) fn authority_pem(&self) -> String {
        self.0.pem()
    }

    fn server(&self, kind: &str) -> rustls::ServerConfig {
        let name = if kind == "other-name" { "other.example" } else { HOST };
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = date_time_ymd(2025, 12, 1);
        params.not_after = match kind {
            "good" | "other-name" | "self-signed" => date_time_ymd(2026, 4, 5),
            "expired" => date_time_ymd(2026, 1, 1),
            "five-days" => date_time_ymd(2026, 1, 10),
            other => panic!("no such certificate: {other}"),
        };
        let key = KeyPair::generate().unwrap();
        let made = if kind == "self-signed" { params.self_signed(&key) } else { params.signed_by(&key, &self.0) };
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.unwrap().der().clone()], key)
            .unwrap()
    }
}

/// A script, and what was heard by the server that follows it.
#[derive(Clone)]
pub(crate) struct Script {
    steps: Arc<Vec<String>>,
    certificates: Certificates,
    clock: Clock,
    heard: Arc<Mutex<Vec<String>>>,
    complaints: Arc<Mutex<Vec<String>>>,
}

impl Script {
    pub(crate) fn new(script: &str, certificates: Certificates, clock: Clock) -> Script {
        let steps = script.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
        Script { steps: Arc::new(steps), certificates, clock, heard: Arc::default(), complaints: Arc::default() }
    }

    /// Follows the script anew for each connection.
    pub(crate) fn serve(&self, net: &SimNet, host: &str, port: u16) {
        let script = self.clone();
        net.serve(host, port, move |stream| {
            let script = script.clone();
            async move {
                let _ = script.follow(stream).await;
            }
        });
    }

    /// All lines that were heard.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// What was not as the script says.
    pub(crate) fn complaints(&self) -> String {
        self.complaints.lock().unwrap().concat()
    }

    async fn follow(&self, mut stream: Stream) -> std::io::Result<()> {
        let mut drips = false;
        for step in self.steps.iter() {
            let (command, rest) = step.split_once(' ').unwrap_or((step, ""));
            match command {
                "<" => self.say(&mut stream, &format!("{rest}\r\n"), drips).await?,
                "<raw" => self.say(&mut stream, rest, drips).await?,
                "<lf" => self.say(&mut stream, &format!("{rest}\n"), drips).await?,
                "<bytes" => {
                    stream.write_all(&unescaped(rest)).await?;
                    stream.flush().await?;
                }
                "some" => {
                    let mut heard = vec![0; 64 << 10];
                    let count = stream.read(&mut heard).await?;
                    let heard = heard[..count].escape_ascii().to_string();
                    self.heard.lock().unwrap().push(heard);
                }
                "flood" => stream.write_all(&vec![b'x'; 1_000_000]).await?,
                "drip" => drips = true,
                "hang" => std::future::pending().await,
                "close" => return Ok(()),
                "request" => while !self.hear(&mut stream).await?.is_empty() {},
                ">" => {
                    let line = self.hear(&mut stream).await?;
                    if !line.starts_with(rest) {
                        let complaint = format!("\nthe server expected `{rest}` and heard `{line}`");
                        self.complaints.lock().unwrap().push(complaint);
                        return Ok(());
                    }
                }
                "tls" => {
                    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(self.certificates.server(rest)));
                    stream = Box::new(acceptor.accept(stream).await?);
                }
                other => panic!("no such step: {other}"),
            }
        }
        loop {
            self.hear(&mut stream).await?;
        }
    }

    async fn say(&self, stream: &mut Stream, text: &str, drips: bool) -> std::io::Result<()> {
        let text = text.replace("\\r\\n", "\r\n");
        let packet = if drips { 1 } else { text.len().max(1) };
        for bytes in text.as_bytes().chunks(packet) {
            stream.write_all(bytes).await?;
            stream.flush().await?;
            if drips {
                self.clock.sleep(Duration::from_millis(1)).await;
            }
        }
        Ok(())
    }

    async fn hear(&self, stream: &mut Stream) -> std::io::Result<String> {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            line.push(stream.read_u8().await?);
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        let line = line.strip_suffix("\r\n").unwrap_or("a line that ends in LF alone").to_owned();
        self.heard.lock().unwrap().push(line.clone());
        Ok(line)
    }
}

/// Bytes of a text with `\\x00`.
fn unescaped(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).expect("two digits"));
        bytes.extend(&part.as_bytes()[2..]);
    }
    bytes
}
