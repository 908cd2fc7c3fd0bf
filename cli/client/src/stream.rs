//! Replies that arrive one after the other.

use std::fmt;

use caviar_common::error::Problem;
use caviar_common::view::{SweepView, TrialView};
use futures_core::stream::BoxStream;
use tokio_stream::StreamExt;
use tonic::Streaming;

use crate::error::Error;

/// A sweep after each of its changes.
pub type SweepChanges = Replies<SweepView>;
/// Trials, or one trial after each of its changes.
pub type TrialReplies = Replies<TrialView>;

/// A stream of replies of type `T`.
///
/// Dropping it tells the coordinator to send no more.
pub struct Replies<T> {
    stream: BoxStream<'static, Result<T, Error>>,
}

impl<T: 'static> Replies<T> {
    pub(crate) fn new<W: Send + 'static>(
        stream: Streaming<W>,
        decode: fn(W) -> Result<T, Problem>,
        url: &str,
    ) -> Self {
        let url = url.to_owned();
        let decoded = stream.map(move |received| {
            let wire = received.map_err(|status| Error::from_status(&status, &url))?;
            decode(wire).map_err(|problem| Error::Unreadable { url: url.clone(), problem })
        });
        Self { stream: Box::pin(decoded) }
    }
}

impl<T> Replies<T> {
    /// Waits for the next reply; `None` after the last one. Cancelling the wait loses no reply.
    ///
    /// # Errors
    /// The connection broke, or the reply cannot be read. No more replies follow an error.
    pub async fn next(&mut self) -> Result<Option<T>, Error> {
        self.stream.next().await.transpose()
    }
}

impl<T> fmt::Debug for Replies<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies").finish_non_exhaustive()
    }
}
