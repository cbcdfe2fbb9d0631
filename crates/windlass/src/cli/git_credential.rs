//! `git-credential`: git asks us for the password at an address (gitcredentials(7), "Custom helpers").

use super::{
    credentials::{self, Credentials},
    failure::Failure,
    server::Server,
};
use model::Problem;
use std::io::{self, BufRead, Read};

/// Longest question, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// What git says about the address.
#[derive(Debug, Default, PartialEq, Eq)]
struct Question {
    protocol: String,
    host: String,
    password: Option<String>,
}

pub(super) fn run(operation: &str) -> Result<(), Failure> {
    let question = Question::read(io::stdin().lock().take(MAX_BYTES))?;
    let file = credentials::file()?;
    let credentials = Credentials::load(&file)?;
    match operation {
        "get" => {
            let (answer, told) = get(&question, &credentials);
            if let Some(told) = told {
                eprintln!("{told}");
            }
            print(&answer)?;
        }
        "erase" => {
            if let Some(left) = erase(&question, credentials) {
                left.save(&file)?;
            }
        }
        // `store` tells us what we told git; operations of later versions are ignored, as git asks.
        _ => {}
    }
    Ok(())
}

fn print(text: &str) -> io::Result<()> {
    use io::Write;
    io::stdout().write_all(text.as_bytes())
}

impl Question {
    fn read(source: impl Read) -> Result<Self, Problem> {
        let mut question = Self::default();
        for line in io::BufReader::new(source).lines() {
            let line =
                line.map_err(|error| super::failure::local("git's question cannot be read", &error))?;
            if line.is_empty() {
                break;
            }
            match line.split_once('=') {
                Some(("protocol", value)) => value.clone_into(&mut question.protocol),
                Some(("host", value)) => value.clone_into(&mut question.host),
                Some(("password", value)) => question.password = Some(value.to_owned()),
                _ => {}
            }
        }
        Ok(question)
    }

    fn server(&self) -> Option<Server> {
        format!("{}://{}", self.protocol, self.host).parse().ok()
    }
}

/// What to answer, and what to tell the person.
fn get(question: &Question, credentials: &Credentials) -> (String, Option<String>) {
    // Another address than ours: some other helper's business.
    let Some(server) = question.server() else { return (String::new(), None) };
    match credentials.servers.get(&server) {
        Some(known) => (format!("username={}\npassword={}\n", known.user, known.token), None),
        // Without `quit` git would ask for a password that nobody has.
        None => ("quit=1\n".to_owned(), Some(format!("windlass: run `windlass login {server}` first"))),
    }
}

/// The server refused what we gave: a token that it no longer knows is of no use. What is left, when that changed.
fn erase(question: &Question, mut credentials: Credentials) -> Option<Credentials> {
    let server = question.server()?;
    let known = credentials.servers.get(&server)?;
    if question.password.as_ref() != Some(&known.token) {
        return None;
    }
    credentials.servers.remove(&server);
    Some(credentials)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::credentials::Credential;

    fn known() -> Credentials {
        let mut credentials = Credentials::default();
        let credential = Credential { user: "ada".into(), token: "wl_personal_1".into() };
        credentials.servers.insert("http://localhost:8080".parse().unwrap(), credential);
        credentials
    }

    fn asked(text: &str) -> Question {
        Question::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn git_gets_the_token_of_the_address_it_asks_about() {
        let question =
            asked("capability[]=authtype\nprotocol=http\nhost=localhost:8080\nwwwauth[]=Basic x\n\nrest=1\n");
        assert_eq!(get(&question, &known()), ("username=ada\npassword=wl_personal_1\n".into(), None));
    }

    #[test]
    fn an_address_without_a_token_ends_git_with_what_to_do() {
        let (answer, told) = get(&asked("protocol=http\nhost=localhost:9090\n"), &known());
        assert_eq!(answer, "quit=1\n");
        assert_eq!(told.unwrap(), "windlass: run `windlass login http://localhost:9090` first");
    }

    #[test]
    fn what_is_none_of_ours_gets_no_answer() {
        for other in ["protocol=https\nhost=forge.example\n", "protocol=cert\npath=/x\n", ""] {
            assert_eq!(get(&asked(other), &known()), (String::new(), None), "{other:?}");
        }
    }

    #[test]
    fn only_the_token_that_was_refused_is_forgotten() {
        let refused = "protocol=http\nhost=localhost:8080\nusername=ada\npassword=";
        assert!(erase(&asked(&format!("{refused}wl_personal_1\n")), known()).unwrap().servers.is_empty());
        assert!(erase(&asked(&format!("{refused}typed\n")), known()).is_none());
        assert!(erase(&asked("protocol=http\nhost=localhost:8080\n"), known()).is_none());
    }
}
