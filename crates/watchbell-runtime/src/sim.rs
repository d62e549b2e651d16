//! The simulated world: one thread, paused time, one seed.
//!
//! The same code runs here as live. The same seed gives the same order of events, as long as every `select!` is
//! `biased` (tokio draws the order of the others from a seed of its own) and nothing iterates over a hash map.

mod disk;
mod net;

pub use disk::{SimDisk, Syncs};
pub(crate) use net::SimDatagrams;
pub use net::SimNet;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use watchbell_model::Timestamp;

use crate::machine::{Machine, SimMachine};
use crate::process::{Environment, Processes, SimProcesses};
use crate::{Clock, Disk, Metrics, Net, Rng, Runtime, Supervisor, Troubles};

/// Where simulated time begins: a Monday.
pub const EPOCH: &str = "2026-01-05T00:00:00Z";

/// A world: what outlives a crash of watchbell in it.
#[derive(Clone)]
pub struct World {
    /// The time.
    pub clock: Clock,
    /// Other hosts.
    pub net: Arc<SimNet>,
    /// The disk.
    pub disk: Arc<SimDisk>,
    /// Answers of system calls.
    pub machine: Arc<SimMachine>,
    /// Programs.
    pub programs: Arc<SimProcesses>,
    /// Chance.
    pub rng: Rng,
    /// Environment variables of processes that start from now on.
    pub environment: BTreeMap<String, String>,
}

impl World {
    /// A process in this world: what it may ask of it. After a crash, ask for another one.
    pub fn runtime(&self) -> Runtime {
        let metrics = Metrics::new();
        let troubles = Troubles::new(self.clock.clone());
        Runtime {
            clock: self.clock.clone(),
            net: Net::sim(self.clock.clone(), Arc::clone(&self.net)),
            disk: Disk::Sim(Arc::clone(&self.disk)),
            machine: Machine::Sim(Arc::clone(&self.machine)),
            environment: Environment::Sim(Arc::new(self.environment.clone())),
            processes: Processes::Sim(Arc::clone(&self.programs)),
            rng: self.rng.clone(),
            supervisor: Supervisor::new(self.clock.clone(), self.rng.clone(), metrics.clone(), troubles.clone()),
            metrics,
            troubles,
        }
    }
}

/// Runs a scenario in a new world on this thread. Time passes only while everything waits.
pub fn run<F: Future>(seed: u64, scenario: impl FnOnce(World) -> F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without IO can always be made");
    runtime.block_on(async {
        let clock = Clock::sim(Timestamp::parse_rfc3339(EPOCH).expect("it is a time"));
        let rng = Rng::seeded(seed);
        let net = Arc::new(SimNet::new(clock.clone()));
        let disk = Arc::new(SimDisk::new(rng.clone()));
        let machine = Arc::default();
        scenario(World { clock, net, disk, machine, programs: Arc::default(), rng, environment: BTreeMap::new() }).await
    })
}
