//! What the platform's own processes hold in memory, shared pages counted in shares (PSS, proc(5)).

use crate::table::Table;
use anyhow::{Context, Result};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use testkit::World;

/// Reads every process that runs the platform's program.
pub(crate) fn measure(world: &World, table: &mut Table, idle_seconds: u64) -> Result<()> {
    let mut parts: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").context("/proc")?.flatten() {
        if let Some((part, megabytes)) = process(&entry.path(), &world.data.join("bin")) {
            parts.entry(part).or_default().push(megabytes);
        }
    }
    let shims = parts.remove("shim").unwrap_or_default();
    let all: f64 = parts.values().flatten().chain(&shims).sum();
    table.heading(format!("memory after {idle_seconds} idle seconds, {} tools running (PSS)", shims.len()));
    table.numbers("all processes of the platform together", "MB", vec![all]);
    for (part, megabytes) in parts {
        table.numbers(format!("  {part}"), "MB", megabytes);
    }
    table.numbers("  each shim", "MB", shims);
    Ok(())
}

/// Part and megabytes of a process, if it runs the platform's program.
fn process(directory: &Path, programs: &PathBuf) -> Option<(String, f64)> {
    if !fs::read_link(directory.join("exe")).ok()?.starts_with(programs) {
        return None;
    }
    let arguments = fs::read(directory.join("cmdline")).ok()?;
    let part = arguments.split(|byte| *byte == 0).nth(1).unwrap_or_default();
    let kilobytes = pss_kibibytes(&fs::read_to_string(directory.join("smaps_rollup")).ok()?)?;
    Some((String::from_utf8_lossy(part).into_owned(), kilobytes * 1024.0 / 1e6))
}

fn pss_kibibytes(rollup: &str) -> Option<f64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_and_not_what_merely_begins_alike() {
        let rollup = "00400000-7fff [rollup]\nRss:    2000 kB\nPss:    1234 kB\nPss_Dirty:  9 kB\n";
        assert_eq!(pss_kibibytes(rollup), Some(1234.0));
        assert_eq!(pss_kibibytes("Pss_Anon: 1 kB"), None);
    }
}
