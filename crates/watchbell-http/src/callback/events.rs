//! Events of providers that were taken already, so that one that comes again, also after a restart, changes nothing.
//!
//! The rows of the table `http.event`, under the names that providers give events. Both bounds are kept when one is
//! noted: so many, and for as long as any provider tries again.

use std::time::Duration;

use watchbell_model::{Change, State, StateError, Timestamp};

const EVENT: &str = "http.event";
/// How many are remembered.
const EVENTS_MAX: usize = 1000;
/// For how long.
const EVENTS_KEPT: Duration = Duration::from_secs(3 * 86_400);

/// Whether an event was taken.
pub(super) fn knows(state: &dyn State, id: &str) -> Result<bool, StateError> {
    Ok(state.get(EVENT, id)?.is_some())
}

/// Remembers an event, and forgets the oldest.
pub(super) async fn note(state: &dyn State, id: &str, now: Timestamp) -> Result<(), StateError> {
    let rows = state.scan(EVENT, "", usize::MAX)?;
    // What cannot be read is as old as can be.
    let read = |value: &[u8]| serde_json::from_slice::<Timestamp>(value).unwrap_or(Timestamp::MIN);
    let mut known: Vec<(Timestamp, String)> = rows.into_iter().map(|(key, value)| (read(&value), key)).collect();
    known.sort();
    let spare = (known.len() + 1).saturating_sub(EVENTS_MAX);
    let goes = |(place, (at, _)): &(usize, (Timestamp, String))| *place < spare || now.since(*at) > EVENTS_KEPT;
    let gone = known.into_iter().enumerate().filter(goes).map(|(_, (_, key))| Change::delete(EVENT, key));
    let changes = gone.chain([Change::put(EVENT, id, &now)]).collect();
    state.commit(changes).await
}

#[cfg(test)]
mod tests {
    use watchbell_model::MemoryState;

    use super::*;

    #[tokio::test]
    async fn so_many_are_remembered_for_so_long() {
        let (state, day) = (MemoryState::new(), 86_400_000);
        for number in 0..1002_i64 {
            note(&state, &format!("event {number}"), Timestamp(number)).await.unwrap();
        }
        assert_eq!(state.scan(EVENT, "", usize::MAX).unwrap().len(), EVENTS_MAX);
        assert!(!knows(&state, "event 1").unwrap() && knows(&state, "event 2").unwrap());
        note(&state, "late", Timestamp(4 * day)).await.unwrap();
        assert!(knows(&state, "late").unwrap());
        assert_eq!(state.scan(EVENT, "", usize::MAX).unwrap().len(), 1);
    }
}
