//! `/notifications` and `/notifications/live`: watchbell's own troubles, now and as they come and go.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::StatusCode;
use serde_json::{Value as Json, json};
use tokio::sync::{OwnedSemaphorePermit, watch};
use watchbell_model::Timestamp;
use watchbell_runtime::Trouble;

use super::ok;
use crate::App;
use crate::access::Caller;
use crate::api::events::is_let_in;

/// How many may follow at a time, as in Prometheus.
pub(crate) const FOLLOWERS_MAX: usize = 16;
/// How often a stream says that it lives.
const BEAT: Duration = Duration::from_secs(15);

fn notification(text: &str, date: Timestamp, active: bool) -> Json {
    json!({ "text": text, "date": date, "active": active })
}

/// `/api/v1/notifications`: what is wrong now.
pub(crate) async fn notifications(State(app): State<App>) -> Response {
    let troubles = app.runtime.troubles.list();
    let one = |it: &Trouble| notification(&it.summary, it.since, true);
    ok(Json::Array(troubles.iter().map(one).collect()))
}

/// `/api/v1/notifications/live`: what is wrong now, and then each change; what is over is `active: false`. No content
/// when too many follow already.
pub(crate) async fn follow_notifications(State(app): State<App>, Extension(caller): Extension<Caller>) -> Response {
    let Ok(slot) = Arc::clone(&app.followers).try_acquire_owned() else {
        return StatusCode::NO_CONTENT.into_response();
    };
    let changes = app.runtime.troubles.watch();
    let follower = Follower { app, caller, changes, told: BTreeMap::new(), news: None, _slot: slot };
    Sse::new(stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    }))
    .into_response()
}

/// Who follows.
struct Follower {
    app: App,
    caller: Caller,
    changes: watch::Receiver<u64>,
    /// By key: the words that were told, and since when.
    told: BTreeMap<String, (String, Timestamp)>,
    /// What is still to be told; nothing before the first look.
    news: Option<VecDeque<Json>>,
    _slot: OwnedSemaphorePermit,
}

impl Follower {
    async fn next(&mut self) -> Option<Event> {
        if self.news.is_none() {
            self.look();
            // It opens the stream for whoever follows, even if nothing is wrong.
            return Some(Event::default().comment("beat"));
        }
        loop {
            if let Some(one) = self.news.as_mut().and_then(VecDeque::pop_front) {
                return Some(Event::default().data(one.to_string()));
            }
            tokio::select! {
                biased;
                () = self.app.stop.cancelled() => return None,
                changed = self.changes.changed() => changed.ok()?,
                () = self.app.runtime.clock.sleep(BEAT) => {
                    return is_let_in(&self.app, &self.caller).then(|| Event::default().comment("beat"));
                }
            }
            self.look();
        }
    }

    /// Compares what is wrong with what was told.
    fn look(&mut self) {
        self.changes.mark_unchanged();
        let troubles = self.app.runtime.troubles.list();
        let now: BTreeMap<_, _> = troubles.into_iter().map(|it| (it.key, (it.summary, it.since))).collect();
        let gone = self.told.iter().filter(|(key, told)| now.get(*key) != Some(*told));
        let gone = gone.map(|(_, (text, since))| notification(text, *since, false));
        let come = now.iter().filter(|(key, it)| self.told.get(*key) != Some(*it));
        let come = come.map(|(_, (text, since))| notification(text, *since, true));
        self.news.get_or_insert_default().extend(gone.chain(come));
        self.told = now;
    }
}
