//! Pictures of graphs: of an alert by the signed link in a page, of an alarm for whoever is signed in.

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use watchbell_model::{AlarmState, Labels, Subject, Timestamp};

use crate::api::refusal;
use crate::{App, Shared};

/// How long whoever shows a picture may keep it: what a link shows never changes.
const KEPT: &str = "private, max-age=86400, immutable";

/// What a link says besides its name.
#[derive(Deserialize)]
pub(crate) struct Link {
    /// Until when it works, in seconds since 1970.
    until: i64,
}

/// `GET /i/{name}`: the graph behind an alert that fires, as it stood when its page was written. The name says which
/// alert, and when in milliseconds since 1970.
pub(crate) async fn of_alert(State(app): State<App>, Path(name): Path<String>, Query(link): Query<Link>) -> Response {
    if app.runtime.clock.now() >= Timestamp(link.until.saturating_mul(1000)) {
        return refusal(StatusCode::GONE, "the link worked for a week");
    }
    let parts = name.strip_suffix(".png").and_then(|name| name.split_once('-'));
    let Some((fingerprint, Ok(at))) = parts.map(|(fingerprint, at)| (fingerprint, at.parse())) else {
        return refusal(StatusCode::NOT_FOUND, "there is no such picture");
    };
    let alert = app.alerts.alerts().into_iter().find(|it| it.fingerprint == fingerprint);
    let Some(alert) = alert else { return refusal(StatusCode::NOT_FOUND, "the alert is over") };
    let title = alert.alert.annotations.get("summary").unwrap_or(alert.alert.name()).to_owned();
    let subject = Subject::of(&title, &[&alert.alert], Timestamp(at));
    let mut response = drawn(&app, subject).await;
    if response.status() == StatusCode::OK {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(KEPT));
    }
    response
}

/// `GET alarms/{id}/picture.png`: what an alarm judges, as it stands.
pub(crate) async fn of_alarm(State(app): State<App>, Path(id): Path<String>) -> Response {
    let Some(status) = app.alarms.status(&id) else {
        return refusal(StatusCode::NOT_FOUND, format!("there is no alarm `{id}`"));
    };
    let firing = status.contributors.iter().filter(|it| !it.pending).map(|it| it.labels.clone());
    let mut alerts: Vec<Labels> = firing.take(Subject::ALERTS_MAX).collect();
    if alerts.is_empty() {
        alerts.push(Labels::from_pairs([("source", id.as_str())]));
    }
    let subject = Subject {
        title: status.name,
        alerts,
        since: if status.state == AlarmState::Alarm { status.since } else { Timestamp::MAX },
        until: None,
        at: app.runtime.clock.now(),
        generator_url: String::new(),
    };
    drawn(&app, Some(subject)).await
}

async fn drawn(app: &Shared, subject: Option<Subject>) -> Response {
    let Some(subject) = subject.filter(|subject| app.draw.has_graph(subject)) else {
        return refusal(StatusCode::NOT_FOUND, "there is no graph of it");
    };
    match app.draw.draw(&subject).await {
        Some(picture) => {
            let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("image/png"))];
            (kind, Body::from(picture.to_vec())).into_response()
        }
        None => refusal(StatusCode::SERVICE_UNAVAILABLE, "there is no picture now: no data, or it would take too long"),
    }
}
