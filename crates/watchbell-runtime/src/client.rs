//! The HTTP client of scrapes, discoveries and channels: credentials, headers, trust and proxies of Prometheus' `http_config`.
//!
//! Files are read anew for every request, so that a renewed secret counts at once. A token of OAuth 2.0 or of a cloud is fetched when
//! it is first needed and kept until shortly before it ends, or until it is refused.

mod cloud;
mod token;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::http::{self, Proxies, Proxy, Request, Response};
use crate::tls::TlsOptions;
use crate::{Disk, Runtime, aws};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use watchbell_model::{AzureAd, GoogleIam, HttpClientConfig, HttpHeader, OAuth2, Secret};

/// How many redirects are followed, as in Go.
pub const REDIRECTS_MAX: u32 = 10;
/// A token is not used in the last seconds of its life.
const TOKEN_MARGIN: Duration = Duration::from_secs(10);

/// Speaks to services in one way.
pub struct HttpClient {
    config: HttpClientConfig,
    token: tokio::sync::Mutex<Option<Token>>,
    /// Boxed, since it has a client of its own.
    signer: Option<Box<aws::Signer>>,
}

struct Token {
    value: Secret,
    /// By the monotonic clock; `None` where its server did not say.
    until: Option<Duration>,
}

/// Where tokens come from.
#[derive(Clone, Copy)]
enum Source<'a> {
    OAuth2(&'a OAuth2),
    Azure(&'a AzureAd),
    Google(&'a GoogleIam),
}

impl Source<'_> {
    /// In words.
    fn name(self) -> String {
        match self {
            Source::OAuth2(oauth2) => oauth2.token_url.to_string(),
            Source::Azure(_) => "Azure".to_owned(),
            Source::Google(_) => "Google".to_owned(),
        }
    }
}

impl HttpClient {
    /// Speaks as the configuration says.
    pub fn new(config: HttpClientConfig) -> HttpClient {
        let signer = config.sigv4.as_ref().map(|config| Box::new(aws::Signer::new(config)));
        HttpClient { config, token: tokio::sync::Mutex::new(None), signer }
    }

    /// Sends a request with all that belongs to it. The request's own headers, time and bounds are the caller's.
    pub async fn send(&self, runtime: &Runtime, request: Request) -> Result<Response, String> {
        let request = self.prepare(runtime, request).await?;
        let response = http::send(runtime, request).await.map_err(|error| error.to_string())?;
        self.took(&response).await;
        Ok(response)
    }

    /// Forgets a token that this answer refuses, for those who send requests themselves.
    pub async fn took(&self, response: &Response) {
        if response.status == 401 && self.source().is_some() {
            *self.token.lock().await = None;
        }
        if let Some(signer) = self.signer.as_ref().filter(|_| matches!(response.status, 401 | 403)) {
            signer.forget();
        }
    }

    /// The answer to a request, which is one of success, within bounds. The error names the address without its query.
    pub async fn ask(
        &self,
        runtime: &Runtime,
        mut request: Request,
        timeout: Duration,
        body_max: usize,
    ) -> Result<Response, String> {
        request.timeout = timeout;
        request.body_max = body_max;
        let url = request.url.clone();
        let place = || url.as_str().split('?').next().unwrap_or_default().to_owned();
        // Boxed, since everything that asks would hold it whole.
        let response = Box::pin(self.send(runtime, request)).await.map_err(|error| format!("{}: {error}", place()))?;
        if !(200..300).contains(&response.status) {
            return Err(format!("{} answers with status {}{}", place(), response.status, first_words(&response.body)));
        }
        if response.truncated {
            return Err(format!("the answer of {} is longer than {body_max} bytes", place()));
        }
        Ok(response)
    }

    /// The request with credentials, headers, trust and proxy, for those who send it themselves. The error says which
    /// file cannot be read, or why there is no token.
    pub async fn prepare(&self, runtime: &Runtime, request: Request) -> Result<Request, String> {
        let mut request = self.plain(runtime, request)?;
        if let Some(source) = self.source() {
            let wait = request.timeout.min(token::TIMEOUT);
            let token = runtime.clock.timeout(wait, self.token(runtime, source)).await;
            let token =
                token.map_err(|_| format!("no token from {} within {} s", source.name(), wait.as_secs_f64()))?;
            request = request.header("authorization", token?);
        }
        match &self.signer {
            // A redirect would need a signature of its own.
            Some(signer) => Ok(Request { redirects_max: 0, ..signer.sign(runtime, request).await? }),
            None => Ok(request),
        }
    }

    fn plain(&self, runtime: &Runtime, mut request: Request) -> Result<Request, String> {
        let (config, disk) = (&self.config, &runtime.disk);
        request.redirects_max = if config.follow_redirects { REDIRECTS_MAX } else { 0 };
        request.verify = !config.tls_config.insecure_skip_verify;
        request.tls = TlsOptions::of(&config.tls_config, disk)?;
        request.proxies = proxies(config, runtime)?;
        headers(&config.http_headers, disk, &mut request)?;
        if let Some(basic) = &config.basic_auth {
            let user = match &basic.username_file {
                Some(file) => text(disk, file)?,
                None => basic.username.clone(),
            };
            let password = held(disk, &basic.password, &basic.password_file)?;
            request = request.header("authorization", encoded(&user, &password));
        } else if let Some(other) = &config.authorization {
            let credentials = held(disk, &other.credentials, &other.credentials_file)?;
            let value = format!("{} {credentials}", other.kind.trim());
            request = request.header("authorization", value.trim_end());
        }
        Ok(request)
    }

    /// Where tokens come from, if there are any.
    fn source(&self) -> Option<Source<'_>> {
        let HttpClientConfig { oauth2, azuread, google_iam, .. } = &self.config;
        let cloud = || azuread.as_ref().map(Source::Azure).or_else(|| google_iam.as_ref().map(Source::Google));
        oauth2.as_ref().map(Source::OAuth2).or_else(cloud)
    }

    /// The header's value; fetched once, however many ask.
    async fn token(&self, runtime: &Runtime, source: Source<'_>) -> Result<String, String> {
        let now = runtime.clock.monotonic();
        let mut held = self.token.lock().await;
        if let Some(token) = held.as_ref().filter(|token| token.until.is_none_or(|until| now < until)) {
            return Ok(token.value.expose().to_owned());
        }
        let (value, lasts) = match source {
            Source::OAuth2(oauth2) => token::fetch(runtime, oauth2).await?,
            Source::Azure(azure) => cloud::azure(runtime, azure).await?,
            Source::Google(google) => cloud::google(runtime, google).await?,
        };
        let until = lasts.map(|lasts| now + lasts.saturating_sub(TOKEN_MARGIN));
        *held = Some(Token { value: Secret::new(value.clone()), until });
        Ok(value)
    }
}

fn proxies(config: &HttpClientConfig, runtime: &Runtime) -> Result<Proxies, String> {
    let connect_headers = || {
        let pairs = config.proxy_connect_header.iter();
        pairs.flat_map(|(name, values)| values.iter().map(move |value| (name.clone(), value.clone()))).collect()
    };
    let proxy = |text: &str| {
        let it = watchbell_model::proxy(text)?;
        Ok::<_, String>(Proxy { url: it.url, user: it.user, socks: it.socks, connect_headers: connect_headers() })
    };
    if config.proxy_from_environment {
        return Ok(Proxies::of_environment(&runtime.environment, |text| proxy(text).ok()));
    }
    let Some(text) = config.proxy_url.as_ref().filter(|text| !text.is_empty()) else { return Ok(Proxies::default()) };
    let proxy = proxy(text.expose())?;
    let no_proxy = config.no_proxy.clone().filter(|text| !text.is_empty());
    Ok(Proxies { http: Some(proxy.clone()), https: Some(proxy), no_proxy })
}

fn headers(headers: &BTreeMap<String, HttpHeader>, disk: &Disk, request: &mut Request) -> Result<(), String> {
    for (name, header) in headers {
        let mut values = header.values.clone();
        values.extend(header.secrets.iter().map(|secret| secret.expose().to_owned()));
        for file in &header.files {
            values.push(text(disk, file)?);
        }
        request.headers.extend(values.into_iter().map(|value| (name.clone(), value)));
        if !header.secrets.is_empty() || !header.files.is_empty() {
            request.secret_headers.push(name.to_ascii_lowercase());
        }
    }
    Ok(())
}

/// A secret that is given or stands in a file, and nothing where neither is; the error says which file cannot be read.
pub fn held(disk: &Disk, given: &Option<Secret>, file: &Option<PathBuf>) -> Result<String, String> {
    match (given, file) {
        (Some(secret), _) => Ok(secret.expose().to_owned()),
        (None, Some(file)) => text(disk, file),
        (None, None) => Ok(String::new()),
    }
}

fn text(disk: &Disk, path: &Path) -> Result<String, String> {
    match disk.read_text(path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    }
}

fn encoded(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// What a refusal says of itself, if it is short enough to be read.
fn first_words(body: &[u8]) -> String {
    const SHOWN_MAX: usize = 300;
    let text = String::from_utf8_lossy(&body[..body.len().min(SHOWN_MAX)]);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() { String::new() } else { format!(": {words}") }
}

/// Percent-encoding of a query's part.
pub fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, b| {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(b)),
            b => out.push_str(&format!("%{b:02X}")),
        }
        out
    })
}

#[cfg(test)]
mod tests;
