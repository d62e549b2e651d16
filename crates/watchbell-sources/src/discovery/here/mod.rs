//! What listens on this host and deserves a monitor, for those who start without a configuration.
//!
//! Looks only at well-known ports and speaks to each service once, so that a monitor that is proposed is one that
//! succeeds now: a mail server that offers no STARTTLS is watched without, a port 8080 that speaks no HTTP is watched
//! for connections only.
//!
//! Bounded: [`FOUND_MAX`] services, [`TALK_MAX`] for each, [`TALKS_MAX`] at a time.

mod listening;
mod services;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use watchbell_model::Span;
use watchbell_runtime::Runtime;

use crate::probe::{MonitorConfig, run_once};
use services::{SERVICES, Service};

/// The most services that are looked at.
pub const FOUND_MAX: usize = 64;
/// How long one service is talked to.
pub const TALK_MAX: Duration = Duration::from_secs(1);
/// How many are talked to at a time.
pub const TALKS_MAX: usize = 16;

const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];

/// A service on this host, and the monitor that watches it.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// What it is: `smtp`, `imaps`, `postgresql`.
    pub service: &'static str,
    /// Where it was reached.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// Its monitor, which succeeded a moment ago; its run book is `service-down`.
    pub monitor: MonitorConfig,
}

/// Looks for services on this host, in order of their ports; `exclude_ports` are watchbell's own.
pub async fn discover(runtime: &Runtime, exclude_ports: &[u16]) -> Vec<Found> {
    let read = |table: &&str| runtime.disk.read(Path::new(table)).ok();
    let tables: Vec<String> =
        TABLES.iter().filter_map(read).map(|text| String::from_utf8_lossy(&text).into_owned()).collect();
    let ports: BTreeMap<u16, Vec<IpAddr>> = listening::reachable(&tables);
    let known = SERVICES.iter().filter(|service| !exclude_ports.contains(&service.port));
    let here = known.filter_map(|service| Some((service, ports.get(&service.port)?.clone()))).take(FOUND_MAX);
    let talks = futures_util::stream::iter(here.collect::<Vec<_>>())
        .map(|(service, addresses)| meet(runtime, service, addresses))
        .buffered(TALKS_MAX);
    talks.filter_map(std::future::ready).collect().await
}

/// Finds the best monitor that succeeds within the time; none if the port does not even take a connection.
async fn meet(runtime: &Runtime, service: &'static Service, addresses: Vec<IpAddr>) -> Option<Found> {
    let mut best: Option<(IpAddr, MonitorConfig)> = None;
    let talk = async {
        for address in addresses {
            let connects = service.connects(address);
            if !succeeds(&connects, runtime).await {
                continue;
            }
            best = Some((address, connects));
            for way in service.ways {
                let speaks = service.speaks(address, *way);
                if succeeds(&speaks, runtime).await {
                    best = Some((address, speaks));
                    break;
                }
            }
            return;
        }
    };
    // A service that takes its time is watched by what was proven until then.
    let _ = runtime.clock.timeout(TALK_MAX, talk).await;
    best.map(|(address, monitor)| Found { service: service.name, address, port: service.port, monitor })
}

async fn succeeds(monitor: &MonitorConfig, runtime: &Runtime) -> bool {
    let hurried = MonitorConfig { timeout: Some(Span(TALK_MAX)), ..monitor.clone() };
    run_once(&hurried, runtime).await.success
}
