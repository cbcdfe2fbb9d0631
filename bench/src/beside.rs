//! The same application, pushed to Windlass and built with `pack build` and started with `docker run`, in turns: the
//! same base images, buildpacks and packages. What differs is the platform.

use crate::{
    Rounds,
    peers::{Peers, docker::Docker, free_port, pack::Pack},
    push, start,
    table::{Table, middle},
};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};
use testkit::World;

/// Name, application in `e2e/apps`, phrase of its page.
const APPLICATIONS: [(&str, &str, &str); 2] = [
    ("flask", "flask-hello", "hello from flask"),
    ("libraries", "flask-libraries", "hello from flask-libraries"),
];
/// Between two questions for the page, as for Windlass.
const ASK_EVERY: Duration = Duration::from_millis(5);
const GIVE_UP: Duration = Duration::from_mins(5);

/// Prints a table of its own below the others.
pub(crate) fn measure(table: &mut Table, peers: &Peers, rounds: &Rounds) -> Result<()> {
    let world = World::new();
    let docker = Docker::start(peers)?;
    let pack = Pack::new(&world, &docker, None)?;
    for (name, application, phrase) in APPLICATIONS {
        application_beside(table, &world, &pack, rounds, name, application, phrase)?;
    }
    Ok(())
}

fn application_beside(
    table: &mut Table,
    world: &World,
    pack: &Pack<'_>,
    rounds: &Rounds,
    name: &str,
    application: &str,
    phrase: &str,
) -> Result<()> {
    eprintln!("{application} beside pack: {} cold builds", rounds.cold_builds);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for number in 1..=rounds.cold_builds {
        let tool = world.tool(&format!("{name}-cold-{number}"), application);
        ours.push(push::push(world, &tool, phrase)?.whole);
        let mut peer = Peer::new(pack, &format!("{name}-cold-{number}"), &tool.directory)?;
        theirs.push(peer.deploy(phrase)?);
        peer.end();
    }
    let cold = (ours, theirs);

    eprintln!("{application} beside pack: {} pushes with one changed line", rounds.pushes);
    let tool = world.tool(name, application);
    let mut peer = Peer::new(pack, name, &tool.directory)?;
    push::push(world, &tool, phrase)?;
    peer.deploy(phrase)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut before = phrase.to_owned();
    for number in 1..=rounds.pushes {
        let phrase = format!("changed line {number} of {}", rounds.pushes);
        tool.edit("app.py", &before, &phrase);
        peer.take(&tool.directory)?;
        ours.push(push::push(world, &tool, &phrase)?);
        theirs.push(peer.deploy(&phrase)?);
        before = phrase;
    }
    let changed = (ours, theirs);

    eprintln!("{application} beside pack: {} times nothing changed", rounds.empty_pushes);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds.empty_pushes {
        ours.push(push::empty(&tool)?.0);
        theirs.push(peer.deploy(&before)?);
    }
    let unchanged = (ours, theirs);
    peer.end();

    eprintln!("{application}: {} starts of its own", rounds.starts);
    let own = start::own(world, name, rounds.starts)?;
    let own_seconds = middle(&own);
    table.heading(format!("{application}: Windlass beside pack and docker"));
    table.seconds("the application's own start", &own);
    // Where nothing changed our copy goes on: only the peer starts the application anew.
    let mut pair = |what: &str, ours: &[Duration], theirs: &[Duration], starts: f64, goal: f64| {
        table.seconds(format!("{what}: Windlass"), ours);
        table.seconds(format!("{what}: pack build, docker run"), theirs);
        let (ours, theirs) = (middle(ours), middle(theirs));
        table.words(format!("  {what}, as it is: {:.1} times", theirs / ours));
        table.ratio(
            &format!("  {what}, own start off where there is one"),
            (theirs - own_seconds) / (ours - own_seconds * starts),
            goal,
        );
    };
    let whole: Vec<Duration> = changed.0.iter().map(|push| push.whole).collect();
    pair("cold", &cold.0, &cold.1, 1.0, 1.5);
    pair("one line", &whole, &changed.1, 1.0, 10.0);
    pair("nothing", &unchanged.0, &unchanged.1, 0.0, 20.0);
    table.words(format!("where Windlass spends it: {application}, one changed line"));
    push::show(table, &changed.0);
    Ok(())
}

/// One application at the peer: its source, its image, the container that runs.
struct Peer<'a> {
    pack: &'a Pack<'a>,
    name: String,
    source: PathBuf,
    container: Option<String>,
}

impl<'a> Peer<'a> {
    fn new(pack: &'a Pack<'a>, name: &str, from: &std::path::Path) -> Result<Self> {
        let source = pack.docker.scratch.0.join("sources").join(name);
        let peer = Self { pack, name: name.to_owned(), source, container: None };
        peer.take(from)?;
        Ok(peer)
    }

    /// The files of a working copy as they are now, without git's.
    fn take(&self, from: &std::path::Path) -> Result<()> {
        fs::create_dir_all(&self.source)?;
        for entry in fs::read_dir(from)?.flatten() {
            if entry.file_type()?.is_file() {
                fs::copy(entry.path(), self.source.join(entry.file_name()))?;
            }
        }
        Ok(())
    }

    /// Builds, starts, and waits for the answer that holds the phrase. The older container is ended after the clock.
    fn deploy(&mut self, phrase: &str) -> Result<Duration> {
        let port = free_port()?;
        let image = format!("windlass-bench/app-{}", self.name);
        let environment = format!("PORT={port}");
        let began = Instant::now();
        self.pack.build(&image, &self.name, &self.source, &[])?;
        let container =
            self.pack.docker.run(&["run", "--detach", "--network", "host", "--env", &environment, &image])?;
        let older = self.container.replace(container);
        while !page(port).is_some_and(|text| text.contains(phrase)) {
            ensure!(began.elapsed() < GIVE_UP, "{image} does not answer with `{phrase}`");
            thread::sleep(ASK_EVERY);
        }
        let time = began.elapsed();
        if let Some(older) = older {
            self.pack.docker.run(&["rm", "--force", &older]).context("the container before")?;
        }
        Ok(time)
    }

    fn end(&mut self) {
        if let Some(container) = self.container.take()
            && let Err(error) = self.pack.docker.run(&["rm", "--force", &container])
        {
            eprintln!("a container stays until dockerd ends: {error:#}");
        }
    }
}

/// What answers on this port of loopback, head and body.
fn page(port: u16) -> Option<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}
