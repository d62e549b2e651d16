//! `/probe` of blackbox_exporter: probes a target that is asked for, by a module of the configuration, and answers with
//! metrics under blackbox_exporter's names. A Prometheus with blackbox jobs asks here without a change.
//!
//! What is probed is one address, as there: there is no second try at another one of the same name. The verdicts are
//! blackbox_exporter's; what watchbell cannot probe gets no verdict but a refusal ([`Refused::Unspoken`]).

mod address;
mod config;
mod dns;
mod grpc;
mod http;
mod icmp;
mod pattern;
mod record;
mod talk;
#[cfg(test)]
mod tests;
mod websocket;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use watchbell_model::{Span, TlsConfig};
use watchbell_runtime::tls::{self, TlsOptions, TlsReport};
use watchbell_runtime::{HttpClient, Runtime, Stream};

use super::attempt::{Attempt, Failure};
use super::config::MonitorConfig;
use super::egress::EgressConfig;
use super::live::Live;
use record::Record;

pub use config::{
    DnsModule, ExpectLabel, GrpcModule, HeaderMatch, HttpModule, IcmpModule, ModuleConfig, QueryResponse, RecordRules,
    TcpModule, UnixModule, WebsocketClient, WebsocketModule,
};
pub use pattern::Pattern;

/// How many probes may be under way; who asks for more is told to come again.
pub const BLACKBOX_UNDER_WAY_MAX: usize = 2000;
/// The module that is taken where none is named.
const MODULE_DEFAULT: &str = "http_2xx";
/// How long a probe may take where neither the module nor the asker says.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(120);
/// So much earlier than the asker gives up there must be an answer.
const TIMEOUT_OFFSET: Duration = Duration::from_millis(500);

/// Probes what is asked for. Cheap to clone.
#[derive(Clone)]
pub struct Blackbox(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    room: Semaphore,
}

struct State {
    /// The world as probes may see it.
    runtime: Runtime,
    modules: BTreeMap<String, Arc<Module>>,
}

/// A module in force.
struct Module {
    config: ModuleConfig,
    /// As text, without its secrets.
    shown: String,
    /// Keeps the token of OAuth 2.0.
    client: HttpClient,
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Which module; `http_2xx` if empty.
    pub module: String,
    /// What to probe.
    pub target: String,
    /// What the host is called, in place of its name in the target.
    pub hostname: String,
    /// How long the asker waits, in seconds; 0 or less if it does not say.
    pub timeout_seconds: f64,
}

/// What a probe found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Whether the target did what the module asks for.
    pub success: bool,
    /// The metrics, in Prometheus' text format.
    pub metrics: String,
    /// A log of how it went.
    pub log: String,
    /// The module as text, without its secrets.
    pub module: String,
}

/// Why nothing was probed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such module.
    #[error("Unknown module {0:?}")]
    Module(String),
    /// Nothing says what to probe.
    #[error("Target parameter is missing")]
    Target,
    /// The host has two names.
    #[error("host header defined both in module configuration and with URL-parameter 'hostname' ({0})")]
    Hostname(String),
    /// The module asks for what watchbell does not have.
    #[error("module {module:?} cannot be probed by watchbell: {reason}; ask a blackbox_exporter")]
    Unspoken {
        /// Which.
        module: String,
        /// What is missing.
        reason: &'static str,
    },
    /// Too many are asking.
    #[error("{BLACKBOX_UNDER_WAY_MAX} probes are under way; ask again later")]
    Busy,
}

impl Blackbox {
    /// One that knows no module yet.
    pub fn new(runtime: Runtime) -> Blackbox {
        let state = State { runtime, modules: BTreeMap::new() };
        Blackbox(Arc::new(Shared { state: Mutex::new(state), room: Semaphore::new(BLACKBOX_UNDER_WAY_MAX) }))
    }

    /// These modules are in force from now on, each with itself as text; probes may go where `egress` lets them.
    pub fn apply(&self, modules: &BTreeMap<String, (ModuleConfig, String)>, egress: &EgressConfig, runtime: &Runtime) {
        let module = |(name, (config, shown)): (&String, &(ModuleConfig, String))| {
            let mut client = config.http.http_client();
            client.follow_redirects = config.http.follows();
            let client = HttpClient::new(client);
            (name.clone(), Arc::new(Module { config: config.clone(), shown: shown.clone(), client }))
        };
        let modules = modules.iter().map(module).collect();
        *self.state() = State { runtime: egress.guard(runtime), modules };
    }

    /// The modules as a `blackbox.yml`, without their secrets.
    pub fn shown(&self) -> String {
        let state = self.state();
        let indented = |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
        let modules = state.modules.iter().map(|(name, module)| format!("  {name}:\n{}", indented(&module.shown)));
        format!("modules:\n{}", modules.collect::<String>())
    }

    /// Probes once, now.
    pub async fn ask(&self, question: &Question) -> Result<Found, Refused> {
        let name = if question.module.is_empty() { MODULE_DEFAULT } else { &question.module };
        let (runtime, module) = {
            let state = self.state();
            (state.runtime.clone(), state.modules.get(name).cloned())
        };
        let Some(module) = module else { return Err(Refused::Module(name.to_owned())) };
        if question.target.is_empty() {
            return Err(Refused::Target);
        }
        let host = module.config.http.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
        if module.config.prober == "http"
            && !question.hostname.is_empty()
            && host.is_some_and(|(_, host)| host.expose() != question.hostname)
        {
            return Err(Refused::Hostname(question.hostname.clone()));
        }
        if let Some(reason) = module.config.unspoken() {
            return Err(Refused::Unspoken { module: name.to_owned(), reason });
        }
        let Ok(_room) = self.0.room.try_acquire() else { return Err(Refused::Busy) };
        Ok(probe(name, &module, question, &runtime).await)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().expect("no panic while held")
    }
}

/// How long a probe may take: as long as the module says, but ending before the asker gives up.
fn time_for(module: &ModuleConfig, asked: f64) -> Duration {
    let asked = Duration::try_from_secs_f64(asked).ok().filter(|asked| !asked.is_zero()).unwrap_or(TIMEOUT_DEFAULT);
    let own = module.timeout.map(Span::duration).filter(|own| !own.is_zero());
    match (own, asked.checked_sub(TIMEOUT_OFFSET)) {
        (Some(own), Some(asked)) => own.min(asked),
        (Some(own), None) => own,
        (None, asked) => asked.unwrap_or_default(),
    }
}

async fn probe(name: &str, module: &Module, question: &Question, runtime: &Runtime) -> Found {
    let timeout = time_for(&module.config, question.timeout_seconds);
    let mut record = Record::new(runtime.clock.clone(), name, &question.target);
    record.debug(
        "Beginning probe",
        &[("probe", &module.config.prober), ("timeout_seconds", &timeout.as_secs_f64().to_string())],
    );
    let monitor = MonitorConfig { timeout: Some(Span(timeout)), ..MonitorConfig::new(name) };
    let live = Live::default();
    let mut runtime = runtime.clone();
    let mut done = from_source(&module.config, &mut runtime);
    let mut attempt = Attempt::begin(&monitor, &runtime, &live);
    if done.is_ok() {
        let mut probe = Probe { module, question, attempt: &mut attempt, record: &mut record };
        done = match module.config.prober.as_str() {
            "http" => http::probe(&mut probe).await,
            "tcp" => talk::probe_tcp(&mut probe).await,
            "unix" => talk::probe_unix(&mut probe).await,
            "dns" => dns::probe(&mut probe).await,
            "icmp" => icmp::probe(&mut probe).await,
            "grpc" => grpc::probe(&mut probe).await,
            _ => websocket::probe(&mut probe).await,
        };
    }
    let took = attempt.duration().as_secs_f64();
    record.set("probe_success", if done.is_ok() { 1.0 } else { 0.0 });
    record.set("probe_duration_seconds", took);
    record.set("probe_timeout_seconds", timeout.as_secs_f64());
    let took = took.to_string();
    match &done {
        Ok(()) => record.debug("Probe succeeded", &[("duration_seconds", &took)]),
        Err(Failure(reason)) => record.error("Probe failed", &[("err", reason), ("duration_seconds", &took)]),
    }
    Found { success: done.is_ok(), metrics: record.text(), log: record.lines(), module: module.shown.clone() }
}

/// The network from the address that the module names.
fn from_source(module: &ModuleConfig, runtime: &mut Runtime) -> Result<(), Failure> {
    let source = match module.prober.as_str() {
        "tcp" => &module.tcp.source_ip_address,
        "icmp" => &module.icmp.source_ip_address,
        "dns" => module.dns.as_ref().map_or("", |dns| &dns.source_ip_address),
        _ => "",
    };
    if !source.is_empty() {
        let source = source.parse().map_err(|_| Failure(format!("`{source}` is not an address of this host")))?;
        runtime.net = runtime.net.from_source(source);
    }
    Ok(())
}

/// A probe under way.
struct Probe<'a, 'r> {
    module: &'a Module,
    question: &'a Question,
    attempt: &'a mut Attempt<'r>,
    record: &'a mut Record,
}

impl Probe<'_, '_> {
    /// Makes a connection secret, and tells what was shown.
    async fn secure(&mut self, stream: Stream, config: &TlsConfig, host: &str) -> Result<(Stream, TlsReport), Failure> {
        let options = TlsOptions::of(config, &self.attempt.runtime.disk).map_err(Failure)?;
        let name = options.server_name.as_deref().unwrap_or(host);
        let handshake = tls::connect(self.attempt.runtime, stream, name, &options);
        let done = self.attempt.within("the TLS handshake", handshake).await?;
        let (stream, report) = done.map_err(|error| Failure(error.to_string()))?;
        if config.insecure_skip_verify {
            // Where nothing is verified, no chain is known.
            return Ok((stream, TlsReport { chain_ends: None, ..report }));
        }
        match &report.verified {
            Err(reason) => Err(Failure(reason.clone())),
            Ok(()) => Ok((stream, report)),
        }
    }
}

/// A target's host and its port, if it has one.
fn host_and_port_of(target: &str) -> Option<(&str, u16)> {
    let (host, port) = target.rsplit_once(':')?;
    let port = port.parse().ok()?;
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(bracketed) => Some((bracketed, port)),
        None if host.contains(':') => None,
        None => Some((host, port)),
    }
}
