//! Images and what builds remember, on SQLite.

use crate::{
    columns::{json, plain, text, time, to_json, whole},
    layers::hold,
    open::Sqlite,
    work::Work,
};
use async_trait::async_trait;
use model::{DiffId, Digest, Timestamp, ToolId};
use sqlx::{query, sqlite::SqliteRow};
use store::{BuildMemory, Conflict, Image, ImageLayer, Images, StoreError};

/// Who holds the layers that only the next build of this ref needs.
pub(crate) fn cache_holder(tool: ToolId, ref_name: &str) -> String {
    format!("build:{tool}:{ref_name}")
}

fn layer(row: &SqliteRow) -> Result<ImageLayer, StoreError> {
    Ok(ImageLayer {
        diff_id: text(row, "diff_id")?,
        blob: text(row, "blob")?,
        size_bytes: plain(row, "size_bytes")?,
    })
}

async fn insert_layer(
    work: &mut Work,
    image: &Image,
    position: i64,
    layer: &ImageLayer,
) -> Result<(), StoreError> {
    let stored =
        query("SELECT 1 FROM layers WHERE diff_id = ? AND retiring = 0").bind(layer.diff_id.to_string());
    work.first(stored).await?.ok_or(Conflict::LayerMissing(layer.diff_id))?;
    let row = query(
        "INSERT INTO image_layers (tool, digest, position, diff_id, blob, size_bytes) VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(image.tool.to_string())
    .bind(image.digest.to_string())
    .bind(position)
    .bind(layer.diff_id.to_string())
    .bind(layer.blob.to_string())
    .bind(whole(layer.size_bytes));
    work.run(row).await.map(drop)
}

#[async_trait]
impl Images for Sqlite {
    async fn put_image(&self, image: &Image) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        work.need_tool(image.tool).await?;
        work.one("run", query("SELECT 1 FROM runs WHERE id = ?").bind(image.run.to_string())).await?;
        let row = query(
            "INSERT INTO images (tool, digest, run, config, created_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(image.tool.to_string())
        .bind(image.digest.to_string())
        .bind(image.run.to_string())
        .bind(image.config.to_string())
        .bind(image.created_at.0);
        if work.run(row).await? > 0 {
            for (position, layer) in (0..).zip(&image.layers) {
                insert_layer(&mut work, image, position, layer).await?;
            }
        }
        work.commit().await
    }

    async fn image(&self, tool: ToolId, digest: &Digest) -> Result<Image, StoreError> {
        let found = query("SELECT * FROM images WHERE tool = ? AND digest = ?");
        let row = self.one("image", found.bind(tool.to_string()).bind(digest.to_string())).await?;
        // Two reads are one: an image's layers never change.
        let layers = query("SELECT * FROM image_layers WHERE tool = ? AND digest = ? ORDER BY position");
        let layers = self.all(layers.bind(tool.to_string()).bind(digest.to_string())).await?;
        Ok(Image {
            digest: *digest,
            tool,
            run: text(&row, "run")?,
            config: text(&row, "config")?,
            layers: layers.iter().map(layer).collect::<Result<_, _>>()?,
            created_at: time(&row, "created_at")?,
        })
    }

    async fn remember_build(
        &self,
        tool: ToolId,
        ref_name: &str,
        build: &BuildMemory,
        cache_layers: &[DiffId],
    ) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        let image = query("SELECT 1 FROM images WHERE tool = ? AND digest = ?");
        work.one("image", image.bind(tool.to_string()).bind(build.image.to_string())).await?;
        let row = query(
            "INSERT INTO builds (tool, ref_name, image, metadata, at) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (tool, ref_name) DO UPDATE SET
                 image = excluded.image, metadata = excluded.metadata, at = excluded.at",
        )
        .bind(tool.to_string())
        .bind(ref_name)
        .bind(build.image.to_string())
        .bind(to_json(&build.metadata)?)
        .bind(Timestamp::now().0);
        work.run(row).await?;
        let holder = cache_holder(tool, ref_name);
        work.run(query("DELETE FROM layer_use WHERE holder = ?").bind(&holder)).await?;
        hold(&mut work, &holder, cache_layers, None).await?;
        work.commit().await
    }

    async fn last_build(&self, tool: ToolId, ref_name: &str) -> Result<Option<BuildMemory>, StoreError> {
        let found = query(
            "SELECT image, metadata FROM builds WHERE tool = ? ORDER BY ref_name = ? DESC, at DESC LIMIT 1",
        )
        .bind(tool.to_string())
        .bind(ref_name);
        let Some(row) = self.first(found).await? else { return Ok(None) };
        Ok(Some(BuildMemory { image: text(&row, "image")?, metadata: json(&row, "metadata")? }))
    }
}
