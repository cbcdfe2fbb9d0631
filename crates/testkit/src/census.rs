//! How much of everything a platform has at this moment: what must be the same again once nothing goes on.

use crate::leaks;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Counts by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census(BTreeMap<String, usize>);

impl Census {
    /// What belongs to the platform of these directories.
    pub(crate) fn of(data: &Path, run: &Path) -> Self {
        let mut counts = BTreeMap::new();
        let mut count = |name: &str, number: usize| *counts.entry(name.to_owned()).or_default() += number;
        let tag = leaks::tag(data).unwrap_or_default();
        let mut namespaces = BTreeSet::new();
        for process in leaks::processes() {
            let directory = PathBuf::from(format!("/proc/{}", process.pid));
            let ours = process.program.starts_with(data);
            let inside = fs::read_to_string(directory.join("cgroup")).is_ok_and(|groups| {
                [format!("/{tag}/"), format!("/{tag}-")].iter().any(|mine| groups.contains(mine))
                    && !groups.contains(".scope/shim")
            });
            if ours {
                let role = process.arguments.get(1).map_or("?", String::as_str);
                // A CLI or git of ours that is just ending is none of the platform's.
                if matches!(role, "up" | "helper" | "router" | "serve" | "shim" | "worker") {
                    count(&format!("process {role}"), 1);
                }
            }
            if inside && !ours {
                count("process of a tool", 1);
            }
            if ours || inside {
                namespaces.insert(fs::read_link(directory.join("ns/net")).unwrap_or_default());
            }
        }
        count("network namespace", namespaces.len());
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let shown = data.display().to_string();
        count("mount", mounts.lines().filter(|line| line.contains(&shown)).count());
        count("loop device", leaks::loop_devices(data).len());
        count("cgroup", leaks::groups(&tag).len());
        count("interface", leaks::interfaces(&tag).len());
        count("rule", rules(&format!("windlass-{tag}")));
        for directory in ["sandboxes", "scratch", "layers/.new", "layers/.trash"] {
            count(directory, entries(&data.join(directory)));
        }
        count("sandbox directory", entries(&run.join("sandboxes")));
        Self(counts)
    }

    /// Sandboxes that are there, whether they run or not.
    pub fn sandboxes(&self) -> usize {
        self.0.get("sandboxes").copied().unwrap_or(0)
    }

    /// What is otherwise than in `expected`, for people; empty when nothing is.
    pub fn differences(&self, expected: &Self) -> String {
        let names: BTreeSet<&String> = self.0.keys().chain(expected.0.keys()).collect();
        let of = |census: &Self, name: &String| census.0.get(name).copied().unwrap_or(0);
        let different = names.into_iter().filter(|name| of(self, name) != of(expected, name));
        let told = different.map(|name| format!("{name} {} not {}", of(self, name), of(expected, name)));
        told.collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told: Vec<String> = self.0.iter().map(|(name, count)| format!("{name} {count}")).collect();
        f.write_str(&told.join(", "))
    }
}

fn rules(table: &str) -> usize {
    let output = Command::new("/usr/sbin/nft").args(["list", "table", "inet", table]).output();
    let output = output.map(|output| output.stdout).unwrap_or_default();
    output.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count()
}

fn entries(directory: &Path) -> usize {
    fs::read_dir(directory).map_or(0, Iterator::count)
}
