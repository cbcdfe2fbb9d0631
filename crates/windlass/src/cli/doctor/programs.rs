//! Programs of Debian that the platform starts.

use super::{Check, version};
use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A program, the package that has it, and what it is for.
struct Needed {
    name: &'static str,
    package: &'static str,
    purpose: &'static str,
    /// How it tells its version.
    argument: &'static str,
    least: Option<(u32, u32, u32)>,
}

/// `proc-receive` hooks came with 2.29, what the door relies on was tried with Debian 12's.
const GIT: Needed = Needed {
    name: "git",
    package: "git",
    purpose: "takes pushes",
    argument: "--version",
    least: Some((2, 39, 0)),
};

const OTHERS: [Needed; 4] = [
    Needed {
        name: "nft",
        package: "nftables",
        purpose: "keeps tools apart on the network",
        argument: "--version",
        least: None,
    },
    Needed { name: "ip", package: "iproute2", purpose: "gives tools a network", argument: "-V", least: None },
    Needed {
        name: "mke2fs",
        package: "e2fsprogs",
        purpose: "makes a tool's disk",
        argument: "-V",
        least: None,
    },
    Needed {
        name: "mmdebstrap",
        package: "mmdebstrap",
        purpose: "makes the base images",
        argument: "--version",
        least: None,
    },
];

pub(super) fn checks() -> Vec<Check> {
    let look = |needed: &Needed| program(needed, find(needed.name).map(|path| ask(&path, needed.argument)));
    let runtime = find("runc").map(|path| (path.clone(), ask(&path, "--version")));
    [runtime_check(runtime), look(&GIT)].into_iter().chain(OTHERS.iter().map(look)).collect()
}

/// Where a program lies: in PATH, or where Debian keeps what only root uses.
fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let further = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(further).map(|directory| directory.join(name)).find(|file| file.is_file())
}

/// What a program says of its version; some say it on standard error.
fn ask(program: &Path, argument: &str) -> String {
    let output = Command::new(program).arg(argument).stdin(Stdio::null()).output();
    output.map_or_else(
        |error| format!("cannot be started: {error}"),
        |output| {
            let said = [output.stdout, output.stderr].concat();
            String::from_utf8_lossy(&said).trim().chars().take(2000).collect()
        },
    )
}

fn program(needed: &Needed, said: Option<String>) -> Check {
    let Needed { name, package, purpose, least, .. } = needed;
    let install = format!("it {purpose}: `apt install {package}`");
    let Some(said) = said else { return Check::missing(name, "not found", install) };
    let first = super::super::output::printable(said.lines().next().unwrap_or_default());
    let Some((major, minor, patch)) = version::find(&said) else {
        return match least {
            None => Check::ok(name, if first.is_empty() { "found".to_owned() } else { first }),
            Some(_) => Check::missing(name, format!("says no version: {first}"), install),
        };
    };
    let found = format!("{major}.{minor}.{patch}");
    match least {
        Some(least) if (major, minor, patch) < *least => Check::missing(
            name,
            found,
            format!("{}.{} or later is needed; it {purpose}: `apt install {package}`", least.0, least.1),
        ),
        _ => Check::ok(name, found),
    }
}

/// The runtime stands between strangers' code and this machine, so old versions are judged by name.
fn runtime_check(found: Option<(PathBuf, String)>) -> Check {
    let Some((path, said)) = found else {
        return Check::missing("runtime", "no runc found", "it starts every sandbox: `apt install runc`");
    };
    let first = super::super::output::printable(said.lines().next().unwrap_or_default());
    let Some(version) = version::find(&said) else {
        return Check::missing(
            "runtime",
            format!("{} says no version: {first}", path.display()),
            "`apt install --reinstall runc`",
        );
    };
    let found = format!("{first} ({})", path.display());
    if has_fixes_of_november_2025(version) {
        return Check::ok("runtime", found);
    }
    Check::warning(
        "runtime",
        found,
        "it lacks the fixes of November 2025 for container escapes\n\
         (CVE-2025-31133, CVE-2025-52565, CVE-2025-52881; fixed in 1.2.8, 1.3.3 and 1.4.0).\n\
         User namespaces soften them. A distribution may have patched its own version without a new\n\
         number: look at its security tracker. `[sandbox] runtime` in windlass.toml names another runc",
    )
}

fn has_fixes_of_november_2025(version: (u32, u32, u32)) -> bool {
    match version {
        (1, 2, patch) => patch >= 8,
        (1, 3, patch) => patch >= 3,
        newer => newer >= (1, 4, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{Missing, Ok as Good, Warning};
    use super::*;

    fn runc(said: &str) -> Check {
        runtime_check(Some(("/usr/sbin/runc".into(), said.to_owned())))
    }

    #[test]
    fn a_runtime_without_the_fixes_of_november_2025_is_told_by_name() {
        for old in ["1.1.5+ds1", "1.1.15", "1.2.7", "1.3.2", "1.0.0"] {
            let check = runc(&format!("runc version {old}\nspec: 1.0.2"));
            assert_eq!(check.verdict, Warning, "{old}");
            assert!(check.advice.unwrap().contains("CVE-2025-31133"));
        }
        for fixed in ["1.2.8", "1.3.3", "1.4.0", "1.4.0-rc.3", "2.0.1"] {
            assert_eq!(runc(&format!("runc version {fixed}")).verdict, Good, "{fixed}");
        }
        assert_eq!(runc("segmentation fault").verdict, Missing);
        assert_eq!(runtime_check(None).verdict, Missing);
    }

    #[test]
    fn a_missing_program_comes_with_its_package() {
        let check = program(&GIT, None);
        assert_eq!((check.verdict, check.found.as_str()), (Missing, "not found"));
        assert!(check.advice.unwrap().contains("apt install git"));
    }

    #[test]
    fn an_old_git_is_too_old_and_an_odd_nft_is_taken_as_it_is() {
        assert_eq!(program(&GIT, Some("git version 2.30.2".into())).verdict, Missing);
        assert_eq!(program(&GIT, Some("git version 2.39.5".into())).verdict, Good);
        assert_eq!(program(&GIT, Some("no idea".into())).verdict, Missing);
        assert_eq!(program(&OTHERS[0], Some("no idea".into())).verdict, Good);
    }
}
