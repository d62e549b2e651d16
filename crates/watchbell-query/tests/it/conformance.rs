//! Prometheus' own scripts, from a folder outside of the repository.

use std::path::{Path, PathBuf};

use crate::script::run;

/// How many evaluations of each script pass. Fewer is a fault; more asks for this table to be raised.
const PASSING: &[(&str, usize)] = &[
    ("aggregators", 160),
    ("at_modifier", 78),
    ("collision", 2),
    ("duration_expression", 59),
    ("extended_vectors", 169),
    ("fill-modifier", 46),
    ("functions", 431),
    ("histograms", 185),
    ("info", 53),
    ("limit", 37),
    ("literals", 25),
    ("name_label_dropping", 30),
    ("native_histograms", 522),
    ("operators", 214),
    ("range_queries", 18),
    ("selectors", 31),
    ("staleness", 17),
    ("start_timestamps", 26),
    ("subquery", 34),
    ("trig_functions", 19),
    ("type_and_unit", 58),
];

#[test]
fn prometheus_scripts_pass_as_often_as_they_did() {
    let folder = std::env::var_os("WATCHBELL_CONFORMANCE")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"), PathBuf::from);
    let folder = folder.join("promql");
    if !folder.is_dir() {
        println!("skipped: there is no folder {}; name one in WATCHBELL_CONFORMANCE", folder.display());
        return;
    }
    let mut wrong = Vec::new();
    let mut total = (0, 0);
    for (name, script) in scripts(&folder) {
        let outcomes = run(&script);
        let passed = outcomes.iter().filter(|outcome| outcome.result.is_ok()).count();
        for outcome in &outcomes {
            if let Err(problem) = &outcome.result {
                println!("{name}:{}: {}: {problem}", outcome.line, outcome.text);
            }
        }
        println!("{name}: {passed} of {} pass", outcomes.len());
        total = (total.0 + passed, total.1 + outcomes.len());
        let expected = PASSING.iter().find(|(file, _)| *file == name).map_or(0, |(_, expected)| *expected);
        if passed != expected {
            wrong.push(format!("{name}: {passed} pass, the table says {expected}"));
        }
    }
    println!("all: {} of {} pass", total.0, total.1);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Names and contents, by name.
#[expect(clippy::disallowed_methods, reason = "the scripts lie outside of the repository, and this crate has no disk")]
fn scripts(folder: &Path) -> Vec<(String, String)> {
    let mut scripts: Vec<(String, String)> = std::fs::read_dir(folder)
        .expect("the folder can be listed")
        .map(|entry| entry.expect("the folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "test"))
        .map(|path| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).expect("a script can be read"))
        })
        .collect();
    scripts.sort();
    scripts
}
