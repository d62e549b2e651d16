//! Speaks to a Redis server, or one that speaks as it does (Valkey, KeyDB): `AUTH`, `PING`, and `INFO` if asked for.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Number;
use watchbell_model::{Path, Problems, Secret};

use super::attempt::{Attempt, Failure};
use super::config::{check_host, check_port, host_and_port};
use super::dialogue::Dialogue;
use super::kinds::{Kind, Probing};
use super::tls::with_trust;
use super::value::judge;

with_trust! {
    /// A Redis server: it lets a user in, answers `PING`, and says of itself what is expected.
    #[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct RedisConfig {
        /// The host's name or address.
        pub host: String,
        /// The port.
        #[serde(default = "RedisConfig::default_port")]
        pub port: u16,
        /// Whether the port speaks TLS.
        #[serde(default)]
        pub tls: bool,
        /// The user, where the server has users (`ACL`).
        #[serde(default)]
        pub username: Option<String>,
        /// The password.
        #[serde(default)]
        pub password: Option<Secret>,
        /// What `INFO` must say.
        #[serde(default)]
        pub info: Vec<InfoCondition>,
    }
}

/// What a field of Redis' `INFO` must be.
#[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InfoCondition {
    /// The field: `role`, `master_link_status`, `used_memory`; a part of a field as `db0.keys`.
    pub field: String,
    /// It must be this text.
    #[serde(default)]
    pub equals: Option<String>,
    /// It must be a number greater than this.
    #[serde(default)]
    pub above: Option<Number>,
    /// It must be a number less than this.
    #[serde(default)]
    pub below: Option<Number>,
}

impl RedisConfig {
    fn default_port() -> u16 {
        6379
    }

    async fn talk(&self, dialogue: &mut Dialogue<'_, '_>) -> Result<(String, Vec<(String, f64)>), Failure> {
        if self.tls {
            dialogue.secure(self.trust(&self.host)).await?;
        }
        if let Some(password) = &self.password {
            dialogue.hide(password.expose());
            let words = ["AUTH"].into_iter().chain(self.username.as_deref()).chain([password.expose()]);
            send(dialogue, &words.collect::<Vec<_>>(), "AUTH").await?;
            reply(dialogue, "AUTH").await?;
        }
        send(dialogue, &["PING"], "PING").await?;
        let pong = reply(dialogue, "PING").await?;
        if pong != "PONG" {
            return Err(Failure(format!("expected `PONG`, but the server answered `{}`", dialogue.shown(&pong))));
        }
        if self.info.is_empty() {
            return Ok((pong, Vec::new()));
        }
        send(dialogue, &["INFO"], "INFO").await?;
        let info = reply(dialogue, "INFO").await?;
        let mut numbers = Vec::new();
        let mut failed = None;
        for condition in &self.info {
            let value = field(&info, &condition.field);
            numbers.extend(value.as_ref().and_then(|it| it.parse().ok()).map(|it| (condition.field.clone(), it)));
            failed = failed.or(condition.judge(value.as_deref()).err());
        }
        match failed {
            Some(failure) => Err(failure),
            None => Ok((pong, numbers)),
        }
    }
}

impl InfoCondition {
    fn check(&self, path: &Path, problems: &mut Problems) {
        if self.field.trim().is_empty() || self.field.contains(char::is_whitespace) {
            problems.error(&path.field("field"), "it names no field").hint("such as `role` or `db0.keys`");
        }
        if self.equals.is_none() && self.above.is_none() && self.below.is_none() {
            problems.error(path, "it asks for nothing").hint("add `equals`, `above` or `below`");
        }
    }

    fn judge(&self, value: Option<&str>) -> Result<(), Failure> {
        let name = &self.field;
        let Some(value) = value else {
            return Err(Failure(format!("expected `{name}` in the answer to INFO, but it is not there")));
        };
        judge(name, value, self.equals.as_deref(), self.above.as_ref(), self.below.as_ref())
    }
}

impl Kind for RedisConfig {
    fn target(&self) -> String {
        host_and_port(&self.host, self.port)
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        check_host(&self.host, &path.field("host"), problems);
        check_port(self.port, &path.field("port"), problems);
        self.check_trust(path, problems);
        if self.username.is_some() && self.password.is_none() {
            problems.error(path, "there is a `username` without a `password`").hint("give both, or neither");
        }
        for (at, condition) in self.info.iter().enumerate() {
            condition.check(&path.field("info").index(at), problems);
        }
    }

    fn anchor(&mut self, base: &std::path::Path) {
        self.anchor_trust(base);
    }

    fn described(&self) -> &'static [(&'static str, &'static str)] {
        &[("probe_redis_info", "A field of `INFO` that the monitor looks at.")]
    }

    fn probe<'a>(&'a self, attempt: &'a mut Attempt<'_>) -> Probing<'a> {
        Box::pin(async move {
            let stream = attempt.connect(&self.host, self.port).await?;
            let mut dialogue = Dialogue::new(attempt, stream);
            let mut numbers = Vec::new();
            let result = self.talk(&mut dialogue).await.map(|(words, seen)| {
                numbers = seen;
                words
            });
            let result = dialogue.hang_up(result);
            for (field, value) in numbers {
                attempt.sample("probe_redis_info", &[("field", &field)], value);
            }
            result
        })
    }
}

/// Sends a command as clients do: an array of texts.
async fn send(dialogue: &mut Dialogue<'_, '_>, words: &[&str], name: &str) -> Result<(), Failure> {
    let mut wire = format!("*{}\r\n", words.len());
    for word in words {
        wire.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    dialogue.send_all(&wire, name).await
}

/// The text that answers a command.
async fn reply(dialogue: &mut Dialogue<'_, '_>, name: &str) -> Result<String, Failure> {
    let what = format!("the answer to {name}");
    let line = dialogue.line(&what).await?;
    let odd = |dialogue: &Dialogue<'_, '_>| {
        Failure(format!("expected {what}, but the server sent `{}`", dialogue.shown(&line)))
    };
    match (line.get(..1), line.get(1..)) {
        (Some("+"), Some(text)) => Ok(text.to_owned()),
        (Some("-"), Some(text)) => Err(Failure(refusal(name, &dialogue.shown(text)))),
        (Some("$"), Some(length)) => {
            let length = length.parse::<usize>().map_err(|_| odd(dialogue))?;
            let text = dialogue.literal(length.saturating_add(2), &what).await?;
            Ok(text.trim_end_matches("\r\n").to_owned())
        }
        _ => Err(odd(dialogue)),
    }
}

/// What a refusal means.
fn refusal(name: &str, text: &str) -> String {
    match text.split(' ').next().unwrap_or_default() {
        "NOAUTH" => "the server wants a password (`NOAUTH`): give `password`".to_owned(),
        "WRONGPASS" => format!("the server refused the login: `{text}`"),
        "NOPERM" => format!("the user may not say {name}: `{text}`"),
        "LOADING" => format!("the server is still loading its data: `{text}`"),
        "MASTERDOWN" => format!("the replica has lost its master: `{text}`"),
        "MISCONF" => format!("the server cannot save its data: `{text}`"),
        "DENIED" => format!("the server takes clients of its own host only (`protected-mode`): `{text}`"),
        _ => format!("the server refused {name}: `{text}`"),
    }
}

/// A field of `INFO`; `db0.keys` is `keys` in `db0:keys=1,expires=0`.
fn field(info: &str, name: &str) -> Option<String> {
    let value = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    if let Some(value) = value(name) {
        return Some(value.trim().to_owned());
    }
    let (field, part) = name.split_once('.')?;
    value(field)?.trim().split(',').find_map(|it| it.strip_prefix(part)?.strip_prefix('=')).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_info() {
        let info = "# Replication\r\nrole:master\r\n\r\n# Keyspace\r\ndb0:keys=12,expires=0,avg_ttl=0\r\n";
        assert_eq!(field(info, "role").as_deref(), Some("master"));
        assert_eq!(field(info, "db0.keys").as_deref(), Some("12"));
        assert_eq!(field(info, "db0.expires").as_deref(), Some("0"));
        assert_eq!(field(info, "db1.keys"), None);
        assert_eq!(field(info, "rol"), None);
    }
}
