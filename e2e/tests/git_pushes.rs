//! Every kind of push has a decided answer, which its sender reads (docs/git.md).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests: they fail by panicking")]

use std::{
    fs::{self, Permissions},
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    time::Duration,
};
use testkit::{Pushed, Tool, World};

/// Small enough to be reached, large enough for an honest push of these apps.
const LIMITS: &str = "
[git]
max_pack_mebibytes = 1
max_repository_mebibytes = 3
max_objects = 300
max_upload_seconds = 6
";

#[test]
fn every_kind_of_push_has_its_answer() {
    let world = World::with_settings(LIMITS);
    let tool = world.tool("pushes", "stdlib-http");
    tool.push().succeeded().says("live");
    tags_are_kept_and_build_nothing(&tool);
    a_branch_runs_again_without_a_new_commit(&tool);
    history_may_be_replaced_and_is_told(&tool);
    many_refs_come_together_or_not_at_all(&tool);
    options_that_mean_nothing_are_told(&tool);
    names_that_mislead_or_clash_are_refused(&tool);
    two_pushes_at_once_agree_on_a_winner(&tool);
    a_push_that_was_overtaken_on_its_way_undoes_nothing(&tool);
    let shallow = world.tool("shallow", "stdlib-http");
    a_shallow_clone_pushes_what_stands_on_known_commits(&shallow);
    let hostile = world.tool("hostile", "stdlib-http");
    trees_that_trick_a_checkout_are_refused(&hostile);
    what_a_commit_does_not_hold_is_told_before_the_build(&hostile);
    let large = world.tool("large", "stdlib-http");
    too_much_is_refused_with_our_numbers(&large);
    an_upload_that_never_ends_is_ended(&world, &large);
}

fn push(tool: &Tool<'_>, words: &[&str]) -> Pushed {
    tool.git_says(&[&["push", "windlass"], words].concat())
}

/// What the platform's repository names, as `ls-remote` shows it.
fn named(tool: &Tool<'_>, name: &str) -> Option<String> {
    let listed = tool.git_signed_in(&["ls-remote", "windlass", name]).unwrap();
    listed.split_whitespace().next().map(str::to_owned)
}

fn head(tool: &Tool<'_>) -> String {
    tool.git(&["rev-parse", "HEAD"]).unwrap()
}

fn runs(tool: &Tool<'_>) -> usize {
    tool.cli(&["runs", "list"])
        .text
        .lines()
        .filter(|line| line.contains("refs/heads") || line.contains("main"))
        .count()
}

fn tags_are_kept_and_build_nothing(tool: &Tool<'_>) {
    let before = runs(tool);
    tool.git(&["tag", "light"]).unwrap();
    tool.git(&["tag", "--annotate", "--message", "one", "v1"]).unwrap();
    push(tool, &["light", "v1"]).succeeded().says("[new tag]");
    assert_eq!(named(tool, "refs/tags/light"), Some(head(tool)));
    push(tool, &[":light"]).succeeded().says("[deleted]");
    assert_eq!(named(tool, "refs/tags/light"), None);
    assert_eq!(runs(tool), before, "a tag has no run");
    push(tool, &["v1:refs/heads/annotated"]).failed().says("a branch names a commit, and this is a tag");
    push(tool, &["HEAD^{tree}:refs/tags/tree"]).succeeded();
}

fn a_branch_runs_again_without_a_new_commit(tool: &Tool<'_>) {
    tool.push().succeeded().says("Everything up-to-date");
    let name = "HEAD:refs/run/main";
    push(tool, &[name]).succeeded().says("run 2").says("live").says("HEAD -> main");
    assert_eq!(named(tool, "refs/run/main"), None);
    push(tool, &[name]).succeeded().says("run 3");
    assert_eq!(named(tool, "refs/heads/main"), Some(head(tool)));
}

fn history_may_be_replaced_and_is_told(tool: &Tool<'_>) {
    let before = head(tool);
    tool.edit("app.py", "hello from stdlib-http", "another day");
    push(tool, &["main"]).succeeded();
    tool.git(&["reset", "--quiet", "--hard", &before]).unwrap();
    tool.edit("app.py", "hello from stdlib-http", "rewritten");
    push(tool, &["main"]).failed().says("[rejected]");
    push(tool, &["--force", "main"]).succeeded().says("a forced push: ").says("(forced update)").says("live");
    assert_eq!(tool.get("/").body, "rewritten\n");
    assert_eq!(named(tool, "refs/heads/main"), Some(head(tool)));
}

fn many_refs_come_together_or_not_at_all(tool: &Tool<'_>) {
    push(tool, &["--atomic", "main:refs/heads/x", "main:refs/heads/y"])
        .says("the receiving end does not support --atomic");
    push(tool, &["main:refs/heads/x", "main:refs/heads/y"]).succeeded().says("x builds").says("y builds");
    assert!(named(tool, "refs/heads/x").is_some() && named(tool, "refs/heads/y").is_some());
    push(tool, &[":x", ":y"]).succeeded();
    push(tool, &["--all"]).succeeded().says("Everything up-to-date");
    // A mirror brings what a clone knows of its remotes too, and would delete what is not there.
    push(tool, &["--mirror"]).failed().says("only branches and tags are taken");
    let many: Vec<String> = (0..6).map(|n| format!("main:refs/heads/b{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    push(tool, &many).failed().says("too many branches at once").says("5 may come at once");
    let tags: Vec<String> = (0..1001).map(|n| format!("main:refs/tags/t{n}")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    push(tool, &tags).failed().says("names 1001 refs; 1000 may come at once").says("too many refs at once");
}

fn options_that_mean_nothing_are_told(tool: &Tool<'_>) {
    push(tool, &["-o", "ci.skip", "-o", "quiet", "HEAD:refs/run/main"])
        .succeeded()
        .says("the push option `ci.skip` means nothing here; known: quiet")
        .says("live");
}

fn names_that_mislead_or_clash_are_refused(tool: &Tool<'_>) {
    for (name, words) in [
        ("refs/heads/-x", "it starts with `-`"),
        ("refs/heads/0123456789012345678901234567890123456789", "it reads as the id of a commit"),
        ("refs/heads/ma\u{202e}in", "it has characters that hide or reorder text"),
        ("refs/tags/--upload-pack=x", "it starts with `-`"),
        ("refs/heads/main/sub", "two names cannot be side by side"),
        ("refs/windlass/pushes/x", "deny updating a hidden ref"),
        ("refs/changes/1", "only branches and tags are taken"),
    ] {
        push(tool, &[&format!("main:{name}")]).failed().says(words);
    }
    push(tool, &[":main"]).failed().says("the production branch stays");
}

fn two_pushes_at_once_agree_on_a_winner(tool: &Tool<'_>) {
    let commits: Vec<String> = (0..2)
        .map(|n| {
            tool.git(&["checkout", "--quiet", "-B", &format!("twin{n}"), "main"]).unwrap();
            tool.write("twin", &format!("{n}"));
            head(tool)
        })
        .collect();
    tool.git(&["checkout", "--quiet", "main"]).unwrap();
    let pushed: Vec<Pushed> = std::thread::scope(|scope| {
        let start = |n: usize| scope.spawn(move || push(tool, &[&format!("twin{n}:refs/heads/twin")]));
        [start(0), start(1)].map(|thread| thread.join().unwrap()).into()
    });
    let won: Vec<usize> = (0..2).filter(|n| pushed[*n].status == 0).collect();
    assert_eq!(won.len(), 1, "{pushed:?}");
    let lost = &pushed[1 - won[0]].text;
    // While the other one went on; when it had ended well; when it had ended before this one began.
    let known = ["took over", "twin moved meanwhile", "fetch first"];
    assert!(known.iter().any(|words| lost.contains(words)), "{lost}");
    assert_eq!(named(tool, "refs/heads/twin").as_deref(), Some(commits[won[0]].as_str()));
}

/// The client's own hook runs when it has heard where the branches stand and has sent nothing yet.
fn a_push_that_was_overtaken_on_its_way_undoes_nothing(tool: &Tool<'_>) {
    let hook = tool.directory.join(".git/hooks/pre-push");
    for branch in ["main", "twin"] {
        let base = named(tool, &format!("refs/heads/{branch}")).unwrap();
        let commits = ["overtaken", "overtaking"].map(|name| {
            tool.git(&["checkout", "--quiet", "-B", name, &base]).unwrap();
            tool.write(name, branch);
            head(tool)
        });
        let overtakes = format!("overtaking:refs/heads/{branch}");
        fs::write(
            &hook,
            format!("#!/bin/sh\nexec git push --no-verify windlass {overtakes} </dev/null >&2\n"),
        )
        .unwrap();
        fs::set_permissions(&hook, Permissions::from_mode(0o755)).unwrap();
        push(tool, &["--force", &format!("overtaken:refs/heads/{branch}")])
            .failed()
            .says(&format!("{branch} moved meanwhile"))
            .says(&format!("It is at {} now", &commits[1][..7]));
        fs::remove_file(&hook).unwrap();
        assert_eq!(named(tool, &format!("refs/heads/{branch}")).as_ref(), Some(&commits[1]));
        // Who has seen it may replace it.
        push(tool, &["--force", &format!("overtaken:refs/heads/{branch}")]).succeeded().says("a forced push");
    }
    tool.git(&["checkout", "--quiet", "main"]).unwrap();
}

fn a_shallow_clone_pushes_what_stands_on_known_commits(tool: &Tool<'_>) {
    tool.write("second", "2");
    tool.push().succeeded();
    let url = tool.git(&["remote", "get-url", "windlass"]).unwrap();
    let clone = tool.directory.with_extension("shallow");
    let clone = clone.to_str().unwrap();
    tool.git_signed_in(&["clone", "--quiet", "--depth=1", &url, clone]).unwrap();
    let known = ["-C", clone, "commit", "--quiet", "--allow-empty", "--message", "on a known commit"];
    tool.git(&known).unwrap();
    tool.git_says(&["-C", clone, "push", "origin", "HEAD:refs/tags/shallow"]).succeeded();
    // A base that the platform has never seen.
    tool.write("third", "3");
    tool.write("fourth", "4");
    let other = tool.directory.with_extension("unknown");
    let other = other.to_str().unwrap();
    let here = format!("file://{}", tool.directory.display());
    tool.git(&["clone", "--quiet", "--depth=1", &here, other]).unwrap();
    tool.git_says(&["-C", other, "push", &url, "HEAD:refs/tags/unknown"])
        .failed()
        .says("shallow update not allowed");
}

/// A tree with one more entry than git would let anybody add, committed.
fn commit_of(tool: &Tool<'_>, mode: &str, name: &[u8], content: &str) -> String {
    let git = |words: &[&str], input: &[u8]| {
        let mut child = Command::new("git")
            .args(words)
            .current_dir(&tool.directory)
            .envs([("GIT_AUTHOR_NAME", "M"), ("GIT_AUTHOR_EMAIL", "m@example.org")])
            .envs([("GIT_COMMITTER_NAME", "M"), ("GIT_COMMITTER_EMAIL", "m@example.org")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "git {words:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let blob = git(&["hash-object", "-w", "--stdin"], content.as_bytes());
    let id: Vec<u8> = (0..20).map(|at| u8::from_str_radix(&blob[2 * at..2 * at + 2], 16).unwrap()).collect();
    let tree = [mode.as_bytes(), b" ", name, b"\0", &id].concat();
    let tree = git(&["hash-object", "-w", "-t", "tree", "--literally", "--stdin"], &tree);
    git(&["commit-tree", &tree, "-m", "hostile"], b"")
}

fn trees_that_trick_a_checkout_are_refused(tool: &Tool<'_>) {
    for (mode, name, content, words) in [
        ("100644", &b".git"[..], "x", "hasDotgit"),
        ("100644", b".GIT", "x", "hasDotgit"),
        ("100644", b"git~1", "x", "hasDotgit"),
        ("100644", b"..", "x", "hasDotdot"),
        ("100644", b"a/b", "x", "fullPathname"),
        ("120000", b".gitmodules", "/etc/passwd", "gitmodulesSymlink"),
        ("100644", b".gitmodules", "[submodule \"a\"]\npath = a\nurl = -u./x\n", "gitmodulesUrl"),
        ("100644", b".gitmodules", "[submodule \"../x\"]\npath = a\nurl = x\n", "gitmodulesName"),
        ("100644", b".gitmodules", "[submodule \"a\"]\npath = a\nurl = x\nupdate = !x\n", "gitmodulesUpdate"),
    ] {
        let commit = commit_of(tool, mode, name, content);
        let pushed = push(tool, &[&format!("{commit}:refs/heads/hostile")]).failed();
        pushed.says(words).says("(unpacker error)");
    }
    for (name, words) in [
        (&b"a\x1b]0;x\x07b"[..], "is too long or holds control characters"),
        ("x".repeat(256).as_bytes(), "is too long or holds control characters"),
    ] {
        let commit = commit_of(tool, "100644", name, "x");
        let pushed = push(tool, &[&format!("{commit}:refs/heads/hostile")]).failed();
        let pushed = pushed.says("a file name in this commit cannot be built").says(words);
        assert!(!pushed.text.contains('\u{7}'), "{:?}", pushed.text);
    }
    assert_eq!(named(tool, "refs/heads/hostile"), None);
}

fn what_a_commit_does_not_hold_is_told_before_the_build(tool: &Tool<'_>) {
    tool.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
    let pointer =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 12345\n", "ab".repeat(32));
    // No LFS on this machine: the pointer goes in as the file that it is.
    tool.git(&["config", "filter.lfs.clean", "cat"]).unwrap();
    tool.write("model.bin", &pointer);
    tool.push()
        .failed()
        .says("plan      failed: files of this commit are not in it")
        .says("pointers to them: `model.bin`.");
    tool.git(&["rm", "--quiet", "model.bin"]).unwrap();
    tool.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{},vendor/lib", "1".repeat(40))])
        .unwrap();
    tool.git(&["commit", "--quiet", "--message", "a submodule"]).unwrap();
    tool.push().succeeded().says("`vendor/lib` is a submodule: its files are not fetched").says("live");
}

/// Bytes that do not compress.
fn noise(seed: u64, length: usize) -> String {
    let mut state = seed;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'0' + u8::try_from((state >> 33) % 64).unwrap_or(0))
        })
        .collect()
}

fn too_much_is_refused_with_our_numbers(tool: &Tool<'_>) {
    tool.git(&["tag", "start"]).unwrap();
    push(tool, &["start"]).succeeded();
    for n in 0..310 {
        std::fs::write(tool.directory.join(format!("file{n}")), format!("{n}")).unwrap();
    }
    tool.write("many", "files");
    push(tool, &["main:refs/tags/many"])
        .failed()
        .says("brings 3")
        .says("objects; 300 may come at once (git.max_objects)")
        .says("(too many objects)");
    tool.git(&["reset", "--quiet", "--hard", "start"]).unwrap();
    tool.git(&["checkout", "--quiet", "--orphan", "huge"]).unwrap();
    tool.write("huge", &noise(1, 3_000_000));
    push(tool, &["HEAD:refs/tags/huge"])
        .failed()
        .says("one push may upload 1 MiB (git.max_pack_mebibytes)")
        .says("(unpacker error)");
    // A megabyte of nothing is small on the wire; the repository fills by what does not compress.
    let mut full = None;
    for n in 2..8 {
        tool.git(&["checkout", "--quiet", "--orphan", &format!("part{n}")]).unwrap();
        tool.git(&["rm", "--quiet", "--cached", "-r", "."]).unwrap();
        std::fs::remove_file(tool.directory.join("huge")).unwrap();
        tool.write("huge", &noise(n, 900_000));
        let pushed = push(tool, &[&format!("HEAD:refs/tags/part{n}")]);
        if pushed.status != 0 {
            full = Some(pushed);
            break;
        }
    }
    let full = full.expect("the repository takes whatever comes");
    full.says("of the 3 it may hold (git.max_repository_mebibytes)").says("git push windlass :old");
    // Full, it still takes what makes room.
    push(tool, &[":part2"]).succeeded();
}

/// A push that sends its commands and then one byte of its pack now and then.
fn an_upload_that_never_ends_is_ended(world: &World, tool: &Tool<'_>) {
    let mut stream = TcpStream::connect(("127.0.0.1", world.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let line = format!("{} {} refs/tags/slow\0 report-status side-band-64k", "0".repeat(40), "1".repeat(40));
    let mut body = format!("{:04x}{line}0000", line.len() + 4).into_bytes();
    body.extend(b"PACK\0\0\0\x02\0\0\0\x01");
    write!(
        stream,
        "POST /git/{}.git/git-receive-pack HTTP/1.1\r\nhost: localhost:{}\r\nauthorization: Bearer {}\r\n\
         content-type: application/x-git-receive-pack-request\r\ncontent-length: 100000\r\n\r\n",
        tool.name,
        world.port,
        world.token()
    )
    .unwrap();
    stream.write_all(&body).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("the upload took longer than 6 s and was given up"), "{answer}");
}
