//! Who may ask for what: one pure decision for every request.
//!
//! A client on this machine that talks to a loopback listener may use the machine interfaces without credentials,
//! since that is how the peers are used. Pages and the own API always ask to sign in. From anywhere else everything
//! asks for credentials but pings, status pages that say so, signed links, signing in and liveness. The table in
//! `tests/it` walks all of it.

use std::net::IpAddr;

use http::{HeaderMap, Method, StatusCode, header};
use watchbell_model::Url;

/// What kind of door a route is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Surface {
    /// Whether watchbell lives: open, whatever the `Host` says, as load balancers ask.
    Live,
    /// Signs of life of jobs: the address is the secret.
    Ping,
    /// The UI's files.
    Asset,
    /// Signing in.
    SignIn,
    /// A page of the UI.
    Page,
    /// A run book: also opens by a signed link.
    Runbook,
    /// Doing something about a page's alerts: opens by a signed link alone, from wherever its channel shows it.
    Action,
    /// The own API.
    Own,
    /// What the peers' clients use.
    Machine,
    /// Queries, which have limits of time of their own, and much history at once, in or out: as [`Surface::Machine`],
    /// but it may take as long as it takes.
    Bulk,
    /// Probing what is asked for: as [`Surface::Bulk`], but no page of another site may ask, not even where it could not
    /// read the answer: it would reach what only this machine can.
    Probe,
    /// Deletions and the like, under the peers' addresses: they ask to sign in even on this machine, as the own API
    /// does, and may take as long as they take.
    Admin,
    /// Where the peers' agents bring what they measured: as [`Surface::Machine`], with larger bodies.
    Push,
    /// Heartbeats for clients of Healthchecks, with a key of their own, which the handler compares. No browser sends it
    /// by itself, so that pages of any site may ask with it.
    Keyed,
    /// Alerts with a secret of their own, which the handler compares.
    Sink,
    /// Where agents of places report, with the token of their place and nothing else.
    Agent,
    /// Status pages, each open to those that its configuration says, whatever the `Host`; the handler judges.
    Status,
}

/// What a request brought to prove who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    /// Nothing.
    None,
    /// A token that is none.
    Wrong,
    /// The session of this id.
    Session(String),
    /// The token of this name.
    Token(String),
    /// The token of the agent of this place.
    Place(String),
    /// A signed link to this very path.
    Signature,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Nobody known; the surface is open, or the handler judges.
    Anybody,
    /// A client on this machine.
    Local,
    /// A person who signed in; the id of the session.
    Session(String),
    /// A program; the name of its token.
    Token(String),
    /// The agent of this place.
    Place(String),
}

/// Where a request comes from, as browsers say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Our own pages, or the person's own doing.
    Own,
    /// Another site's page.
    Foreign,
    /// Not a browser, or one that does not say.
    Unsaid,
}

/// All that the decision looks at.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// On this machine, over loopback, not through a proxy.
    pub local: bool,
    /// The `Host` is one of ours.
    pub host_is_ours: bool,
    /// The method changes nothing.
    pub safe: bool,
    pub origin: Origin,
    pub credential: Credential,
}

/// Why a request is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The `Host` is not ours: a page elsewhere may have been pointed at this address.
    Host,
    /// Another site's page tries to change something.
    CrossSite,
    /// Credentials are missing.
    Missing,
    /// Credentials are wrong.
    Wrong,
}

impl Denied {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Denied::Host => StatusCode::MISDIRECTED_REQUEST,
            Denied::CrossSite => StatusCode::FORBIDDEN,
            Denied::Missing | Denied::Wrong => StatusCode::UNAUTHORIZED,
        }
    }

    pub(crate) fn reason(self) -> &'static str {
        match self {
            Denied::Host => "this address is not one of watchbell's; set `site.url` to the address people use",
            Denied::CrossSite => "the request comes from another site's page",
            Denied::Missing => "sign in, or send an API token as `Authorization: Bearer wb_…`",
            Denied::Wrong => "the API token is not valid",
        }
    }
}

/// Lets a request in or turns it away.
pub(crate) fn judge(surface: Surface, asked: Asked) -> Result<Caller, Denied> {
    if matches!(surface, Surface::Live | Surface::Ping | Surface::Keyed) {
        return Ok(Caller::Anybody);
    }
    if surface == Surface::Status {
        return Ok(match asked.credential {
            Credential::Session(id) => Caller::Session(id),
            Credential::Token(name) => Caller::Token(name),
            _ => Caller::Anybody,
        });
    }
    if !asked.host_is_ours {
        return Err(Denied::Host);
    }
    // A token is never sent by a browser on its own, and the sink's secret is none either.
    let forged = match asked.credential {
        Credential::Token(_) | Credential::Place(_) => false,
        Credential::Session(_) => asked.origin != Origin::Own,
        Credential::Signature if surface == Surface::Action => false,
        _ => asked.origin == Origin::Foreign,
    };
    let probes_for_another = surface == Surface::Probe
        && asked.origin == Origin::Foreign
        && !matches!(asked.credential, Credential::Token(_));
    if (!asked.safe && forged && surface != Surface::Sink) || probes_for_another {
        return Err(Denied::CrossSite);
    }
    if matches!(surface, Surface::Asset | Surface::SignIn) {
        return Ok(match asked.credential {
            Credential::Session(id) => Caller::Session(id),
            _ => Caller::Anybody,
        });
    }
    if surface == Surface::Agent {
        // The token of a place opens this door alone, and no other does.
        return match asked.credential {
            Credential::Place(place) => Ok(Caller::Place(place)),
            Credential::None | Credential::Signature => Err(Denied::Missing),
            Credential::Wrong | Credential::Session(_) | Credential::Token(_) => Err(Denied::Wrong),
        };
    }
    match asked.credential {
        Credential::Session(id) => Ok(Caller::Session(id)),
        Credential::Token(name) => Ok(Caller::Token(name)),
        _ if surface == Surface::Sink => Ok(Caller::Anybody),
        Credential::Signature if matches!(surface, Surface::Runbook | Surface::Action) => Ok(Caller::Anybody),
        Credential::Wrong | Credential::Place(_) => Err(Denied::Wrong),
        _ if asked.local
            && matches!(
                surface,
                Surface::Machine | Surface::Push | Surface::Bulk | Surface::Probe | Surface::Runbook
            ) =>
        {
            Ok(Caller::Local)
        }
        _ => Err(Denied::Missing),
    }
}

/// Whether the `Host` of a request is one of ours: an address (which no name can be pointed at), a loopback name, or
/// the host of `site.url`.
pub(crate) fn host_is_ours(host: &str, site: Option<&Url>) -> bool {
    let name = host_name(host);
    address(name).is_some() || is_loopback_name(name) || site.is_some_and(|site| site.host().eq_ignore_ascii_case(name))
}

/// Whether a request comes from this machine by itself: it went to a loopback address under a loopback name, and no
/// proxy says that it passed one on.
pub(crate) fn is_local(listener: IpAddr, peer: IpAddr, host: &str, headers: &HeaderMap) -> bool {
    const FORWARDED: [&str; 5] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"];
    let name = host_name(host);
    let loopback = is_loopback_name(name) || address(name).is_some_and(|address| address.to_canonical().is_loopback());
    listener.to_canonical().is_loopback()
        && peer.to_canonical().is_loopback()
        && loopback
        && FORWARDED.iter().all(|name| !headers.contains_key(*name))
}

/// Without the port.
pub(crate) fn host_name(host: &str) -> &str {
    if host.starts_with('[') {
        return &host[..host.find(']').map_or(host.len(), |at| at + 1)];
    }
    host.split(':').next().unwrap_or(host)
}

fn address(name: &str) -> Option<IpAddr> {
    name.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn is_loopback_name(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
}

/// What browsers say of where a request comes from.
pub(crate) fn origin(headers: &HeaderMap, host: &str, site: Option<&Url>) -> Origin {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match text("sec-fetch-site") {
        Some("same-origin" | "none") => return Origin::Own,
        Some(_) => return Origin::Foreign,
        None => {}
    }
    let Some(from) = text(header::ORIGIN.as_str()) else { return Origin::Unsaid };
    let own = from.strip_prefix("https://").or_else(|| from.strip_prefix("http://")).is_some_and(|at| at == host)
        || site.is_some_and(|site| site.origin() == from);
    if own { Origin::Own } else { Origin::Foreign }
}

/// Whether a method changes nothing.
pub(crate) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_was_pointed_here_is_not_ours() {
        let site: Url = "https://watch.example.org".parse().unwrap();
        for host in ["localhost", "localhost:9800", "127.0.0.1:9800", "[::1]:9800", "10.1.2.3", "Watch.Example.org:443"]
        {
            assert!(host_is_ours(host, Some(&site)), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "watch.example.org.evil.example", "", "127.0.0.1.evil"] {
            assert!(!host_is_ours(host, Some(&site)), "{host}");
        }
    }

    #[test]
    fn what_a_proxy_passes_on_is_not_local() {
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        let none = HeaderMap::new();
        let mut proxied = HeaderMap::new();
        proxied.insert("x-forwarded-for", "203.0.113.9".parse().unwrap());
        assert!(is_local(loopback, loopback, "localhost:9800", &none));
        assert!(is_local("::1".parse().unwrap(), "::1".parse().unwrap(), "[::1]:9800", &none));
        assert!(!is_local(loopback, loopback, "localhost:9800", &proxied));
        assert!(!is_local(loopback, loopback, "watch.example.org", &none));
        assert!(!is_local("0.0.0.0".parse().unwrap(), loopback, "localhost:9800", &none));
    }

    #[test]
    fn browsers_say_where_a_request_comes_from() {
        let of = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            origin(&headers, "watch.example.org", Some(&"https://watch.example.org".parse().unwrap()))
        };
        assert_eq!(of("sec-fetch-site", "same-origin"), Origin::Own);
        assert_eq!(of("sec-fetch-site", "none"), Origin::Own);
        assert_eq!(of("sec-fetch-site", "same-site"), Origin::Foreign);
        assert_eq!(of("sec-fetch-site", "cross-site"), Origin::Foreign);
        assert_eq!(of("origin", "https://watch.example.org"), Origin::Own);
        assert_eq!(of("origin", "https://watch.example.org.evil"), Origin::Foreign);
        assert_eq!(of("origin", "null"), Origin::Foreign);
        assert_eq!(of("accept", "*/*"), Origin::Unsaid);
    }
}
