//! What the git worker runs: one fixed command line per service, checked settings, and an environment from nothing.

use super::refusal::Refusal;
use super::spawn::SEARCH_PATH;
use crate::request::{GIT_CPU_SECONDS, GitService};

/// Settings that callers may pass: those that a push or fetch needs, none that starts a program of their choice.
const SECTIONS: [&str; 6] = ["receive.", "transfer.", "uploadpack.", "fsck.", "pack.", "gc."];
const KEYS: [&str; 8] = [
    "core.hookspath",
    "core.bigfilethreshold",
    "core.compression",
    "core.fsync",
    "core.fsyncmethod",
    "core.logallrefupdates",
    "init.defaultbranch",
    "safe.directory",
];
/// In the allowed sections, but runs a program.
const REFUSED_KEY: &str = "uploadpack.packobjectshook";
const MAX_SETTINGS: usize = 64;

/// The largest repository is packed anew within this much, with one thread.
const MAINTENANCE_CPU_SECONDS: u64 = 1200;

/// Processor time that a service may take.
pub(crate) fn cpu_seconds(service: &GitService) -> u64 {
    match service {
        GitService::Repack | GitService::Collect { .. } => MAINTENANCE_CPU_SECONDS,
        _ => GIT_CPU_SECONDS,
    }
}

/// The arguments of git for a service.
pub(crate) fn argv(service: &GitService) -> Result<Vec<String>, Refusal> {
    let prune;
    let words: Vec<&str> = match service {
        GitService::Init => vec!["init", "--quiet", "--bare", "--initial-branch=main", "--", "."],
        GitService::UploadPack { advertise: true } => {
            vec!["upload-pack", "--strict", "--stateless-rpc", "--http-backend-info-refs", "."]
        }
        GitService::UploadPack { advertise: false } => {
            vec!["upload-pack", "--strict", "--stateless-rpc", "."]
        }
        GitService::ReceivePack { advertise: true } => {
            vec!["receive-pack", "--stateless-rpc", "--http-backend-info-refs", "."]
        }
        GitService::ReceivePack { advertise: false } => vec!["receive-pack", "--stateless-rpc", "."],
        GitService::UpdateRef { name, new, old } => {
            vec!["update-ref", "--no-deref", "--", reference(name)?, object(new)?, object(old)?]
        }
        GitService::Archive { commit } => {
            vec!["archive", "--format=tar", "--prefix=workspace/", object(commit)?]
        }
        GitService::CatFile => vec!["cat-file", "--batch"],
        GitService::ListTree { commit } => {
            vec!["ls-tree", "-r", "-l", "-z", "--full-tree", object(commit)?]
        }
        GitService::IsAncestor { old, new } => {
            vec!["merge-base", "--is-ancestor", object(old)?, object(new)?]
        }
        GitService::CheckObjects => vec!["cat-file", "--batch-check"],
        GitService::ListRefs { under } => {
            let names = under.iter().map(|name| reference(name)).collect::<Result<Vec<_>, _>>()?;
            if names.is_empty() {
                return Err(refused("a list of refs without a place to begin".to_owned()));
            }
            [vec!["for-each-ref", "--format=%(objectname) %(refname)", "--"], names].concat()
        }
        // -n: `objects/info/packs` is written by a full collection alone, and its time says when that was.
        GitService::Repack => vec!["repack", "--geometric=2", "-d", "--write-midx", "-n", "--quiet"],
        GitService::Collect { keep_days: 0 } => {
            // What a push has just brought is named by nothing yet.
            return Err(refused("unnamed objects are kept for a day at least".to_owned()));
        }
        GitService::Collect { keep_days } => {
            prune = format!("--prune={keep_days}.days.ago");
            // Unnamed objects stay in one pack: in files of their own they would take what they are whole.
            vec!["gc", "--quiet", "--cruft", &prune]
        }
    };
    Ok(words.into_iter().map(str::to_owned).collect())
}

/// A full object name: 40 or 64 lower-case hex digits (SHA-1 or SHA-256), never an expression.
fn object(text: &str) -> Result<&str, Refusal> {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if matches!(text.len(), 40 | 64) && text.bytes().all(digit) {
        return Ok(text);
    }
    Err(refused(format!("`{}` is no object id: give 40 or 64 lower-case hex digits", shown(text))))
}

/// A full ref name by the rules of git-check-ref-format(1), with fewer characters.
fn reference(text: &str) -> Result<&str, Refusal> {
    let letter =
        |byte: u8| byte > b' ' && !matches!(byte, 0x7f | b'~' | b'^' | b':' | b'?' | b'*' | b'[' | b'\\');
    let part = |part: &str| {
        // Upper case passes here and with git.
        let lock = part.as_bytes().ends_with(b".lock");
        !part.is_empty() && !part.starts_with('.') && !part.ends_with('.') && !lock
    };
    let whole = text.starts_with("refs/")
        && text.len() <= 1024
        && text.bytes().all(letter)
        && text.split('/').all(part)
        && !text.contains("..")
        && !text.contains("@{");
    if whole {
        return Ok(text);
    }
    Err(refused(format!("`{}` is no ref name: give a full one such as refs/heads/main", shown(text))))
}

/// The whole environment of git: nothing of ours, the checked settings, and the variables that a hook reads.
pub(crate) fn environment(
    config: &[(String, String)],
    env: &[(String, String)],
) -> Result<Vec<(String, String)>, Refusal> {
    if config.len() > MAX_SETTINGS || env.len() > MAX_SETTINGS {
        return Err(refused(format!("more than {MAX_SETTINGS} settings or variables")));
    }
    let mut all: Vec<(String, String)> = [
        ("PATH", SEARCH_PATH),
        ("HOME", "/nonexistent"),
        ("LC_ALL", "C.UTF-8"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_ATTR_NOSYSTEM", "1"),
        ("GIT_OPTIONAL_LOCKS", "0"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    all.push(("GIT_CONFIG_COUNT".to_owned(), config.len().to_string()));
    for (index, (key, value)) in config.iter().enumerate() {
        if !is_setting(key) || value.contains(['\0', '\n']) {
            return Err(refused(format!(
                "the git setting `{}` is not one that the platform uses",
                shown(key)
            )));
        }
        all.push((format!("GIT_CONFIG_KEY_{index}"), key.clone()));
        all.push((format!("GIT_CONFIG_VALUE_{index}"), value.clone()));
    }
    for (name, value) in env {
        if !is_variable(name) || value.contains('\0') {
            return Err(refused(format!("the variable `{}` is not one that git's hooks read", shown(name))));
        }
        all.push((name.clone(), value.clone()));
    }
    Ok(all)
}

fn is_setting(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    lower.bytes().all(letter)
        && lower != REFUSED_KEY
        && (KEYS.contains(&lower.as_str()) || SECTIONS.iter().any(|section| lower.starts_with(section)))
}

fn is_variable(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
    name == "GIT_PROTOCOL" || (name.starts_with("WINDLASS_") && name.bytes().all(letter))
}

fn refused(text: String) -> Refusal {
    Refusal::new("git-refused", text)
}

fn shown(text: &str) -> String {
    text.chars().take(80).map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_is_one_fixed_command_line() {
        let (one, two) = ("1".repeat(40), "2".repeat(64));
        let update =
            GitService::UpdateRef { name: "refs/heads/main".to_owned(), new: one.clone(), old: two.clone() };
        let expected = ["update-ref", "--no-deref", "--", "refs/heads/main", &one, &two];
        assert_eq!(argv(&update).unwrap(), expected);
        let archive = argv(&GitService::Archive { commit: one.clone() }).unwrap();
        assert_eq!(archive, ["archive", "--format=tar", "--prefix=workspace/", &one]);
        let advertise = argv(&GitService::ReceivePack { advertise: true }).unwrap();
        assert_eq!(advertise, ["receive-pack", "--stateless-rpc", "--http-backend-info-refs", "."]);
    }

    #[test]
    fn maintenance_never_takes_what_a_push_has_just_brought() {
        let collect = |keep_days| argv(&GitService::Collect { keep_days });
        assert_eq!(collect(14).unwrap(), ["gc", "--quiet", "--cruft", "--prune=14.days.ago"]);
        assert!(collect(0).is_err());
        let list = |under: &[&str]| {
            argv(&GitService::ListRefs { under: under.iter().map(|name| (*name).to_owned()).collect() })
        };
        assert_eq!(list(&["refs/heads", "refs/tags"]).unwrap()[2..], ["--", "refs/heads", "refs/tags"]);
        assert!(list(&[]).is_err() && list(&["--exec-path"]).is_err() && list(&["refs/*"]).is_err());
    }

    #[test]
    fn an_option_an_expression_or_a_short_id_is_no_object() {
        for text in ["--output=/etc/passwd", "HEAD", "", &"A".repeat(40), &"1".repeat(39), &"1".repeat(41)] {
            let error = argv(&GitService::Archive { commit: text.to_owned() }).unwrap_err();
            assert!(error.text.contains("is no object id"), "{error}");
        }
    }

    #[test]
    fn a_ref_that_git_itself_would_refuse_never_reaches_it() {
        let good = "1".repeat(40);
        for name in [
            "main",
            "--stdin",
            "refs/heads/..",
            "refs/heads/a..b",
            "refs/heads/.a",
            "refs/heads/a.lock",
            "refs//a",
            "refs/heads/a b",
            "refs/heads/a~1",
            "refs/heads/@{1}",
            "refs/heads/a\n",
            "refs/",
        ] {
            let update =
                GitService::UpdateRef { name: name.to_owned(), new: good.clone(), old: good.clone() };
            assert!(argv(&update).is_err(), "{name:?}");
        }
        for name in ["refs/heads/main", "refs/heads/feature/ä-1", "refs/windlass/runs/12"] {
            let update =
                GitService::UpdateRef { name: name.to_owned(), new: good.clone(), old: good.clone() };
            assert!(argv(&update).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn a_setting_that_starts_a_program_is_refused_and_the_environment_holds_nothing_of_ours() {
        let pair = |key: &str| vec![(key.to_owned(), "x".to_owned())];
        for key in
            ["core.fsmonitor", "uploadpack.packObjectsHook", "core.sshCommand", "alias.x", "filter.x.clean"]
        {
            assert!(environment(&pair(key), &[]).is_err(), "{key}");
        }
        for name in ["LD_PRELOAD", "GIT_DIR", "PATH", "WINDLASS_a b"] {
            assert!(environment(&[], &pair(name)).is_err(), "{name}");
        }
        let all = environment(&pair("receive.fsckObjects"), &pair("WINDLASS_PUSH")).unwrap();
        assert!(all.contains(&("GIT_CONFIG_COUNT".to_owned(), "1".to_owned())));
        assert!(all.contains(&("GIT_CONFIG_KEY_0".to_owned(), "receive.fsckObjects".to_owned())));
        assert!(all.contains(&("WINDLASS_PUSH".to_owned(), "x".to_owned())));
        assert!(!all.iter().any(|(name, _)| name == "CARGO"));
    }
}
