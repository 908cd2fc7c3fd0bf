//! A bucket of an object store: S3, Google Cloud Storage or Azure.
//!
//! ```text
//! PREFIX/blobs/NAME            a blob
//! PREFIX/blobs/NAME.outline    the hashes of its chunks
//! PREFIX/store                 the identity of the store that the prefix belongs to
//! PREFIX/probe                 only while a coordinator starts: whether it can write
//! ```
//!
//! Uploads from clients arrive in the local folder `STORE.artifacts/partial`, and go to the bucket
//! when they are complete. The client of the object store is async and needs its own kind of
//! runtime, so a bucket has a small one. Its methods block on a channel, so any thread can call
//! them. Every request is repeated for a limited time.

mod address;

use std::borrow::Cow;
use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use caviar_blob::{Blob, BlobName, Outline, Source, new_private};
use caviar_common::numbers::{to_u64, to_usize};
use caviar_data::Bytes as Data;
use object_store::path::Path as Key;
use object_store::{
    Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload, Result, WriteMultipart,
};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_stream::StreamExt;

use super::folder::Folder;
use super::home::Home;
pub use address::Address;

/// The size of a part of an upload and of a request for bytes. S3 accepts parts from 5 MiB on, and
/// 10,000 of them: more than the largest blob has.
const PART_BYTES: usize = 8 << 20;

/// Parts of one upload that are sent at the same time.
const PARTS_AT_ONCE: usize = 4;

/// A bucket, or the part of it below a prefix.
#[derive(Debug)]
pub(crate) struct Bucket {
    store: Arc<dyn ObjectStore>,
    address: Address,
    /// The folder with the uploads that are not complete.
    local: Folder,
    tasks: Tasks,
    /// The local file of the blob that was stored or read last. A sweep reads its block right after
    /// the upload, and its file need not come back from the bucket. Nothing else has the file, so
    /// the disk is free again when this is dropped.
    recent: Mutex<Option<(BlobName, File)>>,
    downloads: AtomicU64,
}

impl Bucket {
    /// The bucket at this address, with uploads in the folder at `local`. Sends nothing.
    ///
    /// # Errors
    /// The environment lacks what is needed to reach it.
    pub(crate) fn connect(address: &Address, local: PathBuf) -> io::Result<Self> {
        let store = address.connect().map_err(|error| unusable(address, &error))?;
        Self::with_store(store, address.clone(), local)
    }

    pub(in crate::artifacts) fn with_store(
        store: Arc<dyn ObjectStore>,
        address: Address,
        local: PathBuf,
    ) -> io::Result<Self> {
        Ok(Self {
            store,
            address,
            local: Folder::new(local),
            tasks: Tasks::new()?,
            recent: Mutex::new(None),
            downloads: AtomicU64::new(0),
        })
    }

    /// The key of an object below the prefix.
    fn key(&self, parts: &[&str]) -> Key {
        parts.iter().fold(self.address.prefix().clone(), |key, part| key.join(*part))
    }

    fn blob(&self, name: &BlobName) -> Key {
        self.key(&["blobs", &name.to_string()])
    }

    fn outline_key(&self, name: &BlobName) -> Key {
        self.key(&["blobs", &format!("{name}.outline")])
    }

    /// Waits for requests.
    fn wait<T: Send + 'static>(
        &self,
        requests: impl Future<Output = Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        self.tasks.wait(requests)?.map_err(|error| failed(&self.address, error))
    }

    /// Waits for requests of the start, whose failure the operator has to repair.
    fn wait_at_start<T: Send + 'static>(
        &self,
        requests: impl Future<Output = Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        self.tasks.wait(requests)?.map_err(|error| unusable(&self.address, &error))
    }

    /// A blob as a file on this host, without a name.
    fn local_file(&self, name: &BlobName) -> io::Result<File> {
        if let Some(file) = self.recent(name) {
            return Ok(file);
        }
        let source = self.open(name)?;
        let number = self.downloads.fetch_add(1, Ordering::Relaxed);
        let path = self.partial()?.join(format!("{name}.download.{number}"));
        let file = new_private(&path)?;
        // Without a name, nothing is left of it after the last use, or after a crash.
        fs::remove_file(&path)?;
        let mut offset = 0;
        while offset < source.bytes() {
            let length = to_usize(source.bytes() - offset).min(PART_BYTES);
            file.write_all_at(&source.chunk(offset, length)?, offset)?;
            offset += to_u64(length);
        }
        self.keep_recent(*name, file.try_clone()?);
        Ok(file)
    }

    fn keep_recent(&self, name: BlobName, file: File) {
        *self.recent.lock().unwrap_or_else(PoisonError::into_inner) = Some((name, file));
    }

    /// The file of a blob, if it was stored or read last.
    fn recent(&self, name: &BlobName) -> Option<File> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, file) = recent.as_ref().filter(|(found, _)| found == name)?;
        file.try_clone().ok()
    }
}

impl Home for Bucket {
    fn claim(&self, store: &str) -> io::Result<String> {
        let (objects, key) = (Arc::clone(&self.store), self.key(&["store"]));
        let payload = PutPayload::from(store.as_bytes().to_vec());
        let owner = self.wait_at_start(async move {
            match objects.get(&key).await {
                Ok(found) => return found.bytes().await,
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
            match objects.put_opts(&key, payload, PutMode::Create.into()).await {
                Ok(_) | Err(Error::AlreadyExists { .. }) => {}
                Err(error) => return Err(error),
            }
            objects.get(&key).await?.bytes().await
        })?;
        Ok(String::from_utf8_lossy(&owner).trim().to_owned())
    }

    fn partial(&self) -> io::Result<PathBuf> {
        self.local.partial()
    }

    fn probe(&self) -> io::Result<()> {
        let (store, probe) = (Arc::clone(&self.store), self.key(&["probe"]));
        self.wait_at_start(async move {
            store.put(&probe, PutPayload::new()).await?;
            or_absent(store.delete(&probe).await)
        })
    }

    fn clean(&self) -> io::Result<()> {
        self.local.clean()
    }

    fn accept(&self, outline: &Outline, file: &Path) -> io::Result<()> {
        let name = outline.blob().name;
        let (blob, hashes) = (self.blob(&name), self.outline_key(&name));
        let bytes = PutPayload::from(outline.to_bytes());
        let (store, file) = (Arc::clone(&self.store), File::open(file)?);
        let copy = file.try_clone()?;
        self.wait(async move {
            // The outline first: a blob without one would be read to compute it.
            store.put(&hashes, bytes).await?;
            upload(&*store, &blob, copy).await
        })?;
        self.keep_recent(name, file);
        Ok(())
    }

    fn open(&self, name: &BlobName) -> io::Result<Box<dyn Source + Send + Sync>> {
        let (store, key) = (Arc::clone(&self.store), self.blob(name));
        let (head, of) = (Arc::clone(&store), key.clone());
        let bytes = self.wait(async move { head.head(&of).await })?.size;
        let (address, tasks) = (self.address.clone(), self.tasks.handle.clone());
        let window = Mutex::new((0, Bytes::new()));
        Ok(Box::new(Object { store, address, key, bytes, tasks, window }))
    }

    fn outline(&self, name: &BlobName) -> io::Result<Option<Vec<u8>>> {
        let (store, key) = (Arc::clone(&self.store), self.outline_key(name));
        let hashes = self.wait(async move {
            match store.get(&key).await {
                Ok(found) => found.bytes().await.map(Some),
                Err(Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        })?;
        Ok(hashes.map(|hashes| hashes.to_vec()))
    }

    fn data(&self, name: &BlobName) -> io::Result<Data> {
        let mut file = self.local_file(name)?;
        // Its clones share one place to read at.
        file.rewind()?;
        Data::of_blob(&file, &self.partial()?)
    }

    fn list(&self) -> io::Result<Vec<(Blob, Duration)>> {
        let (store, folder) = (Arc::clone(&self.store), self.key(&["blobs"]));
        let objects = self.wait_at_start(async move {
            let mut objects = Vec::new();
            let mut found = store.list(Some(&folder));
            while let Some(object) = found.next().await {
                objects.push(object?);
            }
            Ok(objects)
        })?;
        Ok(objects.iter().filter_map(listed).collect())
    }

    fn remove(&self, name: &BlobName) -> io::Result<()> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.take_if(|(found, _)| found == name);
        drop(recent);
        let (store, keys) = (Arc::clone(&self.store), [self.blob(name), self.outline_key(name)]);
        self.wait(async move {
            for key in keys {
                or_absent(store.delete(&key).await)?;
            }
            Ok(())
        })
    }
}

/// A blob in the list of objects, with its age.
fn listed(object: &ObjectMeta) -> Option<(Blob, Duration)> {
    let name = object.location.filename()?.parse().ok()?;
    // A time in the future, from a clock that is wrong, counts as now.
    let age = SystemTime::from(object.last_modified).elapsed().unwrap_or_default();
    Some((Blob { name, bytes: object.size }, age))
}

/// Sends a file as one object: whole if it is small, and otherwise in parts. If that fails, no part
/// is left.
async fn upload(store: &dyn ObjectStore, key: &Key, mut file: File) -> Result<()> {
    let bytes = file.metadata().map_err(unreadable)?.len();
    if bytes <= to_u64(PART_BYTES) {
        let mut whole = Vec::with_capacity(to_usize(bytes));
        file.read_to_end(&mut whole).map_err(unreadable)?;
        store.put(key, whole.into()).await?;
        return Ok(());
    }
    let parts = store.put_multipart(key).await?;
    let mut parts = WriteMultipart::new_with_chunk_size(parts, PART_BYTES);
    if let Err(error) = send(&mut parts, &file, bytes).await {
        if let Err(error) = parts.abort().await {
            tracing::warn!("parts of a failed upload may be left in the bucket: {error}");
        }
        return Err(error);
    }
    // It aborts by itself if it fails.
    parts.finish().await.map(|_| ())
}

async fn send(parts: &mut WriteMultipart, file: &File, bytes: u64) -> Result<()> {
    let mut offset = 0;
    while offset < bytes {
        let length = to_usize(bytes - offset).min(PART_BYTES);
        let mut part = vec![0; length];
        file.read_exact_at(&mut part, offset).map_err(unreadable)?;
        parts.wait_for_capacity(PARTS_AT_ONCE).await?;
        parts.put(part.into());
        offset += to_u64(length);
    }
    Ok(())
}

/// A blob that is read from the bucket, some megabytes at a time.
#[derive(Debug)]
struct Object {
    store: Arc<dyn ObjectStore>,
    address: Address,
    key: Key,
    bytes: u64,
    tasks: Handle,
    /// The bytes that were read last, and where they begin. Chunks are smaller than a request
    /// should be, and are usually read in order.
    window: Mutex<(u64, Bytes)>,
}

impl Source for Object {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn chunk(&self, offset: u64, length: usize) -> io::Result<Cow<'_, [u8]>> {
        let end = offset.saturating_add(to_u64(length));
        if end > self.bytes {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = part_of(&window, offset, length) {
            return Ok(Cow::Owned(bytes));
        }
        let until = end.max(self.bytes.min(offset.saturating_add(to_u64(PART_BYTES))));
        let (store, key) = (Arc::clone(&self.store), self.key.clone());
        let read = async move { store.get_range(&key, offset..until).await };
        let read = wait(&self.tasks, read)?.map_err(|error| failed(&self.address, error))?;
        *window = (offset, read);
        part_of(&window, offset, length)
            .map(Cow::Owned)
            .ok_or_else(|| ErrorKind::UnexpectedEof.into())
    }
}

fn part_of((start, bytes): &(u64, Bytes), offset: u64, length: usize) -> Option<Vec<u8>> {
    let from = to_usize(offset.checked_sub(*start)?);
    bytes.get(from..from.saturating_add(length)).map(<[u8]>::to_vec)
}

/// The runtime of the requests.
#[derive(Debug)]
struct Tasks {
    handle: Handle,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl Tasks {
    fn new() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).thread_name("bucket").enable_all().build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    fn wait<T: Send + 'static>(
        &self,
        requests: impl Future<Output = T> + Send + 'static,
    ) -> io::Result<T> {
        wait(&self.handle, requests)
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        // Any other way waits for its threads, which a thread of another runtime must not.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Waits for what runs on the runtime of a bucket.
fn wait<T: Send + 'static>(
    tasks: &Handle,
    requests: impl Future<Output = T> + Send + 'static,
) -> io::Result<T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    tasks.spawn(async move {
        // The receiver waits below.
        let _sent = sender.send(requests.await);
    });
    receiver.recv().map_err(|_| io::Error::other("the request to the bucket was given up"))
}

fn or_absent(result: Result<()>) -> Result<()> {
    match result {
        Err(Error::NotFound { .. }) => Ok(()),
        other => other,
    }
}

fn unreadable(error: io::Error) -> Error {
    Error::Generic { store: "the local file", source: Box::new(error) }
}

/// The error of a request, with the kind that callers look at.
fn failed(address: &Address, error: Error) -> io::Error {
    let text = format!("{address}: {error}");
    io::Error::new(io::Error::from(error).kind(), text)
}

/// The error of a bucket that a coordinator cannot start with.
fn unusable(address: &Address, error: &Error) -> io::Error {
    io::Error::other(format!("{address}: {error}; hint: {}", address.hint(error)))
}
