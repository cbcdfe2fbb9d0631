//! What came of all kills.

use crate::{check::Outcome, kind::Kind};
use std::{collections::BTreeMap, fmt, time::Duration};

#[derive(Default)]
pub(crate) struct Table {
    rows: BTreeMap<Kind, Row>,
}

#[derive(Default)]
struct Row {
    outcomes: BTreeMap<Outcome, usize>,
    failed: usize,
    times: Vec<Duration>,
}

impl Table {
    pub(crate) fn passed(&mut self, kind: Kind, outcome: Outcome, took: Duration) {
        let row = self.rows.entry(kind).or_default();
        *row.outcomes.entry(outcome).or_default() += 1;
        row.times.push(took);
    }

    pub(crate) fn failed(&mut self, kind: Kind) {
        self.rows.entry(kind).or_default().failed += 1;
    }

    pub(crate) fn passes(&self) -> usize {
        self.rows.values().map(|row| row.times.len()).sum()
    }

    pub(crate) fn failures(&self) -> usize {
        self.rows.values().map(|row| row.failed).sum()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<8} {:>6} {:>6} {:>7} {:>10} {:>11} {:>7} {:>13} {:>9}",
            "killed",
            "times",
            "live",
            "blamed",
            "overtaken",
            "unrecorded",
            "failed",
            "settled p50",
            "longest"
        )?;
        for (kind, row) in &self.rows {
            let of = |outcome| row.outcomes.get(&outcome).copied().unwrap_or(0);
            let mut times = row.times.clone();
            times.sort_unstable();
            let median = times.get(times.len() / 2).copied().unwrap_or_default();
            let longest = times.last().copied().unwrap_or_default();
            writeln!(
                f,
                "{kind:<8} {:>6} {:>6} {:>7} {:>10} {:>11} {:>7} {:>11.1} s {:>7.1} s",
                row.times.len() + row.failed,
                of(Outcome::Live),
                of(Outcome::Blamed),
                of(Outcome::Overtaken),
                of(Outcome::Unrecorded),
                row.failed,
                median.as_secs_f64(),
                longest.as_secs_f64()
            )?;
        }
        Ok(())
    }
}
