//! This machine as a runtime: everything goes through the root helper's typed verbs.

use crate::{Runtime, RuntimeError, ScratchLimits};
use async_trait::async_trait;
use lifecycle::export;
use rustix::pipe::{PipeFlags, pipe_with};
use sandbox::{
    client::{Helper, HelperError},
    request::{Ended, SandboxId, SandboxRow, SandboxSpec, Usage, Worker},
};
use std::{
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddr},
    os::fd::OwnedFd,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::pipe,
};

/// Longest answer of a worker in bytes.
const MAX_ANSWER_BYTES: u64 = 8 * 1024 * 1024;
/// How long a restarting helper is waited for before a verb gives up.
const HELPER_PATIENCE: Duration = Duration::from_secs(20);

/// The machine behind one helper socket.
#[derive(Clone)]
pub struct Machine {
    helper: Helper,
}

impl Machine {
    pub fn new(helper: Helper) -> Self {
        Self { helper }
    }

    /// Runs a worker that reads `stdin` and writes one JSON line.
    async fn answer<T: serde::de::DeserializeOwned>(
        &self,
        what: &'static str,
        worker: Worker,
        stdin: OwnedFd,
    ) -> Result<T, RuntimeError> {
        let io = |source| RuntimeError::Io { what, source };
        let (stdout_read, stdout_write) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| io(e.into()))?;
        let (stderr_read, stderr_write) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| io(e.into()))?;
        let running = self.helper.worker(worker, stdin, stdout_write, stderr_write).await.map_err(away)?;
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let stdout = pipe::Receiver::from_owned_fd(stdout_read).map_err(io)?;
        let mut stderr = pipe::Receiver::from_owned_fd(stderr_read).map_err(io)?;
        let read = async {
            // Dropped when too much has come: the worker then cannot write on, and ends.
            let mut limited = stdout.take(MAX_ANSWER_BYTES);
            limited.read_to_end(&mut out).await
        };
        let heard = async {
            let _ = (&mut stderr).take(16 * 1024).read_to_end(&mut err).await;
            let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        };
        let (read, ()) = tokio::join!(read, heard);
        read.map_err(io)?;
        let status = running.status().await.map_err(away)?;
        let said = String::from_utf8_lossy(&err).trim().to_owned();
        if status != 0 {
            let text = if said.is_empty() { format!("it ended with status {status}") } else { said };
            return Err(RuntimeError::Worker { what, status, text });
        }
        if !said.is_empty() {
            tracing::info!(what, said, "a worker said");
        }
        serde_json::from_slice(&out).map_err(|error| RuntimeError::Worker {
            what,
            status,
            text: format!("its answer cannot be read: {error}"),
        })
    }
}

#[async_trait]
impl Runtime for Machine {
    async fn run(&self, spec: &SandboxSpec, log: OwnedFd) -> Result<Option<Ipv4Addr>, RuntimeError> {
        let created = patiently(|| async {
            let log = log.try_clone().map_err(|source| RuntimeError::Io { what: "the log", source })?;
            self.helper.create(spec, log).await.map_err(away)
        })
        .await?;
        patiently(|| async { self.helper.start(&spec.id).await.map_err(away) }).await?;
        Ok(created.address)
    }

    async fn ended(&self, id: &SandboxId) -> Result<Ended, RuntimeError> {
        loop {
            match self.helper.wait(id).await.map_err(away) {
                // The helper is restarted by its starter; the sandbox lives on in its shim.
                Err(RuntimeError::Away(_)) => tokio::time::sleep(Duration::from_millis(200)).await,
                other => return other,
            }
        }
    }

    async fn end(&self, id: &SandboxId, grace: Duration) -> Result<Ended, RuntimeError> {
        patiently(|| async { self.helper.kill(id, grace).await.map_err(away) }).await
    }

    async fn remove(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        patiently(|| async { self.helper.remove(id).await.map_err(away) }).await
    }

    async fn list(&self) -> Result<Vec<SandboxRow>, RuntimeError> {
        patiently(|| async { self.helper.list().await.map_err(away) }).await
    }

    async fn usage(&self, id: &SandboxId) -> Result<Usage, RuntimeError> {
        self.helper.usage(id).await.map_err(away)
    }

    async fn listeners(&self, id: &SandboxId) -> Result<Vec<SocketAddr>, RuntimeError> {
        self.helper.listeners(id).await.map_err(away)
    }

    async fn fill_scratch(
        &self,
        id: &SandboxId,
        owner: u32,
        limits: ScratchLimits,
        tar: OwnedFd,
    ) -> Result<(), RuntimeError> {
        let worker = Worker::UnpackScratch {
            id: id.clone(),
            owner,
            max_bytes: limits.max_bytes,
            max_entries: limits.max_entries,
        };
        self.answer::<layers::Unpacked>("unpacking the source", worker, tar).await.map(drop)
    }

    async fn remove_scratch(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        patiently(|| async { self.helper.remove_scratch(id).await.map_err(away) }).await
    }

    async fn publish_layer(&self, tar: OwnedFd) -> Result<layers::Published, RuntimeError> {
        self.answer("publishing a layer", Worker::UnpackLayer, tar).await
    }

    async fn import_base(&self) -> Result<layers::base::BaseImages, RuntimeError> {
        let nothing = bytes_as_file(&[]).map_err(|source| RuntimeError::Io { what: "a worker", source })?;
        self.answer("bringing in the base images", Worker::ImportBase, nothing).await
    }

    async fn maintain(&self, order: &layers::Order) -> Result<layers::Answer, RuntimeError> {
        let io = |source| RuntimeError::Io { what: "a worker", source };
        let order = serde_json::to_vec(order).map_err(|error| io(error.into()))?;
        self.answer("looking after the layer store", Worker::Maintain, bytes_as_file(&order).map_err(io)?)
            .await
    }

    async fn export(
        &self,
        id: &SandboxId,
        request: &export::Request,
    ) -> Result<export::Report, RuntimeError> {
        self.exported("exporting the image", id, request).await
    }

    async fn keep_layers(
        &self,
        id: &SandboxId,
        request: &export::Request,
    ) -> Result<export::KeptLayers, RuntimeError> {
        let request = export::Request { layers_only: true, ..request.clone() };
        self.exported("keeping layers", id, &request).await
    }
}

impl Machine {
    /// One worker's answer about what a sandbox left.
    async fn exported<T: serde::de::DeserializeOwned>(
        &self,
        what: &'static str,
        id: &SandboxId,
        request: &export::Request,
    ) -> Result<T, RuntimeError> {
        let io = |source| RuntimeError::Io { what, source };
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| io(e.into()))?;
        let json = serde_json::to_vec(request).map_err(|e| io(e.into()))?;
        let mut write = pipe::Sender::from_owned_fd(write).map_err(io)?;
        tokio::spawn(async move {
            // A worker that ends early has said why.
            let _ = write.write_all(&json).await;
        });
        self.answer(what, Worker::Export { sandbox: id.clone() }, read).await
    }
}

/// Asks again while the helper is being restarted.
async fn patiently<T, F>(verb: impl Fn() -> F) -> Result<T, RuntimeError>
where
    F: Future<Output = Result<T, RuntimeError>>,
{
    let until = tokio::time::Instant::now() + HELPER_PATIENCE;
    loop {
        match verb().await {
            Err(RuntimeError::Away(_)) if tokio::time::Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            other => return other,
        }
    }
}

fn away(error: HelperError) -> RuntimeError {
    match error {
        HelperError::Refused { id, text } => RuntimeError::Refused { id, text },
        other => RuntimeError::Away(other.to_string()),
    }
}

/// A pipe's reading end that gives these bytes.
///
/// # Errors
/// When the kernel gives no memory file.
pub fn bytes_as_file(bytes: &[u8]) -> io::Result<OwnedFd> {
    use std::io::{Seek, Write};
    let memory = rustix::fs::memfd_create("windlass", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = File::from(memory);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}
