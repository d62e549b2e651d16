use std::time::Duration;

use watchbell_model::RunbookRef;

use super::*;

pub(crate) fn spec(suppressor: Option<(u64, u64)>) -> Spec {
    Spec {
        name: "Shop is down".to_owned(),
        rule: "ALARM(monitor/Website) OR NOT OK(rule/host/DiskFull)".parse().unwrap(),
        suppressor: suppressor.map(|(wait, extension)| Suppressor {
            alarm: "monitor/Deployment".to_owned(),
            wait: Span::seconds(wait),
            extension: Span::seconds(extension),
        }),
        severity: Severity::Critical,
        runbook: Runbook { reference: RunbookRef::Named("shop".to_owned()), url: "https://w/runbooks/shop".to_owned() },
        labels: Labels::empty(),
        description: String::new(),
    }
}

fn at(second: u64) -> Timestamp {
    Timestamp(0) + Duration::from_secs(second)
}

/// Plays changes of the composite's rule and of its suppressor, second by second, and says what is acted on, as `4 ALARM`.
pub(crate) fn play(spec: &Spec, suppressed: bool, events: &[(u64, &str, bool)]) -> Vec<String> {
    let mut look = Look { holds: false, causes: Vec::new(), suppressed };
    let mut kept = Kept { state: AlarmState::Ok, ..Kept::<Memory>::new(at(0), Memory::UNHEARD) };
    let mut acted = Vec::new();
    for second in 1..20 {
        for (_, who, is) in events.iter().filter(|(at, ..)| *at == second) {
            *(if *who == "composite" { &mut look.holds } else { &mut look.suppressed }) = *is;
        }
        acted.extend(kept.look(spec, &look, at(second)).map(|state| format!("{second} {state}")));
        // As after a restart.
        kept = serde_json::from_value(serde_json::to_value(&kept).unwrap()).unwrap();
    }
    acted
}

#[test]
fn a_suppressor_is_waited_for_and_outlived() {
    // CloudWatch's documented timelines, with a wait of 2 and an extension of 3.
    let spec = spec(Some((2, 3)));
    let check = |suppressed, events: &[(u64, &str, bool)], expected: &[&str]| {
        assert_eq!(play(&spec, suppressed, events), expected, "{events:?}");
    };
    check(false, &[(2, "composite", true)], &["4 ALARM"]);
    check(false, &[(2, "composite", true), (3, "suppressor", true)], &[]);
    check(false, &[(2, "composite", true), (3, "composite", false)], &["5 OK"]);
    check(true, &[(2, "composite", true)], &[]);
    check(false, &[(2, "composite", true), (3, "suppressor", true), (6, "suppressor", false)], &["9 ALARM"]);
    check(
        false,
        &[(2, "composite", true), (3, "suppressor", true), (6, "suppressor", false), (7, "composite", false)],
        &["9 OK"],
    );
    // It comes back while it is being outlived.
    check(true, &[(2, "composite", true), (4, "suppressor", false), (5, "suppressor", true)], &[]);
}

#[test]
fn without_a_suppressor_or_a_wait_it_acts_at_once() {
    let events = [(2, "composite", true), (5, "composite", false)];
    assert_eq!(play(&spec(None), false, &events), ["2 ALARM", "5 OK"]);
    assert_eq!(play(&spec(Some((0, 0))), false, &events), ["2 ALARM", "5 OK"]);
}

#[test]
fn a_suppressor_that_is_taken_out_of_the_configuration_holds_nothing_back() {
    let (with, without) = (spec(Some((2, 3))), spec(None));
    let mut kept = Kept { state: AlarmState::Ok, ..Kept::<Memory>::new(at(0), Memory::UNHEARD) };
    let look = Look { holds: true, causes: Vec::new(), suppressed: true };
    assert_eq!(kept.look(&with, &look, at(1)), None);
    assert_eq!(kept.look(&without, &look, at(2)), Some(AlarmState::Alarm));
}

#[test]
fn it_says_what_it_holds_for_and_why_nobody_is_told() {
    let states = |website, disk| {
        move |id: &str| match id {
            "monitor/Website" => website,
            "rule/host/DiskFull" => disk,
            _ => AlarmState::Alarm,
        }
    };
    let site = Site::new("https://w");
    let said = |kept: &Kept<Memory>, spec: &Spec| {
        Memory::firing(kept, spec, &site)
            .iter()
            .map(|it| it.annotations.get("summary").unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let (quick, held) = (spec(None), spec(Some((60, 60))));
    let mut kept = Kept::<Memory>::new(at(0), Memory::UNHEARD);
    kept.look(&quick, &Look::at(&quick, states(AlarmState::Ok, AlarmState::Ok)), at(1));
    assert_eq!((kept.state, kept.reason.as_str()), (AlarmState::Ok, "its rule does not hold"));
    kept.look(&quick, &Look::at(&quick, states(AlarmState::Alarm, AlarmState::Ok)), at(2));
    assert_eq!(said(&kept, &quick), ["Shop is down: Website"]);
    kept.look(&quick, &Look::at(&quick, states(AlarmState::Alarm, AlarmState::InsufficientData)), at(3));
    assert_eq!(said(&kept, &quick), ["Shop is down: Website and DiskFull (no data)"]);
    assert_eq!(kept.reason, "its rule holds: Website");

    let mut kept = Kept::<Memory>::new(at(0), Memory::UNHEARD);
    kept.look(&held, &Look::at(&held, states(AlarmState::Alarm, AlarmState::Ok)), at(2));
    assert!(said(&kept, &held).is_empty());
    assert_eq!(kept.why(&held), "its rule holds: Website; nobody is told while Deployment is in ALARM");
}
