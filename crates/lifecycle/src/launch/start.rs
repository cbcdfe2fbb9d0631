//! The last step: this process becomes another program.

use super::{Image, LaunchError, process::Chosen, shell::Script};
use crate::environment::Variables;
use std::{
    convert::Infallible,
    ffi::{OsStr, OsString},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::PermissionsExt,
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

/// Does not come back unless the program cannot be started.
pub(super) fn become_process(
    image: &Image,
    chosen: &Chosen,
    variables: &Variables,
) -> Result<Infallible, LaunchError> {
    let mut command =
        if chosen.direct { direct(image, chosen, variables)? } else { shell(image, chosen, variables)? };
    let source = command.env_clear().envs(variables).exec();
    Err(LaunchError::Start { process: chosen.name(), program: command.get_program().into(), source })
}

fn direct(image: &Image, chosen: &Chosen, variables: &Variables) -> Result<Command, LaunchError> {
    // Before the working directory changes: PATH may hold relative directories, and they mean the app's.
    let program = find(&chosen.command, chosen, variables)?;
    if let Some(directory) = &chosen.working_directory {
        let path = image.app.join(directory);
        std::env::set_current_dir(&path).map_err(|source| LaunchError::WorkingDirectory {
            kind: chosen.kind.clone().unwrap_or_default(),
            path,
            source,
        })?;
    }
    let mut command = Command::new(program);
    command.arg0(&chosen.command).args(&chosen.arguments);
    Ok(command)
}

fn shell(image: &Image, chosen: &Chosen, variables: &Variables) -> Result<Command, LaunchError> {
    let script = Script::of(image, chosen)?;
    let mut command = Command::new(find(OsStr::new("bash"), chosen, variables)?);
    command.arg0("bash").arg("-c").arg(OsString::from_vec(script.text)).arg("launcher");
    command.arg(&chosen.command).args(&chosen.arguments);
    Ok(command)
}

/// A program by name in PATH, as a shell finds it; a name with a slash is a path.
fn find(command: &OsStr, chosen: &Chosen, variables: &Variables) -> Result<PathBuf, LaunchError> {
    if command.as_bytes().contains(&b'/') {
        return Ok(PathBuf::from(command));
    }
    let path = variables.get(OsStr::new("PATH")).cloned().unwrap_or_default();
    let here = std::env::current_dir().unwrap_or_default();
    std::env::split_paths(&path)
        // An empty part would be the current directory: nobody means that.
        .filter(|directory| !directory.as_os_str().is_empty())
        .map(|directory| here.join(directory).join(command))
        .find(|candidate| is_program(candidate))
        .ok_or_else(|| LaunchError::NotFound {
            command: command.to_string_lossy().into_owned(),
            process: chosen.name(),
            path: path.to_string_lossy().into_owned(),
        })
}

fn is_program(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
