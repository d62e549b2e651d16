use watchbell_query::MemorySeries;

use super::*;

const NOW: Timestamp = Timestamp(1_795_327_200_000);

fn subject(alerts: Vec<Labels>) -> Subject {
    Subject {
        title: "it".into(),
        alerts,
        since: NOW - Duration::from_secs(600),
        until: None,
        at: NOW,
        generator_url: String::new(),
    }
}

#[test]
fn conditions_go_down_where_they_change_nothing() {
    let check = |text: &str| {
        let mut expr = promql::parse(text).unwrap();
        let wanted = [("instance", "a-1"), ("site", "home")];
        narrow::narrow(&mut expr, &wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
        expr.to_string().replace(r#"instance=~"|a\\-1""#, "I").replace(r#"site=~"|home""#, "S")
    };
    assert_eq!(check("a"), "a{I,S}");
    assert_eq!(check(r#"a{instance="b"} * 2"#), r#"a{instance="b",S} * 2"#);
    assert_eq!(check("rate(a[5m]) / b"), "rate(a{I,S}[5m]) / b{I,S}");
    assert_eq!(check("sum by (instance) (a)"), "sum by (instance) (a{I})");
    assert_eq!(check("sum without (instance) (a)"), "sum without (instance) (a{S})");
    assert_eq!(check("sum(a)"), "sum(a)");
    assert_eq!(check("topk(3, a)"), "topk(3, a)");
    assert_eq!(check("absent(a)"), "absent(a)");
    assert_eq!(check("a - scalar(b)"), "a{I,S} - scalar(b)");
    assert_eq!(check("a / on (instance) b"), "a{I} / on (instance) b{I}");
    assert_eq!(check("a * on (instance) group_left (site) b"), "a{I} * on (instance) group_left (site) b{I}");
    assert_eq!(check("a and on (site) b"), "a{I,S} and on (site) b{S}");
    assert_eq!(check("max_over_time(a[1h:5m])"), "max_over_time(a{I,S}[1h:5m])");
    assert_eq!(check(r#"label_replace(a, "x", "$1", "y", "(.*)")"#), r#"label_replace(a, "x", "$1", "y", "(.*)")"#);
}

#[test]
fn units_are_read_off_an_expression() {
    let check = |text: &str| format!("{:?}", unit::of(&promql::parse(text).unwrap()));
    for (text, unit) in [
        ("node_memory_MemAvailable_bytes", "Bytes"),
        ("avg by (x) (node_memory_MemFree_bytes) - 5", "Bytes"),
        ("rate(node_network_receive_bytes_total[5m])", "BytesPerSecond"),
        ("probe_duration_seconds", "Seconds"),
        ("time() - backup_last_success_seconds", "Seconds"),
        ("histogram_quantile(0.9, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))", "Seconds"),
        ("rate(node_cpu_seconds_total[5m])", "Ratio"),
        ("node_filesystem_avail_bytes / node_filesystem_size_bytes", "Ratio"),
        ("100 * (a_bytes / b_bytes)", "Percent"),
        ("1 - a_bytes / b_bytes", "Ratio"),
        ("(x_seconds - time()) / 86400", "Plain"),
        ("rate(http_requests_total[5m])", "PerSecond"),
        ("rate(http_request_duration_seconds_count[5m])", "PerSecond"),
        ("count(up)", "Plain"),
        ("a and b_bytes", "Plain"),
        ("battery_charge_percent", "Percent"),
    ] {
        assert_eq!(check(text), unit, "{text}");
    }
    let big = Series::new(Labels::empty(), vec![watchbell_model::Sample { timestamp: NOW, value: 7.0 }]);
    assert_eq!(unit::seen(watchbell_picture::Unit::Ratio, &[big], None), watchbell_picture::Unit::Plain);
}

#[test]
fn a_foreign_prometheus_says_what_it_asked() {
    let of = |url: &str| expression(url);
    assert_eq!(of("http://p:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1").as_deref(), Some("up == 0"));
    assert_eq!(of("http://p:9090/graph?g0.tab=1&g0.expr=a%7Bx%3D%22%C3%BC%22%7D#x").as_deref(), Some("a{x=\"ü\"}"));
    for without in
        ["", "http://p:9090/graph", "http://p/graph?g0.expr=", "http://p/graph?g0.expr=%f", "http://p/?g0.expr=%ff"]
    {
        assert_eq!(of(without), None, "{without}");
    }
}

#[test]
fn the_alerts_series_are_chosen_and_named_by_what_differs() {
    let series = |instance: &str| {
        let labels = Labels::metric("load", &[("instance", instance), ("job", "web")]);
        Series::new(labels, vec![watchbell_model::Sample { timestamp: NOW, value: 1.0 }])
    };
    let all = || ["a", "b", "c"].map(series).to_vec();
    let alert = |instance: &str| {
        Labels::from_pairs([("alertname", "Load"), ("instance", instance), ("job", "web"), ("severity", "critical")])
    };
    let names = |series: Vec<Series>| lines(series).into_iter().map(|line| line.name).collect::<Vec<_>>();
    assert_eq!(names(chosen(all(), &[alert("c"), alert("a")])), ["instance=c", "instance=a"]);
    assert_eq!(names(chosen(all(), &[alert("b")])), [""]);
    assert_eq!(names(chosen(all(), &[alert("elsewhere")])), ["instance=a", "instance=b", "instance=c"]);
}

#[test]
fn a_picture_is_of_the_alerts_time() {
    let of = |since: u64, hold: u64| {
        let subject = Subject { since: NOW - Duration::from_secs(since * 60), ..subject(vec![]) };
        length(&subject, Duration::from_secs(hold * 60)).as_secs() / 60
    };
    assert_eq!([of(5, 0), of(120, 0), of(5, 60), of(10_000, 0)], [180, 240, 240, 1440]);
}

#[test]
fn a_question_that_reads_too_much_or_nothing_gives_no_picture() {
    let mut memory = MemorySeries::default();
    let labels = |at: usize| Labels::metric("load", &[("instance", &format!("i{at}"))]);
    for at in 0..200 {
        for step in 0..3000 {
            memory.put(&labels(at), NOW.0 - step * 3000, 1.0);
        }
    }
    let alerts = vec![Labels::from_pairs([("alertname", "Load"), ("instance", "i7")])];
    let draw = |text: &str, foreign: Option<Vec<String>>| {
        let sight = Sight { expr: promql::parse(text).unwrap(), threshold: Some(2.0), hold: Duration::ZERO, foreign };
        picture(&memory, &subject(alerts.clone()), sight, jiff::tz::TimeZone::UTC, Arc::default())
    };
    // All of them are more than is read; of the alert's own alone there is little.
    assert!(matches!(draw("load", None), Outcome::Failed(reason) if reason.contains("too many samples")));
    let Outcome::Drawn(png) = draw("load", Some(vec!["alertname".into()])) else { panic!("it is narrow enough") };
    assert!(png.starts_with(b"\x89PNG"));
    assert!(matches!(draw("nothing", Some(Vec::new())), Outcome::Nothing));
}

#[test]
fn after_one_that_took_too_long_none_is_tried_for_a_while() {
    watchbell_runtime::sim::run(1, |world| async move {
        let mut memory = MemorySeries::default();
        memory.put(&Labels::metric("up", &[]), NOW.0, 0.0);
        let pictures = Pictures {
            runtime: world.runtime(),
            query: Arc::new(memory),
            alarms: Weak::new(),
            zone: Mutex::new(jiff::tz::TimeZone::UTC),
            turn: tokio::sync::Mutex::default(),
            recent: Mutex::default(),
        };
        let of = |title: &str| Subject {
            title: title.into(),
            generator_url: "http://p:9090/graph?g0.expr=up+%3D%3D+0".into(),
            ..subject(vec![Labels::from_pairs([("alertname", "Down")])])
        };
        assert!(pictures.has_graph(&of("a")) && !pictures.has_graph(&subject(vec![Labels::empty()])));
        assert!(pictures.draw(&of("a")).await.is_some());
        // Another one is being drawn, and does not come to an end.
        let other = pictures.turn.lock().await;
        let begun = world.clock.monotonic();
        assert!(pictures.draw(&of("b")).await.is_none());
        assert_eq!(world.clock.monotonic() - begun, PICTURE_TIME_MAX);
        drop(other);
        assert!(pictures.draw(&of("b")).await.is_none());
        assert_eq!(world.clock.monotonic() - begun, PICTURE_TIME_MAX, "at once");
        assert!(pictures.draw(&of("a")).await.is_some(), "what was drawn is there");
        world.clock.sleep(PICTURE_PAUSE).await;
        assert!(pictures.draw(&of("b")).await.is_some());
    });
}
