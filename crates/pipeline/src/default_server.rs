//! Finds the WSGI object that the default server (gunicorn) serves when nothing names a web process. It reads the
//! text of a few well-known files and never runs them.

use crate::source::SourceFiles;

/// A WSGI callable in a file of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppObject {
    /// The file that defines it, relative to the root: `app.py`.
    pub file: String,
    /// Directory to serve from, relative to the root; `None` for the root.
    pub directory: Option<String>,
    /// `app`, or `site.wsgi` for a package.
    pub module: String,
    /// `app` or `application`.
    pub object: String,
}

impl AppObject {
    /// gunicorn's arguments. It binds to `$PORT` by itself and takes its number of workers from `WEB_CONCURRENCY`
    /// (docs.gunicorn.org/en/stable/settings.html, `bind` and `workers`).
    pub fn gunicorn(&self) -> Vec<String> {
        let mut argv = vec!["gunicorn".to_owned()];
        if let Some(directory) = &self.directory {
            argv.extend(["--chdir".to_owned(), directory.clone()]);
        }
        argv.push(format!("{}:{}", self.module, self.object));
        argv
    }
}

/// What was found when looking for the default server's object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    App(AppObject),
    /// The file makes an ASGI application, which gunicorn alone cannot serve.
    Asgi {
        file: String,
    },
    /// Files that were read and hold no object; empty when there is none of the names.
    Nothing {
        read: Vec<String>,
    },
}

/// Toolforge's place of a Python tool's code.
const TOOLFORGE: &str = "www/python/src";
/// Root modules in the order of asking; Toolforge's place comes first, since a tree that has it means it.
const MODULES: &[&str] = &["app", "wsgi", "main", "application"];
/// Constructors of ASGI frameworks.
const ASGI: &[&str] = &["FastAPI(", "Starlette(", "Quart(", "get_asgi_application("];

/// Looks for `app` or `application` at the top level of the known files.
pub fn find(source: &SourceFiles) -> Found {
    let mut candidates = vec![(format!("{TOOLFORGE}/app.py"), Some(TOOLFORGE.to_owned()), "app".to_owned())];
    candidates.extend(MODULES.iter().map(|name| (format!("{name}.py"), None, (*name).to_owned())));
    // Django: `<package>/wsgi.py`, in the order of their names.
    candidates.extend(source.known.keys().filter_map(|path| {
        let package = path.strip_suffix("/wsgi.py").filter(|package| is_identifier(package))?;
        Some((path.clone(), None, format!("{package}.wsgi")))
    }));
    let mut read = Vec::new();
    let mut asgi = None;
    for (file, directory, module) in candidates {
        let Some(bytes) = source.known.get(&file) else { continue };
        let text = String::from_utf8_lossy(bytes);
        match object_of(&text) {
            Some(object) => {
                let calls_asgi = |line: &str| {
                    !line.trim_start().starts_with('#')
                        && ASGI.iter().any(|constructor| line.contains(constructor))
                };
                if !text.lines().any(calls_asgi) {
                    return Found::App(AppObject { file, directory, module, object: object.to_owned() });
                }
                asgi.get_or_insert(file);
            }
            None => read.push(file),
        }
    }
    asgi.map_or(Found::Nothing { read }, |file| Found::Asgi { file })
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The name that this module defines at its top level: assigned, or imported under that name.
fn object_of(text: &str) -> Option<&'static str> {
    ["app", "application"].into_iter().find(|name| text.lines().any(|line| defines(line, name)))
}

fn defines(line: &str, name: &str) -> bool {
    if let Some(rest) = line.strip_prefix(name) {
        let rest = rest.trim_start();
        // `app = …`, `app: Flask = …`; not `app == …`, `app.run()`, `application = …`.
        let value = if rest.starts_with(':') {
            rest.split_once('=').map(|(_, value)| value)
        } else {
            rest.strip_prefix('=')
        };
        return value.is_some_and(|value| !value.starts_with('='));
    }
    let Some((_, names)) = line.strip_prefix("from ").and_then(|rest| rest.split_once(" import ")) else {
        return false;
    };
    let names = names.split('#').next().unwrap_or_default();
    names.trim_matches(['(', ')', ' ']).split(',').any(|item| item.split_whitespace().last() == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Found {
        find(&files.iter().fold(SourceFiles::default(), |source, (path, text)| source.with(path, *text)))
    }

    fn argv(files: &[(&str, &str)]) -> String {
        match found(files) {
            Found::App(app) => app.gunicorn().join(" "),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flask_django_and_toolforge_layouts_are_recognised() {
        assert_eq!(argv(&[("app.py", "import flask\napp = flask.Flask(__name__)\n")]), "gunicorn app:app");
        assert_eq!(argv(&[("main.py", "app: Flask = make()\r\n")]), "gunicorn main:app");
        assert_eq!(
            argv(&[("wsgi.py", "from tool.web import app as application  # why\n")]),
            "gunicorn wsgi:application"
        );
        assert_eq!(argv(&[("wsgi.py", "from tool import (app)\n")]), "gunicorn wsgi:app");
        let django = "import os\napplication = get_wsgi_application()\n";
        assert_eq!(argv(&[("site/wsgi.py", django), ("manage.py", "")]), "gunicorn site.wsgi:application");
        let both = [("app.py", "x = 1"), ("www/python/src/app.py", "app = Flask(__name__)")];
        assert_eq!(argv(&both), "gunicorn --chdir www/python/src app:app");
    }

    #[test]
    fn what_only_looks_like_an_object_is_none() {
        for text in [
            "application_name = 1",
            "app.run()",
            "if app == 1:",
            "app == 1",
            "    app = Flask()",
            "# app = 1",
            "from app import x",
            "",
        ] {
            assert_eq!(found(&[("app.py", text)]), Found::Nothing { read: vec!["app.py".into()] }, "{text}");
        }
        assert_eq!(found(&[("bad-name/wsgi.py", "app = 1")]), Found::Nothing { read: vec![] });
        let binary = SourceFiles::default().with("app.py", b"\xff\xfe\x00".to_vec());
        assert_eq!(find(&binary), Found::Nothing { read: vec!["app.py".into()] });
    }

    #[test]
    fn an_asgi_application_is_told_apart() {
        let fastapi = ("main.py", "from fastapi import FastAPI\napp = FastAPI()\n");
        assert_eq!(found(&[fastapi]), Found::Asgi { file: "main.py".into() });
        assert_eq!(argv(&[fastapi, ("wsgi.py", "application = x")]), "gunicorn wsgi:application");
    }
}
