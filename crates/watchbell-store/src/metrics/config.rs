//! How series are kept.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path, Problems, Span};

use crate::remote::RemoteConfig;

/// How series are kept: how long, how safely, how many. One query holds at most 10 million samples in memory at once
/// (160 MB); one that would need more fails.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsConfig {
    /// How long samples are kept; older ones go, a block at a time. Default `400d`.
    pub retention: Span,
    /// How many bytes series may take on disk before the oldest go; `0` for no bound, which is the default.
    pub retention_size: u64,
    /// Coarser copies, so that a year is drawn in little time, and goes on being there when its samples are too old.
    pub rollups: RollupsConfig,
    /// How much older than its series' newest sample one may be and still be taken, up to `1d`; older ones are refused
    /// and counted. Of two different values for one time the first stays, and the second is refused as a duplicate.
    /// Default `10m`.
    pub out_of_order_window: Span,
    /// When accepted samples are made to survive power loss. They survive the end of the process, however it ends,
    /// under each policy.
    pub fsync: Fsync,
    /// How long samples wait to be made to survive power loss under `fsync: interval`: it costs at most the samples of
    /// so much time, and of the time that the disk takes to sync. From `10ms` to `1m`, default `1s`.
    pub fsync_interval: Span,
    /// How many series may be active at once; samples of further ones are refused and counted, known series go on.
    /// Default 1,000,000.
    pub series_limit: u64,
    /// How many of them one source may have (`scrape/<job>`, `remote_write`, `otlp`, `self`), so that an explosion of
    /// label values stays with whoever made it. Default 500,000.
    pub series_limit_per_source: u64,
    /// Sources with a limit of their own, by name, instead of `series_limit_per_source`.
    pub source_limits: BTreeMap<String, u64>,
    /// How many samples one query that goes through series one by one may load; one that would load more fails.
    /// Default 50,000,000.
    pub query_samples_limit: u64,
    /// A store beyond this machine that all samples go on to and are read back from.
    pub remote: Option<RemoteConfig>,
    /// How many exemplars are kept, the newest of all series together; `0` for none. Default 100,000, which take about
    /// 30 MB.
    pub exemplars_limit: u64,
}

/// Which coarser copies are kept. Each has, for windows of its width, the least and the greatest value, the sum, the
/// count, the last value with its time, and by how much a counter grew. They are made once a day is over.
///
/// Once samples are older than `retention`, the last one of each window stands for them in every query, with its real
/// time. Of `1h` that is one an hour: an expression that looks back five minutes finds it only then, one with a range
/// such as `[2h]` always does. Native histograms are in no copy.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RollupsConfig {
    /// Windows of five minutes. Default: not kept; they take a third of the room of samples every 15 seconds, and a little
    /// more than the room of samples every minute.
    #[serde(rename = "5m")]
    pub five_minutes: RollupConfig,
    /// Windows of an hour. Default: kept for `1830d`, about five years; they take 4 % of the room of samples every 15
    /// seconds, 12 % of that of samples every minute.
    #[serde(rename = "1h")]
    pub hour: RollupConfig,
}

/// How a coarser copy is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RollupConfig {
    /// For how long; `0s` makes no new one, and leaves what there is.
    pub retention: Span,
    /// How many bytes it may take on disk before the oldest go; `0` for no bound, which is the default.
    pub retention_size: u64,
}

impl Default for RollupsConfig {
    fn default() -> RollupsConfig {
        RollupsConfig {
            five_minutes: RollupConfig { retention: Span::ZERO, retention_size: 0 },
            hour: RollupConfig { retention: Span::days(1830), retention_size: 0 },
        }
    }
}

/// When accepted samples are made to survive power loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Fsync {
    /// Before they are acknowledged.
    Always,
    /// Every `fsync_interval`: power loss costs at most what was accepted in one, and while the disk synced.
    #[default]
    Interval,
    /// When the system sees fit: power loss can cost what is not in blocks yet, up to the last two hours.
    Never,
}

impl Default for MetricsConfig {
    fn default() -> MetricsConfig {
        MetricsConfig {
            retention: Span::days(400),
            retention_size: 0,
            rollups: RollupsConfig::default(),
            out_of_order_window: Span::minutes(10),
            fsync: Fsync::Interval,
            fsync_interval: Span::seconds(1),
            series_limit: 1_000_000,
            series_limit_per_source: 500_000,
            source_limits: BTreeMap::new(),
            query_samples_limit: 50_000_000,
            remote: None,
            exemplars_limit: 100_000,
        }
    }
}

/// The smallest bound on size that leaves room for what is not in blocks yet.
const RETENTION_SIZE_MIN: u64 = 64 << 20;

/// More series than any machine of ours holds.
const SERIES_LIMIT_MAX: u64 = 50_000_000;

impl MetricsConfig {
    /// What is wrong with it.
    pub fn check(&self, path: &Path, problems: &mut Problems) {
        if let Some(remote) = &self.remote {
            remote.check(&path.field("remote"), problems);
        }
        if self.retention < Span::hours(4) {
            problems
                .error(&path.field("retention"), format!("`{}` is shorter than alarms look back", self.retention))
                .hint("at least `4h`; the default is `400d`");
        }
        if self.retention_size != 0 && self.retention_size < RETENTION_SIZE_MIN {
            problems
                .error(&path.field("retention_size"), format!("{} bytes hold too little", self.retention_size))
                .hint(format!("at least {RETENTION_SIZE_MIN}, or 0 for no bound"));
        }
        for (name, rollup) in [("5m", &self.rollups.five_minutes), ("1h", &self.rollups.hour)] {
            if !rollup.retention.is_zero() && rollup.retention < Span::days(2) {
                problems
                    .error(
                        &path.field("rollups").field(name).field("retention"),
                        format!("`{}` is shorter than it takes to make one", rollup.retention),
                    )
                    .hint("at least `2d`, or `0s` for none");
            }
        }
        if self.out_of_order_window > Span::days(1) {
            problems
                .error(&path.field("out_of_order_window"), format!("`{}` is too long", self.out_of_order_window))
                .hint("at most `1d`: days are merged when they are over, and each late sample has them merged again");
        }
        if self.fsync_interval < Span::millis(10) || self.fsync_interval > Span::minutes(1) {
            problems
                .error(&path.field("fsync_interval"), format!("`{}` is no usable interval", self.fsync_interval))
                .hint("from `10ms` to `1m`; for none at all, `fsync: always`");
        }
        let limits = [("series_limit", self.series_limit), ("series_limit_per_source", self.series_limit_per_source)];
        let limits = limits.map(|(name, limit)| (path.field(name), limit)).into_iter();
        let named = path.field("source_limits");
        let limits = limits.chain(self.source_limits.iter().map(|(name, limit)| (named.field(name), *limit)));
        for (path, limit) in limits.filter(|(_, limit)| *limit == 0 || *limit > SERIES_LIMIT_MAX) {
            problems
                .error(&path, format!("{limit} is not a usable limit"))
                .hint("from 1 to 50,000,000; a series takes about 1 kB of memory while it is active");
        }
        if self.query_samples_limit == 0 {
            problems
                .error(&path.field("query_samples_limit"), "no query could be answered")
                .hint("at least 1; the default is 50,000,000");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_told_with_what_would_be_right() {
        let config: MetricsConfig = serde_json::from_str(
            r#"{"retention": "1h", "retention_size": 5, "out_of_order_window": "2d", "series_limit": 0, "fsync": "always",
                "fsync_interval": "1ms", "source_limits": {"remote_write": 0, "otlp": 5}}"#,
        )
        .unwrap();
        let mut problems = Problems::new();
        config.check(&Path::root().field("storage"), &mut problems);
        let said: Vec<String> =
            problems.0.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect();
        expect_test::expect![[r#"
            storage.retention: `1h` is shorter than alarms look back
            storage.retention_size: 5 bytes hold too little
            storage.out_of_order_window: `2d` is too long
            storage.fsync_interval: `1ms` is no usable interval
            storage.series_limit: 0 is not a usable limit
            storage.source_limits.remote_write: 0 is not a usable limit"#]]
        .assert_eq(&said.join("\n"));
        let mut none = Problems::new();
        MetricsConfig::default().check(&Path::root(), &mut none);
        assert_eq!(none, Problems::new());
        assert!(serde_json::from_str::<MetricsConfig>(r#"{"retentoin": "1h"}"#).is_err());
    }
}
