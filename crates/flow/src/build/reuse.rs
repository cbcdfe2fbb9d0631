//! A build that need not be made: the last one of its branch had the same source, plan, images and settings.

use super::{Names, keep, report_of};
use crate::{Line, line::StationError, step_log::StepLog};
use model::{Digest, run::StepKind};
use pipeline::Plan;
use serde_json::{Value, json};
use store::{Conflict, Run, StoreError};

/// Of everything that decides what a build makes. `None`: planned by an older version of this program.
pub(crate) fn recipe(line: &Line, plan: &Plan, planned: &Value) -> Result<Option<Digest>, StationError> {
    let Some(source) = planned["source"].as_str() else { return Ok(None) };
    let all = json!({
        "source": source,
        "plan": plan,
        "base": line.base,
        "limits": line.settings.build_limits,
        "egress": line.settings.egress,
        "ca_bundle": line.settings.ca_bundle,
        "version": env!("CARGO_PKG_VERSION"),
    });
    let bytes = oci::canonical_json(&all).map_err(|error| {
        StationError::Inconsistent(format!("what a build is made of cannot be written: {error}"))
    })?;
    Ok(Some(oci::digest_of(&bytes)))
}

/// Whether these outputs of a build step are those of an earlier build.
pub(crate) fn is_reused(outputs: &Value) -> bool {
    outputs["same_as"].is_u64()
}

/// The outputs of the last build, now those of this run too; `None` when it must be built.
pub(super) async fn made_already(
    line: &Line,
    run: &Run,
    names: &Names,
    recipe: Option<&Digest>,
    log: &mut StepLog,
) -> Result<Option<Value>, StationError> {
    let Some(recipe) = recipe else { return Ok(None) };
    if asked_for(line, run).await? {
        return Ok(None);
    }
    let Some(memory) = line.store.last_build(run.tool, &run.ref_name).await? else { return Ok(None) };
    let image = match line.store.image(run.tool, &memory.image).await {
        Err(StoreError::NotFound(_)) => return Ok(None),
        image => image?,
    };
    let Some(built) = line.store.outputs(image.run).await?.remove(&StepKind::Build) else { return Ok(None) };
    if built["recipe"] != json!(recipe) {
        return Ok(None);
    }
    let number = match built["same_as"].as_u64() {
        Some(number) => number,
        None => line.store.run(image.run).await?.number,
    };
    let mut report = report_of(&built)?;
    report.new_bytes = 0;
    report.layers.iter_mut().for_each(|layer| layer.reused = true);
    report.cache_layers.iter_mut().for_each(|layer| layer.reused = true);

    let cached = report.cache_layers.iter().map(|layer| layer.diff_id);
    let layers: Vec<_> = image.layers.iter().map(|layer| layer.diff_id).chain(cached).collect();
    let kept = async {
        line.store.hold_layers(&names.holder, &layers).await?;
        keep(line, run, &report, log).await
    };
    let kept = kept.await;
    line.store.release_layers(&names.holder).await?;
    match kept {
        // A layer was damaged or collected: it is built anew.
        Err(StationError::Store(
            StoreError::Conflict(Conflict::LayerMissing(_)) | StoreError::NotFound(_),
        )) => {
            return Ok(None);
        }
        kept => kept?,
    }
    // From here on the image is named, and what is there stays.
    if [&report.digest, &report.config].into_iter().any(|blob| !line.paths.blob(blob).exists()) {
        return Ok(None);
    }
    let text = format!("the same source as run {number}: its image is used again");
    log.say(&text);
    Ok(Some(json!({
        "line": text, "image": report.digest, "report": report, "recipe": recipe, "same_as": number
    })))
}

/// Whether somebody asked that this very commit be built once more: `windlass runs retry`, or a push to
/// `refs/run/<branch>` of what the branch names already.
pub(crate) async fn asked_for(line: &Line, run: &Run) -> Result<bool, StationError> {
    let of_push = line.store.runs_of_push(run.push).await?;
    let retried = of_push.iter().any(|other| other.number < run.number && other.ref_name == run.ref_name);
    Ok(retried || run.old.as_ref() == Some(&run.commit))
}
