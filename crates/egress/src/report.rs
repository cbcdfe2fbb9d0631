//! What the build's log says about its network: a refusal at once, what was fetched from each host at the end.
//!
//! Equal refusals are folded, and hosts that are named at all are bounded: a build that asks for ten thousand names
//! writes a few hundred rows.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Different refusals that get a row of their own.
const MOST_REFUSALS: usize = 100;

/// Why something was not let through. The text id of all of them is `egress-refused`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refusal {
    /// A name that is not on the allow-list.
    Host(String),
    /// An allowed name on a port that is not.
    Port(String, u16),
    /// A connection that names no host: what was dialled.
    NoHost(String),
    /// A plain HTTP request that breaks the rules.
    Request(String),
    /// All addresses of an allowed name are special: one of them.
    Address(String, String),
    /// The host did not answer or does not exist: the reason.
    Unreachable(String, String),
    /// More than the most connections at once.
    Crowded,
    /// More bytes than a build may move.
    Budget,
}

/// Bytes and connections of one host, counted while they flow.
#[derive(Default)]
pub(crate) struct Traffic {
    pub(crate) connections: AtomicU64,
    pub(crate) down_bytes: AtomicU64,
    pub(crate) up_bytes: AtomicU64,
}

/// Where rows go.
pub(crate) type Rows = Box<dyn FnMut(&str) + Send>;

/// The report of one build.
pub(crate) struct Report {
    state: Mutex<State>,
}

struct State {
    rows: Rows,
    refusals: BTreeMap<Refusal, u64>,
    /// A row has said that further refusals are not listed.
    told_full: bool,
    hosts: BTreeMap<String, Arc<Traffic>>,
}

impl Report {
    pub(crate) fn new(rows: Rows) -> Self {
        let state = State { rows, refusals: BTreeMap::new(), told_full: false, hosts: BTreeMap::new() };
        Self { state: Mutex::new(state) }
    }

    /// Writes the row of a refusal, or counts it when it was written already.
    pub(crate) fn refuse(&self, refusal: Refusal) {
        let mut state = self.state();
        if let Some(count) = state.refusals.get_mut(&refusal) {
            *count += 1;
            return;
        }
        if state.refusals.len() < MOST_REFUSALS {
            let text = refusal.text();
            state.refusals.insert(refusal, 1);
            (state.rows)(&text);
        } else if !state.told_full {
            state.told_full = true;
            (state.rows)("egress refused: what else is refused is not listed (egress-refused)");
        }
    }

    /// The counters of an allowed host, with one more connection. Hosts are bounded by the allow-list.
    pub(crate) fn connected(&self, host: &str) -> Arc<Traffic> {
        let traffic = Arc::clone(self.state().hosts.entry(host.to_owned()).or_default());
        traffic.connections.fetch_add(1, Ordering::Relaxed);
        traffic
    }

    /// Writes the last rows: one per host, and how often the same was refused.
    pub(crate) fn finish(&self) {
        let mut state = self.state();
        let mut rows: Vec<String> =
            state.hosts.iter().map(|(host, traffic)| summary(host, traffic)).collect();
        let repeated = state.refusals.iter().filter(|(_, count)| **count > 1);
        rows.extend(repeated.map(|(refusal, count)| format!("{} · {count} times", refusal.text())));
        for row in rows {
            (state.rows)(&row);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn summary(host: &str, traffic: &Traffic) -> String {
    let connections = traffic.connections.load(Ordering::Relaxed);
    let down = bytes(traffic.down_bytes.load(Ordering::Relaxed));
    let up = bytes(traffic.up_bytes.load(Ordering::Relaxed));
    let plural = if connections == 1 { "" } else { "s" };
    format!("downloaded {down} from {host} ({connections} connection{plural}, {up} sent)")
}

/// A number of bytes for people: `17 B`, `1.2 kB`, `214 MB`; powers of ten.
fn bytes(count: u64) -> String {
    if count < 1000 {
        return format!("{count} B");
    }
    let mut tenths = count / 100;
    for unit in ["kB", "MB", "GB"] {
        if tenths < 100 {
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
        if tenths < 10_000 || unit == "GB" {
            return format!("{} {unit}", tenths / 10);
        }
        tenths /= 1000;
    }
    format!("{count} B")
}

impl Refusal {
    fn text(&self) -> String {
        let text = match self {
            Self::Host(host) => format!(
                "{host} is not on the list of hosts that builds may reach; put what you need from it into the \
                 repository, or ask the operator to add it"
            ),
            Self::Port(host, port) => {
                format!(
                    "{host} may be reached, but not on port {port}; use https, or ask the operator to add it"
                )
            }
            Self::NoHost(address) => {
                format!(
                    "a connection to {address} that names no host; use the host's name with https or http"
                )
            }
            Self::Request(why) => format!("a plain HTTP request with {why}; use https"),
            Self::Address(host, address) => format!(
                "{host} resolves to {address}, which is not a public address; if that is a mirror of this site, \
                 the operator adds its network to `egress.allow_networks`"
            ),
            Self::Unreachable(host, why) => format!("{host} may be reached, but {why}; push again later"),
            Self::Crowded => {
                "more than 128 connections at once; tell the package manager to use fewer in parallel"
                    .to_owned()
            }
            Self::Budget => {
                "the build has moved more bytes than a build may; fetch less, or split it".to_owned()
            }
        };
        match self {
            Self::Unreachable(..) => format!("egress failed: {text} (egress-failed)"),
            _ => format!("egress refused: {text} (egress-refused)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> (Report, Arc<Mutex<Vec<String>>>) {
        let rows = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&rows);
        (Report::new(Box::new(move |row| sink.lock().unwrap().push(row.to_owned()))), rows)
    }

    #[test]
    fn a_refused_host_is_named_once_at_once_and_counted_at_the_end() {
        let (report, rows) = report();
        for _ in 0..14 {
            report.refuse(Refusal::Host("evil.example".to_owned()));
        }
        assert_eq!(rows.lock().unwrap().len(), 1);
        report.finish();
        let rows = rows.lock().unwrap();
        assert!(rows[0].starts_with("egress refused: evil.example is not on the list"), "{}", rows[0]);
        assert!(rows[1].ends_with("· 14 times"), "{}", rows[1]);
    }

    #[test]
    fn ten_thousand_refused_names_write_a_bounded_number_of_rows() {
        let (report, rows) = report();
        for number in 0..10_000 {
            report.refuse(Refusal::Host(format!("n{number}.example")));
        }
        report.finish();
        assert_eq!(rows.lock().unwrap().len(), MOST_REFUSALS + 1);
    }

    #[test]
    fn what_was_fetched_is_told_per_host() {
        let (report, rows) = report();
        report.connected("pypi.org").down_bytes.fetch_add(41_000, Ordering::Relaxed);
        let traffic = report.connected("pypi.org");
        traffic.down_bytes.fetch_add(1_200_000, Ordering::Relaxed);
        traffic.up_bytes.fetch_add(900, Ordering::Relaxed);
        report.finish();
        assert_eq!(*rows.lock().unwrap(), ["downloaded 1.2 MB from pypi.org (2 connections, 900 B sent)"]);
    }

    #[test]
    fn bytes_are_written_for_people() {
        let cases = [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (9_999, "9.9 kB"), (10_000, "10 kB")];
        let more =
            [(999_999, "999 kB"), (1_000_000, "1.0 MB"), (214_000_000, "214 MB"), (5_000_000_000, "5.0 GB")];
        for (count, text) in cases.into_iter().chain(more).chain([(12_345_000_000_000, "12345 GB")]) {
            assert_eq!(bytes(count), text);
        }
    }
}
