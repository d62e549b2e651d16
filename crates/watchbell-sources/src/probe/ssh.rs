//! Waits for the banner of an SSH server, as each SSH client does first.
//!
//! Leaves out everything after it: no keys are exchanged, nobody signs in.

use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems};

use super::attempt::{Attempt, Failure};
use super::config::{check_host, check_port, host_and_port};
use super::dialogue::Dialogue;
use super::http::{check_regex, regex_words};
use super::kinds::{Kind, Probing};

/// What is said to the server, so that its log does not tell of a client that said nothing.
const OUR_BANNER: &str = "SSH-2.0-watchbell";

/// An SSH server: it greets with the version of its protocol. One that has too many clients at once does not.
#[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SshConfig {
    /// The host's name or address.
    pub host: String,
    /// The port.
    #[serde(default = "SshConfig::default_port")]
    pub port: u16,
    /// A regular expression that must match somewhere in the banner, such as `OpenSSH_9`.
    #[serde(default)]
    pub banner: Option<String>,
}

impl SshConfig {
    fn default_port() -> u16 {
        22
    }

    async fn talk(&self, dialogue: &mut Dialogue<'_, '_>) -> Result<String, Failure> {
        // A server may say other lines first (RFC 4253 §4.2).
        let banner = loop {
            let line = dialogue.line("the banner of an SSH server").await?;
            if line.starts_with("SSH-") {
                break line;
            }
            if line.starts_with("Exceeded MaxStartups") || line.contains("Not allowed at this time") {
                return Err(Failure(format!("the server turns clients away: `{}`", dialogue.shown(&line))));
            }
        };
        // Not before: one that hangs up on what it has not read yet takes back what it said.
        dialogue.send(OUR_BANNER).await?;
        if !banner.starts_with("SSH-2.0-") && !banner.starts_with("SSH-1.99-") {
            return Err(Failure(format!(
                "expected version 2.0 of the protocol, but the banner is `{}`",
                dialogue.shown(&banner)
            )));
        }
        if let Some(pattern) = &self.banner {
            let regex = Regex::new(pattern).map_err(|error| Failure(regex_words(&error)))?;
            if !regex.is_match(&banner) {
                return Err(Failure(format!(
                    "expected a banner that matches `{pattern}`, but it is `{}`",
                    dialogue.shown(&banner)
                )));
            }
        }
        Ok(dialogue.shown(&banner))
    }
}

impl Kind for SshConfig {
    fn target(&self) -> String {
        host_and_port(&self.host, self.port)
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        check_host(&self.host, &path.field("host"), problems);
        check_port(self.port, &path.field("port"), problems);
        if let Some(pattern) = &self.banner {
            check_regex(pattern, &path.field("banner"), problems);
        }
    }

    fn probe<'a>(&'a self, attempt: &'a mut Attempt<'_>) -> Probing<'a> {
        Box::pin(async move {
            let stream = attempt.connect(&self.host, self.port).await?;
            let mut dialogue = Dialogue::new(attempt, stream);
            let result = self.talk(&mut dialogue).await;
            dialogue.hang_up(result)
        })
    }
}
