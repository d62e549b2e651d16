//! Alertmanager's acceptance scenarios by their names there: those that are about who is told of what and when, to the
//! second.
//!
//! All 27 of Alertmanager and 10 of amtool, and where they are:
//!
//! | scenario | test |
//! |---|---|
//! | TestMergeAlerts | `test_merge_alerts` |
//! | TestMergeAlertsWithEndsAt | `test_merge_alerts_with_ends_at` |
//! | TestRepeat | `test_repeat` |
//! | TestRetry | `test_retry` in `watchbell-notify/tests/it/acceptance.rs` |
//! | TestBatching | `test_batching` |
//! | TestResolved | `test_resolved` |
//! | TestResolvedFilter | `test_resolved_filter` in `watchbell-notify/tests/it/acceptance.rs` |
//! | TestColdStart | `test_cold_start` |
//! | TestReload | `test_reload` |
//! | TestWebhookTimeout | `test_webhook_timeout` in `watchbell-notify/tests/it/acceptance.rs` |
//! | TestAddSilence | `test_add_silence` |
//! | TestSilencing | `test_silencing` |
//! | TestSilenceDelete | `test_silence_delete` |
//! | TestInhibiting | `test_inhibiting` |
//! | TestAlwaysInhibiting | `test_always_inhibiting` |
//! | TestEmptyInhibitionRule | `test_empty_inhibition_rule` |
//! | TestAddAlerts | `test_add_alerts` in `watchbell-http/tests/it/acceptance.rs` |
//! | TestAlertGetReturnsCurrentAlertStatus | `test_alert_get_returns_current_alert_status` |
//! | TestFilterAlertRequest | `test_filter_alert_request` in `watchbell-http/tests/it/acceptance.rs` |
//! | TestClusterDeduplication | `test_cluster_deduplication` |
//! | TestClusterVSInstance | `test_cluster_vs_instance` |
//! | TestAddUTF8Alerts | `test_add_utf8_alerts` |
//! | TestAddUTF8Silences | `test_add_utf8_silences` |
//! | TestCannotAddUTF8AlertsInClassicMode | `test_cannot_add_utf8_alerts_in_classic_mode` in `watchbell-http/tests/it/acceptance.rs` |
//! | TestCannotAddUTF8SilencesInClassicMode | `test_cannot_add_utf8_silences_in_classic_mode` in the same |
//! | TestSendAlertsToUTF8Route | `test_send_alerts_to_utf8_route` |
//! | TestWebWithPrefix | `test_web_with_prefix` in `watchbell-http/tests/it/acceptance.rs` |
//! | amtool: TestAmtoolVersion | `test_amtool_version` in `watchbell/tests/it/amtool.rs`, as the following |
//! | amtool: TestAddAlert | `test_add_alert` |
//! | amtool: TestQueryAlert | `test_query_alert` |
//! | amtool: TestQuerySilence | `test_query_silence` |
//! | amtool: TestRoutesShow | `test_routes_show` |
//! | amtool: TestRoutesTest | `test_routes_test` |
//! | amtool: TestSilenceImport | `test_silence_import` |
//! | amtool: TestSilenceImportInvalidJSON | `test_silence_import_invalid_json` |
//! | amtool: TestSilenceImportInvalidSilence | `test_silence_import_invalid_silence` |
//! | amtool: TestSilenceImportPartialFailure | `test_silence_import_partial_failure` |
//!
//! What differs: no delay of the start is needed, since state is on disk; and there are no members of a cluster, but one
//! process that may be cut off anywhere.

use expect_test::expect;
use watchbell_alerts::Config;

use crate::stage::{check, check_plain, config};

/// One test for each: its configuration, what happens, and what people are told.
macro_rules! scenarios {
    ($($(#[$doc:meta])* $name:ident: $config:expr, $timeline:literal => $told:expr;)*) => {
        $(
            $(#[$doc])*
            #[test]
            fn $name() {
                check_plain(&$config, $timeline, $told);
            }
        )*
    };
}

/// All in one group, with the times of those tests.
fn quick(repeat: &str) -> Config {
    let route = format!(
        r#"{{"receiver": "default", "group_wait": "1s", "group_interval": "1s", "repeat_interval": "{repeat}"}}"#
    );
    config(&route, "[]", "[]")
}

fn inhibiting(rules: &str) -> Config {
    Config { inhibit_rules: serde_json::from_str(rules).expect("inhibit rules"), ..quick("1s") }
}

fn utf8() -> Config {
    let route = r#"{"receiver": "default", "group_wait": "1s", "group_interval": "1s", "repeat_interval": "1m", "routes": [
        {"receiver": "utf8", "matchers": ["\"Σ⌘\"=~\"✓.*\""], "group_by": ["Σ⌘"]}]}"#;
    config(route, "[]", "[]")
}

scenarios! {
    /// The earliest start is kept, the latest words win, and nothing is merged over a gap.
    test_merge_alerts: [quick("1ms")],
        "1s raise test | 1200ms raise test from 1s | 2100ms raise test from 2s note v1 | 3600ms raise test from 1500ms note v2 \
         | 4600ms resolve test from 3s note v2 | 4800ms resolve test from 2900ms note v3 | 6s raise test | 7500ms end"
        => expect![[r#"
            2s page default {} first: +test
            3s page default {} repeat: +test (v1)
            4s page default {} repeat: +test (v2)
            5s page default {} all_resolved: -test (v3)
            7s page default {} first: +test
        "#]];

    /// The latest of the ends that senders foretold counts.
    test_merge_alerts_with_ends_at: [quick("1ms")],
        "1s raise test until 3500ms | 1200ms raise test from 1s until 4500ms | 1500ms raise test from 1100ms until 4s | 7s end"
        => expect![[r#"
            2s page default {} first: +test
            3s page default {} repeat: +test
            4s page default {} repeat: +test
            5s page default {} all_resolved: -test
        "#]];

    test_repeat: [quick("1ms")],
        "1s raise test | 3500ms resolve test | 6s end"
        => expect![[r#"
            2s page default {} first: +test
            3s page default {} repeat: +test
            4s page default {} all_resolved: -test
        "#]];

    /// Those that come within the wait are one page; then changes by the interval, and what is unchanged by the repetition.
    test_batching: [quick("5s")],
        "1100ms raise test1 | 1700ms raise test5 | 3300ms raise test2 | 3500ms raise test3 | 4900ms raise test4 | 12s end"
        => expect![[r#"
            2s100ms page default {} first: +test1 +test5
            4s100ms page default {} new_alerts: +test1 +test2 +test3 +test5
            5s100ms page default {} new_alerts: +test1 +test2 +test3 +test4 +test5
            10s100ms page default {} repeat: +test1 +test2 +test3 +test4 +test5
        "#]];

    /// Without a word from its sender for `resolve_timeout`, here 10s, it is over.
    test_resolved: [quick("1m")],
        "1s raise test lbl=v1 until 11s | 30s end"
        => expect![[r#"
            2s page default {} first: +test
            11s page default {} all_resolved: -test
        "#]];

    /// Timers go on, and nobody is told twice.
    test_reload: [quick("1m"), quick("1m")],
        "1s raise test1 | 3s reload 1 | 4s raise test2 | 8s end"
        => expect![[r#"
            2s page default {} first: +test1
            4s page default {} new_alerts: +test1 +test2
        "#]];

    test_add_silence: [quick("1s")],
        "500ms silence alertname=test1 for 10s | 1s raise test1 | 1s raise test2 | 2200ms show | 3500ms end"
        => expect![[r#"
            2s page default {} first: +test2
            2s200ms shows test1 suppressed silenced by 1 to default; test2 active to default
            3s page default {} repeat: +test2
        "#]];

    /// What is silenced is not told, and comes back when the silence is over.
    test_silencing: [quick("1ms")],
        "1s raise test1 | 2200ms silence alertname=test1 for 2500ms | 2300ms raise test2 | 6500ms end"
        => expect![[r#"
            2s page default {} first: +test1
            3s page default {} new_alerts: +test2
            4s page default {} repeat: +test2
            5s page default {} new_alerts: +test1 +test2
            6s page default {} repeat: +test1 +test2
        "#]];

    test_silence_delete: [quick("1500ms")],
        "1s silence alertname=test1 for 1m | 1100ms raise test1 | 5s unsilence | 8s end"
        => expect![[r#"
            5s100ms page default {} first: +test1
            7s100ms page default {} repeat: +test1
        "#]];

    /// Held back while the other fires, and told of when it does not.
    test_inhibiting: [inhibiting(
            r#"[{"source_matchers": ["alertname=JobDown"], "target_matchers": ["alertname=InstanceDown"], "equal": ["job", "zone"]}]"#
        )],
        "1s raise alertname=test1,job=testjob,zone=aa | 1s raise alertname=InstanceDown,job=testjob,zone=aa \
         | 1s raise alertname=InstanceDown,job=testjob,zone=ab | 2200ms raise alertname=JobDown,job=testjob,zone=aa \
         | 3600ms resolve alertname=JobDown,job=testjob,zone=aa | 5500ms end"
        => expect![[r#"
            2s page default {} first: +InstanceDown,job=testjob,zone=aa +InstanceDown,job=testjob,zone=ab +test1,job=testjob,zone=aa
            3s page default {} new_alerts: +InstanceDown,job=testjob,zone=ab +JobDown,job=testjob,zone=aa +test1,job=testjob,zone=aa
            4s page default {} new_alerts: +InstanceDown,job=testjob,zone=aa +InstanceDown,job=testjob,zone=ab +test1,job=testjob,zone=aa -JobDown,job=testjob,zone=aa
            5s page default {} repeat: +InstanceDown,job=testjob,zone=aa +InstanceDown,job=testjob,zone=ab +test1,job=testjob,zone=aa
        "#]];

    /// Held back from the start, it is not told of; both that end together are told, since neither holds back any more.
    test_always_inhibiting: [inhibiting(
            r#"[{"source_matchers": ["alertname=JobDown"], "target_matchers": ["alertname=InstanceDown"], "equal": ["job", "zone"]}]"#
        )],
        "1s raise alertname=JobDown,job=testjob,zone=aa | 1s raise alertname=InstanceDown,job=testjob,zone=aa \
         | 2600ms resolve alertname=JobDown,job=testjob,zone=aa | 2600ms resolve alertname=InstanceDown,job=testjob,zone=aa | 5s end"
        => expect![[r#"
            2s page default {} first: +JobDown,job=testjob,zone=aa
            3s page default {} all_resolved: -InstanceDown,job=testjob,zone=aa -JobDown,job=testjob,zone=aa
        "#]];

    test_empty_inhibition_rule: [inhibiting("[{}]")],
        "1s raise alertname=test1,job=testjob | 1s raise alertname=JobDown,job=testjob | 2500ms end"
        => expect![[r#"
            2s page default {} first: +JobDown,job=testjob +test1,job=testjob
        "#]];

    /// What the API says of an alert is true at once.
    test_alert_get_returns_current_alert_status: [inhibiting(
            r#"[{"source_matchers": ["severity=critical"], "target_matchers": ["severity=warning"], "equal": ["alertname"]}]"#
        )],
        "1s raise alertname=test,severity=warning | 1s show | 1500ms raise alertname=test,severity=critical | 1500ms show \
         | 2s resolve alertname=test,severity=critical | 2s show | 3s silence alertname=test for 1m | 3s show | 4s unsilence | 4s show | 4s end"
        => expect![[r#"
            1s shows test,severity=warning active to default
            1s500ms shows test,severity=critical active to default; test,severity=warning suppressed inhibited by 1 to default
            2s shows test,severity=warning active to default
            2s page default {} first: +test,severity=warning -test,severity=critical
            3s shows test,severity=warning suppressed silenced by 1 to default
            4s shows test,severity=warning active to default
            4s page default {} repeat: +test,severity=warning
        "#]];

    test_add_utf8_alerts: [utf8()],
        "1s raise a=a,😊=😉,00=b | 3s show | 3s end"
        => expect![[r#"
            2s page default {} first: +00=b,a=a,😊=😉
            3s shows 00=b,a=a,😊=😉 active to default
        "#]];

    test_add_utf8_silences: [utf8()],
        "1s silence \"fee\"=bar,\"barΣ\"=~\".+\" for 1m | 2s raise fee=bar,barΣ=⌘ | 3s show | 5s end"
        => expect![[r#"
            3s shows barΣ=⌘,fee=bar suppressed silenced by 1 to default
        "#]];

    test_send_alerts_to_utf8_route: [utf8()],
        "1s raise alertname=a,Σ⌘=✓1 | 1s raise alertname=b,Σ⌘=x | 4s end"
        => expect![[r#"
            2s page default {} first: +b,Σ⌘=x
            2s page utf8 {Σ⌘=✓1} first: +a,Σ⌘=✓1
        "#]];
}

/// Several members of a cluster are told of each alert by its sender; here the one there is told three times at once, and
/// people once.
#[test]
fn test_cluster_deduplication() {
    check_plain(
        &[quick("1h")],
        "1s raise test1 | 1s raise test1 | 1s raise test1 | 5s raise test1 | 5s raise test1 | 10s end",
        expect![[r#"
            2s page default {} first: +test1
        "#]],
    );
}

/// A cluster tells what one instance does that nothing befalls. Here that holds for one that is cut off at any moment and
/// starts again.
#[test]
fn test_cluster_vs_instance() {
    check(
        &[quick("1h")],
        "1s raise test1 | 4s raise test2 | 9s resolve test1 | 15s resolve test2 | 20s end",
        expect![[r#"
            2s page default {} first: +test1
            4s page default {} new_alerts: +test1 +test2
            9s page default {} new_resolved: +test2 -test1
            15s page default {} all_resolved: -test2
        "#]],
    );
}

/// What comes while a start is under way is told of with what was known before it.
#[test]
fn test_cold_start() {
    let slow = config(
        r#"{"receiver": "default", "group_wait": "4s", "group_interval": "6s", "repeat_interval": "10m"}"#,
        "[]",
        "[]",
    );
    check_plain(
        &[slow],
        "1s raise test1 | 1500ms down 2s | 4s raise test2 | 6s down 3s | 10s raise test3 | 10s raise test4 | 20s end",
        expect![[r#"
            5s page default {} first: +test1 +test2
            11s page default {} new_alerts: +test1 +test2 +test3 +test4
        "#]],
    );
}
