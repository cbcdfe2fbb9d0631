//! The system calls that a tool may make: `linux.seccomp` of config.json, the same for every kind of sandbox.
//!
//! What ordinary programs use is allowed by name ([`ALLOWED`]). What would widen a sandbox, or is only for whoever
//! administers a machine, is refused with EPERM ([`REFUSED`]). Anything else, also calls that are newer than this
//! list, does not exist (ENOSYS), so that programs take their older way: `clone3` too, since its flags lie in memory
//! where a filter cannot see them; libraries then call `clone`, whose flags are looked at.
//! Names are as in the kernel's tables; a runtime skips those that an architecture does not have.

mod names;

use names::{ALLOWED, REFUSED};
use serde_json::{Value, json};

const EPERM: i32 = 1;
const ENOSYS: i32 = 38;
const EPROTONOSUPPORT: i32 = 93;
const EAFNOSUPPORT: i32 = 97;

/// Every namespace that `clone` can make (clone(2)): mount, cgroup, uts, ipc, user, pid, network.
const NAMESPACE_FLAGS: [u64; 7] =
    [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];

/// Address families, as socket(2) takes them.
const UNIX: u64 = 1;
const INET: u64 = 2;
const INET6: u64 = 10;
const NETLINK: u64 = 16;
/// The netlink protocol that tells addresses and routes; all others administer something.
const NETLINK_ROUTE: u64 = 0;

/// Execution domains of personality(2): the ordinary one, and "which is it?".
const PERSONALITIES: [u64; 2] = [0, 0xffff_ffff];

/// The profile in the words of the OCI runtime specification (config-linux.md, "Seccomp").
///
/// Only this machine's own architecture is in it: a 32-bit or x32 call ends the process that makes it.
pub fn profile() -> Value {
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "SCMP_ARCH_AARCH64",
        _ => "SCMP_ARCH_X86_64",
    };
    let mut calls = vec![allow(ALLOWED, &[]), refuse(REFUSED, EPERM, &[])];
    let all_namespaces = NAMESPACE_FLAGS.iter().sum();
    calls.push(allow(&["clone"], &[masked(0, all_namespaces, 0)]));
    calls.extend(NAMESPACE_FLAGS.iter().map(|flag| refuse(&["clone"], EPERM, &[masked(0, *flag, *flag)])));
    calls.extend(PERSONALITIES.iter().map(|domain| allow(&["personality"], &[compare(0, "EQ", *domain)])));
    calls.extend(sockets());
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": ENOSYS,
        "architectures": [architecture],
        "syscalls": calls,
    })
}

/// Sockets to the world, within the machine, and the netlink protocol that name resolution needs. The other families
/// (packets, the kernel's cryptography, virtual machines …) are doors into the kernel that no tool needs.
fn sockets() -> Vec<Value> {
    let both: &[&str] = &["socket", "socketpair"];
    let family = |operator, value| compare(0, operator, value);
    let mut calls: Vec<Value> =
        [UNIX, INET, INET6].iter().map(|known| allow(both, &[family("EQ", *known)])).collect();
    let netlink = family("EQ", NETLINK);
    calls.push(allow(&["socket"], &[netlink.clone(), compare(2, "EQ", NETLINK_ROUTE)]));
    calls.push(refuse(&["socket"], EPROTONOSUPPORT, &[netlink, compare(2, "GT", NETLINK_ROUTE)]));
    let others = (0..NETLINK).filter(|other| ![UNIX, INET, INET6].contains(other));
    calls.extend(others.map(|other| refuse(both, EAFNOSUPPORT, &[family("EQ", other)])));
    calls.push(refuse(both, EAFNOSUPPORT, &[family("GT", NETLINK)]));
    calls
}

fn allow(names: &[&str], conditions: &[Value]) -> Value {
    with_conditions(json!({ "names": names, "action": "SCMP_ACT_ALLOW" }), conditions)
}

fn refuse(names: &[&str], errno: i32, conditions: &[Value]) -> Value {
    with_conditions(json!({ "names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": errno }), conditions)
}

/// All conditions of one rule must hold; no rule here has two on the same argument, which runtimes read differently.
fn with_conditions(mut rule: Value, conditions: &[Value]) -> Value {
    if !conditions.is_empty() {
        rule["args"] = json!(conditions);
    }
    rule
}

fn compare(argument: u32, operator: &str, value: u64) -> Value {
    json!({ "index": argument, "op": format!("SCMP_CMP_{operator}"), "value": value })
}

/// `argument & mask == value`; the specification names the mask `value` and the value `valueTwo`.
fn masked(argument: u32, mask: u64, value: u64) -> Value {
    json!({ "index": argument, "op": "SCMP_CMP_MASKED_EQ", "value": mask, "valueTwo": value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_profile_changes_only_with_its_reviewed_snapshot() {
        let mut profile = profile();
        // The two long lists are reviewed where they stand.
        profile["syscalls"][0]["names"] = json!("ALLOWED");
        profile["syscalls"][1]["names"] = json!("REFUSED");
        let rules = profile["syscalls"].take();
        let rules: Vec<String> = rules.as_array().unwrap().iter().map(Value::to_string).collect();
        insta::assert_snapshot!(format!("{profile}\n{}", rules.join("\n")));
    }

    #[test]
    fn a_call_is_either_allowed_or_refused_and_named_once() {
        let allowed: BTreeSet<_> = ALLOWED.iter().collect();
        let refused: BTreeSet<_> = REFUSED.iter().collect();
        assert_eq!(allowed.len(), ALLOWED.len(), "a name stands twice among the allowed");
        assert_eq!(refused.len(), REFUSED.len(), "a name stands twice among the refused");
        assert_eq!(allowed.intersection(&refused).count(), 0);
        for conditional in ["clone", "personality", "socket", "socketpair", "clone3"] {
            assert!(!allowed.contains(&conditional) && !refused.contains(&conditional), "{conditional}");
        }
    }
}
