//! Every route, the surface it belongs to, and how large a body it takes.

use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, delete, get, post};
use axum::{Json, Router};
use http::{Method, StatusCode, Uri};

use crate::access::Surface;
use crate::guard::{guard, headers};
use crate::{
    App, action, agent, alertmanager, api, assets, blackbox, bulk, callback, health, healthchecks, otlp, picture, ping,
    prometheus, push, report, signin, sink, status, upkeep,
};

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
    pub(crate) path: String,
    handler: MethodRouter<App>,
    /// Answers are compressed when that is asked for, and browsers told who may read them.
    dressed: bool,
}

const GET: &[Method] = &[Method::GET];
const POST: &[Method] = &[Method::POST];
const GET_POST: &[Method] = &[Method::GET, Method::POST];
const POST_PUT: &[Method] = &[Method::POST, Method::PUT];
const DELETE: &[Method] = &[Method::DELETE];
const GET_DELETE: &[Method] = &[Method::GET, Method::DELETE];
const GET_POST_DELETE: &[Method] = &[Method::GET, Method::POST, Method::DELETE];
const POST_DELETE: &[Method] = &[Method::POST, Method::DELETE];
const ANY: &[Method] = &[Method::GET, Method::HEAD, Method::POST, Method::PUT];

/// Every route.
pub(crate) fn doors() -> Vec<Door> {
    let mut doors = surfaces();
    doors.extend(own());
    doors.extend(of_status_pages());
    doors.extend(of_the_store());
    for prefix in ["", "/prometheus"] {
        doors.extend(of_prometheus(prefix));
    }
    // The second as an Alertmanager with `--web.route-prefix` has it.
    for prefix in ["", "/alertmanager"] {
        doors.extend(of_alertmanager(prefix));
    }
    doors.extend(of_healthchecks());
    doors
}

fn door(surface: Surface, methods: &'static [Method], path: &str, handler: MethodRouter<App>) -> Door {
    Door { surface, methods, path: path.to_owned(), handler, dressed: false }
}

fn surfaces() -> Vec<Door> {
    use Surface::{Action, Agent, Asset, Live, Machine, Page, Ping, Probe, Push, Runbook, SignIn, Sink};
    let mut doors = vec![
        door(Live, GET, "/livez", get(health::livez)),
        door(Live, GET, "/readyz", get(health::readyz)),
        door(Machine, GET, "/health", get(health::health)),
        Door { dressed: true, ..door(Machine, GET, "/metrics", get(health::metrics)) },
        door(Asset, GET, "/assets/{name}", get(assets::asset)),
        door(SignIn, GET_POST, "/signin", get(signin::show).post(signin::enter)),
        door(SignIn, POST, "/signout", post(signin::leave)),
        door(Ping, ANY, "/ping/{*path}", any(ping::ping)),
        door(Ping, ANY, "/api/push/{token}", any(report::report)),
        door(Probe, GET_POST, "/probe", get(blackbox::probe).post(blackbox::probe)),
        door(Machine, GET, "/config", get(blackbox::config)),
        door(Sink, POST, "/sink", post(sink::sink)),
        door(Agent, POST, "/api/agent/v1/exchange", post(agent::exchange)),
        door(Push, POST, "/v1/metrics", post(otlp::metrics)),
        door(Push, POST, "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", post(otlp::grpc_metrics)),
        door(Page, GET, "/", get(status::root)),
        door(Page, GET, "/alarms/{*id}", get(api::runbooks::alarm_page)),
        door(Runbook, GET, "/runbooks/{*name}", get(api::runbooks::show)),
        door(Action, GET, "/i/{name}", get(picture::of_alert)),
        door(Action, GET_POST, "/do/acknowledge", get(action::ask_acknowledge).post(action::acknowledge)),
        door(Action, GET_POST, "/do/silence", get(action::ask_silence).post(action::silence)),
        door(Action, POST, "/do/receipt", post(action::receipt)),
        door(Sink, POST, "/callback/slack", post(callback::slack)),
        door(Sink, POST, "/callback/pagerduty", post(callback::pagerduty)),
        door(Sink, POST, "/callback/telegram", post(callback::telegram)),
        door(Sink, POST, "/callback/opsgenie", post(callback::opsgenie)),
        door(Action, GET_POST, "/do/verdict", get(action::ask_verdict).post(action::judge)),
    ];
    doors.extend(PAGES.iter().map(|path| door(Page, GET, path, get(api::app_page))));
    doors
}

fn own() -> Vec<Door> {
    let own = |methods, path: &str, handler| door(Surface::Own, methods, &format!("/api/watchbell/v1/{path}"), handler);
    vec![
        own(GET, "overview", get(api::overview::get)),
        own(GET, "alarms", get(api::alarms::list)),
        own(GET, "alarms/{id}", get(api::alarms::one)),
        own(GET, "alarms/{id}/history", get(api::alarms::history)),
        own(GET, "alarms/{id}/picture.png", get(picture::of_alarm)),
        own(GET, "monitors", get(api::overview::get_monitors)),
        own(GET, "places", get(api::places::list)),
        own(GET, "heartbeats", get(api::overview::get_heartbeats)),
        own(GET, "alerts", get(api::alerts::list)),
        own(
            POST_DELETE,
            "alerts/{fingerprint}/acknowledgement",
            post(api::alerts::acknowledge).delete(api::alerts::withdraw),
        ),
        own(POST_DELETE, "alerts/{fingerprint}/verdict", post(api::verdicts::judge).delete(api::verdicts::withdraw)),
        own(GET, "episodes", get(api::verdicts::list)),
        own(GET_POST, "silences", get(api::alerts::silences).post(api::alerts::silence)),
        own(DELETE, "silences/{id}", delete(api::alerts::end_silence)),
        own(GET_POST, "downtimes", get(api::downtimes::list).post(api::downtimes::make)),
        own(DELETE, "downtimes/{id}", delete(api::downtimes::end)),
        own(GET_POST, "incidents", get(api::incidents::list).post(api::incidents::open)),
        own(POST_DELETE, "incidents/{id}", post(api::incidents::update).delete(api::incidents::remove)),
        own(GET, "status-pages", get(api::incidents::pages)),
        own(GET, "deliveries", get(api::outbox::deliveries)),
        own(GET, "outbox", get(api::outbox::get)),
        own(GET, "previews", get(api::outbox::previews)),
        own(GET, "runbooks", get(api::runbooks::list)),
        own(GET, "targets", get(api::targets::list)),
        own(GET, "targets/steps", get(api::targets::steps)),
        own(GET, "config", get(api::overview::get_config)),
        own(GET, "events", get(api::events::follow)),
        own(GET, "rollup", get(api::rollup::get)),
        own(GET, "sessions", get(api::sessions)),
        own(DELETE, "sessions/{id}", delete(api::end_session)),
    ]
}

fn of_status_pages() -> Vec<Door> {
    let open = |path: &str, handler| door(Surface::Status, GET, path, handler);
    vec![
        open("/status/{name}", get(status::html)),
        open("/status/{name}/feed.atom", get(status::atom)),
        open("/status/{name}/feed.rss", get(status::rss)),
        open("/status/{name}/rss", get(status::rss)),
        open("/status/{name}/badge/{file}", get(status::badge_of_page)),
        open("/status/{name}/badge/{item}/{file}", get(status::badge_of_item)),
        open("/api/badge/{item}/{*kind}", get(status::badge_of_kuma)),
        open("/api/status-page/{name}", get(status::kuma_page)),
        open("/api/status-page/heartbeat/{name}", get(status::kuma_heartbeats)),
        open("/api/status-page/{name}/manifest.json", get(status::kuma_manifest)),
        open("/api/status-page/{name}/badge", get(status::badge_of_kuma_page)),
        open("/api/watchbell/v1/status/{name}", get(status::json)),
    ]
}

fn of_the_store() -> Vec<Door> {
    let admin = |methods, path: &str, handler| {
        door(Surface::Admin, methods, &format!("/api/watchbell/v1/store{path}"), handler)
    };
    vec![
        admin(GET, "", get(upkeep::figures)),
        admin(GET, "/check", get(upkeep::check)),
        admin(POST, "/delete", post(upkeep::delete)),
        admin(POST, "/clean", post(upkeep::clean)),
    ]
}

fn of_prometheus(prefix: &str) -> Vec<Door> {
    let at = |surface, methods, path: &str, handler| Door {
        dressed: true,
        ..door(surface, methods, &format!("{prefix}{path}"), handler)
    };
    let get_at = |path: &str, handler: MethodRouter<App>| at(Surface::Machine, GET, path, handler);
    let machine = |methods, path, handler| at(Surface::Machine, methods, path, handler);
    // These have limits of time of their own.
    let timed = |methods, path, handler| at(Surface::Bulk, methods, path, handler);
    let admin = |name: &str, handler| at(Surface::Admin, POST_PUT, &format!("/api/v1/admin/tsdb/{name}"), handler);
    let exemplars = get(prometheus::query_exemplars).post(prometheus::query_exemplars);
    let mut doors = vec![
        timed(GET_POST, "/api/v1/query", get(prometheus::query).post(prometheus::query)),
        timed(GET_POST, "/api/v1/query_range", get(prometheus::query_range).post(prometheus::query_range)),
        timed(GET_POST, "/api/v1/query_exemplars", exemplars),
        timed(GET_POST, "/api/v1/series", get(prometheus::series).post(prometheus::series)),
        timed(GET_POST, "/api/v1/labels", get(prometheus::labels).post(prometheus::labels)),
        timed(GET, "/api/v1/label/{name}/values", get(prometheus::label_values)),
        timed(POST, "/api/v1/read", post(prometheus::read)),
        timed(GET, "/federate", get(prometheus::federate)),
        machine(GET_POST, "/api/v1/format_query", get(prometheus::format_query).post(prometheus::format_query)),
        machine(GET_POST, "/api/v1/parse_query", get(prometheus::parse_query).post(prometheus::parse_query)),
        machine(POST_PUT, "/-/reload", post(health::reload).put(health::reload)),
        at(Surface::Live, GET, "/-/healthy", get(health::livez)),
        at(Surface::Live, GET, "/-/ready", get(health::readyz)),
        admin("delete_series", post(upkeep::delete_series).put(upkeep::delete_series)),
        admin("clean_tombstones", post(upkeep::clean_tombstones).put(upkeep::clean_tombstones)),
        admin("snapshot", post(upkeep::snapshot).put(upkeep::snapshot)),
        at(Surface::Bulk, GET_POST, "/api/v1/export", get(bulk::export).post(bulk::export)),
        at(Surface::Bulk, POST, "/api/v1/import", post(bulk::import_lines)),
        at(Surface::Bulk, POST, "/api/v1/import/prometheus", post(bulk::import_text)),
        at(Surface::Push, POST, "/api/v1/write", post(push::remote_write)),
        at(Surface::Push, POST, "/api/v1/push", post(push::remote_write)),
        at(Surface::Push, POST, "/api/v1/otlp/v1/metrics", post(otlp::metrics)),
    ];
    doors.extend([
        get_at("/api/v1/metadata", get(prometheus::metadata)),
        get_at("/api/v1/rules", get(prometheus::rules)),
        get_at("/api/v1/alerts", get(prometheus::alerts)),
        get_at("/api/v1/alertmanagers", get(prometheus::alertmanagers)),
        get_at("/api/v1/targets", get(prometheus::targets)),
        get_at("/api/v1/targets/metadata", get(prometheus::target_metadata)),
        get_at("/api/v1/targets/relabel_steps", get(prometheus::relabel_steps)),
        get_at("/api/v1/scrape_pools", get(prometheus::scrape_pools)),
        get_at("/api/v1/features", get(prometheus::features)),
        get_at("/api/v1/notifications", get(prometheus::notifications)),
        get_at("/api/v1/openapi.yaml", get(prometheus::openapi)),
        get_at("/api/v1/status/buildinfo", get(prometheus::buildinfo)),
        get_at("/api/v1/status/config", get(prometheus::in_force)),
        get_at("/api/v1/status/flags", get(prometheus::flags)),
        get_at("/api/v1/status/runtimeinfo", get(prometheus::runtimeinfo)),
        get_at("/api/v1/status/self_metrics", get(prometheus::self_metrics)),
        get_at("/api/v1/status/tsdb", get(upkeep::status)),
        get_at("/api/v1/status/tsdb/blocks", get(upkeep::blocks)),
        get_at("/api/v1/status/walreplay", get(prometheus::walreplay)),
    ]);
    for (name, handler) in [
        ("metric_names", get(prometheus::search_metric_names).post(prometheus::search_metric_names)),
        ("label_names", get(prometheus::search_label_names).post(prometheus::search_label_names)),
        ("label_values", get(prometheus::search_label_values).post(prometheus::search_label_values)),
    ] {
        doors.push(at(Surface::Bulk, GET_POST, &format!("/api/v1/search/{name}"), handler));
    }
    // A stream, which cannot be compressed as one piece.
    let live = get(prometheus::follow_notifications);
    doors.push(door(Surface::Machine, GET, &format!("{prefix}/api/v1/notifications/live"), live));
    if !prefix.is_empty() {
        doors.push(get_at("/metrics", get(health::metrics)));
    }
    doors
}

fn of_alertmanager(prefix: &str) -> Vec<Door> {
    let machine = |methods, path: &str, handler| door(Surface::Machine, methods, &format!("{prefix}{path}"), handler);
    let mut doors = vec![
        machine(GET_POST, "/api/v2/alerts", get(alertmanager::alerts).post(alertmanager::post_alerts)),
        machine(GET, "/api/v2/alerts/groups", get(alertmanager::groups)),
        machine(GET_POST, "/api/v2/silences", get(alertmanager::silences).post(alertmanager::post_silence)),
        machine(GET_DELETE, "/api/v2/silence/{id}", get(alertmanager::silence).delete(alertmanager::expire_silence)),
        machine(GET, "/api/v2/status", get(alertmanager::status)),
        machine(GET, "/api/v2/receivers", get(alertmanager::receivers)),
    ];
    if !prefix.is_empty() {
        let live = |path: &str, handler| door(Surface::Live, GET, &format!("{prefix}{path}"), handler);
        doors.push(live("/-/healthy", get(health::livez)));
        doors.push(live("/-/ready", get(health::readyz)));
    }
    doors
}

fn of_healthchecks() -> Vec<Door> {
    let mut doors = Vec::new();
    // They answer every method themselves, with the headers that pages of other sites need.
    for version in ["v1", "v2", "v3"] {
        let keyed =
            |methods, path: &str, handler| door(Surface::Keyed, methods, &format!("/api/{version}/{path}"), handler);
        doors.extend([
            keyed(GET_POST, "checks/", any(healthchecks::checks)),
            keyed(GET_POST_DELETE, "checks/{check}", any(healthchecks::one)),
            keyed(POST, "checks/{check}/pause", any(healthchecks::pause)),
            keyed(POST, "checks/{check}/resume", any(healthchecks::resume)),
            keyed(GET, "checks/{check}/pings/", any(healthchecks::pings)),
            keyed(GET, "checks/{check}/pings/{n}/body", any(healthchecks::ping_body)),
            keyed(GET, "checks/{check}/flips/", any(healthchecks::flips)),
            keyed(GET, "channels/", any(healthchecks::channels)),
            keyed(GET, "badges/", any(healthchecks::badges)),
            door(Surface::Live, GET, &format!("/api/{version}/status/"), get(healthchecks::status)),
        ]);
    }
    // The address is the secret, as a ping's is.
    doors.push(door(Surface::Ping, GET, "/b/{states}/{file}", any(healthchecks::badge_of_one)));
    doors.push(door(Surface::Ping, GET, "/badge/{key}/{file}", any(healthchecks::badge_of_all)));
    doors.push(door(Surface::Ping, GET, "/badge/{key}/{signature}/{file}", any(healthchecks::badge_of_tag)));
    doors
}

/// Pages that the app draws.
const PAGES: [&str; 9] = [
    "/alarms",
    "/monitors",
    "/heartbeats",
    "/targets",
    "/alerts",
    "/deliveries",
    "/previews",
    "/status-pages",
    "/runbooks",
];

/// The router over every door.
pub(crate) fn router(app: App) -> Router {
    let mut router = Router::new();
    for door in doors() {
        let body_max = match door.surface {
            Surface::Ping | Surface::Keyed => PING_BODY_MAX,
            Surface::Sink => SINK_BODY_MAX,
            Surface::Push => push::PUSH_BODY_MAX,
            _ => BODY_MAX,
        };
        let guarded = door
            .handler
            .layer(DefaultBodyLimit::max(body_max))
            .layer(from_fn_with_state((app.clone(), door.surface), guard));
        let dressed =
            if door.dressed { guarded.layer(from_fn_with_state(app.clone(), prometheus::dress)) } else { guarded };
        router = router.route(&door.path, dressed);
    }
    router.fallback(nothing).layer(from_fn(headers)).with_state(app)
}

async fn nothing(uri: Uri) -> Response {
    if prometheus::is_page_not_found(uri.path()) {
        return prometheus::page_not_found();
    }
    (
        StatusCode::NOT_FOUND,
        Json(
            serde_json::json!({ "status": "error", "errorType": "not_found", "error": "there is nothing at this address" }),
        ),
    )
        .into_response()
}
