//! Everything Prometheus' `http_config` says of how an HTTP service is spoken to, for scrapes and discoveries alike.
//!
//! In files its fields stand among those of what speaks (a job, a discovery): [`with_http_client!`](crate::with_http_client)
//! puts them there, so that each is named once.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Authorization, AzureAd, BasicAuth, GoogleIam, Path, Problems, Secret, SigV4Config, TlsConfig, Url};

/// Headers that are set by whoever speaks, so that `http_headers` may not.
const HEADERS_RESERVED: [&str; 18] = [
    "authorization",
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "accept-encoding",
    "x-prometheus-remote-write-version",
    "x-prometheus-remote-read-version",
    "x-prometheus-scrape-timeout-seconds",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
];

/// Whether a header is set by whoever speaks, so that no configuration may, as in Prometheus.
pub fn is_reserved_header(name: &str) -> bool {
    HEADERS_RESERVED.contains(&name.to_ascii_lowercase().as_str())
}

/// How an HTTP service is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HttpClientConfig {
    /// A user's name and password.
    pub basic_auth: Option<BasicAuth>,
    /// Other credentials, such as a bearer token.
    pub authorization: Option<Authorization>,
    /// Credentials that are fetched.
    pub oauth2: Option<OAuth2>,
    /// As whom requests to Amazon's Prometheus are signed.
    pub sigv4: Option<SigV4Config>,
    /// As whom Azure Monitor is asked.
    pub azuread: Option<AzureAd>,
    /// As whom Google's Cloud Monitoring is asked.
    pub google_iam: Option<GoogleIam>,
    /// How far it is trusted.
    pub tls_config: TlsConfig,
    /// Through what it is reached; see [`proxy`].
    pub proxy_url: Option<Secret>,
    /// What is reached directly all the same.
    pub no_proxy: Option<String>,
    /// Whether the environment says so.
    pub proxy_from_environment: bool,
    /// What the proxy is sent besides.
    pub proxy_connect_header: BTreeMap<String, Vec<Secret>>,
    /// What is sent besides.
    pub http_headers: BTreeMap<String, HttpHeader>,
    /// Whether redirects are followed.
    pub follow_redirects: bool,
}

impl Default for HttpClientConfig {
    fn default() -> HttpClientConfig {
        HttpClientConfig {
            basic_auth: None,
            authorization: None,
            oauth2: None,
            sigv4: None,
            azuread: None,
            google_iam: None,
            tls_config: TlsConfig::default(),
            proxy_url: None,
            no_proxy: None,
            proxy_from_environment: false,
            proxy_connect_header: BTreeMap::new(),
            http_headers: BTreeMap::new(),
            follow_redirects: true,
        }
    }
}

/// Values of a header.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpHeader {
    /// As they are.
    #[serde(default)]
    pub values: Vec<String>,
    /// As they are, and never shown.
    #[serde(default)]
    pub secrets: Vec<Secret>,
    /// Files that hold one each, read anew each time they are used.
    #[serde(default)]
    pub files: Vec<PathBuf>,
}

/// OAuth 2.0: a token is fetched with the client's secret, or with a statement that its key has signed (RFC 7523), kept
/// while it holds, and sent as a bearer token.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OAuth2 {
    /// Who asks.
    pub client_id: String,
    /// Its secret.
    #[serde(default)]
    pub client_secret: Option<Secret>,
    /// A file that holds its secret.
    #[serde(default)]
    pub client_secret_file: Option<PathBuf>,
    /// The private RSA key of the client as PEM, without a passphrase; for `jwt-bearer`.
    #[serde(default)]
    pub client_certificate_key: Option<Secret>,
    /// A file that holds it, read anew for each token.
    #[serde(default)]
    pub client_certificate_key_file: Option<PathBuf>,
    /// What the key is called there; for `jwt-bearer`.
    #[serde(default)]
    pub client_certificate_key_id: Option<String>,
    /// `client_credentials` (the default), or `urn:ietf:params:oauth:grant-type:jwt-bearer`.
    #[serde(default)]
    pub grant_type: Option<String>,
    /// `RS256` (the default), `RS384` or `RS512`; for `jwt-bearer`.
    #[serde(default)]
    pub signature_algorithm: Option<String>,
    /// Who signs; by default `client_id`; for `jwt-bearer`.
    #[serde(default)]
    pub iss: Option<String>,
    /// For whom the signed statement is; by default `token_url`; for `jwt-bearer`.
    #[serde(default)]
    pub audience: Option<String>,
    /// What is stated besides; for `jwt-bearer`.
    #[serde(default)]
    pub claims: BTreeMap<String, serde_json::Value>,
    /// What the token is asked for.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Where the token is fetched.
    pub token_url: Url,
    /// Further parameters of the question.
    #[serde(default)]
    pub endpoint_params: BTreeMap<String, String>,
    /// How far that address is trusted.
    #[serde(default)]
    pub tls_config: TlsConfig,
    /// Through what that address is reached.
    #[serde(default)]
    pub proxy_url: Option<Secret>,
    /// What is reached directly all the same.
    #[serde(default)]
    pub no_proxy: Option<String>,
    /// Whether the environment says through what.
    #[serde(default)]
    pub proxy_from_environment: bool,
    /// What the proxy is sent besides.
    #[serde(default)]
    pub proxy_connect_header: BTreeMap<String, Vec<Secret>>,
    /// What that address is sent besides.
    #[serde(default)]
    pub http_headers: BTreeMap<String, HttpHeader>,
}

/// What holds unless it is said otherwise.
pub fn yes() -> bool {
    true
}

/// The grant for which the client signs a statement (RFC 7523, 2.1).
pub const GRANT_JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

impl OAuth2 {
    /// Whether the client signs a statement in place of showing its secret.
    pub fn is_signed(&self) -> bool {
        self.grant_type.as_deref() == Some(GRANT_JWT_BEARER)
    }

    /// What is wrong with it, as Prometheus sees it.
    fn check(&self, path: &Path, problems: &mut Problems) {
        if self.client_id.is_empty() {
            problems
                .error(&path.field("client_id"), "the client has no id")
                .hint("as the authorization server knows it");
        }
        if let Some(kind) = self.grant_type.as_deref()
            && !matches!(kind, "" | "client_credentials" | GRANT_JWT_BEARER)
        {
            problems
                .error(&path.field("grant_type"), format!("the grant type `{kind}` is not supported"))
                .hint(format!("`client_credentials` or `{GRANT_JWT_BEARER}`"));
        }
        let two = |problems: &mut Problems, one: &str| {
            problems
                .error(path, format!("there are both `{one}` and `{one}_file`"))
                .hint("at most one of them is needed");
        };
        let key = &self.client_certificate_key;
        match self.is_signed() {
            true if key.is_some() && self.client_certificate_key_file.is_some() => {
                two(problems, "client_certificate_key");
            }
            true if key.is_none() && self.client_certificate_key_file.is_none() => {
                problems
                    .warning(path, "there is no key to sign with, so that no token can be fetched")
                    .hint("give `client_certificate_key_file`");
            }
            false if self.client_secret.is_some() && self.client_secret_file.is_some() => {
                two(problems, "client_secret");
            }
            _ => {}
        }
        if let Some(name) = self.signature_algorithm.as_deref().filter(|_| self.is_signed())
            && !matches!(name, "" | "RS256" | "RS384" | "RS512")
        {
            problems
                .error(&path.field("signature_algorithm"), format!("`{name}` is not one that is known"))
                .hint("`RS256`, `RS384` or `RS512`");
        }
        self.client().check(path, problems);
    }

    /// How the address of the token is spoken to.
    pub fn client(&self) -> HttpClientConfig {
        HttpClientConfig {
            tls_config: self.tls_config.clone(),
            proxy_url: self.proxy_url.clone(),
            no_proxy: self.no_proxy.clone(),
            proxy_from_environment: self.proxy_from_environment,
            proxy_connect_header: self.proxy_connect_header.clone(),
            http_headers: self.http_headers.clone(),
            ..HttpClientConfig::default()
        }
    }
}

/// A proxy as its address says: `http://name:password@host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyAddress {
    /// Where it is; of one that speaks SOCKS, `http` and the port that it listens on.
    pub url: Url,
    /// Its user as `name:password`.
    pub user: Option<Secret>,
    /// Whether it speaks SOCKS (RFC 1928) and not HTTP.
    pub socks: bool,
}

/// Reads a proxy's address. Without a scheme it is `http`; `socks5` leaves names to the proxy, as `socks5h` does.
pub fn proxy(text: &str) -> Result<ProxyAddress, String> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (user, host) = match rest[..end].rsplit_once('@') {
        Some((user, host)) => (Some(Secret::new(decoded(user))), host),
        None => (None, &rest[..end]),
    };
    let (scheme, port, socks) = match scheme {
        "http" => ("http", ":80", false),
        "https" => ("https", ":443", false),
        "socks5" | "socks5h" => ("http", ":1080", true),
        // Not repeated: it may hold a password.
        _ => return Err("the proxy's address must start with `http://`, `https://` or `socks5://`".into()),
    };
    let port = if host.ends_with(']') || !host.contains(':') { port } else { "" };
    let url: Url = format!("{scheme}://{host}{port}").parse().map_err(|error: crate::UrlError| error.to_string())?;
    Ok(ProxyAddress { url, user, socks })
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|two| std::str::from_utf8(two).ok());
        match (bytes[at], hex.and_then(|two| u8::from_str_radix(two, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

impl HttpClientConfig {
    /// Makes files it names relative to a folder.
    pub fn anchor(&mut self, base: &std::path::Path) {
        anchor(
            self.basic_auth.as_mut(),
            self.authorization.as_mut(),
            self.oauth2.as_mut(),
            &mut self.tls_config,
            &mut self.http_headers,
            base,
        );
    }

    /// What is wrong with it, as Prometheus sees it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        crate::check_credentials(self.basic_auth.as_ref(), self.authorization.as_ref(), path, problems);
        self.tls_config.check(&path.field("tls_config"), problems);
        self.check_proxy(path, problems);
        self.check_headers(path, problems);
        self.check_sigv4(path, problems);
        self.check_clouds(path, problems);
        let Some(oauth2) = &self.oauth2 else { return };
        if self.basic_auth.is_some() || self.authorization.is_some() {
            problems
                .error(path, "there are other credentials beside `oauth2`")
                .hint("at most one of `basic_auth`, `oauth2` and `authorization` goes with a request");
        }
        oauth2.check(&path.field("oauth2"), problems);
    }

    /// What is wrong with how requests are signed.
    pub fn check_sigv4(&self, path: &Path, problems: &mut Problems) {
        let Some(sigv4) = &self.sigv4 else { return };
        sigv4.check(&path.field("sigv4"), problems);
        if self.basic_auth.is_some() || self.authorization.is_some() || self.oauth2.is_some() {
            problems
                .error(path, "there are other credentials beside `sigv4`")
                .hint("at most one of `basic_auth`, `oauth2`, `authorization` and `sigv4` goes with a request");
        }
    }

    fn check_clouds(&self, path: &Path, problems: &mut Problems) {
        if let Some(azuread) = &self.azuread {
            azuread.check(&path.field("azuread"), problems);
        }
        let clouds = [("azuread", self.azuread.is_some()), ("google_iam", self.google_iam.is_some())];
        let given: Vec<&str> = clouds.into_iter().filter_map(|(name, given)| given.then_some(name)).collect();
        let others =
            self.basic_auth.is_some() || self.authorization.is_some() || self.oauth2.is_some() || self.sigv4.is_some();
        if given.len() > 1 || (others && !given.is_empty()) {
            problems.error(path, format!("there are other credentials beside `{}`", given[0])).hint(
                "at most one of `basic_auth`, `oauth2`, `authorization`, `sigv4`, `azuread` and `google_iam` goes with a request",
            );
        }
    }

    fn check_proxy(&self, path: &Path, problems: &mut Problems) {
        let given = self.proxy_url.as_ref().filter(|url| !url.is_empty());
        let no_proxy = self.no_proxy.as_ref().is_some_and(|text| !text.is_empty());
        if let Some(Err(reason)) = given.map(|url| proxy(url.expose())) {
            problems.error(&path.field("proxy_url"), reason).hint("such as `http://proxy.example.org:3128`");
        }
        if self.proxy_from_environment && (given.is_some() || no_proxy) {
            problems
                .error(path, "the proxy comes from the environment and is given here too")
                .hint("leave out `proxy_url` and `no_proxy`, or `proxy_from_environment`");
        }
        if given.is_none() && no_proxy && !self.proxy_from_environment {
            problems.error(&path.field("no_proxy"), "there is no `proxy_url`").hint("give one, or leave this out");
        }
        if given.is_none() && !self.proxy_from_environment && !self.proxy_connect_header.is_empty() {
            problems
                .error(&path.field("proxy_connect_header"), "there is no `proxy_url`")
                .hint("give one, or leave this out");
        }
    }

    fn check_headers(&self, path: &Path, problems: &mut Problems) {
        for name in self.http_headers.keys() {
            let path = path.field("http_headers").field(name);
            if is_reserved_header(name) {
                problems
                    .error(&path, format!("the header `{name}` is set already"))
                    .hint("credentials stand in `basic_auth`, `authorization` or `oauth2`");
            }
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)) {
                problems.error(&path, format!("`{name}` is not a header's name")).hint("such as `X-Scope-OrgID`");
            }
        }
    }
}

/// Makes files that credentials, trust and headers name relative to a folder.
pub fn anchor(
    basic: Option<&mut BasicAuth>,
    other: Option<&mut Authorization>,
    oauth2: Option<&mut OAuth2>,
    tls: &mut TlsConfig,
    headers: &mut BTreeMap<String, HttpHeader>,
    base: &std::path::Path,
) {
    let mut files: Vec<&mut PathBuf> = Vec::new();
    if let Some(basic) = basic {
        files.extend([basic.username_file.as_mut(), basic.password_file.as_mut()].into_iter().flatten());
    }
    files.extend(other.and_then(|other| other.credentials_file.as_mut()));
    files.extend(tls.files_mut());
    files.extend(headers.values_mut().flat_map(|header| &mut header.files));
    if let Some(oauth2) = oauth2 {
        files.extend(
            [oauth2.client_secret_file.as_mut(), oauth2.client_certificate_key_file.as_mut()].into_iter().flatten(),
        );
        files.extend(oauth2.tls_config.files_mut());
        files.extend(oauth2.http_headers.values_mut().flat_map(|header| &mut header.files));
    }
    for file in files {
        *file = base.join(&*file);
    }
}

/// A struct of a configuration with the fields of Prometheus' `http_config` among its own, `http_client()`, which gives
/// them as a [`HttpClientConfig`], `check_bearer(path, problems)`, and `anchor_http_client(base)`, which makes files they name relative to a folder.
#[macro_export]
macro_rules! with_http_client {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$field_meta:meta])* pub $field:ident: $kind:ty,)*
        }
    ) => {
        $(#[$meta])*
        pub struct $name {
            $($(#[$field_meta])* pub $field: $kind,)*
            /// A user's name and password.
            #[serde(default)]
            pub basic_auth: Option<$crate::BasicAuth>,
            /// Other credentials, such as a bearer token.
            #[serde(default)]
            pub authorization: Option<$crate::Authorization>,
            /// Credentials that are fetched from an OAuth 2.0 server.
            #[serde(default)]
            pub oauth2: Option<$crate::OAuth2>,
            /// The older way to write `authorization`.
            #[serde(default)]
            #[schemars(extend("deprecated" = true))]
            pub bearer_token: Option<$crate::Secret>,
            /// The older way to write `authorization`.
            #[serde(default)]
            #[schemars(extend("deprecated" = true))]
            pub bearer_token_file: Option<std::path::PathBuf>,
            /// How far an `https` address is trusted, and what we show it.
            #[serde(default)]
            pub tls_config: $crate::TlsConfig,
            /// The proxy through which it is reached, such as `http://proxy.example.org:3128` or `socks5://host:1080`, with `name:password@`
            /// before the host if it asks for them.
            #[serde(default)]
            pub proxy_url: Option<$crate::Secret>,
            /// Hosts, addresses and networks that are reached directly all the same, by commas.
            #[serde(default)]
            pub no_proxy: Option<String>,
            /// Whether `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` of the environment say through what it is reached.
            #[serde(default)]
            pub proxy_from_environment: bool,
            /// Headers that the proxy is sent when it is asked for a tunnel, each with its values.
            #[serde(default)]
            pub proxy_connect_header: std::collections::BTreeMap<String, Vec<$crate::Secret>>,
            /// Further headers.
            #[serde(default)]
            pub http_headers: std::collections::BTreeMap<String, $crate::HttpHeader>,
            /// Whether redirects are followed, ten at most.
            #[serde(default = "watchbell_model::yes")]
            pub follow_redirects: bool,
            /// Taken as Prometheus takes it; HTTP/1.1 is what is spoken.
            #[serde(default = "watchbell_model::yes")]
            pub enable_http2: bool,
        }

        impl $name {
            /// How it is spoken to over HTTP.
            pub fn http_client(&self) -> $crate::HttpClientConfig {
                let bearer = || {
                    (self.bearer_token.is_some() || self.bearer_token_file.is_some()).then(|| {
                        $crate::Authorization::bearer(self.bearer_token.clone(), self.bearer_token_file.clone())
                    })
                };
                $crate::HttpClientConfig {
                    basic_auth: self.basic_auth.clone(),
                    authorization: self.authorization.clone().or_else(bearer),
                    oauth2: self.oauth2.clone(),
                    sigv4: None,
                    azuread: None,
                    google_iam: None,
                    tls_config: self.tls_config.clone(),
                    proxy_url: self.proxy_url.clone(),
                    no_proxy: self.no_proxy.clone(),
                    proxy_from_environment: self.proxy_from_environment,
                    proxy_connect_header: self.proxy_connect_header.clone(),
                    http_headers: self.http_headers.clone(),
                    follow_redirects: self.follow_redirects,
                }
            }

            /// What is wrong with the older way to give a token.
            pub fn check_bearer(&self, path: &$crate::Path, problems: &mut $crate::Problems) {
                let bearers = [self.bearer_token.is_some(), self.bearer_token_file.is_some()];
                let others = self.basic_auth.is_some() || self.authorization.is_some() || self.oauth2.is_some();
                if bearers == [true, true] || (others && bearers.contains(&true)) {
                    problems
                        .error(path, "there are other credentials beside `bearer_token`")
                        .hint("at most one of `basic_auth`, `oauth2`, `authorization` and the older `bearer_token` goes with a request");
                }
            }

            /// Makes files that credentials, trust and headers name relative to a folder.
            pub fn anchor_http_client(&mut self, base: &std::path::Path) {
                if let Some(file) = &mut self.bearer_token_file {
                    *file = base.join(&*file);
                }
                $crate::anchor_http_client(
                    self.basic_auth.as_mut(),
                    self.authorization.as_mut(),
                    self.oauth2.as_mut(),
                    &mut self.tls_config,
                    &mut self.http_headers,
                    base,
                );
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_proxy_may_ask_who_comes() {
        let said = |text: &str| match proxy(text) {
            Ok(it) => {
                let user = it.user.map_or(String::new(), |user| user.expose().to_owned());
                format!("{} {user}{}", it.url, if it.socks { " socks" } else { "" })
            }
            Err(error) => error,
        };
        assert_eq!(said("http://u:p%40ss@proxy:3128/x"), "http://proxy:3128 u:p@ss");
        assert_eq!(said("proxy"), "http://proxy:80 ");
        assert_eq!(said("https://[::1]"), "https://[::1]:443 ");
        assert_eq!(said("socks5://u:p@x"), "http://x:1080 u:p socks");
        assert_eq!(said("socks5h://x:1081"), "http://x:1081  socks");
        assert_eq!(said("ftp://u:p@x"), "the proxy's address must start with `http://`, `https://` or `socks5://`");
    }

    #[test]
    fn a_statement_is_signed_with_one_key() {
        let problems_of = |json: &str| {
            let oauth2: OAuth2 = serde_json::from_str(json).unwrap();
            let mut problems = Problems::new();
            oauth2.check(&Path::root(), &mut problems);
            problems.0.iter().map(|it| format!("{}: {}", it.path, it.message)).collect::<Vec<_>>().join("; ")
        };
        let grant = GRANT_JWT_BEARER;
        let good = format!(
            r#"{{"client_id": "a", "token_url": "http://a", "grant_type": "{grant}", "client_certificate_key_file": "k",
                "signature_algorithm": "RS384", "iss": "b", "audience": "c", "claims": {{"x": [1]}},
                "client_secret": "passed over", "client_secret_file": "passed over"}}"#
        );
        assert_eq!(problems_of(&good), "");
        let bad = format!(
            r#"{{"client_id": "a", "token_url": "http://a", "grant_type": "{grant}", "client_certificate_key": "k",
                "client_certificate_key_file": "k", "signature_algorithm": "HS256"}}"#
        );
        assert_eq!(
            problems_of(&bad),
            ": there are both `client_certificate_key` and `client_certificate_key_file`; \
             signature_algorithm: `HS256` is not one that is known"
        );
        let none = format!(r#"{{"client_id": "a", "token_url": "http://a", "grant_type": "{grant}"}}"#);
        assert_eq!(problems_of(&none), ": there is no key to sign with, so that no token can be fetched");
    }

    #[test]
    fn what_prometheus_refuses() {
        let header = || BTreeMap::from([("Host".to_owned(), HttpHeader::default())]);
        let config = HttpClientConfig {
            basic_auth: serde_json::from_str(r#"{"username": "a", "username_file": "b", "password": "c"}"#).unwrap(),
            oauth2: serde_json::from_str(
                r#"{"client_id": "", "token_url": "http://a", "grant_type": "x", "no_proxy": "b"}"#,
            )
            .unwrap(),
            tls_config: serde_json::from_str(
                r#"{"ca": "a", "ca_file": "b", "cert_file": "c", "max_version": "TLS11"}"#,
            )
            .unwrap(),
            proxy_url: Some(Secret::new("ftp://x")),
            proxy_from_environment: true,
            http_headers: header(),
            ..HttpClientConfig::default()
        };
        let mut problems = Problems::new();
        config.check(&Path::root(), &mut problems);
        let got: String = problems.0.iter().map(|it| format!("{}: {}\n", it.path, it.message)).collect();
        expect![[r#"
            basic_auth: there are both `username` and `username_file`
            tls_config: there are both `ca` and `ca_file`
            tls_config: there is a certificate, but no key
            tls_config.max_version: TLS before 1.2 is not spoken
            proxy_url: the proxy's address must start with `http://`, `https://` or `socks5://`
            : the proxy comes from the environment and is given here too
            http_headers.Host: the header `Host` is set already
            : there are other credentials beside `oauth2`
            oauth2.client_id: the client has no id
            oauth2.grant_type: the grant type `x` is not supported
            oauth2.no_proxy: there is no `proxy_url`
        "#]]
        .assert_eq(&got);
    }
}
