//! Making good: a directory from its blob, a blob from its directory or from the base image's tar.

use super::pace::Pace;
use crate::{
    gzip::BlobWriter,
    limits::UnpackLimits,
    step,
    store::{NewBlob, Store, StoreError, system},
    writer::{LayerWriter, WriteError, write_layer},
};
use model::{DiffId, Digest};
use std::{
    fs::{self, File},
    io::{self, Write},
};

/// Modes that writers give to symbolic links: what a tree says, and what the links of process types have.
const LINK_MODES: [u32; 2] = [0o777, 0o755];

impl Store {
    /// Takes a damaged blob's name away and keeps its bytes for the operator. One that is not there has none.
    pub(super) fn quarantine(&self, blob: &Digest) -> Result<(), StoreError> {
        let area = self.paths.data.join("blobs/quarantine");
        crate::store::make_parent(&area)?;
        let path = self.paths.blob(blob);
        match fs::rename(&path, area.join(blob.hex())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(system("take away", &path, error)),
            _ => {
                step::passed("a damaged blob's name is taken away");
                Ok(())
            }
        }
    }

    /// Writes a blob anew. False: nothing here gives the same bytes.
    pub(super) fn rewrite_blob(
        &self,
        diff_id: &DiffId,
        blob: &Digest,
        pace: &mut Pace,
    ) -> Result<bool, StoreError> {
        let base = self.paths.data.join("base");
        for entry in crate::store::entries(&base)? {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "tar") {
                continue;
            }
            let mut file = File::open(&path).map_err(|e| system("open", &path, e))?;
            let digest = pace.hash(&mut file).map_err(|e| system("read", &path, e))?;
            if DiffId(digest) == *diff_id {
                io::Seek::rewind(&mut file).map_err(|e| system("read", &path, e))?;
                return self.compress(blob, |output| {
                    io::copy(&mut file, output)?;
                    Ok(())
                });
            }
        }
        let Ok(tree) = self.tree(diff_id) else { return Ok(false) };
        for link_mode in LINK_MODES {
            let fill = |layer: &mut LayerWriter<'_>| layer.whole(&tree, link_mode);
            if crate::writer::diff_id_of(fill).is_ok_and(|written| written == *diff_id) {
                return self.compress(blob, |output| write_layer(output, fill));
            }
        }
        Ok(false)
    }

    /// Compresses what `fill` writes and keeps it if it is this blob.
    fn compress(
        &self,
        blob: &Digest,
        fill: impl FnOnce(&mut dyn Write) -> Result<(), WriteError>,
    ) -> Result<bool, StoreError> {
        let (new, file) = NewBlob::make(&self.paths)?;
        let failed = |source| system("write a blob for", &self.paths.blob(blob), source);
        let mut output = Pushed(BlobWriter::new(file, true).map_err(failed)?);
        let filled = fill(&mut output);
        let written = output.0.finish().map_err(failed)?;
        if filled.is_err() || written.digest != *blob {
            return Ok(false);
        }
        step::passed("a blob is made anew");
        self.commit_blob(new, &written.file, blob)?;
        Ok(true)
    }

    /// Makes a layer's directory anew from its blob and puts it in the place of what is there. Whoever runs on the old
    /// one keeps it until they are started again.
    pub(super) fn rebuild_tree(&self, diff_id: &DiffId, blob: &Digest) -> Result<(), StoreError> {
        let path = self.paths.blob(blob);
        let file = File::open(&path).map_err(|e| system("open", &path, e))?;
        let prepared = self.prepare(file, UnpackLimits::LAYER).map_err(|error| StoreError::Damaged {
            path: path.display().to_string(),
            what: model::sentence::of(&error),
        })?;
        self.replace(diff_id, prepared)
    }
}

struct Pushed(BlobWriter);

impl Write for Pushed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
