//! Reads tars of strangers, strictly: one meaning or an error, and never more memory than one header needs.
//!
//! Blocks and extensions are read here because tar libraries keep extension headers of any length in memory, skip
//! what they do not know and end quietly where a tar is cut; the fields of a header are the `tar` crate's work.

mod pax;

use crate::tree::shown;
use pax::Extension;
use std::{
    ffi::OsStr,
    io::{self, Read},
    os::unix::ffi::OsStrExt as _,
    path::Path,
};
use tar::{EntryType, Header};
use thiserror::Error;

const BLOCK_BYTES: usize = 512;
/// Longest extension (PAX records, GNU long name) that is read: names of 4 KiB and attributes of 64 KiB fit.
const MAX_EXTENSION_BYTES: u64 = 256 * 1024;
/// Headers with extensions before one entry. Real ones have at most three: a global one, PAX records or two long names.
const MAX_EXTENSIONS: usize = 8;
/// Zeros that may follow the end: `tar` pads to records of 10 KiB, some tools to larger ones.
const MAX_PADDING_BYTES: u64 = 1024 * 1024;

/// One entry. Its content is read from the reader before the next entry.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub path: Vec<u8>,
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    pub user_id: u64,
    pub group_id: u64,
    pub modified: Modified,
    pub link: Vec<u8>,
    pub size_bytes: u64,
    /// Extended attributes by full name.
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    File,
    HardLink,
    Symlink,
    Directory,
    Fifo,
}

/// Seconds since 1970 and nanoseconds of the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Modified {
    pub seconds: i64,
    pub nanoseconds: i64,
}

/// A tar that is not read any further.
#[derive(Debug, Error)]
pub enum TarError {
    #[error("cannot read the tar")]
    Input(#[from] io::Error),
    #[error("the tar is cut: it ends without its closing blocks")]
    Cut,
    #[error("the header at byte {offset} is damaged: {what}")]
    Header { offset: u64, what: String },
    #[error("`{path}` is {what}, which is not accepted")]
    Refused { path: String, what: &'static str },
    #[error("there is data after the end of the tar, at byte {offset}")]
    Trailing { offset: u64 },
}

pub(crate) struct TarReader<R> {
    input: R,
    offset: u64,
    /// Content and padding of the current entry that has not been read.
    rest_bytes: u64,
    padding_bytes: u64,
}

impl<R: Read> TarReader<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, offset: 0, rest_bytes: 0, padding_bytes: 0 }
    }

    /// The next entry; `None` at the end, once everything has been read.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        let mut extension = Extension::default();
        let mut extensions = 0;
        loop {
            self.skip_rest()?;
            let offset = self.offset;
            let Some(block) = self.block()? else { return Err(TarError::Cut) };
            if block.iter().all(|byte| *byte == 0) {
                self.read_end()?;
                return Ok(None);
            }
            let header = Header::from_byte_slice(&block);
            let damaged = |what: &str| TarError::Header { offset, what: what.to_owned() };
            check_sum(&block, header).map_err(|what| TarError::Header { offset, what })?;
            let size_bytes = field(header.entry_size(), &header.as_old().size)
                .ok_or_else(|| damaged("its size is not a number"))?;
            if is_extension(header.entry_type()) {
                extensions += 1;
                if extensions > MAX_EXTENSIONS {
                    return Err(damaged("more extensions before one entry than any tar needs"));
                }
                // Others take an extension in a header without the mark for an entry.
                if header.as_ustar().is_none() && header.as_gnu().is_none() {
                    return Err(damaged("an extension in a header of an older format"));
                }
            }
            match header.entry_type() {
                EntryType::XHeader => {
                    let records = self.extension_bytes(size_bytes, offset)?;
                    extension.read_pax(&records).map_err(|what| TarError::Header { offset, what })?;
                }
                EntryType::XGlobalHeader => {
                    // `git archive` says the commit here. What would change entries is refused.
                    let mut global = Extension::default();
                    let records = self.extension_bytes(size_bytes, offset)?;
                    global.read_pax(&records).map_err(|what| TarError::Header { offset, what })?;
                    if !global.is_empty() {
                        return Err(damaged(
                            "a global header sets names, sizes or attributes of other entries",
                        ));
                    }
                }
                EntryType::GNULongName => {
                    extension.path = Some(until_nul(self.extension_bytes(size_bytes, offset)?));
                }
                EntryType::GNULongLink => {
                    extension.link = Some(until_nul(self.extension_bytes(size_bytes, offset)?));
                }
                kind => return self.entry(header, kind, size_bytes, extension, offset).map(Some),
            }
        }
    }

    fn entry(
        &mut self,
        header: &Header,
        kind: EntryType,
        size_bytes: u64,
        extension: Extension,
        offset: u64,
    ) -> Result<Entry, TarError> {
        let damaged = |what: &str| TarError::Header { offset, what: what.to_owned() };
        let path = extension.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let refused = |what| TarError::Refused { path: shown(Path::new(OsStr::from_bytes(&path))), what };
        let kind = match kind {
            // Before POSIX a directory was a file with a slash at the end.
            EntryType::Regular | EntryType::Continuous if path.ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Link => Kind::HardLink,
            EntryType::Symlink => Kind::Symlink,
            EntryType::Directory => Kind::Directory,
            EntryType::Fifo => Kind::Fifo,
            EntryType::Char | EntryType::Block => return Err(refused("a device")),
            EntryType::GNUSparse => return Err(refused("a sparse file")),
            _ => return Err(refused("of a kind that is not known")),
        };
        let size_bytes = extension.size_bytes.unwrap_or(size_bytes);
        if kind != Kind::File && size_bytes != 0 {
            return Err(refused("a link or directory with content"));
        }
        self.expect(size_bytes);
        let old = header.as_old();
        let mode = field(header.mode().map(u64::from), &old.mode)
            .and_then(|mode| u32::try_from(mode & 0o7777).ok())
            .ok_or_else(|| damaged("its mode is not a number"))?;
        let user_id = extension.user_id.or_else(|| field(header.uid(), &old.uid));
        let group_id = extension.group_id.or_else(|| field(header.gid(), &old.gid));
        let header_time = || {
            let seconds = i64::try_from(field(header.mtime(), &old.mtime)?).ok()?;
            Some(Modified { seconds, nanoseconds: 0 })
        };
        let modified = extension.modified.or_else(header_time);
        Ok(Entry {
            kind,
            mode,
            user_id: user_id.ok_or_else(|| damaged("its user id is not a number"))?,
            group_id: group_id.ok_or_else(|| damaged("its group id is not a number"))?,
            modified: modified.ok_or_else(|| damaged("its time is not a number"))?,
            link: extension.link.unwrap_or_else(|| {
                header.link_name_bytes().map_or_else(Vec::new, std::borrow::Cow::into_owned)
            }),
            size_bytes,
            attributes: extension.attributes,
            path,
        })
    }

    fn block(&mut self) -> Result<Option<[u8; BLOCK_BYTES]>, TarError> {
        let mut block = [0; BLOCK_BYTES];
        let mut filled = 0;
        while filled < BLOCK_BYTES {
            match self.input.read(&mut block[filled..]) {
                Ok(0) => return Ok(None),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.offset += BLOCK_BYTES as u64;
        Ok(Some(block))
    }

    fn extension_bytes(&mut self, size_bytes: u64, offset: u64) -> Result<Vec<u8>, TarError> {
        if size_bytes > MAX_EXTENSION_BYTES {
            let what = format!("an extension of {size_bytes} bytes, more than {MAX_EXTENSION_BYTES}");
            return Err(TarError::Header { offset, what });
        }
        self.expect(size_bytes);
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        if self.rest_bytes != 0 {
            return Err(TarError::Cut);
        }
        Ok(bytes)
    }

    /// Notes that this much content comes next, filled up to whole blocks.
    fn expect(&mut self, size_bytes: u64) {
        let block = BLOCK_BYTES as u64;
        self.rest_bytes = size_bytes;
        self.padding_bytes = (block - size_bytes % block) % block;
    }

    fn skip_rest(&mut self) -> Result<(), TarError> {
        let waiting = self.rest_bytes.saturating_add(self.padding_bytes);
        let skipped = io::copy(&mut (&mut self.input).take(waiting), &mut io::sink())?;
        self.offset += skipped;
        (self.rest_bytes, self.padding_bytes) = (0, 0);
        if skipped == waiting { Ok(()) } else { Err(TarError::Cut) }
    }

    /// After the first closing block: only zeros, and not many.
    fn read_end(&mut self) -> Result<(), TarError> {
        let mut padding = 0;
        let mut buffer = [0; 8192];
        loop {
            let count = match self.input.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            };
            if count == 0 {
                return Ok(());
            }
            padding += count as u64;
            if buffer[..count].iter().any(|byte| *byte != 0) || padding > MAX_PADDING_BYTES {
                return Err(TarError::Trailing { offset: self.offset });
            }
        }
    }
}

/// Reads the content of the current entry.
impl<R: Read> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (&mut self.input).take(self.rest_bytes).read(buffer)?;
        self.rest_bytes -= count as u64;
        self.offset += count as u64;
        Ok(count)
    }
}

/// Whether the header speaks of the entry after it.
fn is_extension(kind: EntryType) -> bool {
    matches!(
        kind,
        EntryType::XHeader | EntryType::XGlobalHeader | EntryType::GNULongName | EntryType::GNULongLink
    )
}

/// A number of a header. Some tools leave out what is zero.
fn field(parsed: io::Result<u64>, raw: &[u8]) -> Option<u64> {
    let blank = raw.iter().all(|byte| matches!(byte, 0 | b' '));
    parsed.ok().or_else(|| blank.then_some(0))
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

fn check_sum(block: &[u8; BLOCK_BYTES], header: &Header) -> Result<(), String> {
    let field = |index: usize| (148..156).contains(&index);
    let sum: u32 =
        block.iter().enumerate().map(|(i, byte)| if field(i) { 32 } else { u32::from(*byte) }).sum();
    match header.cksum() {
        Ok(stated) if stated == sum => Ok(()),
        _ => Err("its checksum is wrong; this is no tar, or it was changed on its way".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = Header::new_gnu();
        header.set_size(700);
        header.set_mode(0o644);
        // Longer than a header holds: an extension goes before it.
        tar.append_data(&mut header, format!("{}/file", "d".repeat(120)), [b'x'; 700].as_slice()).unwrap();
        tar.append_pax_extensions([("mtime", b"12.5".as_slice()), ("SCHILY.xattr.user.a", b"\n=\n")])
            .unwrap();
        header.set_size(0);
        tar.append_data(&mut header, "empty", [].as_slice()).unwrap();
        tar.into_inner().unwrap()
    }

    fn read_all(bytes: &[u8]) -> Result<Vec<Entry>, TarError> {
        let mut tar = TarReader::new(bytes);
        let mut entries = Vec::new();
        while let Some(entry) = tar.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }

    #[test]
    fn a_tar_of_another_library_is_read_as_it_was_meant() {
        let entries = read_all(&sample()).unwrap();
        assert_eq!((entries[0].path.len(), entries[0].size_bytes), (125, 700));
        assert_eq!(entries[1].modified, Modified { seconds: 12, nanoseconds: 500_000_000 });
        assert_eq!(entries[1].attributes, [(b"user.a".to_vec(), b"\n=\n".to_vec())]);
    }

    #[test]
    fn extensions_never_pile_up_in_memory_and_keep_to_formats_that_have_them() {
        let mut tar = tar::Builder::new(Vec::new());
        for _ in 0..=MAX_EXTENSIONS {
            tar.append_pax_extensions([("SCHILY.xattr.user.a", b"1".as_slice())]).unwrap();
        }
        let piled = read_all(&tar.into_inner().unwrap()).unwrap_err().to_string();
        assert!(piled.contains("more extensions"), "{piled}");

        let mut old = sample();
        let mut header = Header::from_byte_slice(&old[..512]).clone();
        header.as_mut_bytes()[257] = b'x';
        header.set_cksum();
        old[..512].copy_from_slice(header.as_bytes());
        let old = read_all(&old).unwrap_err().to_string();
        assert!(old.contains("an older format"), "{old}");
    }

    proptest! {
        #[test]
        fn a_damaged_tar_ends_in_an_error_or_in_entries_and_never_in_a_panic(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            fixed in any::<bool>(),
        ) {
            let mut bytes = sample();
            for (place, value) in changes {
                let place = place.index(bytes.len());
                bytes[place] = value;
                if fixed {
                    // With a right checksum, so that the damage reaches the fields.
                    let start = place / 512 * 512;
                    let mut header = Header::from_byte_slice(&bytes[start..start + 512]).clone();
                    header.set_cksum();
                    bytes[start..start + 512].copy_from_slice(header.as_bytes());
                }
            }
            let entries = read_all(&bytes).unwrap_or_default();
            prop_assert!(entries.len() <= bytes.len() / 512);
        }
    }
}
