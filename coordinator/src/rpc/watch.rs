//! Streams of answers: watching a sweep or a trial, and exporting.
//!
//! Each runs in a task of its own, which ends with its reader, with its subject, or with the
//! server.

use std::future::Future;
use std::time::Duration;

use caviar_common::ids::{SweepId, TrialNumber};
use caviar_core::query::{TrialFilter, TrialOrder};
use caviar_proto::convert::view::{encode_sweep, encode_trial};
use caviar_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{Answers, Api, deleted, gone, lookup, pages};
use crate::driver::DriverGone;

/// Changes that come faster are told as one.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);
/// Trials that an export takes from the driver at once.
const EXPORT_PAGE: usize = 500;
/// How long an error at the end of a stream waits for room.
const LAST_WORD: Duration = Duration::from_secs(1);
/// Answers that wait for the reader.
const AHEAD: usize = 4;

/// Who gets the answers.
struct Reader<T>(mpsc::Sender<Result<T, Status>>);

/// The reader went away.
struct Left;

impl<T> Reader<T> {
    async fn send(&self, answer: T) -> Result<(), Left> {
        self.0.send(Ok(answer)).await.map_err(|_| Left)
    }
}

impl Api {
    /// Runs `body` until it ends, fails, or nobody is there any more.
    fn stream<T, F>(&self, body: impl FnOnce(Self, Reader<T>) -> F) -> Answers<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<(), Status>> + Send + 'static,
    {
        let (answers, stream) = mpsc::channel(AHEAD);
        let body = body(self.clone(), Reader(answers.clone()));
        let api = self.clone();
        let task = async move {
            let result = tokio::select! {
                result = body => result,
                () = answers.closed() => Ok(()),
                () = api.stopped() => Err(gone(DriverGone)),
            };
            if let Err(status) = result {
                // A reader must not take an early end for the last answer; one that does not read
                // gets no more time than this.
                let _ = tokio::time::timeout(LAST_WORD, answers.send(Err(status))).await;
            }
        };
        tokio::spawn(task);
        ReceiverStream::new(stream)
    }

    pub(super) fn watch_sweep(&self, sweep: SweepId) -> Answers<v1::Sweep> {
        self.stream(move |api, reader| async move {
            let mut changes = api.driver.changes();
            loop {
                let view = api.sweep(sweep).await?;
                if reader.send(encode_sweep(&view)).await.is_err() || view.state.is_final() {
                    return Ok(());
                }
                tokio::time::sleep(LEAST_INTERVAL).await;
                changes.wait_for(sweep).await.map_err(gone)?;
            }
        })
    }

    pub(super) fn watch_trial(
        &self,
        sweep: SweepId,
        name: String,
        number: TrialNumber,
    ) -> Answers<v1::Trial> {
        self.stream(move |api, reader| async move {
            let mut changes = api.driver.changes();
            let mut last: Option<v1::Trial> = None;
            loop {
                let view = api.read(move |core| core.trial(sweep, number, true)).await?;
                let view = view.ok_or_else(|| lookup::no_such_trial(&name, number))?;
                let wire = encode_trial(&view);
                // Most changes of a sweep are changes of its other trials.
                if last.as_ref() != Some(&wire) {
                    last = Some(wire.clone());
                    if reader.send(wire).await.is_err() {
                        return Ok(());
                    }
                }
                if view.state.is_final() {
                    return Ok(());
                }
                tokio::time::sleep(LEAST_INTERVAL).await;
                changes.wait_for(sweep).await.map_err(gone)?;
            }
        })
    }

    pub(super) fn export(&self, sweep: SweepId) -> Answers<v1::Trial> {
        self.stream(move |api, reader| async move {
            let mut after = None;
            let mut times = api.driver.trial_times(sweep).await.map_err(gone)?;
            loop {
                let filter = TrialFilter {
                    states: Vec::new(),
                    order: TrialOrder::Number,
                    after,
                    limit: EXPORT_PAGE,
                    with_curves: true,
                };
                let page = api
                    .read(move |core| pages::trials(core, sweep, &filter))
                    .await?
                    .ok_or_else(|| deleted(sweep))?;
                let Some(last) = page.last() else { return Ok(()) };
                after = Some(last.trial);
                for mut view in page {
                    view.times = times.remove(&view.trial).unwrap_or_default();
                    if reader.send(encode_trial(&view)).await.is_err() {
                        return Ok(());
                    }
                }
            }
        })
    }
}
