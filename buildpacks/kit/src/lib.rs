//! What our buildpacks share: reading the application's known files, and speaking to the person who pushed.

use model::Problem;
use pipeline::{MAX_FILE_BYTES, PROBLEM_PREFIX, SUMMARY_PREFIX, SourceFiles, is_known};
use std::{
    fs,
    io::{self, Read},
    path::Path,
};
use thiserror::Error;

/// Directories in which known files lie: Toolforge's place, and those of tests.
const DIRECTORIES: [&str; 4] = ["www/python/src", "requirements", "tests", "test"];

/// The application directory could not be read.
#[derive(Debug, Error)]
#[error("cannot read `{path}` of the application")]
pub struct ReadError {
    path: String,
    #[source]
    source: io::Error,
}

/// Reads the application directory as the planner sees a commit: every name in the root, and the known files.
/// Symbolic links are not followed, as git lists them as links too.
///
/// # Errors
/// When the directory or a known file cannot be read.
pub fn read_source(app_dir: &Path) -> Result<SourceFiles, ReadError> {
    let mut source = SourceFiles::default();
    for name in names_in(app_dir, "")? {
        if read_known(app_dir, &name, &mut source)? {
            continue;
        }
        // Known files below the root: Django's `<package>/wsgi.py`, here asked for by name, and Toolforge's place.
        read_known(app_dir, &format!("{name}/wsgi.py"), &mut source)?;
        source.paths.push(name);
    }
    for directory in DIRECTORIES {
        if !app_dir.join(directory).is_dir() {
            continue;
        }
        for name in names_in(app_dir, directory)? {
            let path = format!("{directory}/{name}");
            if !read_known(app_dir, &path, &mut source)? {
                source.paths.push(path);
            }
        }
    }
    Ok(source)
}

/// The names in a directory, sorted; names that are not UTF-8 are none of ours.
fn names_in(app_dir: &Path, directory: &str) -> Result<Vec<String>, ReadError> {
    let failed = |source| ReadError { path: directory.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(app_dir.join(directory)).map_err(failed)? {
        names.extend(entry.map_err(failed)?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

/// Adds a known regular file to `source`; whether it was one.
fn read_known(app_dir: &Path, path: &str, source: &mut SourceFiles) -> Result<bool, ReadError> {
    let full = app_dir.join(path);
    if !is_known(path) || !full.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Ok(false);
    }
    let mut bytes = Vec::new();
    fs::File::open(&full)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|source| ReadError { path: path.to_owned(), source })?;
    source.paths.push(path.to_owned());
    if bytes.len() as u64 > MAX_FILE_BYTES {
        source.too_large.push(path.to_owned());
    } else {
        source.known.insert(path.to_owned(), bytes);
    }
    Ok(true)
}

/// Prints what a pack did, in one short line that the push shows: `pip 9 packages reused`.
pub fn summary(text: &str) {
    println!("{SUMMARY_PREFIX}{text}");
}

/// Prints why the build cannot go on; each line carries the mark by which the push finds it in the log.
pub fn tell(problem: &Problem) {
    for line in problem.to_string().lines() {
        eprintln!("{PROBLEM_PREFIX}{line}");
    }
}

/// Prints an error that is not the author's fault with all its causes.
pub fn tell_cause(what: &str, error: &dyn std::error::Error) {
    eprintln!("{PROBLEM_PREFIX}{what}: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("{PROBLEM_PREFIX}  because: {error}");
        cause = error.source();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_reads_as_the_commit_does() {
        let app = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("Procfile", "web: a"),
            ("site/wsgi.py", "application = 1"),
            ("www/python/src/app.py", "app = 1"),
            ("www/python/src/requirements.txt", "flask"),
            ("static/logo.svg", ""),
        ] {
            fs::create_dir_all(app.path().join(path).parent().unwrap()).unwrap();
            fs::write(app.path().join(path), text).unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", app.path().join("runtime.txt")).unwrap();
        fs::write(app.path().join("app.py"), vec![b'#'; 300 * 1024]).unwrap();
        let source = read_source(app.path()).unwrap();
        assert_eq!(
            source.known.keys().collect::<Vec<_>>(),
            ["Procfile", "site/wsgi.py", "www/python/src/app.py"]
        );
        assert_eq!(source.too_large, ["app.py"]);
        assert!(source.has("www/python/src/requirements.txt"));
        assert!(
            !source.known.contains_key("runtime.txt"),
            "a link to a file of the image is not the author's text"
        );
        assert!(read_source(&app.path().join("missing")).is_err());
    }

    #[test]
    fn the_builders_order_names_our_packs_in_the_versions_that_they_have() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let read = |path: &Path| fs::read_to_string(path).unwrap().parse::<toml::Table>().unwrap();
        let order = read(&root.join("stacks/builder/order.toml"));
        let mut named = Vec::new();
        for group in order["order"].as_array().unwrap() {
            for pack in group["group"].as_array().unwrap() {
                named.push((
                    pack["id"].as_str().unwrap().to_owned(),
                    pack["version"].as_str().unwrap().to_owned(),
                ));
            }
        }
        for pack in ["python", "pip", "gunicorn", "procfile"] {
            let descriptor = read(&root.join("buildpacks").join(pack).join("buildpack.toml"));
            assert_eq!(descriptor["api"].as_str(), Some("0.10"), "the newest that libcnb speaks");
            let version = descriptor["buildpack"]["version"].as_str().unwrap();
            let before = named.len();
            named.retain(|name| *name != (format!("windlass/{pack}"), version.to_owned()));
            assert!(named.len() < before, "{pack} {version} stands in no group");
        }
        assert!(named.is_empty(), "there is no such pack: {named:?}");
    }
}
