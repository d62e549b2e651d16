//! A configuration's groups take the place of the ones before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use watchbell_model::{AlarmId, Change, Labels};

use super::GroupSpec;
use super::instance::{Instance, Instances};
use super::run::{Group, GroupKey, INSTANCE, Memory, RuleItem, TOLERANCE, alert, instance_key};
use crate::alarms::Alarms;
use crate::draft::{Draft, STATE, resolved};
use crate::heartbeat::OUTAGE_MIN;
use crate::kept::Kept;
use crate::world::World;

/// What a rule says before it was evaluated.
const UNHEARD: &str = "not evaluated yet";

/// What all alarms of rules are called after.
pub(crate) const PREFIX: &str = "rule/";

impl Alarms {
    /// The groups with what their rules remember, by alarm; rules that are not wanted any more end in `draft`.
    pub(crate) fn take_groups(
        &self,
        world: &World,
        draft: &mut Draft<'_>,
        wanted: Vec<GroupSpec>,
        why_gone: &str,
    ) -> BTreeMap<GroupKey, Group> {
        let known: BTreeMap<&AlarmId, &RuleItem> = world
            .groups
            .values()
            .flat_map(|group| &group.rules)
            .filter_map(|item| item.id.as_ref().map(|id| (id, item)))
            .collect();
        let away = self.opened_at.since(self.gone_at);
        let mut ids = BTreeSet::new();
        let mut groups = BTreeMap::new();
        // What recording rules wrote, for the rule of the same name and labels in the same group.
        let mut written: BTreeMap<_, Vec<BTreeSet<Labels>>> = BTreeMap::new();
        for (key, group) in &world.groups {
            for item in group.rules.iter().filter(|item| item.id.is_none()) {
                let rule = (key.clone(), item.rule.name.clone(), item.rule.labels.clone());
                written.entry(rule).or_default().push(item.written.clone());
            }
        }
        for spec in wanted {
            let mut rules = Vec::with_capacity(spec.rules.len());
            for rule in &spec.rules {
                let rule = Arc::new(rule.clone());
                if !rule.alerts {
                    let before = written.get_mut(&(spec.id(), rule.name.clone(), rule.labels.clone()));
                    let mut item = RuleItem::new(rule, None, Kept::new(draft.now, UNHEARD), Instances::new());
                    item.written = before.and_then(Vec::pop).unwrap_or_default();
                    rules.push(item);
                    continue;
                }
                let id = free_id(&ids, format!("{PREFIX}{}/{}", spec.name, rule.name));
                ids.insert(id.clone());
                let item = match known.get(&id) {
                    Some(item) => RuleItem { rule, ..(*item).clone() },
                    None => self.restore(world, draft, &id, rule, away),
                };
                rules.push(item);
            }
            let key = spec.id();
            let same = world.groups.get(&key).filter(|group| group.spec.key == spec.key);
            let group = match same {
                Some(group) => group.clone(),
                None => {
                    Group { spec: Arc::new(spec), last: None, took: Duration::ZERO, missed: 0, late_rounds: 0, rules }
                }
            };
            groups.insert(key, group);
        }
        for (id, item) in known.into_iter().filter(|(id, _)| !ids.contains(*id)) {
            self.end_rule(draft, id, &item.kept, &item.instances, why_gone);
        }
        for (id, value) in world.restored.iter().filter(|(id, _)| id.starts_with(PREFIX) && !ids.contains(*id)) {
            let instances = world.restored_instances.get(id).cloned().unwrap_or_default();
            let kept = self.read(id, value).unwrap_or_else(|| Kept::new(draft.now, UNHEARD));
            self.end_rule(draft, id, &kept, &instances, why_gone);
        }
        groups
    }

    /// What the disk says of a rule.
    fn restore(
        &self,
        world: &World,
        draft: &mut Draft<'_>,
        id: &str,
        rule: Arc<super::RuleSpec>,
        away: Duration,
    ) -> RuleItem {
        let kept = world.restored.get(id).and_then(|value| self.read::<Memory>(id, value));
        let known = kept.is_some();
        let kept = kept.unwrap_or_else(|| Kept::new(draft.now, UNHEARD));
        if !known {
            draft.changes.push(Change::put(STATE, id, &kept));
        }
        let mut instances = world.restored_instances.get(id).cloned().unwrap_or_default();
        // As Prometheus: the time in which nobody looked does not count towards `for`, and after a long one it begins
        // anew. What fires goes on firing.
        if away > OUTAGE_MIN {
            instances.retain(|labels, instance| {
                let keep = instance.is_firing() || away <= TOLERANCE;
                if !keep {
                    draft.changes.push(Change::delete(INSTANCE, instance_key(id, labels)));
                } else if !instance.is_firing() {
                    instance.active_at = instance.active_at + away;
                    draft.changes.push(Change::put(INSTANCE, instance_key(id, labels), &*instance));
                }
                keep
            });
        }
        let mut item = RuleItem::new(rule, Some(id.to_owned()), kept, instances);
        // They were told of before the restart, and end in the series too.
        item.written = item.told().collect();
        item
    }

    fn end_rule(&self, draft: &mut Draft<'_>, id: &str, kept: &Kept<Memory>, instances: &Instances, why: &str) {
        for (labels, instance) in instances {
            if Instance::is_firing(instance) {
                draft.alerts.extend(alert(&self.site, id, instance).map(|alert| resolved(&alert, draft.now, why)));
            }
            draft.changes.push(Change::delete(INSTANCE, instance_key(id, labels)));
        }
        draft.end(id, kept, why);
    }
}

/// Series that the groups before yielded and those after do not know of.
pub(crate) fn series_gone(before: &BTreeMap<GroupKey, Group>, after: &BTreeMap<GroupKey, Group>) -> BTreeSet<Labels> {
    fn all(groups: &BTreeMap<GroupKey, Group>) -> impl Iterator<Item = &Labels> {
        groups.values().flat_map(|group| &group.rules).flat_map(|item| &item.written)
    }
    let kept: BTreeSet<&Labels> = all(after).collect();
    all(before).filter(|labels| !kept.contains(labels)).cloned().collect()
}

/// Two rules may share a name, as for `severity: warning` and `critical`: the second is `rule/group/Alert~2`.
fn free_id(taken: &BTreeSet<AlarmId>, id: AlarmId) -> AlarmId {
    let mut number = 1;
    let mut free = id.clone();
    while taken.contains(&free) {
        number += 1;
        free = format!("{id}~{number}");
    }
    free
}
