//! Connecting, and what every request has in common.

use std::time::{Duration, SystemTime};

use caviar_common::error::{ErrorClass, Problem};
use caviar_proto::status::new as new_status;
use caviar_proto::v1::access_service_client::AccessServiceClient;
use caviar_proto::v1::sweep_service_client::SweepServiceClient;
use caviar_proto::v1::sweep_service_server::SERVICE_NAME;
use caviar_proto::v1::worker_admin_service_client::WorkerAdminServiceClient;
use caviar_proto::v1::worker_service_client::WorkerServiceClient;
use tonic::{Code, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::dial::{Channel, Dialer};
use crate::error::{Error, Request};
use crate::probe::ProbeOutcome;

/// How long to wait for a connection.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for the first reply. A coordinator that recovers a large store, or that runs on
/// an overloaded machine, is slow to answer.
pub(crate) const FIRST_REPLY_TIMEOUT: Duration = Duration::from_secs(20);
/// Largest message that is accepted, in bytes. A trial with the longest curve that a coordinator
/// keeps takes a few megabytes.
const MAX_MESSAGE_BYTES: usize = 64 << 20;
/// Sweeps or trials that one request asks for.
pub(crate) const PAGE_SIZE: u32 = 500;

/// A connection to a coordinator.
///
/// Clones share the connection, and any number of requests can be in flight on it. Requests have no
/// timeout of their own, but a coordinator that vanishes is noticed within 15 s. Every method that
/// takes the name of a sweep also takes its number in decimal digits.
#[derive(Clone, Debug)]
pub struct Client {
    url: String,
    channel: Channel,
    pub(crate) sweeps: SweepServiceClient<Channel>,
    pub(crate) workers: WorkerAdminServiceClient<Channel>,
    pub(crate) access: AccessServiceClient<Channel>,
}

impl Client {
    /// Connects, and checks that a coordinator answers.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Untrusted`], [`Error::NoReply`] or
    /// [`Error::NotACoordinator`].
    pub fn connect(dialer: &Dialer) -> Request<'_, Self> {
        Box::pin(Self::connect_within(dialer, CONNECT_TIMEOUT, FIRST_REPLY_TIMEOUT))
    }

    pub(crate) async fn connect_within(
        dialer: &Dialer,
        connect: Duration,
        first_reply: Duration,
    ) -> Result<Self, Error> {
        let dialled = dialer.dial(connect).await;
        let url = dialer.url();
        let channel = dialled.map_err(|error| Error::from_dial(error, &url))?;
        Self::greet(channel, dialer, first_reply).await
    }

    /// Checks that a coordinator answers on a new connection.
    pub(crate) async fn greet(
        channel: Channel,
        dialer: &Dialer,
        first_reply: Duration,
    ) -> Result<Self, Error> {
        let url = dialer.url();
        let checked = tokio::time::timeout(first_reply, check(channel.clone(), dialer)).await;
        checked.unwrap_or_else(|_| Err(Error::NoReply { url: url.clone(), after: first_reply }))?;
        Ok(Self {
            url,
            channel: channel.clone(),
            sweeps: SweepServiceClient::new(channel.clone())
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
            workers: WorkerAdminServiceClient::new(channel.clone())
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
            access: AccessServiceClient::new(channel),
        })
    }

    /// The coordinator's address as a URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The coordinator's clock, to the second; `None` if its replies do not tell. It needs no
    /// token.
    ///
    /// # Errors
    /// The request failed.
    pub fn clock(&self) -> Request<'_, Option<ClockReading>> {
        Box::pin(async move {
            let began = SystemTime::now();
            let reply = HealthClient::new(self.channel()).check(health_request()).await;
            let reply = reply.map_err(|status| Error::from_status(&status, &self.url))?;
            let within = began.elapsed().unwrap_or_default() / 2;
            let here = began.checked_add(within).unwrap_or(began);
            // HTTP servers send it with every response.
            let date = reply.metadata().get("date").and_then(|date| date.to_str().ok());
            let there = date.and_then(|date| httpdate::parse_http_date(date).ok());
            Ok(there.map(|there| ClockReading { here, there, within }))
        })
    }

    /// Opens a worker's connection and closes it again, without a word.
    ///
    /// # Errors
    /// The token does not allow it, or the coordinator accepts no connection now.
    pub fn try_to_work(&self) -> Request<'_, ()> {
        Box::pin(async move {
            let mut workers = WorkerServiceClient::new(self.channel());
            self.reply(workers.work(tokio_stream::empty()).await).map(|_closed| ())
        })
    }

    /// The connection, which clones share.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// The reply itself, or the error that the coordinator's status stands for.
    pub(crate) fn reply<T>(&self, reply: Result<Response<T>, Status>) -> Result<T, Error> {
        reply.map(Response::into_inner).map_err(|status| Error::from_status(&status, &self.url))
    }

    /// The checked value of a reply.
    pub(crate) fn decoded<W, V>(
        &self,
        reply: Result<Response<W>, Status>,
        decode: fn(W) -> Result<V, Problem>,
    ) -> Result<V, Error> {
        decode(self.reply(reply)?).map_err(|problem| self.unreadable(problem))
    }

    pub(crate) fn unreadable(&self, problem: Problem) -> Error {
        Error::Unreadable { url: self.url.clone(), problem }
    }
}

/// What two clocks said at about the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// The clock of this host.
    pub here: SystemTime,
    /// The clock of the coordinator's host, without fractions of a second.
    pub there: SystemTime,
    /// How much earlier or later the coordinator's clock may have been read than that of this host.
    pub within: Duration,
}

fn health_request() -> HealthCheckRequest {
    HealthCheckRequest { service: SERVICE_NAME.to_owned() }
}

/// Asks whether the service is there. Any other server that listens at the address would fail later
/// in ways that tell a caller nothing.
async fn check(channel: Channel, dialer: &Dialer) -> Result<(), Error> {
    let Err(status) = HealthClient::new(channel).check(health_request()).await else {
        return Ok(());
    };
    let url = dialer.url();
    if matches!(status.code(), Code::NotFound | Code::Unimplemented) {
        return Err(Error::NotACoordinator { url });
    }
    Err(match dialer.probe(&status).await {
        ProbeOutcome::OtherProtocol => Error::NotACoordinator { url },
        ProbeOutcome::Refusal(reason) => {
            Error::from_status(&new_status(ErrorClass::Refused, reason), &url)
        }
        ProbeOutcome::Unknown => Error::from_status(&status, &url),
    })
}
