//! This host's own numbers, under the names, labels and meanings of Prometheus' node_exporter (1.12), and its
//! containers' under those of cAdvisor, so that their rules and dashboards work with neither installed.
//!
//! A collection is written as a target would answer a scrape and goes on as one: series that the store knows by
//! reference, metadata once, ends marked. Each collector is one function and one line of [`COLLECTORS`]. Left out of
//! what node_exporter has on by default: bcachefs, whose kernel module is no part of Linux any more.
//!
//! Always: a file that is missing or odd costs its own collector's metrics only, and shows as
//! `node_scrape_collector_success` 0; a file system that hangs holds up nothing but its own metrics.

mod block;
mod btrfs;
mod config;
mod containers;
mod cpu;
mod exposition;
mod fabric;
mod files;
mod filesystem;
mod filter;
mod hardware;
mod hwmon;
mod kernel;
mod memory;
mod network;
mod nfs;
mod protocols;
mod system;
#[cfg(test)]
mod tests;
mod textfile;
mod xfs;
mod zfs;

use std::io;
use std::sync::{Arc, Mutex};

use watchbell_model::{Labels, Timestamp};
use watchbell_runtime::machine::Rooms;
use watchbell_runtime::process::hostname;
use watchbell_runtime::{CancellationToken, Clock, Runtime, Task};

use crate::Context;
use crate::scrape::rules::Rules;
use crate::scrape::series::{Alive, Outgoing};
use config::Settings;
use exposition::Exposition;
use files::Files;
use watchbell_wire::prometheus::Format;

pub use config::HostConfig;

/// The label `job` of all of them, unless the configuration says otherwise.
pub const JOB: &str = "host";
/// The node_exporter whose metrics these are.
const FOLLOWS: &str = "1.12.1";

/// What one collector is.
struct Collector {
    name: &'static str,
    by_default: bool,
    switch: fn(&config::CollectorsConfig) -> Option<bool>,
    collect: fn(&mut Round<'_>) -> io::Result<()>,
}

macro_rules! collectors {
    ($($name:ident: $by_default:literal, $collect:path;)*) => {
        &[$(Collector {
            name: stringify!($name),
            by_default: $by_default,
            switch: |config| config.$name.enabled,
            collect: $collect,
        },)*]
    };
}

/// All of them, in order of names.
const COLLECTORS: &[Collector] = collectors! {
    arp: true, network::arp;
    bcache: true, block::bcache;
    bonding: true, network::bonding;
    btrfs: true, btrfs::collect;
    buddyinfo: false, memory::buddyinfo;
    cgroups: false, system::cgroups;
    conntrack: true, protocols::conntrack;
    cpu: true, cpu::collect;
    cpufreq: true, cpu::frequencies;
    diskstats: true, block::diskstats;
    dmi: true, hardware::dmi;
    dmmultipath: true, block::multipath;
    edac: true, memory::edac;
    entropy: true, system::entropy;
    fibrechannel: true, fabric::fibrechannel;
    filefd: true, system::filefd;
    filesystem: true, filesystem::collect;
    hwmon: true, hwmon::collect;
    infiniband: true, fabric::infiniband;
    interrupts: false, kernel::interrupts;
    ipvs: true, protocols::ipvs;
    kernel_hung: true, kernel::hung;
    ksmd: false, memory::ksmd;
    loadavg: true, kernel::loadavg;
    mdadm: true, block::mdadm;
    meminfo: true, memory::meminfo;
    netclass: true, network::netclass;
    netdev: true, network::netdev;
    netstat: true, protocols::netstat;
    nfs: true, nfs::client;
    nfsd: true, nfs::server;
    nvme: true, block::nvme;
    os: true, system::os;
    powersupplyclass: true, hardware::power_supplies;
    pressure: true, kernel::pressure;
    processes: false, system::processes;
    rapl: true, hardware::rapl;
    schedstat: true, kernel::schedstat;
    selinux: true, system::selinux;
    slabinfo: false, memory::slabinfo;
    sockstat: true, protocols::sockstat;
    softirqs: false, kernel::softirqs;
    softnet: true, protocols::softnet;
    stat: true, kernel::stat;
    swap: false, memory::swap;
    sysctl: false, system::sysctl;
    tapestats: true, block::tapes;
    tcpstat: false, protocols::tcpstat;
    textfile: true, textfile::collect;
    thermal_zone: true, hardware::thermal;
    time: true, system::time;
    timex: true, system::timex;
    udp_queues: true, protocols::udp_queues;
    uname: true, system::uname;
    vmstat: true, memory::vmstat;
    watchdog: true, hardware::watchdogs;
    xfs: true, xfs::collect;
    zfs: true, zfs::collect;
    zoneinfo: false, memory::zoneinfo;
};

/// What a collector has to do with.
struct Round<'a> {
    files: &'a Files,
    settings: &'a Settings,
    out: &'a mut Exposition,
    cpu: &'a mut cpu::History,
    rooms: &'a mut Rooms,
    runtime: &'a Runtime,
    now: Timestamp,
}

/// What is remembered from one collection to the next.
struct Host {
    settings: Settings,
    files: Files,
    runtime: Runtime,
    out: Exposition,
    cpu: cpu::History,
    rooms: Rooms,
    containers: containers::Containers,
}

impl Host {
    fn new(settings: Settings, runtime: &Runtime) -> Host {
        let files = Files { disk: runtime.disk.clone(), paths: settings.config.paths.clone() };
        Host {
            settings,
            files,
            runtime: runtime.clone(),
            out: Exposition::default(),
            cpu: cpu::History::default(),
            rooms: Rooms::new(runtime.machine.clone()),
            containers: containers::Containers::default(),
        }
    }

    /// All numbers at `now`, as [`Exposition::body`] has them afterwards. Blocks.
    fn measure(&mut self, now: Timestamp) {
        self.out.begin();
        let clock = self.runtime.clock.clone();
        for collector in COLLECTORS {
            if !self.settings.config.is_on(collector.name) {
                continue;
            }
            let begun = clock.monotonic();
            let result = (collector.collect)(&mut Round {
                files: &self.files,
                settings: &self.settings,
                out: &mut self.out,
                cpu: &mut self.cpu,
                rooms: &mut self.rooms,
                runtime: &self.runtime,
                now,
            });
            self.outcome(collector.name, result, &clock, begun);
        }
        if self.settings.config.containers.enabled {
            let begun = clock.monotonic();
            let result = self.containers.collect(&self.files, &self.settings, &mut self.out, now);
            self.outcome("containers", result, &clock, begun);
        }
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let labels = [("branch", "watchbell"), ("goarch", arch), ("goos", std::env::consts::OS), ("version", FOLLOWS)];
        let help = "Always 1. The version is that of the node_exporter whose metrics these are.";
        self.out.gauge("node_exporter_build_info", help, &labels, 1.0);
    }

    fn outcome(&mut self, name: &str, result: io::Result<()>, clock: &Clock, begun: std::time::Duration) {
        if let Err(error) = &result {
            tracing::debug!(collector = name, "nothing is collected: {error}");
        }
        let labels = [("collector", name)];
        let took = clock.monotonic().saturating_sub(begun).as_secs_f64();
        self.out.gauge("node_scrape_collector_duration_seconds", "How long the collector took.", &labels, took);
        let success = f64::from(u8::from(result.is_ok()));
        self.out.gauge("node_scrape_collector_success", "Whether the collector found its files.", &labels, success);
    }
}

/// The work: measures at once, then at whole multiples of the interval. Nothing, if it is not enabled.
pub fn task(config: &HostConfig, context: &Context) -> Option<Task> {
    if !config.enabled {
        return None;
    }
    let (config, context) = (config.clone(), context.clone());
    let key = Labels::from_pairs([("config", format!("{config:?}"))]).fingerprint();
    Some(Task::new("host", key, move |stop| {
        let measuring = Measuring::new(&config, &context);
        measuring.run(stop)
    }))
}

/// Measures and hands on.
struct Measuring {
    context: Context,
    interval: std::time::Duration,
    /// Away while it measures on another thread.
    host: Arc<Mutex<Host>>,
    alive: Alive,
}

impl Measuring {
    fn new(config: &HostConfig, context: &Context) -> Measuring {
        let instance = hostname(&context.runtime.disk);
        let target = Labels::from_pairs([("job", config.job.as_str()), ("instance", &instance)]);
        Measuring {
            host: Arc::new(Mutex::new(Host::new(Settings::of(config), &context.runtime))),
            context: context.clone(),
            interval: config.interval.duration(),
            alive: Alive::new("host".into(), target, Rules::own()),
        }
    }

    async fn run(mut self, stop: CancellationToken) {
        let clock = self.context.runtime.clock.clone();
        let mut at = clock.now();
        loop {
            self.once(at).await;
            at = next_slot(self.interval, clock.now());
            // Bounded by the interval, so that a wall clock that is set back does not stop the measuring.
            let wait = clock.timeout(self.interval, clock.sleep_until(at));
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                reached = wait => if reached.is_err() { at = clock.now() },
            }
        }
    }

    async fn once(&mut self, at: Timestamp) {
        let runtime = self.context.runtime.clone();
        let begun = runtime.clock.monotonic();
        let host = Arc::clone(&self.host);
        runtime.disk.blocking(move || host.lock().expect("no panic while held").measure(at)).await;
        let took = runtime.clock.monotonic().saturating_sub(begun);
        let (mut scraped, left_out) = {
            let host = self.host.lock().expect("no panic while held");
            (self.alive.read(host.out.body().as_bytes(), Format::Text, at), host.out.left_out())
        };
        self.dropped(left_out);
        if let Some(error) = &scraped.error {
            // A bug of ours: told loudly, and the series end as if the target were down.
            tracing::error!("what was measured of this host cannot be read: {error}");
        }
        let up = f64::from(u8::from(scraped.error.is_none()));
        let values = [up, took.as_secs_f64(), scraped.samples as f64, scraped.left as f64, scraped.added as f64];
        self.alive.report(&mut scraped.outgoing, at, &values);
        self.append(scraped.outgoing).await;
    }

    async fn append(&mut self, mut outgoing: Outgoing) {
        let Some(appended) = self.hand_over(&mut outgoing).await else { return };
        if let Some(mut again) = self.alive.learn(&outgoing, &appended)
            && let Some(appended) = self.hand_over(&mut again).await
        {
            self.alive.learn(&again, &appended);
            self.dropped(appended.unknown);
        }
    }

    async fn hand_over(&mut self, outgoing: &mut Outgoing) -> Option<watchbell_model::Appended> {
        let count = outgoing.len() as u64;
        match self.context.append.append(outgoing.hand_over()).await {
            Ok(appended) => {
                self.dropped(appended.refused().saturating_sub(appended.unknown));
                Some(appended)
            }
            Err(error) => {
                self.alive.lost();
                self.dropped(count);
                tracing::warn!("samples of this host are lost: {error}");
                None
            }
        }
    }

    fn dropped(&self, count: u64) {
        let help = "Samples of this host that were not kept: too many series, or refused by the store.";
        self.context.runtime.metrics.counter("watchbell_host_samples_dropped_total", help, &[]).add(count);
    }
}

fn next_slot(interval: std::time::Duration, now: Timestamp) -> Timestamp {
    let step = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
    Timestamp((now.0.div_euclid(step) + 1) * step)
}
