//! The life of a container, as one loop over everything that can happen to it.

use super::pipe::Pipe;
use super::place::Place;
use super::runtime::{Created, Runtime};
use super::state::{Ask, Reply};
use super::{Config, ShimError, memory, privilege};
use crate::cgroup::{Group, MemoryWatch};
use crate::request::{Ended, KilledBy, State};
use logs::{Stream, Writer};
use model::limits::MIB;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// After the kernel says that memory ran out, it takes a moment until it has counted whom it killed.
const COUNTED_WITHIN: Duration = Duration::from_secs(2);
/// How often the count is looked at meanwhile.
const COUNT_EVERY: Duration = Duration::from_millis(20);
/// A tool whose workers are killed again and again says so this often.
const MEMORY_ROW_EVERY: Duration = Duration::from_secs(10);
/// Between the start and the program's first instruction the runtime is still at work in the program's place.
const PROGRAM_WITHIN: Duration = Duration::from_secs(1);

/// A container that was created.
pub(super) struct Container {
    pub(super) pid: i32,
    /// What the process is called while the runtime is at work in it (`proc_pid_comm(5)`).
    runtime_name: Option<String>,
    process: OwnedFd,
    out: Pipe,
    err: Pipe,
    group: Group,
    memory: MemoryWatch,
}

impl Container {
    pub(super) fn new(created: Created, group: Group, memory: MemoryWatch) -> Self {
        let Created { pid, process, out, err } = created;
        Self {
            pid,
            runtime_name: process_name(pid),
            process,
            out: Pipe::new(out, Stream::Out),
            err: Pipe::new(err, Stream::Err),
            group,
            memory,
        }
    }

    /// Waits until the program stands in the runtime's place: before, the process catches signals which the program
    /// may not.
    fn await_program(&self) {
        let begun = Instant::now();
        while self.runtime_name.is_some()
            && process_name(self.pid) == self.runtime_name
            && begun.elapsed() < PROGRAM_WITHIN
        {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

pub(super) struct Keeper<'a> {
    config: &'a Config,
    runtime: &'a Runtime<'a>,
    place: &'a Place,
    container: Container,
    log: Writer,
    /// `None` until the start.
    started: Option<Instant>,
    killed_by: Option<KilledBy>,
    /// When SIGKILL follows SIGTERM.
    kill_at: Option<Instant>,
    memory: MemoryKills,
}

/// What is known of processes killed for memory.
#[derive(Default)]
struct MemoryKills {
    counted: u64,
    told: u64,
    told_at: Option<Instant>,
    /// Until when the count may still be behind.
    count_until: Option<Instant>,
}

/// What the loop wakes up for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Event {
    Out,
    Err,
    MemoryRanOut,
    Asked,
    Ended,
}

impl<'a> Keeper<'a> {
    pub(super) fn new(
        config: &'a Config,
        runtime: &'a Runtime<'a>,
        place: &'a Place,
        container: Container,
        log: Writer,
    ) -> Self {
        let memory = MemoryKills::default();
        Self { config, runtime, place, container, log, started: None, killed_by: None, kill_at: None, memory }
    }

    /// Keeps the container until its first process, and with it its whole tree, has ended.
    pub(super) fn run(mut self) -> Result<Ended, ShimError> {
        loop {
            let events = self.wait()?;
            for event in &events {
                match event {
                    Event::Out => self.noted(|container, log| container.out.read(log).map(drop)),
                    Event::Err => self.noted(|container, log| container.err.read(log).map(drop)),
                    Event::MemoryRanOut => self.memory.count_until = Some(Instant::now() + COUNTED_WITHIN),
                    Event::Asked => self.converse(),
                    Event::Ended => {}
                }
            }
            if events.contains(&Event::Ended) {
                return self.end();
            }
            self.noted(|container, log| container.out.flush_due(log).and(container.err.flush_due(log)));
            if self.memory.count_until.is_some() {
                self.count_memory_kills();
            }
            self.tell_memory_kills();
            self.enforce_deadlines();
        }
    }

    fn wait(&self) -> Result<Vec<Event>, ShimError> {
        let timeout = self.next_deadline().map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() }
        });
        let Container { process, out, err, memory, .. } = &self.container;
        let pipes = [(Event::Out, out.descriptor()), (Event::Err, err.descriptor())];
        let (mut events, mut descriptors): (Vec<Event>, Vec<PollFd<'_>>) = pipes
            .into_iter()
            .filter_map(|(event, pipe)| Some((event, PollFd::from_borrowed_fd(pipe?, PollFlags::IN))))
            .chain([
                (Event::MemoryRanOut, PollFd::new(memory, memory.events())),
                (Event::Asked, PollFd::new(self.place, PollFlags::IN)),
                (Event::Ended, PollFd::new(process, PollFlags::IN)),
            ])
            .unzip();
        match poll(&mut descriptors, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(ShimError::Kernel("wait for the container", error.into())),
        }
        let mut happened = descriptors.iter().map(|descriptor| !descriptor.revents().is_empty());
        events.retain(|_| happened.next().unwrap_or(false));
        Ok(events)
    }

    fn next_deadline(&self) -> Option<Instant> {
        let count = self.memory.count_until.map(|_| Instant::now() + COUNT_EVERY);
        let tell = self
            .memory
            .told_at
            .filter(|_| self.memory.counted > self.memory.told)
            .map(|at| at + MEMORY_ROW_EVERY);
        let deadlines = [
            self.container.out.due(),
            self.container.err.due(),
            self.wall_deadline(),
            self.kill_at,
            count,
            tell,
        ];
        deadlines.into_iter().flatten().min()
    }

    fn wall_deadline(&self) -> Option<Instant> {
        let seconds = self.config.limits.wall_seconds.filter(|_| self.killed_by.is_none())?;
        self.started?.checked_add(Duration::from_secs(seconds))
    }

    fn enforce_deadlines(&mut self) {
        let now = Instant::now();
        if self.wall_deadline().is_some_and(|deadline| deadline <= now) {
            self.killed_by = Some(KilledBy::Wall);
            let seconds = self.config.limits.wall_seconds.unwrap_or_default();
            let limit = if seconds.is_multiple_of(60) {
                format!("{} min", seconds / 60)
            } else {
                format!("{seconds} s")
            };
            self.tell(&format!("killed: ran longer than {limit}"));
            self.signal(Signal::KILL);
        }
        if self.kill_at.is_some_and(|deadline| deadline <= now) {
            self.kill_at = None;
            self.signal(Signal::KILL);
        }
    }

    /// The first process of a PID namespace takes all others with it (`pid_namespaces(7)`).
    fn signal(&self, signal: Signal) {
        if let Err(error) = pidfd_send_signal(&self.container.process, signal)
            && error != rustix::io::Errno::SRCH
        {
            eprintln!("windlass shim {}: cannot signal the container: {error}", self.config.id);
        }
    }

    fn converse(&mut self) {
        let place = self.place;
        if let Err(error) = place.converse(|ask| self.answer(ask)) {
            eprintln!("windlass shim {}: a question was not finished: {error}", self.config.id);
        }
    }

    fn answer(&mut self, ask: Ask) -> Reply {
        match ask {
            Ask::Start if self.started.is_none() && self.killed_by.is_none() => {
                if let Err(text) = self.start() {
                    self.killed_by = Some(KilledBy::Platform);
                    self.tell(&format!("cannot start: {text}"));
                    self.signal(Signal::KILL);
                    return Reply::Failed { text };
                }
            }
            Ask::Kill { grace_milliseconds, because } => {
                self.kill(Duration::from_millis(grace_milliseconds), because);
            }
            Ask::Start | Ask::State => {}
        }
        Reply::State { state: if self.started.is_some() { State::Running } else { State::Created } }
    }

    fn start(&mut self) -> Result<(), String> {
        self.runtime.start().map_err(|error| model::sentence::of(&error))?;
        self.started = Some(Instant::now());
        privilege::drop_to(self.config.drop_to).map_err(|error| model::sentence::of(&error))?;
        memory::release_code();
        Ok(())
    }

    fn kill(&mut self, grace: Duration, because: KilledBy) {
        if self.killed_by.is_none() {
            self.killed_by = Some(because);
            if because == KilledBy::Disk {
                let mebibytes = self.config.limits.writable_bytes / MIB;
                self.tell(&format!("killed: wrote more than {mebibytes} MiB to disk"));
            }
        }
        if self.started.is_none() || grace.is_zero() {
            self.signal(Signal::KILL);
            return;
        }
        self.container.await_program();
        if !catches_terminate(self.container.pid) {
            self.signal(Signal::KILL);
            return;
        }
        self.signal(Signal::TERM);
        let kill_at = Instant::now().checked_add(grace);
        self.kill_at = self.kill_at.into_iter().chain(kill_at).min();
    }

    fn count_memory_kills(&mut self) {
        match self.container.memory.kills() {
            Ok(kills) if kills > self.memory.counted => {
                self.memory.counted = kills;
                self.memory.count_until = None;
            }
            Ok(_) => {
                self.memory.count_until = self.memory.count_until.filter(|until| *until > Instant::now());
            }
            Err(error) => {
                eprintln!("windlass shim {}: {}", self.config.id, model::sentence::of(&error));
                self.memory.count_until = None;
            }
        }
    }

    fn tell_memory_kills(&mut self) {
        let fresh = self.memory.counted - self.memory.told;
        if fresh == 0 || self.memory.told_at.is_some_and(|at| at.elapsed() < MEMORY_ROW_EVERY) {
            return;
        }
        self.memory.told = self.memory.counted;
        self.memory.told_at = Some(Instant::now());
        let processes = if fresh == 1 { "a process".to_owned() } else { format!("{fresh} processes") };
        self.tell(&format!("killed: memory {} MiB ({processes} here needed more)", self.memory_mebibytes()));
    }

    fn memory_mebibytes(&self) -> u64 {
        self.config.limits.memory_bytes / MIB
    }

    /// The tree has ended: the last output, the last numbers, the status.
    fn end(mut self) -> Result<Ended, ShimError> {
        let wall = self.started.map_or(Duration::ZERO, |started| started.elapsed());
        let (status, signal) = waitid(WaitId::PidFd(self.container.process.as_fd()), WaitIdOptions::EXITED)
            .map_err(|error| ShimError::Kernel("learn how the container ended", error.into()))?
            .and_then(|status| {
                let signal = status.terminating_signal();
                Some((status.exit_status().or(signal.map(|signal| 128 + signal))?, signal))
            })
            .ok_or(ShimError::Kernel(
                "learn how the container ended",
                std::io::ErrorKind::InvalidData.into(),
            ))?;
        self.noted(|container, log| container.out.drain(log).and(container.err.drain(log)));
        let usage = self.container.group.usage().map_err(|error| {
            eprintln!("windlass shim {}: {}", self.config.id, model::sentence::of(&error));
        });
        if let Ok(usage) = usage {
            self.memory.counted = usage.memory_kills;
        }
        self.memory.told_at = None; // The last word is said at once.
        self.tell_memory_kills();
        let killed_for_memory = status == 128 + Signal::KILL.as_raw() && self.memory.counted > 0;
        let killed_by = self.killed_by.or(killed_for_memory.then_some(KilledBy::Memory));
        // A service should not end by itself; a build or task should, and its run tells its status.
        if killed_by.is_none() && self.config.limits.wall_seconds.is_none() {
            self.tell(&how_it_ended(status, signal));
        }
        self.noted(|_, log| log.finish());
        Ok(Ended {
            status,
            killed_by,
            memory_peak_bytes: usage.map_or(0, |usage| usage.memory_peak_bytes),
            memory_kills: self.memory.counted,
            cpu_microseconds: usage.map_or(0, |usage| usage.cpu_microseconds),
            wall_microseconds: u64::try_from(wall.as_micros()).unwrap_or(u64::MAX),
        })
    }

    fn tell(&mut self, text: &str) {
        self.noted(|_, log| log.platform(text));
    }

    /// Does something with the log. A log that cannot be written ends no tool: it is told on stderr.
    fn noted(&mut self, act: impl FnOnce(&mut Container, &mut Writer) -> std::io::Result<()>) {
        if let Err(error) = act(&mut self.container, &mut self.log) {
            eprintln!("windlass shim {}: cannot write the log: {error}", self.config.id);
        }
    }
}

/// What a service's log says of an end that nobody asked for.
fn how_it_ended(status: i32, signal: Option<i32>) -> String {
    let Some(number) = signal else { return format!("ended with status {status}") };
    // The first process of a PID namespace is spared most others (`pid_namespaces(7)`).
    let name = match Signal::from_named_raw(number) {
        Some(Signal::KILL) => "SIGKILL",
        Some(Signal::SEGV) => "SIGSEGV",
        Some(Signal::BUS) => "SIGBUS",
        Some(Signal::ILL) => "SIGILL",
        Some(Signal::FPE) => "SIGFPE",
        Some(Signal::ABORT) => "SIGABRT",
        Some(Signal::SYS) => "SIGSYS",
        _ => return format!("ended by signal {number}"),
    };
    format!("ended by signal {name}")
}

fn process_name(pid: i32) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()
}

/// Whether SIGTERM would do anything. To the first process of a PID namespace the kernel delivers only signals that
/// it catches (`pid_namespaces(7)`); one without a handler would sit out its grace, so it gets what the signal does to
/// any other process.
fn catches_terminate(pid: i32) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { return true };
    let chosen = |field: &str| {
        let mask = status.lines().find_map(|line| line.strip_prefix(field));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_none_or(|mask| mask & (1 << (Signal::TERM.as_raw() - 1)) != 0)
    };
    // One that ignores the signal on purpose has asked for its grace.
    chosen("SigCgt:") || chosen("SigIgn:")
}
