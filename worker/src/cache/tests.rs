//! Fetching from a real coordinator, over connections that break and disks that are full.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use caviar_blob::Outline;
use caviar_client::{Client, Dialer, SharedDialer, Target};
use caviar_coordinator::{Security, Server, ServerConfig, start};
use tokio::runtime::Runtime;

use super::*;

static RUNNING: AtomicBool = AtomicBool::new(false);

fn plain(address: SocketAddr) -> SharedDialer {
    Dialer::new(Target::plain(&format!("http://{address}")).unwrap(), None).unwrap().into()
}

/// A coordinator with one blob of 5 MB.
struct Coordinator {
    runtime: Runtime,
    server: Server,
    client: Client,
    bytes: Vec<u8>,
    blob: Blob,
    _store: tempfile::TempDir,
}

impl Coordinator {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let store = tempfile::tempdir().unwrap();
        let config = ServerConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            store: store.path().join("caviar.db"),
            core: caviar_core::input::Config::default(),
            ticks: true,
            // A byte that is changed on the way would end a TLS connection before it is seen.
            security: Security::Plain,
        };
        let bytes: Vec<u8> = (0..1_250_000u32).flat_map(u32::to_le_bytes).collect();
        let outline = Outline::of(&bytes).unwrap();
        let (server, client) = runtime.block_on(async {
            let server = start(config).await.unwrap();
            let client = Client::connect(&plain(server.address()).current()).await.unwrap();
            client.artifacts().upload(&outline, &bytes).await.unwrap();
            (server, client)
        });
        Self { runtime, server, client, bytes, blob: outline.blob(), _store: store }
    }

    /// Bytes that it has sent.
    fn sent(&self) -> u64 {
        self.runtime.block_on(self.client.artifacts().usage()).unwrap().bytes_sent
    }

    fn blobs(&self, cache: Option<&Path>) -> Blobs {
        self.blobs_over(self.server.address(), cache)
    }

    fn blobs_over(&self, address: SocketAddr, cache: Option<&Path>) -> Blobs {
        let places = BlobPlaces { cache: cache.map(Path::to_owned), folder: None };
        let _inside = self.runtime.enter();
        Blobs::new(places, Fetcher::new(plain(address)))
    }
}

#[test]
fn many_workers_of_a_host_fetch_a_blob_once() {
    let coordinator = Coordinator::new();
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    // Each has its own state, like a process.
    thread::scope(|scope| {
        for _ in 0..16 {
            let blobs = coordinator.blobs(Some(&cache));
            let (blob, expected) = (coordinator.blob, &coordinator.bytes);
            scope.spawn(move || assert_eq!(blobs.get(blob, &RUNNING).unwrap().get(), expected));
        }
    });
    assert_eq!(coordinator.sent(), coordinator.blob.bytes);
    let names: Vec<_> = fs::read_dir(&cache).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, [coordinator.blob.name.to_string().as_str()], "nothing temporary is left");

    let later = coordinator.blobs(Some(&cache));
    assert_eq!(later.get(coordinator.blob, &RUNNING).unwrap().get(), coordinator.bytes);
    assert_eq!(coordinator.sent(), coordinator.blob.bytes, "later uses fetch nothing");

    // The same folder as one that is only read.
    let places = BlobPlaces { cache: None, folder: Some(cache) };
    let found = Blobs { places, fetcher: later.fetcher }.find(coordinator.blob);
    assert_eq!(found.unwrap().get(), coordinator.bytes);
}

#[test]
fn a_part_that_was_left_behind_does_not_keep_a_blob_out_of_the_cache() {
    let coordinator = Coordinator::new();
    let cache = tempfile::tempdir().unwrap();
    let path = cache.path().join(coordinator.blob.name.to_string());
    let left_behind = cache.path().join(format!("{}.part.1", coordinator.blob.name));
    fs::write(&left_behind, "of a process that was killed").unwrap();
    let blobs = coordinator.blobs(Some(cache.path()));
    assert_eq!(blobs.get(coordinator.blob, &RUNNING).unwrap().get(), coordinator.bytes);
    assert!(path.exists() && left_behind.exists());
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 2, "no claim is left");
}

#[test]
fn a_damaged_blob_in_the_cache_is_fetched_again() {
    let coordinator = Coordinator::new();
    let cache = tempfile::tempdir().unwrap();
    let path = cache.path().join(coordinator.blob.name.to_string());
    for wrong in [&coordinator.bytes[1..], &[0; 5_000_000], b""] {
        fs::write(&path, wrong).unwrap();
        let blobs = coordinator.blobs(Some(cache.path()));
        assert_eq!(blobs.get(coordinator.blob, &RUNNING).unwrap().get(), coordinator.bytes);
    }
    assert_eq!(fs::read(path).unwrap(), coordinator.bytes);
    assert_eq!(coordinator.sent(), 3 * coordinator.blob.bytes);
}

#[test]
fn without_a_usable_cache_the_blob_is_fetched_into_memory() {
    let coordinator = Coordinator::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a-file");
    fs::write(&file, "").unwrap();
    for cache in [None, Some(file.as_path()), Some(&file.join("below"))] {
        let bytes = coordinator.blobs(cache).get(coordinator.blob, &RUNNING).unwrap();
        assert_eq!(bytes.get(), coordinator.bytes);
    }
}

/// A file on a disk that is full after a few chunks.
struct FullDisk(usize);

impl Write for FullDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_disk_that_becomes_full_ends_the_transfer_at_once() {
    let coordinator = Coordinator::new();
    let fetcher = coordinator.blobs(None).fetcher;
    let fetched = fetcher.fetch(coordinator.blob, FullDisk(2_500_000), &RUNNING, &mut || {});
    let Err(FetchError::Write(error)) = fetched else { panic!("it was written") };
    assert!(is_full(&error), "{error}");
}

/// What a proxy does to the first connection, after this many bytes from the coordinator.
#[derive(Clone, Copy)]
enum Fault {
    Cut(usize),
    Flip(usize),
}

/// Passes connections to the coordinator, the first one with a fault. Returns its address, and the
/// number of connections.
fn proxy(target: SocketAddr, fault: Fault) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let connections = Arc::clone(&count);
    thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, mut server) = (client.unwrap(), TcpStream::connect(target).unwrap());
            let fault = (connections.fetch_add(1, Ordering::Relaxed) == 0).then_some(fault);
            let (mut up, mut down) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || io::copy(&mut up, &mut down));
            thread::spawn(move || {
                pass(&mut server, &mut client, fault);
                let _closed = client.shutdown(Shutdown::Both);
                let _closed = server.shutdown(Shutdown::Both);
            });
        }
    });
    (address, count)
}

fn pass(from: &mut TcpStream, to: &mut TcpStream, fault: Option<Fault>) {
    let (mut buffer, mut passed) = ([0; 4_096], 0);
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        match fault {
            Some(Fault::Cut(at)) if passed > at => return,
            // In the middle of what was read, which is inside a frame of 16 KiB.
            Some(Fault::Flip(at)) if passed <= at && at < passed + read => buffer[read / 2] ^= 1,
            Some(_) | None => {}
        }
        passed += read;
        if to.write_all(&buffer[..read]).is_err() {
            return;
        }
    }
}

#[test]
fn a_coordinator_that_vanishes_in_the_middle_costs_only_the_rest() {
    let coordinator = Coordinator::new();
    let (address, connections) = proxy(coordinator.server.address(), Fault::Cut(3_300_000));
    let cache = tempfile::tempdir().unwrap();
    let blobs = coordinator.blobs_over(address, Some(cache.path()));
    assert_eq!(blobs.get(coordinator.blob, &RUNNING).unwrap().get(), coordinator.bytes);
    assert_eq!(connections.load(Ordering::Relaxed), 2);
    // What was under way when the connection broke is lost, and not all of it is sent again.
    assert!(coordinator.sent() < 2 * coordinator.blob.bytes, "{}", coordinator.sent());
}

#[test]
fn a_chunk_that_is_damaged_on_its_way_is_fetched_again() {
    let coordinator = Coordinator::new();
    let (address, connections) = proxy(coordinator.server.address(), Fault::Flip(2_500_000));
    let cache = tempfile::tempdir().unwrap();
    let blobs = coordinator.blobs_over(address, Some(cache.path()));
    assert_eq!(blobs.get(coordinator.blob, &RUNNING).unwrap().get(), coordinator.bytes);
    assert_eq!(connections.load(Ordering::Relaxed), 2);
}

#[test]
fn a_fetch_ends_when_its_trial_is_stopped_and_leaves_nothing() {
    let coordinator = Coordinator::new();
    let cache = tempfile::tempdir().unwrap();
    // Nobody answers here.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let blobs = coordinator.blobs_over(silent.local_addr().unwrap(), Some(cache.path()));
    let stopped = Arc::new(AtomicBool::new(false));
    let (flag, blob) = (Arc::clone(&stopped), coordinator.blob);
    let fetching = thread::spawn(move || blobs.get(blob, &flag));
    while fs::read_dir(cache.path()).unwrap().count() < 2 {
        thread::yield_now();
    }
    stopped.store(true, Ordering::Relaxed);
    assert!(matches!(fetching.join().unwrap(), Err(FetchError::Stopped)));
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
}

#[test]
fn a_blob_that_the_coordinator_lacks_is_refused_at_once() {
    let coordinator = Coordinator::new();
    let absent = Blob { name: caviar_blob::BlobName::from_hash([1; 32]), bytes: 9 };
    let error = coordinator.blobs(None).get(absent, &RUNNING).unwrap_err();
    assert!(error.to_string().starts_with("there is no blob 0101"), "{error}");
}
