//! From what pip printed to what its reader needs: what failed, the lines that show it, what to do next.

use model::Problem;
use pipeline::shown;

/// Most lines of pip's that are quoted.
const QUOTED_LINES: usize = 6;

/// The id of requirements that no set of packages meets.
pub(crate) const CONFLICT: &str = "pip-conflict";

/// One kind of failure: words of pip that tell it, a title, and what to do.
struct Kind {
    id: &'static str,
    signs: &'static [&'static str],
    title: &'static str,
    hint: &'static str,
}

/// The first kind whose sign pip printed counts; causes stand before what follows from them.
const KINDS: &[Kind] = &[
    Kind {
        id: "pip-repository",
        // pip says the same of `git`, `hg`, `svn` and `bzr`.
        signs: &["Cannot find command '"],
        title: "a package is to come from a source repository, and builds reach only the package index",
        hint: "name a released version in requirements.txt instead of the `git+https://…` address, like `flask==3.1.0`; \
               what was never released can be put into your own repository",
    },
    Kind {
        id: "pip-network",
        signs: &[
            "Temporary failure in name resolution",
            "Name or service not known",
            "NewConnectionError",
            "Connection refused",
            "ConnectTimeoutError",
            "Read timed out",
            "SSLError",
            "SSLCertVerificationError",
            "ProxyError",
            "Network is unreachable",
        ],
        title: "a host that pip asked could not be reached",
        hint: "builds reach the package index and nothing else; if requirements.txt names another host, ask the \
               operator to allow it; otherwise push again in a moment",
    },
    Kind {
        id: "pip-hash",
        signs: &["DO NOT MATCH THE HASHES", "Hashes are required in --require-hashes mode"],
        title: "a package does not have the hash that requirements.txt names",
        hint: "write the file again with the tool that made it (`pip-compile --generate-hashes`), and look why it changed",
    },
    Kind {
        id: CONFLICT,
        signs: &["ResolutionImpossible", "conflicting dependencies"],
        title: "the packages that requirements.txt names contradict each other",
        hint: "loosen one of the versions above, or let `pip-compile` choose them",
    },
    Kind {
        id: "pip-invalid",
        signs: &["Invalid requirement", "no such option", "Could not open requirements file"],
        title: "requirements.txt cannot be read",
        hint: "one package stands on each line, like `flask==3.1.0`",
    },
    Kind {
        id: "pip-python",
        signs: &["requires a different Python"],
        title: "a package does not work with this Python",
        hint: "choose a version of the package that supports the Python on the plan line",
    },
    Kind {
        id: "pip-not-found",
        signs: &["No matching distribution found"],
        title: "a package or version does not exist for this Python",
        hint: "look at https://pypi.org for the name and its versions, and correct requirements.txt",
    },
    Kind {
        id: "pip-compile",
        signs: &[
            "Failed building wheel",
            "Failed to build",
            "subprocess-exited-with-error",
            "metadata-generation-failed",
        ],
        title: "a package had to be compiled and that failed",
        hint: "choose a version that has a wheel for this Python; if a header (`….h`) is missing, the build image lacks \
               that library: ask the operator for it",
    },
];

/// Explains why pip ended with an error.
pub(crate) fn explain(output: &[String]) -> Problem {
    let has = |sign: &&str| output.iter().any(|line| line.contains(*sign));
    let quoted = quoted(output);
    match KINDS.iter().find(|kind| kind.signs.iter().any(has)) {
        Some(kind) => Problem::new(kind.id, 422, kind.title, quoted).hint(kind.hint),
        None => Problem::new("pip-failed", 422, "pip could not install the packages", quoted)
            .hint("the whole output of pip is above"),
    }
}

/// Lines of pip's that repeat what others say better.
const NOISE: &[&str] = &[
    "subprocess-exited-with-error",
    "metadata-generation-failed",
    "error: Command '",
    "error: command '",
    "for help visit",
    "Failed to build installable wheels",
];

/// The lines that show the failure: errors first, otherwise the last ones of the program that failed, or of pip.
fn quoted(output: &[String]) -> String {
    let tells = |line: &&String| {
        let text = line.trim_start();
        let error = ["ERROR:", "error:", "fatal error:", "The user requested"]
            .iter()
            .any(|start| text.starts_with(start));
        let inner = [": fatal error:", ": error:", " depends on "].iter().any(|sign| text.contains(sign));
        (error || inner) && !NOISE.iter().any(|noise| text.contains(noise))
    };
    let mut lines: Vec<&String> = output.iter().filter(tells).take(QUOTED_LINES).collect();
    if lines.is_empty() {
        let end = output.iter().position(|line| line.contains("[end of output]")).unwrap_or(output.len());
        let filled: Vec<&String> = output[..end].iter().filter(|line| !line.trim().is_empty()).collect();
        lines = filled[filled.len().saturating_sub(QUOTED_LINES)..].to_vec();
    }
    if lines.is_empty() {
        return "pip said nothing".to_owned();
    }
    let lines: Vec<String> = lines.into_iter().map(|line| tidy(line)).collect();
    lines.join("\n")
}

/// One line without pip's own mark, and of a list of versions only the newest.
fn tidy(line: &str) -> String {
    let line = line.trim();
    let line = line.strip_prefix("ERROR: ").unwrap_or(line);
    let Some((before, versions)) =
        line.split_once("(from versions: ").filter(|(_, rest)| rest.contains(", "))
    else {
        return shown(line, 300);
    };
    let versions: Vec<&str> = versions.trim_end_matches(')').split(", ").collect();
    let newest = versions[versions.len().saturating_sub(5)..].join(", ");
    shown(&format!("{before}(newest versions: {newest})"), 300)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(output: &str) -> Problem {
        explain(&output.lines().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_misspelt_package_is_named_with_where_to_look() {
        let problem = explained(
            "Collecting flaskk==1.0\n\
             ERROR: Could not find a version that satisfies the requirement flaskk==1.0 \
             (from versions: 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)\n\
             ERROR: No matching distribution found for flaskk==1.0",
        );
        assert_eq!(problem.id, "pip-not-found");
        assert_eq!(
            problem.detail,
            "Could not find a version that satisfies the requirement flaskk==1.0 (newest versions: 0.2, 0.3, 0.4, 0.5, 0.6)\n\
             No matching distribution found for flaskk==1.0"
        );
        assert!(problem.hint.unwrap().contains("pypi.org"));
    }

    #[test]
    fn a_package_from_a_repository_is_sent_to_the_index() {
        let problem = explained(
            "Collecting git+https://example.org/tool.git\n\
             \x20 Cloning https://example.org/tool.git to /tmp/pip-req-build-1\n\
             ERROR: Error [Errno 2] No such file or directory: 'git' while executing command git version\n\
             ERROR: Cannot find command 'git' - do you have 'git' installed and in your PATH?",
        );
        assert_eq!(problem.id, "pip-repository");
        assert!(problem.detail.contains("Cannot find command 'git'"), "{problem}");
        assert!(problem.hint.unwrap().contains("name a released version"));
    }

    #[test]
    fn an_unreachable_index_is_not_taken_for_a_missing_package() {
        let problem = explained(
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(...)': /simple/flask/\n\
             ERROR: Could not find a version that satisfies the requirement flask (from versions: none)\n\
             ERROR: No matching distribution found for flask",
        );
        assert_eq!(problem.id, "pip-network");
    }

    #[test]
    fn a_missing_header_is_quoted_from_the_middle_of_the_output() {
        let problem = explained(
            "  gcc -c src/x.c\n  src/x.c:1:10: fatal error: mysql.h: No such file or directory\n\
             \x20 compilation terminated.\nERROR: Failed building wheel for mysqlclient",
        );
        assert_eq!(problem.id, "pip-compile");
        assert!(problem.detail.starts_with("src/x.c:1:10: fatal error: mysql.h"));
    }

    #[test]
    fn a_setup_script_that_fails_is_quoted_by_its_last_words() {
        let problem = explained(
            "  error: subprocess-exited-with-error\n      Traceback (most recent call last):\n\
             \x20     ModuleNotFoundError: No module named 'distutils'\n      [end of output]\n\
             error: metadata-generation-failed",
        );
        assert_eq!(problem.id, "pip-compile");
        assert!(problem.detail.ends_with("ModuleNotFoundError: No module named 'distutils'"), "{problem}");
    }

    #[test]
    fn a_contradiction_shows_both_sides() {
        let problem = explained(
            "ERROR: Cannot install a==1 and b==2 because these package versions have conflicting dependencies.\n\
             The conflict is caused by:\n    The user requested c==1\n    b 2 depends on c>=2\n\
             ERROR: ResolutionImpossible: for help visit …",
        );
        assert_eq!(problem.id, "pip-conflict");
        assert!(problem.detail.contains("The user requested c==1\nb 2 depends on c>=2"));
    }

    #[test]
    fn whatever_pip_prints_the_text_stays_short_and_harmless() {
        let problem = explained(&format!("\x1b[2J\n{}\n", "x".repeat(100_000)));
        assert_eq!(problem.id, "pip-failed");
        assert!(problem.detail.len() < 1000 && !problem.detail.contains('\x1b'));
        assert_eq!(explained("").detail, "pip said nothing");
    }
}
