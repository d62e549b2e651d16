//! Network interfaces.

use std::collections::BTreeMap;
use std::io;

use watchbell_model::MetricType;

use super::Round;
use super::files::{next, odd, whole};

const RECEIVED: [&str; 8] = ["bytes", "packets", "errs", "drop", "fifo", "frame", "compressed", "multicast"];
const TRANSMITTED: [&str; 8] = ["bytes", "packets", "errs", "drop", "fifo", "colls", "carrier", "compressed"];

pub(super) fn netdev(round: &mut Round<'_>) -> io::Result<()> {
    let text = round.files.proc("net/dev")?;
    for line in text.lines().skip(2) {
        let (device, rest) = line.rsplit_once(':').ok_or_else(|| odd("/proc/net/dev"))?;
        let labels = [("device", device.trim())];
        if !round.settings.netdev.passes(labels[0].1) {
            continue;
        }
        let mut words = rest.split_ascii_whitespace();
        for (direction, fields) in [("receive", RECEIVED), ("transmit", TRANSMITTED)] {
            for field in fields {
                let value = next(&mut words, "/proc/net/dev")?;
                let name = format!("node_network_{direction}_{field}_total");
                round.out.counter(&name, format_args!("{field} of the interface, {direction}."), &labels, value);
            }
        }
        let unhandled = round.files.sys_number(&format!("class/net/{}/statistics/rx_nohandler", labels[0].1));
        if let Ok(unhandled) = unhandled {
            let help = "Packets that came in on an interface which is not active.";
            round.out.counter("node_network_receive_nohandler_total", help, &labels, unhandled);
        }
    }
    Ok(())
}

/// File, metric, whether it counts, help.
const PROPERTIES: [(&str, &str, MetricType, &str); 16] = {
    use MetricType::{Counter, Gauge};
    [
        ("addr_assign_type", "address_assign_type", Gauge, "Where the address comes from."),
        ("carrier", "carrier", Gauge, "Whether there is a link."),
        ("carrier_changes", "carrier_changes_total", Counter, "How often the link came or went."),
        ("carrier_up_count", "carrier_up_changes_total", Counter, "How often the link came."),
        ("carrier_down_count", "carrier_down_changes_total", Counter, "How often the link went."),
        ("dev_id", "device_id", Gauge, "Tells interfaces of one device apart."),
        ("dormant", "dormant", Gauge, "Whether the interface waits for something."),
        ("flags", "flags", Gauge, "Flags of the interface."),
        ("ifindex", "iface_id", Gauge, "Number of the interface."),
        ("iflink", "iface_link", Gauge, "Number of the interface that it goes through."),
        ("link_mode", "iface_link_mode", Gauge, "How the link comes to be up."),
        ("mtu", "mtu_bytes", Gauge, "Longest packet."),
        ("name_assign_type", "name_assign_type", Gauge, "Where the name comes from."),
        ("netdev_group", "net_dev_group", Gauge, "Group of the interface."),
        ("tx_queue_len", "transmit_queue_length", Gauge, "How many packets may wait to be sent."),
        ("type", "protocol_type", Gauge, "Kind of the interface."),
    ]
};

pub(super) fn netclass(round: &mut Round<'_>) -> io::Result<()> {
    for device in round.files.sys_list("class/net")? {
        // Beside the interfaces there may be `bonding_masters`, a file.
        if !round.settings.netclass.passes(&device)
            || !round.files.disk.is_dir(&round.files.sys_path(&format!("class/net/{device}")))
        {
            continue;
        }
        let file = |name: &str| round.files.sys(&format!("class/net/{device}/{name}"));
        let text = |name: &str| file(name).unwrap_or_default();
        let labels = [("device", &*device)];
        let state = text("operstate");
        let help = "Whether the interface is up.";
        round.out.gauge("node_network_up", help, &labels, f64::from(u8::from(state == "up")));
        let flags = file("flags").ok().as_deref().and_then(whole);
        let admin = flags.map_or("unknown", |flags| if flags as u64 & 1 == 1 { "up" } else { "down" });
        let info = [
            labels[0],
            ("address", &*text("address")),
            ("broadcast", &*text("broadcast")),
            ("duplex", &*text("duplex")),
            ("operstate", &*state),
            ("adminstate", admin),
            ("ifalias", &*text("ifalias")),
        ];
        round.out.gauge("node_network_info", "What is known of the interface.", &info, 1.0);
        for (name, metric, kind, help) in PROPERTIES {
            // Some the kernel refuses to say while the interface is down.
            if let Some(value) = file(name).ok().as_deref().and_then(whole) {
                round.out.put(kind, &format!("node_network_{metric}"), help, &labels, value);
            }
        }
        let strict = round.settings.config.collectors.netclass.ignore_invalid_speed;
        if let Some(megabits) = file("speed").ok().as_deref().and_then(whole).filter(|it| !strict || *it >= 0.0) {
            let help = "Speed of the link in bytes a second; negative where the kernel does not know it.";
            round.out.gauge("node_network_speed_bytes", help, &labels, megabits * 1000.0 * 1000.0 / 8.0);
        }
    }
    Ok(())
}

/// Interfaces that are several: how many, and how many of them work.
pub(super) fn bonding(round: &mut Round<'_>) -> io::Result<()> {
    let masters = round.files.sys("class/net/bonding_masters")?;
    for master in masters.split_ascii_whitespace() {
        let (mut slaves, mut active) = (0.0, 0.0);
        for slave in round.files.sys(&format!("class/net/{master}/bonding/slaves"))?.split_ascii_whitespace() {
            let state = |prefix: &str| {
                round.files.sys(&format!("class/net/{master}/{prefix}_{slave}/bonding_slave/mii_status"))
            };
            // Old kernels say `slave`.
            let state = state("lower").or_else(|_| state("slave"))?;
            slaves += 1.0;
            active += f64::from(u8::from(state == "up"));
        }
        let labels = [("master", master)];
        round.out.gauge("node_bonding_slaves", "Interfaces that make up this one.", &labels, slaves);
        round.out.gauge("node_bonding_active", "Interfaces of these that work.", &labels, active);
    }
    Ok(())
}

pub(super) fn arp(round: &mut Round<'_>) -> io::Result<()> {
    let text = round.files.proc("net/arp")?;
    let mut entries: BTreeMap<&str, f64> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let device = line.split_ascii_whitespace().nth(5).ok_or_else(|| odd("/proc/net/arp"))?;
        *entries.entry(device).or_default() += 1.0;
    }
    for (device, count) in entries.into_iter().filter(|(device, _)| round.settings.arp.passes(device)) {
        round.out.gauge("node_arp_entries", "Neighbours that ARP knows.", &[("device", device)], count);
    }
    Ok(())
}
