//! Pages on their way, and every try to hand one to a channel.

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use watchbell_alerts::GroupView;
use watchbell_notify::{DeliveryRecord, DeliverySearch, Outcome};

use super::{refusal, view};
use crate::{App, Shared};

/// How many tries are shown.
const DELIVERIES_SHOWN: usize = 200;
/// How many are shown at most, whatever is asked for.
const DELIVERIES_SHOWN_MAX: usize = 1000;

/// Pages on their way.
pub(crate) fn outbox(app: &Shared) -> view::Outbox {
    let waiting = app.notify.outbox();
    let channel = |channel: watchbell_notify::ChannelStatus| {
        let gone = (!channel.configured).then(|| "it is not in the configuration any more".to_owned());
        view::Channel {
            name: channel.name,
            accepted_at: channel.last_accepted,
            error: gone.or(channel.given_up).or(channel.last_error),
            queued: channel.queued as u64,
        }
    };
    view::Outbox {
        queued: waiting.len() as u64,
        oldest: waiting.iter().map(|page| page.enqueued_at).min(),
        channels: app.notify.channels().into_iter().map(channel).collect(),
    }
}

/// `GET outbox`.
pub(crate) async fn get(State(app): State<App>) -> Response {
    Json(outbox(&app)).into_response()
}

/// Which tries are asked for.
#[derive(Deserialize)]
pub(crate) struct Asked {
    /// Words that each stand somewhere in it.
    #[serde(default)]
    q: String,
    /// A channel or a receiver.
    #[serde(default)]
    channel: Option<String>,
    /// How they ended, in the words of the answer.
    #[serde(default)]
    outcome: Option<String>,
    /// Only those before the one with this `id`.
    #[serde(default)]
    before: Option<u64>,
    #[serde(default)]
    limit: Option<usize>,
}

/// `GET deliveries`.
pub(crate) async fn deliveries(State(app): State<App>, Query(asked): Query<Asked>) -> Response {
    let outcomes = match asked.outcome.as_deref().unwrap_or_default() {
        "" => Vec::new(),
        "accepted" => vec![Outcome::Accepted],
        "retry" => vec![Outcome::Retry],
        "gaveup" => vec![Outcome::Refused, Outcome::GivenUp],
        "merged" => vec![Outcome::Merged],
        other => {
            let reason = format!("`outcome` is `{other}`; it is `accepted`, `retry`, `gaveup` or `merged`");
            return refusal(StatusCode::BAD_REQUEST, reason);
        }
    };
    let channel = asked.channel.filter(|it| !it.is_empty());
    let wanted = DeliverySearch { words: asked.q, channel, outcomes, before: asked.before };
    match app.notify.search(&wanted, asked.limit.unwrap_or(DELIVERIES_SHOWN).min(DELIVERIES_SHOWN_MAX)) {
        Ok(tries) => Json(tries.into_iter().map(delivery).collect::<Vec<_>>()).into_response(),
        Err(error) => refusal(StatusCode::SERVICE_UNAVAILABLE, error),
    }
}

/// Which pages are to be shown as they would be sent.
#[derive(Deserialize)]
pub(crate) struct Shown {
    receiver: String,
    /// An alert that fires; a test page unless given.
    #[serde(default)]
    alert: Option<String>,
}

/// `GET previews`.
pub(crate) async fn previews(State(app): State<App>, Query(shown): Query<Shown>) -> Response {
    let previews = match shown.alert.filter(|it| !it.is_empty()) {
        None => app.notify.preview_test(&shown.receiver),
        Some(fingerprint) => {
            let of = |group: &GroupView| group.alerts.iter().any(|alert| alert.fingerprint == fingerprint);
            let Some(group) = app.alerts.groups().into_iter().find(of) else {
                return refusal(StatusCode::NOT_FOUND, format!("no alert `{fingerprint}` fires"));
            };
            app.notify.preview(&shown.receiver, &group.told_now(app.runtime.clock.now()))
        }
    };
    match previews {
        Some(previews) => Json(previews).into_response(),
        None => refusal(StatusCode::NOT_FOUND, format!("there is no receiver `{}`", shown.receiver)),
    }
}

fn delivery((id, tried): (u64, DeliveryRecord)) -> view::Delivery {
    let took = format!("in {} ms", tried.took.duration().as_millis());
    let said = tried.said.trim();
    let detail = match tried.status {
        Some(status) if tried.outcome == Outcome::Accepted || said.is_empty() => format!("{status} {took}"),
        Some(status) => format!("{status} {took}: {said}"),
        None if said.is_empty() => took,
        None => said.to_owned(),
    };
    let millis = |span: watchbell_model::Span| span.duration().as_millis() as u64;
    view::Delivery {
        id,
        page: tried.page,
        at: tried.at,
        channel: tried.channel,
        title: tried.title,
        attempt: u64::from(tried.attempt),
        outcome: match tried.outcome {
            Outcome::Accepted => view::Outcome::Accepted,
            Outcome::Retry => view::Outcome::Retry,
            Outcome::Refused | Outcome::GivenUp => view::Outcome::Gaveup,
            Outcome::Merged => view::Outcome::Merged,
        },
        detail,
        status: tried.status,
        took_ms: millis(tried.took),
        waited_ms: millis(tried.waited),
        group: tried.group_key,
        key: tried.key,
        retry_at: tried.next_in.map(|wait| tried.at + wait.duration()),
    }
}
