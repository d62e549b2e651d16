//! The kernel's own counts: interrupts, forks, load, pressure, the scheduler.

use std::io;

use super::Round;
use super::files::{next, odd, whole};

/// `/proc/stat`, but for the processors.
pub(super) fn stat(round: &mut Round<'_>) -> io::Result<()> {
    let text = round.files.proc("stat")?;
    let out = &mut *round.out;
    let mut any = false;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (name, Some(value)) = (words.next().unwrap_or_default(), words.next().and_then(whole)) else { continue };
        match name {
            "intr" => out.counter("node_intr_total", "Interrupts that were served.", &[], value),
            "ctxt" => out.counter("node_context_switches_total", "Switches from one task to another.", &[], value),
            "processes" => out.counter("node_forks_total", "Processes and threads that were started.", &[], value),
            "btime" => out.gauge("node_boot_time_seconds", "When the system was started, in Unix time.", &[], value),
            "procs_running" => out.gauge("node_procs_running", "Tasks that run or could run.", &[], value),
            "procs_blocked" => out.gauge("node_procs_blocked", "Tasks that wait for a disk.", &[], value),
            "softirq" if round.settings.config.collectors.stat.softirq => {
                for (vector, value) in SOFTIRQS.iter().zip(words.map(whole)) {
                    let value = value.ok_or_else(|| odd("/proc/stat"))?;
                    let help = "Soft interrupts that were served, by kind.";
                    out.counter("node_softirqs_total", help, &[("vector", vector)], value);
                }
            }
            _ => continue,
        }
        any = true;
    }
    if any { Ok(()) } else { Err(odd("/proc/stat")) }
}

/// In the order of the line `softirq`.
const SOFTIRQS: [&str; 10] =
    ["hi", "timer", "net_tx", "net_rx", "block", "block_iopoll", "tasklet", "sched", "hrtimer", "rcu"];

pub(super) fn loadavg(round: &mut Round<'_>) -> io::Result<()> {
    let text = round.files.proc("loadavg")?;
    let mut words = text.split_ascii_whitespace();
    for (name, minutes) in [("node_load1", "minute"), ("node_load5", "5 minutes"), ("node_load15", "15 minutes")] {
        let load = next(&mut words, "/proc/loadavg")?;
        round.out.gauge(name, format_args!("Tasks that run or wait, on average of the last {minutes}."), &[], load);
    }
    Ok(())
}

pub(super) fn hung(round: &mut Round<'_>) -> io::Result<()> {
    let count = round.files.proc_number("sys/kernel/hung_task_detect_count")?;
    round.out.counter("node_kernel_hung_tasks_total", "Tasks that were found hanging since the start.", &[], count);
    Ok(())
}

pub(super) fn pressure(round: &mut Round<'_>) -> io::Result<()> {
    let mut any = false;
    for (resource, for_what) in [("cpu", "a processor"), ("io", "disks"), ("memory", "memory"), ("irq", "interrupts")] {
        let text = match round.files.proc(&format!("pressure/{resource}")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for line in text.lines() {
            let total = line.split_ascii_whitespace().find_map(|word| word.strip_prefix("total="));
            let micros: f64 = total.and_then(whole).ok_or_else(|| odd("/proc/pressure"))?;
            let (state, who) = match (line.split(' ').next(), resource) {
                (Some("some"), "irq") => continue,
                (Some("some"), _) => ("waiting", "some task"),
                // A processor is never stalled as a whole; the kernel says 0 for the sake of the format.
                (Some("full"), "cpu") => continue,
                (Some("full"), _) => ("stalled", "every task"),
                _ => return Err(odd("/proc/pressure")),
            };
            let help = format_args!("Seconds in which {who} waited for {for_what}.");
            let name = format!("node_pressure_{resource}_{state}_seconds_total");
            round.out.counter(&name, help, &[], micros / 1000.0 / 1000.0);
            any = true;
        }
    }
    if any { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
}

pub(super) fn schedstat(round: &mut Round<'_>) -> io::Result<()> {
    let text = round.files.proc("schedstat")?;
    for line in text.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let Some(cpu) = words.first().and_then(|word| word.strip_prefix("cpu")) else { continue };
        let [running, waiting, slices] = [7, 8, 9].map(|at| words.get(at).copied().and_then(whole));
        let (Some(running), Some(waiting), Some(slices)) = (running, waiting, slices) else {
            return Err(odd("/proc/schedstat"));
        };
        let labels = [("cpu", cpu)];
        let help = "Seconds in which the processor ran a process.";
        round.out.counter("node_schedstat_running_seconds_total", help, &labels, running / 1e9);
        let help = "Seconds in which processes waited for the processor.";
        round.out.counter("node_schedstat_waiting_seconds_total", help, &labels, waiting / 1e9);
        let help = "Slices of time that the processor gave.";
        round.out.counter("node_schedstat_timeslices_total", help, &labels, slices);
    }
    Ok(())
}

/// A table with a column for each processor: the name of a row, its counts, what is behind them.
fn by_processor<'a>(text: &'a str, mut each: impl FnMut(&str, &[&'a str], Vec<&'a str>)) -> io::Result<()> {
    let mut lines = text.lines();
    let processors = lines.next().ok_or_else(|| odd("a table of interrupts"))?.split_ascii_whitespace().count();
    for line in lines {
        let Some((name, rest)) = line.split_once(':') else { continue };
        let mut words: Vec<&str> = rest.split_ascii_whitespace().collect();
        if words.len() >= processors {
            let behind = words.split_off(processors);
            each(name.trim_start(), &words, behind);
        }
    }
    Ok(())
}

pub(super) fn interrupts(round: &mut Round<'_>) -> io::Result<()> {
    let text = round.files.proc("interrupts")?;
    let (settings, out) = (round.settings, &mut *round.out);
    let zeros = settings.config.collectors.interrupts.include_zeros.unwrap_or(true);
    by_processor(&text, |name, counts, behind| {
        // `ERR` and `MIS` belong to no processor.
        if behind.is_empty() {
            return;
        }
        let is_numbered = name.parse::<u32>().is_ok();
        let (info, devices) =
            if is_numbered { (behind[0].to_owned(), behind[1..].join(" ")) } else { (behind.join(" "), String::new()) };
        if !settings.interrupts.passes(&format!("{name};{info};{devices}")) {
            return;
        }
        for (cpu, count) in counts.iter().enumerate() {
            let Some(count) = whole(count).filter(|count| zeros || *count != 0.0) else { continue };
            let labels = [("cpu", &*cpu.to_string()), ("type", name), ("info", &*info), ("devices", &*devices)];
            out.counter("node_interrupts_total", "Interrupts by processor and kind.", &labels, count);
        }
    })
}

pub(super) fn softirqs(round: &mut Round<'_>) -> io::Result<()> {
    let text = round.files.proc("softirqs")?;
    let out = &mut *round.out;
    by_processor(&text, |name, counts, _| {
        for (cpu, count) in counts.iter().enumerate() {
            let Some(count) = whole(count) else { continue };
            let labels = [("cpu", &*cpu.to_string()), ("type", name)];
            out.counter("node_softirqs_functions_total", "Soft interrupts by processor and kind.", &labels, count);
        }
    })
}
