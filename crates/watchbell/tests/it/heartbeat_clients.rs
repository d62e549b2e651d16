//! Heartbeats and those who speak to them: a published library, runitor's calls, a real mailer, and the configuration that is
//! planned and applied with addresses that go to files and to an AWS that moto plays.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use watchbell_model::Timestamp;
use watchbell_sim::Authority;

use crate::discovered::Moto;
use crate::kit::{Folder, Process, own_address};
use crate::peers::must_have;

const KEY: &str = "0123456789abcdef0123456789abcdef";
const UUID: &str = "5f1c1d3e-8f4e-4b2a-9d6f-0a1b2c3d4e5f";

/// A watchbell with heartbeats alone.
fn start(folder: &Folder, more: &str) -> Process {
    let address = SocketAddr::from((own_address(), 9800));
    let config = format!(
        "listeners: [{{address: '{address}'}}]\nhost: {{enabled: false}}\ndiscovery: {{enabled: false}}\n\
         ping_key: a-ping-key\nhealthchecks: {{key: {KEY}}}\nstorage: {{path: {}}}\n{more}",
        folder.path().join("data").display()
    );
    folder.write("watchbell.yml", &config);
    Process::start(folder, &[], &[])
}

fn ask(watchbell: &Process, method: &str, path: &str) -> Value {
    let (status, body) = watchbell.request(method, path, &[("X-Api-Key", KEY)], "");
    assert_eq!(status, 200, "{path}: {body}");
    let json = body.find('{').map_or("null", |at| &body[at..=body.rfind('}').expect("it ends")]);
    serde_json::from_str(json).expect("it is JSON")
}

const LIBRARY: &str = r#"
import sys
from healthchecks_io import CheckCreate, CheckTrap, Client
from healthchecks_io.schemas.checks import CheckStatuses
url, key, ping_key = sys.argv[1:]
with Client(api_key=key, ping_key=ping_key, api_url=url + "/api/", ping_url=url + "/ping/", api_version=2) as client:
    new = CheckCreate(name="Library", tags="py db", desc="d", schedule="0 3 * * *", tz="Europe/Riga", grace=600)
    made = client.create_check(new)
    assert (made.name, made.tags, made.status, made.grace) == ("Library", "py db", "new", 600), made
    for told in (client.start_ping(uuid=made.uuid), client.success_ping(uuid=made.uuid, data="done"),
                 client.fail_ping(slug="library"), client.exit_code_ping(3, uuid=made.uuid, data="no space"),
                 client.exit_code_ping(0, slug="library")):
        assert told == (True, "OK"), told
    kinds = [it.type for it in client.get_check_pings(made.uuid)]
    assert kinds == ["success", "fail", "fail", "success", "start"], kinds
    assert client.get_check(made.uuid).n_pings == 5
    # `get_check_flips` of this library (0.4.4) fails with Healthchecks itself: it takes the answer for a list, as the
    # manual's example has it, but since flips exist (June 2020, all versions of the API) the server answers
    # {"flips": [...]}, which the recorded exchanges of `GetFlipsTestCase` show. So the library's own schema reads ours.
    flips = client.check_response(client._client.get(client._get_api_request_url(f"checks/{made.uuid}/flips/"))).json()
    flips = [CheckStatuses(**it) for it in flips["flips"]]
    assert [it.up for it in flips] == [1, 0, 1] and all(it.timestamp.utcoffset() is not None for it in flips), flips
    assert [it.name for it in client.get_checks(tags=["db"])] == ["Library"]
    assert client.get_checks(tags=["none"]) == [] and client.get_integrations() == []
    assert "db" in client.get_badges()
    changed = client.update_check(made.uuid, CheckCreate(name="Renamed", timeout=3600, grace=60))
    assert (changed.name, changed.timeout) == ("Renamed", 3600), changed
    assert client.pause_check(made.uuid).status == "paused"
    try:
        with CheckTrap(client, uuid=made.uuid):
            raise ValueError("went wrong")
    except ValueError:
        pass
    assert client.get_check(made.uuid).status == "down"
    client.delete_check(made.uuid)
    assert client.get_checks() == []
"#;

#[test]
fn a_published_library_makes_pings_and_deletes() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/healthchecks/bin/python");
    must_have(&python.display().to_string(), "python3-venv, then `cargo xtask test`,");
    let folder = Folder::new("library");
    let watchbell = start(&folder, "");
    let url = format!("http://{}", watchbell.address);
    let run = Command::new(python).args(["-c", LIBRARY, &url, KEY, "a-ping-key"]).output().expect("python runs");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

#[test]
fn a_runner_tells_start_and_exit_status_of_overlapping_runs() {
    let folder = Folder::new("runitor");
    let watchbell = start(&folder, &format!("heartbeats: [{{name: job, uuid: {UUID}, runbook: 'https://a.b/'}}]\n"));
    let (one, two) = ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222");
    let long = "x".repeat(12_000) + "the end";
    for (action, run, body) in [
        ("/start", one, ""),
        ("/start", two, ""),
        ("/7", one, long.as_str()),
        ("/0", two, "all is well"),
        ("/log", one, "x"),
    ] {
        let path = format!("/ping/{UUID}{action}?rid={run}");
        let agent = [("User-Agent", "runitor/v1.4.1 (+https://bdd.fi/x/runitor)")];
        assert_eq!(watchbell.request("POST", &path, &agent, body), (200, "OK".to_owned()), "{path}");
    }
    let pings = ask(&watchbell, "GET", &format!("/api/v3/checks/{UUID}/pings/"));
    let of = |field: &str| -> Vec<Value> {
        pings["pings"].as_array().expect("a list").iter().map(|it| it[field].clone()).collect()
    };
    assert_eq!(of("type"), ["log", "success", "fail", "start", "start"]);
    assert_eq!(of("rid"), [one, two, one, two, one]);
    assert!(of("duration")[1].is_f64() && of("duration")[2].is_f64(), "{pings}");
    assert!(of("ua")[0].as_str().expect("it has one").starts_with("runitor/"));
    let (_, body) = watchbell.request("GET", &format!("/api/v3/checks/{UUID}/pings/3/body"), &[("X-Api-Key", KEY)], "");
    assert!(body.contains(&"x".repeat(10_000)) && !body.contains("the end"), "{} bytes", body.len());
}

#[test]
fn what_jobs_are_told_to_say_says_it() {
    let folder = Folder::new("snippets");
    let watchbell = start(&folder, &format!("heartbeats: [{{name: job, uuid: {UUID}, runbook: 'https://a.b/'}}]\n"));
    let snippet = |kind: &str| run(&folder, &["heartbeats", "job", "--snippet", kind]).1;
    let shell = |script: &str| {
        let done = Command::new("sh").args(["-c", script]).output().expect("there is a shell");
        assert_eq!(String::from_utf8_lossy(&done.stderr), "", "{script}");
    };
    shell(&format!("(exit 3){}", snippet("cron")));
    shell(&format!(
        "JOB() {{ [ ! -e {0} ] && touch {0}; }}\n{1}",
        folder.path().join("once").display(),
        snippet("shell").replace("sleep 60", ":")
    ));
    let python = |script: String| Command::new("python3").args(["-c", &script]).output().expect("there is a Python");
    python(format!("def job(): raise ValueError\n{}", snippet("python")));
    let done = python(format!("def job(event): return event\n{}\nassert handler(5, None) == 5", snippet("lambda")));
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let pings = ask(&watchbell, "GET", &format!("/api/v3/checks/{UUID}/pings/"));
    let kinds: Vec<&str> =
        pings["pings"].as_array().expect("a list").iter().filter_map(|it| it["type"].as_str()).collect();
    assert_eq!(kinds, ["success", "start", "fail", "start", "success", "fail"]);
    let units = snippet("systemd-units");
    assert!(units.contains("OnFailure=JOB-failed.service") && units.contains(&format!("/ping/{UUID}/fail")), "{units}");
}

/// Sends a mail: the exit code and what was said on the wire.
fn swaks(server: SocketAddr, arguments: &[&str]) -> (Option<i32>, String) {
    must_have("/usr/bin/swaks", "swaks");
    let server = server.to_string();
    let output = Command::new("/usr/bin/swaks")
        .args(["--server", &server, "--from", "cron@db1.example", "--helo", "db1.example", "--timeout", "20"])
        .args(arguments)
        .output()
        .expect("swaks runs");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_real_mailer_brings_pings_that_outlive_a_kill() {
    let folder = Folder::new("swaks");
    let (certificate, key) =
        Authority::new().issue(&["watch.example"], Timestamp::parse_rfc3339("2039-01-01T00:00:00Z").unwrap());
    folder.write("cert.pem", &certificate);
    folder.write("key.pem", &key);
    let server = SocketAddr::from((own_address(), 2525));
    let more = format!(
        "ping_mail: {{listen: '{server}', cert_file: cert.pem, key_file: key.pem, size_max: 100KB}}
heartbeats:
  - {{name: plain, uuid: {UUID}, runbook: 'https://a.b/'}}
  - {{name: db-dump, runbook: 'https://a.b/', keywords: {{success: [OK], failure: [FAILED], look_in: [subject]}}}}
"
    );
    let watchbell = start(&folder, &more);
    let to = format!("{UUID}@watch.example");
    let (code, said) = swaks(server, &["--to", &to, "--body", "done\n.hidden"]);
    assert_eq!((code, said.contains("250 2.0.0 kept")), (Some(0), true), "{said}");
    let by_slug = ["--to", "a-ping-key+db-dump@watch.example", "--tls", "--header"];
    let with = |subject: &'static str| by_slug.into_iter().chain([subject]).collect::<Vec<_>>();
    let (code, said) = swaks(server, &with("Subject: =?utf-8?q?dump_FAILED?="));
    assert_eq!((code, said.contains("TLS started with cipher TLSv1.3")), (Some(0), true), "{said}");
    // Killed at once after its answer, it has the mail all the same.
    watchbell.kill();
    let watchbell = start(&folder, &more);
    let status = |name: &str| {
        let checks = ask(&watchbell, "GET", "/api/v3/checks/");
        let check = checks["checks"].as_array().expect("a list").iter().find(|it| it["name"] == name);
        check.expect("it is there")["status"].as_str().expect("it has one").to_owned()
    };
    assert_eq!((status("plain").as_str(), status("db-dump").as_str()), ("up", "down"));
    assert_eq!(swaks(server, &with("Subject: dump OK")).0, Some(0));
    assert_eq!(status("db-dump"), "up");
    let pings = ask(&watchbell, "GET", &format!("/api/v3/checks/{UUID}/pings/"));
    let ping = &pings["pings"][0];
    assert_eq!((&ping["scheme"], &ping["ua"]), (&"email".into(), &"Email from cron@db1.example".into()));
    let (_, body) = watchbell.request("GET", &format!("/api/v3/checks/{UUID}/pings/1/body"), &[("X-Api-Key", KEY)], "");
    assert!(body.contains("\r\n.hidden"), "{body}");
    // Nothing is passed on, and nothing is taken that is too long.
    let (code, said) = swaks(server, &["--to", "somebody@example.com"]);
    assert_eq!((code, said.contains("550 5.1.1")), (Some(24), true), "{said}");
    let big = "x".repeat(70).repeat(2000);
    let file = folder.write("big", &big).display().to_string();
    let (code, said) = swaks(server, &["--to", &to, "--body", &format!("@{file}")]);
    assert!(code != Some(0) && said.contains("552"), "{code:?} {}", &said[said.len().saturating_sub(500)..]);
}

/// `watchbell plan` or `apply` in the folder: its exit code and what it printed.
fn run(folder: &Folder, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_watchbell"))
        .args(arguments)
        .current_dir(folder.path())
        .output()
        .expect("the binary starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

const PARAMETER: &str = r#"
import sys, boto3
ssm = boto3.client("ssm", region_name="eu-west-1", endpoint_url=sys.argv[1], aws_access_key_id="AK", aws_secret_access_key="SK")
if len(sys.argv) > 2:
    ssm.put_parameter(Name="/jobs/ping_backup", Value=sys.argv[2], Type="SecureString", Overwrite=True)
it = ssm.get_parameter(Name="/jobs/ping_backup", WithDecryption=True)["Parameter"]
print(it["Type"], it["Version"], it["Value"])
"#;

#[test]
fn what_the_configuration_wants_is_planned_applied_and_written_for_jobs() {
    let (folder, moto) = (Folder::new("plan"), Moto::start());
    let addresses = format!(
        "ping_addresses: {{api_url: 'http://{}', sigv4: {{region: eu-west-1, access_key: AK, secret_key: SK}}}}\n",
        moto.address
    );
    let to = "address_to: {file: backup.url, env_file: jobs.env, variable: PING, ssm_parameter: /jobs/ping_backup}";
    let backup = |grace: &str| {
        format!(
            "{addresses}heartbeats:\n  - {{name: Backup, uuid: {UUID}, grace: {grace}, runbook: 'https://a.b/', {to}}}\n"
        )
    };
    folder.write("jobs.env", "HOME=/root\nPING=placeholder\n");
    let watchbell = start(&folder, &backup("1h"));
    let url = format!("http://{}/ping/{UUID}", watchbell.address);
    assert_eq!(watchbell.request("GET", "/ping/a-ping-key/by-hand?create=1", &[], "").0, 201);
    let (code, said) = run(&folder, &["plan"]);
    assert_eq!(code, Some(3), "{said}");
    for words in ["by-hand", "file ", "variable PING of", "parameter /jobs/ping_backup"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let parameter = |arguments: &[&str]| moto.python(PARAMETER, arguments);
    assert!(!folder.path().join("backup.url").exists(), "a plan writes nothing");

    assert_eq!(run(&folder, &["apply"]).0, Some(0));
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("it is written");
    assert_eq!((read("backup.url"), read("jobs.env")), (format!("{url}\n"), format!("HOME=/root\nPING={url}\n")));
    assert_eq!(parameter(&[]), format!("SecureString 1 {url}"));
    // What is so already is not written again; what says `paused` stays.
    let (code, said) = run(&folder, &["apply"]);
    assert_eq!((code, said.contains("nothing was to do")), (Some(0), true), "{said}");
    assert_eq!(parameter(&[]), format!("SecureString 1 {url}"));
    parameter(&["paused"]);
    let (code, said) = run(&folder, &["apply"]);
    assert_eq!((code, said.contains("says `paused`")), (Some(0), true), "{said}");
    assert_eq!(parameter(&[]), "SecureString 2 paused");

    // A changed configuration: one is new, one changed, and a paused one stays paused.
    ask(&watchbell, "POST", &format!("/api/v3/checks/{UUID}/pause"));
    let config =
        read("watchbell.yml").replace("grace: 1h", "grace: 30m") + "  - {name: Import, runbook: 'https://a.b/'}\n";
    folder.write("watchbell.yml", &config);
    let (code, said) = run(&folder, &["plan", "--output", "json"]);
    let plan: Value = serde_json::from_str(&said).expect("it is JSON");
    assert_eq!(code, Some(3), "{said}");
    assert_eq!((&plan["new"][0], &plan["changed"][0]["name"]), (&"Import".into(), &"Backup".into()), "{said}");
    assert!(plan["changed"][0]["fields"]["grace"].is_object() && plan["extras"][0]["name"] == "by-hand", "{said}");
    let (code, said) = run(&folder, &["apply"]);
    assert_eq!(code, Some(0), "{said}");
    let checks = |field: &str| -> Vec<String> {
        let all = ask(&watchbell, "GET", "/api/v3/checks/");
        let all = all["checks"].as_array().expect("a list").iter();
        all.map(|it| it[field].as_str().expect("it has one").to_owned()).collect()
    };
    assert_eq!(checks("name"), ["Backup", "Import", "by-hand"]);
    assert_eq!(checks("status")[0], "paused");
    assert_eq!(run(&folder, &["apply", "--delete-extras"]).0, Some(0));
    assert_eq!(checks("name"), ["Backup", "Import"]);
    assert_eq!(run(&folder, &["plan"]).0, Some(0));
    // What only watchbell knows of a heartbeat is compared, too; a secret is not printed.
    let config = config.replace("grace: 30m", "grace: 30m, severity: warning, description: 'ask ${secret:word}'")
        + "secrets: {word: {file: word}}\n";
    folder.write("word", "hush-hush");
    folder.write("watchbell.yml", &config);
    let (code, said) = run(&folder, &["plan"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains(r#"~ Backup: description "<secret>" becomes "<secret>", severity "critical" becomes "warning""#),
        "{said}"
    );
    assert_eq!(run(&folder, &["apply"]).0, Some(0));
    // Another secret of the same length changes what nobody sees; `apply` reads it all the same.
    folder.write("word", "shush-shu");
    let (code, said) = run(&folder, &["plan"]);
    assert_eq!((code, said.contains("hush") || said.contains("shush")), (Some(3), false), "{said}");
    assert_eq!(run(&folder, &["apply"]).0, Some(0));
    assert_eq!(run(&folder, &["plan"]).0, Some(0));
    // A place that cannot be written is named.
    folder.write("watchbell.yml", &config.replace("file: backup.url", "file: none/backup.url"));
    let (code, said) = run(&folder, &["apply"]);
    assert_eq!((code, said.contains("none/backup.url")), (Some(1), true), "{said}");
}
