//! A small gRPC client: HTTP/2 with protobuf messages in its frames.
//!
//! The load generator shares the processor with the coordinator that it measures. This client costs
//! less than tonic's, which has several tasks and queues for each connection. On the wire the two
//! are alike: one TCP connection, the same windows, and the same frames.

use std::fmt;
use std::future::poll_fn;
use std::task::Poll;

use anyhow::{Context, anyhow, bail};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, RecvStream, SendStream};
use http::header::{AUTHORIZATION, CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue, Request};
use prost::Message;
use tonic::Status;

use super::route::{Connection, Route};

/// Bytes in front of each message: a flag for compression, and the length.
const PREFIX_BYTES: usize = 5;
/// The windows of tonic's client, in bytes.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 5 << 20;

/// The half of a connection that makes calls.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    requests: SendRequest<Bytes>,
    origin: String,
    authorization: Option<HeaderValue>,
}

/// The half of a connection that reads and writes the socket. Nothing moves unless it is polled.
pub(crate) struct Transport {
    connection: h2::client::Connection<Box<dyn Connection>, Bytes>,
    pings: Option<PingPong>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport")
    }
}

/// Opens a connection.
pub(crate) async fn connect(route: &Route) -> anyhow::Result<(Caller, Transport)> {
    let socket = route.open().await?;
    let (requests, mut connection) = Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .enable_push(false)
        .handshake(socket)
        .await?;
    let pings = connection.ping_pong();
    let (origin, authorization) = (route.origin(), route.authorization().cloned());
    Ok((Caller { requests, origin, authorization }, Transport { connection, pings }))
}

impl Transport {
    /// Reads and writes until the connection ends.
    pub(crate) async fn run(&mut self) -> anyhow::Result<()> {
        Ok((&mut self.connection).await?)
    }

    /// Sends a ping, unless the reply to an earlier one is still on its way.
    pub(crate) async fn ping(&mut self) -> anyhow::Result<()> {
        let Some(pings) = &mut self.pings else { return Ok(()) };
        // A ping can be sent only after the reply to the one before it was taken.
        poll_fn(|context| {
            let _taken = pings.poll_pong(context);
            Poll::Ready(())
        })
        .await;
        match pings.send_ping(Ping::opaque()) {
            Err(error) if error.is_io() => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

impl Caller {
    /// Begins a call with its first message. `path` is the service and the method, as in
    /// `caviar.v1.SweepService/GetSweep`. The reply needs the [`Transport`] to run.
    pub(crate) async fn call(
        &self,
        path: &str,
        first: &impl Message,
        is_only: bool,
    ) -> anyhow::Result<Call> {
        let mut request = Request::post(format!("{}/{path}", self.origin))
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(())?;
        let mut requests = self.requests.clone().ready().await?;
        let (response, outgoing) = requests.send_request(request, false)?;
        let reply = Reply::Waiting(response);
        let mut call = Call { outgoing, reply, buffer: BytesMut::new() };
        call.outgoing.send_data(framed([first])?, is_only)?;
        Ok(call)
    }

    /// Makes a call with one message in each direction, and returns the reply as it arrives.
    pub(crate) async fn unary(&self, path: &str, request: &impl Message) -> anyhow::Result<Bytes> {
        let mut call = self.call(path, request, true).await?;
        let reply = call.next_bytes().await?.with_context(|| format!("{path}: no reply"))?;
        // The status is behind the message.
        match call.next_bytes().await? {
            None => Ok(reply),
            Some(_) => bail!("{path}: more than one reply"),
        }
    }
}

/// One call, with a stream of messages in each direction.
#[derive(Debug)]
pub(crate) struct Call {
    outgoing: SendStream<Bytes>,
    reply: Reply,
    buffer: BytesMut,
}

#[derive(Debug)]
enum Reply {
    /// Neither headers nor messages have arrived.
    Waiting(ResponseFuture),
    Open(RecvStream),
}

impl Call {
    /// Queues a message.
    pub(crate) fn send(&mut self, message: &impl Message) -> anyhow::Result<()> {
        Ok(self.outgoing.send_data(framed([message])?, false)?)
    }

    /// The next message; `None` if the server has ended the call in order. Dropping the future
    /// loses no message.
    pub(crate) async fn next<M: Message + Default>(&mut self) -> anyhow::Result<Option<M>> {
        let message = self.next_bytes().await?;
        Ok(message.map(M::decode).transpose()?)
    }

    async fn next_bytes(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            if let Some(message) = take_message(&mut self.buffer)? {
                return Ok(Some(message));
            }
            match &mut self.reply {
                Reply::Waiting(response) => {
                    let (head, body) = response.await?.into_parts();
                    check(Some(&head.headers))?;
                    self.reply = Reply::Open(body);
                }
                Reply::Open(body) => match body.data().await {
                    Some(chunk) => {
                        let chunk = chunk?;
                        body.flow_control().release_capacity(chunk.len())?;
                        self.buffer.extend_from_slice(&chunk);
                    }
                    None => {
                        check(body.trailers().await?.as_ref())?;
                        return Ok(None);
                    }
                },
            }
        }
    }
}

/// Messages with their prefixes.
fn framed<'a, M: Message + 'a>(messages: impl IntoIterator<Item = &'a M>) -> anyhow::Result<Bytes> {
    let mut bytes = BytesMut::new();
    for message in messages {
        bytes.reserve(PREFIX_BYTES + message.encoded_len());
        bytes.put_u8(0);
        bytes.put_u32(u32::try_from(message.encoded_len())?);
        message.encode(&mut bytes)?;
    }
    Ok(bytes.freeze())
}

/// Takes the first message from what has arrived; `None` if it is not complete.
fn take_message(buffer: &mut BytesMut) -> anyhow::Result<Option<Bytes>> {
    let mut prefix = buffer.as_ref();
    if prefix.len() < PREFIX_BYTES {
        return Ok(None);
    }
    if prefix.get_u8() != 0 {
        bail!("the coordinator sent a compressed message");
    }
    let length = usize::try_from(prefix.get_u32())?;
    if prefix.len() < length {
        return Ok(None);
    }
    buffer.advance(PREFIX_BYTES);
    Ok(Some(buffer.split_to(length).freeze()))
}

/// The error that the headers or the trailers of a reply state. Headers without a status are those
/// of a reply that follows.
fn check(headers: Option<&HeaderMap>) -> anyhow::Result<()> {
    match headers.and_then(Status::from_header_map) {
        Some(status) if status.code() != tonic::Code::Ok => Err(anyhow!(
            "{}",
            if status.message().is_empty() {
                status.code().description()
            } else {
                status.message()
            }
        )),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use caviar_proto::v1::{Ack, GetSweepRequest};

    use super::*;

    #[test]
    fn messages_are_taken_one_by_one_once_they_are_complete() {
        let names = ["a", "longer"].map(|sweep| GetSweepRequest { sweep: sweep.to_owned() });
        let bytes = framed(&names).unwrap();
        let mut buffer = BytesMut::new();
        let mut taken = Vec::new();
        for byte in bytes {
            buffer.put_u8(byte);
            while let Some(message) = take_message(&mut buffer).unwrap() {
                taken.push(GetSweepRequest::decode(message).unwrap());
            }
        }
        assert_eq!(taken, names);
        assert!(buffer.is_empty());
        assert!(take_message(&mut BytesMut::from(&[1, 0, 0, 0, 0][..])).is_err());
    }

    #[test]
    fn an_empty_message_is_a_message() {
        let mut buffer = BytesMut::from(framed([&Ack::default()]).unwrap().as_ref());
        assert_eq!(take_message(&mut buffer).unwrap(), Some(Bytes::new()));
    }

    #[test]
    fn only_a_status_that_says_so_is_an_error() {
        let mut headers = HeaderMap::new();
        assert!(check(Some(&headers)).is_ok());
        headers.insert("grpc-status", "0".parse().unwrap());
        assert!(check(Some(&headers)).is_ok());
        headers.insert("grpc-status", "8".parse().unwrap());
        headers.insert("grpc-message", "too%20many".parse().unwrap());
        assert_eq!(check(Some(&headers)).unwrap_err().to_string(), "too many");
        assert!(check(None).is_ok());
    }
}
