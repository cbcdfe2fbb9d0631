//! What a layer's tree must look like, by its tar: the unpacker's rules without a disk.

use crate::{
    gzip::Hashed,
    reader::{Entry, Kind, Modified, TarReader},
    tree::EntryKind,
    unpack::{UNNAMED_TIME, UnpackError, parts},
};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    io::{self, Read},
};

/// Every path of the tree without leading slash, the root as the empty one.
#[derive(Default)]
pub(crate) struct Expected {
    pub(crate) paths: BTreeMap<Vec<u8>, usize>,
    pub(crate) nodes: Vec<Node>,
}

/// One inode. Hard links share one.
pub(crate) struct Node {
    pub(crate) kind: EntryKind,
    /// `None` where the unpacker does not set it: links, pipes, whiteouts.
    pub(crate) mode: Option<u32>,
    /// User and group; `None` for whiteouts.
    pub(crate) owner: Option<(u64, u64)>,
    pub(crate) modified: Option<Modified>,
    pub(crate) size_bytes: u64,
    /// SHA-256 of a file.
    pub(crate) content: [u8; 32],
    /// Target of a symbolic link.
    pub(crate) target: Vec<u8>,
    /// Extended attributes that the unpacker keeps, by name.
    pub(crate) attributes: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Node {
    fn directory() -> Self {
        Self {
            kind: EntryKind::Directory,
            mode: Some(0o755),
            owner: Some((0, 0)),
            modified: Some(UNNAMED_TIME),
            size_bytes: 0,
            content: [0; 32],
            target: Vec::new(),
            attributes: BTreeMap::new(),
        }
    }

    fn whiteout() -> Self {
        Self { kind: EntryKind::Device, mode: None, owner: None, modified: None, ..Self::directory() }
    }

    fn of(entry: &Entry, kind: EntryKind) -> Self {
        let sets_mode = matches!(kind, EntryKind::File | EntryKind::Directory);
        let kept = |name: &[u8]| name == b"security.capability" || name.starts_with(b"user.");
        let attributes =
            entry.attributes.iter().filter(|(name, _)| sets_mode && kept(name)).cloned().collect();
        Self {
            kind,
            mode: sets_mode.then_some(entry.mode),
            owner: Some((entry.user_id, entry.group_id)),
            modified: Some(entry.modified),
            attributes,
            ..Self::directory()
        }
    }
}

impl Expected {
    /// Reads a tar that was unpacked once, to its end.
    pub(crate) fn read(input: &mut impl Read) -> Result<Self, UnpackError> {
        let mut expected = Self::default();
        expected.put(Vec::new(), Node::directory());
        let mut tar = TarReader::new(input);
        while let Some(entry) = tar.next_entry()? {
            expected.entry(&entry, &mut tar)?;
        }
        Ok(expected)
    }

    fn put(&mut self, path: Vec<u8>, node: Node) {
        self.nodes.push(node);
        self.paths.insert(path, self.nodes.len() - 1);
    }

    fn entry(&mut self, entry: &Entry, content: &mut impl Read) -> Result<(), UnpackError> {
        let parts = parts(&entry.path)?;
        let Some((name, parents)) = parts.split_last() else {
            self.put(Vec::new(), Node::of(entry, EntryKind::Directory));
            return Ok(());
        };
        for depth in 1..=parents.len() {
            let parent = parents[..depth].join(&b'/');
            if !self.paths.contains_key(&parent) {
                self.put(parent, Node::directory());
            }
        }
        let beside = |name: &[u8]| {
            let mut path = parents.join(&b'/');
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend(name);
            path
        };
        if let Some(hidden) = name.strip_prefix(b".wh.") {
            let path = beside(hidden);
            if !hidden.starts_with(b".wh.") && !self.paths.contains_key(&path) {
                self.put(path, Node::whiteout());
            }
            return Ok(());
        }
        let path = beside(name);
        let node = match entry.kind {
            Kind::HardLink => {
                let target = crate::unpack::parts(&entry.link)?.join(&b'/');
                if let Some(index) = self.paths.get(&target).copied() {
                    self.paths.insert(path, index);
                }
                return Ok(());
            }
            Kind::Directory => Node::of(entry, EntryKind::Directory),
            Kind::Fifo => Node::of(entry, EntryKind::Fifo),
            Kind::Symlink => Node { target: entry.link.clone(), ..Node::of(entry, EntryKind::Symlink) },
            Kind::File => {
                let mut hashed = Hashed { input: content, hash: Sha256::new() };
                io::copy(&mut hashed, &mut io::sink()).map_err(crate::reader::TarError::Input)?;
                let content = hashed.hash.finalize().into();
                Node { size_bytes: entry.size_bytes, content, ..Node::of(entry, EntryKind::File) }
            }
        };
        self.put(path, node);
        Ok(())
    }
}
