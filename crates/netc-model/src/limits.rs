//! How much memory and how many steps running a model may take.

use std::fs;
use std::path::Path;

use netc_exec::ExecError;
use netc_ir::{Module, Resource};

use crate::error::{ModelError, Remedy};

/// Ops that the layers of any model may become.
const OPS: u64 = 500_000;

/// Ops that a model may have after lowering for each op before.
const OPS_PER_OP: u64 = 100;

/// The most bytes that a run may take where nobody says how many: nine tenths of the memory that is free.
pub(crate) fn memory() -> u64 {
    free_memory().map_or(u64::MAX, |free| free / 10 * 9)
}

/// How many ops `module` may have after lowering, where the user allows `max_steps` if they say so.
pub fn max_ops(module: &Module, max_steps: Option<u64>) -> u64 {
    max_steps.unwrap_or_else(|| OPS_PER_OP.saturating_mul(module.num_ops() as u64).saturating_add(OPS))
}

/// The error of the executor, with the limit that would have to be larger.
pub fn explained(error: ExecError) -> ModelError {
    let ExecError::TooLarge { source, .. } = &error else { return ModelError::from_error(error) };
    let remedy = match source.resource {
        Resource::Steps => Remedy::Steps,
        Resource::Memory | Resource::Read => Remedy::Memory,
    };
    ModelError::needs(remedy, format!("{error}: {source}"))
}

/// Address space of a thread that works on a model: its stack, and what the allocator reserves for it.
const THREAD: u64 = 256 << 20;

/// Returns how many of `wanted` more threads fit into memory.
pub fn threads(wanted: usize) -> usize {
    let most = free_memory().map_or(u64::MAX, |free| free / THREAD);
    wanted.min(usize::try_from(most).unwrap_or(usize::MAX))
}

/// Bytes that this process can have: those that the system has, as far as the limits of the process and of its control
/// group allow them. None where the system says nothing.
fn free_memory() -> Option<u64> {
    [available(), address_space(), control_group()].into_iter().flatten().min()
}

/// What Linux can give without swapping.
fn available() -> Option<u64> {
    kilobytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

/// What `ulimit -v` leaves.
fn address_space() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    let limit: u64 = limit.split_whitespace().next()?.parse().ok()?;
    let used = kilobytes(&fs::read_to_string("/proc/self/status").ok()?, "VmSize:")?;
    Some(limit.saturating_sub(used))
}

/// What the control group leaves, or one that it is in.
fn control_group() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let left = |folder: &Path, [limit, used]: [&str; 2]| {
        let number = |name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
        // A limit of `max` is no number.
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
        // Inside of a container the path may be that outside; then the root is the group.
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
    fn linux_says_how_much_memory_is_free() {
        let free = free_memory().unwrap();
        assert!(free > 1 << 20, "{free} bytes");
        assert_eq!(kilobytes("A: 1 kB\nMemAvailable:   12 kB\n", "MemAvailable:"), Some(12 << 10));
    }
}
