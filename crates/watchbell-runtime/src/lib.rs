//! The outside world: clock, network, disk, randomness, tasks, and watchbell's own numbers.
//!
//! Invariant `one_door_to_the_os`: no other crate reads a clock, sleeps, spawns, draws random numbers or opens sockets
//! and files (`clippy.toml` closes the other doors; SQLite, which opens its own file, is the one exception). Each door
//! has a simulated twin, so that the same code runs live and in `sim`.

mod addresses;
pub mod aws;
pub mod client;
pub mod clock;
pub mod disk;
mod egress;
pub mod fault;
pub mod http;
pub mod job;
pub mod machine;
pub mod metrics;
pub mod net;
pub mod process;
mod proxy;
pub mod rng;
pub mod sim;
pub mod supervisor;
pub mod thread;
pub mod tls;
pub mod troubles;

pub use addresses::Addresses;
pub use client::HttpClient;
pub use clock::{Clock, Elapsed};
pub use disk::{Disk, DiskFile};
pub use egress::{Egress, Range, is_private};
pub use machine::Machine;
pub use metrics::Metrics;
pub use net::{Connection, Datagrams, Listener, Net, NetError, Stream};
pub use rng::Rng;
pub use supervisor::{Supervisor, Task, TaskStatus};
pub use tokio_util::sync::CancellationToken;
pub use troubles::{Trouble, Troubles};

/// Everything a part may ask of the world. Cheap to clone; handed down from `main`.
#[derive(Clone)]
pub struct Runtime {
    /// The time, and waiting for it.
    pub clock: Clock,
    /// Names, connections, listeners.
    pub net: Net,
    /// Files.
    pub disk: Disk,
    /// What the kernel says by system calls.
    pub machine: Machine,
    /// Environment variables.
    pub environment: process::Environment,
    /// Programs.
    pub processes: process::Processes,
    /// Random numbers.
    pub rng: Rng,
    /// Tasks with names and owners.
    pub supervisor: Supervisor,
    /// watchbell's own numbers.
    pub metrics: Metrics,
    /// What is wrong with watchbell itself.
    pub troubles: Troubles,
}

impl Runtime {
    /// The real world.
    pub fn os() -> Runtime {
        let clock = Clock::os();
        let rng = Rng::os();
        let metrics = Metrics::new();
        let troubles = Troubles::new(clock.clone());
        let supervisor = Supervisor::new(clock.clone(), rng.clone(), metrics.clone(), troubles.clone());
        Runtime {
            net: Net::os(clock.clone()),
            disk: Disk::Os,
            machine: Machine::Os,
            environment: process::Environment::Os,
            processes: process::Processes::Os,
            clock,
            rng,
            supervisor,
            metrics,
            troubles,
        }
    }
}
