//! Limits on the memory and steps of a run.

use std::fs;
use std::path::Path;

use netc_exec::ExecError;
use netc_ir::{Module, Resource};

use crate::error::{ModelError, Remedy};

/// Ops that any model may have after lowering.
const OPS: u64 = 500_000;

/// Additional ops that a model may have after lowering, per source op.
const OPS_PER_OP: u64 = 100;

/// The default memory limit of a run, in bytes: nine tenths of the free memory.
pub(crate) fn memory() -> u64 {
    free_memory().map_or(u64::MAX, |free| free / 10 * 9)
}

/// The maximum number of ops of `module` after lowering: `max_steps`, or a default.
pub fn max_ops(module: &Module, max_steps: Option<u64>) -> u64 {
    max_steps.unwrap_or_else(|| OPS_PER_OP.saturating_mul(module.num_ops() as u64).saturating_add(OPS))
}

/// Adds to an error of the executor which limit to raise.
pub fn explained(error: ExecError) -> ModelError {
    let ExecError::TooLarge { source, .. } = &error else { return ModelError::from_error(error) };
    let remedy = match source.resource {
        Resource::Steps => Remedy::Steps,
        Resource::Memory | Resource::Read => Remedy::Memory,
    };
    ModelError::needs(remedy, format!("{error}: {source}"))
}

/// Address space per worker thread: its stack and the allocator's reserve for it.
const THREAD: u64 = 256 << 20;

/// How many of `wanted` further threads fit into memory.
pub fn threads(wanted: usize) -> usize {
    let most = free_memory().map_or(u64::MAX, |free| free / THREAD);
    wanted.min(usize::try_from(most).unwrap_or(usize::MAX))
}

/// Bytes of memory that this process can still use, within its own limits and those of its control group. `None` if the
/// system does not tell.
fn free_memory() -> Option<u64> {
    [available(), address_space(), control_group()].into_iter().flatten().min()
}

/// Memory that Linux can provide without swapping.
fn available() -> Option<u64> {
    kilobytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

/// What is left of the address space limit (`ulimit -v`).
fn address_space() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    let limit: u64 = limit.split_whitespace().next()?.parse().ok()?;
    let used = kilobytes(&fs::read_to_string("/proc/self/status").ok()?, "VmSize:")?;
    Some(limit.saturating_sub(used))
}

/// What is left of the memory limit of the control group and of those that contain it.
fn control_group() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let left = |folder: &Path, [limit, used]: [&str; 2]| {
        let number = |name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
        // `max` means no limit. It does not parse as a number.
        Some(number(limit)?.saturating_sub(number(used)?))
    };
    let mut least = None;
    for group in groups.lines() {
        let mut parts = group.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, files) = match controllers {
            "" => ("/sys/fs/cgroup", ["memory.max", "memory.current"]),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", ["memory.limit_in_bytes", "memory.usage_in_bytes"])
            }
            _ => continue,
        };
        // In a container the path may be the one outside of it. Then the root is the group.
        let own = Path::new(path.trim_start_matches('/'));
        let all = own.ancestors().filter_map(|group| left(&Path::new(root).join(group), files));
        least = all.chain(least).min();
    }
    least
}

/// The number after `key` in lines such as `MemAvailable:  1024 kB`, in bytes.
fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let number = text.lines().find_map(|line| line.strip_prefix(key))?;
    number.trim().trim_end_matches("kB").trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_memory_is_known_on_linux() {
        let free = free_memory().unwrap();
        assert!(free > 1 << 20, "{free} bytes");
        assert_eq!(kilobytes("A: 1 kB\nMemAvailable:   12 kB\n", "MemAvailable:"), Some(12 << 10));
    }
}
