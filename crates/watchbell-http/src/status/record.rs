//! What is written down every minute, so that status pages know what was.

use std::time::Duration;

use watchbell_alarms::{Alarms, Standing};
use watchbell_alerts::Alerts;
use watchbell_model::{Labels, Metadata, MetricType, Point, Timestamp};

/// Whether what a monitor or a heartbeat watches works: 1 or 0, by the label `alarm`. Nothing while that is not known,
/// or while a downtime covers it.
pub(super) const UP: &str = "watchbell_up";
/// That a downtime covers it: 1, by the label `alarm`.
pub(super) const MAINTENANCE: &str = "watchbell_maintenance";

/// What is to be written down for the minute that begins at `minute`.
pub fn minute(alarms: &Alarms, alerts: &Alerts, minute: Timestamp) -> Vec<Point> {
    let standings = alarms.standings();
    let covered = covered(alerts, &standings);
    let mut points = Vec::with_capacity(standings.len());
    for (at, standing) in standings.iter().enumerate() {
        let (metric, value) = match standing.up {
            _ if covered[at] => (MAINTENANCE, 1.0),
            Some(up) => (UP, f64::from(u8::from(up))),
            None => continue,
        };
        points.push(Point::new(metric, &[("alarm", &standing.alarm)], minute, value));
    }
    points
}

/// Which of these a downtime covers now.
fn covered(alerts: &Alerts, standings: &[Standing]) -> Vec<bool> {
    let labels: Vec<Labels> = standings.iter().map(|it| it.labels.clone()).collect();
    let mut covered = vec![false; standings.len()];
    for downtime in alerts.downtimes_of(&labels, Duration::ZERO).iter().filter(|it| it.from.is_none()) {
        downtime.covers.iter().for_each(|at| covered[*at] = true);
    }
    covered
}

/// What these series are.
pub fn described() -> Vec<(String, Metadata)> {
    [
        (UP, "Whether what a monitor or a heartbeat watches works, each minute that is known and in no downtime."),
        (MAINTENANCE, "That a downtime covers a monitor or a heartbeat, each minute of it."),
    ]
    .map(|(name, help)| {
        let metadata = Metadata { kind: MetricType::Gauge, help: help.to_owned(), unit: String::new() };
        (name.to_owned(), metadata)
    })
    .into()
}
