//! What no single part can see: names used twice, receivers that do not exist, run books that do not open.

use std::collections::BTreeSet;

use watchbell_alarms::Pictures;
use watchbell_alarms::composite::AlarmConfig;
use watchbell_alarms::rule::RuleFile;
use watchbell_alerts::RouteConfig;
use watchbell_http::StatusPageConfig;
use watchbell_model::{HOME, Path, Problems, RelabelConfig, RunbookRef};
use watchbell_notify::{Library, ReceiverConfig, Templates};
use watchbell_runtime::Runtime;
use watchbell_sources::heartbeat::HeartbeatConfig;
use watchbell_sources::place::PlaceConfig;
use watchbell_sources::probe::blackbox::ModuleConfig;
use watchbell_sources::probe::{self, MonitorConfig};
use watchbell_sources::scrape::ScrapeConfig;
use watchbell_store::RemoteWriteConfig;

use super::Config;
use crate::composites::{self, Names};
use crate::deadman::DeadmanConfig;
use crate::forward::AlertmanagerConfig;

/// Finds every problem of a configuration whose types are right.
pub(super) fn check(
    config: &Config,
    rules: &[(String, RuleFile)],
    library: &Library,
    templates: &Templates,
    problems: &mut Problems,
) {
    let top = Path::root();
    for (at, listener) in config.listeners.iter().enumerate() {
        if listener.address.parse::<std::net::SocketAddr>().is_err() {
            let path = top.field("listeners").index(at).field("address");
            let problem = problems.error(&path, format!("`{}` is not an address with a port", listener.address));
            problem.hint("such as `127.0.0.1:9800`, `0.0.0.0:9800` or `[::]:9800`");
        }
    }
    probe::check_all(&config.monitors, &top.field("monitors"), problems);
    PlaceConfig::check_all(&config.places, &config.monitors, &top, problems);
    ModuleConfig::check_all(&config.modules, &top.field("modules"), problems);
    config.egress.check(&top.field("egress"), problems);
    config.browsers.check(&top.field("browsers"), problems);
    config.own_network.check(&top.field("own_network"), problems);
    HeartbeatConfig::check_all(&config.heartbeats, &top.field("heartbeats"), problems);
    config.ping_addresses.check(&top.field("ping_addresses"), problems);
    if let Some(mail) = &config.ping_mail {
        mail.check(&top.field("ping_mail"), problems);
    }
    config.global.scrape_defaults().check(&top.field("global"), problems);
    ScrapeConfig::check_all(&config.scrape_configs, &top.field("scrape_configs"), problems);
    config.host.check(&top.field("host"), problems);
    config.sink.check(&top.field("sink"), problems);
    config.callbacks.check(&top.field("callbacks"), problems);
    let monitors: Vec<&str> = config.monitors.iter().map(|it| it.name.as_str()).collect();
    let heartbeats: Vec<&str> = config.heartbeats.iter().map(|it| it.name.as_str()).collect();
    let pages = top.field("status_pages");
    let site = config.site.url.as_ref();
    StatusPageConfig::check_all(&config.status_pages, &monitors, &heartbeats, site, &pages, problems);
    config.healthchecks.check(&top.field("healthchecks"), problems);
    let storage = top.field("storage");
    config.storage.metrics().check(&storage.field("metrics"), problems);
    config.storage.tsdb.check(&config.storage.metrics, &storage.field("tsdb"), problems);
    if let Some(tracing) = &config.tracing {
        tracing.check(&top.field("tracing"), problems);
    }
    config.otlp.check(&top.field("otlp"), problems);
    config.query.check(&top.field("query"), problems);
    remote(config, problems);
    runbooks(config, library, problems);
    rule_runbooks(rules, library, problems);
    if config.global.query_log_file.is_some() {
        problems
            .warning(&top.field("global").field("query_log_file"), "no such file is written")
            .hint("slow queries are told in watchbell's own log");
    }
    let alerting = top.field("alerting");
    RelabelConfig::check_all(
        &config.alerting.alert_relabel_configs,
        &alerting.field("alert_relabel_configs"),
        problems,
    );
    AlertmanagerConfig::check_all(&config.alerting.read, &alerting.field("alertmanagers"), problems);
    config.global.channel_defaults().check(&top.field("global"), problems);
    ReceiverConfig::check_all(&config.receivers, templates, &top.field("receivers"), problems);
    if let Some(route) = &config.route {
        route_labels(route, templates, &top.field("route"), problems);
    }
    DeadmanConfig::check_all(&config.deadman, &config.receivers, &top.field("deadman"), problems);
    let mut names: Vec<&str> = config.receivers.iter().map(|receiver| receiver.name.as_str()).collect();
    if config.route.is_none() {
        names.push(crate::default::NOBODY);
    }
    crate::default::written(config).check(&top, &names, problems);
    crate::dependencies::check(config, problems);
    AlarmConfig::check_all(&config.alarms, &top.field("alarms"), problems);
    composites::check(config, &Names::of(config, rules), problems);
    let mut files = BTreeSet::new();
    for (file, _) in rules {
        if !files.insert(file) {
            problems.error(&top.field("rule_files"), format!("{file} is named twice"));
        }
    }
    let zone = &config.site.time_zone;
    if Pictures::zone_of(zone).is_none() {
        problems
            .error(&top.field("site").field("time_zone"), format!("`{zone}` is not a known time zone"))
            .hint("write it as `Europe/Berlin`, `UTC` or `Local`");
    }
    if config.site.url.is_none() && config.receivers.iter().any(|receiver| !receiver.is_empty()) {
        let problem = problems.warning(&top.field("site"), "links in pages lead to an address of this machine only");
        problem.hint("give `site: {url: https://…}`, the address under which a phone reaches watchbell");
    }
}

/// Says of monitors that need a browser that there is none on this machine. A warning: the other monitors are worth a start,
/// and these are down as long as it is so.
pub(super) fn browser(config: &Config, runtime: &Runtime, problems: &mut Problems) {
    let needs = |monitor: &MonitorConfig| monitor.browser.is_some() && monitor.is_at(HOME);
    let mut needing = config.monitors.iter().enumerate().filter(|(_, monitor)| needs(monitor)).peekable();
    if needing.peek().is_none() {
        return;
    }
    let Err(words) = config.browsers.find(runtime) else { return };
    for (at, _) in needing {
        problems
            .warning(
                &Path::root().field("monitors").index(at).field("browser"),
                format!("{words}; the monitor will be down"),
            )
            .hint("install it (Debian: `apt-get install chromium`), or say where it is: `browsers: {program: /…}`");
    }
}

/// Finds labels of routes whose templates cannot be read: the alerts stage, which has the routes, knows no templates.
fn route_labels(route: &RouteConfig, templates: &Templates, path: &Path, problems: &mut Problems) {
    for (name, text) in &route.labels {
        templates.check(text, &path.field("labels").field(name), problems);
    }
    for (at, child) in route.routes.iter().enumerate() {
        route_labels(child, templates, &path.field("routes").index(at), problems);
    }
}

/// Stores elsewhere are said in one way, and one at most is read back from.
fn remote(config: &Config, problems: &mut Problems) {
    let top = Path::root();
    let (write, read) = (top.field("remote_write"), top.field("remote_read"));
    let writes: Vec<_> = config.remote_write.iter().enumerate().map(|(at, it)| (write.index(at), it)).collect();
    RemoteWriteConfig::check_all(&writes, &write, problems);
    for (at, it) in config.remote_read.iter().enumerate() {
        it.check(&read.index(at), problems);
    }
    if config.remote_read.len() > 1 {
        let count = config.remote_read.len();
        problems
            .error(&read, format!("there are {count}, but samples are read back from one store only"))
            .hint("keep the one that has them all");
    }
    for (path, count) in [(&write, config.remote_write.len()), (&read, config.remote_read.len())] {
        if count > 0 && config.storage.metrics.remote.is_some() {
            problems
                .error(path, "the other store is named in `storage.metrics.remote` too")
                .hint("leave one of the two out");
        }
    }
    if config.remote_write.is_empty() && !config.remote_read.is_empty() {
        problems.error(&read, "nothing is sent to what is to be read").hint("give `remote_write` too, or leave it out");
    }
}

/// Every monitor, heartbeat and alarm has a run book that opens and says what is asked of it.
fn runbooks(config: &Config, library: &Library, problems: &mut Problems) {
    let top = Path::root();
    for (at, it) in config.monitors.iter().enumerate() {
        let path = top.field("monitors").index(at);
        let path = if it.runbook.is_some() { path.field("runbook") } else { path };
        library.demand(it.runbook.as_ref(), &format!("the monitor `{}`", it.name), &slug(&it.name), &path, problems);
    }
    for (at, it) in config.heartbeats.iter().enumerate() {
        let path = top.field("heartbeats").index(at);
        let path = if it.runbook.is_some() { path.field("runbook") } else { path };
        library.demand(it.runbook.as_ref(), &format!("the heartbeat `{}`", it.name), &slug(&it.name), &path, problems);
    }
    for (at, it) in config.alarms.iter().enumerate() {
        let path = top.field("alarms").index(at);
        let path = if it.runbook.is_some() { path.field("runbook") } else { path };
        library.demand(it.runbook.as_ref(), &format!("the alarm `{}`", it.name), &slug(&it.name), &path, problems);
    }
    for (source, runbook) in &config.runbooks.sources {
        let path = top.field("runbooks").field("sources").field(source);
        library.demand(Some(runbook), &format!("the source `{source}`"), &slug(source), &path, problems);
    }
}

/// A run book that a rule names is one that opens.
fn rule_runbooks(rules: &[(String, RuleFile)], library: &Library, problems: &mut Problems) {
    for (file, rules) in rules {
        for rule in rules.groups.iter().flat_map(|group| &group.rules) {
            let Some(named) = rule.annotations.get("watchbell_runbook") else { continue };
            let path = Path::root().field("rule_files");
            match named.parse::<RunbookRef>() {
                Ok(named) => {
                    let who = format!("the alert `{}` of {file}", rule.name());
                    library.demand(Some(&named), &who, &slug(rule.name()), &path, problems);
                }
                Err(error) => {
                    problems.error(&path, format!("the alert `{}` of {file}: {error}", rule.name()));
                }
            }
        }
    }
}

/// A name as that of a file: `IMAP handshake` is `imap-handshake`.
fn slug(name: &str) -> String {
    let plain = name.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    plain.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}
