//! `windlass reload`: root replaces the platform's processes by what lies at the program's path: `up` first, which then
//! starts the parts as its version does, then part by part.

use super::{arguments::Common, failure::Failure, server::Server};
use crate::{
    lease,
    settings::Settings,
    units,
    up::{Role, control},
};
use model::{Paths, Problem};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Returns when the last new process answers. The first part that cannot be replaced ends it.
pub(super) fn reload(common: &Common, config: Option<&Path>, only: Option<&str>) -> Result<(), Failure> {
    let paths = match config {
        Some(config) => of_settings(config)?,
        None => running(common.server.as_deref().map(str::parse).transpose()?.as_ref())?,
    };
    let by_units = units::run_the_platform(&paths);
    if by_units && only == Some(control::UP) {
        return Err(
            failed("there is no `up` here", "the parts are units of systemd; name one of them").into()
        );
    }
    let starter = (!by_units).then_some(control::UP);
    let parts = starter.into_iter().chain(Role::ALL.map(Role::name));
    for part in parts.filter(|part| only.is_none_or(|only| only == *part)) {
        let replaced = if by_units { units::restart(part) } else { control::ask(&paths, part) };
        let took =
            replaced.map_err(|error| failed(format!("the {part} was not replaced"), format!("{error:#}")))?;
        println!("{part:<8} replaced in {:.1} s", took.as_secs_f64());
    }
    Ok(())
}

fn failed(what: impl Into<String>, detail: impl Into<String>) -> Problem {
    Problem::new("reload-failed", 500, what, detail)
}

fn of_settings(config: &Path) -> Result<Paths, Problem> {
    let settings = Settings::read(config)
        .map_err(|error| failed("the settings cannot be read", format!("{error:#}")))?;
    Ok(settings.paths())
}

/// The one platform that runs on this machine; of several the one at this address, or the installed one.
fn running(server: Option<&Server>) -> Result<Paths, Problem> {
    let which = |detail: String| {
        failed("which platform?", detail)
            .hint("name its settings: `windlass reload windlass.toml`, or its address with `--server`")
    };
    let running = lease::running().map_err(|error| {
        failed("it cannot be seen which platform runs", format!("{error:#}"))
            .hint("only root may reload a platform")
    })?;
    let serves = |data: &&PathBuf, server: &Server| {
        let address = fs::read_to_string(Paths::new(*data, "").served_address()).ok();
        address.and_then(|address| address.trim().parse::<Server>().ok()).as_ref() == Some(server)
    };
    let data = match (running.as_slice(), server) {
        ([], _) => return Err(which("none runs on this machine".to_owned())),
        (several, Some(server)) => several
            .iter()
            .find(|data| serves(data, server))
            .ok_or_else(|| which(format!("none on this machine serves {server}")))?,
        ([only], None) => only,
        (_, None) if Path::new(units::FILE).exists() => return of_settings(Path::new(units::FILE)),
        (several, None) => {
            let places: Vec<String> = several.iter().map(|data| data.display().to_string()).collect();
            return Err(which(format!("{} run on this machine: {}", several.len(), places.join(", "))));
        }
    };
    Ok(Paths::new(data, Paths::new(data, "").run_link()))
}
