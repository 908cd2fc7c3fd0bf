//! Who is there, where no coordinator answers.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// How every connection of gRPC begins: a server that does not know it answers with an error in
/// words of its own.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether what listens at `url` answers in another way than HTTP/2, and so is no coordinator.
/// False where it cannot be told.
pub async fn is_other_server(url: &str) -> bool {
    let address = url.strip_prefix("http://").unwrap_or(url);
    let address = address.split('/').next().unwrap_or_default();
    let address = if address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        address.to_owned()
    } else {
        format!("{address}:80")
    };
    timeout(ANSWER_TIMEOUT, answers_otherwise(&address))
        .await
        .is_ok_and(|answer| answer.unwrap_or(false))
}

async fn answers_otherwise(address: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(PREFACE).await?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).await?;
    // The first frame of HTTP/2 holds settings, which is type 4, after three bytes of a length that
    // is small.
    Ok(!matches!(answer, [0, _, _, 4, _]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn server_that_says(words: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 64];
            assert!(stream.read(&mut asked).await.unwrap() > 0);
            stream.write_all(words).await.unwrap();
        });
        url
    }

    #[tokio::test]
    async fn a_web_server_is_told_from_what_may_be_a_coordinator() {
        assert!(
            is_other_server(&server_that_says(b"HTTP/1.1 400 Bad Request\r\n\r\n").await).await
        );
        assert!(is_other_server(&server_that_says(b"<!DOCTYPE HTML>").await).await);
        assert!(!is_other_server(&server_that_says(b"\0\0\0\x04\0\0\0\0\0").await).await);
        assert!(!is_other_server(&server_that_says(b"").await).await);
        assert!(!is_other_server("http://127.0.0.1:1").await);
    }
}
