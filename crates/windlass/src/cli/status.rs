//! `status`: what a tool is doing now.

use super::{
    arguments::Common,
    client,
    failure::Failure,
    output::{Printer, Tone, ago, duration, printable, short},
    session::Session,
};
use jiff::Timestamp;
use model::run::OnNewPush;
use web::wire;

pub(super) async fn status(common: &Common) -> Result<(), Failure> {
    let session = Session::open(common)?;
    let answer = session.client.get(&["tools", session.tool()?], &[]).await?;
    if session.printer.json {
        return Ok(session.printer.document(&answer)?);
    }
    Ok(show(&session.printer, &client::read(&answer)?, Timestamp::now())?)
}

fn show(printer: &Printer, status: &wire::Status, now: Timestamp) -> std::io::Result<()> {
    for (label, text) in lines(printer, status, now) {
        if label.is_empty() {
            printer.line(text)?;
        } else {
            printer.field(&label, &text)?;
        }
    }
    Ok(())
}

/// Labels and texts; the headline has no label.
fn lines(printer: &Printer, status: &wire::Status, now: Timestamp) -> Vec<(String, String)> {
    let tool = &status.tool;
    let name = printer.paint(Tone::Strong, tool.name.as_str());
    let url = printable(&tool.url);
    let mut lines =
        vec![(String::new(), format!("{name} · {} · {url}", printer.state(&printable(&status.state))))];
    let mut add = |label: &str, text: String| lines.push((label.to_owned(), text));
    if let Some(release) = &status.release {
        add(
            "release",
            format!("v{} · {} · made {}", release.number, short(&release.commit), ago(&release.created, now)),
        );
    }
    if let Some(production) = &tool.production_branch {
        add("deploys", format!("pushes of {}", printable(production)));
    }
    if tool.on_new_push == Some(OnNewPush::Queue) {
        add("queues", "a new push waits for earlier runs of its branch".to_owned());
    }
    for replica in &status.replicas {
        let state = printer.state(&printable(&replica.state));
        add(
            replica.process.as_str(),
            format!("{state} · v{} · since {}", replica.release, ago(&replica.since, now)),
        );
    }
    if let Some(run) = &status.last_run {
        let what = format!("{} {}", super::runs::what(run), short(&run.commit));
        let state = printer.state(&printable(&run.state));
        add(
            "last run",
            format!(
                "{} · {state} · {what} · {} · {}",
                run.number,
                duration(run.milliseconds),
                ago(&run.created, now)
            ),
        );
        if run.state == "failed" {
            add("", format!("\nhint: `windlass runs show {}` tells why", run.number));
        }
    }
    match status.state.as_str() {
        "empty" if status.last_run.is_none() => {
            // A branch's name may hold what a shell would obey, so it stands in no command line.
            let branch = if tool.production_branch.is_some() { "BRANCH" } else { "main" };
            let url = printable(&tool.git_url);
            add("next", format!("git remote add windlass {url} && git push windlass {branch}"));
        }
        "stopped" => add("next", "`windlass start` starts it again".to_owned()),
        "failing" => add("next", "`windlass logs` shows what it wrote".to_owned()),
        _ => {}
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn text(status: serde_json::Value) -> String {
        let status: wire::Status = serde_json::from_value(status).unwrap();
        let now = "2026-03-04T12:00:00Z".parse().unwrap();
        let lines = lines(&Printer::plain(), &status, now);
        lines
            .iter()
            .map(|(label, text)| format!("{label:<10}{text}").trim().to_owned())
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn tool() -> serde_json::Value {
        json!({
            "id": "x", "name": "shop", "url": "http://shop.localhost:8080/", "wanted": "running",
            "git_url": "http://localhost:8080/git/shop.git", "created": "2026-03-04T11:00:00Z",
        })
    }

    #[test]
    fn a_new_tool_says_how_to_begin() {
        let said = text(json!({ "tool": tool(), "state": "empty", "replicas": [] }));
        assert_eq!(
            said,
            "shop · empty · http://shop.localhost:8080/\n\
             next      git remote add windlass http://localhost:8080/git/shop.git && git push windlass main"
        );
    }

    #[test]
    fn a_live_tool_says_what_runs_and_what_came_last() {
        let mut tool = tool();
        tool["production_branch"] = "main".into();
        let said = text(json!({
            "tool": tool, "state": "live",
            "release": { "number": 11, "commit": "3f2a9c1d00", "processes": {}, "created": "2026-03-04T11:50:00Z" },
            "replicas": [{ "process": "web", "release": 11, "state": "healthy", "since": "2026-03-04T11:50:01Z" }],
            "last_run": {
                "number": 12, "state": "failed", "reference": "refs/heads/main", "commit": "99aabbccdd", "ending": false,
                "created": "2026-03-04T11:58:00Z", "milliseconds": 2100,
            },
        }));
        assert_eq!(
            said,
            "shop · live · http://shop.localhost:8080/\n\
             release   v11 · 3f2a9c1 · made 10 min ago\n\
             deploys   pushes of main\n\
             web       healthy · v11 · since 9 min ago\n\
             last run  12 · failed · main 99aabbc · 2.1 s · 2 min ago\n\
             hint: `windlass runs show 12` tells why"
        );
    }
}
