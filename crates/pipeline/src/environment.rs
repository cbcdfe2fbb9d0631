//! Which environment variables and paths a file may ask for.

use crate::text::shown;

/// Longest value in bytes.
const MAX_VALUE_BYTES: usize = 16 * 1024;

/// A variable for the processes of a release. `PORT`, `WINDLASS_*`, `CNB_*` and `LD_*` belong to the platform.
pub(crate) fn check_launch(name: &str, value: &str) -> Result<(), String> {
    check(name, value)?;
    if name == "PORT" || name.starts_with("WINDLASS_") {
        return Err(format!("`{}` is set by the platform", shown(name, 60)));
    }
    Ok(())
}

/// A variable for the build: as for a release, but `PORT` means nothing there.
pub(crate) fn check_build(name: &str, value: &str) -> Result<(), String> {
    check(name, value)
}

fn check(name: &str, value: &str) -> Result<(), String> {
    let first_ok = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !first_ok || name.len() > 128 || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        let name = shown(name, 60);
        return Err(format!(
            "`{name}` is not a variable name: use letters, digits and `_`, not a digit first"
        ));
    }
    if name.starts_with("CNB_") || name.starts_with("LD_") {
        return Err(format!("`{}` is set by the platform", shown(name, 60)));
    }
    if value.len() > MAX_VALUE_BYTES || value.contains('\0') {
        return Err(format!("the value of `{}` is too long or holds a NUL character", shown(name, 60)));
    }
    Ok(())
}

/// A path that is asked for with GET: origin form without fragment (RFC 9112 §3.2.1), visible ASCII, at most 512 bytes.
pub(crate) fn check_health_path(path: &str) -> Result<(), String> {
    if !path.starts_with('/') || path.starts_with("//") {
        return Err("a health path must start with `/`".to_owned());
    }
    if path.len() > 512 || !path.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
        return Err("a health path has at most 512 visible ASCII characters and no `#`".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_platforms_own_variables_cannot_be_set_from_a_file() {
        for name in ["PORT", "WINDLASS_TOOL", "CNB_APP_DIR", "LD_PRELOAD", "", "1A", "A B", "A=B", "É"] {
            assert!(check_launch(name, "x").is_err(), "{name}");
        }
        assert!(check_launch("DATABASE_URL", "x").is_ok());
        assert!(check_launch("A", "nul\0").is_err());
        assert!(check_build("PIP_INDEX_URL", "x").is_ok());
        assert!(check_build("LD_PRELOAD", "x").is_err());
    }

    #[test]
    fn a_health_path_cannot_smuggle_a_second_request_line() {
        assert!(check_health_path("/healthz?full=1").is_ok());
        for bad in [
            "",
            "healthz",
            "//other.example/",
            "/a b",
            "/a\r\nHost: x",
            "/é",
            "/a#b",
            &format!("/{}", "a".repeat(600)),
        ] {
            assert!(check_health_path(bad).is_err(), "{bad}");
        }
    }
}
