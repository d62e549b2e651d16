//! The last transitions of all alarms, on disk.

use watchbell_model::{Change, State, StateError, Transition};

/// The table of transitions; keys grow with time, and with a number where times are equal or a clock was set back.
const HISTORY: &str = "alarms.history";

/// How many transitions are kept; the oldest go first.
pub const HISTORY_MAX: usize = 10_000;

const PAGE: usize = 500;

/// Where the history stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct History {
    next: u64,
    count: usize,
}

impl History {
    /// Reads where it stands.
    pub(crate) fn open(state: &dyn State) -> Result<History, StateError> {
        let mut history = History { next: 0, count: 0 };
        let mut from = String::new();
        loop {
            let page = state.scan(HISTORY, &from, PAGE)?;
            for (key, _) in &page {
                let number = key.rsplit_once('-').and_then(|(_, number)| number.parse::<u64>().ok());
                history.next = history.next.max(number.map_or(0, |number| number + 1));
            }
            history.count += page.len();
            match page.last() {
                Some((key, _)) if page.len() == PAGE => from = format!("{key}!"),
                _ => return Ok(history),
            }
        }
    }

    /// The changes that write these transitions and drop the oldest, and where the history stands then.
    pub(crate) fn add(
        self,
        state: &dyn State,
        transitions: &[Transition],
    ) -> Result<(History, Vec<Change>), StateError> {
        let mut after = self;
        let mut changes = Vec::with_capacity(transitions.len());
        for transition in transitions {
            let key = format!("{:020}-{:020}", transition.at.as_millis().max(0), after.next);
            changes.push(Change::put(HISTORY, key, transition));
            after.next += 1;
            after.count += 1;
        }
        let excess = after.count.saturating_sub(HISTORY_MAX);
        if excess > 0 {
            let oldest = state.scan(HISTORY, "", excess)?;
            after.count -= oldest.len();
            changes.extend(oldest.into_iter().map(|(key, _)| Change::delete(HISTORY, key)));
        }
        Ok((after, changes))
    }
}

/// The newest transitions, of one alarm or of all, newest first.
pub(crate) fn newest(state: &dyn State, id: Option<&str>, limit: usize) -> Result<Vec<Transition>, StateError> {
    let mut found = Vec::new();
    let mut before: Option<String> = None;
    while found.len() < limit {
        let page = state.scan_back(HISTORY, before.as_deref(), PAGE)?;
        let last = page.len() < PAGE;
        before = page.last().map(|(key, _)| key.clone());
        let read = page.iter().filter_map(|(_, value)| serde_json::from_slice::<Transition>(value).ok());
        found.extend(read.filter(|transition| id.is_none_or(|id| transition.alarm == id)).take(limit - found.len()));
        if last {
            break;
        }
    }
    Ok(found)
}
