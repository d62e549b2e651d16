//! What pages about alerts show: the page of a site as the browser saw it when a step failed, or a graph.

use std::sync::Arc;
use std::time::Duration;

use watchbell_alarms::Pictures;
use watchbell_model::{BoxFuture, Draw, Picture, Subject};
use watchbell_sources::probe::Live;

/// How much earlier than its alert a screenshot may be: it was taken before the probe ended.
const BEFORE_MAX: Duration = Duration::from_secs(60);

/// Screenshots first, since they say more than a graph that falls to zero.
pub(crate) struct Sights {
    live: Live,
    graphs: Arc<Pictures>,
}

impl Sights {
    /// Of what these monitors see, and of these graphs.
    pub(crate) fn new(live: Live, graphs: Arc<Pictures>) -> Arc<Sights> {
        Arc::new(Sights { live, graphs })
    }

    /// What a step that failed has left, as long as its monitor is down.
    fn screenshot(&self, subject: &Subject) -> Option<Picture> {
        let monitor = subject.alarm()?.strip_prefix("monitor/")?;
        let is_over = subject.until.is_some() || subject.alerts.len() != 1;
        let shot = self.live.screenshot(monitor).filter(|_| !is_over)?;
        // With `since` in the far future nothing is down.
        (subject.since <= subject.at && shot.at + BEFORE_MAX >= subject.since).then_some(shot.picture)
    }
}

impl Draw for Sights {
    fn has_graph(&self, subject: &Subject) -> bool {
        self.screenshot(subject).is_some() || self.graphs.has_graph(subject)
    }

    fn draw<'a>(&'a self, subject: &'a Subject) -> BoxFuture<'a, Option<Picture>> {
        match self.screenshot(subject) {
            Some(picture) => Box::pin(std::future::ready(Some(picture))),
            None => self.graphs.draw(subject),
        }
    }
}
