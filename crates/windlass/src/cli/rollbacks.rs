//! `rollback`: asks for a release to be live again, and shows its run as `git push` does.

use super::{
    arguments::Common,
    client,
    failure::Failure,
    output::{Printer, Tone, printable, short},
    session::Session,
};
use model::Problem;
use reqwest::Method;
use std::{
    io,
    process::ExitCode,
    time::{Duration, Instant},
};
use web::wire;

/// Between two looks at the run.
const PERIOD: Duration = Duration::from_millis(50);
/// How long a platform that is being restarted is waited for; the run goes on meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

/// Exit status 1: the release is not live.
pub(super) async fn rollback(common: &Common, release: Option<u64>) -> Result<ExitCode, Failure> {
    let session = Session::open(common)?;
    let (tool, printer) = (session.tool()?, &session.printer);
    let began = Instant::now();
    let asked = session
        .client
        .send(Method::POST, &["tools", tool, "rollback"], &wire::NewRollback { release })
        .await?;
    let rollback: wire::Rollback = client::read(&asked)?;
    if !printer.json {
        begin(printer, tool, &rollback)?;
    }
    let answer = ended(&session, tool, rollback.run.number).await?;
    let run: wire::Run = client::read(&answer)?;
    if printer.json {
        printer.document(&answer)?;
    } else {
        tell(printer, &rollback, &run, began.elapsed())?;
    }
    Ok(if run.state == "live" { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The run's last answer.
async fn ended(session: &Session, tool: &str, number: u64) -> Result<serde_json::Value, Problem> {
    let mut heard = Instant::now();
    loop {
        match session.client.get(&["tools", tool, "runs", &number.to_string()], &[]).await {
            Ok(answer) => {
                heard = Instant::now();
                if client::read::<wire::Run>(&answer)?.ended.is_some() {
                    return Ok(answer);
                }
            }
            Err(problem) if matches!(problem.status, 502..=504) && heard.elapsed() < PATIENCE => {}
            Err(problem) => return Err(problem),
        }
        tokio::time::sleep(PERIOD).await;
    }
}

fn begin(printer: &Printer, tool: &str, rollback: &wire::Rollback) -> io::Result<()> {
    let run = &rollback.run;
    let by = printable(run.by.as_deref().unwrap_or("you"));
    let (number, release, commit) = (run.number, rollback.release, short(&run.commit));
    let head = format!("tool \"{tool}\" · run {number} · back to v{release} ({commit}) by {by}");
    label(printer, "windlass", &head)?;
    for older in &rollback.superseded {
        label(printer, "note", &format!("run {older} ends; this rollback takes its place"))?;
    }
    Ok(())
}

fn tell(printer: &Printer, rollback: &wire::Rollback, run: &wire::Run, took: Duration) -> io::Result<()> {
    for step in &run.steps {
        if let Some(summary) = &step.summary {
            label(printer, &step.name, &printable(summary))?;
        }
        let Some(problem) = &step.problem else { continue };
        label(printer, &step.name, &format!("failed: {}", printable(&problem.title)))?;
        for line in problem.detail.lines().chain(problem.hint.iter().flat_map(|hint| hint.lines())) {
            label(printer, "", &printable(line))?;
        }
    }
    let took = format!("{:.1} s", took.as_secs_f64());
    match run.state.as_str() {
        "live" => {
            let live = format!("{}  ({took} after you asked)", printable(&rollback.url));
            label(printer, "live", &printer.paint(Tone::Good, &live))?;
            if rollback.from != rollback.release {
                label(printer, "note", &forward(rollback.from))?;
            }
            Ok(())
        }
        "superseded" => label(printer, "ended", &format!("a newer push or rollback took over after {took}")),
        "cancelled" => label(printer, "ended", &format!("cancelled after {took}")),
        _ => label(printer, "", &format!("`windlass runs show {} --log` shows all of it", run.number)),
    }
}

/// The way on: git knows nothing of rollbacks.
fn forward(from: u64) -> String {
    format!(
        "git's branch stays where it is: pushing a commit that it has already changes nothing. To undo this: \
         `windlass rollback v{from}`, or push a new commit"
    )
}

fn label(printer: &Printer, label: &str, text: &str) -> io::Result<()> {
    printer.line(format!(" {label:<9} {text}"))
}
