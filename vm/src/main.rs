//! `make test-vm`: the Debian package on an ordinary Debian server, which is a virtual machine under software emulation:
//! installed, pushed to, upgraded under load, rebooted, cut off from its power, purged.
//!
//! `VERSIONS` names the Debian releases, for example `VERSIONS=13`; `tools/vm.sh` gives the rest.

mod lane;
mod machine;

use anyhow::{Context, Result, ensure};
use machine::Machine;
use std::{env, path::PathBuf, time::Instant};

/// What the script made before.
struct Given {
    /// Images, keys and snapshots, kept from lane to lane.
    cache: PathBuf,
    /// Two packages of the same programs; the second has the higher version.
    packages: [PathBuf; 2],
    /// Base images for tools, and the version that the package wants of them.
    base: PathBuf,
    base_version: String,
    /// Tools to push.
    apps: PathBuf,
}

impl Given {
    fn from_environment() -> Result<Self> {
        let path =
            |name: &str| env::var_os(name).map(PathBuf::from).with_context(|| format!("{name} is not set"));
        let base = path("WINDLASS_TEST_BASE")?;
        let name = base.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self {
            cache: path("VM_CACHE")?,
            packages: [path("PACKAGE_1")?, path("PACKAGE_2")?],
            base_version: name.trim_start_matches("base-").to_owned(),
            base,
            apps: path("APPS")?,
        })
    }
}

fn main() -> Result<()> {
    let given = Given::from_environment()?;
    let versions = env::var("VERSIONS").unwrap_or_default();
    let versions = if versions.is_empty() { "12 13".to_owned() } else { versions };
    let mut failed = Vec::new();
    for version in versions.split_whitespace() {
        let release = match version {
            "12" => "bookworm",
            "13" => "trixie",
            other => anyhow::bail!("Debian {other} is not one of 12 and 13"),
        };
        println!("Debian {version}");
        let began = Instant::now();
        let lane = Machine::new(&given, release).and_then(|machine| lane::walk(&given, machine));
        match lane {
            Ok(()) => println!("Debian {version}: passed in {} s", began.elapsed().as_secs()),
            Err(error) => {
                println!("Debian {version}: FAILED after {} s: {error:#}", began.elapsed().as_secs());
                failed.push(version.to_owned());
            }
        }
    }
    ensure!(failed.is_empty(), "the lane failed on Debian {}", failed.join(", "));
    Ok(())
}
