//! Which layers lie in the layer store, and who needs them.

use crate::StoreError;
use async_trait::async_trait;
use model::{DiffId, Digest};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    pub diff_id: DiffId,
    /// The gzip blob with the same content.
    pub blob: Digest,
    /// Of that blob.
    pub blob_bytes: u64,
    /// Of the unpacked tree, on disk.
    pub tree_bytes: u64,
}

/// All layers together, those that are being removed included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerTotals {
    pub layers: u64,
    pub tree_bytes: u64,
    /// Of the layers' own blobs.
    pub blob_bytes: u64,
}

#[async_trait]
pub trait Layers: Send + Sync {
    /// After it was published. Adding the same again changes nothing; one that was being removed or broken is back.
    async fn add_layer(&self, layer: &Layer) -> Result<(), StoreError>;

    /// [`add_layer`](Self::add_layer) for all of them, and `holder` holds them from then on: none is retired between.
    async fn add_layers(&self, layers: &[Layer], holder: &str) -> Result<(), StoreError>;

    async fn layer(&self, diff_id: &DiffId) -> Result<Layer, StoreError>;

    /// Before a sandbox is made of them: none of these is removed before they are released. No time ends a hold, since
    /// a clock may be set; who was killed before letting go is found by name. `holder` says who: `sandbox:<id>`,
    /// `base:<name>`, `scrub`.
    ///
    /// # Errors
    /// `LayerMissing`: nothing is held then.
    async fn hold_layers(&self, holder: &str, layers: &[DiffId]) -> Result<(), StoreError>;

    /// Lets go of all that this holder holds.
    async fn release_layers(&self, holder: &str) -> Result<(), StoreError>;

    /// Every holder that holds something.
    async fn layer_holders(&self) -> Result<Vec<String>, StoreError>;

    /// Every holder of this layer.
    async fn holders_of(&self, diff_id: &DiffId) -> Result<Vec<String>, StoreError>;

    /// Marks layers that nobody needs (no image, no hold) as being removed and gives them. From
    /// then on they cannot be held. The caller removes their trees and then [`Layers::forget_layers`] them. Also gives
    /// those that were marked before and are not forgotten yet.
    async fn retire_layers(&self, limit: u32) -> Result<Vec<Layer>, StoreError>;

    /// These retired layers' trees are gone; does nothing to those that were added again meanwhile.
    async fn forget_layers(&self, layers: &[DiffId]) -> Result<(), StoreError>;

    /// Which of these have no row, not even of one that is being removed.
    async fn unknown_layers(&self, layers: &[DiffId]) -> Result<Vec<DiffId>, StoreError>;

    async fn layer_totals(&self) -> Result<LayerTotals, StoreError>;
}
