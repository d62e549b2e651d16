//! What fires, and who sees to it, in a terminal: by the data folder on this machine, by a token from elsewhere.

use std::process::{Command, Output};

use crate::kit::{Folder, Process, wait_until};

const SECRET: &str = "a-secret-of-some-length";

fn watchbell(folder: &Folder, arguments: &[&str], token: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchbell"));
    command.args(arguments).current_dir(folder.path()).env("USER", "anna").env_remove("SUDO_USER");
    if let Some(token) = token {
        command.env("WATCHBELL_TOKEN", token);
    }
    command.output().expect("the binary starts")
}

/// Standard output of a command that goes well.
fn said(folder: &Folder, arguments: &[&str], token: Option<&str>) -> String {
    let output = watchbell(folder, arguments, token);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it is text")
}

#[test]
fn what_fires_is_seen_to_in_a_terminal() {
    let folder = Folder::new("terminal");
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number").port();
    folder.write(
        "watchbell.yml",
        &format!(
            "listeners: [{{address: '127.0.0.1:{port}'}}]\nhost: {{enabled: false}}\nsink: {{secret: {SECRET}}}\n"
        ),
    );
    let process = Process::start(&folder, &[], &[]);
    assert_eq!(said(&folder, &["alerts"], None), "nothing fires\n");
    for (source, severity) in [("script/backup", "warning"), ("script/disk", "critical")] {
        let body = format!(r#"{{"summary": "{source} is bad", "severity": "{severity}", "source": "{source}"}}"#);
        assert_eq!(process.request("POST", "/sink", &[("X-Alert-Secret", SECRET)], &body).0, 200);
    }
    let listed = said(&folder, &["alerts"], None);
    assert!(listed.contains("script/disk is bad"), "{listed}");
    let (disk, backup) = (listed.find("script/disk").unwrap(), listed.find("script/backup").unwrap());
    assert!(disk < backup, "the worst is first:\n{listed}");
    assert!(listed.contains("nobody sees to it"), "{listed}");

    // By the beginning of its number, by its source, and by name.
    let number = &listed[..6];
    let acknowledged = said(&folder, &["ack", number, "--comment", "on it"], None);
    assert!(
        acknowledged.starts_with("anna sees to ") && acknowledged.ends_with("script/disk is bad\n"),
        "{acknowledged}"
    );
    assert!(said(&folder, &["alerts"], None).contains("anna sees to it"));
    assert!(said(&folder, &["ack", "script/disk", "--withdraw"], None).starts_with("nobody sees to "));
    assert!(!said(&folder, &["alerts"], None).contains("anna sees to it"));
    let unknown = watchbell(&folder, &["ack", "script/nothing"], None);
    assert_eq!(unknown.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&unknown.stderr),
        "watchbell: nothing that fires is called `script/nothing`; `watchbell alerts` shows what does\n"
    );
    // No token of a command is left behind.
    assert_eq!(said(&folder, &["token", "list"], None), "");

    // Whether the page was worth it, once it went out.
    wait_until("both were told of", || said(&folder, &["alerts", "--past"], None).lines().count() == 4);
    assert!(said(&folder, &["alerts", "--past"], None).contains("no verdict"));
    let given = said(&folder, &["verdict", "script/disk", "false", "--note", "it was a test"], None);
    assert!(given.starts_with("anna says false of ") && given.ends_with("script/disk is bad\n"), "{given}");
    let past = said(&folder, &["alerts", "--past"], None);
    assert!(past.contains("goes on  false, says anna: it was a test"), "{past}");
    assert!(said(&folder, &["verdict", number, "none"], None).starts_with("no verdict on "));
    assert!(!said(&folder, &["alerts", "--past"], None).contains("false"));
    let unknown = watchbell(&folder, &["verdict", "script/nothing", "true"], None);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("nobody was told of anything called `script/nothing`"));
    assert_eq!(watchbell(&folder, &["verdict", "script/disk", "wrong"], None).status.code(), Some(2));

    // A downtime of one of them, from now on.
    assert_eq!(said(&folder, &["downtime", "list"], None), "there is no downtime\n");
    let add = ["downtime", "add", "new disks", "source=\"script/disk\"", "--for", "2h", "--why", "they came today"];
    let made = said(&folder, &add, None);
    assert!(made.contains("new disks  now, until ") && made.ends_with("made by anna: they came today\n"), "{made}");
    assert!(said(&folder, &["alerts"], None).contains("held back by new disks"));
    let again = watchbell(&folder, &add, None);
    assert!(String::from_utf8_lossy(&again.stderr).contains("there is a downtime named `new disks` already"));
    let cron = ["downtime", "add", "backup", "source=\"script/backup\"", "--cron", "0 3 * * SUN", "--for", "2h"];
    assert!(said(&folder, &cron, None).contains("backup  next "));
    assert_eq!(said(&folder, &["downtime", "end", "new disks"], None), "new disks is over\n");
    assert_eq!(said(&folder, &["downtime", "list"], None).lines().count(), 2);
    assert_eq!(watchbell(&folder, &["downtime", "end", "new disks"], None).status.code(), Some(1));
    assert_eq!(
        watchbell(&folder, &["downtime", "add", "x", "a=b", "--cron", "0 3 * * *"], None).status.code(),
        Some(2)
    );

    // From elsewhere, with a token.
    let token = said(&folder, &["token", "new", "laptop"], None);
    let url = format!("http://127.0.0.1:{port}");
    let far = ["ack", "--all", "--by", "ben", "--url", &url];
    assert_eq!(watchbell(&folder, &far, None).status.code(), Some(1), "without one it is refused");
    assert_eq!(said(&folder, &far, Some(token.trim())).lines().count(), 2);
    let json = said(&folder, &["alerts", "--output", "json"], None);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert!(json.as_array().unwrap().iter().all(|group| group["alerts"][0]["acknowledged"]["by"] == "ben"), "{json}");
    assert!(said(&folder, &["token", "list"], None).starts_with("laptop  since "));
    said(&folder, &["token", "revoke", "laptop"], None);
    assert_eq!(watchbell(&folder, &far, Some(token.trim())).status.code(), Some(1), "it is taken back");
    assert_eq!(watchbell(&folder, &["token", "revoke", "laptop"], None).status.code(), Some(1));
    wait_until("it answers", || process.get("/health").0 == 200);
}
