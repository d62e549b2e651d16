//! Networks of storage and of clusters: Fibre Channel and InfiniBand.

use std::io;

use super::Round;
use super::exposition::Exposition;
use super::files::{by_number, odd, whole};

/// File below `statistics`, metric, help; in hexadecimal.
const FIBRECHANNEL: [(&str, &str, &str); 14] = [
    ("dumped_frames", "dumped_frames_total", "Frames that were thrown away."),
    ("error_frames", "error_frames_total", "Frames with errors."),
    ("invalid_crc_count", "invalid_crc_total", "Frames with a wrong checksum."),
    ("rx_frames", "rx_frames_total", "Frames that came in."),
    ("rx_words", "rx_words_total", "Words that came in."),
    ("tx_frames", "tx_frames_total", "Frames that went out."),
    ("tx_words", "tx_words_total", "Words that went out."),
    ("seconds_since_last_reset", "seconds_since_last_reset_total", "Seconds since the port was reset."),
    ("invalid_tx_word_count", "invalid_tx_words_total", "Words that went out and were not valid."),
    ("link_failure_count", "link_failure_total", "How often the link failed."),
    ("loss_of_sync_count", "loss_of_sync_total", "How often the step was lost."),
    ("loss_of_signal_count", "loss_of_signal_total", "How often the signal was lost."),
    ("nos_count", "nos_total", "How often the other side said that it does not work."),
    ("fcp_packet_aborts", "fcp_packet_aborts_total", "Packets that were given up."),
];

pub(super) fn fibrechannel(round: &mut Round<'_>) -> io::Result<()> {
    let mut hosts = round.files.sys_list("class/fc_host")?;
    by_number(&mut hosts);
    for host in hosts {
        let file = |name: &str| round.files.sys(&format!("class/fc_host/{host}/{name}"));
        let text = |name: &str| file(name).unwrap_or_default();
        let plain = |name: &str| text(name).trim_start_matches("0x").to_owned();
        let labels = [
            ("fc_host", &*host),
            ("speed", &*text("speed")),
            ("port_state", &*text("port_state")),
            ("port_type", &*text("port_type")),
            ("port_id", &*plain("port_id")),
            ("port_name", &*plain("port_name")),
            ("fabric_name", &*plain("fabric_name")),
            ("symbolic_name", &*text("symbolic_name")),
            ("supported_classes", &*text("supported_classes")),
            ("supported_speeds", &*text("supported_speeds")),
            ("dev_loss_tmo", &*text("dev_loss_tmo")),
        ];
        round.out.gauge("node_fibrechannel_info", "What is known of the port.", &labels, 1.0);
        // A port that is switched off counts nothing.
        let is_off = file("port_state").map_or(true, |state| state == "Unknown");
        for (name, metric, help) in FIBRECHANNEL {
            let value = match is_off {
                true => 0,
                false => {
                    let text = file(&format!("statistics/{name}"))?;
                    u64::from_str_radix(text.trim_start_matches("0x"), 16).map_err(|_| odd(name))?
                }
            };
            // The highest number means that the adapter does not count it.
            if value != u64::MAX {
                let labels = [("fc_host", &*host)];
                round.out.counter(&format!("node_fibrechannel_{metric}"), help, &labels, value as f64);
            }
        }
    }
    Ok(())
}

/// Octets of one word that the counters of data count.
const WORD: f64 = 4.0;

/// File below a port, metric, what one of it is.
const INFINIBAND: [(&str, &str, f64); 59] = [
    ("counters_ext/port_multicast_rcv_packets", "legacy_multicast_packets_received_total", 1.0),
    ("counters_ext/port_multicast_xmit_packets", "legacy_multicast_packets_transmitted_total", 1.0),
    ("counters_ext/port_rcv_data_64", "legacy_data_received_bytes_total", WORD),
    ("counters_ext/port_rcv_packets_64", "legacy_packets_received_total", 1.0),
    ("counters_ext/port_unicast_rcv_packets", "legacy_unicast_packets_received_total", 1.0),
    ("counters_ext/port_unicast_xmit_packets", "legacy_unicast_packets_transmitted_total", 1.0),
    ("counters_ext/port_xmit_data_64", "legacy_data_transmitted_bytes_total", WORD),
    ("counters_ext/port_xmit_packets_64", "legacy_packets_transmitted_total", 1.0),
    ("counters/excessive_buffer_overrun_errors", "excessive_buffer_overrun_errors_total", 1.0),
    ("counters/link_downed", "link_downed_total", 1.0),
    ("counters/link_error_recovery", "link_error_recovery_total", 1.0),
    ("counters/local_link_integrity_errors", "local_link_integrity_errors_total", 1.0),
    ("counters/multicast_rcv_packets", "multicast_packets_received_total", 1.0),
    ("counters/multicast_xmit_packets", "multicast_packets_transmitted_total", 1.0),
    ("counters/port_rcv_constraint_errors", "port_constraint_errors_received_total", 1.0),
    ("counters/port_xmit_constraint_errors", "port_constraint_errors_transmitted_total", 1.0),
    ("counters/port_rcv_data", "port_data_received_bytes_total", WORD),
    ("counters/port_xmit_data", "port_data_transmitted_bytes_total", WORD),
    ("counters/port_rcv_discards", "port_discards_received_total", 1.0),
    ("counters/port_xmit_discards", "port_discards_transmitted_total", 1.0),
    ("counters/port_rcv_errors", "port_errors_received_total", 1.0),
    ("counters/port_rcv_packets", "port_packets_received_total", 1.0),
    ("counters/port_xmit_packets", "port_packets_transmitted_total", 1.0),
    ("counters/port_xmit_wait", "port_transmit_wait_total", 1.0),
    ("counters/unicast_rcv_packets", "unicast_packets_received_total", 1.0),
    ("counters/unicast_xmit_packets", "unicast_packets_transmitted_total", 1.0),
    ("counters/port_rcv_remote_physical_errors", "port_receive_remote_physical_errors_total", 1.0),
    ("counters/port_rcv_switch_relay_errors", "port_receive_switch_relay_errors_total", 1.0),
    ("counters/symbol_error", "symbol_error_total", 1.0),
    ("counters/VL15_dropped", "vl15_dropped_total", 1.0),
    ("hw_counters/duplicate_request", "duplicate_requests_packets_total", 1.0),
    ("hw_counters/implied_nak_seq_err", "implied_nak_seq_errors_total", 1.0),
    ("hw_counters/local_ack_timeout_err", "local_ack_timeout_errors_total", 1.0),
    ("hw_counters/np_cnp_sent", "np_cnp_packets_sent_total", 1.0),
    ("hw_counters/np_ecn_marked_roce_packets", "np_ecn_marked_roce_packets_received_total", 1.0),
    ("hw_counters/out_of_buffer", "out_of_buffer_drops_total", 1.0),
    ("hw_counters/out_of_sequence", "out_of_sequence_packets_received_total", 1.0),
    ("hw_counters/packet_seq_err", "packet_sequence_errors_total", 1.0),
    ("hw_counters/req_cqe_error", "req_cqes_errors_total", 1.0),
    ("hw_counters/req_cqe_flush_error", "req_cqes_flush_errors_total", 1.0),
    ("hw_counters/req_remote_access_errors", "req_remote_access_errors_total", 1.0),
    ("hw_counters/req_remote_invalid_request", "req_remote_invalid_request_errors_total", 1.0),
    ("hw_counters/resp_cqe_error", "resp_cqes_errors_total", 1.0),
    ("hw_counters/resp_cqe_flush_error", "resp_cqes_flush_errors_total", 1.0),
    ("hw_counters/resp_local_length_error", "resp_local_length_errors_total", 1.0),
    ("hw_counters/resp_remote_access_errors", "resp_remote_access_errors_total", 1.0),
    ("hw_counters/rnr_nak_retry_err", "rnr_nak_retry_packets_received_total", 1.0),
    ("hw_counters/roce_adp_retrans", "roce_adp_retransmits_total", 1.0),
    ("hw_counters/roce_adp_retrans_to", "roce_adp_retransmits_timeout_total", 1.0),
    ("hw_counters/roce_slow_restart", "roce_slow_restart_used_total", 1.0),
    ("hw_counters/roce_slow_restart_cnps", "roce_slow_restart_cnps_total", 1.0),
    ("hw_counters/roce_slow_restart_trans", "roce_slow_restart_total", 1.0),
    ("hw_counters/rp_cnp_handled", "rp_cnp_packets_handled_total", 1.0),
    ("hw_counters/rp_cnp_ignored", "rp_cnp_ignored_packets_received_total", 1.0),
    ("hw_counters/rx_atomic_requests", "rx_atomic_requests_total", 1.0),
    ("hw_counters/rx_dct_connect", "rx_dct_connect_requests_total", 1.0),
    ("hw_counters/rx_read_requests", "rx_read_requests_total", 1.0),
    ("hw_counters/rx_write_requests", "rx_write_requests_total", 1.0),
    ("hw_counters/rx_icrc_encapsulated", "rx_icrc_encapsulated_errors_total", 1.0),
];

pub(super) fn infiniband(round: &mut Round<'_>) -> io::Result<()> {
    for device in round.files.sys_list("class/infiniband")? {
        if !round.settings.infiniband.passes(&device) {
            continue;
        }
        let folder = format!("class/infiniband/{device}");
        let file = |name: &str| round.files.sys(&format!("{folder}/{name}"));
        let labels = [
            ("device", &*device),
            ("board_id", &*file("board_id").unwrap_or_default()),
            ("firmware_version", &*file("fw_ver")?),
            ("hca_type", &*file("hca_type").unwrap_or_default()),
        ];
        round.out.gauge("node_infiniband_info", "What is known of the adapter.", &labels, 1.0);
        for port in round.files.sys_list(&format!("{folder}/ports"))? {
            let read = |name: &str| round.files.sys(&format!("{folder}/ports/{port}/{name}"));
            port_of(&device, &port, &read, round.out)?;
        }
    }
    Ok(())
}

fn port_of(
    device: &str,
    port: &str,
    read: &impl Fn(&str) -> io::Result<String>,
    out: &mut Exposition,
) -> io::Result<()> {
    let labels = [("device", device), ("port", port)];
    // `4: ACTIVE`
    let number = |text: &str| text.split(':').next().and_then(whole).ok_or_else(|| odd("the state of a port"));
    let help = "State of the port; 4 is active.";
    out.gauge("node_infiniband_state_id", help, &labels, number(&read("state")?)?);
    let help = "Physical state of the port; 5 is up.";
    out.gauge("node_infiniband_physical_state_id", help, &labels, number(&read("phys_state")?)?);
    // `40 Gb/sec (4X QDR)`
    let rate = read("rate")?;
    let gigabits: f64 = rate.split(' ').next().and_then(whole).ok_or_else(|| odd("the rate of a port"))?;
    let help = "Highest speed of the port.";
    out.gauge("node_infiniband_rate_bytes_per_second", help, &labels, (gigabits * 1e9 / 8.0).trunc());
    if let Some(millis) = read("hw_counters/lifespan").ok().as_deref().and_then(whole) {
        let help = "How old the counters may be.";
        out.gauge("node_infiniband_lifespan_seconds", help, &labels, (millis / 1000.0).trunc());
    }
    for (file, name, unit) in INFINIBAND {
        // An adapter has some of these; one may say `N/A (no PMA)`.
        if let Some(value) = read(file).ok().as_deref().and_then(whole) {
            let help = format_args!("{} of the port.", file.rsplit('/').next().unwrap_or_default());
            out.counter(&format!("node_infiniband_{name}"), help, &labels, value * unit);
        }
    }
    Ok(())
}
