//! One virtual machine: its disk is a copy-on-write child of the image, so that every lane begins with the same server.

use super::Given;
use anyhow::{Context, Result, bail, ensure};
use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Emulation is 16 to 40 times slower than the machine, which has other work, too.
const BOOT_WITHIN: Duration = Duration::from_secs(600);
/// For one command, unless it says otherwise.
const COMMAND_WITHIN: Duration = Duration::from_secs(300);
/// Small settings that make the kernel's start shorter under emulation.
const KERNEL: &str =
    "root=/dev/vda rw console=ttyS0 loglevel=4 panic=-1 mitigations=off tsc=reliable systemd.show_status=0";

pub(crate) struct Machine {
    cache: PathBuf,
    base: PathBuf,
    release: String,
    /// Disk, console and monitor; removed at the end unless the lane failed.
    directory: PathBuf,
    ssh_port: u16,
    /// Leads to port 8080 inside.
    pub(crate) http_port: u16,
    emulator: Option<Child>,
}

impl Machine {
    /// A server that runs and takes commands.
    pub(crate) fn new(given: &Given, release: &str) -> Result<Self> {
        let directory = given.cache.join(format!("run-{release}-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        let mut machine = Self {
            cache: given.cache.clone(),
            base: given.base.clone(),
            release: release.to_owned(),
            directory,
            ssh_port: free_port()?,
            http_port: free_port()?,
            emulator: None,
        };
        let image = machine.cache.join(format!("{release}.raw"));
        let backing = format!("{}", image.display());
        machine.qemu_img(&["create", "-q", "-f", "qcow2", "-F", "raw", "-b", &backing])?;
        machine.boot()?;
        Ok(machine)
    }

    fn disk(&self) -> PathBuf {
        self.directory.join("disk.qcow2")
    }

    fn qemu_img(&self, words: &[&str]) -> Result<()> {
        let status = Command::new("qemu-img").args(words).arg(self.disk()).status().context("qemu-img")?;
        ensure!(status.success(), "qemu-img {} failed", words.join(" "));
        Ok(())
    }

    /// Switches it on and waits until it takes commands.
    pub(crate) fn boot(&mut self) -> Result<()> {
        let file = |name: &str| self.cache.join(format!("{}.{name}", self.release));
        let forward = format!(
            "user,id=n0,hostfwd=tcp:127.0.0.1:{}-:22,hostfwd=tcp:127.0.0.1:{}-:8080",
            self.ssh_port, self.http_port
        );
        // A lane that is killed takes its machine along.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35"]);
        command.args(["-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max", "-smp", "2", "-m", "2048"]);
        command
            .arg("-kernel")
            .arg(file("vmlinuz"))
            .arg("-initrd")
            .arg(file("initrd"))
            .args(["-append", KERNEL]);
        let disk =
            format!("if=none,id=root,file={},format=qcow2,cache=unsafe,discard=unmap", self.disk().display());
        command.args(["-drive", &disk, "-device", "virtio-blk-pci,drive=root,serial=root"]);
        for layer in ["run", "build"] {
            let tar = self.base.join(format!("{layer}.tar"));
            let drive = format!("if=none,id={layer},file={},format=raw,readonly=on", tar.display());
            let device = format!("virtio-blk-pci,drive={layer},serial={layer}");
            command.args(["-drive", &drive, "-device", &device]);
        }
        command.args([
            "-netdev",
            &forward,
            "-device",
            "virtio-net-pci,netdev=n0",
            "-device",
            "virtio-rng-pci",
        ]);
        let console = format!("file,id=con,path={}/console.log,append=on", self.directory.display());
        command.args(["-chardev", &console, "-serial", "chardev:con"]);
        let log = File::create(self.directory.join("emulator.log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.emulator = Some(command.spawn().context("qemu-system-x86_64")?);
        self.wait_until_up()
    }

    fn wait_until_up(&mut self) -> Result<()> {
        let until = Instant::now() + BOOT_WITHIN;
        while self.run_within("true", Duration::from_secs(20)).is_err() {
            if let Some(emulator) = &mut self.emulator
                && let Some(status) = emulator.try_wait()?
            {
                let said = fs::read_to_string(self.directory.join("emulator.log")).unwrap_or_default();
                bail!("the emulator ended ({status}): {}", said.trim());
            }
            ensure!(Instant::now() < until, "the machine takes no command; see {}", self.directory.display());
            thread::sleep(Duration::from_secs(1));
        }
        Ok(())
    }

    /// Runs a script as root; what it prints, errors among it. Fails when it does.
    pub(crate) fn run(&self, script: &str) -> Result<String> {
        self.run_within(script, COMMAND_WITHIN)
    }

    pub(crate) fn run_within(&self, script: &str, longest: Duration) -> Result<String> {
        let script_file = self.directory.join("script");
        // Whatever a command leaves running must not keep the connection: its output goes to a file first.
        fs::write(&script_file, format!("set -e\nexec </dev/null 2>&1\n{script}\n"))?;
        let mut command = self.ssh(longest);
        command.arg("cat >/root/script; bash /root/script").stdin(File::open(&script_file)?);
        let output = command.output().context("ssh")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "{} ({}): {}",
            script.lines().next().unwrap_or_default(),
            output.status,
            said.trim()
        );
        Ok(said)
    }

    /// Copies a file into the machine.
    pub(crate) fn put(&self, file: &Path, to: &str) -> Result<()> {
        let mut command = self.ssh(COMMAND_WITHIN);
        command
            .arg(format!("cat >{to}"))
            .stdin(File::open(file).with_context(|| file.display().to_string())?);
        ensure!(command.status()?.success(), "{} cannot be copied", file.display());
        Ok(())
    }

    /// Copies a directory into the machine's /root.
    pub(crate) fn put_directory(&self, directory: &Path) -> Result<()> {
        let (parent, name) =
            (directory.parent().context("no parent")?, directory.file_name().context("no name")?);
        let mut tar =
            Command::new("tar").arg("c").arg("-C").arg(parent).arg(name).stdout(Stdio::piped()).spawn()?;
        let mut command = self.ssh(COMMAND_WITHIN);
        command.arg("tar xm -C /root --no-same-owner").stdin(tar.stdout.take().context("tar says nothing")?);
        let copied = command.status()?.success();
        ensure!(tar.wait()?.success() && copied, "{} cannot be copied", directory.display());
        Ok(())
    }

    fn ssh(&self, longest: Duration) -> Command {
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=5", &longest.as_secs().to_string(), "ssh", "-q", "-i"])
            .arg(self.cache.join("key"));
        command.args(["-p", &self.ssh_port.to_string(), "-o", "ConnectTimeout=20", "-o", "BatchMode=yes"]);
        // The server's key is made with the image; nothing leaves this machine.
        command.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
        command.arg("root@127.0.0.1");
        command
    }

    /// As `reboot` does it. Returns when it takes commands again.
    pub(crate) fn reboot(&mut self) -> Result<()> {
        let boot = self.run("cat /proc/sys/kernel/random/boot_id")?;
        // The connection may end before the command does.
        let _ = self.run_within("systemctl --no-block reboot", Duration::from_secs(60));
        let until = Instant::now() + BOOT_WITHIN;
        while self
            .run_within("cat /proc/sys/kernel/random/boot_id", Duration::from_secs(20))
            .ok()
            .is_none_or(|now| now == boot)
        {
            ensure!(Instant::now() < until, "the machine does not come back from its reboot");
            thread::sleep(Duration::from_secs(1));
        }
        Ok(())
    }

    /// Ends the emulator as a power cut ends a server: what was not written to the disk is gone.
    pub(crate) fn cut_power(&mut self) -> Result<()> {
        if let Some(mut emulator) = self.emulator.take() {
            emulator.kill()?;
            emulator.wait()?;
        }
        Ok(())
    }

    /// Removes the disk; a failed lane keeps it, with the console's log.
    pub(crate) fn discard(mut self) -> Result<()> {
        self.cut_power()?;
        Ok(fs::remove_dir_all(&self.directory)?)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Err(error) = self.cut_power() {
            eprintln!("the emulator was not ended: {error}");
        }
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
