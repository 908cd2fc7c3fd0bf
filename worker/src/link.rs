//! One connection to the coordinator: dialling it, what goes over it, and why it ended.

use std::time::Duration;

use caviar_client::{DialError, Dialer};
use caviar_common::error::ErrorClass;
use caviar_common::message::{FromWorker, Hello, ToWorker};
use caviar_proto::convert::worker::{decode_to_worker, encode_from_worker};
use caviar_proto::status::class_of;
use caviar_proto::v1::worker_service_client::WorkerServiceClient;
use caviar_proto::v1::{CoordinatorMessage, WorkerMessage};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

/// Messages that are encoded and not yet on their way. What waits longer waits in the agent, where
/// it is put together.
const OUTGOING: usize = 8;
/// How long to wait for the reason of a connection that refuses what is said.
const REASON_TIMEOUT: Duration = Duration::from_secs(1);

/// Why there is no connection any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Loss {
    /// The other side is not there, or went away: it may be back at any time.
    #[error("{0}")]
    Broken(String),
    /// It is there, and does not take this worker yet.
    #[error("{0}")]
    Postponed(String),
    /// The two cannot talk as they are. Trying again makes sense only because one of them may be
    /// replaced.
    #[error("{0}")]
    Refused(String),
}

impl From<DialError> for Loss {
    fn from(error: DialError) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<Status> for Loss {
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

/// An open connection. Hello is said.
#[derive(Debug)]
pub(crate) struct Connection {
    outgoing: mpsc::Sender<WorkerMessage>,
    incoming: Streaming<CoordinatorMessage>,
}

impl Connection {
    /// Connects and says Hello.
    pub(crate) async fn open(
        dialer: &Dialer,
        hello: Hello,
        within: Duration,
    ) -> Result<Self, Loss> {
        let opened = timeout(within, Self::greet(dialer, hello, within)).await;
        opened.unwrap_or_else(|_| Err(DialError::TimedOut(within).into()))
    }

    async fn greet(dialer: &Dialer, hello: Hello, within: Duration) -> Result<Self, Loss> {
        let channel = dialer.dial(within).await?;
        let (outgoing, requests) = mpsc::channel(OUTGOING);
        // Hello is in the channel before the call: a coordinator may read it before it answers.
        let hello = encode_from_worker(&FromWorker::Hello(hello));
        outgoing.send(hello).await.map_err(|_| Loss::Broken("the connection closed".to_owned()))?;
        match WorkerServiceClient::new(channel).work(ReceiverStream::new(requests)).await {
            Ok(response) => Ok(Self { outgoing, incoming: response.into_inner() }),
            Err(status)
                if status.code() == Code::Unimplemented || dialer.is_other_server().await =>
            {
                Err(Loss::Refused(
                    "the server there is not a Caviar coordinator; hint: check --coordinator"
                        .to_owned(),
                ))
            }
            Err(status) => Err(status.into()),
        }
    }

    /// The two halves: for what is said, and for what is heard.
    pub(crate) fn halves(&mut self) -> (&mpsc::Sender<WorkerMessage>, Incoming<'_>) {
        (&self.outgoing, Incoming { stream: &mut self.incoming })
    }

    /// Says no more, and waits until the coordinator has heard the rest and closes too.
    pub(crate) async fn close(self, by: Instant) {
        let Self { outgoing, mut incoming } = self;
        drop(outgoing);
        let closed = async { while let Ok(Some(_)) = incoming.message().await {} };
        if timeout_at(by, closed).await.is_err() {
            tracing::debug!("the coordinator did not close the connection in time");
        }
    }
}

/// The half of a connection that is heard.
#[derive(Debug)]
pub(crate) struct Incoming<'a> {
    stream: &'a mut Streaming<CoordinatorMessage>,
}

impl Incoming<'_> {
    /// The next message. Nothing is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> Result<ToWorker, Loss> {
        let Some(message) = self.stream.message().await? else {
            return Err(Loss::Broken("the coordinator closed the connection".to_owned()));
        };
        // To pass over what cannot be read might leave a lease that both sides think the other one
        // has.
        decode_to_worker(message).map_err(|problem| {
            Loss::Refused(format!("the coordinator said what this worker cannot read: {problem}"))
        })
    }

    /// Why nothing can be said any more.
    pub(crate) async fn reason(&mut self) -> Loss {
        let closed = async {
            loop {
                if let Err(loss) = self.next().await {
                    return loss;
                }
            }
        };
        timeout(REASON_TIMEOUT, closed)
            .await
            .unwrap_or_else(|_| Loss::Broken("the connection closed".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_from_a_loss() {
        for status in [
            Status::invalid_argument("no"),
            Status::failed_precondition("no"),
            Status::unimplemented("no"),
        ] {
            assert_eq!(Loss::from(status), Loss::Refused("no".to_owned()));
        }
        for status in [
            Status::unavailable("gone"),
            Status::aborted("gone"),
            Status::unknown("gone"),
            Status::internal("gone"),
        ] {
            assert_eq!(Loss::from(status), Loss::Broken("gone".to_owned()));
        }
    }

    #[tokio::test]
    async fn another_server_is_no_broken_coordinator() {
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
        let loss = Connection::open(&Dialer::new(&url).unwrap(), hello, Duration::from_secs(30))
            .await
            .unwrap_err();
        assert_eq!(
            loss,
            Loss::Refused(
                "the server there is not a Caviar coordinator; hint: check --coordinator"
                    .to_owned()
            )
        );
    }
}
