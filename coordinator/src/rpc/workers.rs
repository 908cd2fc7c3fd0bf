//! `WorkerService`: one connection per worker, with a stream in each direction.
//!
//! ```text
//! worker --> Receiver: decode --> driver                    (a task per connection)
//! worker <-- OutgoingStream <-- outbox <-- driver           (polled by the connection itself)
//! ```
//! When the coordinator closes a connection, the reason goes through the outbox too, after all
//! earlier messages.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use caviar_common::error::ErrorClass;
use caviar_common::ids::SessionId;
use caviar_common::limits::MAX_SLOTS;
use caviar_common::message::FromWorker;
use caviar_common::numbers::index;
use caviar_core::input::Input;
use caviar_proto::convert::worker::{decode_from_worker, encode_to_worker};
use caviar_proto::v1::worker_service_server::WorkerService;
use caviar_proto::{status, v1};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument;

use super::api::{Api, driver_gone};
use crate::driver::{CloseReason, DriverGone, Outgoing};
use crate::trust::Caller;

/// How long a worker may take to send Hello after it connected.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Most messages that wait for a worker to read them: a grant for every slot, and a reply for every
/// lease that it may list in one Hello.
const OUTBOX_MESSAGES: usize = index(MAX_SLOTS).saturating_mul(4);

/// Implements `WorkerService` on the driver.
#[derive(Clone, Debug)]
pub(crate) struct Workers(pub(crate) Api);

#[tonic::async_trait]
impl WorkerService for Workers {
    type WorkStream = OutgoingStream;

    async fn work(
        &self,
        request: Request<Streaming<v1::WorkerMessage>>,
    ) -> Result<Response<OutgoingStream>, Status> {
        let session = self.0.driver.open_session(OUTBOX_MESSAGES).await.map_err(driver_gone)?;
        let busy = || {
            status::new(
                ErrorClass::Busy,
                "too many connections, or the coordinator is stopping; hint: try again later",
            )
        };
        let (session, outbox) = session.ok_or_else(busy)?;
        let (open, closed) = oneshot::channel();
        let (api, caller) = (self.0.clone(), Caller::of(&request));
        let receiver = Receiver { api, session, caller, requests: request.into_inner() };
        let span = tracing::info_span!("session", worker = tracing::field::Empty);
        tokio::spawn(receiver.run(closed).instrument(span));
        Ok(Response::new(OutgoingStream { outbox, open: Some(open) }))
    }
}

/// The messages to a worker. It ends with an error if the coordinator closes the connection.
#[derive(Debug)]
pub(crate) struct OutgoingStream {
    outbox: mpsc::Receiver<Outgoing>,
    /// Dropped at the end of the stream, which tells the receiver that the connection is closed.
    open: Option<oneshot::Sender<()>>,
}

impl Stream for OutgoingStream {
    type Item = Result<v1::CoordinatorMessage, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.open.is_none() {
            return Poll::Ready(None);
        }
        self.outbox.poll_recv(context).map(|outgoing| match outgoing {
            Some(Outgoing::Message(message)) => Some(Ok(encode_to_worker(&message))),
            Some(Outgoing::Close(reason)) => {
                self.open = None;
                Some(Err(close_status(&reason)))
            }
            None => {
                self.open = None;
                None
            }
        })
    }
}

/// The status that tells a worker why the coordinator closes its connection.
fn close_status(reason: &CloseReason) -> Status {
    match reason {
        CloseReason::Malformed(problem) => status::from_problems(&problem.clone().into()),
        CloseReason::Refused(_)
        | CloseReason::Slow(_)
        | CloseReason::Silent(_)
        | CloseReason::Stopping => status::new(reason.class(), reason.to_string()),
    }
}

/// Passes the messages of one worker to the driver.
struct Receiver {
    api: Api,
    session: SessionId,
    caller: Caller,
    requests: Streaming<v1::WorkerMessage>,
}

impl Receiver {
    /// Receives messages until either side closes the connection, then closes the session.
    async fn run(mut self, closed: oneshot::Receiver<()>) {
        let (driver, session) = (self.api.driver.clone(), self.session);
        let reason = tokio::select! {
            result = self.receive() => result,
            // The outgoing stream ended: the driver closed it, or the connection broke.
            _ = closed => Ok(None),
        };
        let Ok(reason) = reason else { return };
        if let Some(reason) = &reason {
            tracing::warn!(%reason, "connection closed");
        } else {
            tracing::info!("disconnected");
        }
        // If the driver has ended, it has no sessions left to close.
        let _ = driver.close_session(session, reason).await;
    }

    /// Passes messages to the driver until the worker closes the connection. Returns a reason if
    /// the coordinator has to close it.
    async fn receive(&mut self) -> Result<Option<CloseReason>, DriverGone> {
        let silent = CloseReason::Silent(HELLO_TIMEOUT.as_secs());
        let mut next = match tokio::time::timeout(HELLO_TIMEOUT, self.requests.message()).await {
            Ok(first) => first,
            Err(_) => return Ok(Some(silent)),
        };
        loop {
            let Some(wire) = next.unwrap_or_else(|status| {
                tracing::debug!(code = ?status.code(), "connection broken");
                None
            }) else {
                return Ok(None);
            };
            match decode_from_worker(wire) {
                Ok(message) => self.post(message).await?,
                Err(problem) => return Ok(Some(CloseReason::Malformed(problem))),
            }
            next = self.requests.message().await;
        }
    }

    async fn post(&self, message: FromWorker) -> Result<(), DriverGone> {
        let session = self.session;
        let FromWorker::Hello(hello) = &message else {
            return self.api.driver.post(Input::Message { session, token: None, message }).await;
        };
        let (worker, slots, held) = (hello.worker.clone(), hello.slots, hello.held.len());
        tracing::Span::current().record("worker", worker.as_str());
        let token = self.caller.token().map(|token| token.id);
        let reply = self.api.driver.apply(Input::Message { session, token, message }).await?;
        match reply {
            Ok(_) => {
                tracing::info!(slots, held, "connected");
                self.caller.record("WorkerService/Work", worker.as_str()).await;
            }
            // The driver closes the connection with the reason. A worker tries again and again, so
            // the audit log leaves it out: nothing has changed.
            Err(refusal) => tracing::warn!(%refusal, "refused"),
        }
        Ok(())
    }
}
