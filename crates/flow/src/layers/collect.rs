//! Layers that nobody needs: marked in the store if unused, renamed into the trash, forgotten, removed. A kill between
//! any two of these is made good by the next round.

use crate::{Line, line::StationError};
use ::layers::{Answer, Order, Published, Store as Trees};
use model::{DiffId, RunId, Timestamp};
use std::{collections::HashSet, fs, os::unix::fs::MetadataExt, time::Duration};
use store::Layer;

/// Layers that lose their names together. Builds that end wait meanwhile.
const BATCH: u32 = 25;
/// While there are runs, a layer without a row belongs to one that writes it soon, or to one that was killed: no build
/// takes longer.
const ORPHANED_AFTER: Duration = Duration::from_hours(2);

pub(super) async fn collect(line: &Line) -> Result<(), StationError> {
    release_lost_holds(line).await?;
    orphans(line).await?;
    loop {
        let _naming = line.keeping.naming.lock().await;
        let retired = line.store.retire_layers(BATCH).await?;
        if retired.is_empty() {
            break;
        }
        let layers: Vec<DiffId> = retired.iter().map(|layer| layer.diff_id).collect();
        let gone = trash(line, layers).await?;
        line.store.forget_layers(&gone).await?;
        tracing::info!(layers = gone.len(), "layers that nobody needs were taken away");
        if gone.len() < retired.len() {
            break;
        }
    }
    empty(line).await
}

/// Takes names away; gives the layers that have none any more.
async fn trash(line: &Line, layers: Vec<DiffId>) -> Result<Vec<DiffId>, StationError> {
    match line.runtime.maintain(&Order::Trash { layers }).await? {
        Answer::Trashed { gone, failed } => {
            for why in failed {
                tracing::error!(why, "a layer that nobody needs cannot be removed");
            }
            Ok(gone)
        }
        other => Err(StationError::Inconsistent(format!("a worker answered {other:?}"))),
    }
}

/// Layers on disk that no row knows. They get one, and then nobody needs them: so their blobs go the same way as others.
async fn orphans(line: &Line) -> Result<(), StationError> {
    // Only builds publish layers whose rows come later.
    let age = if line.store.open_runs().await?.is_empty() { Duration::ZERO } else { ORPHANED_AFTER };
    let paths = line.paths.clone();
    let old = tokio::task::spawn_blocking(move || old_layers(&paths, age)).await;
    let old = old.map_err(|error| StationError::Inconsistent(error.to_string()))?;
    let trees = Trees::open(&line.paths)?;
    for layers in old.chunks(BATCH as usize) {
        let naming = line.keeping.naming.lock().await;
        let mut nameless = Vec::new();
        for diff_id in line.store.unknown_layers(layers).await? {
            tracing::info!(layer = %diff_id, "a layer of a build that was killed is taken away");
            match trees.published(&diff_id) {
                Ok(Some(layer)) => line.store.add_layer(&row(&layer)).await?,
                // Nothing tells which blob was its own.
                Ok(None) | Err(_) => nameless.push(diff_id),
            }
        }
        if !nameless.is_empty() {
            trash(line, nameless).await?;
        }
        drop(naming);
    }
    Ok(())
}

fn row(layer: &Published) -> Layer {
    Layer {
        diff_id: layer.diff_id,
        blob: layer.blob_digest,
        blob_bytes: layer.blob_bytes,
        tree_bytes: layer.tree_bytes,
    }
}

/// Those that have had their names for so long.
fn old_layers(paths: &model::Paths, age: Duration) -> Vec<DiffId> {
    let now = Timestamp::now();
    let entries = fs::read_dir(paths.layers()).into_iter().flatten().flatten();
    let old = entries.filter_map(|entry| {
        let name = entry.file_name();
        let diff_id = format!("sha256:{}", name.to_str()?.strip_prefix("sha256-")?).parse().ok()?;
        let named_at = Timestamp(entry.metadata().ok()?.ctime().saturating_mul(1_000_000));
        (now.since(named_at) >= age).then_some(diff_id)
    });
    old.collect()
}

/// The trash, and directories that were replaced while tools ran on them, once none of those does.
async fn empty(line: &Line) -> Result<(), StationError> {
    let trees = Trees::open(&line.paths)?;
    let mut unused = Vec::new();
    let mut used = line.keeping.replaced.lock().await;
    let replaced = trees.replaced()?;
    used.retain(|name, _| replaced.iter().any(|(other, _)| other == name));
    for (name, diff_id) in replaced {
        let holders = line.store.holders_of(&diff_id).await?;
        // Who held it when it was first seen replaced may run on the old directory; who came later does not.
        let running = |holder: &String| holder.starts_with("sandbox:");
        let first = used
            .entry(name.clone())
            .or_insert_with(|| holders.iter().filter(|holder| running(holder)).cloned().collect());
        first.retain(|holder| holders.contains(holder));
        if first.is_empty() {
            unused.push(name);
        }
    }
    drop(used);
    if trees.trashed()? > 0 || !unused.is_empty() {
        line.runtime.maintain(&Order::Empty { replaced: unused }).await?;
    }
    Ok(())
}

/// Holds of sandboxes that are gone: whoever should have let go was killed in between.
async fn release_lost_holds(line: &Line) -> Result<(), StationError> {
    // In this order: a copy's row is older than its hold, and a run's is, too.
    let holders = line.store.layer_holders().await?;
    let replicas: HashSet<String> =
        line.store.replicas().await?.into_iter().map(|replica| replica.sandbox).collect();
    let sandboxes = line.runtime.list().await?;
    for holder in holders {
        let Some(sandbox) = holder.strip_prefix("sandbox:") else { continue };
        let Some((kind, id)) = sandbox.split_once('-') else { continue };
        let there = sandboxes.iter().any(|row| row.id.as_str() == sandbox);
        let wanted = match (kind, id.parse::<RunId>()) {
            ("web", _) => replicas.contains(sandbox),
            (_, Ok(run)) => line.store.run(run).await.is_ok_and(|run| !run.state.is_final()),
            (_, Err(_)) => true,
        };
        if !there && !wanted {
            tracing::warn!(sandbox, "a sandbox is gone and its layers were still held");
            line.store.release_layers(&holder).await?;
        }
    }
    Ok(())
}
