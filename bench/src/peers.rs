//! The programs that are measured beside Windlass. `bench/peers/build.sh` makes them; nothing of them is installed, and
//! each runs on directories of its own.

pub(crate) mod docker;
pub(crate) mod pack;
pub(crate) mod registry;

use anyhow::{Context, Result, bail};
use std::{
    env,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

/// Where they lie.
pub(crate) struct Peers {
    directory: PathBuf,
}

impl Peers {
    /// Makes them, or says why this machine cannot.
    pub(crate) fn build() -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/build.sh");
        let output = Command::new(&script).output().with_context(|| script.display().to_string())?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            eprint!("{text}");
            bail!("{}", text.lines().last().unwrap_or("build.sh failed and said nothing"));
        }
        Ok(Self { directory: PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()) })
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A program that finds the unpacked ones of Debian before those of this machine.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.file(name));
        let debian = self.directory.join("debian/usr");
        let path = env::var("PATH").unwrap_or_default();
        command
            .env("PATH", format!("{0}/bin:{0}/sbin:/usr/sbin:/usr/bin:/sbin:/bin:{path}", debian.display()));
        command
    }
}

/// A directory of a peer's own; dropping it removes it.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let path = PathBuf::from(format!("/var/lib/windlass-bench-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{} stays: {error}", self.0.display());
        }
    }
}

pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Waits until something accepts on this port, as long as `child` lives.
fn listening(child: &mut Child, port: u16, patience: Duration) -> Result<()> {
    let until = Instant::now() + patience;
    while TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_err() {
        if let Some(status) = child.try_wait()? {
            bail!("it ended: {status}");
        }
        if Instant::now() > until {
            bail!("it does not listen on port {port}");
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Asks a process to end and waits; kills it when it does not.
fn end(child: &mut Child, patience: Duration) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    let until = Instant::now() + patience;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() > until {
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
}
