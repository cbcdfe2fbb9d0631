//! Before a program takes the place of this one it is asked whether it would: once it is executed there is no way back.

use super::{
    Running,
    message::{Document, MAX_DOCUMENT_BYTES},
    now,
};
use crate::{settings::Settings, up::socket::listening_at};
use anyhow::{Context, Result, bail, ensure};
use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

/// How the new program is asked: `windlass would-take-over <windlass.toml>`, the document on its standard input.
pub(crate) const VERB: &str = "would-take-over";
/// What it says when it would.
const YES: &str = "yes";
/// How long it may think about it.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Asks the program at the path.
///
/// # Errors
/// When it cannot be run, or says no.
pub(in crate::up) async fn rehearse(running: &Running) -> Result<()> {
    let program = &running.start.program;
    let place = || program.display();
    let identity = || -> Result<_> {
        let metadata = fs::metadata(program).with_context(|| format!("cannot find {}", place()))?;
        Ok((metadata.dev(), metadata.ino(), metadata.mtime_nsec()))
    };
    let before = identity()?;
    let document = serde_json::to_vec(&Document::of(running, &[], false, now()))?;
    let asked = timeout(ANSWER_WITHIN, ask(program, &running.start.file, &document)).await;
    let Output { status, stdout, stderr } = asked
        .with_context(|| format!("{} does not say whether it would take over", place()))?
        .with_context(|| format!("cannot run {}", place()))?;
    if !status.success() || stdout.trim_ascii() != YES.as_bytes() {
        let said = String::from_utf8_lossy(&stderr);
        let said: String = said.trim().chars().take(1000).collect();
        bail!("{} would not take over ({status}): {said}", place());
    }
    ensure!(identity()? == before, "{} was replaced at this moment; ask again", place());
    Ok(())
}

async fn ask(program: &Path, file: &Path, document: &[u8]) -> std::io::Result<Output> {
    let mut child = Command::new(program)
        .arg(VERB)
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir("/")
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read says in its own way that it would not.
        let _ = stdin.write_all(document).await;
    }
    child.wait_with_output().await
}

/// The new program's answer, on its standard output.
///
/// # Errors
/// Why it would not take over.
pub(crate) fn answer(file: &Path) -> Result<()> {
    let mut bytes = Vec::new();
    std::io::stdin().take(MAX_DOCUMENT_BYTES as u64).read_to_end(&mut bytes)?;
    let document = Document::read(&bytes)?;
    let settings = Settings::read(file)?;
    crate::serve::check(&settings)?;
    let paths = settings.paths();
    for (key, has, says) in
        [("paths.data", &document.data, &paths.data), ("paths.run", &document.run, &paths.run)]
    {
        ensure!(
            has == says,
            "{key} is {} now, but the platform runs on {}; end it and start it to change that",
            says.display(),
            has.display()
        );
    }
    let (has, says) = (document.listen, settings.server.listen);
    ensure!(has == says, "{}", listening_at(has, says));
    Ok(writeln!(std::io::stdout(), "{YES}")?)
}
