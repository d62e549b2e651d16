//! Network interfaces, sockets, protocols.

use std::io;
use std::path::Path;

use watchbell_runtime::Disk;

use super::{Samples, number, odd, text};

const RECEIVED: [&str; 8] = ["bytes", "packets", "errs", "drop", "fifo", "frame", "compressed", "multicast"];
const TRANSMITTED: [&str; 8] = ["bytes", "packets", "errs", "drop", "fifo", "colls", "carrier", "compressed"];

pub(super) fn collect(disk: &Disk, samples: &mut Samples) {
    samples.collect("netdev", |samples| netdev(&text(disk, "/proc/net/dev")?, samples));
    samples.collect("netclass", |samples| {
        for device in disk.list(Path::new("/sys/class/net"))? {
            interface(disk, &device, samples);
        }
        Ok(())
    });
    samples.collect("sockstat", |samples| {
        sockstat(&text(disk, "/proc/net/sockstat")?, samples);
        // Absent where IPv6 is switched off, as are the counters below.
        sockstat(&text(disk, "/proc/net/sockstat6").unwrap_or_default(), samples);
        Ok(())
    });
    samples.collect("netstat", |samples| {
        netstat(&text(disk, "/proc/net/netstat")?, samples)?;
        netstat(&text(disk, "/proc/net/snmp")?, samples)?;
        snmp6(&text(disk, "/proc/net/snmp6").unwrap_or_default(), samples);
        Ok(())
    });
    // Only there while connections are tracked.
    let tracked = |name: &str| number(disk, &format!("/proc/sys/net/netfilter/nf_conntrack_{name}"));
    if let (Ok(entries), Ok(limit)) = (tracked("count"), tracked("max")) {
        samples.put("node_nf_conntrack_entries", &[], entries);
        samples.put("node_nf_conntrack_entries_limit", &[], limit);
    }
}

pub(super) fn netdev(text: &str, samples: &mut Samples) -> io::Result<()> {
    for line in text.lines().skip(2) {
        let (device, rest) = line.rsplit_once(':').ok_or_else(|| odd("/proc/net/dev"))?;
        let device = device.trim();
        let mut words = rest.split_ascii_whitespace();
        for (direction, fields) in [("receive", RECEIVED), ("transmit", TRANSMITTED)] {
            for field in fields {
                let value = words.next().and_then(|word| word.parse().ok()).ok_or_else(|| odd("/proc/net/dev"))?;
                samples.put(&format!("node_network_{direction}_{field}_total"), &[("device", device)], value);
            }
        }
    }
    Ok(())
}

fn interface(disk: &Disk, device: &str, samples: &mut Samples) {
    let file = |name: &str| format!("/sys/class/net/{device}/{name}");
    let labels = [("device", device)];
    if let Ok(state) = text(disk, &file("operstate")) {
        samples.put("node_network_up", &labels, f64::from(u8::from(state.trim() == "up")));
    }
    // The kernel refuses to say the carrier of an interface that is down, and the speed of one that has none.
    if let Ok(carrier) = number(disk, &file("carrier")) {
        samples.put("node_network_carrier", &labels, carrier);
    }
    if let Ok(mtu) = number(disk, &file("mtu")) {
        samples.put("node_network_mtu_bytes", &labels, mtu);
    }
    if let Some(megabits) = number(disk, &file("speed")).ok().filter(|speed| *speed >= 0.0) {
        samples.put("node_network_speed_bytes", &labels, megabits * 1e6 / 8.0);
    }
}

/// `TCP: inuse 1 orphan 0` becomes `node_sockstat_TCP_inuse` and so on.
pub(super) fn sockstat(text: &str, samples: &mut Samples) {
    for line in text.lines() {
        let Some((protocol, rest)) = line.split_once(':') else { continue };
        let words: Vec<&str> = rest.split_ascii_whitespace().collect();
        for pair in words.chunks_exact(2) {
            if let Ok(value) = pair[1].parse() {
                samples.put(&format!("node_sockstat_{protocol}_{}", pair[0]), &[], value);
            }
        }
    }
}

/// A line of names and a line of values for each protocol, in `/proc/net/{netstat,snmp}`.
pub(super) fn netstat(text: &str, samples: &mut Samples) -> io::Result<()> {
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.chunks_exact(2) {
        let (Some((protocol, names)), Some((again, values))) = (pair[0].split_once(':'), pair[1].split_once(':'))
        else {
            return Err(odd("/proc/net/netstat"));
        };
        if protocol != again {
            return Err(odd("/proc/net/netstat"));
        }
        for (name, value) in names.split_ascii_whitespace().zip(values.split_ascii_whitespace()) {
            protocol_count(protocol, name, value, samples);
        }
    }
    Ok(())
}

/// `Ip6InOctets 1`, in `/proc/net/snmp6`.
pub(super) fn snmp6(text: &str, samples: &mut Samples) {
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        if let (Some(name), Some(value)) = (words.next(), words.next())
            && let Some(at) = name.find('6')
        {
            protocol_count(&name[..=at], &name[at + 1..], value, samples);
        }
    }
}

fn protocol_count(protocol: &str, name: &str, value: &str, samples: &mut Samples) {
    if let (true, Ok(value)) = (is_wanted(protocol, name), value.parse()) {
        samples.put(&format!("node_netstat_{protocol}_{name}"), &[], value);
    }
}

/// The counters that node_exporter takes by default.
fn is_wanted(protocol: &str, name: &str) -> bool {
    match (protocol, name) {
        (_, "InErrors" | "InErrs") | ("Ip", "Forwarding") => true,
        ("Ip6" | "IpExt", name) => matches!(name, "InOctets" | "OutOctets"),
        ("Icmp" | "Icmp6", name) => matches!(name, "InMsgs" | "OutMsgs"),
        ("TcpExt", name) => {
            name.starts_with("Listen")
                || name.starts_with("Syncookies")
                || matches!(name, "TCPSynRetrans" | "TCPTimeouts" | "TCPOFOQueue" | "TCPRcvQDrop")
        }
        ("Tcp", name) => matches!(
            name,
            "ActiveOpens" | "InSegs" | "OutSegs" | "OutRsts" | "PassiveOpens" | "RetransSegs" | "CurrEstab"
        ),
        ("Udp" | "Udp6", name) => {
            matches!(name, "InDatagrams" | "OutDatagrams" | "NoPorts" | "RcvbufErrors" | "SndbufErrors")
        }
        _ => false,
    }
}
