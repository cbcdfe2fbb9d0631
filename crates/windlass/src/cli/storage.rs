//! `storage`, `scrub`: the platform's disk, for operators.

use super::{
    arguments::Common,
    client,
    failure::Failure,
    output::{Printer, Tone, ago, printable},
    session::Session,
};
use jiff::Timestamp;
use model::limits::MIB;
use reqwest::Method;
use std::{io, process::ExitCode, time::Duration};
use web::wire;

/// Between two looks whether the pass has ended.
const PERIOD: Duration = Duration::from_millis(300);

pub(super) async fn storage(common: &Common) -> Result<(), Failure> {
    let session = Session::open(common)?;
    let answer = session.client.get(&["storage"], &[]).await?;
    let printer = &session.printer;
    if printer.json {
        return Ok(printer.document(&answer)?);
    }
    let storage: wire::Storage = client::read(&answer)?;
    for (label, text) in lines(&storage, Timestamp::now()) {
        printer.field(label, &text)?;
    }
    if let Some(scrub) = &storage.scrub {
        damages(printer, scrub)?;
    }
    Ok(())
}

fn lines(storage: &wire::Storage, now: Timestamp) -> Vec<(&'static str, String)> {
    let mebibytes = |bytes: u64| format!("{} MiB", bytes / MIB);
    let mut lines = vec![
        (
            "layers",
            format!(
                "{} · {} unpacked · {} as blobs",
                storage.layers,
                mebibytes(storage.tree_bytes),
                mebibytes(storage.blob_bytes)
            ),
        ),
        (
            "going",
            format!(
                "{} in the trash ({}) · {} replaced and still run on ({})",
                storage.trashed,
                mebibytes(storage.trashed_bytes),
                storage.replaced,
                mebibytes(storage.replaced_bytes)
            ),
        ),
    ];
    if let Some(max) = storage.max_bytes {
        lines.push(("ceiling", format!("{} for layers and blobs", mebibytes(max))));
    }
    let files = storage.free_files.map(|files| format!(" · room for {files} files")).unwrap_or_default();
    lines.push((
        "disk",
        format!("{} of {} free{files}", mebibytes(storage.free_bytes), mebibytes(storage.disk_bytes)),
    ));
    let reserve = mebibytes(storage.reserve_bytes);
    lines.push((
        "reserve",
        if storage.free_bytes < storage.reserve_bytes {
            format!("{reserve}: NO BUILD BEGINS until so much is free; remove tools or add a disk")
        } else {
            format!("{reserve} are kept free: below that no build begins")
        },
    ));
    let scrub = storage.scrub.as_ref().filter(|scrub| scrub.layers + scrub.blobs > 0);
    lines.push(("scrub", scrub.map_or_else(|| "none yet".to_owned(), |scrub| summary(scrub, now))));
    lines
}

fn summary(scrub: &wire::Scrub, now: Timestamp) -> String {
    let state = match &scrub.ended {
        Some(ended) => ago(ended, now),
        None => "under way".to_owned(),
    };
    let found = match scrub.damages.len() {
        0 => "nothing damaged".to_owned(),
        1 => "1 thing damaged".to_owned(),
        count => format!("{count} things damaged"),
    };
    let read = scrub.read_bytes / MIB;
    format!("{state} · {} layers, {} other blobs, {read} MiB read · {found}", scrub.layers, scrub.blobs)
}

fn damages(printer: &Printer, scrub: &wire::Scrub) -> io::Result<()> {
    for damage in &scrub.damages {
        let tone = if damage.outcome == "repaired" { Tone::Busy } else { Tone::Bad };
        printer.line(format!(
            "{}  {}",
            printer.paint(tone, &printable(&damage.outcome)),
            printable(&damage.subject)
        ))?;
        for found in &damage.found {
            printer.line(format!("  {}", printable(found)))?;
        }
        let users: Vec<String> = damage.users.iter().map(|user| printable(user)).collect();
        printer.line(if users.is_empty() {
            "  no kept release needs it".to_owned()
        } else {
            format!("  needed by {}", users.join(", "))
        })?;
        printer.line(if damage.outcome == "repaired" {
            "  copies that run keep the damaged directory until `windlass restart`"
        } else {
            "  nothing is started from it; push those tools again, which makes it anew"
        })?;
    }
    Ok(())
}

/// Waits for the end of the pass.
pub(super) async fn scrub(common: &Common) -> Result<ExitCode, Failure> {
    let session = Session::open(common)?;
    let mut answer = session.client.ask(Method::POST, &["storage", "scrubs"]).await?;
    let mut scrub: wire::Scrub = client::read(&answer)?;
    while scrub.ended.is_none() {
        tokio::time::sleep(PERIOD).await;
        answer = session.client.get(&["storage", "scrubs", &scrub.number.to_string()], &[]).await?;
        scrub = client::read(&answer)?;
    }
    let printer = &session.printer;
    if printer.json {
        printer.document(&answer)?;
    } else {
        printer.line(summary(&scrub, Timestamp::now()))?;
        damages(printer, &scrub)?;
    }
    let good = scrub.damages.iter().all(|damage| damage.outcome == "repaired");
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
