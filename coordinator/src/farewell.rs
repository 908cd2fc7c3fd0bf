//! Ending a connection so that its client learns why.

use tokio::net::TcpStream;

/// Takes what a client has sent before its connection ends. The system would reset it otherwise,
/// and the client would not see the last bytes that it was sent.
pub(crate) fn close_politely(stream: &TcpStream) {
    let mut sent = [0; 1_024];
    let mut reads = 0..64;
    while reads.next().is_some() && stream.try_read(&mut sent).is_ok_and(|count| count > 0) {}
}

/// The frame of HTTP/2 that ends a connection, with the reason.
///
/// A server begins with its settings, and this one is not preceded by them: for gRPC's C library a
/// connection is open once it has seen settings, and then it sends a request again and again, each
/// time in a new connection, without a pause and without bound on its memory. Without settings it
/// waits before it connects again, as all clients do.
pub(crate) fn last_frame(reason: &str) -> Vec<u8> {
    const GO_AWAY: u8 = 7;
    const ENHANCE_YOUR_CALM: u8 = 11;
    let length = u8::try_from(reason.len() + 8).unwrap_or(u8::MAX);
    let reason = reason.as_bytes().get(..usize::from(length - 8)).unwrap_or_default();
    let header = [0, 0, length, GO_AWAY, 0, 0, 0, 0, 0];
    let last_stream_and_code = [0, 0, 0, 0, 0, 0, 0, ENHANCE_YOUR_CALM];
    [&header[..], &last_stream_and_code, reason].concat()
}
