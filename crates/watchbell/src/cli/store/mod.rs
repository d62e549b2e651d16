//! `watchbell store`: what a person does with the series by hand: look, check, bring along, take out, set aside, delete.
//!
//! On a stopped store it works on the data folder; while watchbell runs it asks that one, through its API.

mod backfill;
mod import;
mod open;
mod show;

use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use watchbell_model::{Matcher, Query, Timestamp, Upkeep};
use watchbell_query::promql;
use watchbell_runtime::Runtime;
use watchbell_wire::bulk::{BulkFormat, Writer};

use super::{Files, Output};
use open::Store;

const EXAMPLES: &str = "Examples:
  watchbell store stats                                 how much there is, and what most of it is
  watchbell store check --deep                          read everything and say what is damaged
  watchbell store import /var/lib/prometheus/metrics2   bring Prometheus' history along
  watchbell store backfill-rules --from 30d rules.yml   record what new recording rules missed
  watchbell store export --match 'up' --from 7d > up.jsonl
  watchbell store delete --match '{job=\"old\"}' --dry-run
  watchbell store snapshot before-upgrade

Exit code: 0 well; 1 something is damaged, was refused or failed; 2 the command line or configuration is wrong.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct StoreArguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    files: Files,
    /// The data folder; goes before `storage.path`.
    #[arg(long, global = true)]
    data: Option<PathBuf>,
    /// A running watchbell to ask instead, such as `http://127.0.0.1:9800`; its API token is read from the environment
    /// variable WATCHBELL_TOKEN.
    #[arg(long, global = true)]
    url: Option<String>,
    /// How results are printed.
    #[arg(long, value_enum, default_value_t = Output::Text, global = true)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look for damage.
    Check {
        /// Read every sample, not only what finds them.
        #[arg(long)]
        deep: bool,
    },
    /// How much there is, where it lies, and which metrics and labels have the most series.
    Stats {
        /// How long the lists are.
        #[arg(long, default_value_t = 10)]
        top: usize,
    },
    /// Write series to standard output.
    Export {
        /// Only series that pass, such as `up` or `{job="mail"}`; may be given several times.
        #[arg(long = "match")]
        matches: Vec<String>,
        #[command(flatten)]
        range: Range,
        /// How they are written; only `jsonl` holds everything.
        #[arg(long, value_enum, default_value_t = Format::Jsonl)]
        format: Format,
    },
    /// Bring history along: Prometheus' data folder, text or OpenMetrics with times, or an export. Importing again adds
    /// nothing.
    Import {
        /// Files and folders.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Store what recording rules would have recorded over history. Doing it again adds nothing.
    BackfillRules {
        /// From when on: `2026-01-05`, `2026-01-05T12:00:00Z`, seconds since 1970, or how long ago, such as `30d`.
        #[arg(long = "from", alias = "start")]
        from: String,
        /// Until when, written likewise; until now if it is left out.
        #[arg(long = "to", alias = "end")]
        to: Option<String>,
        /// Rule files; those of the configuration if none is named.
        rules: Vec<PathBuf>,
    },
    /// Put a copy of everything into a folder of its own, without stopping anything.
    Snapshot {
        /// What it is called; by default the time.
        name: Option<String>,
    },
    /// Delete samples for good.
    Delete {
        /// Which series, such as `{job="old"}`; may be given several times.
        #[arg(long = "match", required = true)]
        matches: Vec<String>,
        #[command(flatten)]
        range: Range,
        /// Only say what would go.
        #[arg(long)]
        dry_run: bool,
    },
    /// Give the room of what was deleted back to the disk now.
    Clean,
}

#[derive(Debug, Args)]
struct Range {
    /// From when on: `2026-01-05`, `2026-01-05T12:00:00Z`, seconds since 1970, or how long ago, such as `7d`.
    #[arg(long)]
    from: Option<String>,
    /// Until when, written likewise.
    #[arg(long)]
    to: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// JSON lines, as VictoriaMetrics has them.
    Jsonl,
    /// OpenMetrics with times.
    Openmetrics,
    /// Prometheus' text format with times.
    Prometheus,
}

impl Range {
    fn read(&self, now: Timestamp) -> Result<(Timestamp, Timestamp)> {
        let time = |text: &Option<String>, otherwise| match text {
            None => Ok(otherwise),
            Some(text) => moment(text, now).with_context(|| format!("`{text}` is no time")),
        };
        // Before and after everything that is kept, within what sums bear.
        Ok((time(&self.from, Timestamp(-(1 << 52)))?, time(&self.to, Timestamp(1 << 52))?))
    }
}

fn moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    let day = || Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z"));
    let seconds = || text.parse::<f64>().ok().filter(|seconds| seconds.is_finite()).map(Timestamp::from_seconds);
    let ago = || text.parse::<watchbell_model::Span>().ok().map(|span| now - span.duration());
    Timestamp::parse_rfc3339(text).or_else(day).or_else(seconds).or_else(ago)
}

fn selectors(matches: &[String]) -> Result<Vec<Vec<Matcher>>> {
    let one = |text: &String| promql::metric_selector(text).map_err(|error| anyhow::anyhow!("`{text}`: {error}"));
    matches.iter().map(one).collect()
}

pub(super) async fn run(runtime: &Runtime, arguments: StoreArguments) -> Result<ExitCode> {
    let store = Store::open(runtime, &arguments.files, arguments.data.clone(), arguments.url.as_deref()).await?;
    let done = act(runtime, &store, &arguments).await;
    store.close().await;
    done
}

async fn act(runtime: &Runtime, store: &Store, arguments: &StoreArguments) -> Result<ExitCode> {
    let (now, json) = (runtime.clock.now(), arguments.output == Output::Json);
    let print = |text: String, value: serde_json::Value| if json { println!("{value}") } else { print!("{text}") };
    match &arguments.command {
        Command::Check { deep } => {
            let mut checkup = store.check(*deep)?;
            checkup.damaged.splice(0..0, store.found_at_start().iter().cloned());
            print(show::checkup(&checkup), serde_json::to_value(&checkup)?);
            return Ok(if checkup.damaged.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Stats { top } => {
            let figures = store.figures(*top, true)?;
            print(show::figures(&figures), serde_json::to_value(&figures)?);
        }
        Command::Export { matches, range, format } => {
            let every = vec!["{__name__=~\".+\"}".to_owned()];
            let matchers = selectors(if matches.is_empty() { &every } else { matches })?;
            let (start, end) = range.read(now)?;
            let format = match format {
                Format::Jsonl => BulkFormat::Lines,
                Format::Openmetrics => BulkFormat::OpenMetrics,
                Format::Prometheus => BulkFormat::Text,
            };
            let left_out = export(runtime, store, &matchers, start, end, format)?;
            if left_out > 0 {
                eprintln!("{left_out} samples do not fit this format and were left out; `--format jsonl` has them");
            }
        }
        Command::BackfillRules { from, to, rules } => {
            let plan = match backfill::plan(runtime, &arguments.files, rules).await? {
                Ok(plan) => plan,
                Err(code) => return Ok(code),
            };
            let range = Range { from: Some(from.clone()), to: to.clone() };
            let (from, to) = range.read(now)?;
            let range = (from, to.min(now));
            let done = tokio::task::block_in_place(|| backfill::run(runtime, store, &plan, range))?;
            print(show::imported(&done), serde_json::to_value(&done)?);
            if done.refused() > 0 {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Import { paths } => return import::run(runtime, store, paths, json).await,
        Command::Snapshot { name } => {
            let otherwise = || now.to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect();
            let made = store.snapshot(&name.clone().unwrap_or_else(otherwise))?;
            print(format!("{} holds {}\n", made.path.display(), show::bytes(made.bytes)), serde_json::to_value(&made)?);
        }
        Command::Delete { matches, range, dry_run } => {
            let (matchers, (start, end)) = (selectors(matches)?, range.read(now)?);
            let deleted = store.delete(&matchers, start, end, *dry_run)?;
            print(show::deleted(&deleted, *dry_run), serde_json::to_value(&deleted)?);
        }
        Command::Clean => {
            let cleaned = store.clean()?;
            let text = format!("{} blocks written anew, {} free\n", cleaned.blocks, show::bytes(cleaned.bytes_freed));
            print(text, serde_json::to_value(cleaned)?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes to standard output; answers how many samples did not fit the format.
fn export(
    runtime: &Runtime,
    store: &Store,
    matchers: &[Vec<Matcher>],
    start: Timestamp,
    end: Timestamp,
    format: BulkFormat,
) -> Result<u64> {
    let (mut writer, mut text, mut out) = (Writer::new(format), String::new(), std::io::stdout().lock());
    let (mut written, mut progress, mut samples) = (Ok(()), show::Progress::new(runtime), 0);
    for (at, set) in matchers.iter().enumerate() {
        store.each(set, start, end, &mut |series| {
            let fits = |set: &Vec<Matcher>| set.iter().all(|matcher| matcher.matches_labels(&series.labels));
            if matchers[..at].iter().any(fits) {
                return ControlFlow::Continue(());
            }
            samples += (series.samples.len() + series.histograms.len()) as u64;
            progress.say(|| format!("{} samples", show::number(samples)));
            writer.write(&series, &mut text);
            written = out.write_all(text.as_bytes());
            text.clear();
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
    }
    writer.end(&mut text);
    progress.end();
    // Whoever has read enough, such as `head`, ends it.
    match written.and_then(|()| out.write_all(text.as_bytes())).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => bail!("the export cannot be written: {error}"),
        _ => Ok(writer.left_out()),
    }
}
