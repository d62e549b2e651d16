//! What was measured, engine by engine, and how it is shown.

use std::fmt::Write;

/// Figures of one kind; less is better.
struct Row {
    what: String,
    unit: &'static str,
    budget: Option<f64>,
    /// For each engine what each repetition gave.
    figures: Vec<Vec<f64>>,
}

/// Engines beside one another; the first is ours.
pub struct Table {
    engines: Vec<String>,
    rows: Vec<Row>,
}

impl Table {
    pub fn new(engines: Vec<String>) -> Table {
        Table { engines, rows: Vec::new() }
    }

    /// One figure of one engine; rows come in the order of their first figure.
    pub fn add(&mut self, engine: usize, what: &str, unit: &'static str, budget: Option<f64>, figure: f64) {
        let at = self.rows.iter().position(|row| row.what == what).unwrap_or_else(|| {
            let figures = vec![Vec::new(); self.engines.len()];
            self.rows.push(Row { what: what.to_owned(), unit, budget, figures });
            self.rows.len() - 1
        });
        self.rows[at].figures[engine].push(figure);
    }

    /// As Markdown: medians, the ratio to the best peer, the budget and whether it is kept.
    pub fn markdown(&self) -> String {
        let mut out = format!("| what | {} | ratio to the best peer | budget |\n", self.engines.join(" | "));
        out.push_str(&format!("|---|{}---|---|\n", "---|".repeat(self.engines.len())));
        for row in &self.rows {
            let medians: Vec<Option<f64>> = row.figures.iter().map(|figures| median(figures)).collect();
            let best = medians.iter().skip(1).flatten().copied().reduce(f64::min);
            let ratio = match (medians[0], best) {
                (Some(ours), Some(best)) if best > 0.0 => format!("{:.2}", ours / best),
                _ => "–".to_owned(),
            };
            let budget = row.budget.map_or_else(String::new, |budget| {
                let kept = medians[0].is_some_and(|ours| ours <= budget);
                format!("{} {}", short(budget), if kept { "kept" } else { "**missed**" })
            });
            let _ = write!(out, "| {}, {} |", row.what, row.unit);
            for median in &medians {
                let _ = write!(out, " {} |", median.map_or_else(|| "–".to_owned(), short));
            }
            let _ = writeln!(out, " {ratio} | {budget} |");
        }
        out
    }
}

fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// Three digits that matter.
fn short(figure: f64) -> String {
    match figure.abs() {
        size if size >= 100.0 || figure == 0.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        size if size >= 0.1 => format!("{figure:.2}"),
        _ => format!("{figure:.4}"),
    }
}
