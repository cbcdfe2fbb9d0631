//! A maintainer's working copy of a tool, and its pushes.

use crate::{Answer, Load, World, world};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A tool on the platform and its working copy.
pub struct Tool<'a> {
    world: &'a World,
    pub name: String,
    pub directory: PathBuf,
}

/// What `git push` did.
#[derive(Debug)]
pub struct Pushed {
    pub status: i32,
    /// All that the pusher saw.
    pub text: String,
}

impl Pushed {
    /// Asserts that the push went well.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.status, 0, "the push failed:\n{}", self.text);
        self
    }

    /// Asserts that the push failed, as git tells it.
    #[track_caller]
    pub fn failed(self) -> Self {
        assert_eq!(self.status, 1, "the push did not fail as it should:\n{}", self.text);
        self
    }

    /// Asserts that the pusher read this.
    #[track_caller]
    pub fn says(self, words: &str) -> Self {
        assert!(self.text.contains(words), "`{words}` is not in:\n{}", self.text);
        self
    }
}

impl<'a> Tool<'a> {
    pub(crate) fn create(world: &'a World, name: &str, app: &str) -> Result<Self> {
        let created = world.cli(&["tools", "create", name]);
        ensure!(created.status == 0, "tools create: {}", created.text);
        let directory = world.data.join("clones").join(name);
        fs::create_dir_all(&directory)?;
        copy(&world::root().join("e2e/apps").join(app), &directory)?;
        let tool = Self { world, name: name.to_owned(), directory };
        tool.git(&["init", "--quiet", "--initial-branch=main"])?;
        tool.git(&["remote", "add", "windlass", &format!("{}/git/{name}.git", world.url())])?;
        tool.commit("first")?;
        Ok(tool)
    }

    /// Replaces text in a file of the working copy and commits.
    pub fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.directory.join(file);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(text.contains(from), "{file} does not hold `{from}`");
        self.write(file, &text.replace(from, to));
    }

    /// Writes a file of the working copy and commits.
    pub fn write(&self, file: &str, text: &str) {
        let path = self.directory.join(file);
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.commit(file).unwrap_or_else(|error| panic!("no commit: {error:#}"));
    }

    /// `git push windlass main`
    pub fn push(&self) -> Pushed {
        self.push_ref("main")
    }

    /// `git push windlass <refspec>`
    pub fn push_ref(&self, refspec: &str) -> Pushed {
        let ran = world::ran(self.push_command(refspec).output());
        Pushed { status: ran.status, text: ran.text }
    }

    /// Any git command with the operator's token, whatever comes of it.
    pub fn git_says(&self, arguments: &[&str]) -> Pushed {
        let ran = world::ran(self.signed_in().args(arguments).output());
        Pushed { status: ran.status, text: ran.text }
    }

    /// The push as a program to start.
    pub fn push_command(&self, refspec: &str) -> Command {
        let mut command = self.signed_in();
        command.args(["push", "windlass", refspec]);
        command
    }

    /// Runs git with the operator's token and gives what it wrote.
    pub fn git_signed_in(&self, arguments: &[&str]) -> Result<String> {
        let output = self.signed_in().args(arguments).output().context("git")?;
        ensure!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Where the platform keeps this tool's repository.
    pub fn repository(&self) -> PathBuf {
        let status = self.cli(&["status", "--json"]).text;
        let at = status.find("\"id\":").unwrap_or_else(|| panic!("no id in {status}"));
        let id = status[at + 5..].split('"').nth(1).unwrap_or_else(|| panic!("no id in {status}"));
        self.world.data.join(format!("git/{id}.git"))
    }

    /// git in the working copy, with the operator's token.
    pub fn signed_in(&self) -> Command {
        let mut command = self.git_command();
        command
            // The token goes by environment: an argument could be read by every user of the machine.
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "http.extraHeader")
            .env("GIT_CONFIG_VALUE_0", format!("Authorization: Bearer {}", self.world.token()));
        command
    }

    /// `GET` on the tool's own host name.
    pub fn get(&self, path: &str) -> Answer {
        self.world.get(&format!("{}.localhost", self.name), path)
    }

    /// Asks the tool, which must be `e2e/apps/steady`, this often until [`Load::stop`].
    pub fn load(&self, requests_per_second: u32) -> Load {
        Load::start(self.world.port, &format!("{}.localhost", self.name), requests_per_second)
    }

    /// `windlass --tool <name> …`
    pub fn cli(&self, arguments: &[&str]) -> world::Ran {
        let mut all = vec!["--tool", &self.name];
        all.extend(arguments);
        self.world.cli(&all)
    }

    /// Runs git in the working copy and gives what it wrote.
    pub fn git(&self, arguments: &[&str]) -> Result<String> {
        let output = self.git_command().args(arguments).output().context("git")?;
        ensure!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn commit(&self, message: &str) -> Result<()> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]).map(drop)
    }

    fn git_command(&self) -> Command {
        let mut command = Command::new("git");
        command
            .current_dir(&self.directory)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", &self.world.data)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .envs([("GIT_AUTHOR_NAME", "Maintainer"), ("GIT_AUTHOR_EMAIL", "maintainer@example.org")])
            .envs([("GIT_COMMITTER_NAME", "Maintainer"), ("GIT_COMMITTER_EMAIL", "maintainer@example.org")]);
        command
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&target)?;
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
