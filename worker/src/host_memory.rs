//! The memory that this process can still get.

use std::fs;
use std::path::Path;

/// Bytes of memory that this process can get without swapping: the least of what the system has
/// available and of what the limit of its cgroup leaves. `None` if the system does not tell.
pub fn available_memory() -> Option<u64> {
    let read = |path: &str| fs::read_to_string(Path::new("/").join(path)).ok();
    available(&read)
}

/// `read` returns the text of a file by its path below `/`.
fn available(read: &dyn Fn(&str) -> Option<String>) -> Option<u64> {
    let machine = read("proc/meminfo").and_then(|text| mem_available(&text));
    let limit = read("proc/self/cgroup").and_then(|text| left_in_cgroups(&text, read));
    [machine, limit].into_iter().flatten().min()
}

/// `MemAvailable:   12345 kB`, in bytes.
fn mem_available(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1_024)
}

/// The least that any cgroup of the process, or any above it, leaves. Each line of the list is
/// `NUMBER:CONTROLLERS:PATH`.
fn left_in_cgroups(list: &str, read: &dyn Fn(&str) -> Option<String>) -> Option<u64> {
    let lefts = list.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let (root, limit, usage) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max", "memory.current"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes")
            }
            _ => return None,
        };
        let folders = Path::new(path.trim_start_matches('/')).ancestors();
        let left = |folder: &Path| {
            let number = |file: &str| {
                let path = Path::new(root).join(folder).join(file);
                read(path.to_str()?)?.trim().parse::<u64>().ok()
            };
            // Without a limit it is the word `max`, or a number that exceeds every memory.
            Some(number(limit)?.saturating_sub(number(usage)?))
        };
        folders.filter_map(left).min()
    });
    lefts.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Option<u64> {
        available(&|path| {
            let found = files.iter().find(|(known, _)| *known == path);
            found.map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn the_least_of_the_machine_and_of_every_cgroup_counts() {
        let machine = ("proc/meminfo", "MemTotal:  9 kB\nMemAvailable:    8 kB\n");
        let second = ("proc/self/cgroup", "0::/job/step\n");
        let max = ("sys/fs/cgroup/job/step/memory.max", "max\n");
        let job = ("sys/fs/cgroup/job/memory.max", "5000\n");
        let used = ("sys/fs/cgroup/job/memory.current", "1000\n");
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[machine]), Some(8 * 1_024));
        assert_eq!(found(&[machine, second, max]), Some(8 * 1_024));
        assert_eq!(found(&[machine, second, max, job, used]), Some(4_000));
        let first = ("proc/self/cgroup", "4:cpu,cpuacct:/a\n7:memory:/a\n");
        let limit = ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "3000\n");
        let used = ("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "4000\n");
        assert_eq!(found(&[machine, first, limit, used]), Some(0));
    }
}
