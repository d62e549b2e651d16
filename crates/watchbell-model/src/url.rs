//! Addresses of web pages and services.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An absolute `http://` or `https://` address.
///
/// Other schemes are refused, so that a link in a page can never be script or a local file.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    text: String,
    host: std::ops::Range<usize>,
    port: u16,
    path: usize,
}

/// Why a text is not a [`Url`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a web address: {reason}")]
pub struct UrlError {
    /// As written.
    pub text: String,
    /// What is wrong and what would be right.
    pub reason: &'static str,
}

impl Url {
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the scheme is `https`.
    pub fn is_https(&self) -> bool {
        self.text.starts_with("https://")
    }

    /// The host name or address, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.text[self.host.clone()]
    }

    /// The port, the scheme's own if none is written.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host:port` as a `Host` header wants it: the port only where it is not the scheme's own.
    pub fn authority(&self) -> String {
        let host = if self.host().contains(':') { format!("[{}]", self.host()) } else { self.host().to_owned() };
        let own = if self.is_https() { 443 } else { 80 };
        if self.port == own { host } else { format!("{host}:{}", self.port) }
    }

    /// Path and query, at least `/`.
    pub fn path_and_query(&self) -> &str {
        let rest = self.text[self.path..].split('#').next().unwrap_or_default();
        if rest.is_empty() { "/" } else { rest }
    }

    /// Scheme, host and port: `https://example.org`.
    pub fn origin(&self) -> String {
        format!("{}://{}", if self.is_https() { "https" } else { "http" }, self.authority())
    }

    /// The address of a path under this one, whatever slashes either has.
    pub fn join(&self, path: &str) -> String {
        format!("{}/{}", self.text.trim_end_matches('/'), path.trim_start_matches('/'))
    }

    /// Where a `Location` header leads from here (RFC 3986 §5.2, without dot segments).
    pub fn resolve(&self, location: &str) -> Result<Url, UrlError> {
        if location.contains("://") {
            return location.parse();
        }
        if let Some(rest) = location.strip_prefix("//") {
            return format!("{}://{rest}", if self.is_https() { "https" } else { "http" }).parse();
        }
        if location.starts_with('/') {
            return format!("{}{location}", self.origin()).parse();
        }
        let path = self.path_and_query().split('?').next().unwrap_or("/");
        if location.starts_with('?') {
            return format!("{}{path}{location}", self.origin()).parse();
        }
        let folder = &path[..path.rfind('/').map_or(0, |at| at + 1)];
        format!("{}{}{location}", self.origin(), if folder.is_empty() { "/" } else { folder }).parse()
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Url, UrlError> {
        let refuse = |reason| UrlError { text: text.to_owned(), reason };
        let (start, own_port) = if text.starts_with("https://") {
            (8, 443)
        } else if text.starts_with("http://") {
            (7, 80)
        } else {
            return Err(refuse("it must start with `https://` or `http://`"));
        };
        if text.bytes().any(|b| b <= b' ' || b == 0x7f) {
            return Err(refuse("it must not contain white space or control characters"));
        }
        let path = text[start..].find(['/', '?', '#']).map_or(text.len(), |at| start + at);
        let authority = &text[start..path];
        if authority.contains('@') {
            return Err(refuse("it must not contain credentials; give them as fields of their own"));
        }
        let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
            let close = rest.find(']').ok_or_else(|| refuse("the bracket of its IPv6 address is not closed"))?;
            rest[..close].parse::<std::net::Ipv6Addr>().map_err(|_| refuse("its IPv6 address is not one"))?;
            (start + 1..start + 1 + close, &rest[close + 1..])
        } else {
            let end = authority.find(':').unwrap_or(authority.len());
            (start..start + end, &authority[end..])
        };
        if host.is_empty() {
            return Err(refuse("it has no host"));
        }
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => own_port,
            Some(port) => port.parse().map_err(|_| refuse("its port is not a number up to 65535"))?,
            None => return Err(refuse("its port must follow a colon")),
        };
        Ok(Url { text: text.to_owned(), host, port, path })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Url {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Url, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

impl schemars::JsonSchema for Url {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Url".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "uri" })
    }
}

/// Which run book belongs to something: the name of a Markdown file in the run book folder (`imap-down`),
/// or the address of a page elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RunbookRef {
    /// `NAME.md` in the folder of `runbooks.dir`.
    Named(String),
    /// A page that somebody else serves.
    External(Url),
}

impl fmt::Display for RunbookRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunbookRef::Named(name) => f.write_str(name),
            RunbookRef::External(url) => fmt::Display::fmt(url, f),
        }
    }
}

impl FromStr for RunbookRef {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<RunbookRef, UrlError> {
        if text.contains("://") {
            return text.parse().map(RunbookRef::External);
        }
        let name = text.strip_suffix(".md").unwrap_or(text);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            let reason = "it is neither an address nor the name of a run book (letters, digits, `-`, `_` and `.`)";
            return Err(UrlError { text: text.to_owned(), reason });
        }
        Ok(RunbookRef::Named(name.to_owned()))
    }
}

impl Serialize for RunbookRef {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RunbookRef {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<RunbookRef, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

impl schemars::JsonSchema for RunbookRef {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RunbookRef".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "runbook" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let url: Url = "https://[::1]:8443/a/b?c#d".parse().unwrap();
        assert_eq!((url.host(), url.port(), url.path_and_query()), ("::1", 8443, "/a/b?c"));
        assert_eq!(url.authority(), "[::1]:8443");
        assert_eq!(url.resolve("e").unwrap().as_str(), "https://[::1]:8443/a/e");
        assert_eq!(url.resolve("/e").unwrap().as_str(), "https://[::1]:8443/e");
        assert_eq!(url.resolve("http://x/").unwrap().as_str(), "http://x/");
        let bare: Url = "http://example.org".parse().unwrap();
        assert_eq!((bare.port(), bare.path_and_query(), bare.authority().as_str()), (80, "/", "example.org"));
    }

    #[test]
    fn what_is_not_a_web_address_is_refused() {
        for text in
            ["example.org", "file:///etc/passwd", "javascript:alert(1)", "https://", "http://a b", "http://u:p@h"]
        {
            assert!(text.parse::<Url>().is_err(), "{text}");
        }
        for text in ["../x", "a/b", "", ".hidden"] {
            assert!(text.parse::<RunbookRef>().is_err(), "{text}");
        }
        assert_eq!("imap-down.md".parse::<RunbookRef>().unwrap(), RunbookRef::Named("imap-down".into()));
    }
}
