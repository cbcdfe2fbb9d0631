//! The launcher: what an image's metadata makes it start, and that no word of it becomes part of the shell's script.

use cnb::metadata::Metadata;
use lifecycle::{environment::Variables, launch::fuzzing};
use std::{ffi::OsString, os::unix::ffi::OsStrExt};

pub(crate) fn run(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let (Some(file), words) = (parts.next(), parts.next().unwrap_or_default()) else { return };
    let Ok(metadata) = cnb::file::read::<Metadata>("metadata.toml", file) else { return };
    let again = cnb::file::write("metadata.toml", &metadata).unwrap();
    assert_eq!(cnb::file::read::<Metadata>("metadata.toml", again.as_bytes()).unwrap(), metadata);

    let words: Vec<OsString> =
        words.split(|byte| *byte == 0).map(|word| std::ffi::OsStr::from_bytes(word).to_owned()).collect();
    let variables: Variables = [("PATH", "/cnb/process:/bin"), ("CNB_LAYERS_DIR", "/layers"), ("A", "1")]
        .into_iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    for process in &metadata.processes {
        let mut arguments = vec![OsString::from(format!("/cnb/process/{}", process.kind))];
        arguments.extend(words.iter().filter(|word| !word.is_empty()).cloned());
        let Ok(start) = fuzzing::choose(metadata.clone(), &arguments, variables.clone()) else { continue };
        assert!(!start.variables.contains_key(std::ffi::OsStr::new("CNB_LAYERS_DIR")));
        if let Some(script) = start.script {
            // A quoted working directory and our own lines; the words of the command come as arguments.
            let directory = process.working_dir.as_deref().unwrap_or_default();
            let quoted = format!("cd '{}'\n", directory.replace('\'', r"'\''"));
            let text = script.strip_prefix(quoted.as_bytes()).unwrap_or(&script);
            assert!(text.starts_with(b"exec bash -c ") && !text.contains(&b'\n'));
        }
    }
}
