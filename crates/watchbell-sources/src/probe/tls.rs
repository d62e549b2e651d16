//! Connects to a port that speaks TLS from the first byte, and looks at the certificate.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems};

use super::attempt::{Attempt, Failure, Trust};
use super::config::{check_host, check_port};

/// A port that speaks TLS from the first byte.
#[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The host's name or address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The name the certificate must be for, if it is not `host`.
    #[serde(default)]
    pub server_name: Option<String>,
    /// Whether a certificate that is expired, for another name or not trusted counts as down. Its end is watched either
    /// way.
    #[serde(default = "yes")]
    pub verify: bool,
    /// A PEM file of trusted roots, in place of the machine's; read anew for each probe.
    #[serde(default)]
    pub roots_file: Option<PathBuf>,
}

/// How a mail server's port is made secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// Begins in clear text and must offer `STARTTLS`.
    Starttls,
    /// Speaks TLS from the first byte.
    Implicit,
    /// Stays in clear text.
    None,
}

impl TlsConfig {
    pub(crate) fn check(&self, path: &Path, problems: &mut Problems) {
        check_host(&self.host, &path.field("host"), problems);
        check_port(self.port, &path.field("port"), problems);
        check_trust(self.verify, self.roots_file.is_some(), path, problems);
        if let Some(name) = &self.server_name {
            check_host(name, &path.field("server_name"), problems);
        }
    }

    pub(crate) async fn probe(&self, attempt: &mut Attempt<'_>) -> Result<String, Failure> {
        let stream = attempt.connect(&self.host, self.port).await?;
        let server_name = self.server_name.as_deref().unwrap_or(&self.host);
        let trust = Trust { server_name, verify: self.verify, roots_file: self.roots_file.as_deref() };
        attempt.secure(stream, trust).await?;
        let (version, _) = attempt.seen.tls.clone().unwrap_or_default();
        Ok(match &attempt.seen.certificate {
            Some(certificate) => format!("{version}, certificate until {}", date(certificate.not_after)),
            None => version,
        })
    }
}

/// Roots that are never looked at are a mistake.
pub(crate) fn check_trust(verify: bool, has_roots: bool, path: &Path, problems: &mut Problems) {
    if !verify && has_roots {
        problems
            .warning(&path.field("roots_file"), "the roots are not used, since `verify` is false")
            .hint("with `roots_file`, `verify: true` also works for a certificate of your own");
    }
}

/// The day, which is all that matters of a certificate's end in a message.
pub(crate) fn date(at: watchbell_model::Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

pub(crate) fn yes() -> bool {
    true
}
