//! Run books: parts matched by meaning, refusals with the way out, safe HTML.

use std::path::Path as FilePath;

use expect_test::expect;
use watchbell_model::{Path, Problems, RunbookRef};
use watchbell_notify::{Library, Require, RunbooksConfig};
use watchbell_runtime::sim;

fn library(books: &[(&str, &str)]) -> Library {
    Library::embedded(&RunbooksConfig::default(), books)
}

fn lacks(markdown: &str) -> String {
    library(&[("x", markdown)]).check(&RunbookRef::Named("x".into())).join(", ")
}

#[test]
fn parts_are_matched_by_meaning() {
    for whole in [
        "# IMAP\n## What it means\na\n## Impact\nb\n## What to check first\nc\n## How to escalate\nd",
        "## What this means\na\n## Who/what is impacted\nb\n## First three things to check\nc\n## Escalation\nd",
        "Title\n=====\n\n### 1. MEANING:\na\n### 2. User Impact\n* b\n### 3. Triage\n```\nc\n```\n### 4. Who to call\nd",
        "# X\n## Summary\na\n## Affected users\nb\n## Diagnosis\n### Logs\nc\n## Escalating\n[d](https://e)",
    ] {
        assert_eq!(lacks(whole), "", "{whole}");
    }
    assert_eq!(lacks(""), "what it means, impact, what to check first, how to escalate");
    assert_eq!(lacks("# Impact\n## What it means\nx\n## Checks\n\n## Escalate\nx"), "what to check first");
    // A word within another one is not that word.
    assert_eq!(
        lacks("## Meantime\nx\n## Impact\nx\n## Unchecked\nx\n## Escalation\nx"),
        "what it means, what to check first"
    );
}

#[test]
fn a_stub_has_all_parts_and_says_that_it_is_one() {
    let stub = library(&[]).stub("imap-down", "IMAP is down");
    assert_eq!(lacks(&stub), "");
    sim::run(1, |world| async move {
        let disk = world.runtime().disk;
        disk.create_dir_all(FilePath::new("/etc/bell/runbooks")).unwrap();
        disk.write_atomic(FilePath::new("/etc/bell/runbooks/imap-down.md"), stub.as_bytes()).unwrap();
        disk.write_atomic(FilePath::new("/etc/bell/runbooks/short.md"), b"# Short\n## Impact\nx").unwrap();
        disk.write_atomic(FilePath::new("/etc/bell/runbooks/.hidden.md"), b"x").unwrap();
        disk.write_atomic(FilePath::new("/etc/bell/runbooks/bytes.md"), b"\xff\xfe").unwrap();
        let mut config = RunbooksConfig::default();
        config.sources.insert("kuma/imap".into(), "imap-down".parse().unwrap());
        config.sources.insert("kuma/*".into(), "gone".parse().unwrap());
        let (library, mut problems) = Library::load(&disk, &config, FilePath::new("/etc/bell"));
        let at = Path::root().field("monitors").index(0).field("runbook");
        library.demand(None, "the monitor imap", "imap", &at, &mut problems);
        library.demand(Some(&RunbookRef::Named("gone".into())), "the monitor imap", "imap", &at, &mut problems);
        library.demand(Some(&RunbookRef::Named("short".into())), "the monitor imap", "imap", &at, &mut problems);
        library.demand(Some(&RunbookRef::Named("imap-down".into())), "the monitor imap", "imap", &at, &mut problems);
        library.demand(Some(&"https://wiki/x".parse().unwrap()), "the monitor imap", "imap", &at, &mut problems);
        let lines = problems
            .0
            .iter()
            .map(|it| format!("{:?} {}: {} | {}\n", it.level, it.path, it.message, it.hint.as_deref().unwrap_or("")));
        expect![[r#"
            Warning runbooks.dir: .hidden.md is not a name a run book can have | use letters, digits, `-`, `_` and `.`
            Error runbooks.dir: the run book bytes.md cannot be read: it is not UTF-8 | 
            Warning runbooks: the run book `imap-down` is still a stub | replace the lines in italics and delete its first comment
            Warning runbooks: the run book `short` has no severity guide | add a heading such as `## Severity guide`
            Error monitors[0].runbook: the monitor imap has no run book | `watchbell runbook new imap` writes a stub; then add `runbook: imap`
            Error monitors[0].runbook: the monitor imap names the run book `gone`, which is not there | `watchbell runbook new gone` writes a stub
            Error monitors[0].runbook: the run book `short` of the monitor imap does not say: what it means, what to check first, how to escalate | add headings such as `## What it means` with text under them
        "#]].assert_eq(&lines.collect::<String>());
        assert_eq!(library.title("imap-down"), Some("IMAP is down"));
        assert_eq!(library.for_source("kuma/imap").unwrap().to_string(), "imap-down");
        assert_eq!(library.for_source("kuma/smtp").unwrap().to_string(), "gone");
        assert_eq!(library.for_source("other"), None);
        let site = "https://bell.example.org/x/".parse().unwrap();
        assert_eq!(
            library.link(&RunbookRef::Named("short".into()), &site),
            "https://bell.example.org/x/runbooks/short"
        );
    });
}

#[test]
fn with_require_stub_what_lacks_a_run_book_is_warned_about() {
    let config = RunbooksConfig { require: Require::Stub, ..RunbooksConfig::default() };
    let mut problems = Problems::new();
    Library::embedded(&config, &[]).demand(None, "the monitor imap", "imap", &Path::root(), &mut problems);
    assert!(!problems.has_errors() && problems.0.len() == 1);
}

#[test]
fn what_comes_with_the_program_stands_behind_ones_own() {
    let library = library(&[("a", "# Mine")]).with_fallback(library(&[("a", "# Theirs"), ("b", "# Theirs")]));
    assert_eq!((library.title("a"), library.title("b")), (Some("Mine"), Some("Theirs")));
}

#[test]
fn html_is_safe_to_show() {
    let markdown = r#"# T <script>alert(1)</script>

<img src=x onerror=alert(1)> text [web](https://e.org "t") [mail](mailto:a@e.org) <b@e.org> <https://auto.e>
[evil](javascript:alert(1)) [file](file:///etc/passwd) [data](data:text/html,x) [up](../../x.md) [other](other.md#a) [here](#h)
![pic](https://e.org/p.png) [![badge](https://e.org/b.png)](https://e.org) ![evil](JaVaScRiPt:x)

| a | b |
|---|---|
| 1 | `<i>` |

- [ ] ~~done~~
"#;
    let html = library(&[("x", markdown)]).render_html("x").unwrap();
    expect![[r##"
        <h1>T alert(1)</h1>
        <p> text <a href="https://e.org" title="t">web</a> <a href="mailto:a@e.org">mail</a> <a href="mailto:b@e.org">b@e.org</a> <a href="https://auto.e">https://auto.e</a>
        evil file data up <a href="other#a">other</a> <a href="#h">here</a>
        <a href="https://e.org/p.png">pic</a> <a href="https://e.org">badge</a> evil</p>
        <table><thead><tr><th>a</th><th>b</th></tr></thead><tbody>
        <tr><td>1</td><td><code>&lt;i&gt;</code></td></tr>
        </tbody></table>
        <ul>
        <li><input disabled="" type="checkbox"/>
        <del>done</del></li>
        </ul>
    "##]].assert_eq(&html);
    assert_eq!(library(&[]).render_html("x"), None);
}
