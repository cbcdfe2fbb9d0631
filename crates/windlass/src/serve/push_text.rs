//! What a pusher reads while the run goes on, and the verdict that git prints at the end.

use super::git_platform::greeted;
use app::{App, logs::LogLine};
use git::{Grant, Lines};
use logs::Stream;
use model::{
    LogStream, Problem,
    run::{MAX_ATTEMPTS, RunState, StepKind, StepState},
};
use serde_json::Value;
use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};
use store::{Recorded, Run, Step};
use tokio::sync::watch;

/// Between two looks at the run when nothing is said to have changed: what steps print is read this often.
const PERIOD: Duration = Duration::from_millis(50);
/// Silence after which a line says that it still goes on.
const STILL: Duration = Duration::from_secs(15);

/// Follows one run for one pusher. The pusher may leave: every send may fail, and the run goes on.
pub(super) struct Follower<'a> {
    pub(super) app: &'a App,
    pub(super) grant: &'a Grant,
    pub(super) lines: &'a Lines,
    /// When the push arrived.
    pub(super) began: Instant,
    /// Without what buildpacks and release commands print.
    pub(super) quiet: bool,
    /// True when this process is about to end.
    pub(super) ending: watch::Receiver<bool>,
    /// Changes when a step may have ended.
    pub(super) changed: watch::Receiver<()>,
}

impl Follower<'_> {
    /// Returns when the run has ended: `None` when it ended well.
    pub(super) async fn follow(
        &self,
        recorded: &Recorded,
        commit: &str,
        notes: &[String],
    ) -> Result<Option<String>, Problem> {
        let number = recorded.number;
        let (tool, who) = (&self.grant.name, greeted(self.grant));
        self.say(format!(" windlass  tool \"{tool}\" · run {number} · commit {} by {who}", &commit[..7]))
            .await;
        for note in notes {
            self.say(format!(" note      {note}")).await;
        }
        for older in &recorded.superseded {
            self.say(format!(" note      run {older} of this branch ends; this push takes its place")).await;
        }
        if let Some(earlier) = recorded.waits_for {
            self.say(format!(" queue     waits until run {earlier} of this branch has ended")).await;
        }
        let mut feed = self.app.run_log(&self.grant.actor, tool.as_str(), number, None, 0, true).await?;
        let mut changed = self.changed.clone();
        let mut told = HashSet::new();
        let mut faults = HashMap::new();
        let mut last_word = Instant::now();
        loop {
            let (run, steps) = self.app.push_progress(recorded.run).await?;
            // What a step wrote comes before the line that sums it up.
            while let Some(batch) = feed.next(Duration::ZERO).await? {
                if batch.is_empty() {
                    break;
                }
                for line in batch {
                    if let Some(text) = shown(&line).filter(|_| !self.quiet) {
                        self.say(text).await;
                        last_word = Instant::now();
                    }
                }
            }
            for step in &steps {
                let again = faults.insert(step.kind, step.faults).unwrap_or(0) < step.faults;
                if again && !step.state.is_final() {
                    self.say(format!(
                        " {:<9} broke off by the platform's fault, not yours: tried again ({} of {MAX_ATTEMPTS})",
                        step.kind,
                        step.faults + 1
                    ))
                    .await;
                    last_word = Instant::now();
                }
                if step.state.is_final() && told.insert(step.kind) {
                    self.tell(&run, step).await;
                    last_word = Instant::now();
                }
            }
            if run.state.is_final() {
                return Ok(self.verdict(&run, &steps).await);
            }
            if *self.ending.borrow() {
                let tool = &self.grant.name;
                for line in [
                    format!(" windlass  the platform is restarted; run {number} goes on without you"),
                    format!(
                        "           `windlass runs show {number} --follow --tool {tool}` shows how it ends"
                    ),
                ] {
                    self.say(line).await;
                }
                return Ok(Some(format!("not known yet: the platform is restarted, run {number} goes on")));
            }
            if last_word.elapsed() > STILL {
                last_word = Instant::now();
                let step = steps.iter().find(|step| step.state == StepState::Running);
                let seconds = self.began.elapsed().as_secs();
                self.say(match (step, run.waits_for) {
                    (Some(step), _) => format!(" {:<9} still going on after {seconds} s", step.kind),
                    (None, Some(earlier)) => {
                        format!(" queue     waits for run {earlier}, {seconds} s so far")
                    }
                    (None, None) => format!(" queue     waits for its turn, {seconds} s so far"),
                })
                .await;
            }
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                _ = changed.changed() => {}
            }
        }
    }

    async fn tell(&self, run: &Run, step: &Step) {
        let outputs = step.outputs.as_ref();
        match &step.state {
            StepState::Done => {
                if let Some(line) = outputs.and_then(|outputs| outputs["line"].as_str()) {
                    self.say(format!(" {:<9} {line}", step.kind)).await;
                }
                let warnings = outputs.and_then(|outputs| outputs["warnings"].as_array());
                for warning in warnings.into_iter().flatten().filter_map(|warning| warning.as_str()) {
                    self.say(format!(" note      {warning}")).await;
                }
                if step.kind == StepKind::Deploy && outputs.is_some_and(|outputs| outputs["first"] == true) {
                    self.first_time(outputs).await;
                }
            }
            StepState::Failed { problem, .. } => {
                self.say(format!(" {:<9} failed: {}", step.kind, problem.title)).await;
                for line in problem.detail.lines().chain(problem.hint.iter().flat_map(|hint| hint.lines())) {
                    self.say(format!("           {line}")).await;
                }
                self.say(format!("           `windlass runs show {} --log` shows all of it", run.number))
                    .await;
            }
            _ => {}
        }
    }

    /// What is not there, said once: at a tool's first release.
    async fn first_time(&self, outputs: Option<&Value>) {
        let limit = |name: &str| outputs.and_then(|outputs| outputs["limits"][name].as_u64()).unwrap_or(0);
        let (mebibytes, millis) = (limit("memory_bytes") >> 20, limit("cpu_millis"));
        let limits = format!(
            "it may use {mebibytes} MiB of memory and {}.{} cores; `windlass logs` says when a limit ended something",
            millis / 1000,
            millis % 1000 / 100
        );
        for text in [
            "files that the tool writes are gone when it is restarted: keep what matters in a database",
            &limits,
        ] {
            self.say(format!(" note      {text}")).await;
        }
    }

    async fn verdict(&self, run: &Run, steps: &[Step]) -> Option<String> {
        let took = self.began.elapsed().as_secs_f64();
        match run.state {
            RunState::Live => {
                let url = steps.iter().find_map(|step| step.outputs.as_ref()?["url"].as_str());
                self.say(format!(" live      {}  ({took:.1} s after your push)", url.unwrap_or_default()))
                    .await;
                None
            }
            RunState::Passed => {
                let branch = run.ref_name.trim_start_matches("refs/heads/");
                let of_tests = steps.iter().find(|step| step.kind == StepKind::Test);
                let tested = of_tests.and_then(|step| step.outputs.as_ref()?.get("runner"));
                let good = if tested.is_some() { "passes its tests and builds" } else { "builds" };
                self.say(format!(
                    " passed    {branch} {good}; only the production branch is deployed  ({took:.1} s)"
                ))
                .await;
                None
            }
            RunState::Superseded => {
                let newer = run.superseded_by.map_or_else(String::new, |newer| format!(" (run {newer})"));
                let why = format!("a newer push or rollback took over{newer}");
                self.say(format!(" ended     run {} is over: {why}", run.number)).await;
                Some(why)
            }
            RunState::Cancelled => Some(format!("cancelled (run {})", run.number)),
            RunState::Failed | RunState::Queued | RunState::Running => {
                let failed = steps.iter().find(|step| matches!(step.state, StepState::Failed { .. }));
                let what = failed.map_or("run", |step| step.kind.as_str());
                Some(format!("{what} failed (run {})", run.number))
            }
        }
    }

    async fn say(&self, text: String) {
        // A pusher who has left hears nothing more; the run does not depend on it.
        let _ = self.lines.send(sayable(&text)).await;
    }
}

/// What a tree says of itself stands in the platform's own lines too: nothing of it may paint a terminal, and no
/// carriage return may take the platform's words before it away.
fn sayable(text: &str) -> String {
    logs::clean(text.replace('\r', " ").as_bytes())
}

/// Rows of buildpacks and release commands, and what a build was refused; the platform's other words are summed up.
fn shown(line: &LogLine) -> Option<String> {
    let LogStream::Step { step, .. } = line.stream else { return None };
    if !matches!(step, StepKind::Test | StepKind::Build | StepKind::Release) {
        return None;
    }
    // Before it is set in: a row that draws over itself must not draw over that, and look like a line of ours.
    let text = logs::clean(&line.entry.row.bytes);
    // Said again in the step's own line, or as the reason of its failure.
    if text.starts_with(pipeline::SUMMARY_PREFIX) || text.starts_with(pipeline::PROBLEM_PREFIX) {
        return None;
    }
    match line.entry.row.stream {
        // What failed is told when the tests are over.
        Stream::Out | Stream::Err if step == StepKind::Test => None,
        Stream::Out | Stream::Err => Some(format!("           {text}")),
        Stream::Platform
            if ["killed", "waits for space"].iter().any(|words| text.starts_with(words))
                || text.contains("egress-refused") =>
        {
            Some(format!("           {text}"))
        }
        Stream::Platform | Stream::Marker => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_draws_over_itself_does_not_become_a_line_of_ours() {
        for text in ["\r live      http://evil.example/", "\u{1b}[2K\u{1b}[1G live      http://evil.example/"]
        {
            let (stream, flags) = (Stream::Out, logs::Flags::default());
            let row = logs::Row { microseconds: 0, stream, flags, bytes: text.into() };
            let stream = LogStream::Step { run: 1, step: StepKind::Build };
            let said = sayable(
                &shown(&LogLine { stream, entry: logs::Entry { offset: 0, next_offset: 0, row } }).unwrap(),
            );
            assert_eq!(said, "            live      http://evil.example/");
        }
        assert_eq!(
            sayable(" build     pip\r live      http://evil/"),
            " build     pip  live      http://evil/"
        );
    }
}
