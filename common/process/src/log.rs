//! Logging to standard error.

use std::fs::File;
use std::io::{self, IsTerminal, Write, stderr};
use std::os::fd::AsFd;
use std::time::Duration;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::queue::Queue;

/// How long the end of the program waits for its last lines to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The environment variable with the filter.
const FILTER_VARIABLE: &str = "RUST_LOG";

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
        let value = std::env::var_os(FILTER_VARIABLE).unwrap_or_default();
        let value = value.to_string_lossy().into_owned();
        let refused = |reason: String| FilterError { value: value.clone(), reason };
        let filter = filter(&value, level).map_err(|error| refused(error.to_string()))?;
        let queue = Queue::start(standard_error(), |lost| {
            tracing::warn!(lost, "log lines were lost: standard error was not read in time");
        })
        .map_err(|error| refused(format!("no thread for the log: {error}")))?;
        // A subscriber that exists already, in a test for example, stays.
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(Lines(queue.clone()))
            .with_ansi(stderr().is_terminal())
            // It would write its own errors to standard error, and panic if that is closed.
            .log_internal_errors(false);
        let _started = tracing_subscriber::registry().with(lines).with(filter).try_init();
        // The default hook writes to standard error itself and would wait for its reader.
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

/// The filter that `text` describes. `level` applies to every module that the text does not cover.
fn filter(text: &str, level: LevelFilter) -> Result<Targets, impl std::fmt::Display> {
    if text.trim().is_empty() {
        return Ok(Targets::new().with_default(level));
    }
    text.parse().map(|targets: Targets| match targets.default_level() {
        Some(_) => targets,
        None => targets.with_default(level),
    })
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

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_filter_has_levels_of_modules_and_a_default() {
        let parse = |text| filter(text, LevelFilter::WARN).map_err(|e| e.to_string());
        let enabled = |text, target: &str, level| parse(text).unwrap().would_enable(target, &level);
        assert!(enabled("", "caviar_worker", Level::WARN));
        assert!(!enabled("", "caviar_worker", Level::INFO));
        assert!(enabled("debug", "caviar_worker::link", Level::DEBUG));
        assert!(enabled("caviar_worker=debug", "caviar_worker::link", Level::DEBUG));
        assert!(enabled("caviar_worker=debug", "h2", Level::WARN));
        assert!(!enabled("caviar_worker=debug", "h2", Level::INFO));
        assert!(parse("caviar_worker=loud").is_err());
    }
}
