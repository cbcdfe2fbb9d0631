//! Tars as strangers make them: every field can be wrong.

use std::io::Write as _;
use tar::{EntryType, Header};

/// A tar that is being written, one raw header at a time.
#[derive(Default)]
pub(crate) struct Tar {
    bytes: Vec<u8>,
}

impl Tar {
    /// A file with mode 644, owner 0 and time 1000.
    pub(crate) fn file(self, path: &str, content: &[u8]) -> Self {
        self.entry(path, EntryType::Regular, |_| {}, content)
    }

    pub(crate) fn directory(self, path: &str) -> Self {
        self.entry(path, EntryType::Directory, |header| header.set_mode(0o755), b"")
    }

    pub(crate) fn link(self, path: &str, kind: EntryType, target: &str) -> Self {
        self.entry(path, kind, |header| header.set_link_name_literal(target).unwrap(), b"")
    }

    pub(crate) fn entry(
        mut self,
        path: &str,
        kind: EntryType,
        change: impl FnOnce(&mut Header),
        content: &[u8],
    ) -> Self {
        let mut header = Header::new_ustar();
        let name = path.as_bytes();
        let length = name.len().min(100);
        header.as_old_mut().name[..length].copy_from_slice(&name[..length]);
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1000);
        header.set_size(content.len() as u64);
        change(&mut header);
        header.set_cksum();
        self.bytes.extend(header.as_bytes());
        self.content(content)
    }

    /// PAX records for the entry that follows.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let data: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
        self.entry("PaxHeaders", EntryType::XHeader, |_| {}, &data)
    }

    pub(crate) fn content(mut self, content: &[u8]) -> Self {
        self.bytes.extend(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    /// The whole tar with its closing blocks.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.bytes.extend([0; 1024]);
        self.bytes
    }

    /// Without closing blocks.
    pub(crate) fn cut(self) -> Vec<u8> {
        self.bytes
    }
}

pub(crate) fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (rest..rest + 9).find(|length| rest + length.to_string().len() == *length).unwrap();
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
