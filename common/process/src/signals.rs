//! The signals that ask a program to stop.

use nix::libc::SIGHUP;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Counts SIGINT and SIGTERM, which mean the same: the first asks the program to stop in order, the
/// second to exit at once.
///
/// SIGHUP, which a terminal sends when it is closed, counts as the first of them and never as the
/// second: the shell may send it too. It does not count in a process that was started with SIGHUP
/// ignored, as `nohup` does.
///
/// While it exists, the signals no longer end the process by themselves. Clones count together.
#[derive(Clone, Debug)]
pub struct Signals {
    received: watch::Receiver<Received>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Received {
    count: u32,
    /// The name of the latest signal; empty before the first.
    name: &'static str,
}

impl Signals {
    /// Starts to count, on the current tokio runtime.
    ///
    /// # Errors
    /// The system refuses a signal handler.
    pub fn listen() -> std::io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
        let (sender, received) = watch::channel(Received::default());
        tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    _ = interrupt.recv() => "SIGINT",
                    _ = terminate.recv() => "SIGTERM",
                    () = next(&mut hangup) => "SIGHUP",
                };
                sender.send_modify(|received| {
                    if name == "SIGHUP" && received.count > 0 {
                        return;
                    }
                    received.count = received.count.saturating_add(1);
                    received.name = name;
                });
            }
        });
        Ok(Self { received })
    }

    /// Waits for the first signal, and returns its name. Returns at once if it has arrived.
    pub async fn first(&self) -> &'static str {
        self.at_least(1).await
    }

    /// Waits for the second signal, and returns its name. Returns at once if it has arrived.
    pub async fn second(&self) -> &'static str {
        self.at_least(2).await
    }

    async fn at_least(&self, count: u32) -> &'static str {
        let mut received = self.received.clone();
        let name = received.wait_for(|received| received.count >= count).await.map(|r| r.name);
        match name {
            Ok(name) => name,
            // The runtime is shutting down, and no signal will arrive.
            Err(_) => std::future::pending().await,
        }
    }
}

/// Waits for the next signal; without one indefinitely.
async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Whether this process was started with SIGHUP ignored. If the system does not tell, it may have
/// been, and a handler would undo what the user asked for.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status");
    status.map_or(true, |status| is_ignored(SIGHUP, &status))
}

/// Whether the line `SigIgn: 0000000000001001` of a process status contains a signal. Its lowest
/// bit is signal 1.
fn is_ignored(signal: i32, status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = u32::try_from(signal).ok().and_then(|signal| signal.checked_sub(1));
    match (mask, bit.and_then(|bit| 1_u64.checked_shl(bit))) {
        (Some(mask), Some(bit)) => mask & bit != 0,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::{Signal, raise};

    #[test]
    fn the_status_of_a_process_says_which_signals_it_ignores() {
        let status = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\tf\n";
        let ignored: Vec<i32> = (1..=64).filter(|signal| is_ignored(*signal, status)).collect();
        assert_eq!(ignored, [1, 13], "SIGHUP and SIGPIPE");
        assert!(is_ignored(SIGHUP, "Name:\tcaviar\n"), "it does not tell");
    }

    // One test, because signals reach the whole process.
    #[tokio::test]
    async fn both_signals_count_alike_and_a_closed_terminal_counts_once() {
        let signals = Signals::listen().unwrap();
        raise(Signal::SIGTERM).unwrap();
        assert_eq!(signals.first().await, "SIGTERM");
        raise(Signal::SIGINT).unwrap();
        assert_eq!(signals.clone().second().await, "SIGINT");

        if ignores_hangup() {
            return;
        }
        let signals = Signals::listen().unwrap();
        let mut hangups = signal(SignalKind::hangup()).unwrap();
        for _ in 0..2 {
            raise(Signal::SIGHUP).unwrap();
            hangups.recv().await;
            assert_eq!(signals.first().await, "SIGHUP");
            // The task that counts was woken together with this one.
            tokio::task::yield_now().await;
        }
        raise(Signal::SIGTERM).unwrap();
        assert_eq!(signals.second().await, "SIGTERM");
    }
}
