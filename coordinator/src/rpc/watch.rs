//! Replies that are streams: watching a sweep or a trial, and exporting trials.
//!
//! Each stream runs in a task of its own. The task ends when the client goes away, when the watched
//! sweep or trial has ended, or when the server stops.

use std::future::Future;
use std::time::Duration;

use caviar_common::ids::{SweepId, TrialNumber};
use caviar_core::query::{TrialFilter, TrialOrder};
use caviar_proto::convert::view::{encode_sweep, encode_trial};
use caviar_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::api::{Api, ResponseStream, driver_gone, sweep_deleted};
use super::{lookup, pages};
use crate::driver::DriverGone;

/// Shortest time between two views of the same sweep or trial. Faster changes are combined.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// Most trials that an export reads at once, so that it does not block the driver for long.
const EXPORT_PAGE: usize = 500;
/// How long the error that ends a stream waits for a client that does not read.
const FINAL_ERROR_TIMEOUT: Duration = Duration::from_secs(1);
/// Most messages that wait for a client to read them.
const STREAM_BUFFER: usize = 4;

/// The sending end of a [`ResponseStream`].
struct Responses<T>(mpsc::Sender<Result<T, Status>>);

/// The client closed the stream.
struct ClientGone;

impl<T> Responses<T> {
    async fn send(&self, message: T) -> Result<(), ClientGone> {
        self.0.send(Ok(message)).await.map_err(|_| ClientGone)
    }
}

impl Api {
    /// Runs `body` in a task until it returns, the client closes the stream or the server stops.
    fn stream<T, F>(&self, body: impl FnOnce(Self, Responses<T>) -> F) -> ResponseStream<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<(), Status>> + Send + 'static,
    {
        let (sender, stream) = mpsc::channel(STREAM_BUFFER);
        let body = body(self.clone(), Responses(sender.clone()));
        let api = self.clone();
        let task = async move {
            let result = tokio::select! {
                result = body => result,
                () = sender.closed() => Ok(()),
                () = api.stopped() => Err(driver_gone(DriverGone)),
            };
            if let Err(status) = result {
                // The error tells the client that the stream is incomplete. A client that does not
                // read must not keep the task alive.
                let _ = tokio::time::timeout(FINAL_ERROR_TIMEOUT, sender.send(Err(status))).await;
            }
        };
        tokio::spawn(task);
        ReceiverStream::new(stream)
    }

    /// Sends the current view of a sweep, then a view after each change, until the sweep has ended.
    pub(super) fn watch_sweep(&self, sweep: SweepId) -> ResponseStream<v1::Sweep> {
        self.stream(move |api, responses| async move {
            let mut changes = api.driver.changes();
            loop {
                let view = api.sweep(sweep).await?;
                if responses.send(encode_sweep(&view)).await.is_err() || view.state.is_final() {
                    return Ok(());
                }
                tokio::time::sleep(MIN_INTERVAL).await;
                changes.wait_for(sweep).await.map_err(driver_gone)?;
            }
        })
    }

    /// Sends the current view of a trial, then a view after each change, until the trial has ended.
    /// `name` is the sweep as the client named it, for errors.
    pub(super) fn watch_trial(
        &self,
        sweep: SweepId,
        name: String,
        number: TrialNumber,
    ) -> ResponseStream<v1::Trial> {
        self.stream(move |api, responses| async move {
            let mut changes = api.driver.changes();
            let mut sent: Option<v1::Trial> = None;
            loop {
                let view = api.read(move |core| core.trial(sweep, number, true)).await?;
                let view = view.ok_or_else(|| lookup::no_such_trial(&name, number))?;
                let wire = encode_trial(&view);
                // Most changes of a sweep concern other trials.
                if sent.as_ref() != Some(&wire) {
                    sent = Some(wire.clone());
                    if responses.send(wire).await.is_err() {
                        return Ok(());
                    }
                }
                if view.state.is_final() {
                    return Ok(());
                }
                tokio::time::sleep(MIN_INTERVAL).await;
                changes.wait_for(sweep).await.map_err(driver_gone)?;
            }
        })
    }

    /// Sends all trials of a sweep with their curves and times, in the order of their numbers.
    pub(super) fn export(&self, sweep: SweepId) -> ResponseStream<v1::Trial> {
        self.stream(move |api, responses| async move {
            let mut after = None;
            let mut times = api.driver.trial_times(sweep).await.map_err(driver_gone)?;
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
                    .ok_or_else(|| sweep_deleted(sweep))?;
                let Some(last) = page.last() else { return Ok(()) };
                after = Some(last.trial);
                for mut view in page {
                    view.times = times.remove(&view.trial).unwrap_or_default();
                    if responses.send(encode_trial(&view)).await.is_err() {
                        return Ok(());
                    }
                }
            }
        })
    }
}
