//! Where sandboxes' groups lie: in directories of our own, or, where systemd keeps the one v2 tree, each in a
//! transient scope that systemd delegates.
//!
//! systemd takes the whole tree for its own (its `CGROUP_DELEGATION` page): limits of a group that it does not know
//! vanish at its next reload, and a service whose group holds other groups cannot start again. A delegated scope is
//! left alone, and outlives helper, starter, upgrade and `systemctl daemon-reexec`.

use super::{CgroupError, Group, ROOT, Version, is_gone, version};
use crate::request::SandboxId;
use model::Instance;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The slice of all sandboxes' scopes: what the operator sets on it holds for all tools together.
const SLICE: &str = "windlass-tools.slice";
const SLICE_PATH: &str = "windlass.slice/windlass-tools.slice";
/// What the runtime makes in a scope, beside the shim's group: no process may live in a group above others.
const BOX: &str = "box";
const SHIM: &str = "shim";
/// How long systemd leaves what is still in a scope that is stopped.
const STOP_WITHIN: &str = "TimeoutStopSec=5s";

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `/<tag>/<id>`: v1, or no systemd.
    Plain,
    /// `/windlass.slice/windlass-tools.slice/<tag>-<id>.scope/box`.
    Scope,
}

impl Layout {
    /// What this machine wants. `/run/systemd/system` is how systemd says that it runs (`sd_booted(3)`).
    pub fn here() -> Self {
        let systemd = Path::new("/run/systemd/system").is_dir();
        if systemd && version() == Version::V2 { Self::Scope } else { Self::Plain }
    }

    /// `linux.cgroupsPath` of a sandbox.
    pub fn path(self, instance: Instance, id: &SandboxId) -> String {
        match self {
            Self::Plain => format!("/{}/{id}", instance.tag()),
            Self::Scope => format!("/{SLICE_PATH}/{}/{BOX}", unit(instance, id)),
        }
    }

    /// The group that a shim moves itself to before it calls the runtime; `None`: it stays where it is started.
    pub fn shim_path(self, instance: Instance, id: &SandboxId) -> Option<String> {
        (self == Self::Scope).then(|| format!("/{SLICE_PATH}/{}/{SHIM}", unit(instance, id)))
    }

    /// What starts `program`: itself, or the program of systemd that makes a scope and then becomes it.
    pub fn command(self, program: &Path, instance: Instance, id: &SandboxId) -> Command {
        if self == Self::Plain {
            return Command::new(program);
        }
        let mut command = Command::new("/usr/bin/systemd-run");
        command.args(["--quiet", "--scope", "--collect", "--no-ask-password"]);
        command.arg(format!("--slice={SLICE}")).arg(format!("--unit={}", unit(instance, id)));
        command.arg(format!("--description=Windlass sandbox {id}"));
        // A process that is killed for memory is the shim's affair; the limit of processes stands in the bundle.
        for property in ["Delegate=yes", "OOMPolicy=continue", "TasksMax=infinity", STOP_WITHIN] {
            command.args(["-p", property]);
        }
        command.arg("--").arg(program);
        command
    }

    /// Takes away what is left around a sandbox's own group, which is gone. Nothing to do when that is gone, too.
    pub fn clear(self, instance: Instance, id: &SandboxId) -> Result<(), CgroupError> {
        match self {
            Self::Plain => Ok(()),
            Self::Scope => stop(&unit(instance, id)),
        }
    }

    /// The groups of all sandboxes of an instance, each as [`Self::path`] names it.
    pub fn all(self, instance: Instance) -> Result<Vec<Group>, CgroupError> {
        match self {
            Self::Plain => Ok(vec![Group::new(&format!("/{}", instance.tag()))]),
            Self::Scope => {
                let path = |unit: String| format!("/{SLICE_PATH}/{unit}/{BOX}");
                Ok(units(instance)?.into_iter().map(|unit| Group::new(&path(unit))).collect())
            }
        }
    }

    /// Removes the groups of an instance, all of whose processes have ended.
    pub fn remove_all(self, instance: Instance) -> Result<(), CgroupError> {
        for group in self.all(instance)? {
            group.remove()?;
        }
        match self {
            Self::Plain => Ok(()),
            Self::Scope => units(instance)?.iter().try_for_each(|unit| stop(unit)),
        }
    }
}

fn unit(instance: Instance, id: &SandboxId) -> String {
    format!("{}-{id}.scope", instance.tag())
}

fn slice() -> PathBuf {
    Path::new(ROOT).join(SLICE_PATH)
}

/// The scopes of an instance that there are.
fn units(instance: Instance) -> Result<Vec<String>, CgroupError> {
    units_in(&slice(), instance)
}

fn units_in(slice: &Path, instance: Instance) -> Result<Vec<String>, CgroupError> {
    let failed = |source| CgroupError::File { path: slice.to_owned(), source };
    let prefix = format!("{}-", instance.tag());
    let entries = match fs::read_dir(slice) {
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        if name.strip_prefix(&prefix).is_some_and(|rest| rest.strip_suffix(".scope").is_some()) {
            found.push(name);
        }
    }
    Ok(found)
}

/// Returns when systemd has ended the scope with all that is in it. It does so by itself once a scope is empty.
fn stop(unit: &str) -> Result<(), CgroupError> {
    let path = slice().join(unit);
    if !path.exists() {
        return Ok(());
    }
    let mut command = Command::new("/usr/bin/systemctl");
    command.args(["--quiet", "--no-ask-password", "stop", "--", unit]).stdin(Stdio::null());
    let output = command.output().map_err(|source| CgroupError::Systemd { unit: unit.to_owned(), source })?;
    if output.status.success() || !path.exists() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(CgroupError::Systemd { unit: unit.to_owned(), source: io::Error::other(text) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSTANCE: Instance = Instance(3);

    fn id() -> SandboxId {
        "svc-1".parse().unwrap()
    }

    #[test]
    fn each_layout_has_its_place_and_only_a_scope_moves_the_shim() {
        assert_eq!(Layout::Plain.path(INSTANCE, &id()), "/wl3/svc-1");
        assert_eq!(Layout::Plain.shim_path(INSTANCE, &id()), None);
        let scope = "/windlass.slice/windlass-tools.slice/wl3-svc-1.scope";
        assert_eq!(Layout::Scope.path(INSTANCE, &id()), format!("{scope}/box"));
        assert_eq!(Layout::Scope.shim_path(INSTANCE, &id()), Some(format!("{scope}/shim")));
    }

    #[test]
    fn a_scope_is_delegated_and_the_program_comes_behind_the_options() {
        let command = Layout::Scope.command(Path::new("/usr/bin/windlass"), INSTANCE, &id());
        let words: Vec<String> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        assert!(words.contains(&"--unit=wl3-svc-1.scope".to_owned()), "{words:?}");
        assert!(words.contains(&"Delegate=yes".to_owned()), "{words:?}");
        assert_eq!(words[words.len() - 2..], ["--", "/usr/bin/windlass"]);
        let plain = Layout::Plain.command(Path::new("/usr/bin/windlass"), INSTANCE, &id());
        assert_eq!((plain.get_program().to_str(), plain.get_args().count()), (Some("/usr/bin/windlass"), 0));
    }

    #[test]
    fn the_scopes_of_an_instance_are_told_from_those_of_others() {
        let slice = tempfile::tempdir().unwrap();
        for name in ["wl3-a.scope", "wl3-b.scope", "wl31-a.scope", "wl3-a.service", "other.scope"] {
            fs::create_dir(slice.path().join(name)).unwrap();
        }
        let mut found = units_in(slice.path(), INSTANCE).unwrap();
        found.sort();
        assert_eq!(found, ["wl3-a.scope", "wl3-b.scope"]);
        assert!(units_in(&slice.path().join("none"), INSTANCE).unwrap().is_empty());
    }
}
