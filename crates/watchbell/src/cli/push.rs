//! `watchbell push`: does a page arrive? Sent at once and from here, whether or not a watchbell runs.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use watchbell_model::MemoryState;
use watchbell_notify::{Notify, NotifyConfig, Preview, Site};
use watchbell_runtime::Runtime;

use super::{Files, WRONG};

pub(super) async fn run(runtime: &Runtime, name: Option<&str>, files: &Files, dry_run: bool) -> Result<ExitCode> {
    let good = match super::good(runtime, files).await {
        Ok(good) => good,
        Err(code) => return Ok(code),
    };
    let receivers: Vec<&str> = good.config.receivers.iter().map(|receiver| receiver.name.as_str()).collect();
    if receivers.is_empty() {
        eprintln!("watchbell: the configuration names no receiver; add one under `receivers:`");
        return Ok(ExitCode::from(WRONG));
    }
    if let Some(name) = name.filter(|name| !receivers.contains(name)) {
        eprintln!("watchbell: there is no receiver `{name}`; there are: {}", receivers.join(", "));
        return Ok(ExitCode::from(WRONG));
    }
    let mut site = Site::new(&good.config.site.name, good.config.site_url());
    if dry_run {
        // What a running watchbell signs; nobody can use these.
        site.sign = Some(Arc::new(|path: &str| format!("{path}&sig=…")));
        site.buttons = crate::app::buttons(&good.config);
    }
    // A page of its own that nobody else's outbox needs to know.
    let notify = Notify::open(runtime.clone(), Arc::new(MemoryState::new()))?;
    notify.apply(NotifyConfig {
        receivers: good.config.receivers.clone(),
        templates: Arc::clone(&good.templates),
        runbooks: Arc::clone(&good.library),
        site,
        retry_for: NotifyConfig::RETRY_FOR,
    });
    let mut failed = 0;
    for receiver in receivers.iter().filter(|receiver| name.is_none_or(|name| name == **receiver)) {
        if dry_run {
            for preview in notify.preview_test(receiver).unwrap_or_default() {
                print(&preview);
            }
            continue;
        }
        for tried in notify.send_test(receiver).await.unwrap_or_default() {
            if tried.accepted {
                println!("{}: accepted", tried.channel);
            } else {
                failed += 1;
                println!("{}: FAILED: {}", tried.channel, tried.said);
            }
        }
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A page as a channel would send it.
fn print(preview: &Preview) {
    println!("{}:\n{}", preview.channel, preview.text);
    if !preview.buttons.is_empty() {
        println!("(to open or press: {})", preview.buttons.join(", "));
    }
    if let Some(words) = preview.picture {
        println!("({words})");
    }
    for error in &preview.template_errors {
        println!("(a template fails, and the built-in words stand in its place: {error})");
    }
    match &preview.end {
        Some(end) => println!("\n{}, when it is over:\n{end}", preview.channel),
        None => println!("(nobody is told that it is over)\n"),
    }
}
