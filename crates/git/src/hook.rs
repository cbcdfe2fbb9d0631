//! Inside the git process: a thin relay between git's hook protocol and [`crate::gate`]. It decides nothing, moves
//! nothing, and holds no state whose loss matters (githooks(5), "pre-receive" and "proc-receive").

use crate::{
    Command, Verdict,
    pktline::{self, Packet},
    settings::{PUSH_VARIABLE, SOCKET_VARIABLE},
};
use serde::{Deserialize, Serialize};
use std::{
    env,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
};

/// What a hook asks, as one JSON line.
#[derive(Debug, Serialize, Deserialize)]
pub struct Question {
    /// The one-time secret from the environment.
    pub push: String,
    pub stage: Stage,
    pub commands: Vec<Command>,
    pub options: Vec<String>,
}

/// Which hook asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    PreReceive,
    ProcReceive,
}

/// What comes back, one JSON line each; the last is `Verdicts` or `Refused`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    Say(String),
    Verdicts(Vec<Verdict>),
    /// `pre-receive`: the whole push is refused with this sentence.
    Refused(String),
}

/// Runs the hook that this program was called as.
///
/// # Errors
/// Whatever breaks between git and serve; git then tells the client that the hook failed.
pub fn main(stage: Stage) -> io::Result<bool> {
    let (mut stdin, mut stdout) = (io::stdin().lock(), io::stdout().lock());
    match stage {
        Stage::PreReceive => {
            let commands = read_plain_commands(&mut stdin)?;
            Ok(matches!(ask(stage, commands, Vec::new())?, Reply::Verdicts(_)))
        }
        Stage::ProcReceive => proc_receive(&mut stdin, &mut stdout),
    }
}

fn proc_receive(stdin: &mut impl Read, stdout: &mut impl Write) -> io::Result<bool> {
    let (commands, options) = read_push(stdin, stdout)?;
    let verdicts = match ask(Stage::ProcReceive, commands, options)? {
        Reply::Verdicts(verdicts) => verdicts,
        Reply::Refused(why) => return Err(bad(&why)),
        Reply::Say(_) => return Err(bad("serve ended in the middle of a push")),
    };
    for verdict in verdicts {
        let line = match &verdict.refused {
            None => format!("ok {}\n", verdict.name),
            Some(why) => format!("ng {} {}\n", verdict.name, one_line(why)),
        };
        pktline::write(stdout, line.as_bytes())?;
        if let (None, Some(moved)) = (&verdict.refused, &verdict.instead) {
            for option in [
                format!("option refname {}\n", moved.name),
                format!("option old-oid {}\n", moved.old),
                format!("option new-oid {}\n", moved.new),
            ] {
                pktline::write(stdout, option.as_bytes())?;
            }
        }
    }
    pktline::flush(stdout)?;
    Ok(true)
}

/// Agrees on the protocol's version, then reads what is pushed and with which options.
pub(crate) fn read_push(
    stdin: &mut impl Read,
    stdout: &mut impl Write,
) -> io::Result<(Vec<Command>, Vec<String>)> {
    let Packet::Data(version) = pktline::read(stdin)? else { return Err(bad("git sent no version")) };
    let with_options = String::from_utf8_lossy(&version).contains("push-options");
    if !version.starts_with(b"version=1") {
        return Err(bad("git speaks another version of the proc-receive protocol"));
    }
    while pktline::read(stdin)? != Packet::Flush {}
    pktline::write(stdout, if with_options { b"version=1\0push-options\n" } else { b"version=1\n" })?;
    pktline::flush(stdout)?;

    let mut commands = Vec::new();
    while let Packet::Data(line) = pktline::read(stdin)? {
        commands.push(Command::parse(&line)?);
    }
    let mut options = Vec::new();
    if with_options {
        while let Packet::Data(line) = pktline::read(stdin)? {
            options.push(String::from_utf8_lossy(&line).into_owned());
        }
    }
    Ok((commands, options))
}

/// Sends the question, prints what is said to the pusher, returns the last reply.
fn ask(stage: Stage, commands: Vec<Command>, options: Vec<String>) -> io::Result<Reply> {
    let variable = |name: &str| env::var(name).map_err(|_| bad(&format!("{name} is not set")));
    let mut serve = UnixStream::connect(variable(SOCKET_VARIABLE)?)?;
    let question = Question { push: variable(PUSH_VARIABLE)?, stage, commands, options };
    let mut line = serde_json::to_string(&question)?;
    line.push('\n');
    serve.write_all(line.as_bytes())?;
    for line in BufReader::new(serve).lines() {
        match serde_json::from_str(&line?)? {
            Reply::Say(text) => {
                let mut stderr = io::stderr().lock();
                stderr.write_all(text.as_bytes())?;
                stderr.write_all(b"\n")?;
            }
            Reply::Refused(text) => {
                io::stderr().lock().write_all(format!("{text}\n").as_bytes())?;
                return Ok(Reply::Refused(text));
            }
            last @ Reply::Verdicts(_) => return Ok(last),
        }
    }
    Err(bad("the platform went away; the run goes on, see `windlass status`"))
}

pub(crate) fn read_plain_commands(from: &mut impl Read) -> io::Result<Vec<Command>> {
    BufReader::new(from).lines().map(|line| Command::parse(line?.as_bytes())).collect()
}

/// The client prints a verdict raw: one line, no control characters, short.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}

fn bad(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_three_words() {
        let command = Command::parse(b"aa bb refs/heads/main\n").unwrap();
        assert_eq!((command.old.as_str(), command.name.as_str()), ("aa", "refs/heads/main"));
        assert!(Command::parse(b"aa bb").is_err());
    }

    #[test]
    fn a_verdict_never_carries_a_newline_or_an_escape() {
        assert_eq!(one_line("red\n\x1b[2Jok"), "red[2Jok");
        assert_eq!(one_line(&"x".repeat(500)).len(), 120);
    }
}
