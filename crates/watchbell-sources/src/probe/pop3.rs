//! Speaks to a mailbox server as an old mail client does: greeting, `CAPA`, TLS, and a login if one is given.
//!
//! Leaves out mail: nothing is fetched or deleted.

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems};

use super::attempt::{Attempt, Failure};
use super::config::{check_host, check_port, host_and_port};
use super::dialogue::Dialogue;
use super::imap::LoginConfig;
use super::kinds::{Kind, Probing};
use super::tls::{MailTls, with_trust};

with_trust! {
    /// A mailbox server (POP3): it greets, offers what is required, speaks TLS with a good certificate, lets a user in.
    #[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Pop3Config {
        /// The host's name or address.
        pub host: String,
        /// The port: by default 995, with `tls: starttls` or `none` 110.
        #[serde(default)]
        pub port: Option<u16>,
        /// How the connection is made secret: `implicit`, `starttls` or `none`.
        #[serde(default = "Pop3Config::default_tls")]
        pub tls: MailTls,
        /// What the server must offer, such as `[UIDL, TOP]`.
        #[serde(default)]
        pub require: Vec<String>,
        /// Signs in, so that a broken user database is noticed too.
        #[serde(default)]
        pub login: Option<LoginConfig>,
    }
}

impl Pop3Config {
    fn default_tls() -> MailTls {
        MailTls::Implicit
    }

    fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls == MailTls::Implicit { 995 } else { 110 })
    }

    async fn talk(&self, dialogue: &mut Dialogue<'_, '_>) -> Result<String, Failure> {
        let trust = self.trust(&self.host);
        if self.tls == MailTls::Implicit {
            dialogue.secure(trust).await?;
        }
        let greeting = answer(dialogue, "a greeting").await?;
        if self.tls == MailTls::Starttls {
            // What is offered in clear text counts for nothing but this.
            let offers = capabilities(dialogue).await?;
            if !has(&offers, "STLS") {
                return Err(Failure::new("the server does not offer STARTTLS (`STLS`)"));
            }
            command(dialogue, "STLS", "STLS").await?;
            dialogue.secure(trust).await?;
        }
        if !self.require.is_empty() {
            let offers = capabilities(dialogue).await?;
            if let Some(missing) = self.require.iter().find(|wanted| !has(&offers, wanted)) {
                return Err(Failure(format!("the server does not offer `{missing}`")));
            }
        }
        let greeting = dialogue.shown(&greeting);
        let Some(login) = &self.login else { return Ok(greeting) };
        dialogue.hide(login.password.expose());
        command(dialogue, &format!("USER {}", login.username), "USER").await?;
        dialogue.send(&format!("PASS {}", login.password.expose())).await?;
        match reply(dialogue, "the answer to the password").await? {
            Ok(_) => Ok(format!("{greeting}; signed in as {}", login.username)),
            Err(words) => Err(Failure(format!(
                "the server refused the login of `{}`: `{}`",
                login.username,
                dialogue.shown(&words)
            ))),
        }
    }
}

impl Kind for Pop3Config {
    fn target(&self) -> String {
        host_and_port(&self.host, self.port())
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        check_host(&self.host, &path.field("host"), problems);
        check_port(self.port(), &path.field("port"), problems);
        self.check_trust(path, problems);
        match (self.tls, self.port) {
            (MailTls::Starttls, Some(995)) => problems
                .warning(&path.field("tls"), "port 995 speaks TLS from the first byte")
                .hint("it is usually probed with `tls: implicit`"),
            (MailTls::Implicit, Some(110)) => problems
                .warning(&path.field("tls"), "port 110 begins in clear text")
                .hint("it is usually probed with `tls: starttls`"),
            _ => {}
        }
        if let Some(login) = &self.login {
            login.check(self.tls == MailTls::None, self.verify, &path.field("login"), problems);
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

/// A reply's words, or those of a refusal.
async fn reply(dialogue: &mut Dialogue<'_, '_>, what: &str) -> Result<Result<String, String>, Failure> {
    let line = dialogue.line(what).await?;
    match line.split_once(' ').unwrap_or((&line, "")) {
        ("+OK", words) => Ok(Ok(words.to_owned())),
        ("-ERR", words) => Ok(Err(words.to_owned())),
        _ => Err(Failure(format!("expected {what}, but the server sent `{}`", dialogue.shown(&line)))),
    }
}

async fn answer(dialogue: &mut Dialogue<'_, '_>, what: &str) -> Result<String, Failure> {
    let words = reply(dialogue, what).await?;
    words.map_err(|words| Failure(format!("expected {what}, but the server refuses: `{}`", dialogue.shown(&words))))
}

async fn command(dialogue: &mut Dialogue<'_, '_>, line: &str, name: &str) -> Result<String, Failure> {
    dialogue.send(line).await?;
    answer(dialogue, &format!("the answer to {name}")).await
}

async fn capabilities(dialogue: &mut Dialogue<'_, '_>) -> Result<Vec<String>, Failure> {
    command(dialogue, "CAPA", "CAPA").await?;
    let mut offers = Vec::new();
    loop {
        match dialogue.line("the list of capabilities").await? {
            line if line == "." => return Ok(offers),
            line => offers.push(line),
        }
    }
}

fn has(offers: &[String], wanted: &str) -> bool {
    offers.iter().any(|have| {
        have.eq_ignore_ascii_case(wanted)
            || have.split(' ').next().is_some_and(|word| word.eq_ignore_ascii_case(wanted))
    })
}
