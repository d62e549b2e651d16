//! Connects to a TCP port, and no more: proves that something takes connections there, not that it works.

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems};

use super::attempt::Attempt;
use super::config::{check_host, check_port, host_and_port};
use super::kinds::{Kind, Probing};

/// A TCP port that takes connections.
///
/// It proves little: a load balancer in front of a dead server takes connections too. Where the service speaks TLS,
/// HTTP, SMTP or IMAP, the probe of that name proves more. A MySQL server on another host counts such connections as
/// errors and shuts the prober out after `max_connect_errors` of them.
#[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TcpConfig {
    /// The host's name or address.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Kind for TcpConfig {
    fn target(&self) -> String {
        host_and_port(&self.host, self.port)
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        check_host(&self.host, &path.field("host"), problems);
        check_port(self.port, &path.field("port"), problems);
    }

    fn probe<'a>(&'a self, attempt: &'a mut Attempt<'_>) -> Probing<'a> {
        Box::pin(async move {
            attempt.connect(&self.host, self.port).await?;
            let peer = attempt.seen.peer.map(|peer| peer.to_string()).unwrap_or_default();
            Ok(format!("{peer} takes connections"))
        })
    }
}
