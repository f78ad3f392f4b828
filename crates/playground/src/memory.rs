//! The memory that the databases take.

use std::path::Path;

/// Bytes of memory that are assumed of a machine that does not tell.
const UNKNOWN_BYTES: u64 = 2 << 30;

const MIB: u64 = 1 << 20;

/// InnoDB's memory and log, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    pub buffer_pool: u64,
    pub log: u64,
}

impl Memory {
    /// Little, for tests, of which several run on one machine.
    pub(crate) const SMALL: Self = Self {
        buffer_pool: 64 * MIB,
        log: 32 * MIB,
    };

    /// A centre's memory: an eighth of the machine, which has other things to do, too.
    pub(crate) fn of_centre() -> Self {
        Self::of_pool(machine_bytes() / 8, 8 << 30)
    }

    /// A region's memory, which need not hold more than a ledger.
    pub(crate) fn of_region() -> Self {
        Self::of_pool(machine_bytes() / 64, 512 * MIB)
    }

    fn of_pool(bytes: u64, bytes_max: u64) -> Self {
        let buffer_pool = bytes.clamp(Self::SMALL.buffer_pool, bytes_max) / MIB * MIB;
        Self {
            buffer_pool,
            // As in deploy/mariadb-central.cnf; no more than a newcomer's disk bears.
            log: (buffer_pool / 4).clamp(Self::SMALL.log, 1 << 30) / MIB * MIB,
        }
    }
}

/// Bytes of memory of the machine, or of the container if that has less.
fn machine_bytes() -> u64 {
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).ok();
    let installed = read("/proc/meminfo").and_then(|text| installed_bytes(&text));
    let allowed = read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse().ok());
    let known = [installed, allowed].into_iter().flatten();
    known.min().unwrap_or(UNKNOWN_BYTES)
}

/// Bytes of memory by the text of `/proc/meminfo` (proc_meminfo(5)).
fn installed_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_in_proportion_within_bounds() {
        assert_eq!(
            installed_bytes("MemTotal:       24684736 kB\nMemFree: 1 kB\n"),
            Some(24_684_736 << 10)
        );
        assert_eq!(installed_bytes("nothing"), None);
        assert_eq!(Memory::of_pool(1, 8 << 30), Memory::SMALL);
        let large = Memory::of_pool(100 << 30, 8 << 30);
        assert_eq!((large.buffer_pool, large.log), (8 << 30, 1 << 30));
        let usual = Memory::of_pool(2 << 30, 8 << 30);
        assert_eq!((usual.buffer_pool, usual.log), (2 << 30, 512 * MIB));
        assert!(machine_bytes() > 0);
    }
}
