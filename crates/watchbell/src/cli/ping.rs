//! `watchbell ping`: tells a heartbeat how a job goes, or runs the job and tells by itself.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use watchbell_model::Url;
use watchbell_runtime::Runtime;
use watchbell_runtime::http::{self, Request};
use watchbell_runtime::job::{self, Job};
use watchbell_sources::heartbeat::BODY_MAX;

/// How long one try may take.
const TRY_MAX: Duration = Duration::from_secs(10);
/// How long is waited before the next try, each time twice as long.
const WAIT: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "Examples:
  watchbell ping https://watch.example.org/ping/5f1c1d3e-8f4e-4b2a-9d6f-0a1b2c3d4e5f -- backup.sh --full
                                 says that it starts, runs it, says how it ended and the end of what it printed
  watchbell ping \"$PING_URL\" -- backup.sh
                                 with no address in PING_URL, or one that does not begin with `http` (which is said), only runs it
  watchbell ping URL             a sign of life
  watchbell ping URL --fail --message 'no space left'

Its exit code is the job's: 128 and the signal's number if one ended it, 127 if there is no such program. A ping that is not
taken is tried again, told on standard error, and never makes the job fail.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PingArguments {
    /// The heartbeat's address, as `watchbell heartbeats` prints it; by default that in the environment variable
    /// WATCHBELL_PING_URL. What does not begin with `http` is passed over.
    address: Option<String>,
    /// Say that the job starts.
    #[arg(long, group = "what", conflicts_with = "command")]
    start: bool,
    /// Say that it went wrong.
    #[arg(long, group = "what", conflicts_with = "command")]
    fail: bool,
    /// Say something that changes nothing.
    #[arg(long, group = "what", conflicts_with = "command")]
    log: bool,
    /// Say its exit status.
    #[arg(long, group = "what", conflicts_with = "command", value_name = "STATUS")]
    status: Option<u8>,
    /// What is said with it.
    #[arg(long, conflicts_with = "command", default_value = "")]
    message: String,
    /// Send nothing of what the job prints.
    #[arg(long)]
    no_output: bool,
    /// How often a ping is tried.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=20))]
    tries: u32,
    /// The job and its arguments.
    #[arg(last = true)]
    command: Vec<OsString>,
}

pub(super) async fn run(runtime: &Runtime, arguments: PingArguments) -> Result<ExitCode> {
    let given = given(runtime, &arguments).unwrap_or_default();
    if !given.is_empty() && !given.starts_with("http") {
        // Not repeated: it may be half an address.
        eprintln!("watchbell: nobody is told: the address does not begin with `http`");
    }
    let Some((program, rest)) = arguments.command.split_first() else {
        let action = match &arguments {
            PingArguments { start: true, .. } => "/start".to_owned(),
            PingArguments { fail: true, .. } => "/fail".to_owned(),
            PingArguments { log: true, .. } => "/log".to_owned(),
            PingArguments { status: Some(status), .. } => format!("/{status}"),
            _ => String::new(),
        };
        let body = arguments.message.clone().into_bytes();
        send(runtime, &arguments, &action, None, body).await;
        return Ok(ExitCode::SUCCESS);
    };
    let run = runtime.rng.uuid();
    let job = Job {
        program: program.clone(),
        arguments: rest.to_vec(),
        variables: vec![("WATCHBELL_RUN".to_owned(), run.clone())],
        tail_max: BODY_MAX,
    };
    // The job does not wait for it, but its end is told afterwards.
    let (ended, ()) = tokio::join!(job::run(&job), send(runtime, &arguments, "/start", Some(&run), Vec::new()));
    let ended = ended.context("the job cannot be watched")?;
    if matches!(ended.code, 126 | 127) {
        eprintln!("watchbell: the job ended with {}: {}", ended.code, last_line(&ended.tail));
    }
    let body = if arguments.no_output { Vec::new() } else { ended.tail };
    send(runtime, &arguments, &format!("/{}", ended.code), Some(&run), body).await;
    Ok(ExitCode::from(ended.code))
}

fn last_line(text: &[u8]) -> String {
    String::from_utf8_lossy(text).trim_end().lines().last().unwrap_or_default().to_owned()
}

/// What stands where the address should, if anything does.
fn given(runtime: &Runtime, arguments: &PingArguments) -> Option<String> {
    arguments.address.clone().or_else(|| runtime.environment.get("WATCHBELL_PING_URL"))
}

/// Tells a heartbeat, with further tries; what comes of it is said, and that is all.
async fn send(runtime: &Runtime, arguments: &PingArguments, action: &str, run: Option<&str>, body: Vec<u8>) {
    let Some(given) = given(runtime, arguments).filter(|given| given.starts_with("http")) else { return };
    let url = match address(&given, action, run) {
        Ok(url) => url,
        Err(error) => return eprintln!("watchbell: nobody is told: {error}"),
    };
    let (mut wait, mut left) = (WAIT, arguments.tries);
    loop {
        let mut request = Request::post(url.clone(), body.clone()).header("content-type", "text/plain");
        (request.timeout, request.redirects_max) = (TRY_MAX, 3);
        let (why, again) = match http::send(runtime, request).await {
            Ok(answer) if (200..300).contains(&answer.status) => return,
            Ok(answer) => {
                let again = answer.status >= 500 || matches!(answer.status, 408 | 429);
                (format!("{} {}", answer.status, last_line(&answer.body)), again)
            }
            Err(error) => (error.to_string(), true),
        };
        left -= 1;
        if !again || left == 0 {
            // The address is a secret: it is not said.
            return eprintln!("watchbell: the ping `{action}` was not taken: {why}");
        }
        runtime.clock.sleep(wait).await;
        wait *= 2;
    }
}

/// The address for an action of a run: what stands behind `?` stays there.
fn address(base: &str, action: &str, run: Option<&str>) -> Result<Url, String> {
    let (path, query) = base.split_once('?').map_or((base, None), |(path, query)| (path, Some(query)));
    let run = run.map(|run| format!("rid={run}"));
    let query: Vec<&str> = query.into_iter().chain(run.as_deref()).filter(|it| !it.is_empty()).collect();
    let mark = if query.is_empty() { "" } else { "?" };
    let url = format!("{}{action}{mark}{}", path.trim_end_matches('/'), query.join("&"));
    url.parse().map_err(|error| format!("the address is none: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_stands_before_the_query() {
        let of = |base, action, run| address(base, action, run).unwrap().to_string();
        assert_eq!(of("https://h/ping/u", "", None), "https://h/ping/u");
        assert_eq!(of("https://h/ping/u/", "/start", None), "https://h/ping/u/start");
        assert_eq!(of("https://h/ping/k/s?create=1", "/3", Some("r")), "https://h/ping/k/s/3?create=1&rid=r");
        assert!(address("http//nothing", "", None).is_err());
    }
}
