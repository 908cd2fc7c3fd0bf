//! One connection to the coordinator: how it opens, carries messages and ends.

use std::time::Duration;

use caviar_client::{DialError, Dialer, ProbeOutcome};
use caviar_common::error::{ErrorClass, Problem};
use caviar_common::ids::LeaseId;
use caviar_common::message::{FromWorker, Hello, ToWorker};
use caviar_proto::convert::worker::{decode_to_worker, encode_from_worker};
use caviar_proto::status::class_of;
use caviar_proto::v1::coordinator_message::Kind;
use caviar_proto::v1::worker_service_client::WorkerServiceClient;
use caviar_proto::v1::{CoordinatorMessage, WorkerMessage};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

/// Encoded messages that may wait to be sent. All others wait in the agent, which can still combine
/// them.
const OUTGOING: usize = 8;
/// How long to wait for the status of a connection that accepts no more messages.
const REASON_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a connection ended, or could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Disconnect {
    /// The coordinator cannot be reached, or went away. It may be back at any time.
    #[error("{0}")]
    Broken(String),
    /// The coordinator does not accept this worker yet.
    #[error("{0}")]
    Postponed(String),
    /// The coordinator refuses this worker, or the server there is not a coordinator. Another
    /// attempt makes sense only because either side may be replaced.
    #[error("{0}")]
    Refused(String),
}

impl From<DialError> for Disconnect {
    fn from(error: DialError) -> Self {
        match error {
            DialError::Untrusted(text) => Self::Refused(text),
            DialError::Unreachable(_) | DialError::TimedOut(_) => Self::Broken(error.to_string()),
        }
    }
}

impl From<Status> for Disconnect {
    fn from(status: Status) -> Self {
        let text = if status.message().is_empty() {
            status.code().to_string()
        } else {
            status.message().to_owned()
        };
        match class_of(&status) {
            ErrorClass::Invalid
            | ErrorClass::NotFound
            | ErrorClass::Exists
            | ErrorClass::Refused => Self::Refused(text),
            ErrorClass::Busy => Self::Postponed(text),
            ErrorClass::Stale
            | ErrorClass::Unavailable
            | ErrorClass::Corrupt
            | ErrorClass::Internal => Self::Broken(text),
        }
    }
}

/// What the coordinator sent.
#[derive(Debug)]
pub(crate) enum Received {
    /// A message that this worker understands.
    Message(ToWorker),
    /// A grant that this worker does not understand, for example from a later release.
    UnreadableGrant { lease: LeaseId, problem: Problem },
}

/// An open connection, on which Hello was sent.
#[derive(Debug)]
pub(crate) struct Connection {
    outgoing: mpsc::Sender<WorkerMessage>,
    incoming: Streaming<CoordinatorMessage>,
}

impl Connection {
    /// Connects and sends Hello.
    pub(crate) async fn open(
        dialer: &Dialer,
        hello: Hello,
        within: Duration,
    ) -> Result<Self, Disconnect> {
        let opened = timeout(within, Self::greet(dialer, hello, within)).await;
        opened.unwrap_or_else(|_| Err(DialError::TimedOut(within).into()))
    }

    async fn greet(dialer: &Dialer, hello: Hello, within: Duration) -> Result<Self, Disconnect> {
        let channel = dialer.dial(within).await?;
        let (outgoing, requests) = mpsc::channel(OUTGOING);
        // Hello is in the channel before the call, because a coordinator may wait for it before it
        // answers.
        let hello = encode_from_worker(&FromWorker::Hello(hello));
        outgoing
            .send(hello)
            .await
            .map_err(|_| Disconnect::Broken("the connection closed".to_owned()))?;
        match WorkerServiceClient::new(channel).work(ReceiverStream::new(requests)).await {
            Ok(response) => Ok(Self { outgoing, incoming: response.into_inner() }),
            Err(status) => Err(why_not(dialer, status).await),
        }
    }

    /// The half that sends and the half that receives.
    pub(crate) fn halves(&mut self) -> (&mpsc::Sender<WorkerMessage>, Incoming<'_>) {
        (&self.outgoing, Incoming { stream: &mut self.incoming })
    }

    /// Sends what is queued, and waits until the coordinator has read it and closes its side.
    pub(crate) async fn close(self, by: Instant) {
        let Self { outgoing, mut incoming } = self;
        drop(outgoing);
        let closed = async { while let Ok(Some(_)) = incoming.message().await {} };
        if timeout_at(by, closed).await.is_err() {
            tracing::debug!("the coordinator did not close the connection in time");
        }
    }
}

/// Why a call was not answered.
async fn why_not(dialer: &Dialer, status: Status) -> Disconnect {
    let not_a_coordinator =
        || "the server there is not a Caviar coordinator; hint: check --coordinator".to_owned();
    if status.code() == Code::Unimplemented {
        return Disconnect::Refused(not_a_coordinator());
    }
    match dialer.probe(&status).await {
        ProbeOutcome::OtherProtocol => Disconnect::Refused(not_a_coordinator()),
        ProbeOutcome::Refusal(reason) => Disconnect::Refused(reason),
        ProbeOutcome::Unknown => status.into(),
    }
}

/// The receiving half of a connection.
#[derive(Debug)]
pub(crate) struct Incoming<'a> {
    stream: &'a mut Streaming<CoordinatorMessage>,
}

impl Incoming<'_> {
    /// Waits for the next message. Dropping the future loses no message.
    pub(crate) async fn next(&mut self) -> Result<Received, Disconnect> {
        let Some(message) = self.stream.message().await? else {
            return Err(Disconnect::Broken("the coordinator closed the connection".to_owned()));
        };
        let lease = match &message.kind {
            Some(Kind::Grant(grant)) => Some(LeaseId(grant.lease)),
            _ => None,
        };
        match (decode_to_worker(message), lease) {
            (Ok(message), _) => Ok(Received::Message(message)),
            // On a new connection, the coordinator would send the same grant again.
            (Err(problem), Some(lease)) => Ok(Received::UnreadableGrant { lease, problem }),
            // Skipping the message could leave a lease that each side believes the other one to
            // have.
            (Err(problem), None) => Err(Disconnect::Refused(format!(
                "the coordinator sent a message that this worker does not understand: {problem}"
            ))),
        }
    }

    /// Why the connection accepts no more messages.
    pub(crate) async fn reason(&mut self) -> Disconnect {
        let closed = async {
            loop {
                if let Err(disconnect) = self.next().await {
                    return disconnect;
                }
            }
        };
        timeout(REASON_TIMEOUT, closed)
            .await
            .unwrap_or_else(|_| Disconnect::Broken("the connection closed".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_differs_from_a_broken_connection() {
        for status in [
            Status::invalid_argument("no"),
            Status::failed_precondition("no"),
            Status::unimplemented("no"),
        ] {
            assert_eq!(Disconnect::from(status), Disconnect::Refused("no".to_owned()));
        }
        for status in [
            Status::unavailable("gone"),
            Status::aborted("gone"),
            Status::unknown("gone"),
            Status::internal("gone"),
        ] {
            assert_eq!(Disconnect::from(status), Disconnect::Broken("gone".to_owned()));
        }
    }

    #[tokio::test]
    async fn another_server_is_refused_as_not_a_coordinator() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _asked = stream.read(&mut [0; 256]).await.unwrap();
                stream
                    .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                    .await
                    .unwrap();
            }
        });
        let name = caviar_common::ids::Name::parse("worker", "w").unwrap();
        let hello = Hello {
            worker: name,
            incarnation: caviar_common::ids::Incarnation(1),
            slots: 1,
            draining: false,
            held: Vec::new(),
            protocol: caviar_common::message::PROTOCOL,
            can_park: true,
            store: None,
        };
        let dialer = Dialer::new(caviar_client::Target::plain(&url).unwrap(), None).unwrap();
        let disconnect =
            Connection::open(&dialer, hello, Duration::from_secs(30)).await.unwrap_err();
        assert_eq!(
            disconnect,
            Disconnect::Refused(
                "the server there is not a Caviar coordinator; hint: check --coordinator"
                    .to_owned()
            )
        );
    }
}
