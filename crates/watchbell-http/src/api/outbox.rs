//! Pages on their way, and every try to hand one to a channel.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use watchbell_notify::{DeliveryRecord, Outcome};

use super::{refusal, view};
use crate::{App, Shared};

/// How many tries are shown.
const DELIVERIES_SHOWN: usize = 200;

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

/// `GET deliveries`.
pub(crate) async fn deliveries(State(app): State<App>) -> Response {
    match app.notify.deliveries(DELIVERIES_SHOWN) {
        Ok(tries) => Json(tries.into_iter().map(delivery).collect::<Vec<_>>()).into_response(),
        Err(error) => refusal(StatusCode::SERVICE_UNAVAILABLE, error),
    }
}

fn delivery(tried: DeliveryRecord) -> view::Delivery {
    let took = format!("in {} ms", tried.took.duration().as_millis());
    let said = tried.said.trim();
    let detail = match tried.status {
        Some(status) if tried.outcome == Outcome::Accepted || said.is_empty() => format!("{status} {took}"),
        Some(status) => format!("{status} {took}: {said}"),
        None if said.is_empty() => took,
        None => said.to_owned(),
    };
    view::Delivery {
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
        retry_at: tried.next_in.map(|wait| tried.at + wait.duration()),
    }
}
