//! When composites are judged: as soon as another alarm has changed, and when a wait is over.

use watchbell_model::{AlarmState, StateError, Timestamp};
use watchbell_runtime::CancellationToken;

use super::{Look, Memory};
use crate::alarms::Alarms;
use crate::draft::Draft;
use crate::kept::{Item, Kind};
use crate::tasks::{REFRESH, RETRY};
use crate::world::{Items, World};

impl Alarms {
    /// Judges composites until the stop. Children are committed by then, each in its own commit; after a crash between
    /// the two, the start judges again.
    pub(crate) async fn watch_composites(&self, stop: CancellationToken) {
        let clock = &self.runtime.clock;
        loop {
            let now = clock.now();
            let again = match self.judge_composites().await {
                Err(_) => now + RETRY,
                Ok(next) => next.unwrap_or(Timestamp::MAX).min(now + REFRESH),
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.changed.notified() => {}
                () = clock.sleep_until(again) => {}
            }
        }
    }

    /// Judges all of them; the moment at which a wait is over.
    async fn judge_composites(&self) -> Result<Option<Timestamp>, StateError> {
        if self.world().items.composites.is_empty() {
            return Ok(None);
        }
        let mut history = self.deciding().await;
        let mut draft = Draft::new(self.runtime.clock.now(), &self.site);
        {
            let world = self.world();
            let composites = &world.items.composites;
            // One may rest on another; none rests on itself, so that there is an end.
            for _ in 0..=composites.len() {
                let before = draft.transitions.len();
                for (name, item) in composites {
                    let look = Look::at(&item.spec, |id| state_of(&world, &draft.items, id));
                    let now = draft.now;
                    draft.judge::<Memory>(&world.items, name, |kept, spec| {
                        kept.look(spec, &look, now);
                    });
                }
                if draft.transitions.len() == before {
                    break;
                }
            }
        }
        self.commit(&mut history, draft, |world, items| world.items.advance(items)).await?;
        let world = self.world();
        let composites = world.items.composites.values();
        Ok(composites.filter_map(|item: &Item<Memory>| Memory::deadline(&item.kept, &item.spec)).min())
    }
}

/// What an alarm says: as was just decided, or as it was. Of one that is not there nothing is known, but watchbell's own
/// alarms are there only when something is wrong.
fn state_of(world: &World, decided: &Items, id: &str) -> AlarmState {
    let Some((kind, name)) = id.split_once('/') else { return AlarmState::InsufficientData };
    let items = &world.items;
    let found = match kind {
        "composite" => {
            let item = decided.composites.get(name).or_else(|| items.composites.get(name));
            item.map(|item| item.kept.state)
        }
        "monitor" => items.monitors.get(name).map(|item| item.kept.state),
        "certificate" => items.certificates.get(name).map(|item| item.kept.state),
        "heartbeat" => items.heartbeats.get(name).map(|item| item.kept.state),
        "self" => Some(items.own.get(name).map_or(AlarmState::Ok, |item| item.kept.state)),
        _ => {
            let mut rules = world.groups.values().flat_map(|group| &group.rules);
            rules.find(|item| item.id.as_deref() == Some(id)).map(|item| item.kept.state)
        }
    };
    found.unwrap_or(AlarmState::InsufficientData)
}
