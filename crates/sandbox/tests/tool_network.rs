//! What a running tool reaches and what it does not, on real interfaces and rules, in a machine made of network
//! namespaces: a host, two tools, and a world behind the host that would answer for every address.
//!
//! Each attack has a twin in which the one defence against it is taken away and the attack succeeds.

#![allow(clippy::unwrap_used, reason = "helpers of tests: they fail by panicking")]

#[path = "support/namespaces.rs"]
mod namespaces;

use model::Instance;
use namespaces::Namespace;
use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd,
    time::{Duration, Instant},
};
use windlass_sandbox::{
    network::{NetworkError, remove_instance, tool::ToolNetwork},
    request::SandboxId,
};

const PUBLIC: &str = "1.1.1.1";
const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 53);
const SPECIAL: [&str; 5] = ["169.254.169.254", "10.0.0.5", "172.16.3.4", "192.168.7.7", "100.64.0.9"];
const HOST_OUTSIDE: &str = "9.9.9.1";

struct Machine {
    host: Namespace,
    world: Namespace,
    tools: Vec<(Namespace, Ipv4Addr)>,
}

fn network(instance: u32) -> ToolNetwork {
    ToolNetwork::new(Instance(instance), "10.128.0.0/10", vec![RESOLVER]).unwrap()
}

/// As the helper does it.
fn attach(instance: u32, name: &str, tool: &Namespace) -> Result<Ipv4Addr, NetworkError> {
    let network = network(instance);
    network.prepare()?;
    network.attach(&id(name), tool.process.as_fd())
}

fn id(text: &str) -> SandboxId {
    text.parse().unwrap()
}

/// Answers every connection with the address that it came from.
fn answer_tcp(namespace: &Namespace, port: u16) {
    let listener = namespace.run(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap());
    namespace.serve(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let from = stream.peer_addr().unwrap().ip();
            let _ = stream.write_all(from.to_string().as_bytes());
        }
    });
}

/// For whatever a loaded machine does slowly.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a TCP service says that can be reached, however long that takes.
fn hear(from: &Namespace, to: &str, port: u16) -> Option<String> {
    let until = Instant::now() + PATIENCE;
    loop {
        let heard = ask(from, to, port);
        if heard.is_some() || Instant::now() > until {
            return heard;
        }
    }
}

/// What a TCP service says; `None` when nobody answers in time.
fn ask(from: &Namespace, to: &str, port: u16) -> Option<String> {
    let address = SocketAddr::new(to.parse::<IpAddr>().unwrap(), port);
    from.run(|| {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(800)).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text)
    })
}

impl Machine {
    fn new() -> Self {
        let (host, world) = (Namespace::new(), Namespace::new());
        world.ip("link set lo up");
        for address in SPECIAL.into_iter().chain([PUBLIC, &RESOLVER.to_string()]) {
            world.ip(&format!("addr add {address}/32 dev lo"));
        }
        host.ip("link set lo up");
        host.ip(&format!("link add outside type veth peer name eth0 netns {}", world.process_id()));
        host.ip(&format!("addr add {HOST_OUTSIDE}/24 dev outside"));
        host.ip("link set outside up");
        world.ip("addr add 9.9.9.9/24 dev eth0");
        world.ip("link set eth0 up");
        world.ip(&format!("route add 10.128.0.0/10 via {HOST_OUTSIDE}"));
        host.ip("route add default via 9.9.9.9");
        let mut machine = Self { host, world, tools: Vec::new() };
        machine.add_tool(0, "tool-a");
        machine.add_tool(0, "tool-b");
        answer_tcp(&machine.world, 80);
        answer_tcp(&machine.host, 7000);
        machine
    }

    fn add_tool(&mut self, instance: u32, name: &str) {
        let tool = Namespace::in_user_namespace();
        let address = self.host.run(|| attach(instance, name, &tool).unwrap());
        answer_tcp(&tool, 8000);
        self.tools.push((tool, address));
    }

    fn tool(&self) -> &Namespace {
        &self.tools[0].0
    }

    /// Takes every rule away whose text holds one of `parts`, as if it had never been written.
    fn without_rules(&self, parts: &[&str]) {
        let listed = self.host.program(&["nft", "-s", "list", "table", "inet", "windlass-wl0"], "");
        let listed = String::from_utf8(listed.stdout).unwrap();
        let (mut kept, mut taken) = (String::from("delete table inet windlass-wl0\n"), 0);
        let mut inside_rule = false;
        for line in listed.lines() {
            // nft breaks long sets over several lines.
            let hit = parts.iter().any(|part| line.contains(part) || line.trim() == *part);
            if hit || inside_rule {
                taken += usize::from(hit);
                inside_rule = line.trim_end().ends_with(',');
                continue;
            }
            kept.push_str(line);
            kept.push('\n');
        }
        assert!(taken >= parts.len(), "no rule with {parts:?} in\n{listed}");
        let output = self.host.program(&["nft", "-f", "-"], &kept);
        assert!(output.status.success(), "{}\n{kept}", String::from_utf8_lossy(&output.stderr));
    }
}

const RULE_TO_HOST: &str = "\t\tdrop";
const RULE_SPECIAL: &str = "ip daddr { 0.0.0.0/8";
const RULE_TO_TOOLS: &str = "oifname \"wl0-*\" drop";
const RULE_GIVEN_UP: &str = "reject with tcp reset";
const RULE_SPOOFED: &str = "fib saddr . iif";

#[test]
fn a_tool_reaches_the_public_internet_under_the_hosts_address() {
    let machine = Machine::new();
    assert_eq!(hear(machine.tool(), PUBLIC, 80).as_deref(), Some(HOST_OUTSIDE));
}

#[test]
fn the_router_reaches_every_tool() {
    let machine = Machine::new();
    for (_, address) in &machine.tools {
        assert!(hear(&machine.host, &address.to_string(), 8000).is_some(), "{address}");
    }
}

#[test]
fn a_tool_asks_the_machines_resolver_and_nothing_else_there() {
    let machine = Machine::new();
    let server = machine.world.run(|| UdpSocket::bind((RESOLVER, 53)).unwrap());
    machine.world.serve(move || {
        let mut question = [0; 100];
        while let Ok((length, from)) = server.recv_from(&mut question) {
            server.send_to(&question[..length], from).unwrap();
        }
    });
    let answered = machine.tool().run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send_to(b"question", (RESOLVER, 53)).unwrap();
        socket.recv(&mut [0; 100]).is_ok()
    });
    assert!(answered);
    assert_eq!(ask(machine.tool(), &RESOLVER.to_string(), 80), None);
    assert_eq!(network(0).resolv_conf(), "nameserver 10.0.0.53\n");
}

#[test]
fn a_service_of_the_host_is_out_of_reach_by_any_of_its_addresses() {
    let machine = Machine::new();
    let gateway = Ipv4Addr::from_bits(machine.tools[0].1.to_bits() - 1).to_string();
    let other_gateway = Ipv4Addr::from_bits(machine.tools[1].1.to_bits() - 1).to_string();
    for address in [&gateway, &other_gateway, HOST_OUTSIDE] {
        assert_eq!(ask(machine.tool(), address, 7000), None, "{address}");
    }
    machine.without_rules(&[RULE_TO_HOST]);
    for address in [&gateway, &other_gateway, HOST_OUTSIDE] {
        assert!(hear(machine.tool(), address, 7000).is_some(), "the twin: {address}");
    }
}

#[test]
fn metadata_and_private_networks_are_out_of_reach() {
    let machine = Machine::new();
    for address in SPECIAL {
        assert_eq!(ask(machine.tool(), address, 80), None, "{address}");
    }
    machine.without_rules(&[RULE_SPECIAL]);
    for address in SPECIAL {
        assert!(hear(machine.tool(), address, 80).is_some(), "the twin: {address}");
    }
}

#[test]
fn a_neighbour_is_out_of_reach() {
    let machine = Machine::new();
    let neighbour = machine.tools[1].1.to_string();
    assert_eq!(ask(machine.tool(), &neighbour, 8000), None);
    // Two rules hold here: the one about tools, and the one about private networks, which the pool is part of.
    machine.without_rules(&[RULE_TO_TOOLS, RULE_SPECIAL]);
    assert!(hear(machine.tool(), &neighbour, 8000).is_some(), "the twin");
}

#[test]
fn the_world_does_not_reach_a_tool_past_the_router() {
    let machine = Machine::new();
    let tool = machine.tools[0].1.to_string();
    assert_eq!(ask(&machine.world, &tool, 8000), None);
    machine.without_rules(&[RULE_TO_TOOLS]);
    assert!(hear(&machine.world, &tool, 8000).is_some(), "the twin");
}

#[test]
fn the_address_of_a_tool_that_has_ended_leads_nowhere() {
    let machine = Machine::new();
    let address = machine.tools[0].1.to_string();
    machine.host.run(|| network(0).remove(&id("tool-a")).unwrap());
    // Somebody beyond the default route answers for every address.
    machine.world.ip(&format!("addr add {address}/32 dev lo"));
    assert_eq!(ask(&machine.host, &address, 80), None);
    assert!(
        hear(&machine.host, &machine.tools[1].1.to_string(), 8000).is_some(),
        "others are reached as before"
    );
    machine.without_rules(&[RULE_GIVEN_UP, "reject with icmp"]);
    assert!(hear(&machine.host, &address, 80).is_some(), "the twin");
}

#[test]
fn a_packet_under_a_neighbours_address_is_dropped() {
    let machine = Machine::new();
    let neighbour = machine.tools[1].1;
    machine.tool().ip(&format!("addr add {neighbour}/32 dev eth0"));
    let receiver = machine.world.run(|| UdpSocket::bind((PUBLIC, 9000)).unwrap());
    receiver.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
    let arrives = || {
        machine.tool().run(|| {
            let socket = UdpSocket::bind((neighbour, 0)).unwrap();
            socket.send_to(b"not me", (PUBLIC, 9000)).unwrap();
        });
        receiver.recv(&mut [0; 10]).is_ok()
    };
    assert!(!arrives());
    machine.without_rules(&[RULE_SPOOFED]);
    assert!((0..100).any(|_| arrives()), "the twin");
}

#[test]
fn one_tool_cannot_fill_the_kernels_table_of_connections() {
    let machine = Machine::new();
    let receiver = machine.world.run(|| UdpSocket::bind((PUBLIC, 9000)).unwrap());
    receiver.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
    // Each source port is a connection of its own, kept in mind for half a minute.
    let flood = |first: u16| {
        machine.tool().run(|| {
            for port in first..first + 2500 {
                let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
                socket.send_to(b"x", (PUBLIC, 9000)).unwrap();
            }
        });
    };
    let last_arrives = |port: u16| {
        machine.tool().run(|| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
            socket.send_to(b"last", (PUBLIC, 9000)).unwrap();
        });
        let mut word = [0; 10];
        while let Ok(length) = receiver.recv(&mut word) {
            if &word[..length] == b"last" {
                return true;
            }
        }
        false
    };
    flood(10_000);
    assert!(!last_arrives(30_000));
    assert!(hear(&machine.tools[1].0, PUBLIC, 80).is_some(), "the neighbour is not held up");
    machine.without_rules(&["add @connections"]);
    assert!((30_001..30_101).any(last_arrives), "the twin");
}

#[test]
fn ipv6_is_off_inside_and_dropped_when_somebody_turns_it_on() {
    let machine = Machine::new();
    let tool = machine.tool();
    let setting = tool.program(&["cat", "/proc/sys/net/ipv6/conf/eth0/disable_ipv6"], "");
    if !setting.status.success() {
        return; // this kernel has no IPv6: nothing to turn on
    }
    assert_eq!(setting.stdout, b"1\n");
    let listed = machine.host.program(&["ip", "-br", "addr", "show"], "");
    let listed = String::from_utf8(listed.stdout).unwrap();
    let gateway = Ipv4Addr::from_bits(machine.tools[0].1.to_bits() - 1).to_string();
    let line = listed.lines().find(|line| line.contains(&format!("{gateway}/30"))).unwrap();
    let interface = line.split('@').next().unwrap();
    for (namespace, interface, address) in [(&machine.host, interface, "fd00::1"), (tool, "eth0", "fd00::2")]
    {
        let path = format!("net.ipv6.conf.{interface}.disable_ipv6=0");
        assert!(namespace.program(&["sysctl", "-q", "-w", &path], "").status.success());
        namespace.ip(&format!("addr add {address}/64 dev {interface} nodad"));
    }
    let listener = machine.host.run(|| TcpListener::bind("[fd00::1]:7001").unwrap());
    machine.host.serve(move || {
        for stream in listener.incoming().flatten() {
            drop(stream);
        }
    });
    assert_eq!(ask(tool, "fd00::1", 7001), None);
    machine.without_rules(&["meta nfproto ipv6 drop", RULE_TO_HOST]);
    // The failed attempt has left the neighbour unresolved; the kernel asks again after a second.
    assert!(hear(tool, "fd00::1", 7001).is_some(), "the twin");
}

#[test]
fn two_instances_keep_to_themselves_and_go_alone() {
    let mut machine = Machine::new();
    machine.add_tool(1, "tool-a");
    let (stranger, address) = (&machine.tools[2].0, machine.tools[2].1);
    assert_eq!(ask(stranger, &machine.tools[0].1.to_string(), 8000), None);
    assert_eq!(ask(machine.tool(), &address.to_string(), 8000), None);
    machine.host.run(|| remove_instance(Instance(0)).unwrap());
    assert!(hear(&machine.host, &address.to_string(), 8000).is_some());
    let tables = machine.host.program(&["nft", "list", "tables"], "");
    assert_eq!(String::from_utf8(tables.stdout).unwrap(), "table inet windlass-wl1\n");
    machine.host.run(|| remove_instance(Instance(0)).unwrap());
}

#[test]
fn the_kernel_knows_whose_address_is_whose_until_it_is_given_back() {
    let machine = Machine::new();
    machine.host.run(|| {
        let network = network(0);
        for (name, (_, address)) in ["tool-a", "tool-b"].into_iter().zip(&machine.tools) {
            assert_eq!(network.address(&id(name)).unwrap(), Some(*address));
        }
        network.remove(&id("tool-a")).unwrap();
        network.remove(&id("tool-a")).unwrap();
        assert_eq!(network.address(&id("tool-a")).unwrap(), None);
        assert!(network.address(&id("tool-b")).unwrap().is_some());
    });
}

#[test]
fn a_sandbox_of_the_same_id_takes_the_place_of_what_an_earlier_one_left() {
    let machine = Machine::new();
    let again = Namespace::new();
    let address = machine.host.run(|| attach(0, "tool-a", &again).unwrap());
    assert_eq!(address, machine.tools[0].1);
    assert_eq!(hear(&again, PUBLIC, 80).as_deref(), Some(HOST_OUTSIDE));
}

#[test]
fn rules_that_somebody_flushed_come_back_with_the_next_tool() {
    let mut machine = Machine::new();
    assert!(machine.host.program(&["nft", "flush", "ruleset"], "").status.success());
    assert!(hear(machine.tool(), HOST_OUTSIDE, 7000).is_some());
    machine.add_tool(0, "tool-c");
    assert_eq!(ask(machine.tool(), HOST_OUTSIDE, 7000), None);
}

#[test]
fn a_process_that_has_ended_gets_no_network_and_leaves_no_interface() {
    let host = Namespace::new();
    let mut gone = Namespace::new();
    gone.end();
    host.run(|| {
        assert!(attach(0, "tool-a", &gone).is_err());
        assert_eq!(network(0).address(&id("tool-a")).unwrap(), None);
    });
}
