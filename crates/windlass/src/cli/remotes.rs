//! Finding server and tool from the git remotes of the working directory.

use super::{failure::usage, server::Server};
use model::{Problem, ToolName};
use std::process::{Command, Stdio};

/// The remote's name that the texts of the platform use.
const OUR_NAME: &str = "windlass";

/// A remote that is a tool's repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(crate) name: String,
    pub(crate) server: Server,
    pub(crate) tool: ToolName,
}

/// The tools' remotes of the working directory; none where there is no git, no repository, no such remote.
pub(crate) fn here() -> Vec<Remote> {
    let git = Command::new("git")
        .args(["config", "--null", "--get-regexp", r"^remote\..*\.url$"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    git.map_or_else(|_| Vec::new(), |output| parse(&String::from_utf8_lossy(&output.stdout)))
}

/// Entries as `git config --null` prints them: key, line end, value, NUL.
fn parse(output: &str) -> Vec<Remote> {
    let entries = output.split('\0').filter_map(|entry| entry.split_once('\n'));
    let remotes = entries.filter_map(|(key, url)| {
        let name = key.strip_prefix("remote.")?.strip_suffix(".url")?;
        let (server, tool) = Server::of_remote(url)?;
        Some(Remote { name: name.to_owned(), server, tool })
    });
    remotes.collect()
}

/// The remote that is meant: of `server` when that is named; the only one, or the one called `windlass`.
pub(crate) fn pick<'a>(
    remotes: &'a [Remote],
    server: Option<&Server>,
) -> Result<Option<&'a Remote>, Problem> {
    let fits = |remote: &&Remote| server.is_none_or(|server| remote.server == *server);
    let candidates: Vec<&Remote> = remotes.iter().filter(fits).collect();
    let Some(first) = candidates.first() else { return Ok(None) };
    let same = |remote: &&&Remote| (&remote.server, &remote.tool) == (&first.server, &first.tool);
    if candidates.iter().all(|remote| same(&remote)) {
        return Ok(Some(first));
    }
    if let Some(ours) = candidates.iter().find(|remote| remote.name == OUR_NAME) {
        return Ok(Some(ours));
    }
    let list: Vec<String> = candidates
        .iter()
        .map(|remote| format!("{}: {} on {}", remote.name, remote.tool, remote.server))
        .collect();
    Err(usage("several tools are remotes of this directory", list.join("\n"))
        .hint("say which with `--tool NAME`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(name: &str, server: &str, tool: &str) -> Remote {
        Remote { name: name.into(), server: server.parse().unwrap(), tool: tool.parse().unwrap() }
    }

    #[test]
    fn only_remotes_of_tools_count() {
        let output = "remote.origin.url\nhttps://forge.example/me/shop.git\0\
                      remote.my.fork.url\nhttp://localhost:8080/git/shop.git\0remote.odd.url\n\0";
        assert_eq!(parse(output), [remote("my.fork", "http://localhost:8080", "shop")]);
        assert_eq!(parse(""), []);
    }

    #[test]
    fn the_only_tool_is_meant_whatever_its_remote_is_called() {
        let one = [
            remote("live", "http://localhost:8080", "shop"),
            remote("also", "http://localhost:8080", "shop"),
        ];
        assert_eq!(pick(&one, None).unwrap().unwrap().tool.as_str(), "shop");
        assert_eq!(pick(&[], None).unwrap(), None);
        assert_eq!(pick(&one, Some(&"http://elsewhere.example".parse().unwrap())).unwrap(), None);
    }

    #[test]
    fn of_several_tools_the_remote_called_windlass_is_meant_or_none() {
        let mut two =
            vec![remote("a", "http://localhost:1", "shop"), remote("b", "http://localhost:2", "shop")];
        let problem = pick(&two, None).unwrap_err();
        assert!(problem.detail.contains("a: shop on http://localhost:1"), "{problem}");
        assert_eq!(pick(&two, Some(&two[1].server)).unwrap().unwrap().name, "b");
        two.push(remote("windlass", "http://localhost:3", "shop"));
        assert_eq!(pick(&two, None).unwrap().unwrap().name, "windlass");
    }
}
