//! config.json of one sandbox (OCI runtime specification 1.0.2), from one reviewed template.
//!
//! Every kind has every namespace of its own, no capability, no new privileges, the seccomp profile, no sysfs and no
//! device but the runtime's harmless ones. The kinds differ in what `tests/snapshots` of this module shows.

use crate::request::{Kind, SandboxSpec};
use model::instance::RANGE_SIZE;
use model::limits::MIB;
use serde_json::{Value, json};
use std::path::Path;

/// Bytes of /dev/shm, counted in the memory limit.
const SHARED_MEMORY_BYTES: u64 = 64 * MIB;
/// Period of the CPU quota in microseconds.
const CPU_PERIOD_MICROSECONDS: u64 = 100_000;
/// Open files that a process gets by itself, and those that it may ask for.
const OPEN_FILES: u64 = 1024;
const MAX_OPEN_FILES: u64 = 65_536;

/// Where the operator's CA bundle appears in builds: Debian's place, to which its packages link.
const CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What the template takes besides the request; all of it is the helper's own.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    /// The merged root in the shim's mount namespace.
    pub(crate) root: &'a Path,
    /// First host id of the tool's range.
    pub(crate) first_id: u32,
    /// See [`Layout`](crate::cgroup::Layout).
    pub(crate) cgroup: &'a str,
    /// A directory with `resolv.conf`, `hosts` and `hostname`.
    pub(crate) etc: &'a Path,
    /// The operator's CA bundle, if there is one.
    pub(crate) ca_bundle: Option<&'a Path>,
    /// The most open files that the helper itself may have: it cannot give more.
    pub(crate) open_files: u64,
}

/// The whole config.json.
pub(crate) fn config(spec: &SandboxSpec, around: &Surroundings<'_>) -> Value {
    let env: Vec<String> = spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    json!({
        "ociVersion": "1.0.2",
        "root": { "path": around.root, "readonly": false },
        "hostname": spec.id.as_str(),
        "process": {
            "terminal": false,
            "user": { "uid": spec.user_id, "gid": spec.group_id, "umask": 0o022 },
            "args": spec.argv,
            "env": env,
            "cwd": spec.cwd,
            "capabilities": {
                "bounding": [], "effective": [], "inheritable": [], "permitted": [], "ambient": []
            },
            "rlimits": rlimits(spec, around),
            "noNewPrivileges": true
        },
        "mounts": mounts(spec, around),
        "linux": {
            "uidMappings": [{ "containerID": 0, "hostID": around.first_id, "size": RANGE_SIZE }],
            "gidMappings": [{ "containerID": 0, "hostID": around.first_id, "size": RANGE_SIZE }],
            "namespaces": [
                { "type": "user" }, { "type": "mount" }, { "type": "pid" }, { "type": "ipc" },
                { "type": "uts" }, { "type": "network" }, { "type": "cgroup" }
            ],
            "cgroupsPath": around.cgroup,
            "resources": resources(spec),
            "seccomp": crate::seccomp::profile(),
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kallsyms", "/proc/kcore", "/proc/keys",
                "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats"
            ],
            "readonlyPaths": [
                "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"
            ]
        }
    })
}

fn rlimits(spec: &SandboxSpec, around: &Surroundings<'_>) -> Value {
    let hard = MAX_OPEN_FILES.min(around.open_files);
    let mut all = vec![
        json!({ "type": "RLIMIT_CORE", "soft": 0, "hard": 0 }),
        json!({ "type": "RLIMIT_NOFILE", "soft": OPEN_FILES.min(hard), "hard": hard }),
    ];
    if spec.kind == Kind::Build {
        // The tree as a whole is watched; a single file cannot outrun the watch.
        let most = spec.limits.writable_bytes;
        all.push(json!({ "type": "RLIMIT_FSIZE", "soft": most, "hard": most }));
    }
    Value::Array(all)
}

fn resources(spec: &SandboxSpec) -> Value {
    let limits = &spec.limits;
    json!({
        "devices": [{ "allow": false, "access": "rwm" }],
        // OCI's swap is the sum of both: equal to the limit means none.
        "memory": { "limit": limits.memory_bytes, "swap": limits.memory_bytes },
        "cpu": {
            "quota": u64::from(limits.cpu_millis) * CPU_PERIOD_MICROSECONDS / 1000,
            "period": CPU_PERIOD_MICROSECONDS
        },
        "pids": { "limit": limits.pids }
    })
}

fn mounts(spec: &SandboxSpec, around: &Surroundings<'_>) -> Value {
    let shared = SHARED_MEMORY_BYTES.min(spec.limits.memory_bytes / 2);
    let mut all = vec![
        json!({ "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] }),
        json!({
            "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "noexec", "strictatime", "mode=755", "size=64k"]
        }),
        json!({
            "destination": "/dev/pts", "type": "devpts", "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
        }),
        json!({
            "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
            "options": ["nosuid", "noexec", "nodev", "mode=1777", format!("size={shared}")]
        }),
    ];
    for name in ["resolv.conf", "hosts", "hostname"] {
        all.push(read_only(&format!("/etc/{name}"), &around.etc.join(name)));
    }
    if let (true, Some(bundle)) = (spec.ca_bundle, around.ca_bundle) {
        all.push(read_only(CA_BUNDLE, bundle));
    }
    Value::Array(all)
}

fn read_only(destination: &str, source: &Path) -> Value {
    json!({
        "destination": destination, "type": "bind", "source": source,
        "options": ["bind", "ro", "nosuid", "nodev", "noexec"]
    })
}

/// /etc/hosts: the loopback and the sandbox's own name.
pub(crate) fn hosts(spec: &SandboxSpec) -> String {
    format!("127.0.0.1 localhost\n::1 localhost ip6-localhost\n127.0.1.1 {}\n", spec.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helper::example;

    fn shown(kind: Kind) -> String {
        let around = Surroundings {
            root: Path::new("/run/windlass/sandboxes/one/mnt/root"),
            first_id: 1_001_048_576,
            cgroup: "/wl0/one",
            etc: Path::new("/run/windlass/sandboxes/one/etc"),
            ca_bundle: Some(Path::new("/etc/windlass/ca.pem")),
            open_files: 1_048_576,
        };
        let mut config = config(&example::spec(kind), &around);
        // The profile has a snapshot of its own.
        config["linux"]["seccomp"] = json!("seccomp::profile()");
        format!("{config:#}")
    }

    #[test]
    fn the_config_of_a_build_is_as_reviewed() {
        insta::assert_snapshot!(shown(Kind::Build));
    }

    #[test]
    fn the_config_of_a_service_is_as_reviewed() {
        insta::assert_snapshot!(shown(Kind::Service));
    }

    #[test]
    fn the_config_of_a_task_is_as_reviewed() {
        insta::assert_snapshot!(shown(Kind::Task));
    }
}
