//! What an operator does with the package, step by step; the machine is the same from the first to the last.

use super::{Given, machine::Machine};
use anyhow::{Context, Result, ensure};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    thread,
    time::{Duration, Instant},
};
use testkit::Load;

/// Until the platform or a tool answers, after an installation or a boot.
const ANSWERS_WITHIN: Duration = Duration::from_secs(600);
/// As many requests as the emulation bears.
const REQUESTS_PER_SECOND: u32 = 20;
/// Limit of a tool's memory, as the platform sets it by default.
const MEMORY: &str = "536870912";

/// Leaves the machine to the next; tells what a reader of the table wants to know.
type Step = fn(&Given, &mut Machine) -> Result<String>;

/// The whole lane.
pub(crate) fn walk(given: &Given, mut machine: Machine) -> Result<()> {
    let steps: [(&str, Step); 11] = [
        ("the package is installed and the platform answers", install),
        ("doctor finds nothing missing, on control groups version 2", doctor),
        ("a tool is pushed with git and answers", push),
        ("limits stand in a delegated scope and outlive systemd's reload", scopes),
        ("a tool over its memory loses a process, its neighbour nothing", memory),
        ("the package is upgraded under load without a lost request", upgrade),
        ("the clock jumps a day: pushes, drains and sign-ins go on", clock),
        ("after a reboot the tool answers without a hand", reboot),
        ("after a power cut the tool answers without a hand", power_cut),
        ("removing the package keeps the data, installing it again finds it", remove),
        ("purge leaves nothing when it may delete the data", purge),
    ];
    let total = steps.len();
    for (number, (name, step)) in steps.into_iter().enumerate() {
        let began = Instant::now();
        let told = step(given, &mut machine);
        let seconds = began.elapsed().as_secs();
        let number = number + 1;
        match told {
            Ok(told) => println!("  {number:>2}/{total} {seconds:>4} s  {name}{told}"),
            Err(error) => {
                println!("  {number:>2}/{total} {seconds:>4} s  FAILED: {name}");
                let log = machine.run("journalctl --no-pager -n 60 -u 'windlass*'").unwrap_or_default();
                println!("{log}");
                return Err(error.context(name));
            }
        }
    }
    machine.discard()
}

fn install(given: &Given, machine: &mut Machine) -> Result<String> {
    for (package, to) in given.packages.iter().zip(["/root/one.deb", "/root/two.deb"]) {
        machine.put(package, to)?;
    }
    machine.put_directory(&given.apps)?;
    // As docs/install.md says for a server without a way to Debian's mirrors.
    machine.run(
        "install -d /var/lib/windlass/base; cd /var/lib/windlass/base\n\
        for layer in run build; do cat /dev/disk/by-id/virtio-$layer >$layer.tar; done",
    )?;
    for image in ["run.json", "build.json"] {
        machine.put(&given.base.join(image), &format!("/var/lib/windlass/base/{image}"))?;
    }
    machine.run(&format!("echo {} >/var/lib/windlass/base/version", given.base_version))?;
    machine.run_within(&apt("install -y ./one.deb"), ANSWERS_WITHIN)?;
    // The operator opens the platform to the world.
    machine.run(
        "sed -i 's/^#listen = .*/listen = \"0.0.0.0:8080\"/' /etc/windlass/windlass.toml\n\
         windlass config check\n\
         systemctl daemon-reload\n\
         systemctl restart windlass-router.socket windlass-router.service",
    )?;
    wait_for("the platform", ANSWERS_WITHIN, || {
        Ok(get(machine, "localhost", "/api/v1/health")?.contains("\"ok\""))
    })?;
    machine.run("test -z \"$(systemctl --failed --no-legend)\" || { systemctl --failed; false; }")?;
    let mistake = machine.run(
        "printf '[runs]\\nparallel = 0\\n' >/root/wrong.toml; ! windlass config check /root/wrong.toml",
    )?;
    ensure!(mistake.starts_with("/root/wrong.toml:2: runs.parallel"), "{mistake}");
    Ok(String::new())
}

fn doctor(_: &Given, machine: &mut Machine) -> Result<String> {
    let said = machine.run("windlass doctor")?;
    ensure!(said.contains("version 2 with memory, pids, cpu"), "{said}");
    let scores = machine.run(
        "for unit in helper serve router; do systemd-analyze security --no-pager windlass-$unit.service | \
         sed -n 's/.*exposure level for windlass-\\([a-z]*\\).service: \\([0-9.]*\\).*/\\1 \\2/p'; done",
    )?;
    Ok(format!(
        "; systemd-analyze security: {}",
        scores.split('\n').collect::<Vec<_>>().join(", ").trim_end_matches(", ")
    ))
}

fn push(_: &Given, machine: &mut Machine) -> Result<String> {
    let said = pushed(machine, "steady", "steady", "one")?;
    ensure!(said.contains("live "), "{said}");
    answers(machine, "steady one")?;
    Ok(String::new())
}

fn scopes(_: &Given, machine: &mut Machine) -> Result<String> {
    let limits = "cd /sys/fs/cgroup/windlass.slice/windlass-tools.slice/wl0-web-*.scope\n\
        cat box/memory.max box/pids.max box/memory.swap.max box/cpu.max; grep -q . shim/cgroup.procs; grep -q . box/cgroup.procs";
    let before = machine.run(limits)?;
    ensure!(before.split_whitespace().eq([MEMORY, "256", "0", "100000", "100000"]), "{before}");
    let after = machine
        .run(&format!("systemctl daemon-reload; systemctl daemon-reexec; systemctl restart ssh\n{limits}"))?;
    ensure!(before == after, "before: {before} after: {after}");
    Ok(String::new())
}

fn memory(_: &Given, machine: &mut Machine) -> Result<String> {
    pushed(machine, "hog", "memory-hog", "hungry")?;
    let eaten = get_within(machine, "hog.localhost", "/eat", Duration::from_secs(200))?;
    ensure!(eaten.contains("ended by signal 9"), "{eaten}");
    wait_for("the word about the kill", ANSWERS_WITHIN, || {
        Ok(machine.run(&signed("windlass --tool hog logs"))?.contains("killed: memory 512 MiB"))
    })?;
    ensure!(get(machine, "hog.localhost", "/")?.contains("hungry"), "the tool itself was ended");
    answers(machine, "steady one")?;
    machine.run(&signed("windlass tools delete hog --yes"))?;
    Ok(String::new())
}

fn upgrade(_: &Given, machine: &mut Machine) -> Result<String> {
    let load = Load::start(machine.http_port, "steady.localhost", REQUESTS_PER_SECOND);
    thread::sleep(Duration::from_secs(5));
    let upgraded = machine.run_within(&apt("install -y ./two.deb"), ANSWERS_WITHIN);
    let reloaded = upgraded.and_then(|_| machine.run("windlass reload"));
    thread::sleep(Duration::from_secs(5));
    let report = load.stop();
    reloaded?;
    ensure!(report.lost.is_empty(), "lost: {:?} {:#?}", report.lost, report.first_losses);
    let installed = machine.run("dpkg-query -W -f '${Version}' windlass")?;
    let running = machine
        .run("windlass doctor >/dev/null; readlink /proc/$(systemctl show -P MainPID windlass-router)/exe")?;
    ensure!(running.trim() == "/usr/bin/windlass", "the router runs {running}");
    let worst = report.latencies.last().copied().unwrap_or_default();
    Ok(format!(
        "; {} requests, 0 lost, the longest {:.1} s; now {installed}",
        report.requests,
        worst.as_secs_f64()
    ))
}

fn clock(_: &Given, machine: &mut Machine) -> Result<String> {
    machine.run("date -s '+1 day'; journalctl --no-pager -n 1 >/dev/null")?;
    pushed(machine, "steady", "steady", "two")?;
    answers(machine, "steady two")?;
    machine.run(&signed("windlass whoami; windlass --tool steady releases"))?;
    machine.run("windlass login http://localhost:8080; windlass whoami; windlass logout")?;
    machine.run("date -s '-1 day'")?;
    pushed(machine, "steady", "steady", "three")?;
    answers(machine, "steady three")?;
    // The copies that were replaced are drained and gone.
    wait_for("the end of the replaced copies", ANSWERS_WITHIN, || {
        let scopes =
            machine.run("ls -d /sys/fs/cgroup/windlass.slice/windlass-tools.slice/*.scope | wc -l")?;
        Ok(scopes.trim() == "1")
    })?;
    machine.run(&signed("windlass whoami"))?;
    Ok(String::new())
}

fn reboot(_: &Given, machine: &mut Machine) -> Result<String> {
    machine.reboot()?;
    answers(machine, "steady three")?;
    Ok(String::new())
}

fn power_cut(_: &Given, machine: &mut Machine) -> Result<String> {
    machine.cut_power()?;
    machine.boot()?;
    answers(machine, "steady three")?;
    pushed(machine, "steady", "steady", "four")?;
    answers(machine, "steady four")?;
    Ok(String::new())
}

fn remove(_: &Given, machine: &mut Machine) -> Result<String> {
    machine.run_within(&apt("remove -y windlass"), ANSWERS_WITHIN)?;
    let left = machine.run(LEFT_RUNNING)?;
    ensure!(left.is_empty(), "left after the removal: {left}");
    machine.run("test -e /var/lib/windlass/db/windlass.sqlite; test -e /etc/windlass/windlass.toml")?;
    machine.run_within(&apt("install -y ./two.deb"), ANSWERS_WITHIN)?;
    answers(machine, "steady four")?;
    Ok(String::new())
}

fn purge(_: &Given, machine: &mut Machine) -> Result<String> {
    machine.run("echo 'windlass windlass/purge-data boolean true' | debconf-set-selections")?;
    machine.run_within(&apt("purge -y windlass"), ANSWERS_WITHIN)?;
    let left = machine.run(&format!("{LEFT_RUNNING}\n{LEFT_ON_DISK}"))?;
    ensure!(left.is_empty(), "left after the purge: {left}");
    Ok(String::new())
}

/// Prints what a platform left running, and nothing when that is nothing.
const LEFT_RUNNING: &str = "\
systemctl list-units --no-legend --state=active,activating,deactivating,failed 'windlass*.service' 'windlass*.socket' windlass.target 'wl0-*'
pgrep -a windlass || true
ls -d /sys/fs/cgroup/windlass.slice/windlass-tools.slice/*.scope 2>/dev/null || true
ip -brief link | grep wl0 || true
nft list tables | grep windlass || true
losetup --list --noheadings | grep windlass || true
grep windlass /proc/self/mounts || true";

/// The same of files, users and settings.
const LEFT_ON_DISK: &str = "\
ls -d /var/lib/windlass* /var/cache/windlass* /etc/windlass* /run/windlass* /usr/lib/windlass* 2>/dev/null || true
find /etc/systemd /usr/lib/systemd /run/systemd/system /var/lib/systemd/deb-systemd-helper* -name '*windlass*' 2>/dev/null || true
getent passwd windlass windlass-router || true
getent group windlass || true
grep windlass /etc/subuid /etc/subgid || true
dpkg -l windlass 2>/dev/null | grep '^[a-z][a-z]  *windlass' | grep -v '^[pu]n' || true";

fn apt(words: &str) -> String {
    format!("cd /root; DEBIAN_FRONTEND=noninteractive apt-get -q {words}")
}

/// A script of the operator, signed in.
fn signed(script: &str) -> String {
    format!(
        "export WINDLASS_TOKEN=$(cat /var/lib/windlass/keys/operator-token) WINDLASS_SERVER=http://localhost:8080\n{script}"
    )
}

/// Pushes an app with this greeting as a tool, which is made when it is not there.
fn pushed(machine: &Machine, tool: &str, app: &str, greeting: &str) -> Result<String> {
    let script = signed(&format!(
        "windlass tools list --json | grep -q '\"name\": *\"{tool}\"' || windlass tools create {tool}\n\
         mkdir -p /root/push; cd /root/push; [ -d {tool} ] || git init -q -b main {tool}\n\
         cp -R /root/apps/{app}/. {tool}; cd {tool}; sed -i 's/^GREETING = .*/GREETING = \"{app} {greeting}\"/' app.py\n\
         git add .; git -c user.name=Vm -c user.email=vm@localhost commit -q --allow-empty -m '{greeting}'\n\
         git -c http.extraHeader=\"Authorization: Bearer $WINDLASS_TOKEN\" push http://localhost:8080/git/{tool}.git main"
    ));
    machine.run_within(&script, ANSWERS_WITHIN)
}

/// Waits until the tool `steady` answers with this first line.
fn answers(machine: &Machine, line: &str) -> Result<()> {
    wait_for(line, ANSWERS_WITHIN, || Ok(get(machine, "steady.localhost", "/")?.starts_with(line)))
}

/// Looks until it is so; what cannot be asked yet is asked again.
fn wait_for(what: &str, longest: Duration, mut check: impl FnMut() -> Result<bool>) -> Result<()> {
    let until = Instant::now() + longest;
    loop {
        let looked = check();
        if matches!(looked, Ok(true)) {
            return Ok(());
        }
        if Instant::now() > until {
            looked?;
            anyhow::bail!("waited {} s for {what}", longest.as_secs());
        }
        thread::sleep(Duration::from_millis(500));
    }
}

fn get(machine: &Machine, host: &str, path: &str) -> Result<String> {
    get_within(machine, host, path, Duration::from_secs(60))
}

/// The body of the answer, asked from outside the machine.
fn get_within(machine: &Machine, host: &str, path: &str, longest: Duration) -> Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, machine.http_port))?;
    stream.set_read_timeout(Some(longest))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {host}:8080\r\nconnection: close\r\naccept: text/plain\r\n\r\n"
    )?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(text.split_once("\r\n\r\n").context("no HTTP answer")?.1.to_owned())
}
