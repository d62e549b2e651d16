//! Runs groups of rules: waits for the slot, evaluates rule after rule, commits what follows, stores what is recorded.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use watchbell_model::{
    AlarmId, AlarmState, Alert, Batch, BatchHistogram, BatchSample, Change, Labels, Point, SeriesKey, StateError,
    Timestamp, Transition, stale_nan,
};
use watchbell_query::Engine;
use watchbell_runtime::{CancellationToken, Task, thread};

use super::addition::{self, NoData};
use super::evaluate::{self, Found, Round, RuleGlobals, Scene};
use super::group::{GroupSpec, RuleSpec};
use super::instance::{Instance, Instances, step};
use super::numbers::GroupNumbers;
use super::status::Health;
use crate::alarms::Alarms;
use crate::draft::{Draft, STATE, resolved};
use crate::kept::{Kept, Site};
use crate::pace::Pace;
use crate::world::World;

/// The table of [`Instance`] documents, by alarm and label set.
pub(crate) const INSTANCE: &str = "alarms.instance";

/// After an outage, sources need this long until rules see again what they saw before; until then nothing ends.
const SETTLE: Duration = Duration::from_secs(300);

/// A pending alert is not carried over an outage longer than this (Prometheus' outage tolerance).
pub(crate) const TOLERANCE: Duration = Duration::from_secs(3600);

/// Evaluations in a row that fail, or come too late, until watchbell says so.
const FAILURES_TOLD: u32 = 3;

/// Rules of so many groups are evaluated at the same time; the others wait for their turn.
pub(crate) const EVALUATIONS_MAX: usize = 4;

/// How many rules or groups a trouble names.
const NAMES_MAX: usize = 5;

/// Which group: its file and its name.
pub(crate) type GroupKey = (String, String);

/// A group, with what its rules remember.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) spec: Arc<GroupSpec>,
    pub(crate) last: Option<Timestamp>,
    pub(crate) took: Duration,
    pub(crate) missed: u64,
    /// Rounds in a row that came so late that slots were missed.
    pub(crate) late_rounds: u32,
    pub(crate) rules: Vec<RuleItem>,
}

/// A rule, with what it remembers.
#[derive(Clone, Debug)]
pub(crate) struct RuleItem {
    pub(crate) rule: Arc<RuleSpec>,
    /// Its alarm, if it raises alerts.
    pub(crate) id: Option<AlarmId>,
    pub(crate) kept: Kept<Memory>,
    pub(crate) instances: Instances,
    pub(crate) health: Health,
    pub(crate) error: Option<String>,
    pub(crate) failures: u32,
    pub(crate) judged_at: Option<Timestamp>,
    pub(crate) took: Duration,
    /// Series that the last evaluation wrote: those that the next one does not write have ended.
    pub(crate) written: BTreeSet<Labels>,
}

/// Label sets have documents of their own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Memory {}

impl RuleItem {
    pub(crate) fn new(rule: Arc<RuleSpec>, id: Option<AlarmId>, kept: Kept<Memory>, instances: Instances) -> RuleItem {
        RuleItem {
            rule,
            id,
            kept,
            instances,
            health: Health::Unknown,
            error: None,
            failures: 0,
            judged_at: None,
            took: Duration::ZERO,
            written: BTreeSet::new(),
        }
    }

    /// The alerts that fire, for raising them again.
    pub(crate) fn firing(&self, site: &Site) -> impl Iterator<Item = Alert> {
        let id = self.id.as_deref().unwrap_or_default();
        self.instances.values().filter(|it| it.is_firing()).filter_map(move |it| alert(site, id, it))
    }

    /// The series that stand for its alerts, as of the last evaluation.
    pub(crate) fn told(&self) -> impl Iterator<Item = Labels> {
        points(&self.instances, Timestamp(0)).into_iter().map(|point| point.labels)
    }
}

/// The document of a label set.
pub(crate) fn instance_key(id: &str, labels: &Labels) -> String {
    format!("{id} {:016x}", labels.fingerprint())
}

/// The labels under which an alert is raised: its own and `source`, unless the series has a label of that name, then
/// those of this watchbell that it lacks, all of it as `alert_relabel_configs` says. None at all if it is dropped.
pub(crate) fn raised_labels(globals: &RuleGlobals, id: &str, labels: &Labels) -> Labels {
    let named = if labels.get("source").is_some() { labels.clone() } else { labels.with("source", id) };
    globals.alert_relabel.apply(&named.with_missing(&globals.external_labels)).unwrap_or_default()
}

/// The alert of a label set as it was raised, if it was.
pub(crate) fn alert(site: &Site, id: &str, instance: &Instance) -> Option<Alert> {
    let labels = match &instance.raised {
        Some(raised) => raised.clone(),
        None => raised_labels(&RuleGlobals::default(), id, &instance.labels),
    };
    (!labels.is_empty()).then(|| Alert {
        labels,
        annotations: instance.annotations.filtered(|name| !name.starts_with(addition::PREFIX)),
        starts_at: instance.fired_at.unwrap_or(instance.active_at),
        ends_at: instance.until,
        generator_url: site.alarm(id),
    })
}

/// Works out what follows when the label sets of a rule become `after`; `no_data` if nothing has data and the rule
/// takes that for a state of its own.
pub(crate) fn settle(
    draft: &mut Draft<'_>,
    globals: &RuleGlobals,
    id: &str,
    item: &RuleItem,
    after: &mut Instances,
    no_data: bool,
) -> Kept<Memory> {
    const RELABELLED: &str = "it goes on under other labels";
    const OVER: &str = "the condition does not hold any more";
    let before = &item.instances;
    let now = draft.now;
    let change = |labels: &Labels, to: AlarmState, reason: String| {
        let from = if to == AlarmState::Alarm { AlarmState::Ok } else { AlarmState::Alarm };
        Transition { alarm: id.to_owned(), labels: labels.clone(), from, to, at: now, reason }
    };
    let mut transitions = Vec::new();
    for (labels, instance) in after.iter_mut() {
        let known = before.get(labels);
        if instance.is_firing() {
            let fired = known.filter(|known| known.is_firing());
            instance.raised = Some(raised_labels(globals, id, labels));
            if fired.is_none() {
                transitions.push(change(labels, AlarmState::Alarm, reason(instance)));
            }
            let was = fired.and_then(|fired| alert(draft.site, id, fired));
            let is = alert(draft.site, id, instance);
            if was.as_ref().map(|alert| &alert.labels) != is.as_ref().map(|alert| &alert.labels) {
                draft.alerts.extend(was.map(|was| resolved(&was, now, RELABELLED)));
                draft.alerts.extend(is);
            } else if fired.is_some_and(|fired| fired.until != instance.until) {
                draft.alerts.extend(is);
            }
        }
        if known.is_none_or(|known| instance.moved_on(known)) {
            draft.changes.push(Change::put(INSTANCE, instance_key(id, labels), &*instance));
        }
    }
    for (labels, gone) in before.iter().filter(|(labels, _)| !after.contains_key(*labels)) {
        if gone.is_firing() {
            transitions.push(change(labels, AlarmState::Ok, OVER.to_owned()));
            draft.alerts.extend(alert(draft.site, id, gone).map(|alert| resolved(&alert, now, OVER)));
        }
        draft.changes.push(Change::delete(INSTANCE, instance_key(id, labels)));
    }
    let mut kept = item.kept.clone();
    let firing = after.values().find(|it| it.is_firing());
    match firing {
        Some(first) => kept.turn(AlarmState::Alarm, draft.now, || reason(first)),
        None if no_data => kept.turn(AlarmState::InsufficientData, draft.now, || evaluate::NO_DATA.to_owned()),
        None => kept.turn(AlarmState::Ok, draft.now, || "the condition does not hold".to_owned()),
    }
    if kept != item.kept {
        // The rule as a whole comes first: it is what a page shows.
        draft.transitions.push(Transition {
            alarm: id.to_owned(),
            labels: Labels::empty(),
            from: item.kept.state,
            to: kept.state,
            at: draft.now,
            reason: kept.reason.clone(),
        });
        draft.changes.push(Change::put(STATE, id, &kept));
    }
    draft.transitions.extend(transitions);
    kept
}

fn reason(instance: &Instance) -> String {
    match (instance.annotations.get("summary"), instance.value) {
        (Some(summary), _) => summary.to_owned(),
        (None, Some(value)) => format!("{} is {value}", instance.labels),
        (None, None) => instance.labels.to_string(),
    }
}

/// Prometheus' own series about alerts: `ALERTS` and `ALERTS_FOR_STATE`.
pub(crate) fn points(instances: &Instances, at: Timestamp) -> Vec<Point> {
    let series = |instance: &Instance| {
        let state = if instance.is_firing() { "firing" } else { "pending" };
        let alerts = instance.labels.with("alertstate", state).with(Labels::NAME, "ALERTS");
        let since = instance.labels.with(Labels::NAME, "ALERTS_FOR_STATE");
        let seconds = instance.active_at.as_millis().div_euclid(1000) as f64;
        [Point { labels: alerts, timestamp: at, value: 1.0 }, Point { labels: since, timestamp: at, value: seconds }]
    };
    instances.values().flat_map(series).collect()
}

impl Alarms {
    /// One task for each group.
    pub(crate) fn group_tasks(self: &Arc<Self>) -> Vec<Task> {
        let specs: Vec<Arc<GroupSpec>> = self.world().groups.values().map(|group| Arc::clone(&group.spec)).collect();
        let task = |spec: Arc<GroupSpec>| {
            let alarms = Arc::clone(self);
            let name = format!("rules:{}:{}", spec.file, spec.name);
            Task::new(name, spec.key, move |stop| Arc::clone(&alarms).run_group(Arc::clone(&spec), stop))
        };
        specs.into_iter().map(task).collect()
    }

    async fn run_group(self: Arc<Self>, spec: Arc<GroupSpec>, stop: CancellationToken) {
        let clock = self.runtime.clock.clone();
        let interval = spec.interval.duration();
        let mut slot = spec.first(clock.now());
        let mut pace = Pace::new(&clock);
        let numbers = GroupNumbers::new(&self.runtime.metrics, &spec);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = clock.sleep_until(slot) => {}
                // A clock that is set back must not stop the rules.
                () = clock.sleep(interval + Duration::from_secs(1)) => {}
            }
            let now = clock.now();
            let jumped = pace.jumped(&clock);
            if let Some(gone) = jumped
                && self.pass_over(&spec, gone, now).await.is_err()
            {
                tracing::error!(group = spec.name, "rules wait since before the clock was set, and may fire too early");
            }
            let late = u64::try_from(now.since(slot).as_millis() / interval.as_millis().max(1)).unwrap_or(u64::MAX);
            let at = if now < slot { now } else { slot + interval.saturating_mul(u32::try_from(late).unwrap_or(0)) };
            // What a clock that is set passes over was missed by nobody.
            let missed = if jumped.is_some() { 0 } else { late };
            let begun = clock.monotonic();
            let samples = self.evaluate_group(&spec, &numbers, at).await;
            let took = clock.monotonic().saturating_sub(begun);
            numbers.round(at, took, missed, samples);
            if let Some(group) = self.world().groups.get_mut(&spec.id()).filter(|group| group.spec.key == spec.key) {
                (group.last, group.took) = (Some(at), took);
                group.missed += missed;
                group.late_rounds = if missed > 0 { group.late_rounds.saturating_add(1) } else { 0 };
            }
            self.tell_failing();
            slot = spec.next(at);
        }
    }

    /// The time from `gone` to `now` did not happen here: it does not count for what is pending, and data of now is
    /// still to come for what fires.
    async fn pass_over(&self, spec: &GroupSpec, gone: Timestamp, now: Timestamp) -> Result<(), StateError> {
        let mut history = self.deciding().await;
        let mut draft = Draft::new(now, &self.site);
        let mut shifted = Vec::new();
        {
            let mut world = self.world();
            world.live.back_at = Some(now);
            let group = world.groups.get(&spec.id()).filter(|group| group.spec.key == spec.key);
            for item in group.iter().flat_map(|group| &group.rules) {
                let mut instances = item.instances.clone();
                let id = item.id.as_deref().unwrap_or_default();
                for (labels, instance) in instances.iter_mut().filter(|(_, it)| !it.is_firing()) {
                    instance.active_at = instance.active_at + now.since(gone);
                    draft.changes.push(Change::put(INSTANCE, instance_key(id, labels), &*instance));
                }
                shifted.push(instances);
            }
        }
        self.commit(&mut history, draft, |world, _| {
            for (index, instances) in shifted.into_iter().enumerate() {
                if let Some(item) = world.rule_mut(spec, index) {
                    item.instances = instances;
                }
            }
        })
        .await
    }

    /// Evaluates rule after rule; answers how many samples they yielded.
    async fn evaluate_group(&self, spec: &Arc<GroupSpec>, numbers: &GroupNumbers, at: Timestamp) -> usize {
        let mut samples = 0;
        let engine = Arc::new(self.world().globals.engine().sharing());
        for (index, rule) in spec.rules.iter().enumerate() {
            let begun = self.runtime.clock.monotonic();
            let done = self.evaluate_rule(spec, &engine, index, at).await;
            let took = self.runtime.clock.monotonic().saturating_sub(begun);
            numbers.evaluation(took, done.is_ok());
            match &done {
                Ok(yielded) => samples += yielded,
                Err(error) => {
                    tracing::warn!(group = spec.name, rule = rule.name, error, "a rule could not be evaluated");
                }
            }
            if let Some(item) = self.world().rule_mut(spec, index) {
                (item.judged_at, item.took) = (Some(at), took);
                item.failures = if done.is_ok() { 0 } else { item.failures.saturating_add(1) };
                item.health = if done.is_ok() { Health::Ok } else { Health::Err };
                item.error = done.err();
            }
        }
        samples
    }

    /// Evaluates one rule to its end; answers how many samples it yielded.
    async fn evaluate_rule(
        &self,
        spec: &Arc<GroupSpec>,
        engine: &Arc<Engine>,
        index: usize,
        at: Timestamp,
    ) -> Result<usize, String> {
        let data_at = at - spec.query_offset.duration();
        let (query, group, site) = (Arc::clone(&self.query), Arc::clone(spec), self.site.url().to_owned());
        let globals = Arc::clone(&self.world().globals);
        let shared = Arc::clone(engine);
        let round = {
            // Groups may be many; what they read at the same time is bounded.
            let _turn = self.evaluating.acquire().await.map_err(|error| error.to_string())?;
            // Reading much data takes long: pings and probes are judged meanwhile.
            thread::blocking(move || {
                let scene = Scene { engine: &shared, query: &*query, globals: &globals, site_url: &site, at, data_at };
                evaluate::evaluate(&group.rules[index], group.limit, scene)
            })
            .await
            .map_err(|error| error.to_string())?
        };
        let yielded = if spec.rules[index].alerts {
            let points = self.judge_rule(spec, index, round, at).await.map_err(|error| error.to_string())?;
            Batch::of("rules", points)
        } else {
            recorded(round.found, data_at)
        };
        let samples = yielded.samples.len() + yielded.histograms.len();
        let written = self.store(spec, index, yielded, data_at).await?;
        // The rules after it see it.
        engine.written(&written);
        Ok(samples)
    }

    /// Decides on what a rule found, and says what is to be stored about it.
    async fn judge_rule(
        &self,
        spec: &GroupSpec,
        index: usize,
        round: Round,
        at: Timestamp,
    ) -> Result<Vec<Point>, StateError> {
        let mut history = self.deciding().await;
        let mut draft = Draft::new(at, &self.site);
        let judged = {
            let mut world = self.world();
            let may_end = world.live.back_at.is_none_or(|back| at.since(back) > SETTLE);
            // A new configuration has taken the group away while it was evaluated.
            let globals = Arc::clone(&world.globals);
            let Some(item) = world.rule_mut(spec, index) else { return Ok(Vec::new()) };
            let Some(id) = item.id.clone() else { return Ok(Vec::new()) };
            let mut after = step(&item.instances, &round, &item.rule, may_end, at);
            let no_data = round.is_without_data() && item.rule.additions.no_data == Some(NoData::InsufficientData);
            let kept = settle(&mut draft, &globals, &id, item, &mut after, no_data);
            (kept, after)
        };
        let points = points(&judged.1, at - spec.query_offset.duration());
        self.commit(&mut history, draft, |world, items| {
            world.items.advance(items);
            if let Some(item) = world.rule_mut(spec, index) {
                (item.kept, item.instances) = judged;
            }
        })
        .await?;
        Ok(points)
    }

    /// Stores what a rule yields; series that it yielded before and does not now end here. Answers what it wrote to.
    async fn store(
        &self,
        spec: &GroupSpec,
        index: usize,
        mut yielded: Batch,
        at: Timestamp,
    ) -> Result<Vec<Labels>, String> {
        let labels = |key: &SeriesKey| if let SeriesKey::Labels(labels) = key { Some(labels.clone()) } else { None };
        let written: BTreeSet<Labels> = yielded.series.iter().filter_map(labels).collect();
        if let Some(item) = self.world().rule_mut(spec, index) {
            for labels in item.written.difference(&written) {
                let series = yielded.add(SeriesKey::Labels(labels.clone()));
                yielded.samples.push(BatchSample { series, timestamp: at, value: stale_nan() });
            }
        }
        let touched = yielded.series.iter().filter_map(labels).collect();
        if !yielded.is_empty() {
            self.append.append(yielded).await.map_err(|error| error.to_string())?;
        }
        if let Some(item) = self.world().rule_mut(spec, index) {
            item.written = written;
        }
        Ok(touched)
    }

    /// Writes on the board which rules cannot be evaluated, and which groups not in time, if that is so for longer than
    /// a moment.
    pub(crate) fn tell_failing(&self) {
        let world = self.world();
        let items = world.groups.values().flat_map(|group| &group.rules);
        let failing: Vec<String> = items
            .filter(|item| item.failures >= FAILURES_TOLD)
            .map(|item| item.id.clone().unwrap_or_else(|| item.rule.name.clone()))
            .collect();
        let late = world.groups.values().filter(|group| group.late_rounds >= FAILURES_TOLD);
        let late: Vec<String> = late.map(|group| group.spec.name.clone()).collect();
        drop(world);
        let count = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
        let rules = count(failing.len(), "rule");
        self.tell("rules", &failing, || format!("{rules} cannot be evaluated"));
        let groups = count(late.len(), "group");
        self.tell("rules/late", &late, || {
            format!("{groups} of rules take longer than their interval, so that rounds are missed")
        });
    }

    fn tell(&self, key: &str, about: &[String], words: impl FnOnce() -> String) {
        if about.is_empty() {
            return self.runtime.troubles.clear(key);
        }
        let more = if about.len() > NAMES_MAX { ", …" } else { "" };
        let names = about[..about.len().min(NAMES_MAX)].join(", ");
        let summary = format!("{}: {names}{more}", words());
        self.runtime.troubles.set(key, watchbell_model::Severity::Warning, summary);
    }

    /// Ends series that rules yielded and that nothing yields any more.
    pub(crate) async fn end_series(&self, gone: BTreeSet<Labels>) {
        let at = self.runtime.clock.now();
        let point = |labels| Point { labels, timestamp: at, value: stale_nan() };
        let points: Vec<Point> = gone.into_iter().map(point).collect();
        if points.is_empty() {
            return;
        }
        if let Err(error) = self.append.append(Batch::of("rules", points)).await {
            tracing::warn!(%error, "series of rules that are gone are not marked as ended");
        }
    }
}

/// What a recording rule yields.
pub(crate) fn recorded(found: Vec<Found>, timestamp: Timestamp) -> Batch {
    let mut batch = Batch::new("rules");
    for it in found {
        let series = batch.add(SeriesKey::Labels(it.labels));
        match it.histogram {
            Some(histogram) => batch.histograms.push(BatchHistogram { series, timestamp, histogram }),
            None => batch.samples.push(BatchSample { series, timestamp, value: it.value }),
        }
    }
    batch
}

impl World {
    /// A rule, unless another configuration took its group's place.
    pub(crate) fn rule_mut(&mut self, spec: &GroupSpec, index: usize) -> Option<&mut RuleItem> {
        let group = self.groups.get_mut(&spec.id()).filter(|group| group.spec.key == spec.key)?;
        group.rules.get_mut(index)
    }
}
