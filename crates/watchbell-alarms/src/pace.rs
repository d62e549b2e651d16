//! Whether the wall clock goes on as time does.

use std::time::Duration;

use watchbell_model::Timestamp;
use watchbell_runtime::Clock;

/// A wall clock that moves so much more than time does was set forward, or the machine slept.
const JUMP_MIN: Duration = Duration::from_secs(30);

/// Both clocks when they were looked at last.
pub(crate) struct Pace {
    wall: Timestamp,
    lived: Duration,
}

impl Pace {
    pub(crate) fn new(clock: &Clock) -> Pace {
        Pace { wall: clock.now(), lived: clock.monotonic() }
    }

    /// If the wall clock jumped forward since it was looked at last: the moment from which until now nobody lived.
    pub(crate) fn jumped(&mut self, clock: &Clock) -> Option<Timestamp> {
        let now = Pace::new(clock);
        let (walked, lived) = (now.wall.since(self.wall), now.lived.saturating_sub(self.lived));
        let gone = (walked > lived + JUMP_MIN).then(|| self.wall + lived);
        *self = now;
        gone
    }
}
