//! How an HTTP service is spoken to: credentials, trust, sizes; under Prometheus' names, wherever one is configured.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

use crate::{Path, Problems, Secret};

/// A user's name and password.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// The user's name.
    #[serde(default)]
    pub username: String,
    /// A file that holds the user's name, read anew each time it is used.
    #[serde(default)]
    pub username_file: Option<PathBuf>,
    /// The password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A file that holds the password, read anew each time it is used.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

/// Credentials for the header `Authorization`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Authorization {
    /// Their kind.
    #[serde(default = "Authorization::default_type", rename = "type")]
    pub kind: String,
    /// The credentials, such as a token.
    #[serde(default)]
    pub credentials: Option<Secret>,
    /// A file that holds the credentials, read anew each time it is used.
    #[serde(default)]
    pub credentials_file: Option<PathBuf>,
}

impl Authorization {
    fn default_type() -> String {
        "Bearer".to_owned()
    }

    /// A token, given or in a file.
    pub fn bearer(credentials: Option<Secret>, credentials_file: Option<PathBuf>) -> Authorization {
        Authorization { kind: Authorization::default_type(), credentials, credentials_file }
    }
}

/// How far an `https` address is trusted, and what we show it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Trusted roots as PEM, in place of the machine's.
    #[serde(default)]
    pub ca: Option<String>,
    /// A file of trusted roots as PEM, in place of the machine's; read anew each time it is used.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// A certificate, with its chain, that says who we are, as PEM.
    #[serde(default)]
    pub cert: Option<String>,
    /// A file of it; read anew each time it is used.
    #[serde(default)]
    pub cert_file: Option<PathBuf>,
    /// The key of the certificate, as PEM.
    #[serde(default)]
    pub key: Option<Secret>,
    /// A file of it; read anew each time it is used.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// The name that the certificate of the other side must have, in place of the host's.
    #[serde(default)]
    pub server_name: Option<String>,
    /// Whether a certificate that is not trusted is good enough.
    #[serde(default)]
    pub insecure_skip_verify: bool,
    /// The oldest version of TLS that is spoken: never below 1.2.
    #[serde(default)]
    pub min_version: Option<TlsVersion>,
    /// The newest version of TLS that is spoken.
    #[serde(default)]
    pub max_version: Option<TlsVersion>,
}

/// A version of TLS, as Prometheus writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// 1.0, which is not spoken here.
    #[serde(rename = "TLS10")]
    Tls10,
    /// 1.1, which is not spoken here.
    #[serde(rename = "TLS11")]
    Tls11,
    /// 1.2
    #[serde(rename = "TLS12")]
    Tls12,
    /// 1.3
    #[serde(rename = "TLS13")]
    Tls13,
}

/// A number of bytes: `512KB`, `10MB`, `1GiB`; a unit is 1024 of the one before, as in Prometheus.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ByteSize(pub u64);

impl std::str::FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<ByteSize, String> {
        let refuse = || format!("`{text}` is not a size; write it as `512KB`, `10MB` or `1GB`");
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = text[..digits].parse().map_err(|_| refuse())?;
        let shift = match text[digits..].trim() {
            "" if number == 0 => 0,
            "B" => 0,
            "KB" | "KiB" => 10,
            "MB" | "MiB" => 20,
            "GB" | "GiB" => 30,
            _ => return Err(refuse()),
        };
        number.checked_mul(1 << shift).map(ByteSize).ok_or_else(refuse)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<ByteSize, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = ByteSize;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as `10MB`")
            }
            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                bytes.to_string().parse().map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
                bytes.to_string().parse().map_err(E::custom)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }
        }
        from.deserialize_any(Visitor)
    }
}

impl JsonSchema for ByteSize {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ByteSize".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "integer"], "format": "bytes" })
    }
}

/// What is wrong with credentials, of which a request carries one kind.
pub fn check_credentials(
    basic: Option<&BasicAuth>,
    other: Option<&Authorization>,
    path: &Path,
    problems: &mut Problems,
) {
    if basic.is_some() && other.is_some() {
        problems
            .error(path, "there are both `basic_auth` and `authorization`")
            .hint("a request carries only one of them");
    }
    if let Some(basic) = basic {
        let path = path.field("basic_auth");
        both(
            [("username", !basic.username.is_empty()), ("username_file", basic.username_file.is_some())],
            &path,
            problems,
        );
        both(
            [("password", basic.password.is_some()), ("password_file", basic.password_file.is_some())],
            &path,
            problems,
        );
        if basic.password.is_none() && basic.password_file.is_none() {
            problems.warning(&path, "there is no password").hint("such as `password: ${secret:name}`");
        }
    }
    let Some(authorization) = other else { return };
    let path = path.field("authorization");
    let given = [
        ("credentials", authorization.credentials.is_some()),
        ("credentials_file", authorization.credentials_file.is_some()),
    ];
    both(given, &path, problems);
    if given.iter().all(|(_, given)| !given) {
        problems.warning(&path, "there are no credentials").hint("such as `credentials: ${secret:name}`");
    }
    if authorization.kind.trim().eq_ignore_ascii_case("basic") {
        problems.error(&path.field("type"), "the type cannot be `Basic`").hint("use `basic_auth`");
    }
}

fn both(fields: [(&str, bool); 2], path: &Path, problems: &mut Problems) {
    if let [(one, true), (other, true)] = fields {
        problems.error(path, format!("there are both `{one}` and `{other}`")).hint("at most one of them is needed");
    }
}

impl TlsConfig {
    /// What is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        let (cert, key) = (self.cert.is_some(), self.key.is_some());
        both([("ca", self.ca.is_some()), ("ca_file", self.ca_file.is_some())], path, problems);
        both([("cert", cert), ("cert_file", self.cert_file.is_some())], path, problems);
        both([("key", key), ("key_file", self.key_file.is_some())], path, problems);
        let (cert, key) = (cert || self.cert_file.is_some(), key || self.key_file.is_some());
        if cert != key {
            let (have, lack) = if cert { ("certificate", "key") } else { ("key", "certificate") };
            problems
                .error(path, format!("there is a {have}, but no {lack}"))
                .hint("give both `cert_file` and `key_file`, or both `cert` and `key`");
        }
        if self.max_version.is_some_and(|version| version < TlsVersion::Tls12) {
            problems
                .error(&path.field("max_version"), "TLS before 1.2 is not spoken")
                .hint("it is broken; `TLS12` and `TLS13` are known");
        }
        if let (Some(min), Some(max)) = (self.min_version, self.max_version)
            && min > max
        {
            problems.error(&path.field("min_version"), "it is above `max_version`").hint("leave one of the two out");
        }
    }

    /// Files that it names.
    pub fn files_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        [self.ca_file.as_mut(), self.cert_file.as_mut(), self.key_file.as_mut()].into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [("0", 0), ("12B", 12), ("1KB", 1024), ("10MiB", 10 << 20), ("1GB", 1 << 30)] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in ["", "x", "12", "1TBx", "-1", "99999999999999999GB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }
}
