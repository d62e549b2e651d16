//! `watchbell verdict` and `watchbell alerts --past`: what people were told of, and whether it was worth it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::json;
use watchbell_alerts::EPISODES_MAX;
use watchbell_model::{Span, Timestamp};
use watchbell_runtime::Runtime;

use super::Output;
use super::alerts::{SHORT, Whom, user};
use super::reach::Api;

const EXAMPLES: &str = "Examples:
  watchbell verdict monitor/imap false             the latest page of a source was for nothing
  watchbell verdict 3f9a late --note 'users called first'
  watchbell verdict ServiceDown unactionable       the latest page of each alert of that name
  watchbell verdict 3f9a none                      take it back

`watchbell alerts --past` shows what can be judged.
Exit code: 0 well; 1 nobody was told of anything like that, or nobody answers; 2 the command line is wrong.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct VerdictArguments {
    /// The beginning of a number, a name or a source of alerts that people were told of; the latest of each is meant.
    alert: String,
    /// Whether its page was worth it.
    verdict: Word,
    /// A few words beside it.
    #[arg(long, default_value = "")]
    note: String,
    /// Who says so; by default the user of this machine.
    #[arg(long)]
    by: Option<String>,
    #[command(flatten)]
    whom: Whom,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Word {
    /// Something was wrong, and the page came in time.
    True,
    /// Nothing was wrong.
    False,
    /// It would have mended by itself, or could not be seen to yet.
    Early,
    /// Something was wrong, and the page came too late.
    Late,
    /// Something was wrong, but there was nothing to do about it.
    Unactionable,
    /// Take back what was said.
    None,
}

/// An alert that people were told of, as the API says it.
#[derive(Debug, Deserialize)]
struct Episode {
    fingerprint: String,
    name: String,
    alarm: String,
    summary: String,
    starts_at: Timestamp,
    ends_at: Option<Timestamp>,
    verdict: Option<Said>,
}

#[derive(Debug, Deserialize)]
struct Said {
    verdict: String,
    by: String,
    #[serde(default)]
    note: String,
}

async fn episodes(api: &Api, limit: usize) -> Result<(Vec<Episode>, Vec<u8>)> {
    let path = format!("/api/watchbell/v1/episodes?limit={limit}");
    let body = api.ask("GET", &path, Vec::new()).await.map_err(anyhow::Error::msg)?;
    Ok((serde_json::from_slice(&body).context("its answer is not ours")?, body))
}

/// How many are shown.
const SHOWN_MAX: usize = 50;

pub(super) async fn list(runtime: &Runtime, whom: Whom, output: Output) -> Result<ExitCode> {
    let api = whom.api(runtime).await?;
    let found = episodes(&api, SHOWN_MAX).await;
    api.close().await;
    let (episodes, body) = found?;
    if output == Output::Json {
        println!("{}", String::from_utf8_lossy(&body));
        return Ok(ExitCode::SUCCESS);
    }
    let now = runtime.clock.now();
    for episode in &episodes {
        let number = &episode.fingerprint[..SHORT.min(episode.fingerprint.len())];
        let source = if episode.alarm.is_empty() { &episode.name } else { &episode.alarm };
        let length = Span::seconds(episode.ends_at.unwrap_or(now).since(episode.starts_at).as_secs());
        let lasts = if episode.ends_at.is_some() { format!("for {length}") } else { format!("for {length}, goes on") };
        let said = match &episode.verdict {
            Some(said) if said.note.is_empty() => format!("{}, says {}", said.verdict, said.by),
            Some(said) => format!("{}, says {}: {}", said.verdict, said.by, said.note),
            None => "no verdict".to_owned(),
        };
        println!("{number}  {}  {source}  {lasts}  {said}", episode.starts_at);
        println!("{:SHORT$}  {}", "", episode.summary);
    }
    if episodes.is_empty() {
        println!("nobody was told of anything");
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn give(runtime: &Runtime, arguments: VerdictArguments) -> Result<ExitCode> {
    let VerdictArguments { alert, verdict, note, by, whom } = arguments;
    let by = by.unwrap_or_else(|| user(runtime));
    let word = verdict.to_possible_value().map(|it| it.get_name().to_owned()).unwrap_or_default();
    let api = whom.api(runtime).await?;
    let done = set(&api, &alert, verdict, &json!({ "verdict": word, "by": by, "note": note })).await;
    api.close().await;
    for episode in done? {
        let number = &episode.fingerprint[..SHORT.min(episode.fingerprint.len())];
        let what = if verdict == Word::None { "no verdict on".to_owned() } else { format!("{by} says {word} of") };
        println!("{what} {number} of {}  {}", episode.starts_at, episode.summary);
    }
    Ok(ExitCode::SUCCESS)
}

async fn set(api: &Api, alert: &str, verdict: Word, body: &serde_json::Value) -> Result<Vec<Episode>> {
    let (episodes, _) = episodes(api, 2 * EPISODES_MAX).await?;
    let is = |it: &Episode| it.fingerprint.starts_with(alert) || it.name == alert || it.alarm == alert;
    let mut seen = BTreeSet::new();
    // The latest come first.
    let latest = episodes.into_iter().filter(|it| is(it) && seen.insert(it.fingerprint.clone()));
    let chosen: BTreeMap<String, Episode> = latest.map(|it| (it.fingerprint.clone(), it)).collect();
    if chosen.is_empty() {
        bail!("nobody was told of anything called `{alert}`; `watchbell alerts --past` shows what people were told of");
    }
    for episode in chosen.values() {
        let path = format!("/api/watchbell/v1/alerts/{}/verdict", episode.fingerprint);
        let asked = if verdict == Word::None {
            api.ask("DELETE", &path, Vec::new()).await
        } else {
            api.tell("POST", &path, body).await
        };
        asked.map_err(anyhow::Error::msg)?;
    }
    Ok(chosen.into_values().collect())
}
