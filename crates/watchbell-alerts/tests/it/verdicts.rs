//! Episodes and verdicts: what people were told of is remembered, and what they said of it, whatever goes wrong.

use expect_test::expect;

use crate::stage::{check, check_plain, config};

const ROUTE: &str = r#"{"receiver": "anna", "group_by": ["alertname"], "group_wait": "0s"}"#;

#[test]
fn a_verdict_is_given_while_it_fires_and_the_next_day() {
    check(
        &[config(ROUTE, "[]", "[]")],
        "1m raise a | 2m raise b | 3m judge a early | 4m ack b | 5m episodes | 10m resolve a | 20m resolve b | 24h judge b false | 24h episodes \
         | 25h judge a none | 25h raise a | 25h10m episodes",
        expect![[r#"
            1m page anna {a} first: +a
            2m page anna {b} first: +b
            4m page anna {b} acknowledged: +b
            5m episodes b from 2m seen to by me; a from 1m early by me
            11m page anna {a} all_resolved: -a
            22m page anna {b} all_resolved: -b
            1d episodes b from 2m to 20m seen to by me false by me; a from 1m to 10m early by me
            1d1h page anna {a} first: +a
            1d1h10m episodes a from 1d1h; b from 2m to 20m seen to by me false by me; a from 1m to 10m
        "#]],
    );
}

#[test]
fn what_nobody_was_told_of_is_no_episode() {
    check_plain(
        &[config(ROUTE, "[]", "[]")],
        "1m silence alertname=a for 1h | 2m raise a | 10m resolve a | 2h episodes",
        expect![[r#"
            2h episodes none
        "#]],
    );
}

#[test]
fn what_ends_and_comes_back_before_anybody_hears_of_the_end_is_two_episodes() {
    check(
        &[config(ROUTE, "[]", "[]")],
        "1m raise a | 1m30s judge a true | 2m resolve a | 3m raise a | 20m episodes | 21m resolve a | 40m episodes",
        expect![[r#"
            1m page anna {a} first: +a
            20m episodes a from 3m; a from 1m to 2m true by me
            21m page anna {a} all_resolved: -a
            40m episodes a from 3m to 21m; a from 1m to 2m true by me
        "#]],
    );
}

#[test]
fn one_that_is_in_several_groups_is_one_episode() {
    let route = r#"{"receiver": "anna", "group_wait": "0s", "routes": [
        {"receiver": "anna", "matchers": ["alertname=a"], "continue": true, "group_interval": "1m"},
        {"receiver": "ben", "matchers": ["alertname=a"], "group_interval": "7m"}]}"#;
    check(
        &[config(route, "[]", "[]"), config(ROUTE, "[]", "[]")],
        "1m raise a | 2m judge a late | 3m resolve a | 30m episodes | 31m raise a | 32m reload 1 | 33m resolve a | 1h episodes",
        expect![[r#"
            1m page anna {} first: +a
            1m page ben {} first: +a
            3m page anna {} all_resolved: -a
            8m page ben {} all_resolved: -a
            30m episodes a from 1m to 3m late by me
            31m page anna {} first: +a
            31m page ben {} first: +a
            32m page anna {a} escalated: +a
            37m page anna {a} all_resolved: -a
            1h episodes a from 31m to 33m; a from 1m to 3m late by me
        "#]],
    );
}
