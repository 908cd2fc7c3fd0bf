//! `ArtifactService`: uploading and downloading blobs.
//!
//! An upload runs in a task of its own, so that a connection that breaks leaves what has arrived
//! for the next attempt. Every chunk is verified before it is written, and verified again before it
//! is sent.

use std::sync::Arc;
use std::time::Duration;

use caviar_blob::{Blob, BlobError, Outline};
use caviar_common::error::{ErrorClass, Problem};
use caviar_common::limits::CHUNK_BYTES;
use caviar_proto::convert::artifacts::{decode_blob, decode_blobs};
use caviar_proto::v1::artifact_service_server::ArtifactService;
use caviar_proto::v1::get_blob_response::Kind as GetKind;
use caviar_proto::v1::put_blob_request::Kind as PutKind;
use caviar_proto::{status, v1};
use tokio::time::timeout;
use tonic::{Request, Response, Status, Streaming};

use super::api::{Api, ResponseStream, driver_gone, invalid};
use super::watch::Responses;
use crate::artifacts::{ArtifactError, Putting, Usage};
use crate::driver::DriverGone;
use crate::trust::Caller;

/// How long a client may neither send nor read a chunk.
const SILENCE: Duration = Duration::from_secs(60);

/// Implements `ArtifactService` on the artifacts of the coordinator.
#[derive(Clone, Debug)]
pub(crate) struct Blobs(pub(crate) Api);

#[tonic::async_trait]
impl ArtifactService for Blobs {
    type GetBlobStream = ResponseStream<v1::GetBlobResponse>;

    async fn find_missing(
        &self,
        request: Request<v1::FindMissingRequest>,
    ) -> Result<Response<v1::FindMissingResponse>, Status> {
        let blobs = decode_blobs(request.into_inner().blobs).map_err(invalid)?;
        let artifacts = Arc::clone(&self.0.artifacts);
        let missing = blocking(move || artifacts.find_missing(&blobs)).await?.into_iter();
        let missing =
            missing.map(|(name, offset)| v1::MissingBlob { name: name.to_string(), offset });
        Ok(Response::new(v1::FindMissingResponse { missing: missing.collect() }))
    }

    async fn put_blob(
        &self,
        request: Request<Streaming<v1::PutBlobRequest>>,
    ) -> Result<Response<v1::PutBlobResponse>, Status> {
        let ended = Caller::of(&request).ended();
        let (api, messages) = (self.0.clone(), request.into_inner());
        let task = tokio::spawn(async move {
            tokio::select! {
                result = put(&api, messages) => result,
                status = ended => Err(status),
                () = api.stopped() => Err(driver_gone(DriverGone)),
            }
        });
        task.await.map_err(|_| panicked())?.map(Response::new)
    }

    async fn get_blob(
        &self,
        request: Request<v1::GetBlobRequest>,
    ) -> Result<Response<Self::GetBlobStream>, Status> {
        let v1::GetBlobRequest { blob, offset } = request.into_inner();
        let blob = decode_blob("blob", blob).map_err(invalid)?;
        if offset >= blob.bytes || !offset.is_multiple_of(CHUNK_BYTES) {
            let message = format!("expected a multiple of {CHUNK_BYTES} below {}", blob.bytes);
            return Err(invalid(Problem::with_value("offset", offset, message)));
        }
        Ok(Response::new(self.0.stream(move |api, responses| async move {
            let result = send(&api, blob, offset, &responses).await;
            result.inspect_err(|status| tracing::warn!("sending {}: {status}", blob.name))
        })))
    }

    async fn get_artifact_usage(
        &self,
        _request: Request<v1::GetArtifactUsageRequest>,
    ) -> Result<Response<v1::ArtifactUsage>, Status> {
        let Usage { blobs, bytes, sent, received } = self.0.artifacts.usage();
        Ok(Response::new(v1::ArtifactUsage {
            blobs,
            bytes,
            bytes_sent: sent,
            bytes_received: received,
        }))
    }
}

/// Receives a blob.
async fn put(
    api: &Api,
    mut messages: Streaming<v1::PutBlobRequest>,
) -> Result<v1::PutBlobResponse, Status> {
    let first = next(&mut messages).await?.and_then(|message| message.kind);
    let Some(PutKind::Begin(begin)) = first else {
        return Err(invalid(Problem::new("kind", "expected begin in the first message")));
    };
    let (blob, upload) = begin_put(api, begin).await?;
    let Some(mut upload) = upload else { return Ok(v1::PutBlobResponse { stored: false }) };
    while let Some(message) = next(&mut messages).await? {
        let Some(PutKind::Chunk(chunk)) = message.kind else {
            return Err(invalid(Problem::new("kind", "expected a chunk after begin")));
        };
        let push = move || {
            let pushed = upload.push(chunk.offset, &chunk.data);
            (pushed, upload)
        };
        let (pushed, returned) = blocking(push).await?;
        pushed.map_err(|error| failed(&error))?;
        upload = returned;
    }
    blocking(move || upload.finish()).await?.map_err(|error| failed(&error))?;
    tracing::info!(bytes = blob.bytes, "blob {} is stored", blob.name);
    Ok(v1::PutBlobResponse { stored: true })
}

/// The next message of an upload. A client that sends nothing must not keep others from uploading.
async fn next(
    messages: &mut Streaming<v1::PutBlobRequest>,
) -> Result<Option<v1::PutBlobRequest>, Status> {
    timeout(SILENCE, messages.message()).await.map_err(|_| silent("sent no chunk"))?
}

fn silent(what: &str) -> Status {
    let message = format!("the client has {what} for {SILENCE:?}");
    status::new(ErrorClass::Unavailable, message)
}

async fn begin_put(api: &Api, begin: v1::BeginPut) -> Result<(Blob, Option<Putting>), Status> {
    let v1::BeginPut { blob, chunk_hashes, offset } = begin;
    let blob = decode_blob("begin.blob", blob).map_err(invalid)?;
    let outline = Outline::from_bytes(blob, &chunk_hashes)
        .map_err(|error| invalid(Problem::new("begin.chunk_hashes", error.to_string())))?;
    let artifacts = Arc::clone(&api.artifacts);
    let begun = blocking(move || artifacts.begin(outline, offset)).await?;
    Ok((blob, begun.map_err(|error| failed(&error))?))
}

/// Sends a blob from `offset` on.
async fn send(
    api: &Api,
    blob: Blob,
    offset: u64,
    responses: &Responses<v1::GetBlobResponse>,
) -> Result<(), Status> {
    let _permit = api.artifacts.permission_to_send().await;
    let artifacts = Arc::clone(&api.artifacts);
    let opened = blocking(move || {
        let pin = artifacts.pin(blob)?;
        Ok((pin, artifacts.open_blob(blob)?))
    });
    let (_pin, opened) = opened.await?.map_err(|error| failed(&error))?;
    let opened = Arc::new(opened);
    let begin = v1::BeginGet { chunk_hashes: opened.1.to_bytes() };
    let mut message = GetKind::Begin(begin);
    let mut chunks = opened.1.chunks_from(offset);
    loop {
        let sent = responses.send(v1::GetBlobResponse { kind: Some(message) });
        if timeout(SILENCE, sent).await.map_err(|_| silent("read no chunk"))?.is_err() {
            return Ok(());
        }
        let Some((offset, length)) = chunks.next() else { break };
        let (artifacts, opened) = (Arc::clone(&api.artifacts), Arc::clone(&opened));
        let data = blocking(move || artifacts.read(&opened, offset, length)).await?;
        let data = data.map_err(|error| failed(&error))?;
        api.artifacts.count_sent(data.len());
        message = GetKind::Chunk(v1::Chunk { offset, data });
    }
    let bytes = blob.bytes - offset;
    tracing::info!(bytes, total = api.artifacts.usage().sent, "blob {} is sent", blob.name);
    Ok(())
}

/// Runs `work` on a thread that may block on the disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Status> {
    tokio::task::spawn_blocking(work).await.map_err(|_| panicked())
}

fn panicked() -> Status {
    status::new(ErrorClass::Internal, "internal error: a task of the artifacts panicked")
}

/// The status of a request about blobs that was not carried out.
pub(super) fn failed(error: &ArtifactError) -> Status {
    if let ArtifactError::Blob(BlobError::Order { .. }) = error {
        return invalid(Problem::new("chunk", error.to_string()));
    }
    status::new(error.class(), error.to_string())
}
