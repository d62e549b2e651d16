//! The HTTP client of scrapes, discoveries and channels: credentials, headers, trust and proxies of Prometheus' `http_config`.
//!
//! Files are read anew for every request, so that a renewed secret counts at once. A token of OAuth 2.0 is fetched when
//! it is first needed and kept until shortly before it ends, or until it is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::http::{self, Proxies, Proxy, Request, Response};
use crate::tls::TlsOptions;
use crate::{Disk, Runtime};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use watchbell_model::{HttpClientConfig, HttpHeader, OAuth2, Secret};

/// How many redirects are followed, as in Go.
pub const REDIRECTS_MAX: u32 = 10;
/// A token is not used in the last seconds of its life.
const TOKEN_MARGIN: Duration = Duration::from_secs(10);
/// How long a token's server may take.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Speaks to services in one way.
pub struct HttpClient {
    config: HttpClientConfig,
    token: tokio::sync::Mutex<Option<Token>>,
}

struct Token {
    value: Secret,
    /// By the monotonic clock; `None` where its server did not say.
    until: Option<Duration>,
}

/// What a token's server answers.
#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    token_type: String,
    /// Some servers write it as text.
    #[serde(default)]
    expires_in: serde_json::Value,
}

impl HttpClient {
    /// Speaks as the configuration says.
    pub fn new(config: HttpClientConfig) -> HttpClient {
        HttpClient { config, token: tokio::sync::Mutex::new(None) }
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
        if response.status == 401 && self.config.oauth2.is_some() {
            *self.token.lock().await = None;
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
        if let Some(oauth2) = &self.config.oauth2 {
            let wait = request.timeout.min(TOKEN_TIMEOUT);
            let token = runtime.clock.timeout(wait, self.token(runtime, oauth2)).await;
            let token =
                token.map_err(|_| format!("no token from {} within {} s", oauth2.token_url, wait.as_secs_f64()))?;
            request = request.header("authorization", token?);
        }
        Ok(request)
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

    /// The header's value; fetched once, however many ask.
    async fn token(&self, runtime: &Runtime, oauth2: &OAuth2) -> Result<String, String> {
        let now = runtime.clock.monotonic();
        let mut held = self.token.lock().await;
        if let Some(token) = held.as_ref().filter(|token| token.until.is_none_or(|until| now < until)) {
            return Ok(token.value.expose().to_owned());
        }
        let (value, lasts) = fetch_token(runtime, oauth2).await?;
        let until = lasts.map(|lasts| now + lasts.saturating_sub(TOKEN_MARGIN));
        *held = Some(Token { value: Secret::new(value.clone()), until });
        Ok(value)
    }
}

/// Asks with the client's name and secret in a header, and where that is refused in the body, as Go does.
async fn fetch_token(runtime: &Runtime, oauth2: &OAuth2) -> Result<(String, Option<Duration>), String> {
    let client = HttpClient::new(oauth2.client());
    let secret = self::held(&runtime.disk, &oauth2.client_secret, &oauth2.client_secret_file)?;
    let mut form: Vec<(String, String)> = vec![("grant_type".into(), "client_credentials".into())];
    if !oauth2.scopes.is_empty() {
        form.push(("scope".into(), oauth2.scopes.join(" ")));
    }
    form.extend(oauth2.endpoint_params.iter().map(|(name, value)| (name.clone(), value.clone())));
    let mut failed = String::new();
    for in_header in [true, false] {
        let mut form = form.clone();
        if !in_header {
            form.push(("client_id".into(), oauth2.client_id.clone()));
            form.push(("client_secret".into(), secret.clone()));
        }
        let body: Vec<String> =
            form.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
        let mut request = Request::post(oauth2.token_url.clone(), body.join("&"))
            .header("content-type", "application/x-www-form-urlencoded");
        request.timeout = TOKEN_TIMEOUT;
        if in_header {
            let value = encoded(&escape(&oauth2.client_id), &escape(&secret));
            request = request.header("authorization", value);
        }
        let request = client.plain(runtime, request)?;
        let refuse = |reason: String| format!("no token from {}: {reason}", oauth2.token_url);
        let response = http::send(runtime, request).await.map_err(|error| refuse(error.to_string()))?;
        if !(200..300).contains(&response.status) {
            failed = refuse(format!("it answered with status {}", response.status));
            continue;
        }
        let answer: TokenAnswer = serde_json::from_slice(&response.body).map_err(|error| refuse(error.to_string()))?;
        if answer.access_token.is_empty() {
            return Err(refuse("the answer has no `access_token`".into()));
        }
        let kind = match answer.token_type.to_ascii_lowercase().as_str() {
            "" | "bearer" => "Bearer".to_owned(),
            _ => answer.token_type,
        };
        let seconds = answer.expires_in.as_f64().or_else(|| answer.expires_in.as_str()?.parse().ok());
        let lasts = seconds.filter(|seconds| *seconds > 0.0).and_then(|it| Duration::try_from_secs_f64(it).ok());
        return Ok((format!("{kind} {}", answer.access_token), lasts));
    }
    Err(failed)
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
