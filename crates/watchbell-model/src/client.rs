//! How an HTTP service is spoken to: credentials, trust, sizes; under Prometheus' names, wherever one is configured.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

use crate::{Path, Problems, Secret};

/// A user's name and password.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// The user's name.
    pub username: String,
    /// The password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A file that holds the password, read anew each time it is used.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

/// Credentials for the header `Authorization`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
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
}

/// How far an `https` target is trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// A file of trusted roots as PEM, in place of the machine's; read anew each time it is used.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Whether a certificate that is not trusted is good enough.
    #[serde(default)]
    pub insecure_skip_verify: bool,
    /// Not supported yet.
    #[serde(default)]
    #[schemars(skip)]
    pub server_name: Option<NotYet>,
    /// Not supported yet.
    #[serde(default)]
    #[schemars(skip)]
    pub cert_file: Option<NotYet>,
    /// Not supported yet.
    #[serde(default)]
    #[schemars(skip)]
    pub key_file: Option<NotYet>,
}

/// A field of Prometheus that is understood, but does nothing here yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotYet;

impl<'de> Deserialize<'de> for NotYet {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<NotYet, D::Error> {
        de::IgnoredAny::deserialize(from).map(|_| NotYet)
    }
}

/// A number of bytes: `512KB`, `10MB`, `1GiB`; a unit is 1024 of the one before, as in Prometheus.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ByteSize(pub u64);

impl std::str::FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<ByteSize, String> {
        let refuse = || format!("`{text}` is not a size; write it as `512KB`, `10MB` or `1GB`");
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = text[..digits].parse().map_err(|_| refuse())?;
        let shift = match text[digits..].trim() {
            "" | "B" => 0,
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
                Ok(ByteSize(bytes))
            }
            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
                u64::try_from(bytes).map(ByteSize).map_err(|_| E::custom("a size is not negative"))
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
    if let Some(basic) = basic
        && basic.password.is_some() == basic.password_file.is_some()
    {
        problems
            .error(&path.field("basic_auth"), "exactly one of `password` and `password_file` is needed")
            .hint("such as `password: ${secret:name}`");
    }
    let Some(authorization) = other else { return };
    let path = path.field("authorization");
    if authorization.credentials.is_some() == authorization.credentials_file.is_some() {
        problems
            .error(&path, "exactly one of `credentials` and `credentials_file` is needed")
            .hint("such as `credentials: ${secret:name}`");
    }
    if authorization.kind.trim().eq_ignore_ascii_case("basic") {
        problems.error(&path.field("type"), "the type cannot be `Basic`").hint("use `basic_auth`");
    }
}

impl TlsConfig {
    /// What is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        for (field, given) in
            [("server_name", &self.server_name), ("cert_file", &self.cert_file), ("key_file", &self.key_file)]
        {
            if given.is_some() {
                problems.error(&path.field(field), format!("`{field}` is not supported yet")).hint("leave it out");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [("0", 0), ("12", 12), ("1KB", 1024), ("10MiB", 10 << 20), ("1GB", 1 << 30)] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in ["", "x", "1TBx", "-1", "99999999999999999GB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }
}
