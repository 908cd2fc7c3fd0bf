//! Connecting to a coordinator.

use std::time::Duration;

use caviar_common::address::{Address, AddressError, AddressProblem};
use futures_core::future::BoxFuture;
use tonic::transport::{Channel, Endpoint};

use crate::probe::answers_another_protocol;

/// How often an idle connection is checked with an HTTP/2 ping.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// How long a ping may stay unanswered before the connection counts as broken. A coordinator whose
/// host vanished is noticed after at most the interval and this timeout.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a stream that may be on their way. HTTP/2's default of 64 KiB would limit a download to
/// 6 MB/s over a connection with a round trip of 10 ms.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// Bytes of all streams that may be on their way.
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// Opens connections to one coordinator.
///
/// A connection carries any number of requests at once, so a program needs one. Keep the `Dialer`
/// to connect again after the connection broke.
///
/// ```
/// let dialer = caviar_client::Dialer::new(":7070")?;
/// assert_eq!(dialer.url(), "http://127.0.0.1:7070");
/// # Ok::<(), caviar_client::AddressError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dialer {
    address: Address,
    url: String,
    endpoint: Endpoint,
}

/// Why a connection could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// Nothing accepted the connection.
    #[error("{0}")]
    Unreachable(String),
    /// The connection was not established in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
}

impl Dialer {
    /// Prepares to dial an address in any of the forms of [`caviar_common::address`]:
    /// `node1:7070`, `node1`, `:7070`, `7070`, `[::1]:7070` or `http://node1:7070`.
    ///
    /// # Errors
    /// The text is not an address, or its port is 0.
    pub fn new(address: &str) -> Result<Self, AddressError> {
        let refused = |problem| AddressError { text: address.to_owned(), problem };
        let parsed: Address = address.parse()?;
        if parsed.port() == 0 {
            return Err(refused(AddressProblem::Port("0".to_owned())));
        }
        let url = parsed.url();
        let endpoint = Endpoint::from_shared(url.clone())
            .map_err(|_| refused(AddressProblem::Host))?
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        Ok(Self { address: parsed, url, endpoint })
    }

    /// The host and the port that it dials.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// The address as a URL without a trailing slash.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Opens a connection. It says nothing about what listens there; see
    /// [`Dialer::is_other_server`].
    ///
    /// # Errors
    /// Nothing accepts the connection within `timeout`.
    pub fn dial(&self, timeout: Duration) -> BoxFuture<'_, Result<Channel, DialError>> {
        Box::pin(async move {
            match tokio::time::timeout(timeout, self.endpoint.connect()).await {
                Ok(Ok(channel)) => Ok(channel),
                Ok(Err(error)) => Err(DialError::Unreachable(innermost(&error))),
                Err(_) => Err(DialError::TimedOut(timeout)),
            }
        })
    }

    /// True if the server at the address answers in another protocol than HTTP/2 and so cannot be a
    /// coordinator. False if it does, if nothing answers within 2 s, or if it cannot be told.
    ///
    /// gRPC reports such a server as a broken connection. This tells the two apart.
    pub fn is_other_server(&self) -> BoxFuture<'_, bool> {
        Box::pin(answers_another_protocol(&self.address))
    }
}

/// The last of an error's sources. tonic's own text is only "transport error"; what happened is in
/// the sources.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_form_of_an_address_can_be_dialled_except_port_0() {
        for (text, url) in [
            ("node1:7070", "http://node1:7070"),
            ("localhost", "http://localhost:7070"),
            ("[::1]:7071", "http://[::1]:7071"),
            ("http://under_score:1/", "http://under_score:1"),
        ] {
            assert_eq!(Dialer::new(text).unwrap().url(), url);
        }
        let error = Dialer::new("127.0.0.1:0").unwrap_err();
        assert_eq!(error.problem, AddressProblem::Port("0".to_owned()));
    }

    #[tokio::test]
    async fn a_refused_connection_names_the_cause() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let dialled = Dialer::new(&address).unwrap().dial(Duration::from_secs(5)).await;
        let Err(DialError::Unreachable(cause)) = dialled else { panic!("connected") };
        assert!(cause.contains("refused"), "{cause}");
    }
}
