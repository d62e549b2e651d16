//! `watchbell incident`: what status pages tell those who use what is watched.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};
use serde::Deserialize;
use serde_json::{Value, json};
use watchbell_model::Timestamp;
use watchbell_runtime::Runtime;

use super::Output;
use super::alerts::{SHORT, Whom, user};
use super::reach::{Api, only};

const EXAMPLES: &str = "Examples:
  watchbell incident list
  watchbell incident open 'Mail arrives late' 'We see a long queue and look for the cause.' --affects 'Reading mail'
  watchbell incident update 'Mail arrives late' 'A disk is full.' --stage identified --impact outage
  watchbell incident resolve 3f9a 'All mail has arrived.'

Exit code: 0 well; 1 it was refused, or nobody answers; 2 the command line is wrong.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct IncidentArguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Those that are not over.
    List {
        /// Those that are over too.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        whom: Whom,
        /// How it is printed.
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Tell of something new.
    Open {
        /// What it is about, in a few words.
        title: String,
        /// What those should know who use it.
        text: String,
        /// What it is about, as the page calls it, or a monitor or heartbeat.
        #[arg(long)]
        affects: Vec<String>,
        /// How much of it people feel.
        #[arg(long, value_enum, default_value_t = Impact::Degraded)]
        impact: Impact,
        /// How far you are with it.
        #[arg(long, value_enum, default_value_t = Stage::Investigating)]
        stage: Stage,
        /// A status page that shows it; all of them by default.
        #[arg(long = "page")]
        pages: Vec<String>,
        #[command(flatten)]
        who: Who,
    },
    /// Say more of one.
    Update {
        /// Its title, or the beginning of its number.
        which: String,
        /// What those should know who use it.
        text: String,
        /// How far you are with it from now on.
        #[arg(long, value_enum)]
        stage: Option<Stage>,
        /// How much of it people feel from now on.
        #[arg(long, value_enum)]
        impact: Option<Impact>,
        #[command(flatten)]
        who: Who,
    },
    /// Say that one is over.
    Resolve {
        /// Its title, or the beginning of its number.
        which: String,
        /// What those should know who use it.
        #[arg(default_value = "This is over.")]
        text: String,
        #[command(flatten)]
        who: Who,
    },
}

#[derive(Debug, Args)]
struct Who {
    /// Who says it, which no status page shows; by default the user of this machine.
    #[arg(long)]
    by: Option<String>,
    #[command(flatten)]
    whom: Whom,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Stage {
    Investigating,
    Identified,
    Monitoring,
    Resolved,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Impact {
    /// Nothing: it is to be known.
    Notice,
    /// Something is slow, or some of it does not work.
    Degraded,
    /// It does not work.
    Outage,
}

/// As the API writes it.
fn word(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|it| it.get_name().to_owned()).unwrap_or_default()
}

/// An incident, as the API says it.
#[derive(Debug, Deserialize)]
struct Incident {
    id: String,
    title: String,
    impact: String,
    stage: String,
    pages: Vec<String>,
    affects: Vec<String>,
    opened_at: Timestamp,
    resolved_at: Option<Timestamp>,
    updates: Vec<Update>,
}

#[derive(Debug, Deserialize)]
struct Update {
    at: Timestamp,
    stage: String,
    text: String,
    by: String,
}

const PATH: &str = "/api/watchbell/v1/incidents";

pub(super) async fn run(runtime: &Runtime, arguments: IncidentArguments) -> Result<ExitCode> {
    match arguments.command {
        Command::List { all, whom, output } => {
            let api = whom.api(runtime).await?;
            let found = incidents(&api).await;
            api.close().await;
            let (incidents, body) = found?;
            if output == Output::Json {
                println!("{}", String::from_utf8_lossy(&body));
                return Ok(ExitCode::SUCCESS);
            }
            let shown: Vec<&Incident> = incidents.iter().filter(|it| all || it.resolved_at.is_none()).collect();
            shown.iter().for_each(|it| show(it));
            if shown.is_empty() {
                println!("there is no incident");
            }
        }
        Command::Open { title, text, affects, impact, stage, pages, who } => {
            let body = json!({ "title": title, "text": text, "affects": affects, "impact": word(impact),
                "stage": word(stage), "pages": pages, "by": who.name(runtime) });
            let api = who.whom.api(runtime).await?;
            let told = api.tell("POST", PATH, &body).await.map_err(anyhow::Error::msg);
            api.close().await;
            show(&read(&told?)?);
        }
        Command::Update { which, text, stage, impact, who } => {
            let body = json!({ "text": text, "stage": stage.map(word), "impact": impact.map(word),
                "by": who.name(runtime) });
            say(runtime, &which, body, who).await?;
        }
        Command::Resolve { which, text, who } => {
            let body = json!({ "text": text, "stage": word(Stage::Resolved), "by": who.name(runtime) });
            say(runtime, &which, body, who).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Who {
    fn name(&self, runtime: &Runtime) -> String {
        self.by.clone().unwrap_or_else(|| user(runtime))
    }
}

fn read(body: &[u8]) -> Result<Incident> {
    serde_json::from_slice(body).context("its answer is not ours")
}

async fn incidents(api: &Api) -> Result<(Vec<Incident>, Vec<u8>)> {
    let body = api.ask("GET", PATH, Vec::new()).await.map_err(anyhow::Error::msg)?;
    Ok((serde_json::from_slice(&body).context("its answer is not ours")?, body))
}

/// Adds an update to the one that is meant.
async fn say(runtime: &Runtime, which: &str, body: Value, who: Who) -> Result<()> {
    let api = who.whom.api(runtime).await?;
    let told = add(&api, which, &body).await;
    api.close().await;
    show(&told?);
    Ok(())
}

async fn add(api: &Api, which: &str, body: &Value) -> Result<Incident> {
    let (incidents, _) = incidents(api).await?;
    let is = |it: &&Incident| it.resolved_at.is_none() && (it.title == which || it.id.starts_with(which));
    let found: Vec<&Incident> = incidents.iter().filter(is).collect();
    let one = only(&found, ("no incident that is not over is", "several incidents are"), which, "incident")?;
    read(&api.tell("POST", &format!("{PATH}/{}", one.id), body).await.map_err(anyhow::Error::msg)?)
}

fn show(it: &Incident) {
    let number = &it.id[..SHORT.min(it.id.len())];
    let over = it.resolved_at.map(|at| format!(" until {at}")).unwrap_or_default();
    println!("{number}  {}  {}, {}, since {}{over}", it.title, it.stage, it.impact, it.opened_at);
    let pages = if it.pages.is_empty() { "every status page".to_owned() } else { it.pages.join(", ") };
    let about = if it.affects.is_empty() { String::new() } else { format!(", about {}", it.affects.join(", ")) };
    println!("{:SHORT$}  on {pages}{about}", "");
    for update in &it.updates {
        println!("{:SHORT$}  {}  {} by {}: {}", "", update.at, update.stage, update.by, update.text);
    }
}
