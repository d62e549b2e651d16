//! What holds when nothing is said.

use std::collections::BTreeMap;
use std::time::Duration;

use watchbell_alarms::certificate;
use watchbell_alarms::rule::RuleFile;
use watchbell_alerts::RouteConfig;
use watchbell_model::Span;

use crate::composites::Names;
use crate::config::Config;
use crate::{composites, deadman, dependencies};

/// The receiver of alerts nobody asked to be told of: it has no channel.
pub const NOBODY: &str = "nobody";

/// The longest that certificates are waited for; monitors that are rarer than that may be a page of their own.
const CERTIFICATES_WAIT_MAX: Duration = Duration::from_secs(3600);
/// Changes of a certificate's group are told this much apart: long enough that a renewal is told when every monitor has
/// seen it. What cannot wait is that a monitor is down, and that does not.
const CERTIFICATES_INTERVAL: Span = Span::hours(1);
/// How often an end that is weeks away is told again.
const CERTIFICATES_REPEAT: Span = Span::days(1);

/// The route in force: as configured; else every alert to the first receiver, in groups of one alert name and source,
/// at once; but each certificate that ends is one group, however many monitors see it.
fn route(config: &Config) -> RouteConfig {
    if let Some(route) = &config.route {
        return route.clone();
    }
    let receiver = config.receivers.first().map_or(NOBODY, |receiver| &receiver.name);
    RouteConfig {
        receiver: Some(receiver.to_owned()),
        group_by: Some(vec!["alertname".into(), "source".into()]),
        group_wait: Some(Span::ZERO),
        routes: vec![certificates(config)],
        ..RouteConfig::default()
    }
}

/// One group for each certificate. It waits until every monitor was probed once and has seen it.
fn certificates(config: &Config) -> RouteConfig {
    let intervals =
        config.monitors.iter().map(|monitor| monitor.interval.duration() + monitor.probe_timeout().duration());
    let wait = intervals.max().unwrap_or_default().min(CERTIFICATES_WAIT_MAX);
    RouteConfig {
        matchers: vec![format!("alertname=\"{}\"", certificate::ALERT_NAME)],
        group_by: Some(vec!["alertname".into(), certificate::LABEL.into()]),
        group_wait: Some(Span(wait)),
        group_interval: Some(CERTIFICATES_INTERVAL),
        repeat_interval: Some(CERTIFICATES_REPEAT),
        ..RouteConfig::default()
    }
}

/// All that the alerts stage is configured by: what is written, and what is made of it.
pub fn alerts(config: &Config, rules: &[(String, RuleFile)]) -> watchbell_alerts::Config {
    let written = written(config);
    let mut dependencies = dependencies::all(config);
    composites::inhibit(config, &Names::of(config, rules), &mut dependencies);
    watchbell_alerts::Config { route: deadman::route(written.route, &config.deadman), dependencies, ..written }
}

/// What the configuration says of alerts, for a check that names its places.
pub fn written(config: &Config) -> watchbell_alerts::Config {
    watchbell_alerts::Config {
        matcher_mode: config.matcher_mode,
        route: route(config),
        inhibit_rules: config.inhibit_rules.clone(),
        time_intervals: config.time_intervals.iter().chain(&config.mute_time_intervals).cloned().collect(),
        schedules: config.schedules.clone(),
        escalations: config.escalations.clone(),
        downtimes: config.downtimes.clone(),
        dependencies: BTreeMap::new(),
    }
}
