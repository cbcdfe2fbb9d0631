//! Starting programs of ours with descriptors at agreed numbers, in a session of their own.

use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Copies lie above every agreed number, so that placing one never covers another.
const COPIES_FROM: i32 = 64;
/// What programs of ours find other programs in.
pub(crate) const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command without environment, in `/`, away from the helper's terminal.
pub(crate) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    prepare(&mut command);
    command
}

/// Takes away from a command what it is not to inherit.
pub(crate) fn prepare(command: &mut Command) {
    command.env_clear().env("PATH", SEARCH_PATH).current_dir("/").stdin(Stdio::null());
}

/// Starts `command` with each descriptor at its number, and a pipe at `document_at` from which it reads `document`.
pub(crate) fn start(
    mut command: Command,
    document_at: i32,
    document: &[u8],
    descriptors: &[(i32, BorrowedFd<'_>)],
) -> io::Result<Child> {
    let (read, mut write) = io::pipe()?;
    let read = OwnedFd::from(read);
    let mut placed: Vec<(OwnedFd, i32)> = vec![(copy(&read)?, document_at)];
    for (number, descriptor) in descriptors {
        placed.push((copy(descriptor)?, *number));
    }
    let numbers: Vec<(i32, i32)> = placed.iter().map(|(copy, number)| (copy.as_raw_fd(), *number)).collect();
    let prepare = move || {
        // A session of its own: Ctrl-C in the terminal of `windlass up` is not for it.
        rustix::process::setsid()?;
        for (copy, number) in &numbers {
            place(*copy, *number)?;
        }
        Ok(())
    };
    #[expect(unsafe_code, reason = "descriptors at fixed numbers need a hook between fork and exec")]
    // SAFETY: the hook only makes system calls; it neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(prepare);
    }
    let mut child = command.spawn()?;
    drop((read, placed));
    if let Err(error) = write.write_all(document) {
        end(&mut child);
        return Err(error);
    }
    Ok(child)
}

fn copy(descriptor: &impl rustix::fd::AsFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(descriptor, COPIES_FROM)?)
}

#[expect(unsafe_code, reason = "dup2 onto a number that no Rust value owns")]
fn place(copy: i32, number: i32) -> io::Result<()> {
    // SAFETY: dup2 is async-signal-safe; the number is one of those agreed with the program to be started.
    if unsafe { libc::dup2(copy, number) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Kills a child with everything in its session's first process group, and reaps it.
pub(crate) fn end(child: &mut Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        // Already gone is as good as killed.
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}
