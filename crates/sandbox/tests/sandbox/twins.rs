//! Each defence of a sandbox with its twin: the same attack with the helper's own configuration fails, and with that
//! one defence taken out it succeeds. A defence that makes no difference would be no defence.
//!
//! What the networks refuse has its twins in tests/egress.rs and `tests/tool_network.rs`, git's jail in jail.rs.

use crate::world::{PROBE, World, base, own, place};
use model::instance::RangeIndex;
use model::limits::MIB;
use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::process::Command;
use windlass_sandbox::mounts::{Plan, ROOT, Upper};
use windlass_sandbox::request::{KilledBy, LayerRef, SandboxSpec};

/// The configuration that the helper gives such a sandbox.
async fn configured(world: &World, spec: &SandboxSpec) -> Value {
    world.helper.create(spec, world.log(&spec.id)).await.unwrap();
    let bundle = world.paths.sandbox_runs().join(spec.id.as_str()).join("bundle/config.json");
    serde_json::from_slice(&fs::read(bundle).unwrap()).unwrap()
}

/// The two outcomes of one attack: as the helper configures it, and with the change.
async fn twins(world: &World, spec: &SandboxSpec, change: impl Fn(&mut Value)) -> (String, String) {
    both(world, configured(world, spec).await, change)
}

fn both(world: &World, config: Value, change: impl Fn(&mut Value)) -> (String, String) {
    let mut weakened = config.clone();
    change(&mut weakened);
    assert_ne!(config, weakened, "the change changes nothing");
    let first_id = first_id(&config);
    (run(world, config, first_id), run(world, weakened, first_id))
}

/// The host's id of the root inside.
fn first_id(config: &Value) -> u32 {
    u32::try_from(config["linux"]["uidMappings"][0]["hostID"].as_u64().unwrap()).unwrap()
}

/// Runs a configuration with the runtime alone over a root of its own, which is laid out as a tool's; the probe in it
/// is set-user-id.
fn run(world: &World, mut config: Value, first_id: u32) -> String {
    let place = place();
    let root = place.path().join("root");
    for directory in ["etc", "proc", "dev", "workspace"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    fs::copy(PROBE, root.join("probe")).unwrap();
    own(&root, first_id);
    own(&root.join("workspace"), first_id + 1000);
    fs::set_permissions(root.join("probe"), fs::Permissions::from_mode(0o4755)).unwrap();
    config["root"]["path"] = json!(root);
    start(world, place.path(), config, &[])
}

/// Runs a configuration as it is, and gives what was said. `through` are the words before the runtime's.
fn start(world: &World, place: &Path, mut config: Value, through: &[&str]) -> String {
    let name = place.file_name().unwrap().to_str().unwrap().to_lowercase();
    config["linux"]["cgroupsPath"] = json!(format!("/{}/{name}", world.instance.tag()));
    fs::write(place.join("config.json"), config.to_string()).unwrap();
    let (state, bundle) = (place.join("state"), place.to_str().unwrap());
    let runtime = ["/usr/sbin/runc", "--root", state.to_str().unwrap(), "run", "--bundle", bundle, &name];
    let words = [through, &runtime].concat();
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn remove(config: &mut Value, pointer: &str, key: &str) {
    config.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(key);
}

fn become_root_inside(config: &mut Value) {
    config["process"]["user"] = json!({ "uid": 0, "gid": 0 });
}

fn share_ids_with_the_host(config: &mut Value) {
    leave_out_namespace(config, "user");
    remove(config, "/linux", "uidMappings");
    remove(config, "/linux", "gidMappings");
}

fn bind(config: &mut Value, source: &Path, destination: &str) {
    let mount = json!({ "destination": destination, "source": source, "options": ["bind"] });
    config["mounts"].as_array_mut().unwrap().push(mount);
}

fn leave_out_namespace(config: &mut Value, kind: &str) {
    let namespaces = config.pointer_mut("/linux/namespaces").unwrap().as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != kind);
}

#[tokio::test]
async fn without_the_filter_a_process_makes_itself_a_user_namespace() {
    let world = World::new().await;
    let spec = World::build(&["new-user-namespace"]);
    let (with, without) = twins(&world, &spec, |config| remove(config, "/linux", "seccomp")).await;
    assert!(with.contains("Operation not permitted"), "{with}");
    assert_eq!(without.trim(), "ok");
}

#[tokio::test]
async fn without_its_limit_of_processes_a_fork_bomb_goes_on() {
    let world = World::new().await;
    let mut spec = World::build(&["fork", "60"]);
    spec.limits.pids = 20;
    let (with, without) = twins(&world, &spec, |config| remove(config, "/linux/resources", "pids")).await;
    assert!(with.contains("refused after"), "{with}");
    assert_eq!(without.trim(), "started 60");
}

#[tokio::test]
async fn without_its_limit_of_memory_a_hog_gets_what_it_wants() {
    let world = World::new().await;
    let mut spec = World::build(&["allocate", "100"]);
    spec.limits.memory_bytes = 32 * MIB;
    let (with, without) = twins(&world, &spec, |config| remove(config, "/linux/resources", "memory")).await;
    assert!(!with.contains("allocated"), "{with}");
    assert_eq!(without.trim(), "allocated 100");
}

#[tokio::test]
async fn without_a_network_of_its_own_a_process_reaches_the_hosts_loopback() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let spec = World::build(&["connect", &listener.local_addr().unwrap().to_string()]);
    let (with, without) = twins(&world, &spec, |config| leave_out_namespace(config, "network")).await;
    assert!(with.contains("refused"), "{with}");
    assert_eq!(without.trim(), "ok");
}

#[tokio::test]
async fn without_a_network_of_its_own_a_process_reaches_an_abstract_socket_of_the_host() {
    let world = World::new().await;
    let name = place().path().display().to_string();
    let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let spec = World::build(&["connect-abstract", &name]);
    let (with, without) = twins(&world, &spec, |config| leave_out_namespace(config, "network")).await;
    assert!(with.contains("refused"), "{with}");
    assert_eq!(without.trim(), "ok");
}

#[tokio::test]
async fn without_its_limit_of_a_core_dump_a_process_may_leave_one() {
    let world = World::new().await;
    let spec = World::build(&["show", "/proc/self/limits"]);
    let (with, without) = twins(&world, &spec, |config| {
        let limits = config.pointer_mut("/process/rlimits").unwrap().as_array_mut().unwrap();
        limits.retain(|limit| limit["type"] != "RLIMIT_CORE");
    })
    .await;
    let allowed = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        line.split_whitespace().nth(5).unwrap().to_owned()
    };
    assert_eq!(allowed(&with), "0");
    assert_ne!(allowed(&without), "0");
}

#[tokio::test]
async fn without_a_process_namespace_a_process_sees_the_hosts_processes() {
    let world = World::new().await;
    let spec = World::build(&["show", "/proc/self/status"]);
    let (with, without) = twins(&world, &spec, |config| {
        leave_out_namespace(config, "pid");
        // For a user namespace the kernel mounts no proc of the host's processes, but shows one that is there.
        config["mounts"][0] = json!({ "destination": "/proc", "source": "/proc", "options": ["rbind"] });
    })
    .await;
    let own_id = |text: &str| text.lines().find_map(|line| line.strip_prefix("NSpid:").map(str::to_owned));
    assert_eq!(own_id(&with).unwrap().trim(), "1", "{with}");
    assert_ne!(own_id(&without).unwrap().trim(), "1", "{without}");
}

#[tokio::test]
async fn without_a_range_of_its_own_root_inside_reads_as_root_on_the_host() {
    let world = World::new().await;
    let secret = world.paths.run.join("secret");
    fs::write(&secret, "the host's own").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let mut config = configured(&world, &World::build(&["show", "/secret"])).await;
    become_root_inside(&mut config);
    bind(&mut config, &secret, "/secret");
    let (with, without) = both(&world, config, share_ids_with_the_host);
    assert!(with.contains("Permission denied"), "{with}");
    assert_eq!(without.trim(), "the host's own");
}

#[tokio::test]
async fn without_a_range_of_its_own_root_inside_leaves_files_of_the_hosts_root() {
    let world = World::new().await;
    let shared = world.paths.run.join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).unwrap();
    let mut config = configured(&world, &World::build(&["write", "/shared/made", "x"])).await;
    let first_id = first_id(&config);
    become_root_inside(&mut config);
    bind(&mut config, &shared, "/shared");
    let owner_of_made = |config: Value| {
        assert_eq!(run(&world, config, first_id).trim(), "ok");
        let owner = fs::metadata(shared.join("made")).unwrap().uid();
        fs::remove_file(shared.join("made")).unwrap();
        owner
    };
    assert_eq!(owner_of_made(config.clone()), first_id);
    share_ids_with_the_host(&mut config);
    assert_eq!(owner_of_made(config), 0);
}

#[tokio::test]
async fn without_the_bar_on_new_privileges_a_set_user_id_program_raises_its_user() {
    let world = World::new().await;
    let spec = World::build(&["show", "/proc/self/status"]);
    let (with, without) = twins(&world, &spec, |config| {
        config["process"]["noNewPrivileges"] = json!(false);
    })
    .await;
    assert!(with.contains("Uid:\t1000\t1000\t1000\t1000"), "{with}");
    assert!(without.contains("Uid:\t1000\t0\t0\t0"), "{without}");
}

#[tokio::test]
async fn without_the_masks_a_process_reads_what_the_machine_is_doing() {
    let world = World::new().await;
    let spec = World::build(&["show", "/proc/interrupts"]);
    let (with, without) = twins(&world, &spec, |config| remove(config, "/linux", "maskedPaths")).await;
    assert_eq!(with.trim(), "");
    assert!(without.contains("CPU0"), "{without}");
}

#[tokio::test]
async fn without_its_read_only_paths_root_inside_changes_settings_of_the_kernel() {
    let world = World::new().await;
    let spec = World::build(&["write", "/proc/sys/kernel/msgmax", "8192"]);
    let mut config = configured(&world, &spec).await;
    become_root_inside(&mut config);
    let (with, without) = both(&world, config, |config| remove(config, "/linux", "readonlyPaths"));
    assert!(with.contains("Read-only file system"), "{with}");
    assert_eq!(without.trim(), "ok");
}

#[tokio::test]
async fn without_a_root_of_its_own_a_process_reads_a_file_of_the_host() {
    let world = World::new().await;
    let host = place();
    let secret = fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap();
    let file = host.path().join("secret").display().to_string();
    // The same program and the same link lie at the same paths in a layer and on the host; the secret on the host only.
    let furnish = |directory: &Path| {
        fs::copy(PROBE, directory.join("probe")).unwrap();
        std::os::unix::fs::symlink(&file, directory.join("link")).unwrap();
        std::os::unix::fs::symlink("/", directory.join("top")).unwrap();
    };
    furnish(host.path());
    fs::write(&file, &secret).unwrap();
    let layer = format!("sha256:{}", "3".repeat(64)).parse().unwrap();
    world.publish(&layer, |tree| {
        let directory = tree.join(host.path().strip_prefix("/").unwrap());
        fs::create_dir_all(&directory).unwrap();
        furnish(&directory);
    });
    let inside = host.path().display();
    let ways = [
        file.clone(),
        format!("/proc/1/root{file}"),
        format!("/proc/self/cwd/../..{file}"),
        format!("../../../..{file}"),
        format!("{inside}/link"),
        format!("{inside}/top{file}"),
    ];
    let mut spec = World::build(&[]);
    spec.layers.push(LayerRef::Published(layer));
    spec.argv = vec![format!("{inside}/probe"), "each".to_owned()];
    spec.argv.extend(ways.iter().map(|way| format!("show {way}")));
    spec.cwd = "/".to_owned();
    let mut config = configured(&world, &spec).await;
    let (_, with) = world.run(&spec).await;
    for way in &ways {
        assert!(with.contains(&format!("error: {way}: No such file")), "{way}: {with}");
    }
    let place = place();
    let root = place.path().join("root");
    fs::create_dir(&root).unwrap();
    config["root"]["path"] = json!(root);
    let through = [PROBE, "over-the-host", root.to_str().unwrap()];
    let without = start(&world, place.path(), config, &through);
    assert_eq!(without.matches(secret.trim()).count(), ways.len(), "{without}");
}

#[tokio::test]
async fn without_a_disk_of_its_own_a_service_writes_on_past_its_limit() {
    let world = World::new().await;
    let mut spec = World::service(&["fill", "/tmp/big", "32"]);
    spec.limits.writable_bytes = 8 * MIB;
    let mut config = configured(&world, &spec).await;
    let (_, with) = world.run(&spec).await;
    assert!(with.contains("No space left on device"), "{with}");
    let place = place();
    let (at, upper) = (place.path().join("at"), place.path().join("upper"));
    for directory in [&at, &upper, &place.path().join("work")] {
        fs::create_dir(directory).unwrap();
    }
    let plan = Plan {
        at: at.clone(),
        data: world.paths.data.clone(),
        layers: vec![world.tree(&base()).strip_prefix(&world.paths.data).unwrap().to_owned()],
        upper: Upper::Directory(place.path().to_owned()),
        store_id: world.instance.first_id(RangeIndex::STORE),
        tool_id: first_id(&config),
    };
    own(&upper, plan.tool_id);
    let plan_file = place.path().join("plan.json");
    fs::write(&plan_file, serde_json::to_vec(&plan).unwrap()).unwrap();
    config["root"]["path"] = json!(at.join(ROOT));
    let through = [PROBE, "over-plan", plan_file.to_str().unwrap()];
    assert_eq!(start(&world, place.path(), config, &through).trim(), "wrote 32 MiB");
}

#[tokio::test]
async fn without_its_limit_of_a_file_a_build_writes_a_larger_one() {
    let world = World::new().await;
    let mut spec = World::build(&["fill", "/workspace/big", "32"]);
    spec.limits.writable_bytes = 8 * MIB;
    let (with, without) = twins(&world, &spec, |config| {
        let limits = config.pointer_mut("/process/rlimits").unwrap().as_array_mut().unwrap();
        limits.retain(|limit| limit["type"] != "RLIMIT_FSIZE");
    })
    .await;
    assert!(!with.contains("wrote"), "{with}");
    assert_eq!(without.trim(), "wrote 32 MiB");
}

#[tokio::test]
async fn without_the_watch_a_build_fills_the_disk_with_many_files() {
    let mut world = World::new().await;
    let attack = || {
        let acts = ["each", "sleep 1", "fill-many /workspace 48", "sleep 12", "say unharmed"];
        let mut spec = World::build(&acts);
        spec.limits.writable_bytes = 16 * MIB;
        spec
    };
    let (ended, with) = world.run(&attack()).await;
    assert_eq!(ended.killed_by, Some(KilledBy::Disk), "{with}");
    assert!(!with.contains("unharmed"), "{with}");
    // The shim keeps the build; nobody watches its disk.
    let spec = attack();
    world.start(&spec).await;
    world.kill_helper();
    world.until_said(&spec.id, "unharmed").await;
    world.start_helper().await;
    let ended = world.helper.wait(&spec.id).await.unwrap();
    assert_eq!((ended.status, ended.killed_by), (0, None), "{}", world.text(&spec.id));
}
