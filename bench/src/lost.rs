//! Requests that are lost while releases and parts of the platform are switched, each kind of switch under a load of its
//! own. The generator tries nothing twice; how often the router did is printed beside it.

use crate::{Rounds, table::Table};
use anyhow::{Context, Result, ensure};
use model::Paths;
use std::{cell::RefCell, path::Path, thread, time::Duration};
use testkit::{LoadReport, Tool, World};

/// Before the first and after the last switch the load goes on.
const AROUND: Duration = Duration::from_secs(2);
/// Requests of all loads together, at the least.
const REQUESTS: u64 = 10_000;

pub(crate) fn measure(table: &mut Table, rounds: &Rounds) -> Result<()> {
    let world = World::new();
    let tool = world.tool("steady", "steady");
    ensure!(tool.push().status == 0, "the first push failed");
    let per_second = u32::try_from(rounds.requests_per_second)?;
    let all = RefCell::new(Vec::new());
    let under_load = |what: String, switch: &mut dyn FnMut() -> Result<()>| -> Result<()> {
        eprintln!("under load: {what}");
        let retries = retries(&world);
        let load = tool.load(per_second);
        thread::sleep(AROUND);
        let switched = switch();
        thread::sleep(AROUND);
        let report = load.stop();
        let retries = retries_since(retries, self::retries(&world));
        switched.with_context(|| format!("{what}, after {report}"))?;
        all.borrow_mut().push((what, report, retries));
        Ok(())
    };

    let mut greeting = "steady one".to_owned();
    under_load(format!("{} deploys", rounds.switches), &mut || {
        for number in 1..=rounds.switches {
            let next = format!("steady deploy {number}");
            tool.edit("app.py", &greeting, &next);
            let pushed = tool.push();
            ensure!(pushed.status == 0, "deploy {number} failed:\n{}", pushed.text);
            greeting = next;
        }
        Ok(())
    })?;
    under_load(format!("{} rollbacks", rounds.switches), &mut || {
        for number in 0..rounds.switches {
            let release = format!("v{}", rounds.switches + number % 2);
            let ran = tool.cli(&["rollback", &release]);
            ensure!(ran.status == 0, "the rollback to {release} failed:\n{}", ran.text);
        }
        Ok(())
    })?;
    for part in ["router", "serve", "helper"] {
        under_load(format!("{} restarts of the {part}", rounds.restarts), &mut || {
            (0..rounds.restarts).try_for_each(|_| restart(&world, &tool, part))
        })?;
    }
    let asked: u64 = all.borrow().iter().map(|(_, report, _)| report.requests).sum();
    if asked < REQUESTS {
        let seconds = (REQUESTS - asked) / rounds.requests_per_second + 1;
        under_load("nothing, for the rest".to_owned(), &mut || {
            thread::sleep(Duration::from_secs(seconds));
            Ok(())
        })?;
    }
    show(table, &all.borrow());
    Ok(())
}

fn show(table: &mut Table, all: &[(String, LoadReport, String)]) {
    table.heading("requests lost while something is switched (every tenth a POST of 64 kB)");
    let (mut requests, mut lost) = (0, 0);
    for (what, report, retries) in all {
        table.words(format!("{what}: {report}"));
        table.words(format!("  the router's own retries: {retries}"));
        requests += report.requests;
        lost += report.lost();
    }
    let verdict = if lost == 0 && requests >= REQUESTS { "reached" } else { "MISSED" };
    table.words(format!("together: {lost} of {requests} lost; goal 0 of at least {REQUESTS}: {verdict}"));
}

/// Replaces a part as an operator does, and waits until it does its work.
fn restart(world: &World, tool: &Tool<'_>, part: &str) -> Result<()> {
    let ran = world.reload(part);
    ensure!(ran.status == 0, "the {part} was not replaced:\n{}", ran.text);
    let ran = tool.cli(&["status"]);
    ensure!(ran.status == 0, "no status after the {part} was replaced:\n{}", ran.text);
    // Its first second is part of it.
    thread::sleep(Duration::from_secs(1));
    Ok(())
}

/// What the routers have counted that live now.
fn retries(world: &World) -> Option<u64> {
    let run = Path::new("/run").join(world.data.file_name()?);
    let control = router::Control::new(&Paths::new(&world.data, run).router_sockets());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(control.statistics()).ok().map(|statistics| statistics.retries)
}

fn retries_since(before: Option<u64>, after: Option<u64>) -> String {
    match (before, after) {
        (Some(before), Some(after)) if after >= before => (after - before).to_string(),
        (_, Some(after)) => {
            format!("{after} by the router that runs now; those before it took their counts along")
        }
        _ => "not told".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_that_began_anew_is_not_subtracted_from() {
        assert_eq!(retries_since(Some(2), Some(5)), "3");
        assert!(retries_since(Some(5), Some(1)).starts_with("1 by the router that runs now"));
        assert_eq!(retries_since(Some(5), None), "not told");
    }
}
