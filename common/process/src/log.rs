//! Logging to standard error.

use std::fs::File;
use std::io::{self, IsTerminal, Write, stderr};
use std::os::fd::AsFd;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::queue::Queue;

/// How long the end of the program waits for its last lines to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The value of `RUST_LOG` is not a filter.
#[derive(Debug, thiserror::Error)]
#[error(
    "RUST_LOG = {value:?}: {reason}; hint: write a level such as info or debug, \
     or levels of modules such as info,caviar_worker=debug"
)]
pub struct FilterError {
    value: String,
    reason: String,
}

/// The log of a program: lines on standard error, filtered by `RUST_LOG`.
///
/// The lines pass through a bounded queue to a thread of their own. A reader that pauses, or that
/// never reads, costs lines and not work: when the queue is full, new lines are dropped and
/// counted, and the count is logged once there is room again. A reader that goes away costs all
/// further lines.
///
/// Dropping the log writes what is queued, for at most one second.
#[derive(Debug)]
pub struct Log {
    queue: Queue,
}

impl Log {
    /// Starts logging at `level` unless `RUST_LOG` says otherwise. Panics are logged as errors.
    ///
    /// # Errors
    /// `RUST_LOG` is not a filter.
    pub fn start(level: LevelFilter) -> Result<Self, FilterError> {
        let refused = |reason: String| FilterError {
            value: std::env::var_os(EnvFilter::DEFAULT_ENV)
                .map(|value| value.to_string_lossy().into_owned())
                .unwrap_or_default(),
            reason,
        };
        let filter = EnvFilter::builder()
            .with_default_directive(level.into())
            .from_env()
            .map_err(|error| refused(error.to_string()))?;
        let queue = Queue::start(standard_error(), |lost| {
            tracing::warn!(lost, "log lines were lost: standard error was not read in time");
        })
        .map_err(|error| refused(format!("no thread for the log: {error}")))?;
        // A subscriber that exists already, in a test for example, stays.
        let _started = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(Lines(queue.clone()))
            .with_ansi(stderr().is_terminal())
            // It would write its own errors to standard error, and panic if that is closed.
            .log_internal_errors(false)
            .try_init();
        // The default hook writes to standard error itself and waits for whoever reads it.
        std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
        Ok(Self { queue })
    }

    /// Writes a text after everything that was logged, whatever the filter.
    pub fn write(&self, text: &str) {
        self.queue.push_always(text.as_bytes());
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.queue.flush(FLUSH_TIMEOUT);
    }
}

/// Standard error without its lock: the thread that writes the log may be stuck, and others must
/// still be able to write there.
fn standard_error() -> Box<dyn Write + Send> {
    match stderr().as_fd().try_clone_to_owned() {
        Ok(descriptor) => Box::new(File::from(descriptor)),
        Err(_) => Box::new(io::sink()),
    }
}

/// Gives each event a writer into the queue.
struct Lines(Queue);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(&self.0)
    }
}

/// A writer of one event, which arrives as one whole line.
struct Line<'a>(&'a Queue);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
