//! A wall clock that is set while the platform runs. Leases, pauses and waiting times do not follow it, so nothing is
//! lost; rows written before and after carry times that do not fit, which the operator should know.

use model::Timestamp;
use std::time::Duration;

/// A smaller difference is a clock being kept right, as it should be.
const JUMP: Duration = Duration::from_mins(1);

/// How far the wall clock was from the steady one when last looked at, in microseconds.
pub(crate) struct Watch {
    ahead: i64,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self { ahead: ahead(Timestamp::now(), Timestamp::steady()) }
    }

    /// By how many seconds the wall clock was set since the last look, when it was: forward is positive.
    pub(crate) fn jumped(&mut self, wall: Timestamp, steady: Timestamp) -> Option<i64> {
        let ahead = ahead(wall, steady);
        let moved = ahead.saturating_sub(self.ahead);
        self.ahead = ahead;
        (u128::from(moved.unsigned_abs()) >= JUMP.as_micros()).then_some(moved / 1_000_000)
    }
}

fn ahead(wall: Timestamp, steady: Timestamp) -> i64 {
    wall.0.saturating_sub(steady.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_is_noticed_once_in_either_direction_and_one_that_drifts_is_not() {
        let day = 86_400 * 1_000_000;
        let mut watch = Watch { ahead: 0 };
        let mut look = |wall: i64, steady: i64| watch.jumped(Timestamp(wall), Timestamp(steady));
        assert_eq!(look(1_000_000, 1_000_000), None);
        assert_eq!(look(3_000_000, 2_000_000), None, "a second");
        assert_eq!(look(day, 4_000_000), Some(86_395));
        assert_eq!(look(day + 1_000_000, 5_000_000), None, "once");
        assert_eq!(look(6_000_000, 6_000_000), Some(-86_396));
    }
}
