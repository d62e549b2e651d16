//! The links of an e-mail, from the real binary through a mail server to the button: whoever clicks sees to it.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watchbell_runtime::Stream;

use crate::kit::{Folder, Process, own_address, request, serve, wait_until};

/// Takes mail and keeps its text.
async fn take_mail(mut stream: Stream, kept: Arc<Mutex<Vec<String>>>) -> Option<()> {
    let (mut bytes, mut mail) = (Vec::new(), None::<String>);
    stream.write_all(b"220 mail ESMTP\r\n").await.ok()?;
    loop {
        let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else {
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
            bytes.extend_from_slice(&buffer[..count]);
            continue;
        };
        let line = String::from_utf8_lossy(&bytes[..end]).into_owned();
        bytes.drain(..end + 2);
        let answer = match (&mut mail, line.as_str()) {
            (Some(text), ".") => {
                kept.lock().expect("no panic").push(std::mem::take(text));
                mail = None;
                "250 ok"
            }
            (Some(text), line) => {
                text.push_str(line.strip_prefix('.').unwrap_or(line));
                text.push_str("\r\n");
                continue;
            }
            (None, "DATA") => {
                mail = Some(String::new());
                "354 go on"
            }
            (None, "QUIT") => "221 bye",
            (None, _) => "250 ok",
        };
        stream.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
    }
}

/// The address of a link in the plain text of a mail.
fn link(mail: &str, action: &str) -> String {
    let whole = mail.replace("=\r\n", "").replace("=3D", "=");
    let at = whole.find(&format!("/do/{action}?")).unwrap_or_else(|| panic!("there is no such link:\n{whole}"));
    whole[at..].split(['\r', '\n', ' ', '"', '<', '>', ')']).next().expect("a text").to_owned()
}

#[test]
fn whoever_clicks_in_a_mail_sees_to_it() {
    let mails: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&mails);
    let smarthost = serve("127.0.0.1:0".parse().expect("an address"), move |stream| {
        let kept = Arc::clone(&kept);
        async move {
            take_mail(stream, kept).await;
        }
    });
    let (folder, here) = (Folder::new("linked"), std::net::SocketAddr::from((own_address(), 9800)));
    folder.write("runbooks/down.md", include_str!("../../../../runbooks/service-down.md"));
    folder.write(
        "watchbell.yml",
        &format!(
            "site: {{url: 'http://{here}'}}\nlisteners: [{{address: '{here}'}}]\nhost: {{enabled: false}}\ndiscovery: {{enabled: false}}\nmonitors:\n  \
             - {{name: web, interval: 1s, retries: 0, runbook: down, tcp: {{host: {}, port: 7000}}}}\n\
             global: {{smtp_smarthost: '{}', smtp_from: bell@example.org, smtp_require_tls: false}}\n\
             route: {{receiver: anna, group_wait: 0s}}\n\
             receivers: [{{name: anna, email_configs: [{{to: anna@example.org}}]}}]\n",
            own_address(),
            smarthost.address
        ),
    );
    let process = Process::start(&folder, &["--config", "watchbell.yml", "--data", "data"], &[]);
    let about_web = || mails.lock().expect("no panic").iter().find(|mail| mail.contains("monitor/web")).cloned();
    wait_until("the mail arrives", || about_web().is_some());
    let mail = about_web().expect("it is there");
    let command = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_watchbell"))
            .args(arguments)
            .args(["--config", "watchbell.yml", "--data", "data"])
            .current_dir(folder.path())
            .output()
            .expect("it runs");
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    let alerts = || command(&["alerts"]);
    assert!(alerts().contains("nobody sees to it"), "{}", alerts());
    let log = command(&["deliveries", "anna/email", "--outcome", "accepted"]);
    assert!(log.contains("accepted") && log.contains("try 1"), "{log}");
    let link = link(&mail, "acknowledge");
    // A program that looks at links changes nothing.
    let (status, page) = process.get(&link);
    assert!(status == 200 && page.contains("Acknowledge") && page.contains("monitor/web"), "{status} {page}");
    assert!(alerts().contains("nobody sees to it"), "{}", alerts());
    // The button of that page.
    let action = page.split("action=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("it has a form");
    let action = action.replace("&amp;", "&");
    assert_eq!(action, link);
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let (status, page) = request(here, "POST", &action, &form, "for=").expect("it answers");
    assert_eq!(status, 200, "{page}");
    assert!(alerts().contains("anna sees to it"), "{}", alerts());
    // A link that somebody changed is none.
    let (status, _) = request(here, "POST", &link.replace("by=anna", "by=ben"), &form, "for=").expect("it answers");
    assert_eq!(status, 401);
}
