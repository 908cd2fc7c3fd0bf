//! `WorkerService`: one conversation per worker.
//!
//! ```text
//! requests --listen--> decode --> driver                    (a task per connection)
//! answers <-- Spoken <-- outbox <-- driver                  (polled by the connection itself)
//! ```
//! Whatever ends a conversation from this side comes out of the outbox, behind everything that was
//! said before it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use caviar_common::error::ErrorClass;
use caviar_common::ids::SessionId;
use caviar_common::limits::MAX_SLOTS;
use caviar_common::message::FromWorker;
use caviar_core::input::Input;
use caviar_proto::convert::worker::{decode_from_worker, encode_to_worker};
use caviar_proto::v1::worker_service_server::WorkerService;
use caviar_proto::{status, v1};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument;

use super::{Api, gone};
use crate::driver::{CloseReason, DriverGone, Outgoing};

/// A connection without a word is closed after so long.
const HELLO_WITHIN: Duration = Duration::from_secs(10);

/// Messages that may wait for a worker: a grant for every slot, and an answer for every lease that
/// it may name in one Hello.
fn outbox_messages() -> usize {
    usize::try_from(MAX_SLOTS).unwrap_or(usize::MAX).saturating_mul(4)
}

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Workers(pub(crate) Api);

#[tonic::async_trait]
impl WorkerService for Workers {
    type WorkStream = Spoken;

    async fn work(
        &self,
        request: Request<Streaming<v1::WorkerMessage>>,
    ) -> Result<Response<Spoken>, Status> {
        let opened = self.0.driver.open_session(outbox_messages()).await.map_err(gone)?;
        let busy = || {
            status::new(
                ErrorClass::Busy,
                "too many connections, or the coordinator is stopping; hint: try again later",
            )
        };
        let (session, outbox) = opened.ok_or_else(busy)?;
        let (open, closed) = oneshot::channel();
        let listener = Listener { api: self.0.clone(), session, requests: request.into_inner() };
        let span = tracing::info_span!("session", worker = tracing::field::Empty);
        tokio::spawn(listener.listen(closed).instrument(span));
        Ok(Response::new(Spoken { outbox, open: Some(open) }))
    }
}

/// What is said to a worker.
#[derive(Debug)]
pub(crate) struct Spoken {
    outbox: mpsc::Receiver<Outgoing>,
    /// Tells the listener of the end, by going away.
    open: Option<oneshot::Sender<()>>,
}

impl Stream for Spoken {
    type Item = Result<v1::CoordinatorMessage, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.open.is_none() {
            return Poll::Ready(None);
        }
        self.outbox.poll_recv(context).map(|outgoing| match outgoing {
            Some(Outgoing::Message(message)) => Some(Ok(encode_to_worker(&message))),
            Some(Outgoing::Close(reason)) => {
                self.open = None;
                Some(Err(closing(&reason)))
            }
            None => {
                self.open = None;
                None
            }
        })
    }
}

fn closing(reason: &CloseReason) -> Status {
    match reason {
        CloseReason::Malformed(problem) => status::from_problems(&problem.clone().into()),
        CloseReason::Refused(_)
        | CloseReason::Slow(_)
        | CloseReason::Silent(_)
        | CloseReason::Stopping => status::new(reason.class(), reason.to_string()),
    }
}

/// Listens to a worker.
struct Listener {
    api: Api,
    session: SessionId,
    requests: Streaming<v1::WorkerMessage>,
}

impl Listener {
    /// Listens until either side ends the conversation.
    async fn listen(mut self, closed: oneshot::Receiver<()>) {
        let (driver, session) = (self.api.driver.clone(), self.session);
        let reason = tokio::select! {
            heard = self.hear() => heard,
            // The answers ended: the driver knows why, or the connection broke.
            _ = closed => Ok(None),
        };
        let Ok(reason) = reason else { return };
        if let Some(reason) = &reason {
            tracing::warn!(%reason, "connection closed");
        } else {
            tracing::info!("disconnected");
        }
        // A driver that is gone has no sessions left to close.
        let _ = driver.close_session(session, reason).await;
    }

    /// Passes on what is said until it ends; with a reason, if it ends from this side.
    async fn hear(&mut self) -> Result<Option<CloseReason>, DriverGone> {
        let silent = CloseReason::Silent(HELLO_WITHIN.as_secs());
        let mut next = match tokio::time::timeout(HELLO_WITHIN, self.requests.message()).await {
            Ok(first) => first,
            Err(_) => return Ok(Some(silent)),
        };
        loop {
            let Some(wire) = next.unwrap_or_else(|status| {
                tracing::debug!(code = ?status.code(), "connection broke");
                None
            }) else {
                return Ok(None);
            };
            match decode_from_worker(wire) {
                Ok(message) => self.pass_on(message).await?,
                Err(problem) => return Ok(Some(CloseReason::Malformed(problem))),
            }
            next = self.requests.message().await;
        }
    }

    async fn pass_on(&self, message: FromWorker) -> Result<(), DriverGone> {
        if let FromWorker::Hello(hello) = &message {
            tracing::Span::current().record("worker", hello.worker.as_str());
            tracing::info!(slots = hello.slots, held = hello.held.len(), "connected");
        }
        self.api.driver.post(Input::Message { session: self.session, message }).await
    }
}
