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

#[test]
fn amtool_does_all_it_can() {
    must_have("/usr/bin/amtool", "prometheus-alertmanager");
    let folder = Folder::new("amtool");
    let config = folder.write("watchbell.yml", CONFIG);
    let address = SocketAddr::from((own_address(), 9800));
    let (config, data) = (config.display().to_string(), folder.path().join("data").display().to_string());
    let _bell = Process::start(&folder, &["--config", &config, "--data", &data, "--listen", &address.to_string()], &[]);
    let amtool = Amtool { url: format!("http://{address}") };

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
