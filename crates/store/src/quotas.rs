//! How much of the platform's storage each tool uses, and how much it may.
//!
//! Counted are the distinct bytes of a tool: layers of its images and what its builds keep for the next one (the blob
//! and the directory of each), what its members pushed, and unfinished uploads. The base images' layers cost nobody
//! anything. Two tools that share a layer pay for it both, as neither can know when the other lets go.

use crate::StoreError;
use async_trait::async_trait;
use model::{Actor, ToolId};
use std::fmt;

/// A tool's storage, in bytes. What two kinds share counts for the first of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Layers of images that builds made.
    pub images_bytes: u64,
    /// Layers that the next build starts from.
    pub caches_bytes: u64,
    /// Blobs and manifests in `<tool>/import/…`.
    pub pushed_bytes: u64,
    /// Uploads that are not finished.
    pub uploads_bytes: u64,
    /// What all of it may come to.
    pub limit_bytes: u64,
}

impl Usage {
    pub fn used_bytes(&self) -> u64 {
        self.images_bytes + self.caches_bytes + self.pushed_bytes + self.uploads_bytes
    }
}

/// `2.1 GiB of 10.0 GiB: images 1.2 GiB, build caches 0.4 GiB, pushed images 0.5 GiB`
impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", size(self.used_bytes()), size(self.limit_bytes))?;
        let kinds = [
            ("images", self.images_bytes),
            ("build caches", self.caches_bytes),
            ("pushed images", self.pushed_bytes),
            ("unfinished uploads", self.uploads_bytes),
        ];
        let kinds = kinds.iter().filter(|(_, bytes)| *bytes > 0);
        for (number, (kind, bytes)) in kinds.enumerate() {
            write!(f, "{} {kind} {}", if number == 0 { ":" } else { "," }, size(*bytes))?;
        }
        Ok(())
    }
}

/// For people: `1.5 GiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut tenths = bytes.saturating_mul(10) / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[async_trait]
pub trait Quotas: Send + Sync {
    /// What tools without a quota of their own may use; set at every start.
    async fn set_default_quota(&self, bytes: u64) -> Result<(), StoreError>;

    /// A tool's own quota; `None`: the platform's.
    ///
    /// # Errors
    /// `NotFound("tool")`.
    async fn set_quota(&self, tool: ToolId, bytes: Option<u64>, by: &Actor) -> Result<(), StoreError>;

    /// # Errors
    /// `NotFound("tool")`.
    async fn usage(&self, tool: ToolId) -> Result<Usage, StoreError>;

    /// Whether so many bytes more would fit.
    ///
    /// # Errors
    /// `QuotaExceeded`, `NotFound("tool")`.
    async fn check_quota(&self, tool: ToolId, more_bytes: u64) -> Result<(), StoreError>;

    /// Counts everything anew: the sum of what a tool needs, each thing once, which [`Quotas::usage`] must agree with.
    async fn count_anew(&self, tool: ToolId) -> Result<u64, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_told_by_what_takes_it() {
        let mut usage = Usage { limit_bytes: 10 << 30, ..Usage::default() };
        assert_eq!(usage.to_string(), "0 bytes of 10.0 GiB");
        usage.images_bytes = 3 << 29;
        usage.pushed_bytes = 700;
        assert_eq!(usage.to_string(), "1.5 GiB of 10.0 GiB: images 1.5 GiB, pushed images 700 bytes");
    }
}
