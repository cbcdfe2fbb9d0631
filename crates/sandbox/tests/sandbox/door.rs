//! The helper's socket: who may ask, and what is no request.

use crate::world::World;
use std::fs::Permissions;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// What a user with this id gets when it asks for the list.
fn ask_as(world: &World, user_id: u32, socket: &Path) -> String {
    let output =
        Command::new(world.program()).arg("ask").arg(socket).uid(user_id).gid(user_id).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn serve_may_ask_and_no_other_user_even_when_the_socket_stands_open() {
    let world = World::new().await;
    let socket = world.paths.helper_socket();
    assert_eq!(ask_as(&world, world.instance.serve_id(), &socket).trim(), "[]");
    let stranger = ask_as(&world, world.instance.router_id(), &socket);
    assert!(stranger.contains("Permission denied"), "{stranger}");
    std::fs::set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
    let stranger = ask_as(&world, world.instance.router_id(), &socket);
    assert!(stranger.contains("may not ask the helper"), "{stranger}");
}

#[tokio::test]
async fn bytes_that_are_no_request_are_told_so_and_the_next_request_is_answered() {
    let world = World::new().await;
    let huge = u32::MAX.to_be_bytes().to_vec();
    let garbage = [&7_u32.to_be_bytes()[..], b"garbage"].concat();
    let unknown = br#"{"verb":"become-root"}"#;
    let unknown = [&u32::try_from(unknown.len()).unwrap().to_be_bytes()[..], unknown].concat();
    for (bytes, expected) in
        [(huge, "the most is 65536"), (garbage, "no request of this version"), (unknown, "become-root")]
    {
        let mut stream = UnixStream::connect(world.paths.helper_socket()).unwrap();
        stream.write_all(&bytes).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer[4..]).into_owned();
        assert!(answer.contains("bad-request") && answer.contains(expected), "{answer}");
    }
    assert_eq!(world.helper.list().await.unwrap(), []);
}

#[tokio::test]
async fn a_request_without_its_descriptor_is_refused() {
    let world = World::new().await;
    let request = windlass_sandbox::request::Request::Create(World::build(&["say", "x"]));
    let document = serde_json::to_vec(&request).unwrap();
    let mut stream = UnixStream::connect(world.paths.helper_socket()).unwrap();
    stream.write_all(&u32::try_from(document.len()).unwrap().to_be_bytes()).unwrap();
    stream.write_all(&document).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("create has one descriptor"), "{answer:?}");
}
