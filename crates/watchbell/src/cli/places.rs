//! `watchbell places`: where monitors are probed from, and how the agents there stand.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;
use watchbell_model::Timestamp;
use watchbell_runtime::Runtime;

use super::Output;
use super::alerts::Whom;

const EXAMPLES: &str = "Examples:
  watchbell places                                  of the watchbell of this machine
  watchbell places --url https://watch.example.org  of another one, with the API token of WATCHBELL_TOKEN

Exit code: 0 all are heard; 1 one is not, or nobody answers.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PlacesArguments {
    #[command(flatten)]
    whom: Whom,
    /// How they are printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(super) async fn run(runtime: &Runtime, arguments: PlacesArguments) -> Result<ExitCode> {
    let api = arguments.whom.api(runtime).await?;
    let asked = api.ask("GET", "/api/watchbell/v1/places", Vec::new()).await;
    api.close().await;
    let places: Vec<Value> =
        serde_json::from_slice(&asked.map_err(anyhow::Error::msg)?).context("its answer is not ours")?;
    match arguments.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&places)?),
        Output::Text => places.iter().for_each(|place| println!("{}", line(place))),
    }
    let silent = places.iter().any(|place| place["state"] == "silent");
    Ok(if silent { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn line(place: &Value) -> String {
    let text = |field: &str| place[field].as_str().unwrap_or("-");
    let number = |field: &str| place[field].as_u64().unwrap_or_default();
    let heard = place["heard_at"].as_str().and_then(Timestamp::parse_rfc3339).map(|at| format!(", heard {at}"));
    let mut line = format!(
        "{:12} {:9} {} monitor{}, version {}{}",
        text("name"),
        text("state"),
        number("monitors"),
        if number("monitors") == 1 { "" } else { "s" },
        text("version"),
        heard.unwrap_or_default()
    );
    if number("waiting") > 0 || place["lag"].as_f64().is_some_and(|lag| lag >= 10.0) {
        line +=
            &format!(", {:.0} s behind, {} results wait", place["lag"].as_f64().unwrap_or_default(), number("waiting"));
    }
    if number("dropped") > 0 {
        line += &format!(", {} results were dropped", number("dropped"));
    }
    if let Some(ahead) = place["clock_ahead"].as_f64().filter(|ahead| ahead.abs() >= 1.0) {
        line += &format!(", its clock is {:.0} s {}", ahead.abs(), if ahead > 0.0 { "ahead" } else { "behind" });
    }
    if let Some(words) = place["own_network"].as_str() {
        line += &format!("\n             {words}");
    }
    for refused in place["refused"].as_array().into_iter().flatten() {
        line += &format!(
            "\n             cannot probe {}: {}",
            refused["monitor"].as_str().unwrap_or_default(),
            refused["reason"].as_str().unwrap_or_default()
        );
    }
    line
}
