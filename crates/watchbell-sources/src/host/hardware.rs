//! The machine: its make, temperatures, power, watchdogs.

use std::collections::HashMap;
use std::io;

use super::Round;
use super::files::{by_number, odd, whole};

/// Files of `class/dmi/id` and the labels they become.
const DMI: [(&str, &str); 20] = [
    ("bios_date", "bios_date"),
    ("bios_release", "bios_release"),
    ("bios_vendor", "bios_vendor"),
    ("bios_version", "bios_version"),
    ("board_asset_tag", "board_asset_tag"),
    ("board_name", "board_name"),
    ("board_serial", "board_serial"),
    ("board_vendor", "board_vendor"),
    ("board_version", "board_version"),
    ("chassis_asset_tag", "chassis_asset_tag"),
    ("chassis_serial", "chassis_serial"),
    ("chassis_vendor", "chassis_vendor"),
    ("chassis_version", "chassis_version"),
    ("product_family", "product_family"),
    ("product_name", "product_name"),
    ("product_serial", "product_serial"),
    ("product_sku", "product_sku"),
    ("product_uuid", "product_uuid"),
    ("product_version", "product_version"),
    ("sys_vendor", "system_vendor"),
];

pub(super) fn dmi(round: &mut Round<'_>) -> io::Result<()> {
    round.files.sys_list("class/dmi/id")?;
    // Serial numbers are only for the superuser.
    let known = DMI.map(|(file, label)| (label, round.files.sys(&format!("class/dmi/id/{file}"))));
    let labels: Vec<(&str, &str)> =
        known.iter().filter_map(|(label, value)| Some((*label, value.as_deref().ok()?))).collect();
    if labels.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    round.out.gauge("node_dmi_info", "The make of the machine and its parts.", &labels, 1.0);
    Ok(())
}

pub(super) fn thermal(round: &mut Round<'_>) -> io::Result<()> {
    let mut names = round.files.sys_list("class/thermal")?;
    by_number(&mut names);
    for name in names {
        let file = |file: &str| round.files.sys(&format!("class/thermal/{name}/{file}"));
        let figure = |name: &str| whole(&file(name)?).ok_or_else(|| odd(name));
        if let Some(zone) = name.strip_prefix("thermal_zone") {
            // A zone that is switched off refuses to say its temperature.
            let (Ok(temperature), Ok(kind)) = (figure("temp"), file("type")) else { continue };
            let labels = [("zone", zone), ("type", &*kind)];
            round.out.gauge(
                "node_thermal_zone_temp",
                "Temperature of the zone in Celsius.",
                &labels,
                temperature / 1000.0,
            );
        } else if let Some(number) = name.strip_prefix("cooling_device") {
            let labels = [("name", number), ("type", &*file("type")?)];
            let now = figure("cur_state")?;
            round.out.gauge("node_cooling_device_cur_state", "How much it cools now.", &labels, now);
            let most = figure("max_state")?;
            round.out.gauge("node_cooling_device_max_state", "How much it can cool.", &labels, most);
        }
    }
    Ok(())
}

/// File, metric, help.
const WATCHDOG: [(&str, &str, &str); 7] = [
    ("bootstatus", "bootstatus", "Why the machine was started, in the device's own code."),
    ("fw_version", "fw_version", "Version of the device's firmware."),
    ("nowayout", "nowayout", "Whether it cannot be stopped once it runs."),
    ("timeleft", "timeleft_seconds", "How long until it restarts the machine."),
    ("timeout", "timeout_seconds", "How long nobody need tell it that all is well."),
    ("pretimeout", "pretimeout_seconds", "How long before that it warns."),
    ("access_cs0", "access_cs0", "Whether the machine was started from its second place."),
];

pub(super) fn watchdogs(round: &mut Round<'_>) -> io::Result<()> {
    for name in round.files.sys_list("class/watchdog")? {
        let file = |file: &str| round.files.sys(&format!("class/watchdog/{name}/{file}"));
        for (file_name, metric, help) in WATCHDOG {
            if let Some(value) = file(file_name).ok().as_deref().and_then(whole) {
                round.out.gauge(&format!("node_watchdog_{metric}"), help, &[("name", &name)], value);
            }
        }
        let text = |name: &str| file(name).unwrap_or_default();
        let labels = [
            ("name", &*name),
            ("options", &*text("options")),
            ("identity", &*text("identity")),
            ("state", &*text("state")),
            ("status", &*text("status")),
            ("pretimeout_governor", &*text("pretimeout_governor")),
        ];
        round.out.gauge("node_watchdog_info", "What is known of the watchdog.", &labels, 1.0);
    }
    Ok(())
}

/// What the kernel says in whole numbers, millionths and tenths: file, metric.
const SUPPLY: [(&str, &str, f64); 49] = [
    ("authentic", "authentic", 1.0),
    ("calibrate", "calibrate", 1.0),
    ("capacity", "capacity", 1.0),
    ("capacity_alert_max", "capacity_alert_max", 1.0),
    ("capacity_alert_min", "capacity_alert_min", 1.0),
    ("cycle_count", "cyclecount", 1.0),
    ("online", "online", 1.0),
    ("present", "present", 1.0),
    ("time_to_empty_now", "time_to_empty_seconds", 1.0),
    ("time_to_full_now", "time_to_full_seconds", 1.0),
    ("current_boot", "current_boot", 1e6),
    ("current_max", "current_max", 1e6),
    ("current_now", "current_ampere", 1e6),
    ("energy_empty", "energy_empty", 1e6),
    ("energy_empty_design", "energy_empty_design", 1e6),
    ("energy_full", "energy_full", 1e6),
    ("energy_full_design", "energy_full_design", 1e6),
    ("energy_now", "energy_watthour", 1e6),
    ("voltage_boot", "voltage_boot", 1e6),
    ("voltage_max", "voltage_max", 1e6),
    ("voltage_max_design", "voltage_max_design", 1e6),
    ("voltage_min", "voltage_min", 1e6),
    ("voltage_min_design", "voltage_min_design", 1e6),
    ("voltage_now", "voltage_volt", 1e6),
    ("voltage_ocv", "voltage_ocv", 1e6),
    ("charge_control_limit", "charge_control_limit", 1e6),
    ("charge_control_limit_max", "charge_control_limit_max", 1e6),
    ("charge_counter", "charge_counter", 1e6),
    ("charge_empty", "charge_empty", 1e6),
    ("charge_empty_design", "charge_empty_design", 1e6),
    ("charge_full", "charge_full", 1e6),
    ("charge_full_design", "charge_full_design", 1e6),
    ("charge_now", "charge_ampere", 1e6),
    ("charge_term_current", "charge_term_current", 1e6),
    ("constant_charge_current", "constant_charge_current", 1e6),
    ("constant_charge_current_max", "constant_charge_current_max", 1e6),
    ("constant_charge_voltage", "constant_charge_voltage", 1e6),
    ("constant_charge_voltage_max", "constant_charge_voltage_max", 1e6),
    ("precharge_current", "precharge_current", 1e6),
    ("input_current_limit", "input_current_limit", 1e6),
    ("power_now", "power_watt", 1e6),
    ("temp", "temp_celsius", 10.0),
    ("temp_alert_max", "temp_alert_max_celsius", 10.0),
    ("temp_alert_min", "temp_alert_min_celsius", 10.0),
    ("temp_ambient", "temp_ambient_celsius", 10.0),
    ("temp_ambient_alert_max", "temp_ambient_max_celsius", 10.0),
    ("temp_ambient_alert_min", "temp_ambient_min_celsius", 10.0),
    ("temp_max", "temp_max_celsius", 10.0),
    ("temp_min", "temp_min_celsius", 10.0),
];

const SUPPLY_WORDS: [&str; 11] = [
    "capacity_level",
    "charge_type",
    "health",
    "manufacturer",
    "model_name",
    "serial_number",
    "status",
    "technology",
    "type",
    "usb_type",
    "scope",
];

pub(super) fn power_supplies(round: &mut Round<'_>) -> io::Result<()> {
    for name in round.files.sys_list("class/power_supply")? {
        if !round.settings.supplies.passes(&name) {
            continue;
        }
        let file = |file: &str| round.files.sys(&format!("class/power_supply/{name}/{file}"));
        let own = ("power_supply", &*name);
        for (file_name, metric, unit) in SUPPLY {
            if let Some(value) = file(file_name).ok().as_deref().and_then(whole) {
                let help = format_args!("{file_name} of the power supply.");
                round.out.gauge(&format!("node_power_supply_{metric}"), help, &[own], value / unit);
            }
        }
        let words = SUPPLY_WORDS.map(|name| (name, file(name).unwrap_or_default()));
        let labels: Vec<(&str, &str)> =
            std::iter::once(own).chain(words.iter().map(|(name, word)| (*name, &**word))).collect();
        round.out.gauge("node_power_supply_info", "What is known of the power supply.", &labels, 1.0);
    }
    Ok(())
}

/// Energy by zone; only for the superuser in newer kernels.
pub(super) fn rapl(round: &mut Round<'_>) -> io::Result<()> {
    let mut counts: HashMap<String, u32> = HashMap::new();
    for folder in round.files.sys_list("class/powercap")? {
        // Beside `intel-rapl:0` and `intel-rapl:0:1` there is the driver itself.
        if !folder.contains(':') {
            continue;
        }
        let path = format!("class/powercap/{folder}");
        let Ok(name) = round.files.sys(&format!("{path}/name")) else { continue };
        let microjoules = round.files.sys_number(&format!("{path}/energy_uj"))?;
        // `package-0` says its number, `core` is counted.
        let numbered = name.split_once('-').and_then(|(stem, number)| Some((stem, number.parse::<u32>().ok()?)));
        let (zone, index) = match numbered {
            Some((stem, index)) => (stem.to_owned(), index),
            None => {
                let count = counts.entry(name.clone()).or_default();
                *count += 1;
                (name, *count - 1)
            }
        };
        let (index, place) = (index.to_string(), round.files.sys_path(&path).to_string_lossy().into_owned());
        let labels = [("index", &*index), ("path", &*place)];
        let joules = microjoules / 1e6;
        if round.settings.config.collectors.rapl.enable_zone_label {
            let labels = [labels[0], labels[1], ("rapl_zone", &*zone)];
            round.out.counter("node_rapl_joules_total", "Energy that the zone took.", &labels, joules);
        } else {
            let help = format_args!("Energy that the zone {zone} took.");
            round.out.counter(&format!("node_rapl_{}_joules_total", zone.replace('-', "_")), help, &labels, joules);
        }
    }
    Ok(())
}
