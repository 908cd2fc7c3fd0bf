//! The signals that ask a program to stop.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Counts SIGINT and SIGTERM, which mean the same: the first asks the program to stop in order, the
/// second to exit at once.
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
        let (sender, received) = watch::channel(Received::default());
        tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    _ = interrupt.recv() => "SIGINT",
                    _ = terminate.recv() => "SIGTERM",
                };
                sender.send_modify(|received| {
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

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::{Signal, raise};

    #[tokio::test]
    async fn both_signals_count_alike() {
        let signals = Signals::listen().unwrap();
        raise(Signal::SIGTERM).unwrap();
        assert_eq!(signals.first().await, "SIGTERM");
        raise(Signal::SIGINT).unwrap();
        assert_eq!(signals.clone().second().await, "SIGINT");
    }
}
