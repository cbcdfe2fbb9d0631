//! `windlass reload`: root replaces the platform's processes by what lies at the program's path, part by part.

use super::failure::Failure;
use crate::{
    settings::Settings,
    up::{Role, control},
};
use model::Problem;
use std::path::Path;

/// Returns when the last new process answers. The first part that cannot be replaced ends it.
pub(super) fn reload(config: &Path, only: Option<&str>) -> Result<(), Failure> {
    let failed = |what: String, detail: String| Problem::new("reload-failed", 500, what, detail);
    let settings = Settings::read(config)
        .map_err(|error| failed("the settings cannot be read".to_owned(), format!("{error:#}")))?;
    let paths = settings.paths();
    for part in Role::ALL.map(Role::name).into_iter().filter(|part| only.is_none_or(|only| only == *part)) {
        let took = control::ask(&paths, part)
            .map_err(|error| failed(format!("the {part} was not replaced"), format!("{error:#}")))?;
        println!("{part:<8} replaced in {:.1} s", took.as_secs_f64());
    }
    Ok(())
}
