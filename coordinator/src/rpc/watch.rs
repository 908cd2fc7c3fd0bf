//! Replies that are streams: watching a sweep or a trial, and exporting trials.
//!
//! Each stream runs in a task of its own. The task ends when the client goes away, when the watched
//! sweep or trial has ended, or when the server stops.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use caviar_common::ids::{SweepId, TrialNumber};
use caviar_proto::convert::view::encode_trial;
use caviar_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::api::{Api, ResponseStream, driver_gone, sweep_deleted};
use super::lookup;
use super::pages::MAX_PAGE_VALUES;
use crate::driver::{DriverGone, Published};
use crate::store::query::TrialQuery;

/// Shortest time between two views of the same sweep or trial. Faster changes are combined.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// Most trials that an export reads at once, so that it does not keep others waiting for long.
const EXPORT_PAGE: usize = 500;
/// How long the error that ends a stream waits for a client that does not read.
const FINAL_ERROR_TIMEOUT: Duration = Duration::from_secs(1);
/// Most messages that wait for a client to read them.
const STREAM_BUFFER: usize = 4;

/// The sending end of a [`ResponseStream`].
pub(super) struct Responses<T>(mpsc::Sender<Result<T, Status>>);

/// The client closed the stream.
pub(super) struct ClientGone;

impl<T> Responses<T> {
    pub(super) async fn send(&self, message: T) -> Result<(), ClientGone> {
        self.0.send(Ok(message)).await.map_err(|_| ClientGone)
    }
}

impl Api {
    /// Runs `body` in a task until it returns, the client closes the stream or the server stops.
    pub(super) fn stream<T, F>(
        &self,
        body: impl FnOnce(Self, Responses<T>) -> F,
    ) -> ResponseStream<T>
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
            let watcher = api.driver.sweeps().watch(sweep);
            let mut watcher = watcher.ok_or_else(|| sweep_deleted(sweep))?;
            loop {
                let published = Arc::clone(&watcher.borrow_and_update());
                let is_final = published.view.state.is_final();
                if responses.send(published.wire().clone()).await.is_err() || is_final {
                    return Ok(());
                }
                tokio::time::sleep(MIN_INTERVAL).await;
                // An error means that the sweep was deleted.
                watcher.changed().await.map_err(|_| sweep_deleted(sweep))?;
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
            let watcher = api.driver.sweeps().watch(sweep);
            let mut watcher = watcher.ok_or_else(|| sweep_deleted(sweep))?;
            let mut sent: Option<v1::Trial> = None;
            loop {
                let published = Arc::clone(&watcher.borrow_and_update());
                let view = api.trial(&published, number).await?;
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
                watcher.changed().await.map_err(|_| sweep_deleted(sweep))?;
            }
        })
    }

    /// Sends all trials of a sweep with their curves and times, in the order of their numbers.
    pub(super) fn export(&self, sweep: Arc<Published>) -> ResponseStream<v1::Trial> {
        self.stream(move |api, responses| async move {
            let (id, goal) = (sweep.view.id, sweep.view.spec.objective.goal);
            let mut after = None;
            loop {
                // The sweep as it is now, because its trials may be parked or not by then.
                let sweep = api.sweep(id)?;
                let query = TrialQuery {
                    known: sweep.trials(),
                    after,
                    limit: EXPORT_PAGE,
                    max_values: Some(MAX_PAGE_VALUES),
                    ..TrialQuery::all(id, goal)
                };
                let page = api.trials(&sweep, query).await?;
                after = page.trials.last().map(|last| last.trial);
                for view in &page.trials {
                    if responses.send(encode_trial(view)).await.is_err() {
                        return Ok(());
                    }
                }
                if !page.has_more {
                    return Ok(());
                }
            }
        })
    }
}
