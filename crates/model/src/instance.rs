//! One running platform on a machine, and the ids that belong to it. Two checkouts and a test run never meet.

use serde::{Deserialize, Serialize};

/// Host ids in one range: what a container maps.
pub const RANGE_SIZE: u32 = 65_536;
/// First host id that any instance uses. Reserved in /etc/subuid and /etc/subgid by the set-up script.
pub const FIRST_ID: u32 = 1_000_000_000;
/// Ranges of one instance.
pub const RANGES_PER_INSTANCE: u32 = 2048;
/// Instances whose ids fit below 2³².
pub const MAX_INSTANCES: u32 = 24;
/// The range index of the first tool; those before are the platform's own.
pub const FIRST_TOOL_RANGE: u32 = 16;

/// The number of a platform on this machine, leased by `windlass up` for one data directory. Every host-wide name
/// (cgroup, nftables table, interface, subnet, id range) carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Instance(pub u32);

/// Index of a range of host ids inside an instance: 0 is the layer store's, 1 the platform's processes',
/// from [`FIRST_TOOL_RANGE`] on tools, counted up and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RangeIndex(pub u32);

impl RangeIndex {
    /// Owner of every file in the layer store.
    pub const STORE: Self = Self(0);
    /// The platform's own processes, which have no entry in /etc/passwd.
    pub const PLATFORM: Self = Self(1);
}

impl Instance {
    /// Tag in host-wide names: `wl0`, `wl17`. At most five characters, so that interface names fit in 15.
    pub fn tag(self) -> String {
        format!("wl{}", self.0)
    }

    /// First host id of a range of this instance.
    pub const fn first_id(self, range: RangeIndex) -> u32 {
        FIRST_ID + (self.0 * RANGES_PER_INSTANCE + range.0) * RANGE_SIZE
    }

    /// The user (and group) that `windlass serve` runs as.
    pub const fn serve_id(self) -> u32 {
        self.first_id(RangeIndex::PLATFORM)
    }

    /// The user that `windlass router` runs as.
    pub const fn router_id(self) -> u32 {
        self.first_id(RangeIndex::PLATFORM) + 1
    }

    /// The user that owns the bare repositories and runs the git program.
    pub const fn git_id(self) -> u32 {
        self.first_id(RangeIndex::PLATFORM) + 2
    }

    /// The user that egress workers run as.
    pub const fn egress_id(self) -> u32 {
        self.first_id(RangeIndex::PLATFORM) + 3
    }

    /// The user that shims drop to once their container runs.
    pub const fn shim_id(self) -> u32 {
        self.first_id(RangeIndex::PLATFORM) + 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_two_instances_never_meet_and_stay_below_the_last_id() {
        let last_of_first = Instance(0).first_id(RangeIndex(RANGES_PER_INSTANCE - 1)) + RANGE_SIZE - 1;
        assert_eq!(last_of_first + 1, Instance(1).first_id(RangeIndex::STORE));
        let last = u64::from(Instance(MAX_INSTANCES - 1).first_id(RangeIndex(RANGES_PER_INSTANCE - 1)));
        assert!(last + u64::from(RANGE_SIZE) < u64::from(u32::MAX) - 1);
    }
}
