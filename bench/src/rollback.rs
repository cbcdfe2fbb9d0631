//! From `windlass rollback` to the first answer by the old release.

use crate::{
    Rounds, push, start,
    table::{Table, middle},
};
use anyhow::{Context, Result, ensure};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};
use testkit::{Tool, World};

const ASK_EVERY: Duration = Duration::from_millis(5);
/// What the median may be, the application's own start off.
const GOAL_SECONDS: f64 = 0.3;

pub(crate) fn measure(table: &mut Table, rounds: &Rounds) -> Result<()> {
    let world = World::new();
    for (name, application, phrase) in
        [("flask", "flask-hello", "hello from flask"), ("stdlib", "stdlib-http", "hello from stdlib-http")]
    {
        eprintln!("{application}: {} rollbacks", rounds.switches);
        let tool = world.tool(name, application);
        push::push(&world, &tool, phrase)?;
        tool.edit("app.py", phrase, "the second release");
        push::push(&world, &tool, "the second release")?;
        let (mut answered, mut ended) = (Vec::new(), Vec::new());
        for number in 0..rounds.switches {
            let (release, phrase) =
                if number % 2 == 0 { ("v1", phrase) } else { ("v2", "the second release") };
            let (answer, end) = rollback(&tool, release, phrase)?;
            answered.push(answer);
            ended.push(end);
        }
        let own = start::own(&world, name, rounds.starts)?;
        table.heading(format!("{application}: rollback"));
        table.seconds("until the first answer by the old release", &answered);
        table.seconds("until the command ends", &ended);
        table.seconds("the application's own start", &own);
        let median = middle(&answered) - middle(&own);
        table.below("median of the answer, own start off", median, "s", GOAL_SECONDS);
    }
    Ok(())
}

/// Until the answer, and until the command ended.
fn rollback(tool: &Tool<'_>, release: &str, phrase: &str) -> Result<(Duration, Duration)> {
    let over = AtomicBool::new(false);
    let began = Instant::now();
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let answer = tool.get("/");
                if answer.status == 200 && answer.body.contains(phrase) {
                    return Some(began.elapsed());
                }
                thread::sleep(ASK_EVERY);
            }
            None
        });
        let ran = tool.cli(&["rollback", release]);
        let ended = began.elapsed();
        // A rollback that failed never answers; one that went well has answered by now or will at once.
        if ran.status != 0 {
            over.store(true, Ordering::Relaxed);
        }
        let answered = watcher.join().map_err(|_| anyhow::anyhow!("the page cannot be asked for"))?;
        ensure!(ran.status == 0, "the rollback to {release} failed:\n{}", ran.text);
        Ok((answered.context("the old release never answered")?, ended))
    })
}
