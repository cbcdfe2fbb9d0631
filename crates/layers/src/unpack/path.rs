//! Names in a tar of a stranger: what they may be.

use super::{UnpackError, refused};

/// Linux: one name of a path (`NAME_MAX`).
const MAX_NAME_BYTES: usize = 255;
/// Below Linux's 4096 (`PATH_MAX`), so that the path still fits below a mount point.
const MAX_PATH_BYTES: usize = 3800;
/// Deep enough for any real tree; removing it again takes one descriptor a level.
const MAX_DEPTH: usize = 256;

/// The names of a path, without empty ones and `.`. Absolute paths mean the root of the tree.
pub(crate) fn parts(path: &[u8]) -> Result<Vec<&[u8]>, UnpackError> {
    let parts: Vec<&[u8]> =
        path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    if path.is_empty() {
        return Err(refused(path, "is an empty name"));
    }
    if path.contains(&0) {
        return Err(refused(path, "holds a NUL byte"));
    }
    if parts.contains(&b"..".as_slice()) {
        return Err(refused(path, "holds `..`, which may lead out of the tree"));
    }
    if parts.iter().any(|part| part.len() > MAX_NAME_BYTES) {
        return Err(refused(path, "holds a name of more than 255 bytes"));
    }
    if path.len() > MAX_PATH_BYTES {
        return Err(refused(path, "is longer than 3800 bytes"));
    }
    if parts.len() > MAX_DEPTH {
        return Err(refused(path, "lies more than 256 directories deep"));
    }
    Ok(parts)
}
