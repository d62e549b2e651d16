//! watchbell's own numbers about rules, with the meaning that Prometheus gives `prometheus_rule_…`.

use std::time::Duration;

use watchbell_model::Timestamp;
use watchbell_runtime::Metrics;
use watchbell_runtime::metrics::{Counter, Gauge, Histogram};

use super::group::GroupSpec;

/// The label that names a group: its file and its name.
const GROUP: &str = "rule_group";

/// The numbers of one group; [`forget`] takes them away with it.
pub(crate) struct GroupNumbers {
    evaluations: Counter,
    failures: Counter,
    iterations: Counter,
    missed: Counter,
    last_seconds: Gauge,
    last_at: Gauge,
    samples: Gauge,
    seconds: Histogram,
    group_seconds: Histogram,
}

impl GroupNumbers {
    pub(crate) fn new(metrics: &Metrics, spec: &GroupSpec) -> GroupNumbers {
        const SECONDS: &[f64] = &[0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0];
        let label = spec.label();
        let own = [(GROUP, label.as_str())];
        let counter = |name, help| metrics.counter(name, help, &own);
        let gauge = |name, help| metrics.gauge(name, help, &own);
        let interval = gauge("watchbell_rule_group_interval_seconds", "The interval of a group of rules.");
        interval.set(spec.interval.duration().as_secs_f64());
        gauge("watchbell_rule_group_rules", "How many rules a group has.").set(spec.rules.len() as f64);
        GroupNumbers {
            evaluations: counter("watchbell_rule_evaluations_total", "Evaluations of rules."),
            failures: counter("watchbell_rule_evaluation_failures_total", "Evaluations of rules that failed."),
            iterations: counter("watchbell_rule_group_iterations_total", "Rounds of a group, missed ones included."),
            missed: counter(
                "watchbell_rule_group_iterations_missed_total",
                "Rounds of a group that were left out because the one before took too long.",
            ),
            last_seconds: gauge("watchbell_rule_group_last_duration_seconds", "Time that the last round took."),
            last_at: gauge("watchbell_rule_group_last_evaluation_timestamp_seconds", "When the last round was."),
            samples: gauge("watchbell_rule_group_last_evaluation_samples", "Samples that the last round yielded."),
            seconds: metrics.histogram(
                "watchbell_rule_evaluation_duration_seconds",
                "Time that the evaluation of a rule took.",
                &[],
                SECONDS,
            ),
            group_seconds: metrics.histogram(
                "watchbell_rule_group_duration_seconds",
                "Time that a round of a group took.",
                &[],
                SECONDS,
            ),
        }
    }

    pub(crate) fn evaluation(&self, took: Duration, good: bool) {
        self.evaluations.inc();
        self.seconds.observe(took.as_secs_f64());
        if !good {
            self.failures.inc();
        }
    }

    pub(crate) fn round(&self, at: Timestamp, took: Duration, missed: u64, samples: usize) {
        self.iterations.add(missed + 1);
        self.missed.add(missed);
        self.last_seconds.set(took.as_secs_f64());
        self.last_at.set(at.as_seconds());
        self.samples.set(samples as f64);
        self.group_seconds.observe(took.as_secs_f64());
    }
}

/// Takes the numbers of a group away that is gone.
pub(crate) fn forget(metrics: &Metrics, spec: &GroupSpec) {
    metrics.forget(GROUP, &spec.label());
}
