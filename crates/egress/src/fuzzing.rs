//! What the fuzz targets reach of this room (`fuzz/`); for nobody else.

use crate::{Policy, dns, report::Report};
use std::sync::{Arc, Mutex, PoisonError};

/// The resolver's answer to one message, and the rows that it wrote into the build's log.
pub fn resolve(question: &[u8], policy: &Policy) -> (Option<Vec<u8>>, Vec<String>) {
    let rows = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&rows);
    let report = Report::new(Box::new(move |row| {
        sink.lock().unwrap_or_else(PoisonError::into_inner).push(row.to_owned());
    }));
    let answer = dns::answer(question, policy, &report);
    let rows = std::mem::take(&mut *rows.lock().unwrap_or_else(PoisonError::into_inner));
    (answer, rows)
}
