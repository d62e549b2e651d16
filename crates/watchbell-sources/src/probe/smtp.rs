//! Speaks to a mail server as another mail server or a mail client does: greeting, `EHLO`, TLS, `EHLO` again.
//!
//! Leaves out mail itself: nothing is sent. See [`super::mail_roundtrip`] for that.

use base64::Engine as _;
use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems};

use super::attempt::{Attempt, Failure};
use super::config::{check_host, check_port, host_and_port};
use super::dialogue::{Dialogue, SmtpReply};
use super::http::{check_regex, regex_words};
use super::imap::LoginConfig;
use super::kinds::{Kind, Probing};
use super::tls::{MailTls, with_trust};

with_trust! {
    /// A mail server (SMTP): it greets, answers `EHLO`, offers what is required and speaks TLS with a good certificate.
    #[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct SmtpConfig {
        /// The host's name or address.
        pub host: String,
        /// The port: by default 25, of `submission` 587, with `tls: implicit` 465.
        #[serde(default)]
        pub port: Option<u16>,
        /// How the connection is made secret: `starttls`, `implicit` or `none`.
        #[serde(default = "SmtpConfig::default_tls")]
        pub tls: MailTls,
        /// The name it introduces itself by in `EHLO`. Some servers refuse made-up names: then give a real one.
        #[serde(default = "SmtpConfig::default_hello")]
        pub hello: String,
        /// A regular expression that must match somewhere in the greeting, such as `ESMTP Postfix`.
        #[serde(default)]
        pub banner: Option<String>,
        /// What the answer to the last `EHLO` must offer, such as `[AUTH PLAIN, SIZE]`: a keyword, and parameters it must
        /// have.
        #[serde(default)]
        pub require: Vec<String>,
        /// Signs in, as a mail client that submits mail does.
        #[serde(default)]
        pub login: Option<LoginConfig>,
    }
}

impl SmtpConfig {
    /// A server with every other field at its default.
    pub fn new(host: impl Into<String>) -> SmtpConfig {
        SmtpConfig {
            host: host.into(),
            port: None,
            tls: SmtpConfig::default_tls(),
            hello: SmtpConfig::default_hello(),
            banner: None,
            require: Vec::new(),
            login: None,
            server_name: None,
            verify: true,
            roots_file: None,
            cert_file: None,
            key_file: None,
        }
    }

    fn default_tls() -> MailTls {
        MailTls::Starttls
    }

    fn default_hello() -> String {
        "watchbell.invalid".into()
    }

    /// The port that is probed.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls == MailTls::Implicit { 465 } else { 25 })
    }

    /// Speaks up to where mail could be submitted.
    pub(crate) async fn talk(&self, dialogue: &mut Dialogue<'_, '_>) -> Result<String, Failure> {
        let trust = self.trust(&self.host);
        if self.tls == MailTls::Implicit {
            dialogue.secure(trust).await?;
        }
        let banner = expect(dialogue.smtp_reply("a greeting").await?, 220, "a greeting with code 220")?;
        if let Some(pattern) = &self.banner {
            let regex = Regex::new(pattern).map_err(|error| Failure(regex_words(&error)))?;
            if !banner.lines.iter().any(|line| regex.is_match(line)) {
                return Err(Failure(format!(
                    "expected a greeting that matches `{pattern}`, but it is `{}`",
                    dialogue.shown(&banner.text())
                )));
            }
        }
        let mut offers = self.hello(dialogue).await?;
        if self.tls == MailTls::Starttls {
            if !offers_all(&offers.lines, "STARTTLS") {
                return Err(Failure::new("the server does not offer STARTTLS"));
            }
            dialogue.send("STARTTLS").await?;
            expect(dialogue.smtp_reply("the answer to STARTTLS").await?, 220, "220 to STARTTLS")?;
            dialogue.secure(trust).await?;
            offers = self.hello(dialogue).await?;
        }
        for required in &self.require {
            if !offers_all(&offers.lines, required) {
                return Err(Failure(format!("the server does not offer `{required}`")));
            }
        }
        let banner = dialogue.shown(&banner.text());
        let Some(login) = &self.login else { return Ok(banner) };
        sign_in(dialogue, login, &offers.lines).await?;
        Ok(format!("{banner}; signed in as {}", login.username))
    }

    async fn hello(&self, dialogue: &mut Dialogue<'_, '_>) -> Result<SmtpReply, Failure> {
        // An address introduces itself in brackets (RFC 5321 §4.1.3).
        let name = match self.hello.parse() {
            Ok(std::net::IpAddr::V4(address)) => format!("[{address}]"),
            Ok(std::net::IpAddr::V6(address)) => format!("[IPv6:{address}]"),
            Err(_) => self.hello.clone(),
        };
        dialogue.send(&format!("EHLO {name}")).await?;
        expect(dialogue.smtp_reply("the answer to EHLO").await?, 250, "250 to EHLO")
    }
}

impl Kind for SmtpConfig {
    fn target(&self) -> String {
        host_and_port(&self.host, self.port())
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        check_host(&self.host, &path.field("host"), problems);
        check_port(self.port(), &path.field("port"), problems);
        check_host(&self.hello, &path.field("hello"), problems);
        self.check_trust(path, problems);
        match (self.tls, self.port) {
            (MailTls::Starttls, Some(465)) => problems
                .warning(&path.field("tls"), "port 465 speaks TLS from the first byte")
                .hint("it is usually probed with `tls: implicit`"),
            (MailTls::Implicit, Some(port @ (25 | 587))) => problems
                .warning(&path.field("tls"), format!("port {port} begins in clear text"))
                .hint("it is usually probed with `tls: starttls`"),
            _ => {}
        }
        if let Some(login) = &self.login {
            login.check(self.tls == MailTls::None, self.verify, &path.field("login"), problems);
        }
        if let Some(pattern) = &self.banner {
            check_regex(pattern, &path.field("banner"), problems);
        }
        for (at, required) in self.require.iter().enumerate() {
            if required.split_whitespace().next().is_none() {
                problems.error(&path.field("require").index(at), "it is empty").hint("a keyword such as `AUTH PLAIN`");
            }
        }
    }

    fn anchor(&mut self, base: &std::path::Path) {
        self.anchor_trust(base);
    }

    fn probe<'a>(&'a self, attempt: &'a mut Attempt<'_>) -> Probing<'a> {
        Box::pin(async move {
            let stream = attempt.connect(&self.host, self.port()).await?;
            let mut dialogue = Dialogue::new(attempt, stream);
            let result = self.talk(&mut dialogue).await;
            dialogue.finish("QUIT", result).await
        })
    }
}

async fn sign_in(dialogue: &mut Dialogue<'_, '_>, login: &LoginConfig, offers: &[String]) -> Result<(), Failure> {
    let (user, password) = (login.username.as_str(), login.password.expose());
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let plain = encode(&format!("\0{user}\0{password}"));
    for secret in [plain.as_str(), &encode(password), password] {
        dialogue.hide(secret);
    }
    let mut reply;
    if offers_all(offers, "AUTH PLAIN") {
        dialogue.send(&format!("AUTH PLAIN {plain}")).await?;
        reply = dialogue.smtp_reply("the answer to AUTH").await?;
    } else if offers_all(offers, "AUTH LOGIN") {
        dialogue.send("AUTH LOGIN").await?;
        reply = dialogue.smtp_reply("the answer to AUTH").await?;
        for word in [encode(user), encode(password)] {
            if reply.code == 334 {
                dialogue.send(&word).await?;
                reply = dialogue.smtp_reply("the answer to AUTH").await?;
            }
        }
    } else {
        return Err(Failure::new("the server offers no login by password here (`AUTH PLAIN` or `AUTH LOGIN`)"));
    }
    match reply.code {
        235 => Ok(()),
        _ => Err(Failure(format!("the server refused the login of `{user}`: `{}`", dialogue.shown(&reply.text())))),
    }
}

/// Sends a command and wants a reply with this code.
pub(crate) async fn command(
    dialogue: &mut Dialogue<'_, '_>,
    line: &str,
    code: u16,
    name: &str,
) -> Result<SmtpReply, Failure> {
    dialogue.send(line).await?;
    expect(dialogue.smtp_reply(&format!("the answer to {name}")).await?, code, &format!("{code} to {name}"))
}

pub(crate) fn expect(reply: SmtpReply, code: u16, what: &str) -> Result<SmtpReply, Failure> {
    if reply.code == code {
        return Ok(reply);
    }
    Err(Failure(format!("expected {what}, but the server answered `{}`", super::dialogue::shown(&reply.text()))))
}

/// Whether a line of an `EHLO` answer has the keyword and every parameter of `required`.
fn offers_all(lines: &[String], required: &str) -> bool {
    let mut required = required.split_whitespace();
    let Some(keyword) = required.next() else { return true };
    let required: Vec<&str> = required.collect();
    lines.iter().any(|line| {
        // Servers of long ago write `AUTH=LOGIN`.
        let mut words = line.split(|c: char| c.is_whitespace() || c == '=').filter(|word| !word.is_empty());
        let is_it = words.next().is_some_and(|have| have.eq_ignore_ascii_case(keyword));
        let parameters: Vec<&str> = words.collect();
        is_it && required.iter().all(|want| parameters.iter().any(|have| have.eq_ignore_ascii_case(want)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_ehlo_answer_offers() {
        let lines: Vec<String> = ["mail.example.org", "SIZE 52428800", "auth PLAIN LOGIN", "AUTH=CRAM-MD5", "STARTTLS"]
            .map(String::from)
            .into();
        for yes in ["STARTTLS", "starttls", "SIZE", "AUTH PLAIN", "AUTH LOGIN PLAIN", "AUTH CRAM-MD5"] {
            assert!(offers_all(&lines, yes), "{yes}");
        }
        for no in ["START", "SIZE 1", "AUTH XOAUTH2", "PLAIN", "CHUNKING"] {
            assert!(!offers_all(&lines, no), "{no}");
        }
    }
}
