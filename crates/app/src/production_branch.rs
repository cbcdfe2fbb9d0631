//! The production branch as a setting: the branch whose pushes are deployed.

use crate::{App, problems, tools::ToolView};
use model::{Action, Actor, Problem};
use store::Tool;

/// Longest branch name, in bytes of UTF-8: it stands in lists and texts.
const MAX_BRANCH_BYTES: usize = 200;

impl App {
    /// The next push of `branch` is deployed; what is live now stays until then. The branch need not exist yet.
    ///
    /// # Errors
    /// Also when git could not have a branch of that name.
    pub async fn set_production_branch(
        &self,
        actor: &Actor,
        tool: &str,
        branch: &str,
    ) -> Result<ToolView, Problem> {
        let (tool, role) = self.allow_on(actor, Action::ConfigureTool, tool).await?;
        check(branch).map_err(bad_branch)?;
        let set = self.store.set_production_branch(tool.id, branch, actor).await;
        set.map_err(|error| problems::store("setting the production branch", &error))?;
        Ok(ToolView { tool: Tool { production_branch: Some(branch.to_owned()), ..tool }, role })
    }
}

/// What git takes as a branch: git-check-ref-format(1), with the rules of its `--branch`; and nothing that people would
/// read as something else.
#[expect(clippy::case_sensitive_file_extension_comparisons, reason = "git takes `.LOCK`")]
pub(crate) fn check(branch: &str) -> Result<(), &'static str> {
    if branch.is_empty() {
        return Err("it is empty");
    }
    if branch.len() > MAX_BRANCH_BYTES {
        return Err("it is longer than 200 bytes");
    }
    if branch.starts_with("refs/heads/") {
        return Err("it is a full reference; the name goes without `refs/heads/`");
    }
    if branch.chars().any(char::is_control) {
        return Err("it has control characters");
    }
    if branch.contains([' ', '~', '^', ':', '?', '*', '[', '\\']) {
        return Err("it has a space or one of `~ ^ : ? * [ \\`");
    }
    if branch.contains("..") || branch.contains("@{") {
        return Err("it has `..` or `@{`");
    }
    if branch.split('/').any(|part| part.is_empty() || part.starts_with('.') || part.ends_with(".lock")) {
        return Err("a part of it between slashes is empty, starts with `.` or ends with `.lock`");
    }
    if branch.starts_with('-') || branch.ends_with('.') || branch == "HEAD" {
        return Err("it starts with `-`, ends with `.`, or is `HEAD`");
    }
    if matches!(branch.len(), 40 | 64) && branch.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("it reads as the id of a commit");
    }
    if branch.chars().any(deceives) {
        return Err("it has characters that hide or reorder text");
    }
    Ok(())
}

/// Zero width, direction marks, overrides and isolates (Unicode UAX #9), tags.
fn deceives(character: char) -> bool {
    matches!(
        character,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}'
    )
}

fn bad_branch(why: &'static str) -> Problem {
    Problem::new("branch-name", 422, "this cannot be a branch's name", why)
        .hint("`git branch` lists the names of yours: try something like `main`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn git_takes(branch: &str) -> bool {
        let mut git = Command::new("git");
        git.args(["check-ref-format", "--branch", branch]).current_dir("/");
        git.stdout(Stdio::null()).stderr(Stdio::null());
        git.status().unwrap().success()
    }

    #[test]
    fn a_branch_name_is_judged_as_git_judges_it() {
        let good =
            ["main", "release/2.0", "a@b", "größe", "x'y", "$HOME", "a.b", "refs/tags/x", "@x", "a.LOCK"];
        let bad = [
            "", "a b", "a~b", "a^", "a:b", "a?", "*", "a[b", "a\\b", "a..b", "a@{1}", "/a", "a/", "a//b",
            ".a", "a/.b", "a.lock", "a.lock/b", "a.", "-a", "HEAD", "a\tb", "a\nb", "a\x7f",
        ];
        for branch in good {
            assert!(git_takes(branch) && check(branch).is_ok(), "{branch}: {:?}", check(branch));
        }
        for branch in bad {
            assert!(!git_takes(branch) && check(branch).is_err(), "{branch:?}");
        }
    }

    #[test]
    fn some_names_that_git_would_take_are_refused_too() {
        for branch in
            ["refs/heads/main", "a\u{85}b", "a\u{202e}b", "ma\u{200b}in", &"x".repeat(201), &"1f".repeat(20)]
        {
            assert!(git_takes(branch) && check(branch).is_err(), "{branch:?}");
        }
        assert!(check(&"x".repeat(200)).is_ok());
    }
}
