//! A configuration goes in; alarms that are in it keep what they remember, those that are not end.

use std::collections::BTreeMap;
use std::sync::Arc;

use watchbell_model::{StateError, Timestamp};

use crate::alarms::{Alarms, name_of};
use crate::draft::Draft;
use crate::kept::{Item, Kept, Kind, Runbook};
use crate::rule::numbers::forget;
use crate::rule::take::series_gone;
use crate::rule::{GroupSpec, RuleGlobals};
use crate::world::{Heard, World};
use crate::{certificate, composite, heartbeat, monitor, own};

/// Why alerts of an alarm that is not configured any more end.
const REMOVED: &str = "removed from the configuration";

/// All that is to be judged.
#[derive(Clone, Debug, Default)]
pub struct Desired {
    /// Monitors; each that says so has a certificate alarm too.
    pub monitors: Vec<monitor::Spec>,
    /// Heartbeats: those of the configuration, and those that were made while watchbell ran.
    pub heartbeats: Vec<heartbeat::Spec>,
    /// How bad it is when one that is made from now on is silent, and what to do then.
    pub heartbeat_defaults: heartbeat::Defaults,
    /// Composite alarms; none rests on itself, by whatever way.
    pub composites: Vec<composite::Spec>,
    /// Groups of rules.
    pub groups: Vec<GroupSpec>,
    /// What all rules share.
    pub rule_globals: RuleGlobals,
    /// Run books of watchbell's own alarms: by the trouble's key, by its part before the first `/`, or, under the empty
    /// name, for all others.
    pub own_runbooks: BTreeMap<String, Runbook>,
}

impl Alarms {
    /// Makes the alarms be these, in one commit.
    ///
    /// What is unchanged goes on untouched. An alert whose labels the new configuration changes ends and begins anew
    /// under its new labels. What vanishes ends, with the reason "removed from the configuration". The first call after
    /// a start gives every heartbeat that fell due meanwhile its grace.
    pub async fn apply(&self, desired: Desired) -> Result<(), StateError> {
        let mut history = self.deciding().await;
        let now = self.runtime.clock.now();
        let mut draft = Draft::new(now, &self.site);
        let certificates: Vec<_> = desired.monitors.iter().filter_map(|spec| spec.certificate.clone()).collect();
        let groups = {
            let world = self.world();
            let first = !world.applied;
            let monitors = desired.monitors.iter().cloned().map(|spec| (spec.name.clone(), spec)).collect();
            self.take::<monitor::Memory>(&world, &mut draft, monitors, |_, _| {});
            let certificates = certificates.into_iter().map(|spec| (spec.monitor.clone(), spec)).collect();
            self.take::<certificate::Memory>(&world, &mut draft, certificates, |kept, spec| {
                certificate::Memory::pass(kept, spec, now);
            });
            let heartbeats = desired.heartbeats.iter().cloned().map(|spec| (spec.id.clone(), spec)).collect();
            self.take::<heartbeat::Memory>(&world, &mut draft, heartbeats, |kept, spec| {
                kept.reschedule(spec);
                if first {
                    kept.excuse(spec, self.gone_at, now);
                }
            });
            // They are judged as soon as this is committed.
            let composites = desired.composites.iter().cloned().map(|spec| (spec.name.clone(), spec)).collect();
            self.take::<composite::Memory>(&world, &mut draft, composites, |_, _| {});
            // What is wrong with watchbell is not configured: these go on, whatever the configuration says.
            let known = world.items.own.keys().map(String::as_str);
            let restored = world.restored.keys().filter_map(|id| name_of::<own::Memory>(id));
            let spec = |key: &str| own::Spec::new(key, &desired.own_runbooks);
            let own = known.chain(restored).map(|key| (key.to_owned(), spec(key))).collect();
            self.take::<own::Memory>(&world, &mut draft, own, |_, _| {});
            if first {
                // What was made of the outage is written together with its end, so that it is made once.
                draft.changes.push(Alarms::alive(now));
            }
            self.take_groups(&world, &mut draft, desired.groups, REMOVED)
        };
        let gone = {
            let before = &self.world().groups;
            for group in before.iter().filter(|(key, _)| !groups.contains_key(*key)).map(|(_, group)| group) {
                forget(&self.runtime.metrics, &group.spec);
            }
            series_gone(before, &groups)
        };
        self.commit(&mut history, draft, |world, items| {
            world.items = items;
            world.globals = Arc::new(desired.rule_globals);
            world.groups = groups;
            world.restored.clear();
            world.restored_instances.clear();
            world.applied = true;
            world.own_runbooks = desired.own_runbooks;
            world.live.heartbeat_defaults = desired.heartbeat_defaults;
            hear(world, now);
        })
        .await?;
        drop(history);
        self.end_series(gone).await;
        self.tell_silent();
        self.tell_failing();
        self.sooner.notify_one();
        self.changed.notify_one();
        Ok(())
    }

    fn take<M: Kind>(
        &self,
        world: &World,
        draft: &mut Draft<'_>,
        wanted: Vec<(String, M::Spec)>,
        mut judge: impl FnMut(&mut Kept<M>, &M::Spec),
    ) {
        let have = M::items(&world.items);
        let restored = |name: &str| {
            let id = M::id(name);
            world.restored.get(&id).and_then(|value| self.read::<M>(&id, value))
        };
        for (name, spec) in wanted {
            let known = have.get(&name);
            let before = known.map(|item| item.kept.clone()).or_else(|| restored(&name));
            let mut kept = before.clone().unwrap_or_else(|| Kept::new(draft.now, M::UNHEARD));
            judge(&mut kept, &spec);
            let judged_at = known.and_then(|item| item.judged_at);
            draft.settle(&name, before, Item { spec: Arc::new(spec), kept, judged_at });
        }
        for (name, item) in have {
            if !M::items(&draft.items).contains_key(name) {
                draft.end(&M::id(name), &item.kept, REMOVED);
                draft.changes.extend(M::beside_gone(name, &item.kept));
            }
        }
        for (id, value) in &world.restored {
            let Some(name) = name_of::<M>(id) else { continue };
            if !M::items(&draft.items).contains_key(name)
                && let Some(kept) = self.read::<M>(id, value)
            {
                draft.end(id, &kept, REMOVED);
                draft.changes.extend(M::beside_gone(name, &kept));
            }
        }
    }
}

/// Expects results of new monitors from now on, and no more of those that are gone.
fn hear(world: &mut World, now: Timestamp) {
    let World { items, live, .. } = world;
    let places = |name: &str| items.monitors.get(name).map_or(&[][..], |item| &item.spec.places);
    live.heard.retain(|name, _| items.monitors.contains_key(name));
    live.silent.retain(|name, silent| {
        silent.retain(|place| places(name).contains(place));
        !silent.is_empty()
    });
    for name in items.monitors.keys() {
        let heard = live.heard.entry(name.clone()).or_default();
        heard.retain(|place, _| places(name).contains(place));
        for place in places(name) {
            heard.entry(place.clone()).or_insert(Heard { at: now, last: None });
        }
    }
}
