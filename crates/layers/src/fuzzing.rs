//! What the fuzz targets reach of this room (`fuzz/`); for nobody else.

use crate::{
    TarError, UnpackError, UnpackLimits, gzip,
    reader::TarReader,
    unpack::{self, Profile},
};
use rustix::fd::OwnedFd;
use std::io::Read;

/// One entry of a tar, with everything that was read for it.
pub struct Entry {
    pub path: Vec<u8>,
    pub link: Vec<u8>,
    pub size_bytes: u64,
    /// Names and values of its extended attributes together.
    pub attribute_bytes: usize,
    pub content: Vec<u8>,
}

/// Reads a whole tar.
pub fn read_tar(bytes: &[u8]) -> Result<Vec<Entry>, TarError> {
    let mut tar = TarReader::new(bytes);
    let mut entries = Vec::new();
    while let Some(entry) = tar.next_entry()? {
        let mut content = Vec::new();
        tar.read_to_end(&mut content)?;
        entries.push(Entry {
            path: entry.path,
            link: entry.link,
            size_bytes: entry.size_bytes,
            attribute_bytes: entry.attributes.iter().map(|(name, value)| name.len() + value.len()).sum(),
            content,
        });
    }
    Ok(entries)
}

/// What was unpacked.
pub struct Unpacked {
    pub entries: u64,
    pub bytes: u64,
    pub inodes: u64,
}

/// Unpacks a tar, plain or gzip, into an empty directory, as a layer or as a scratch tree of `owner`.
pub fn unpack(
    bytes: &[u8],
    root: OwnedFd,
    scratch_owner: Option<u32>,
    limits: UnpackLimits,
) -> Result<Unpacked, UnpackError> {
    let profile = scratch_owner.map_or(Profile::Layer, |owner| Profile::Scratch { owner });
    let (is_gzip, input) = gzip::peek_gzip(bytes).map_err(TarError::Input)?;
    let counts = if is_gzip {
        unpack::unpack(gzip::decompress(input), root, profile, limits)?
    } else {
        unpack::unpack(input, root, profile, limits)?
    };
    Ok(Unpacked { entries: counts.entries, bytes: counts.bytes, inodes: counts.inodes })
}
