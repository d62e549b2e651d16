//! `watchbell probe`: the monitors, once, now.

use std::process::ExitCode;

use anyhow::Result;
use watchbell_runtime::Runtime;
use watchbell_sources::probe;

use super::{Files, Output, WRONG};

pub(super) async fn run(runtime: &Runtime, names: &[String], files: &Files, output: Output) -> Result<ExitCode> {
    let good = match super::good(runtime, files).await {
        Ok(good) => good,
        Err(code) => return Ok(code),
    };
    let runtime = &good.config.egress.guard(runtime);
    let monitors = good.config.monitors;
    if let Some(name) = names.iter().find(|name| monitors.iter().all(|monitor| monitor.name != **name)) {
        let there: Vec<&str> = monitors.iter().map(|monitor| monitor.name.as_str()).collect();
        eprintln!("watchbell: there is no monitor `{name}`; there are: {}", there.join(", "));
        return Ok(ExitCode::from(WRONG));
    }
    let live = probe::Live::default();
    live.set_browsers(good.config.browsers);
    let mut down = 0;
    for monitor in monitors.iter().filter(|monitor| names.is_empty() || names.contains(&monitor.name)) {
        let result = probe::run_among(monitor, runtime, &live).await;
        down += u32::from(!result.success);
        match output {
            Output::Json => println!("{}", serde_json::to_string(&result)?),
            Output::Text => {
                let word = if result.success { "up  " } else { "DOWN" };
                println!("{word}  {}  {} ({})", result.monitor, result.message, result.duration);
                if let Some(certificate) = &result.certificate {
                    println!("      certificate {} until {}", certificate.subject, certificate.not_after);
                }
            }
        }
    }
    Ok(if down == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
