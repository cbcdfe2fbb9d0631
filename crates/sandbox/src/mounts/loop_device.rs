//! Loop devices that free themselves when their mount goes.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// `linux/loop.h`.
const GET_FREE: libc::c_ulong = 0x4C82;
const CONFIGURE: libc::c_ulong = 0x4C0A;
const FLAG_AUTOCLEAR: u32 = 4;
/// Others take free devices at the same moment.
const ATTEMPTS: usize = 64;

/// `struct loop_info64`.
#[repr(C)]
struct Info {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
struct Configuration {
    descriptor: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

/// An attached device; once mounted, the mount alone keeps it.
#[derive(Debug)]
pub struct LoopDevice {
    path: PathBuf,
    /// Keeps the device until the caller has mounted it.
    _device: File,
}

impl LoopDevice {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Attaches `image` to a free loop device.
pub fn attach(image: &Path) -> io::Result<LoopDevice> {
    let image = OpenOptions::new().read(true).write(true).open(image)?;
    let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control")?;
    for _ in 0..ATTEMPTS {
        let number = free_number(&control)?;
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = OpenOptions::new().read(true).write(true).open(&path)?;
        match configure(&device, &image) {
            Ok(()) => return Ok(LoopDevice { path, _device: device }),
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("every free loop device was taken by somebody else"))
}

#[expect(unsafe_code, reason = "ioctl")]
fn free_number(control: &File) -> io::Result<i32> {
    // SAFETY: LOOP_CTL_GET_FREE takes no argument and gives a number.
    let number = unsafe { libc::ioctl(control.as_raw_fd(), GET_FREE) };
    if number < 0 { Err(io::Error::last_os_error()) } else { Ok(number) }
}

#[expect(unsafe_code, reason = "ioctl")]
fn configure(device: &File, image: &File) -> io::Result<()> {
    let configuration = Configuration {
        descriptor: u32::try_from(image.as_raw_fd()).map_err(io::Error::other)?,
        block_size: 0,
        info: Info {
            device: 0,
            inode: 0,
            rdevice: 0,
            offset: 0,
            size_limit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags: FLAG_AUTOCLEAR,
            file_name: [0; 64],
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
        },
        reserved: [0; 8],
    };
    // SAFETY: the structure has the layout of `struct loop_config` and outlives the call.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), CONFIGURE, std::ptr::from_ref(&configuration)) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
