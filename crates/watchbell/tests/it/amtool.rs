//! Alertmanager's own command line, unmodified, against watchbell: every verb.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;

use crate::kit::{Folder, Process, own_address, wait_until};
use crate::peers::must_have;

const CONFIG: &str = r#"
host: {enabled: false}
discovery: {enabled: false}
packs: []
global: {slack_api_url: "http://127.0.0.1:1/services/hush"}
route:
  receiver: default
  group_wait: 0s
  routes:
  - matchers: [severity="critical", service=~"db|mail"]
    receiver: night
  - matchers: [service="web"]
    receiver: web
    continue: true
receivers:
- {name: default}
- {name: anna, webhook_configs: [{url: "http://127.0.0.1:1/hush"}]}
- {name: web, slack_configs: [{channel: '#web'}]}
escalations:
- {name: night, steps: [{to: [anna]}]}
"#;

struct Amtool {
    url: String,
}

impl Amtool {
    /// What it prints; the test fails if it does.
    fn run(&self, arguments: &[&str]) -> String {
        let (good, out, err) = self.try_run(arguments);
        assert!(good, "amtool {arguments:?}: {out}{err}");
        out
    }

    fn try_run(&self, arguments: &[&str]) -> (bool, String, String) {
        let output = Command::new("/usr/bin/amtool")
            .arg(format!("--alertmanager.url={}", self.url))
            .args(arguments)
            .output()
            .expect("amtool starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["-o", "json"];
        all.extend(arguments);
        serde_json::from_str(&self.run(&all)).expect("it is JSON")
    }
}

/// A watchbell, and amtool that asks it; the folder and the process go with their owner.
fn bell() -> (Folder, Process, Amtool) {
    must_have("/usr/bin/amtool", "prometheus-alertmanager");
    let folder = Folder::new("amtool");
    let config = folder.write("watchbell.yml", CONFIG).display().to_string();
    let data = folder.path().join("data").display().to_string();
    let address = SocketAddr::from((own_address(), 9800)).to_string();
    let process = Process::start(&folder, &["--config", &config, "--data", &data, "--listen", &address], &[]);
    (folder, process, Amtool { url: format!("http://{address}") })
}

#[test]
fn test_amtool_version() {
    must_have("/usr/bin/amtool", "prometheus-alertmanager");
    let said = Command::new("/usr/bin/amtool").arg("--version").output().expect("amtool starts");
    let said = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.contains("amtool, version"), "{said}");
}

#[test]
fn test_add_alert() {
    let (_folder, _bell, amtool) = bell();
    amtool.run(&["alert", "add", "alertname=test1"]);
    wait_until("it is there", || amtool.json(&["alert", "query"])[0]["labels"]["alertname"] == "test1");
}

#[test]
fn test_query_alert() {
    let (_folder, _bell, amtool) = bell();
    amtool.run(&["alert", "add", "alertname=test1", "severity=warning"]);
    amtool.run(&["alert", "add", "alertname=\"alertname=test2\"", "severity=info"]);
    wait_until("both are there", || amtool.json(&["alert", "query"]).as_array().is_some_and(|it| it.len() == 2));
    for (asked, name) in [("test1", "test1"), ("alertname=\"alertname=test2\"", "alertname=test2")] {
        let found = amtool.json(&["alert", "query", asked]);
        assert_eq!((found.as_array().unwrap().len(), &found[0]["labels"]["alertname"]), (1, &Value::from(name)));
    }
}

#[test]
fn test_query_silence() {
    let (_folder, _bell, amtool) = bell();
    for name in ["test1", "alertname=test2"] {
        amtool.run(&["silence", "add", name, "severity=warn", "--comment=known", "--duration=1h"]);
    }
    let all = amtool.json(&["silence", "query"]);
    assert_eq!(all.as_array().unwrap().len(), 2, "{all}");
    let found = amtool.json(&["silence", "query", "test1"]);
    let matchers = found[0]["matchers"].as_array().unwrap();
    let matchers: Vec<String> = matchers.iter().map(|it| format!("{}={}", it["name"], it["value"])).collect();
    assert_eq!(
        (found.as_array().unwrap().len(), matchers.join(" ")),
        (1, "\"alertname\"=\"test1\" \"severity\"=\"warn\"".into())
    );
}

#[test]
fn test_routes_show() {
    let (_folder, _bell, amtool) = bell();
    let tree = amtool.run(&["config", "routes", "show"]);
    assert!(tree.contains("receiver: night") && tree.contains("default-route"), "{tree}");
}

#[test]
fn test_routes_test() {
    let (_folder, _bell, amtool) = bell();
    assert_eq!(amtool.run(&["config", "routes", "test"]).trim(), "default");
    assert_eq!(amtool.run(&["config", "routes", "test", "severity=critical", "service=mail"]).trim(), "night");
    assert!(!amtool.try_run(&["config", "routes", "test", "{foo=bar}"]).0, "these are no labels");
}

/// A silence as a file for `silence import` has it.
fn silence(name: &str, hours: [i64; 2]) -> Value {
    let at = |hours: i64| crate::kill::now() + hours * 3_600_000;
    let [from, until] = hours.map(|hours| watchbell_model::Timestamp(at(hours)));
    serde_json::json!({
        "matchers": [{"name": "alertname", "value": name, "isRegex": false, "isEqual": true}],
        "startsAt": from, "endsAt": until, "createdBy": "test", "comment": name,
    })
}

#[test]
fn test_silence_import() {
    let (folder, _bell, amtool) = bell();
    for name in ["test1", "test2"] {
        amtool.run(&["silence", "add", &format!("alertname={name}"), "--comment=known", "--duration=1h"]);
    }
    let silences = amtool.json(&["silence", "query"]);
    let file = folder.write("silences.json", &silences.to_string()).display().to_string();
    for silence in silences.as_array().unwrap() {
        amtool.run(&["silence", "expire", silence["id"].as_str().unwrap()]);
    }
    assert_eq!(amtool.json(&["silence", "query", "--expired"]).as_array().unwrap().len(), 2);
    amtool.run(&["silence", "import", "--force", &file]);
    assert_eq!(amtool.json(&["silence", "query"]).as_array().unwrap().len(), 2);
}

#[test]
fn test_silence_import_invalid_json() {
    let (folder, _bell, amtool) = bell();
    let file = folder.write("invalid.json", r#"[{"broken": "json""#).display().to_string();
    let (good, out, err) = amtool.try_run(&["silence", "import", &file]);
    assert!(!good && format!("{out}{err}").contains("couldn't unmarshal"), "{out}{err}");
}

#[test]
fn test_silence_import_invalid_silence() {
    let (folder, _bell, amtool) = bell();
    let mut zero = silence("test", [0, 1]);
    zero["startsAt"] = "0001-01-01T00:00:00.000Z".into();
    zero["endsAt"] = "0001-01-01T00:00:00.000Z".into();
    let file = folder.write("invalid.json", &Value::from(vec![zero]).to_string()).display().to_string();
    let (_, out, err) = amtool.try_run(&["silence", "import", "--force", &file]);
    assert!(format!("{out}{err}").to_lowercase().contains("error adding silence"), "{out}{err}");
    assert_eq!(amtool.json(&["silence", "query"]), serde_json::json!([]));
}

#[test]
fn test_silence_import_partial_failure() {
    let (folder, _bell, amtool) = bell();
    let names = ["test1", "test2", "test3", "test4", "test5"].iter().enumerate();
    let mixed: Vec<Value> = names.map(|(at, name)| silence(name, if at % 2 == 0 { [0, 4] } else { [4, 0] })).collect();
    let file = folder.write("mixed.json", &Value::from(mixed).to_string()).display().to_string();
    amtool.try_run(&["silence", "import", "--force", &file]);
    let kept = amtool.json(&["silence", "query"]);
    let mut kept: Vec<&str> = kept.as_array().unwrap().iter().filter_map(|it| it["comment"].as_str()).collect();
    kept.sort_unstable();
    assert_eq!(kept, ["test1", "test3", "test5"]);
}

#[test]
fn amtool_does_all_it_can() {
    let (folder, _bell, amtool) = bell();
    let config = folder.path().join("watchbell.yml").display().to_string();

    // Alerts.
    amtool.run(&[
        "alert",
        "add",
        "DiskFull",
        "severity=critical",
        "service=db",
        "--annotation=summary=The disk is full",
    ]);
    amtool.run(&["alert", "add", "alertname=Slow", "service=web"]);
    wait_until("both alerts are there", || amtool.json(&["alert", "query"]).as_array().is_some_and(|it| it.len() == 2));
    let found = amtool.json(&["alert", "query", "service=~d.*"]);
    assert_eq!(found[0]["labels"]["alertname"], "DiskFull", "{found}");
    assert_eq!(found[0]["annotations"]["summary"], "The disk is full");
    assert_eq!(found[0]["receivers"][0]["name"], "night");
    let of_web = amtool.json(&["alert", "query", "--receiver=web"]);
    assert_eq!((of_web.as_array().unwrap().len(), &of_web[0]["labels"]["alertname"]), (1, &Value::from("Slow")));

    // Silences.
    let id = amtool.run(&["silence", "add", "alertname=Slow", "--comment=known", "--author=me", "--duration=1h"]);
    let id = id.trim();
    assert_eq!(amtool.json(&["alert", "query"]).as_array().unwrap().len(), 1, "the silenced one is left out");
    let silenced = amtool.json(&["alert", "query", "--silenced"]);
    assert_eq!(silenced.as_array().unwrap().len(), 1, "{silenced}");
    let silences = amtool.json(&["silence", "query"]);
    assert_eq!((&silences[0]["id"], &silences[0]["comment"]), (&Value::from(id), &Value::from("known")));
    assert_eq!(silences[0]["matchers"][0]["name"], "alertname");
    amtool.run(&["silence", "update", "--duration=2h", "--comment=longer", id]);
    let silences = amtool.json(&["silence", "query", "alertname=Slow"]);
    assert_eq!(silences[0]["comment"], "longer", "{silences}");
    let backup = folder.write("silences.json", &silences.to_string()).display().to_string();
    let now = silences[0]["id"].as_str().unwrap().to_owned();
    amtool.run(&["silence", "expire", &now]);
    assert_eq!(amtool.json(&["silence", "query"]), serde_json::json!([]));
    assert!(!amtool.json(&["silence", "query", "--expired"]).as_array().unwrap().is_empty());
    amtool.run(&["silence", "import", "--force", &backup]);
    assert_eq!(amtool.json(&["silence", "query"]).as_array().unwrap().len(), 1);
    let (good, _, words) = amtool.try_run(&["silence", "expire", "no-such-silence"]);
    assert!(!good, "{words}");

    // Routes and the rest.
    let receivers = |labels: &[&str]| {
        let arguments: Vec<&str> = ["config", "routes", "test"].into_iter().chain(labels.iter().copied()).collect();
        amtool.run(&arguments).trim().to_owned()
    };
    assert_eq!(receivers(&["severity=critical", "service=db"]), "night");
    assert_eq!(receivers(&["service=web"]), "web");
    assert_eq!(receivers(&["service=other"]), "default");
    let tree = amtool.run(&["config", "routes", "show"]);
    assert!(tree.contains("receiver: night") && tree.contains("service=~\"db|mail\""), "{tree}");
    let shown = amtool.run(&["config", "show"]);
    assert!(!shown.contains("hush"), "{shown}");
    amtool.run(&["cluster", "show"]);
    // The same by our own command.
    let check = Command::new(env!("CARGO_BIN_EXE_watchbell"))
        .args(["check", "--config", &config, "--labels", "severity=critical", "service=db"])
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert_eq!(said, "night  by {}/{service=~\"db|mail\",severity=\"critical\"}\n");
}

/// amtool of that age reads matchers in the classic way alone: what it takes is what the mode `classic` takes.
#[test]
fn the_classic_mode_takes_what_a_classic_amtool_takes() {
    must_have("/usr/bin/amtool", "prometheus-alertmanager");
    let folder = Folder::new("amtool-matchers");
    let mut texts: Vec<String> =
        ["a=b", "a-b=c", "\"Σ\"=c", "a=b c", "a=\"b\\tc\"", "a:b=c", "{a=b", "a=", "1a=b", "{a=b}}", "a==b"]
            .map(str::to_owned)
            .into();
    let letters: Vec<char> = "{}=!~,\"\\'ab n(".chars().collect();
    let mut seed: u64 = 7;
    let mut below = |most: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % most
    };
    for _ in 0..150 {
        // Half of them begin as a matcher does, so that many are good.
        let start = if below(2) == 0 { "a=" } else { "" };
        texts.push(start.to_owned() + &(0..below(7)).map(|_| letters[below(letters.len())]).collect::<String>());
    }
    let mut good = 0;
    for text in &texts {
        let quoted = text.replace('\'', "''");
        let config = format!("route:\n  receiver: x\n  routes:\n  - matchers: ['{quoted}']\nreceivers:\n- name: x\n");
        let config = folder.write("alertmanager.yml", &config);
        let theirs = Command::new("/usr/bin/amtool").arg("check-config").arg(&config).output().expect("amtool starts");
        let ours = watchbell_alerts::MatcherMode::Classic.parse(text);
        assert_eq!(theirs.status.success(), ours.is_ok(), "{text}: {ours:?} {theirs:?}");
        good += usize::from(ours.is_ok());
    }
    assert!((30..130).contains(&good), "{good} of {} are good", texts.len());
}
