//! Mail servers that speak just enough SMTP and IMAP to be probed.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watchbell_runtime::Stream;

use crate::certificate::tls;

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// SMTP, with STARTTLS if there is a certificate.
    Smtp,
    /// SMTP inside TLS.
    Smtps,
    /// IMAP, with STARTTLS if there is a certificate.
    Imap,
    /// IMAP inside TLS.
    Imaps,
}

/// A mail server. Clones share its certificate.
#[derive(Clone)]
pub struct MailServer {
    protocol: Protocol,
    certificate: Arc<Mutex<Option<Arc<rustls::ServerConfig>>>>,
}

const LINE_MAX: usize = 8 << 10;

impl MailServer {
    /// A server with this certificate, or without TLS.
    pub fn new(protocol: Protocol, certificate: Option<Arc<rustls::ServerConfig>>) -> MailServer {
        MailServer { protocol, certificate: Arc::new(Mutex::new(certificate)) }
    }

    /// From now on it shows another certificate.
    pub fn set_certificate(&self, certificate: Arc<rustls::ServerConfig>) {
        *self.certificate.lock().expect("no panic while held") = Some(certificate);
    }

    /// Talks to one client until it leaves.
    pub async fn serve(&self, stream: Stream) {
        let certificate = self.certificate.lock().expect("no panic while held").clone();
        let (mut stream, mut starttls) = match self.protocol {
            Protocol::Smtp | Protocol::Imap => (stream, certificate.clone()),
            Protocol::Smtps | Protocol::Imaps => {
                let Some(certificate) = &certificate else { return };
                match tls(certificate, stream).await {
                    Some(stream) => (stream, None),
                    None => return,
                }
            }
        };
        let smtp = matches!(self.protocol, Protocol::Smtp | Protocol::Smtps);
        let greeting = if smtp { "220 sim ESMTP\r\n" } else { "* OK [CAPABILITY IMAP4rev1] sim ready\r\n" };
        if stream.write_all(greeting.as_bytes()).await.is_err() {
            return;
        }
        while let Some(line) = read_line(&mut stream).await {
            let (reply, upgrade) =
                if smtp { smtp_reply(&line, starttls.is_some()) } else { imap_reply(&line, starttls.is_some()) };
            if stream.write_all(reply.as_bytes()).await.is_err() {
                return;
            }
            if upgrade && let Some(certificate) = starttls.take() {
                match tls(&certificate, stream).await {
                    Some(secure) => stream = secure,
                    None => return,
                }
            }
        }
    }
}

fn smtp_reply(line: &str, starttls: bool) -> (String, bool) {
    let verb = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
    match verb.as_str() {
        "EHLO" if starttls => ("250-sim\r\n250-SIZE 1000000\r\n250 STARTTLS\r\n".into(), false),
        "EHLO" => ("250-sim\r\n250-SIZE 1000000\r\n250 AUTH PLAIN\r\n".into(), false),
        "STARTTLS" if starttls => ("220 go ahead\r\n".into(), true),
        "NOOP" | "RSET" | "HELO" => ("250 ok\r\n".into(), false),
        "QUIT" => ("221 bye\r\n".into(), false),
        _ => ("502 not here\r\n".into(), false),
    }
}

fn imap_reply(line: &str, starttls: bool) -> (String, bool) {
    let mut words = line.split(' ');
    let (tag, verb) = (words.next().unwrap_or("*"), words.next().unwrap_or_default().to_ascii_uppercase());
    match verb.as_str() {
        "CAPABILITY" => {
            let more = if starttls { " STARTTLS" } else { "" };
            (format!("* CAPABILITY IMAP4rev1{more} AUTH=PLAIN\r\n{tag} OK done\r\n"), false)
        }
        "STARTTLS" if starttls => (format!("{tag} OK begin\r\n"), true),
        "LOGIN" if line.contains("secret") => (format!("{tag} OK in\r\n"), false),
        "LOGIN" => (format!("{tag} NO [AUTHENTICATIONFAILED] no\r\n"), false),
        "LOGOUT" => (format!("* BYE\r\n{tag} OK\r\n"), false),
        _ => (format!("{tag} OK\r\n"), false),
    }
}

async fn read_line(stream: &mut Stream) -> Option<String> {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await.ok()? {
            b'\n' => break,
            _ if line.len() > LINE_MAX => return None,
            byte => line.push(byte),
        }
    }
    Some(String::from_utf8_lossy(&line).trim_end().to_owned())
}
