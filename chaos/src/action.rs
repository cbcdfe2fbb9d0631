//! What goes on while something is killed: a push or a rollback of one tool, in a process of its own.

use crate::{kind::Kind, random::Random};
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::BTreeMap,
    fmt, fs,
    path::Path,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};
use testkit::{Tool, World};

/// A push or a rollback takes no longer than this, whatever is killed meanwhile.
const ACTION_TIME: Duration = Duration::from_secs(150);
/// Between two looks for a process that lives for milliseconds.
const LOOK: Duration = Duration::from_micros(500);
/// Tries to meet a process before the kind is given up.
const TRIES: u32 = 12;

/// A tool, and what each of its commits shows.
pub(crate) struct Worked<'a> {
    pub(crate) tool: Tool<'a>,
    pub(crate) greetings: BTreeMap<String, String>,
    greeting: String,
    number: u64,
}

/// One kill.
pub(crate) struct Strike {
    kind: Kind,
    tool: String,
    what: &'static str,
    after: Duration,
    /// The commit of a push.
    pub(crate) pushed: Option<String>,
    /// Exit status of the push or rollback.
    pub(crate) status: i32,
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, tool, what, after, status, .. } = self;
        write!(f, "{kind:<7} {:>5} ms into a {what} of {tool} (which ended {status})", after.as_millis())
    }
}

impl<'a> Worked<'a> {
    /// A tool with two releases, so that there is one to go back to.
    pub(crate) fn new(world: &'a World, name: &str) -> Result<Self> {
        let tool = world.tool(name, "steady");
        // A package that takes its time, so that builds last as real ones do.
        let slow = Path::new(env!("CARGO_MANIFEST_DIR")).join("../e2e/apps/slow-build/slow");
        fs::create_dir(tool.directory.join("slow"))?;
        for entry in fs::read_dir(&slow).with_context(|| slow.display().to_string())? {
            let entry = entry?;
            fs::copy(entry.path(), tool.directory.join("slow").join(entry.file_name()))?;
        }
        let build = "[[io.buildpacks.build.env]]\nname = \"SLOW_SECONDS\"\nvalue = \"1\"\n";
        tool.write("project.toml", &format!("[_]\nschema-version = \"0.2\"\n{build}"));
        let greeting = "steady one".to_owned();
        let mut worked = Self { tool, greetings: BTreeMap::new(), greeting, number: 0 };
        for _ in 0..2 {
            worked.commit(true)?;
            worked.tool.push().succeeded();
        }
        Ok(worked)
    }

    /// Commits a new greeting; with `packages` the build installs everything anew.
    fn commit(&mut self, packages: bool) -> Result<String> {
        self.number += 1;
        let greeting = format!("steady {} of {}", self.number, self.tool.name);
        if packages {
            self.tool.write("requirements.txt", &format!("./slow\n# {}\n", self.number));
        }
        self.tool.edit("app.py", &self.greeting, &greeting);
        self.greeting.clone_from(&greeting);
        let commit = self.tool.git(&["rev-parse", "HEAD"])?;
        self.greetings.insert(commit.clone(), greeting);
        Ok(commit)
    }
}

/// Begins something, kills a process of this kind meanwhile, and waits until the beginner is told how it went.
pub(crate) fn strike(
    world: &World,
    worked: &mut Worked<'_>,
    kind: Kind,
    random: &mut Random,
) -> Result<Strike> {
    for _ in 0..TRIES {
        // An egress worker lives in builds alone.
        let push = kind == Kind::Egress || random.below(10) < 7;
        let before = Before { shims: world.shims() };
        let pushed = if push { Some(worked.commit(random.below(10) < 7)?) } else { None };
        let mut child = begin(world, worked, push)?;
        let began = Instant::now();
        let after = Duration::from_millis(random.below(if push { 3500 } else { 1200 }));
        let killed = kill_one(world, kind, &before, after, random, &mut child);
        let after = began.elapsed();
        let status = end(&mut child)?;
        if killed {
            let what = if push { "push" } else { "rollback" };
            let tool = worked.tool.name.clone();
            return Ok(Strike { kind, tool, what, after, pushed, status });
        }
    }
    bail!("no {kind} process was met in {TRIES} tries")
}

/// What was there before the action.
struct Before {
    shims: Vec<i32>,
}

fn begin(world: &World, worked: &Worked<'_>, push: bool) -> Result<Child> {
    let mut command = if push {
        worked.tool.push_command("main")
    } else {
        let mut command = world.command();
        command.args(["--tool", &worked.tool.name, "rollback"]);
        command
    };
    Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
}

fn end(child: &mut Child) -> Result<i32> {
    let until = Instant::now() + ACTION_TIME;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code().unwrap_or(-1));
        }
        if Instant::now() > until {
            child.kill()?;
            child.wait()?;
            return Ok(-1);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process of this kind was met and killed before the action ended.
fn kill_one(
    world: &World,
    kind: Kind,
    before: &Before,
    after: Duration,
    random: &mut Random,
    action: &mut Child,
) -> bool {
    let mut goes_on = || matches!(action.try_wait(), Ok(None));
    match kind {
        Kind::Helper | Kind::Router | Kind::Serve => {
            thread::sleep(after);
            world.part(&kind.to_string()).is_some_and(kill)
        }
        Kind::Shim if random.below(2) == 0 && !before.shims.is_empty() => {
            thread::sleep(after);
            let index = usize::try_from(random.below(before.shims.len() as u64)).unwrap_or(0);
            kill(before.shims[index])
        }
        Kind::Shim => {
            let new = || world.shims().into_iter().find(|pid| !before.shims.contains(pid));
            meet(&mut goes_on, Duration::from_millis(5), new).is_some_and(|pid| {
                thread::sleep(after / 3);
                kill(pid)
            })
        }
        Kind::Egress => {
            let worker = || world.workers("egress").first().copied();
            meet(&mut goes_on, Duration::from_millis(5), worker).is_some_and(|pid| {
                thread::sleep(after / 4);
                kill(pid)
            })
        }
        Kind::Runtime => {
            // Each runs for some milliseconds: let a few of them pass.
            let mut passed = Vec::new();
            for _ in 0..random.below(2) {
                let next = || world.runtimes().into_iter().find(|pid| !passed.contains(pid));
                match meet(&mut goes_on, LOOK, next) {
                    Some(pid) => passed.push(pid),
                    None => return false,
                }
            }
            let next = || world.runtimes().into_iter().find(|pid| !passed.contains(pid));
            meet(&mut goes_on, LOOK, next).is_some_and(kill)
        }
    }
}

fn meet(
    goes_on: &mut impl FnMut() -> bool,
    look: Duration,
    mut find: impl FnMut() -> Option<i32>,
) -> Option<i32> {
    loop {
        if let Some(pid) = find() {
            return Some(pid);
        }
        if !goes_on() {
            return None;
        }
        thread::sleep(look);
    }
}

/// Whether it was still there.
fn kill(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok())
}
