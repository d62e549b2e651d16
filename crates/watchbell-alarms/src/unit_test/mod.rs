//! Unit tests of rules: series played through rules in made-up time, and what must come of it.
//!
//! Pure: [`TestFile`] is what stands in a file, [`TestFile::run`] plays it with the very code that judges live, and
//! answers with what failed, expected and found beside each other. The file is promtool's, unchanged; `timelines` is
//! our own shorter form. Reading files and printing is left to the caller.

mod compare;
mod file;
mod play;
mod timeline;

pub use compare::{Failure, Row};
pub use file::{AlertTest, ExpectedAlert, ExpectedSample, ExpressionTest, InputSeries, TestCase, TestFile, Timeline};

use watchbell_model::Span;

use crate::rule::{GroupDefaults, RuleFile};

/// How often rules are evaluated in a test that does not say.
const INTERVAL: Span = Span::minutes(1);

/// Most rounds of one test; a longer one is refused.
pub const ROUNDS_MAX: u64 = 1_000_000;

/// A test that was run.
#[derive(Clone, Debug)]
pub struct Tested {
    /// Its name, or `unnamed#N` by its place in the file.
    pub name: String,
    /// What was wrong; nothing if it passed.
    pub failures: Vec<Failure>,
}

impl TestFile {
    /// Runs every test whose name is `wanted`, over rule files by the names they were found under.
    ///
    /// # Errors
    /// In words, if the file as a whole makes no sense.
    pub fn run(&self, rules: &[(String, RuleFile)], wanted: &dyn Fn(&str) -> bool) -> Result<Vec<Tested>, String> {
        let mut order = std::collections::BTreeMap::new();
        for (at, group) in self.group_eval_order.iter().enumerate() {
            if order.insert(group.as_str(), at).is_some() {
                return Err(format!("group name repeated in evaluation order: {group}"));
            }
        }
        let interval = self.evaluation_interval.filter(|interval| !interval.is_zero()).unwrap_or(INTERVAL);
        let defaults = GroupDefaults { interval, ..GroupDefaults::default() };
        let mut groups = Vec::new();
        for (file, rules) in rules {
            groups.extend(rules.groups(file, defaults).map_err(|error| format!("{file}: {error}"))?);
        }
        groups.sort_by_key(|group| order.get(group.name.as_str()).copied().unwrap_or(0));
        let setting = play::Setting { interval, groups, fuzzy: self.fuzzy_compare };
        let mut tested = Vec::new();
        let named = |name: &Option<String>, what: &str, at: usize| {
            name.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| format!("{what}#{at}"))
        };
        for (at, test) in self.tests.iter().enumerate() {
            if wanted(test.name.as_deref().unwrap_or_default()) {
                tested.push(Tested { name: named(&test.name, "unnamed", at), failures: play::case(test, &setting) });
            }
        }
        for (at, timeline) in self.timelines.iter().enumerate() {
            if wanted(timeline.name.as_deref().unwrap_or_default()) {
                let failures = timeline::run(timeline, &setting);
                tested.push(Tested { name: named(&timeline.name, "timeline", at), failures });
            }
        }
        Ok(tested)
    }
}
