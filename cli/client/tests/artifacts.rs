//! Uploads to a coordinator in this process, over connections that break.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic where it fails")]
#![expect(clippy::indexing_slicing, reason = "the slices are those that were just read")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use caviar_client::caviar_blob::Outline;
use caviar_client::caviar_common::error::ErrorClass;
use caviar_client::caviar_common::join::Role;
use caviar_client::{Client, Dialer, Error, Uploaded};
use caviar_coordinator::artifacts::Settings;
use caviar_coordinator::{Security, Server, ServerConfig, TlsOptions, start_with};
use caviar_core::input::Config;

async fn server(folder: &tempfile::TempDir, settings: Settings) -> Server {
    let config = ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        store: folder.path().join("caviar.db"),
        core: Config::default(),
        ticks: true,
        security: Security::Tls(TlsOptions::default()),
    };
    start_with(config, settings).await.unwrap()
}

/// Connects to a coordinator at this address, which may be that of a proxy.
async fn connect(server: &Server, address: SocketAddr) -> Client {
    let join = server.join(Role::Admin).unwrap().at(vec![address.into()]);
    Client::connect(&Dialer::new(join.into(), None).unwrap()).await.unwrap()
}

fn blob() -> (Vec<u8>, Outline) {
    let bytes: Vec<u8> = (0..1_250_000u32).flat_map(u32::to_le_bytes).collect();
    let outline = Outline::of(&bytes).unwrap();
    (bytes, outline)
}

/// Passes connections on. The first one breaks after `most` bytes to the coordinator.
fn proxy(target: SocketAddr, most: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let (mut client, mut server) = (client.unwrap(), TcpStream::connect(target).unwrap());
            let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || io::copy(&mut from, &mut to));
            thread::spawn(move || {
                let (mut buffer, mut passed) = ([0; 4_096], 0);
                while let Ok(read @ 1..) = client.read(&mut buffer) {
                    if number == 0 && passed > most || server.write_all(&buffer[..read]).is_err() {
                        break;
                    }
                    passed += read;
                }
                let _closed = client.shutdown(Shutdown::Both);
                let _closed = server.shutdown(Shutdown::Both);
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_sends_what_is_missing_and_continues_when_its_connection_breaks() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder, Settings::default()).await;
    let address = proxy(server.address(), 3_000_000);
    let client = connect(&server, address).await;
    let artifacts = client.artifacts();
    let (bytes, outline) = blob();
    assert_eq!(artifacts.upload(&outline, &bytes).await.unwrap(), Uploaded::Sent);
    assert_eq!(artifacts.upload(&outline, &bytes).await.unwrap(), Uploaded::WasThere);
    let usage = artifacts.usage().await.unwrap();
    assert_eq!((usage.blobs, usage.bytes), (1, 5_000_000));
    assert_eq!(usage.bytes_received, 5_000_000, "no verified chunk was sent twice");
}

#[tokio::test]
async fn a_blob_that_does_not_fit_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { limit: "4MiB".parse().unwrap(), ..Settings::default() };
    let server = server(&folder, settings).await;
    let client = connect(&server, server.address()).await;
    let (bytes, outline) = blob();
    let error = client.artifacts().upload(&outline, &bytes).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Refused);
    let Error::Refused { hints, .. } = error else { panic!("{error:?}") };
    assert_eq!(hints.len(), 1);
}
