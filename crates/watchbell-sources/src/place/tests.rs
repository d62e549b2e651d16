//! What the side that hears agents makes of their reports.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use expect_test::expect;
use watchbell_model::{
    Append, AppendError, Appended, Batch, BoxFuture, Change, Labels, MemoryState, Observation, Observe, ProbeResult,
    Secret, Span, State as _, StateError, Timestamp,
};
use watchbell_runtime::sim::{self, World};

use super::buffer::Buffer;
use super::exchange::{Entry, Seen};
use super::{Exchange, ExchangeError, PROTOCOL, PlaceConfig, PlaceState, Places, RESULTS_MAX};
use crate::Context;
use crate::probe::{EgressConfig, Live, MonitorConfig, OwnNetworkConfig};

/// Writes down what is judged and kept.
#[derive(Default)]
struct Log {
    state: Arc<MemoryState>,
    lines: Mutex<Vec<String>>,
    points: Mutex<Vec<(Labels, Timestamp)>>,
}

impl Observe for Log {
    fn observe(&self, seen: Vec<Observation>, with: Vec<Change>) -> BoxFuture<'_, Result<(), StateError>> {
        Box::pin(async move {
            self.state.commit(with).await?;
            let mut lines = self.lines.lock().unwrap();
            for one in seen {
                lines.push(match one {
                    Observation::Probe(it) => format!("{}@{} {}", it.monitor, it.place, it.message),
                    Observation::Place(place, heard) => format!("{place} {}", if heard { "heard" } else { "silent" }),
                    other => panic!("{other:?}"),
                });
            }
            Ok(())
        })
    }
}

impl Append for Log {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Appended, AppendError>> {
        let points = batch.points().into_iter().map(|point| (point.labels, point.timestamp));
        self.points.lock().unwrap().extend(points);
        Box::pin(async move { Ok(Appended { kept: batch.len() as u64, ..Appended::default() }) })
    }
}

struct Scene {
    world: World,
    log: Arc<Log>,
    context: Context,
    places: Places,
}

const MONITOR: &str =
    r#"{"name": "web", "places": ["home", "fra"], "retries": 0, "tcp": {"host": "web.example", "port": 80}}"#;

impl Scene {
    fn new(world: World) -> Scene {
        let log = Arc::new(Log::default());
        Scene::on(world, log)
    }

    fn on(world: World, log: Arc<Log>) -> Scene {
        let context = Context {
            runtime: world.runtime(),
            append: log.clone(),
            observe: log.clone(),
            state: log.state.clone(),
            live: Live::default(),
        };
        let places = Places::new(context.clone());
        let scene = Scene { world, log, context, places };
        scene.apply(&["fra"]);
        scene.context.runtime.supervisor.spawn("places", scene.places.task());
        scene
    }

    fn apply(&self, names: &[&str]) {
        let config = |name: &&str| serde_json::from_value(serde_json::json!({ "name": name })).unwrap();
        let configs: Vec<PlaceConfig> = names.iter().map(config).collect();
        let monitor: MonitorConfig = serde_json::from_str(MONITOR).unwrap();
        let documents = BTreeMap::from([("web".to_owned(), Secret::new(MONITOR))]);
        crate::probe::tasks(std::slice::from_ref(&monitor), &EgressConfig::default(), &self.context);
        let (egress, own) = (EgressConfig::default(), OwnNetworkConfig::default());
        self.places.apply(&configs, &[monitor], &documents, &egress, &own);
    }

    async fn pass(&self, seconds: u64) {
        self.world.clock.sleep(Duration::from_secs(seconds)).await;
    }

    async fn says(&self, exchange: Exchange) -> Result<super::Answer, ExchangeError> {
        self.places.exchange("fra", exchange).await
    }

    fn lines(&self) -> String {
        std::mem::take(&mut *self.log.lines.lock().unwrap()).join("\n")
    }

    fn troubles(&self) -> String {
        let all = self.context.runtime.troubles.list();
        all.iter().map(|it| format!("{}: {}", it.key, it.summary)).collect::<Vec<_>>().join("\n")
    }
}

fn report(run: &str, first: u64, entries: Vec<Entry>) -> Exchange {
    Exchange {
        protocol: PROTOCOL,
        version: "1.2.3".into(),
        run: run.into(),
        assignment: 0,
        first,
        entries,
        waiting: 0,
        dropped: 0,
        ahead_ms: None,
        own_network: None,
        refused: Vec::new(),
    }
}

fn result(age: u64, failure: Option<&str>) -> Entry {
    let seen = Seen::Result(ProbeResult {
        monitor: "web".into(),
        place: "home".into(),
        at: Timestamp(0),
        success: failure.is_none(),
        duration: Span::millis(1),
        message: failure.unwrap_or("ok").into(),
        phases: Vec::new(),
        certificate: None,
    });
    Entry { age_ms: age * 1000, seen }
}

fn sample(age: u64, labels: &[(&str, &str)]) -> Entry {
    let labels = Labels::from_pairs(labels.iter().copied());
    Entry { age_ms: age * 1000, seen: Seen::Samples(vec![(labels, Some(1.0))]) }
}

#[test]
fn a_report_that_is_sent_again_counts_once() {
    sim::run(1, |world| async move {
        let scene = Scene::new(world);
        let two = || vec![result(2, None), result(1, Some("refused"))];
        assert_eq!(scene.says(report("a", 0, two())).await.unwrap().next, 2);
        assert_eq!(scene.lines(), "fra heard\nweb@fra ok\nweb@fra refused");
        assert_eq!(scene.says(report("a", 0, two())).await.unwrap().next, 2);
        assert_eq!(scene.lines(), "");
        // Sent again together with what came since.
        let mut three = two();
        three.push(result(0, Some("hangs")));
        assert_eq!(scene.says(report("a", 0, three)).await.unwrap().next, 3);
        assert_eq!(scene.lines(), "web@fra hangs");
        // One from long ago that was held up on its way takes nothing back.
        assert_eq!(scene.says(report("a", 0, two())).await.unwrap().next, 3);
        assert_eq!(scene.lines(), "");
        // An agent that was started again counts anew.
        assert_eq!(scene.says(report("b", 0, vec![result(0, Some("refused"))])).await.unwrap().next, 1);
        assert_eq!(scene.lines(), "web@fra refused");
    });
}

#[test]
fn a_failure_that_was_judged_before_a_restart_of_the_server_counts_once() {
    sim::run(1, |world| async move {
        let failed = || vec![result(1, Some("refused"))];
        let scene = Scene::new(world.clone());
        scene.says(report("a", 7, failed())).await.unwrap();
        scene.lines();
        let again = Scene::on(world, Arc::clone(&scene.log));
        assert_eq!(again.says(report("a", 7, failed())).await.unwrap().next, 8);
        assert_eq!(again.lines(), "fra heard");
    });
}

#[test]
fn what_comes_late_is_kept_and_judged_no_more() {
    let told = sim::run(1, |world| async move {
        let scene = Scene::new(world);
        scene.pass(3600).await;
        let labels = [("__name__", "probe_success"), ("monitor", "web"), ("place", "elsewhere"), ("a", "b")];
        let late = vec![
            result(1800, Some("then")),
            sample(1800, &labels),
            result(40, Some("refused")),
            result(20, None),
            result(10, Some("hangs")),
        ];
        scene.says(report("a", 0, late)).await.unwrap();
        let kept = scene.log.points.lock().unwrap().clone();
        format!("{}\n{} at {}", scene.lines(), kept[0].0, kept[0].1)
    });
    expect![[r#"
        fra silent
        fra heard
        web@fra ok
        web@fra hangs
        probe_success{a="b", instance="web.example:80", job="monitor", monitor="web", place="fra"} at 2026-01-05T00:30:00.000Z"#]].assert_eq(&told);
}

#[test]
fn an_agent_has_no_say_in_other_series() {
    sim::run(1, |world| async move {
        let scene = Scene::new(world);
        let forged = vec![
            sample(0, &[("__name__", "up"), ("monitor", "web")]),
            sample(0, &[("__name__", "probe_success"), ("monitor", "other")]),
            sample(0, &[("__name__", "probe_success")]),
        ];
        scene.says(report("a", 0, forged)).await.unwrap();
        assert_eq!(*scene.log.points.lock().unwrap(), []);
    });
}

#[test]
fn a_place_that_falls_silent_is_told_of_once_and_returns() {
    let told = sim::run(1, |world| async move {
        let scene = Scene::new(world);
        let mut all = vec![format!("{:?}", scene.places.statuses()[1].state)];
        scene.pass(61).await;
        all.push(format!("{:?} {} {}", scene.places.statuses()[1].state, scene.lines(), scene.troubles()));
        scene.says(report("a", 0, vec![result(0, None)])).await.unwrap();
        all.push(format!("{:?} {}{}", scene.places.statuses()[1].state, scene.lines(), scene.troubles()));
        scene.pass(59).await;
        assert_eq!(scene.places.statuses()[1].state, PlaceState::Heard);
        scene.pass(2).await;
        all.push(format!("{} {}", scene.lines(), scene.troubles()));
        scene.pass(3600).await;
        all.push(format!("later: {} {}", scene.lines(), scene.troubles()));
        // One that is not wanted any more is not missed.
        scene.apply(&[]);
        scene.pass(100).await;
        all.push(format!("{}{} places", scene.troubles(), scene.places.statuses().len()));
        all.join("\n")
    });
    expect![[r#"
        Expected
        Silent fra silent place/fra: place fra is silent: nothing was heard of its agent since watchbell started; it probes 1 monitor, and all can still be judged from other places
        Heard fra heard
        web@fra ok
        fra silent place/fra: place fra is silent: nothing was heard of its agent since 2026-01-05T00:01:01.000Z; it probes 1 monitor, and all can still be judged from other places
        later:  place/fra: place fra is silent: nothing was heard of its agent since 2026-01-05T00:01:01.000Z; it probes 1 monitor, and all can still be judged from other places
        1 places"#]].assert_eq(&told);
}

#[test]
fn while_our_own_network_is_down_nobody_is_told_that_places_are_silent() {
    sim::run(1, |world| async move {
        let scene = Scene::new(world.clone());
        world.net.serve("dns.example", 53, |_| std::future::pending());
        let own: OwnNetworkConfig =
            serde_json::from_str(r#"{"references": [{"host": "dns.example", "port": 53}]}"#).unwrap();
        scene.context.live.set_own_network(own).await;
        world.net.refuse("dns.example", 53);
        scene.pass(100).await;
        assert_eq!(scene.lines(), "fra silent");
        assert!(scene.troubles().starts_with("own-network: "), "{}", scene.troubles());
        assert!(!scene.troubles().contains("place fra is silent"), "{}", scene.troubles());
        world.net.serve("dns.example", 53, |_| std::future::pending());
        scene.pass(30).await;
        assert!(scene.troubles().starts_with("place/fra: "), "{}", scene.troubles());
    });
}

#[test]
fn of_two_agents_with_one_name_the_later_one_is_heard() {
    sim::run(1, |world| async move {
        let scene = Scene::new(world);
        for run in ["a", "b"] {
            scene.says(report(run, 0, Vec::new())).await.unwrap();
            assert_eq!(scene.troubles(), "", "it may have been started again");
        }
        let refused = scene.says(report("a", 0, vec![result(0, Some("x"))])).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "another agent reports as `fra`: stop one of them, or give this one a place and a token of its own"
        );
        let words =
            "place-agent/fra: two agents report as place `fra`: stop one of them, or give it a place of its own";
        assert_eq!(scene.troubles(), words);
        scene.says(report("b", 0, Vec::new())).await.unwrap();
        assert_eq!(scene.lines(), "fra heard");
    });
}

#[test]
fn what_an_agent_says_of_itself_is_told() {
    let told = sim::run(1, |world| async move {
        let scene = Scene::new(world);
        let mut said = report("a", 0, Vec::new());
        (said.ahead_ms, said.dropped, said.waiting) = (Some(-95_000), 12, 3);
        said.own_network = Some("none of 192.0.2.1:53 answers".into());
        said.refused =
            vec![super::exchange::RefusedMonitor { monitor: "web".into(), reason: "unknown field `new`".into() }];
        scene.says(said).await.unwrap();
        let status = serde_json::to_string(&scene.places.statuses()[1]).unwrap();
        let troubles = scene.troubles();
        scene.says(report("a", 0, Vec::new())).await.unwrap();
        assert_eq!(scene.troubles(), "");
        format!("{status}\n{troubles}")
    });
    expect![[r#"
        {"name":"fra","state":"heard","heard_at":"2026-01-05T00:00:00.000Z","version":"1.2.3","monitors":1,"lag":0.0,"waiting":3,"dropped":12,"clock_ahead":-95.0,"own_network":"none of 192.0.2.1:53 answers","refused":[{"monitor":"web","reason":"unknown field `new`"}]}
        own-network/fra: place fra: none of 192.0.2.1:53 answers
        place-clock/fra: the clock of place fra is 1m35s behind this host's
        place-monitors/fra: the agent of place fra (1.2.3) cannot probe 1 of its monitors, such as web: unknown field `new`"#]].assert_eq(&told);
}

#[test]
fn another_version_and_an_unknown_place_are_told_so() {
    sim::run(1, |world| async move {
        let scene = Scene::new(world);
        for (protocol, older) in [(0, "agent"), (2, "server")] {
            let exchange = Exchange { protocol, ..report("a", 0, Vec::new()) };
            let words =
                format!("the agent speaks version {protocol} of the protocol and the server 1: renew the {older}");
            assert_eq!(scene.says(exchange).await.unwrap_err().to_string(), words);
        }
        let unknown = scene.places.exchange("nyc", report("a", 0, Vec::new())).await.unwrap_err();
        assert_eq!(unknown.to_string(), "there is no place `nyc` in the configuration; add it to `places`");
    });
}

#[test]
fn an_agent_waits_for_an_answer_with_something_in_it() {
    sim::run(1, |world| async move {
        let scene = Scene::new(world.clone());
        let first = scene.says(report("a", 0, Vec::new())).await.unwrap();
        let assignment = first.assignment.expect("it has none yet");
        assert_eq!(assignment.monitors[0]["name"], "web");
        let quiet = || Exchange { assignment: assignment.id, ..report("a", 0, Vec::new()) };
        let begun = world.clock.monotonic();
        assert!(scene.says(quiet()).await.unwrap().assignment.is_none());
        assert_eq!((world.clock.monotonic() - begun).as_secs(), 2);
        // A failure at home asks the others at once.
        let Entry { seen: Seen::Result(failed), .. } = result(0, Some("refused")) else { unreachable!() };
        let begun = world.clock.monotonic();
        let (answer, ()) = tokio::join!(biased; scene.says(quiet()), async {
            world.clock.sleep(Duration::from_millis(500)).await;
            scene.context.live.saw(&failed);
        });
        assert_eq!(answer.unwrap().probe_now, ["web"]);
        assert_eq!((world.clock.monotonic() - begun).as_millis(), 500);
        // The next failures ask nobody: they know.
        scene.context.live.saw(&failed);
        assert_eq!(scene.says(quiet()).await.unwrap().probe_now, Vec::<String>::new());
    });
}

#[test]
fn a_buffer_that_is_full_drops_the_oldest_and_counts() {
    sim::run(1, |world| async move {
        let buffer = Buffer::new(world.clock.clone());
        let see = |message: &str| {
            let Entry { seen: Seen::Result(result), .. } = result(0, Some(message)) else { unreachable!() };
            vec![Observation::Probe(result)]
        };
        for number in 0..2 * RESULTS_MAX + 3 {
            buffer.observe(see(&number.to_string()), Vec::new()).await.unwrap();
        }
        world.clock.sleep(Duration::from_secs(5)).await;
        let part = buffer.part();
        assert_eq!((part.first, part.dropped, part.entries.len()), (3, 3, 500));
        assert_eq!(part.waiting as usize, 2 * RESULTS_MAX - 500);
        let Entry { age_ms, seen: Seen::Result(oldest) } = &part.entries[0] else { panic!("{:?}", part.entries[0]) };
        assert_eq!((oldest.message.as_str(), *age_ms), ("3", 5000));
        buffer.taken(503);
        assert_eq!(buffer.part().first, 503);
        // An answer that came twice takes nothing more away.
        buffer.taken(503);
        assert_eq!(buffer.part().first, 503);
    });
}
