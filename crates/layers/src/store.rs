//! The store on disk: `layers/sha256-<hex>/{tree/, meta.json}`, `blobs/sha256/ab/<hex>`, `scratch/<id>/tree`.
//!
//! A layer is made in `layers/.new/<id>` and appears by one rename, after its blob, its notes and its tree are on
//! disk; so what has a name is whole. Writers are root of the store's range (or root); anybody may read.

mod work;

use crate::{
    gzip::{BlobWriter, Hashed, Tee, decompress, peek_gzip},
    limits::UnpackLimits,
    step,
    tree::{Tree, TreeError},
    unpack::{Profile, UnpackError, unpack},
    writer::{LayerWriter, PublishError, WriteError, write_layer},
};
use model::{DiffId, Digest, Paths};
use rustix::{
    fd::OwnedFd,
    fs::{
        AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, fsync, mkdirat, openat, renameat_with,
        statat, syncfs,
    },
    io::Errno,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{
    fs::{DirBuilder, DirEntry, File, Permissions},
    io::{self, BufWriter, Read, Write as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::Path,
    time::Duration,
};
use thiserror::Error;
use work::{NEW_BLOB, Work};
pub(crate) use work::{NewBlob, make_parent, random_name};

/// What is known of a published layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Digest of the layer's tar; the directory's name.
    pub diff_id: DiffId,
    /// Digest of the gzip blob: what an image manifest names.
    pub blob_digest: Digest,
    /// Length of the blob in bytes.
    pub blob_bytes: u64,
    /// Bytes of the regular files in the tree.
    pub tree_bytes: u64,
    /// Files, directories and links of the tree, each inode once.
    pub inodes: u64,
}

/// What an unpacked scratch tree holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unpacked {
    /// Entries of the tar.
    pub entries: u64,
    /// Bytes of the regular files.
    pub bytes: u64,
}

/// `meta.json`.
#[derive(Serialize, Deserialize)]
struct Meta {
    /// Rules by which the tree was made of the tar; a tree of older rules is made anew from its blob.
    normaliser: u32,
    #[serde(flatten)]
    published: Published,
}

const NORMALISER: u32 = 1;
const MAX_META_BYTES: u64 = 64 * 1024;
/// The largest tree that is written to disk file by file.
const SYNC_EACH_INODES: u64 = 64;

/// The layer store could not be read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    #[error("cannot {action} `{path}`")]
    System { action: &'static str, path: String, source: io::Error },
    #[error("`{path}` is damaged: {what}")]
    Damaged { path: String, what: String },
    #[error("`{path}` is not there")]
    Missing { path: String },
    #[error("`{id}` is no name for a scratch tree")]
    BadId { id: String },
}

/// The layer store of one data directory.
#[derive(Debug)]
pub struct Store {
    pub(crate) paths: Paths,
    layers: OwnedFd,
    blobs: OwnedFd,
}

/// A layer whose tree and blob are written and which has no name yet.
pub(crate) struct Prepared {
    work: Work,
    published: Published,
}

impl Store {
    /// Opens the store; its directories are made when they are missing and the caller may make them.
    pub fn open(paths: &Paths) -> Result<Self, StoreError> {
        let (layers, blobs) = (open_or_make(&paths.layers())?, open_or_make(&paths.blobs())?);
        Ok(Self { paths: paths.clone(), layers, blobs })
    }

    /// Whether a layer is published, whole.
    pub fn has(&self, diff_id: &DiffId) -> bool {
        self.published(diff_id).is_ok_and(|layer| layer.is_some())
    }

    /// What is known of a layer; `None` when it is not published.
    pub fn published(&self, diff_id: &DiffId) -> Result<Option<Published>, StoreError> {
        let path = self.paths.layer(diff_id).join("meta.json");
        let relative = format!("sha256-{}/meta.json", diff_id.hex());
        let Some(bytes) = read_small(&self.layers, &relative, &path, MAX_META_BYTES)? else {
            return Ok(None);
        };
        let meta: Meta = serde_json::from_slice(&bytes).map_err(|error| StoreError::Damaged {
            path: path.display().to_string(),
            what: error.to_string(),
        })?;
        if meta.published.diff_id != *diff_id {
            let what = format!("it speaks of {}", meta.published.diff_id);
            return Err(StoreError::Damaged { path: path.display().to_string(), what });
        }
        Ok((meta.normaliser == NORMALISER).then_some(meta.published))
    }

    /// The tree of a published layer.
    pub fn tree(&self, diff_id: &DiffId) -> Result<Tree, TreeError> {
        Tree::open(&self.paths.layer(diff_id).join("tree"))
    }

    /// Every published layer, in the order of diffIDs.
    pub fn list(&self) -> Result<Vec<Published>, StoreError> {
        let path = self.paths.layers();
        let mut layers = Vec::new();
        for entry in entries(&path)? {
            let name = entry.file_name();
            let hex = name.to_str().and_then(|name| name.strip_prefix("sha256-"));
            let diff_id = hex.and_then(|hex| format!("sha256:{hex}").parse::<DiffId>().ok());
            if let Some(diff_id) = diff_id {
                layers.extend(self.published(&diff_id)?);
            }
        }
        layers.sort_by_key(|layer| layer.diff_id);
        Ok(layers)
    }

    /// Publishes the layer that this tar is, plain or gzip. A gzip tar is kept as it came: a manifest may name it.
    pub fn unpack_layer(&self, tar: impl Read, limits: UnpackLimits) -> Result<Published, UnpackError> {
        let prepared = self.prepare(tar, limits)?;
        Ok(self.commit(prepared)?)
    }

    /// Writes a layer and publishes it: what `fill` writes is hashed, compressed and unpacked meanwhile.
    pub fn publish<F>(&self, fill: F) -> Result<Published, PublishError>
    where
        F: FnOnce(&mut LayerWriter<'_>) -> Result<(), WriteError> + Send,
    {
        let (reader, writer) = io::pipe().map_err(WriteError::Output)?;
        // Larger than the default of 64 KiB where the limits of this user allow it; only speed depends on it.
        let _ = rustix::pipe::fcntl_setpipe_size(&writer, 1024 * 1024);
        let (prepared, written) = std::thread::scope(|scope| {
            let writing =
                scope.spawn(move || write_layer(&mut BufWriter::with_capacity(256 * 1024, writer), fill));
            // Consumes the reader, so that a writer never waits for an unpacker that has failed.
            let prepared = self.prepare(reader, UnpackLimits::LAYER);
            (prepared, writing.join().unwrap_or(Err(WriteError::Ended)))
        });
        match (prepared, written) {
            (Ok(prepared), Ok(())) => Ok(self.commit(prepared)?),
            // The writer only saw that nobody read any more.
            (Err(error), Err(WriteError::Output(cause))) if cause.kind() == io::ErrorKind::BrokenPipe => {
                Err(error.into())
            }
            (_, Err(error)) => Err(error.into()),
            (Err(error), Ok(())) => Err(error.into()),
        }
    }

    /// Unpacks a tar into `scratch/<id>/tree`, replacing what is there. Everything in it belongs to `owner`, the
    /// root of the tree to root; setuid bits and attributes are dropped, modes become 644 and 755.
    pub fn unpack_scratch(
        &self,
        tar: impl Read,
        id: &str,
        owner: u32,
        limits: UnpackLimits,
    ) -> Result<Unpacked, UnpackError> {
        let work = Work::scratch(&self.paths, id)?;
        let counts = unpack(tar, work.make_tree()?, Profile::Scratch { owner }, limits)?;
        work.keep();
        Ok(Unpacked { entries: counts.entries, bytes: counts.bytes })
    }

    /// Writes a small blob, such as a manifest.
    pub fn write_blob(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = oci::digest_of(bytes);
        let (blob, mut file) = NewBlob::make(&self.paths)?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|e| system("write", blob.path(), e))?;
        self.commit_blob(blob, &file, &digest)?;
        Ok(digest)
    }

    /// A blob of at most `max_bytes`, checked against its digest.
    pub fn read_blob(&self, digest: &Digest, max_bytes: u64) -> Result<Vec<u8>, StoreError> {
        let (hex, path) = (digest.hex(), self.paths.blob(digest));
        let relative = format!("{}/{hex}", &hex[..2]);
        let bytes = read_small(&self.blobs, &relative, &path, max_bytes)?
            .ok_or_else(|| StoreError::Missing { path: path.display().to_string() })?;
        if oci::digest_of(&bytes) != *digest {
            let what = "its content is not what its name says".to_owned();
            return Err(StoreError::Damaged { path: path.display().to_string(), what });
        }
        Ok(bytes)
    }

    /// Removes what killed unpackings left more than `age` ago. No unpacking may take that long.
    pub fn sweep_unfinished(&self, age: Duration) -> Result<(), StoreError> {
        let old = |entry: &DirEntry| {
            let changed = entry.metadata().and_then(|meta| meta.modified()).ok();
            changed.and_then(|time| time.elapsed().ok()).is_some_and(|since| since >= age)
        };
        for entry in entries(&self.paths.layers().join(".new"))?.iter().filter(|entry| old(entry)) {
            std::fs::remove_dir_all(entry.path()).map_err(|e| system("remove", &entry.path(), e))?;
        }
        let unfinished =
            |entry: &DirEntry| entry.file_name().as_encoded_bytes().starts_with(NEW_BLOB.as_bytes());
        for entry in entries(&self.paths.blobs())?.iter().filter(|entry| unfinished(entry) && old(entry)) {
            std::fs::remove_file(entry.path()).map_err(|e| system("remove", &entry.path(), e))?;
        }
        Ok(())
    }

    pub(crate) fn sync_layers(&self) -> Result<(), StoreError> {
        sync(&self.layers, &self.paths.layers())
    }

    pub(crate) fn prepare(&self, tar: impl Read, limits: UnpackLimits) -> Result<Prepared, UnpackError> {
        let work = Work::layer(&self.paths)?;
        let (gzip, input) = peek_gzip(tar).map_err(crate::reader::TarError::Input)?;
        let (new_blob, file) = NewBlob::make(&self.paths)?;
        let failed = |error| system("write", new_blob.path(), error);
        let mut blob = BlobWriter::new(file, !gzip).map_err(failed)?;
        let tee = Tee { input, blob: &mut blob };
        let content: &mut dyn Read = if gzip { &mut decompress(tee) } else { &mut { tee } };
        let mut hashed = Hashed { input: content, hash: Sha256::new() };
        let counts = unpack(&mut hashed, work.make_tree()?, Profile::Layer, limits)?;
        step::passed("a tree is unpacked");
        let diff_id = DiffId(Digest::from_bytes(hashed.hash.finalize().into()));
        let blob = blob.finish().map_err(failed)?;
        step::passed("a blob is written");
        let published = Published {
            diff_id,
            blob_digest: blob.digest,
            blob_bytes: blob.size_bytes,
            tree_bytes: counts.bytes,
            inodes: counts.inodes,
        };
        self.commit_blob(new_blob, &blob.file, &blob.digest)?;
        work.write_meta(&Meta { normaliser: NORMALISER, published: published.clone() })?;
        step::passed("a layer's notes are written");
        Ok(Prepared { work, published })
    }

    fn commit(&self, prepared: Prepared) -> Result<Published, StoreError> {
        self.sync_prepared(&prepared)?;
        let Prepared { work, published } = prepared;
        let path = self.paths.layer(&published.diff_id);
        step::passed("a layer is on disk");
        let name = format!("sha256-{}", published.diff_id.hex());
        match renameat_with(CWD, work.path(), &self.layers, &name, RenameFlags::NOREPLACE) {
            Ok(()) => {
                work.keep();
                step::passed("a layer has its name");
                sync(&self.layers, &path)?;
            }
            // Somebody else published the same layer meanwhile: ours goes.
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(system("publish", &path, errno.into())),
        }
        Ok(published)
    }

    /// A name must not come back with empty files after a power cut. A small tree is written file by file: the whole
    /// file system would mean to wait for what everybody else on this machine is writing.
    fn sync_prepared(&self, prepared: &Prepared) -> Result<(), StoreError> {
        let path = prepared.work.path();
        let synced = if prepared.published.inodes <= SYNC_EACH_INODES {
            open_directory(CWD, path).and_then(|work| sync_each(&work))
        } else {
            syncfs(&self.layers)
        };
        synced.map_err(|errno| system("write to disk", path, errno.into()))
    }

    /// Puts a layer in the place of one of this name; what was there is kept for those who run on it.
    pub(crate) fn replace(&self, diff_id: &DiffId, prepared: Prepared) -> Result<(), StoreError> {
        let path = self.paths.layer(diff_id);
        if !path.exists() {
            return self.commit(prepared).map(drop);
        }
        self.sync_prepared(&prepared)?;
        // The new one goes first to where the old one is kept: were they exchanged in `.new`, a kill would leave there
        // what tools run on, to be swept away under them.
        let aside = self.place_to_keep(diff_id)?;
        std::fs::rename(prepared.work.path(), &aside).map_err(|e| system("set aside", &path, e))?;
        prepared.work.keep();
        step::passed("a new layer lies where old ones are kept");
        renameat_with(CWD, &aside, CWD, &path, RenameFlags::EXCHANGE)
            .map_err(|errno| system("replace", &path, errno.into()))?;
        step::passed("a layer is replaced");
        self.sync_layers()
    }

    pub(crate) fn commit_blob(&self, new: NewBlob, file: &File, digest: &Digest) -> Result<(), StoreError> {
        let (hex, path) = (digest.hex(), self.paths.blob(digest));
        let failed = |errno: Errno| system("keep the blob", &path, errno.into());
        file.set_permissions(Permissions::from_mode(0o644)).map_err(|e| system("keep the blob", &path, e))?;
        match mkdirat(&self.blobs, &hex[..2], Mode::from_raw_mode(0o755)) {
            Ok(()) => sync(&self.blobs, &path)?,
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed(errno)),
        }
        let directory = open_directory(&self.blobs, &hex[..2]).map_err(failed)?;
        match renameat_with(&self.blobs, new.name(), &directory, &hex, RenameFlags::NOREPLACE) {
            Ok(()) => {
                new.keep();
                step::passed("a blob has its name");
                sync(&directory, &path)
            }
            // The same bytes are there already. Ours take their place: a new time tells whoever removes blobs that
            // nothing names that this one is about to be named, and a damaged one is mended.
            Err(Errno::EXIST) => {
                file.sync_all().map_err(|e| system("write to disk", &path, e))?;
                renameat_with(&self.blobs, new.name(), &directory, &hex, RenameFlags::empty())
                    .map_err(failed)?;
                new.keep();
                step::passed("a blob has taken another's name");
                sync(&directory, &path)
            }
            Err(errno) => Err(failed(errno)),
        }
    }
}

/// The entries of a directory, none when it is not there.
pub(crate) fn entries(path: &Path) -> Result<Vec<DirEntry>, StoreError> {
    match std::fs::read_dir(path) {
        Ok(entries) => entries.collect::<Result<_, _>>().map_err(|e| system("list", path, e)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(system("list", path, error)),
    }
}

fn open_or_make(path: &Path) -> Result<OwnedFd, StoreError> {
    if !path.exists() {
        DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(|e| system("make", path, e))?;
    }
    open_directory(CWD, path).map_err(|errno| system("open", path, errno.into()))
}

fn open_directory(at: impl rustix::fd::AsFd, path: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    openat(at, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn read_small(
    at: &OwnedFd,
    relative: &str,
    path: &Path,
    max_bytes: u64,
) -> Result<Option<Vec<u8>>, StoreError> {
    let handle =
        match openat(at, relative, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
            Ok(handle) => handle,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(system("open", path, errno.into())),
        };
    let mut bytes = Vec::new();
    File::from(handle).take(max_bytes + 1).read_to_end(&mut bytes).map_err(|e| system("read", path, e))?;
    if bytes.len() as u64 > max_bytes {
        let what = format!("it is larger than {max_bytes} bytes");
        return Err(StoreError::Damaged { path: path.display().to_string(), what });
    }
    Ok(Some(bytes))
}

/// Writes every file and directory beneath a directory to disk, then the directory itself.
fn sync_each(directory: &OwnedFd) -> Result<(), Errno> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => sync_each(&open_directory(directory, name)?)?,
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                fsync(openat(directory, name, flags, Mode::empty())?)?;
            }
            // Links and pipes are their directory's entries and nothing else.
            _ => {}
        }
    }
    fsync(directory)
}

fn sync(directory: &OwnedFd, path: &Path) -> Result<(), StoreError> {
    fsync(directory).map_err(|errno| system("write to disk", path, errno.into()))
}

pub(crate) fn system(action: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::System { action, path: path.display().to_string(), source }
}
