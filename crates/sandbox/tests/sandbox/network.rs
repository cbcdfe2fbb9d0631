//! The helper's part in networks: made before the first process runs, gone with the sandbox. What each lets through
//! is tested where it is written (tests/egress.rs, `tests/tool_network.rs`).

use crate::world::World;
use egress::{HostRule, Policy};
use std::time::Duration;
use windlass_sandbox::request::Network;

#[tokio::test]
async fn a_build_reaches_our_listeners_at_any_address_and_nothing_else() {
    let world = World::new().await;
    let host = HostRule { host: "pypi.org".to_owned(), ports: Vec::new() };
    for (address, expected) in
        [("192.0.2.1:443", "ok"), ("198.51.100.7:80", "ok"), ("192.0.2.1:81", "refused")]
    {
        let mut spec = World::build(&["connect", address]);
        spec.network = Network::Egress(Policy { hosts: vec![host.clone()], ..Policy::default() });
        let (ended, text) = world.run(&spec).await;
        assert_eq!(ended.status, 0, "{text}");
        assert!(text.contains(expected), "{address}: {text}");
        world.helper.remove(&spec.id).await.unwrap();
    }
    let mut spec = World::build(&["show", "/etc/resolv.conf"]);
    spec.network = Network::Egress(Policy { hosts: vec![host], ..Policy::default() });
    let (_, text) = world.run(&spec).await;
    assert!(text.contains("nameserver 127.0.0.1"), "{text}");
}

#[tokio::test]
async fn a_tool_answers_on_the_address_it_was_given_and_tells_what_it_listens_on() {
    let mut world = World::new().await;
    let mut spec = World::service(&["serve", "0.0.0.0:8000"]);
    spec.network = Network::Tool;
    let address = world.helper.create(&spec, world.log(&spec.id)).await.unwrap().address.unwrap();
    world.helper.start(&spec.id).await.unwrap();
    world.until_said(&spec.id, "listening").await;
    assert_eq!(world.connect_from_host(&format!("{address}:8000")).trim(), "ok");
    let listening = world.helper.listeners(&spec.id).await.unwrap();
    assert_eq!(listening, ["0.0.0.0:8000".parse().unwrap()]);
    let rows = world.helper.list().await.unwrap();
    assert_eq!(rows[0].address, Some(address));
    world.helper.kill(&spec.id, Duration::ZERO).await.unwrap();
    assert_eq!(world.helper.listeners(&spec.id).await.unwrap(), []);
    world.helper.remove(&spec.id).await.unwrap();
    assert_ne!(world.connect_from_host(&format!("{address}:8000")).trim(), "ok");
    world.kill_helper();
}
