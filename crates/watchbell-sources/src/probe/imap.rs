//! Speaks to a mailbox server as a mail client does: greeting, `CAPABILITY`, TLS, and a login if one is given.
//!
//! Leaves out mailboxes: nothing is selected, read or marked.

use base64::Engine as _;
use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems, Secret};

use super::attempt::{Attempt, Failure};
use super::config::{check_host, check_port, host_and_port};
use super::dialogue::{Dialogue, ImapResponse};
use super::kinds::{Kind, Probing};
use super::tls::{MailTls, with_trust};

with_trust! {
    /// A mailbox server (IMAP): it greets, offers what is required, speaks TLS with a good certificate, lets a user in.
    #[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct ImapConfig {
        /// The host's name or address.
        pub host: String,
        /// The port: by default 993, with `tls: starttls` or `none` 143.
        #[serde(default)]
        pub port: Option<u16>,
        /// How the connection is made secret: `implicit`, `starttls` or `none`.
        #[serde(default = "ImapConfig::default_tls")]
        pub tls: MailTls,
        /// What the server must offer in the end, such as `[IMAP4rev1, IDLE, AUTH=PLAIN]`.
        #[serde(default)]
        pub require: Vec<String>,
        /// Signs in, so that a broken user database is noticed too.
        #[serde(default)]
        pub login: Option<LoginConfig>,
    }
}

/// Who signs in. A user of its own, without mail and rights, is best.
#[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginConfig {
    /// The user.
    pub username: String,
    /// The password, best as `${secret:name}`.
    pub password: Secret,
}

impl LoginConfig {
    pub(crate) fn check(&self, is_clear: bool, verify: bool, path: &Path, problems: &mut Problems) {
        if self.username.is_empty() || self.username.chars().any(char::is_control) {
            problems
                .error(&path.field("username"), "the user is empty or contains a control character")
                .hint("the name a mail client would sign in with");
        }
        if self.password.is_empty() || self.password.expose().chars().any(char::is_control) {
            problems
                .error(&path.field("password"), "the password is empty or contains a control character")
                .hint("a file's last line feed is a usual cause");
        }
        if is_clear {
            problems
                .warning(path, "the password is sent in clear text")
                .hint("use `tls: implicit` or `tls: starttls`, unless the server is on this very host");
        } else if !verify {
            problems
                .warning(path, "the password is sent to whoever answers, since `verify` is false")
                .hint("verify the certificate; for one of your own, give its root in `roots_file`");
        }
    }
}

impl ImapConfig {
    /// A server with every other field at its default.
    pub fn new(host: impl Into<String>) -> ImapConfig {
        ImapConfig {
            host: host.into(),
            port: None,
            tls: ImapConfig::default_tls(),
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
        MailTls::Implicit
    }

    /// The port that is probed.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls == MailTls::Implicit { 993 } else { 143 })
    }

    /// Speaks up to where a mailbox could be opened.
    pub(crate) async fn talk(&self, dialogue: &mut Dialogue<'_, '_>) -> Result<String, Failure> {
        let trust = self.trust(&self.host);
        if self.tls == MailTls::Implicit {
            dialogue.secure(trust).await?;
        }
        let greeting = greeting(dialogue).await?;
        let mut offers = capabilities(dialogue, "a").await?;
        if self.tls == MailTls::Starttls {
            if !has(&offers, "STARTTLS") {
                return Err(Failure::new("the server does not offer STARTTLS"));
            }
            command(dialogue, "b", "STARTTLS", "STARTTLS").await?;
            dialogue.secure(trust).await?;
            // What was offered in clear text counts no more (RFC 9051 §6.2.1).
            offers = capabilities(dialogue, "c").await?;
        }
        if let Some(login) = &self.login {
            sign_in(dialogue, login, &offers).await?;
            if !self.require.is_empty() {
                // Servers offer more to those they know.
                offers = capabilities(dialogue, "f").await?;
            }
        }
        for required in &self.require {
            if !has(&offers, required) {
                return Err(Failure(format!("the server does not offer `{required}`")));
            }
        }
        let greeting = dialogue.shown(without_code(&greeting));
        Ok(match &self.login {
            Some(login) => format!("{greeting}; signed in as {}", login.username),
            None => greeting,
        })
    }
}

impl Kind for ImapConfig {
    fn target(&self) -> String {
        host_and_port(&self.host, self.port())
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        check_host(&self.host, &path.field("host"), problems);
        check_port(self.port(), &path.field("port"), problems);
        self.check_trust(path, problems);
        match (self.tls, self.port) {
            (MailTls::Starttls, Some(993)) => problems
                .warning(&path.field("tls"), "port 993 speaks TLS from the first byte")
                .hint("it is usually probed with `tls: implicit`"),
            (MailTls::Implicit, Some(143)) => problems
                .warning(&path.field("tls"), "port 143 begins in clear text")
                .hint("it is usually probed with `tls: starttls`"),
            _ => {}
        }
        for (at, required) in self.require.iter().enumerate() {
            if required.is_empty() || required.contains(char::is_whitespace) {
                problems
                    .error(&path.field("require").index(at), format!("`{required}` is not one capability"))
                    .hint("one word each, such as `IDLE` or `AUTH=PLAIN`");
            }
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
            dialogue.finish("z LOGOUT", result).await
        })
    }
}

/// `OK [CAPABILITY …] ready` says `ready` to a person.
fn without_code(greeting: &str) -> &str {
    match greeting.split_once("] ") {
        Some((code, words)) if code.starts_with("OK [") && !words.is_empty() => words,
        _ => greeting,
    }
}

async fn greeting(dialogue: &mut Dialogue<'_, '_>) -> Result<String, Failure> {
    let what = "a greeting";
    let words = match dialogue.imap_response(what).await? {
        ImapResponse::Untagged(text) => text,
        ImapResponse::Continue => "+".into(),
        ImapResponse::Tagged { tag, status, text } => format!("{tag} {status} {text}"),
    };
    match words.split(' ').next().unwrap_or_default().to_ascii_uppercase().as_str() {
        "OK" | "PREAUTH" => Ok(words),
        "BYE" => Err(Failure(format!("the server turns clients away: `{}`", dialogue.shown(&words)))),
        _ => Err(Failure(format!("expected `* OK`, but the server sent `{}`", dialogue.shown(&words)))),
    }
}

async fn capabilities(dialogue: &mut Dialogue<'_, '_>, tag: &str) -> Result<Vec<String>, Failure> {
    let untagged = command(dialogue, tag, "CAPABILITY", "CAPABILITY").await?;
    let lists =
        untagged.iter().filter(|line| line.split(' ').next().is_some_and(|w| w.eq_ignore_ascii_case("CAPABILITY")));
    let words: Vec<String> = lists.flat_map(|list| list.split_whitespace().skip(1)).map(str::to_owned).collect();
    if words.is_empty() {
        return Err(Failure::new("the answer to CAPABILITY lists nothing"));
    }
    Ok(words)
}

fn has(offers: &[String], wanted: &str) -> bool {
    offers.iter().any(|have| have.eq_ignore_ascii_case(wanted))
}

/// Sends a command and reads to its end; gives the untagged responses before it. `name` stands for it in messages.
pub(crate) async fn command(
    dialogue: &mut Dialogue<'_, '_>,
    tag: &str,
    line: &str,
    name: &str,
) -> Result<Vec<String>, Failure> {
    dialogue.send(&format!("{tag} {line}")).await?;
    let mut untagged = Vec::new();
    match answer(dialogue, tag, name, &mut untagged).await? {
        Answer::Done => Ok(untagged),
        Answer::Refused(words) => Err(Failure(format!("the server refused {name}: `{}`", dialogue.shown(&words)))),
        Answer::GoOn => Err(Failure(format!("the server wants more of {name} than there is"))),
    }
}

enum Answer {
    Done,
    Refused(String),
    GoOn,
}

/// Reads to the end of a command, or to where the server wants more of it.
async fn answer(
    dialogue: &mut Dialogue<'_, '_>,
    tag: &str,
    name: &str,
    untagged: &mut Vec<String>,
) -> Result<Answer, Failure> {
    let what = format!("the answer to {name}");
    loop {
        match dialogue.imap_response(&what).await? {
            ImapResponse::Untagged(text) => {
                if text.split(' ').next().is_some_and(|word| word.eq_ignore_ascii_case("BYE")) {
                    return Err(Failure(format!(
                        "the server ended the connection instead of sending {what}: `{}`",
                        dialogue.shown(&text)
                    )));
                }
                untagged.push(text);
            }
            ImapResponse::Continue => return Ok(Answer::GoOn),
            ImapResponse::Tagged { tag: have, status, text } if have == tag => {
                return Ok(if status == "OK" { Answer::Done } else { Answer::Refused(format!("{status} {text}")) });
            }
            ImapResponse::Tagged { tag: have, status, text } => {
                let line = format!("{have} {status} {text}");
                return Err(Failure(format!(
                    "expected {what}, but the server sent `{}`",
                    dialogue.shown(line.trim_end())
                )));
            }
        }
    }
}

async fn sign_in(dialogue: &mut Dialogue<'_, '_>, login: &LoginConfig, offers: &[String]) -> Result<(), Failure> {
    let (user, password) = (login.username.as_str(), login.password.expose());
    let plain = base64::engine::general_purpose::STANDARD.encode(format!("\0{user}\0{password}"));
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    dialogue.hide(&plain);
    dialogue.hide(&quoted(password));
    dialogue.hide(password);
    let name = "the login";
    let mut untagged = Vec::new();
    let answered = if has(offers, "AUTH=PLAIN") {
        let at_once = has(offers, "SASL-IR");
        let line = if at_once { format!("d AUTHENTICATE PLAIN {plain}") } else { "d AUTHENTICATE PLAIN".to_owned() };
        dialogue.send(&line).await?;
        match answer(dialogue, "d", name, &mut untagged).await? {
            Answer::GoOn if !at_once => {
                dialogue.send(&plain).await?;
                answer(dialogue, "d", name, &mut untagged).await?
            }
            answered => answered,
        }
    } else if has(offers, "LOGINDISABLED") {
        return Err(Failure::new("the server offers no login by password here (LOGINDISABLED)"));
    } else if !user.is_ascii() || !password.is_ascii() {
        return Err(Failure::new(
            "the server offers no AUTH=PLAIN, without which only ASCII can be sent as a password",
        ));
    } else {
        dialogue.send(&format!("d LOGIN {} {}", quoted(user), quoted(password))).await?;
        answer(dialogue, "d", name, &mut untagged).await?
    };
    match answered {
        Answer::Done => Ok(()),
        Answer::Refused(words) => {
            Err(Failure(format!("the server refused the login of `{user}`: `{}`", dialogue.shown(&words))))
        }
        Answer::GoOn => Err(Failure::new("the server wants more of the login than there is")),
    }
}
