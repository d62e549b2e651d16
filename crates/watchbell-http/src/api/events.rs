//! Notices of change: one stream per open page, so that it shows what is true without a reload.
//!
//! A notice says what to read again, not what it says now; one that is lost costs nothing, since pages also ask every
//! ten seconds.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::StatusCode;
use tokio::sync::OwnedSemaphorePermit;

use super::{refusal, view};
use crate::access::Caller;
use crate::{App, Shared};

/// How many pages may be told at a time.
pub const STREAMS_MAX: usize = 64;
/// How often everything is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often a stream says that it lives, and whether its session still does is looked up.
const BEAT: Duration = Duration::from_secs(15);

const TOPICS: [&str; 5] = ["alarms", "heartbeats", "alerts", "outbox", "config"];

/// What everything came to when it was last looked at, one number per topic.
type Marks = [u64; TOPICS.len()];

/// The last look, shared by all streams.
#[derive(Debug, Default)]
pub(crate) struct Looks(Mutex<Option<(Duration, Marks)>>);

impl Looks {
    /// What everything comes to; looked at anew only when the last look is old.
    fn marks(&self, app: &Shared) -> Marks {
        let now = app.runtime.clock.monotonic();
        let mut last = self.0.lock().expect("no panic while held");
        match &*last {
            Some((at, marks)) if now < *at + LOOK / 2 => *marks,
            _ => {
                let marks = look(app);
                *last = Some((now, marks));
                marks
            }
        }
    }
}

fn look(app: &Shared) -> Marks {
    fn mark(each: impl FnOnce(&mut DefaultHasher)) -> u64 {
        let mut hasher = DefaultHasher::new();
        each(&mut hasher);
        hasher.finish()
    }
    let alarms = mark(|hasher| {
        for status in app.alarms.statuses() {
            (status.id, status.state, status.since, status.reason, status.contributors.len()).hash(hasher);
        }
    });
    let heartbeats = mark(|hasher| {
        for heartbeat in app.alarms.heartbeats() {
            (heartbeat.name, heartbeat.state, heartbeat.started, heartbeat.last_ping).hash(hasher);
        }
    });
    let alerts = mark(|hasher| {
        for group in app.alerts.groups() {
            (group.receiver, group.group_key).hash(hasher);
            for alert in group.alerts {
                (alert.fingerprint, alert.silenced_by, alert.inhibited_by, alert.muted_by).hash(hasher);
            }
        }
        app.alerts.episodes(|it| {
            (it.starts_at, it.ends_at, it.verdict.as_ref().map(|verdict| verdict.at)).hash(hasher);
            false
        });
        for downtime in app.alerts.downtimes() {
            let made = downtime.made.map(|made| (made.id, made.ended_at));
            (downtime.downtime.name, made, downtime.in_force_until.is_some()).hash(hasher);
        }
        for silence in app.alerts.silences() {
            (silence.id, silence.updated_at, silence.ends_at).hash(hasher);
        }
    });
    let outbox = mark(|hasher| {
        for page in app.notify.outbox() {
            (page.id, page.attempts).hash(hasher);
        }
        for channel in app.notify.channels() {
            (channel.name, channel.last_accepted, channel.last_error).hash(hasher);
        }
    });
    let config = mark(|hasher| {
        let load = app.config.last_load();
        (load.loaded_at, load.refused_at).hash(hasher);
    });
    [alarms, heartbeats, alerts, outbox, config]
}

/// One open page.
struct Follower {
    app: App,
    caller: Caller,
    seen: Marks,
    beat_at: Duration,
    _slot: OwnedSemaphorePermit,
}

/// `GET events`.
pub(crate) async fn follow(State(app): State<App>, axum::Extension(caller): axum::Extension<Caller>) -> Response {
    let Ok(slot) = Arc::clone(&app.streams).try_acquire_owned() else {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, format!("{STREAMS_MAX} pages are open already"));
    };
    let seen = app.looks.marks(&app);
    // The first beat goes out at once: it opens the stream for the page.
    let follower = Follower { app, caller, seen, beat_at: Duration::ZERO, _slot: slot };
    Sse::new(stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    }))
    .into_response()
}

impl Follower {
    async fn next(&mut self) -> Option<Event> {
        loop {
            let now = self.app.runtime.clock.monotonic();
            if now >= self.beat_at {
                if !is_let_in(&self.app, &self.caller) {
                    return None;
                }
                self.beat_at = now + BEAT;
                return Some(Event::default().comment("beat"));
            }
            tokio::select! {
                biased;
                () = self.app.stop.cancelled() => return None,
                () = self.app.runtime.clock.sleep(LOOK) => {}
            }
            let marks = self.app.looks.marks(&self.app);
            if marks != self.seen {
                let changed = (0..TOPICS.len()).filter(|at| marks[*at] != self.seen[*at]);
                let topics = changed.map(|at| TOPICS[at].to_owned()).collect();
                self.seen = marks;
                let notice = serde_json::to_string(&view::ChangeNotice { topics }).expect("our own views serialise");
                return Some(Event::default().event("change").data(notice));
            }
        }
    }
}

/// Whoever is signed out hears nothing more.
pub(crate) fn is_let_in(app: &App, caller: &Caller) -> bool {
    match caller {
        Caller::Session(id) => app.auth.session_lives(id).unwrap_or(false),
        Caller::Anybody | Caller::Local | Caller::Token(_) | Caller::Place(_) => true,
    }
}
