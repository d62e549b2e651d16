//! The stages put together, in the order of the data: sources, store, alarms, alerts, notify; `http` on top.
//!
//! Invariant `start_is_reload`: [`App::apply`] is the only way a configuration takes effect, at the start as at every
//! reload; a refused one never reaches it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use watchbell_alarms::{Alarms, Desired, Pictures, Runbook, certificate, heartbeat, monitor, rule};
use watchbell_alerts::Alerts;
use watchbell_http::{
    Auth, CallbacksConfig, ConfigView, Handles, HealthchecksConfig, LoadResult, QueryConfig, SinkConfig, SiteInfo,
    StatusPageConfig,
};
use watchbell_model::{
    Append, Batch, BoxFuture, Deliver, Draw, HeartbeatTerms, Labels, Observe, Query, Raise, Relabel, RunbookRef,
    Severity, Span, State, Timestamp, Upkeep,
};
use watchbell_notify::{Buttons, Notify, NotifyConfig, Site};
use watchbell_runtime::{CancellationToken, Runtime, Task};
use watchbell_sources::discovery::here::Found;
use watchbell_sources::heartbeat::Heartbeats;
use watchbell_sources::intake::Intake;
use watchbell_sources::place::Places;
use watchbell_sources::probe::MonitorConfig;
use watchbell_sources::probe::blackbox::Blackbox;
use watchbell_sources::scrape::Targets;
use watchbell_sources::{Context, host, probe};
use watchbell_store::RemoteConfig;

use crate::composites::Names;
use crate::config::{Config, Good, Loaded, render_finding, runbook_or};
use crate::forward::Forward;
use crate::sights::Sights;
use crate::{composites, deadman, standing};

/// What the stages keep things in. The series may be lost without losing a page (`store_may_die`).
pub struct Stores {
    /// Alarm states, alerts, heartbeats, the outbox, sessions.
    pub state: Arc<dyn State>,
    /// Takes samples.
    pub append: Arc<dyn Append>,
    /// Gives them back.
    pub query: Arc<dyn Query>,
    /// Keeps them in order by hand.
    pub upkeep: Arc<dyn Upkeep>,
}

/// How the configuration is read again: the binary reads files, the simulator makes it up.
pub type Reload = Arc<dyn Fn() -> BoxFuture<'static, Loaded> + Send + Sync>;

/// A running watchbell.
pub struct App {
    /// The outside world.
    pub runtime: Runtime,
    /// Judges.
    pub alarms: Arc<Alarms>,
    /// Pictures of what is wrong.
    pictures: Arc<Pictures>,
    sights: Arc<Sights>,
    /// Groups and routes.
    pub alerts: Arc<Alerts>,
    /// Tells people.
    pub notify: Arc<Notify>,
    /// Jobs' signs of life.
    pub heartbeats: Heartbeats,
    /// Sessions and sign-in links.
    pub auth: Auth,
    /// From where else monitors are probed.
    pub places: Places,
    blackbox: Blackbox,
    targets: Targets,
    forward: Arc<Forward>,
    intake: Intake,
    query: Arc<dyn Query>,
    upkeep: Arc<dyn Upkeep>,
    context: Context,
    reload: Reload,
    view: Mutex<View>,
    /// The configuration in force; held by whoever puts another one there.
    applying: tokio::sync::Mutex<Good>,
    fixed: Fixed,
    stop: CancellationToken,
}

/// What is only read at the start.
#[derive(PartialEq, Eq)]
struct Fixed {
    addresses: Vec<SocketAddr>,
    storage: std::path::PathBuf,
    remote: Option<RemoteConfig>,
    site_url: String,
    turns: usize,
}

impl Fixed {
    fn of(config: &Config) -> Fixed {
        Fixed {
            addresses: config.addresses(),
            storage: config.storage.path.clone(),
            remote: config.remote(),
            site_url: config.site_url().to_string(),
            turns: config.query.max_concurrency,
        }
    }

    /// Says of each part that differs that it takes effect at the next start only.
    fn changed(&self, new: &Fixed) -> Vec<String> {
        let parts = [
            ("listeners", self.addresses != new.addresses),
            ("storage.path", self.storage != new.storage),
            ("the remote store", self.remote != new.remote),
            ("query.max_concurrency", self.turns != new.turns),
            ("site.url, as the prefix of links to alarms,", self.site_url != new.site_url),
        ];
        let words = |name| format!("warning: {name} was changed; that takes effect when watchbell is started again");
        parts.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| words(name)).collect()
    }
}

/// What surfaces may know of the configuration in force.
struct View {
    site: SiteInfo,
    sink: SinkConfig,
    callbacks: CallbacksConfig,
    healthchecks: HealthchecksConfig,
    host_job: String,
    status_pages: Arc<[Arc<StatusPageConfig>]>,
    resolve_timeout: Span,
    query: QueryConfig,
    external_labels: Labels,
    shown: String,
    flags: BTreeMap<String, String>,
    load: LoadResult,
    started_at: Timestamp,
    found: Vec<Found>,
}

impl App {
    /// Opens every stage on what it kept, and applies the configuration. Nothing listens yet: see [`App::listen`].
    pub async fn start(
        runtime: Runtime,
        stores: Stores,
        good: &Good,
        warnings: Vec<String>,
        found: Vec<Found>,
        reload: Reload,
    ) -> Result<Arc<App>> {
        let Stores { state, append, query, upkeep } = stores;
        let notify = Notify::open(runtime.clone(), Arc::clone(&state)).context("the outbox cannot be read")?;
        let deliver = Arc::clone(&notify) as Arc<dyn Deliver>;
        let alerts = Alerts::open(runtime.clone(), Arc::clone(&state), deliver).context("the alerts cannot be read")?;
        let raise = Arc::clone(&alerts) as Arc<dyn Raise>;
        let site_url = good.config.site_url().as_str().trim_end_matches('/').to_owned();
        let alarms =
            Alarms::open(runtime.clone(), Arc::clone(&state), Arc::clone(&query), Arc::clone(&append), raise, site_url)
                .context("the alarms cannot be read")?;
        let pictures = Pictures::new(runtime.clone(), Arc::clone(&query), &alarms);
        let observe = Arc::clone(&alarms) as Arc<dyn Observe>;
        let context = Context {
            runtime: runtime.clone(),
            append,
            observe,
            state: Arc::clone(&state),
            live: probe::Live::default(),
        };
        let sights = Sights::new(context.live.clone(), Arc::clone(&pictures));
        notify.draw_with(Arc::clone(&sights) as Arc<dyn Draw>);
        let heartbeats = Heartbeats::open(context.clone(), good.config.ping_key.clone())
            .await
            .context("the heartbeats cannot be read")?;
        let auth = Auth::open(state, runtime.clock.clone(), runtime.rng.clone())
            .await
            .context("the sessions cannot be read")?;
        let now = runtime.clock.now();
        let view = View {
            site: SiteInfo::default(),
            sink: SinkConfig::default(),
            callbacks: CallbacksConfig::default(),
            healthchecks: HealthchecksConfig::default(),
            host_job: host::JOB.to_owned(),
            status_pages: Arc::from([]),
            resolve_timeout: good.config.global.resolve_timeout,
            query: good.config.query.clone(),
            external_labels: Labels::empty(),
            shown: String::new(),
            flags: BTreeMap::new(),
            load: LoadResult { loaded_at: now, refused_at: None, problems: warnings },
            started_at: now,
            found,
        };
        let app = Arc::new(App {
            places: Places::new(context.clone()),
            blackbox: Blackbox::new(runtime.clone()),
            targets: Targets::new(),
            forward: Forward::new(runtime.clone(), Arc::clone(&alerts)),
            intake: Intake::new(&runtime, Arc::clone(&context.append)),
            runtime,
            alarms,
            pictures,
            sights,
            alerts,
            notify,
            heartbeats,
            auth,
            query,
            upkeep,
            context,
            reload,
            view: Mutex::new(view),
            applying: tokio::sync::Mutex::new(good.clone()),
            fixed: Fixed::of(&good.config),
            stop: CancellationToken::new(),
        });
        app.apply(good).await?;
        Ok(app)
    }

    /// Makes this configuration the one in force. What did not change goes on untouched.
    pub async fn apply(&self, good: &Good) -> Result<()> {
        let config = &good.config;
        let monitors = self.monitors(good);
        // A heartbeat that is made meanwhile would be missing in what is judged.
        let held = self.heartbeats.hold().await;
        self.apply_decisions(good, &monitors).await?;
        self.heartbeats.set_ping_key(config.ping_key.clone()).await.context("the ping key cannot be put in force")?;
        self.heartbeats.apply(&config.heartbeats).await.context("the heartbeats cannot be put in force")?;
        self.heartbeats.set_limit(config.healthchecks.checks_max);
        drop(held);
        self.intake.set_otlp(&config.otlp);

        // A group's names are its own, so that a monitor may be called as it likes. Groups are stopped in this order.
        let supervisor = &self.runtime.supervisor;
        self.context.live.set_browsers(config.browsers.clone());
        self.context.live.set_own_network(config.own_network.clone()).await;
        supervisor.reconcile("probe", probe::tasks(&monitors, &config.egress, &self.context));
        let Config { places, egress, own_network, .. } = config;
        self.places.apply(places, &monitors, &good.elsewhere, egress, own_network);
        supervisor.reconcile("places", vec![self.places.task()]);
        let mail = config.ping_mail.as_ref().map(|mail| self.heartbeats.mail_task(mail));
        supervisor.reconcile("ping_mail", mail.into_iter().collect());
        self.blackbox.apply(&good.modules, &config.egress, &self.runtime);
        self.targets.apply(&config.scrape_configs, &self.context);
        let own = [host::task(&config.host, &self.context), self.own_metrics(config)];
        let noted = config.host.enabled || !config.status_pages.is_empty();
        let standing = noted.then(|| standing::task(&self.context, &self.alarms, &self.alerts));
        supervisor.reconcile("status", standing.into_iter().collect());
        supervisor.reconcile("host", own.into_iter().flatten().collect());
        supervisor.reconcile("alarms", self.alarms.tasks());
        supervisor.reconcile("alerts", self.alerts.tasks());
        let elsewhere = config.alerting.read.iter().filter_map(|read| read.clone().ok()).collect();
        supervisor.reconcile("alertmanagers", self.forward.tasks(elsewhere));
        self.forward.forget_troubles();
        supervisor.reconcile("notify", self.notify.tasks());

        for (kind, count) in [
            ("monitors", monitors.len()),
            ("modules", good.modules.len()),
            ("heartbeats", config.heartbeats.len()),
            ("alarms", config.alarms.len()),
            ("scrape_configs", config.scrape_configs.len()),
            ("status_pages", config.status_pages.len()),
            ("receivers", config.receivers.len()),
        ] {
            let help = "Items of the configuration in force, by kind.";
            self.runtime.metrics.gauge("watchbell_config_items", help, &[("kind", kind)]).set(count as f64);
        }
        let mut view = self.view();
        view.site = SiteInfo { name: config.site.name.clone(), url: config.site.url.clone() };
        view.sink = config.sink.clone();
        view.callbacks = config.callbacks.clone();
        view.healthchecks = config.healthchecks.clone();
        view.host_job.clone_from(&config.host.job);
        view.status_pages = config.status_pages.iter().cloned().map(Arc::new).collect();
        view.resolve_timeout = config.global.resolve_timeout;
        view.query = config.query.clone();
        view.external_labels = config.global.external_labels.clone();
        view.shown.clone_from(&good.shown);
        view.flags = flags(config);
        Ok(())
    }

    /// What decides on alarms, alerts and pages; all that is in memory alone cannot fail.
    async fn apply_decisions(&self, good: &Good, monitors: &[MonitorConfig]) -> Result<()> {
        let config = &good.config;
        // From the far end on: who tells people is ready before anything is judged anew.
        let auth = self.auth.clone();
        let site = Site {
            name: config.site.name.clone(),
            url: config.site_url(),
            sign: Some(Arc::new(move |path| auth.sign(path))),
            buttons: buttons(config),
        };
        if let Some(zone) = Pictures::zone_of(&config.site.time_zone) {
            self.pictures.set_zone(zone);
        }
        let (runbooks, templates) = (Arc::clone(&good.library), Arc::clone(&good.templates));
        let receivers = deadman::receivers(&config.receivers, &config.deadman);
        let retry_for = NotifyConfig::RETRY_FOR;
        self.notify.apply(NotifyConfig { receivers, templates, runbooks, site, retry_for });
        self.alerts.apply(&crate::default::alerts(config, &good.rules)).map_err(|problems| {
            let words: Vec<String> = problems.0.into_iter().map(|it| format!("{}: {}", it.path, it.message)).collect();
            anyhow::anyhow!("the routes cannot be put in force: {}", words.join("; "))
        })?;
        let made = self.heartbeats.made(&config.heartbeats);
        self.alarms.apply(desired(good, monitors, &made)?).await.context("the alarms cannot be put in force")
    }

    /// Configured monitors and, where wanted, those of services found on this host.
    fn monitors(&self, good: &Good) -> Vec<MonitorConfig> {
        let mut monitors = good.config.monitors.clone();
        let wanted = good.config.discovery.enabled.unwrap_or(!good.from_file);
        if wanted {
            for found in &self.view().found {
                if !monitors.iter().any(|monitor| monitor.name == found.monitor.name) {
                    monitors.push(found.monitor.clone());
                }
            }
        }
        monitors
    }

    /// Serves every surface on these addresses; gives those that it listens on (port 0 takes any).
    pub async fn listen(self: &Arc<App>, addresses: &[SocketAddr]) -> Result<Vec<SocketAddr>> {
        let handles = Handles {
            runtime: self.runtime.clone(),
            auth: self.auth.clone(),
            heartbeats: self.heartbeats.clone(),
            live: self.context.live.clone(),
            places: self.places.clone(),
            blackbox: self.blackbox.clone(),
            targets: self.targets.clone(),
            intake: self.intake.clone(),
            alarms: Arc::clone(&self.alarms),
            draw: Arc::clone(&self.sights) as Arc<dyn Draw>,
            alerts: Arc::clone(&self.alerts),
            notify: Arc::clone(&self.notify),
            query: Arc::clone(&self.query),
            append: Arc::clone(&self.context.append),
            upkeep: Arc::clone(&self.upkeep),
            state: Arc::clone(&self.context.state),
            config: Arc::clone(self) as Arc<dyn ConfigView>,
            stop: self.stop.clone(),
        };
        let router = watchbell_http::router(handles);
        let mut bound = Vec::new();
        for address in addresses {
            let listener = self
                .runtime
                .net
                .listen(*address)
                .await
                .with_context(|| format!("cannot listen on {address}; choose another with --listen"))?;
            let address = listener.local_addr();
            bound.push(address);
            let (runtime, router) = (self.runtime.clone(), router.clone());
            let first = Arc::new(Mutex::new(Some(listener)));
            let run = move |stop| {
                let (runtime, router) = (runtime.clone(), router.clone());
                let listener = first.lock().expect("no panic while held").take();
                async move {
                    // After a panic the listener is gone with it; the address is taken again.
                    let listener = match listener {
                        Some(listener) => Ok(listener),
                        None => runtime.net.listen(address).await,
                    };
                    match listener {
                        Ok(listener) => watchbell_http::serve(runtime, listener, router, stop).await,
                        Err(error) => tracing::error!(%address, %error, "cannot listen again"),
                    }
                }
            };
            self.runtime.supervisor.spawn("http", Task::new(address.to_string(), 0, run));
        }
        Ok(bound)
    }

    /// Reads the configuration again. A refused one changes nothing, and says so on every surface.
    pub async fn reload_now(&self) -> Result<(), Vec<String>> {
        let mut in_force = self.applying.lock().await;
        let loaded = (self.reload)().await;
        let mut problems: Vec<String> = loaded.findings.iter().map(render_finding).collect();
        if let Some(good) = &loaded.good {
            problems.extend(self.fixed.changed(&Fixed::of(&good.config)));
        }
        let now = self.runtime.clock.now();
        let help = "Whether the configuration was taken when it was read last: 1 or 0.";
        let taken = self.runtime.metrics.gauge("watchbell_config_reload_success", help, &[]);
        let refused = match &loaded.good {
            None => Some(problems.clone()),
            Some(good) => match self.apply(good).await {
                Ok(()) => {
                    in_force.clone_from(good);
                    None
                }
                Err(error) => {
                    let mut problems = vec![format!("{error:#}")];
                    let _held = self.heartbeats.hold().await;
                    // Some stages have taken it, but their tasks are those of the last one: pages would wait for nobody.
                    if let Err(error) = self.apply_decisions(&in_force, &self.monitors(&in_force)).await {
                        problems.push(format!("the last good one is not whole again, read it once more: {error:#}"));
                    }
                    Some(problems)
                }
            },
        };
        taken.set(if refused.is_none() { 1.0 } else { 0.0 });
        let mut view = self.view();
        match refused {
            Some(problems) => {
                view.load.refused_at = Some(now);
                view.load.problems.clone_from(&problems);
                drop(view);
                let first = problems.first().map_or("", String::as_str).lines().next().unwrap_or_default();
                let words = format!("the changed configuration is refused, the last good one goes on: {first}");
                self.runtime.troubles.set("config", Severity::Warning, words);
                Err(problems)
            }
            None => {
                view.load = LoadResult { loaded_at: now, refused_at: None, problems };
                drop(view);
                self.runtime.troubles.clear("config");
                tracing::info!("the configuration was read again and is in force");
                Ok(())
            }
        }
    }

    /// Stops in the order of the data; what is still pending is on disk.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.runtime.supervisor.stop().await;
    }

    /// Makes samples of watchbell's own numbers, as often as the host is measured and unless it is not. A dead man's
    /// switch sends on them, and wants them in any case, at once and often enough.
    fn own_metrics(&self, config: &Config) -> Option<Task> {
        let (context, host, awaited) = (self.context.clone(), &config.host, !config.deadman.is_empty());
        let interval = if awaited { host.interval.min(deadman::SAMPLE) } else { host.interval };
        let key = interval.duration().as_millis() as u64 * 2 + u64::from(awaited);
        let task = Task::new("own-metrics", key, move |stop| {
            let context = context.clone();
            async move {
                let clock = &context.runtime.clock;
                let mut wait = if awaited { Duration::ZERO } else { interval.duration() };
                // Metrics that the store was told of: they do not change, but there are ever more of them.
                let mut described = 0;
                loop {
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => return,
                        () = clock.sleep(wait) => {}
                    }
                    wait = interval.duration();
                    let mut batch: Batch = context.runtime.metrics.points(clock.now()).into();
                    let metadata = context.runtime.metrics.metadata();
                    let known = metadata.len();
                    if known > described {
                        batch.metadata = metadata.into_iter().map(|(name, it)| (name.to_owned(), it)).collect();
                    }
                    match context.append.append(batch).await {
                        Ok(_) => described = known,
                        Err(error) => tracing::debug!(%error, "own numbers are not kept"),
                    }
                }
            }
        });
        (host.enabled || awaited).then_some(task)
    }

    fn view(&self) -> std::sync::MutexGuard<'_, View> {
        self.view.lock().expect("no panic while held")
    }
}

impl ConfigView for App {
    fn site(&self) -> SiteInfo {
        self.view().site.clone()
    }

    fn last_load(&self) -> LoadResult {
        self.view().load.clone()
    }

    fn reload(&self) -> BoxFuture<'_, Result<(), Vec<String>>> {
        Box::pin(self.reload_now())
    }

    fn sink(&self) -> SinkConfig {
        self.view().sink.clone()
    }

    fn callbacks(&self) -> CallbacksConfig {
        self.view().callbacks.clone()
    }

    fn healthchecks(&self) -> HealthchecksConfig {
        self.view().healthchecks.clone()
    }

    fn status_pages(&self) -> Arc<[Arc<StatusPageConfig>]> {
        Arc::clone(&self.view().status_pages)
    }

    fn resolve_timeout(&self) -> Span {
        self.view().resolve_timeout
    }

    fn host_job(&self) -> String {
        self.view().host_job.clone()
    }

    fn query(&self) -> QueryConfig {
        self.view().query.clone()
    }

    fn external_labels(&self) -> Labels {
        self.view().external_labels.clone()
    }

    fn shown(&self) -> String {
        self.view().shown.clone()
    }

    fn flags(&self) -> BTreeMap<String, String> {
        self.view().flags.clone()
    }

    fn alertmanagers(&self) -> Vec<String> {
        self.forward.urls().iter().map(|url| url.to_string()).collect()
    }

    fn version(&self) -> &str {
        env!("CARGO_PKG_VERSION")
    }

    fn started_at(&self) -> Timestamp {
        self.view().started_at
    }
}

/// What Prometheus is told by flags, under their names.
fn flags(config: &Config) -> BTreeMap<String, String> {
    let metrics = &config.storage.metrics;
    let size = if metrics.retention_size == 0 { "0B".to_owned() } else { format!("{}B", metrics.retention_size) };
    let listen = config.listeners.iter().map(|listener| listener.address.as_str()).collect::<Vec<_>>().join(",");
    let flags = [
        ("query.lookback-delta", config.query.lookback_delta.to_string()),
        ("query.max-concurrency", config.query.max_concurrency.to_string()),
        ("query.max-samples", config.query.max_samples.to_string()),
        ("query.timeout", config.query.timeout.to_string()),
        ("storage.tsdb.path", config.storage.path.display().to_string()),
        ("storage.tsdb.retention.size", size),
        ("storage.tsdb.retention.time", metrics.retention.to_string()),
        ("web.cors.origin", config.query.cors_origin.clone()),
        ("web.enable-admin-api", "true".to_owned()),
        ("web.enable-lifecycle", "true".to_owned()),
        ("web.enable-otlp-receiver", "true".to_owned()),
        ("web.enable-remote-write-receiver", "true".to_owned()),
        ("web.external-url", config.site_url().to_string()),
        ("web.listen-address", listen),
    ];
    flags.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The alarms that a configuration asks for.
fn desired(good: &Good, monitors: &[MonitorConfig], made: &[HeartbeatTerms]) -> Result<Desired> {
    let config = &good.config;
    let site_url = config.site_url();
    let book = |reference: RunbookRef| Runbook { url: good.library.link(&reference, &site_url), reference };
    let monitors = monitors
        .iter()
        .map(|it| {
            let runbook = runbook_or(it.runbook.as_ref(), "service-down");
            // The user's own run book for certificates goes before ours.
            let ends = ["cert-expiring", "certificate-expiring"].into_iter().find(|name| good.library.contains(name));
            let ends = RunbookRef::Named(ends.unwrap_or("certificate-expiring").to_owned());
            monitor::Spec {
                name: it.name.clone(),
                kind: it.kind().to_owned(),
                target: it.target(),
                places: it.places(),
                quorum: it.quorum,
                interval: it.interval,
                retry_interval: it.time_to_retry(),
                timeout: it.probe_timeout(),
                retries: it.retries,
                severity: it.severity,
                runbook: book(runbook),
                labels: it.labels.clone(),
                description: it.description.clone().unwrap_or_default(),
                certificate: Some(certificate::Spec {
                    monitor: it.name.clone(),
                    alert_days: it.certificate.alert_days.clone(),
                    severity: it.certificate.severity,
                    runbook: book(ends),
                    labels: it.labels.clone(),
                }),
            }
        })
        .collect();
    let heartbeat_defaults =
        heartbeat::Defaults { severity: Severity::default(), runbook: book(runbook_or(None, "heartbeat-missed")) };
    let heartbeats = config
        .heartbeats
        .iter()
        .map(|it| heartbeat::Spec {
            id: it.name.clone(),
            name: it.name.clone(),
            schedule: it.schedule(),
            grace: it.grace,
            manual_resume: it.manual_resume,
            severity: it.severity,
            runbook: book(runbook_or(it.runbook.as_ref(), "heartbeat-missed")),
            labels: it.labels.clone(),
            description: it.description.clone().unwrap_or_default(),
        })
        .chain(made.iter().map(|terms| heartbeat_defaults.spec(terms)))
        .collect();
    let composites =
        composites::specs(config, &Names::of(config, &good.rules), |runbook| book(runbook_or(runbook, "service-down")));
    let defaults = rule::GroupDefaults {
        interval: config.global.evaluation_interval,
        query_offset: config.global.rule_query_offset,
    };
    let mut groups = Vec::new();
    for (file, rules) in &good.rules {
        groups.extend(rules.groups(file, defaults).with_context(|| file.clone())?);
    }
    for rule in groups.iter_mut().flat_map(|group| &mut group.rules) {
        if let Some(Ok(named)) = rule.additions.runbook.as_deref().map(str::parse::<RunbookRef>) {
            rule.annotations.insert("runbook_url".to_owned(), book(named).url);
        }
    }
    let rule_globals = rule::RuleGlobals {
        external_labels: config.global.external_labels.clone(),
        alert_relabel: Relabel::new(&config.alerting.alert_relabel_configs),
        default_step: config.global.evaluation_interval,
    };
    let own = ["config", "own-network", "page-given-up", "place", "state", "store"]
        .map(|key| (key.to_owned(), format!("self-{key}")));
    let own_runbooks = own
        .into_iter()
        .chain([(String::new(), "self".to_owned())])
        .map(|(key, name)| (key, book(RunbookRef::Named(name))))
        .collect();
    Ok(Desired { monitors, heartbeats, heartbeat_defaults, composites, groups, rule_globals, own_runbooks })
}

/// The buttons of providers' own that tell us when they are pressed.
pub(crate) fn buttons(config: &Config) -> Buttons {
    Buttons {
        slack: !config.callbacks.slack.signing_secret.is_empty(),
        telegram: !config.callbacks.telegram.secret.is_empty(),
    }
}
