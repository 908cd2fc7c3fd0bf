//! How the load generator reaches the coordinator: at an address, with TLS and a token or without.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use caviar_client::{Dialer, Target, read_secret_file};
use caviar_common::join::{JoinString, Role, SERVER_NAME, join_file, trust_folder};
use http::HeaderValue;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// Whether connections are encrypted and need a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encryption {
    On,
    Off,
}

/// A way to the coordinator.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    address: SocketAddr,
    dialer: Dialer,
    /// `None` without encryption.
    authorization: Option<HeaderValue>,
}

/// A connection, encrypted or not.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

impl Route {
    /// Without encryption.
    pub(crate) fn plain(address: SocketAddr) -> anyhow::Result<Self> {
        let dialer = Dialer::new(Target::plain(&format!("http://{address}"))?, None)?;
        Ok(Self { address, dialer, authorization: None })
    }

    /// With the token that the coordinator left next to its store for its administrator.
    pub(crate) fn trusted(address: SocketAddr, store: &Path) -> anyhow::Result<Self> {
        let file = join_file(&trust_folder(store), Role::Admin);
        let join: JoinString = read_secret_file(&file)?
            .parse()
            .with_context(|| format!("reading {}", file.display()))?;
        let bearer = format!("Bearer {}", join.secret.reveal());
        let mut authorization = HeaderValue::from_str(&bearer)?;
        // As other clients send it: in every request, outside HTTP/2's tables.
        authorization.set_sensitive(true);
        let dialer = Dialer::new(Target::Trusted(join), None)?;
        Ok(Self { address, dialer, authorization: Some(authorization) })
    }

    /// Opens connections of the client library.
    pub(crate) const fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// The header with the token; `None` without encryption.
    pub(crate) const fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    /// What a request names before the path.
    pub(crate) fn origin(&self) -> String {
        let scheme = if self.dialer.tls().is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Opens a connection.
    pub(crate) async fn open(&self) -> anyhow::Result<Box<dyn Connection>> {
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        let Some(tls) = self.dialer.tls() else { return Ok(Box::new(socket)) };
        let connector = TlsConnector::from(tls.clone());
        Ok(Box::new(connector.connect(ServerName::try_from(SERVER_NAME)?, socket).await?))
    }
}
