//! Places: agents in networks of their own, in simulated time; and as processes beside a server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use tokio::sync::watch;
use watchbell_model::{Matcher, Query as _, Secret, Timestamp, is_stale};
use watchbell_runtime::http::Proxies;
use watchbell_runtime::sim::{self, SimNet, World};
use watchbell_runtime::tls::TlsOptions;
use watchbell_runtime::{CancellationToken, Net, Runtime};
use watchbell_sim::{Authority, Receiver};
use watchbell_sources::place::{Agent, PlaceState};

use crate::kit::{self, Folder, Process, wait_until};
use crate::world::{Sim, receiver};

const CONFIG: &str = "
host: {enabled: false}
site: {url: 'http://watch.example'}
places: [{name: fra}, {name: nyc}]
monitors:
  - {name: web, interval: 1m, retries: 0, runbook: down, places: [home, fra], quorum: 2, tcp: {host: web.example, port: 80}}
  - {name: mail, interval: 5m, retries: 0, runbook: down, places: [home, fra, nyc], tcp: {host: mail.example, port: 25}}
route: {receiver: people, group_wait: 0s, group_interval: 10s}
receivers: [{name: people, webhook_configs: [{url: 'http://people.example/'}]}]
";
const RUNBOOK: &str = include_str!("../../../../runbooks/service-down.md");
const SERVER: &str = "127.0.0.1:9800";

/// Another network, in which the watchbell is `watch.example`.
struct Away {
    name: &'static str,
    world: World,
    net: Arc<SimNet>,
    cut: watch::Sender<bool>,
    running: Option<(Runtime, CancellationToken)>,
}

impl Away {
    fn new(world: &World, name: &'static str) -> Away {
        let net = Arc::new(SimNet::new(world.clock.clone()));
        let cut = watch::Sender::new(false);
        let (home, line) = (world.runtime(), cut.subscribe());
        net.serve("watch.example", 80, move |mut near| {
            let (home, mut line) = (home.clone(), line.clone());
            async move {
                let Ok(mut far) = home.net.connect("127.0.0.1", 9800).await else { return };
                tokio::select! {
                    biased;
                    _ = line.wait_for(|cut| *cut) => {}
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far.stream) => {}
                }
            }
        });
        let away = Away { name, world: world.clone(), net, cut, running: None };
        away.targets(true);
        away
    }

    fn targets(&self, up: bool) {
        targets(&self.net, up);
    }

    async fn start(&mut self, scene: &Sim) {
        let token = scene.app().auth.issue_place_token(&self.world.rng.token(), self.name).await.unwrap();
        self.start_with(&token);
    }

    fn start_with(&mut self, token: &str) {
        let runtime = self.world.runtime();
        let runtime = Runtime { net: Net::sim(self.world.clock.clone(), Arc::clone(&self.net)), ..runtime };
        let server = "http://watch.example".parse().unwrap();
        let agent =
            Agent::new(runtime.clone(), &server, &Secret::new(token), TlsOptions::default(), Proxies::default(), true)
                .unwrap();
        let stop = CancellationToken::new();
        runtime.supervisor.detached(agent.run(stop.clone()));
        self.running = Some((runtime, stop));
    }

    /// As `kill -9`.
    fn kill(&mut self) {
        let (runtime, stop) = self.running.take().expect("it runs");
        stop.cancel();
        runtime.supervisor.abort();
    }
}

fn targets(net: &SimNet, up: bool) {
    for (host, port) in [("web.example", 80), ("mail.example", 25)] {
        if up {
            net.serve(host, port, |_| std::future::pending());
        } else {
            net.refuse(host, port);
        }
    }
}

struct Scene {
    world: World,
    sim: Sim,
    people: Receiver,
    fra: Away,
    nyc: Away,
    begun: Timestamp,
}

impl Scene {
    /// Everything has worked for some minutes.
    async fn new(world: World) -> Scene {
        let people = receiver(&world, "people.example", 80, None);
        targets(&world.net, true);
        let mut sim = Sim::new(world.clone(), &[("watchbell.yml", CONFIG), ("runbooks/down.md", RUNBOOK)]);
        sim.start().await.listen(&[SERVER.parse().unwrap()]).await.unwrap();
        let (mut fra, mut nyc) = (Away::new(&world, "fra"), Away::new(&world, "nyc"));
        fra.start(&sim).await;
        nyc.start(&sim).await;
        let mut scene = Scene { begun: world.clock.now(), world, sim, people, fra, nyc };
        scene.pass(600).await;
        assert_eq!(scene.told(), "");
        let heard = scene.sim.app().places.statuses();
        assert_eq!(
            heard.iter().map(|place| place.state).collect::<Vec<_>>(),
            [PlaceState::Here, PlaceState::Heard, PlaceState::Heard]
        );
        scene.begun = scene.world.clock.now();
        scene
    }

    async fn pass(&self, seconds: u64) {
        self.world.clock.sleep(Duration::from_secs(seconds)).await;
    }

    async fn restart(&mut self, crash: bool, gone: u64) {
        if crash {
            self.sim.crash();
        } else {
            self.sim.stop().await;
        }
        // Connections end with their process.
        for away in [&self.fra, &self.nyc] {
            away.cut.send_replace(true);
        }
        self.pass(gone).await;
        for away in [&self.fra, &self.nyc] {
            away.cut.send_replace(false);
        }
        self.sim.start().await.listen(&[SERVER.parse().unwrap()]).await.unwrap();
    }

    /// Probes of a monitor from a place, and whether they succeeded.
    fn samples(&self, monitor: &str, place: &str) -> Vec<(Timestamp, bool)> {
        let labels = [("__name__", "probe_success"), ("monitor", monitor), ("place", place)];
        let matchers = labels.map(|(name, value)| Matcher::equal(name, value));
        let all = self.sim.store().select(&matchers, Timestamp::MIN, Timestamp::MAX).unwrap();
        let samples = all.iter().flat_map(|series| &series.samples).filter(|sample| !is_stale(sample.value));
        samples.map(|sample| (sample.timestamp, sample.value > 0.0)).collect()
    }

    /// The pages since the scene began. Which of two places that look in the same moment is heard first is chance.
    fn told(&self) -> String {
        let mut lines = Vec::new();
        for page in self.people.received().into_iter().filter(|page| page.at > self.begun) {
            let json: serde_json::Value = serde_json::from_str(&page.body).expect("it is JSON");
            for alert in json["alerts"].as_array().expect("it has alerts") {
                let word = |it: &serde_json::Value| it.as_str().unwrap_or_default().to_owned();
                let (at, labels) = (page.at.since(self.begun).as_secs(), &alert["labels"]);
                let what =
                    format!("{} {}{}", word(&alert["status"]), word(&labels["alertname"]), word(&labels["place"]));
                lines.push(format!("{at}s {what}: {}", word(&alert["annotations"]["summary"])));
            }
        }
        lines.join("\n").replace("home and nyc", "home and fra").replace("up from fra)", "up from nyc)")
    }
}

fn check<F: Future<Output = String>>(scenario: impl FnOnce(Scene) -> F, expected: Expect) {
    let told = sim::run(1, |world| async move { scenario(Scene::new(world).await).await });
    expected.assert_eq(&told);
}

#[test]
fn a_target_that_is_down_for_one_place_pages_nobody_and_for_both_does() {
    check(
        |mut scene| async move {
            scene.fra.targets(false);
            scene.pass(900).await;
            assert_eq!(scene.told(), "");
            // The next probe at home sees it, and the quorum is there.
            targets(&scene.world.net, false);
            scene.pass(300).await;
            targets(&scene.world.net, true);
            scene.pass(600).await;
            scene.sim.stop().await;
            scene.told()
        },
        expect![[r#"
            932s firing MonitorDown: web is down: from home and fra: 10.0.0.2:80 refuses the connection: connection refused (2 of 2 places, since 00:10 UTC)
            1042s firing MonitorDown: mail is down: from home and fra: 10.0.0.3:25 refuses the connection: connection refused (2 of 3 places, since 00:12 UTC; up from nyc)
            1042s firing MonitorDown: web is down: from home and fra: 10.0.0.2:80 refuses the connection: connection refused (2 of 2 places, since 00:10 UTC)
            1242s firing MonitorDown: mail is down: from home and fra: 10.0.0.3:25 refuses the connection: connection refused (2 of 3 places, since 00:12 UTC; up from nyc)
            1242s resolved MonitorDown: web is down: from home and fra: 10.0.0.2:80 refuses the connection: connection refused (2 of 2 places, since 00:10 UTC)
            1342s resolved MonitorDown: mail is down: from home and fra: 10.0.0.3:25 refuses the connection: connection refused (2 of 3 places, since 00:12 UTC; up from nyc)"#]],
    );
}

#[test]
fn the_other_places_are_asked_at_once() {
    check(
        |mut scene| async move {
            for net in [&scene.world.net, &scene.fra.net, &scene.nyc.net] {
                net.refuse("mail.example", 25);
            }
            scene.pass(360).await;
            let firsts = ["home", "fra", "nyc"].map(|place| {
                let failed = scene.samples("mail", place).into_iter().find(|(at, up)| *at > scene.begun && !up);
                failed.expect("it is probed within five minutes").0.since(scene.begun).as_secs()
            });
            let (first, last) = (firsts.into_iter().min().unwrap(), firsts.into_iter().max().unwrap());
            assert!(last - first <= 3, "each has its own place in the five minutes, and was woken: {firsts:?}");
            scene.sim.stop().await;
            scene.told()
        },
        expect![
            "142s firing MonitorDown: mail is down: from home and fra: 10.0.0.3:25 refuses the connection: connection refused (2 of 3 places, since 00:12 UTC; up from nyc)"
        ],
    );
}

#[test]
fn an_agent_that_is_cut_off_is_one_page_and_what_it_saw_meanwhile_is_kept_and_pages_nobody() {
    check(
        |mut scene| async move {
            scene.fra.cut.send_replace(true);
            scene.fra.net.set_black_hole("watch.example", true);
            scene.fra.targets(false);
            // For home it is down for a while too, but not any more when the agent is back.
            scene.pass(120).await;
            targets(&scene.world.net, false);
            scene.pass(120).await;
            targets(&scene.world.net, true);
            scene.pass(300).await;
            scene.fra.targets(true);
            scene.pass(90).await;
            scene.fra.cut.send_replace(false);
            scene.fra.net.set_black_hole("watch.example", false);
            scene.pass(120).await;
            let samples = scene.samples("web", "fra");
            let meanwhile = samples.iter().filter(|(at, _)| {
                let second = at.as_millis() - scene.begun.as_millis();
                (60_000..540_000).contains(&second)
            });
            let (up, down): (Vec<bool>, Vec<bool>) = meanwhile.map(|(_, up)| *up).partition(|up| *up);
            let told = format!("{}\nkept: {} up, {} down", scene.told(), up.len(), down.len());
            scene.sim.stop().await;
            told
        },
        expect![[r#"
            59s firing PlaceSilentfra: watchbell: place fra is silent: nothing was heard of its agent since 2026-01-05T00:09:59.003Z; it probes 2 monitors, and 1 cannot be judged without it
            659s resolved PlaceSilentfra: watchbell: place fra is silent: nothing was heard of its agent since 2026-01-05T00:09:59.003Z; it probes 2 monitors, and 1 cannot be judged without it
            kept: 0 up, 8 down"#]],
    );
}

#[test]
fn a_server_that_is_started_again_goes_on_with_its_agents() {
    for crash in [false, true] {
        check(
            move |mut scene| async move {
                scene.restart(crash, 30).await;
                scene.pass(300).await;
                assert!(scene.sim.app().places.statuses().iter().all(|place| place.state != PlaceState::Silent));
                scene.sim.stop().await;
                scene.told()
            },
            expect![[""]],
        );
    }
}

#[test]
fn a_page_goes_on_over_a_restart_of_the_server_and_of_an_agent() {
    check(
        |mut scene| async move {
            targets(&scene.world.net, false);
            scene.fra.targets(false);
            scene.nyc.targets(false);
            scene.pass(400).await;
            scene.restart(true, 10).await;
            scene.fra.kill();
            scene.pass(30).await;
            scene.fra.start(&scene.sim).await;
            scene.pass(400).await;
            targets(&scene.world.net, true);
            scene.fra.targets(true);
            scene.nyc.targets(true);
            scene.pass(400).await;
            scene.sim.stop().await;
            scene.told()
        },
        expect![[r#"
            32s firing MonitorDown: web is down: from home and fra: 10.0.0.2:80 refuses the connection: connection refused (2 of 2 places, since 00:10 UTC)
            142s firing MonitorDown: mail is down: from home and fra: 10.0.0.3:25 refuses the connection: connection refused (2 of 3 places, since 00:12 UTC; up from nyc)
            142s firing MonitorDown: web is down: from home and fra: 10.0.0.2:80 refuses the connection: connection refused (2 of 2 places, since 00:10 UTC)
            870s firing MonitorDown: mail is down: from home and fra: 10.0.0.3:25 refuses the connection: connection refused (2 of 3 places, since 00:12 UTC; up from nyc)
            870s resolved MonitorDown: web is down: from home and fra: 10.0.0.2:80 refuses the connection: connection refused (2 of 2 places, since 00:10 UTC)
            890s resolved MonitorDown: mail is down: from home and fra: 10.0.0.3:25 refuses the connection: connection refused (2 of 3 places, since 00:12 UTC; up from nyc)"#]],
    );
}

#[test]
fn an_agent_that_is_gone_is_told_of_and_its_return() {
    check(
        |mut scene| async move {
            scene.fra.kill();
            scene.pass(300).await;
            scene.fra.start(&scene.sim).await;
            scene.pass(120).await;
            scene.sim.stop().await;
            scene.told()
        },
        expect![[r#"
            59s firing PlaceSilentfra: watchbell: place fra is silent: nothing was heard of its agent since 2026-01-05T00:09:59.003Z; it probes 2 monitors, and 1 cannot be judged without it
            309s resolved PlaceSilentfra: watchbell: place fra is silent: nothing was heard of its agent since 2026-01-05T00:09:59.003Z; it probes 2 monitors, and 1 cannot be judged without it"#]],
    );
}

#[test]
fn a_place_whose_own_network_is_down_does_not_vote() {
    check(
        |mut scene| async move {
            let own = "own_network: {references: [{host: dns.example, port: 53}]}";
            for net in [&scene.world.net, &scene.fra.net, &scene.nyc.net] {
                net.serve("dns.example", 53, |_| std::future::pending());
            }
            for host in ["web.example", "mail.example"] {
                scene.fra.net.add_address(host, "203.0.113.8".parse().unwrap());
            }
            scene.sim.write("watchbell.yml", &format!("{own}{CONFIG}"));
            scene.sim.app().reload_now().await.expect("it is good");
            scene.pass(60).await;
            scene.fra.targets(false);
            scene.fra.net.refuse("dns.example", 53);
            scene.pass(600).await;
            scene.fra.targets(true);
            scene.fra.net.serve("dns.example", 53, |_| std::future::pending());
            scene.pass(300).await;
            scene.sim.stop().await;
            scene.told()
        },
        expect![[r#"
            92s firing OwnNetworkDownfra: watchbell: place fra: this host's own network is down: none of dns.example:53 answers. Failures of monitors are held until one does
            702s resolved OwnNetworkDownfra: watchbell: place fra: this host's own network is down: none of dns.example:53 answers. Failures of monitors are held until one does"#]],
    );
}

#[test]
fn a_revoked_token_and_a_second_agent_are_turned_away() {
    check(
        |mut scene| async move {
            let auth = scene.sim.app().auth.clone();
            let token = auth.issue_place_token("second", "nyc").await.unwrap();
            let mut second = Away::new(&scene.world, "nyc");
            second.start_with(&token);
            scene.pass(90).await;
            second.kill();
            for token in auth.tokens().unwrap() {
                auth.revoke_token(&token.name).await.unwrap();
            }
            scene.pass(120).await;
            scene.sim.stop().await;
            scene.told()
        },
        expect![[r#"
            1s firing WatchbellTrouble: watchbell: two agents report as place `nyc`: stop one of them, or give it a place of its own
            151s firing PlaceSilentfra: watchbell: place fra is silent: nothing was heard of its agent since 2026-01-05T00:11:29.403Z; it probes 2 monitors, and 1 cannot be judged without it
            151s firing PlaceSilentnyc: watchbell: place nyc is silent: nothing was heard of its agent since 2026-01-05T00:11:28.403Z; it probes 1 monitor, and all can still be judged from other places
            151s firing WatchbellTrouble: watchbell: two agents report as place `nyc`: stop one of them, or give it a place of its own"#]],
    );
}

#[test]
fn a_place_that_flaps_makes_no_monitor_down() {
    check(
        |mut scene| async move {
            for round in 0..20 {
                scene.fra.targets(round % 2 == 0);
                scene.fra.cut.send_replace(round % 3 == 0);
                scene.pass(40).await;
            }
            scene.fra.targets(true);
            scene.fra.cut.send_replace(false);
            scene.pass(120).await;
            scene.sim.stop().await;
            scene.told()
        },
        expect![""],
    );
}

/// An agent that reports to the server.
fn agent(folder: &Folder, server: SocketAddr, token: &str) -> std::process::Child {
    agent_with(folder, &["--server", &format!("http://{server}")], &[("WATCHBELL_TOKEN", token)])
}

fn agent_with(folder: &Folder, arguments: &[&str], environment: &[(&str, &str)]) -> std::process::Child {
    let log =
        std::fs::OpenOptions::new().create(true).append(true).open(folder.path().join("agent.log")).expect("a log");
    std::process::Command::new(env!("CARGO_BIN_EXE_watchbell"))
        .arg("agent")
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(folder.path())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(log)
        .spawn()
        .expect("the binary starts")
}

/// An agent's process; ended by its id when its owner goes.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command of the binary in a folder; what it prints, and whether it went well.
fn command(folder: &Folder, arguments: &[&str]) -> (bool, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_watchbell"))
        .args(arguments)
        .current_dir(folder.path())
        .output()
        .expect("the binary starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[test]
fn a_server_and_two_agents_as_processes() {
    let folder = Folder::new("places");
    let target = SocketAddr::new(kit::own_address().into(), 8025);
    let page = |stream| async move { drop::<watchbell_runtime::Stream>(stream) };
    let served = kit::serve(target, page);
    folder.write(
        "watchbell.yml",
        &format!(
            "host: {{enabled: false}}\nlisteners: [{{address: '127.0.0.1:0'}}]\n\
             places: [{{name: fra, silent_after: 10s}}, {{name: nyc, silent_after: 10s}}]\nmonitors:\n  \
             - {{name: web, interval: 1s, retries: 0, runbook: 'https://example.org/', places: [fra, nyc], quorum: 2, \
             tcp: {{host: {}, port: {}}}}}\n",
            target.ip(),
            target.port()
        ),
    );
    let server = Process::start(&folder, &["--config", "watchbell.yml", "--data", "data"], &[]);
    let token = |place: &str| {
        let (well, token) = command(&folder, &["token", "new", place, "--place", place, "--data", "data"]);
        assert!(well, "{token}");
        token.trim().to_owned()
    };
    let (fra, nyc) = (token("fra"), token("nyc"));
    let (mut first, _second) =
        (Running(agent(&folder, server.address, &fra)), Running(agent(&folder, server.address, &nyc)));
    let (_, api) = command(&folder, &["token", "new", "script", "--data", "data"]);
    let bearer = format!("Bearer {}", api.trim());
    let get = |path: &str| server.request("GET", path, &[("authorization", bearer.as_str())], "");
    let monitors = || get("/api/watchbell/v1/monitors").1;
    wait_until("both see it up", || monitors().matches(r#""vote":"up""#).count() == 2);
    // A place's token opens its own door only.
    assert_eq!(
        server.request("GET", "/api/watchbell/v1/places", &[("authorization", &format!("Bearer {fra}"))], "").0,
        401
    );
    assert_eq!(server.request("POST", "/api/agent/v1/exchange", &[("authorization", &bearer)], "{}").0, 401);
    let url = format!("http://{}", server.address);
    let places = || {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_watchbell"))
            .args(["places", "--url", &url])
            .env("WATCHBELL_TOKEN", api.trim())
            .output()
            .expect("the binary starts");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, told) = places();
    assert!(code == Some(0) && told.contains("fra          heard     1 monitor,"), "{told}");
    drop(served);
    wait_until("both see it down", || monitors().contains(r#""state":"ALARM""#));
    let reason = monitors();
    assert!(reason.contains("it is down: from fra and nyc: ") && reason.contains("(2 of 2 places, since"), "{reason}");
    let _served = kit::serve(target, page);
    wait_until("it is up again", || monitors().contains(r#""state":"OK""#));
    first.0.kill().unwrap();
    first.0.wait().unwrap();
    wait_until("its silence is told", || get("/api/watchbell/v1/alerts").1.contains("place fra is silent"));
    wait_until("it is not known", || monitors().contains("too few places say anything, the quorum is 2"));
    assert_eq!(places().0, Some(1));
    let _again = Running(agent(&folder, server.address, &fra));
    wait_until("it is heard again", || !get("/api/watchbell/v1/alerts").1.contains("place fra is silent"));
    wait_until("it is judged again", || monitors().contains(r#""state":"OK""#));
    // Nobody reads the token of an agent on its way to another host.
    let (well, told) = command(&folder, &["agent", "--server", "http://watch.example.org", "--token", "wb_x"]);
    assert!(!well && told.contains("http://watch.example.org is not secret on its way: use https"), "{told}");
}

#[test]
fn an_agent_behind_a_proxy_reports_through_it_and_probes_directly() {
    let folder = Folder::new("proxied");
    let own = |port| SocketAddr::new(kit::own_address().into(), port);
    let target = kit::serve(own(8025), |stream| async move { drop::<watchbell_runtime::Stream>(stream) });
    folder.write(
        "watchbell.yml",
        &format!(
            "host: {{enabled: false}}\nlisteners: [{{address: '127.0.0.1:0'}}]\nsite: {{url: 'https://watch.internal'}}\n\
             places: [{{name: fra}}]\nmonitors:\n  - {{name: web, interval: 1s, retries: 0, runbook: 'https://example.org/', places: [fra], \
             tcp: {{host: {}, port: {}}}}}\n",
            target.address.ip(),
            target.address.port()
        ),
    );
    let server = Process::start(&folder, &["--config", "watchbell.yml", "--data", "data"], &[]);
    let (well, token) = command(&folder, &["token", "new", "fra", "--place", "fra", "--data", "data"]);
    assert!(well, "{token}");
    let (_, api) = command(&folder, &["token", "new", "script", "--data", "data"]);
    let bearer = format!("Bearer {}", api.trim());
    let monitors = || server.request("GET", "/api/watchbell/v1/monitors", &[("authorization", bearer.as_str())], "").1;

    // In front of the server stands one that speaks TLS, and its name is known to the proxy alone.
    let authority = Authority::new();
    let ca = folder.write("ca.pem", &authority.pem()).display().to_string();
    let tls = authority.server(&["watch.internal"], Timestamp(4_000_000_000_000));
    let behind = server.address;
    let front = kit::serve(own(443), move |stream| {
        let tls = Arc::clone(&tls);
        async move {
            if let Some(stream) = watchbell_sim::tls(&tls, stream).await {
                kit::relay(stream, behind).await;
            }
        }
    });
    // `anna:a-word`
    let (proxy, asked) = kit::connect_proxy(own(3128), "Basic YW5uYTphLXdvcmQ=", front.address);
    let asked = || asked.lock().unwrap().clone();
    let (at, token) = (proxy.address, token.trim());
    let arguments = ["--server", "https://watch.internal", "--ca", &ca];

    // A wrong password is told, and nothing else is tried.
    let refused = Running(agent_with(
        &folder,
        &arguments,
        &[("WATCHBELL_TOKEN", token), ("HTTPS_PROXY", &format!("http://anna:wrong@{at}"))],
    ));
    let log = || std::fs::read_to_string(folder.path().join("agent.log")).unwrap_or_default();
    wait_until("the refusal is in the log", || log().contains("407 Proxy Authentication Required"));
    assert!(!log().contains("wrong") && !monitors().contains(r#""vote":"up""#), "{}", log());
    drop(refused);

    for (name, more, environment) in [
        ("of the environment", vec![], vec![("HTTPS_PROXY", format!("http://anna:a-word@{at}"))]),
        // What is given goes before the environment, whatever NO_PROXY says.
        (
            "given",
            vec!["--proxy".to_owned(), format!("anna:a-word@{at}")],
            vec![("HTTPS_PROXY", "http://127.0.0.1:1".to_owned()), ("NO_PROXY", "*".to_owned())],
        ),
    ] {
        let before = asked().len();
        let all: Vec<&str> = arguments.into_iter().chain(more.iter().map(String::as_str)).collect();
        let mut variables: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        variables.push(("WATCHBELL_TOKEN", token));
        let _agent = Running(agent_with(&folder, &all, &variables));
        wait_until(name, || asked().len() > before && monitors().contains(r#""vote":"up""#));
        // One tunnel is kept, and probes do not go through it.
        assert_eq!(asked()[before..], ["CONNECT watch.internal:443 HTTP/1.1: 200 Connection established"], "{name}");
    }
    assert!(!log().contains("a-word"), "{}", log());
    // An address that none can be is told at once, without its password.
    let (well, told) = command(
        &folder,
        &["agent", "--server", "https://watch.internal", "--token", "wb_x", "--proxy", "ftp://u:hush@proxy"],
    );
    assert!(!well && told.contains("--proxy: the proxy's address must start with") && !told.contains("hush"), "{told}");
}

#[test]
fn the_guides_example_is_good() {
    let guide = include_str!("../../../../docs/places.md");
    let example = guide.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("there is one");
    let lines: Vec<&str> = example.lines().map(|line| line.strip_prefix("   ").unwrap_or(line)).collect();
    let folder = Folder::new("places-guide");
    folder.write("runbooks/website-down.md", RUNBOOK);
    folder.write("watchbell.yml", &lines.join("\n"));
    let (well, said) = command(&folder, &["check"]);
    assert!(well, "{}\n{said}", lines.join("\n"));
}
