//! Makes a virtual environment and lets pip fill it.

use crate::failure;
use model::Problem;
use std::{
    collections::VecDeque,
    env, fs,
    io::{self, BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use thiserror::Error;

/// Where Debian keeps the wheel of pip that `ensurepip` uses (package python3-pip-whl).
const WHEELS: &str = "/usr/share/python-wheels";
/// Lines of pip's output that are kept to explain a failure.
const KEPT_LINES: usize = 2000;
/// Fail fast and quietly; whoever sets one of these for the build knows better.
const PIP_SETTINGS: &[(&str, &str)] = &[
    ("PIP_RETRIES", "1"),
    ("PIP_TIMEOUT", "15"),
    ("PIP_NO_INPUT", "1"),
    ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
    ("PIP_PREFER_BINARY", "1"),
    ("PIP_PROGRESS_BAR", "off"),
    ("PIP_NO_WARN_SCRIPT_LOCATION", "1"),
    ("PIP_ROOT_USER_ACTION", "ignore"),
];

/// Why the packages could not be installed.
#[derive(Debug, Error)]
pub(crate) enum InstallError {
    #[error("cannot start `{program}`")]
    Start {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error("`python -m venv` failed")]
    Venv,
    #[error("the build image has no pip in {WHEELS}")]
    NoPip,
    #[error("cannot read `{}`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write `{}`", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Pip(#[from] Problem),
}

/// One virtual environment to be filled. Python's own modules are run with `-P`, so that a `types.py` of the
/// application does not take the place of the standard library's.
pub(crate) struct Installation<'a> {
    pub(crate) app_dir: &'a Path,
    /// The base image's interpreter: `/usr/bin/python3.13`.
    pub(crate) interpreter: &'a Path,
    /// Where the environment is made; must be its place at run time too, since scripts name it.
    pub(crate) venv: &'a Path,
    /// pip's own cache of downloads and wheels.
    pub(crate) cache: &'a Path,
    /// An environment whose packages and programs are there, too, and are not installed again.
    pub(crate) below: Option<&'a Path>,
}

/// What is to be installed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wishes<'a> {
    /// Requirements files.
    pub(crate) files: &'a [String],
    /// Requirements that stand elsewhere.
    pub(crate) packages: &'a [String],
    /// Requirements of packages that nothing else brings.
    pub(crate) missing: &'a [String],
}

impl Installation<'_> {
    /// Makes the environment and installs what is wished for. Gives the number of packages.
    pub(crate) fn run(&self, wishes: Wishes<'_>) -> Result<usize, InstallError> {
        self.make()?;
        if let Some(below) = self.below {
            self.stand_on(below)?;
        }
        if !wishes.missing.is_empty() && self.lists_others_alone(wishes)? {
            let mut all = named(wishes);
            all.extend(wishes.missing.iter().map(String::as_str));
            match self.pip(&all) {
                // A package may bring another version of an extra one along: then that is the one.
                Err(InstallError::Pip(problem)) if problem.id == failure::CONFLICT => {
                    self.one_after_the_other(wishes)?;
                }
                installed => installed?,
            }
        } else {
            self.one_after_the_other(wishes)?;
        }
        let packages = self.site_packages()?;
        self.compile(&packages)?;
        if let Some(below) = self.below {
            self.adopt_programs(below)?;
        }
        count(&packages)
    }

    fn one_after_the_other(&self, wishes: Wishes<'_>) -> Result<(), InstallError> {
        let named = named(wishes);
        if !named.is_empty() {
            self.pip(&named)?;
        }
        let missing = wishes.missing.iter().map(String::as_str);
        let missing: Vec<&str> = missing.filter(|package| !self.has(package)).collect();
        if missing.is_empty() { Ok(()) } else { self.pip(&missing) }
    }

    /// Whether one call of pip, whose start alone takes most of a second, may install all: there is one file and nothing
    /// below, no option in the file that would count for what is missing too, and none of that named in it.
    fn lists_others_alone(&self, wishes: Wishes<'_>) -> Result<bool, InstallError> {
        let ([file], None) = (wishes.files, self.below) else { return Ok(false) };
        let path = self.app_dir.join(file);
        let text = fs::read(&path).map_err(|source| InstallError::Read { path, source })?;
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let missing: Vec<String> = wishes.missing.iter().map(|package| name(package)).collect();
        let other = |line: &str| {
            line.starts_with(|letter: char| letter.is_ascii_alphanumeric())
                && !line.contains("--")
                && !line.ends_with('\\')
                && !missing.contains(&name(line))
        };
        Ok(lines.into_iter().all(other))
    }

    /// The packages of `below` can be imported here. A line that begins with `import` is run (docs.python.org, "site"),
    /// so path files over there count as well.
    fn stand_on(&self, below: &Path) -> Result<(), InstallError> {
        let path = self.site_packages()?.join("_production.pth");
        let packages = site_packages(below)?;
        let text = format!("import site; site.addsitedir({:?})\n", packages.display().to_string());
        fs::write(&path, text).map_err(|source| InstallError::Write { path, source })
    }

    /// Programs of `below` that this environment does not bring itself, started by its interpreter.
    fn adopt_programs(&self, below: &Path) -> Result<(), InstallError> {
        let directory = below.join("bin");
        let failed = |source| InstallError::Read { path: directory.clone(), source };
        let old = format!("#!{}/python", directory.display());
        let new = format!("#!{}/bin/python", self.venv.display());
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = self.venv.join("bin").join(entry.file_name());
            if path.symlink_metadata().is_ok() || !entry.file_type().map_err(failed)?.is_file() {
                continue;
            }
            let Ok(text) = fs::read_to_string(entry.path()) else { continue };
            let Some(rest) = text.strip_prefix(&old) else { continue };
            let written = fs::write(&path, format!("{new}{rest}"))
                .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)));
            written.map_err(|source| InstallError::Write { path, source })?;
        }
        Ok(())
    }

    fn make(&self) -> Result<(), InstallError> {
        let made = start(
            Command::new(self.interpreter)
                .args(["-P", "-m", "venv", "--without-pip", "--"])
                .arg(self.venv)
                .current_dir(self.app_dir),
            &mut VecDeque::new(),
        )?;
        if made { Ok(()) } else { Err(InstallError::Venv) }
    }

    /// `pip install …` by the environment's interpreter, from the wheel that Debian ships. Bytecode is ours to write.
    fn pip(&self, what: &[&str]) -> Result<(), InstallError> {
        let mut command = self.python();
        command.arg(pip_wheel()?.join("pip")).args(["install", "--no-compile"]).args(what);
        for (name, value) in PIP_SETTINGS.iter().filter(|(name, _)| env::var_os(name).is_none()) {
            command.env(name, value);
        }
        command.env("PIP_CACHE_DIR", self.cache);
        let mut output = VecDeque::new();
        if start(&mut command, &mut output)? {
            return Ok(());
        }
        Err(failure::explain(output.make_contiguous()).into())
    }

    /// Files of an image carry the time 1980, so bytecode that names its source's time would be stale in every
    /// container. Unchecked-hash bytecode (PEP 552) never asks. One process in the order of names, with a fixed
    /// hash seed: the same packages give the same bytes. Files that do not compile are left as they are, as pip does.
    fn compile(&self, packages: &Path) -> Result<(), InstallError> {
        let mut command = self.python();
        command
            .args(["-P", "-m", "compileall", "-qq", "--invalidation-mode", "unchecked-hash"])
            .arg(packages);
        command.env_remove("PYTHONDONTWRITEBYTECODE");
        start(&mut command, &mut VecDeque::new()).map(|_| ())
    }

    fn python(&self) -> Command {
        let mut command = Command::new(self.venv.join("bin/python"));
        command
            .current_dir(self.app_dir)
            .env("PYTHONHASHSEED", "0")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("SOURCE_DATE_EPOCH", "315532801")
            .env_remove("PYTHONPATH");
        command
    }

    /// Whether a distribution of this name is installed, whatever its version.
    fn has(&self, package: &str) -> bool {
        let wanted = name(package);
        let places = [Some(self.venv), self.below].into_iter().flatten();
        let packages = places.filter_map(|venv| fs::read_dir(site_packages(venv).ok()?).ok());
        packages.flatten().flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.strip_suffix(".dist-info")
                .and_then(|stem| stem.split_once('-'))
                .is_some_and(|(name, _)| normalised(name) == wanted)
        })
    }

    fn site_packages(&self) -> Result<PathBuf, InstallError> {
        site_packages(self.venv)
    }
}

/// The project that a requirement names.
fn name(requirement: &str) -> String {
    let end = requirement.find(['=', '<', '>', '~', '!', '[', ';', '@', ' ', '\t', '(']);
    normalised(&requirement[..end.unwrap_or(requirement.len())])
}

/// What the files and requirements at hand name, as pip's arguments.
fn named(wishes: Wishes<'_>) -> Vec<&str> {
    let files = wishes.files.iter().flat_map(|file| ["-r", file]);
    files.chain(wishes.packages.iter().map(String::as_str)).collect()
}

/// Where an environment's packages lie.
fn site_packages(venv: &Path) -> Result<PathBuf, InstallError> {
    let lib = venv.join("lib");
    let failed = |source| InstallError::Read { path: lib.clone(), source };
    for entry in fs::read_dir(&lib).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_string_lossy().starts_with("python3") {
            return Ok(entry.path().join("site-packages"));
        }
    }
    Err(failed(io::Error::from(io::ErrorKind::NotFound)))
}

/// A project name as the index compares it (packaging.python.org, "Name normalization").
fn normalised(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        match c {
            '-' | '_' | '.' if out.ends_with('-') => {}
            '-' | '_' | '.' => out.push('-'),
            other => out.push(other.to_ascii_lowercase()),
        }
    }
    out
}

fn count(packages: &Path) -> Result<usize, InstallError> {
    let failed = |source| InstallError::Read { path: packages.to_owned(), source };
    let entries = fs::read_dir(packages).map_err(failed)?;
    Ok(entries.flatten().filter(|entry| entry.path().extension().is_some_and(|e| e == "dist-info")).count())
}

fn pip_wheel() -> Result<PathBuf, InstallError> {
    let entries = fs::read_dir(WHEELS).map_err(|_| InstallError::NoPip)?;
    let is_pip = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("pip-") && path.extension().is_some_and(|extension| extension == "whl")
    };
    entries.flatten().map(|entry| entry.path()).filter(is_pip).max().ok_or(InstallError::NoPip)
}

/// Runs a program, showing its output and its errors as they come and keeping the last lines; whether it ended well.
fn start(command: &mut Command, kept: &mut VecDeque<String>) -> Result<bool, InstallError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |source| InstallError::Start { program: program.clone(), source };
    let (reader, writer) = io::pipe().map_err(failed)?;
    let errors = writer.try_clone().map_err(failed)?;
    let mut child = command.stdin(Stdio::null()).stdout(writer).stderr(errors).spawn().map_err(failed)?;
    // The command holds the pipe's writing ends until it gets others; without this, reading would never end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).map_err(failed)? > 0 {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        println!("   {text}");
        if kept.len() == KEPT_LINES {
            kept.pop_front();
        }
        kept.push_back(text);
        line.clear();
    }
    Ok(child.wait().map_err(failed)?.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This machine's own Python; the tests ask the package index for one small pure package.
    fn install(requirements: &str, extra: &[&str]) -> (tempfile::TempDir, Result<usize, InstallError>) {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("requirements.txt"), requirements).unwrap();
        fs::write(root.path().join("types.py"), "raise SystemExit('the application was run')").unwrap();
        let (venv, cache) = (root.path().join("venv"), root.path().join("cache"));
        let installation = Installation {
            app_dir: root.path(),
            interpreter: Path::new("/usr/bin/python3"),
            venv: &venv,
            cache: &cache,
            below: None,
        };
        let missing: Vec<String> = extra.iter().map(|package| (*package).to_owned()).collect();
        let files = ["requirements.txt".to_owned()];
        let outcome = installation.run(Wishes { files: &files, missing: &missing, ..Wishes::default() });
        (root, outcome)
    }

    #[test]
    fn packages_are_installed_with_bytecode_that_survives_the_year_1980() {
        let (root, outcome) = install("itsdangerous==2.2.0\n", &["ItsDangerous"]);
        assert_eq!(outcome.unwrap(), 1);
        let script = "import importlib.util, itsdangerous\n\
                      bytes = open(importlib.util.cache_from_source(itsdangerous.__file__), 'rb').read()\n\
                      print(int.from_bytes(bytes[4:8], 'little'))";
        let answer = Command::new(root.path().join("venv/bin/python")).args(["-c", script]).output().unwrap();
        // PEP 552: bit 0 says hash-based, bit 1 says that the source is to be checked.
        assert_eq!(
            String::from_utf8_lossy(&answer.stdout),
            "1\n",
            "{}",
            String::from_utf8_lossy(&answer.stderr)
        );
    }

    #[test]
    fn extra_packages_come_in_one_call_unless_the_file_has_a_say_in_them() {
        let root = tempfile::tempdir().unwrap();
        let installation = Installation {
            app_dir: root.path(),
            interpreter: Path::new("/usr/bin/python3"),
            venv: root.path(),
            cache: root.path(),
            below: None,
        };
        for (text, alone) in [
            ("# web\nflask==3.1.0\n\nDjango >= 5 # the newest\n", true),
            ("flask\nGUNICORN>=20\n", false),
            ("flask\ngunicorn[gevent]\n", false),
            ("gunicorn @ https://example.org/gunicorn.whl", false),
            ("--index-url https://example.org/\nflask\n", false),
            ("flask==3.1.0 --hash=sha256:aa\n", false),
            ("flask==3.1.0 \\\n    --hash=sha256:aa\n", false),
            ("-r more.txt\n", false),
            ("./local\n", false),
        ] {
            fs::write(root.path().join("requirements.txt"), text).unwrap();
            let extra = ["gunicorn==27.0.1".to_owned()];
            let files = ["requirements.txt".to_owned()];
            let wishes = Wishes { files: &files, missing: &extra, ..Wishes::default() };
            assert_eq!(installation.lists_others_alone(wishes).unwrap(), alone, "{text}");
        }
        let (_root, outcome) = install("itsdangerous==2.2.0\n", &["blinker==1.9.0"]);
        assert_eq!(outcome.unwrap(), 2);
    }

    #[test]
    fn a_package_that_does_not_exist_is_explained() {
        let (_root, outcome) = install("itsdangerous==0.0.0.404\n", &[]);
        let InstallError::Pip(problem) = outcome.unwrap_err() else { panic!("another error") };
        assert_eq!(problem.id, "pip-not-found");
        assert!(problem.detail.contains("itsdangerous==0.0.0.404"), "{problem}");
    }

    #[test]
    fn names_of_packages_are_compared_as_the_index_does() {
        assert_eq!(normalised("Flask__JSONLocale.x"), "flask-jsonlocale-x");
    }
}
