//! Brings what lies in `<data>/base` into the layer store: run image, build image, builder layer. Done at every
//! start; what is there already is not read again.

use anyhow::{Context, Result};
use flow::base::Base;
use layers::Published;
use lifecycle::export::{BaseImage, BaseLayer};
use model::{DiffId, Paths};
use runtime::Runtime;
use std::fs::File;
use store::{Layer, Store};

/// Name of the run image in image metadata: what a rebase looks for.
const RUN_IMAGE: &str = "windlass/run:debian-13";

pub(super) async fn ensure(paths: &Paths, runtime: &dyn Runtime, store: &dyn Store) -> Result<Base> {
    let images = runtime.import_base().await.context("cannot bring in the base images")?;
    let trees = layers::Store::open(paths).context("cannot open the layer store")?;
    let mut kept = Vec::new();
    for image in [&images.run, &images.build] {
        for (diff_id, _) in image.layers() {
            kept.push(trees.published(&diff_id)?.with_context(|| format!("layer {diff_id} is gone"))?);
        }
    }
    let builder = paths.data.join("base/builder.tar");
    let file = File::open(&builder).with_context(|| format!("cannot read {}", builder.display()))?;
    let builder = runtime.publish_layer(file.into()).await.context("cannot publish the builder")?;
    kept.push(builder.clone());
    for layer in &kept {
        store.add_layer(&row(layer)).await?;
    }
    let held: Vec<DiffId> = kept.iter().map(|layer| layer.diff_id).collect();
    let holder = format!("base:{}", builder.diff_id.hex());
    store.hold_layers(&holder, &held).await?;
    // Those of an older platform: what was built on them holds what it needs.
    for older in store.layer_holders().await? {
        if older.starts_with("base:") && older != holder {
            store.release_layers(&older).await?;
        }
    }

    let config = serde_json::to_value(&images.run.config)?;
    let run_layers = images.run.layers().map(|(diff_id, blob)| BaseLayer {
        diff_id,
        blob: blob.digest,
        blob_bytes: blob.size,
    });
    Ok(Base {
        run: BaseImage {
            digest: images.run.digest,
            name: RUN_IMAGE.to_owned(),
            config,
            layers: run_layers.collect(),
        },
        build_layers: images.build.layers().map(|(diff_id, _)| diff_id).collect(),
        builder: builder.diff_id,
    })
}

fn row(layer: &Published) -> Layer {
    Layer {
        diff_id: layer.diff_id,
        blob: layer.blob_digest,
        blob_bytes: layer.blob_bytes,
        tree_bytes: layer.tree_bytes,
    }
}
