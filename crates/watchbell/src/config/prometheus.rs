//! Parts of a `prometheus.yml` that watchbell has under other names or has no use for, so that the file loads as it is.

use std::collections::BTreeMap;
use std::path::Path as FilePath;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{ByteSize, Path, Problems, Span, TlsConfig, is_reserved_header};
use watchbell_runtime::disk;
use watchbell_store::MetricsConfig;

/// Prometheus' `storage.tsdb`: short for fields of `storage.metrics`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TsdbConfig {
    /// Short for `storage.metrics.out_of_order_window`.
    pub out_of_order_time_window: Option<Span>,
    /// Short for `storage.metrics.retention` and `retention_size`.
    pub retention: TsdbRetentionConfig,
    /// Has no meaning here: a series without samples leaves memory by itself.
    pub stale_series_compaction_threshold: Option<f64>,
    /// Has no meaning here: watchbell's blocks have encodings of their own.
    pub chunk_encoding: TsdbChunkEncodingConfig,
}

/// For how long and in how much room samples are kept.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TsdbRetentionConfig {
    /// For how long.
    pub time: Option<Span>,
    /// In how much room, such as `10GB`.
    pub size: Option<ByteSize>,
    /// In how many percent of the file system of the data folder, as big as it is at the start. Where `size` is given
    /// too, the smaller of the two holds.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub percentage: Option<f64>,
}

/// How Prometheus would encode its chunks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TsdbChunkEncodingConfig {
    /// Of floats.
    pub floats: Option<TsdbFloatEncoding>,
}

/// Encodings of floats in Prometheus' chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TsdbFloatEncoding {
    /// The first one.
    Xor,
    /// The one with start times.
    Xor2,
}

impl TsdbConfig {
    /// What is wrong with it beside this.
    pub(super) fn check(&self, metrics: &MetricsConfig, path: &Path, problems: &mut Problems) {
        let default = MetricsConfig::default();
        let retention = path.field("retention");
        let sized = self.retention.size.is_some() || self.retention.percentage.is_some();
        for (path, ours, twice) in [
            (
                path.field("out_of_order_time_window"),
                "out_of_order_window",
                self.out_of_order_time_window.is_some() && metrics.out_of_order_window != default.out_of_order_window,
            ),
            (
                retention.field("time"),
                "retention",
                self.retention.time.is_some() && metrics.retention != default.retention,
            ),
            (retention.clone(), "retention_size", sized && metrics.retention_size != default.retention_size),
        ] {
            if twice {
                problems
                    .error(&path, format!("`storage.metrics.{ours}` says the same thing otherwise"))
                    .hint("leave one of the two out");
            }
        }
    }

    /// Puts what it says where watchbell keeps it.
    pub(super) fn fill(&self, metrics: &mut MetricsConfig) {
        if let Some(window) = self.out_of_order_time_window {
            metrics.out_of_order_window = window;
        }
        // Prometheus takes 0 for what it does without the field.
        if let Some(time) = self.retention.time.filter(|time| !time.is_zero()) {
            metrics.retention = time;
        }
        if let Some(ByteSize(size)) = self.retention.size {
            metrics.retention_size = size;
        }
    }

    /// The room that `percentage` stands for on the file system of this folder or, before it exists, of the one it will
    /// be in; `None` if nothing is said.
    ///
    /// # Errors
    /// If the file system cannot be asked.
    pub(super) fn share(&self, folder: &FilePath) -> std::io::Result<Option<u64>> {
        let Some(percentage) = self.retention.percentage.filter(|percentage| *percentage > 0.0) else {
            return Ok(None);
        };
        let here = folder.ancestors().find(|it| it.exists()).unwrap_or(FilePath::new("."));
        let here = if here.as_os_str().is_empty() { FilePath::new(".") } else { here };
        let size = disk::space(here)?.size;
        Ok(Some((size as f64 * percentage / 100.0) as u64))
    }
}

/// Prometheus' `storage.exemplars`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExemplarsConfig {
    /// Short for `storage.metrics.exemplars_limit`; a negative number keeps none.
    pub max_exemplars: Option<i64>,
}

impl ExemplarsConfig {
    /// Puts what it says where watchbell keeps it.
    pub(super) fn fill(&self, metrics: &mut MetricsConfig) {
        if let Some(limit) = self.max_exemplars {
            metrics.exemplars_limit = u64::try_from(limit).unwrap_or(0);
        }
    }
}

/// Prometheus' `runtime`: has no meaning here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RuntimeConfig {
    /// When Go's runtime collects garbage, in percent. watchbell has no garbage to collect.
    pub gogc: Option<i64>,
}

/// Prometheus' `tracing`, for traces of its own work. It is checked and then left alone, with a warning: watchbell sends
/// no traces of itself.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TracingConfig {
    /// How they would be sent.
    pub client_type: TracingClient,
    /// Where to.
    pub endpoint: String,
    /// Which part of the requests.
    pub sampling_fraction: f64,
    /// In the clear.
    pub insecure: bool,
    /// How far the receiver would be trusted.
    pub tls_config: TlsConfig,
    /// With these headers.
    pub headers: BTreeMap<String, String>,
    /// Compressed.
    pub compression: Option<TracingCompression>,
    /// How long sending may take.
    pub timeout: Option<Span>,
}

/// How traces would be sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TracingClient {
    /// By HTTP.
    Http,
    /// By gRPC.
    #[default]
    Grpc,
}

/// How traces would be compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TracingCompression {
    /// As gzip.
    Gzip,
}

impl TracingConfig {
    /// What is wrong with it.
    pub(super) fn check(&self, path: &Path, problems: &mut Problems) {
        if self.endpoint.is_empty() {
            problems.error(&path.field("endpoint"), "there is no endpoint").hint("such as `localhost:4317`");
        }
        for name in self.headers.keys() {
            if is_reserved_header(name) {
                problems
                    .error(&path.field("headers").field(name), format!("the header `{name}` is not to be set by hand"))
                    .hint("leave it out");
            }
        }
        problems
            .warning(path, "watchbell sends no traces of itself; this part has no effect")
            .hint("leave it out; metrics of each stage are at `/metrics`");
    }
}
