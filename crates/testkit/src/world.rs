//! One platform of a test's own.

use crate::{Answer, Census, Hold, Tool, http, leaks};
use anyhow::{Context, Result, bail, ensure};
use std::{
    env, fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A running platform. Dropping it ends it and asserts that nothing of it is left.
pub struct World {
    pub data: PathBuf,
    pub port: u16,
    run: PathBuf,
    platform: Option<Child>,
    token: String,
}

/// What a program did.
#[derive(Debug)]
pub struct Ran {
    pub status: i32,
    /// Standard output, then standard error.
    pub text: String,
}

impl World {
    /// Installs and starts a platform, and waits until it answers.
    pub fn new() -> Self {
        Self::with_settings("")
    }

    /// The same with further lines in windlass.toml.
    pub fn with_settings(more: &str) -> Self {
        Self::start(more).unwrap_or_else(|error| panic!("no platform for this test: {error:#}"))
    }

    fn start(more: &str) -> Result<Self> {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("windlass-test-{}-{number}", std::process::id());
        let (data, run) = (Path::new("/var/lib").join(&name), Path::new("/run").join(&name));
        fs::create_dir_all(&data)?;
        let port = free_port()?;
        let mut world = Self { data, port, run, platform: None, token: String::new() };
        let base = match env::var("WINDLASS_TEST_BASE") {
            Ok(base) => base,
            Err(_) => script("base.sh", &[])?.trim().to_owned(),
        };
        let data = world.data.display().to_string();
        script("install.sh", &[&data, &base])?;
        let file = world.settings_file().display().to_string();
        script("configure.sh", &[&file, &data, &world.run.display().to_string(), &port.to_string()])?;
        if !more.is_empty() {
            let mut text = fs::read_to_string(world.settings_file())?;
            text.push_str(more);
            fs::write(world.settings_file(), text)?;
        }
        world.up()?;
        let token = fs::read_to_string(world.data.join("keys/operator-token"))?;
        token.trim().clone_into(&mut world.token);
        Ok(world)
    }

    /// Starts the platform's processes; it must not be running.
    pub fn up(&mut self) -> Result<()> {
        let log = fs::File::options().append(true).create(true).open(self.log_file())?;
        let platform = Command::new(self.program())
            .arg("up")
            .arg(self.settings_file())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.platform = Some(platform);
        let until = Instant::now() + Duration::from_secs(90);
        loop {
            let answer = http::get(self.port, "localhost", "/api/v1/health");
            if answer.is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            if let Some(status) = self.platform.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                bail!("the platform ended ({status}):\n{}", self.log());
            }
            ensure!(Instant::now() < until, "the platform does not answer:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends the platform as Ctrl-C does.
    pub fn down(&mut self) -> Result<()> {
        let Some(mut platform) = self.platform.take() else { return Ok(()) };
        signal(&platform, rustix::process::Signal::TERM);
        let until = Instant::now() + Duration::from_secs(60);
        while platform.try_wait()?.is_none() {
            if Instant::now() > until {
                platform.kill()?;
                platform.wait()?;
                bail!("the platform did not end in a minute:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Kills the starter; its parts end with it, tools go on.
    pub fn kill_starter(&mut self) -> Result<()> {
        let Some(mut platform) = self.platform.take() else { return Ok(()) };
        let parts = ["helper", "router", "serve"].map(|part| Self::parts_of(platform.id(), part)).concat();
        platform.kill()?;
        platform.wait()?;
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let living = leaks::processes().into_iter().filter(|process| parts.contains(&process.pid));
            let living: Vec<_> = living.map(|process| process.arguments).collect();
            if living.is_empty() {
                return Ok(());
            }
            ensure!(Instant::now() < until, "parts outlive their starter: {living:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends everything at once, tools too, and empties the run directory, as a machine does that loses its power. What
    /// the kernel would have forgotten as well (interfaces, rules, control groups) stays.
    pub fn lose_power(&mut self) -> Result<()> {
        let Some(mut platform) = self.platform.take() else { return Ok(()) };
        platform.kill()?;
        platform.wait()?;
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let ours =
                leaks::processes().into_iter().filter(|process| process.program.starts_with(&self.data));
            let mut pids: Vec<i32> = ours.map(|process| process.pid).collect();
            pids.extend(leaks::contained(&self.data));
            if pids.is_empty() {
                break;
            }
            ensure!(Instant::now() < until, "these do not end: {pids:?}");
            for pid in pids.into_iter().filter_map(rustix::process::Pid::from_raw) {
                // It may have ended with another.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(fs::remove_dir_all(&self.run)?)
    }

    /// Host pid of `windlass up`.
    pub fn starter(&self) -> Option<u32> {
        self.platform.as_ref().map(Child::id)
    }

    /// Host pid of a part: `helper`, `router`, `serve`; of the newest process of it, while one is replaced.
    pub fn part(&self, name: &str) -> Option<i32> {
        self.parts(name).into_iter().max()
    }

    /// Host pids of all processes of a part: those that were replaced finish what they have begun.
    pub fn parts(&self, name: &str) -> Vec<i32> {
        self.platform.as_ref().map(|up| Self::parts_of(up.id(), name)).unwrap_or_default()
    }

    fn parts_of(up: u32, name: &str) -> Vec<i32> {
        let mine = |process: &leaks::Process| {
            process.parent == up && process.arguments.get(1).is_some_and(|argument| argument == name)
        };
        leaks::processes().into_iter().filter(mine).map(|process| process.pid).collect()
    }

    /// Replaces one part by a new process, or `up` by a new program, as the operator does; gives what the verb said.
    pub fn reload(&self, part: &str) -> Ran {
        let mut command = self.command();
        command.arg("reload").arg(self.settings_file()).args(["--part", part]);
        ran(command.output())
    }

    /// Host pids of all shims of this platform.
    pub fn shims(&self) -> Vec<i32> {
        self.processes(&["shim"])
    }

    /// Host pids of this platform's programs that were started with these words.
    pub fn processes(&self, words: &[&str]) -> Vec<i32> {
        let program = self.program();
        let mine = |process: &leaks::Process| {
            let given = process.arguments.iter().skip(1).map(String::as_str);
            process.program == program && given.take(words.len()).eq(words.iter().copied())
        };
        leaks::processes().into_iter().filter(mine).map(|process| process.pid).collect()
    }

    /// Host pid of the shim of a sandbox whose name begins so: `build-`, `release-`, `web-`.
    pub fn shim_of(&self, kind: &str) -> Option<i32> {
        let sandboxes = fs::read_dir(self.run.join("sandboxes")).ok()?.flatten();
        let places = sandboxes.filter(|place| place.file_name().to_string_lossy().starts_with(kind));
        let first = places.filter_map(|place| fs::read_to_string(place.path().join("container.pid")).ok());
        let first: Vec<i32> = first.filter_map(|pid| pid.trim().parse().ok()).collect();
        let processes = leaks::processes();
        let parent = |pid: &i32| processes.iter().find(|process| process.pid == *pid).map(|p| p.parent);
        let parents: Vec<i32> =
            first.iter().filter_map(parent).filter_map(|pid| pid.try_into().ok()).collect();
        self.shims().into_iter().find(|shim| parents.contains(shim))
    }

    /// Host pids of the workers of this kind: `egress`, `export`.
    pub fn workers(&self, kind: &str) -> Vec<i32> {
        self.processes(&["worker", kind])
    }

    /// Host pids of what runs with these words in this platform's sandboxes.
    pub(crate) fn contained(&self, words: &[&str]) -> Vec<i32> {
        let inside = leaks::contained(&self.data);
        let asked = |process: &leaks::Process| {
            let given = process.arguments.iter().map(String::as_str).filter(|word| !word.is_empty());
            given.eq(words.iter().copied()) && inside.contains(&process.pid)
        };
        leaks::processes().into_iter().filter(asked).map(|process| process.pid).collect()
    }

    /// The point at which programs of tools run `sleep` for so many seconds.
    pub const fn hold(&self, seconds: u32) -> Hold<'_> {
        Hold::new(self, seconds)
    }

    /// Host pids of the OCI runtime while it makes containers of this platform.
    pub fn runtimes(&self) -> Vec<i32> {
        let mine = |process: &leaks::Process| {
            let words = &process.arguments;
            words.iter().any(|word| word == "create")
                && words.iter().any(|word| Path::new(word).starts_with(&self.run))
        };
        leaks::processes().into_iter().filter(mine).map(|process| process.pid).collect()
    }

    /// How much of everything this platform has now.
    pub fn census(&self) -> Census {
        Census::of(&self.data, &self.run)
    }

    /// A tool with a working copy of one of the apps in `e2e/apps`.
    pub fn tool(&self, name: &str, app: &str) -> Tool<'_> {
        Tool::create(self, name, app).unwrap_or_else(|error| panic!("no tool `{name}`: {error:#}"))
    }

    /// Runs `windlass …` as the operator.
    pub fn cli(&self, arguments: &[&str]) -> Ran {
        let mut command = self.command();
        command.args(arguments);
        ran(command.output())
    }

    /// The CLI with the operator's token, for more settings.
    pub fn command(&self) -> Command {
        let mut command = Command::new(self.program());
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", &self.data)
            .env("WINDLASS_SERVER", self.url())
            .env("WINDLASS_TOKEN", &self.token)
            .stdin(Stdio::null());
        command
    }

    /// `GET` on any host name of this platform.
    pub fn get(&self, host: &str, path: &str) -> Answer {
        http::get(self.port, host, path).unwrap_or_else(|error| panic!("GET {host}{path}: {error:#}"))
    }

    /// The same while the router may be away.
    pub fn try_get(&self, host: &str, path: &str) -> Option<Answer> {
        http::get(self.port, host, path).ok()
    }

    pub fn url(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    /// What the platform's processes wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// What runs as the platform.
    pub fn program(&self) -> PathBuf {
        self.data.join("bin/windlass")
    }

    pub fn settings_file(&self) -> PathBuf {
        self.data.join("windlass.toml")
    }

    fn log_file(&self) -> PathBuf {
        self.data.join("platform.log")
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let down = self.down();
        // The kernel lets go of a loop device a moment after its last user.
        let until = Instant::now() + Duration::from_secs(10);
        let mut left = leaks::find(&self.data);
        while !left.is_empty() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(200));
            left = leaks::find(&self.data);
        }
        let log = self.log();
        leaks::clear(&self.data, &self.run);
        if std::thread::panicking() {
            eprintln!("the platform's log of the failed test:\n{log}");
            return;
        }
        down.unwrap_or_else(|error| panic!("{error:#}"));
        assert!(left.is_empty(), "left behind:\n{}\n{log}", left.join("\n"));
    }
}

pub(crate) fn ran(output: std::io::Result<Output>) -> Ran {
    match output {
        Ok(output) => {
            let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.push_str(&String::from_utf8_lossy(&output.stderr));
            Ran { status: output.status.code().unwrap_or(-1), text }
        }
        Err(error) => Ran { status: -1, text: error.to_string() },
    }
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        // It may have ended already.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn script(name: &str, arguments: &[&str]) -> Result<String> {
    let path = root().join("tools").join(name);
    let output =
        Command::new(&path).args(arguments).output().with_context(|| format!("{}", path.display()))?;
    ensure!(output.status.success(), "{name} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
