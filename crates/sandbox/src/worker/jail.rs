//! Giving up rights: ids, limits, and for git a landlock jail around one repository.

use super::{EnterError, GitTask, cannot};
use crate::request::GIT_ADDRESS_SPACE_BYTES;
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr,
};
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, Signal};
use rustix::thread::{Gid, Uid};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// What git reads to run at all; /etc is not among it but for the linker's cache.
const GIT_READS: [&str; 5] = ["/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache"];
/// Landlock of Linux 5.19, without which git cannot rename objects into place.
const NEEDED: ABI = ABI::V2;
/// Used where the kernel has it: no network of its own.
const WISHED: ABI = ABI::V4;

/// Whom a worker becomes.
pub(super) struct Account {
    pub(super) user_id: u32,
    pub(super) group_id: u32,
}

/// Becomes the account for good: no way back, no new rights by any program, and no life after the helper.
pub(super) fn become_account(account: &Account) -> Result<(), EnterError> {
    let (user, group) = (Uid::from_raw(account.user_id), Gid::from_raw(account.group_id));
    rustix::thread::set_thread_groups(&[]).map_err(cannot("leave its groups"))?;
    rustix::thread::set_thread_res_gid(group, group, group).map_err(cannot("change its group"))?;
    rustix::thread::set_thread_res_uid(user, user, user).map_err(cannot("change its user"))?;
    rustix::thread::set_no_new_privs(true).map_err(cannot("give up new privileges"))?;
    // After the change of ids, which clears it.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(cannot("end with the helper"))?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    Ok(())
}

/// Sets soft and hard limits; never above what the process already has.
pub(super) fn limit(limits: &[(Resource, u64)]) -> Result<(), EnterError> {
    for (resource, most) in limits {
        let allowed = rustix::process::getrlimit(*resource).maximum.unwrap_or(u64::MAX);
        let value = Some(allowed.min(*most));
        // Processor time ends with a signal that says so; a second later with one that cannot be ignored.
        let grace = u64::from(*resource == Resource::Cpu);
        let maximum = Some(allowed.min(most.saturating_add(grace)));
        rustix::process::setrlimit(*resource, Rlimit { current: value, maximum })
            .map_err(cannot("set its limits"))?;
    }
    Ok(())
}

/// Confines the process to one repository and becomes git. Only an error comes back.
pub(super) fn become_git(task: &GitTask) -> EnterError {
    if let Err(error) = confine_git(task) {
        return error;
    }
    if task.outlives_helper
        && let Err(error) = rustix::process::set_parent_process_death_signal(None)
    {
        return cannot("outlive the helper")(error);
    }
    let source = Command::new(&task.program)
        .args(&task.argv)
        .env_clear()
        .envs(task.env.iter().map(|(name, value)| (name, value)))
        .current_dir(&task.repository)
        .exec();
    EnterError::Execute { program: task.program.clone(), source }
}

/// Confines the process to one repository, as the git id.
pub(super) fn confine_git(task: &GitTask) -> Result<(), EnterError> {
    limit(&[
        (Resource::Cpu, task.cpu_seconds),
        (Resource::As, GIT_ADDRESS_SPACE_BYTES),
        (Resource::Fsize, task.file_bytes),
        (Resource::Core, 0),
    ])?;
    become_account(&Account { user_id: task.user_id, group_id: task.group_id })?;
    // Readable by serve's group, by nobody else.
    rustix::process::umask(Mode::from_raw_mode(0o027));
    let all = AccessFs::from_all(NEEDED);
    let read_and_execute = AccessFs::from_read(NEEDED);
    let files = AccessFs::ReadFile | AccessFs::WriteFile;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(all)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessNet::from_all(WISHED))?
        .create()?
        .add_rule(beneath(&task.repository, all)?)?
        .add_rule(beneath(Path::new("/dev/null"), files)?)?
        .add_rule(beneath(Path::new("/dev/urandom"), AccessFs::ReadFile.into())?)?;
    for path in GIT_READS.iter().map(Path::new).chain(task.programs.iter().map(AsRef::as_ref)) {
        // Without /lib64 there is nothing to allow there.
        if path.is_dir() {
            rules = rules.add_rule(beneath(path, read_and_execute)?)?;
        } else if path.exists() {
            rules = rules.add_rule(beneath(path, AccessFs::ReadFile.into())?)?;
        }
    }
    rules.restrict_self()?;
    Ok(())
}

fn beneath(path: &Path, access: landlock::BitFlags<AccessFs>) -> Result<PathBeneath<PathFd>, EnterError> {
    let opened = PathFd::new(path).map_err(|error| EnterError::Confine {
        what: "open what it is confined to",
        source: std::io::Error::other(error),
    })?;
    Ok(PathBeneath::new(opened, access))
}
