//! This machine over the last hours, from the figures that the host source collects.

use watchbell_model::{Labels, Span, Timestamp};
use watchbell_query::{Value, promql};

use super::view;
use crate::Shared;

/// What the small charts cover: three hours, or a quarter of an hour while there is little more than that.
const CHART_STEPS: [Span; 2] = [Span::minutes(2), Span::seconds(10)];
const CHART_POINTS: i64 = 90;
/// With fewer values than this a chart covers less time.
const CHART_POINTS_MIN: usize = 8;
/// How many file systems are shown.
const DISKS_MAX: usize = 4;

/// A share of all modes, not of time: right from the second sample on, when the range is not filled yet.
const CPU: &str = r#"1 - sum(rate(node_cpu_seconds_total{job="host",mode="idle"}[5m]))
    / sum(rate(node_cpu_seconds_total{job="host"}[5m]))"#;
const MEMORY: &str =
    r#"1 - sum(node_memory_MemAvailable_bytes{job="host"}) / sum(node_memory_MemTotal_bytes{job="host"})"#;
const MEMORY_BYTES: &str = r#"node_memory_MemTotal_bytes{job="host"}"#;
const LOAD: &str = r#"node_load1{job="host"}"#;
/// What is smaller than this is no place where anybody keeps things.
const DISK_BYTES: &str = r#"max by (device, mountpoint) (node_filesystem_size_bytes{job="host"} > 6.4e7)"#;
const DISK_USED: &str = r#"1 - max by (device, mountpoint) (node_filesystem_avail_bytes{job="host"})
    / max by (device, mountpoint) (node_filesystem_size_bytes{job="host"})"#;

/// This machine; `None` when nothing is collected or the store cannot be read.
pub(crate) fn host(app: &Shared) -> Option<view::Host> {
    let now = app.runtime.clock.now();
    let memory_bytes = instant(app, MEMORY_BYTES, now);
    let (labels, _) = memory_bytes.first()?;
    let sizes = instant(app, DISK_BYTES, now);
    let mut disks: Vec<(String, view::DiskUse)> = instant(app, DISK_USED, now)
        .into_iter()
        .filter_map(|(labels, used)| {
            let (_, bytes) = sizes.iter().find(|(other, _)| *other == labels)?;
            let disk = view::DiskUse {
                mountpoint: labels.get("mountpoint").unwrap_or("?").to_owned(),
                used: used.clamp(0.0, 1.0),
                bytes: *bytes,
            };
            Some((labels.get("device").unwrap_or("").to_owned(), disk))
        })
        .collect();
    // One file system mounted in several places is shown once, at its shortest path.
    disks.sort_by(|a, b| (&a.0, a.1.mountpoint.len()).cmp(&(&b.0, b.1.mountpoint.len())));
    disks.dedup_by(|a, b| a.0 == b.0);
    disks.sort_by(|a, b| b.1.used.total_cmp(&a.1.used));
    Some(view::Host {
        instance: labels.get("instance").unwrap_or("").to_owned(),
        cpu: chart(app, CPU, now),
        memory: chart(app, MEMORY, now),
        memory_bytes: memory_bytes.first().map(|(_, bytes)| *bytes),
        load: instant(app, LOAD, now).first().map(|(_, load)| *load),
        disks: disks.into_iter().map(|(_, disk)| disk).take(DISKS_MAX).collect(),
    })
}

/// One of our own expressions, for the job that this host has.
fn expression(app: &Shared, query: &str) -> promql::Expr {
    let job = format!("job={:?}", app.config.host_job());
    let expr = promql::parse(&query.replace(r#"job="host""#, &job));
    expr.unwrap_or_else(|_| promql::parse(query).expect("our own expressions parse"))
}

fn instant(app: &Shared, query: &str, now: Timestamp) -> Vec<(Labels, f64)> {
    let expr = expression(app, query);
    match app.engine.instant(&*app.query, &expr, now) {
        Ok(Value::Vector(found)) => {
            let numbers = found.into_iter().filter(|element| element.histogram.is_none());
            numbers.map(|it| (it.labels, it.sample.value)).filter(|(_, it)| it.is_finite()).collect()
        }
        Ok(_) => Vec::new(),
        Err(error) => {
            tracing::warn!(%error, "this host's figures cannot be read");
            Vec::new()
        }
    }
}

fn chart(app: &Shared, query: &str, now: Timestamp) -> view::Chart {
    let [long, short] = CHART_STEPS.map(|step| chart_of(app, query, now, step));
    let known = long.values.iter().flatten().count();
    if known < CHART_POINTS_MIN { short } else { long }
}

fn chart_of(app: &Shared, query: &str, now: Timestamp, span: Span) -> view::Chart {
    let expr = expression(app, query);
    let step = span.duration().as_millis() as i64;
    let end = now.as_millis().div_euclid(step) * step;
    let start = end - (CHART_POINTS - 1) * step;
    let found = app.engine.range(&*app.query, &expr, Timestamp(start), Timestamp(end), span);
    let mut values = vec![None; CHART_POINTS as usize];
    for sample in found.unwrap_or_default().first().into_iter().flat_map(|series| &series.samples) {
        let at = (sample.timestamp.as_millis() - start) / step;
        if let Some(slot) = usize::try_from(at).ok().and_then(|at| values.get_mut(at)) {
            *slot = Some(sample.value).filter(|value| value.is_finite());
        }
    }
    view::Chart { step: span.duration().as_secs_f64(), values }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_expressions_parse() {
        for query in [CPU, MEMORY, MEMORY_BYTES, LOAD, DISK_BYTES, DISK_USED] {
            promql::parse(query).unwrap();
        }
    }
}
