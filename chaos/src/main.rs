//! `make chaos`: kills parts of a real platform at random moments of pushes and rollbacks, under load, and checks after
//! each kill that within a minute every run has ended, the page is the one that the rows name, and nothing is left over.
//!
//! `SEED` gives the same order of actions, kinds and delays again; `KILLS` is how many of them.

mod action;
mod check;
mod kind;
mod random;
mod table;

use anyhow::{Context, Result};
use check::Quiet;
use kind::Kind;
use random::Random;
use std::{
    env,
    time::{Duration, Instant, SystemTime},
};
use table::Table;
use testkit::World;

/// At least ten of each kind in the full run.
const KILLS: usize = 102;
/// How long the platform has to put everything right.
const PATIENCE: Duration = Duration::from_secs(60);
/// Failures in a row after which the rest would only repeat them.
const GIVE_UP_AFTER: usize = 4;
const TOOLS: [&str; 3] = ["north", "east", "south"];
const REQUESTS_PER_SECOND: u32 = 20;

fn main() -> Result<()> {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let seed = number("SEED")?.unwrap_or(since_1970.as_secs());
    let kills = usize::try_from(number("KILLS")?.unwrap_or(KILLS as u64))?;
    println!("seed {seed}, {kills} kills");
    let mut random = Random::new(seed);
    let mut kinds: Vec<Kind> = Kind::ALL.into_iter().cycle().take(kills).collect();
    random.shuffle(&mut kinds);

    let world = World::with_settings("\n[releases]\ndrain_seconds = 2\n");
    let mut tools = Vec::new();
    for name in TOOLS {
        tools.push(action::Worked::new(&world, name)?);
    }
    let load = tools[0].tool.load(REQUESTS_PER_SECOND);
    let quiet = Quiet::of(&world, tools.len());

    let mut table = Table::default();
    let mut failures_in_a_row = 0;
    for (number, kind) in (1..).zip(kinds) {
        let tool = random.below(tools.len() as u64);
        let tool = &mut tools[usize::try_from(tool)?];
        let strike = action::strike(&world, tool, kind, &mut random)?;
        let began = Instant::now();
        let mut settled = quiet.settled(&world, tool, &strike);
        while settled.is_err() && began.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(100));
            settled = quiet.settled(&world, tool, &strike);
        }
        let took = began.elapsed();
        match settled {
            Ok(outcome) => {
                failures_in_a_row = 0;
                println!("{number:>4} {strike} → {outcome} in {:.1} s", took.as_secs_f64());
                table.passed(kind, outcome, took);
            }
            Err(why) => {
                failures_in_a_row += 1;
                println!("{number:>4} {strike} → FAILED: {why}");
                table.failed(kind);
                if failures_in_a_row == GIVE_UP_AFTER {
                    println!("the platform does not recover; the end of its log:\n{}", tail(&world.log()));
                    break;
                }
            }
        }
    }
    let report = load.stop();
    println!(
        "\nload: {} requests, {:.0}/s, {} lost while parts were killed",
        report.requests,
        report.per_second(),
        report.lost()
    );
    println!("\nseed {seed}\n{table}");
    // Ends the platform and looks for what is left of it.
    drop(tools);
    drop(world);
    println!("{} passed, {} failed", table.passes(), table.failures());
    std::process::exit(i32::from(table.failures() > 0));
}

fn number(name: &str) -> Result<Option<u64>> {
    match env::var(name) {
        Ok(text) if !text.is_empty() => {
            text.parse().map(Some).with_context(|| format!("{name}={text} is not a number"))
        }
        _ => Ok(None),
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}
