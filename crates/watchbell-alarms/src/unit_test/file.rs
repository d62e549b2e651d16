//! What stands in a file of unit tests.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems, Span, Timestamp};

use super::timeline;

/// Unit tests of rules, as promtool reads them, and timelines of ours.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestFile {
    /// Rule files, relative to this file; `*` stands for any part of a file's name.
    #[serde(default)]
    pub rule_files: Vec<String>,
    /// How often all rules are evaluated, whatever their groups say; each minute if it is left out.
    #[serde(default)]
    pub evaluation_interval: Option<Span>,
    /// Names of groups in the order in which they are evaluated; those that are not named come first.
    #[serde(default)]
    pub group_eval_order: Vec<String>,
    /// Whether numbers that differ in their last bit are the same.
    #[serde(default)]
    pub fuzzy_compare: bool,
    /// The tests, as promtool has them.
    #[serde(default)]
    pub tests: Vec<TestCase>,
    /// Tests in our own form, which promtool does not know.
    #[serde(default)]
    pub timelines: Vec<Timeline>,
}

/// Series, and what must come of them at some moments.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestCase {
    /// What it shows.
    #[serde(default)]
    pub name: Option<String>,
    /// The time from one sample to the next; `evaluation_interval` if it is left out.
    #[serde(default)]
    pub interval: Option<Span>,
    /// The series that rules see.
    #[serde(default)]
    pub input_series: Vec<InputSeries>,
    /// What must fire when.
    #[serde(default)]
    pub alert_rule_test: Vec<AlertTest>,
    /// What expressions must yield when, with what the rules recorded.
    #[serde(default)]
    pub promql_expr_test: Vec<ExpressionTest>,
    /// What templates call `$externalLabels`.
    #[serde(default)]
    pub external_labels: BTreeMap<String, String>,
    /// What templates call `$externalURL`.
    #[serde(default)]
    pub external_url: String,
    /// When the test begins: seconds since 1970 or RFC 3339; 1970 if it is left out.
    #[serde(default)]
    pub start_timestamp: Option<String>,
}

/// A series and its samples.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputSeries {
    /// Its name and labels.
    #[serde(default)]
    pub series: String,
    /// Its samples, one for each interval, such as `1 2+1x5 _ stale`.
    #[serde(default)]
    pub values: String,
}

/// What of one name must fire at a moment.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertTest {
    /// The moment, from the start of the test.
    #[serde(default)]
    pub eval_time: Span,
    /// The name of the alerts.
    #[serde(default)]
    pub alertname: String,
    /// All alerts of that name that fire then; none means that none may.
    #[serde(default)]
    pub exp_alerts: Vec<ExpectedAlert>,
}

/// An alert that must fire.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectedAlert {
    /// All its labels but `alertname`.
    #[serde(default)]
    pub exp_labels: BTreeMap<String, String>,
    /// All its annotations.
    #[serde(default)]
    pub exp_annotations: BTreeMap<String, String>,
}

/// What an expression must yield at a moment.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpressionTest {
    /// The expression.
    #[serde(default)]
    pub expr: String,
    /// The moment, from the start of the test.
    #[serde(default)]
    pub eval_time: Span,
    /// Everything it yields, in any order.
    #[serde(default)]
    pub exp_samples: Vec<ExpectedSample>,
}

/// A sample that an expression must yield.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectedSample {
    /// Its name and labels.
    #[serde(default)]
    pub labels: String,
    /// Its value.
    #[serde(default)]
    pub value: Option<String>,
    /// Its histogram, in place of a value, such as `{{count:2 sum:3 buckets:[2]}}`.
    #[serde(default)]
    pub histogram: String,
}

/// Series, and everything that must begin and end because of them.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timeline {
    /// What it shows.
    #[serde(default)]
    pub name: Option<String>,
    /// The time from one sample to the next; `evaluation_interval` if it is left out.
    #[serde(default)]
    pub interval: Option<Span>,
    /// The series that rules see, one in a line: its name and labels, a space, its samples.
    #[serde(default)]
    pub series: String,
    /// How long it is played; to the last sample or the last expectation if it is left out.
    #[serde(default)]
    pub until: Option<Span>,
    /// Everything that fires or resolves, one in a line: when, `firing` or `resolved`, the alert with as many labels as
    /// matter, and after `: ` its summary if it matters. If any line says `pending`, all that becomes pending is told.
    #[serde(default)]
    pub expect: String,
    /// What templates call `$externalLabels`.
    #[serde(default)]
    pub external_labels: BTreeMap<String, String>,
}

impl TestFile {
    /// Finds what is wrong beyond the shape.
    pub fn check(&self, problems: &mut Problems) {
        let root = Path::root();
        for (at, test) in self.tests.iter().enumerate() {
            let path = root.field("tests").index(at);
            for (at, alert) in test.alert_rule_test.iter().enumerate() {
                if alert.alertname.is_empty() {
                    problems
                        .error(
                            &path.field("alert_rule_test").index(at),
                            "it does not say which alert: `alertname` is missing",
                        )
                        .hint("the name of the rule, such as `alertname: InstanceDown`");
                }
            }
            if test.start_timestamp.as_deref().is_some_and(|text| moment(text).is_none()) {
                problems
                    .error(&path.field("start_timestamp"), "it is neither seconds nor a moment")
                    .hint("such as `1704067200` or `2024-01-01T00:00:00Z`");
            }
        }
        for (at, it) in self.timelines.iter().enumerate() {
            let path = root.field("timelines").index(at).field("expect");
            if let Err(words) = timeline::read(&it.expect) {
                problems.error(&path, words).hint("such as `5m firing DiskFull{mount=\"/var\"}`");
            }
        }
    }
}

impl TestCase {
    /// When it begins.
    pub(super) fn start(&self) -> Timestamp {
        self.start_timestamp.as_deref().and_then(moment).unwrap_or(Timestamp(0))
    }
}

fn moment(text: &str) -> Option<Timestamp> {
    let seconds = || text.parse::<f64>().ok().filter(|seconds| seconds.is_finite()).map(Timestamp::from_seconds);
    Timestamp::parse_rfc3339(text).or_else(seconds)
}
