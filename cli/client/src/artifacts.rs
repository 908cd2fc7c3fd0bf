//! Requests about blobs: data sets and other large files.

use std::time::Duration;

use caviar_blob::{Blob, Outline, Source};
use caviar_common::backoff::Backoff;
use caviar_common::error::{ErrorClass, Problem};
use caviar_proto::convert::artifacts::encode_blob;
use caviar_proto::status::class_of;
use caviar_proto::v1;
use caviar_proto::v1::artifact_service_client::ArtifactServiceClient;
use caviar_proto::v1::get_blob_response::Kind as GetKind;
use caviar_proto::v1::put_blob_request::Kind as PutKind;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::client::Client;
use crate::dial::{Channel, Dialer};
use crate::error::{Error, Request};

/// How often an upload that makes no progress is tried.
const ATTEMPTS: u32 = 6;
/// Shortest and longest wait before an upload is tried again.
const WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// Chunks of an upload that wait to be sent.
const CHUNKS_AHEAD: usize = 2;

/// The blobs of a coordinator.
///
/// ```
/// # use caviar_client::Client;
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let server = caviar_coordinator::start(caviar_coordinator::ServerConfig {
/// #     listen: "127.0.0.1:0".parse()?,
/// #     store: folder.path().join("caviar.db"),
/// #     core: caviar_core::input::Config::default(),
/// #     ticks: true,
/// #     security: caviar_coordinator::Security::Plain,
/// # })
/// # .await?;
/// # let target = caviar_client::Target::plain(&server.url())?;
/// # let client = Client::connect(&caviar_client::Dialer::new(target, None)?).await?;
/// let artifacts = client.artifacts();
/// let bytes = b"any bytes".to_vec();
/// let outline = caviar_client::caviar_blob::Outline::of(&bytes)?;
/// artifacts.upload(&outline, &bytes).await?;
///
/// let mut download = artifacts.download(outline.blob(), 0).await?;
/// let (offset, chunk) = download.next().await?.unwrap_or_default();
/// assert_eq!((offset, chunk), (0, bytes));
/// # drop((download, artifacts, client));
/// # server.stop().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Artifacts {
    service: ArtifactServiceClient<Channel>,
    url: String,
}

/// What an upload did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uploaded {
    /// The coordinator had the blob.
    WasThere,
    /// The blob was sent.
    Sent,
    /// The coordinator is of a release that keeps no blobs.
    NotSupported,
}

/// How much the coordinator keeps, and has sent and received since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArtifactUsage {
    /// The number of blobs.
    pub blobs: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Bytes of chunks that were sent.
    pub bytes_sent: u64,
    /// Bytes of chunks that were received.
    pub bytes_received: u64,
}

impl Client {
    /// The blobs of the coordinator, over the same connection.
    pub fn artifacts(&self) -> Artifacts {
        Artifacts::new(self.channel(), self.url())
    }
}

impl Artifacts {
    fn new(channel: Channel, url: &str) -> Self {
        Self { service: ArtifactServiceClient::new(channel), url: url.to_owned() }
    }

    /// Opens a connection of its own, so that a long transfer delays no other message.
    ///
    /// # Errors
    /// Nothing accepts the connection within `timeout`.
    pub fn connect(dialer: &Dialer, timeout: Duration) -> Request<'_, Self> {
        Box::pin(async move {
            let dialled = dialer.dial(timeout).await;
            let url = dialer.url();
            let channel = dialled.map_err(|error| Error::from_dial(error, &url))?;
            Ok(Self::new(channel, &url))
        })
    }

    /// Makes the coordinator have a blob. It asks first, sends only what is missing, and continues
    /// after a broken connection. `outline` is that of `source`.
    ///
    /// # Errors
    /// The coordinator refuses the blob, or cannot be reached several times in a row.
    pub fn upload<'a>(
        &'a self,
        outline: &'a Outline,
        source: &'a (dyn Source + Sync),
    ) -> Request<'a, Uploaded> {
        Box::pin(async move {
            let mut backoff = Backoff::new(WAITS.0, WAITS.1);
            let (mut failures, mut furthest) = (0, 0);
            let mut uploaded = Uploaded::WasThere;
            loop {
                let status = match self.offset(outline.blob()).await {
                    Ok(None) => return Ok(uploaded),
                    Err(status) if status.code() == Code::Unimplemented => {
                        return Ok(Uploaded::NotSupported);
                    }
                    Err(status) => status,
                    Ok(Some(offset)) => {
                        if offset > furthest {
                            (failures, furthest) = (0, offset);
                        }
                        uploaded = Uploaded::Sent;
                        match self.put(outline, source, offset).await {
                            Ok(()) => return Ok(uploaded),
                            Err(status) => status,
                        }
                    }
                };
                failures += 1;
                if failures >= ATTEMPTS || !may_pass(&status) {
                    return Err(Error::from_status(&status, &self.url));
                }
                tokio::time::sleep(backoff.next(0.5)).await;
            }
        })
    }

    /// Where an upload of the blob begins; `None` if the coordinator has it.
    async fn offset(&self, blob: Blob) -> Result<Option<u64>, Status> {
        let request = v1::FindMissingRequest { blobs: vec![encode_blob(&blob)] };
        let reply = self.service.clone().find_missing(request).await?.into_inner();
        Ok(reply.missing.first().map(|missing| missing.offset))
    }

    async fn put(
        &self,
        outline: &Outline,
        source: &(dyn Source + Sync),
        offset: u64,
    ) -> Result<(), Status> {
        let (sender, messages) = mpsc::channel(CHUNKS_AHEAD);
        let mut service = self.service.clone();
        let call = service.put_blob(ReceiverStream::new(messages));
        let feed = async move {
            let begin = v1::BeginPut {
                blob: Some(encode_blob(&outline.blob())),
                chunk_hashes: outline.to_bytes(),
                offset,
            };
            let mut kind = PutKind::Begin(begin);
            let mut chunks = outline.chunks_from(offset);
            loop {
                let sent = sender.send(v1::PutBlobRequest { kind: Some(kind) }).await;
                // If the call has ended, its status says why.
                let (Ok(()), Some((offset, length))) = (sent, chunks.next()) else {
                    return Ok(());
                };
                let data = source.chunk(offset, length)?.into_owned();
                kind = PutKind::Chunk(v1::Chunk { offset, data });
            }
        };
        let (reply, fed): (_, std::io::Result<()>) = tokio::join!(call, feed);
        fed.map_err(|error| Status::failed_precondition(format!("reading the blob: {error}")))?;
        reply.map(|_| ())
    }

    /// Receives a blob from `offset` on, which is a multiple of
    /// [`CHUNK_BYTES`](caviar_blob::CHUNK_BYTES).
    ///
    /// # Errors
    /// The coordinator does not have the blob, or the request failed.
    pub fn download(&self, blob: Blob, offset: u64) -> Request<'_, Download> {
        Box::pin(async move {
            let request = v1::GetBlobRequest { blob: Some(encode_blob(&blob)), offset };
            let failed = |status: Status| Error::from_status(&status, &self.url);
            let mut stream =
                self.service.clone().get_blob(request).await.map_err(failed)?.into_inner();
            let first = stream.message().await.map_err(failed)?.and_then(|first| first.kind);
            let unreadable = |problem| Error::Unreadable { url: self.url.clone(), problem };
            let Some(GetKind::Begin(begin)) = first else {
                return Err(unreadable(Problem::new("kind", "expected begin")));
            };
            let outline = Outline::from_bytes(blob, &begin.chunk_hashes).map_err(|error| {
                unreadable(Problem::new("begin.chunk_hashes", error.to_string()))
            })?;
            Ok(Download { outline, stream, url: self.url.clone() })
        })
    }

    /// How much the coordinator keeps and has transferred.
    ///
    /// # Errors
    /// The request failed.
    pub fn usage(&self) -> Request<'_, ArtifactUsage> {
        Box::pin(async move {
            let request = v1::GetArtifactUsageRequest {};
            let reply = self.service.clone().get_artifact_usage(request).await;
            let reply = reply.map_err(|status| Error::from_status(&status, &self.url))?;
            let v1::ArtifactUsage { blobs, bytes, bytes_sent, bytes_received } = reply.into_inner();
            Ok(ArtifactUsage { blobs, bytes, bytes_sent, bytes_received })
        })
    }
}

/// Whether another attempt may succeed: the connection broke, the coordinator is busy, a chunk was
/// damaged on its way, or another client has continued the same upload.
fn may_pass(status: &Status) -> bool {
    match class_of(status) {
        ErrorClass::Unavailable | ErrorClass::Busy | ErrorClass::Stale | ErrorClass::Corrupt => {
            true
        }
        ErrorClass::Invalid
        | ErrorClass::NotFound
        | ErrorClass::Exists
        | ErrorClass::Refused
        | ErrorClass::Internal => false,
    }
}

/// A blob that arrives. Dropping it tells the coordinator to send no more.
#[derive(Debug)]
pub struct Download {
    outline: Outline,
    stream: Streaming<v1::GetBlobResponse>,
    url: String,
}

impl Download {
    /// The hashes of its chunks, which belong to the name.
    pub const fn outline(&self) -> &Outline {
        &self.outline
    }

    /// Waits for the next chunk: its offset and its bytes, which the caller verifies with
    /// [`Intake`](caviar_blob::Intake). `None` after the last one.
    ///
    /// # Errors
    /// The connection broke, or the coordinator cannot read the blob.
    pub async fn next(&mut self) -> Result<Option<(u64, Vec<u8>)>, Error> {
        let received = self.stream.message().await;
        let received = received.map_err(|status| Error::from_status(&status, &self.url))?;
        match received.map(|message| message.kind) {
            None => Ok(None),
            Some(Some(GetKind::Chunk(chunk))) => Ok(Some((chunk.offset, chunk.data))),
            Some(Some(GetKind::Begin(_)) | None) => Err(Error::Unreadable {
                url: self.url.clone(),
                problem: Problem::new("kind", "expected a chunk"),
            }),
        }
    }
}
