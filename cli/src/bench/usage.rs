//! What a process has used, from `/proc`. Other systems than Linux have no such folder, and then
//! nothing is known.

/// Units of processor time in a second. Linux shows times to programs in hundredths, whatever the
/// kernel's own clock.
const TICKS_PER_SECOND: f64 = 100.0;

/// The processor time of a process so far, in seconds.
pub(crate) fn cpu_seconds(process: u32) -> Option<f64> {
    let ticks = ticks(&std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?)?;
    Some(f64::from(ticks) / TICKS_PER_SECOND)
}

/// The memory of a process that is in use now, in bytes.
pub(crate) fn resident_bytes(process: u32) -> Option<u64> {
    resident(&std::fs::read_to_string(format!("/proc/{process}/status")).ok()?)
}

/// Time in user and in system mode: the fields 14 and 15 of `/proc/PID/stat`. The name of the
/// program before them is in parentheses and may contain anything.
fn ticks(stat: &str) -> Option<u32> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u32>().ok();
    next()?.checked_add(next()?)
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_process_are_understood() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 600 0 0 0 25 17 3 4 20 0 9 0 100 5 6";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("7 (a"), None);
        assert_eq!(resident("Name:\ta\nVmRSS:\t    12 kB\nThreads:\t9\n"), Some(12 << 10));
        assert_eq!(resident("Name:\ta\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_uses_memory() {
        assert!(resident_bytes(std::process::id()).unwrap() > 1 << 20);
        assert!(cpu_seconds(std::process::id()).is_some());
    }
}
