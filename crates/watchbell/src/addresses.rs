//! Heartbeats' addresses written where their jobs find them: files, environment files, parameters of AWS' Systems Manager.
//!
//! Invariant: a place is written only if it would change, and one that holds the word `paused` is left alone: so somebody
//! keeps a job from reporting.

use std::io;
use std::path::Path as FilePath;
use std::time::Duration;

use anyhow::{Context as _, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use watchbell_model::{HttpClientConfig, Path, Problems, SigV4Config, Url};
use watchbell_runtime::{HttpClient, Runtime, aws};
use watchbell_sources::heartbeat::HeartbeatConfig;

/// What keeps a job from reporting where its address would be.
const PAUSED: &str = "paused";
/// How long a question to AWS may take, and how long the answer may be.
const SSM_TIME_MAX: Duration = Duration::from_secs(20);
const SSM_ANSWER_MAX: usize = 64 << 10;
const SSM: aws::Service = aws::Service { name: "ssm", host: "ssm", variable: "SSM", prefix: "AmazonSSM" };

/// How `watchbell apply` writes heartbeats' addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PingAddressesConfig {
    /// As whom the Systems Manager of AWS is asked; the surroundings' credentials unless given.
    pub sigv4: SigV4Config,
    /// Where the Systems Manager is, if it is not AWS' own for the region.
    pub api_url: Option<Url>,
    /// The key of AWS that parameters are kept with, such as `alias/jobs`; the account's own for parameters unless given.
    pub kms_key: Option<String>,
}

impl PingAddressesConfig {
    /// What is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        self.sigv4.check(&path.field("sigv4"), problems);
    }
}

/// What becomes of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It holds the address.
    Unchanged,
    /// It holds something else or nothing, and is or will be written.
    Written,
    /// Somebody wrote there that the job is not to report.
    Paused,
}

impl Outcome {
    fn of(present: Option<&str>, address: &str) -> Outcome {
        match present.map(str::trim) {
            Some(present) if present == address => Outcome::Unchanged,
            Some(PAUSED) => Outcome::Paused,
            _ => Outcome::Written,
        }
    }
}

/// A place and what became of it, or why nothing did.
#[derive(Debug)]
pub struct Done {
    /// Whose address it is.
    pub heartbeat: String,
    /// Such as `parameter /jobs/ping_backup`.
    pub place: String,
    /// What became of it.
    pub outcome: Result<Outcome>,
}

/// Writes addresses, or only says what would be written.
pub struct Writer<'a> {
    runtime: &'a Runtime,
    config: &'a PingAddressesConfig,
    /// Whether nothing is written.
    dry: bool,
    ssm: Ssm,
}

struct Ssm {
    client: HttpClient,
    memory: aws::Memory,
}

impl<'a> Writer<'a> {
    /// One that writes, or only looks.
    pub fn new(runtime: &'a Runtime, config: &'a PingAddressesConfig, dry: bool) -> Writer<'a> {
        let ssm = Ssm { client: HttpClient::new(HttpClientConfig::default()), memory: aws::Memory::default() };
        Writer { runtime, config, dry, ssm }
    }

    /// Every place of a heartbeat.
    pub async fn write(&self, heartbeat: &HeartbeatConfig, address: &str) -> Vec<Done> {
        let Some(to) = &heartbeat.address_to else { return Vec::new() };
        let mut done = Vec::new();
        let mut add = |place: String, outcome: Result<Outcome>| {
            done.push(Done { heartbeat: heartbeat.name.clone(), place, outcome });
        };
        if let Some(file) = &to.file {
            add(format!("file {}", file.display()), self.file(file, address));
        }
        if let Some(file) = &to.env_file {
            let variable = heartbeat.variable();
            add(format!("variable {variable} of {}", file.display()), self.variable(file, &variable, address));
        }
        if let Some(name) = &to.ssm_parameter {
            add(format!("parameter {name}"), self.parameter(name, address).await);
        }
        done
    }

    fn file(&self, file: &FilePath, address: &str) -> Result<Outcome> {
        let present = self.read(file)?;
        let outcome = Outcome::of(present.as_deref(), address);
        self.put(file, outcome, || format!("{address}\n"))
    }

    fn variable(&self, file: &FilePath, variable: &str, address: &str) -> Result<Outcome> {
        let present = self.read(file)?.unwrap_or_default();
        let outcome = Outcome::of(value_of(&present, variable), address);
        self.put(file, outcome, || with_variable(&present, variable, address))
    }

    fn read(&self, file: &FilePath) -> Result<Option<String>> {
        match self.runtime.disk.read_text(file) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", file.display())),
        }
    }

    fn put(&self, file: &FilePath, outcome: Outcome, content: impl Fn() -> String) -> Result<Outcome> {
        if outcome == Outcome::Written && !self.dry {
            let written = self.runtime.disk.write_atomic(file, content().as_bytes());
            written.with_context(|| format!("{} cannot be written", file.display()))?;
        }
        Ok(outcome)
    }

    async fn parameter(&self, name: &str, address: &str) -> Result<Outcome> {
        let present = match self.ask("GetParameter", json!({ "Name": name, "WithDecryption": true })).await {
            Ok(answer) => answer.pointer("/Parameter/Value").and_then(Value::as_str).map(str::to_owned),
            Err(error) if error.contains("ParameterNotFound") => None,
            Err(error) => return Err(anyhow::Error::msg(error)),
        };
        let outcome = Outcome::of(present.as_deref(), address);
        if outcome == Outcome::Written && !self.dry {
            let mut body = json!({ "Name": name, "Value": address, "Type": "SecureString", "Overwrite": true });
            if let Some(key) = &self.config.kms_key {
                body["KeyId"] = key.as_str().into();
            }
            self.ask("PutParameter", body).await.map_err(anyhow::Error::msg)?;
        }
        Ok(outcome)
    }

    async fn ask(&self, call: &str, body: Value) -> Result<Value, String> {
        let (runtime, client) = (self.runtime, &self.ssm.client);
        let ask = aws::Ask { runtime, client, timeout: SSM_TIME_MAX, body_max: SSM_ANSWER_MAX };
        let api_url = self.config.api_url.as_ref().map_or(String::new(), ToString::to_string);
        let account = aws::Account::of(&self.config.sigv4, api_url);
        let region = aws::region(&account, &ask).await?;
        let credentials = aws::current(&account, &region, &ask, &self.ssm.memory).await?;
        let url = aws::url(SSM, &account.endpoint, &region, &runtime.environment)?;
        let request = aws::json(url, SSM, call, &body);
        let request = aws::signed(request, &credentials, &region, SSM.name, runtime.clock.now());
        let answer = ask.send(request).await.map_err(|error| format!("{call} failed: {error}"))?;
        serde_json::from_slice(&answer.body).map_err(|error| format!("the answer to {call} is not JSON: {error}"))
    }
}

/// The value of a variable in an environment file; of two the last counts.
fn value_of<'t>(text: &'t str, variable: &str) -> Option<&'t str> {
    let mut values = text.lines().filter_map(|line| line.strip_prefix(variable)?.strip_prefix('='));
    values.next_back().map(|value| value.trim().trim_matches(['"', '\'']))
}

/// The file with this value of the variable, in the place of the old one or at its end.
fn with_variable(text: &str, variable: &str, value: &str) -> String {
    let is_it = |line: &str| line.strip_prefix(variable).is_some_and(|rest| rest.starts_with('='));
    let line = format!("{variable}={value}");
    let mut lines: Vec<&str> = Vec::new();
    let mut is_there = false;
    for old in text.lines() {
        match is_it(old) {
            false => lines.push(old),
            true if is_there => {}
            true => {
                is_there = true;
                lines.push(&line);
            }
        }
    }
    if !is_there {
        lines.push(&line);
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_variables_stay() {
        let text = "# jobs\nPING_A=\"old\"\nPING_AB=x\nPING_A=older";
        assert_eq!(value_of(text, "PING_A"), Some("older"));
        assert_eq!(value_of("PING_A=\"http://x\"\n", "PING_A"), Some("http://x"));
        assert_eq!(value_of(text, "PING"), None);
        assert_eq!(with_variable(text, "PING_A", "new"), "# jobs\nPING_A=new\nPING_AB=x\n");
        assert_eq!(with_variable(text, "PING_C", "c"), format!("{text}\nPING_C=c\n"));
        assert_eq!(with_variable("", "PING_C", "c"), "PING_C=c\n");
    }

    #[test]
    fn what_is_paused_stays_so() {
        let of = |present| Outcome::of(present, "http://x");
        assert_eq!([of(None), of(Some("placeholder")), of(Some("https://x"))], [Outcome::Written; 3]);
        assert_eq!((of(Some("http://x\n")), of(Some("paused\n"))), (Outcome::Unchanged, Outcome::Paused));
    }
}
