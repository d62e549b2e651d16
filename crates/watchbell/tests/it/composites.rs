//! Composite alarms, in simulated time: one page for many alarms that belong together.

use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use serde_json::Value;
use watchbell::app::App;
use watchbell_model::AlarmState;
use watchbell_runtime::sim;
use watchbell_sim::Receiver;
use watchbell_sources::heartbeat::PingRequest;

use crate::world::{Sim, receiver};

const RUNBOOK: &str = include_str!("../../../../runbooks/heartbeat-missed.md");

/// Four jobs, and alarms over them.
fn config(alarms: &str) -> String {
    let job = |name: &str| format!("  - {{name: {name}, period: 1d, grace: 1h, runbook: job}}\n");
    let jobs: String = ["a", "b", "c", "deployment"].map(job).concat();
    format!(
        "host: {{enabled: false}}\nping_key: a-ping-key\nheartbeats:\n{jobs}alarms:\n{alarms}\
         route: {{receiver: hook, group_by: [alertname, source], group_wait: 0s, group_interval: 10s}}\n\
         receivers: [{{name: hook, webhook_configs: [{{url: 'http://hook.example/'}}]}}]\n"
    )
}

async fn ping(app: &Arc<App>, path: &str) {
    let request = PingRequest::from_path(&format!("a-ping-key/{path}"), "").expect("it is a ping");
    assert_eq!(app.heartbeats.ping(request).await.status, 200, "{path}");
}

/// What was told, in order: the state and the summary.
fn told(hook: &Receiver) -> String {
    let line = |body: &str| {
        let page: Value = serde_json::from_str(body).expect("it is JSON");
        let summary = page["alerts"][0]["annotations"]["summary"].as_str().expect("it has one");
        format!("{} {}\n", page["status"].as_str().expect("a word"), summary.split(" (").next().expect("the first"))
    };
    hook.received().iter().map(|page| line(&page.body)).collect()
}

#[track_caller]
fn check(hook: &Receiver, expected: Expect) {
    expected.assert_eq(&told(hook));
}

#[test]
fn many_alarms_are_one_page_and_a_restart_repeats_none() {
    const ALARMS: &str = "  - {name: Jobs, composite: 'AT_LEAST(2, ALARM, (a, b, c))', runbook: job, severity: warning}\n  \
                          - {name: Night, composite: 'ALARM(Jobs) AND NOT ALARM(deployment)', runbook: job}\n";
    sim::run(1, |world| async move {
        let hook = receiver(&world, "hook.example", 80, None);
        let mut sim = Sim::new(world.clone(), &[("watchbell.yml", &config(ALARMS)), ("runbooks/job.md", RUNBOOK)]);
        let app = sim.start().await;
        let minutes = |n: u64| world.clock.sleep(Duration::from_secs(60 * n));
        for job in ["a", "b", "c", "deployment"] {
            ping(&app, job).await;
        }
        minutes(1).await;
        assert_eq!(app.alarms.status("composite/Night").expect("it is there").state, AlarmState::Ok);
        ping(&app, "a/fail").await;
        minutes(1).await;
        check(
            &hook,
            expect![[r#"
                firing a is down: the job reported a failure at 00:01 UTC
            "#]],
        );
        // The second makes it one thing, which is told of by the alarm that rests on it.
        ping(&app, "b/fail").await;
        minutes(5).await;
        check(
            &hook,
            expect![[r#"
            firing a is down: the job reported a failure at 00:01 UTC
            firing Night: Jobs
        "#]],
        );
        sim.crash();
        let app = sim.start().await;
        ping(&app, "c/fail").await;
        minutes(5).await;
        check(
            &hook,
            expect![[r#"
            firing a is down: the job reported a failure at 00:01 UTC
            firing Night: Jobs
        "#]],
        );
        let reason = app.alarms.status("composite/Jobs").expect("it is there").reason;
        assert_eq!(reason, "its rule holds: a and b");
        for job in ["a", "b", "c"] {
            ping(&app, job).await;
        }
        minutes(5).await;
        check(
            &hook,
            expect![[r#"
            firing a is down: the job reported a failure at 00:01 UTC
            firing Night: Jobs
            resolved a is down: the job reported a failure at 00:01 UTC
            resolved Night: Jobs
        "#]],
        );
        assert_eq!(app.alarms.status("composite/Jobs").expect("it is there").state, AlarmState::Ok);
    });
}

#[test]
fn a_suppressor_keeps_it_quiet_and_what_is_left_is_told_afterwards() {
    const ALARMS: &str = "  - {name: Jobs, composite: ALARM(a) OR ALARM(b), runbook: job, inhibit_children: true,\n     \
                          suppressor: {alarm: deployment, wait: 1m, extension: 2m}}\n";
    sim::run(2, |world| async move {
        let hook = receiver(&world, "hook.example", 80, None);
        let mut sim = Sim::new(world.clone(), &[("watchbell.yml", &config(ALARMS)), ("runbooks/job.md", RUNBOOK)]);
        let app = sim.start().await;
        let seconds = |n: u64| world.clock.sleep(Duration::from_secs(n));
        for job in ["a", "b", "deployment"] {
            ping(&app, job).await;
        }
        seconds(1).await;
        ping(&app, "deployment/fail").await;
        seconds(1).await;
        ping(&app, "a/fail").await;
        seconds(600).await;
        let status = app.alarms.status("composite/Jobs").expect("it is there");
        assert_eq!(status.state, AlarmState::Alarm);
        assert_eq!(status.reason, "its rule holds: a; nobody is told while deployment is in ALARM");
        check(
            &hook,
            expect![[r#"
            firing deployment is down: the job reported a failure at 00:00 UTC
            firing a is down: the job reported a failure at 00:00 UTC
        "#]],
        );
        // Over a crash, too.
        sim.crash();
        let app = sim.start().await;
        ping(&app, "deployment").await;
        seconds(110).await;
        check(
            &hook,
            expect![[r#"
            firing deployment is down: the job reported a failure at 00:00 UTC
            firing a is down: the job reported a failure at 00:00 UTC
            resolved deployment is down: the job reported a failure at 00:00 UTC
        "#]],
        );
        seconds(20).await;
        check(
            &hook,
            expect![[r#"
            firing deployment is down: the job reported a failure at 00:00 UTC
            firing a is down: the job reported a failure at 00:00 UTC
            resolved deployment is down: the job reported a failure at 00:00 UTC
            firing Jobs: a
        "#]],
        );
        ping(&app, "a").await;
        seconds(120).await;
        check(
            &hook,
            expect![[r#"
            firing deployment is down: the job reported a failure at 00:00 UTC
            firing a is down: the job reported a failure at 00:00 UTC
            resolved deployment is down: the job reported a failure at 00:00 UTC
            firing Jobs: a
            resolved a is down: the job reported a failure at 00:00 UTC
            resolved Jobs: a
        "#]],
        );
    });
}
