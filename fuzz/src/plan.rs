//! A commit's own words: any files make a plan or a problem that can be shown, the same one every time.

use pipeline::{SourceFiles, procfile};

/// What may stand in one line of a push.
const MAX_TEXT_CHARACTERS: usize = 4000;

pub(crate) fn run(bytes: &[u8]) {
    if let Ok(processes) = procfile::parse(bytes) {
        for process in processes {
            assert!(!process.command.trim().is_empty(), "{process:?}");
            crate::is_harmless(process.process_type.as_str());
        }
    }
    let source = tree(bytes);
    match pipeline::plan(&source) {
        Ok(plan) => {
            shown(&plan.line());
            plan.warnings.iter().for_each(|warning| shown(warning));
            assert!(!plan.web.command.text.contains('\0'));
            assert!(plan.health.timeout_seconds > 0);
            if let Some(path) = &plan.health.path {
                assert!(path.starts_with('/'), "{path:?}");
                crate::is_harmless(path);
            }
            for (name, value) in plan.build_env.iter().chain(&plan.launch_env) {
                assert!(!name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0'), "{name:?}");
            }
            let written = serde_json::to_vec(&plan).unwrap();
            assert_eq!(serde_json::from_slice::<pipeline::Plan>(&written).unwrap(), plan);
            assert_eq!(pipeline::plan(&source).unwrap(), plan);
        }
        Err(problem) => {
            assert!(problem.id.starts_with("plan-"), "{}", problem.id);
            shown(&problem.title);
            shown(&problem.detail);
            problem.hint.iter().for_each(|hint| shown(hint));
        }
    }
}

fn shown(text: &str) {
    crate::is_harmless(text);
    assert!(text.chars().count() <= MAX_TEXT_CHARACTERS, "{} characters", text.chars().count());
}

/// Files one after the other: a line `=== <path>`, then bytes up to the next such line.
fn tree(bytes: &[u8]) -> SourceFiles {
    let mut source = SourceFiles::default();
    let mut file: Option<(String, Vec<u8>)> = None;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let path =
            line.strip_prefix(b"=== ").map(|path| String::from_utf8_lossy(path.trim_ascii()).into_owned());
        // Git's names and the platform's rules: no control characters.
        if let Some(path) = path.filter(|path| !path.is_empty() && !path.contains(char::is_control)) {
            if let Some((path, content)) = file.take() {
                source = source.with(&path, content);
            }
            file = Some((path, Vec::new()));
        } else if let Some((_, content)) = &mut file {
            content.extend(line);
        }
    }
    if let Some((path, content)) = file {
        source = source.with(&path, content);
    }
    source
}
