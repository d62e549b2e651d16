//! Signing in by a one-time link, and signing out.
//!
//! `GET` shows a page with a button and changes nothing, so that a chat program that looks at a link to show a preview
//! does not use it up; the button's `POST` does.

use std::time::Duration;

use axum::Form;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;

use crate::access::{self, Caller};
use crate::guard::{Peer, host_of};
use crate::html::{door, escape, page};
use crate::{App, auth};

/// The session's cookie on a listener without TLS, for people on this machine.
const COOKIE: &str = "watchbell_session";
/// The same where everything is https: the browser refuses it from anywhere but this very host.
const COOKIE_HTTPS: &str = "__Host-watchbell_session";

/// What the sign-in page is asked with.
#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    token: String,
    #[serde(default)]
    next: String,
}

/// `GET /signin`.
pub(crate) async fn show(
    State(app): State<App>,
    caller: axum::Extension<Caller>,
    Query(asked): Query<Asked>,
) -> Response {
    let next = local_path(&asked.next);
    if matches!(*caller, Caller::Session(_)) {
        return Redirect::to(next).into_response();
    }
    if asked.token.is_empty() {
        return page(StatusCode::OK, "Sign in · watchbell", &door("Sign in", HOW));
    }
    match app.auth.link_is_good(&asked.token) {
        Ok(true) => {
            let body = format!(
                "<p>This link lets this browser in, once. The session ends after {} days without use.</p>\
                 <form method=\"post\" action=\"/signin\"><input type=\"hidden\" name=\"token\" value=\"{}\">\
                 <input type=\"hidden\" name=\"next\" value=\"{}\">\
                 <button type=\"submit\" class=\"button primary\" autofocus>Sign in</button></form>",
                auth::SESSION_IDLE_MAX.as_secs() / 86_400,
                escape(&asked.token),
                escape(next)
            );
            page(StatusCode::OK, "Sign in · watchbell", &door("Sign in", &body))
        }
        Ok(false) => used_up(),
        Err(error) => unavailable(&error),
    }
}

const HOW: &str = "<p>On the machine that watchbell runs on, ask for a link that lets this browser in:</p>\
                   <pre>watchbell signin</pre><p>Open the link it prints. It works once, within 15 minutes.</p>";

fn used_up() -> Response {
    let body = format!("<p>It was used already, or its time is over.</p>{HOW}");
    page(StatusCode::FORBIDDEN, "Sign in · watchbell", &door("This link lets nobody in", &body))
}

fn unavailable(error: &(dyn std::error::Error + 'static)) -> Response {
    tracing::error!(error, "nobody can sign in");
    let body = "<p>What is kept of sessions cannot be read or written. The log says why.</p>";
    page(StatusCode::SERVICE_UNAVAILABLE, "Sign in · watchbell", &door("Nobody can sign in now", body))
}

/// `POST /signin`.
pub(crate) async fn enter(
    State(app): State<App>,
    axum::Extension(peer): axum::Extension<Peer>,
    uri: http::Uri,
    headers: HeaderMap,
    Form(asked): Form<Asked>,
) -> Response {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or("");
    let address = peer.address.ip().to_canonical().to_string();
    match app.auth.consume_link(&asked.token, agent, &address).await {
        Ok(Some(secret)) => {
            tracing::info!(address, "somebody signed in");
            let local = access::is_local(peer.listener.ip(), peer.address.ip(), host_of(&uri, &headers), &headers);
            let https = !local && app.config.site().url.is_some_and(|url| url.is_https());
            let mut response = Redirect::to(local_path(&asked.next)).into_response();
            let age = auth::SESSION_AGE_MAX.as_secs();
            set_cookie(&mut response, &cookie(https, &secret, age));
            response
        }
        Ok(None) => match app.sign_ins.count(peer.address.ip().to_canonical(), app.runtime.clock.now()) {
            Ok(()) => used_up(),
            Err(wait) => {
                app.refused("sign_in_rate");
                slow_down(wait)
            }
        },
        Err(error) => unavailable(&error),
    }
}

fn slow_down(wait: Duration) -> Response {
    let body = "<p>Too many links that let nobody in were tried from this address.</p>";
    let mut response = page(StatusCode::TOO_MANY_REQUESTS, "Sign in · watchbell", &door("Wait a little", body));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    response
}

/// `POST /signout`.
pub(crate) async fn leave(State(app): State<App>, caller: axum::Extension<Caller>) -> Response {
    if let Caller::Session(id) = &*caller
        && let Err(error) = app.auth.end_session(id).await
    {
        return unavailable(&error);
    }
    let mut response = Redirect::to("/signin").into_response();
    set_cookie(&mut response, &cookie(false, "", 0));
    set_cookie(&mut response, &cookie(true, "", 0));
    response
}

fn cookie(https: bool, secret: &str, age: u64) -> String {
    let (name, secure) = if https { (COOKIE_HTTPS, "; Secure") } else { (COOKIE, "") };
    // Lax, not Strict: somebody who opens the link of a page must be signed in on arrival.
    format!("{name}={secret}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}{secure}")
}

fn set_cookie(response: &mut Response, cookie: &str) {
    let value = HeaderValue::from_str(cookie).expect("our own secrets are plain letters");
    response.headers_mut().append(header::SET_COOKIE, value);
}

/// The session's secret among a request's cookies.
pub(crate) fn session_secret(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, value)| [COOKIE, COOKIE_HTTPS].contains(name) && !value.is_empty()).map(|(_, value)| value)
}

/// Where to go after signing in: a path of ours, never another site.
fn local_path(next: &str) -> &str {
    let plain = next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains('\\')
        && next.bytes().all(|byte| byte.is_ascii_graphic());
    if plain { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_in_leads_to_our_own_pages_only() {
        assert_eq!(local_path("/alarms/monitor/imap?range=6h"), "/alarms/monitor/imap?range=6h");
        for bad in ["//evil.example", "https://evil.example", "/\\evil.example", "", "alarms", "/a\r\nb"] {
            assert_eq!(local_path(bad), "/", "{bad}");
        }
    }
}
