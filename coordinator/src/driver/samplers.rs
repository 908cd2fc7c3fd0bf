//! Threads that ask samplers, so that the driver's thread never waits for a model.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use caviar_core::input::{Input, SamplingJob};
use tokio::sync::mpsc::WeakSender;

use super::command::Command;

/// Most threads. Each sweep asks one question at a time, so more would help only a coordinator of
/// many sweeps.
const MOST_THREADS: usize = 4;

/// Threads that ask samplers. They end when the pool is dropped, after the question at hand.
#[derive(Debug)]
pub(super) struct SamplerPool {
    jobs: Sender<SamplingJob>,
}

impl SamplerPool {
    /// Starts the threads: one for each core, but at most a few. The replies go to `driver`.
    ///
    /// # Errors
    /// The system does not start a thread.
    pub(super) fn start(driver: WeakSender<Command>) -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..cores.min(MOST_THREADS) {
            let (queue, driver) = (Arc::clone(&queue), driver.clone());
            let thread = thread::Builder::new().name(format!("sampler-{number}"));
            thread.spawn(move || serve(&queue, &driver))?;
        }
        Ok(Self { jobs })
    }

    /// Asks a sampler. The reply is a command of the driver.
    pub(super) fn ask(&self, job: SamplingJob) {
        // The threads hold the other end until this pool is dropped.
        drop(self.jobs.send(job));
    }
}

fn serve(queue: &Mutex<Receiver<SamplingJob>>, driver: &WeakSender<Command>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        let sampled = Box::new(job.run());
        let Some(driver) = driver.upgrade() else { return };
        let command = Command::Apply { input: Input::Sampled(sampled), reply: None };
        if driver.blocking_send(command).is_err() {
            return;
        }
    }
}
