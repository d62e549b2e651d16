//! `watchbell downtime`: known periods in which certain alerts page nobody.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};
use watchbell_model::{Span, Timestamp};
use watchbell_runtime::Runtime;

use super::Output;
use super::alerts::{SHORT, Whom, user};
use super::reach::{Api, only};

const EXAMPLES: &str = "Examples:
  watchbell downtime list
  watchbell downtime add 'database move' 'service=\"db\"' --for 2h --why 'new disks'
  watchbell downtime add move 'service=\"db\"' --from 2026-12-01T22:00 --until 2026-12-02T02:00 --time-zone Europe/Berlin
  watchbell downtime add backup 'source=\"monitor/files\"' --cron '0 3 * * SUN' --for 2h
  watchbell downtime end move

Exit code: 0 well; 1 it was refused, or nobody answers; 2 the command line is wrong.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DowntimeArguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one for each run")]
enum Command {
    /// Those in force, then those that come.
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
    /// Make one. It keeps pages back and nothing else; what is still broken at its end is told of then.
    Add(Add),
    /// End one that was made here, for good; what is broken is told of.
    End {
        /// Its name, or the beginning of its number.
        which: String,
        #[command(flatten)]
        whom: Whom,
    },
}

#[derive(Debug, Args)]
struct Add {
    /// What it is called; it stands beside the alerts that it covers.
    name: String,
    /// Which alerts it covers: all of these must hold, such as `service="db"`.
    #[arg(required = true)]
    matchers: Vec<String>,
    /// How long it lasts, from now on, or each time with `--cron`.
    #[arg(long = "for", value_name = "SPAN", conflicts_with_all = ["from", "until"])]
    lasts: Option<Span>,
    /// When it begins, such as `2026-12-01T22:00`.
    #[arg(long, requires = "until")]
    from: Option<String>,
    /// When it ends.
    #[arg(long, requires = "from")]
    until: Option<String>,
    /// When it begins, again and again: `0 3 * * SUN`.
    #[arg(long, requires = "lasts")]
    cron: Option<String>,
    /// A name among `time_intervals`: it is in force in any of them.
    #[arg(long, conflicts_with_all = ["from", "until", "lasts", "cron"])]
    during: Vec<String>,
    /// Whose clock `--from`, `--until` and `--cron` mean.
    #[arg(long, default_value = "Local")]
    time_zone: String,
    /// Why, for the others.
    #[arg(long, default_value = "")]
    why: String,
    /// Who makes it; by default the user of this machine.
    #[arg(long)]
    by: Option<String>,
    #[command(flatten)]
    whom: Whom,
}

/// A downtime, as the API says it.
#[derive(Debug, Deserialize)]
struct Downtime {
    id: Option<String>,
    downtime: Covered,
    by: String,
    why: String,
    state: String,
    in_force_until: Option<Timestamp>,
    next_at: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
struct Covered {
    name: String,
    matchers: Vec<String>,
    #[serde(default)]
    during: Vec<String>,
}

const PATH: &str = "/api/watchbell/v1/downtimes";

pub(super) async fn run(runtime: &Runtime, arguments: DowntimeArguments) -> Result<ExitCode> {
    match arguments.command {
        Command::List { all, whom, output } => {
            let api = whom.api(runtime).await?;
            let found = downtimes(&api).await;
            api.close().await;
            let (downtimes, body) = found?;
            if output == Output::Json {
                println!("{}", String::from_utf8_lossy(&body));
                return Ok(ExitCode::SUCCESS);
            }
            let shown: Vec<&Downtime> = downtimes.iter().filter(|it| all || it.state != "over").collect();
            shown.iter().for_each(|it| show(it));
            if shown.is_empty() {
                println!("there is no downtime");
            }
        }
        Command::Add(add) => {
            let by = add.by.clone().unwrap_or_else(|| user(runtime));
            let mut downtime = json!({ "name": add.name, "matchers": add.matchers, "time_zone": add.time_zone });
            let given = [("from", add.from), ("until", add.until), ("cron", add.cron)];
            let lasts = add.lasts.map(|lasts| lasts.to_string());
            for (field, value) in given.into_iter().chain([("lasts", lasts)]) {
                if let Some(value) = value {
                    downtime[field] = value.into();
                }
            }
            if !add.during.is_empty() {
                downtime["during"] = add.during.into();
            }
            let api = add.whom.api(runtime).await?;
            let body = json!({ "downtime": downtime, "by": by, "why": add.why });
            let made = api.tell("POST", PATH, &body).await;
            api.close().await;
            let made: Value = serde_json::from_slice(&made.map_err(anyhow::Error::msg)?).unwrap_or_default();
            show(&Downtime::deserialize(made).context("its answer is not ours")?);
        }
        Command::End { which, whom } => {
            let api = whom.api(runtime).await?;
            let ended = end(&api, &which).await;
            api.close().await;
            println!("{} is over", ended?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn downtimes(api: &Api) -> Result<(Vec<Downtime>, Vec<u8>)> {
    let body = api.ask("GET", PATH, Vec::new()).await.map_err(anyhow::Error::msg)?;
    Ok((serde_json::from_slice(&body).context("its answer is not ours")?, body))
}

fn show(it: &Downtime) {
    let number = it.id.as_deref().map_or("in file", |id| &id[..SHORT.min(id.len())]);
    let when = match (it.in_force_until, it.next_at) {
        (Some(_), _) if !it.downtime.during.is_empty() => format!("now, during {}", it.downtime.during.join(", ")),
        (Some(until), _) => format!("now, until {until}"),
        (None, Some(next)) => format!("next {next}"),
        (None, None) if it.state == "over" => "over".to_owned(),
        (None, None) => format!("during {}", it.downtime.during.join(", ")),
    };
    println!("{number:<SHORT$}  {}  {when}  {}", it.downtime.name, it.downtime.matchers.join(" "));
    if !it.by.is_empty() {
        let why = if it.why.is_empty() { String::new() } else { format!(": {}", it.why) };
        println!("{:SHORT$}  made by {}{why}", "", it.by);
    }
}

async fn end(api: &Api, which: &str) -> Result<String> {
    let (downtimes, _) = downtimes(api).await?;
    let is = |it: &&Downtime| {
        it.state != "over" && (it.downtime.name == which || it.id.as_ref().is_some_and(|id| id.starts_with(which)))
    };
    let found: Vec<&Downtime> = downtimes.iter().filter(is).collect();
    let one = only(&found, ("no downtime is", "several downtimes are"), which, "downtime")?;
    let Some(id) = &one.id else {
        bail!("`{which}` stands in the configuration; take it out there");
    };
    api.ask("DELETE", &format!("{PATH}/{id}"), Vec::new()).await.map_err(anyhow::Error::msg)?;
    Ok(one.downtime.name.clone())
}
