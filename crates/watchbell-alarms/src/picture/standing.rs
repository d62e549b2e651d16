//! How a heartbeat stood: what its flips say of the time that is shown.

use std::time::Duration;

use jiff::tz::TimeZone;
use watchbell_model::{Flip, HeartbeatState, HeartbeatStatus, Subject, Timestamp};
use watchbell_picture::{Standing, Stretch, Strip};

/// So many times its period and grace are shown: at least, and at most.
const RUNS: u32 = 10;
const LENGTH_MIN: Duration = Duration::from_secs(3 * 3600);
const LENGTH_MAX: Duration = Duration::from_secs(30 * 86_400);

/// The picture of a heartbeat, from its flips, newest first.
pub(super) fn strip(subject: &Subject, status: &HeartbeatStatus, flips: &[Flip], zone: TimeZone) -> Strip {
    let run = status.period.duration().saturating_add(status.grace.duration());
    let fires = subject.at.since(subject.since);
    let length = run.saturating_mul(RUNS).max(fires * 2).clamp(LENGTH_MIN, LENGTH_MAX);
    Strip {
        title: subject.title.clone(),
        start: subject.at - length,
        end: subject.at,
        stretches: stretches(status, flips, subject.at),
        since: Some(subject.since),
        until: subject.until,
        zone,
    }
}

fn stretches(status: &HeartbeatStatus, flips: &[Flip], end: Timestamp) -> Vec<Stretch> {
    let mut stretches = Vec::with_capacity(flips.len() + 1);
    let mut until = end;
    for flip in flips.iter().filter(|flip| flip.at <= end) {
        stretches.push(Stretch { from: flip.at, until, standing: standing(flip.to) });
        until = flip.at;
    }
    if let Some(oldest) = flips.last().filter(|flip| flip.at <= end) {
        stretches.push(Stretch { from: Timestamp::MIN, until, standing: standing(oldest.from) });
    }
    // Of what is late now nobody flipped yet.
    let late = (status.state == HeartbeatState::Late).then_some(status.next_ping).flatten();
    if let (Some(from), Some(now)) = (late.filter(|from| *from <= end), stretches.first_mut()) {
        now.until = from;
        stretches.push(Stretch { from, until: end, standing: Standing::Late });
    }
    stretches
}

fn standing(state: HeartbeatState) -> Standing {
    match state {
        HeartbeatState::Up => Standing::Up,
        HeartbeatState::Late => Standing::Late,
        HeartbeatState::Down => Standing::Down,
        HeartbeatState::New | HeartbeatState::Paused => Standing::Waiting,
    }
}

#[cfg(test)]
mod tests {
    use HeartbeatState::{Down, Late, New, Up};
    use watchbell_model::Span;

    use super::*;

    fn check(state: HeartbeatState, flips: &[(i64, HeartbeatState, HeartbeatState)]) -> String {
        let flips: Vec<Flip> =
            flips.iter().map(|(at, from, to)| Flip { at: Timestamp(*at), from: *from, to: *to }).collect();
        let status = HeartbeatStatus {
            id: "backup".into(),
            name: "backup".into(),
            state,
            started: false,
            last_start: None,
            last_ping: None,
            next_ping: Some(Timestamp(90)),
            deadline: None,
            schedule: String::new(),
            period: Span::hours(24),
            grace: Span::hours(1),
            last_duration: None,
        };
        let shown = stretches(&status, &flips, Timestamp(100));
        let of = |it: &Stretch| format!("{}..{} {:?}", it.from.0.max(0), it.until.0, it.standing);
        shown.iter().map(of).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn flips_become_stretches() {
        assert_eq!(check(New, &[]), "");
        assert_eq!(check(Up, &[(20, New, Up)]), "20..100 Up, 0..20 Waiting");
        assert_eq!(check(Late, &[(20, New, Up)]), "20..90 Up, 0..20 Waiting, 90..100 Late");
        assert_eq!(
            check(Down, &[(80, Up, Down), (70, Down, Up), (50, Up, Down)]),
            "80..100 Down, 70..80 Up, 50..70 Down, 0..50 Up"
        );
        // What came after the moment that is shown.
        assert_eq!(check(Up, &[(110, Down, Up), (80, Up, Down)]), "80..100 Down, 0..80 Up");
    }
}
