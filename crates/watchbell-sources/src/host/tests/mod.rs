//! Collectors over small trees of files, written after the kernel's own documentation.

mod behind;
mod beside;
mod containers;
mod fixtures;
mod hardware;
mod machine;
mod task;

use std::collections::BTreeMap;
use std::path::Path;

use watchbell_model::{Path as Place, Problems, Span, Timestamp};
use watchbell_runtime::Runtime;
use watchbell_runtime::sim::{self, World};

use super::config::Settings;
use super::{COLLECTORS, Host, HostConfig};

/// A world with these files.
fn files(world: &World, files: &[(&str, &str)]) {
    for (path, text) in files {
        world.disk.put(Path::new(path), text.as_bytes());
    }
}

/// Only these collectors.
fn only(names: &[&str]) -> HostConfig {
    let mut config = HostConfig::default();
    let switches: BTreeMap<&str, bool> = COLLECTORS.iter().map(|it| (it.name, names.contains(&it.name))).collect();
    let switches: serde_json::Map<String, serde_json::Value> =
        switches.into_iter().map(|(name, on)| (name.to_owned(), serde_json::json!({ "enabled": on }))).collect();
    config.collectors = serde_json::from_value(switches.into()).unwrap();
    config.containers.enabled = names.contains(&"containers");
    config
}

fn host(config: HostConfig, runtime: &Runtime) -> Host {
    Host::new(Settings::of(&config), runtime)
}

/// Its lines but for comments and what is told of collectors, unless they failed.
fn told(host: &mut Host, now: Timestamp) -> String {
    host.measure(now);
    let is_left_out = |line: &str| {
        let told_of = ["#", "node_scrape_collector_duration", "node_exporter_build_info"];
        told_of.iter().any(|start| line.starts_with(start))
            || (line.starts_with("node_scrape_collector_success") && line.ends_with(" 1"))
    };
    let is_of_interest = |line: &&str| !is_left_out(line);
    host.out.body().lines().filter(is_of_interest).map(|line| format!("{line}\n")).collect()
}

/// What these collectors tell of a tree of files.
fn collect(names: &[&str], tree: &[(&str, &str)]) -> String {
    collect_with(only(names), tree)
}

fn collect_with(config: HostConfig, tree: &[(&str, &str)]) -> String {
    sim::run(1, |world| async move {
        files(&world, tree);
        told(&mut host(config, &world.runtime()), Timestamp(1_700_000_000_000))
    })
}

fn problems(config: &HostConfig) -> Vec<String> {
    let mut problems = Problems::new();
    config.check(&Place::root().field("host"), &mut problems);
    problems.0.into_iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
}

#[test]
fn what_is_wrong_with_a_configuration_is_said() {
    assert!(problems(&HostConfig::default()).is_empty());
    let mut config = HostConfig { interval: Span::millis(1), job: String::new(), ..HostConfig::default() };
    config.collectors.netstat.fields = Some("(".into());
    config.collectors.filesystem.mount_points_include = Some("/srv".into());
    config.collectors.filesystem.mount_points_exclude = Some("/mnt".into());
    config.containers.label_include = "[".into();
    expect_test::expect![[r#"
        host.interval: the interval 1ms is not between 1s and 1h
        host.job: `` is no name of a job: letters, digits and `_.:/-`
        host.collectors.filesystem.mount-points-exclude: `mount-points-exclude` and `mount-points-include` exclude each other
        host.collectors.netstat.fields: `(` is not a regular expression: error: unclosed group
        host.containers.label_include: `[` is not a regular expression: error: unclosed character class"#]]
    .assert_eq(&problems(&config).join("\n"));
}

#[test]
fn collectors_are_in_order_and_each_can_be_switched() {
    assert!(COLLECTORS.is_sorted_by_key(|it| it.name));
    for collector in COLLECTORS {
        let (on, off) = (only(&[collector.name]), only(&[]));
        assert!(on.is_on(collector.name) && !off.is_on(collector.name), "{}", collector.name);
    }
    assert!(!HostConfig::default().is_on("processes") && HostConfig::default().is_on("zfs"));
}

#[test]
fn nothing_there_costs_nothing_but_itself() {
    sim::run(1, |world| async move {
        let all: Vec<&str> = COLLECTORS.iter().map(|it| it.name).collect();
        let told = told(&mut host(only(&all), &world.runtime()), Timestamp(0));
        assert!(told.lines().filter(|line| line.contains("success")).count() > 30, "{told}");
    });
}
