//! `quota`: what takes how much of a tool's storage.

use super::{
    arguments::Common,
    client,
    failure::Failure,
    output::{Printer, Tone},
    session::Session,
};
use store::quotas::size;
use web::wire;

pub(super) async fn quota(common: &Common) -> Result<(), Failure> {
    let session = Session::open(common)?;
    let answer = session.client.get(&["tools", session.tool()?, "quota"], &[]).await?;
    if session.printer.json {
        return Ok(session.printer.document(&answer)?);
    }
    Ok(show(&session.printer, session.tool()?, &client::read(&answer)?)?)
}

fn show(printer: &Printer, tool: &str, quota: &wire::Quota) -> std::io::Result<()> {
    let name = printer.paint(Tone::Strong, tool);
    printer.line(format!("{name} · {} of {} used", size(quota.used_bytes), size(quota.limit_bytes)))?;
    for (label, bytes) in rows(quota) {
        printer.field(label, &size(bytes))?;
    }
    Ok(())
}

/// What there is something of.
fn rows(quota: &wire::Quota) -> Vec<(&'static str, u64)> {
    let rows = [
        ("images", quota.images_bytes),
        ("caches", quota.caches_bytes),
        ("pushed", quota.pushed_bytes),
        ("uploads", quota.uploads_bytes),
    ];
    rows.into_iter().filter(|(_, bytes)| *bytes > 0).collect()
}
