//! The commands. Each says with its exit code how it went: 0 well, 1 not, 2 the command line or configuration is wrong.

mod agent;
mod alerts;
mod check;
mod deliveries;
mod downtime;
mod heartbeats;
mod incident;
mod ping;
mod places;
mod plan;
mod probe;
mod push;
mod query;
mod reach;
mod runbook;
mod serve;
mod signin;
mod store;
mod test;
mod token;
mod verdict;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
use watchbell_query::promql::Features;
use watchbell_runtime::Runtime;

/// The exit code of a wrong command line or configuration.
const WRONG: u8 = 2;
/// Threads for asynchronous work: the smallest machines have one core, and disk work has threads of its own.
const WORKERS: usize = 2;

/// Monitoring, alarms and paging for a small team, as one small binary.
#[derive(Debug, Parser)]
#[command(name = "watchbell", version, about, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

const EXAMPLES: &str = "Examples:
  watchbell                                watch this host and what listens on it; no configuration needed
  watchbell --config watchbell.yml         run a configuration
  watchbell check --config watchbell.yml   find every error in it, with line and column
  watchbell test rules_test.yml            unit tests of rules, as promtool's
  watchbell runbook new imap-down          write a run book to fill in
  watchbell signin                         print a new one-time sign-in link
  watchbell alerts                         what fires, and who sees to it
  watchbell ack monitor/imap               say that you see to it
  watchbell verdict monitor/imap false     say that its page was for nothing
  watchbell downtime list                  what keeps pages back now, and next
  watchbell deliveries imap                every try to send a page about it, and what was answered
  watchbell incident list                  what status pages tell
  watchbell plan                           what `watchbell apply` would change
  watchbell ping \"$PING_URL\" -- backup.sh  run a job and say how it went
  watchbell agent --server https://watch.example.org   probe from this network for it
  watchbell query instant 'up == 0'        what an expression is worth now
  watchbell store stats                    how much is kept, and what most of it is";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run (what happens without a command).
    Serve(Serve),
    /// Find every error in a configuration, or in rule files alone; nothing is started.
    Check {
        /// Rule files to look at instead of a configuration, as `promtool check rules` does.
        #[arg(long = "rules", num_args = 1.., conflicts_with = "config")]
        rules: Vec<PathBuf>,
        /// An experimental part of PromQL that the rule files may use, by the words of Prometheus; a configuration says
        /// it with `query.enable_features`.
        #[arg(long = "enable-feature", requires = "rules", value_parser = Features::NAMES)]
        features: Vec<String>,
        /// Which warnings about rules make it fail with exit code 3.
        #[arg(long, value_enum, default_value_t = check::Lint::None, requires = "rules")]
        lint: check::Lint,
        /// Labels of an alert, such as `severity=critical`: says which receivers would be told of it.
        #[arg(long, num_args = 1.., value_name = "NAME=VALUE", conflicts_with = "rules")]
        labels: Vec<String>,
        #[command(flatten)]
        files: Files,
        /// How findings are printed.
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Play series through rules and compare what fires: promtool's unit tests, and timelines.
    Test(test::TestArguments),
    /// Run books: write a stub, list what there is.
    Runbook {
        #[command(subcommand)]
        command: runbook::Command,
        #[command(flatten)]
        files: Files,
    },
    /// Print a new one-time sign-in link for the watchbell of this data folder, running or not.
    Signin {
        #[command(flatten)]
        files: Files,
        /// The data folder.
        #[arg(long)]
        data: Option<PathBuf>,
    },
    /// Tokens by which programs use the API: make, list, revoke.
    Token(token::TokenArguments),
    /// What fires, and who sees to it.
    Alerts {
        /// What people were told of lately, over or not, and what they said of it.
        #[arg(long)]
        past: bool,
        #[command(flatten)]
        whom: alerts::Whom,
        /// How it is printed.
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Say that you see to what fires: nobody further is told, and it is not repeated.
    Ack(alerts::AckArguments),
    /// Say whether the page about an alert, over or not, was worth it.
    Verdict(verdict::VerdictArguments),
    /// Every try to hand a page to a channel: when, how long after it was written, and what the channel answered.
    Deliveries(deliveries::DeliveriesArguments),
    /// Known periods in which certain alerts page nobody: list, make, end.
    Downtime(downtime::DowntimeArguments),
    /// What status pages tell those who use what is watched: list, open, update, resolve.
    Incident(incident::IncidentArguments),
    /// Ask a running watchbell, or any Prometheus: an expression now or over a range, series, labels.
    Query(query::QueryArguments),
    /// Series by hand: figures, check, import, export, snapshot, deletion.
    Store(store::StoreArguments),
    /// What differs between the heartbeats of the configuration and those of a running watchbell.
    Plan(plan::PlanArguments),
    /// Make a running watchbell's heartbeats those of the configuration, and write their addresses for their jobs.
    Apply(plan::ApplyArguments),
    /// How heartbeats stand, and where their jobs report.
    Heartbeats(heartbeats::HeartbeatsArguments),
    /// Run a job and tell its heartbeat how it went, or only tell it.
    Ping(ping::PingArguments),
    /// Where monitors are probed from, and how the agents there stand.
    Places(places::PlacesArguments),
    /// Probe from another network what a watchbell elsewhere says, and report to it.
    Agent(agent::AgentArguments),
    /// Send a test page through a receiver, or show what would be sent.
    Push {
        /// The receiver's name; all of them if none is given.
        receiver: Option<String>,
        #[command(flatten)]
        files: Files,
        /// Only show it.
        #[arg(long)]
        dry_run: bool,
    },
    /// Probe the monitors once, now, and say what was seen.
    Probe {
        /// Names of monitors; all of them if none is given.
        names: Vec<String>,
        #[command(flatten)]
        files: Files,
        /// How results are printed.
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
}

#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    files: Files,
    /// The data folder; goes before `storage.path`.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Where to listen, such as `127.0.0.1:9800`; goes before `listeners`.
    #[arg(long)]
    listen: Vec<std::net::SocketAddr>,
    /// How the log is written to standard error; by default for a person on a terminal, as JSON elsewhere.
    #[arg(long, value_enum)]
    log: Option<Log>,
}

#[derive(Debug, Args)]
struct Files {
    /// A configuration file; may be given several times. By default `watchbell.yml` in this folder, if there is one.
    #[arg(long)]
    config: Vec<PathBuf>,
}

impl Files {
    /// The files that were named, or the one that is here.
    fn paths(&self, runtime: &Runtime) -> Vec<PathBuf> {
        let here = PathBuf::from("watchbell.yml");
        if self.config.is_empty() && runtime.disk.exists(&here) { vec![here] } else { self.config.clone() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For a person.
    Text,
    /// For a program.
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Log {
    /// For a person.
    Text,
    /// One JSON object a line.
    Json,
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(run(cli)),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("watchbell: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<ExitCode> {
    let runtime = Runtime::os();
    match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(serve) => serve::run(runtime, serve).await,
        Command::Check { rules, features, lint, output, .. } if !rules.is_empty() => {
            let features = Features::named(features.iter().map(String::as_str)).unwrap_or_default();
            Ok(check::rules(&runtime, &rules, features, lint, output))
        }
        Command::Check { files, output, labels, .. } => check::run(&runtime, &files, &labels, output).await,
        Command::Test(arguments) => test::run(&runtime, &arguments),
        Command::Runbook { command, files } => runbook::run(&runtime, &command, &files).await,
        Command::Signin { files, data } => signin::run(&runtime, &files, data).await,
        Command::Token(arguments) => token::run(&runtime, arguments).await,
        Command::Alerts { past: true, whom, output } => verdict::list(&runtime, whom, output).await,
        Command::Alerts { whom, output, .. } => alerts::list(&runtime, whom, output).await,
        Command::Ack(arguments) => alerts::acknowledge(&runtime, arguments).await,
        Command::Verdict(arguments) => verdict::give(&runtime, arguments).await,
        Command::Deliveries(arguments) => deliveries::run(&runtime, arguments).await,
        Command::Downtime(arguments) => downtime::run(&runtime, arguments).await,
        Command::Incident(arguments) => incident::run(&runtime, arguments).await,
        Command::Plan(arguments) => plan::plan(&runtime, arguments).await,
        Command::Apply(arguments) => plan::apply(&runtime, arguments).await,
        Command::Heartbeats(arguments) => heartbeats::run(&runtime, arguments).await,
        Command::Places(arguments) => places::run(&runtime, arguments).await,
        Command::Agent(arguments) => agent::run(runtime, arguments).await,
        Command::Ping(arguments) => ping::run(&runtime, arguments).await,
        Command::Query(arguments) => query::run(&runtime, arguments).await,
        Command::Store(arguments) => store::run(&runtime, arguments).await,
        Command::Push { receiver, files, dry_run } => push::run(&runtime, receiver.as_deref(), &files, dry_run).await,
        Command::Probe { names, files, output } => probe::run(&runtime, &names, &files, output).await,
    }
}

/// A configuration without errors, or its findings on standard error.
async fn good(runtime: &Runtime, files: &Files) -> Result<crate::config::Good, ExitCode> {
    let loaded = crate::config::load(runtime, &files.paths(runtime)).await;
    loaded.good.ok_or_else(|| {
        eprint!("{}", crate::config::render_findings(&loaded.findings));
        ExitCode::from(WRONG)
    })
}
