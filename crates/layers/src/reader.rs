//! Reads tars of strangers, strictly: one meaning or an error, and never more memory than one header needs.
//!
//! Blocks and extensions are read here because tar libraries keep extension headers of any length in memory, skip
//! what they do not know and end quietly where a tar is cut; the fields of a header are the `tar` crate's work.

use crate::tree::shown;
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

/// What extension headers said about the entry after them.
#[derive(Default)]
struct Extension {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size_bytes: Option<u64>,
    user_id: Option<u64>,
    group_id: Option<u64>,
    modified: Option<Modified>,
    attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

impl<R: Read> TarReader<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, offset: 0, rest_bytes: 0, padding_bytes: 0 }
    }

    /// The next entry; `None` at the end, once everything has been read.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        let mut extension = Extension::default();
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
            let size_bytes = header.entry_size().map_err(|_| damaged("its size is not a number"))?;
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
        let number = |given: Option<u64>, field: io::Result<u64>, what| match given {
            Some(number) => Ok(number),
            None => field.map_err(|_| damaged(what)),
        };
        Ok(Entry {
            kind,
            mode: header.mode().map_err(|_| damaged("its mode is not a number"))? & 0o7777,
            user_id: number(extension.user_id, header.uid(), "its user id is not a number")?,
            group_id: number(extension.group_id, header.gid(), "its group id is not a number")?,
            modified: match extension.modified {
                Some(modified) => modified,
                None => Modified {
                    seconds: i64::try_from(header.mtime().map_err(|_| damaged("its time is not a number"))?)
                        .map_err(|_| damaged("its time is out of range"))?,
                    nanoseconds: 0,
                },
            },
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

impl Extension {
    fn is_empty(&self) -> bool {
        self.path.is_none()
            && self.link.is_none()
            && self.size_bytes.is_none()
            && self.user_id.is_none()
            && self.group_id.is_none()
            && self.attributes.is_empty()
    }

    /// PAX records: `<length> <key>=<value>\n`, where values may hold any byte.
    fn read_pax(&mut self, mut records: &[u8]) -> Result<(), String> {
        while !records.is_empty() {
            let malformed = || "a PAX record is malformed".to_owned();
            let space = records.iter().take(8).position(|byte| *byte == b' ').ok_or_else(malformed)?;
            let length = number(&records[..space]).and_then(|length| usize::try_from(length).ok());
            let length =
                length.filter(|length| (space + 3..=records.len()).contains(length)).ok_or_else(malformed)?;
            let record = records[space + 1..length].strip_suffix(b"\n").ok_or_else(malformed)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(malformed)?;
            self.set(&record[..equals], &record[equals + 1..])?;
            records = &records[length..];
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let integer = || number(value).ok_or_else(|| format!("PAX {} is not a number", key.escape_ascii()));
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size_bytes = Some(integer()?),
            b"uid" => self.user_id = Some(integer()?),
            b"gid" => self.group_id = Some(integer()?),
            b"mtime" => self.modified = Some(time(value).ok_or("PAX mtime is not a time")?),
            _ => {
                if key.starts_with(b"GNU.sparse.") {
                    return Err("a sparse file, which is not accepted".to_owned());
                }
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.attributes.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Decimal seconds with an optional fraction; what is finer than nanoseconds is dropped.
fn time(text: &[u8]) -> Option<Modified> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanoseconds: i64 = format!("{fraction:0<9}")[..9].parse().ok()?;
    // Before 1970 the fraction counts backwards.
    Some(if whole.starts_with('-') && nanoseconds > 0 {
        Modified { seconds: seconds.checked_sub(1)?, nanoseconds: 1_000_000_000 - nanoseconds }
    } else {
        Modified { seconds, nanoseconds }
    })
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
