//! `pack` with the base images and buildpacks of a World, the reference lifecycle, and a docker daemon.

use super::docker::{API_VERSION, Docker};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use testkit::World;

const BUILDER: &str = "windlass-bench/builder";
const BUILD_IMAGE: &str = "windlass-bench/build";
const RUN_IMAGE: &str = "windlass-bench/run";
const CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// `pack`, ready to build.
pub(crate) struct Pack<'a> {
    pub(crate) docker: &'a Docker<'a>,
    home: PathBuf,
}

impl<'a> Pack<'a> {
    /// Makes the builder. With a registry's port its run image is the one there, as `--publish` wants it.
    pub(crate) fn new(world: &World, docker: &'a Docker<'a>, registry: Option<u16>) -> Result<Self> {
        let home = docker.scratch.0.join("pack");
        fs::create_dir_all(&home)?;
        let pack = Self { docker, home };
        pack.load_images(&world.data.join("base"))?;
        let run_image = match registry {
            Some(port) => {
                let there = format!("localhost:{port}/run");
                pack.docker.run(&["tag", RUN_IMAGE, &there])?;
                pack.docker.run(&["push", &there])?;
                there
            }
            None => RUN_IMAGE.to_owned(),
        };
        let file = pack.write_builder(&world.data.join("base/builder.tar"), &run_image)?;
        let mut create = pack.command(&["builder", "create", BUILDER, "--pull-policy", "never", "--config"]);
        ran(create.arg(file))?;
        Ok(pack)
    }

    /// `pack build`. `cache` names the volume that the next build of the same name finds again. Gives what it wrote.
    pub(crate) fn build(&self, image: &str, cache: &str, source: &Path, more: &[&str]) -> Result<String> {
        let mut command = self.command(&["build", image, "--builder", BUILDER, "--trust-builder"]);
        command
            .env("PACK_VOLUME_KEY", cache)
            .args(["--pull-policy", "never", "--network", "host", "--docker-host", "inherit", "--path"])
            .arg(source)
            .args(more);
        ran(&mut command)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.docker.command("bin/pack");
        command.env("PACK_HOME", &self.home).args(arguments);
        command
    }

    /// Windlass's own base images, layer by layer. The build image has two things more: this machine's certificate
    /// authorities, which Windlass mounts, and the version of the daemon's interface, which the lifecycle does not ask.
    fn load_images(&self, base: &Path) -> Result<()> {
        let directory = self.home.join("images");
        let authorities = directory.join("etc/ssl/certs");
        fs::create_dir_all(&authorities)?;
        if Path::new(CA_BUNDLE).exists() {
            fs::copy(CA_BUNDLE, authorities.join("ca-certificates.crt"))?;
        }
        ran(Command::new("tar").current_dir(&directory).args([
            "--owner=0",
            "--group=0",
            "-cf",
            "ca.tar",
            "etc",
        ]))?;
        let sum = ran(Command::new("sha256sum").current_dir(&directory).arg("ca.tar"))?;
        let authorities =
            ("ca.tar".to_owned(), format!("sha256:{}", sum.split(' ').next().unwrap_or_default()));
        let mut manifest = Vec::new();
        for (name, tag) in [("run", RUN_IMAGE), ("build", BUILD_IMAGE)] {
            let mut described: Value = serde_json::from_slice(&fs::read(base.join(format!("{name}.json")))?)?;
            let mut layers = Vec::new();
            for layer in described["layers"].as_array().context("an image without layers")? {
                let text = |key: &str| layer[key].as_str().unwrap_or_default().to_owned();
                let (file, diff_id) = (text("file"), text("diffId"));
                let here = directory.join(&file);
                if !here.exists() {
                    fs::copy(base.join(&file), &here)?;
                }
                layers.push((file, diff_id));
            }
            if name == "build" {
                layers.push(authorities.clone());
                let env = described["config"]["Env"].as_array_mut().context("an image without Env")?;
                env.push(json!(format!("DOCKER_API_VERSION={API_VERSION}")));
            }
            let diff_ids: Vec<&str> = layers.iter().map(|(_, diff_id)| diff_id.as_str()).collect();
            let config = json!({
                "architecture": "amd64", "os": "linux", "created": described["created"],
                "config": described["config"], "rootfs": { "type": "layers", "diff_ids": diff_ids },
            });
            let file = format!("{name}.config.json");
            fs::write(directory.join(&file), config.to_string())?;
            let files: Vec<&str> = layers.iter().map(|(file, _)| file.as_str()).collect();
            manifest.push(json!({ "Config": file, "RepoTags": [format!("{tag}:latest")], "Layers": files }));
        }
        fs::write(directory.join("manifest.json"), Value::from(manifest).to_string())?;
        ran(Command::new("tar").current_dir(&directory).args([
            "--exclude=images.tar",
            "-cf",
            "images.tar",
            ".",
        ]))?;
        self.docker.run(&[
            "load",
            "--quiet",
            "--input",
            &directory.join("images.tar").display().to_string(),
        ])?;
        Ok(fs::remove_dir_all(&directory)?)
    }

    /// builder.toml: the buildpacks and the order that lie in Windlass's builder, and the reference lifecycle.
    fn write_builder(&self, builder: &Path, run_image: &str) -> Result<PathBuf> {
        let root = self.home.join("builder");
        fs::create_dir_all(&root)?;
        ran(Command::new("tar").arg("-xf").arg(builder).arg("-C").arg(&root))?;
        let mut text = String::new();
        for buildpack in fs::read_dir(root.join("cnb/buildpacks"))?.flatten() {
            for version in fs::read_dir(buildpack.path())?.flatten() {
                writeln!(text, "[[buildpacks]]\nuri = \"{}\"", version.path().display())?;
            }
        }
        text.push_str(&fs::read_to_string(root.join("cnb/order.toml"))?);
        write!(
            text,
            "[build]\nimage = \"{BUILD_IMAGE}\"\n[run]\n[[run.images]]\nimage = \"{run_image}\"\n\
             [lifecycle]\nuri = \"{}\"\n",
            self.docker.peers.file("lifecycle.tgz").display()
        )?;
        let file = self.home.join("builder.toml");
        fs::write(&file, text)?;
        Ok(file)
    }
}

/// Runs a program; its text, output and errors, unless it fails.
fn ran(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{}", command.get_program().display()))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{} failed:\n{text}", command.get_program().display());
    Ok(text)
}
