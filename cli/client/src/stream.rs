//! Replies that arrive one after the other.

use caviar_common::error::Problem;
use caviar_common::view::{SweepView, TrialView};
use caviar_proto::v1;
use tonic::Streaming;

use crate::error::Error;

/// A sweep after each of its changes.
pub type SweepChanges = Replies<v1::Sweep, SweepView>;
/// Trials, or one trial after each of its changes.
pub type TrialReplies = Replies<v1::Trial, TrialView>;

/// A stream of replies. `W` is the type on the wire, `V` what it is turned into.
///
/// Dropping it tells the coordinator to send no more.
#[derive(Debug)]
pub struct Replies<W, V> {
    stream: Streaming<W>,
    decode: fn(W) -> Result<V, Problem>,
    url: String,
}

impl<W, V> Replies<W, V> {
    pub(crate) fn new(
        stream: Streaming<W>,
        decode: fn(W) -> Result<V, Problem>,
        url: &str,
    ) -> Self {
        Self { stream, decode, url: url.to_owned() }
    }

    /// Waits for the next reply; `None` after the last one. Cancelling the wait loses no reply.
    ///
    /// # Errors
    /// The connection broke, or the reply cannot be read. No more replies follow an error.
    pub async fn next(&mut self) -> Result<Option<V>, Error> {
        let received = self.stream.message().await;
        let wire = received.map_err(|status| Error::from_status(&status, &self.url))?;
        let unreadable = |problem| Error::Unreadable { url: self.url.clone(), problem };
        wire.map(|wire| (self.decode)(wire).map_err(unreadable)).transpose()
    }
}
