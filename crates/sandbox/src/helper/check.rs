//! What a sandbox may ask for: everything in a request that does not need the disk to be judged.

use super::refusal::Refusal;
use crate::request::{Kind, Network, SandboxSpec};
use model::Limits;
use model::instance::{FIRST_TOOL_RANGE, RANGES_PER_INSTANCE};
use model::limits::MIB;
use std::fmt::Display;
use std::ops::RangeInclusive;

/// Overlay takes 500; a build uses its base, the builder, restored layers and a scratch tree.
const MAX_LAYERS: usize = 120;
const MAX_ARGUMENTS: usize = 256;
const MAX_ENVIRONMENT: usize = 512;

const MEMORY_BYTES: RangeInclusive<u64> = 8 * MIB..=256 * 1024 * MIB;
const CPU_MILLIS: RangeInclusive<u32> = 10..=256_000;
const PIDS: RangeInclusive<u32> = 2..=32_768;
const WRITABLE_BYTES: RangeInclusive<u64> = 4 * MIB..=256 * 1024 * MIB;
const WALL_SECONDS: RangeInclusive<u64> = 1..=86_400;
const LOG_BYTES: RangeInclusive<u64> = 4096..=1024 * MIB;

/// Refuses a request that no template allows.
pub(crate) fn check(spec: &SandboxSpec) -> Result<(), Refusal> {
    let range = spec.range.0;
    if !(FIRST_TOOL_RANGE..RANGES_PER_INSTANCE).contains(&range) {
        return refuse(format!(
            "range {range} is not a tool's: tools have {FIRST_TOOL_RANGE} to {}",
            RANGES_PER_INSTANCE - 1
        ));
    }
    if spec.layers.is_empty() || spec.layers.len() > MAX_LAYERS {
        return refuse(format!("{} layers: a sandbox has 1 to {MAX_LAYERS}", spec.layers.len()));
    }
    if spec.user_id == 0 || spec.group_id == 0 {
        return refuse("a sandbox does not run as user or group 0: name the image's user");
    }
    within("user id", spec.user_id, &(1..=65_533))?;
    within("group id", spec.group_id, &(1..=65_533))?;
    check_process(spec)?;
    check_limits(spec.kind, &spec.limits)?;
    match (spec.kind, &spec.network) {
        (_, Network::None)
        | (Kind::Build, Network::Egress(_))
        | (Kind::Service | Kind::Task, Network::Tool) => {}
        (kind, network) => return refuse(format!("a {kind:?} has no network of the kind {network:?}")),
    }
    if spec.ca_bundle && spec.kind != Kind::Build {
        return refuse("the operator's CA bundle is for builds only: leave out `ca_bundle`");
    }
    Ok(())
}

fn check_process(spec: &SandboxSpec) -> Result<(), Refusal> {
    if spec.argv.is_empty() || spec.argv.len() > MAX_ARGUMENTS || spec.argv[0].is_empty() {
        return refuse(format!("a command has 1 to {MAX_ARGUMENTS} words, the first not empty"));
    }
    if spec.env.len() > MAX_ENVIRONMENT {
        return refuse(format!("{} variables: the most is {MAX_ENVIRONMENT}", spec.env.len()));
    }
    if let Some((name, _)) = spec.env.iter().find(|(name, _)| !is_variable_name(name)) {
        let shown: String = name.chars().take(80).collect();
        return refuse(format!(
            "`{shown}` is no variable name: use letters, digits and _, do not begin with a digit or LD_"
        ));
    }
    let values = spec.env.iter().map(|(_, value)| value);
    if spec.argv.iter().chain(values).chain([&spec.cwd]).any(|text| text.contains('\0')) {
        return refuse("a word of the command, a variable or the working directory holds a NUL");
    }
    if !spec.cwd.starts_with('/') || spec.cwd.split('/').any(|part| part == "..") {
        return refuse(format!("`{}` is no working directory: begin with / and leave out `..`", spec.cwd));
    }
    Ok(())
}

/// What a shell takes as a name, without those that steer the dynamic linker.
fn is_variable_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty()
        && name.len() <= 128
        && name.bytes().all(letter)
        && !name.as_bytes()[0].is_ascii_digit()
        && !name.starts_with("LD_")
}

fn check_limits(kind: Kind, limits: &Limits) -> Result<(), Refusal> {
    within("memory_bytes", limits.memory_bytes, &MEMORY_BYTES)?;
    within("cpu_millis", limits.cpu_millis, &CPU_MILLIS)?;
    within("pids", limits.pids, &PIDS)?;
    within("writable_bytes", limits.writable_bytes, &WRITABLE_BYTES)?;
    within("log_bytes", limits.log_bytes, &LOG_BYTES)?;
    match (kind, limits.wall_seconds) {
        (_, Some(seconds)) => within("wall_seconds", seconds, &WALL_SECONDS),
        (Kind::Service, None) => Ok(()),
        (Kind::Build | Kind::Task, None) => refuse("a build or task needs `wall_seconds`"),
    }
}

fn within<T: PartialOrd + Display + Copy>(
    name: &str,
    value: T,
    allowed: &RangeInclusive<T>,
) -> Result<(), Refusal> {
    if allowed.contains(&value) {
        return Ok(());
    }
    refuse(format!("{name} {value} is not allowed: choose {} to {}", allowed.start(), allowed.end()))
}

fn refuse<T>(text: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new("sandbox-refused", text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helper::example;
    use egress::Policy;
    use model::instance::RangeIndex;

    fn refusal(kind: Kind, change: impl FnOnce(&mut SandboxSpec)) -> String {
        let mut spec = example::spec(kind);
        change(&mut spec);
        check(&spec).map_or_else(|refusal| refusal.text, |()| "accepted".to_owned())
    }

    #[test]
    fn an_ordinary_sandbox_of_each_kind_is_accepted() {
        for kind in [Kind::Build, Kind::Service, Kind::Task] {
            assert_eq!(refusal(kind, |_| {}), "accepted");
        }
    }

    #[test]
    fn nobody_gets_the_ids_of_the_store_of_the_platform_or_of_another_instance() {
        for range in [0, 1, 15, RANGES_PER_INSTANCE, u32::MAX] {
            let text = refusal(Kind::Build, |spec| spec.range = RangeIndex(range));
            assert_eq!(
                text,
                format!("range {range} is not a tool's: tools have 16 to {}", RANGES_PER_INSTANCE - 1)
            );
        }
    }

    #[test]
    fn root_inside_a_linker_variable_a_relative_directory_and_a_nul_are_refused_by_name() {
        let root = refusal(Kind::Build, |spec| spec.user_id = 0);
        assert!(root.starts_with("a sandbox does not run as user or group 0"), "{root}");
        for name in ["LD_PRELOAD", "", "1X", "A B", "A=B", "É"] {
            let text = refusal(Kind::Service, |spec| spec.env.push((name.to_owned(), String::new())));
            assert!(text.starts_with(&format!("`{name}` is no variable name")), "{text}");
        }
        for cwd in ["", "work", "/a/../../b"] {
            let text = refusal(Kind::Task, |spec| cwd.clone_into(&mut spec.cwd));
            assert!(text.contains("is no working directory"), "{text}");
        }
        let nul = refusal(Kind::Task, |spec| spec.argv.push("a\0b".to_owned()));
        assert!(nul.contains("NUL"), "{nul}");
    }

    #[test]
    fn a_limit_outside_the_ceilings_is_refused_with_what_is_allowed() {
        let text = refusal(Kind::Service, |spec| spec.limits.pids = 1_000_000);
        assert_eq!(text, "pids 1000000 is not allowed: choose 2 to 32768");
        let text = refusal(Kind::Build, |spec| spec.limits.wall_seconds = None);
        assert_eq!(text, "a build or task needs `wall_seconds`");
    }

    #[test]
    fn a_build_never_gets_a_tools_network_nor_a_tool_a_builds() {
        assert!(refusal(Kind::Build, |spec| spec.network = Network::Tool).contains("no network of the kind"));
        let egress = Network::Egress(Policy::default());
        assert!(refusal(Kind::Service, |spec| spec.network = egress).contains("no network of the kind"));
        assert!(refusal(Kind::Service, |spec| spec.ca_bundle = true).contains("builds only"));
    }
}
