//! The UI in a real browser: what is down is visible, nothing is fetched from elsewhere, no error is logged.

use std::path::Path;
use std::process::Command;

use crate::kit::{Folder, Process, own_address, wait_until};
use crate::peers::must_have;

#[test]
fn what_is_down_is_visible_without_an_error_or_a_foreign_request() {
    must_have("/usr/bin/chromium", "chromium");
    let folder = Folder::new("browser");
    folder.write("runbooks/down.md", include_str!("../../../../runbooks/service-down.md"));
    let up = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let file = folder.write(
        "watchbell.yml",
        &format!(
            "site: {{name: Example}}\nhost: {{interval: 1s}}\nmonitors:\n  \
             - {{name: mailbox, interval: 1s, retries: 0, runbook: down, tcp: {{host: {}, port: 7000}}}}\n  \
             - {{name: website, interval: 1s, retries: 0, runbook: down, tcp: {{host: 127.0.0.1, port: {}}}}}\n\
             heartbeats:\n  - {{name: nightly backup, period: 1d, grace: 1h, runbook: down}}\n\
             receivers:\n  - {{name: phone, webhook_configs: [{{url: 'http://127.0.0.1:9/'}}]}}\n",
            own_address(),
            up.local_addr().expect("it has one").port(),
        ),
    );
    let path = file.display().to_string();
    let watchbell = Process::start(&folder, &["--config", &path, "--listen", "127.0.0.1:0"], &[]);
    let link = watchbell.banner.iter().find_map(|line| line.split_whitespace().find(|word| word.contains("/signin?")));
    let link = link.expect("the banner has a sign-in link").to_owned();
    wait_until("the alert is raised", || watchbell.get("/api/v2/alerts").1.contains("MonitorDown"));

    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/browser");
    if !web.join("node_modules/playwright-core").exists() {
        let installed = Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&web).status();
        assert!(installed.is_ok_and(|status| status.success()), "npm ci in web/browser");
    }
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures");
    std::fs::create_dir_all(&pictures).expect("a folder");
    let output = Command::new("node")
        .arg(web.join("overview.mjs"))
        .args([&link, "mailbox"])
        .arg(&pictures)
        .output()
        .expect("node runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let seen: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    assert_eq!(seen["errors"], serde_json::json!([]), "console errors");
    assert_eq!(seen["foreign"], serde_json::json!([]), "requests to other hosts");
    let text = |name: &str| seen[name].as_str().unwrap_or_default().to_lowercase();
    for word in ["mailbox", "website", "nightly backup", "down"] {
        assert!(text("overview").contains(word), "`{word}` is not on the overview:\n{}", text("overview"));
    }
    assert!(text("alarm").contains("refuse"), "why it is down is not on the alarm's page:\n{}", text("alarm"));
    assert!(text("runbook").contains("what to check first"), "the run book does not open:\n{}", text("runbook"));
    for (page, status) in seen["status"].as_object().expect("an object") {
        assert_eq!(status, 200, "{page}");
    }
    assert_eq!(watchbell.stop(), Some(0));
}
