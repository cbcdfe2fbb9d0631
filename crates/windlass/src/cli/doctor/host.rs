//! What the kernel and the machine give.

use super::{Check, version};
use landlock::{AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr};
use std::{fs, path::Path};

/// The first kernel with ID-mapped mounts below an overlay, and with landlock's REFER right, which git needs.
const KERNEL: (u32, u32, u32) = (5, 19, 0);
/// Below this, builds starve.
const MEMORY_MEBIBYTES: u64 = 2048;
/// Base images, a few tools and room to build.
const DISK_GIBIBYTES: u64 = 10;

pub(super) fn checks() -> Vec<Check> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let exists = |path: &str| Path::new(path).exists();
    let release = read("/proc/sys/kernel/osrelease");
    let modules = read(&format!("/lib/modules/{}/modules.dep", release.trim()));
    let filesystems = read("/proc/filesystems");
    let unified = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").ok();
    vec![
        kernel(release.trim()),
        user_namespaces(read("/proc/sys/user/max_user_namespaces").trim()),
        filesystem("overlay", &filesystems, &modules),
        filesystem("ext4", &filesystems, &modules),
        loop_devices(exists("/dev/loop-control")),
        cgroups(unified.as_deref(), |name| exists(&format!("/sys/fs/cgroup/{name}"))),
        landlock(has_landlock()),
        memory(&read("/proc/meminfo")),
        disk(),
    ]
}

fn kernel(release: &str) -> Check {
    match version::find(release) {
        Some(version) if version >= KERNEL => Check::ok("kernel", format!("Linux {release}")),
        _ => Check::missing(
            "kernel",
            format!("Linux {release}"),
            "Linux 5.19 or later is needed (ID-mapped mounts below an overlay):\nDebian 12 and 13 have it; `apt install linux-image-amd64`, then restart",
        ),
    }
}

fn user_namespaces(limit: &str) -> Check {
    match limit.parse::<u64>() {
        Ok(0) => Check::missing(
            "user namespaces",
            "forbidden (user.max_user_namespaces = 0)",
            "every tool runs in one: `sysctl -w user.max_user_namespaces=15000`,\nand remove the setting from /etc/sysctl.d",
        ),
        Ok(limit) => Check::ok("user namespaces", format!("up to {limit}")),
        Err(_) => Check::missing(
            "user namespaces",
            "the kernel has none",
            "a kernel with CONFIG_USER_NS is needed: Debian's has it",
        ),
    }
}

fn filesystem(name: &'static str, filesystems: &str, modules: &str) -> Check {
    if filesystems.split_whitespace().any(|known| known == name) {
        return Check::ok(name, "in the kernel");
    }
    let module = format!("/{name}.ko");
    if modules.lines().any(|line| line.split(':').next().is_some_and(|path| path.contains(&module))) {
        return Check::ok(name, "a module, loaded when it is needed");
    }
    Check::missing(name, "unknown to the kernel", format!("try `modprobe {name}`; Debian's kernel has it"))
}

fn loop_devices(there: bool) -> Check {
    if there {
        return Check::ok("loop devices", "/dev/loop-control");
    }
    Check::missing(
        "loop devices",
        "no /dev/loop-control",
        "a running tool's disk is a file on one: try `modprobe loop`;\nin a container, the host must give /dev/loop-control",
    )
}

/// `unified`: cgroup.controllers of version 2, where the root of the tree is of that version.
fn cgroups(unified: Option<&str>, mounted: impl Fn(&str) -> bool) -> Check {
    let needed = ["memory", "pids", "cpu"];
    let (version, lacking): (&str, Vec<&str>) = match unified {
        Some(controllers) => {
            let has = |name: &&str| controllers.split_whitespace().any(|known| known == *name);
            ("version 2", needed.into_iter().filter(|name| !has(name)).collect())
        }
        None => ("version 1", needed.into_iter().filter(|name| !mounted(name)).collect()),
    };
    if lacking.is_empty() {
        return Check::ok("control groups", format!("{version} with {}", needed.join(", ")));
    }
    Check::missing(
        "control groups",
        format!("{version} without {}", lacking.join(", ")),
        "limits of memory, processes and CPU need them: boot without `cgroup_disable=` on the kernel's command line",
    )
}

/// Making a rule set binds nobody: only entering it would.
fn has_landlock() -> bool {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    ruleset.handle_access(AccessFs::Refer).and_then(landlock::Ruleset::create).is_ok()
}

fn landlock(there: bool) -> Check {
    if there {
        return Check::ok("landlock", "on, with the right to rename between directories");
    }
    Check::missing(
        "landlock",
        "off, or older than 5.19",
        "it keeps git and the workers inside their one directory:\nadd `landlock` to `lsm=` on the kernel's command line",
    )
}

fn memory(meminfo: &str) -> Check {
    let total = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<u64>().ok());
    let Some(kibibytes) = total else {
        return Check::warning("memory", "cannot be seen (/proc/meminfo)", "is /proc mounted?");
    };
    let mebibytes = kibibytes / 1024;
    if mebibytes >= MEMORY_MEBIBYTES {
        return Check::ok("memory", format!("{mebibytes} MiB"));
    }
    Check::warning(
        "memory",
        format!("{mebibytes} MiB"),
        format!(
            "a build may use {MEMORY_MEBIBYTES} MiB: lower `[sandbox] build_memory_mebibytes` in windlass.toml"
        ),
    )
}

fn disk() -> Check {
    let stat = match rustix::fs::statvfs("/var/lib") {
        Ok(stat) => stat,
        Err(error) => {
            return Check::warning("disk", format!("/var/lib cannot be seen: {error}"), "is it a directory?");
        }
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize) / (1024 * 1024 * 1024);
    if free >= DISK_GIBIBYTES {
        return Check::ok("disk", format!("{free} GiB free in /var/lib"));
    }
    Check::warning(
        "disk",
        format!("{free} GiB free in /var/lib"),
        format!(
            "{DISK_GIBIBYTES} GiB leave room for base images and builds; `[paths] data` in windlass.toml names another place"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{Missing, Ok as Good, Warning};
    use super::*;

    #[test]
    fn kernels_before_id_mapped_overlays_are_too_old() {
        let of = |release| kernel(release).verdict;
        assert_eq!(
            [of("5.10.0-30-amd64"), of("5.19.0"), of("6.1.0-25-amd64"), of("odd")],
            [Missing, Good, Good, Missing]
        );
    }

    #[test]
    fn user_namespaces_may_be_absent_or_forbidden() {
        let of = |limit| user_namespaces(limit).verdict;
        assert_eq!([of("0"), of("63432"), of("")], [Missing, Good, Missing]);
    }

    #[test]
    fn a_file_system_may_be_built_in_or_a_module() {
        let of = |filesystems, modules| filesystem("overlay", filesystems, modules).verdict;
        assert_eq!(of("nodev\toverlay\n\text4\n", ""), Good);
        assert_eq!(of("nodev\ttmpfs\n", "kernel/fs/overlayfs/overlay.ko.xz:\n"), Good);
        assert_eq!(of("nodev\ttmpfs\n", "kernel/a.ko: kernel/fs/overlayfs/overlay.ko\n"), Missing);
    }

    #[test]
    fn both_versions_of_control_groups_do_when_they_have_the_controllers() {
        let unified = |text: &str| cgroups(Some(text), |_| false);
        assert_eq!(unified("cpuset cpu io memory pids\n").verdict, Good);
        let lacking = unified("cpuset io memory\n");
        assert_eq!((lacking.verdict, lacking.found.as_str()), (Missing, "version 2 without pids, cpu"));
        assert_eq!(cgroups(None, |_| true).verdict, Good);
        assert_eq!(cgroups(None, |name| name != "memory").verdict, Missing);
    }

    #[test]
    fn little_memory_is_a_warning_and_no_loop_device_is_a_lack() {
        assert_eq!((landlock(true).verdict, landlock(false).verdict), (Good, Missing));
        assert_eq!(memory("MemTotal:        8000000 kB\n").verdict, Good);
        assert_eq!((memory("MemTotal: 1000 kB\n").verdict, memory("").verdict), (Warning, Warning));
        assert_eq!((loop_devices(true).verdict, loop_devices(false).verdict), (Good, Missing));
    }
}
