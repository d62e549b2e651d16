//! Memory.

use watchbell_runtime::Disk;

use super::{Samples, odd, text};

pub(super) fn collect(disk: &Disk, samples: &mut Samples) {
    samples.collect("meminfo", |samples| meminfo(&text(disk, "/proc/meminfo")?, samples));
}

/// `Active(anon): 1 kB` becomes `node_memory_Active_anon_bytes`; a line without a unit is a count.
pub(super) fn meminfo(text: &str, samples: &mut Samples) -> std::io::Result<()> {
    let mut any = false;
    for line in text.lines() {
        let Some((name, rest)) = line.split_once(':') else { continue };
        let mut words = rest.split_ascii_whitespace();
        let Some(Ok(value)) = words.next().map(str::parse::<f64>) else { continue };
        let name = name.replace('(', "_").replace(')', "");
        match words.next() {
            Some("kB") => samples.put(&format!("node_memory_{name}_bytes"), &[], value * 1024.0),
            _ => samples.put(&format!("node_memory_{name}"), &[], value),
        }
        any = true;
    }
    if any { Ok(()) } else { Err(odd("/proc/meminfo")) }
}
