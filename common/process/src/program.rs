//! The frame of a program.

use std::future::Future;
use std::process::ExitCode;

use tracing_subscriber::filter::LevelFilter;

use crate::exit::Exit;
use crate::log::Log;
use crate::report::Report;

/// How a program logs and how many threads it gets.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What is logged unless `RUST_LOG` says otherwise.
    pub level: LevelFilter,
    /// Threads of the runtime; `None` for one per core.
    pub threads: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self { level: LevelFilter::INFO, threads: None }
    }
}

/// Starts logging, runs `body` on a tokio runtime, and reports its failure on standard error.
///
/// It does not wait for tasks and blocking calls that `body` has left behind: a name lookup or a
/// network file system that hangs does not keep the process.
pub fn main(options: Options, body: impl Future<Output = Result<Exit, Report>>) -> ExitCode {
    let log = match Log::start(options.level) {
        Ok(log) => log,
        Err(error) => {
            let report = Report::new(error.exit(), &error);
            write_without_log(&report);
            return report.exit().into();
        }
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = options.threads {
        runtime.worker_threads(threads);
    }
    let result = match runtime.enable_all().build() {
        Ok(runtime) => {
            let result = runtime.block_on(body);
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(Report::new(Exit::Failure, &error)),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(report) => {
            log.write(report.text());
            report.exit().into()
        }
    }
}

fn write_without_log(report: &Report) {
    use std::io::Write;
    // If standard error is closed, the exit code is all that is left to tell.
    let _written = std::io::stderr().write_all(report.text().as_bytes());
}
