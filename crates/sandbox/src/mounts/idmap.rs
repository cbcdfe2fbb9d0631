//! ID-mapped mounts: one tree on disk, seen under another range of owners. Needs Linux 5.19 for overlay's lowers.

use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd};
use rustix::mount::{MoveMountFlags, OpenTreeFlags};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// `MOUNT_ATTR_IDMAP` and the others, of `linux/mount.h`.
const ATTRIBUTE_READ_ONLY: u64 = 0x1;
const ATTRIBUTE_NO_SETUID: u64 = 0x2;
const ATTRIBUTE_NO_DEVICES: u64 = 0x4;
const ATTRIBUTE_IDMAP: u64 = 0x0010_0000;

/// `struct mount_attr` of `linux/mount.h`, version 0.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Mounts a clone of `tree` read-only at `at`, with owners translated by `map` if there is one.
pub fn mount(tree: BorrowedFd<'_>, map: Option<BorrowedFd<'_>>, at: &Path) -> io::Result<()> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let clone = rustix::mount::open_tree(tree, "", flags)?;
    let mut attributes = MountAttributes {
        set: ATTRIBUTE_READ_ONLY | ATTRIBUTE_NO_SETUID | ATTRIBUTE_NO_DEVICES,
        clear: 0,
        propagation: 0,
        user_namespace: 0,
    };
    if let Some(map) = map {
        attributes.set |= ATTRIBUTE_IDMAP;
        attributes.user_namespace = u64::try_from(map.as_raw_fd()).map_err(io::Error::other)?;
    }
    set_attributes(&clone, &attributes)?;
    rustix::mount::move_mount(&clone, "", rustix::fs::CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    Ok(())
}

#[expect(unsafe_code, reason = "rustix has no mount_setattr")]
fn set_attributes(mount: &OwnedFd, attributes: &MountAttributes) -> io::Result<()> {
    // SAFETY: the path is a NUL-terminated literal and the structure is read for exactly the length that is passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            std::ptr::from_ref(attributes),
            size_of::<MountAttributes>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A user namespace in which ids from `inside` on are the host's from `outside` on. For a mount, `inside` is what is
/// on disk and `outside` what is seen; for a process, `inside` is what it sees.
///
/// Called by processes with a single thread: it forks a child that holds the namespace until it is opened.
pub fn user_namespace(inside: u32, outside: u32, count: u32) -> io::Result<OwnedFd> {
    let (mut ready, tell_ready) = io::pipe()?;
    let (hold, release) = io::pipe()?;
    #[expect(unsafe_code, reason = "only a process of its own can make a user namespace for somebody else")]
    // SAFETY: the caller has one thread, so that the child may use the heap and every lock.
    let child = unsafe { libc::fork() };
    match child {
        -1 => return Err(io::Error::last_os_error()),
        0 => {
            drop(release);
            hold_namespace(tell_ready, hold);
        }
        _ => {}
    }
    drop((tell_ready, hold));
    let mut word = [0; 1];
    let made =
        ready.read_exact(&mut word).map_err(|_| io::Error::other("the kernel gives no user namespace"));
    let opened = made.and_then(|()| {
        let map = format!("{inside} {outside} {count}\n");
        std::fs::write(format!("/proc/{child}/uid_map"), &map)?;
        std::fs::write(format!("/proc/{child}/gid_map"), &map)?;
        File::open(format!("/proc/{child}/ns/user"))
    });
    drop(release);
    let pid = rustix::process::Pid::from_raw(child);
    rustix::io::retry_on_intr(|| rustix::process::waitpid(pid, rustix::process::WaitOptions::empty()))?;
    Ok(opened?.into())
}

/// The forked child: makes the namespace, says so, and ends when the parent lets go.
fn hold_namespace(mut ready: io::PipeWriter, mut hold: io::PipeReader) -> ! {
    let made = super::unshare(rustix::thread::UnshareFlags::NEWUSER).and_then(|()| ready.write_all(&[1]));
    if made.is_ok() {
        // Ends with zero bytes or an error; either way the parent has gone on.
        let _ = hold.read(&mut [0]);
    }
    #[expect(unsafe_code, reason = "a forked child leaves without running the parent's exit handlers")]
    // SAFETY: _exit only ends the process.
    unsafe {
        libc::_exit(0)
    }
}
