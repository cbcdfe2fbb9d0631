//! The script for processes that want a shell: profile scripts of the layers and the app, then the command
//! (buildpack specification, "Launch", "profile.d"). The command and its arguments come as the shell's own
//! arguments and are never part of the script.

use super::{Image, LaunchError, files_in, process::Chosen};
use std::{
    fmt::Write as _,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// The arguments of `bash`.
pub(super) struct Script {
    pub(super) text: Vec<u8>,
}

impl Script {
    /// What the shell does before and for the command. Variables in a command's words are replaced, as people
    /// who write `$PORT` there expect.
    pub(super) fn of(image: &Image, chosen: &Chosen) -> Result<Self, LaunchError> {
        let mut text = Vec::new();
        for profile in profiles(image, chosen.kind.as_deref())? {
            line(&mut text, b"source ", &profile);
        }
        if let Some(directory) = &chosen.working_directory {
            line(&mut text, b"cd ", Path::new(directory));
        }
        text.extend(command(chosen.arguments.len()).into_bytes());
        Ok(Self { text })
    }
}

/// Alone, a command may be a line of shell. With arguments it is one word, like each of them.
fn command(arguments: usize) -> String {
    if arguments == 0 {
        return r#"exec bash -c "$@""#.to_owned();
    }
    let mut inner = r#""$(eval echo \"$0\")""#.to_owned();
    for number in 1..=arguments {
        // Writing to a text never fails.
        let _ = write!(inner, r#" "$(eval echo \"${{{number}}}\")""#);
    }
    format!(r#"exec bash -c '{inner}' "${{@:1}}""#)
}

fn profiles(image: &Image, kind: Option<&str>) -> Result<Vec<PathBuf>, LaunchError> {
    let mut found = Vec::new();
    for layer in image.layers.iter().flatten() {
        let directory = layer.join("profile.d");
        found.extend(files_in(&directory)?);
        if let Some(kind) = kind {
            found.extend(files_in(&directory.join(kind))?);
        }
    }
    let own = image.app.join(".profile");
    if own.is_file() {
        found.push(own);
    }
    Ok(found)
}

/// One line with one path, quoted so that the shell reads it as it stands.
fn line(text: &mut Vec<u8>, verb: &[u8], path: &Path) {
    text.extend(verb);
    text.push(b'\'');
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'\'' => text.extend(br"'\''"),
            byte => text.push(*byte),
        }
    }
    text.extend(b"'\n");
}
