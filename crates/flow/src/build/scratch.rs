//! The two trees on top of a build's layers: the commit's files, and the small files that the platform hands over.

use crate::{Line, line::StationError};
use lifecycle::{export::Previous, restore};
use model::Problem;
use runtime::{RuntimeError, ScratchLimits, machine::bytes_as_file};
use rustix::pipe::{PipeFlags, pipe_with};
use sandbox::request::SandboxId;
use std::{collections::BTreeSet, io};
use store::Run;

use super::USER_ID;

/// `git archive` straight into the unpack worker: serve never reads a tenant's bytes.
pub(crate) async fn source(line: &Line, run: &Run, id: &SandboxId) -> Result<(), StationError> {
    line.runtime.remove_scratch(id).await?;
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(io::Error::from)?;
    let limits = ScratchLimits { max_bytes: line.settings.max_source_bytes, max_entries: 200_000 };
    let archive = line.repositories.archive(run.tool, &run.commit, write).await?;
    let unpacked = line.runtime.fill_scratch(id, USER_ID, limits, read).await;
    let status = archive.status().await.map_err(git::repository::GitError::from)?;
    match unpacked {
        // 141: git could not write on, since the unpacker had seen enough.
        Err(RuntimeError::Worker { text, status: unpack, .. })
            if matches!(status, 0 | 141) && unpack != i32::from(layers::worker::FAULT_STATUS) =>
        {
            let problem = Problem::new("build-source", 422, "the commit's files cannot be unpacked", text);
            Err(StationError::tool(problem.hint("Fix or remove that file, commit, and push again.")))
        }
        Err(other) => Err(other.into()),
        Ok(()) if status != 0 => {
            Err(StationError::Inconsistent(format!("git archive ended with status {status}")))
        }
        Ok(()) => Ok(()),
    }
}

/// A small file: path, permission bits, bytes.
pub(crate) type SmallFile = (String, u32, Vec<u8>);

/// Variables as files of a directory of `/platform`.
pub(crate) fn variables(directory: &str, pairs: &[(String, String)]) -> Vec<SmallFile> {
    let file = |(name, value): &(String, String)| {
        (format!("/platform/{directory}/{name}"), 0o644, value.clone().into_bytes())
    };
    pairs.iter().map(file).collect()
}

/// Layer metadata of the build before, what the platform hands over, and the directories that the build user writes to.
pub(crate) async fn auxiliary(
    line: &Line,
    id: &SandboxId,
    previous: Option<&Previous>,
    more: Vec<SmallFile>,
) -> Result<(), StationError> {
    line.runtime.remove_scratch(id).await?;
    let mut files: Vec<SmallFile> = previous
        .map(restore::scratch_files)
        .unwrap_or_default()
        .into_iter()
        .map(|file| (file.path, file.mode, file.bytes))
        .collect();
    files.extend(more);
    let tar = tar_of(&files)?;
    let limits = ScratchLimits { max_bytes: 64 * 1024 * 1024, max_entries: 10_000 };
    line.runtime.fill_scratch(id, USER_ID, limits, bytes_as_file(&tar)?).await?;
    Ok(())
}

/// A tar of these files with all their parent directories, and of those that are always there.
fn tar_of(files: &[SmallFile]) -> io::Result<Vec<u8>> {
    let mut directories: BTreeSet<String> =
        ["layers", "platform", "platform/env", "workspace"].map(str::to_owned).into();
    for (path, ..) in files {
        let mut parent = path.trim_start_matches('/');
        while let Some((above, _)) = parent.rsplit_once('/') {
            directories.insert(above.to_owned());
            parent = above;
        }
    }
    let mut tar = tar::Builder::new(Vec::new());
    for directory in &directories {
        let mut header = header(tar::EntryType::Directory, 0o755, 0);
        tar.append_data(&mut header, format!("{directory}/"), io::empty())?;
    }
    for (path, mode, bytes) in files {
        let mut header = header(tar::EntryType::Regular, *mode, bytes.len() as u64);
        tar.append_data(&mut header, path.trim_start_matches('/'), bytes.as_slice())?;
    }
    tar.into_inner()
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_comes_after_its_directories() {
        let tar = tar_of(&[("/layers/example_pip/packages.toml".into(), 0o644, b"x".to_vec())]).unwrap();
        let mut archive = tar::Archive::new(tar.as_slice());
        let names: Vec<String> =
            archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().display().to_string()).collect();
        assert_eq!(
            names,
            [
                "layers/",
                "layers/example_pip/",
                "platform/",
                "platform/env/",
                "workspace/",
                "layers/example_pip/packages.toml"
            ]
        );
    }
}
