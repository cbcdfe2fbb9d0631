//! A layer of some hundred megabytes in many files: how long it takes to be kept and to be there again in the next build,
//! here and with the reference lifecycle that publishes to a registry on loopback. Both run the same buildpack.

use crate::{
    Rounds,
    peers::{Peers, Scratch, docker::Docker, pack::Pack, registry},
    push,
    table::{Table, middle},
};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, UNIX_EPOCH},
};
use testkit::{Tool, World};

/// What the fixture's buildpack says before it looks at its layer, and when the layer is as it should be.
const BEGINS: &str = "layer begins";
const IS_THERE: [&str; 2] = ["layer made", "layer reused"];

/// How long the parts took.
#[derive(Default)]
struct Times {
    restore: Vec<Duration>,
    export: Vec<Duration>,
    /// The reference keeps launch layers in the image and cached ones once more in the cache; here both are one.
    cache: Vec<Duration>,
    export_unchanged: Vec<Duration>,
}

pub(crate) fn measure(table: &mut Table, peers: &Peers, rounds: &Rounds) -> Result<()> {
    let mut world = World::new();
    world.down()?;
    add_buildpack(&world.data.join("base/builder.tar"))?;
    world.up()?;
    let docker = Docker::start(peers)?;
    let registry = registry::Registry::start(peers, registry::DEBIAN.1)?;
    let pack = Pack::new(&world, &docker, Some(registry.port))?;
    let tool = world.tool("layer", "stdlib-http");
    let source = docker.scratch.0.join("source");
    fs::create_dir_all(&source)?;
    let image = format!("localhost:{}/layer", registry.port);
    let (mut ours, mut theirs) = (Times::default(), Times::default());
    for round in 1..=rounds.new_layers {
        eprintln!("a layer of {} MB: round {round} of {}", rounds.layer_megabytes, rounds.new_layers);
        let seed = format!("{round} {}\n", rounds.layer_megabytes);
        tool.write("layer-seed", &seed);
        for file in ["app.py", "Procfile", "layer-seed"] {
            fs::copy(tool.directory.join(file), source.join(file))?;
        }
        let (_, export) = push_once(&tool)?;
        ours.export.push(export);
        let text = pack.build(&image, "layer", &source, &["--publish", "--verbose"])?;
        ensure!(text.contains(IS_THERE[0]), "pack did not make the layer:\n{text}");
        theirs.export.push(timer(&text, "Exporter")?);
        theirs.cache.push(timer(&text, "Cache")?);

        // The layer is the same, the source is not: of an equal source nothing is built.
        tool.write("unused", &seed);
        let (restore, export) = push_once(&tool)?;
        ours.restore.push(restore);
        ours.export_unchanged.push(export);
        let text = pack.build(&image, "layer", &source, &["--publish", "--verbose"])?;
        ensure!(text.contains(IS_THERE[1]), "pack did not bring the layer back:\n{text}");
        theirs.restore.push(timer(&text, "Restorer")?);
        theirs.export_unchanged.push(timer(&text, "Exporter")? + timer(&text, "Cache")?);
    }
    table.heading(format!(
        "a layer of {} MB in many files: Windlass beside the reference lifecycle (registry on loopback)",
        rounds.layer_megabytes
    ));
    table.seconds("export: Windlass, image and cache in one", &ours.export);
    table.seconds("export: reference, image", &theirs.export);
    table.seconds("export: reference, cache", &theirs.cache);
    let export = middle(&ours.export);
    table.ratio("  export, the image alone", middle(&theirs.export) / export, 4.0);
    let both = middle(&theirs.export) + middle(&theirs.cache);
    table.words(format!("  export, image and cache: {:.1} times", both / export));
    table.seconds("restore: Windlass, build step until the pack runs", &ours.restore);
    table.seconds("restore: reference, restorer alone", &theirs.restore);
    table.ratio("  restore", middle(&theirs.restore) / middle(&ours.restore), 10.0);
    table.seconds("export, nothing changed: Windlass", &ours.export_unchanged);
    table.seconds("export, nothing changed: reference", &theirs.export_unchanged);
    Ok(())
}

/// Puts the fixture before the other buildpacks of a builder layer.
fn add_buildpack(builder: &Path) -> Result<()> {
    let scratch = Scratch::new("builder")?;
    let root = &scratch.0;
    tar(Command::new("tar").arg("-C").arg(root).arg("-xf").arg(builder))?;
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/layer");
    let target = root.join("cnb/buildpacks/windlass-bench_layer/0.1.0");
    fs::create_dir_all(target.join("bin"))?;
    for file in ["buildpack.toml", "bin/detect", "bin/build"] {
        fs::copy(fixture.join(file), target.join(file)).with_context(|| file.to_owned())?;
    }
    let order = root.join("cnb/order.toml");
    let first = "[[order]]\n[[order.group]]\nid = \"windlass-bench/layer\"\nversion = \"0.1.0\"\n\n\
                 [[order.group]]\nid = \"windlass/procfile\"\nversion = \"0.1.0\"\n\n";
    fs::write(&order, format!("{first}{}", fs::read_to_string(&order)?))?;
    let owner = ["--owner=0", "--group=0", "--numeric-owner"];
    tar(Command::new("tar").args(owner).arg("-C").arg(root).arg("-cf").arg(builder).arg("cnb"))
}

fn tar(command: &mut Command) -> Result<()> {
    ensure!(command.status()?.success(), "tar failed");
    Ok(())
}

/// One push: from the end of the plan to the buildpack's first word, and from its last one to the end of the build.
fn push_once(tool: &Tool<'_>) -> Result<(Duration, Duration)> {
    let pushed = tool.push();
    ensure!(pushed.status == 0, "the push failed:\n{}", pushed.text);
    let rows = push::rows(tool, push::number(&pushed.text)?)?;
    let of = |step: &str| {
        let ending = format!("/{step}");
        let mine = move |row: &&Value| row["stream"].as_str().is_some_and(|name| name.ends_with(&ending));
        rows.iter()
            .filter(mine)
            .filter_map(|row| Some((row["microseconds"].as_u64()?, row["text"].as_str()?)))
    };
    let said = |words: &[&str]| {
        let row = of("build").find(|(_, text)| words.iter().any(|words| text.contains(words)));
        row.map(|(at, _)| at).with_context(|| format!("the buildpack did not say {words:?}"))
    };
    let last = |step: &str| of(step).map(|(at, _)| at).max().with_context(|| format!("no rows of `{step}`"));
    let between = |from: u64, to: u64| {
        (UNIX_EPOCH + Duration::from_micros(to)).duration_since(UNIX_EPOCH + Duration::from_micros(from))
    };
    Ok((between(last("plan")?, said(&[BEGINS])?)?, between(said(&IS_THERE)?, last("build")?)?))
}

/// `Timer: Exporter ran for 1m18.6s and ended at …`, as the reference lifecycle writes it.
fn timer(text: &str, phase: &str) -> Result<Duration> {
    let mark = format!("Timer: {phase} ran for ");
    let words = text.split(&mark).nth(1).and_then(|rest| rest.split(' ').next());
    words.and_then(go_duration).with_context(|| format!("the lifecycle does not say `{mark}`:\n{text}"))
}

/// A duration as Go writes it: `1m2.5s`, `83.8ms`, `12µs`.
fn go_duration(mut text: &str) -> Option<Duration> {
    let mut seconds = 0.0;
    while !text.is_empty() {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = text[..end].parse().ok()?;
        let rest = &text[end..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        seconds += number
            * match &rest[..unit_end] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        text = &rest[unit_end..];
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timers_of_the_reference_are_read() {
        let text =
            "x\nTimer: Exporter ran for 1m18.5s and ended at 2026\nTimer: Cache ran for 7.5ms and ended";
        assert_eq!(timer(text, "Exporter").unwrap(), Duration::from_millis(78_500));
        assert_eq!(timer(text, "Cache").unwrap(), Duration::from_micros(7_500));
        assert!(timer(text, "Restorer").is_err());
        assert_eq!(go_duration("12 parsecs"), None);
    }
}
