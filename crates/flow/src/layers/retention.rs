//! What is given up: releases beyond those that are kept, what builds of forgotten branches left, images of neither.

use crate::{Line, line::StationError};
use model::Timestamp;

/// Images dropped in one transaction: others write between two.
const BATCH: u32 = 50;

pub(super) async fn give_up(line: &Line) -> Result<(), StationError> {
    let settings = &line.settings.storage;
    for (tool, number) in line.store.remove_releases(settings.keep_releases).await? {
        tracing::info!(%tool, release = number, "a release is too old to be kept");
    }
    let now = Timestamp::now();
    for build in line.store.idle_builds().await? {
        if now.since(build.at) < settings.keep_builds {
            break;
        }
        tracing::info!(tool = %build.tool, branch = build.ref_name, "a branch was not built for long: its caches go");
        line.store.forget_build(&build).await?;
    }
    while line.store.drop_images(BATCH).await? > 0 {}
    Ok(())
}

/// False when there is none.
pub(super) async fn give_up_oldest_build(line: &Line) -> Result<bool, StationError> {
    let Some(build) = line.store.idle_builds().await?.into_iter().next() else { return Ok(false) };
    tracing::warn!(tool = %build.tool, branch = build.ref_name, "space is short: the caches of this branch go");
    line.store.forget_build(&build).await?;
    while line.store.drop_images(BATCH).await? > 0 {}
    Ok(true)
}
