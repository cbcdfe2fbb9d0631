//! Images and what builds remember, on SQLite.

use crate::{
    columns::{json, plain, text, time, to_json, whole},
    layers::hold,
    open::Sqlite,
    test_builds::test_holder,
    work::Work,
};
use async_trait::async_trait;
use model::{DiffId, Digest, Timestamp, ToolId};
use sqlx::{query, sqlite::SqliteRow};
use store::{BuildMemory, Conflict, IdleBuild, Image, ImageLayer, Images, StoreError};

/// Who holds the layers that only the next build of this ref needs.
pub(crate) fn cache_holder(tool: ToolId, ref_name: &str) -> String {
    format!("build:{tool}:{ref_name}")
}

/// Of a row of `images`: nobody needs it. A release needs its images while it is kept, and whatever its state while it
/// is current or a copy of it runs.
macro_rules! unused {
    () => {
        "NOT EXISTS (SELECT 1 FROM builds WHERE builds.tool = images.tool AND builds.image = images.digest)
         AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.id = images.run AND runs.ended_at IS NULL)
         AND NOT EXISTS (
             SELECT 1 FROM releases, json_each(releases.processes) AS process
             WHERE releases.tool = images.tool
               AND json_extract(process.value, '$.image') = images.digest
               AND (releases.state IN ('made', 'deployed')
                    OR EXISTS (SELECT 1 FROM environments WHERE environments.tool = releases.tool
                               AND environments.current = releases.number)
                    OR EXISTS (SELECT 1 FROM replicas WHERE replicas.tool = releases.tool
                               AND replicas.release = releases.number)))"
    };
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
    let stored = query("SELECT 1 FROM layers WHERE diff_id = ? AND retiring = 0 AND broken = 0")
        .bind(layer.diff_id.to_string());
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
        let before = work.used_bytes(&image.tool.to_string()).await?;
        let row = query(
            "INSERT INTO images (tool, digest, run, config, created_at) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (tool, digest) DO UPDATE SET run = excluded.run",
        )
        .bind(image.tool.to_string())
        .bind(image.digest.to_string())
        .bind(image.run.to_string())
        .bind(image.config.to_string())
        .bind(image.created_at.0);
        let stored = query("SELECT 1 FROM images WHERE tool = ? AND digest = ?")
            .bind(image.tool.to_string())
            .bind(image.digest.to_string());
        let is_new = work.first(stored).await?.is_none();
        work.run(row).await?;
        if is_new {
            for (position, layer) in (0..).zip(&image.layers) {
                insert_layer(&mut work, image, position, layer).await?;
            }
            self.within_quota(&mut work, &image.tool.to_string(), before).await?;
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
        let before = work.used_bytes(&tool.to_string()).await?;
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
        hold(&mut work, &holder, cache_layers).await?;
        self.within_quota(&mut work, &tool.to_string(), before).await?;
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

    async fn idle_builds(&self) -> Result<Vec<IdleBuild>, StoreError> {
        let found = query(
            "SELECT * FROM (
                 SELECT tool, ref_name, at, 0 AS for_tests FROM builds
                 UNION ALL SELECT tool, ref_name, at, 1 FROM test_builds) AS kept
             WHERE NOT EXISTS (SELECT 1 FROM runs WHERE runs.tool = kept.tool AND runs.ended_at IS NULL)
             ORDER BY at",
        );
        let build = |row: &SqliteRow| {
            Ok(IdleBuild {
                tool: text(row, "tool")?,
                ref_name: plain(row, "ref_name")?,
                at: time(row, "at")?,
                for_tests: plain(row, "for_tests")?,
            })
        };
        self.all(found).await?.iter().map(build).collect()
    }

    async fn forget_build(&self, build: &IdleBuild) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        let (forget, holder) = if build.for_tests {
            let forget = query("DELETE FROM test_builds WHERE tool = ? AND ref_name = ? AND at = ?");
            (forget, test_holder(build.tool, &build.ref_name))
        } else {
            let forget = query("DELETE FROM builds WHERE tool = ? AND ref_name = ? AND at = ?");
            (forget, cache_holder(build.tool, &build.ref_name))
        };
        let forget = forget.bind(build.tool.to_string()).bind(&build.ref_name).bind(build.at.0);
        if work.run(forget).await? > 0 {
            work.run(query("DELETE FROM layer_use WHERE holder = ?").bind(holder)).await?;
        }
        work.commit().await
    }

    async fn drop_images(&self, limit: u32) -> Result<u64, StoreError> {
        // Looked for beside the writer, which then judges each again.
        let unused = query(concat!("SELECT tool, digest FROM images WHERE ", unused!(), " LIMIT ?"));
        let unused = self.all(unused.bind(limit)).await?;
        if unused.is_empty() {
            return Ok(0);
        }
        let mut work = self.write().await?;
        let mut dropped = 0;
        for row in &unused {
            let (tool, digest): (String, String) = (plain(row, "tool")?, plain(row, "digest")?);
            let still = query(concat!("SELECT 1 FROM images WHERE tool = ? AND digest = ? AND ", unused!()));
            if work.first(still.bind(&tool).bind(&digest)).await?.is_none() {
                continue;
            }
            for delete in [
                "DELETE FROM image_layers WHERE tool = ? AND digest = ?",
                "DELETE FROM images WHERE tool = ? AND digest = ?",
            ] {
                work.run(query(delete).bind(&tool).bind(&digest)).await?;
            }
            dropped += 1;
        }
        work.commit().await?;
        Ok(dropped)
    }
}
