//! Numbers of the real platform on this machine, beside peers where there are some. README.md says what each row means.
//!
//! Each section starts a platform of its own through the tests' harness, pushes with the real git, asks over real HTTP.
//! Nothing is left behind.

mod beside;
mod layer;
mod lost;
mod memory;
mod peers;
mod push;
mod queue;
mod registry;
mod rollback;
mod start;
mod table;

use anyhow::{Context, Result, ensure};
use peers::Peers;
use std::{env, thread, time::Duration};
use table::Table;
use testkit::World;

/// A tool that is measured: its name, its application, the phrase of its page and the file that holds it.
const APPLICATIONS: [(&str, &str, &str); 2] =
    [("flask", "flask-hello", "hello from flask"), ("stdlib", "stdlib-http", "hello from stdlib-http")];

/// What `ONLY=` may name, in the order in which they run.
const SECTIONS: [(&str, Section); 7] = [
    ("queue", Section::Platform(|table, rounds| queue::measure(table, rounds.claims))),
    ("push", Section::Platform(platform)),
    ("lost", Section::Platform(lost::measure)),
    ("rollback", Section::Platform(rollback::measure)),
    ("registry", Section::Beside(registry::measure)),
    ("pack", Section::Beside(beside::measure)),
    ("layer", Section::Beside(layer::measure)),
];

enum Section {
    Platform(fn(&mut Table, &Rounds) -> Result<()>),
    /// Needs the programs of `bench/peers`.
    Beside(fn(&mut Table, &Peers, &Rounds) -> Result<()>),
}

/// How often each thing is measured; each has a variable of its name.
pub(crate) struct Rounds {
    pushes: u64,
    empty_pushes: u64,
    cold_builds: u64,
    starts: u64,
    claims: usize,
    idle_seconds: u64,
    switches: u64,
    restarts: u64,
    requests_per_second: u64,
    layer_megabytes: u64,
    registries: u64,
    new_layers: u64,
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
            switches: number("SWITCHES", 20)?,
            restarts: number("RESTARTS", 5)?,
            requests_per_second: number("REQUESTS_PER_SECOND", 250)?,
            layer_megabytes: number("LAYER_MEGABYTES", 600)?,
            registries: number("REGISTRIES", 5)?,
            new_layers: number("NEW_LAYERS", 3)?,
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
    let only = env::var("ONLY").unwrap_or_default();
    let wanted: Vec<&str> = only.split([',', ' ']).filter(|name| !name.is_empty()).collect();
    let names: Vec<&str> = SECTIONS.iter().map(|(name, _)| *name).collect();
    for name in &wanted {
        ensure!(names.contains(name), "ONLY={name}: there is {}", names.join(", "));
    }
    let mut table = Table::new();
    table.words(format!("load of this machine before: {}", load_average()));
    let mut peers: Option<Result<Peers>> = None;
    for (name, section) in &SECTIONS {
        if !wanted.is_empty() && !wanted.contains(name) {
            continue;
        }
        let ended = match section {
            Section::Platform(measure) => measure(&mut table, &rounds),
            Section::Beside(measure) => match peers.get_or_insert_with(Peers::build) {
                Ok(peers) => measure(&mut table, peers, &rounds),
                Err(error) => Err(anyhow::anyhow!("no peer to measure beside: {error:#}")),
            },
        };
        // One section that cannot be measured here does not hide the others.
        if let Err(error) = ended {
            table.heading(format!("{name}: NOT MEASURED"));
            table.words(format!("{error:#}"));
        }
    }
    print!("{table}");
    Ok(())
}

/// The parts of a push, starts, and memory.
fn platform(table: &mut Table, rounds: &Rounds) -> Result<()> {
    let world = World::new();
    for (name, application, phrase) in APPLICATIONS {
        eprintln!("{application}: {} cold builds", rounds.cold_builds);
        push::cold(&world, table, name, application, phrase, rounds.cold_builds)?;
        eprintln!("{application}: {} pushes with one changed line", rounds.pushes);
        let tool = world.tool(name, application);
        push::changed(&world, table, &tool, phrase, rounds.pushes)?;
        eprintln!("{application}: {} pushes of an empty commit", rounds.empty_pushes);
        push::unchanged(table, &tool, rounds.empty_pushes)?;
        eprintln!("{application}: {} starts inside, {} outside", rounds.starts, rounds.starts);
        start::compare(&world, table, name, rounds.starts)?;
    }
    eprintln!("idle for {} s", rounds.idle_seconds);
    thread::sleep(Duration::from_secs(rounds.idle_seconds));
    memory::measure(&world, table, rounds.idle_seconds)
}

/// Runnable processes over one, five and fifteen minutes: what else uses the machine.
fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
