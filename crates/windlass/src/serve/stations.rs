//! What moves the platform by itself: engine, reconciler, chores. One process at a time does it; while serve is replaced
//! the old one's doors go on without it.

use super::Tasks;
use anyhow::{Context, Result, ensure};
use flow::Line;
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use std::{fs::File, path::Path, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

/// Between two looks whether the serve before has let go.
const LOOK: Duration = Duration::from_millis(20);
/// How long rounds that are under way may take when the next serve waits.
const END_WITHIN: Duration = Duration::from_secs(5);

/// Works from the moment when no other serve does until told to stop, and then lets the next one.
pub(super) async fn work(
    line: Arc<Line>,
    registry: registry::Door,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    let path = line.paths.engine_lock();
    let lock = tokio::select! {
        lock = alone(&path) => lock.with_context(|| format!("cannot lock {}", path.display()))?,
        _ = stop.wait_for(|stop| *stop) => return Ok(()),
    };
    let (mut tasks, told) = (Tasks::new(), stop.clone());
    let (for_engine, engine_stop) = (Arc::clone(&line), stop.clone());
    tasks.spawn(async move {
        flow::engine::drive(for_engine, engine_stop).await.context("the engine ended")?;
        Ok("the engine")
    });
    let (for_chores, chores_stop) = (Arc::clone(&line), stop.clone());
    tasks.spawn(async move {
        let repositories = flow::repositories::keep(Arc::clone(&for_chores), chores_stop.clone());
        tokio::join!(repositories, flow::chores::keep(for_chores, chores_stop));
        Ok("the chores")
    });
    let (for_layers, layers_stop) = (Arc::clone(&line), stop.clone());
    tasks.spawn(async move {
        flow::layers::keep(for_layers, layers_stop).await;
        Ok("the layer store's keeper")
    });
    let registry_stop = stop.clone();
    tasks.spawn(async move {
        registry.keep(registry_stop).await;
        Ok("the registry's chores")
    });
    let reconciler_stop = stop.clone();
    tasks.spawn(async move {
        flow::replicas::keep(line, reconciler_stop).await;
        Ok("the reconciler")
    });
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => {}
        Some(ended) = tasks.join_next() => {
            let name = ended??;
            // All of them end when they are told to, the first one perhaps before this is seen above.
            ensure!(*told.borrow(), "{name} ended by itself");
        }
    }
    let ended = timeout(END_WITHIN, async {
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        anyhow::Ok(())
    });
    let ended = ended.await;
    // A long round of the chores, or one that waits for a helper that is gone: it may break off anywhere.
    tasks.shutdown().await;
    drop(lock);
    ended.unwrap_or(Ok(()))
}

async fn alone(path: &Path) -> Result<File> {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK | Errno::INTR) => sleep(LOOK).await,
            Err(error) => return Err(error.into()),
        }
    }
}
