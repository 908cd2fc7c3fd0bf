//! Finding out which protocol a server speaks.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use caviar_common::address::Address;
use caviar_common::join::{REFUSAL_HEADER, SERVER_NAME};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::tls::TlsProblem;

/// How long the server may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// The first bytes of every HTTP/2 connection. A server that does not speak HTTP/2 answers them
/// with an error of its own protocol.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The longest beginning of an answer that is read, in bytes: two frames and a reason.
const MAX_ANSWER: u64 = 1_024;
/// Bytes of a frame's header, and the types of the frames that are looked for.
const HEADER: usize = 9;
const SETTINGS: u8 = 4;
const GO_AWAY: u8 = 7;

/// What a server says to a client that begins HTTP/2 without TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// It answers in another protocol, so it is not a coordinator.
    OtherProtocol,
    /// It is a coordinator that ends the connection for this reason.
    Refusal(String),
    /// It may be a coordinator: it speaks HTTP/2, or it does not answer within 2 s.
    Unknown,
}

/// What the server at an address answers.
pub(crate) async fn probe(address: &Address) -> ProbeOutcome {
    let mut answer = Vec::new();
    // What has arrived by the end of the time counts.
    let _timed_out =
        timeout(ANSWER_TIMEOUT, async { read_answer(connect(address).await?, &mut answer).await })
            .await;
    outcome(&answer)
}

/// What the server at an address answers over TLS.
///
/// # Errors
/// The server ends the TLS connection with this error. It looks at a client's certificate only when
/// the client's handshake is over.
pub(crate) async fn probe_tls(
    address: &Address,
    config: &Arc<ClientConfig>,
) -> Result<ProbeOutcome, TlsProblem> {
    let mut answer = Vec::new();
    let asked = timeout(ANSWER_TIMEOUT, async {
        let stream = connect(address).await?;
        let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
        read_answer(TlsConnector::from(config.clone()).connect(name, stream).await?, &mut answer)
            .await
    });
    if let Ok(Err(error)) = asked.await
        && answer.is_empty()
    {
        let problem = TlsProblem::of_io(&error);
        if !matches!(problem, TlsProblem::Broken(_)) {
            return Err(problem);
        }
    }
    Ok(outcome(&answer))
}

async fn connect(address: &Address) -> io::Result<TcpStream> {
    TcpStream::connect((address.host(), address.port())).await
}

fn outcome(answer: &[u8]) -> ProbeOutcome {
    match answer {
        // These frames of HTTP/2 are short, so the first byte of their length is 0.
        [0, _, _, SETTINGS | GO_AWAY, 0, ..] => {
            refusal(answer).map_or(ProbeOutcome::Unknown, ProbeOutcome::Refusal)
        }
        [_, _, _, _, _, ..] => {
            header(answer).map_or(ProbeOutcome::OtherProtocol, ProbeOutcome::Refusal)
        }
        _ => ProbeOutcome::Unknown,
    }
}

/// Completes a TLS handshake, and waits for what the server sends first.
pub(crate) async fn handshake(stream: TcpStream, config: &Arc<ClientConfig>) -> io::Result<()> {
    let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
    let mut stream = TlsConnector::from(config.clone()).connect(name, stream).await?;
    match stream.read(&mut [0]).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

async fn read_answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &mut Vec<u8>,
) -> io::Result<()> {
    stream.write_all(PREFACE).await?;
    let mut stream = stream.take(MAX_ANSWER);
    while stream.read_buf(answer).await? > 0 && !is_decided(answer) {}
    Ok(())
}

/// True if no more has to be read: another protocol, the frame that ends the connection, or any
/// frame that follows the settings.
fn is_decided(answer: &[u8]) -> bool {
    let is_text = answer.get(3).is_some_and(|kind| ![SETTINGS, GO_AWAY].contains(kind));
    if is_text {
        return answer.windows(4).any(|bytes| bytes == b"\r\n\r\n");
    }
    next_frame(answer)
        .is_some_and(|(first, rest)| first.kind == GO_AWAY || next_frame(rest).is_some())
}

/// A frame of HTTP/2.
struct Frame<'a> {
    kind: u8,
    payload: &'a [u8],
}

/// The first frame, and what follows it.
fn next_frame(bytes: &[u8]) -> Option<(Frame<'_>, &[u8])> {
    let [a, b, c, kind, ..] = *bytes.get(..HEADER)? else { return None };
    let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()?;
    let payload = bytes.get(HEADER..HEADER + length)?;
    Some((Frame { kind, payload }, bytes.get(HEADER + length..)?))
}

/// The reason in the header of a coordinator that refuses a client without TLS.
fn header(answer: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(answer);
    let before = format!("{REFUSAL_HEADER}: ");
    text.lines().find_map(|line| line.strip_prefix(&before)).map(str::to_owned)
}

/// The reason in the frame that ends a connection, if that frame is the first or follows the
/// settings.
fn refusal(answer: &[u8]) -> Option<String> {
    let (first, rest) = next_frame(answer)?;
    let last = if first.kind == SETTINGS { next_frame(rest)?.0 } else { first };
    let Frame { kind, payload } = last;
    // The last stream and the code come before the reason.
    let reason = payload.get(8..).filter(|reason| kind == GO_AWAY && !reason.is_empty())?;
    Some(String::from_utf8_lossy(reason).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn server_that_answers(words: &'static [u8]) -> Address {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut preface = [0; 64];
            assert!(stream.read(&mut preface).await.unwrap() > 0);
            stream.write_all(words).await.unwrap();
        });
        address.parse().unwrap()
    }

    #[tokio::test]
    async fn a_web_server_differs_from_what_may_be_a_coordinator() {
        for words in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"<!DOCTYPE HTML>"] {
            assert_eq!(probe(&server_that_answers(words).await).await, ProbeOutcome::OtherProtocol);
        }
        for words in [&b"\0\0\0\x04\0\0\0\0\0"[..], b""] {
            assert_eq!(probe(&server_that_answers(words).await).await, ProbeOutcome::Unknown);
        }
        assert_eq!(probe(&"127.0.0.1:1".parse().unwrap()).await, ProbeOutcome::Unknown);
    }

    #[tokio::test]
    async fn a_server_that_ends_the_connection_says_why() {
        let frames = b"\0\0\0\x04\0\0\0\0\0\0\0\x0a\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0bno";
        for answer in [&frames[..], &frames[HEADER..]] {
            let answer = probe(&server_that_answers(answer).await).await;
            assert_eq!(answer, ProbeOutcome::Refusal("no".to_owned()));
        }
    }
}
