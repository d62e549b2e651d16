//! Proxies of the HTTP client: which requests go through one, and how an `https` one gets a tunnel.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watchbell_model::{Secret, Url};

use crate::http::{HttpError, Request, Untrusted};
use crate::process::Environment;
use crate::{Runtime, Stream, tls};

/// The longest answer to a question for a tunnel, in bytes.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// Through what requests go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Proxies {
    /// Of `http` addresses.
    pub http: Option<Proxy>,
    /// Of `https` addresses.
    pub https: Option<Proxy>,
    /// What is reached directly all the same, as `NO_PROXY` has it: hosts with those below them, addresses, networks,
    /// each with a port or without, by commas. If it is given, this machine itself is among them.
    pub no_proxy: Option<String>,
}

/// One proxy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Proxy {
    /// Where it is.
    pub url: Url,
    /// Who we are, as `name:password`.
    pub user: Option<Secret>,
    /// Whether it speaks SOCKS and not HTTP.
    pub socks: bool,
    /// Headers of a question for a tunnel.
    pub connect_headers: Vec<(String, Secret)>,
}

impl Proxies {
    /// Those that the environment names.
    pub fn of_environment(environment: &Environment, mut of_text: impl FnMut(&str) -> Option<Proxy>) -> Proxies {
        let get = |name: &str| {
            let given = environment.get(name).or_else(|| environment.get(&name.to_ascii_lowercase()));
            given.filter(|text| !text.is_empty())
        };
        Proxies {
            http: get("HTTP_PROXY").and_then(|text| of_text(&text)),
            https: get("HTTPS_PROXY").and_then(|text| of_text(&text)),
            no_proxy: Some(get("NO_PROXY").unwrap_or_default()),
        }
    }

    /// The proxy of an address.
    pub fn of(&self, url: &Url) -> Option<&Proxy> {
        let proxy = if url.is_https() { self.https.as_ref() } else { self.http.as_ref() }?;
        let direct = self.no_proxy.as_ref().is_some_and(|text| is_direct(text, url.host(), url.port()));
        (!direct).then_some(proxy)
    }
}

/// As Go's `httpproxy` has it.
fn is_direct(no_proxy: &str, host: &str, port: u16) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    no_proxy.split(',').map(|entry| entry.trim().to_ascii_lowercase()).filter(|entry| !entry.is_empty()).any(|entry| {
        if entry == "*" {
            return true;
        }
        if let (Some((network, bits)), Some(address)) = (entry.split_once('/'), address) {
            return in_network(network, bits, address);
        }
        let (name, entry_port) = with_port(&entry);
        if entry_port.is_some_and(|wanted| wanted != port) {
            return false;
        }
        if let Ok(wanted) = name.trim_matches(['[', ']']).parse::<IpAddr>() {
            return address == Some(wanted);
        }
        let name = name.strip_prefix('*').unwrap_or(name);
        match name.strip_prefix('.') {
            Some(_) => host.ends_with(name),
            None => host == name || host.strip_suffix(name).is_some_and(|front| front.ends_with('.')),
        }
    })
}

fn with_port(entry: &str) -> (&str, Option<u16>) {
    match entry.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

fn in_network(network: &str, bits: &str, address: IpAddr) -> bool {
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        (IpAddr::V6(network), IpAddr::V6(address)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        _ => false,
    }
}

impl Proxy {
    /// Makes a connection to the proxy one over which the request can go.
    pub(crate) async fn enter(
        &self,
        runtime: &Runtime,
        mut stream: Stream,
        request: &Request,
    ) -> Result<Stream, HttpError> {
        if self.url.is_https() {
            let options = tls::TlsOptions { server_name: None, alpn: Vec::new(), ..request.tls.clone() };
            let (inner, report) = tls::connect(runtime, stream, self.url.host(), &options).await?;
            if let (true, Err(reason)) = (request.verify, &report.verified) {
                return Err(HttpError::Certificate(Untrusted { reason: reason.clone(), report: Box::new(report) }));
            }
            stream = inner;
        }
        if self.socks {
            self.socks(&mut stream, request.url.host(), request.url.port()).await?;
            return Ok(stream);
        }
        if !request.url.is_https() {
            return Ok(stream);
        }
        let refuse = |reason: String| HttpError::Proxy { proxy: self.url.to_string(), reason };
        let broke = |error: std::io::Error| refuse(format!("broke off: {error}"));
        let host = request.url.host();
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let place = format!("{host}:{}", request.url.port());
        let mut question = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\nUser-Agent: watchbell/");
        question += concat!(env!("CARGO_PKG_VERSION"), "\r\n");
        let authorization = self.authorization();
        let own = authorization.iter().map(|value| ("Proxy-Authorization", value));
        for (name, value) in own.chain(self.connect_headers.iter().map(|(name, value)| (name.as_str(), value))) {
            if value.expose().contains(['\r', '\n']) || name.contains(['\r', '\n', ':']) {
                return Err(HttpError::Request(format!("the header `{name}` for the proxy has a line break")));
            }
            question += &format!("{name}: {}\r\n", value.expose());
        }
        question += "\r\n";
        stream.write_all(question.as_bytes()).await.map_err(broke)?;
        stream.flush().await.map_err(broke)?;
        // Byte by byte, so that nothing of what follows is taken.
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() >= ANSWER_BYTES_MAX {
                return Err(refuse("answers without an end".into()));
            }
            answer.push(stream.read_u8().await.map_err(broke)?);
        }
        let first = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
        match first.split(' ').nth(1) {
            Some(status) if first.starts_with("HTTP/1.") && status.starts_with('2') => Ok(stream),
            _ => Err(refuse(format!("answered {first:?} to the question for a tunnel"))),
        }
    }

    /// What says who we are, as the value of a header.
    pub(crate) fn authorization(&self) -> Option<Secret> {
        let user = self.user.as_ref().filter(|_| !self.socks)?;
        Some(Secret::new(format!("Basic {}", STANDARD.encode(user.expose()))))
    }

    /// Asks for a tunnel as RFC 1928 says, with the user of RFC 1929; names are resolved at the other end.
    async fn socks(&self, stream: &mut Stream, host: &str, port: u16) -> Result<(), HttpError> {
        let proxy = || self.url.as_str().replacen("http", "socks5", 1);
        let refuse = |reason: String| HttpError::Proxy { proxy: proxy(), reason };
        let broke = |error: std::io::Error| refuse(format!("broke off: {error}"));
        let short = |text: &str, what: &str| match u8::try_from(text.len()) {
            Ok(length) if length > 0 => Ok([&[length], text.as_bytes()].concat()),
            _ => Err(HttpError::Request(format!("{what} for the proxy is empty or longer than 255 bytes"))),
        };
        let methods: &[u8] = if self.user.is_some() { &[5, 2, 0, 2] } else { &[5, 1, 0] };
        let mut two = [0; 2];
        stream.write_all(methods).await.map_err(broke)?;
        stream.read_exact(&mut two).await.map_err(broke)?;
        match (two, &self.user) {
            ([5, 0], _) => {}
            ([5, 2], Some(user)) => {
                let (name, password) = user.expose().split_once(':').unwrap_or((user.expose(), ""));
                let said = [vec![1], short(name, "the user's name")?, short(password, "the password")?].concat();
                stream.write_all(&said).await.map_err(broke)?;
                stream.read_exact(&mut two).await.map_err(broke)?;
                if two[1] != 0 {
                    return Err(refuse("refused the user or the password".into()));
                }
            }
            ([5, 0xff], None) => return Err(refuse("wants a user and a password".into())),
            ([5, 0xff], Some(_)) => return Err(refuse("takes no user with a password".into())),
            _ => return Err(refuse("does not speak SOCKS 5".into())),
        }
        let place = match host.parse::<IpAddr>() {
            Ok(IpAddr::V4(ip)) => [&[1][..], &ip.octets()].concat(),
            Ok(IpAddr::V6(ip)) => [&[4][..], &ip.octets()].concat(),
            Err(_) => [vec![3], short(host, "the name of the host")?].concat(),
        };
        let question = [&[5, 1, 0], &place[..], &port.to_be_bytes()].concat();
        stream.write_all(&question).await.map_err(broke)?;
        let mut head = [0; 4];
        stream.read_exact(&mut head).await.map_err(broke)?;
        // What follows is the address at which the proxy stands for us.
        let length = match head[3] {
            1 => 4,
            4 => 16,
            3 => usize::from(stream.read_u8().await.map_err(broke)?),
            _ => return Err(refuse("does not speak SOCKS 5".into())),
        };
        stream.read_exact(&mut vec![0; length + 2]).await.map_err(broke)?;
        match head[1] {
            0 => Ok(()),
            code => Err(refuse(format!("did not reach {host}:{port}: {}", socks_words(code)))),
        }
    }
}

/// What a proxy says that speaks SOCKS (RFC 1928, section 6).
fn socks_words(code: u8) -> String {
    match code {
        1 => "general failure".into(),
        2 => "its rules do not allow it".into(),
        3 => "the network is unreachable".into(),
        4 => "no route to the host".into(),
        5 => "connection refused".into(),
        6 => "no answer".into(),
        code => format!("code {code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_directly() {
        for (no_proxy, host, port, direct) in [
            ("", "example.org", 80, false),
            ("", "localhost", 80, true),
            ("", "127.0.0.2", 80, true),
            ("example.org", "example.org", 80, true),
            ("example.org", "www.example.org", 80, true),
            ("example.org", "notexample.org", 80, false),
            (".example.org", "example.org", 80, false),
            ("*.example.org", "www.Example.org", 80, true),
            ("a, example.org:81", "example.org", 80, false),
            ("a, example.org:81", "example.org", 81, true),
            ("10.0.0.0/8", "10.1.2.3", 80, true),
            ("10.0.0.0/8", "11.1.2.3", 80, false),
            ("0.0.0.0/0", "11.1.2.3", 80, true),
            ("fd00::/8", "fd00::1", 80, true),
            ("10.1.2.3", "10.1.2.3", 80, true),
            ("[fd00::1]:81", "fd00::1", 81, true),
            ("*", "example.org", 80, true),
        ] {
            assert_eq!(is_direct(no_proxy, host, port), direct, "{no_proxy} {host}:{port}");
        }
    }
}
