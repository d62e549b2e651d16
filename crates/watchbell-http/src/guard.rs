//! What stands before every handler: who asks, how often, and what every answer says to the browser.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use serde_json::json;
use watchbell_model::{StateError, Timestamp};

use crate::access::{self, Asked, Credential, Denied, Origin, Surface, judge};
use crate::auth::Token;
use crate::html::{door, encode, escape, page};
use crate::prometheus::may_read;
use crate::{App, signin, status};

/// How long one request may take, its body's arrival included; streams of events, imports, exports, probes and what is
/// done to the store by hand excepted.
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(120);
/// How often one address may fail to sign in within [`SIGN_IN_WINDOW`]. A link that is good always lets in, so nobody
/// can lock others out by guessing from behind the same proxy.
pub const SIGN_INS_MAX: usize = 10;
/// See [`SIGN_INS_MAX`].
pub const SIGN_IN_WINDOW: Duration = Duration::from_secs(15 * 60);
/// How many addresses are counted; the one that is quiet for longest is forgotten.
const ADDRESSES_MAX: usize = 4096;

/// The connection a request came over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// Who connected.
    pub address: SocketAddr,
    /// Where we listen.
    pub listener: SocketAddr,
}

/// Judges one request, and hands it on with the [`access::Caller`] that it is from.
pub(crate) async fn guard(State((app, surface)): State<(App, Surface)>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let claimed = status::claims(&app, surface, &parts.uri, &parts.headers);
    let surface = if claimed { Surface::Status } else { surface };
    let Some(peer) = parts.extensions.get::<Peer>().copied() else {
        // Only a wiring error gets here; nobody is let in by it.
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let asked = match look(&app, surface, peer, &parts).await {
        Ok(asked) => asked,
        Err(error) => {
            tracing::error!(%error, "no session can be checked");
            return refuse(
                surface,
                &parts.uri,
                StatusCode::SERVICE_UNAVAILABLE,
                "what is kept of sessions cannot be read",
            );
        }
    };
    let caller = match judge(surface, asked) {
        Ok(caller) => caller,
        Err(denied) => {
            app.refused(match denied {
                Denied::Host => "host",
                Denied::CrossSite => "cross_site",
                Denied::Missing => "no_credentials",
                Denied::Wrong => "wrong_credentials",
            });
            let asks_for_a_page = matches!(surface, Surface::Page | Surface::Runbook) && access::is_safe(&parts.method);
            if denied == Denied::Missing && asks_for_a_page {
                let next = parts.uri.path_and_query().map_or("/", |path| path.as_str());
                return Redirect::to(&format!("/signin?next={}", encode(next))).into_response();
            }
            return refuse(surface, &parts.uri, denied.status(), denied.reason());
        }
    };
    parts.extensions.insert(caller);
    let uri = parts.uri.clone();
    if matches!(surface, Surface::Bulk | Surface::Admin | Surface::Probe) {
        return next.run(Request::from_parts(parts, body)).await;
    }
    match app.runtime.clock.timeout(REQUEST_TIME_MAX, next.run(Request::from_parts(parts, body))).await {
        Ok(response) => response,
        Err(_) => refuse(surface, &uri, StatusCode::REQUEST_TIMEOUT, "the request took too long"),
    }
}

async fn look(app: &App, surface: Surface, peer: Peer, parts: &Parts) -> Result<Asked, StateError> {
    let headers = &parts.headers;
    let host = host_of(&parts.uri, headers);
    let site = app.config.site().url;
    let credential = if matches!(surface, Surface::Live | Surface::Ping | Surface::Keyed) {
        Credential::None
    } else {
        credential(app, surface, parts).await?
    };
    Ok(Asked {
        local: access::is_local(peer.listener.ip(), peer.address.ip(), host, headers),
        host_is_ours: access::host_is_ours(host, site.as_ref()),
        safe: access::is_safe(&parts.method),
        origin: match headers.get(header::ORIGIN) {
            // Pages of sites that may read answers may also ask by POST.
            Some(origin) if may_ask(app, surface, parts, origin) => Origin::Unsaid,
            _ => access::origin(headers, host, site.as_ref()),
        },
        credential,
    })
}

/// Whether a page of another site may query, by `query.cors_origin`.
fn may_ask(app: &App, surface: Surface, parts: &Parts, origin: &HeaderValue) -> bool {
    let changes = ["/import", "/-/"].iter().any(|part| parts.uri.path().contains(part));
    matches!(surface, Surface::Machine | Surface::Bulk) && !changes && may_read(&app.config.query().cors_origin, origin)
}

async fn credential(app: &App, surface: Surface, parts: &Parts) -> Result<Credential, StateError> {
    let headers = &parts.headers;
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let signed = matches!(surface, Surface::Runbook | Surface::Action) && app.auth.is_signed(path);
    // What a link does is what it says, whoever is signed in beside it.
    if signed && surface == Surface::Action {
        return Ok(Credential::Signature);
    }
    if let Some(secret) = token_secret(headers) {
        return Ok(match app.auth.token(&secret)? {
            None => Credential::Wrong,
            Some(Token { place: Some(place), .. }) => Credential::Place(place),
            Some(token) => Credential::Token(token.name),
        });
    }
    if let Some(secret) = signin::session_secret(headers)
        && let Some(session) = app.auth.session(secret).await?
    {
        return Ok(Credential::Session(session.id));
    }
    Ok(if signed { Credential::Signature } else { Credential::None })
}

/// An API token as `Bearer`, or as the password of `Basic`, which is all that some clients can send.
fn token_secret(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = text.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = base64::engine::general_purpose::STANDARD.decode(rest.trim()).ok()?;
        return Some(String::from_utf8(decoded).ok()?.split_once(':')?.1.to_owned());
    }
    None
}

/// The host a request is for.
pub(crate) fn host_of<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> &'a str {
    let header = || headers.get(header::HOST).and_then(|value| value.to_str().ok());
    uri.authority().map(|authority| authority.as_str()).or_else(header).unwrap_or("")
}

/// An answer that says no in the form the surface's clients read.
fn refuse(surface: Surface, uri: &Uri, status: StatusCode, reason: &str) -> Response {
    if matches!(surface, Surface::Page | Surface::Runbook | Surface::Action | Surface::SignIn)
        && !uri.path().starts_with("/api/")
    {
        let body = format!("<p>{}.</p><p><a href=\"/\">To the overview</a></p>", escape(reason));
        return page(status, "watchbell", &door(status.canonical_reason().unwrap_or("Refused"), &body));
    }
    // `error` is ours and Prometheus' alike; `errorType` lets its clients show it.
    let kind = if status == StatusCode::UNAUTHORIZED { "unauthorized" } else { "forbidden" };
    let mut response = (status, Json(json!({ "status": "error", "errorType": kind, "error": reason }))).into_response();
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// What every answer says to browsers: nothing from elsewhere, nothing inline, not in a frame.
pub(crate) async fn headers(method: Method, request: Request, next: Next) -> Response {
    const ALWAYS: [(&str, &str); 5] = [
        (
            "content-security-policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
             font-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
        ),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("x-frame-options", "DENY"),
    ];
    let mut response = next.run(request).await;
    for (name, value) in ALWAYS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    if method != Method::HEAD && !response.headers().contains_key(header::CACHE_CONTROL) {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Counts failures per address, so that one that guesses slows down nobody else.
#[derive(Debug, Default)]
pub(crate) struct Tries {
    by_address: Mutex<BTreeMap<IpAddr, Vec<Timestamp>>>,
}

impl Tries {
    /// Counts a failure, or says how long to wait for the next one.
    pub(crate) fn count(&self, address: IpAddr, now: Timestamp) -> Result<(), Duration> {
        let mut all = self.by_address.lock().expect("no panic while held");
        if all.len() >= ADDRESSES_MAX && !all.contains_key(&address) {
            let quiet = all.iter().min_by_key(|(_, tries)| tries.last().copied()).map(|(address, _)| *address);
            quiet.and_then(|address| all.remove(&address));
        }
        let tries = all.entry(address).or_default();
        tries.retain(|at| now < *at + SIGN_IN_WINDOW);
        if tries.len() >= SIGN_INS_MAX {
            return Err((tries[0] + SIGN_IN_WINDOW).since(now));
        }
        tries.push(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_counted_per_address() {
        let tries = Tries::default();
        let (one, two): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        for at in 0..SIGN_INS_MAX as i64 {
            assert_eq!(tries.count(one, Timestamp(at)), Ok(()));
        }
        assert_eq!(tries.count(one, Timestamp(0)), Err(SIGN_IN_WINDOW));
        assert_eq!(tries.count(two, Timestamp(0)), Ok(()));
        assert_eq!(tries.count(one, Timestamp(0) + SIGN_IN_WINDOW), Ok(()));
    }
}
