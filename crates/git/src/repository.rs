//! Bare repositories, asked through the helper's git worker: made, read, and moved by the engine. Never by path.

mod error;
mod state;

use model::{Paths, ToolId};
use rustix::pipe::{PipeFlags, pipe_with};
use sandbox::{
    client::{Helper, RunningWorker},
    request::{GitService, Tidied, Worker},
};
use std::{collections::BTreeMap, io, os::fd::OwnedFd, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::pipe,
};

use crate::settings;
pub use error::GitError;
pub use state::State;

/// Longest output of git that is read into memory, in bytes.
const MAX_OUTPUT_BYTES: u64 = 8 * 1024 * 1024;

/// Below it, hidden refs hold what pushes brought until their branch does: `refs/windlass/pushes/<push>`.
pub const PINS: &str = "refs/windlass/pushes";

/// All repositories of this platform.
#[derive(Clone)]
pub struct Repositories {
    helper: Helper,
    paths: Paths,
    /// One repository is made at a time: two `git init` of the same one would meet in its files.
    making: Arc<tokio::sync::Mutex<()>>,
}

/// A git process of the helper's, and our ends of its pipes.
pub struct Running {
    pub stdin: pipe::Sender,
    pub stdout: pipe::Receiver,
    pub stderr: pipe::Receiver,
    pub worker: RunningWorker,
}

impl Repositories {
    pub fn new(helper: Helper, paths: Paths) -> Self {
        Self { helper, paths, making: Arc::default() }
    }

    /// Starts git on one tool's repository with pipes to all three of its standard streams.
    ///
    /// # Errors
    /// When pipes cannot be made or the helper refuses.
    pub async fn start(
        &self,
        tool: ToolId,
        service: GitService,
        more_config: Vec<(String, String)>,
        env: Vec<(String, String)>,
    ) -> Result<Running, GitError> {
        let (stdin_read, stdin_write) = pipe_with(PipeFlags::CLOEXEC).map_err(io::Error::from)?;
        let (stdout_read, stdout_write) = pipe_with(PipeFlags::CLOEXEC).map_err(io::Error::from)?;
        let (stderr_read, stderr_write) = pipe_with(PipeFlags::CLOEXEC).map_err(io::Error::from)?;
        let worker =
            self.worker(tool, service, more_config, env, stdin_read, stdout_write, stderr_write).await?;
        Ok(Running {
            stdin: pipe::Sender::from_owned_fd(stdin_write)?,
            stdout: pipe::Receiver::from_owned_fd(stdout_read)?,
            stderr: pipe::Receiver::from_owned_fd(stderr_read)?,
            worker,
        })
    }

    #[expect(clippy::too_many_arguments, reason = "three descriptors of one process stay apart by name")]
    async fn worker(
        &self,
        tool: ToolId,
        service: GitService,
        more_config: Vec<(String, String)>,
        env: Vec<(String, String)>,
        stdin: OwnedFd,
        stdout: OwnedFd,
        stderr: OwnedFd,
    ) -> Result<RunningWorker, GitError> {
        // Later settings win over earlier ones of the same name.
        let mut config = settings::common(&self.paths.repository(tool));
        config.retain(|(name, _)| more_config.iter().all(|(other, _)| other != name));
        config.extend(more_config);
        let worker = Worker::Git { tool, service, config, env };
        Ok(self.helper.worker(worker, stdin, stdout, stderr).await?)
    }

    /// Makes the tool's repository; one that is there already stays as it is.
    pub async fn init(&self, tool: ToolId) -> Result<(), GitError> {
        let repository = self.paths.repository(tool);
        // Both are there once git has made it; asking the disk outlives a restart and costs no process.
        let made = || repository.join("HEAD").exists() && repository.join("config").exists();
        if made() {
            return Ok(());
        }
        let _turn = self.making.lock().await;
        if made() {
            return Ok(());
        }
        self.output(tool, "init", GitService::Init, b"").await.map(drop)
    }

    /// Removes the tool's repository, if there is one.
    pub async fn remove(&self, tool: ToolId) -> Result<(), GitError> {
        Ok(self.helper.remove_repository(tool).await?)
    }

    /// Moves a ref from `old` to `new`, both object ids; zeros mean "is not" and "delete" (compare and swap,
    /// git-update-ref(1)).
    ///
    /// # Errors
    /// [`GitError::Moved`] when it stands elsewhere, [`GitError::Clash`] and [`GitError::Locked`] as they say; any
    /// other is a fault.
    pub async fn update_ref(&self, tool: ToolId, name: &str, new: &str, old: &str) -> Result<(), GitError> {
        let service = GitService::UpdateRef { name: name.into(), new: new.into(), old: old.into() };
        self.output(tool, "update-ref", service, b"").await.map(drop).map_err(GitError::of_update)
    }

    /// Full names and object ids of the refs below these names (`refs/heads`), the hidden ones too.
    pub async fn refs(&self, tool: ToolId, under: &[&str]) -> Result<Vec<(String, String)>, GitError> {
        let under = under.iter().map(|name| (*name).to_owned()).collect();
        let text = self.output(tool, "for-each-ref", GitService::ListRefs { under }, b"").await?;
        let text = String::from_utf8_lossy(&text);
        let row = |line: &str| line.split_once(' ').map(|(id, name)| (name.to_owned(), id.to_owned()));
        Ok(text.lines().filter_map(row).collect())
    }

    /// `commit`, `tag`, `tree` or `blob`; `None` when there is no such object.
    pub async fn kind(&self, tool: ToolId, object: &str) -> Result<Option<String>, GitError> {
        let asked = format!("{object}\n");
        let text = self.output(tool, "cat-file", GitService::CheckObjects, asked.as_bytes()).await?;
        let text = String::from_utf8_lossy(&text);
        let kind = text.split_whitespace().nth(1).unwrap_or_default();
        Ok((kind != "missing").then(|| kind.to_owned()))
    }

    /// True when `new` contains `old`.
    pub async fn is_ancestor(&self, tool: ToolId, old: &str, new: &str) -> Result<bool, GitError> {
        let service = GitService::IsAncestor { old: old.into(), new: new.into() };
        match self.output(tool, "merge-base", service, b"").await {
            Ok(_) => Ok(true),
            Err(GitError::Status { status: 1, .. }) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// The object that this ref or full object id stands for; `None` when there is none.
    pub async fn resolve(&self, tool: ToolId, name: &str) -> Result<Option<String>, GitError> {
        let answer =
            self.output(tool, "cat-file", GitService::CheckObjects, format!("{name}\n").as_bytes()).await?;
        let head = String::from_utf8_lossy(&answer);
        let head = head.trim_end();
        let object = head.split(' ').next().filter(|_| !head.ends_with(" missing"));
        Ok(object.map(str::to_owned))
    }

    /// Removes what killed git processes left in the repository.
    pub async fn tidy(&self, tool: ToolId) -> Result<Tidied, GitError> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(io::Error::from)?;
        let (null_in, null_out) = (null()?, null()?);
        let worker = self.helper.worker(Worker::TidyRepository { tool }, null_in, write, null_out).await?;
        let mut text = Vec::new();
        pipe::Receiver::from_owned_fd(read)?.take(MAX_OUTPUT_BYTES).read_to_end(&mut text).await?;
        match worker.status().await? {
            0 => serde_json::from_slice(&text)
                .map_err(|_| GitError::Answer(String::from_utf8_lossy(&text).into_owned())),
            status => Err(GitError::Status { what: "tidying", status, stderr: String::new() }),
        }
    }

    /// Joins what many pushes left into few packs. Pushes, fetches and builds go on meanwhile, and nothing is lost.
    pub async fn repack(&self, tool: ToolId) -> Result<(), GitError> {
        self.output(tool, "repack", GitService::Repack, b"").await.map(drop)
    }

    /// Makes one pack of what refs name; objects that nothing names and that are older than `keep_days` (at least 1)
    /// go for good.
    pub async fn collect(&self, tool: ToolId, keep_days: u32) -> Result<(), GitError> {
        self.output(tool, "gc", GitService::Collect { keep_days }, b"").await.map(drop)
    }

    /// How the repository lies on disk; `None` when it was never asked for. Blocks on the disk.
    pub fn state(&self, tool: ToolId) -> io::Result<Option<State>> {
        state::of(&self.paths.repository(tool))
    }

    /// Bytes that the repository's objects take on disk, loose ones and packs. Read from directory listings: a push
    /// asks twice, and a process would cost it more than the rest of the door.
    pub async fn size_bytes(&self, tool: ToolId) -> Result<u64, GitError> {
        let repository = self.paths.repository(tool);
        let measured = tokio::task::spawn_blocking(move || state::size_bytes(&repository)).await;
        Ok(measured.map_err(io::Error::other)??)
    }

    /// The contents of these files of a commit; those that are absent, no plain files or longer than
    /// `max_bytes` are left out.
    pub async fn files(
        &self,
        tool: ToolId,
        commit: &str,
        names: &[&str],
        max_bytes: u64,
    ) -> Result<BTreeMap<String, Vec<u8>>, GitError> {
        let wanted: String = names.iter().map(|name| format!("{commit}:{name}\n")).collect();
        let answer = self.output(tool, "cat-file", GitService::CatFile, wanted.as_bytes()).await?;
        parse_batch(&answer, names, max_bytes)
    }

    /// A commit's message.
    pub async fn message(&self, tool: ToolId, commit: &str) -> Result<String, GitError> {
        let answer =
            self.output(tool, "cat-file", GitService::CatFile, format!("{commit}\n").as_bytes()).await?;
        let text = String::from_utf8_lossy(&answer);
        Ok(text.split_once("\n\n").map(|(_, message)| message.to_owned()).unwrap_or_default())
    }

    /// Names, sizes and modes of every entry of a commit: `git ls-tree -r -l -z` as it is.
    pub async fn tree(&self, tool: ToolId, commit: &str) -> Result<Vec<u8>, GitError> {
        self.output(tool, "ls-tree", GitService::ListTree { commit: commit.into() }, b"").await
    }

    /// Starts `git archive` into the given pipe: a tar of the commit below `workspace/`.
    pub async fn archive(&self, tool: ToolId, commit: &str, tar: OwnedFd) -> Result<RunningWorker, GitError> {
        let service = GitService::Archive { commit: commit.into() };
        self.worker(tool, service, Vec::new(), Vec::new(), null()?, tar, null()?).await
    }

    /// Runs git to its end and gives what it wrote.
    async fn output(
        &self,
        tool: ToolId,
        what: &'static str,
        service: GitService,
        input: &[u8],
    ) -> Result<Vec<u8>, GitError> {
        let Running { mut stdin, stdout, mut stderr, worker } =
            self.start(tool, service, Vec::new(), Vec::new()).await?;
        let feed = async move {
            // git may end before it has read everything; its status tells.
            let _ = stdin.write_all(input).await;
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let read = async {
            // Dropped when too much has come: git then cannot write on, and ends.
            let mut limited = stdout.take(MAX_OUTPUT_BYTES + 1);
            limited.read_to_end(&mut out).await
        };
        let said = async {
            // What git says too much of is read all the same, or it would wait for us.
            let _ = (&mut stderr).take(16 * 1024).read_to_end(&mut err).await;
            let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        };
        let ((), read, ()) = tokio::join!(feed, read, said);
        if read? as u64 > MAX_OUTPUT_BYTES {
            return Err(GitError::TooMuch { what });
        }
        match worker.status().await? {
            0 => Ok(out),
            status => {
                let stderr = String::from_utf8_lossy(&err).trim().to_owned();
                Err(GitError::Status { what, status, stderr })
            }
        }
    }
}

fn null() -> io::Result<OwnedFd> {
    Ok(OwnedFd::from(std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?))
}

/// Reads the answers of `git cat-file --batch`, in the order of the names (git-cat-file(1), "BATCH OUTPUT").
pub(crate) fn parse_batch(
    mut answer: &[u8],
    names: &[&str],
    max_bytes: u64,
) -> Result<BTreeMap<String, Vec<u8>>, GitError> {
    let mut files = BTreeMap::new();
    for name in names {
        let strange = |text: &[u8]| {
            GitError::Answer(String::from_utf8_lossy(&text[..text.len().min(100)]).into_owned())
        };
        let end = answer.iter().position(|b| *b == b'\n').ok_or_else(|| strange(answer))?;
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        answer = &answer[end + 1..];
        if head.ends_with(" missing") || head.ends_with(" ambiguous") {
            continue;
        }
        let mut words = head.split(' ').skip(1);
        let (kind, size) = (words.next(), words.next().and_then(|size| size.parse::<usize>().ok()));
        let (Some(kind), Some(size)) = (kind, size) else { return Err(GitError::Answer(head)) };
        let body = answer.get(..size).ok_or_else(|| strange(answer))?;
        if kind == "blob" && size as u64 <= max_bytes {
            files.insert((*name).to_owned(), body.to_vec());
        }
        answer = answer.get(size + 1..).unwrap_or_default();
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gives_the_small_plain_files_alone() {
        let answer = b"aa blob 3\nweb\nx:Procfile missing\nbb tree 2\n\0\n\ncc blob 9\n123456789\n";
        let files = parse_batch(answer, &["a", "Procfile", "dir", "big"], 8).unwrap();
        assert_eq!(files.into_iter().collect::<Vec<_>>(), [("a".to_owned(), b"web".to_vec())]);
        assert!(parse_batch(b"aa blob 9\n12", &["a"], 8).is_err());
    }
}
