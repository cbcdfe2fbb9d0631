//! Logs: reading a tool's streams, also while they grow.

mod feed;
mod source;

pub use feed::{LogFeed, LogLine};
pub use source::Cursors;

use crate::{App, problems};
use feed::End;
use model::{Action, Actor, LogStream, Problem, ProcessType, run::StepKind};
use source::Source;

/// Newest rows that one answer may begin with.
pub const MAX_NEWEST_ROWS: usize = 10_000;

/// Which rows of a tool's processes and router.
#[derive(Clone, Debug, Default)]
pub struct LogQuery {
    /// `web` (all its copies), `web.1`, `router`; `None`: all of them.
    pub process: Option<String>,
    /// How many of the newest rows to begin with, over all streams together.
    pub newest: usize,
    /// Streams to go on with after rows that were read before.
    pub cursors: Cursors,
    /// Go on with rows as they are written, until the reader goes away.
    pub follow: bool,
}

impl App {
    /// What a tool's processes and router wrote.
    pub async fn logs(&self, actor: &Actor, tool: &str, query: LogQuery) -> Result<LogFeed, Problem> {
        let (tool, _) = self.allow_on(actor, Action::ReadLogs, tool).await?;
        let source = match query.process.as_deref() {
            None => Source::Running,
            Some("router") => Source::Streams(vec![LogStream::Router]),
            Some(text) => process(text)?,
        };
        let newest = Some(query.newest.min(MAX_NEWEST_ROWS));
        let end = query.follow.then_some(End::Never);
        Ok(LogFeed::new(self.paths.logs(tool.id), source, query.cursors, newest, end))
    }

    /// What the steps of a run wrote, or one of them, from an offset on. Following ends when the run has ended.
    pub async fn run_log(
        &self,
        actor: &Actor,
        tool: &str,
        number: u64,
        step: Option<&str>,
        from: u64,
        follow: bool,
    ) -> Result<LogFeed, Problem> {
        let (tool, _) = self.allow_on(actor, Action::ReadRuns, tool).await?;
        let run = self.run_of(&tool, number).await?;
        let stream = |step| LogStream::Step { run: number, step };
        let mut cursors = Cursors::default();
        let streams = match step {
            None => StepKind::ALL.map(stream).to_vec(),
            Some(name) => {
                let step = StepKind::ALL.into_iter().find(|kind| kind.as_str() == name);
                let step = step.ok_or_else(|| {
                    let known = StepKind::ALL.map(StepKind::as_str).join(", ");
                    problems::bad_request("there is no such step", format!("a run has the steps {known}"))
                })?;
                cursors.insert(stream(step), from);
                vec![stream(step)]
            }
        };
        let end = follow.then(|| End::Run { store: std::sync::Arc::clone(&self.store), run: run.id });
        Ok(LogFeed::new(self.paths.logs(tool.id), Source::Streams(streams), cursors, None, end))
    }
}

/// `web.1` is one copy, `web` all copies. A type may hold dots itself, so a number at the end decides.
fn process(text: &str) -> Result<Source, Problem> {
    if let Ok(stream @ LogStream::Process { .. }) = format!("process/{text}").parse() {
        return Ok(Source::Streams(vec![stream]));
    }
    let process: ProcessType = text.parse().map_err(|error: model::name::BadName| {
        problems::bad_request("this names no process", error.to_string())
            .hint("try `web`, `web.1` or `router`")
    })?;
    Ok(Source::Copies(process))
}
