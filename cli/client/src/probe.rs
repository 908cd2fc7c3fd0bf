//! Finding out which protocol a server speaks.

use std::time::Duration;

use caviar_common::address::Address;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long the server may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// The first bytes of every HTTP/2 connection. A server that does not speak HTTP/2 answers them
/// with an error of its own protocol.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// True if the server answers the preface with anything but an HTTP/2 frame.
pub(crate) async fn answers_another_protocol(address: &Address) -> bool {
    let answer = timeout(ANSWER_TIMEOUT, first_bytes(address)).await;
    // The first frame of HTTP/2 holds the settings: a length of three bytes, which is small, and
    // then the type 4.
    matches!(answer, Ok(Ok(bytes)) if !matches!(bytes, [0, _, _, 4, _]))
}

async fn first_bytes(address: &Address) -> std::io::Result<[u8; 5]> {
    let mut stream = TcpStream::connect((address.host(), address.port())).await?;
    stream.write_all(PREFACE).await?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
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
            assert!(answers_another_protocol(&server_that_answers(words).await).await);
        }
        for words in [&b"\0\0\0\x04\0\0\0\0\0"[..], b""] {
            assert!(!answers_another_protocol(&server_that_answers(words).await).await);
        }
        assert!(!answers_another_protocol(&"127.0.0.1:1".parse().unwrap()).await);
    }
}
