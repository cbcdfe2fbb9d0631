//! Which instance a data directory is: a number that no other platform on this machine has, kept for its life since
//! files on disk carry ids made from it, and held by a lock while the platform runs.

use anyhow::{Context, Result, bail};
use model::{Instance, instance::MAX_INSTANCES};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use std::{
    fs::{self, File},
    io::{self, Read, Seek, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

/// One file per number: its text is the data directory, its lock says that a platform runs there.
const REGISTER: &str = "/var/lib/windlass-instances";

/// An instance in use; given back when dropped or when the process ends.
pub(crate) struct Lease {
    pub instance: Instance,
    /// Keeps the lock.
    file: File,
}

impl Lease {
    /// Takes the number of this data directory, or the lowest one whose data directory is gone.
    ///
    /// # Errors
    /// When another platform runs on the same directory, or all numbers are taken.
    pub(crate) fn take(data: &Path) -> Result<Self> {
        Self::take_in(Path::new(REGISTER), data)
    }

    /// One that the program before this one took.
    pub(crate) fn taken_over(instance: Instance, file: OwnedFd) -> Self {
        Self { instance, file: file.into() }
    }

    fn take_in(register: &Path, data: &Path) -> Result<Self> {
        fs::create_dir_all(register).with_context(|| format!("cannot make {}", register.display()))?;
        // One at a time decides, so that two new directories never choose the same number.
        let door = open(&register.join("lock"))?;
        flock(&door, FlockOperation::LockExclusive)?;
        let mut free = Vec::new();
        for number in 0..MAX_INSTANCES {
            match fs::read_to_string(register.join(number.to_string())) {
                // Its own number, wherever it stands: files on disk carry ids made from it.
                Ok(owner) if Path::new(&owner) == data => {
                    let lease = Self::hold(register, number, data)?;
                    return lease.with_context(|| {
                        format!("a platform runs on {} already; end it first", data.display())
                    });
                }
                Ok(owner) if Path::new(&owner).exists() => {}
                _ => free.push(number),
            }
        }
        for number in free {
            if let Some(lease) = Self::hold(register, number, data)? {
                return Ok(lease);
            }
        }
        bail!(
            "all {MAX_INSTANCES} instance numbers of this machine are taken; remove unused files in {REGISTER}"
        )
    }

    /// Takes a number; `None` when a platform that runs has it.
    fn hold(register: &Path, number: u32, data: &Path) -> Result<Option<Self>> {
        let mut file = open(&register.join(number.to_string()))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Ok(None),
            other => {
                other.with_context(|| format!("cannot lock number {number} in {}", register.display()))?;
            }
        }
        let mut owner = String::new();
        file.read_to_string(&mut owner)?;
        if Path::new(&owner) != data {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(data.as_os_str().as_encoded_bytes())?;
        }
        Ok(Some(Self { instance: Instance(number), file }))
    }
}

impl AsFd for Lease {
    /// The lock goes with every duplicate of it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Where the data directory of an instance is written down.
pub(crate) fn register_entry(instance: Instance) -> PathBuf {
    Path::new(REGISTER).join(instance.0.to_string())
}

/// The instance of a data directory, if it ever had one.
pub(crate) fn instance_of(data: &Path) -> Option<Instance> {
    let all = (0..MAX_INSTANCES).map(Instance);
    all.into_iter().find(|instance| {
        fs::read_to_string(register_entry(*instance)).is_ok_and(|owner| Path::new(&owner) == data)
    })
}

/// The data directories of this machine's platforms, running or not.
pub(crate) fn data_directories() -> Vec<PathBuf> {
    let owner =
        |entry: io::Result<fs::DirEntry>| Some(PathBuf::from(fs::read_to_string(entry.ok()?.path()).ok()?));
    let owners = fs::read_dir(REGISTER).into_iter().flatten().filter_map(owner);
    owners.filter(|data| data.is_absolute()).collect()
}

/// The data directories of the platforms that run on this machine.
///
/// # Errors
/// For whoever is not root.
pub(crate) fn running() -> Result<Vec<PathBuf>> {
    running_in(Path::new(REGISTER))
}

fn running_in(register: &Path) -> Result<Vec<PathBuf>> {
    let mut running = Vec::new();
    if !register.exists() {
        return Ok(running);
    }
    // Nobody takes a number while its lock is tried.
    let door = open(&register.join("lock"))?;
    flock(&door, FlockOperation::LockExclusive)?;
    for number in 0..MAX_INSTANCES {
        let entry = register.join(number.to_string());
        if !entry.exists() {
            continue;
        }
        let mut file = open(&entry)?;
        if flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK) {
            let mut data = String::new();
            file.read_to_string(&mut data)?;
            running.push(PathBuf::from(data));
        }
    }
    Ok(running)
}

fn open(path: &Path) -> Result<File> {
    let options = File::options().read(true).write(true).create(true).truncate(false).open(path);
    options.with_context(|| format!("cannot open {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A register and data directories in a place of the test's own.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn data(&self, name: &str) -> PathBuf {
            let data = self.0.path().join(name);
            fs::create_dir_all(&data).unwrap();
            data
        }

        fn take(&self, data: &Path) -> Result<Lease> {
            Lease::take_in(&self.0.path().join("register"), data)
        }
    }

    #[test]
    fn a_directory_keeps_its_number_and_a_gone_one_gives_it_back() {
        let machine = Machine::new();
        let (a, b) = (machine.data("a"), machine.data("b"));
        let first = machine.take(&a).unwrap();
        let error = machine.take(&a).err().expect("one platform per directory");
        assert!(error.to_string().contains("already"), "{error}");
        let second = machine.take(&b).unwrap();
        assert_ne!(first.instance, second.instance);
        let number = first.instance;
        drop(first);
        assert_eq!(machine.take(&a).unwrap().instance, number);
        fs::remove_dir_all(&a).unwrap();
        assert_eq!(machine.take(&machine.data("c")).unwrap().instance, number);
    }

    #[test]
    fn what_runs_is_told_from_what_does_not() {
        let machine = Machine::new();
        let register = machine.0.path().join("register");
        assert!(running_in(&register).unwrap().is_empty());
        let (a, b) = (machine.data("a"), machine.data("b"));
        let (first, second) = (machine.take(&a).unwrap(), machine.take(&b).unwrap());
        assert_eq!(running_in(&register).unwrap(), [a, b.clone()]);
        drop(first);
        // The lock goes with the descriptor, whoever has it.
        let taken = Lease::taken_over(second.instance, second.as_fd().try_clone_to_owned().unwrap());
        drop(second);
        assert_eq!(running_in(&register).unwrap(), [b]);
        drop(taken);
        assert!(running_in(&register).unwrap().is_empty());
    }

    #[test]
    fn a_directory_keeps_its_number_when_a_lower_one_becomes_free() {
        let machine = Machine::new();
        let (gone, data) = (machine.data("gone"), machine.data("data"));
        let lower = machine.take(&gone).unwrap();
        let number = machine.take(&data).unwrap().instance;
        assert!(number.0 > lower.instance.0);
        drop(lower);
        fs::remove_dir_all(&gone).unwrap();
        for _ in 0..3 {
            assert_eq!(machine.take(&data).unwrap().instance, number);
        }
        assert!(machine.take(&machine.data("new")).unwrap().instance.0 < number.0);
    }

    #[test]
    fn the_number_of_a_platform_that_runs_is_not_given_away_with_its_directory() {
        let machine = Machine::new();
        let gone = machine.data("gone");
        let running = machine.take(&gone).unwrap();
        fs::remove_dir_all(&gone).unwrap();
        assert_ne!(machine.take(&machine.data("new")).unwrap().instance, running.instance);
    }
}
