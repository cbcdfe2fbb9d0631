//! Tokens by server, in `~/.config/windlass/credentials.toml`, readable by their owner only.

use super::{failure::local, server::Server};
use model::Problem;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// What this person may show to whom.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Credentials {
    /// The server of the last login: asked when nothing else names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) default: Option<Server>,
    #[serde(default)]
    pub(crate) servers: BTreeMap<Server, Credential>,
}

/// One token. It has no Debug, so that it gets into no message.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Credential {
    pub(crate) user: String,
    pub(crate) token: String,
}

/// Where the file lies: `$XDG_CONFIG_HOME/windlass/credentials.toml`, or beneath `$HOME/.config`.
pub(crate) fn file() -> Result<PathBuf, Problem> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let directory = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    directory.map(|directory| directory.join("windlass/credentials.toml")).ok_or_else(|| {
        local(
            "there is no place for your credentials",
            &"neither HOME nor XDG_CONFIG_HOME is set to an absolute path",
        )
    })
}

impl Credentials {
    /// What the file says; nothing when there is none.
    pub(crate) fn load(file: &Path) -> Result<Self, Problem> {
        match fs::read_to_string(file) {
            Ok(text) => toml::from_str(&text).map_err(|error| {
                // The error's own text shows the line, which may hold a token.
                local(format!("{} cannot be read", file.display()), &error.message())
                    .hint("remove the file and run `windlass login` again")
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(local(format!("{} cannot be read", file.display()), &error)),
        }
    }

    /// Writes the file anew; a crash leaves the old one.
    pub(crate) fn save(&self, file: &Path) -> Result<(), Problem> {
        let failed =
            |error: &dyn std::fmt::Display| local(format!("{} cannot be written", file.display()), error);
        let text = toml::to_string(self).map_err(|error| failed(&error))?;
        let directory = file.parent().ok_or_else(|| failed(&"it has no directory"))?;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| failed(&error))?;
        let new = file.with_extension(format!("new-{}", std::process::id()));
        let write = || {
            let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            out.write_all(text.as_bytes())?;
            out.sync_all()?;
            fs::rename(&new, file)
        };
        write().map_err(|error| {
            // The half-written file is of no use to anybody; the error to tell is the first one.
            let _ = fs::remove_file(&new);
            failed(&error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_is_kept_for_its_owner_alone() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("windlass/credentials.toml");
        assert!(Credentials::load(&file).unwrap().servers.is_empty(), "no file, no credentials");

        let server: Server = "http://localhost:8080".parse().unwrap();
        let credential = Credential { user: "ada".into(), token: "wl_user_x".into() };
        let mut credentials = Credentials { default: Some(server.clone()), ..Credentials::default() };
        credentials.servers.insert(server.clone(), credential);
        credentials.save(&file).unwrap();
        credentials.save(&file).unwrap();

        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "no half-written file stays");
        let again = Credentials::load(&file).unwrap();
        assert_eq!(again.servers[&server].token, "wl_user_x");
        assert_eq!(again.default, Some(server));
    }

    #[test]
    fn a_damaged_file_is_told_without_showing_a_token() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("credentials.toml");
        fs::write(&file, "[servers.\"http://localhost\"]\ntoken = \"wl_user_secret\nuser = 1").unwrap();
        let problem = Credentials::load(&file).err().unwrap();
        assert!(!problem.to_string().contains("secret"), "{problem}");
        assert!(problem.hint.is_some());
    }
}
