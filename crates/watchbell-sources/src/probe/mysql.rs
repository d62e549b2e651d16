//! Speaks to a MySQL or MariaDB server as its clients do: greeting, TLS, login, ping, a query.
//!
//! Without a user it signs in as nobody known and takes the refusal as a sign of life: a client that leaves before the
//! login is counted as an error by the server, which shuts out a host with too many of them (`max_connect_errors`).

use ring::digest;
use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems, Secret};

use super::attempt::{Attempt, Failure};
use super::config::{check_host, check_port, host_and_port};
use super::dialogue::shown;
use super::kinds::{Kind, Probing};
use super::postgresql::check_user;
use super::tls::with_trust;
use super::value::{QUERY_DESCRIBED, QueryConfig};
use super::wire::{Message, Wire};

const CLIENT_CONNECT_WITH_DB: u32 = 1 << 3;
const CLIENT_PROTOCOL_41: u32 = 1 << 9;
const CLIENT_SSL: u32 = 1 << 11;
const CLIENT_SECURE_CONNECTION: u32 = 1 << 15;
const CLIENT_PLUGIN_AUTH: u32 = 1 << 19;
/// utf8mb4.
const CHARSET: u8 = 45;
const PACKET_BYTES_MAX: u32 = 1 << 24;

const ACCESS_DENIED: u64 = 1045;
/// Who signs in where nobody does.
const NOBODY: &str = "watchbell";
/// The most packets of an answer to a query.
const PACKETS_MAX: usize = 1000;

with_trust! {
    /// A MySQL or MariaDB server: it greets, lets a user in, answers a ping and a query.
    #[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct MysqlConfig {
        /// The host's name or address.
        pub host: String,
        /// The port.
        #[serde(default = "MysqlConfig::default_port")]
        pub port: u16,
        /// Whether the server must speak TLS.
        #[serde(default)]
        pub tls: bool,
        /// Who signs in. Without a user it is enough that the server greets and asks for one.
        #[serde(default)]
        pub user: Option<String>,
        /// The password, best as `${secret:name}`.
        #[serde(default)]
        pub password: Option<Secret>,
        /// The database to go to.
        #[serde(default)]
        pub database: Option<String>,
        /// What to ask it.
        #[serde(default)]
        pub query: Option<QueryConfig>,
    }
}

/// A server's greeting.
#[derive(Debug, PartialEq)]
struct Greeting {
    version: String,
    capabilities: u32,
    challenge: Vec<u8>,
    plugin: String,
}

impl MysqlConfig {
    fn default_port() -> u16 {
        3306
    }

    async fn talk(&self, wire: &mut Wire<'_, '_>) -> Result<String, Failure> {
        let (sequence, body) = receive(wire, "a greeting").await?;
        let greeting = greeting(&body)?;
        let version = shown(&greeting.version);
        let mut sequence = sequence.wrapping_add(1);
        let mut capabilities = CLIENT_PROTOCOL_41 | CLIENT_SECURE_CONNECTION | CLIENT_PLUGIN_AUTH;
        if self.database.is_some() {
            capabilities |= CLIENT_CONNECT_WITH_DB;
        }
        if self.tls {
            if greeting.capabilities & CLIENT_SSL == 0 {
                return Err(Failure(format!("the server does not offer TLS ({version})")));
            }
            capabilities |= CLIENT_SSL;
            send(wire, sequence, &login_head(capabilities), "the question for TLS").await?;
            sequence = sequence.wrapping_add(1);
            wire.secure(self.trust(&self.host)).await?;
        }
        let user = self.user.as_deref().unwrap_or(NOBODY);
        let proof = self.proof(&greeting.plugin, &greeting.challenge)?.unwrap_or_default();
        let mut login = login_head(capabilities);
        login.extend(user.bytes().chain([0]));
        login.push(proof.len() as u8);
        login.extend(&proof);
        if let Some(database) = &self.database {
            login.extend(database.bytes().chain([0]));
        }
        login.extend(greeting.plugin.bytes().chain([0]));
        send(wire, sequence, &login, "the login").await?;
        match self.sign_in(wire).await? {
            Ok(()) => {}
            Err((ACCESS_DENIED, _)) if self.user.is_none() => return Ok(format!("{version}; it asks who we are")),
            Err((code, words)) => return Err(Failure(refusal(code, &words))),
        }
        send(wire, 0, &[0x0e], "a ping").await?;
        ok(&receive(wire, "the answer to a ping").await?.1)?;
        let mut words = match &self.user {
            Some(user) => format!("{version}; signed in as {user}"),
            None => version,
        };
        if let Some(query) = &self.query {
            let value = ask(wire, &query.sql).await?;
            QueryConfig::saw(wire.attempt, value.as_deref());
            words = format!("{words}; {}", query.judge(value.as_deref())?);
        }
        let _ = send(wire, 0, &[1], "goodbye").await;
        Ok(words)
    }

    /// Answers what the server asks until it lets us in or says why not.
    async fn sign_in(&self, wire: &mut Wire<'_, '_>) -> Result<Result<(), (u64, String)>, Failure> {
        const STEPS_MAX: usize = 8;
        for _ in 0..STEPS_MAX {
            let (sequence, body) = receive(wire, "the answer to the login").await?;
            let next = sequence.wrapping_add(1);
            match body.first() {
                Some(0) => return Ok(Ok(())),
                Some(0xff) => return Ok(Err(error(&body))),
                // Another way to sign in is wanted.
                Some(0xfe) => {
                    let mut message = Message(&body[1..]);
                    let plugin = message.text();
                    let challenge = message.0.strip_suffix(b"\0").unwrap_or(message.0);
                    let proof = match self.proof(&plugin, challenge)? {
                        Some(proof) => proof,
                        None if self.user.is_none() => Vec::new(),
                        None => {
                            return Err(Failure(format!(
                                "the user signs in by `{}`, which is not known here: use `caching_sha2_password` or \
                                 `mysql_native_password`",
                                shown(&plugin)
                            )));
                        }
                    };
                    send(wire, next, &proof, "the login").await?;
                }
                // The server knows the password's hash.
                Some(1) if body.get(1) == Some(&3) => {}
                Some(1) if self.tls => {
                    let password = self.password.as_ref().map_or("", |it| it.expose());
                    send(wire, next, &[password.as_bytes(), b"\0"].concat(), "the password").await?;
                }
                Some(1) => {
                    return Err(Failure::new(
                        "the server wants to see the password, since it does not remember it, and the connection is not \
                         secret: set `tls: true`",
                    ));
                }
                _ => return Err(Failure::new("the answer to the login is not one of MySQL")),
            }
        }
        Err(Failure::new("the login does not come to an end"))
    }

    /// What proves that we know the password; `None` for a way that is not known.
    fn proof(&self, plugin: &str, challenge: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let password = self.password.as_ref().map_or("", |it| it.expose()).as_bytes();
        let algorithm = match plugin {
            "mysql_native_password" | "" => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            "caching_sha2_password" => &digest::SHA256,
            "mysql_clear_password" if self.tls => return Ok(Some([password, b"\0"].concat())),
            _ => return Ok(None),
        };
        if password.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let hash = |parts: &[&[u8]]| digest::digest(algorithm, &parts.concat());
        let once = hash(&[password]);
        let twice = hash(&[once.as_ref()]);
        let mixed = match plugin {
            "caching_sha2_password" => hash(&[twice.as_ref(), challenge]),
            _ => hash(&[challenge, twice.as_ref()]),
        };
        Ok(Some(once.as_ref().iter().zip(mixed.as_ref()).map(|(a, b)| a ^ b).collect()))
    }
}

impl Kind for MysqlConfig {
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

/// What a login and the question for TLS begin with.
fn login_head(capabilities: u32) -> Vec<u8> {
    let mut head = capabilities.to_le_bytes().to_vec();
    head.extend(PACKET_BYTES_MAX.to_le_bytes());
    head.push(CHARSET);
    head.extend([0; 23]);
    head
}

fn greeting(body: &[u8]) -> Result<Greeting, Failure> {
    let mut message = Message(body);
    match message.byte() {
        10 => {}
        0xff => {
            let (code, words) = error(body);
            return Err(Failure(refusal(code, &words)));
        }
        _ => return Err(Failure::new("what listens there does not greet as MySQL does")),
    }
    let version = message.text();
    message.take(4);
    let mut challenge = message.take(8).to_vec();
    message.take(1);
    let low = message.le(2);
    message.take(3);
    let capabilities = (low | message.le(2) << 16) as u32;
    message.take(11);
    challenge.extend(message.take(13).iter().take(12));
    Ok(Greeting { version, capabilities, challenge, plugin: message.text() })
}

async fn send(wire: &mut Wire<'_, '_>, sequence: u8, body: &[u8], what: &str) -> Result<(), Failure> {
    let length = (body.len() as u32).to_le_bytes();
    wire.send(&[&length[..3], &[sequence], body].concat(), what).await
}

async fn receive(wire: &mut Wire<'_, '_>, waiting_for: &str) -> Result<(u8, Vec<u8>), Failure> {
    let head = wire.take(4, waiting_for).await?;
    let length = Message(&head[..3]).le(3) as usize;
    Ok((head[3], wire.take(length, waiting_for).await?))
}

/// The number and the words of an error.
fn error(body: &[u8]) -> (u64, String) {
    let mut message = Message(body);
    message.byte();
    let code = message.le(2);
    if message.0.first() == Some(&b'#') {
        message.take(6);
    }
    (code, shown(&String::from_utf8_lossy(message.0)))
}

fn ok(body: &[u8]) -> Result<(), Failure> {
    match body.first() {
        Some(0xff) => {
            let (code, words) = error(body);
            Err(Failure(refusal(code, &words)))
        }
        _ => Ok(()),
    }
}

fn refusal(code: u64, words: &str) -> String {
    let meaning = match code {
        1040 | 1203 | 1226 => "the server has no connection to spare",
        ACCESS_DENIED | 1044 | 1698 => "the server refused the login",
        1049 => "there is no such database",
        1053 => "the server is being stopped",
        1129 => "the server shuts this host out after too many errors (`mysqladmin flush-hosts` ends that)",
        1130 => "the server lets nobody in from this host",
        _ => "the server refuses",
    };
    format!("{meaning}: `{words}` ({code})")
}

/// The first column of the first row; `None` where there is none, or it is NULL.
async fn ask(wire: &mut Wire<'_, '_>, sql: &str) -> Result<Option<String>, Failure> {
    let what = "the answer to the query";
    send(wire, 0, &[&[3], sql.as_bytes()].concat(), "the query").await?;
    let (_, head) = receive(wire, what).await?;
    ok(&head)?;
    // A statement without rows.
    if head.first() == Some(&0) {
        return Ok(None);
    }
    let is_end = |body: &[u8]| body.first() == Some(&0xfe) && body.len() < 9;
    let (mut ends, mut first) = (0, None);
    for _ in 0..PACKETS_MAX {
        let (_, body) = receive(wire, what).await?;
        ok(&body)?;
        if is_end(&body) {
            ends += 1;
            if ends == 2 {
                return Ok(first.flatten());
            }
        } else if ends == 1 {
            first.get_or_insert_with(|| column(&body));
        }
    }
    Err(Failure(format!("the answer to the query has more than {PACKETS_MAX} packets: ask for one row")))
}

/// The first column of a row.
fn column(row: &[u8]) -> Option<String> {
    let mut row = Message(row);
    let length = match row.byte() {
        0xfb => return None,
        0xfc => row.le(2),
        0xfd => row.le(3),
        0xfe => row.le(8),
        short => u64::from(short),
    };
    Some(String::from_utf8_lossy(row.take(usize::try_from(length).unwrap_or(usize::MAX))).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_read() {
        let mut body = b"\x0a8.0.36\0\x01\0\0\0abcdefgh\0\xff\xff\x2d\x02\0\xff\xdf\x15".to_vec();
        body.extend([0; 10]);
        body.extend(b"ijklmnopqrst\0caching_sha2_password\0");
        let read = greeting(&body).unwrap();
        assert_eq!(read.version, "8.0.36");
        assert_eq!(read.capabilities, 0xdfff_ffff);
        assert_eq!(read.challenge, b"abcdefghijklmnopqrst");
        assert_eq!(read.plugin, "caching_sha2_password");
        assert!(greeting(b"HTTP/1.1 400").is_err());
        assert_eq!(
            greeting(b"\xff\x10\x04Too many connections").unwrap_err().0,
            "the server has no connection to spare: `Too many connections` (1040)"
        );
    }

    #[test]
    fn columns() {
        assert_eq!(column(b"\x02ok\x01x").as_deref(), Some("ok"));
        assert_eq!(column(b"\xfc\x02\x00ok").as_deref(), Some("ok"));
        assert_eq!(column(b"\xfb"), None);
        assert_eq!(column(b"\xfe\xff\xff\xff\xff\xff\xff\xff\xffx").as_deref(), Some("x"));
    }
}
