//! Answers HTTP for the router, on a listener that the starter keeps: who connects while serve restarts waits in it.

use anyhow::Result;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{net::UnixListener, sync::watch, task::JoinSet};

/// Takes connections until told to leave, then finishes those that it has. The router sends one request on each.
pub(super) async fn listen(
    listener: UnixListener,
    routes: axum::Router,
    mut leave: watch::Receiver<bool>,
) -> Result<()> {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = tokio::select! {
            _ = leave.wait_for(|leave| *leave) => break,
            accepted = listener.accept() => accepted?,
            // The set keeps the outcome of every connection until somebody asks.
            _ = connections.join_next(), if !connections.is_empty() => continue,
        };
        let service = TowerToHyperService::new(routes.clone());
        connections.spawn(async move {
            let connection = Builder::new(TokioExecutor::new());
            let served = connection.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
            if let Err(error) = served {
                tracing::debug!(%error, "a connection ended badly");
            }
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}
