//! Accepting connections, also when the process has no file descriptor left for another one.
//!
//! A listener that cannot accept would leave clients waiting, and tonic would end the server. So
//! one descriptor is kept in reserve: it is given up to accept the connection, which is told why it
//! is refused, and closed.

use std::fs::File;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, sleep};
use tokio_stream::Stream;
use tonic::transport::server::TcpIncoming;

/// How long to wait before accepting again, after a refusal or if even the reserve was taken.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);
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
    /// Waits until accepting is tried again.
    retry: Option<Pin<Box<Sleep>>>,
    /// A connection that was told why it is refused, until the end of `retry`.
    leaving: Option<TcpStream>,
    refused: u64,
    logged: Option<Instant>,
}

impl Incoming {
    /// `keepalive` is the silence after which the system checks a connection.
    pub(crate) fn new(listener: TcpListener, keepalive: Duration) -> Self {
        let accepted = TcpIncoming::from(listener).with_nodelay(Some(true));
        let accepted = accepted.with_keepalive(Some(keepalive));
        let (reserve, retry, leaving) = (reserve(), None, None);
        Self { accepted, reserve, retry, leaving, refused: 0, logged: None }
    }

    /// Tells a client why it is refused. Its connection stays for a moment: the system would forget
    /// the reason if the client's first bytes arrived after the end.
    fn refuse(&mut self, stream: TcpStream) {
        // The buffer of a new connection has room. A client that is gone needs no reason.
        let _written = stream.try_write(&last_frames(REASON));
        self.leaving = Some(stream);
        self.retry = Some(Box::pin(sleep(RETRY_INTERVAL)));
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

/// Ends a connection after what its client has sent. The system would reset it otherwise.
fn end(stream: &TcpStream) {
    let mut sent = [0; 1_024];
    let mut reads = 0..64;
    while reads.next().is_some() && stream.try_read(&mut sent).is_ok_and(|count| count > 0) {}
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

/// The settings with which an HTTP/2 server begins, and the frame that ends a connection.
fn last_frames(reason: &str) -> Vec<u8> {
    const EMPTY_SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const GO_AWAY: u8 = 7;
    const ENHANCE_YOUR_CALM: u8 = 11;
    let length = u8::try_from(reason.len() + 8).unwrap_or(u8::MAX);
    let reason = reason.as_bytes().get(..usize::from(length - 8)).unwrap_or_default();
    let header = [0, 0, length, GO_AWAY, 0, 0, 0, 0, 0];
    let last_stream_and_code = [0, 0, 0, 0, 0, 0, 0, ENHANCE_YOUR_CALM];
    [&EMPTY_SETTINGS[..], &header, &last_stream_and_code, reason].concat()
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
                if let Some(leaving) = self.leaving.take() {
                    end(&leaving);
                }
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
