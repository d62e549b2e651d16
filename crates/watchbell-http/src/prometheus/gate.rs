//! Who may read the store now: so many at a time, so many that wait, so long each.
//!
//! A read has its turn until its work has ended, whether or not somebody still waits for the answer, so that the bound
//! is one of work. A client that hangs up stops the evaluation of its query.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::stream::{self, Stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use watchbell_model::QueryError;
use watchbell_runtime::thread;

use super::Refused;
use crate::App;

/// How many reads may wait for their turn; further ones are refused.
pub const QUERIES_WAITING_MAX: usize = 256;

/// Turns to read the store.
pub(crate) struct Gate {
    turns: Arc<Semaphore>,
    turns_max: usize,
    waiting: AtomicUsize,
}

impl Gate {
    /// With so many turns.
    pub(crate) fn new(turns: usize) -> Gate {
        Gate { turns: Arc::new(Semaphore::new(turns)), turns_max: turns, waiting: AtomicUsize::new(0) }
    }

    /// Says how many have a turn now.
    fn show(&self, app: &App) {
        let running = self.turns_max.saturating_sub(self.turns.available_permits());
        let help = "Reads of series over HTTP that have their turn now.";
        app.runtime.metrics.gauge("watchbell_queries_running", help, &[]).set(running as f64);
    }

    /// A place among those who wait.
    fn queue(&self) -> Result<Place<'_>, Refused> {
        let place = Place(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) < QUERIES_WAITING_MAX || self.turns.available_permits() > 0 {
            return Ok(place);
        }
        let words = format!("too many queries are waiting ({QUERIES_WAITING_MAX}); try again later");
        Err(Refused::Unavailable(words))
    }
}

/// Taken back when it is dropped.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Set when it is dropped: the evaluation of a query ends soon after.
struct HangUp(Arc<AtomicBool>);

impl Drop for HangUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How long a read waited, and how long it took then.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    pub(super) waited: Duration,
    pub(super) worked: Duration,
}

/// A turn for work that hands on what it finds as it finds it, for as long as that takes.
pub(crate) async fn turn(app: &App) -> Result<OwnedSemaphorePermit, Refused> {
    let longest = app.config.query().timeout.duration();
    let place = app.gate.queue()?;
    let turn = app.runtime.clock.timeout(longest, Arc::clone(&app.gate.turns).acquire_owned()).await;
    drop(place);
    let turn = turn.map_err(|_| Refused::Timeout("query timed out in query queue".into()))?;
    Ok(turn.expect("the semaphore is never closed"))
}

/// The pieces that work hands on, as a body. The work is carried by the stream: it ends with it, whoever ends it. Where
/// it fails the body breaks off, which its reader sees; one that ended early would pass for the whole.
pub(crate) fn carried(
    work: impl Future<Output = Result<(), QueryError>> + Send + 'static,
    mut pieces: mpsc::Receiver<Bytes>,
    failure: &'static str,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let mut work = Some(Box::pin(work));
    stream::poll_fn(move |context| {
        if let Some(under_way) = &mut work
            && let Poll::Ready(done) = under_way.as_mut().poll(context)
        {
            work = None;
            if let Err(error) = done {
                tracing::warn!(%error, "{failure}");
                return Poll::Ready(Some(Err(io::Error::other(error.to_string()))));
            }
        }
        pieces.poll_recv(context).map(|piece| piece.map(Ok))
    })
}

/// Reads the store off the threads that serve requests, when it is this request's turn.
pub(crate) async fn run<T, E>(app: App, read: impl FnOnce(&App) -> Result<T, E> + Send + 'static) -> Result<T, Refused>
where
    T: Send + 'static,
    E: Into<Refused> + Send + 'static,
{
    let longest = app.config.query().timeout.duration();
    bounded(&app, longest, move |app, _| read(app)).await.map(|(read, _)| read)
}

/// As [`run`], within a time; the work is told when nobody waits for it any more.
pub(super) async fn bounded<T, E>(
    app: &App,
    longest: Duration,
    work: impl FnOnce(&App, &Arc<AtomicBool>) -> Result<T, E> + Send + 'static,
) -> Result<(T, Times), Refused>
where
    T: Send + 'static,
    E: Into<Refused> + Send + 'static,
{
    let clock = &app.runtime.clock;
    let begun = clock.monotonic();
    let turn = clock.timeout(longest, turn(app)).await;
    let turn = turn.unwrap_or_else(|_| Err(Refused::Timeout("query timed out in query queue".into())))?;
    let waited = clock.monotonic().saturating_sub(begun);
    app.gate.show(app);

    let stop = Arc::new(AtomicBool::new(false));
    let _hang_up = HangUp(Arc::clone(&stop));
    let shared = Arc::clone(app);
    let done = thread::blocking(move || {
        let begun = shared.runtime.clock.monotonic();
        let done = work(&shared, &stop);
        drop(turn);
        shared.gate.show(&shared);
        (done, shared.runtime.clock.monotonic().saturating_sub(begun))
    });
    let done = clock.timeout(longest.saturating_sub(waited), done).await;
    let (done, worked) = done.map_err(|_| Refused::Timeout("query timed out in expression evaluation".into()))?;
    done.map(|done| (done, Times { waited, worked })).map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_wait() {
        let gate = Gate::new(1);
        let _turn = Arc::clone(&gate.turns).try_acquire_owned().unwrap();
        let places: Vec<Place<'_>> = (0..QUERIES_WAITING_MAX).map(|_| gate.queue().ok().unwrap()).collect();
        let words = gate.queue().err().map(|refused| refused.kind());
        assert_eq!(words, Some("unavailable"));
        drop(places);
        assert!(gate.queue().is_ok());
        assert_eq!(gate.waiting.load(Ordering::Relaxed), 0);
    }
}
