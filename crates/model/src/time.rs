//! Points in time, as stored: whole microseconds since 1970, UTC.

use serde::{Deserialize, Serialize};
use std::{
    sync::OnceLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// The wall clock and the steady one at the first question of this process.
static ANCHOR: OnceLock<(Timestamp, Instant)> = OnceLock::new();

/// Microseconds since 1970-01-01T00:00:00Z by the wall clock of whoever wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Now. A clock before 1970 reads as 1970.
    pub fn now() -> Self {
        Self::of(SystemTime::now())
    }

    /// A file's time, for example. Before 1970 reads as 1970.
    pub fn of(time: SystemTime) -> Self {
        let micros = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        Self(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    /// Now by a clock that nobody can set: as [`Timestamp::now`] was when this process first asked, and running on
    /// from there. For leases and pauses within one process; means nothing to another one.
    pub fn steady() -> Self {
        let (began, instant) = ANCHOR.get_or_init(|| (Self::now(), Instant::now()));
        began.plus(instant.elapsed())
    }

    /// This many later; saturates.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero when the clock went back.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339 in UTC with seconds, for people and JSON.
    pub fn rfc3339(self) -> String {
        jiff::Timestamp::from_second(self.0.div_euclid(1_000_000))
            .map_or_else(|_| "out of range".to_owned(), |t| t.to_string())
    }
}
