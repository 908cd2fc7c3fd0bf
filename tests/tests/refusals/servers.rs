//! Servers that a client must not trust, or that do not trust the client.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use caviar_common::address::Address;
use caviar_common::join::{JoinString, Pin, Role, join_file, trust_folder};
use caviar_coordinator::trust::Authority;
use caviar_tests::processes::{Process, program};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use crate::{Site, read_join};

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// A server whose certificate was issued at this time, and is valid for so long after it. Returns
/// the pin of its authority, and where it listens until the test ends.
pub(crate) fn with_certificate(issued: SystemTime, valid_for: Duration) -> (Pin, Address) {
    let authority = Authority::create().expect("an authority");
    let key = authority.issue(&[], issued, valid_for).expect("a certificate");
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("TLS")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Always(Arc::new(key))));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    listener.set_nonblocking(true).expect("tokio wants it");
    std::thread::spawn(move || {
        caviar_tests::watch::block_on(async move {
            let listener = TcpListener::from_std(listener).expect("it listens");
            while let Ok((stream, _)) = listener.accept().await {
                // The client refuses.
                let _refused = acceptor.accept(stream).await;
            }
        });
    });
    (authority.pin(), address.into())
}

/// A coordinator that was started with `--insecure`, and its host and port.
pub(crate) fn without_tls(store: &Path) -> (Process, String) {
    let mut command = program("caviar-coordinator");
    command.args(["--insecure", "--listen", "127.0.0.1:0", "--store"]).arg(store);
    Process::start_and_hear(command.env("RUST_LOG", "info"), |line| listening(line, "http"))
}

/// The host and the port in a line of a coordinator's log.
fn listening(line: &str, scheme: &str) -> Option<String> {
    let (_, rest) = line.split_once(&format!("listening on {scheme}://"))?;
    Some(rest.split(',').next()?.to_owned())
}

/// A coordinator that asks for certificates of these authorities.
pub(crate) fn with_client_certificates(store: &Path, authorities: &Path) -> Asking {
    let mut command = program("caviar-coordinator");
    command.args(["--listen", "127.0.0.1:0", "--store"]).arg(store);
    command.arg("--client-authorities").arg(authorities).env("RUST_LOG", "info");
    let (process, _) = Process::start_and_hear(&mut command, |line| listening(line, "https"));
    let join = read_join(&join_file(&trust_folder(store), Role::Admin));
    Asking { _process: process, join }
}

/// A coordinator that asks for client certificates.
pub(crate) struct Asking {
    _process: Process,
    join: JoinString,
}

impl Asking {
    /// A file with its join string, and its address in it.
    pub(crate) fn join(&self, site: &Site) -> (String, String) {
        (site.write("asks.join", &self.join), self.join.addresses[0].to_string())
    }
}
