//! Plans of whole trees: real tools' configuration, this project's own tiny tools, and hostile bytes.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its own files fails")]

use proptest::prelude::*;
use std::{fs, path::Path};
use windlass_pipeline::{KNOWN_FILES, Plan, SourceFiles, is_known, plan};

/// A directory as a commit: its files, and those that `also` names, which are empty here.
fn tree(directory: &Path) -> SourceFiles {
    fn walk(root: &Path, directory: &Path, source: SourceFiles) -> SourceFiles {
        let mut entries: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        entries.into_iter().fold(source, |source, path| {
            if path.is_dir() {
                return walk(root, &path, source);
            }
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let bytes = fs::read(&path).unwrap();
            match name.as_str() {
                "also" => String::from_utf8(bytes)
                    .unwrap()
                    .lines()
                    .fold(source, |source, also| source.with(also, "")),
                _ => source.with(&name, bytes),
            }
        })
    }
    walk(directory, directory, SourceFiles::default())
}

fn tool(name: &str) -> SourceFiles {
    tree(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools").join(name))
}

fn app(name: &str) -> SourceFiles {
    tree(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/apps").join(name))
}

fn of(source: &SourceFiles) -> Plan {
    plan(source).unwrap()
}

fn problem(source: &SourceFiles) -> (String, String) {
    let problem = plan(source).unwrap_err();
    assert!(problem.hint.is_some(), "every problem says what to do next: {problem}");
    (problem.id, problem.detail)
}

#[test]
fn real_python_tools_are_planned_as_their_maintainers_mean_them() {
    let plan = of(&tool("tool-quickcategories"));
    assert_eq!(
        plan.line(),
        "python 3.13 (from .python-version) · pip (requirements.txt) · web: gunicorn (Procfile)"
    );
    assert_eq!(plan.web.command.text, "gunicorn --bind 0.0.0.0 --workers 4 app:app");
    assert_eq!(plan.health.path.as_deref(), Some("/healthz"));
    assert_eq!(plan.other_processes, ["background-runner".parse().unwrap()]);
    assert_eq!(plan.warnings, ["recorded, but not run yet: `background-runner`; only `web` runs so far"]);

    let plan = of(&tool("tool-wd-image-positions"));
    assert!(
        plan.line().starts_with("python 3.13 (from .python-version)"),
        "package.json without a start script"
    );

    let plan = of(&tool("EditEngine"));
    assert_eq!(plan.line(), "python 3.13 (default) · pip (requirements.txt) · web: gunicorn (Procfile)");
    assert_eq!(plan.other_processes.len(), 4);
}

#[test]
fn real_tools_of_other_languages_start_what_their_procfile_says() {
    let plan = of(&tool("PWAWikimediaCommonsUploader"));
    assert_eq!(plan.line(), "web: start-converter.sh (Procfile)");
    assert_eq!(plan.build_env, [("RUSTFLAGS".to_owned(), "-C target-cpu=x86-64".to_owned())]);
    assert!(
        plan.warnings[0].contains("`com.heroku.buildpacks.deb-packages` is not used"),
        "{:?}",
        plan.warnings
    );
    assert_eq!(of(&tool("wikimedia-panoviewer")).health.path.as_deref(), Some("/health.php"));
    assert_eq!(of(&tool("wikidata-painters")).line(), "web: npm (Procfile)");
    assert_eq!(of(&tool("wikidata-geo-dumps")).python.unwrap().reason, "default");
}

#[test]
fn real_tools_that_need_what_is_not_here_are_told_what_it_is() {
    let (id, detail) = problem(&tool("tool-lexeme-forms"));
    assert_eq!(
        (id.as_str(), detail.as_str()),
        ("plan-python-version", ".python-version line 1: Python 3.14 is not here; to be had: 3.13")
    );
    assert_eq!(problem(&tool("irc-relay")).0, "plan-python-version");
    let (id, detail) = problem(&tool("career-images"));
    assert_eq!(
        (id.as_str(), detail.as_str()),
        ("plan-package-manager", "`uv.lock` names the packages, but there is no requirements.txt")
    );
    let (id, detail) = problem(&tool("feverfew"));
    assert_eq!(
        (id.as_str(), detail.as_str()),
        ("plan-type", "service.template asks for `bookworm`; to be had: buildservice, python3.13")
    );
}

#[test]
fn a_template_type_of_an_older_python_names_the_nearest_newer_one() {
    let app = tool("labs-tools-extreg-wos").with("www/python/src/app.py", "app = Flask(__name__)\n");
    let plan = of(&app);
    assert_eq!(
        plan.line(),
        "python 3.13 (nearest to python3.5 of service.template) · pip (requirements.txt) · web: gunicorn (www/python/src/app.py)"
    );
    assert_eq!(plan.web.command.text, "gunicorn --chdir www/python/src app:app");
    assert_eq!(problem(&tool("labs-tools-stewardbots-ui")).0, "plan-no-web");
}

#[test]
fn our_own_tiny_tools_are_planned() {
    let demo = of(&app("demo"));
    assert_eq!(
        demo.line(),
        "python 3.13 (from .python-version) · pip (requirements.txt) · web: gunicorn (app.py)"
    );
    assert_eq!((demo.health.path.as_deref(), demo.health.timeout_seconds), (Some("/healthz"), 30));
    assert!(demo.warnings.is_empty(), "{:?}", demo.warnings);
    let red = of(&app("release-red"));
    assert_eq!(red.line(), "python 3.13 (default) · web: python3 (Procfile) · release: python3 (Procfile)");
    assert_eq!(red.release.unwrap().text, "python3 migrate.py");
    for name in [
        "flask-hello",
        "stdlib-http",
        "broken-requirements",
        "never-listens",
        "localhost-only",
        "wrong-port",
        "ends-at-once",
        "release-green",
        "memory-hog",
    ] {
        assert!(of(&app(name)).warnings.is_empty(), "{name}");
    }
}

#[test]
fn nothing_to_run_names_what_was_looked_for_and_what_was_found() {
    let (id, detail) = problem(&SourceFiles::default().with("index.html", "").with("img/a.png", ""));
    assert_eq!(id, "plan-no-program");
    assert!(
        detail.contains("looked for Procfile, requirements.txt") && detail.ends_with("found img, index.html"),
        "{detail}"
    );
    assert!(problem(&SourceFiles::default()).1.ends_with("found no file"));

    let (id, detail) = problem(&SourceFiles::default().with("Procfile", "worker: ./work"));
    assert_eq!((id.as_str(), detail.as_str()), ("plan-no-web", "Procfile has no `web` line"));
    let misspelt =
        plan(&SourceFiles::default().with("app.py", "x = 1").with("procfile", "web: x")).unwrap_err();
    assert_eq!(misspelt.hint.as_deref(), Some("`procfile` must be named `Procfile`"));
    let asgi = problem(&SourceFiles::default().with("main.py", "app = FastAPI()"));
    assert!(asgi.1.contains("ASGI"), "{}", asgi.1);
}

#[test]
fn packages_of_a_manager_that_is_not_here_yet_are_not_silently_left_out() {
    let pyproject =
        |text: &str| SourceFiles::default().with("Procfile", "web: x").with("pyproject.toml", text);
    assert_eq!(problem(&pyproject("[project]\ndependencies = ['flask']")).0, "plan-package-manager");
    assert_eq!(
        problem(&pyproject("[tool.poetry.dependencies]\npython = '^3.13'\nflask = '*'")).0,
        "plan-package-manager"
    );
    assert_eq!(
        of(&pyproject("[tool.poetry.dependencies]\npython = '^3.13'")).line(),
        "python 3.13 (default) · web: x (Procfile)"
    );
    assert_eq!(of(&pyproject("[tool.black]\nline-length = 88")).warnings.len(), 0);
    assert!(of(&pyproject("[")).warnings[0].starts_with("pyproject.toml is not read"));
    assert!(
        plan(&pyproject("[project]\ndependencies = ['flask']").with("requirements.txt", "flask")).is_ok()
    );
}

#[test]
fn the_more_particular_file_wins() {
    let source = SourceFiles::default()
        .with("Procfile", "web: x\nrelease: from-procfile")
        .with("service.template", "type: php8.2\nmem: 512Mi\ncpu: 500m\nhealth-check-path: /t")
        .with("project.toml", "[_.metadata.windlass]\nrelease = 'from-project'\nprocesses.web.memory = '1GiB'\nhealth.path = '/p'");
    let plan = of(&source);
    assert_eq!(plan.release.as_ref().unwrap().text, "from-project");
    assert_eq!((plan.web.memory_bytes, plan.web.cpu_millis), (Some(1 << 30), Some(500)));
    assert_eq!(plan.health.path.as_deref(), Some("/p"));
    assert_eq!(
        plan.warnings,
        [
            "service.template's type `php8.2` is not used; Procfile says what runs",
            "`release` stands in Procfile and project.toml; project.toml's is used"
        ]
    );
}

#[test]
fn a_file_that_is_too_large_is_refused_before_it_is_read() {
    let mut source = SourceFiles::default().with("app.py", "app = 1");
    source.too_large.push("Procfile".to_owned());
    assert_eq!(problem(&source).0, "plan-file-too-large");
}

#[test]
fn known_files_are_asked_for_by_exact_path() {
    assert!(KNOWN_FILES.iter().all(|path| is_known(path)) && is_known("site/wsgi.py"));
    for path in ["a/b/wsgi.py", "/wsgi.py/x", "sub/Procfile", "procfile", ""] {
        assert!(!is_known(path), "{path}");
    }
}

#[test]
fn deep_nesting_ends_in_an_error_or_a_plan_and_never_in_a_crash() {
    for (file, text) in [
        ("service.template", "[".repeat(100_000)),
        ("service.template", "{a: ".repeat(50_000)),
        (
            "service.template",
            format!(
                "a:
{}",
                (1..400)
                    .map(|n| " ".repeat(n)
                        + "- b:
")
                    .collect::<String>()
            ),
        ),
        ("project.toml", format!("a = {}", "[".repeat(100_000))),
        ("project.toml", format!("{}b = 1", "a.".repeat(50_000))),
        ("pyproject.toml", format!("a = {}", "{a=".repeat(50_000))),
    ] {
        let source = SourceFiles::default().with("Procfile", "web: x").with(file, text);
        if let Err(problem) = plan(&source) {
            assert!(problem.detail.len() < 2000);
        }
    }
}

proptest! {
    #[test]
    fn whatever_bytes_the_files_hold_the_answer_is_a_plan_or_a_problem_in_printable_text(
        file in prop::sample::select(KNOWN_FILES),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        check_printable(&SourceFiles::default().with("Procfile", "web: x").with(file, bytes));
    }

    #[test]
    fn words_of_the_formats_in_any_order_give_a_plan_or_a_problem(
        file in prop::sample::select(KNOWN_FILES),
        words in prop::collection::vec(
            prop::sample::select(vec![
                "web: ", "release:", "\n", "type: ", "python3.", "13", "[_.metadata.windlass]\n", "release = ", "'x'", "\u{1b}[2J",
                "health.path", "=", "[[io.buildpacks.build.env]]\n", "name='A'\n", "- ", "{", "}", "[", "]", "&a ", "*a", "\r\n",
                "mem: ", "2G", "#", "app = ", "from x import app", "\u{202e}", "é", "\0", "3.13", "|\n", "\t", "  ",
            ]),
            0..30,
        ),
    ) {
        check_printable(&SourceFiles::default().with("Procfile", "web: x").with(file, words.concat()));
    }
}

fn check_printable(source: &SourceFiles) {
    let printable = |text: &str| !text.chars().any(|c| c.is_control() || c == '\u{202e}');
    match plan(source) {
        Ok(plan) => {
            assert!(printable(&plan.line()), "{:?}", plan.line());
            assert!(plan.warnings.iter().all(|text| printable(text)), "{:?}", plan.warnings);
        }
        Err(problem) => {
            assert!(printable(&problem.title) && printable(&problem.detail.replace('\n', "")), "{problem:?}");
        }
    }
}
