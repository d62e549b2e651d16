//! `watchbell alerts` and `watchbell ack`: what fires, and who sees to it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};
use watchbell_model::{Span, Timestamp};
use watchbell_runtime::Runtime;

use super::reach::{self, Api};
use super::{Files, Output};

/// How many characters of a fingerprint are shown.
pub(super) const SHORT: usize = 8;

/// Which watchbell is asked.
#[derive(Debug, Args)]
pub(super) struct Whom {
    #[command(flatten)]
    pub(super) files: Files,
    /// The data folder.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Another machine's watchbell; an API token is read from the environment variable WATCHBELL_TOKEN.
    #[arg(long, conflicts_with = "data")]
    url: Option<String>,
}

const ACK_EXAMPLES: &str = "Examples:
  watchbell ack 3f9a                         the alert whose number begins so, as `watchbell alerts` prints it
  watchbell ack ServiceDown                  all of a name
  watchbell ack monitor/imap                 all of a source
  watchbell ack --all --comment 'router is being replaced'
  watchbell ack 3f9a --withdraw

Exit code: 0 well; 1 nothing like that fires, or nobody answers; 2 the command line is wrong.";

#[derive(Debug, Args)]
#[command(after_help = ACK_EXAMPLES)]
pub(super) struct AckArguments {
    /// Beginnings of numbers, names or sources of alerts that fire.
    #[arg(required_unless_present = "all")]
    which: Vec<String>,
    /// Everything that fires.
    #[arg(long, conflicts_with = "which")]
    all: bool,
    /// Who sees to it; by default the user of this machine.
    #[arg(long)]
    by: Option<String>,
    /// A few words for the others.
    #[arg(long, default_value = "")]
    comment: String,
    /// Take it back.
    #[arg(long)]
    withdraw: bool,
    #[command(flatten)]
    whom: Whom,
}

/// An alert, as the API says it.
#[derive(Debug, Clone, Deserialize)]
struct Alert {
    fingerprint: String,
    name: String,
    severity: String,
    summary: String,
    labels: BTreeMap<String, String>,
    starts_at: Timestamp,
    silenced_by: Vec<String>,
    inhibited_by: Vec<String>,
    muted_by: Vec<String>,
    acknowledged: Option<Acknowledged>,
}

impl Alert {
    /// Whether anybody sees to it, or why nobody is told.
    fn state(&self) -> String {
        if let Some(by) = &self.acknowledged {
            return format!("{} sees to it", by.by);
        }
        let silence = (!self.silenced_by.is_empty()).then(|| "a silence".to_owned());
        let others = (!self.inhibited_by.is_empty()).then(|| "what else fires".to_owned());
        let held: Vec<String> = silence.into_iter().chain(others).chain(self.muted_by.iter().cloned()).collect();
        if held.is_empty() { "nobody sees to it".to_owned() } else { format!("held back by {}", held.join(", ")) }
    }
}

#[derive(Debug, Clone, Deserialize)]
struct Acknowledged {
    by: String,
}

impl Whom {
    pub(super) async fn api(self, runtime: &Runtime) -> Result<Api> {
        if let Some(url) = &self.url {
            return Api::at(runtime, url);
        }
        let (config, folder) = reach::folder(runtime, &self.files, self.data).await;
        Api::here(runtime, &config, &folder, "alerts").await
    }
}

/// Each alert that fires once, the worst first, then the oldest; and the answer itself.
async fn firing(api: &Api) -> Result<(Vec<Alert>, Value)> {
    let body = api.ask("GET", "/api/watchbell/v1/alerts", Vec::new()).await.map_err(anyhow::Error::msg)?;
    let groups: Value = serde_json::from_slice(&body).context("its answer is not ours")?;
    let mut all: BTreeMap<String, Alert> = BTreeMap::new();
    for alert in groups.as_array().into_iter().flatten().flat_map(|group| group["alerts"].as_array()).flatten() {
        let alert = Alert::deserialize(alert).context("its answer is not ours")?;
        all.insert(alert.fingerprint.clone(), alert);
    }
    let mut all: Vec<Alert> = all.into_values().collect();
    let rank = |severity: &str| ["critical", "error", "warning", "info"].iter().position(|it| *it == severity);
    all.sort_by_key(|it| (rank(&it.severity).unwrap_or(usize::MAX), it.starts_at));
    Ok((all, groups))
}

pub(super) async fn list(runtime: &Runtime, whom: Whom, output: Output) -> Result<ExitCode> {
    let api = whom.api(runtime).await?;
    let found = firing(&api).await;
    api.close().await;
    let (alerts, groups) = found?;
    if output == Output::Json {
        println!("{groups}");
        return Ok(ExitCode::SUCCESS);
    }
    let now = runtime.clock.now();
    for alert in &alerts {
        let since = Span::seconds(now.since(alert.starts_at).as_secs());
        let source = alert.labels.get("source").unwrap_or(&alert.name);
        let number = &alert.fingerprint[..SHORT.min(alert.fingerprint.len())];
        println!("{number}  {:<8}  {source}  for {since}  {}", alert.severity, alert.state());
        println!("{:SHORT$}  {}", "", alert.summary);
    }
    if alerts.is_empty() {
        println!("nothing fires");
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn acknowledge(runtime: &Runtime, arguments: AckArguments) -> Result<ExitCode> {
    let AckArguments { which, all, by, comment, withdraw, whom } = arguments;
    let by = by.unwrap_or_else(|| user(runtime));
    let api = whom.api(runtime).await?;
    let done = set(&api, &which, all, withdraw, &json!({ "by": by, "comment": comment })).await;
    api.close().await;
    for alert in done? {
        let number = &alert.fingerprint[..SHORT.min(alert.fingerprint.len())];
        let what = if withdraw { "nobody sees to".to_owned() } else { format!("{by} sees to") };
        println!("{what} {number}  {}", alert.summary);
    }
    Ok(ExitCode::SUCCESS)
}

/// Who sits here.
pub(super) fn user(runtime: &Runtime) -> String {
    let user = runtime.environment.get("SUDO_USER").or_else(|| runtime.environment.get("USER"));
    user.unwrap_or_else(|| "the terminal".to_owned())
}

async fn set(api: &Api, which: &[String], all: bool, withdraw: bool, body: &Value) -> Result<Vec<Alert>> {
    let (firing, _) = firing(api).await?;
    let is = |alert: &Alert, text: &String| {
        alert.fingerprint.starts_with(text.as_str()) || alert.name == *text || alert.labels.get("source") == Some(text)
    };
    if let Some(none) = which.iter().find(|text| !firing.iter().any(|alert| is(alert, text))) {
        bail!("nothing that fires is called `{none}`; `watchbell alerts` shows what does");
    }
    let chosen = firing.into_iter().filter(|alert| all || which.iter().any(|text| is(alert, text)));
    let mut done = Vec::new();
    for alert in chosen {
        let path = format!("/api/watchbell/v1/alerts/{}/acknowledgement", alert.fingerprint);
        let asked =
            if withdraw { api.ask("DELETE", &path, Vec::new()).await } else { api.tell("POST", &path, body).await };
        asked.map_err(anyhow::Error::msg)?;
        done.push(alert);
    }
    Ok(done)
}
