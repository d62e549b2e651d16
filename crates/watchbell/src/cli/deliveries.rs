//! `watchbell deliveries`: every try to hand a page to a channel, and what became of it.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde::Deserialize;
use watchbell_model::{Span, Timestamp};
use watchbell_runtime::Runtime;
use watchbell_runtime::client::escape;

use super::Output;
use super::alerts::Whom;

const EXAMPLES: &str = "Examples:
  watchbell deliveries                              the latest tries, newest first
  watchbell deliveries imap                         those with a word in title, channel, group or answer
  watchbell deliveries --channel oncall --outcome gaveup
  watchbell deliveries --limit 1000 --output json

Exit code: 0 well, also if there is none; 1 nobody answers; 2 the command line is wrong.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DeliveriesArguments {
    /// Words that each stand somewhere in the title, the channel, the group, the key or the answer.
    words: Vec<String>,
    /// A channel (`oncall/ntfy`), or a receiver with all of its channels.
    #[arg(long)]
    channel: Option<String>,
    /// How they ended.
    #[arg(long, value_enum)]
    outcome: Option<Outcome>,
    /// How many are shown at most.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=1000))]
    limit: u64,
    #[command(flatten)]
    whom: Whom,
    /// How they are printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Outcome {
    /// The channel took the page.
    Accepted,
    /// It failed and is tried again.
    Retry,
    /// It was refused, or tried for too long.
    Gaveup,
    /// Another page tells of it too.
    Merged,
}

/// A try, as the API says it.
#[derive(Debug, Deserialize)]
struct Delivery {
    at: Timestamp,
    page: u64,
    channel: String,
    title: String,
    attempt: u64,
    outcome: String,
    detail: String,
    waited_ms: u64,
}

pub(super) async fn run(runtime: &Runtime, arguments: DeliveriesArguments) -> Result<ExitCode> {
    let DeliveriesArguments { words, channel, outcome, limit, whom, output } = arguments;
    let outcome = outcome.and_then(|it| it.to_possible_value()).map(|it| it.get_name().to_owned());
    let path = format!(
        "/api/watchbell/v1/deliveries?limit={limit}&q={}&channel={}&outcome={}",
        escape(&words.join(" ")),
        escape(&channel.unwrap_or_default()),
        outcome.unwrap_or_default()
    );
    let api = whom.api(runtime).await?;
    let answered = api.ask("GET", &path, Vec::new()).await;
    api.close().await;
    let body = answered.map_err(anyhow::Error::msg)?;
    if output == Output::Json {
        println!("{}", String::from_utf8_lossy(&body));
        return Ok(ExitCode::SUCCESS);
    }
    let tries: Vec<Delivery> = serde_json::from_slice(&body).context("its answer is not ours")?;
    for it in &tries {
        let waited = Span::millis(it.waited_ms);
        println!(
            "{}  {:<8}  {}  page {}, try {}, {waited} after it was written",
            it.at, it.outcome, it.channel, it.page, it.attempt
        );
        println!("    {}", it.title);
        println!("    {}", it.detail);
    }
    if tries.is_empty() {
        println!("no such try is in the log");
    }
    Ok(ExitCode::SUCCESS)
}
