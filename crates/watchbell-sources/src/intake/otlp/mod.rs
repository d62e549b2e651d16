//! OpenTelemetry's metrics as Prometheus has them: what Prometheus' own OTLP endpoint makes of them, by default or as
//! its options say ([`OtlpConfig`]).
//!
//! `service.name` (with `service.namespace`) is `job`, `service.instance.id` is `instance`; what else a resource says is
//! `target_info`. Histograms with given bounds are classic ones, exponential ones are native. When counting began is
//! kept as the start of samples, not as a series. The scope is no label by default. Deltas are added up ([`deltas`]).

mod config;
mod deltas;
mod names;
mod points;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use watchbell_model::{Labels, MetricType, Timestamp};
use watchbell_wire::otlp::{
    self, CUMULATIVE, ExportMetricsServiceRequest, KeyValue, Metric, MetricData, Resource, ScopeMetrics,
};

use super::batch::Builder;
use super::known::{Hash, Key};
use super::{Intake, IntakeError, Written, batch};
use names::{label_name, metric_name, unit_name};
use points::{add_exponential, add_histogram, add_number, add_summary};

pub use config::{OtlpConfig, TranslationStrategy};
pub(in crate::intake) use deltas::Deltas;
pub use deltas::{DELTA_NUMBERS_MAX, DELTA_SILENT_MAX, DELTA_STREAMS_MAX};

/// What source samples count for.
const SOURCE: &str = "otlp";
/// Keeps hashes apart from those of other protocols.
const OTLP: u8 = 3;
/// `target_info` is written this often between the first and the last point of a request: half of PromQL's lookback.
const TARGET_INFO_EVERY: i64 = 150_000;
/// How many samples of `target_info` one resource may have in a request: more than two days of them.
const TARGET_INFO_MAX: usize = 1200;

/// The configuration in force, and how many there were before it: what a series is called depends on it.
pub(in crate::intake) type InForce = (u64, OtlpConfig);

impl Intake {
    /// Takes a request. `sender`: what it calls itself, for limits of its own.
    pub async fn otlp_metrics(
        &self,
        mut request: ExportMetricsServiceRequest,
        sender: Option<&str>,
    ) -> Result<Written, IntakeError> {
        let in_force = self.0.otlp.lock().expect("no panic while held").clone();
        if !deltas::has_deltas(&request) {
            return self.take(SOURCE, sender, |builder| build(builder, &in_force, &request)).await;
        }
        // One request after the other: what the next one adds to is what the one before has stored.
        let mut streams = self.0.deltas.lock().await;
        let (keys, now) = (self.0.known.keys(), self.0.runtime.clock.monotonic());
        let (undo, dropped) = streams.add_up(keys, now, &mut request);
        let done = self
            .take(SOURCE, sender, |builder| {
                builder.refuse(dropped.points, || dropped.first.clone().unwrap_or_default());
                build(builder, &in_force, &request)
            })
            .await;
        // If nothing was stored the sender comes again. If nobody waits for the answer any more, the deltas stay counted:
        // the samples may be in the log, and a counter must not go back.
        if done.is_err() {
            streams.take_back(undo);
        }
        let help = "Series of delta temporality that are added up.";
        self.0.runtime.metrics.gauge("watchbell_otlp_delta_series", help, &[]).set(streams.len() as f64);
        done
    }

    /// Puts a configuration of the translation in force.
    pub fn set_otlp(&self, config: &OtlpConfig) {
        let mut in_force = self.0.otlp.lock().expect("no panic while held");
        if in_force.1 != *config {
            *in_force = (in_force.0 + 1, config.clone());
        }
    }
}

fn build(
    builder: &mut Builder<'_>,
    in_force: &InForce,
    request: &ExportMetricsServiceRequest,
) -> Result<(), IntakeError> {
    let nothing = Resource::default();
    for of_resource in &request.resource_metrics {
        let resource = of_resource.resource.as_ref().unwrap_or(&nothing);
        let mut from = Origin::new(builder, resource, in_force);
        let of_all = from.hash;
        for of_scope in &of_resource.scope_metrics {
            from.set_scope(builder, of_scope);
            for metric in &of_scope.metrics {
                add_metric(builder, metric, &mut from)?;
            }
            (from.scope, from.hash) = (BTreeMap::new(), of_all);
        }
        from.promoted.clear();
        add_target_info(builder, resource, &from)?;
    }
    Ok(())
}

/// Where metrics come from.
struct Origin<'a> {
    config: &'a OtlpConfig,
    job: Option<String>,
    instance: Option<String>,
    /// Labels of the resource's attributes, behind those of a point.
    promoted: BTreeMap<String, String>,
    /// Labels of the scope, before those of a point.
    scope: BTreeMap<String, String>,
    hash: Hash,
    /// The first and the last point.
    times: Option<(Timestamp, Timestamp)>,
}

const IDENTITY: [&str; 3] = ["service.namespace", "service.name", "service.instance.id"];

impl<'a> Origin<'a> {
    fn new(builder: &Builder<'_>, resource: &Resource, (number, config): &'a InForce) -> Origin<'a> {
        let get = |name: &str| resource.attributes.iter().find(|it| it.key == name).map(value_of);
        let [namespace, name, instance] = IDENTITY.map(get);
        let job = name.map(|name| match namespace {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name,
        });
        let promoted = resource.attributes.iter().filter(|it| config.promotes(&it.key));
        let promoted = labels_of(promoted, config);
        let keys = builder.known.keys();
        let mut hash = keys.begin(OTLP);
        keys.step(&mut hash, *number);
        for part in [&job, &instance] {
            keys.add(&mut hash, part.as_deref().unwrap_or_default().as_bytes());
        }
        keys.step(&mut hash, promoted.len() as u64);
        for text in promoted.iter().flat_map(|(name, value)| [name, value]) {
            keys.add(&mut hash, text.as_bytes());
        }
        Origin { config, job, instance, promoted, scope: BTreeMap::new(), hash, times: None }
    }

    fn set_scope(&mut self, builder: &Builder<'_>, of: &ScopeMetrics) {
        let Some(scope) = of.scope.as_ref().filter(|it| self.config.promote_scope_metadata && !it.name.is_empty())
        else {
            return;
        };
        let named = scope.attributes.iter().filter(|it| !it.key.is_empty());
        let own = [("name", &scope.name), ("version", &scope.version), ("schema_url", &of.schema_url)];
        self.scope = named
            .map(|it| (label_name(&format!("otel_scope_{}", it.key), self.config), value_of(it)))
            .chain(own.map(|(name, value)| (format!("otel_scope_{name}"), value.clone())))
            .collect();
        let keys = builder.known.keys();
        keys.step(&mut self.hash, self.scope.len() as u64);
        for text in self.scope.iter().flat_map(|(name, value)| [name, value]) {
            keys.add(&mut self.hash, text.as_bytes());
        }
    }

    fn seen(&mut self, at: Timestamp) {
        // A point that says no time will be refused.
        if at.0 == 0 {
            return;
        }
        let (first, last) = self.times.unwrap_or((at, at));
        self.times = Some((first.min(at), last.max(at)));
    }
}

fn value_of(attribute: &KeyValue) -> String {
    attribute.value.as_ref().map(otlp::AnyValue::text).unwrap_or_default()
}

/// One series of a point: what its name ends in, and one label more.
#[derive(Clone, Copy)]
struct Part<'a> {
    suffix: &'static str,
    extra: Option<(&'static str, &'a str)>,
}

const WHOLE: Part<'static> = Part { suffix: "", extra: None };

/// A metric as it is here.
struct Family {
    name: String,
    kind: MetricType,
    unit: String,
}

/// A point's series.
struct Point<'a> {
    family: &'a Family,
    attributes: &'a [KeyValue],
    origin: &'a Origin<'a>,
    hash: Hash,
}

impl<'a> Point<'a> {
    fn new(builder: &Builder<'_>, family: &'a Family, attributes: &'a [KeyValue], origin: &'a Origin<'_>) -> Point<'a> {
        let (keys, mut hash) = (builder.known.keys(), origin.hash);
        keys.add(&mut hash, family.name.as_bytes());
        if origin.config.enable_type_and_unit_labels {
            keys.add(&mut hash, family.kind.as_str().as_bytes());
            keys.add(&mut hash, family.unit.as_bytes());
        }
        for attribute in attributes {
            keys.add(&mut hash, attribute.key.as_bytes());
            match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
                Some(otlp::AnyValueKind::StringValue(text)) => keys.add(&mut hash, text.as_bytes()),
                // A text that looks the same makes the same label.
                _ => keys.add(&mut hash, value_of(attribute).as_bytes()),
            }
        }
        Point { family, attributes, origin, hash }
    }

    fn key(&self, builder: &Builder<'_>, part: Part<'_>) -> Key {
        let (keys, mut hash) = (builder.known.keys(), self.hash);
        keys.add(&mut hash, part.suffix.as_bytes());
        keys.add(&mut hash, part.extra.map_or("", |(_, value)| value).as_bytes());
        keys.end(hash)
    }

    fn labels(&self, part: Part<'_>) -> Result<Labels, String> {
        let origin = self.origin;
        let mut labels = labels_of(self.attributes.iter(), origin.config);
        for (name, value) in &origin.promoted {
            labels.entry(name.clone()).or_insert_with(|| value.clone());
        }
        let mut set = |name: &str, value: &str| labels.insert(name.to_owned(), value.to_owned());
        for (name, value) in [("job", &origin.job), ("instance", &origin.instance)] {
            if let Some(value) = value {
                set(name, value);
            }
        }
        origin.scope.iter().for_each(|(name, value)| drop(set(name, value)));
        if origin.config.enable_type_and_unit_labels {
            if self.family.kind != MetricType::Unknown {
                set("__type__", self.family.kind.as_str());
            }
            set("__unit__", &self.family.unit);
        }
        if let Some((name, value)) = part.extra {
            set(name, value);
        }
        set(Labels::NAME, &format!("{}{}", self.family.name, part.suffix));
        batch::labels(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect())
    }

    fn add(
        &self,
        builder: &mut Builder<'_>,
        part: Part<'_>,
        at: Timestamp,
        value: f64,
        start: Option<Timestamp>,
    ) -> Result<(), IntakeError> {
        builder.begin();
        builder.sample(self.key(builder, part), || self.labels(part), at, value, start)
    }
}

/// Attributes that become the same label are one, their values in order of their names.
fn labels_of<'a>(attributes: impl Iterator<Item = &'a KeyValue>, config: &OtlpConfig) -> BTreeMap<String, String> {
    let mut attributes: Vec<&KeyValue> = attributes.filter(|it| !it.key.is_empty()).collect();
    attributes.sort_by(|a, b| a.key.cmp(&b.key));
    let mut labels = BTreeMap::<String, String>::new();
    for attribute in attributes {
        let value = value_of(attribute);
        let label = labels.entry(label_name(&attribute.key, config)).or_default();
        if label.is_empty() {
            *label = value;
        } else {
            label.push(';');
            label.push_str(&value);
        }
    }
    labels
}

fn add_metric(builder: &mut Builder<'_>, metric: &Metric, from: &mut Origin<'_>) -> Result<(), IntakeError> {
    let Some(data) = &metric.data else { return Ok(()) };
    let (points, kind) = match data {
        MetricData::Gauge(it) => (it.data_points.len(), MetricType::Gauge),
        MetricData::Sum(it) if it.is_monotonic => (it.data_points.len(), MetricType::Counter),
        MetricData::Sum(it) => (it.data_points.len(), MetricType::Gauge),
        MetricData::Histogram(it) => (it.data_points.len(), MetricType::Histogram),
        MetricData::ExponentialHistogram(it) => (it.data_points.len(), MetricType::Histogram),
        MetricData::Summary(it) => (it.data_points.len(), MetricType::Summary),
    };
    // Deltas are cumulative by now.
    if deltas::temporality(data) != CUMULATIVE {
        builder.refuse(points as u64, || format!("`{}` does not say its temporality", metric.name));
        return Ok(());
    }
    let Some(name) = metric_name(metric, from.config.translation_strategy) else {
        builder.refuse(points as u64, || format!("no name for Prometheus can be made of `{}`", metric.name));
        return Ok(());
    };
    let family = Family { name, kind, unit: unit_name(metric.unit.trim()) };
    builder.metadata(&family.name, kind, &metric.description, &family.unit);
    let family = &family;
    match data {
        MetricData::Gauge(it) => it.data_points.iter().try_for_each(|it| add_number(builder, family, it, false, from)),
        MetricData::Sum(it) => {
            it.data_points.iter().try_for_each(|point| add_number(builder, family, point, it.is_monotonic, from))
        }
        MetricData::Histogram(it) => it.data_points.iter().try_for_each(|it| add_histogram(builder, family, it, from)),
        MetricData::ExponentialHistogram(it) => {
            it.data_points.iter().try_for_each(|it| add_exponential(builder, family, it, from))
        }
        MetricData::Summary(it) => it.data_points.iter().try_for_each(|it| add_summary(builder, family, it, from)),
    }
}

/// What a resource says of itself besides its name, as a series that others are joined with.
fn add_target_info(builder: &mut Builder<'_>, resource: &Resource, from: &Origin<'_>) -> Result<(), IntakeError> {
    let Some((first, last)) = from.times else { return Ok(()) };
    let is_identity = |it: &&KeyValue| IDENTITY.contains(&it.key.as_str());
    let described = resource.attributes.iter().filter(|it| !is_identity(it)).count();
    let keeps = from.config.keep_identifying_resource_attributes;
    if described == 0 || (from.job.is_none() && from.instance.is_none()) {
        return Ok(());
    }
    let attributes: Vec<KeyValue> =
        resource.attributes.iter().filter(|it| keeps || !is_identity(it)).cloned().collect();
    let family = Family { name: "target_info".into(), kind: MetricType::Unknown, unit: String::new() };
    let series = Point::new(builder, &family, &attributes, from);
    let key = series.key(builder, WHOLE);
    builder.begin();
    let steps = (first.0..last.0).step_by(TARGET_INFO_EVERY as usize).take(TARGET_INFO_MAX);
    for at in steps.chain([last.0]) {
        builder.sample(key, || series.labels(WHOLE), Timestamp(at), 1.0, None)?;
    }
    Ok(())
}
