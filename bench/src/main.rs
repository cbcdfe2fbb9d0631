//! Numbers of the real platform on this machine: queue, pushes, starts, memory. README.md says what each row means.
//!
//! It starts a platform of its own through the tests' harness, pushes with the real git, asks over real HTTP, and
//! prints what it measured. Nothing is left behind.

mod memory;
mod push;
mod queue;
mod start;
mod table;

use anyhow::{Context, Result};
use std::{env, thread, time::Duration};
use table::Table;
use testkit::World;

/// A tool that is measured: its name, its application, the phrase of its page and the file that holds it.
const APPLICATIONS: [(&str, &str, &str); 2] =
    [("flask", "flask-hello", "hello from flask"), ("stdlib", "stdlib-http", "hello from stdlib-http")];

/// How often each thing is measured; each has a variable of its name.
struct Rounds {
    pushes: u64,
    empty_pushes: u64,
    cold_builds: u64,
    starts: u64,
    claims: usize,
    idle_seconds: u64,
}

impl Rounds {
    fn from_environment() -> Result<Self> {
        Ok(Self {
            pushes: number("PUSHES", 20)?,
            empty_pushes: number("EMPTY_PUSHES", 10)?,
            cold_builds: number("COLD_BUILDS", 3)?,
            starts: number("STARTS", 15)?,
            claims: usize::try_from(number("CLAIMS", 2000)?)?,
            idle_seconds: number("IDLE_SECONDS", 20)?,
        })
    }
}

fn number(name: &str, default: u64) -> Result<u64> {
    match env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}={text} is no whole number")),
        Err(_) => Ok(default),
    }
}

fn main() -> Result<()> {
    let rounds = Rounds::from_environment()?;
    let mut table = Table::new();
    eprintln!("queue: {} claims", rounds.claims);
    queue::measure(&mut table, rounds.claims)?;
    if env::args().nth(1).as_deref() == Some("queue") {
        print!("{table}");
        return Ok(());
    }
    let world = World::new();
    for (name, application, phrase) in APPLICATIONS {
        eprintln!("{application}: {} cold builds", rounds.cold_builds);
        push::cold(&world, &mut table, name, application, phrase, rounds.cold_builds)?;
        eprintln!("{application}: {} pushes with one changed line", rounds.pushes);
        let tool = world.tool(name, application);
        push::changed(&world, &mut table, &tool, phrase, rounds.pushes)?;
        eprintln!("{application}: {} pushes of an empty commit", rounds.empty_pushes);
        push::unchanged(&mut table, &tool, rounds.empty_pushes)?;
        eprintln!("{application}: {} starts inside, {} outside", rounds.starts, rounds.starts);
        start::compare(&world, &mut table, name, rounds.starts)?;
    }
    eprintln!("idle for {} s", rounds.idle_seconds);
    thread::sleep(Duration::from_secs(rounds.idle_seconds));
    memory::measure(&world, &mut table, rounds.idle_seconds)?;
    print!("{table}");
    Ok(())
}
