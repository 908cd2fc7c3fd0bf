//! Logging to standard error.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::File;
use std::io::{self, IsTerminal, Write, stderr};
use std::os::fd::AsFd;
use std::panic::PanicHookInfo;
use std::time::Duration;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::exit::Exit;
use crate::queue::Queue;

/// How long the end of the program waits for its last lines to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The environment variable with the filter.
const FILTER_VARIABLE: &str = "RUST_LOG";

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The value of `RUST_LOG` is not a filter.
    #[error(
        "RUST_LOG = {value:?}: {reason}; hint: write a level such as info or debug, \
         or levels of modules such as info,caviar_worker=debug"
    )]
    Filter {
        /// The value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The system refuses another thread.
    #[error("no thread for the log: {0}")]
    Thread(#[from] io::Error),
}

impl LogError {
    /// The exit code of a program that cannot log.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Filter { .. } => Exit::Usage,
            Self::Thread(_) => Exit::Failure,
        }
    }
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
    /// Starts logging at `level` unless `RUST_LOG` says otherwise. Panics are always written, with
    /// a backtrace if `RUST_BACKTRACE` asks for it.
    ///
    /// # Errors
    /// `RUST_LOG` is not a filter, or no thread can be started.
    pub fn start(level: LevelFilter) -> Result<Self, LogError> {
        let value = std::env::var_os(FILTER_VARIABLE).unwrap_or_default();
        let value = value.to_string_lossy().into_owned();
        let filter = filter(&value, level).map_err(|reason| LogError::Filter { value, reason })?;
        let queue = Queue::start(standard_error(), |lost| {
            tracing::warn!(lost, "log lines were lost: standard error was not read in time");
        })?;
        // A subscriber that exists already, in a test for example, stays.
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(Lines(queue.clone()))
            .with_ansi(stderr().is_terminal())
            // It would write its own errors to standard error, and panic if that is closed.
            .log_internal_errors(false);
        let _started = tracing_subscriber::registry().with(lines).with(filter).try_init();
        // The default hook writes to standard error itself and would wait for its reader.
        let panics = queue.clone();
        std::panic::set_hook(Box::new(move |panic| {
            panics.push_always(panic_text(panic, &Backtrace::capture()).as_bytes());
        }));
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

/// What is written about a panic.
fn panic_text(panic: &PanicHookInfo<'_>, backtrace: &Backtrace) -> String {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("without a name");
    let is_captured = backtrace.status() == BacktraceStatus::Captured;
    let backtrace = if is_captured { format!("{backtrace}\n") } else { String::new() };
    format!("error: thread {name} {panic}\n{backtrace}")
}

/// The filter that `text` describes. `level` applies to every module that the text does not cover.
/// Filters of spans and of texts, which other programs have, are refused.
fn filter(text: &str, level: LevelFilter) -> Result<Targets, String> {
    if text.trim().is_empty() {
        return Ok(Targets::new().with_default(level));
    }
    let targets: Targets = text.parse().map_err(|error| format!("{error}"))?;
    let is_module =
        |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "_:-".contains(c));
    if let Some((name, _)) = targets.iter().find(|(name, _)| !is_module(name)) {
        return Err(format!("{name:?} is not a module"));
    }
    Ok(match targets.default_level() {
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
        let parse = |text| filter(text, LevelFilter::WARN);
        let enabled = |text, target: &str, level| parse(text).unwrap().would_enable(target, &level);
        assert!(enabled("", "caviar_worker", Level::WARN));
        assert!(!enabled("", "caviar_worker", Level::INFO));
        assert!(enabled("debug", "caviar_worker::link", Level::DEBUG));
        assert!(enabled("caviar_worker=debug", "caviar_worker::link", Level::DEBUG));
        assert!(enabled("caviar_worker=debug", "h2", Level::WARN));
        assert!(!enabled("caviar_worker=debug", "h2", Level::INFO));
        assert!(parse("caviar_worker=loud").is_err());
        for text in ["info,caviar_worker[trial]=debug", "[session]=debug", "warn/foo"] {
            assert!(parse(text).unwrap_err().ends_with("is not a module"), "{text}");
        }
    }
}
