//! What became of all requests of a load.

use super::Asked;
use std::{collections::BTreeMap, fmt, time::Duration};

/// So many losses are told in words.
const TOLD: usize = 10;

/// How a request can be lost. Nothing is tried twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// No connection.
    Connect,
    /// The connection ended before the answer did.
    Cut,
    /// Nothing came for half a minute.
    NoAnswer,
    /// A status of 500 or more.
    ServerError,
    /// Another status than 200.
    WrongStatus,
    /// An answer to another question, of another length, or with another digest.
    WrongBody,
}

/// What became of all requests.
#[derive(Debug)]
pub struct LoadReport {
    pub requests: u64,
    pub posts: u64,
    /// Over connections that carried more than one.
    pub kept_alive: u64,
    pub lost: BTreeMap<Loss, u64>,
    /// The first few losses in words, with the second in which each ended.
    pub first_losses: Vec<String>,
    /// Of every request that was not lost, the shortest first, from the moment when it was due.
    pub latencies: Vec<Duration>,
    /// First line of the answers to GET, which names the release, and how often it was read.
    pub answered_by: BTreeMap<String, u64>,
    pub elapsed: Duration,
}

impl LoadReport {
    pub(crate) fn new(elapsed: Duration, all: impl Iterator<Item = Asked>) -> Self {
        let mut report = Self {
            requests: 0,
            posts: 0,
            kept_alive: 0,
            lost: BTreeMap::new(),
            first_losses: Vec::new(),
            latencies: Vec::new(),
            answered_by: BTreeMap::new(),
            elapsed,
        };
        let mut told = Vec::new();
        for asked in all {
            report.requests += 1;
            report.posts += u64::from(asked.post);
            report.kept_alive += u64::from(asked.kept_alive);
            match asked.outcome {
                Ok(line) => {
                    report.latencies.push(asked.time);
                    if let Some(line) = line {
                        *report.answered_by.entry(line).or_default() += 1;
                    }
                }
                Err((loss, words)) => {
                    *report.lost.entry(loss).or_default() += 1;
                    let connection = if asked.kept_alive { "kept alive" } else { "own connection" };
                    told.push((asked.at, format!("{loss:?}, {connection}: {words}")));
                }
            }
        }
        report.latencies.sort_unstable();
        told.sort();
        let told = told.into_iter().take(TOLD);
        report.first_losses =
            told.map(|(at, words)| format!("after {:.2} s: {words}", at.as_secs_f64())).collect();
        report
    }

    /// Lost requests of all kinds.
    pub fn lost(&self) -> u64 {
        self.lost.values().sum()
    }

    pub fn per_second(&self) -> f64 {
        f64::from(u32::try_from(self.requests).unwrap_or(u32::MAX)) / self.elapsed.as_secs_f64()
    }

    /// The latency that so many of a thousand answers did not exceed.
    pub fn latency(&self, per_mille: usize) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get(last * per_mille / 1000).copied().unwrap_or_default()
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests at {:.0}/s, {} of them over kept-alive connections, {} POSTs of 64 kB: {} lost",
            self.requests,
            self.per_second(),
            self.kept_alive,
            self.posts,
            self.lost()
        )?;
        for (loss, times) in &self.lost {
            write!(f, ", {loss:?} {times}")?;
        }
        for (what, per_mille) in [("p50", 500), ("p99", 990), ("most", 1000)] {
            write!(f, "; {what} {:.1} ms", self.latency(per_mille).as_secs_f64() * 1e3)?;
        }
        for words in &self.first_losses {
            write!(f, "\n  {words}")?;
        }
        Ok(())
    }
}
