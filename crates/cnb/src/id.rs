//! Ids of buildpacks and names of layers (buildpack specification, "buildpack.toml (TOML)", "Layer Types").

use crate::FormatError;

/// The directory name of a buildpack's id: `/` becomes `_`.
pub fn escape(id: &str) -> String {
    id.replace('/', "_")
}

/// Refuses an id that is not `[0-9A-Za-z./-]+`, that is reserved, or that would leave its directory.
pub fn check_buildpack(file: &str, id: &str) -> Result<(), FormatError> {
    let letters = !id.is_empty()
        && id.len() <= 200
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/' | b'-' | b'_'));
    if !letters || id.starts_with('.') {
        let shown: String = id.chars().take(80).collect();
        return Err(FormatError::rule(
            file,
            format!("`{shown}` is not a buildpack id: use letters, digits, dots, slashes and dashes"),
        ));
    }
    if matches!(id, "app" | "config" | "generated" | "sbom") {
        return Err(FormatError::rule(file, format!("the buildpack id `{id}` is reserved")));
    }
    Ok(())
}

/// Refuses a version that is no file name.
pub fn check_version(file: &str, version: &str) -> Result<(), FormatError> {
    let ok = !version.is_empty()
        && version.len() <= 100
        && !version.starts_with('.')
        && version.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+' | b'_'));
    if ok {
        return Ok(());
    }
    let shown: String = version.chars().take(80).collect();
    Err(FormatError::rule(file, format!("`{shown}` is not a version")))
}

/// Whether a process type is `[0-9A-Za-z._-]+` and a file name (buildpack specification, "launch.toml (TOML)").
pub fn is_process_type(kind: &str) -> bool {
    !kind.is_empty()
        && kind.len() <= 63
        && kind != "."
        && kind != ".."
        && kind.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_directory_name_once_escaped() {
        assert_eq!(escape("example/python"), "example_python");
        check_buildpack("x", "example/python.3-x").unwrap();
        for bad in ["", "..", ".x", "a b", "a\0", "config", "sbom", "a$b", "ä"] {
            assert!(check_buildpack("x", bad).is_err(), "{bad}");
        }
        for bad in ["", "..", "1/2", "../1"] {
            assert!(check_version("x", bad).is_err(), "{bad}");
        }
        assert!(is_process_type("web.1_x-y") && !is_process_type("..") && !is_process_type("a/b"));
    }
}
