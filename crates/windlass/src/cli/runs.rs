//! `runs list|show|cancel|retry`.

use super::{
    arguments::{Common, Page, Runs},
    client,
    failure::{self, Failure},
    logs,
    output::{Printer, Tone, ago, branch, duration, printable, short},
    session::Session,
};
use jiff::Timestamp;
use reqwest::Method;
use std::{io, process::ExitCode};
use web::wire;

pub(super) async fn runs(common: &Common, verb: &Runs) -> Result<ExitCode, Failure> {
    let session = Session::open(common)?;
    match verb {
        Runs::List { page } => list(&session, page).await?,
        Runs::Show { number, follow: true, .. } => return follow(&session, *number).await,
        Runs::Show { number, log, .. } => show(&session, *number, *log).await?,
        Runs::Cancel { number } => cancel(&session, *number).await?,
        Runs::Retry { number, follow } => return retry(&session, *number, *follow).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// The page of a list, as the API takes it.
pub(super) fn query(page: &Page) -> Vec<(&'static str, String)> {
    let before = page.before.map(|before| ("before", before.to_string()));
    std::iter::once(("limit", page.limit.to_string())).chain(before).collect()
}

async fn list(session: &Session, page: &Page) -> Result<(), Failure> {
    let answer = session.client.get(&["tools", session.tool()?, "runs"], &query(page)).await?;
    let printer = &session.printer;
    if printer.json {
        return Ok(printer.document(&answer)?);
    }
    let runs = client::read::<wire::Runs>(&answer)?.runs;
    if runs.is_empty() {
        return Ok(printer.line("No run yet. `git push windlass main` starts one.")?);
    }
    let now = Timestamp::now();
    let row = |run: &wire::Run| {
        vec![
            run.number.to_string(),
            printer.state(&printable(&run.state)),
            what(run),
            short(&run.commit),
            printable(run.by.as_deref().unwrap_or("")),
            duration(run.milliseconds),
            ago(&run.created, now),
        ]
    };
    let rows: Vec<_> = runs.iter().map(row).collect();
    Ok(printer.table(&["RUN", "STATE", "BRANCH", "COMMIT", "BY", "TOOK", "WHEN"], &rows)?)
}

async fn show(session: &Session, number: u64, log: bool) -> Result<(), Failure> {
    let tool = session.tool()?;
    let answer = session.client.get(&["tools", tool, "runs", &number.to_string()], &[]).await?;
    if session.printer.json {
        return Ok(session.printer.document(&answer)?);
    }
    print(&session.printer, &client::read(&answer)?, Timestamp::now())?;
    if log {
        session.printer.line("")?;
        logs::run_log(session, tool, number, false).await?;
    }
    Ok(())
}

/// Prints what the steps write until the run has ended; a run that did not end well is a failure, told apart when it was
/// the tool's storage that was full.
async fn follow(session: &Session, number: u64) -> Result<ExitCode, Failure> {
    let tool = session.tool()?;
    logs::run_log(session, tool, number, true).await?;
    let answer = session.client.get(&["tools", tool, "runs", &number.to_string()], &[]).await?;
    let run: wire::Run = client::read(&answer)?;
    if session.printer.json {
        session.printer.document(&answer)?;
    } else {
        session.printer.line("")?;
        print(&session.printer, &run, Timestamp::now())?;
    }
    if matches!(run.state.as_str(), "live" | "passed") {
        return Ok(ExitCode::SUCCESS);
    }
    let mut problems = run.steps.iter().filter_map(|step| step.problem.as_ref());
    let full = problems.find(|problem| problem.id == "quota-storage");
    Ok(full.map_or(ExitCode::FAILURE, |problem| ExitCode::from(failure::exit_status(problem))))
}

/// `main`, or `back to v12`.
pub(super) fn what(run: &wire::Run) -> String {
    run.rollback_to.map_or_else(|| branch(&run.reference), |release| format!("back to v{release}"))
}

fn print(printer: &Printer, run: &wire::Run, now: Timestamp) -> io::Result<()> {
    lines(printer, run, now).iter().try_for_each(|line| printer.line(line))
}

fn lines(printer: &Printer, run: &wire::Run, now: Timestamp) -> Vec<String> {
    let by = run.by.as_deref().map(|by| format!(" by {}", printable(by))).unwrap_or_default();
    let ending = match (run.ending, run.superseded_by, run.waits_for) {
        (true, Some(newer), _) => format!(", is ending in favour of run {newer}"),
        (true, None, _) => ", is ending".to_owned(),
        (false, Some(newer), _) => format!(" by run {newer}"),
        (false, None, Some(earlier)) => format!(", waits for run {earlier}"),
        (false, None, None) => String::new(),
    };
    let mut lines = vec![format!(
        "run {} · {}{ending} · {} {}{by} · {} · {}",
        printer.paint(Tone::Strong, &run.number.to_string()),
        printer.state(&printable(&run.state)),
        what(run),
        short(&run.commit),
        duration(run.milliseconds),
        ago(&run.created, now),
    )];
    for step in &run.steps {
        let took = step.milliseconds.map(duration).unwrap_or_default();
        let word = printable(&step.state);
        // Painted after it was padded: colours take no room.
        let state = printer.state(&word) + &" ".repeat(10_usize.saturating_sub(word.chars().count()));
        let summary = step.summary.as_deref().map(printable).unwrap_or_default();
        let line = format!("  {:<10}{state}{took:<12}{summary}", printable(&step.name));
        lines.push(line.trim_end().to_owned());
        let Some(problem) = &step.problem else { continue };
        lines.push(format!("    {}", printer.paint(Tone::Bad, &printable(&problem.title))));
        lines.extend(problem.detail.lines().map(|line| format!("    {}", printable(line))));
        lines.extend(
            problem
                .hint
                .iter()
                .flat_map(|hint| hint.lines())
                .map(|line| format!("    hint: {}", printable(line))),
        );
    }
    lines
}

async fn retry(session: &Session, number: u64, and_follow: bool) -> Result<ExitCode, Failure> {
    let path = ["tools", session.tool()?, "runs", &number.to_string(), "retry"];
    let answer = session.client.ask(Method::POST, &path).await?;
    let run: wire::Run = client::read(&answer)?;
    let printer = &session.printer;
    if printer.json && !and_follow {
        printer.document(&answer)?;
    } else if !printer.json {
        let waits = run.waits_for.map(|earlier| format!(" when run {earlier} has ended")).unwrap_or_default();
        printer.line(format!("run {} tries run {number} again{waits}", run.number))?;
    }
    if and_follow {
        return follow(session, run.number).await;
    }
    if !printer.json {
        printer.line(format!("`windlass runs show {} --follow` shows how it goes", run.number))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn cancel(session: &Session, number: u64) -> Result<(), Failure> {
    let path = ["tools", session.tool()?, "runs", &number.to_string(), "cancel"];
    let answer = session.client.ask(Method::POST, &path).await?;
    let printer = &session.printer;
    if printer.json {
        return Ok(printer.document(&answer)?);
    }
    let run: wire::Run = client::read(&answer)?;
    let how = if run.ending { "ends within a moment" } else { "has ended" };
    Ok(printer.line(format!("run {number} {how}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_failed_run_says_what_failed_and_what_to_do() {
        let run: wire::Run = serde_json::from_value(json!({
            "number": 12, "state": "failed", "reference": "refs/heads/main", "commit": "3f2a9c1d00", "by": "ada",
            "ending": false, "created": "2026-03-04T11:58:00Z", "milliseconds": 2100,
            "steps": [
                { "name": "plan", "state": "done", "milliseconds": 80, "faults": 0, "summary": "python 3.13" },
                { "name": "build", "state": "failed", "milliseconds": 2000, "faults": 0, "problem": {
                    "id": "build-failed", "status": 422, "title": "pip could not install", "detail": "line 3\nflsk",
                    "hint": "is the name right?",
                }},
                { "name": "release", "state": "skipped", "faults": 0 },
            ],
        }))
        .unwrap();
        let lines = lines(&Printer::plain(), &run, "2026-03-04T12:00:00Z".parse().unwrap());
        assert_eq!(
            lines.join("\n"),
            "run 12 · failed · main 3f2a9c1 by ada · 2.1 s · 2 min ago\n\
             \x20 plan      done      0.0 s       python 3.13\n\
             \x20 build     failed    2.0 s\n\
             \x20   pip could not install\n\
             \x20   line 3\n\
             \x20   flsk\n\
             \x20   hint: is the name right?\n\
             \x20 release   skipped"
        );
    }
}
