//! `watchbell agent`: probes from here what a watchbell elsewhere says, and reports to it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use watchbell_model::{Secret, Url};
use watchbell_runtime::CancellationToken;
use watchbell_runtime::Runtime;
use watchbell_runtime::http::{Proxies, Proxy};
use watchbell_runtime::process::{Signal, Signals, notify_systemd};
use watchbell_runtime::tls::TlsOptions;
use watchbell_sources::place::{Agent, RESULTS_MAX};

use super::serve::log_to_standard_error;
use super::{Log, WRONG};

const EXAMPLES: &str = "Examples:
  watchbell token new fra --place fra                               on the server: a token for the place `fra`
  WATCHBELL_TOKEN=wb_… watchbell agent --server https://watch.example.org
  watchbell agent --server https://watch.internal --ca ca.pem --token-file /etc/watchbell.token
  HTTPS_PROXY=http://proxy.internal:3128 watchbell agent --server https://watch.example.org --token-file t

It needs nothing else: what it probes is told by the server, and stands in `monitors` there. While the server cannot be
reached it goes on probing and keeps the last results in memory.

Exit code: 0 stopped; 1 it could not go on; 2 the command line is wrong.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct AgentArguments {
    /// The address under which the watchbell is reached that this one probes for.
    #[arg(long)]
    server: Url,
    /// The token of the place; better in the environment variable WATCHBELL_TOKEN or a file, where others do not see it.
    #[arg(long, conflicts_with = "token_file")]
    token: Option<String>,
    /// A file with the token of the place.
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// A file of trusted roots as PEM, in place of the machine's, for the server's certificate.
    #[arg(long)]
    ca: Option<PathBuf>,
    /// Report through this proxy: `http://user:password@proxy.example.org:3128`, also `https` and `socks5`. Otherwise
    /// the environment's HTTPS_PROXY (for an `http` server HTTP_PROXY) holds, with NO_PROXY; better so where there is a
    /// password, since others see the command line. Probes go directly.
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,
    /// Speak plain HTTP to another host: the token and the passwords of monitors can be read on the way.
    #[arg(long)]
    insecure: bool,
    /// How the log is written to standard error; by default for a person on a terminal, as JSON elsewhere.
    #[arg(long, value_enum)]
    log: Option<Log>,
}

/// The proxy that is given, or those of the environment. One there that cannot be read is an error, so that nobody
/// wonders why nothing comes through.
fn proxies(runtime: &Runtime, given: Option<&str>) -> Result<Proxies, String> {
    let read = |text: &str| {
        let it = watchbell_model::proxy(text)?;
        Ok::<_, String>(Proxy { url: it.url, user: it.user, socks: it.socks, connect_headers: Vec::new() })
    };
    if let Some(text) = given {
        let proxy = read(text).map_err(|error| format!("--proxy: {error}"))?;
        return Ok(Proxies { http: Some(proxy.clone()), https: Some(proxy), no_proxy: None });
    }
    let mut wrong = None;
    let proxies = Proxies::of_environment(&runtime.environment, |text| {
        read(text).map_err(|error| wrong = Some(format!("HTTP_PROXY or HTTPS_PROXY: {error}"))).ok()
    });
    wrong.map_or(Ok(proxies), Err)
}

pub(super) async fn run(runtime: Runtime, arguments: AgentArguments) -> Result<ExitCode> {
    let AgentArguments { server, token, token_file, ca, proxy, insecure, log } = arguments;
    log_to_standard_error(log);
    let token = match token_file {
        Some(file) => runtime
            .disk
            .read_text(&file)
            .with_context(|| format!("{} cannot be read", file.display()))?
            .trim()
            .to_owned(),
        None => token.or_else(|| runtime.environment.get("WATCHBELL_TOKEN")).unwrap_or_default(),
    };
    if token.is_empty() {
        eprintln!("watchbell: there is no token; `watchbell token new NAME --place PLACE` on the server makes one");
        return Ok(ExitCode::from(WRONG));
    }
    let read = |file: PathBuf| runtime.disk.read(&file).with_context(|| format!("{} cannot be read", file.display()));
    let tls = TlsOptions { roots_pem: ca.map(read).transpose()?, ..TlsOptions::default() };
    let proxies = match proxies(&runtime, proxy.as_deref()) {
        Ok(proxies) => proxies,
        Err(error) => {
            eprintln!("watchbell: {error}");
            return Ok(ExitCode::from(WRONG));
        }
    };
    let mut signals = Signals::listen().context("signals cannot be received")?;
    let agent = match Agent::new(runtime.clone(), &server, &Secret::new(token), tls, proxies, insecure) {
        Ok(agent) => agent,
        Err(error) => {
            eprintln!("watchbell: {error}");
            return Ok(ExitCode::from(WRONG));
        }
    };
    println!(
        "watchbell {} probes for {server}; it keeps up to {RESULTS_MAX} results while that is away",
        env!("CARGO_PKG_VERSION")
    );
    let stop = CancellationToken::new();
    notify_systemd("READY=1");
    tokio::select! {
        biased;
        () = async { while signals.next().await != Signal::Stop {} } => {}
        () = agent.run(stop.clone()) => {}
    }
    notify_systemd("STOPPING=1");
    runtime.supervisor.stop().await;
    Ok(ExitCode::SUCCESS)
}
