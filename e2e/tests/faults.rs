//! What the platform breaks is told as its own fault, with an id under which the operator finds the cause in the log;
//! the person reads nothing of this machine.

#![allow(clippy::unwrap_used, reason = "helpers of tests: they fail by panicking")]

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::PathBuf,
};
use testkit::{Tool, World};

/// What a person was told: whose fault it is, and an id whose row in the log holds this cause.
#[track_caller]
fn blames_the_platform(world: &World, text: &str, cause: &str) {
    let told = "This is the platform's fault, not yours; the operator finds it in the log as ";
    let at = text.find(told).unwrap_or_else(|| panic!("nobody is blamed in:\n{text}"));
    let id: String = text[at + told.len()..].chars().take(8).collect();
    let log = world.log();
    let row = log.lines().find(|line| line.contains(&format!("fault={id}")));
    let row = row.unwrap_or_else(|| panic!("no row has fault={id}:\n{log}"));
    assert!(row.contains(cause), "`{cause}` is not in: {row}");
    for secret in [world.data.to_str().unwrap(), "/run/windlass", world.token()] {
        assert!(!text.contains(secret), "`{secret}` was told:\n{text}");
    }
}

fn id(tool: &Tool<'_>) -> String {
    let status = tool.cli(&["status", "--json"]).text;
    let at = status.find("\"id\":").unwrap_or_else(|| panic!("no id in {status}"));
    status[at + 5..].split('"').nth(1).unwrap().to_owned()
}

/// Puts something useless where something of the platform stood, until [`Broken::mend`].
struct Broken {
    place: PathBuf,
    aside: PathBuf,
}

impl Broken {
    fn new(place: PathBuf) -> Self {
        let aside = place.with_extension("aside");
        fs::rename(&place, &aside).unwrap_or_else(|error| panic!("{}: {error}", place.display()));
        if aside.is_dir() {
            fs::write(&place, "useless").unwrap();
        } else {
            fs::create_dir(&place).unwrap();
        }
        Self { place, aside }
    }

    fn mend(self) {
        if self.aside.is_dir() { fs::remove_file(&self.place) } else { fs::remove_dir(&self.place) }.unwrap();
        fs::rename(&self.aside, &self.place).unwrap();
    }
}

#[test]
fn what_the_platform_breaks_is_told_as_its_own_fault_with_an_id_that_the_log_knows() {
    let world = World::new();
    let tool = world.tool("unlucky", "stdlib-http");
    tool.push().succeeded();
    let tool_id = id(&tool);

    // A repository that is none any more: git shows the text before anything is sent.
    let broken = Broken::new(world.data.join(format!("git/{tool_id}.git/objects")));
    tool.edit("app.py", "hello from stdlib-http", "good day");
    let refused = tool.push();
    assert_eq!(refused.status, 128, "{}", refused.text);
    blames_the_platform(&world, &refused.text, "git");
    broken.mend();

    // A tag that cannot be written down; one that is there already is the pusher's own affair.
    let tags = world.data.join(format!("git/{tool_id}.git/refs/tags"));
    let was = fs::metadata(&tags).unwrap();
    chown(&tags, Some(0), Some(0)).unwrap();
    fs::set_permissions(&tags, fs::Permissions::from_mode(0o755)).unwrap();
    let refused = tool.push_ref("main:refs/tags/v1").failed().says("(the platform failed)");
    blames_the_platform(&world, &refused.text, "Permission denied");
    chown(&tags, Some(was.uid()), Some(was.gid())).unwrap();
    tool.push_ref("main:refs/tags/v1").succeeded();

    // Nowhere to put a layer: the run is tried again, and then says so.
    let broken = Broken::new(world.data.join("blobs/sha256"));
    let failed = tool.push().failed();
    blames_the_platform(&world, &failed.text, "a step of a run");
    broken.mend();
    tool.edit("app.py", "good day", "good evening");
    tool.push().succeeded();
    assert_eq!(tool.get("/").body, "good evening\n");

    // A stream that cannot be read, over the API.
    let stream = fs::read_dir(world.data.join("logs").join(&tool_id).join("process"));
    let stream = stream.unwrap().flatten().map(|entry| entry.path()).find(|path| path.is_file()).unwrap();
    let broken = Broken::new(stream);
    let refused = tool.cli(&["logs"]);
    assert_eq!(refused.status, 8, "{}", refused.text);
    blames_the_platform(&world, &refused.text, "reading the log");
    broken.mend();
}
