//! What is said to a person: columns, units, plain words.

use std::fmt::Write;
use std::io::IsTerminal;
use std::time::Duration;

use watchbell_model::{Checkup, Counted, Deleted, Figures, Imported, Timestamp};
use watchbell_runtime::{Clock, Runtime};

/// How often progress is shown anew.
const SHOW_EVERY: Duration = Duration::from_millis(200);

/// `1,234,567`.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1.5 MiB`.
pub(super) fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["bytes", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "bytes" { format!("{bytes} bytes") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// To the second.
fn moment(at: Timestamp) -> String {
    let text = at.to_string();
    text.split_once('.').map_or_else(|| text.clone(), |(second, _)| format!("{second}Z"))
}

/// A table: the first column to the left, the others to the right.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::from("  ");
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            let cell = if column == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") };
            line.push_str(&cell);
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

pub(super) fn figures(figures: &Figures) -> String {
    let mut out = format!(
        "{} series, {} of them active; {} different labels with their values\n\n",
        number(figures.series),
        number(figures.active),
        number(figures.pairs)
    );
    let mut rows = vec![["where", "samples", "size", "each sample", "from", "to"].map(str::to_owned).to_vec()];
    for part in &figures.parts {
        let each = part.samples.filter(|samples| *samples > 0);
        let each = each.map_or(String::new(), |samples| format!("{:.2} bytes", part.bytes as f64 / samples as f64));
        let (from, to) = part.range.map_or_else(Default::default, |(first, last)| (moment(first), moment(last)));
        let samples = part.samples.map_or(String::new(), number);
        rows.push(vec![part.name.clone(), samples, bytes(part.bytes), each, from, to]);
    }
    out += &table(&rows);
    let mut list = |title: &str, of: &str, all: &Counted| {
        if !all.is_empty() {
            writeln!(out, "\n{title}").expect("a string takes anything");
            let rows = all.iter().map(|(name, count)| vec![name.clone(), format!("{} {of}", number(*count))]);
            out += &table(&rows.collect::<Vec<_>>());
        }
    };
    list("metrics with the most series", "series", &figures.metrics);
    list("labels with the most values", "values", &figures.labels);
    list("labels whose value is shared by the most series", "series", &figures.label_pairs);
    out
}

/// What there is one or many of; `series` are both.
fn of(count: u64, many: &str) -> &str {
    if count == 1 && many != "series" { many.strip_suffix('s').unwrap_or(many) } else { many }
}

pub(super) fn checkup(checkup: &Checkup) -> String {
    let looked: Vec<String> =
        checkup.looked_at.iter().map(|(what, count)| format!("{} {}", number(*count), of(*count, what))).collect();
    let mut out = format!("looked at {}\n", looked.join(", "));
    for words in &checkup.damaged {
        writeln!(out, "damaged: {words}").expect("a string takes anything");
    }
    if checkup.damaged.is_empty() {
        out += "nothing is damaged\n";
    }
    if !checkup.set_aside.is_empty() {
        let count = checkup.set_aside.len();
        writeln!(out, "set aside earlier, in the folder metrics/damaged ({count}):").expect("a string takes anything");
        checkup.set_aside.iter().for_each(|name| writeln!(out, "  {name}").expect("a string takes anything"));
    }
    out
}

pub(super) fn deleted(deleted: &Deleted, dry_run: bool) -> String {
    let verb = if dry_run { "would go" } else { "deleted" };
    let mut out = format!("{verb}: {} samples of {} series\n", number(deleted.samples), number(deleted.series));
    for labels in &deleted.examples {
        writeln!(out, "  {labels}").expect("a string takes anything");
    }
    let more = deleted.series.saturating_sub(deleted.examples.len() as u64);
    if more > 0 {
        writeln!(out, "  and {} more", number(more)).expect("a string takes anything");
    }
    out
}

pub(super) fn imported(imported: &Imported) -> String {
    let mut rows = vec![vec!["added".to_owned(), number(imported.added)]];
    for (what, count) in [
        ("there already", imported.known),
        ("refused: another value is there", imported.different),
        ("refused: older than `storage.metrics.retention` keeps", imported.too_old),
        ("refused: in the future", imported.too_new),
        ("refused: makes no sense", imported.invalid),
    ] {
        if count > 0 {
            rows.push(vec![what.to_owned(), number(count)]);
        }
    }
    let mut out = format!("samples\n{}", table(&rows));
    if let Some(example) = &imported.example {
        writeln!(out, "the first that was refused: {example}").expect("a string takes anything");
    }
    out
}

/// What is under way, on one line of a terminal.
pub(super) struct Progress {
    clock: Clock,
    shows: bool,
    last: Option<Duration>,
}

impl Progress {
    pub(super) fn new(runtime: &Runtime) -> Progress {
        Progress { clock: runtime.clock.clone(), shows: std::io::stderr().is_terminal(), last: None }
    }

    pub(super) fn say(&mut self, words: impl FnOnce() -> String) {
        let now = self.clock.monotonic();
        if self.shows && self.last.is_none_or(|last| now >= last + SHOW_EVERY) {
            self.last = Some(now);
            eprint!("\r\x1b[K{}", words());
        }
    }

    pub(super) fn end(&mut self) {
        if self.last.take().is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use watchbell_model::Part;

    use super::*;

    #[test]
    fn figures_are_columns_with_units() {
        let part = |name: &str, samples, bytes, range| Part { name: name.into(), pieces: 1, samples, bytes, range };
        let range = Some((Timestamp(0), Timestamp(86_400_000)));
        let shown = Figures {
            series: 12_345,
            active: 2,
            pairs: 30,
            parts: vec![part("memory", Some(12), 100, None), part("blocks", Some(1_000_000), 1_234_567, range)],
            metrics: vec![("up".into(), 1000), ("node_cpu_seconds_total".into(), 8)],
            ..Figures::default()
        };
        expect![[r#"
            12,345 series, 2 of them active; 30 different labels with their values

              where     samples       size  each sample                  from                    to
              memory         12  100 bytes   8.33 bytes
              blocks  1,000,000    1.2 MiB   1.23 bytes  1970-01-01T00:00:00Z  1970-01-02T00:00:00Z

            metrics with the most series
              up                      1,000 series
              node_cpu_seconds_total      8 series
        "#]]
        .assert_eq(&figures(&shown));
    }
}
