//! Speaks to a PostgreSQL server as its clients do: TLS, start, login, a query.

use base64::Engine as _;
use md5::{Digest, Md5};
use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems, Secret};

use super::attempt::{Attempt, Failure};
use super::config::{check_host, check_port, host_and_port};
use super::dialogue::shown;
use super::kinds::{Kind, Probing};
use super::scram::Scram;
use super::tls::with_trust;
use super::value::{QUERY_DESCRIBED, QueryConfig};
use super::wire::{Message, Wire};

const SSL_REQUEST: u32 = 80_877_103;
const PROTOCOL_3: u32 = 196_608;

with_trust! {
    /// A PostgreSQL server, or one that speaks as it does (PgBouncer): it answers, lets a user in, answers a query.
    #[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct PostgresqlConfig {
        /// The host's name or address.
        pub host: String,
        /// The port.
        #[serde(default = "PostgresqlConfig::default_port")]
        pub port: u16,
        /// Whether the server must speak TLS.
        #[serde(default)]
        pub tls: bool,
        /// Who signs in. Without a user the server is only asked whether it speaks TLS.
        #[serde(default)]
        pub user: Option<String>,
        /// The password, best as `${secret:name}`.
        #[serde(default)]
        pub password: Option<Secret>,
        /// The database; by default the one called as the user.
        #[serde(default)]
        pub database: Option<String>,
        /// What to ask it.
        #[serde(default)]
        pub query: Option<QueryConfig>,
    }
}

impl PostgresqlConfig {
    fn default_port() -> u16 {
        5432
    }

    async fn talk(&self, wire: &mut Wire<'_, '_>) -> Result<String, Failure> {
        let mut words = "the server answers".to_owned();
        if self.tls || self.user.is_none() {
            wire.send(&[8_u32.to_be_bytes(), SSL_REQUEST.to_be_bytes()].concat(), "the question for TLS").await?;
            let offered = match wire.byte("an answer to the question for TLS").await? {
                b'S' => true,
                b'N' => false,
                _ => return Err(Failure::new("what listens there does not speak as PostgreSQL does")),
            };
            match (self.tls, offered) {
                (true, true) => wire.secure(self.trust(&self.host)).await?,
                (true, false) => return Err(Failure::new("the server does not offer TLS")),
                (false, offered) => words.push_str(if offered { " and offers TLS" } else { ", without TLS" }),
            }
        }
        let Some(user) = &self.user else { return Ok(words) };
        let version = self.sign_in(wire, user).await?;
        words = format!("PostgreSQL {version}; signed in as {user}");
        if let Some(query) = &self.query {
            let value = ask(wire, &query.sql).await?;
            QueryConfig::saw(wire.attempt, value.as_deref());
            words = format!("{words}; {}", query.judge(value.as_deref())?);
        }
        let _ = wire.send(&message(b'X', b""), "goodbye").await;
        Ok(words)
    }

    /// Signs in and waits until the server is ready; gives its version.
    async fn sign_in(&self, wire: &mut Wire<'_, '_>, user: &str) -> Result<String, Failure> {
        let database = self.database.as_deref().unwrap_or(user);
        let mut start = PROTOCOL_3.to_be_bytes().to_vec();
        for word in ["user", user, "database", database, "application_name", "watchbell"] {
            start.extend(word.bytes().chain([0]));
        }
        start.push(0);
        let length = (start.len() as u32 + 4).to_be_bytes();
        wire.send(&[&length[..], &start].concat(), "the start message").await?;
        let mut version = String::new();
        let mut scram: Option<Scram> = None;
        loop {
            let (kind, body) = receive(wire, "the answer to the login").await?;
            let mut body = Message(&body);
            match kind {
                b'R' => {
                    if let Some(answer) = self.answer(wire, user, &mut body, &mut scram)? {
                        wire.send(&message(b'p', &answer), "the answer to the login").await?;
                    }
                }
                b'S' => {
                    if body.text() == "server_version" {
                        version = shown(&body.text());
                    }
                }
                b'Z' => return Ok(version),
                // Keys for cancelling, notices, versions of the protocol.
                b'K' | b'N' | b'v' => {}
                _ => return Err(Failure::new("what listens there does not speak as PostgreSQL does")),
            }
        }
    }

    /// What is said to a step of the login; nothing at its end.
    fn answer(
        &self,
        wire: &Wire<'_, '_>,
        user: &str,
        body: &mut Message<'_>,
        scram: &mut Option<Scram>,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let password = || match &self.password {
            Some(password) => Ok(password.expose()),
            None => Err(Failure::new("the server wants a password: give `password`")),
        };
        let kind = body.be(4);
        match kind {
            0 => Ok(None),
            3 if !self.tls => Err(Failure::new(
                "the server wants the password in clear text, and the connection is not secret: set `tls: true`",
            )),
            3 => Ok(Some([password()?.as_bytes(), b"\0"].concat())),
            5 => {
                let hashed = hex(&Md5::digest(format!("{}{user}", password()?)));
                let salted = hex(&Md5::digest([hashed.as_bytes(), body.take(4)].concat()));
                Ok(Some(format!("md5{salted}\0").into_bytes()))
            }
            10 => {
                let offered: Vec<String> =
                    std::iter::from_fn(|| Some(body.text()).filter(|name| !name.is_empty())).collect();
                if !offered.iter().any(|name| name == "SCRAM-SHA-256") {
                    return Err(Failure(format!("no way to sign in is known among {}", shown(&offered.join(", ")))));
                }
                let mut nonce = [0; 18];
                wire.attempt.runtime.rng.fill(&mut nonce);
                let nonce = base64::engine::general_purpose::STANDARD.encode(nonce);
                // The server takes the user from the start message.
                let begun = scram.insert(Scram::new("", password()?, nonce));
                let first = begun.first();
                let length = (first.len() as u32).to_be_bytes();
                Ok(Some([b"SCRAM-SHA-256\0", &length[..], first.as_bytes()].concat()))
            }
            11 => {
                let server_first = String::from_utf8_lossy(body.0).into_owned();
                let begun =
                    scram.as_mut().ok_or_else(|| Failure::new("the server goes on with a login that was not begun"))?;
                let second = begun.second(&server_first);
                let second =
                    second.map_err(|why| Failure(format!("the server's part of the login is wrong: {why}")))?;
                Ok(Some(second.into_bytes()))
            }
            12 if scram.as_ref().is_some_and(|it| it.is_proven(&String::from_utf8_lossy(body.0))) => Ok(None),
            12 => Err(Failure::new("the server does not know the password itself: it is not the one it says it is")),
            other => Err(Failure(format!("the server wants a login of a kind that is not known ({other})"))),
        }
    }
}

impl Kind for PostgresqlConfig {
    fn target(&self) -> String {
        host_and_port(&self.host, self.port)
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        check_host(&self.host, &path.field("host"), problems);
        check_port(self.port, &path.field("port"), problems);
        self.check_trust(path, problems);
        check_user(self.user.as_deref(), self.password.is_some(), self.database.is_some(), path, problems);
        if let Some(query) = &self.query {
            query.check(self.user.is_some(), &path.field("query"), problems);
        }
    }

    fn anchor(&mut self, base: &std::path::Path) {
        self.anchor_trust(base);
    }

    fn described(&self) -> &'static [(&'static str, &'static str)] {
        QUERY_DESCRIBED
    }

    fn probe<'a>(&'a self, attempt: &'a mut Attempt<'_>) -> Probing<'a> {
        Box::pin(async move {
            let stream = attempt.connect(&self.host, self.port).await?;
            self.talk(&mut Wire::new(attempt, stream)).await
        })
    }
}

/// What signs in at a database.
pub(crate) fn check_user(
    user: Option<&str>,
    has_password: bool,
    has_database: bool,
    path: &Path,
    problems: &mut Problems,
) {
    match user {
        Some(user) if user.is_empty() || user.contains('\0') => {
            problems.error(&path.field("user"), "it is not a user's name").hint("leave it out, or name a user");
        }
        None if has_password || has_database => {
            problems
                .error(path, "there is a `password` or a `database` without a `user`")
                .hint("give `user`, or leave out both");
        }
        _ => {}
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32 + 4).to_be_bytes();
    [&[kind], &length[..], body].concat()
}

/// The next message; a refusal is a failure.
async fn receive(wire: &mut Wire<'_, '_>, waiting_for: &str) -> Result<(u8, Vec<u8>), Failure> {
    let head = wire.take(5, waiting_for).await?;
    let mut length = Message(&head[1..]);
    let length = (length.be(4) as usize).saturating_sub(4);
    let body = wire.take(length, waiting_for).await?;
    if head[0] == b'E' { Err(Failure(refusal(&body))) } else { Ok((head[0], body)) }
}

/// What a refusal says, with a word on what it means where PostgreSQL's own are not enough.
fn refusal(body: &[u8]) -> String {
    let (mut code, mut words) = (String::new(), String::new());
    let mut body = Message(body);
    loop {
        match body.byte() {
            0 => break,
            b'C' => code = body.text(),
            b'M' => words = shown(&body.text()),
            _ => drop(body.text()),
        }
    }
    let meaning = match code.as_str() {
        "53300" => "the server has no connection to spare",
        "57P03" => "the server does not take users now",
        "57P01" | "57P02" => "the server is being stopped",
        "57014" => "the query was canceled",
        "28P01" | "28000" => "the server refused the login",
        "3D000" => "there is no such database",
        _ => "the server refuses",
    };
    format!("{meaning}: `{words}` ({code})")
}

/// The first column of the first row; `None` where there is none, or it is NULL.
async fn ask(wire: &mut Wire<'_, '_>, sql: &str) -> Result<Option<String>, Failure> {
    wire.send(&message(b'Q', &[sql.as_bytes(), b"\0"].concat()), "the query").await?;
    let mut first: Option<Option<String>> = None;
    loop {
        match receive(wire, "the answer to the query").await? {
            (b'D', body) => {
                first.get_or_insert_with(|| {
                    let mut body = Message(&body);
                    let columns = body.be(2);
                    let length = body.be(4);
                    (columns > 0 && length != u64::from(u32::MAX))
                        .then(|| String::from_utf8_lossy(body.take(length as usize)).into_owned())
                });
            }
            (b'Z', _) => return Ok(first.flatten()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_in_words() {
        let body = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user \"joe\"\0Fauth.c\0\0";
        assert_eq!(
            refusal(body),
            "the server refused the login: `password authentication failed for user \"joe\"` (28P01)"
        );
        assert_eq!(refusal(b""), "the server refuses: `` ()");
    }
}
