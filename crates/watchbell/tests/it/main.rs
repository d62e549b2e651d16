//! Acceptance: the whole of watchbell, in simulated worlds and as a real process beside real peers.
#![allow(clippy::disallowed_methods, reason = "tests of the real binary use real files, sockets, threads and time")]
#![allow(unreachable_pub, reason = "nothing is reachable in a test binary")]

mod amtool;
mod blackbox;
mod browser;
mod certificates;
mod clients;
mod composites;
mod configs;
mod deadman;
mod discovered;
mod faults;
mod foreign;
mod forwarded;
mod full;
mod heartbeat_clients;
mod heartbeats;
mod imported;
mod kill;
mod kit;
mod linked;
mod mail;
mod manual;
mod many;
mod monitors;
mod outages;
mod peers;
mod places;
mod pushed;
mod readme;
mod real;
mod reload;
mod remote;
mod rule_tests;
mod scraped;
mod seed;
mod senders;
mod servers;
mod sink;
mod sns;
mod status;
mod terminal;
mod this_host;
mod tidy;
mod visits;
mod world;
