//! What a platform could leave on a machine: processes, mounts, loop devices, cgroups, interfaces, rules.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// One process of this machine.
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) parent: u32,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
}

pub(crate) fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| process(entry.file_name().to_str()?.parse().ok()?)).collect()
}

fn process(pid: i32) -> Option<Process> {
    let directory = PathBuf::from(format!("/proc/{pid}"));
    let status = fs::read_to_string(directory.join("status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
    let arguments = fs::read(directory.join("cmdline")).ok()?;
    let arguments =
        arguments.split(|b| *b == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    let program = fs::read_link(directory.join("exe")).unwrap_or_default();
    Some(Process { pid, parent, program, arguments })
}

/// Everything that names this data directory or its instance, one line each.
pub(crate) fn find(data: &Path) -> Vec<String> {
    let shown = data.display().to_string();
    let mut left = Vec::new();
    for process in processes() {
        if process.program.starts_with(data) {
            left.push(format!("process {}: {}", process.pid, process.arguments.join(" ")));
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    left.extend(mounts.lines().filter(|line| line.contains(&shown)).map(|line| format!("mount: {line}")));
    left.extend(loop_devices(data).into_iter().map(|backing| format!("loop device: {backing}")));
    if let Some(tag) = tag(data) {
        left.extend(groups(&tag).into_iter().map(|group| format!("cgroup: {}", group.display())));
        left.extend(interfaces(&tag).into_iter().map(|name| format!("interface: {name}")));
        let tables = Command::new("/usr/sbin/nft").args(["list", "tables"]).output();
        let tables =
            tables.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        let mine = |line: &&str| line.ends_with(&format!("windlass-{tag}"));
        left.extend(tables.lines().filter(mine).map(|line| format!("rules: {line}")));
    }
    left
}

/// The files behind loop devices that lie in this directory.
pub(crate) fn loop_devices(data: &Path) -> Vec<String> {
    let shown = data.display().to_string();
    let entries = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let backing = entries.filter_map(|entry| fs::read_to_string(entry.path().join("loop/backing_file")).ok());
    backing.filter(|file| file.contains(&shown)).collect()
}

/// Network interfaces of an instance.
pub(crate) fn interfaces(tag: &str) -> Vec<String> {
    let entries = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(&format!("{tag}-"))).collect()
}

/// Control groups of an instance's sandboxes: directories of its own in every hierarchy, scopes where systemd keeps
/// the one tree. The instance's own empty directory is no leak.
pub(crate) fn groups(tag: &str) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let mut found = directories(&root.join(tag));
    for hierarchy in directories(root) {
        found.extend(directories(&hierarchy.join(tag)));
    }
    let scopes = directories(&root.join("windlass.slice/windlass-tools.slice"));
    let prefix = format!("{tag}-");
    let mine =
        |scope: &PathBuf| scope.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix));
    found.extend(scopes.into_iter().filter(mine));
    found
}

fn directories(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let entries = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    entries.map(|entry| entry.path()).collect()
}

/// Host pids of all that runs in the instance's control groups: what tools and builds run.
pub(crate) fn contained(data: &Path) -> Vec<i32> {
    let Some(tag) = tag(data) else { return Vec::new() };
    let mut found = Vec::new();
    for group in groups(&tag) {
        // In a scope the sandbox's group is one of two; the other is the shim's.
        for place in [group.clone(), group.join("box")] {
            let pids = fs::read_to_string(place.join("cgroup.procs")).unwrap_or_default();
            found.extend(pids.lines().filter_map(|pid| pid.parse::<i32>().ok()));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The instance's tag in host-wide names.
pub(crate) fn tag(data: &Path) -> Option<String> {
    for entry in fs::read_dir("/var/lib/windlass-instances").ok()?.flatten() {
        let owner = fs::read_to_string(entry.path()).unwrap_or_default();
        if Path::new(&owner) == data {
            return Some(format!("wl{}", entry.file_name().to_str()?));
        }
    }
    None
}

/// Removes the directories; instance numbers of gone directories are free by that.
pub(crate) fn clear(data: &Path, run: &Path) {
    for directory in [data, run] {
        if let Err(error) = fs::remove_dir_all(directory) {
            eprintln!("{} was not removed: {error}", directory.display());
        }
    }
}
