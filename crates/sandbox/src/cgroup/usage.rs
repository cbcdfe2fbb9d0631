//! Reading what a group uses, from the files of either interface.

use super::{CgroupError, Group, Version};
use crate::request::Usage;
use std::path::Path;

pub(super) fn read(group: &Group) -> Result<Usage, CgroupError> {
    match group.version {
        Version::V1 => {
            let memory = group.directory("memory");
            Ok(Usage {
                memory_bytes: number(&memory.join("memory.usage_in_bytes"))?,
                memory_peak_bytes: number(&memory.join("memory.max_usage_in_bytes"))?,
                memory_kills: keyed(&memory.join("memory.oom_control"), "oom_kill")?,
                cpu_microseconds: number(&group.directory("cpuacct").join("cpuacct.usage"))? / 1000,
                pids: number(&group.directory("pids").join("pids.current"))?,
            })
        }
        Version::V2 => {
            let all = group.directory("");
            let memory_bytes = number(&all.join("memory.current"))?;
            let peak = all.join("memory.peak"); // Linux 5.19 and later.
            Ok(Usage {
                memory_bytes,
                memory_peak_bytes: if peak.exists() { number(&peak)? } else { memory_bytes },
                memory_kills: keyed(&all.join("memory.events"), "oom_kill")?,
                cpu_microseconds: keyed(&all.join("cpu.stat"), "usage_usec")?,
                pids: number(&all.join("pids.current"))?,
            })
        }
    }
}

fn text(path: &Path) -> Result<String, CgroupError> {
    std::fs::read_to_string(path).map_err(|source| CgroupError::File { path: path.to_owned(), source })
}

fn number(path: &Path) -> Result<u64, CgroupError> {
    let no_number = || CgroupError::NoNumber { path: path.to_owned(), wanted: "its value" };
    text(path)?.trim().parse().map_err(|_| no_number())
}

/// The number behind `key` in a file of `key number` lines.
pub(super) fn keyed(path: &Path, key: &'static str) -> Result<u64, CgroupError> {
    value_of(&text(path)?, key).ok_or_else(|| CgroupError::NoNumber { path: path.to_owned(), wanted: key })
}

fn value_of(text: &str, key: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?;
    value.trim().parse().ok()
}
