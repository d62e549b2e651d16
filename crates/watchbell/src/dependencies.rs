//! What depends on what: `depends_on` of monitors and heartbeats, as the alerts stage takes it.

use std::collections::{BTreeMap, BTreeSet};

use watchbell_alerts::Dependency;
use watchbell_model::{Path, Problems, Span, near_hint};

use crate::config::Config;

/// An alarm of the configuration by its id, where it stands, and what it depends on.
fn entries(config: &Config) -> impl Iterator<Item = (String, Path, &[String])> {
    let top = Path::root();
    let (monitors, heartbeats) = (top.field("monitors"), top.field("heartbeats"));
    let of_monitors = config
        .monitors
        .iter()
        .enumerate()
        .map(move |(at, it)| (id(&it.name), monitors.index(at).field("depends_on"), it.depends_on.as_slice()));
    let of_heartbeats = config.heartbeats.iter().enumerate().map(move |(at, it)| {
        (format!("heartbeat/{}", it.name), heartbeats.index(at).field("depends_on"), it.depends_on.as_slice())
    });
    of_monitors.chain(of_heartbeats).filter(|(.., on)| !on.is_empty())
}

fn id(monitor: &str) -> String {
    format!("monitor/{monitor}")
}

/// All dependencies of monitors and heartbeats, by the ids of alarms.
pub fn all(config: &Config) -> BTreeMap<String, Dependency> {
    let one = |(alarm, _, on): (String, Path, &[String])| {
        let monitors = config.monitors.iter().filter(|it| on.contains(&it.name));
        let wait = monitors.map(|it| it.time_to_notice()).max().unwrap_or(Span::ZERO);
        (alarm, Dependency { on: on.iter().map(|name| id(name)).collect(), wait })
    };
    entries(config).map(one).collect()
}

/// Finds names of no monitor, and monitors that depend on themselves.
pub fn check(config: &Config, problems: &mut Problems) {
    let names: Vec<&str> = config.monitors.iter().map(|it| it.name.as_str()).collect();
    for (_, path, on) in entries(config) {
        for (at, name) in on.iter().enumerate().filter(|(_, name)| !names.contains(&name.as_str())) {
            problems.error(&path.index(at), format!("there is no monitor named `{name}`")).hint(near_hint(
                name,
                "monitors",
                names.iter().copied(),
            ));
        }
    }
    let all = all(config);
    for (alarm, path, _) in entries(config) {
        let on = |alarm: &str| all.get(alarm).into_iter().flat_map(|it| &it.on);
        if let Some(way) = way_back(&alarm, on) {
            problems
                .error(&path, format!("it depends on itself: {}", way.join(" on ")))
                .hint("nobody would be told of any of them; take out what the others can be up without");
        }
    }
}

/// How an alarm depends on itself, if it does; `on` says on what each one depends.
pub(crate) fn way_back<'a, I>(alarm: &str, on: impl Fn(&str) -> I) -> Option<Vec<String>>
where
    I: IntoIterator<Item = &'a String>,
{
    let mut ways = vec![vec![alarm.to_owned()]];
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop() {
        for next in on(way.last()?) {
            let further: Vec<String> = way.iter().chain([next]).cloned().collect();
            if next == alarm {
                return Some(further);
            }
            if seen.insert(next.clone()) {
                ways.push(further);
            }
        }
    }
    None
}
