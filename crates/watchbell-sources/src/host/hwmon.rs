//! Hardware sensors: temperatures, fans, voltages, currents, power.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use watchbell_model::MetricType;

use super::Round;
use super::exposition::Exposition;
use super::files::{Files, whole};

const TYPES: [&str; 14] = [
    "vrm",
    "beep_enable",
    "update_interval",
    "in",
    "cpu",
    "fan",
    "pwm",
    "temp",
    "curr",
    "power",
    "energy",
    "humidity",
    "intrusion",
    "freq",
];

/// Sensors by name (`temp1`), each with its type and what its files say.
type Sensors = BTreeMap<String, (String, BTreeMap<String, String>)>;

pub(super) fn collect(round: &mut Round<'_>) -> io::Result<()> {
    const ROOT: &str = "class/hwmon";
    let folders = round.files.sys_list(ROOT)?;
    let chips: Vec<(String, String, String)> = folders
        .into_iter()
        .map(|folder| format!("{ROOT}/{folder}"))
        .filter_map(|folder| {
            let name = round.files.sys(&format!("{folder}/name")).unwrap_or_default();
            let chip = chip(round.files, &folder, &name)?;
            Some((folder, chip, name))
        })
        .collect();
    for (folder, base, name) in &chips {
        // Several may hang on one device; then they are told apart by name, or by number.
        let same = |with_name: bool| {
            chips.iter().filter(|(_, other, their)| other == base && (!with_name || their == name)).count() > 1
        };
        let chip = match same(false) {
            false => base.clone(),
            true => {
                let suffix = Some(clean(name)).filter(|it| !it.is_empty() && !same(true));
                let number = || clean(folder.rsplit('/').next().unwrap_or_default());
                format!("{base}_{}", suffix.unwrap_or_else(number))
            }
        };
        if !round.settings.chips.passes(&chip) {
            continue;
        }
        let mut sensors = Sensors::new();
        read(round.files, folder, &mut sensors)?;
        let device = format!("{folder}/device");
        if round.files.disk.exists(&round.files.sys_path(&device)) {
            read(round.files, &device, &mut sensors)?;
        }
        let name = clean(name);
        if !name.is_empty() {
            let labels = [("chip", &*chip), ("chip_name", &*name)];
            round.out.gauge("node_hwmon_chip_names", "Names of sensor chips.", &labels, 1.0);
        }
        for (sensor, (kind, parts)) in &sensors {
            if round.settings.sensors.passes(&format!("{chip};{sensor}")) {
                tell(&chip, sensor, kind, parts, round.out);
            }
        }
    }
    Ok(())
}

/// A name that stays the same whatever the order in which modules are loaded: that of the device, or the chip's own.
fn chip(files: &Files, folder: &str, name: &str) -> Option<String> {
    let device = files.disk.canonical(&files.sys_path(&format!("{folder}/device")));
    if let Ok(device) = device {
        let part = |path: Option<&Path>| {
            clean(&path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default())
        };
        let (bus, device) = (part(device.parent()), part(Some(&device)));
        match (bus.is_empty(), device.is_empty()) {
            (false, false) => return Some(format!("{bus}_{device}")),
            (true, false) => return Some(device),
            _ => {}
        }
    }
    let number = || clean(folder.rsplit('/').next().unwrap_or_default());
    Some(clean(name)).filter(|it| !it.is_empty()).or_else(|| Some(number()).filter(|it| !it.is_empty()))
}

/// Small letters, digits, colons and underscores.
fn clean(name: &str) -> String {
    let name: String = name
        .trim()
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, ':' | '_') { c } else { '_' })
        .collect();
    name.trim_matches('_').to_owned()
}

/// `temp1_max` is the type `temp`, the number 1 and the property `max`.
fn exploded(file: &str) -> Option<(&str, u32, &str)> {
    let digits = file.find(|c: char| c.is_ascii_digit());
    let Some(at) = digits else { return Some((file, 0, "")) };
    let (kind, rest) = file.split_at(at);
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (number, rest) = rest.split_at(end);
    let property = if rest.is_empty() { "" } else { rest.strip_prefix('_').filter(|it| !it.is_empty())? };
    (!kind.is_empty()).then_some((kind, number.parse().ok()?, property))
}

fn read(files: &Files, folder: &str, sensors: &mut Sensors) -> io::Result<()> {
    for file in files.sys_list(folder)? {
        let Some((kind, number, property)) = exploded(&file) else { continue };
        if !TYPES.contains(&kind) {
            continue;
        }
        if let Ok(value) = files.sys(&format!("{folder}/{file}")) {
            let (_, parts) =
                sensors.entry(format!("{kind}{number}")).or_insert_with(|| (kind.to_owned(), BTreeMap::new()));
            parts.insert(property.to_owned(), value);
        }
    }
    Ok(())
}

fn tell(chip: &str, sensor: &str, kind: &str, parts: &BTreeMap<String, String>, out: &mut Exposition) {
    let labels = [("chip", chip), ("sensor", sensor)];
    if let Some(label) = parts.get("label") {
        let labels = [labels[0], labels[1], ("label", label)];
        out.gauge("node_hwmon_sensor_label", "Names of sensors.", &labels, 1.0);
    }
    let own = parts.get("").map_or("", String::as_str);
    match kind {
        "beep_enable" => {
            let is_on = f64::from(u8::from(own == "1"));
            return out.gauge("node_hwmon_beep_enabled", "Whether the chip may beep.", &labels, is_on);
        }
        "vrm" | "update_interval" => {
            let Some(value) = whole(own) else { return };
            return match kind {
                "vrm" => {
                    let help = "Version of the voltage regulator.";
                    out.gauge("node_hwmon_voltage_regulator_version", help, &labels, value);
                }
                _ => {
                    let help = "How often the chip measures.";
                    out.gauge("node_hwmon_update_interval_seconds", help, &labels, value * 0.001);
                }
            };
        }
        _ => {}
    }
    for (element, value) in parts.iter().filter(|(element, _)| *element != "label") {
        let Some(value) = whole(value) else { continue };
        let mut name = format!("node_hwmon_{kind}");
        match &**element {
            "input" if parts.contains_key("") => name.push_str("_input"),
            "" | "input" => {}
            other => {
                name.push('_');
                name.push_str(&clean(other));
            }
        }
        let help = format_args!("{kind} of a sensor: {element}.");
        let (unit, value) = match (kind, &**element) {
            (_, "fault" | "alarm") => ("", value),
            (_, "beep") => ("_enabled", value),
            ("in" | "cpu", _) => ("_volts", value * 0.001),
            ("temp", element) if element != "type" => ("_celsius", value * 0.001),
            ("curr", _) => ("_amps", value * 0.001),
            ("energy", _) => {
                name.push_str("_joule_total");
                out.put(MetricType::Counter, &name, help, &labels, value / 1e6);
                continue;
            }
            ("power", "accuracy") => ("", value / 1e6),
            ("power", "average_interval" | "average_interval_min" | "average_interval_max") => {
                ("_seconds", value * 0.001)
            }
            ("power", _) => ("_watt", value / 1e6),
            ("humidity", _) => ("", value / 1e6),
            ("fan", "input" | "min" | "max" | "target") => ("_rpm", value),
            ("freq", "input") => {
                if let Some(label) = parts.get("label") {
                    let labels = [labels[0], ("sensor", &*clean(label))];
                    out.gauge(&format!("{name}_freq_mhz"), help, &labels, value / 1e6);
                }
                continue;
            }
            _ => ("", value),
        };
        name.push_str(unit);
        out.gauge(&name, help, &labels, value);
    }
}
