//! What can be asked of a sandbox that exists.

use super::keep::Kept;
use super::place::{Place, scratch_path};
use super::refusal::Refusal;
use super::{State, tree};
use crate::cgroup::Group;
use crate::request::{Answer, Ended, KilledBy, SandboxId, SandboxRow, State as SandboxState, Usage};
use crate::shim::state::{Ask, PID_FILE, Reply};
use model::ToolId;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How often a waiting request looks whether its asker is still there.
const LOOK_AT_ASKER: Duration = Duration::from_secs(1);
/// How long after its grace a killed tree may take to vanish before its group is killed from here.
const KILL_PATIENCE: Duration = Duration::from_secs(10);
/// `st` of a listening socket in /proc/net/tcp (`include/net/tcp_states.h`).
const LISTENING: &str = "0A";

impl State {
    fn must_find(&self, id: &SandboxId) -> Result<Arc<Kept>, Refusal> {
        self.find(id).ok_or_else(|| {
            Refusal::new("sandbox-unknown", format!("there is no sandbox `{id}`: create it first"))
        })
    }

    /// Lets the created process run. One that has ended already tells so when it is waited for.
    pub(crate) fn start(&self, id: &SandboxId) -> Result<Answer, Refusal> {
        let kept = self.must_find(id)?;
        match kept.ask(Ask::Start) {
            Ok(Reply::State { .. }) => Ok(Answer::Done),
            Ok(Reply::Failed { text }) => Err(Refusal::new("platform", text)),
            // The shim is going or gone: its keeper knows how it ended.
            Err(error) => match kept.wait(LOOK_AT_ASKER) {
                Some(_) => Ok(Answer::Done),
                None => Err(Refusal::platform(format_args!("the shim of {id} does not answer"), &error)),
            },
        }
    }

    /// Waits for the end; `None` when the asker has gone away meanwhile.
    pub(crate) fn wait(&self, id: &SandboxId, asker: &UnixStream) -> Result<Option<Answer>, Refusal> {
        let kept = self.must_find(id)?;
        loop {
            if let Some(ended) = kept.wait(LOOK_AT_ASKER) {
                return Ok(Some(Answer::Ended(ended)));
            }
            if super::serve::is_gone(asker) {
                return Ok(None);
            }
        }
    }

    /// SIGTERM, the grace, SIGKILL; gives how it ended.
    pub(crate) fn kill(&self, id: &SandboxId, grace_milliseconds: u64) -> Result<Ended, Refusal> {
        let kept = self.must_find(id)?;
        if let Some(ended) = kept.ended() {
            return Ok(ended);
        }
        if let Err(error) = kept.ask(Ask::Kill { grace_milliseconds, because: KilledBy::Request }) {
            tracing::warn!(sandbox = %id, %error, "the shim does not take a kill");
        }
        let patience = Duration::from_millis(grace_milliseconds).saturating_add(KILL_PATIENCE);
        if let Some(ended) = kept.wait(patience) {
            return Ok(ended);
        }
        Group::new(&kept.cgroup)
            .kill_all()
            .map_err(|error| Refusal::platform(format_args!("cannot kill {id}"), &error))?;
        kept.wait(KILL_PATIENCE).ok_or_else(|| {
            Refusal::new("platform", format!("every process of {id} is killed, but its shim does not end"))
        })
    }

    /// Removes an ended sandbox and all that was its own.
    pub(crate) fn remove(&self, id: &SandboxId) -> Result<Answer, Refusal> {
        let _busy = self.occupy(id);
        if let Some(kept) = self.find(id)
            && kept.ended().is_none()
        {
            return Err(Refusal::new("sandbox-running", format!("`{id}` has not ended: kill it first")));
        }
        self.clear(id, &Place::new(&self.config.paths, id))?;
        self.forget(id);
        Ok(Answer::Done)
    }

    /// Ends and removes whatever there is under this id. The caller occupies the id.
    pub(crate) fn clear(&self, id: &SandboxId, place: &Place) -> Result<(), Refusal> {
        let failed =
            |error: &std::io::Error| Refusal::platform(format_args!("cannot remove the sandbox {id}"), error);
        if place.run.exists() {
            self.end_container(id, &self.cgroup(id));
        }
        tree::remove(&place.data).map_err(|error| failed(&error))?;
        tree::remove(&place.run).map_err(|error| failed(&error))?;
        Ok(())
    }

    /// Every sandbox with its state.
    pub(crate) fn list(&self) -> Answer {
        let row = |kept: Arc<Kept>| SandboxRow {
            id: kept.spec.id.clone(),
            kind: kept.spec.kind,
            state: state_of(&kept),
            address: kept.address,
        };
        Answer::Sandboxes { rows: self.all().into_iter().map(row).collect() }
    }

    /// Use at this moment; of an ended one what it has used.
    pub(crate) fn usage(&self, id: &SandboxId) -> Result<Usage, Refusal> {
        let kept = self.must_find(id)?;
        if let Some(ended) = kept.ended() {
            return Ok(Usage {
                memory_bytes: 0,
                memory_peak_bytes: ended.memory_peak_bytes,
                memory_kills: ended.memory_kills,
                cpu_microseconds: ended.cpu_microseconds,
                pids: 0,
            });
        }
        Group::new(&kept.cgroup)
            .usage()
            .map_err(|error| Refusal::platform(format_args!("cannot read what {id} uses"), &error))
    }

    /// What the sandbox's processes listen on; nothing when it has ended.
    pub(crate) fn listeners(&self, id: &SandboxId) -> Result<Answer, Refusal> {
        let kept = self.must_find(id)?;
        let mut addresses = Vec::new();
        let pid = fs::read_to_string(kept.place.run.join(PID_FILE)).unwrap_or_default();
        if let (None, Ok(pid)) = (kept.ended(), pid.trim().parse::<u32>()) {
            for table in ["tcp", "tcp6"] {
                // Missing where the kernel has no IPv6, or when the process ended this moment.
                let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
                addresses.extend(text.lines().filter_map(listening_address));
            }
        }
        Ok(Answer::Listeners { addresses })
    }

    /// Removes a scratch tree.
    pub(crate) fn remove_scratch(&self, id: &SandboxId) -> Result<Answer, Refusal> {
        remove_tree(&self.config.paths.data.join(scratch_path(id)))
    }

    /// Removes a deleted tool's repository.
    pub(crate) fn remove_repository(&self, tool: ToolId) -> Result<Answer, Refusal> {
        remove_tree(&self.config.paths.repository(tool))
    }
}

fn remove_tree(path: &Path) -> Result<Answer, Refusal> {
    tree::remove(path)
        .map_err(|error| Refusal::platform(format_args!("cannot remove {}", path.display()), &error))?;
    Ok(Answer::Done)
}

fn state_of(kept: &Kept) -> SandboxState {
    if kept.ended().is_some() {
        return SandboxState::Ended;
    }
    match kept.ask(Ask::State) {
        Ok(Reply::State { state }) => state,
        // Going: between its last word and its keeper's notice.
        Ok(Reply::Failed { .. }) | Err(_) => SandboxState::Ended,
    }
}

/// One line of /proc/net/tcp or tcp6 (`proc_net_tcp(5)`): addresses in hex, each 32-bit group in host byte order.
fn listening_address(line: &str) -> Option<SocketAddr> {
    let mut words = line.split_whitespace();
    let (_, local, _, state) = (words.next()?, words.next()?, words.next()?, words.next()?);
    if state != LISTENING {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let bytes = hex_groups(address)?;
    let address = match bytes.as_slice() {
        [a, b, c, d] => IpAddr::V4(Ipv4Addr::new(*a, *b, *c, *d)),
        all => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(all).ok()?)),
    };
    Some(SocketAddr::new(address, port))
}

fn hex_groups(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for group in text.as_bytes().chunks(8) {
        let number = u32::from_str_radix(std::str::from_utf8(group).ok()?, 16).ok()?;
        bytes.extend(number.to_ne_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_sockets_are_read_from_both_tables_and_connections_are_not() {
        let four = "   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 1";
        assert_eq!(listening_address(four), Some("127.0.0.1:8000".parse().unwrap()));
        let six = "   0: 00000000000000000000000001000000:1388 00000000000000000000000000000000:0000 0A 0 0";
        assert_eq!(listening_address(six), Some("[::1]:5000".parse().unwrap()));
        let connected = "   1: 0100007F:1F40 0100007F:C000 01 00000000:00000000";
        assert_eq!(listening_address(connected), None);
        assert_eq!(listening_address("  sl  local_address rem_address   st tx_queue"), None);
    }
}
