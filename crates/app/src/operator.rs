//! The first sign-in: one operator and one token in a file that only root and the platform can read.

use crate::{
    App,
    identity::{fresh, hash},
};
use model::{Actor, Problem, Timestamp, TokenScope};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};
use store::{Conflict, NewToken, StoreError, TokenKind};
use thiserror::Error;

/// The name of the user that the first start makes.
pub const OPERATOR: &str = "operator";

/// Why the platform cannot start with an operator who could sign in.
#[derive(Debug, Error)]
pub enum OperatorError {
    #[error("cannot make the operator's user")]
    Store(#[source] StoreError),
    #[error("cannot make the operator's token")]
    Token(#[source] Problem),
    #[error("cannot use {}; it must be a file of the platform's user", path.display())]
    File { path: PathBuf, source: io::Error },
}

impl App {
    /// Makes the operator and their token file where they are missing. Done at every start: a revoked token is
    /// replaced, so that whoever is root on this machine can always sign in.
    pub async fn ensure_operator(&self) -> Result<(), OperatorError> {
        let user = self.store.ensure_operator(OPERATOR).await.map_err(OperatorError::Store)?;
        let path = self.paths.operator_token();
        let file_error = |source| OperatorError::File { path: path.clone(), source };
        write(&self.paths.served_address(), &self.addresses.platform()).map_err(file_error)?;
        let kept = read(&path).map_err(file_error)?;
        if let Some(text) = &kept {
            let known = self.store.identify(&hash(text), Timestamp::now()).await;
            if known.map_err(OperatorError::Store)?.is_some() {
                return Ok(());
            }
        }
        // The file comes first: a crash between file and row is mended at the next start by the file's own token.
        let mut text = match kept {
            Some(text) => text,
            None => write_fresh(&path)?,
        };
        loop {
            let token = NewToken {
                hash: hash(&text),
                user: user.id,
                kind: TokenKind::Operator,
                scope: TokenScope::All,
                label: "first sign-in, in keys/operator-token".to_owned(),
                expires_at: None,
            };
            match self.store.add_token(&token, &Actor::Platform).await {
                Ok(_) => return Ok(()),
                // It was revoked, and a revoked token never comes back.
                Err(StoreError::Conflict(Conflict::TokenExists)) => text = write_fresh(&path)?,
                Err(error) => return Err(OperatorError::Store(error)),
            }
        }
    }
}

fn write_fresh(path: &Path) -> Result<String, OperatorError> {
    let text = fresh(TokenKind::Operator).map_err(OperatorError::Token)?;
    write(path, &text).map_err(|source| OperatorError::File { path: path.to_owned(), source })?;
    Ok(text)
}

/// The token in the file; `None` when there is no file, or nothing in it.
fn read(path: &Path) -> io::Result<Option<String>> {
    let file =
        match rustix::fs::open(path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
    let text = io::read_to_string(File::from(file))?;
    Ok(Some(text.trim().to_owned()).filter(|text| text.starts_with("wl_")))
}

/// Whole or not at all, and for its owner alone.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(&new, flags, Mode::RUSR | Mode::WUSR)?);
    writeln!(file, "{text}")?;
    file.sync_all()?;
    fs::rename(&new, path)
}
