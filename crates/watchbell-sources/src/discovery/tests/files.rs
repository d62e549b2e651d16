//! Targets listed in files.

use std::path::Path;

use expect_test::expect;
use watchbell_model::{Path as Place, Problems};
use watchbell_runtime::sim;

use super::told;
use crate::discovery::{Discovery, FileSd};

fn files(names: &[&str]) -> FileSd {
    serde_json::from_value(serde_json::json!({ "files": names })).expect("it is a configuration")
}

#[test]
fn files_appear_change_break_and_go() {
    let seen = sim::run(1, |world| async move {
        let discovery = Discovery::from(files(&["/t/*.yml", "/t/one.json"]));
        let runtime = world.runtime();
        let mut seen = format!("nothing yet\n{}", told(&discovery, &runtime).await);
        world.disk.put(
            Path::new("/t/a.yml"),
            b"- targets: [h1:9100, 'h2:9100']\n  labels: {env: prod, port: 80, none: }\n- targets:\n  - h3:1\n",
        );
        world.disk.put(Path::new("/t/one.json"), br#"[{"targets": ["j:1"], "labels": {"env": "test"}}]"#);
        seen += &format!("two files\n{}", told(&discovery, &runtime).await);
        world.disk.put(Path::new("/t/a.yml"), b"- targets: [h1:9100]\n  lables: {env: prod}\n");
        world.disk.put(Path::new("/t/one.json"), br#"[{"targets": ["j:2"]}]"#);
        seen += &format!("one is broken, the other changed\n{}", told(&discovery, &runtime).await);
        world.disk.put(Path::new("/t/a.yml"), b"");
        runtime.disk.remove(Path::new("/t/one.json")).expect("it is there");
        seen += &format!("one is empty, the other gone\n{}", told(&discovery, &runtime).await);
        seen
    });
    expect![[r#"
        nothing yet
        two files
        /t/a.yml:0 | __meta_filepath=/t/a.yml env=prod port=80
          __address__=h1:9100
          __address__=h2:9100
        /t/a.yml:1 | __meta_filepath=/t/a.yml
          __address__=h3:1
        /t/one.json:0 | __meta_filepath=/t/one.json env=test
          __address__=j:1
        one is broken, the other changed
        /t/a.yml:0 | __meta_filepath=/t/a.yml env=prod port=80
          __address__=h1:9100
          __address__=h2:9100
        /t/a.yml:1 | __meta_filepath=/t/a.yml
          __address__=h3:1
        /t/one.json:0 | __meta_filepath=/t/one.json
          __address__=j:2
        one is empty, the other gone
    "#]]
    .assert_eq(&seen);
}

#[test]
fn bad_files_are_told() {
    let seen = sim::run(1, |world| async move {
        let runtime = world.runtime();
        let mut seen = String::new();
        for (name, content) in [
            ("/a.yml", "targets: [a:1]"),
            ("/a.yml", "- targets: a:1"),
            ("/a.yml", "- target: [a:1]"),
            ("/a.yml", "- "),
            ("/a.yml", "- targets: [a:1]\n  labels: [a]"),
            ("/a.yml", "- targets: [[a]]"),
            ("/a.yml", "- targets: [a:1]\n  targets: [a:2]"),
            ("/a.yml", "- {"),
            ("/a.json", "[null]"),
            ("/a.json", r#"[{"targets": ["a:1"], "labels": {"a": 1}}]"#),
            ("/a.json", r#"[{"targets": ["a:1"], "label": {}}]"#),
            ("/a.json", r#"{"targets": ["a:1"]}"#),
            ("/a.json", r#"[{"targets": ["a:1"], "labels": {"": "a"}}]"#),
        ] {
            world.disk.put(Path::new(name), content.as_bytes());
            seen += &told(&Discovery::from(files(&[name])), &runtime).await;
        }
        seen
    });
    expect![[r#"
        error: /a.yml: a list of groups was expected, each with `targets` and perhaps `labels`
        error: /a.yml: `targets` is not a list
        error: /a.yml: a group has no field `target`, only `targets` and `labels`
        error: /a.yml: group 1 is empty
        error: /a.yml: `labels` is not a mapping
        error: /a.yml: each of `targets` is a text such as `host:port`
        error: /a.yml: `targets` is given twice
        error: /a.yml: line 2: while parsing a node, did not find expected node content
        error: /a.json: group 1 is empty
        error: /a.json: invalid type: integer `1`, expected a string at line 1 column 39
        error: /a.json: unknown field `label`, expected `targets` or `labels` at line 1 column 29
        error: /a.json: invalid type: map, expected a sequence at line 1 column 0
        error: /a.json: group 1 has a label without a name
    "#]]
    .assert_eq(&seen);
}

#[test]
fn anchors_are_followed_and_bombs_are_not() {
    let bomb: String = (1..9).fold("- &a0 [x, x, x, x, x, x, x, x, x, x]\n".into(), |text, at| {
        let alias = format!("*a{}", at - 1);
        format!("{text}- &a{at} [{}]\n", vec![alias; 10].join(", "))
    });
    let seen = sim::run(1, |world| async move {
        let runtime = world.runtime();
        let mut seen = String::new();
        for content in ["- targets: [a:1]\n  labels: &l {env: prod}\n- targets: [b:1]\n  labels: *l\n", &bomb] {
            world.disk.put(Path::new("/a.yml"), content.as_bytes());
            seen += &told(&Discovery::from(files(&["/a.yml"])), &runtime).await;
        }
        seen
    });
    expect![[r#"
        /a.yml:0 | __meta_filepath=/a.yml env=prod
          __address__=a:1
        /a.yml:1 | __meta_filepath=/a.yml env=prod
          __address__=b:1
        error: /a.yml: it has more than 1000000 values
    "#]]
    .assert_eq(&seen);
}

#[test]
fn more_than_anybody_scrapes_is_refused() {
    let seen = sim::run(1, |world| async move {
        let many: Vec<String> = (0..=super::super::TARGETS_MAX).map(|at| format!("h{at}:1")).collect();
        let content = serde_json::to_vec(&serde_json::json!([{ "targets": many }])).expect("it is JSON");
        world.disk.put(Path::new("/a.json"), &content);
        told(&Discovery::from(files(&["/a.json"])), &world.runtime()).await
    });
    expect![[r#"
        error: it gives 10001 targets, but 10000 are the most that are taken of one discovery
    "#]]
    .assert_eq(&seen);
}

#[test]
fn configurations_of_files() {
    let mut problems = Problems::new();
    let none: FileSd = serde_json::from_str(r#"{"files": [], "refresh_interval": "0s"}"#).expect("it parses");
    none.check(&Place::root().field("none"), &mut problems);
    files(&["a/*/b.yml", "a.txt", "ok/*.yml"]).check(&Place::root().field("some"), &mut problems);
    let told: String = problems.0.iter().map(|it| format!("{}: {}\n", it.path, it.message)).collect();
    expect![[r#"
        none.files: there is no file
        none.refresh_interval: the interval is zero
        some.files[0]: `a/*/b.yml` is not a file of targets
        some.files[1]: `a.txt` is not a file of targets
    "#]]
    .assert_eq(&told);
    let key = |config: FileSd| Discovery::from(config).key();
    assert_eq!(key(files(&["a.yml"])), key(files(&["a.yml"])));
    assert_ne!(key(files(&["a.yml"])), key(files(&["b.yml"])));
    assert_eq!(Discovery::from(files(&["a.yml"])).refresh_interval().to_string(), "3s");
}

#[test]
fn a_file_is_read_again_when_it_is_mended() {
    let seen = sim::run(1, |world| async move {
        let runtime = world.runtime();
        let discovery = Discovery::from(files(&["/a.yml"]));
        let mut seen = String::new();
        for content in [
            "- targets: [a:1]",
            "- targets: [a:1]",
            "- targets: [b:1",
            "- targets: [b:1",
            "- targets: [a:1]",
            "- targets: [c:1]",
        ] {
            world.disk.put(Path::new("/a.yml"), content.as_bytes());
            seen += &told(&discovery, &runtime).await;
        }
        seen
    });
    expect![[r#"
        /a.yml:0 | __meta_filepath=/a.yml
          __address__=a:1
        /a.yml:0 | __meta_filepath=/a.yml
          __address__=a:1
        /a.yml:0 | __meta_filepath=/a.yml
          __address__=a:1
        /a.yml:0 | __meta_filepath=/a.yml
          __address__=a:1
        /a.yml:0 | __meta_filepath=/a.yml
          __address__=a:1
        /a.yml:0 | __meta_filepath=/a.yml
          __address__=c:1
    "#]]
    .assert_eq(&seen);
}
