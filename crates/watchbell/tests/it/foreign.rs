//! Configurations of the tools that watchbell replaces: what they accept and refuse, we do.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use watchbell::config::{load, render_findings};
use watchbell_runtime::Runtime;

/// Good ones that are refused, each with its reason.
const REFUSED: &[(&str, &str)] = &[
    ("conf.good.yml", "a second store is not there yet"),
    ("remote_write_retry_on_rate_limit.good.yml", "its addresses lack a scheme, so that nothing could ever be sent"),
];
/// Bad ones that are accepted, each with its reason.
const ACCEPTED: &[(&str, &str)] = &[];

/// Prometheus' own configurations, `*.good.yml` and `*.bad.yml`.
#[tokio::test]
async fn conformance_of_prometheus_configurations() {
    let folder = std::env::var_os("WATCHBELL_CONFORMANCE")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"), PathBuf::from);
    let folder = folder.join("prometheus/config");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("skipped: there is no folder {}; name one in WATCHBELL_CONFORMANCE", folder.display());
        return;
    };
    let names: BTreeSet<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".yml"))
        .collect();
    let (mut good, mut bad, mut wrong) = (0, 0, Vec::new());
    for name in &names {
        let wanted = match name.rsplit('.').nth(1) {
            Some("good") => true,
            Some("bad") => false,
            _ => continue,
        };
        let exceptions = if wanted { REFUSED } else { ACCEPTED };
        let expected = exceptions.iter().all(|(file, _)| file != name) == wanted;
        let loaded = load(&Runtime::os(), &[folder.join(name)]).await;
        let told = render_findings(&loaded.findings);
        println!("== {name}\n{told}");
        match (loaded.good.is_some(), expected) {
            (true, true) => good += 1,
            (false, false) => bad += 1,
            (true, false) => wrong.push(format!("{name} is accepted")),
            (false, true) => {
                wrong.push(format!("{name} is refused:\n{}", told.lines().take(4).collect::<Vec<_>>().join("\n")))
            }
        }
    }
    println!("{good} good ones are accepted, {bad} bad ones refused");
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), good + bad + wrong.len(), wrong.join("\n"));
}

/// Whether Alertmanager refuses one of its own configurations, by what the file is called.
fn is_bad(name: &str) -> bool {
    let parts = ["both", "-no-", "nil-", "bad", "invalid", "old-team", "update-message-and-webhook"];
    name != "conf.smtp-no-username-or-password.yml" && parts.iter().any(|part| name.contains(part))
}

/// Alertmanager's own configurations.
#[tokio::test]
async fn conformance_of_alertmanager_configurations() {
    let folder = std::env::var_os("WATCHBELL_CONFORMANCE")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"), PathBuf::from);
    let (mut good, mut bad, mut wrong) = (0, 0, Vec::new());
    for part in ["config", "cli", "examples"] {
        let folder = folder.join("alertmanager").join(part);
        let Ok(entries) = std::fs::read_dir(&folder) else {
            println!("skipped: there is no folder {}; name one in WATCHBELL_CONFORMANCE", folder.display());
            return;
        };
        let names: BTreeSet<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        for name in names {
            let loaded = load(&Runtime::os(), &[folder.join(&name)]).await;
            let told = render_findings(&loaded.findings);
            println!("== {part}/{name}\n{told}");
            match (loaded.good.is_some(), is_bad(&name)) {
                (true, false) => good += 1,
                (false, true) => bad += 1,
                (true, true) => wrong.push(format!("{part}/{name} is accepted")),
                (false, false) => {
                    let first: Vec<&str> = told.lines().filter(|line| line.contains("error")).take(4).collect();
                    wrong.push(format!("{part}/{name} is refused:\n{}", first.join("\n")));
                }
            }
        }
    }
    println!("{good} good ones are accepted, {bad} bad ones refused");
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
