//! Starting workers, and ending those whose asker has gone.

use super::place::{self, Place};
use super::refusal::Refusal;
use super::{State, git, reconcile, spawn};
use crate::request::{Answer, GIT_CPU_SECONDS, Kind, SandboxId, Worker};
use crate::worker::{GitTask, StoreRoot, TASK_FD, Task, View};
use model::ToolId;
use model::instance::RangeIndex;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::Mode;
use rustix::process::{Pid, PidfdFlags};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::PoisonError;

/// The workers that write to the layer store now, and whether one was killed since they were none.
#[derive(Debug, Default)]
pub(crate) struct StoreWorkers {
    running: usize,
    killed: bool,
}

/// One of them, until dropped. What killed ones were writing is swept once nobody writes.
struct Writing<'a> {
    state: &'a State,
    killed: bool,
}

impl<'a> Writing<'a> {
    fn begin(state: &'a State) -> Self {
        state.store_workers.lock().unwrap_or_else(PoisonError::into_inner).running += 1;
        Self { state, killed: true }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let mut workers = self.state.store_workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.running -= 1;
        workers.killed |= self.killed;
        if workers.running == 0 && workers.killed {
            // The lock is held: no worker begins meanwhile.
            reconcile::sweep_store(self.state);
            workers.killed = false;
        }
    }
}

/// Runs one worker to its end. `None` when the asker went away first: then it has been killed.
pub(crate) fn run(
    state: &State,
    worker: &Worker,
    streams: Vec<OwnedFd>,
    asker: &UnixStream,
) -> Result<Option<Answer>, Refusal> {
    let task = task(state, worker)?;
    let [stdin, stdout, stderr] = <[OwnedFd; 3]>::try_from(streams).map_err(|given| {
        Refusal::new("bad-request", format!("a worker has three descriptors, not {}", given.len()))
    })?;
    let failed = |error: &dyn std::error::Error| Refusal::platform("cannot start a worker", error);
    let document = serde_json::to_vec(&task).map_err(|error| failed(&error))?;
    let mut command = spawn::command(&state.config.program);
    command
        .args(["worker", name(worker)])
        .stdin(Stdio::from(stdin))
        .stdout(Stdio::from(stdout))
        .stderr(Stdio::from(stderr));
    let mut writing = writes_to_the_store(worker).then(|| Writing::begin(state));
    let mut child = spawn::start(command, TASK_FD, &document, &[]).map_err(|error| failed(&error))?;
    match wait(&mut child, asker) {
        Ok(Some(status)) => {
            if let Some(writing) = &mut writing {
                // One that was killed by somebody else leaves the same behind.
                writing.killed = status > 128;
            }
            Ok(Some(Answer::WorkerEnded { status }))
        }
        Ok(None) => {
            spawn::end(&mut child);
            Ok(None)
        }
        Err(error) => {
            spawn::end(&mut child);
            Err(Refusal::platform("cannot wait for a worker", &error))
        }
    }
}

fn writes_to_the_store(worker: &Worker) -> bool {
    match worker {
        Worker::UnpackLayer | Worker::ImportBase | Worker::Maintain | Worker::Export { .. } => true,
        Worker::UnpackScratch { .. } | Worker::Git { .. } | Worker::TidyRepository { .. } => false,
    }
}

/// What `ps` shows, and nothing else: the task decides.
fn name(worker: &Worker) -> &'static str {
    match worker {
        Worker::UnpackLayer => "unpack-layer",
        Worker::UnpackScratch { .. } => "unpack-scratch",
        Worker::ImportBase => "import-base",
        Worker::Maintain => "maintain",
        Worker::Export { .. } => "export",
        Worker::Git { .. } => "git",
        Worker::TidyRepository { .. } => "tidy-repository",
    }
}

/// The exit status, or `None` as soon as the asker has gone.
fn wait(child: &mut Child, asker: &UnixStream) -> io::Result<Option<i32>> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("no process id"))?;
    let process = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    loop {
        let gone = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        let mut waiting = [PollFd::new(&process, PollFlags::IN), PollFd::new(asker, gone)];
        rustix::io::retry_on_intr(|| rustix::event::poll(&mut waiting, None))?;
        let asker_gone = !waiting[1].revents().is_empty();
        if !waiting[0].revents().is_empty() {
            let status = child.wait()?;
            // 128 + signal, as shells count.
            return Ok(Some(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))));
        }
        if asker_gone {
            return Ok(None);
        }
    }
}

fn task(state: &State, worker: &Worker) -> Result<Task, Refusal> {
    let paths = &state.config.paths;
    let root = || StoreRoot {
        at: state.worker_root(),
        data: paths.data.clone(),
        store_id: state.config.instance.first_id(RangeIndex::STORE),
    };
    Ok(match worker {
        Worker::UnpackLayer => Task::UnpackLayer(root()),
        Worker::UnpackScratch { id, owner, max_bytes, max_entries } => Task::UnpackScratch {
            root: root(),
            id: id.clone(),
            owner: *owner,
            max_bytes: *max_bytes,
            max_entries: *max_entries,
        },
        Worker::ImportBase => Task::ImportBase(root()),
        Worker::Maintain => Task::Maintain(root()),
        Worker::Export { sandbox } => Task::Export { root: root(), view: view(state, sandbox)? },
        Worker::Git { tool, service, config, env } => {
            let argv = git::argv(service)?;
            let env = git::environment(config, env)?;
            Task::Git(GitTask {
                cpu_seconds: git::cpu_seconds(service),
                outlives_helper: service.outlives_helpers(),
                ..git_task(state, *tool, argv, env)?
            })
        }
        Worker::TidyRepository { tool } => {
            Task::TidyRepository(git_task(state, *tool, Vec::new(), Vec::new())?)
        }
    })
}

fn view(state: &State, id: &SandboxId) -> Result<View, Refusal> {
    let refused = |text: String| Refusal::new("export-refused", text);
    let kept = state.find(id).ok_or_else(|| refused(format!("there is no sandbox `{id}` to export")))?;
    if kept.spec.kind != Kind::Build {
        return Err(refused(format!("`{id}` is no build: only builds are exported")));
    }
    if kept.ended().is_none() {
        return Err(refused(format!("`{id}` has not ended: wait for it, then export")));
    }
    let instance = state.config.instance;
    let data = &state.config.paths.data;
    let layers = place::layer_paths(data, instance.first_id(RangeIndex::STORE), &kept.spec.layers)?;
    let upper = Place::new(&state.config.paths, id).data.join("upper");
    let upper = upper.strip_prefix(data).map(PathBuf::from).map_err(|error| refused(error.to_string()))?;
    Ok(View { layers, upper, tool_id: instance.first_id(kept.spec.range) })
}

fn git_task(
    state: &State,
    tool: ToolId,
    argv: Vec<String>,
    env: Vec<(String, String)>,
) -> Result<GitTask, Refusal> {
    let instance = state.config.instance;
    let repository = state.config.paths.repository(tool);
    let (user_id, group_id) = (instance.git_id(), instance.serve_id());
    make_repository(&repository, user_id, group_id)
        .map_err(|error| Refusal::platform(format_args!("cannot make {}", repository.display()), &error))?;
    let program_directory = state.config.program.parent().map(PathBuf::from);
    let programs = [Some(state.config.hooks.clone()), program_directory].into_iter().flatten().collect();
    let program = state.config.git.clone();
    let (cpu_seconds, file_bytes) = (GIT_CPU_SECONDS, state.config.git_file_bytes);
    Ok(GitTask {
        program,
        argv,
        env,
        repository,
        programs,
        user_id,
        group_id,
        cpu_seconds,
        file_bytes,
        outlives_helper: false,
    })
}

/// Outranks a tree's own `.gitattributes` (gitattributes(5)): what is built is the commit, byte for byte, with nothing
/// left out, replaced or converted.
const ATTRIBUTES: &str = "* -text -eol -ident -filter -working-tree-encoding -export-ignore -export-subst\n";

/// The bare repository's directory: git's own, readable by serve's group. Its owner is changed last, so that one
/// which was left half-made is finished.
fn make_repository(repository: &std::path::Path, user_id: u32, group_id: u32) -> io::Result<()> {
    let made = |path: &std::path::Path| match rustix::fs::mkdir(path, Mode::from_raw_mode(0o750)) {
        Err(rustix::io::Errno::EXIST) => Ok(()),
        other => other,
    };
    made(repository)?;
    if std::fs::symlink_metadata(repository)?.uid() == user_id {
        return Ok(());
    }
    let info = repository.join("info");
    made(&info)?;
    let attributes = info.join("attributes");
    std::fs::write(&attributes, ATTRIBUTES)?;
    std::fs::set_permissions(&attributes, std::fs::Permissions::from_mode(0o644))?;
    std::os::unix::fs::lchown(&info, Some(user_id), Some(group_id))?;
    std::os::unix::fs::lchown(repository, Some(user_id), Some(group_id))
}
