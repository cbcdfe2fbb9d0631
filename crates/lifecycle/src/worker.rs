//! What `windlass worker export` does: a [`Request`] on stdin, one line with the [`Report`](crate::export::Report), or
//! the [`KeptLayers`](crate::export::KeptLayers), on stdout; on an error a sentence on stderr and exit status 1. The helper starts it as root of the store's range in a
//! root of its own.

use crate::export::{self, Request, View};
use layers::Store;
use model::Paths;
use std::{
    error::Error,
    io::{Read as _, Write as _, stdin, stdout},
    path::Path,
    process::ExitCode,
};

/// Where the worker sees the merged tree of the build.
const VIEW: &str = "/view";
/// Where it sees what the build wrote.
const UPPER: &str = "/upper";
/// Longest request: the metadata of the build before is in it.
const MAX_REQUEST_BYTES: u64 = 64 * 1024 * 1024;

/// Exports what lies at `/view` into the layer store of `data`.
pub fn export(data: &Path) -> ExitCode {
    match work(data) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("windlass export: {}", model::sentence::of(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn work(data: &Path) -> Result<(), Box<dyn Error>> {
    let request: Request = serde_json::from_reader(stdin().lock().take(MAX_REQUEST_BYTES))
        .map_err(|error| format!("the request on stdin is not one: {error}"))?;
    let upper = Path::new(UPPER);
    let view = View::open(Path::new(VIEW), upper.is_dir().then_some(upper))?;
    // Workers have nothing in the run directory.
    let store = Store::open(&Paths::new(data, data))?;
    let mut line = if request.layers_only {
        serde_json::to_vec(&export::keep_layers(&request, &view, &store)?)?
    } else {
        serde_json::to_vec(&export::run(&request, &view, &store)?)?
    };
    line.push(b'\n');
    stdout().write_all(&line)?;
    Ok(stdout().flush()?)
}
