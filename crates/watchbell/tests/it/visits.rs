//! Monitors that use a site in the real Chromium, and what people meet when such a site breaks.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::kit::{Folder, Process, own_address, wait_until};
use crate::peers::must_have;

const PORT: u16 = 8080;

const LOGIN: &str = r#"<title>Sign in</title><form method=post action=/login>
    <input id=user name=user value=old> <input id=password name=password type=password>
    <select id=room name=room><option value=1>North<option value=2>South</select> <button id=go>Sign in</button></form>"#;

/// Pages of the site, by address.
fn page(request: &str) -> (&'static str, String) {
    let (head, body) = request.split_once("\r\n\r\n").unwrap_or((request, ""));
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let html = |text: &str| ("200 OK", text.to_owned());
    match (method, path.split('?').next().unwrap_or_default()) {
        ("GET", "/login") => html(LOGIN),
        ("POST", "/login") if body.contains("user=joe&password=s3cret%21&room=2") => {
            ("303 See Other\r\nLocation: /home\r\nSet-Cookie: session=1", String::new())
        }
        ("POST", "/login") => html(&format!("{LOGIN}<p class=error>Wrong password</p>")),
        ("GET", "/home") if head.contains("session=1") => html("<title>Home</title><h1>Welcome, joe</h1>"),
        ("GET", "/home") => ("403 Forbidden", "who are you?".into()),
        ("GET", "/nobutton") => html(&LOGIN.replace("<button id=go>Sign in</button>", "")),
        ("GET", "/covered") => html(&format!(
            "{LOGIN}<div class=banner style='position:fixed;inset:0;background:white'>We value your privacy</div>"
        )),
        ("GET", "/late") => html(
            "<title>Late</title><p id=x hidden>there</p><script>setTimeout(() => { x.hidden = false; alert('Really?'); }, 700)</script>",
        ),
        ("GET", "/keys") => html(
            "<title>Keys</title><input id=q><p id=said></p><script>q.onkeydown = (it) => { if (it.key === 'Enter') said.textContent = q.value.toUpperCase(); }; var ready = true;</script>",
        ),
        ("GET", "/error") => {
            html("<title>Shop</title><h1>Shop</h1><script>\nnobody.knows();</script><img src=/gone.png>")
        }
        ("GET", "/hangs") => html("<title>Hangs</title><img src=/slow>"),
        ("GET", "/spins") => html("<title>Spins</title><button id=b onclick='while (true) {}'>go</button>"),
        ("GET", "/away") => ("302 Found\r\nLocation: http://169.254.169.254/latest/", String::new()),
        ("GET", "/metadata") => html("<title>Page</title><h1>Page</h1><img src='http://169.254.169.254/latest/'>"),
        ("GET", "/broken") => ("503 Service Unavailable", "<h1>Out of order</h1>".into()),
        ("POST", "/discord") => ("200 OK", r#"{"id": "1"}"#.into()),
        _ => ("404 Not Found", "nothing here".into()),
    }
}

/// A small site.
struct Site {
    at: Ipv4Addr,
    /// What was sent to `/discord`.
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Site {
    fn start() -> Site {
        must_have("/usr/bin/chromium", "chromium");
        let (at, sent) = (own_address(), Arc::<Mutex<Vec<Vec<u8>>>>::default());
        let listener = TcpListener::bind((at, PORT)).expect("nobody else has this address");
        let keeps = Arc::clone(&sent);
        // It ends with the tests.
        std::thread::spawn(move || {
            for stream in listener.incoming().filter_map(Result::ok) {
                let keeps = Arc::clone(&keeps);
                std::thread::spawn(move || answer(stream, &keeps));
            }
        });
        Site { at, sent }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}:{PORT}{path}", self.at)
    }
}

fn answer(mut stream: TcpStream, sent: &Mutex<Vec<Vec<u8>>>) -> Option<()> {
    let mut request = Vec::new();
    loop {
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes).ok().filter(|count| *count > 0)?;
        request.extend_from_slice(&bytes[..count]);
        let text = String::from_utf8_lossy(&request).to_lowercase();
        let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
        if request.len() >= head.len() + 4 + length.unwrap_or(0) {
            break;
        }
    }
    let text = String::from_utf8_lossy(&request).into_owned();
    if text.starts_with("GET /slow") {
        // Until the browser goes.
        let _ = stream.read_to_end(&mut Vec::new());
        return None;
    }
    let (status, body) = page(&text);
    if text.starts_with("POST /discord") {
        sent.lock().unwrap().push(request);
    }
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).ok()
}

/// What `watchbell probe` says of a visit, and what it leaves behind of the browser: nothing.
fn visit(more: &str, timeout: &str, steps: &str) -> serde_json::Value {
    let folder = Folder::new("visit");
    let file = folder.write(
        "watchbell.yml",
        &format!(
            "host: {{enabled: false}}\nsecrets: {{password: {{file: secret}}}}\n{more}\nmonitors:\n  - name: m\n    \
             runbook: 'https://example.org/'\n    timeout: {timeout}\n    browser:\n      patience: 2s\n      steps: {steps}\n"
        ),
    );
    folder.write("secret", "s3cret!");
    let output = Command::new(env!("CARGO_BIN_EXE_watchbell"))
        .args(["probe", "--config", &file.display().to_string(), "--output", "json"])
        .current_dir(folder.path())
        .env("TMPDIR", folder.path())
        .output()
        .expect("the binary starts");
    let line = String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned();
    let left = left_behind(&folder.path().display().to_string());
    assert_eq!(left, Vec::<String>::new(), "processes of the browser");
    let folders: Vec<String> = std::fs::read_dir(folder.path())
        .expect("a folder")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.contains("browser") || name.contains("hromium"))
        .collect();
    assert_eq!(folders, Vec::<String>::new());
    serde_json::from_str(&line)
        .unwrap_or_else(|error| panic!("{error}: {line}{}", String::from_utf8_lossy(&output.stderr)))
}

/// Processes that were started with a folder.
fn left_behind(folder: &str) -> Vec<String> {
    let commands = || -> Vec<String> {
        std::fs::read_dir("/proc")
            .expect("processes")
            .filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
            .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
            .filter(|command| command.contains("hrom") && command.contains(folder))
            .collect()
    };
    // What watches over crashes notices a moment later that nobody is left.
    for _ in 0..100 {
        if commands().is_empty() {
            return Vec::new();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    commands()
}

#[track_caller]
fn check(told: &serde_json::Value, words: &[&str]) {
    let text = format!(
        "{}: {}",
        if told["success"] == true { "up" } else { "down" },
        told["message"].as_str().unwrap_or_default()
    );
    for word in words {
        assert!(text.contains(word), "\n  expected: {word}\n  told:     {text}");
    }
}

#[test]
fn a_person_signs_in() {
    let site = Site::start();
    let steps = |button: &str, password: &str| {
        format!(
            "[{{open: '{}'}}, {{fill: {{selector: '#user', value: joe}}}}, \
             {{fill: {{selector: '#password', value: '{password}'}}}}, {{fill: {{selector: '#room', value: South}}}}, \
             {{click: '{button}'}}, {{expect_url: /home}}, {{expect: {{selector: h1, text: Welcome}}}}, \
             {{expect_text: joe}}, {{expect_title: Home}}, {{wait: 'text=Welcome, joe'}}, \
             {{script: 'document.cookie.length > 0'}}]",
            site.url("/login")
        )
    };
    for button in ["#go", "text=Sign in"] {
        let told = visit("", "20s", &steps(button, "${secret:password}"));
        check(&told, &["up: all 11 steps worked; the page is `Home` (", "/home), 200 OK"]);
        let phases: Vec<&str> = told["phases"].as_array().unwrap().iter().map(|it| it[0].as_str().unwrap()).collect();
        assert_eq!(&phases[..3], ["start", "1 open", "2 fill"]);
        assert_eq!(phases.len(), 12);
    }
    let told = visit("", "20s", &steps("#go", "wrong password"));
    check(&told, &["down: step 6, expect_url `/home`: the address is `http://", "/login`; the page is `Sign in`"]);
    assert!(!told.to_string().contains("wrong password"), "{told}");
    // The button is gone, and something lies over it.
    let told = visit("", "20s", &format!("[{{open: '{}'}}, {{click: '#go'}}]", site.url("/nobutton")));
    check(&told, &["down: step 2, click `#go`: there is no such element; the page is `Sign in` (http://", "200 OK"]);
    let told = visit("", "20s", &format!("[{{open: '{}'}}, {{click: '#go'}}]", site.url("/covered")));
    check(&told, &["down: step 2, click `#go`: `div.banner` lies over the element"]);
}

#[test]
fn pages_that_take_their_time_or_fail() {
    let site = Site::start();
    let open = |path: &str| format!("{{open: '{}'}}", site.url(path));
    let late = visit("", "20s", &format!("[{}, {{wait: '#x'}}]", open("/late")));
    check(&late, &["up: all 2 steps worked; the page is `Late`", "it asked `Really?`, and the answer was yes"]);
    let keys = format!(
        "[{}, {{fill: {{selector: '#q', value: shout}}}}, {{press: Enter}}, {{expect: {{selector: '#said', text: SHOUT}}}}, {{script: ready}}]",
        open("/keys")
    );
    check(&visit("", "20s", &keys), &["up: all 5 steps worked"]);
    let script = visit("", "20s", &format!("[{}, {{script: nowhere}}]", open("/keys")));
    check(&script, &["down: step 2, script `nowhere`: it throws `ReferenceError: nowhere is not defined`"]);
    check(
        &visit("", "20s", &format!("[{}]", open("/broken"))),
        &["down: step 1, open", "answered 503 Service Unavailable"],
    );

    let error = format!("[{}]", open("/error"));
    let words = ["the console has 2 errors: `", "`ReferenceError: nobody is not defined` (http://", "/error:2)", "404"];
    check(&visit("", "20s", &error), &[&["up: the step worked"][..], &words].concat());
    let strict = format!("{error}\n      console_error_is_down: true");
    check(&visit("", "20s", &strict), &[&["down: the step worked"][..], &words].concat());

    // Too slow in three ways; nothing of the browser is left, as `visit` sees.
    for (path, words) in [("/slow", "/slow is not answered"), ("/hangs", "the page is not loaded, http://")] {
        let told = visit("", "6s", &format!("[{}]", open(path)));
        check(&told, &["down: step 1, open `http://", "gave up after 6s: ", words]);
    }
    let told = visit("", "6s", &format!("[{}, {{click: '#b'}}, {{wait: '#c'}}]", open("/spins")));
    check(&told, &["down: step 2, click `#b`: gave up after 6s: the page does not answer"]);
}

#[test]
fn addresses_that_are_denied_cannot_be_reached_in_any_way() {
    let site = Site::start();
    let steps =
        |path: &str| format!("[{{open: '{}'}}]", if path.starts_with('/') { site.url(path) } else { path.into() });
    let allowed = format!("egress: {{deny_private: true, allow: [{}]}}", site.at);
    let denied = "169.254.169.254 may not be connected to: it is a private address that `egress` does not allow";
    check(
        &visit("egress: {deny_private: true}", "20s", &steps("/login")),
        &["down: step 1, open", "may not be connected to"],
    );
    check(&visit(&allowed, "20s", &steps("/login")), &["up: the step worked"]);
    check(&visit(&allowed, "20s", &steps("/away")), &["down: step 1, open", denied]);
    check(&visit(&allowed, "20s", &steps("/metadata")), &["up: the step worked", denied]);
    // By a name.
    let named = format!("http://localhost:{PORT}/");
    check(
        &visit(&allowed, "20s", &steps(&named)),
        &["down: step 1, open `http://localhost", "may not be connected to"],
    );
    let lead = format!(
        "[{{open: '{}'}}, {{script: \"location.href = 'http://169.254.169.254/'; true\"}}, {{expect_title: Sign}}, {{wait: '#never'}}]",
        site.url("/login")
    );
    check(&visit(&allowed, "20s", &lead), &["down: step ", denied]);
    // And without a guard, an address where nothing listens.
    let told = visit("", "20s", &steps(&format!("http://{}:7000/", site.at)));
    check(&told, &["down: step 1, open", "refuses the connection: connection refused"]);
    check(&visit("", "20s", &steps("http://nowhere.invalid/")), &["the name `nowhere.invalid` does not resolve"]);
}

#[test]
fn a_page_carries_what_the_browser_saw() {
    let (site, folder) = (Site::start(), Folder::new("shot"));
    let file = folder.write(
        "watchbell.yml",
        &format!(
            "host: {{enabled: false}}\nmonitors:\n  - name: shop\n    interval: 10s\n    retries: 0\n    \
             runbook: 'https://example.org/'\n    browser: {{patience: 1s, steps: [{{open: '{}'}}, {{click: '#go'}}]}}\n\
             receivers:\n  - {{name: phone, discord_configs: [{{webhook_url: '{}'}}]}}\n\
             route: {{receiver: phone, group_wait: 0s}}\n",
            site.url("/nobutton"),
            site.url("/discord")
        ),
    );
    let arguments = ["--config", &file.display().to_string(), "--listen", "127.0.0.1:0"];
    let watchbell = Process::start(&folder, &arguments, &[("TMPDIR", &folder.path().display().to_string())]);
    wait_until("the page is sent", || !site.sent.lock().unwrap().is_empty());
    let sent = site.sent.lock().unwrap()[0].clone();
    let png = sent.windows(8).position(|bytes| bytes == b"\x89PNG\r\n\x1a\n").expect("a picture goes with the page");
    // As wide as the browser's window; graphs are narrower.
    assert_eq!(&sent[png + 16..png + 20], 1280_u32.to_be_bytes());
    let words = String::from_utf8_lossy(&sent).into_owned();
    assert!(words.contains("click `#go`: there is no such element"), "{words}");
    assert_eq!(watchbell.stop(), Some(0));
    assert_eq!(left_behind(&folder.path().display().to_string()), Vec::<String>::new());
}

#[test]
fn a_machine_without_a_browser_says_so() {
    let folder = Folder::new("no-browser");
    let file = folder.write(
        "watchbell.yml",
        "host: {enabled: false}\nbrowsers: {program: /nowhere/chromium}\nmonitors:\n  - {name: m, runbook: 'https://example.org/', \
         browser: {steps: [{open: 'https://example.org/'}]}}\n",
    );
    let run = |command: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_watchbell"))
            .args([command, "--config", &file.display().to_string()])
            .current_dir(folder.path())
            .output()
            .expect("the binary starts");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = run("check");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("there is no browser at /nowhere/chromium; the monitor will be down"), "{said}");
    assert!(said.contains("apt-get install chromium") && said.contains("watchbell.yml:4:"), "{said}");
    let (code, said) = run("probe");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("there is no browser at /nowhere/chromium"), "{said}");
    assert!(!Path::new("/nowhere").exists());
}
