//! Connections: the TLS handshake, and what is known of the other side.
//!
//! tonic's own server keeps one certificate for life. So handshakes are made here, each in a task
//! of its own, and tonic gets streams that are open.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use caviar_common::join::REFUSAL_HEADER;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::server::Connected;

use super::{Certificates, TrustError};
use crate::farewell::{close_politely, last_frame};

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most handshakes at once. More connections wait to be accepted.
const MAX_HANDSHAKES: usize = 1_024;
/// Open connections that may wait for the server.
const READY: usize = 64;
/// The first bytes of HTTP/2 without TLS.
const PLAIN_HTTP2: &[u8] = b"PRI * HTTP/2.0";
/// What a client without TLS is told.
const NEEDS_TLS: &str = "this coordinator uses TLS; hint: use a join string: CAVIAR_JOIN or --join";
/// How long such a client has to read that.
const FAREWELL: Duration = Duration::from_secs(1);

/// Makes TLS acceptors.
#[derive(Clone)]
pub(crate) struct TlsSetup {
    acceptor: TlsAcceptor,
}

impl std::fmt::Debug for TlsSetup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsSetup")
    }
}

impl TlsSetup {
    /// TLS 1.3 with these certificates. With `client_authorities`, clients need a certificate too.
    ///
    /// # Errors
    /// The file of client authorities cannot be used.
    pub(crate) fn new(
        certificates: Certificates,
        client_authorities: Option<&Path>,
    ) -> Result<Self, TrustError> {
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])?;
        let builder = match client_authorities {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let roots = Arc::new(read_authorities(path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| {
                    TrustError::ClientAuthorities {
                        path: path.to_owned(),
                        cause: error.to_string(),
                    }
                })?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(certificates));
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let accepted = timeout(HANDSHAKE_TIMEOUT, async {
            if is_plain_http2(&stream).await? {
                refuse_plain(stream).await;
                return Err(io::Error::other("the client does not use TLS"));
            }
            match self.acceptor.accept(stream).into_fallible().await {
                Ok(stream) => Ok(stream),
                Err((error, stream)) => {
                    linger(stream).await;
                    Err(error)
                }
            }
        });
        accepted.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Tells a client why it is refused, over TLS.
    pub(crate) async fn refuse(&self, stream: TcpStream, reason: &str) {
        if let Ok(mut stream) = self.accept(stream).await {
            // A client that is gone needs no reason.
            let _gone = stream.write_all(&last_frame(reason)).await;
            let _gone = stream.shutdown().await;
        }
    }
}

/// Reads until the client closes the connection. A connection that ends with unread bytes is reset,
/// and its client might not see the alert that says why.
async fn linger(mut stream: TcpStream) {
    let mut unread = [0; 1_024];
    let read = async { while matches!(stream.read(&mut unread).await, Ok(1..)) {} };
    let _still_open = timeout(FAREWELL, read).await;
}

fn read_authorities(path: &Path) -> Result<RootCertStore, TrustError> {
    let failed = |cause: String| TrustError::ClientAuthorities { path: path.to_owned(), cause };
    let text = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| failed(error.to_string()))?;
        roots.add(certificate).map_err(|error| failed(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(failed("expected at least one certificate in PEM".to_owned()));
    }
    Ok(roots)
}

async fn is_plain_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; PLAIN_HTTP2.len()];
    let count = stream.peek(&mut first).await?;
    let seen = first.get(..count).unwrap_or_default();
    // Three bytes tell it from TLS, which begins with 22.
    Ok(count >= 3 && PLAIN_HTTP2.starts_with(seen))
}

async fn refuse_plain(mut stream: TcpStream) {
    // Not in HTTP/2, so that people who use the wrong client see what they are told.
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\n{REFUSAL_HEADER}: {NEEDS_TLS}\r\nContent-Length: 0\r\n\r\n"
    );
    let _gone = stream.write_all(answer.as_bytes()).await;
    sleep(FAREWELL).await;
    close_politely(&stream);
}

/// The connections of a listener, each ready for requests. It ends with the receiver.
pub(crate) fn accept(
    incoming: impl Stream<Item = io::Result<TcpStream>> + Send + Unpin + 'static,
    tls: Option<TlsSetup>,
) -> ReceiverStream<io::Result<Io>> {
    let (ready, receiver) = mpsc::channel(READY);
    tokio::spawn(accept_all(incoming, tls, ready));
    ReceiverStream::new(receiver)
}

async fn accept_all(
    mut incoming: impl Stream<Item = io::Result<TcpStream>> + Unpin,
    tls: Option<TlsSetup>,
    ready: mpsc::Sender<io::Result<Io>>,
) {
    let handshakes = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    loop {
        let accepted = tokio::select! {
            accepted = incoming.next() => accepted,
            () = ready.closed() => return,
        };
        let stream = match accepted {
            Some(Ok(stream)) => stream,
            Some(Err(error)) => match ready.send(Err(error)).await {
                Ok(()) => continue,
                Err(_) => return,
            },
            None => return,
        };
        let Some(tls) = tls.clone() else {
            if ready.send(Ok(Io::plain(stream))).await.is_err() {
                return;
            }
            continue;
        };
        // The semaphore is never closed.
        let Ok(permit) = handshakes.clone().acquire_owned().await else { return };
        let ready = ready.clone();
        tokio::spawn(async move {
            let from = stream.peer_addr().ok();
            match tls.accept(stream).await {
                Ok(stream) => {
                    // The server has stopped if nothing receives.
                    let _stopped = ready.send(Ok(Io::tls(stream))).await;
                }
                Err(error) => tracing::debug!(?from, "no TLS connection: {error}"),
            }
            drop(permit);
        });
    }
}

/// What is known of the other side of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// Its address; `None` if it was gone before it could be asked for.
    pub(crate) address: Option<SocketAddr>,
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Io {
    stream: Transport,
    peer: Peer,
}

#[derive(Debug)]
enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Io {
    fn plain(stream: TcpStream) -> Self {
        let peer = Peer { address: stream.peer_addr().ok() };
        Self { stream: Transport::Plain(stream), peer }
    }

    fn tls(stream: TlsStream<TcpStream>) -> Self {
        let peer = Peer { address: stream.get_ref().0.peer_addr().ok() };
        Self { stream: Transport::Tls(Box::new(stream)), peer }
    }
}

impl Connected for Io {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(context),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
