//! The images that everything stands on: the run image below every release, the build image and the builder layer
//! below every build. They are made from Debian packages (stacks/) and published into the layer store once.

use lifecycle::export::BaseImage;
use model::DiffId;
use serde::{Deserialize, Serialize};

/// What is published; kept as one file beside the store so that a start reads it in no time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// Below every release.
    pub run: BaseImage,
    /// Layers of the build image, bottom first.
    pub build_layers: Vec<DiffId>,
    /// Lifecycle, launcher, buildpacks and their order.
    pub builder: DiffId,
}
