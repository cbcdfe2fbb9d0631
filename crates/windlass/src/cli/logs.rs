//! `logs`: what a tool's processes and its router wrote. A connection that breaks is taken up where it broke.

use super::{
    arguments::{Common, Logs},
    client,
    failure::Failure,
    output::{Printer, Tone},
    session::Session,
};
use jiff::tz::TimeZone;
use model::{LogStream, Problem};
use std::{collections::BTreeMap, io, time::Duration};
use web::wire::LogRow;

/// First and longest pause before a broken connection is taken up again.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub(super) async fn logs(common: &Common, logs: &Logs) -> Result<(), Failure> {
    let session = Session::open(common)?;
    let path = ["tools", session.tool()?, "logs"];
    let mut follower = Follower::new(&session);
    let mut query = vec![("rows", logs.rows.to_string()), ("follow", logs.follow.to_string())];
    query.extend(logs.process.iter().map(|process| ("process", process.clone())));
    let mut pause = FIRST_PAUSE;
    loop {
        let mut asked = query.clone();
        asked.extend(follower.cursors());
        let broken = match follower.print(&path, &asked).await {
            Ok(()) => return Ok(()),
            Err(Broken::Failure(failure)) => return Err(failure),
            Err(Broken::Connection(problem, rows)) => {
                if rows > 0 {
                    pause = FIRST_PAUSE;
                }
                problem
            }
        };
        if !logs.follow || !follower.answered {
            return Err(broken.into());
        }
        eprintln!("windlass: {}; trying again", broken.title);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// What the steps of a run wrote.
pub(super) async fn run_log(session: &Session, tool: &str, number: u64, follow: bool) -> Result<(), Failure> {
    let number = number.to_string();
    let path = ["tools", tool, "runs", &number, "log"];
    match Follower::new(session).print(&path, &[("follow", follow.to_string())]).await {
        Ok(()) => Ok(()),
        Err(Broken::Failure(failure)) => Err(failure),
        Err(Broken::Connection(problem, _)) => Err(problem.into()),
    }
}

/// Why a log was not read to its end.
enum Broken {
    Failure(Failure),
    /// After so many rows.
    Connection(Problem, u64),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Failure(error.into())
    }
}

struct Follower<'a> {
    session: &'a Session,
    zone: TimeZone,
    /// Where to go on in each stream.
    next: BTreeMap<LogStream, u64>,
    /// The platform has answered once: what breaks now may come back.
    answered: bool,
}

impl<'a> Follower<'a> {
    fn new(session: &'a Session) -> Self {
        Self { session, zone: TimeZone::system(), next: BTreeMap::new(), answered: false }
    }

    fn cursors(&self) -> Option<(&'static str, String)> {
        let cursors: Vec<String> =
            self.next.iter().map(|(stream, next)| format!("{stream}@{next}")).collect();
        (!cursors.is_empty()).then(|| ("cursors", cursors.join(",")))
    }

    async fn print(&mut self, path: &[&str], query: &[(&str, String)]) -> Result<(), Broken> {
        let mut rows = 0;
        let connection = |problem: Problem, rows| match problem.status {
            502..=504 => Broken::Connection(problem, rows),
            _ => Broken::Failure(problem.into()),
        };
        let mut lines =
            self.session.client.lines(path, query).await.map_err(|problem| connection(problem, rows))?;
        self.answered = true;
        while let Some(line) = lines.next().await.map_err(|problem| connection(problem, rows))? {
            let printer = &self.session.printer;
            let value: serde_json::Value = serde_json::from_slice(&line).map_err(io::Error::from)?;
            let row: LogRow = client::read(&value).map_err(|problem| Broken::Failure(problem.into()))?;
            if printer.json {
                printer.line(value.to_string())?;
            } else {
                printer.line(text(printer, &row, &self.zone))?;
            }
            self.next.insert(row.stream, row.next);
            rows += 1;
        }
        Ok(())
    }
}

/// `12:04:01.250 web.1     text`
fn text(printer: &Printer, row: &LogRow, zone: &TimeZone) -> String {
    let label = match &row.stream {
        LogStream::Step { step, .. } => step.as_str().to_owned(),
        LogStream::Process { process, number } => format!("{process}.{number}"),
        LogStream::Router => "router".to_owned(),
    };
    let microseconds = i64::try_from(row.microseconds).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_microsecond(microseconds).map_or_else(
        |_| "??:??:??.???".to_owned(),
        |time| time.to_zoned(zone.clone()).strftime("%H:%M:%S%.3f").to_string(),
    );
    let words = logs::clean(row.text.as_bytes());
    let words = match row.source.as_str() {
        "platform" => printer.paint(Tone::Busy, &format!("windlass: {words}")),
        "marker" => printer.paint(Tone::Busy, &format!("-- {words}")),
        _ => words,
    };
    format!("{} {label:<9} {words}", printer.paint(Tone::Quiet, &time))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(stream: &str, source: &str, text: &str) -> String {
        let row = LogRow {
            stream: stream.parse().unwrap(),
            offset: 0,
            next: 10,
            microseconds: 1_700_000_000_250_000,
            source: source.into(),
            partial: false,
            text: text.into(),
        };
        super::text(&Printer::plain(), &row, &TimeZone::UTC)
    }

    #[test]
    fn a_row_says_when_who_and_what() {
        assert_eq!(said("process/web.1", "out", "hello"), "22:13:20.250 web.1     hello");
        assert_eq!(said("run/3/build", "err", "oh"), "22:13:20.250 build     oh");
        assert_eq!(said("router", "platform", "GET / 200"), "22:13:20.250 router    windlass: GET / 200");
        assert_eq!(
            said("process/web.1", "marker", "3 rows dropped"),
            "22:13:20.250 web.1     -- 3 rows dropped"
        );
    }

    #[test]
    fn what_a_tool_writes_cannot_drive_the_terminal() {
        assert_eq!(said("process/web.1", "out", "\x1b]0;x\x07a\x1b[2Jb"), "22:13:20.250 web.1     ab");
    }
}
