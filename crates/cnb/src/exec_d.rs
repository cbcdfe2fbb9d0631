//! What an exec.d program writes to descriptor 3: variables for the process (buildpack specification,
//! "exec.d Output (TOML)").

use crate::{FormatError, file};
use std::collections::BTreeMap;

/// Reads the output of the program `name`: names with texts, nothing else.
pub fn read(name: &str, bytes: &[u8]) -> Result<BTreeMap<String, String>, FormatError> {
    let variables: BTreeMap<String, String> = file::read(name, bytes)?;
    for (key, value) in &variables {
        if key.is_empty() || key.contains(['=', '\0']) || value.contains('\0') {
            return Err(FormatError::rule(
                name,
                "a variable's name is empty or holds `=`, or a NUL stands in it",
            ));
        }
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_is_names_with_texts() {
        assert_eq!(read("x", b"A = \"1\"\n").unwrap()["A"], "1");
        assert!(read("x", b"A = 1\n").is_err());
        assert!(read("x", b"\"A=B\" = \"1\"\n").is_err());
        assert!(read("x", b"").unwrap().is_empty());
    }
}
