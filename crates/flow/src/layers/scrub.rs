//! Everything that is stored is looked at now and then, slowly, and whenever an operator asks: layers with their blobs
//! first, then the other blobs. A pass goes on after a restart where it was.

use crate::{Line, line::StationError};
use ::layers::{Answer, Checked, Order, Outcome};
use model::{Digest, Timestamp};
use std::{fs, time::Duration};
use store::{Damage, DamageOutcome, Layer, Scrub, StoreError};
use tokio::sync::watch;

/// Between two looks whether a pass is wanted.
const PERIOD: Duration = Duration::from_secs(1);
/// Who keeps a layer in the store while it is looked at.
const HOLDER: &str = "scrub";
/// Blobs that one worker looks at: a worker's time is limited.
const BLOBS: usize = 100;
const BLOB_BYTES: u64 = 256 * 1024 * 1024;

/// Looks until told to stop.
pub(super) async fn keep(line: &Line, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stop.changed() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
        let pass = async {
            if let Some(scrub) = wanted(line).await? {
                pass(line, &scrub).await?;
            }
            Ok::<(), StationError>(())
        };
        tokio::select! {
            // What its worker does ends with the connection; the next serve goes on.
            _ = stop.changed() => return,
            ended = pass => if let Err(error) = ended {
                tracing::warn!(chain = model::sentence::of(&error), "a scrub was interrupted; it goes on soon");
                tokio::time::sleep(PERIOD * 10).await;
            }
        }
    }
}

/// The pass under way; a new one when the last began long ago.
async fn wanted(line: &Line) -> Result<Option<Scrub>, StationError> {
    let last = line.store.last_scrub().await?;
    let every = line.settings.storage.scrub_every;
    match last {
        Some(scrub) if scrub.ended_at.is_none() => Ok(Some(scrub)),
        Some(scrub) if Timestamp::now().since(scrub.began_at) < every => Ok(None),
        Some(_) => {
            let number = line.store.begin_scrub(&model::Actor::Platform).await?;
            Ok(Some(line.store.scrub(number).await?))
        }
        None => {
            // A new platform: what it has was just written. Its first pass comes when it is due.
            let number = line.store.begin_scrub(&model::Actor::Platform).await?;
            line.store.end_scrub(number).await?;
            Ok(None)
        }
    }
}

async fn pass(line: &Line, scrub: &Scrub) -> Result<(), StationError> {
    // What this pass held when it was interrupted.
    line.store.release_layers(HOLDER).await?;
    loop {
        let layers = line.store.layers_to_check(scrub.began_at, 1).await?;
        let Some(layer) = layers.first() else { break };
        check_layer(line, scrub, layer).await?;
    }
    check_blobs(line, scrub).await?;
    line.store.end_scrub(scrub.number).await?;
    let scrub = line.store.scrub(scrub.number).await?;
    tracing::info!(
        layers = scrub.layers,
        blobs = scrub.blobs,
        damages = scrub.damages.len(),
        "a scrub has looked at everything"
    );
    Ok(())
}

async fn check_layer(line: &Line, scrub: &Scrub, layer: &Layer) -> Result<(), StationError> {
    match line.store.hold_layers(HOLDER, &[layer.diff_id]).await {
        Ok(()) => {}
        // Taken away this moment.
        Err(StoreError::Conflict(_)) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let order = Order::Mend {
        diff_id: layer.diff_id,
        blob: layer.blob,
        bytes_per_second: line.settings.storage.scrub_bytes_per_second,
    };
    let checked = answered(line, &order).await;
    line.store.release_layers(HOLDER).await?;
    let [checked] = checked?.try_into().map_err(|_| lost("a worker looked at another number of layers"))?;
    let damage = damage(line, layer.diff_id.0, &checked).await?;
    line.store.layer_checked(scrub.number, &layer.diff_id, checked.read_bytes, damage.as_ref()).await?;
    Ok(())
}

async fn check_blobs(line: &Line, scrub: &Scrub) -> Result<(), StationError> {
    let paths = line.paths.clone();
    let blobs = tokio::task::spawn_blocking(move || list_blobs(&paths)).await;
    let blobs = blobs.map_err(|error| lost(&error.to_string()))?;
    let mut rest = blobs.as_slice();
    while !rest.is_empty() {
        let mut bytes = 0;
        let count = rest.iter().take(BLOBS).take_while(|(_, size)| {
            let first = bytes == 0;
            bytes += size;
            first || bytes <= BLOB_BYTES
        });
        let (batch, later) = rest.split_at(count.count().max(1));
        rest = later;
        let mut blobs: Vec<Digest> = batch.iter().map(|(digest, _)| *digest).collect();
        let known = line.store.layer_blobs(&blobs).await?;
        blobs.retain(|blob| !known.contains(blob));
        if blobs.is_empty() {
            continue;
        }
        let bytes_per_second = line.settings.storage.scrub_bytes_per_second;
        let checked = answered(line, &Order::CheckBlobs { blobs: blobs.clone(), bytes_per_second }).await?;
        let (mut damages, mut read_bytes) = (Vec::new(), 0);
        for (blob, checked) in blobs.iter().zip(&checked) {
            read_bytes += checked.read_bytes;
            damages.extend(damage(line, *blob, checked).await?);
        }
        line.store.blobs_checked(scrub.number, checked.len() as u64, read_bytes, &damages).await?;
    }
    Ok(())
}

/// Every blob on disk with its size.
fn list_blobs(paths: &model::Paths) -> Vec<(Digest, u64)> {
    let directories = fs::read_dir(paths.blobs()).into_iter().flatten().flatten();
    let files = directories.flat_map(|entry| fs::read_dir(entry.path()).into_iter().flatten().flatten());
    let blob = |entry: fs::DirEntry| {
        let digest = format!("sha256:{}", entry.file_name().to_str()?).parse().ok()?;
        Some((digest, entry.metadata().ok()?.len()))
    };
    files.filter_map(blob).collect()
}

/// The row of a damage, told to the operator's log with everything that is known.
async fn damage(line: &Line, subject: Digest, checked: &Checked) -> Result<Option<Damage>, StationError> {
    let outcome = match checked.outcome {
        Outcome::Whole => return Ok(None),
        Outcome::Repaired => DamageOutcome::Repaired,
        Outcome::Refused => DamageOutcome::Refused,
    };
    let users = line.store.users_of(&subject).await?;
    let (found, used_by) = (checked.found.join("; "), users.join(", "));
    match outcome {
        DamageOutcome::Repaired => tracing::error!(
            %subject, found, used_by,
            "damage on disk was repaired; copies that run keep the damaged directory until they are restarted"
        ),
        DamageOutcome::Refused => tracing::error!(
            %subject, found, used_by,
            "damage on disk cannot be repaired; nothing is started from it until it is built or pushed again"
        ),
    }
    let found = checked.found.clone();
    Ok(Some(Damage { subject, found, users, outcome, at: Timestamp::now() }))
}

async fn answered(line: &Line, order: &Order) -> Result<Vec<Checked>, StationError> {
    match line.runtime.maintain(order).await? {
        Answer::Checked { checked } => Ok(checked),
        other => Err(lost(&format!("a worker answered {other:?}"))),
    }
}

fn lost(what: &str) -> StationError {
    StationError::Inconsistent(what.to_owned())
}
