//! The layer store's ledger on SQLite.

use crate::{
    columns::{plain, text, whole},
    open::Sqlite,
    work::Work,
};
use async_trait::async_trait;
use model::{DiffId, Timestamp};
use sqlx::{query, sqlite::SqliteRow};
use store::{Conflict, Layer, LayerTotals, Layers, StoreError};

pub(crate) fn layer(row: &SqliteRow) -> Result<Layer, StoreError> {
    Ok(Layer {
        diff_id: text(row, "diff_id")?,
        blob: text(row, "blob")?,
        blob_bytes: plain(row, "blob_bytes")?,
        tree_bytes: plain(row, "tree_bytes")?,
    })
}

/// # Errors
/// `LayerMissing` for a layer that is unknown, broken or being removed.
pub(crate) async fn hold(work: &mut Work, holder: &str, layers: &[DiffId]) -> Result<(), StoreError> {
    for diff_id in layers {
        let held = query(
            "INSERT INTO layer_use (holder, diff_id)
             SELECT ?, diff_id FROM layers WHERE diff_id = ? AND retiring = 0 AND broken = 0
             ON CONFLICT (holder, diff_id) DO UPDATE SET until = NULL",
        )
        .bind(holder)
        .bind(diff_id.to_string());
        if work.run(held).await? == 0 {
            return Err(Conflict::LayerMissing(*diff_id).into());
        }
    }
    Ok(())
}

async fn add(work: &mut Work, layer: &Layer) -> Result<(), StoreError> {
    let row = query(
        "INSERT INTO layers (diff_id, blob, blob_bytes, tree_bytes, added_at, checked_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?5)
         ON CONFLICT (diff_id) DO UPDATE SET retiring = 0, broken = 0",
    )
    .bind(layer.diff_id.to_string())
    .bind(layer.blob.to_string())
    .bind(whole(layer.blob_bytes))
    .bind(whole(layer.tree_bytes))
    .bind(Timestamp::now().0);
    work.run(row).await.map(drop)
}

#[async_trait]
impl Layers for Sqlite {
    async fn add_layer(&self, layer: &Layer) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        add(&mut work, layer).await?;
        work.commit().await
    }

    async fn add_layers(&self, layers: &[Layer], holder: &str) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        for layer in layers {
            add(&mut work, layer).await?;
        }
        let diff_ids: Vec<DiffId> = layers.iter().map(|layer| layer.diff_id).collect();
        hold(&mut work, holder, &diff_ids).await?;
        work.commit().await
    }

    async fn layer(&self, diff_id: &DiffId) -> Result<Layer, StoreError> {
        let found = query("SELECT * FROM layers WHERE diff_id = ? AND retiring = 0 AND broken = 0")
            .bind(diff_id.to_string());
        layer(&self.one("layer", found).await?)
    }

    async fn hold_layers(&self, holder: &str, layers: &[DiffId]) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        hold(&mut work, holder, layers).await?;
        work.commit().await
    }

    async fn release_layers(&self, holder: &str) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        work.run(query("DELETE FROM layer_use WHERE holder = ?").bind(holder)).await?;
        work.commit().await
    }

    async fn layer_holders(&self) -> Result<Vec<String>, StoreError> {
        let found = query("SELECT DISTINCT holder FROM layer_use ORDER BY holder");
        self.all(found).await?.iter().map(|row| plain(row, "holder")).collect()
    }

    async fn holders_of(&self, diff_id: &DiffId) -> Result<Vec<String>, StoreError> {
        let found = query("SELECT holder FROM layer_use WHERE diff_id = ? ORDER BY holder");
        let rows = self.all(found.bind(diff_id.to_string())).await?;
        rows.iter().map(|row| plain(row, "holder")).collect()
    }

    async fn retire_layers(&self, limit: u32) -> Result<Vec<Layer>, StoreError> {
        // Looked for beside the writer, which then only judges these few again.
        let unused = query(
            "SELECT diff_id FROM layers
             WHERE NOT EXISTS (SELECT 1 FROM image_layers WHERE image_layers.diff_id = layers.diff_id)
               AND NOT EXISTS (SELECT 1 FROM layer_use WHERE layer_use.diff_id = layers.diff_id)
             ORDER BY added_at LIMIT ?",
        );
        let unused = self.all(unused.bind(limit)).await?;
        let mut retired = Vec::new();
        if unused.is_empty() {
            return Ok(retired);
        }
        let mut work = self.write().await?;
        for row in &unused {
            let diff_id: String = plain(row, "diff_id")?;
            let retire = query(
                "UPDATE layers SET retiring = 1 WHERE diff_id = ?1
                   AND NOT EXISTS (SELECT 1 FROM image_layers WHERE diff_id = ?1)
                   AND NOT EXISTS (SELECT 1 FROM layer_use WHERE diff_id = ?1)
                 RETURNING *",
            );
            retired.extend(work.first(retire.bind(&diff_id)).await?.as_ref().map(layer).transpose()?);
        }
        work.commit().await?;
        Ok(retired)
    }

    async fn forget_layers(&self, layers: &[DiffId]) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        for diff_id in layers {
            let forget = query("DELETE FROM layers WHERE diff_id = ? AND retiring = 1");
            work.run(forget.bind(diff_id.to_string())).await?;
        }
        work.commit().await
    }

    async fn unknown_layers(&self, layers: &[DiffId]) -> Result<Vec<DiffId>, StoreError> {
        let mut unknown = Vec::new();
        for diff_id in layers {
            let found = query("SELECT 1 FROM layers WHERE diff_id = ?").bind(diff_id.to_string());
            if self.first(found).await?.is_none() {
                unknown.push(*diff_id);
            }
        }
        Ok(unknown)
    }

    async fn layer_totals(&self) -> Result<LayerTotals, StoreError> {
        let found = query(
            "SELECT count(*) AS layers, coalesce(sum(tree_bytes), 0) AS tree_bytes,
                    coalesce(sum(blob_bytes), 0) AS blob_bytes FROM layers",
        );
        let row = self.one("layer", found).await?;
        Ok(LayerTotals {
            layers: plain(&row, "layers")?,
            tree_bytes: plain(&row, "tree_bytes")?,
            blob_bytes: plain(&row, "blob_bytes")?,
        })
    }
}
