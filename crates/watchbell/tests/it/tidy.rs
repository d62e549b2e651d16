//! The house is as drawn: who knows whom, and habits that no lint sees.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Which crate may know which: the table of ARCHITECTURE.md. Tests may know the simulator besides.
const EDGES: &[(&str, &[&str])] = &[
    ("watchbell-model", &[]),
    ("watchbell-runtime", &["model"]),
    ("watchbell-template", &["model"]),
    ("watchbell-wire", &["model"]),
    ("watchbell-query", &["model"]),
    ("watchbell-picture", &["model"]),
    ("watchbell-store", &["model", "runtime", "wire"]),
    ("watchbell-sources", &["model", "runtime", "wire"]),
    ("watchbell-alarms", &["model", "picture", "query", "runtime", "template"]),
    ("watchbell-alerts", &["model", "runtime"]),
    ("watchbell-notify", &["model", "runtime", "template", "wire"]),
    ("watchbell-http", &["alarms", "alerts", "model", "notify", "query", "runtime", "sources", "wire"]),
    (
        "watchbell",
        &["alarms", "alerts", "http", "model", "notify", "query", "runtime", "sources", "store", "template", "wire"],
    ),
    ("watchbell-sim", &["model", "runtime"]),
    ("xtask", &[]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn no_crate_knows_more_than_it_may() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().expect("there are packages") {
        let name = package["name"].as_str().expect("a name");
        let Some((_, allowed)) = EDGES.iter().find(|(have, _)| *have == name) else {
            wrong.push(format!("{name} is not in the table"));
            continue;
        };
        for dependency in package["dependencies"].as_array().expect("a list") {
            let other = dependency["name"].as_str().expect("a name");
            let normal = dependency["kind"].is_null();
            if let Some(short) = other.strip_prefix("watchbell-")
                && normal
                && !allowed.contains(&short)
            {
                wrong.push(format!("{name} knows {other}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_select_is_biased_and_no_source_names_a_machine() {
    let mut wrong = Vec::new();
    for file in sources(&root().join("crates")) {
        let text = std::fs::read_to_string(&file).expect("it is text");
        for (at, after) in text.match_indices("select! {").map(|(at, found)| (at, &text[at + found.len()..])) {
            if !after.trim_start().starts_with("biased;") && !file.ends_with("tidy.rs") {
                wrong.push(format!("{}: a `select!` at byte {at} is not `biased`", file.display()));
            }
        }
        for word in ["work", "root", "home"].map(|folder| format!("/{folder}/")) {
            if text.contains(&word) {
                wrong.push(format!("{}: names {word}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_is_two() {
    let long: Vec<String> = sources(&root().join("crates"))
        .into_iter()
        .filter(|file| !file.to_string_lossy().contains("/tests"))
        .filter_map(|file| {
            let lines = std::fs::read_to_string(&file).expect("it is text").lines().count();
            (lines > 800).then(|| format!("{}: {lines} lines", file.display()))
        })
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}
