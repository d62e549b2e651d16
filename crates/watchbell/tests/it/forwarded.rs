//! Alertmanagers elsewhere are told what fires, as Prometheus tells them.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use watchbell_model::Timestamp;
use watchbell_runtime::sim;
use watchbell_sim::{Behaviour, Receiver};

use crate::kit::{Folder, Process, own_address, request, wait_until};
use crate::peers::must_have;
use crate::world::{Sim, load, receiver};

const MONITORS: &str = "
host: {enabled: false}
monitors:
  - {name: door, interval: 20s, retries: 0, runbook: 'https://books.example/door', tcp: {host: door.example, port: 22}}
";

/// What an Alertmanager was told since a moment: seconds since then, the alert's name, how long until it ends.
fn told(receiver: &Receiver, since: Timestamp) -> Vec<(u64, String, i64)> {
    let mut told = Vec::new();
    for request in receiver.received().iter().filter(|it| it.at >= since) {
        assert_eq!((request.method.as_str(), request.headers["content-type"].as_str()), ("POST", "application/json"));
        let alerts: Vec<Value> = serde_json::from_str(&request.body).unwrap();
        for alert in alerts {
            let time = |name: &str| serde_json::from_value::<Timestamp>(alert[name].clone()).unwrap();
            let ends_in = time("endsAt").as_seconds() - request.at.as_seconds();
            let name = alert["labels"]["alertname"].as_str().unwrap().to_owned();
            told.push((request.at.since(since).as_secs(), name, ends_in.round() as i64));
        }
    }
    told
}

#[test]
fn what_fires_is_said_at_once_and_every_minute_and_its_end_too() {
    sim::run(1, |world| async move {
        let config = format!(
            "{MONITORS}\nalerting: {{alertmanagers: [{{static_configs: [{{targets: ['am.example:9093']}}]}}]}}\n"
        );
        let there = receiver(&world, "am.example", 9093, None);
        let door = receiver(&world, "door.example", 22, None);
        let mut watchbell = Sim::new(world.clone(), &[("watchbell.yml", &config)]);
        watchbell.start().await;
        world.clock.sleep(Duration::from_secs(120)).await;
        assert_eq!(told(&there, Timestamp::default()), [], "nothing fires");
        world.net.refuse("door.example", 22);
        let broken = world.clock.now();
        world.clock.sleep(Duration::from_secs(170)).await;
        let said = told(&there, broken);
        assert!(said.iter().all(|(_, name, ends_in)| name == "MonitorDown" && *ends_in == 240), "{said:?}");
        let at: Vec<u64> = said.iter().map(|(at, ..)| *at).collect();
        assert!(at[0] <= 26 && (3..=4).contains(&at.len()), "{at:?}");
        assert!(at.windows(2).all(|pair| (60..=65).contains(&(pair[1] - pair[0]))), "{at:?}");
        assert!(there.received()[0].path == "/api/v2/alerts");

        world.net.serve("door.example", 22, move |stream| {
            let door = door.clone();
            async move { door.serve(stream).await }
        });
        let healed = world.clock.now();
        world.clock.sleep(Duration::from_secs(30 * 60)).await;
        let said = told(&there, healed);
        let ends: Vec<_> = said.iter().filter(|(_, _, ends_in)| *ends_in <= 0).collect();
        assert!(
            ends[0].0 <= 26 && (14..=16).contains(&ends.len()),
            "its end is said for a quarter of an hour: {said:?}"
        );
        watchbell.stop().await;
    });
}

#[test]
fn one_that_takes_nothing_is_told_of_and_hears_of_everything_when_it_is_back() {
    sim::run(2, |world| async move {
        let config = format!(
            "{MONITORS}
receivers: [{{name: people, webhook_configs: [{{url: 'http://people.example/'}}]}}]
route: {{receiver: people, group_by: ['...'], group_wait: 0s}}
alerting:
  alertmanagers:
    - path_prefix: /am/
      static_configs: [{{targets: ['hangs.example:9093']}}]
      file_sd_configs: [{{files: [found.json]}}]
      relabel_configs: [{{source_labels: [__address__], regex: 'not.*', action: drop}}]
      alert_relabel_configs: [{{source_labels: [source], regex: 'self/.*', action: drop}}]
"
        );
        let found = r#"[{"targets": ["found.example:80", "not.example:80"]}]"#;
        let there = |host, port| receiver(&world, host, port, None);
        let (hangs, found_there) = (there("hangs.example", 9093), there("found.example", 80));
        let (not, people) = (there("not.example", 80), there("people.example", 80));
        hangs.behave(Behaviour::Hang);
        let mut watchbell = Sim::new(world.clone(), &[("watchbell.yml", &config), ("found.json", found)]);
        watchbell.start().await;
        world.net.refuse("door.example", 22);
        world.clock.sleep(Duration::from_secs(300)).await;
        let begin = Timestamp::default();
        assert!(told(&found_there, begin).len() >= 4, "the other does not wait for it for long");
        assert!(found_there.received().iter().all(|it| it.path == "/am/api/v2/alerts"));
        assert_eq!((not.tries(), hangs.received().len()), (0, 0));
        let pages: Vec<String> = people.received().into_iter().map(|it| it.body).collect();
        let about = "The Alertmanager at http://hangs.example:9093/am/api/v2/alerts has taken no alerts for a minute";
        assert_eq!(pages.iter().filter(|page| page.contains(about)).count(), 1, "{pages:?}");
        hangs.behave(Behaviour::Accept);
        world.clock.sleep(Duration::from_secs(20)).await;
        let names: Vec<String> = told(&hangs, begin).into_iter().map(|(_, name, _)| name).collect();
        assert_eq!(names, ["MonitorDown"], "the trouble about itself is left out by `alert_relabel_configs`");
        assert!(watchbell.app().runtime.troubles.list().is_empty());
        watchbell.stop().await;
    });
}

#[test]
fn requests_to_amazons_alertmanager_are_signed() {
    sim::run(1, |world| async move {
        let config = format!(
            "{MONITORS}
alerting:
  alertmanagers:
    - path_prefix: /workspaces/ws-1/alertmanager
      sigv4: {{region: eu-west-1, access_key: AK, secret_key: hush}}
      static_configs: [{{targets: ['aps.example:80']}}]
"
        );
        let there = receiver(&world, "aps.example", 80, None);
        let mut watchbell = Sim::new(world.clone(), &[("watchbell.yml", &config)]);
        watchbell.start().await;
        world.net.refuse("door.example", 22);
        world.clock.sleep(Duration::from_secs(120)).await;
        let said = &there.received()[0];
        assert_eq!(said.path, "/workspaces/ws-1/alertmanager/api/v2/alerts");
        let signature = &said.headers["authorization"];
        let begin = "AWS4-HMAC-SHA256 Credential=AK/20260105/eu-west-1/aps/aws4_request, ";
        assert!(signature.starts_with(begin) && signature.contains("content-type;host;x-amz-date"), "{signature}");
        watchbell.stop().await;
    });
}

#[test]
fn a_wrong_entry_says_what_is_wrong() {
    sim::run(1, |world| async move {
        let mut said = Vec::new();
        for entry in [
            "{static_configs: [{targets: ['am:9093']}], timeout: 0s}",
            "{static_configs: [{targets: ['am:9093']}], api_version: v1}",
            "{static_configs: [{targets: ['http://am:9093']}]}",
            "{static_configs: [{targets: ['am:9093']}], scrape_interval: 1m}",
            "{static_config: [{targets: ['am:9093']}]}",
            "{static_configs: [{targets: ['am:9093']}], alert_relabel_configs: [{action: jump}]}",
            "{static_configs: [{targets: ['am:9093']}], sigv4: {access_key: AK}, basic_auth: {username: u, password: p}}",
        ] {
            let config = format!("alerting: {{alertmanagers: [{entry}]}}\n");
            let _ = Sim::new(world.clone(), &[("watchbell.yml", &config)]);
            said.push(load(&world.runtime()).await.err().expect("it is refused"));
        }
        expect_test::expect![[r#"
            /etc/watchbell/watchbell.yml:1:28: error: alerting.alertmanagers[0]: timeout: a request that may take no time always fails
                as in Prometheus: `static_configs: [{targets: ['host:9093']}]`

            /etc/watchbell/watchbell.yml:1:28: error: alerting.alertmanagers[0]: api_version: `v1` is not one that Alertmanagers have; it is `v2`
                as in Prometheus: `static_configs: [{targets: ['host:9093']}]`

            /etc/watchbell/watchbell.yml:1:57: error: alerting.alertmanagers[0].static_configs[0].targets[0]: `http://am:9093` is not an address of a host
                a target is `host:port`, such as `mail.example.org:9154`

            /etc/watchbell/watchbell.yml:1:28: error: alerting.alertmanagers[0]: `scrape_interval` is not a field of it
                as in Prometheus: `static_configs: [{targets: ['host:9093']}]`

            /etc/watchbell/watchbell.yml:1:28: error: alerting.alertmanagers[0]: `static_config` is not a field of it; `static_configs` is one
                as in Prometheus: `static_configs: [{targets: ['host:9093']}]`

            /etc/watchbell/watchbell.yml:1:28: error: alerting.alertmanagers[0]: alert_relabel_configs: unknown variant `jump`, expected one of `Replace`, `replace`, `Keep`, `keep`, `Drop`, `drop`, `KeepEqual`, `keepequal`, `DropEqual`, `dropequal`, `HashMod`, `hashmod`, `LabelMap`, `labelmap`, `LabelDrop`, `labeldrop`, `LabelKeep`, `labelkeep`, `Lowercase`, `lowercase`, `Uppercase`, `uppercase`
                as in Prometheus: `static_configs: [{targets: ['host:9093']}]`

            /etc/watchbell/watchbell.yml:1:28: error: alerting.alertmanagers[0]: there are other credentials beside `sigv4`
                at most one of `basic_auth`, `oauth2`, `authorization` and `sigv4` goes with a request
            /etc/watchbell/watchbell.yml:1:71: error: alerting.alertmanagers[0].sigv4: there is only one of `access_key` and `secret_key`
                give both, or neither for the surroundings' credentials
        "#]].assert_eq(&said.join("\n"));
    });
}

/// A real Alertmanager; ends with the test.
struct Alertmanager(Child);

impl Alertmanager {
    fn start(folder: &Folder, at: SocketAddr) -> Alertmanager {
        must_have("/usr/bin/prometheus-alertmanager", "prometheus-alertmanager");
        let config = folder.write("alertmanager.yml", "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n");
        let child = Command::new("/usr/bin/prometheus-alertmanager")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", folder.path().join("alertmanager").display()))
            .arg(format!("--web.listen-address={at}"))
            .arg("--cluster.listen-address=")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("alertmanager starts");
        let alertmanager = Alertmanager(child);
        wait_until("alertmanager listens", || TcpStream::connect(at).is_ok());
        alertmanager
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_real_alertmanager_has_the_alert_and_its_end() {
    let (folder, host) = (Folder::new("forwarded"), own_address());
    let (there, door) = (SocketAddr::from((host, 9093)), SocketAddr::from((host, 2222)));
    let _alertmanager = Alertmanager::start(&folder, there);
    let config = format!(
        "host: {{enabled: false}}
monitors: [{{name: door, interval: 1s, retries: 0, runbook: 'https://books.example/door', tcp: {{host: {host}, port: 2222}}}}]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{there}']}}]}}]}}
"
    );
    let config = folder.write("watchbell.yml", &config).display().to_string();
    let (data, listen) = (folder.path().join("data").display().to_string(), SocketAddr::from((host, 9800)).to_string());
    let watchbell = Process::start(&folder, &["--config", &config, "--data", &data, "--listen", &listen], &[]);
    let alerts = || {
        let (_, body) = request(there, "GET", "/api/v2/alerts", &[], "").unwrap_or_default();
        serde_json::from_str::<Vec<Value>>(&body).unwrap_or_default()
    };
    wait_until("the alert is there", || alerts().iter().any(|it| it["labels"]["monitor"] == "door"));
    let _open = TcpListener::bind(door).unwrap();
    wait_until("it is over there", || alerts().is_empty());
    let (_, said) = watchbell.get("/api/v1/alertmanagers");
    assert!(said.contains(&format!("http://{there}/api/v2/alerts")), "{said}");
}
