//! Sends a web request and judges the answer: status, keywords, a condition on its JSON.

use std::collections::BTreeMap;

use base64::Engine as _;
use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems, Secret, Url};
use watchbell_runtime::http::{self, HttpError, Request, Response};
use watchbell_runtime::tls::TlsOptions;

use super::answer::{JsonCondition, StatusRange};
use super::attempt::{Attempt, Failure, HttpSeen};
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
        let ways = [header, self.basic_auth.is_some(), self.bearer.is_some()];
        if ways.iter().filter(|way| **way).count() > 1 {
            problems
                .error(path, "it signs in twice")
                .hint("keep one of `basic_auth`, `bearer` and the header `Authorization`");
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

    fn request(&self, attempt: &Attempt<'_>) -> Result<Request, Failure> {
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
        Ok(Request {
            method: self.method.clone(),
            headers,
            body: self.body.as_ref().map(|body| body.expose().as_bytes().to_vec()).unwrap_or_default(),
            timeout: attempt.remaining(),
            body_max: HTTP_BODY_BYTES_MAX,
            redirects_max: self.redirects,
            tls: TlsOptions { server_name: self.server_name.clone(), ..attempt.tls_options(self.trust(""))? },
            verify: self.verify,
            ..Request::get(self.url.clone())
        })
    }

    fn saw(&self, response: &Response, attempt: &mut Attempt<'_>) {
        for (phase, time) in &response.phases {
            attempt.spent(phase, *time);
        }
        if let Some(report) = &response.tls {
            attempt.saw_tls(report);
        }
        attempt.seen.http = Some(HttpSeen {
            status: response.status,
            redirects: response.redirects,
            content_length: response.header("content-length").and_then(|text| text.trim().parse().ok()),
            body_length: response.body.len() as u64,
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
        if self.keyword.is_none() && self.keyword_absent.is_none() && self.json.is_none() {
            return Ok(status);
        }
        let judged = self.judge_body(response);
        if let Some(seen) = &mut attempt.seen.http {
            seen.body_refused = Some(judged.is_err());
        }
        judged.map(|()| status)
    }

    fn judge_body(&self, response: &Response) -> Result<(), Failure> {
        let text = String::from_utf8_lossy(&response.body);
        let where_to = if response.truncated { "in the first MiB of the answer" } else { "in the answer" };
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
            Some(_) if response.truncated => {
                Err(Failure::new("the answer is longer than one MiB and cannot be read as JSON"))
            }
            Some(condition) => condition.judge(&response.body),
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
        self.check_trust(path, problems);
        check_headers(&self.headers, &path.field("headers"), problems);
        self.check_credentials(path, problems);
    }

    fn anchor(&mut self, base: &std::path::Path) {
        self.anchor_trust(base);
    }

    fn probe<'a>(&'a self, attempt: &'a mut Attempt<'_>) -> Probing<'a> {
        Box::pin(async move {
            let request = self.request(attempt)?;
            match http::send(attempt.runtime, request).await {
                Ok(response) => {
                    attempt.stop_the_watch();
                    self.saw(&response, attempt);
                    self.judge(&response, attempt)
                }
                Err(error) => {
                    if let HttpError::Certificate(untrusted) = &error {
                        attempt.saw_tls(&untrusted.report);
                    }
                    Err(Failure(error.to_string()))
                }
            }
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
