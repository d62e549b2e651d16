//! Requests to the other store: headers, tenant, credentials, trust.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use watchbell_model::{Authorization, BasicAuth, Secret, TlsConfig, Url};
use watchbell_runtime::Disk;
use watchbell_runtime::http::Request;
use watchbell_runtime::tls::TlsOptions;

use super::config::{RemoteConfig, RemoteReadConfig, RemoteWriteConfig};

/// What goes with every request to one address.
pub(crate) struct Client {
    headers: Vec<(String, String)>,
    credentials: Option<(Kind, Held)>,
    tls: TlsConfig,
    timeout: std::time::Duration,
}

enum Kind {
    Basic { user: String, file: Option<PathBuf> },
    Other(String),
}

enum Held {
    Given(Secret),
    File(PathBuf),
}

impl Client {
    pub(crate) fn for_write(config: &RemoteConfig) -> Client {
        let RemoteWriteConfig { headers, basic_auth, authorization, tls_config, remote_timeout, .. } = &config.write;
        Client::new(config, headers, basic_auth, authorization, tls_config, remote_timeout.duration())
    }

    pub(crate) fn for_read(config: &RemoteConfig, read: &RemoteReadConfig) -> Client {
        let RemoteReadConfig { headers, basic_auth, authorization, tls_config, remote_timeout, .. } = read;
        Client::new(config, headers, basic_auth, authorization, tls_config, remote_timeout.duration())
    }

    fn new(
        config: &RemoteConfig,
        headers: &std::collections::BTreeMap<String, String>,
        basic: &Option<BasicAuth>,
        other: &Option<Authorization>,
        tls: &TlsConfig,
        timeout: std::time::Duration,
    ) -> Client {
        let mut headers: Vec<_> = headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        headers.extend(config.tenant.iter().map(|tenant| (config.tenant_header.clone(), tenant.clone())));
        let held = |given: &Option<Secret>, file: &Option<PathBuf>| {
            given.clone().map(Held::Given).or_else(|| file.clone().map(Held::File))
        };
        let credentials = match (basic, other) {
            (Some(basic), _) => held(&basic.password, &basic.password_file)
                .map(|held| (Kind::Basic { user: basic.username.clone(), file: basic.username_file.clone() }, held)),
            (None, Some(other)) => held(&other.credentials, &other.credentials_file)
                .map(|held| (Kind::Other(other.kind.trim().to_owned()), held)),
            (None, None) => None,
        };
        Client { headers, credentials, tls: tls.clone(), timeout }
    }

    /// A `POST`, with what the files hold now.
    pub(crate) fn post(&self, disk: &Disk, url: Url, body: Vec<u8>) -> Result<Request, String> {
        let mut request = Request::post(url, body);
        request.headers = self.headers.clone();
        request.timeout = self.timeout;
        request.verify = !self.tls.insecure_skip_verify;
        let cannot = |path: &Path, error: std::io::Error| format!("{} cannot be read: {error}", path.display());
        request.tls = TlsOptions::of(&self.tls, disk)?;
        if let Some((kind, held)) = &self.credentials {
            let secret = match held {
                Held::Given(secret) => secret.expose().to_owned(),
                Held::File(path) => disk.read_text(path).map_err(|error| cannot(path, error))?.trim().to_owned(),
            };
            let value = match kind {
                Kind::Basic { file: Some(path), .. } => {
                    let user = disk.read_text(path).map_err(|error| cannot(path, error))?;
                    format!("Basic {}", STANDARD.encode(format!("{}:{secret}", user.trim())))
                }
                Kind::Basic { user, file: None } => format!("Basic {}", STANDARD.encode(format!("{user}:{secret}"))),
                Kind::Other(kind) => format!("{kind} {secret}"),
            };
            request = request.header("authorization", value);
        }
        Ok(request)
    }
}

/// What an answer says, for people: its first line, cut.
pub(crate) fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    line.chars().filter(|it| !it.is_control()).take(300).collect()
}
