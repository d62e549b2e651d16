//! What holds when nothing is said.

use watchbell_alerts::RouteConfig;
use watchbell_model::Span;

use crate::config::Config;
use crate::deadman;

/// The receiver of alerts nobody asked to be told of: it has no channel.
pub const NOBODY: &str = "nobody";

/// The route in force: as configured; else every alert to the first receiver, in groups of one alert name and source,
/// at once.
fn route(config: &Config) -> RouteConfig {
    if let Some(route) = &config.route {
        return route.clone();
    }
    let receiver = config.receivers.first().map_or(NOBODY, |receiver| &receiver.name);
    RouteConfig {
        receiver: Some(receiver.to_owned()),
        group_by: Some(vec!["alertname".into(), "source".into()]),
        group_wait: Some(Span::ZERO),
        ..RouteConfig::default()
    }
}

/// All that the alerts stage is configured by: what is written, and what is made of it.
pub fn alerts(config: &Config) -> watchbell_alerts::Config {
    let written = written(config);
    watchbell_alerts::Config { route: deadman::route(written.route, &config.deadman), ..written }
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
        dependencies: crate::dependencies::all(config),
    }
}
