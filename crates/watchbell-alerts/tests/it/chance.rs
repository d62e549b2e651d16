//! Timelines made up at random: whatever happens, a crash changes nothing of what people are told, and nobody is left
//! in the dark.

use proptest::prelude::*;

use crate::stage::{Fault, Played, config, play};

const ONE: &str = r#"{"receiver": "ops", "group_by": ["alertname"], "routes": [
    {"receiver": "pager", "matchers": ["host=1"], "group_wait": "0s", "group_interval": "1m", "continue": true},
    {"receiver": "ops", "matchers": ["host=~\"1|2\""], "group_by": ["host"]}
]}"#;
const OTHER: &str = r#"{"receiver": "ops", "group_by": ["host"], "routes": [
    {"receiver": "pager", "matchers": ["alertname=a"], "group_by": ["..."]}
]}"#;
const RULES: &str = r#"[{"source_matchers": ["alertname=a"], "target_matchers": ["alertname=b"], "equal": ["host"]}]"#;

fn played(timeline: &str, fault: Fault, crash_after: Option<usize>) -> Played {
    play(&[config(ONE, RULES, "[]"), config(OTHER, RULES, "[]")], timeline, fault, crash_after)
}

fn step() -> impl Strategy<Value = (u64, String)> {
    let pause = prop::sample::select(vec![0, 1, 10, 29, 30, 31, 60, 299, 300, 301, 3600, 4 * 3600]);
    let alert = ("[ab]", "[123]").prop_map(|(name, host)| format!("{name},host={host}"));
    let verb = prop_oneof![
        6 => alert.clone().prop_map(|alert| format!("raise {alert}")),
        4 => alert.prop_map(|alert| format!("resolve {alert}")),
        1 => "[123]".prop_map(|host| format!("silence host={host} for 10m")),
        1 => (0..2_u32).prop_map(|number| format!("reload {number}")),
    ];
    (pause, verb)
}

fn timeline() -> impl Strategy<Value = String> {
    prop::collection::vec(step(), 1..12).prop_map(|steps| {
        let mut at = 0;
        let mut text = String::new();
        for (pause, verb) in steps {
            at += pause;
            text += &format!("{at}s {verb} | ");
        }
        text + &format!("{}s show | {}s end", at + 3600, at + 3601)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_crash_at_any_step_changes_nothing(timeline in timeline()) {
        let plain = played(&timeline, Fault::None, None);
        for step in 0..timeline.split('|').count() {
            let crashed = played(&timeline, Fault::None, Some(step));
            prop_assert_eq!(&crashed.text, &plain.text, "after a crash behind step {} of {}", step, timeline);
        }
    }

    #[test]
    fn whoever_should_know_knows_in_the_end(timeline in timeline(), commit in 1_u64..20, kind in 0..5) {
        let fault = match kind {
            0 => Fault::Fails(commit),
            1 => Fault::CrashBefore(commit),
            2 => Fault::CrashAfter(commit),
            3 => Fault::FailsLate(commit),
            _ => Fault::None,
        };
        let played = played(&timeline, fault, None);
        let shown = played.text.lines().find_map(|line| line.split_once(" shows ")).map_or("nothing", |(_, text)| text);
        for view in shown.split("; ").filter(|view| view.contains(" active to ")) {
            let (alert, receivers) = view.split_once(" active to ").expect("just looked");
            for receiver in receivers.split(',') {
                // The last that the receiver heard of the alert is that it fires.
                let told = played.text.lines().rev().find_map(|line| {
                    let (_, page) = line.split_once(" page ")?;
                    let mine = page.strip_prefix(receiver)?.starts_with(' ');
                    page.split(' ').find(|word| mine && word.get(1..) == Some(alert)).map(str::to_owned)
                });
                prop_assert_eq!(told, Some(format!("+{alert}")), "{} of {}\n{}", receiver, timeline, played.text);
            }
        }
    }
}
