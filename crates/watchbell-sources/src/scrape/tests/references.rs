//! Bodies in, what the store is given out: references, labels only where they are needed, examples, metadata.

use super::*;

/// What the store is given with bodies that are scraped one after the other, a second apart: how many series by their
/// labels, examples, metadata.
fn check_handed_on(format: Format, bodies: &[&str], expect: Expect) {
    let (mut alive, mut store) = (alive(rules()), Store::default());
    let mut out = String::new();
    for (at, body) in bodies.iter().enumerate() {
        let at = Timestamp(1000 * (at as i64 + 1));
        if *body == "(forget)" {
            store.forget();
            continue;
        }
        let mut scraped = alive.read(body.as_bytes(), format, at);
        alive.report(&mut scraped.outgoing, at, &[0.0; 5]);
        hand_over(&mut alive, scraped.outgoing, &mut store);
        let (samples, by_labels) = (std::mem::take(&mut store.points).len(), std::mem::take(&mut store.by_labels));
        writeln!(out, "{}: {samples} samples, {by_labels} series by labels", at.0).unwrap();
        for (labels, exemplar) in std::mem::take(&mut store.exemplars) {
            writeln!(out, "    {labels} # {} {} {}", exemplar.labels, exemplar.value, exemplar.timestamp.0).unwrap();
        }
        for (metric, told) in std::mem::take(&mut store.metadata) {
            writeln!(out, "    {metric}: {} {:?} {:?}", told.kind.as_str(), told.unit, told.help).unwrap();
        }
    }
    expect.assert_eq(&out);
}

#[test]
fn a_known_series_costs_no_labels() {
    let both = "x{c=\"1\"} 1\nx{c=\"2\"} 2\n";
    check_handed_on(
        Format::Text,
        &[both, both, "x{c=\"1\"} 1\ny 1\n", "(forget)", "y 1\nz 1\n", "y 2\nz 2\n", "bad", "y 1\n"],
        expect![[r#"
            1000: 7 samples, 7 series by labels
            2000: 7 samples, 0 series by labels
            3000: 8 samples, 1 series by labels
            5000: 8 samples, 8 series by labels
            6000: 7 samples, 0 series by labels
            7000: 7 samples, 0 series by labels
            8000: 6 samples, 0 series by labels
        "#]],
    );
}

#[test]
fn a_series_that_the_store_refuses_does_not_pass_for_another() {
    let (mut alive, mut store) = (alive(rules()), Store { limit: Some(2), ..Store::default() });
    let mut out = String::new();
    let bodies = ["a 1\nb 1\nc 1\nd 1\n", "d 2\nc 2\nb 2\na 2\n", "d 3\nb 3\nc 3\na 3\n", "c 4\nb 4\n"];
    for (at, body) in (1..).zip(bodies) {
        if at == 3 {
            store.forget();
        }
        let scraped = alive.read(body.as_bytes(), Format::Text, Timestamp(at));
        hand_over(&mut alive, scraped.outgoing, &mut store);
        out += &shown(&std::mem::take(&mut store.points));
    }
    expect![[r#"
        1 a{instance="b", job="a"} 1
        1 b{instance="b", job="a"} 1
        2 b{instance="b", job="a"} 2
        2 a{instance="b", job="a"} 2
        3 d{instance="b", job="a"} 3
        3 c{instance="b", job="a"} 3
        4 c{instance="b", job="a"} 4
        4 d{instance="b", job="a"} ended
    "#]]
    .assert_eq(&out);
}

#[test]
fn examples_are_handed_on_when_they_are_new() {
    let body = |exemplar: &str| format!("# TYPE x counter\nx_total 1 {exemplar}\nx_created 1\n# EOF\n");
    let (first, own) = (body("# {trace_id=\"1\"} 0.5"), body("# {trace_id=\"2\"} 0.5 1.5"));
    check_handed_on(
        Format::OpenMetrics,
        &[&first, &first, &own, "(forget)", &own, &first, "(forget)", &own],
        expect![[r#"
            1000: 7 samples, 7 series by labels
                x_total{instance="b", job="a"} # {trace_id="1"} 0.5 1000
                x: counter "" ""
            2000: 7 samples, 0 series by labels
            3000: 7 samples, 0 series by labels
                x_total{instance="b", job="a"} # {trace_id="2"} 0.5 1500
            5000: 7 samples, 7 series by labels
            6000: 7 samples, 0 series by labels
                x_total{instance="b", job="a"} # {trace_id="1"} 0.5 6000
            8000: 7 samples, 7 series by labels
                x_total{instance="b", job="a"} # {trace_id="2"} 0.5 1500
        "#]],
    );
}

#[test]
fn an_example_that_the_store_did_not_take_is_handed_on_again() {
    let mut alive = alive(rules());
    let body = b"x_total 1 # {trace_id=\"1\"} 0.5\n# EOF\n";
    let mut examples = || {
        let mut scraped = alive.read(body, Format::OpenMetrics, Timestamp(1));
        alive.lost();
        scraped.outgoing.hand_over().exemplars.len()
    };
    assert_eq!([examples(), examples()], [1, 1]);
}

#[test]
fn metadata_is_handed_on_when_it_is_new() {
    let one = "# HELP x Words.\n# TYPE x gauge\n# UNIT x bytes\nx 1\n# EOF\n";
    let torn = "# TYPE x gauge\n# TYPE y unknown\n# HELP x Words.\n# UNIT x bytes\n# EOF\n";
    let other = "# HELP x Other words.\n# TYPE x gauge\n# EOF\n";
    check_handed_on(
        Format::OpenMetrics,
        &[one, one, torn, torn, "bad", torn, other, other, "# EOF\n", one],
        expect![[r#"
            1000: 6 samples, 6 series by labels
                x: gauge "bytes" "Words."
            2000: 6 samples, 0 series by labels
            3000: 6 samples, 0 series by labels
            4000: 5 samples, 0 series by labels
            5000: 5 samples, 0 series by labels
            6000: 5 samples, 0 series by labels
            7000: 5 samples, 0 series by labels
                x: gauge "" "Other words."
            8000: 5 samples, 0 series by labels
            9000: 5 samples, 0 series by labels
            10000: 6 samples, 1 series by labels
                x: gauge "bytes" "Words."
        "#]],
    );
    // What the store did not take is told again.
    let mut alive = alive(rules());
    for _ in 0..2 {
        let mut scraped = alive.read(one.as_bytes(), Format::OpenMetrics, Timestamp(1));
        assert_eq!(scraped.outgoing.hand_over().metadata.len(), 1);
    }
}

#[test]
fn metadata_has_a_bound() {
    let (mut alive, mut store) = (alive(rules()), Store::default());
    let body: String = (0..20_003).map(|metric| format!("# TYPE m{metric} gauge\n")).collect();
    let scraped = alive.read(body.as_bytes(), Format::Text, Timestamp(1));
    hand_over(&mut alive, scraped.outgoing, &mut store);
    assert_eq!((store.metadata.len(), alive.undescribed(), alive.undescribed()), (20_000, 3, 0));
}

#[test]
fn a_store_that_forgets_loses_nothing() {
    sim::run(1, |world| async move {
        let bench = bench(&world);
        bench.store().memory = Memory::Short;
        answer(&world, "web-1", ok("text/plain", "x 1\n"), true);
        let targets = Targets::new();
        bench.context.runtime.clock.sleep(Duration::from_secs(5)).await;
        targets.apply(&one_target(), &bench.context);
        let mut out = String::new();
        for _ in 0..3 {
            out += &round(&bench, &targets).await;
        }
        bench.store().memory = Memory::References;
        bench.store().by_labels = 0;
        out += &round(&bench, &targets).await;
        assert_eq!(bench.store().by_labels, 0);
        bench.store().memory = Memory::Short;
        targets.apply(&[], &bench.context);
        out += &round(&bench, &targets).await;
        expect![[r#"
            x=1 up=1 scrape_samples_scraped=1 | web-1:9100 1 None | Up None
            x=1 up=1 scrape_samples_scraped=1 | web-1:9100 1 None | Up None
            x=1 up=1 scrape_samples_scraped=1 | web-1:9100 1 None | Up None
            x=1 up=1 scrape_samples_scraped=1 | web-1:9100 1 None | Up None
            x=ended up=ended scrape_samples_scraped=ended 
        "#]]
        .assert_eq(&out);
        assert!(!bench.context.runtime.metrics.render().contains("watchbell_scrape_samples_dropped_total{"));
    });
}

#[test]
fn only_what_was_forgotten_is_sent_again() {
    let (mut alive, mut store) = (alive(rules()), Store::default());
    let mut out = String::new();
    let bodies = ["a 1\nb 1\nc 1\nd 1\n", "d 2\nc 2\nb 2\na 2\n", "d 3\nnew 3\nb 3\n", "a 4\nb 4\nd 4\n"];
    for (at, body) in (1..).zip(bodies) {
        if at == 2 {
            // Of the first two, `a` and `b`.
            store.from = 2;
        }
        let mut scraped = alive.read(body.as_bytes(), Format::Text, Timestamp(at));
        alive.report(&mut scraped.outgoing, Timestamp(at), &[at as f64; 5]);
        hand_over(&mut alive, scraped.outgoing, &mut store);
        let points = std::mem::take(&mut store.points);
        let own = points.into_iter().filter(|point| !point.labels.name().unwrap().starts_with("scrape_"));
        out += &shown(&own.collect::<Vec<_>>());
        writeln!(out, "{} by labels", std::mem::take(&mut store.by_labels)).unwrap();
    }
    expect![[r#"
        1 a{instance="b", job="a"} 1
        1 b{instance="b", job="a"} 1
        1 c{instance="b", job="a"} 1
        1 d{instance="b", job="a"} 1
        1 up{instance="b", job="a"} 1
        9 by labels
        2 d{instance="b", job="a"} 2
        2 c{instance="b", job="a"} 2
        2 up{instance="b", job="a"} 2
        2 b{instance="b", job="a"} 2
        2 a{instance="b", job="a"} 2
        2 by labels
        3 d{instance="b", job="a"} 3
        3 new{instance="b", job="a"} 3
        3 b{instance="b", job="a"} 3
        3 a{instance="b", job="a"} ended
        3 c{instance="b", job="a"} ended
        3 up{instance="b", job="a"} 3
        1 by labels
        4 a{instance="b", job="a"} 4
        4 b{instance="b", job="a"} 4
        4 d{instance="b", job="a"} 4
        4 new{instance="b", job="a"} ended
        4 up{instance="b", job="a"} 4
        1 by labels
    "#]]
    .assert_eq(&out);
}
