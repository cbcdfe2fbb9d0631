//! What this machine is.

use super::refusal::Refusal;
use super::{State, spawn};
use crate::cgroup::{self, Version};
use crate::request::Facts;

/// [`Request::Facts`](crate::request::Request::Facts).
pub(crate) fn facts(state: &State) -> Result<Facts, Refusal> {
    let runtime = &state.config.runtime;
    let output = spawn::command(runtime).arg("--version").output().map_err(|error| {
        Refusal::platform(
            format_args!("the runtime {} cannot be started; install it or name another", runtime.display()),
            &error,
        )
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(Facts {
        instance: state.config.instance,
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        runtime: runtime.display().to_string(),
        runtime_version: version_in(&text).to_owned(),
        cgroup: match cgroup::version() {
            Version::V1 => "v1".to_owned(),
            Version::V2 => "v2".to_owned(),
        },
    })
}

/// `runc version 1.1.5+ds1` and `youki version: 0.7.0` alike: the last word of the first line.
fn version_in(text: &str) -> &str {
    text.lines().next().and_then(|line| line.split_whitespace().last()).unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found_in_what_each_runtime_prints() {
        assert_eq!(version_in("runc version 1.1.5+ds1\ncommit: x\n"), "1.1.5+ds1");
        assert_eq!(version_in("youki version: 0.7.0\n"), "0.7.0");
        assert_eq!(version_in(""), "unknown");
    }
}
