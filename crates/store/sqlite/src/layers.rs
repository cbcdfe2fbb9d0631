//! The layer store's ledger on SQLite.

use crate::{
    columns::{plain, text, whole},
    open::Sqlite,
    work::Work,
};
use async_trait::async_trait;
use model::{DiffId, Timestamp};
use sqlx::{query, sqlite::SqliteRow};
use store::{Conflict, Layer, Layers, StoreError};

fn layer(row: &SqliteRow) -> Result<Layer, StoreError> {
    Ok(Layer {
        diff_id: text(row, "diff_id")?,
        blob: text(row, "blob")?,
        blob_bytes: plain(row, "blob_bytes")?,
        tree_bytes: plain(row, "tree_bytes")?,
    })
}

/// # Errors
/// `LayerMissing` for a layer that is unknown or being removed.
pub(crate) async fn hold(
    work: &mut Work,
    holder: &str,
    layers: &[DiffId],
    until: Option<Timestamp>,
) -> Result<(), StoreError> {
    for diff_id in layers {
        let held = query(
            "INSERT INTO layer_use (holder, diff_id, until)
             SELECT ?, diff_id, ? FROM layers WHERE diff_id = ? AND retiring = 0
             ON CONFLICT (holder, diff_id) DO UPDATE SET until = excluded.until",
        )
        .bind(holder)
        .bind(until.map(|until| until.0))
        .bind(diff_id.to_string());
        if work.run(held).await? == 0 {
            return Err(Conflict::LayerMissing(*diff_id).into());
        }
    }
    Ok(())
}

#[async_trait]
impl Layers for Sqlite {
    async fn add_layer(&self, layer: &Layer) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        let row = query(
            "INSERT INTO layers (diff_id, blob, blob_bytes, tree_bytes, added_at) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (diff_id) DO UPDATE SET retiring = 0",
        )
        .bind(layer.diff_id.to_string())
        .bind(layer.blob.to_string())
        .bind(whole(layer.blob_bytes))
        .bind(whole(layer.tree_bytes))
        .bind(Timestamp::now().0);
        work.run(row).await?;
        work.commit().await
    }

    async fn layer(&self, diff_id: &DiffId) -> Result<Layer, StoreError> {
        let found =
            query("SELECT * FROM layers WHERE diff_id = ? AND retiring = 0").bind(diff_id.to_string());
        layer(&self.one("layer", found).await?)
    }

    async fn hold_layers(
        &self,
        holder: &str,
        layers: &[DiffId],
        until: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        hold(&mut work, holder, layers, until).await?;
        work.commit().await
    }

    async fn release_layers(&self, holder: &str) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        work.run(query("DELETE FROM layer_use WHERE holder = ?").bind(holder)).await?;
        work.commit().await
    }

    async fn layer_holders(&self, now: Timestamp) -> Result<Vec<String>, StoreError> {
        let found =
            query("SELECT DISTINCT holder FROM layer_use WHERE until IS NULL OR until > ? ORDER BY holder");
        self.all(found.bind(now.0)).await?.iter().map(|row| plain(row, "holder")).collect()
    }

    async fn retire_layers(&self, now: Timestamp, limit: u32) -> Result<Vec<Layer>, StoreError> {
        let mut work = self.write().await?;
        work.run(query("DELETE FROM layer_use WHERE until <= ?").bind(now.0)).await?;
        let retire = query(
            "UPDATE layers SET retiring = 1 WHERE diff_id IN (
                 SELECT diff_id FROM layers
                 WHERE diff_id NOT IN (SELECT diff_id FROM image_layers)
                   AND diff_id NOT IN (SELECT diff_id FROM layer_use)
                 ORDER BY added_at LIMIT ?)
             RETURNING *",
        )
        .bind(limit);
        let retired = work.all(retire).await?.iter().map(layer).collect::<Result<_, _>>()?;
        work.commit().await?;
        Ok(retired)
    }

    async fn forget_layer(&self, diff_id: &DiffId) -> Result<(), StoreError> {
        let mut work = self.write().await?;
        let forget = query("DELETE FROM layers WHERE diff_id = ? AND retiring = 1").bind(diff_id.to_string());
        work.run(forget).await?;
        work.commit().await
    }
}
