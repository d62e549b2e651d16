//! Sends a web request and judges the answer: status, keywords, a condition on its JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Mutex;

use base64::Engine as _;
use flate2::read::{DeflateDecoder, MultiGzDecoder};
use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{HttpClientConfig, OAuth2, Path, Problems, Secret, TlsConfig, Url};
use watchbell_runtime::http::{self, Progress, Request, Response, Versions};
use watchbell_runtime::tls::TlsOptions;

use super::answer::{HeaderCondition, JsonCondition, StatusRange};
use super::attempt::{Attempt, Failure, HttpSeen};
use super::brotli;
use super::dialogue::shown;
use super::kinds::{Kind, Probing};
use super::tls::with_trust;

/// How much of an answer's body is read; a keyword after that is not found.
pub const HTTP_BODY_BYTES_MAX: usize = 1 << 20;
/// The most redirects that may be followed.
pub const HTTP_REDIRECTS_MAX: u32 = 20;

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const OUR_HEADERS: [&str; 4] = ["host", "content-length", "connection", "transfer-encoding"];

with_trust! {
    /// A web page or API: it answers with a good status, and what it answers is right.
    #[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct HttpConfig {
        /// The address.
        pub url: Url,
        /// `GET`, `HEAD`, `POST`, `PUT`, `PATCH`, `DELETE` or `OPTIONS`.
        #[serde(default = "HttpConfig::default_method")]
        pub method: String,
        /// Headers to send. Their values are never shown.
        #[serde(default)]
        pub headers: BTreeMap<String, Secret>,
        /// What to send as the body. It is never shown.
        #[serde(default)]
        pub body: Option<Secret>,
        /// Which statuses are good, such as `[200-299, 401]`.
        #[serde(default = "HttpConfig::default_status")]
        pub status: Vec<StatusRange>,
        /// Text that must be in the first MiB of the answer, in the same case.
        #[serde(default)]
        pub keyword: Option<String>,
        /// Text that must not be in the first MiB of the answer, in the same case.
        #[serde(default)]
        pub keyword_absent: Option<String>,
        /// What the answer, read as JSON, must say.
        #[serde(default)]
        pub json: Option<JsonCondition>,
        /// How many redirects are followed; the answer after the last one is judged.
        #[serde(default = "HttpConfig::default_redirects")]
        pub redirects: u32,
        /// Signs in with a user and a password.
        #[serde(default)]
        pub basic_auth: Option<BasicAuth>,
        /// Signs in with a token, sent as `Authorization: Bearer`.
        #[serde(default)]
        pub bearer: Option<Secret>,
        /// Signs in with a token that is fetched from an OAuth 2.0 server and kept while it holds.
        #[serde(default)]
        pub oauth2: Option<OAuth2>,
        /// What headers of the answer must be.
        #[serde(default)]
        pub answer_headers: Vec<HeaderCondition>,
        /// Whether HTTP/2 is spoken where the server chooses it over TLS.
        #[serde(default = "watchbell_model::yes")]
        pub http2: bool,
        /// In which versions of HTTP the answer may come, such as `[HTTP/2.0]`; by default any.
        #[serde(default)]
        pub versions: Vec<HttpVersion>,
        /// The proxy through which it is reached, such as `http://proxy.example.org:3128` or `socks5://host:1080`, with
        /// `name:password@` before the host if it asks for them.
        #[serde(default)]
        pub proxy: Option<Secret>,
        /// How many bytes the answer's body may have; a longer one counts as down.
        #[serde(default)]
        pub body_bytes_max: Option<u64>,
        /// How the body must be compressed; that is asked for, and the conditions look into what was unpacked.
        #[serde(default)]
        pub compression: Option<HttpCompression>,
    }
}

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
pub enum HttpVersion {
    /// The oldest that is spoken.
    #[serde(rename = "HTTP/1.0")]
    Http10,
    /// What most speak in clear text.
    #[serde(rename = "HTTP/1.1")]
    Http11,
    /// Spoken over TLS.
    #[serde(rename = "HTTP/2.0")]
    Http20,
}

impl HttpVersion {
    fn as_str(self) -> &'static str {
        match self {
            HttpVersion::Http10 => "HTTP/1.0",
            HttpVersion::Http11 => "HTTP/1.1",
            HttpVersion::Http20 => "HTTP/2.0",
        }
    }
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HttpCompression {
    /// As `gzip` does.
    Gzip,
    /// The same without its header.
    Deflate,
    /// As Brotli does.
    Br,
}

impl HttpCompression {
    fn as_str(self) -> &'static str {
        match self {
            HttpCompression::Gzip => "gzip",
            HttpCompression::Deflate => "deflate",
            HttpCompression::Br => "br",
        }
    }
}

/// A user of a web page.
#[derive(Debug, Clone, PartialEq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// The user; it cannot contain a colon.
    pub username: String,
    /// The password, best as `${secret:name}`.
    pub password: Secret,
}

impl HttpConfig {
    /// An address with every other field at its default.
    pub fn new(url: Url) -> HttpConfig {
        HttpConfig {
            url,
            method: HttpConfig::default_method(),
            headers: BTreeMap::new(),
            body: None,
            status: HttpConfig::default_status(),
            keyword: None,
            keyword_absent: None,
            json: None,
            redirects: HttpConfig::default_redirects(),
            basic_auth: None,
            bearer: None,
            oauth2: None,
            answer_headers: Vec::new(),
            http2: true,
            versions: Vec::new(),
            proxy: None,
            body_bytes_max: None,
            compression: None,
            server_name: None,
            verify: true,
            roots_file: None,
            cert_file: None,
            key_file: None,
        }
    }

    fn default_method() -> String {
        "GET".into()
    }

    fn default_status() -> Vec<StatusRange> {
        vec![StatusRange::SUCCESS]
    }

    fn default_redirects() -> u32 {
        5
    }

    fn check_credentials(&self, path: &Path, problems: &mut Problems) {
        let header = self.headers.keys().any(|name| name.eq_ignore_ascii_case("authorization"));
        let ways = [header, self.basic_auth.is_some(), self.bearer.is_some(), self.oauth2.is_some()];
        if ways.iter().filter(|way| **way).count() > 1 {
            problems
                .error(path, "it signs in twice")
                .hint("keep one of `basic_auth`, `bearer`, `oauth2` and the header `Authorization`");
        }
        if let Some(basic) = &self.basic_auth
            && basic.username.contains(':')
        {
            problems
                .error(&path.field("basic_auth").field("username"), "a user with a colon cannot sign in this way")
                .hint("RFC 7617 leaves no room for it; use another user");
        }
        if let Some(bearer) = &self.bearer
            && (bearer.is_empty() || ::http::HeaderValue::from_str(bearer.expose()).is_err())
        {
            problems
                .error(&path.field("bearer"), "the token is empty or contains a control character")
                .hint("a secret file's last line feed is a usual cause");
        }
        if !ways.contains(&true) {
            return;
        }
        let host = self.url.host();
        let is_local = host == "localhost"
            || host.ends_with(".localhost")
            || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
        if !self.url.is_https() && !is_local {
            problems.warning(&path.field("url"), "the credentials are sent in clear text").hint("use `https://`");
        } else if self.url.is_https() && !self.verify {
            problems
                .warning(&path.field("verify"), "the credentials are sent to whoever answers")
                .hint("verify the certificate; for one of your own, give its root in `roots_file`");
        }
    }

    /// What is fetched or reached by way of others.
    fn client(&self) -> HttpClientConfig {
        let (oauth2, proxy_url) = (self.oauth2.clone(), self.proxy.clone());
        HttpClientConfig { oauth2, proxy_url, ..HttpClientConfig::default() }
    }

    async fn request(&self, attempt: &mut Attempt<'_>) -> Result<Request, Failure> {
        let mut headers: Vec<(String, String)> =
            self.headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect();
        if let Some(basic) = &self.basic_auth {
            let both = format!("{}:{}", basic.username, basic.password.expose());
            let encoded = base64::engine::general_purpose::STANDARD.encode(both);
            headers.push(("authorization".into(), format!("Basic {encoded}")));
        }
        if let Some(token) = &self.bearer {
            headers.push(("authorization".into(), format!("Bearer {}", token.expose())));
        }
        if let Some(compression) = self.compression {
            headers.push(("accept-encoding".into(), compression.as_str().into()));
        }
        let mut request = Request { timeout: attempt.remaining(), ..Request::get(self.url.clone()) };
        if self.oauth2.is_some() || self.proxy.is_some() {
            let clock = attempt.runtime.clock.clone();
            let begun = clock.monotonic();
            let client = attempt.live.http_client(&attempt.monitor.name, self.client());
            request = client.prepare(attempt.runtime, request).await.map_err(Failure)?;
            if self.oauth2.is_some() {
                attempt.spent("token", clock.monotonic() - begun);
            }
        }
        request.headers.extend(headers);
        Ok(Request {
            method: self.method.clone(),
            body: self.body.as_ref().map(|body| body.expose().as_bytes().to_vec()).unwrap_or_default(),
            timeout: attempt.remaining(),
            body_max: HTTP_BODY_BYTES_MAX,
            drain: self.body_bytes_max.is_some_and(|max| max >= HTTP_BODY_BYTES_MAX as u64),
            versions: if self.http2 { Versions::Both } else { Versions::One },
            redirects_max: self.redirects,
            tls: TlsOptions { server_name: self.server_name.clone(), ..attempt.tls_options(self.trust(""))? },
            verify: self.verify,
            ..request
        })
    }

    fn saw(&self, response: &Response, attempt: &mut Attempt<'_>) {
        attempt.seen.http = Some(HttpSeen {
            status: response.status,
            redirects: response.redirects,
            content_length: response.header("content-length").and_then(|text| text.trim().parse().ok()),
            version: response.version.clone(),
            body_length: response.body_length,
            is_tls: response.tls.is_some(),
            body_refused: None,
        });
    }

    fn judge(&self, response: &Response, attempt: &mut Attempt<'_>) -> Result<String, Failure> {
        let status = status_words(response.status);
        if !self.status.iter().any(|range| range.contains(response.status)) {
            let good: Vec<String> = self.status.iter().map(StatusRange::to_string).collect();
            let mut words = format!("expected status {}, but the server answered {status}", good.join(" or "));
            if response.redirects > 0 {
                words.push_str(&format!(" at {} after {} redirects", response.url, response.redirects));
            }
            if let (300..=399, Some(location)) = (response.status, response.header("location")) {
                words.push_str(&format!(", which leads on to {}", shown(location)));
            }
            return Err(Failure(words));
        }
        let version = &response.version;
        if !self.versions.is_empty() && !self.versions.iter().any(|it| it.as_str() == version) {
            let good: Vec<&str> = self.versions.iter().map(|it| it.as_str()).collect();
            return Err(Failure(format!("expected {}, but the server answered in {version}", good.join(" or "))));
        }
        for condition in &self.answer_headers {
            condition.judge(&response.headers)?;
        }
        if let Some(max) = self.body_bytes_max.filter(|max| response.body_length > *max) {
            return Err(Failure(format!("the answer has {} bytes, more than {max}", response.body_length)));
        }
        let unpacked = self.unpacked(response)?;
        if self.keyword.is_none() && self.keyword_absent.is_none() && self.json.is_none() {
            return Ok(status);
        }
        let cut = self.compression.is_some() && unpacked.len() == HTTP_BODY_BYTES_MAX;
        let judged = self.judge_body(&unpacked, response.truncated || cut);
        if let Some(seen) = &mut attempt.seen.http {
            seen.body_refused = Some(judged.is_err());
        }
        judged.map(|()| status)
    }

    /// The body without its compression.
    fn unpacked<'b>(&self, response: &'b Response) -> Result<Cow<'b, [u8]>, Failure> {
        let Some(compression) = self.compression else { return Ok(Cow::Borrowed(&response.body)) };
        let told = response.header("content-encoding").unwrap_or("identity");
        if !told.eq_ignore_ascii_case(compression.as_str()) {
            let words = format!("expected a body compressed by {}, but it is {}", compression.as_str(), shown(told));
            return Err(Failure(words));
        }
        let body = response.body.as_slice();
        let broken = |error: std::io::Error| Failure(format!("the body cannot be unpacked: {error}"));
        let reader: Box<dyn Read> = match compression {
            HttpCompression::Gzip => Box::new(MultiGzDecoder::new(body)),
            HttpCompression::Deflate => Box::new(DeflateDecoder::new(body)),
            HttpCompression::Br => Box::new(brotli::unpack(body).map_err(broken)?),
        };
        let mut bytes = Vec::new();
        reader.take(HTTP_BODY_BYTES_MAX as u64).read_to_end(&mut bytes).map_err(broken)?;
        Ok(Cow::Owned(bytes))
    }

    fn judge_body(&self, body: &[u8], truncated: bool) -> Result<(), Failure> {
        let text = String::from_utf8_lossy(body);
        let where_to = if truncated { "in the first MiB of the answer" } else { "in the answer" };
        if let Some(keyword) = &self.keyword
            && !text.contains(keyword.as_str())
        {
            return Err(Failure(format!("expected `{}` {where_to}, but it is not there", shown(keyword))));
        }
        if let Some(keyword) = &self.keyword_absent
            && text.contains(keyword.as_str())
        {
            return Err(Failure(format!("`{}` is {where_to} and should not be", shown(keyword))));
        }
        match &self.json {
            Some(_) if truncated => Err(Failure::new("the answer is longer than one MiB and cannot be read as JSON")),
            Some(condition) => condition.judge(body),
            None => Ok(()),
        }
    }
}

impl Kind for HttpConfig {
    fn target(&self) -> String {
        self.url.as_str().to_owned()
    }

    fn check(&self, path: &Path, problems: &mut Problems) {
        if !METHODS.contains(&self.method.as_str()) {
            problems
                .error(&path.field("method"), format!("`{}` is not a method that probes use", self.method))
                .hint(format!("one of {}", METHODS.join(", ")));
        } else if self.method == "HEAD"
            && (self.keyword.is_some() || self.keyword_absent.is_some() || self.json.is_some())
        {
            problems.error(&path.field("method"), "the answer to HEAD has no body to look into").hint("use GET");
        }
        if self.status.is_empty() {
            problems.error(&path.field("status"), "no status is good").hint("leave it out for `[200-299]`");
        }
        if self.redirects > HTTP_REDIRECTS_MAX {
            problems
                .error(&path.field("redirects"), format!("{} redirects are too many", self.redirects))
                .hint(format!("at most {HTTP_REDIRECTS_MAX}; the default is {}", HttpConfig::default_redirects()));
        }
        for (field, text) in [("keyword", &self.keyword), ("keyword_absent", &self.keyword_absent)] {
            if text.as_deref() == Some("") {
                problems.error(&path.field(field), "an empty text is in every answer").hint("leave the field out");
            }
        }
        if let Some(json) = &self.json {
            json.check(&path.field("json"), problems);
        }
        for (at, condition) in self.answer_headers.iter().enumerate() {
            condition.check(&path.field("answer_headers").index(at), problems);
        }
        if let Some(Err(reason)) = self.proxy.as_ref().map(|proxy| watchbell_model::proxy(proxy.expose())) {
            problems.error(&path.field("proxy"), reason).hint("such as `http://proxy.example.org:3128`");
        }
        HttpClientConfig { proxy_url: None, ..self.client() }.check(path, problems);
        self.check_trust(path, problems);
        check_headers(&self.headers, &path.field("headers"), problems);
        self.check_credentials(path, problems);
    }

    fn anchor(&mut self, base: &std::path::Path) {
        self.anchor_trust(base);
        if let Some(oauth2) = &mut self.oauth2 {
            watchbell_model::anchor_http_client(
                None,
                None,
                Some(oauth2),
                &mut TlsConfig::default(),
                &mut BTreeMap::new(),
                base,
            );
        }
    }

    fn probe<'a>(&'a self, attempt: &'a mut Attempt<'_>) -> Probing<'a> {
        Box::pin(async move {
            let request = self.request(attempt).await?;
            let progress = Mutex::new(Progress::default());
            let answer = http::send_watched(attempt.runtime, request, &progress).await;
            attempt.stop_the_watch();
            attempt.saw_answer(&answer, progress);
            let response = answer.map_err(|error| Failure(error.to_string()))?;
            if self.oauth2.is_some() {
                attempt.live.http_client(&attempt.monitor.name, self.client()).took(&response).await;
            }
            self.saw(&response, attempt);
            self.judge(&response, attempt)
        })
    }
}

/// A status with its name.
pub(crate) fn status_words(status: u16) -> String {
    let known = ::http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    known.map_or_else(|| status.to_string(), |reason| format!("{status} {reason}"))
}

/// Headers that may be sent.
pub(crate) fn check_headers(headers: &BTreeMap<String, Secret>, path: &Path, problems: &mut Problems) {
    for (name, value) in headers {
        let path = path.field(name.as_str());
        if OUR_HEADERS.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
            problems.error(&path, format!("the header `{name}` is set by watchbell")).hint("leave it out");
        } else if ::http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            problems.error(&path, format!("{name:?} is not the name of a header")).hint("such as `Accept`");
        } else if ::http::HeaderValue::from_str(value.expose()).is_err() {
            problems
                .error(&path, "its value contains a control character")
                .hint("one line; a secret file's last line feed is a usual cause");
        }
    }
}

/// Whether a text is a regular expression, as a problem if not.
pub(crate) fn check_regex(pattern: &str, path: &Path, problems: &mut Problems) {
    if let Err(error) = Regex::new(pattern) {
        problems
            .error(path, format!("it is not a regular expression: {}", regex_words(&error)))
            .hint("escape `.`, `(`, `[`, `*` and `+` with a backslash if they are meant as they stand");
    }
}

/// The last line of a regular expression's error says what is wrong; the lines before draw where.
pub(crate) fn regex_words(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
