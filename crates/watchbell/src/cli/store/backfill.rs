//! Recording rules over history: what they would have recorded is stored.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use watchbell_alarms::rule::{GroupDefaults, GroupSpec, RuleSpec};
use watchbell_model::{Import, Imported, Level, Query, Span, Timestamp, Upkeep};
use watchbell_query::promql::Features;
use watchbell_runtime::Runtime;

use super::open::Store;
use super::show::Progress;
use crate::cli::{Files, WRONG};
use crate::config::{Loaded, load, load_rules, render_findings};

/// How much time is evaluated at once; less if it yields too much.
const WINDOW: Span = Span::days(1);

/// What is to be evaluated.
pub(super) struct Plan {
    groups: Vec<GroupSpec>,
    /// The step of subqueries that name none.
    default_step: Span,
}

/// The groups of these files, or of the configuration.
pub(super) async fn plan(runtime: &Runtime, files: &Files, paths: &[PathBuf]) -> Result<Result<Plan, ExitCode>> {
    let loaded: Loaded = load(runtime, &files.paths(runtime)).await;
    let features = loaded.good.as_ref().map_or_else(Features::default, |good| good.config.query.features());
    let defaults = loaded.good.as_ref().map_or_else(GroupDefaults::default, |good| GroupDefaults {
        interval: good.config.global.evaluation_interval,
        query_offset: good.config.global.rule_query_offset,
    });
    let (rules, findings) = match (paths, loaded.good) {
        ([], Some(good)) => (good.rules, Vec::new()),
        ([], None) => (Vec::new(), loaded.findings),
        (paths, _) => load_rules(runtime, paths, features),
    };
    if findings.iter().any(|finding| finding.problem.level == Level::Error) {
        eprint!("{}", render_findings(&findings));
        return Ok(Err(ExitCode::from(WRONG)));
    }
    let mut groups = Vec::new();
    for (file, rules) in &rules {
        groups.extend(rules.groups(file, defaults).with_context(|| file.clone())?);
    }
    if groups.iter().flat_map(|group| &group.rules).all(|rule| rule.alerts) {
        bail!("there is no recording rule in what was named");
    }
    Ok(Ok(Plan { groups, default_step: defaults.interval }))
}

pub(super) fn run(
    runtime: &Runtime,
    store: &Store,
    plan: &Plan,
    (from, to): (Timestamp, Timestamp),
) -> Result<Imported> {
    let mut work = Work {
        store,
        default_step: plan.default_step,
        import: None,
        written: BTreeSet::new(),
        done: Imported::default(),
    };
    let mut progress = Progress::new(runtime);
    let window = i64::try_from(WINDOW.duration().as_millis())?;
    let mut begin = from.as_millis();
    while begin <= to.as_millis() {
        let end = ((begin.div_euclid(window) + 1) * window - 1).min(to.as_millis());
        for group in &plan.groups {
            for rule in group.rules.iter().filter(|rule| !rule.alerts) {
                progress.say(|| format!("{}, {}", Timestamp(begin), rule.name));
                work.rule(group, rule, Timestamp(begin), Timestamp(end))
                    .with_context(|| format!("the rule `{}` of the group `{}`", rule.name, group.name))?;
            }
        }
        begin = end + 1;
    }
    work.settle()?;
    progress.end();
    Ok(work.done)
}

/// What is under way.
struct Work<'a> {
    store: &'a Store,
    default_step: Span,
    import: Option<Box<dyn Import + 'a>>,
    /// Metrics that were written since the last import was finished, which nobody can read yet.
    written: BTreeSet<String>,
    done: Imported,
}

impl Work<'_> {
    fn rule(&mut self, group: &GroupSpec, rule: &RuleSpec, from: Timestamp, to: Timestamp) -> Result<()> {
        if self.written.iter().any(|metric| rule.may_read(metric)) {
            self.settle()?;
        }
        let mut first = group.slot_from(from);
        let step = i64::try_from(group.interval.duration().as_millis())?.max(1);
        let mut steps = (to.as_millis() - first.as_millis()).div_euclid(step) + 1;
        while first <= to {
            let last = Timestamp((first.as_millis() + (steps - 1).max(0) * step).min(to.as_millis()));
            let span = (first, last, group.interval);
            let query: &dyn Query = self.store;
            match rule.record_past(query, span, group.query_offset, self.default_step) {
                Ok(found) => {
                    if self.import.is_none() {
                        self.import = Some(self.store.import()?);
                    }
                    let import = self.import.as_mut().expect("made above");
                    found.into_iter().try_for_each(|series| import.add(series))?;
                    self.written.insert(rule.name.clone());
                    first = Timestamp(first.as_millis() + steps.max(1) * step);
                }
                Err(error) if error.is_too_much() && steps > 1 => steps = (steps / 2).max(1),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Makes what was written readable.
    fn settle(&mut self) -> Result<()> {
        self.written.clear();
        let Some(import) = self.import.take() else { return Ok(()) };
        let more = import.finish()?;
        let done = &mut self.done;
        done.added += more.added;
        done.known += more.known;
        done.different += more.different;
        done.too_old += more.too_old;
        done.too_new += more.too_new;
        done.invalid += more.invalid;
        done.example = done.example.take().or(more.example);
        Ok(())
    }
}
