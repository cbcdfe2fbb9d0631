//! What `windlass worker …` does with the store: tars on stdin, one line of JSON on stdout, errors on stderr with
//! exit status 1, or [`FAULT_STATUS`]. The helper starts these as root of the store's range.

use crate::{Order, Store, UnpackError, UnpackLimits, base};
use model::Paths;
use serde::Serialize;
use std::{
    error::Error,
    io::{Read as _, Write as _, stdin, stdout},
    path::Path,
    process::ExitCode,
    time::Duration,
};

/// Exit status of a worker when the store or this machine failed, and not what it read.
pub const FAULT_STATUS: u8 = 3;

/// The helper ends workers long before.
const ONE_DAY: Duration = Duration::from_hours(24);

/// Longest order: some hundred digests.
const MAX_ORDER_BYTES: u64 = 1024 * 1024;

/// stdin: the tar of a layer, plain or gzip. stdout: [`crate::Published`].
pub fn unpack_layer(data: &Path) -> ExitCode {
    run("unpack-layer", || Ok(open(data)?.unpack_layer(stdin().lock(), UnpackLimits::LAYER)?))
}

/// stdin: a tar, plain. stdout: [`crate::Unpacked`].
pub fn unpack_scratch(data: &Path, id: &str, owner: u32, max_bytes: u64, max_entries: u64) -> ExitCode {
    let limits = UnpackLimits { max_entries, max_bytes };
    run("unpack-scratch", || Ok(open(data)?.unpack_scratch(stdin().lock(), id, owner, limits)?))
}

/// Brings in the base images that lie in `<data>/base`, and sweeps what killed workers left. stdout: [`base::BaseImages`].
pub fn import_base(data: &Path) -> ExitCode {
    run("import-base", || {
        let store = open(data)?;
        store.sweep_unfinished(ONE_DAY)?;
        Ok(base::import(&store, &data.join("base"))?)
    })
}

/// stdin: an [`Order`]. stdout: [`crate::Answer`].
pub fn maintain(data: &Path) -> ExitCode {
    run("maintain", || {
        let order: Order = serde_json::from_reader(stdin().lock().take(MAX_ORDER_BYTES))?;
        Ok(open(data)?.maintain(&order)?)
    })
}

fn open(data: &Path) -> Result<Store, Box<dyn Error>> {
    // Workers have nothing in the run directory.
    Ok(Store::open(&Paths::new(data, data))?)
}

fn run<T: Serialize>(name: &str, work: impl FnOnce() -> Result<T, Box<dyn Error>>) -> ExitCode {
    let print = |answer: &T| -> Result<(), Box<dyn Error>> {
        let mut line = serde_json::to_vec(answer)?;
        line.push(b'\n');
        stdout().write_all(&line)?;
        Ok(stdout().flush()?)
    };
    match work().and_then(|answer| print(&answer)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("windlass {name}: {}", model::sentence::of(error.as_ref()));
            if is_the_tars(error.as_ref()) { ExitCode::FAILURE } else { ExitCode::from(FAULT_STATUS) }
        }
    }
}

/// Whether it was what came in that could not be used, and not the store or this machine that failed.
fn is_the_tars(error: &(dyn Error + 'static)) -> bool {
    use UnpackError::{Limit, Owner, Refused, Tar};
    matches!(error.downcast_ref(), Some(Tar(_) | Refused { .. } | Owner { .. } | Limit { .. }))
}
