//! Which instance a data directory is: a number that no other platform on this machine has, kept for its life since
//! files on disk carry ids made from it, and held by a lock while the platform runs.

use anyhow::{Context, Result, bail};
use model::{Instance, instance::MAX_INSTANCES};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{self, File},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

/// One file per number: its text is the data directory, its lock says that a platform runs there.
const REGISTER: &str = "/var/lib/windlass-instances";

/// An instance in use; given back when dropped or when the process ends.
pub(crate) struct Lease {
    pub instance: Instance,
    /// Keeps the lock.
    _file: File,
}

impl Lease {
    /// Takes the number of this data directory, or the lowest one whose data directory is gone.
    ///
    /// # Errors
    /// When another platform runs on the same directory, or all numbers are taken.
    pub(crate) fn take(data: &Path) -> Result<Self> {
        Self::take_in(Path::new(REGISTER), data)
    }

    fn take_in(register: &Path, data: &Path) -> Result<Self> {
        fs::create_dir_all(register).with_context(|| format!("cannot make {}", register.display()))?;
        // One at a time decides, so that two new directories never choose the same number.
        let door = open(&register.join("lock"))?;
        flock(&door, FlockOperation::LockExclusive)?;
        let mut free = None;
        for number in 0..MAX_INSTANCES {
            let path = register.join(number.to_string());
            let Ok(owner) = fs::read_to_string(&path) else {
                free = free.or(Some(number));
                continue;
            };
            if Path::new(&owner) == data {
                return Self::hold(&path, number, data);
            }
            if free.is_none() && !Path::new(&owner).exists() && Self::hold(&path, number, data).is_ok() {
                free = Some(number);
            }
        }
        let Some(number) = free else {
            bail!("all {MAX_INSTANCES} instance numbers of this machine are taken; remove unused files in {REGISTER}")
        };
        Self::hold(&register.join(number.to_string()), number, data)
    }

    fn hold(path: &Path, number: u32, data: &Path) -> Result<Self> {
        let mut file = open(path)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!("a platform runs on {} already; end it first", data.display());
        }
        let mut owner = String::new();
        file.read_to_string(&mut owner)?;
        if Path::new(&owner) != data {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(data.as_os_str().as_encoded_bytes())?;
        }
        Ok(Self { instance: Instance(number), _file: file })
    }
}

/// The data directories of this machine's platforms, running or not.
pub(crate) fn data_directories() -> Vec<PathBuf> {
    let owner = |entry: io::Result<fs::DirEntry>| Some(PathBuf::from(fs::read_to_string(entry.ok()?.path()).ok()?));
    let owners = fs::read_dir(REGISTER).into_iter().flatten().filter_map(owner);
    owners.filter(|data| data.is_absolute()).collect()
}

fn open(path: &Path) -> Result<File> {
    let options = File::options().read(true).write(true).create(true).truncate(false).open(path);
    options.with_context(|| format!("cannot open {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_keeps_its_number_and_a_gone_one_gives_it_back() {
        let root = tempfile::tempdir().unwrap();
        let (register, a, b) = (root.path().join("register"), root.path().join("a"), root.path().join("b"));
        fs::create_dir_all(&a).unwrap();
        fs::create_dir_all(&b).unwrap();
        let first = Lease::take_in(&register, &a).unwrap();
        assert!(Lease::take_in(&register, &a).is_err(), "one platform per directory");
        let second = Lease::take_in(&register, &b).unwrap();
        assert_ne!(first.instance, second.instance);
        let number = first.instance;
        drop(first);
        assert_eq!(Lease::take_in(&register, &a).unwrap().instance, number);
        fs::remove_dir_all(&a).unwrap();
        let c = root.path().join("c");
        fs::create_dir_all(&c).unwrap();
        assert_eq!(Lease::take_in(&register, &c).unwrap().instance, number);
    }
}
