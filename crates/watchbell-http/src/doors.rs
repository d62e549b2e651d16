//! Every route, the surface it belongs to, and how large a body it takes.

use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, any, get, post};
use axum::{Json, Router};
use http::{Method, StatusCode};

use crate::access::Surface;
use crate::guard::{guard, headers};
use crate::{App, api, assets, health, ping, signin};

/// How large a body may be where nothing else is said, in bytes.
const BODY_MAX: usize = 8 << 20;
/// How large a ping's body may be; of it the first 10 kB are kept.
const PING_BODY_MAX: usize = 100_000;
/// How large an alert in the sink may be.
const SINK_BODY_MAX: usize = 1 << 20;

/// One route.
pub(crate) struct Door {
    pub(crate) surface: Surface,
    pub(crate) methods: &'static [Method],
    pub(crate) path: &'static str,
    handler: MethodRouter<App>,
}

const GET: &[Method] = &[Method::GET];
const POST: &[Method] = &[Method::POST];
const GET_POST: &[Method] = &[Method::GET, Method::POST];
const DELETE: &[Method] = &[Method::DELETE];
const ANY: &[Method] = &[Method::GET, Method::HEAD, Method::POST, Method::PUT];

/// Every route.
pub(crate) fn doors() -> Vec<Door> {
    let door = |surface, methods, path, handler| Door { surface, methods, path, handler };
    use Surface::{Asset, Live, Machine, Own, Page, Ping, SignIn};
    let mut doors = vec![
        door(Live, GET, "/livez", get(health::livez)),
        door(Live, GET, "/-/healthy", get(health::livez)),
        door(Asset, GET, "/assets/{name}", get(assets::asset)),
        door(SignIn, GET_POST, "/signin", get(signin::show).post(signin::enter)),
        door(SignIn, POST, "/signout", post(signin::leave)),
        door(Ping, ANY, "/ping/{*path}", any(ping::ping)),
        door(Machine, GET, "/metrics", get(health::metrics)),
        door(Machine, POST, "/-/reload", post(health::reload)),
        door(Own, GET, "/api/watchbell/v1/sessions", get(api::sessions)),
        door(Own, DELETE, "/api/watchbell/v1/sessions/{id}", axum::routing::delete(api::end_session)),
    ];
    doors.extend(PAGES.iter().map(|path| door(Page, GET, path, get(api::app_page))));
    doors
}

/// Pages that the app draws.
const PAGES: [&str; 6] = ["/alarms", "/monitors", "/heartbeats", "/alerts", "/deliveries", "/runbooks"];

/// The router over every door.
pub(crate) fn router(app: App) -> Router {
    let mut router = Router::new();
    for door in doors() {
        let body_max = match door.surface {
            Surface::Ping => PING_BODY_MAX,
            Surface::Sink => SINK_BODY_MAX,
            _ => BODY_MAX,
        };
        let guarded = door
            .handler
            .layer(DefaultBodyLimit::max(body_max))
            .layer(from_fn_with_state((app.clone(), door.surface), guard));
        router = router.route(door.path, guarded);
    }
    router.fallback(nothing).layer(from_fn(headers)).with_state(app)
}

async fn nothing() -> impl IntoResponse {
    (StatusCode::NOT_FOUND, Json(serde_json::json!({ "status": "error", "errorType": "not_found", "error": "there is nothing at this address" })))
}
