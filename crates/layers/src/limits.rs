//! How much one tar may hold.

/// Limits of one unpacking: what goes past is refused, and nothing of it stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnpackLimits {
    /// Entries of the tar, directories and links included.
    pub max_entries: u64,
    /// Bytes of all regular files together.
    pub max_bytes: u64,
}

impl UnpackLimits {
    /// A layer of an image: far above any base image, far below what fills a disk unseen.
    pub const LAYER: Self = Self { max_entries: 1_000_000, max_bytes: 16 * 1024 * 1024 * 1024 };
}
