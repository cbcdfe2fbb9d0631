//! `releases`: what was, is or could be live, and when it was.

use super::{
    arguments::{Common, Page},
    client,
    failure::Failure,
    output::{Printer, ago, printable, short},
    runs::query,
    session::Session,
};
use jiff::Timestamp;
use web::wire;

pub(super) async fn releases(common: &Common, page: &Page) -> Result<(), Failure> {
    let session = Session::open(common)?;
    let answer = session.client.get(&["tools", session.tool()?, "releases"], &query(page)).await?;
    let printer = &session.printer;
    if printer.json {
        return Ok(printer.document(&answer)?);
    }
    let wire::Releases { releases, history } = client::read(&answer)?;
    if releases.is_empty() {
        return Ok(printer.line("No release yet. The first push that builds makes v1.")?);
    }
    let now = Timestamp::now();
    let rows: Vec<_> = releases.iter().map(|release| row(printer, release, now)).collect();
    printer.table(&["RELEASE", "STATE", "RUN", "COMMIT", "IMAGE", "WENT LIVE"], &rows)?;
    if !history.is_empty() {
        printer.line("")?;
        let rows: Vec<_> = history.iter().map(|row| entry(row, now)).collect();
        printer.table(&["PRODUCTION", "HOW", "BY", "RUN", "SINCE"], &rows)?;
    }
    // The whole digest, ready to be pulled: of what is live, else of the newest.
    let shown = releases.iter().find(|release| release.current).or(releases.first());
    if let Some(digest) = shown.and_then(|release| release.processes.values().next()) {
        let (host, tool) = (session.client.server().host(), session.tool()?);
        printer.line(format!("\ndocker pull {host}/{}/release@{}", printable(tool), printable(digest)))?;
    }
    Ok(())
}

fn row(printer: &Printer, release: &wire::Release, now: Timestamp) -> Vec<String> {
    let state = if release.current { "live" } else { &release.state };
    let web = release.processes.values().next().map_or("", String::as_str);
    vec![
        format!("v{}", release.number),
        printer.state(&printable(state)),
        release.run.to_string(),
        short(&release.commit),
        printable(web).chars().take(19).collect(),
        release.deployed.as_ref().map_or_else(|| "never".to_owned(), |at| ago(at, now)),
    ]
}

fn entry(row: &wire::Deployment, now: Timestamp) -> Vec<String> {
    let how = match (row.rollback, row.from) {
        (true, Some(from)) => format!("rolled back from v{from}"),
        (true, None) => "rolled back".to_owned(),
        (false, _) => "pushed".to_owned(),
    };
    vec![format!("v{}", row.release), how, printable(&row.by), row.run.to_string(), ago(&row.at, now)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_history_says_what_came_back_from_where_and_by_whom() {
        let history: Vec<wire::Deployment> = serde_json::from_value(json!([
            { "release": 12, "at": "2026-03-04T11:58:00Z", "run": 14, "by": "ada", "rollback": true, "from": 13 },
            { "release": 13, "at": "2026-03-04T11:00:00Z", "run": 13, "by": "bob", "rollback": false, "from": 12 },
        ]))
        .unwrap();
        let now = "2026-03-04T12:00:00Z".parse().unwrap();
        let said: Vec<_> = history.iter().map(|row| entry(row, now).join(" | ")).collect();
        assert_eq!(
            said,
            ["v12 | rolled back from v13 | ada | 14 | 2 min ago", "v13 | pushed | bob | 13 | 1 h ago"]
        );
    }
}
