//! Where a token to sign in with comes from.

use crate::cli::{
    arguments::Login,
    failure::{local, usage},
    server::Server,
    session::TOKEN_VARIABLE,
};
use model::{Paths, Problem};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::{
    fs,
    io::{self, BufRead, IsTerminal, Read, Write},
    path::{Path, PathBuf},
};

/// Longest token file that is read.
const MAX_BYTES: u64 = 4096;

/// The first of: `--token-file`, `--data`, `WINDLASS_TOKEN`, the keys of the platform on this machine that serves this
/// address, what is typed on the terminal.
pub(super) fn find(server: &Server, login: &Login) -> Result<String, Problem> {
    if let Some(file) = &login.token_file {
        return if file == Path::new("-") { read(io::stdin(), "standard input") } else { read_file(file) };
    }
    if let Some(data) = &login.data {
        return read_file(&Paths::new(data, "").operator_token());
    }
    if let Some(token) = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty()) {
        return checked(&token, TOKEN_VARIABLE);
    }
    if let Some(data) = local_platform(server, &crate::lease::data_directories()) {
        return read_file(&Paths::new(data, "").operator_token());
    }
    if io::stdin().is_terminal() {
        return ask(server);
    }
    Err(usage("there is no token to sign in with", "standard input is no terminal, so none can be typed")
        .hint(
            "give it with `--token-file FILE` or in WINDLASS_TOKEN; \
         as root on the platform's machine it is found by itself, or with `--data DIRECTORY`",
        ))
}

/// The platform of this machine that serves this address. Its token is shown to nobody else: another program may
/// listen where one was expected.
fn local_platform(server: &Server, data_directories: &[PathBuf]) -> Option<PathBuf> {
    let answers_there = |data: &&PathBuf| {
        let address = fs::read_to_string(Paths::new(*data, "").served_address()).ok();
        address.and_then(|address| address.trim().parse::<Server>().ok()).as_ref() == Some(server)
    };
    data_directories.iter().find(answers_there).cloned()
}

fn read_file(path: &Path) -> Result<String, Problem> {
    let name = path.display().to_string();
    let file = fs::File::open(path).map_err(|error| {
        let problem = local(format!("no token can be read from {name}"), &error);
        match error.kind() {
            io::ErrorKind::PermissionDenied => problem.hint("only root can read the platform's keys"),
            io::ErrorKind::NotFound => {
                problem.hint("is this the platform's data directory, and was it ever started?")
            }
            _ => problem,
        }
    })?;
    read(file, &name)
}

fn read(source: impl Read, name: &str) -> Result<String, Problem> {
    let mut text = String::new();
    let read = source.take(MAX_BYTES).read_to_string(&mut text);
    read.map_err(|error| local(format!("no token can be read from {name}"), &error))?;
    checked(&text, name)
}

/// A token as it is shown to the platform. The text itself gets into no message.
fn checked(text: &str, name: &str) -> Result<String, Problem> {
    let token = text.trim();
    let letters = token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if token.starts_with("wl_") && letters {
        return Ok(token.to_owned());
    }
    Err(usage(
        "this is no token",
        format!("what {name} holds does not begin with `wl_`, or holds other characters"),
    ))
}

/// Asks on the terminal, without showing what is typed.
fn ask(server: &Server) -> Result<String, Problem> {
    let failed = |error: io::Error| local("the terminal cannot be read", &error);
    let input = io::stdin();
    eprint!("Token for {server}: ");
    io::stderr().flush().map_err(failed)?;
    let shown = tcgetattr(&input).map_err(|error| failed(error.into()))?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&input, OptionalActions::Flush, &hidden).map_err(|error| failed(error.into()))?;
    let mut line = String::new();
    let read = input.lock().take(MAX_BYTES).read_line(&mut line);
    // The terminal comes first: an error must not leave it dumb.
    tcsetattr(&input, OptionalActions::Flush, &shown).map_err(|error| failed(error.into()))?;
    eprintln!();
    read.map_err(failed)?;
    checked(&line, "the terminal")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_of_this_machine_goes_only_to_the_address_that_its_platform_serves() {
        let data = tempfile::tempdir().unwrap();
        let directories = [PathBuf::from("/nowhere"), data.path().to_owned()];
        let server: Server = "http://localhost:8080".parse().unwrap();
        assert_eq!(local_platform(&server, &directories), None);
        let paths = Paths::new(data.path(), "");
        fs::create_dir_all(paths.served_address().parent().unwrap()).unwrap();
        fs::write(paths.served_address(), "http://localhost:8080\n").unwrap();
        assert_eq!(local_platform(&server, &directories).as_deref(), Some(data.path()));
        assert_eq!(local_platform(&"http://localhost:8081".parse().unwrap(), &directories), None);
    }

    #[test]
    fn a_text_that_is_no_token_is_refused_without_being_shown() {
        assert_eq!(checked(" wl_personal_0a\n", "x").unwrap(), "wl_personal_0a");
        for bad in ["", "hunter2", "wl_a b", "wl_a\r\nX-Evil: 1"] {
            let problem = checked(bad, "the file").unwrap_err();
            assert!(bad.is_empty() || !problem.to_string().contains(bad), "{problem}");
        }
    }

    #[test]
    fn a_token_file_is_read_whole_and_a_missing_one_is_named() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("token");
        let problem = read_file(&file).unwrap_err();
        assert!(problem.title.contains("token") && problem.hint.is_some(), "{problem}");
        fs::write(&file, "wl_personal_00\n").unwrap();
        assert_eq!(read_file(&file).unwrap(), "wl_personal_00");
    }
}
