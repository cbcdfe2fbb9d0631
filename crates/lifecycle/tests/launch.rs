//! The launcher as images start it: a real process that becomes another.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::PathBuf,
    process::{Command, Output},
};

const PROCESSES: &str = r#"
[[buildpacks]]
id = "example/first"
version = "1"
api = "0.10"

[[buildpacks]]
id = "example/second"
version = "1"
api = "0.10"

[[buildpacks]]
id = "old"
version = "1"
api = "0.8"

[[processes]]
type = "web"
command = ["show", "fixed"]
args = ["default"]
direct = true
buildpack-id = "example/first"

[[processes]]
type = "plain"
command = ["show"]
args = ["default"]
direct = true
buildpack-id = "example/second"

[[processes]]
type = "inside"
command = ["pwd"]
args = []
direct = true
working-dir = "sub"
buildpack-id = "example/first"

[[processes]]
type = "env"
command = ["env"]
args = []
direct = true
buildpack-id = "example/first"

[[processes]]
type = "missing"
command = ["no-such-program"]
args = []
direct = true
buildpack-id = "example/first"

[[processes]]
type = "appends"
command = ["show"]
args = ["default"]
direct = true
buildpack-id = "old"

[[processes]]
type = "shell"
command = "show"
args = ["$GREETING", "two words", "it's", "$PWD"]
direct = false
working-dir = "sub"
buildpack-id = "old"

[[processes]]
type = "line"
command = "cd sub && show $GREETING; show end"
args = []
direct = false
buildpack-id = "old"

[[processes]]
type = "tests"
command = ["show"]
args = []
direct = true
exec-env = ["test"]
buildpack-id = "example/first"
"#;

/// An image's tree, started outside a container: its places come in the environment, as in an image.
struct Image {
    home: tempfile::TempDir,
}

impl Image {
    fn new() -> Self {
        let image = Self { home: tempfile::tempdir().unwrap() };
        // The file's own form has commands as arrays.
        let text = PROCESSES.replace("command = \"show\"", "command = [\"show\"]").replace(
            "command = \"cd sub && show $GREETING; show end\"",
            "command = [\"cd sub && show $GREETING; show end\"]",
        );
        image.write("layers/config/metadata.toml", &text);
        image.write("app/sub/file", "");
        image.program("tools/show", "for word in \"$@\"; do printf '[%s]' \"$word\"; done; echo");
        image
    }

    fn path(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    fn write(&self, path: &str, content: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), content).unwrap();
    }

    fn program(&self, path: &str, script: &str) {
        self.write(path, &format!("#!/bin/bash\n{script}\n"));
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn launcher(&self, called_as: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_launcher"));
        let tools = self.path("tools");
        command
            .arg0(called_as)
            .env_clear()
            .env("PATH", format!("/cnb/process:/cnb/lifecycle:{}:/usr/bin:/bin", tools.display()))
            .env("CNB_PLATFORM_API", "0.15")
            .env("CNB_LAYERS_DIR", self.path("layers"))
            .env("CNB_APP_DIR", self.path("app"))
            .env("CNB_DEPRECATION_MODE", "quiet");
        command
    }

    fn start(&self, kind: &str) -> Command {
        self.launcher(&format!("/cnb/process/{kind}"))
    }
}

fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn refused(command: &mut Command, status: i32, expected: &str) {
    let Output { status: ended, stderr, .. } = command.output().unwrap();
    let text = String::from_utf8(stderr).unwrap();
    assert_eq!(ended.code(), Some(status), "{text}");
    assert!(text.starts_with("ERROR: failed to launch: ") && text.contains(expected), "{text}");
}

#[test]
fn the_name_it_is_called_by_chooses_the_process() {
    let image = Image::new();
    assert_eq!(said(&mut image.start("web")), "[fixed][default]\n");
    assert_eq!(said(&mut image.start("plain")), "[default]\n");
}

#[test]
fn arguments_replace_the_default_ones_and_not_the_commands_own() {
    let image = Image::new();
    assert_eq!(said(image.start("web").args(["a", "b c"])), "[fixed][a][b c]\n");
    assert_eq!(said(image.start("plain").arg("a")), "[a]\n");
    assert_eq!(said(image.start("appends").arg("a")), "[default][a]\n");
}

#[test]
fn the_launcher_itself_starts_any_command() {
    let image = Image::new();
    assert_eq!(said(image.launcher("launcher").args(["--", "show", "$HOME", "x"])), "[$HOME][x]\n");
    let mut shell = image.launcher("launcher");
    assert_eq!(said(shell.env("GREETING", "hello").args(["show $GREETING"])), "[hello]\n");
    refused(&mut image.launcher("launcher"), 82, "one of: web, plain");
    refused(image.launcher("launcher").arg("--"), 82, "no process to start");
}

#[test]
fn the_process_is_this_process_and_its_status_is_the_status() {
    let image = Image::new();
    let mut child = image
        .launcher("launcher")
        .args(["--", "sleep", "60"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let name = format!("/proc/{}/comm", child.id());
    let start = std::time::Instant::now();
    while fs::read_to_string(&name).unwrap() != "sleep\n" {
        assert!(start.elapsed().as_secs() < 60, "the launcher did not become sleep");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let status = image.launcher("launcher").args(["--", "bash", "-c", "exit 7"]).status().unwrap();
    assert_eq!(status.code(), Some(7));
}

#[test]
fn a_process_starts_in_the_app_directory_or_its_own() {
    let image = Image::new();
    let app = fs::canonicalize(image.path("app")).unwrap();
    assert_eq!(said(&mut image.start("inside")), format!("{}\n", app.join("sub").display()));
    assert_eq!(said(image.launcher("launcher").args(["--", "pwd"])), format!("{}\n", app.display()));
    fs::remove_dir_all(image.path("app/sub")).unwrap();
    refused(&mut image.start("inside"), 82, "cannot enter the working directory");
}

#[test]
fn layers_set_the_environment_in_order() {
    let image = Image::new();
    image.write("layers/example_first/a/bin/tool", "");
    image.write("layers/example_first/b/lib/so", "");
    image.write("layers/example_first/a/env/ORDER", "1");
    image.write("layers/example_first/b/env.launch/ORDER.append", "2");
    image.write("layers/example_first/b/env.launch/env/ORDER.append", "3");
    image.write("layers/example_first/b/env.launch/web/ORDER.append", "not for this process");
    image.write("layers/example_first/b/env.build/ORDER.append", "not at launch");
    image.write("layers/example_second/c/env/ORDER.append", "4");
    image.write("layers/example_second/c/env/PORT.default", "8080");
    image.write("layers/absent/d/env/NOBODY", "no buildpack of this image");
    let text = said(image.start("env").env("PORT", "8000").env("CNB_EXEC_ENV", "production"));
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.contains(&"ORDER=1234"), "{text}");
    assert!(lines.contains(&"PORT=8000"), "{text}");
    assert!(lines.contains(&"CNB_EXEC_ENV=production"), "{text}");
    let bin = image.path("layers/example_first/a/bin").display().to_string();
    let tools = image.path("tools").display().to_string();
    assert!(lines.contains(&format!("PATH={bin}:{tools}:/usr/bin:/bin").as_str()), "{text}");
    let lib = image.path("layers/example_first/b/lib").display().to_string();
    assert!(lines.contains(&format!("LD_LIBRARY_PATH={lib}").as_str()), "{text}");
    for hidden in ["NOBODY", "CNB_LAYERS_DIR", "CNB_APP_DIR", "CNB_PLATFORM_API", "CNB_DEPRECATION_MODE"] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
}

#[test]
fn a_program_that_a_layer_brings_is_found() {
    let image = Image::new();
    image.program("layers/example_second/c/bin/no-such-program", "echo found after all");
    assert_eq!(said(&mut image.start("missing")), "found after all\n");
}

#[test]
fn programs_in_exec_d_change_the_environment_one_after_another() {
    let image = Image::new();
    image.program("layers/example_first/a/exec.d/1", "echo 'STEP = \"one\"' >&3; echo shown");
    image.program("layers/example_first/a/exec.d/2", "echo \"STEP = \\\"$STEP, two\\\"\" >&3");
    image.program("layers/example_first/a/exec.d/env/3", "echo \"STEP = \\\"$STEP, three\\\"\" >&3");
    image.program("layers/example_first/a/exec.d/web/4", "echo 'STEP = \"wrong\"' >&3");
    let text = said(&mut image.start("env"));
    assert!(text.starts_with("shown\n"), "{text}");
    assert!(text.lines().any(|line| line == "STEP=one, two, three"), "{text}");
}

#[test]
fn the_descriptor_of_exec_d_is_not_left_open() {
    let image = Image::new();
    let open = || said(image.launcher("launcher").args(["--", "ls", "/proc/self/fd"]));
    let before = open();
    image.program("layers/example_first/a/exec.d/1", "echo 'A = \"b\"' >&3");
    assert_eq!(open(), before);

    let script = "exec -a web \"$0\" 3</dev/null";
    let mut shell = Command::new("bash");
    for (name, value) in image.start("web").get_envs() {
        shell.env(name, value.unwrap());
    }
    refused(shell.args(["-c", script, env!("CARGO_BIN_EXE_launcher")]), 82, "descriptor 3 is taken");
}

#[test]
fn a_program_in_exec_d_that_fails_stops_the_start() {
    for (script, expected) in [
        ("exit 3", "exit status: 3"),
        ("echo nonsense >&3", "exec.d/broken cannot be read"),
        ("echo 'LIST = [1]' >&3", "exec.d/broken cannot be read"),
        ("head -c 2000000 /dev/zero >&3", "more than 1048576 bytes"),
    ] {
        let image = Image::new();
        image.program("layers/example_first/a/exec.d/broken", script);
        refused(&mut image.start("web"), 82, expected);
    }
    let image = Image::new();
    image.write("layers/example_first/a/exec.d/no-program", "");
    refused(&mut image.start("web"), 82, "cannot run");
}

#[test]
fn a_shell_process_reads_profiles_and_replaces_variables() {
    let image = Image::new();
    image.write("layers/old/a/profile.d/1.sh", "export GREETING=\"hello from $0\"");
    image.write("layers/old/a/profile.d/shell/2.sh", "GREETING=\"$GREETING again\"");
    image.write("app/.profile", "GREETING=\"$GREETING, app\"; pwd >&2");
    let mut shell = image.start("shell");
    let sub = fs::canonicalize(image.path("app/sub")).unwrap();
    let expected = format!("[hello from launcher again, app][two words][it's][{}]\n", sub.display());
    assert_eq!(said(&mut shell), expected);
    assert_eq!(said(&mut image.start("line")), "[hello][from][launcher,][app]\n[end]\n");
}

#[test]
fn paths_of_profiles_are_no_shell_words() {
    let image = Image::new();
    image.write("layers/old/a/profile.d/it's $(touch hacked) \"a\".sh", "export GREETING=quoted");
    assert_eq!(said(&mut image.start("line")), "[quoted]\n[end]\n");
    assert!(!image.path("app/hacked").exists());
}

#[test]
fn direct_processes_read_no_profile() {
    let image = Image::new();
    image.write("app/.profile", "echo profile was read");
    image.write("layers/old/a/profile.d/1.sh", "echo profile was read");
    assert_eq!(said(&mut image.start("plain")), "[default]\n");
}

#[test]
fn a_process_for_another_execution_environment_does_not_start() {
    let image = Image::new();
    refused(&mut image.start("tests"), 82, "it is for test");
    assert_eq!(said(image.start("tests").env("CNB_EXEC_ENV", "test")), "\n");
    assert_eq!(said(image.start("tests").env("CNB_PLATFORM_API", "0.14")), "\n");
}

#[test]
fn what_cannot_start_says_why() {
    let image = Image::new();
    refused(&mut image.start("missing"), 82, "cannot find the command `no-such-program` of process missing");
    refused(image.start("web").env_remove("CNB_PLATFORM_API"), 11, "CNB_PLATFORM_API is not set");
    refused(image.start("web").env("CNB_PLATFORM_API", "0.99"), 11, "`0.99`");
    refused(image.start("web").env("CNB_LAYERS_DIR", "/nowhere"), 82, "/nowhere/config/metadata.toml");
    refused(image.start("web").env("CNB_APP_DIR", "/nowhere"), 82, "cannot enter the app directory /nowhere");
    image.write("app/text", "no program");
    refused(image.launcher("launcher").args(["--", "./text"]), 82, "cannot start ./text");
    let text = fs::read_to_string(image.path("layers/config/metadata.toml")).unwrap();
    image.write("layers/config/metadata.toml", &text.replace("api = \"0.8\"", "api = \"0.1\""));
    refused(&mut image.start("web"), 12, "Buildpack API 0.1 of buildpack old");
    image.write("layers/config/metadata.toml", "nonsense");
    refused(&mut image.start("web"), 82, "metadata.toml cannot be read");
}

#[test]
fn the_old_way_to_choose_a_process_is_named_and_not_followed() {
    let image = Image::new();
    let output = image.start("web").env("CNB_PROCESS_TYPE", "plain").output().unwrap();
    assert_eq!(output.stdout, b"[fixed][default]\n");
    assert!(String::from_utf8(output.stderr).unwrap().contains("CNB_PROCESS_TYPE is not read"));
}
