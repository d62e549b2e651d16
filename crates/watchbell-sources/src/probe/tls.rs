//! Connects to a port that speaks TLS from the first byte, and looks at the certificate.

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems};

use super::attempt::Attempt;
use super::config::{check_host, check_port, host_and_port};
use super::kinds::{Kind, Probing};

/// A struct of a configuration with the fields of a TLS client behind its own: `trust(host)` gives them to a probe,
/// `check_trust` finds what is wrong with them, and `anchor_trust` makes their files relative to a folder.
macro_rules! with_trust {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$field_meta:meta])* pub $field:ident: $kind:ty,)*
        }
    ) => {
        $(#[$meta])*
        pub struct $name {
            $($(#[$field_meta])* pub $field: $kind,)*
            /// The name the certificate must be for, if it is not the host's.
            #[serde(default)]
            pub server_name: Option<String>,
            /// Whether a certificate that is expired, for another name or not trusted counts as down. Its end is watched
            /// either way.
            #[serde(default = "watchbell_model::yes")]
            pub verify: bool,
            /// A PEM file of trusted roots, in place of the machine's; read anew for each probe.
            #[serde(default)]
            pub roots_file: Option<std::path::PathBuf>,
            /// A PEM file with the certificate that is shown to the server, and its chain, where it asks for one.
            #[serde(default)]
            pub cert_file: Option<std::path::PathBuf>,
            /// A PEM file with the key of `cert_file`.
            #[serde(default)]
            pub key_file: Option<std::path::PathBuf>,
        }

        impl $name {
            fn trust<'a>(&'a self, host: &'a str) -> $crate::probe::attempt::Trust<'a> {
                $crate::probe::attempt::Trust {
                    server_name: self.server_name.as_deref().unwrap_or(host),
                    verify: self.verify,
                    roots_file: self.roots_file.as_deref(),
                    client: self.cert_file.as_deref().zip(self.key_file.as_deref()),
                }
            }

            fn check_trust(&self, path: &watchbell_model::Path, problems: &mut watchbell_model::Problems) {
                if !self.verify && self.roots_file.is_some() {
                    problems
                        .warning(&path.field("roots_file"), "the roots are not used, since `verify` is false")
                        .hint("with `roots_file`, `verify: true` also works for a certificate of your own");
                }
                if let Some(name) = &self.server_name {
                    $crate::probe::config::check_host(name, &path.field("server_name"), problems);
                }
                if self.cert_file.is_some() != self.key_file.is_some() {
                    problems
                        .error(path, "there is only one of `cert_file` and `key_file`")
                        .hint("a client shows a certificate and proves that it has the key: give both");
                }
            }

            fn anchor_trust(&mut self, base: &std::path::Path) {
                for file in [&mut self.roots_file, &mut self.cert_file, &mut self.key_file].into_iter().flatten() {
                    *file = base.join(&*file);
                }
            }
        }
    };
}
pub(crate) use with_trust;

with_trust! {
    /// A port that speaks TLS from the first byte.
    #[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct TlsConfig {
        /// The host's name or address.
        pub host: String,
        /// The port.
        pub port: u16,
    }
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
    /// A port with every other field at its default.
    pub fn new(host: impl Into<String>, port: u16) -> TlsConfig {
        TlsConfig {
            host: host.into(),
            port,
            server_name: None,
            verify: true,
            roots_file: None,
            cert_file: None,
            key_file: None,
        }
    }
}

impl Kind for TlsConfig {
    fn target(&self) -> String {
        host_and_port(&self.host, self.port)
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        check_host(&self.host, &path.field("host"), problems);
        check_port(self.port, &path.field("port"), problems);
        self.check_trust(path, problems);
    }

    fn anchor(&mut self, base: &std::path::Path) {
        self.anchor_trust(base);
    }

    fn probe<'a>(&'a self, attempt: &'a mut Attempt<'_>) -> Probing<'a> {
        Box::pin(async move {
            let stream = attempt.connect(&self.host, self.port).await?;
            attempt.secure(stream, self.trust(&self.host)).await?;
            let (version, _) = attempt.seen.tls.clone().unwrap_or_default();
            Ok(match &attempt.seen.certificate {
                Some(certificate) => format!("{version}, certificate until {}", date(certificate.not_after)),
                None => version,
            })
        })
    }
}

/// The day, which is all that matters of a certificate's end in a message.
pub(crate) fn date(at: watchbell_model::Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}
