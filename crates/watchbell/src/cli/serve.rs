//! `watchbell serve`: opens what is kept, starts every stage, says so in a few lines, and stops cleanly.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use watchbell_model::{
    Append, AppendError, Appended, Batch, BoxFuture, Checkup, Cleaned, Deleted, Exemplar, Figures, Import, Labels,
    Lookup, Matcher, Metadata, Query, QueryError, Series, Severity, Snapshot, State, Timestamp, Upkeep, UpkeepError,
};
use watchbell_runtime::process::{Signal, Signals, notify_systemd, watchdog_interval};
use watchbell_runtime::{Runtime, Task};
use watchbell_sources::discovery::here::{self, Found};
use watchbell_store::remote::Local;
use watchbell_store::{DataDir, MetricStore, RemoteConfig, RemoteStore, SqliteState};

use super::{Log, Serve, WRONG, watch};
use crate::app::{App, Reload, Stores};
use crate::config::{Config, Good, load, render_finding, render_findings};

/// The bound on stopping: whatever has not ended by then is on disk already.
const STOP_MAX: Duration = Duration::from_secs(20);

pub(super) async fn run(runtime: Runtime, arguments: Serve) -> Result<ExitCode> {
    log_to_standard_error(arguments.log);
    let mut signals = Signals::listen().context("signals cannot be received")?;
    let paths = arguments.files.paths(&runtime);
    let loaded = load(&runtime, &paths).await;
    eprint!("{}", render_findings(&loaded.findings));
    let Some(mut good) = loaded.good else {
        eprintln!("watchbell does not start with this configuration");
        return Ok(ExitCode::from(WRONG));
    };
    override_with(&arguments, &mut good.config);
    let warnings = loaded.findings.iter().map(render_finding).collect();

    let folder = good.config.storage.path.clone();
    let data = DataDir::claim(&folder, good.config.storage.allow_network_filesystem)?;
    let (state, report) = SqliteState::open(&runtime, &data)?;
    if let (Some(aside), Some(damage)) = (&report.set_aside, &report.damage) {
        let words = format!(
            "the state was damaged ({damage}); it lies in {}, {} documents could be saved",
            aside.display(),
            report.salvaged
        );
        runtime.troubles.set("state/damaged", Severity::Critical, words);
    }
    let state = Arc::new(state);
    let remote = good.config.remote();
    let only_remote = remote.as_ref().is_some_and(|remote| remote.local == Local::Off);
    let store = if only_remote { None } else { open_metrics(&runtime, data.path(), &good.config) };
    let remote = remote.and_then(|remote| open_remote(&runtime, data.path(), &good.config, &remote, store.clone()));
    let addresses = good.config.addresses();
    let wanted = good.config.discovery.enabled.unwrap_or(!good.from_file);
    let own_ports: Vec<u16> = addresses.iter().map(std::net::SocketAddr::port).collect();
    let found = if wanted { here::discover(&runtime, &own_ports).await } else { Vec::new() };

    let watched: watch::Watched = Arc::new(Mutex::new(loaded.watched));
    let reload = reload(&runtime, paths, &arguments, &watched);
    let upkeep = match &store {
        Some(store) => Arc::new(store.clone()) as Arc<dyn Upkeep>,
        None => Arc::new(NoStore),
    };
    let (append, query) = match (&remote, &store) {
        (Some(store), _) => (Arc::new(store.clone()) as Arc<dyn Append>, Arc::new(store.clone()) as Arc<dyn Query>),
        (None, Some(store)) => (Arc::new(store.clone()) as Arc<dyn Append>, Arc::new(store.clone()) as Arc<dyn Query>),
        (None, None) => (Arc::new(NoStore) as Arc<dyn Append>, Arc::new(NoStore) as Arc<dyn Query>),
    };
    let stores = Stores { state: Arc::clone(&state) as Arc<dyn State>, append, query, upkeep };
    let app = App::start(runtime.clone(), stores, &good, warnings, found.clone(), reload).await?;
    let bound = app.listen(&addresses).await?;
    if let Some(store) = &store {
        runtime.supervisor.spawn("store", store.task());
    }
    if let Some(remote) = &remote {
        for task in remote.tasks() {
            runtime.supervisor.spawn("store", task);
        }
    }
    runtime.supervisor.spawn("process", watch::task(&runtime, &app, &watched));
    if let Some(interval) = watchdog_interval() {
        runtime.supervisor.spawn("process", watchdog(&runtime, interval));
    }
    banner(&app, &good, &bound, &found).await?;
    notify_systemd("READY=1");

    while signals.next().await == Signal::Reload {
        // What is wrong with it is on every surface and in the log already.
        let _refused = app.reload_now().await;
    }
    notify_systemd("STOPPING=1");
    tracing::info!("stopping");
    let second = async { while signals.next().await != Signal::Stop {} };
    tokio::select! {
        biased;
        stopped = runtime.clock.timeout(STOP_MAX, app.stop()) => {
            if stopped.is_err() {
                tracing::warn!("not everything stopped in time");
            }
        }
        () = second => tracing::warn!("stopped at once, as asked a second time"),
    }
    if let Some(remote) = &remote {
        remote.close();
    }
    if let Some(store) = &store {
        store.close();
    }
    state.close();
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// What the command line says goes before the file.
fn override_with(arguments: &Serve, config: &mut Config) {
    if let Some(data) = &arguments.data {
        config.storage.path.clone_from(data);
    }
    if !arguments.listen.is_empty() {
        config.listeners = arguments
            .listen
            .iter()
            .map(|address| crate::config::ListenerConfig { address: address.to_string() })
            .collect();
    }
}

/// The store beyond this machine in front of the local one, or nothing if its queue cannot be opened.
fn open_remote(
    runtime: &Runtime,
    data: &Path,
    config: &Config,
    remote: &RemoteConfig,
    local: Option<MetricStore>,
) -> Option<RemoteStore> {
    let opened = config.storage.metrics_in(data).context("the size of the disk is not known");
    let open = |metrics| Ok(RemoteStore::open(runtime, &data.join("remote"), remote, &metrics, local)?);
    match opened.and_then(open) {
        Ok(store) => Some(store),
        Err(error) => {
            let words = format!("the queue for the remote store cannot be opened, nothing is sent there: {error:#}");
            runtime.troubles.set("store/remote", Severity::Critical, words);
            None
        }
    }
}

/// The series, or nothing if they cannot be opened: that costs graphs and rules, never a page.
fn open_metrics(runtime: &Runtime, data: &Path, config: &Config) -> Option<MetricStore> {
    let opened = config.storage.metrics_in(data).context("the size of the disk is not known");
    match opened.and_then(|metrics| Ok(MetricStore::open(runtime, &data.join("metrics"), metrics)?)) {
        Ok((store, report)) => {
            if !report.damaged.is_empty() {
                let words = format!("damaged metrics were set aside: {}", report.damaged.join("; "));
                runtime.troubles.set("store/damaged", Severity::Warning, words);
            }
            Some(store)
        }
        Err(error) => {
            let words = format!("the metrics cannot be opened, nothing is measured: {error:#}");
            runtime.troubles.set("store/open", Severity::Critical, words);
            None
        }
    }
}

/// In place of the metrics when they cannot be opened.
struct NoStore;

const NO_STORE: &str = "the metrics could not be opened at the start";

impl Append for NoStore {
    fn append(&self, _: Batch) -> BoxFuture<'_, Result<Appended, AppendError>> {
        Box::pin(async { Err(AppendError::Unavailable(NO_STORE.into())) })
    }
}

impl NoStore {
    fn refuse<T>() -> Result<T, UpkeepError> {
        Err(UpkeepError::Failed(NO_STORE.into()))
    }
}

impl Upkeep for NoStore {
    fn figures(&self, _: usize, _: bool) -> Result<Figures, UpkeepError> {
        NoStore::refuse()
    }
    fn check(&self, _: bool) -> Result<Checkup, UpkeepError> {
        NoStore::refuse()
    }
    fn delete(&self, _: &[Vec<Matcher>], _: Timestamp, _: Timestamp, _: bool) -> Result<Deleted, UpkeepError> {
        NoStore::refuse()
    }
    fn clean(&self) -> Result<Cleaned, UpkeepError> {
        NoStore::refuse()
    }
    fn snapshot(&self, _: &str) -> Result<Snapshot, UpkeepError> {
        NoStore::refuse()
    }
    fn import(&self) -> Result<Box<dyn Import + '_>, UpkeepError> {
        NoStore::refuse()
    }
}

impl Query for NoStore {
    fn select(&self, _: &[Matcher], _: Timestamp, _: Timestamp) -> Result<Vec<Series>, QueryError> {
        Err(QueryError::Unavailable(NO_STORE.into()))
    }
    fn exemplars(&self, _: &Lookup<'_>) -> Result<Vec<(Labels, Vec<Exemplar>)>, QueryError> {
        Err(QueryError::Unavailable(NO_STORE.into()))
    }
    fn metadata(&self, _: Option<&str>) -> Result<Vec<(String, Vec<Metadata>)>, QueryError> {
        Err(QueryError::Unavailable(NO_STORE.into()))
    }
}

fn reload(runtime: &Runtime, paths: Vec<PathBuf>, arguments: &Serve, watched: &watch::Watched) -> Reload {
    let (runtime, watched) = (runtime.clone(), Arc::clone(watched));
    let (data, listen) = (arguments.data.clone(), arguments.listen.clone());
    Arc::new(move || {
        let (runtime, watched, paths) = (runtime.clone(), Arc::clone(&watched), paths.clone());
        let again =
            Serve { files: super::Files { config: Vec::new() }, data: data.clone(), listen: listen.clone(), log: None };
        Box::pin(async move {
            let mut loaded = load(&runtime, &paths).await;
            watched.lock().expect("no panic while held").clone_from(&loaded.watched);
            if let Some(good) = &mut loaded.good {
                override_with(&again, &mut good.config);
            }
            loaded
        })
    })
}

/// Tells systemd that the runtime still turns.
fn watchdog(runtime: &Runtime, interval: Duration) -> Task {
    let clock = runtime.clock.clone();
    Task::new("watchdog", 0, move |stop| {
        let clock = clock.clone();
        async move {
            loop {
                notify_systemd("WATCHDOG=1");
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    () = clock.sleep(interval) => {}
                }
            }
        }
    })
}

/// Under ten lines: where it is, how to get in, what it watches, who is told, what to do next.
async fn banner(app: &App, good: &Good, bound: &[std::net::SocketAddr], found: &[Found]) -> Result<()> {
    let address =
        bound.first().map_or_else(|| good.config.site_url().to_string(), |address| format!("http://{address}"));
    let mut lines =
        vec![format!("watchbell {} is running", env!("CARGO_PKG_VERSION")), format!("  open     {address}")];
    lines.push(match app.auth.issue_first_link().await? {
        Some(path) => format!("  sign in  {address}{path} (once, within a day)"),
        None => "  sign in  `watchbell signin` prints a one-time link".into(),
    });
    let config = &good.config;
    let mut watching = Vec::new();
    if config.host.enabled {
        watching.push("this host".to_owned());
    }
    let services: Vec<&str> = found.iter().map(|found| found.monitor.name.as_str()).collect();
    match services.len() {
        0 if !good.from_file => watching.push("no services found listening on it".into()),
        0 => {}
        count => {
            let shown = services[..count.min(8)].join(", ");
            let more = if count > 8 { format!(" and {} more", count - 8) } else { String::new() };
            watching.push(format!("{count} services found on it: {shown}{more}"));
        }
    }
    for (count, what) in [
        (config.monitors.len(), "monitors"),
        (config.heartbeats.len(), "heartbeats"),
        (config.scrape_configs.len(), "scrape jobs"),
        (good.rules.iter().flat_map(|(_, file)| &file.groups).map(|group| group.rules.len()).sum(), "rules"),
    ] {
        if count > 0 {
            watching.push(format!("{count} {what}"));
        }
    }
    lines.push(format!("  watches  {}", watching.join(", ")));
    let channels: Vec<&str> = config.receivers.iter().filter(|it| !it.is_empty()).map(|it| it.name.as_str()).collect();
    lines.push(if channels.is_empty() {
        "  pages    nobody yet: `receivers:` in watchbell.yml says whom".into()
    } else {
        format!("  pages    {}", channels.join(", "))
    });
    lines.push(if good.from_file {
        "  next     change the configuration and save it: it is read again by itself".into()
    } else {
        "  next     write watchbell.yml (docs/quick-start.md), see it refused or taken with `watchbell check`".into()
    });
    // Nobody may be listening to what it says, such as a supervisor that closed the pipe: that stops nothing.
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{}", lines.join("\n")).and_then(|()| out.flush()) {
        tracing::debug!(%error, "standard output is closed");
    }
    Ok(())
}

pub(super) fn log_to_standard_error(log: Option<Log>) {
    let terminal = std::io::stderr().is_terminal();
    let json = log.map_or(!terminal, |log| log == Log::Json);
    let builder = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_writer(std::io::stderr)
        .with_ansi(terminal)
        .with_target(false);
    if json { builder.json().flatten_event(true).init() } else { builder.init() }
}
