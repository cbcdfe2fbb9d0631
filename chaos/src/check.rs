//! What must be true within a minute of every kill.

use crate::action::{Strike, Worked};
use serde_json::Value;
use std::{
    fmt,
    time::{Duration, Instant},
};
use testkit::{Census, World};

/// How a kill ended, when all is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// The run went live all the same.
    Live,
    /// The run failed, and its text blames the platform.
    Blamed,
    /// Another wish took its place.
    Overtaken,
    /// The connection broke before anything was acknowledged; nothing was changed.
    Unrecorded,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "live",
            Self::Blamed => "told as the platform's fault",
            Self::Overtaken => "overtaken",
            Self::Unrecorded => "nothing recorded",
        })
    }
}

/// What the platform is when nothing goes on.
pub(crate) struct Quiet {
    census: Census,
}

impl Quiet {
    /// Waits until old copies are drained, then counts. `tools` of them run.
    pub(crate) fn of(world: &World, tools: usize) -> Self {
        let until = Instant::now() + Duration::from_secs(30);
        let mut census = world.census();
        while census.sandboxes() != tools && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(100));
            census = world.census();
        }
        println!("quiet: {census}");
        Self { census }
    }

    /// How it ended, or what is not right yet.
    pub(crate) fn settled(
        &self,
        world: &World,
        worked: &Worked<'_>,
        strike: &Strike,
    ) -> Result<Outcome, String> {
        let runs = answer(worked, &["runs", "list", "--json"])?;
        let runs = runs["runs"].as_array().ok_or("runs list has no runs")?;
        let waits = |run: &&Value| matches!(run["state"].as_str(), Some("queued" | "running") | None);
        if let Some(run) = runs.iter().find(waits) {
            return Err(format!("run {} is {}", run["number"], run["state"]));
        }
        let status = answer(worked, &["status", "--json"])?;
        if status["state"] != "live" {
            return Err(format!("{} is {}", worked.tool.name, status["state"]));
        }
        let release = &status["release"];
        let commit = release["commit"].as_str().unwrap_or_default();
        let expected = worked.greetings.get(commit).ok_or_else(|| format!("no commit {commit:?}"))?;
        let page = world
            .try_get(&format!("{}.localhost", worked.tool.name), "/?number=1")
            .ok_or("the router does not answer")?;
        if page.body.lines().next() != Some(expected) {
            let number = &release["number"];
            return Err(format!("the page is {:?}, but v{number} shows {expected:?}", page.body));
        }
        let outcome = outcome(worked, strike, &runs[0], release)?;
        let differences = world.census().differences(&self.census);
        if differences.is_empty() { Ok(outcome) } else { Err(format!("left over: {differences}")) }
    }
}

/// Whether the newest run's end, what was told, and what is live agree.
fn outcome(worked: &Worked<'_>, strike: &Strike, newest: &Value, release: &Value) -> Result<Outcome, String> {
    let number = &newest["number"];
    let recorded = match &strike.pushed {
        Some(commit) => newest["commit"] == commit.as_str() && newest["rollback_to"].is_null(),
        None => !newest["rollback_to"].is_null(),
    };
    if !recorded {
        return if strike.status == 0 {
            Err("it was told as done, but no run of it is there".to_owned())
        } else {
            Ok(Outcome::Unrecorded)
        };
    }
    match newest["state"].as_str() {
        Some("live") => {
            let agrees = match &strike.pushed {
                Some(commit) => release["commit"] == commit.as_str(),
                None => release["number"] == newest["rollback_to"],
            };
            if agrees {
                Ok(Outcome::Live)
            } else {
                Err(format!("run {number} is live, the release is not its"))
            }
        }
        Some("failed") => {
            let run = answer(worked, &["runs", "show", &number.to_string(), "--json"])?;
            let problems: Vec<&str> = run["steps"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|step| step["problem"]["id"].as_str())
                .collect();
            let ours = |id: &&str| matches!(*id, "run-platform" | "run-lost");
            if problems.is_empty() || !problems.iter().all(ours) {
                return Err(format!("run {number} blames somebody else: {problems:?}"));
            }
            if strike.status == 0 {
                return Err(format!("run {number} failed, and was told as done"));
            }
            Ok(Outcome::Blamed)
        }
        Some("superseded" | "cancelled") => Ok(Outcome::Overtaken),
        other => Err(format!("run {number} ended as {other:?}")),
    }
}

fn answer(worked: &Worked<'_>, words: &[&str]) -> Result<Value, String> {
    let ran = worked.tool.cli(words);
    if ran.status != 0 {
        return Err(format!("windlass {}: {}", words.join(" "), ran.text.trim()));
    }
    serde_json::from_str(&ran.text).map_err(|error| format!("windlass {}: {error}", words.join(" ")))
}
