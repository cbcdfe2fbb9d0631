//! Each defence of config.json with its twin: the same attack with the helper's own configuration fails, and with that
//! one defence taken out it succeeds. A defence that makes no difference would be no defence.

use crate::world::{PROBE, World, own};
use model::limits::MIB;
use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use windlass_sandbox::request::SandboxSpec;

/// The two outcomes of one attack: as the helper configures it, and with the change.
async fn twins(world: &World, spec: &SandboxSpec, change: impl Fn(&mut Value)) -> (String, String) {
    world.helper.create(spec, world.log(&spec.id)).await.unwrap();
    let bundle = world.paths.sandbox_runs().join(spec.id.as_str()).join("bundle/config.json");
    let config: Value = serde_json::from_slice(&fs::read(bundle).unwrap()).unwrap();
    let mut weakened = config.clone();
    change(&mut weakened);
    assert_ne!(config, weakened, "the change changes nothing");
    let first_id = u32::try_from(config["linux"]["uidMappings"][0]["hostID"].as_u64().unwrap()).unwrap();
    (run(world, config, first_id), run(world, weakened, first_id))
}

/// Runs a configuration over a root of its own with the runtime alone, and gives what was said.
fn run(world: &World, mut config: Value, first_id: u32) -> String {
    let place = tempfile::Builder::new().prefix("windlass-sandbox-twin-").tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let root = place.path().join("root");
    for directory in ["etc", "proc", "dev", "workspace"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    fs::copy(PROBE, root.join("probe")).unwrap();
    own(&root, first_id);
    let name = place.path().file_name().unwrap().to_str().unwrap().to_lowercase();
    config["root"]["path"] = json!(root);
    config["linux"]["cgroupsPath"] = json!(format!("/{}/{name}", world.instance.tag()));
    fs::write(place.path().join("config.json"), config.to_string()).unwrap();
    let output = Command::new("/usr/sbin/runc")
        .arg("--root")
        .arg(place.path().join("state"))
        .args(["run", "--bundle"])
        .arg(place.path())
        .arg(&name)
        .output()
        .unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn remove(config: &mut Value, pointer: &str, key: &str) {
    config.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(key);
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
async fn without_a_range_of_its_own_root_inside_is_root_on_the_host() {
    let world = World::new().await;
    let secret = world.paths.run.join("secret");
    fs::write(&secret, "the host's own").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let spec = World::build(&["show", "/secret"]);
    let as_root = |config: &mut Value, secret: &Path| {
        config["process"]["user"] = json!({ "uid": 0, "gid": 0 });
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.push(json!({ "destination": "/secret", "source": secret, "options": ["bind"] }));
    };
    let (_, with) = twins(&world, &spec, |config| as_root(config, &secret)).await;
    assert!(with.contains("Permission denied"), "{with}");
    let spec = World::build(&["show", "/secret"]);
    let (_, without) = twins(&world, &spec, |config| {
        as_root(config, &secret);
        leave_out_namespace(config, "user");
        remove(config, "/linux", "uidMappings");
        remove(config, "/linux", "gidMappings");
    })
    .await;
    assert_eq!(without.trim(), "the host's own");
}
