//! Sockets, protocols, the firewall's and the load balancer's connections.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use watchbell_runtime::machine::page_size;

use super::Round;
use super::exposition::Exposition;
use super::files::{odd, whole};

fn is_missing<T>(result: &io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::NotFound)
}

pub(super) fn sockstat(round: &mut Round<'_>) -> io::Result<()> {
    for (file, is_first) in [("net/sockstat", true), ("net/sockstat6", false)] {
        let text = round.files.proc(file);
        // A protocol may be switched off.
        if is_missing(&text) {
            continue;
        }
        for line in text?.lines() {
            let (protocol, rest) = line.split_once(':').ok_or_else(|| odd(file))?;
            let words: Vec<&str> = rest.split_ascii_whitespace().collect();
            for pair in words.chunks_exact(2) {
                let (field, value) = (pair[0], whole(pair[1]).ok_or_else(|| odd(file))?);
                match (protocol, field) {
                    ("sockets", "used") if is_first => {
                        round.out.gauge("node_sockstat_sockets_used", "IPv4 sockets in use.", &[], value);
                    }
                    (_, "inuse" | "orphan" | "tw" | "alloc" | "mem" | "memory") => {
                        let help = format_args!("{field} of {protocol} sockets.");
                        round.out.gauge(&format!("node_sockstat_{protocol}_{field}"), help, &[], value);
                    }
                    _ => {}
                }
                if field == "mem" {
                    let help = format_args!("Memory of {protocol} sockets.");
                    let bytes = value * page_size() as f64;
                    round.out.gauge(&format!("node_sockstat_{protocol}_mem_bytes"), help, &[], bytes);
                }
            }
        }
    }
    Ok(())
}

pub(super) fn netstat(round: &mut Round<'_>) -> io::Result<()> {
    for file in ["net/netstat", "net/snmp"] {
        let text = round.files.proc(file)?;
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.chunks(2) {
            let [names, values] = pair else { return Err(odd(file)) };
            let (Some((protocol, names)), Some((again, values))) = (names.split_once(':'), values.split_once(':'))
            else {
                return Err(odd(file));
            };
            if protocol != again || names.split_ascii_whitespace().count() != values.split_ascii_whitespace().count() {
                return Err(odd(file));
            }
            for (name, value) in names.split_ascii_whitespace().zip(values.split_ascii_whitespace()) {
                protocol_count(protocol, name, value, round)?;
            }
        }
    }
    let six = round.files.proc("net/snmp6");
    if is_missing(&six) {
        return Ok(());
    }
    for line in six?.lines() {
        // `Ip6InOctets 1`
        let mut words = line.split_ascii_whitespace();
        if let (Some(name), Some(value)) = (words.next(), words.next())
            && let Some(at) = name.find('6')
        {
            protocol_count(&name[..=at], &name[at + 1..], value, round)?;
        }
    }
    Ok(())
}

fn protocol_count(protocol: &str, name: &str, value: &str, round: &mut Round<'_>) -> io::Result<()> {
    let key = format!("{protocol}_{name}");
    if round.settings.netstat.is_match(&key) {
        let value = whole(value).ok_or_else(|| odd("the counts of protocols"))?;
        round.out.untyped(&format!("node_netstat_{key}"), format_args!("{name} of {protocol}."), &[], value);
    }
    Ok(())
}

/// Column, metric, whether it counts, help; the columns are in hexadecimal.
const SOFTNET: [(usize, &str, &str); 7] = [
    (0, "processed_total", "Packets that the processor took in."),
    (1, "dropped_total", "Packets that found no room."),
    (2, "times_squeezed_total", "How often the processor had to stop before all was taken in."),
    (8, "cpu_collision_total", "How often it found the device locked when sending."),
    (9, "received_rps_total", "How often another processor woke it for packets."),
    (10, "flow_limit_count_total", "How often a flow reached its limit."),
    (11, "backlog_len", "Packets that wait."),
];

pub(super) fn softnet(round: &mut Round<'_>) -> io::Result<()> {
    let text = round.files.proc("net/softnet_stat")?;
    for (number, line) in text.lines().enumerate() {
        let values: Option<Vec<u64>> =
            line.split_ascii_whitespace().map(|word| u64::from_str_radix(word, 16).ok()).collect();
        let values = values.filter(|values| values.len() >= 9).ok_or_else(|| odd("/proc/net/softnet_stat"))?;
        // Only newer kernels say which processor it is.
        let cpu = if values.len() >= 13 { values[12] } else { number as u64 }.to_string();
        for (column, name, help) in SOFTNET {
            let value = match column {
                11 if values.len() < 13 => 0.0,
                _ => values.get(column).map_or(0.0, |value| *value as f64),
            };
            let name = format!("node_softnet_{name}");
            match column {
                11 => round.out.gauge(&name, help, &[("cpu", &cpu)], value),
                _ => round.out.counter(&name, help, &[("cpu", &cpu)], value),
            }
        }
    }
    Ok(())
}

/// The fourth and fifth column of `/proc/net/{tcp,udp}`: state, bytes that wait to be sent and to be read.
fn sockets(text: &str) -> io::Result<Vec<(u8, f64, f64)>> {
    let bad = || odd("a table of sockets");
    let socket = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (state, queues) = (words.get(3).ok_or_else(bad)?, words.get(4).ok_or_else(bad)?);
        let (sending, reading) = queues.split_once(':').ok_or_else(bad)?;
        let hex = |word: &str| u64::from_str_radix(word, 16).map_err(|_| bad());
        let state = u8::from_str_radix(state, 16).map_err(|_| bad())?;
        Ok((state, hex(sending)? as f64, hex(reading)? as f64))
    };
    text.lines().skip(1).map(socket).collect()
}

pub(super) fn udp_queues(round: &mut Round<'_>) -> io::Result<()> {
    let mut any = false;
    for (file, ip) in [("net/udp", "v4"), ("net/udp6", "v6")] {
        let text = round.files.proc(file);
        if is_missing(&text) {
            continue;
        }
        let (mut sending, mut reading) = (0.0, 0.0);
        for (_, more_sending, more_reading) in sockets(&text?)? {
            sending += more_sending;
            reading += more_reading;
        }
        for (queue, bytes) in [("tx", sending), ("rx", reading)] {
            let help = "Memory of UDP datagrams that wait.";
            round.out.gauge("node_udp_queues", help, &[("queue", queue), ("ip", ip)], bytes);
        }
        any = true;
    }
    if any { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// By number, from 1 on.
const TCP_STATES: [&str; 11] = [
    "established",
    "syn_sent",
    "syn_recv",
    "fin_wait1",
    "fin_wait2",
    "time_wait",
    "close",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
];

pub(super) fn tcpstat(round: &mut Round<'_>) -> io::Result<()> {
    let mut counts: BTreeMap<&str, f64> = BTreeMap::new();
    for file in ["net/tcp", "net/tcp6"] {
        let text = round.files.proc(file);
        if is_missing(&text) && file == "net/tcp6" {
            continue;
        }
        for (state, sending, reading) in sockets(&text?)? {
            let state = usize::from(state).checked_sub(1).and_then(|at| TCP_STATES.get(at)).unwrap_or(&"unknown");
            *counts.entry(state).or_default() += 1.0;
            *counts.entry("tx_queued_bytes").or_default() += sending;
            *counts.entry("rx_queued_bytes").or_default() += reading;
        }
    }
    for (state, count) in counts {
        let help = "TCP connections by state, and the bytes that wait in them.";
        round.out.gauge("node_tcp_connection_states", help, &[("state", state)], count);
    }
    Ok(())
}

/// Column of `/proc/net/stat/nf_conntrack`, help.
const CONNTRACK: [(&str, &str); 8] = [
    ("found", "Connections that were looked for and found."),
    ("invalid", "Packets that cannot be tracked."),
    ("ignore", "Packets that belong to a connection already."),
    ("insert", "Connections put into the table."),
    ("insert_failed", "Connections that could not be put into the table."),
    ("drop", "Packets that were dropped since they could not be tracked."),
    ("early_drop", "Connections that were forgotten to make room."),
    ("search_restart", "Look-ups that had to begin again."),
];

pub(super) fn conntrack(round: &mut Round<'_>) -> io::Result<()> {
    let entries = round.files.proc_number("sys/net/netfilter/nf_conntrack_count")?;
    round.out.gauge("node_nf_conntrack_entries", "Connections that are tracked.", &[], entries);
    let limit = round.files.proc_number("sys/net/netfilter/nf_conntrack_max")?;
    round.out.gauge("node_nf_conntrack_entries_limit", "How many connections can be tracked.", &[], limit);
    let text = round.files.proc("net/stat/nf_conntrack")?;
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split_ascii_whitespace().collect();
    let mut sums = [0.0; CONNTRACK.len()];
    // One line for each processor.
    for line in lines {
        let values: Vec<&str> = line.split_ascii_whitespace().collect();
        for (sum, (name, _)) in sums.iter_mut().zip(CONNTRACK) {
            let at = header.iter().position(|have| *have == name);
            let value = at.and_then(|at| u64::from_str_radix(values.get(at)?, 16).ok());
            *sum += value.ok_or_else(|| odd("/proc/net/stat/nf_conntrack"))? as f64;
        }
    }
    for (sum, (name, help)) in sums.into_iter().zip(CONNTRACK) {
        round.out.gauge(&format!("node_nf_conntrack_stat_{name}"), help, &[], sum);
    }
    Ok(())
}

const IPVS: [(&str, &str); 5] = [
    ("connections_total", "Connections that were made."),
    ("incoming_packets_total", "Packets that came in."),
    ("outgoing_packets_total", "Packets that went out."),
    ("incoming_bytes_total", "Bytes that came in."),
    ("outgoing_bytes_total", "Bytes that went out."),
];

const IPVS_LABELS: [&str; 6] = ["local_address", "local_port", "remote_address", "remote_port", "proto", "local_mark"];

pub(super) fn ipvs(round: &mut Round<'_>) -> io::Result<()> {
    let text = round.files.proc("net/ip_vs_stats")?;
    let mut words = text.lines().nth(2).unwrap_or_default().split_ascii_whitespace();
    for (name, help) in IPVS {
        let value = words.next().and_then(|word| u64::from_str_radix(word, 16).ok());
        let value = value.ok_or_else(|| odd("/proc/net/ip_vs_stats"))?;
        round.out.counter(&format!("node_ipvs_{name}"), help, &[], value as f64);
    }
    let wanted = round.settings.config.collectors.ipvs.backend_labels.as_deref();
    let wanted: Vec<&str> = wanted.map_or(IPVS_LABELS.to_vec(), |list| list.split(',').map(str::trim).collect());
    backends(&round.files.proc("net/ip_vs")?, &wanted, round.out)
}

/// A line of the virtual server, then lines `->` of the real ones behind it.
fn backends(text: &str, wanted: &[&str], out: &mut Exposition) -> io::Result<()> {
    let bad = || odd("/proc/net/ip_vs");
    let (mut protocol, mut local, mut mark) = ("", (String::new(), 0), "");
    let mut sums: BTreeMap<Vec<(&str, String)>, [f64; 3]> = BTreeMap::new();
    for line in text.lines().skip(3) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words[..] {
            [] => {}
            ["->", remote, _, weight, active, inactive] => {
                let remote = address(remote).ok_or_else(bad)?;
                let labels = [
                    local.0.clone(),
                    local.1.to_string(),
                    remote.0,
                    remote.1.to_string(),
                    protocol.to_owned(),
                    mark.to_owned(),
                ];
                let labels = IPVS_LABELS.into_iter().zip(labels).filter(|(name, _)| wanted.contains(name)).collect();
                let sum = sums.entry(labels).or_default();
                for (sum, word) in sum.iter_mut().zip([active, inactive, weight]) {
                    *sum += whole(word).ok_or_else(bad)?;
                }
            }
            ["FWM", given, ..] => (protocol, local, mark) = ("FWM", (String::new(), 0), given),
            [given, at, ..] => (protocol, local, mark) = (given, address(at).ok_or_else(bad)?, ""),
            _ => return Err(bad()),
        }
    }
    for (labels, [active, inactive, weight]) in sums {
        let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (*name, &**value)).collect();
        let help = "Connections to the real server that are active.";
        out.gauge("node_ipvs_backend_connections_active", help, &labels, active);
        let help = "Connections to the real server that are not active.";
        out.gauge("node_ipvs_backend_connections_inactive", help, &labels, inactive);
        out.gauge("node_ipvs_backend_weight", "Weight of the real server.", &labels, weight);
    }
    Ok(())
}

/// `C0A80016:0CEA`, or `[2620:…]:0050`.
fn address(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let host = match host.strip_prefix('[') {
        Some(six) => six.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?.to_string(),
        None => Ipv4Addr::from(u32::from_str_radix(host, 16).ok()?).to_string(),
    };
    Some((host, port))
}
