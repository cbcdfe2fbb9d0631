//! From `git push` to the answer that holds the changed line, and where the time went.

use crate::table::Table;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use testkit::{Tool, World};

/// Between two questions for the page; each answer is that much late at most.
const ASK_EVERY: Duration = Duration::from_millis(5);
/// After this a push that shows nothing is given up.
const GIVE_UP: Duration = Duration::from_mins(10);

/// The parts in the order of the line; they add up to the whole.
const PARTS: [&str; 7] = [
    "git: until the plan step begins",
    "plan",
    "build",
    "release",
    "start: until the route table names the new copy",
    "switch: until the answer holds the changed line",
    "between the steps",
];

/// One push.
pub(crate) struct Push {
    /// From the start of `git push` to the answer.
    pub(crate) whole: Duration,
    /// From the start of `git push` to its end.
    ended: Duration,
    parts: [Duration; 7],
}

/// Pushes new tools: nothing of theirs was ever built.
pub(crate) fn cold(
    world: &World,
    table: &mut Table,
    name: &str,
    application: &str,
    phrase: &str,
    times: u64,
) -> Result<()> {
    let mut pushes = Vec::new();
    for number in 1..=times {
        let tool = world.tool(&format!("{name}-cold-{number}"), application);
        pushes.push(push(world, &tool, phrase)?);
    }
    table.heading(format!("{application}: first push of a new tool"));
    show(table, &pushes);
    Ok(())
}

/// Pushes one changed line again and again. The first push of the tool is not counted.
pub(crate) fn changed(
    world: &World,
    table: &mut Table,
    tool: &Tool<'_>,
    phrase: &str,
    times: u64,
) -> Result<()> {
    push(world, tool, phrase)?;
    let mut before = phrase.to_owned();
    let mut pushes = Vec::new();
    for number in 1..=times {
        let phrase = format!("changed line {number} of {times}");
        tool.edit("app.py", &before, &phrase);
        pushes.push(push(world, tool, &phrase)?);
        before = phrase;
    }
    table.heading(format!("{}: push of one changed line", tool.name));
    show(table, &pushes);
    Ok(())
}

/// Pushes empty commits: the tree is the same, so is the image.
pub(crate) fn unchanged(table: &mut Table, tool: &Tool<'_>, times: u64) -> Result<()> {
    let pushes = (0..times).map(|_| empty(tool)).collect::<Result<Vec<_>>>()?;
    table.heading(format!("{}: push of an empty commit", tool.name));
    table.seconds("until git push ends", &pushes.iter().map(|push| push.0).collect::<Vec<_>>());
    table.seconds("  build", &pushes.iter().map(|push| push.1).collect::<Vec<_>>());
    Ok(())
}

/// Pushes one empty commit: until `git push` ends, and the build step in it.
pub(crate) fn empty(tool: &Tool<'_>) -> Result<(Duration, Duration)> {
    tool.git(&["commit", "--quiet", "--allow-empty", "--message", "nothing"])?;
    let began = SystemTime::now();
    let pushed = tool.push();
    let whole = began.elapsed()?;
    ensure!(pushed.status == 0, "the push of an empty commit failed:\n{}", pushed.text);
    Ok((whole, step(&run(tool, number(&pushed.text)?)?, "build")?))
}

/// The rows of these pushes, part by part.
pub(crate) fn show(table: &mut Table, pushes: &[Push]) {
    let column = |time: &dyn Fn(&Push) -> Duration| pushes.iter().map(time).collect::<Vec<_>>();
    table.seconds("until the answer holds the line", &column(&|push| push.whole));
    for (index, part) in PARTS.iter().enumerate() {
        table.seconds(format!("  {part}"), &column(&|push| push.parts[index]));
    }
    table.seconds("until git push ends", &column(&|push| push.ended));
}

/// What the watcher saw first.
struct Seen {
    answered: SystemTime,
    /// When the router kept the table that leads to this answer.
    switched: SystemTime,
}

/// Pushes what is committed and waits until the page holds `phrase`.
pub(crate) fn push(world: &World, tool: &Tool<'_>, phrase: &str) -> Result<Push> {
    let over = AtomicBool::new(false);
    let (began, ended, text, seen) = thread::scope(|scope| -> Result<_> {
        let watcher = scope.spawn(|| watch(world, tool, phrase, &over));
        let began = SystemTime::now();
        let output = tool.push_command("main").output();
        let ended = SystemTime::now();
        let text = output.as_ref().map(|output| String::from_utf8_lossy(&output.stderr).into_owned());
        if !output.as_ref().is_ok_and(|output| output.status.success()) {
            over.store(true, Ordering::Relaxed);
        }
        let seen = watcher.join().map_err(|_| anyhow::anyhow!("the page cannot be asked for"))?;
        Ok((began, ended, text.map_err(|error| anyhow::anyhow!("git: {error}"))?, seen))
    })?;
    let seen = seen.with_context(|| format!("the push of {} went wrong:\n{text}", tool.name))?;
    let run_number = number(&text)?;
    let run = run(tool, run_number)?;
    let rows = rows(tool, run_number)?;
    let whole = since(seen.answered, began);
    let mut parts = [
        since(first_row(&rows, "plan")?, began),
        step(&run, "plan")?,
        step(&run, "build")?,
        step(&run, "release")?,
        since(seen.switched, first_row(&rows, "deploy")?),
        since(seen.answered, seen.switched),
        Duration::ZERO,
    ];
    parts[6] = whole.saturating_sub(parts.iter().sum());
    Ok(Push { whole, ended: since(ended, began), parts })
}

/// Asks for the page until it holds `phrase`. `None` when the push failed first.
fn watch(world: &World, tool: &Tool<'_>, phrase: &str, over: &AtomicBool) -> Option<Seen> {
    let table = route_table(world);
    let until = SystemTime::now() + GIVE_UP;
    while !over.load(Ordering::Relaxed) && SystemTime::now() < until {
        let answer = tool.get("/");
        let answered = SystemTime::now();
        if answer.status == 200 && answer.body.contains(phrase) {
            let switched = fs::metadata(table).and_then(|file| file.modified()).unwrap_or(answered);
            return Some(Seen { answered, switched: switched.min(answered) });
        }
        thread::sleep(ASK_EVERY);
    }
    None
}

fn route_table(world: &World) -> PathBuf {
    model::Paths::new(&world.data, "/run").route_table()
}

fn since(later: SystemTime, earlier: SystemTime) -> Duration {
    later.duration_since(earlier).unwrap_or_default()
}

/// The run's number in what the pusher read: `· run 12 ·`.
pub(crate) fn number(text: &str) -> Result<u64> {
    let found = text.split("· run ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    found.with_context(|| format!("the push names no run:\n{text}"))
}

/// `windlass runs show N --json`
pub(crate) fn run(tool: &Tool<'_>, number: u64) -> Result<Value> {
    let shown = tool.cli(&["runs", "show", &number.to_string(), "--json"]);
    ensure!(shown.status == 0, "runs show {number}: {}", shown.text);
    serde_json::from_str(&shown.text)
        .with_context(|| format!("runs show {number} is no JSON:\n{}", shown.text))
}

/// How long a step of a run took.
pub(crate) fn step(run: &Value, name: &str) -> Result<Duration> {
    let steps = run["steps"].as_array().context("a run without steps")?;
    let step = steps.iter().find(|step| step["name"] == name).with_context(|| format!("no step `{name}`"))?;
    Ok(Duration::from_millis(step["milliseconds"].as_u64().with_context(|| format!("`{name}` has no time"))?))
}

/// The rows of a run's log, which carry microseconds: `windlass runs show N --follow --json`
pub(crate) fn rows(tool: &Tool<'_>, number: u64) -> Result<Vec<Value>> {
    let shown = tool.cli(&["runs", "show", &number.to_string(), "--follow", "--json"]);
    ensure!(shown.status == 0, "runs show {number} --follow: {}", shown.text);
    let rows = shown.text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(rows.filter(|row| row["stream"].is_string()).collect())
}

/// When a step wrote its first row, which is what each station does first.
pub(crate) fn first_row(rows: &[Value], step: &str) -> Result<SystemTime> {
    let ending = format!("/{step}");
    let mine =
        rows.iter().filter(|row| row["stream"].as_str().is_some_and(|stream| stream.ends_with(&ending)));
    match mine.filter_map(|row| row["microseconds"].as_u64()).min() {
        Some(microseconds) => Ok(UNIX_EPOCH + Duration::from_micros(microseconds)),
        None => bail!("the step `{step}` wrote no row"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_push_is_found_by_the_number_that_it_prints() {
        let text = "remote:  windlass  tool \"flask\" · run 12 · commit 3f2a9c1 by the operator";
        assert_eq!(number(text).unwrap(), 12);
        assert!(number("Everything up-to-date").is_err());
    }

    #[test]
    fn a_step_begins_with_its_first_row() {
        let row = |stream: &str, at: u64| json!({ "stream": stream, "microseconds": at });
        let rows = [row("run/1/plan", 5), row("run/1/build", 3), row("run/1/plan", 4)];
        assert_eq!(first_row(&rows, "plan").unwrap(), UNIX_EPOCH + Duration::from_micros(4));
        assert!(first_row(&rows, "deploy").is_err());
    }
}
