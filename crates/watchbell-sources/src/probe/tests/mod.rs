//! Probes against simulated servers, each written as a script of what the server says and hears.

mod broken;
mod browser;
mod configs;
mod databases;
mod datagrams;
mod garbage;
mod mail;
mod mail_domain;
mod mail_roundtrip;
mod plain;
mod programs;
mod schedules;
pub(crate) mod server;
mod talks;
mod tasks;
mod together;
mod web;

use std::path::Path;

use expect_test::Expect;
use watchbell_model::ProbeResult;
use watchbell_runtime::sim::{self, World};

use super::{MonitorConfig, run_once};
use server::{Certificates, Script};

const HOST: &str = "mail.example";

/// Probes a server that follows the script, and compares what is told of it.
fn check(monitor: &str, script: &str, expected: Expect) {
    let told = sim::run(1, |world| async move {
        let heard = serve(&world, &config(monitor), script);
        let result = run_once(&config(monitor), &world.runtime()).await;
        format!("{}{}", told(&result), heard.complaints())
    });
    expected.assert_eq(&told);
}

/// As `check`, but compares the lines the server heard.
fn check_heard(monitor: &str, script: &str, expected: Expect) {
    let heard = sim::run(1, |world| async move {
        let heard = serve(&world, &config(monitor), script);
        let result = run_once(&config(monitor), &world.runtime()).await;
        assert!(result.success, "{}", result.message);
        heard.lines().join("\n")
    });
    expected.assert_eq(&heard);
}

/// A monitor called `m` that trusts the simulated authority.
fn config(text: &str) -> MonitorConfig {
    let mut value: serde_json::Value = serde_json::from_str(text).expect("a monitor as JSON");
    for kind in
        ["tls", "http", "smtp", "imap", "pop3", "dns", "redis", "postgresql", "mysql", "mqtt", "websocket", "grpc"]
    {
        if let Some(fields) = value.get_mut(kind).and_then(|fields| fields.as_object_mut()) {
            fields.entry("roots_file").or_insert("/ca.pem".into());
        }
    }
    value["name"] = "m".into();
    serde_json::from_value(value).expect("a monitor")
}

/// Puts the authority on the disk and the server on the net.
fn serve(world: &World, monitor: &MonitorConfig, script: &str) -> Script {
    let certificates = Certificates::new();
    world.disk.put(Path::new("/ca.pem"), certificates.authority_pem().as_bytes());
    let target = monitor.target();
    let port = match target.split_once("://") {
        Some((_, rest)) => rest.split('/').next().unwrap().rsplit(':').next().unwrap().parse().unwrap_or(80),
        None => target.split('/').next().unwrap().rsplit(':').next().unwrap().parse().unwrap(),
    };
    let script = Script::new(script, certificates, world.clock.clone());
    script.serve(&world.net, HOST, port);
    script
}

fn told(result: &ProbeResult) -> String {
    // The talk stands on a line of its own.
    let message = result.message.replace(" [< ", "\n  [< ").replace(" [> ", "\n  [> ");
    let mut text = format!("{}: {message}", if result.success { "up" } else { "down" });
    if result.duration.duration().as_secs() > 0 {
        text.push_str(&format!("\n  after {}", result.duration));
    }
    if let Some(certificate) = &result.certificate {
        text.push_str(&format!("\n  {} until {}", certificate.subject, certificate.not_after));
    }
    text
}
