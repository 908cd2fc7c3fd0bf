//! Accepting connections, also when the process has no file descriptor left for another one.
//!
//! A listener that cannot accept would leave clients waiting, and tonic would end the server. So
//! one descriptor is kept in reserve: it is given up to accept the connection, which is told why it
//! is refused, and closed.

use std::fs::File;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::future::BoxFuture;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::Stream;
use tonic::transport::server::TcpIncoming;

use crate::farewell::{close_politely, last_frame};
use crate::trust::TlsSetup;

/// How long to wait before accepting again, after a refusal or if even the reserve was taken.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// How long a refused client has for its TLS handshake and the reason.
const FAREWELL: Duration = Duration::from_secs(1);
/// Shortest time between two log lines about refused connections.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// What a refused client is told, as the reason of the last HTTP/2 frame.
const REASON: &str = "the coordinator has no file descriptors left for another connection; hint: \
                      close some, or raise its limit with ulimit -n";

/// The connections of a listener.
pub(crate) struct Incoming {
    accepted: TcpIncoming,
    /// Open on nothing. `None` while it is used.
    reserve: Option<File>,
    /// How a refused client is told the reason, if connections use TLS.
    tls: Option<TlsSetup>,
    /// Ready when accepting is tried again. It tells a refused client the reason until then.
    retry: Option<BoxFuture<'static, ()>>,
    refused: u64,
    logged: Option<Instant>,
}

impl Incoming {
    /// `keepalive` is the silence after which the system checks a connection.
    pub(crate) fn new(listener: TcpListener, keepalive: Duration, tls: Option<TlsSetup>) -> Self {
        let accepted = TcpIncoming::from(listener).with_nodelay(Some(true));
        let accepted = accepted.with_keepalive(Some(keepalive));
        Self { accepted, reserve: reserve(), tls, retry: None, refused: 0, logged: None }
    }

    /// Tells a client why it is refused. Its connection stays for a moment: the system would forget
    /// the reason if the client's first bytes arrived after the end.
    fn refuse(&mut self, stream: TcpStream) {
        let tls = self.tls.clone();
        self.retry = Some(Box::pin(async move {
            let Some(tls) = tls else {
                // The buffer of a new connection has room. A client that is gone needs no reason.
                let _written = stream.try_write(&last_frame(REASON));
                sleep(RETRY_INTERVAL).await;
                return close_politely(&stream);
            };
            let told = timeout(FAREWELL, tls.refuse(stream, REASON));
            let (_told, ()) = tokio::join!(told, sleep(RETRY_INTERVAL));
        }));
        self.refused += 1;
        let now = Instant::now();
        if self.logged.is_none_or(|logged| now - logged >= LOG_INTERVAL) {
            tracing::error!(refused = self.refused, "refused connections: {REASON}");
            (self.logged, self.refused) = (Some(now), 0);
        }
    }

    /// Makes room for one connection, or waits.
    fn make_room(&mut self) {
        if self.reserve.take().is_none() {
            self.retry = Some(Box::pin(sleep(RETRY_INTERVAL)));
        }
    }
}

fn reserve() -> Option<File> {
    File::open("/dev/null").ok()
}

/// True if a descriptor is missing, of the process or of the system.
fn is_out_of_files(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

impl Stream for Incoming {
    type Item = io::Result<TcpStream>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(retry) = &mut self.retry {
                if retry.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                self.retry = None;
                self.reserve = reserve();
            }
            let is_refusing = self.reserve.is_none();
            match Pin::new(&mut self.accepted).poll_next(context) {
                Poll::Ready(Some(Ok(stream))) if is_refusing => self.refuse(stream),
                Poll::Ready(Some(Err(error))) if is_out_of_files(&error) => self.make_room(),
                // The client that the room was made for is gone.
                Poll::Pending if is_refusing => {
                    self.reserve = reserve();
                    return Poll::Pending;
                }
                other @ (Poll::Ready(_) | Poll::Pending) => return other,
            }
        }
    }
}
