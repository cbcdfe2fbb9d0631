//! What a shim does for its container: real runtime, real namespaces, real limits.

#[path = "support/shim.rs"]
mod support;

use logs::Stream;
use model::Limits;
use std::fs;
use std::time::{Duration, Instant};
use support::{Kept, LIMITS};
use windlass_sandbox::request::{KilledBy, State};
use windlass_sandbox::shim::Ready;
use windlass_sandbox::shim::state::{self, Ask, Reply};

#[test]
fn what_a_program_says_and_its_status_are_kept() {
    let kept = Kept::run(LIMITS, &["/probe", "each", "say out", "complain err", "exit 7"]);
    let ended = kept.ended();
    assert_eq!((ended.status, ended.killed_by, ended.memory_kills), (7, None, 0));
    assert!(
        ended.cpu_microseconds > 0 && ended.memory_peak_bytes > 0 && ended.wall_microseconds > 0,
        "{ended:?}"
    );
    assert_eq!(kept.texts(Stream::Out), ["out"]);
    assert_eq!(kept.texts(Stream::Err), ["err"]);
    assert_eq!(kept.texts(Stream::Platform), [""; 0]);
}

#[test]
fn a_service_that_ends_by_itself_says_so_in_its_log_and_one_that_is_stopped_does_not() {
    let service = Limits { wall_seconds: None, ..LIMITS };
    let left = Kept::run(service, &["/probe", "each", "say out", "exit 3"]);
    assert_eq!((left.ended().status, left.ended().killed_by), (3, None));
    let last = left.rows().pop();
    assert_eq!(last, Some((Stream::Platform, "ended with status 3".to_owned())));

    let signalled = Kept::run(service, &["/probe", "each", "say begun", "sleep 60"]);
    signalled.hears("begun");
    signalled.group().kill_all().unwrap();
    assert_eq!((signalled.ended().status, signalled.ended().killed_by), (137, None));
    assert_eq!(signalled.texts(Stream::Platform), ["ended by signal SIGKILL"]);

    let stopped = Kept::run(service, &["/probe", "sleep", "60"]);
    stopped.kill(0);
    assert_eq!(stopped.ended().killed_by, Some(KilledBy::Request));
    assert_eq!(stopped.texts(Stream::Platform), [""; 0]);

    let hog = Kept::run(service, &["/probe", "allocate", "300"]);
    assert_eq!(hog.ended().killed_by, Some(KilledBy::Memory));
    assert_eq!(hog.texts(Stream::Platform), ["killed: memory 64 MiB (a process here needed more)"]);
}

#[test]
fn nothing_runs_before_the_start_and_starting_twice_is_starting_once() {
    let kept = Kept::create(LIMITS, &["/probe", "each", "say begun", "sleep 60"]);
    assert_eq!(kept.ask(Ask::State), Reply::State { state: State::Created });
    std::thread::sleep(Duration::from_millis(100));
    assert!(kept.rows().is_empty());
    assert!(state::is_alive(kept.directory()).unwrap());
    assert_eq!(state::ended(kept.directory()).unwrap(), None);
    for _ in 0..2 {
        assert_eq!(kept.ask(Ask::Start), Reply::State { state: State::Running });
    }
    kept.hears("begun");
    kept.kill(0);
    let ended = kept.ended();
    assert_eq!((ended.status, ended.killed_by), (137, Some(KilledBy::Request)));
    assert_eq!(kept.texts(Stream::Out), ["begun"]);
}

#[test]
fn a_container_that_was_never_started_can_be_ended() {
    let kept = Kept::create(LIMITS, &["/probe", "say", "never"]);
    kept.kill(60_000);
    assert_eq!(kept.ended().killed_by, Some(KilledBy::Request));
    assert!(kept.rows().is_empty());
}

#[test]
fn a_program_that_is_not_in_the_image_is_told_and_does_not_hang() {
    let missing = Kept::create(LIMITS, &["gunicron"]);
    assert_eq!(missing.ready, Ready::Ended);
    assert_eq!(missing.ended().status, 127);
    assert!(missing.texts(Stream::Platform)[0].contains("the program `gunicron` is not in the image"));
    let no_program = Kept::create(LIMITS, &["/notes.txt"]);
    assert_eq!(no_program.ready, Ready::Ended);
    assert_eq!(no_program.ended().status, 126);
}

#[test]
fn what_outstays_its_wall_clock_is_ended_and_told() {
    let kept = Kept::run(Limits { wall_seconds: Some(1), ..LIMITS }, &["/probe", "sleep", "600"]);
    let begun = Instant::now();
    let ended = kept.ended();
    assert_eq!((ended.status, ended.killed_by), (137, Some(KilledBy::Wall)));
    assert!(begun.elapsed() < Duration::from_secs(300) && ended.wall_microseconds >= 1_000_000);
    assert_eq!(kept.texts(Stream::Platform), ["killed: ran longer than 1 s"]);
}

#[test]
fn a_program_that_does_not_heed_the_first_signal_is_ended_after_the_grace() {
    let kept = Kept::run(LIMITS, &["/probe", "ignore-terminate-and-sleep"]);
    kept.hears("deaf");
    let begun = Instant::now();
    kept.kill(300);
    assert_eq!(kept.ended().status, 137);
    assert!((300..60_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
}

#[test]
fn a_program_that_never_thought_of_the_first_signal_does_not_sit_out_its_grace() {
    let kept = Kept::run(LIMITS, &["/probe", "sleep", "600"]);
    let begun = Instant::now();
    kept.kill(120_000);
    assert_eq!(kept.ended().status, 137);
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

#[test]
fn a_memory_hog_is_ended_and_told_by_name() {
    let kept = Kept::run(LIMITS, &["/probe", "allocate", "300"]);
    let ended = kept.ended();
    assert_eq!((ended.status, ended.killed_by, ended.memory_kills), (137, Some(KilledBy::Memory), 1));
    assert!(ended.memory_peak_bytes > LIMITS.memory_bytes * 9 / 10, "{ended:?}");
    let told = kept.texts(Stream::Platform);
    assert_eq!(told, ["killed: memory 64 MiB (a process here needed more)"]);
}

#[test]
fn a_worker_killed_for_memory_is_told_at_once_while_the_tool_goes_on() {
    let kept = Kept::run(LIMITS, &["/probe", "each", "allocate-in-child 300", "sleep 60"]);
    kept.hears("killed: memory 64 MiB");
    assert_eq!(kept.ask(Ask::State), Reply::State { state: State::Running });
    kept.kill(0);
    let ended = kept.ended();
    assert_eq!((ended.killed_by, ended.memory_kills), (Some(KilledBy::Request), 1));
}

#[test]
fn the_whole_tree_ends_with_its_first_process() {
    let kept = Kept::run(LIMITS, &["/probe", "leave-child"]);
    assert_eq!(kept.ended().status, 0);
    assert!(kept.group().pids().unwrap().is_empty(), "the grandchild ended too");
}

#[test]
fn a_lost_shim_is_seen_and_its_tree_can_be_ended() {
    let mut kept = Kept::run(LIMITS, &["/probe", "each", "leave-child", "sleep 600"]);
    kept.hears("left true");
    kept.shim.kill().unwrap();
    kept.shim.wait().unwrap();
    state::wait_gone(kept.directory()).unwrap();
    assert!(!state::is_alive(kept.directory()).unwrap());
    assert_eq!(state::ended(kept.directory()).unwrap(), None);
    assert!(state::ask(kept.directory(), Ask::State).is_err());
    assert_eq!(kept.group().pids().unwrap().len(), 2);
    kept.group().kill_all().unwrap();
    assert!(kept.group().pids().unwrap().is_empty());
}

#[test]
fn a_running_shim_is_small_and_has_given_up_root() {
    let kept = Kept::run(LIMITS, &["/probe", "each", "say begun", "sleep 60"]);
    kept.hears("begun");
    let process = format!("/proc/{}", kept.shim.id());
    let status = fs::read_to_string(format!("{process}/status")).unwrap();
    let field =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    let id = kept.shim_id().to_string();
    assert_eq!(field("Uid:"), [id.as_str(); 4].join("\t"));
    assert_eq!(field("Gid:"), [id.as_str(); 4].join("\t"));
    assert_eq!((field("CapPrm:").as_str(), field("NoNewPrivs:").as_str()), ("0000000000000020", "1"));
    assert_eq!(field("Threads:"), "1");
    let memory = fs::read_to_string(format!("{process}/smaps_rollup")).unwrap();
    let pss = memory.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")).unwrap();
    assert!(pss.parse::<u64>().unwrap() < 2048, "{pss} kB");
}

#[test]
fn a_text_without_line_end_is_shown_after_a_moment() {
    let kept = Kept::run(LIMITS, &["/probe", "each", "prompt name?", "sleep 60"]);
    kept.hears("name?");
}

#[test]
fn a_flood_of_output_stays_within_its_limit_and_the_end_is_still_told() {
    let limits = Limits { log_bytes: 256 * 1024, ..LIMITS };
    let kept = Kept::run(limits, &["/probe", "each", "repeat 100000 flood", "exit 3"]);
    assert_eq!(kept.ended().status, 3);
    let kept_rows = kept.texts(Stream::Out).len();
    let dropped = 100_000 - kept_rows;
    assert!((5000..12_000).contains(&kept_rows), "{kept_rows} rows");
    assert!(kept.texts(Stream::Marker)[0].starts_with(&format!("{dropped} rows dropped")));
}

#[test]
fn without_its_limit_a_flood_of_output_is_kept_to_its_last_row() {
    let limits = Limits { log_bytes: u64::MAX, ..LIMITS };
    let kept = Kept::run(limits, &["/probe", "each", "repeat 100000 flood", "exit 3"]);
    assert_eq!(kept.ended().status, 3);
    assert_eq!(kept.texts(Stream::Out).len(), 100_000);
}

#[test]
fn a_program_may_open_its_own_output_by_name() {
    let kept = Kept::run(LIMITS, &["/probe", "write", "/proc/self/fd/2", "by name"]);
    assert_eq!(kept.ended().status, 0);
    assert_eq!(kept.texts(Stream::Out), ["ok"]);
    assert_eq!(kept.texts(Stream::Err), ["by name"]);
}

#[test]
fn system_calls_that_widen_a_sandbox_are_refused_and_ordinary_ones_work() {
    let acts = ["socket 1", "socket 2", "socket 10", "socket 16", "socket 17", "socket 38", "socket 40"];
    let kept = Kept::run(
        LIMITS,
        &[&["/probe", "each"], acts.as_slice(), &["new-user-namespace", "mount /tmp"]].concat(),
    );
    assert_eq!(kept.ended().status, 0);
    let family = "error: Address family not supported by protocol (os error 97)";
    let not_permitted = "error: Operation not permitted (os error 1)";
    let expected = ["ok", "ok", "ok", "ok", family, family, family, not_permitted, not_permitted];
    assert_eq!(kept.texts(Stream::Out), expected);
}

#[test]
fn without_the_profile_the_sandbox_could_be_widened() {
    let kept = Kept::create_with(LIMITS, &["/probe", "new-user-namespace"], &serde_json::Value::Null);
    kept.ask(Ask::Start);
    assert_eq!(kept.ended().status, 0);
    assert_eq!(kept.texts(Stream::Out), ["ok"]);
}
