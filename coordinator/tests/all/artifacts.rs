//! `ArtifactService` and the blocks of sweeps.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use caviar_blob::{BlobName, Outline, Source};
use caviar_common::data::DataSpec;
use caviar_common::spec::SweepSpec;
use caviar_coordinator::artifacts::Settings;
use caviar_coordinator::{Server, ServerConfig, start_with};
use caviar_data::{BlockSource, load};
use caviar_proto::convert::artifacts::encode_blob;
use caviar_proto::v1;
use caviar_proto::v1::artifact_service_client::ArtifactServiceClient;
use caviar_proto::v1::get_blob_response::Kind as GetKind;
use caviar_proto::v1::put_blob_request::Kind as PutKind;
use caviar_proto::v1::sweep_service_client::SweepServiceClient;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::support;

/// A coordinator, and a client of its artifacts and sweeps.
struct Running {
    server: Server,
    blobs: ArtifactServiceClient<Channel>,
    sweeps: SweepServiceClient<Channel>,
    directory: tempfile::TempDir,
}

async fn running(settings: Settings) -> Running {
    running_in(tempfile::tempdir().unwrap(), settings, true).await
}

async fn running_in(directory: tempfile::TempDir, settings: Settings, ticks: bool) -> Running {
    let config = support::config(&directory.path().join("caviar.db"));
    let server = start_with(ServerConfig { ticks, ..config }, settings).await.unwrap();
    let channel = support::connect(&server).await;
    let blobs = ArtifactServiceClient::new(channel.clone());
    Running { server, blobs, sweeps: SweepServiceClient::new(channel), directory }
}

impl Running {
    fn folder(&self) -> PathBuf {
        self.directory.path().join("caviar.db.artifacts")
    }

    fn file(&self, blob: &Outline) -> PathBuf {
        self.folder().join("blobs").join(blob.blob().name.to_string())
    }

    /// The files of uploads that are not complete.
    fn partial(&self) -> usize {
        std::fs::read_dir(self.folder().join("partial")).map_or(0, Iterator::count)
    }

    async fn missing(&mut self, blob: &Outline) -> Option<u64> {
        let request = v1::FindMissingRequest { blobs: vec![encode_blob(&blob.blob())] };
        let reply = self.blobs.find_missing(request).await.unwrap().into_inner();
        reply.missing.first().map(|missing| missing.offset)
    }

    async fn put(&mut self, messages: Vec<v1::PutBlobRequest>) -> Result<bool, Status> {
        let reply = self.blobs.put_blob(tokio_stream::iter(messages)).await?;
        Ok(reply.into_inner().stored)
    }

    async fn get(&mut self, blob: &Outline, offset: u64) -> Result<Vec<u8>, Status> {
        let request = v1::GetBlobRequest { blob: Some(encode_blob(&blob.blob())), offset };
        let mut stream = self.blobs.get_blob(request).await?.into_inner();
        let mut bytes = Vec::new();
        while let Some(message) = stream.next().await.transpose()? {
            match message.kind.unwrap() {
                GetKind::Begin(begin) => assert_eq!(begin.chunk_hashes, blob.to_bytes()),
                GetKind::Chunk(chunk) => {
                    blob.verify(chunk.offset, &chunk.data).unwrap();
                    bytes.extend(chunk.data);
                }
            }
        }
        Ok(bytes)
    }

    async fn usage(&mut self) -> v1::ArtifactUsage {
        self.blobs.get_artifact_usage(v1::GetArtifactUsageRequest {}).await.unwrap().into_inner()
    }

    async fn create(&mut self, spec: &SweepSpec, block: &Outline) -> Result<v1::Sweep, Status> {
        let block = Some(encode_blob(&block.blob()));
        let request = support::create(spec.name.as_str(), spec);
        let request = v1::CreateSweepRequest { block, ..request };
        self.sweeps.create_sweep(request).await.map(tonic::Response::into_inner)
    }
}

/// A blob of three chunks and a bit, which differs for each `seed`.
fn blob(seed: u32) -> (Vec<u8>, Outline) {
    let words = 0..800_000u32;
    let bytes: Vec<u8> = words.flat_map(|i| (i ^ seed.wrapping_mul(77)).to_le_bytes()).collect();
    let outline = Outline::of(&bytes).unwrap();
    (bytes, outline)
}

fn begin(outline: &Outline, offset: u64) -> v1::PutBlobRequest {
    let begin = v1::BeginPut {
        blob: Some(encode_blob(&outline.blob())),
        chunk_hashes: outline.to_bytes(),
        offset,
    };
    v1::PutBlobRequest { kind: Some(PutKind::Begin(begin)) }
}

fn chunk(offset: u64, data: Vec<u8>) -> v1::PutBlobRequest {
    v1::PutBlobRequest { kind: Some(PutKind::Chunk(v1::Chunk { offset, data })) }
}

/// All messages of an upload from `offset` on.
fn messages(outline: &Outline, source: &dyn Source, offset: u64) -> Vec<v1::PutBlobRequest> {
    let chunks = outline.chunks_from(offset);
    let chunks = chunks.map(|(at, n)| chunk(at, source.chunk(at, n).unwrap().into_owned()));
    std::iter::once(begin(outline, offset)).chain(chunks).collect()
}

/// Removes what no sweep needs at once, and looks often.
fn impatient() -> Settings {
    Settings {
        grace: Duration::ZERO,
        partial_age: Duration::ZERO,
        collect_every: Duration::from_millis(5),
        ..Settings::default()
    }
}

#[tokio::test]
async fn a_blob_is_stored_once_privately_and_served_from_any_chunk() {
    let mut it = running(Settings::default()).await;
    let (bytes, outline) = blob(1);
    assert!(!it.folder().exists(), "a store without blobs has no folder for them");
    assert_eq!(it.missing(&outline).await, Some(0));
    assert!(it.put(messages(&outline, &bytes, 0)).await.unwrap());
    assert_eq!(it.missing(&outline).await, None);
    assert!(!it.put(messages(&outline, &bytes, 0)).await.unwrap(), "the second time is a no-op");
    assert_eq!(it.get(&outline, 0).await.unwrap(), bytes);
    assert_eq!(it.get(&outline, 2 << 20).await.unwrap(), bytes[2 << 20..]);
    for wrong in [1, 4 << 20, u64::MAX] {
        let status = it.get(&outline, wrong).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    }
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&it.folder()), mode(&it.file(&outline))), (0o700, 0o600));
    assert_eq!(it.partial(), 0);
    let usage = it.usage().await;
    assert_eq!((usage.blobs, usage.bytes, usage.bytes_received), (1, 3_200_000, 3_200_000));
    assert_eq!(usage.bytes_sent, 3_200_000 + 3_200_000 - (2 << 20));

    // A coordinator that starts again still has it.
    let Running { server, directory, .. } = it;
    server.stop().await.unwrap();
    let mut it = running_in(directory, Settings::default(), true).await;
    assert_eq!(it.missing(&outline).await, None);
    assert_eq!(it.get(&outline, 0).await.unwrap(), bytes);
}

#[tokio::test]
async fn a_damaged_chunk_is_refused_and_the_upload_continues_before_it() {
    let mut it = running(Settings::default()).await;
    let (bytes, outline) = blob(1);
    let mut damaged = bytes.clone();
    damaged[(2 << 20) + 5] ^= 1;
    let status = it.put(messages(&outline, &damaged, 0)).await.unwrap_err();
    assert_eq!(status.code(), Code::DataLoss, "{status}");
    assert!(status.message().contains("the chunk at byte 2097152 of blob "), "{status}");
    assert_eq!(it.missing(&outline).await, Some(2 << 20));
    assert!(!it.file(&outline).exists());

    let status = it.put(messages(&outline, &bytes, 1 << 20)).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted, "{status}");
    assert!(it.put(messages(&outline, &bytes, 2 << 20)).await.unwrap());
    assert_eq!(it.get(&outline, 0).await.unwrap(), bytes);
    assert_eq!(it.usage().await.bytes_received, 3_200_000, "no chunk was received twice");
    assert_eq!(it.partial(), 0);
}

#[tokio::test]
async fn an_upload_whose_connection_breaks_continues() {
    let mut it = running(Settings::default()).await;
    let (bytes, outline) = blob(1);
    let mut first = messages(&outline, &bytes, 0);
    first.truncate(3);
    let (sender, receiver) = mpsc::channel(8);
    for message in first {
        sender.send(message).await.unwrap();
    }
    let channel = support::connect(&it.server).await;
    let call = tokio::spawn(async move {
        ArtifactServiceClient::new(channel).put_blob(ReceiverStream::new(receiver)).await
    });
    while it.usage().await.bytes_received < 2 << 20 {}
    assert_eq!(it.missing(&outline).await, Some(0), "it still runs");
    // The client is gone, with its connection.
    call.abort();
    while it.missing(&outline).await == Some(0) {}
    assert_eq!(it.missing(&outline).await, Some(2 << 20));
    assert!(it.put(messages(&outline, &bytes, 2 << 20)).await.unwrap());
    assert_eq!(it.get(&outline, 0).await.unwrap(), bytes);
}

#[tokio::test]
async fn wrong_messages_are_refused_by_field() {
    let mut it = running(Settings::default()).await;
    let (bytes, outline) = blob(1);
    let all = messages(&outline, &bytes, 0);
    let wrong_hashes = {
        let mut begin = begin(&outline, 0);
        if let Some(PutKind::Begin(begin)) = &mut begin.kind {
            begin.chunk_hashes[40] ^= 1;
        }
        begin
    };
    let cases = [
        (vec![], "kind: expected begin"),
        (vec![all[1].clone()], "kind: expected begin"),
        (vec![all[0].clone(), all[0].clone()], "kind: expected a chunk"),
        (vec![wrong_hashes], "begin.chunk_hashes: the hashes of the chunks are those of"),
        (vec![all[0].clone(), all[2].clone()], "expected 1048576 bytes at byte 0"),
        (vec![all[0].clone(), chunk(0, vec![0; 9])], "expected 1048576 bytes at byte 0"),
        (all[..2].to_vec(), "ends after 1048576 of 3200000 bytes"),
    ];
    for (messages, expected) in cases {
        let status = it.put(messages).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains(expected), "{status}");
    }
    let (_, other) = blob(2);
    assert_eq!(it.get(&other, 0).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn uploads_are_limited_in_number_and_in_bytes() {
    let settings = Settings { limit: "5MiB".parse().unwrap(), ..Settings::default() };
    let mut it = running(settings).await;
    let (bytes, outline) = blob(1);
    assert!(it.put(messages(&outline, &bytes, 0)).await.unwrap());
    let (bytes, outline) = blob(2);
    let status = it.put(messages(&outline, &bytes, 0)).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(
        status.message(),
        "the artifacts take 3200000 of 5242880 bytes, and a blob of 3200000 bytes does not fit; \
         hint: delete sweeps that are not needed any more, or raise --artifact-limit"
    );

    let small = vec![1u8];
    let mut held = Vec::new();
    for i in 0..caviar_common::limits::MAX_PUTS {
        let bytes = i.to_le_bytes().to_vec();
        let (sender, receiver) = mpsc::channel(1);
        sender.send(begin(&Outline::of(&bytes).unwrap(), 0)).await.unwrap();
        let mut blobs = it.blobs.clone();
        held.push((
            sender,
            tokio::spawn(async move {
                let _cancelled = blobs.put_blob(ReceiverStream::new(receiver)).await;
            }),
        ));
    }
    while it.partial() < held.len() {
        tokio::task::yield_now().await;
    }
    let one_more = messages(&Outline::of(&small).unwrap(), &small, 0);
    let status = it.put(one_more.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    drop(held);
    while it.partial() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(it.put(one_more).await.unwrap(), "the others have ended");
}

#[tokio::test]
async fn two_writers_of_the_same_blob_do_no_harm() {
    let mut it = running(Settings::default()).await;
    let (bytes, outline) = blob(1);
    let mut calls = Vec::new();
    let mut senders = Vec::new();
    for _ in 0..2 {
        let (sender, receiver) = mpsc::channel(1);
        let mut blobs = it.blobs.clone();
        calls
            .push(tokio::spawn(async move { blobs.put_blob(ReceiverStream::new(receiver)).await }));
        senders.push(sender);
    }
    for (i, message) in messages(&outline, &bytes, 0).into_iter().enumerate() {
        for sender in &senders {
            sender.send(message.clone()).await.unwrap();
        }
        // Neither may end before the other one has begun.
        while i == 0 && it.partial() < senders.len() {
            assert!(!calls.iter().any(tokio::task::JoinHandle::is_finished), "refused");
            tokio::task::yield_now().await;
        }
    }
    drop(senders);
    for call in calls {
        assert!(call.await.unwrap().unwrap().into_inner().stored);
    }
    assert_eq!(it.get(&outline, 0).await.unwrap(), bytes);
    let usage = it.usage().await;
    assert_eq!((usage.blobs, usage.bytes, it.partial()), (1, 3_200_000, 0));
}

#[tokio::test]
async fn a_damaged_file_is_never_served_and_can_be_uploaded_again() {
    let mut it = running(Settings::default()).await;
    let (bytes, outline) = blob(1);
    it.put(messages(&outline, &bytes, 0)).await.unwrap();
    let mut damaged = bytes.clone();
    damaged[3_000_000] ^= 1;
    std::fs::write(it.file(&outline), damaged).unwrap();
    let status = it.get(&outline, 0).await.unwrap_err();
    assert_eq!(status.code(), Code::DataLoss, "{status}");
    assert_eq!(it.missing(&outline).await, Some(0));
    it.put(messages(&outline, &bytes, 0)).await.unwrap();
    assert_eq!(it.get(&outline, 0).await.unwrap(), bytes);

    std::fs::remove_file(it.file(&outline)).unwrap();
    assert_eq!(it.get(&outline, 0).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(it.missing(&outline).await, Some(0), "a lost file can be uploaded again");
}

#[tokio::test]
async fn what_uploads_leave_is_removed_after_a_time_and_at_the_start() {
    let mut it = running(Settings { partial_age: Duration::ZERO, ..impatient() }).await;
    let (bytes, outline) = blob(1);
    it.put(messages(&outline, &bytes, 0)[..2].to_vec()).await.unwrap_err();
    while it.missing(&outline).await != Some(0) || it.partial() > 0 {
        tokio::task::yield_now().await;
    }
    let Running { server, directory, .. } = it;
    server.stop().await.unwrap();
    let partial = directory.path().join("caviar.db.artifacts/partial");
    std::fs::write(partial.join("left-behind"), "x").unwrap();
    let it = running_in(directory, Settings::default(), true).await;
    assert_eq!(it.partial(), 0);
}

/// A data set of its own, and a sweep on it.
fn csv(directory: &Path) -> (PathBuf, SweepSpec) {
    let path = directory.join("own.csv");
    let rows = (0..60).map(|i| format!("{}.25,{i},{}\n", i % 7, ["a", "b"][i % 2]));
    std::fs::write(&path, format!("x,y,k\n{}", rows.collect::<String>())).unwrap();
    let spec = support::spec("own", 2, 1);
    let source = path.to_str().unwrap().to_owned();
    let data = DataSpec { source, label: Some("k".to_owned()), ..spec.data };
    (path, SweepSpec { data, ..spec })
}

/// The block of the data of a sweep.
fn block(spec: &SweepSpec) -> (Vec<u8>, Outline) {
    let data = load(&spec.data).unwrap();
    let source = BlockSource::new(&data).unwrap();
    let bytes = source.chunk(0, usize::try_from(source.bytes()).unwrap()).unwrap().into_owned();
    let outline = Outline::of(&bytes).unwrap();
    (bytes, outline)
}

#[tokio::test]
async fn a_sweep_on_a_block_needs_no_file_and_frees_the_block_when_it_is_deleted() {
    let mut it = running(impatient()).await;
    let (path, spec) = csv(it.directory.path());
    let (bytes, outline) = block(&spec);
    let request =
        support::create("by-path", &SweepSpec { name: support::name("path"), ..spec.clone() });
    let by_path = it.sweeps.create_sweep(request).await.unwrap().into_inner();
    std::fs::remove_file(path).unwrap();

    // Blobs that nobody refers to vanish at once here, so the sweep may have to try again.
    let sweep = loop {
        it.put(messages(&outline, &bytes, 0)).await.unwrap();
        match it.create(&spec, &outline).await {
            Ok(sweep) => break sweep,
            Err(status) => assert_eq!(status.code(), Code::NotFound, "{status}"),
        }
    };
    let data = sweep.data.unwrap();
    assert_eq!(data.block, Some(encode_blob(&outline.blob())));
    let by_path = by_path.data.unwrap();
    assert_eq!(v1::DataSummary { block: None, ..data }, by_path);
    assert_eq!(it.missing(&outline).await, None);

    let sweep = || spec.name.to_string();
    it.sweeps.cancel_sweep(v1::CancelSweepRequest { sweep: sweep() }).await.unwrap();
    // Another blob is removed, so this one was looked at as well.
    let (other, other_outline) = blob(3);
    it.put(messages(&other_outline, &other, 0)).await.unwrap();
    while it.file(&other_outline).exists() {
        tokio::task::yield_now().await;
    }
    assert!(it.file(&outline).exists(), "a sweep that has ended still has its data");
    it.sweeps.delete_sweep(v1::DeleteSweepRequest { sweep: sweep() }).await.unwrap();
    while it.file(&outline).exists() {
        tokio::task::yield_now().await;
    }
    assert_eq!(it.missing(&outline).await, Some(0));
}

#[tokio::test]
async fn after_a_restart_a_sweep_still_keeps_its_block() {
    let mut it = running(Settings::default()).await;
    let (_, spec) = csv(it.directory.path());
    let (bytes, outline) = block(&spec);
    it.put(messages(&outline, &bytes, 0)).await.unwrap();
    let before = it.create(&spec, &outline).await.unwrap();
    let (other, other_outline) = blob(3);
    it.put(messages(&other_outline, &other, 0)).await.unwrap();
    let Running { server, directory, .. } = it;
    server.stop().await.unwrap();

    let mut it = running_in(directory, impatient(), true).await;
    while it.file(&other_outline).exists() {
        tokio::task::yield_now().await;
    }
    assert!(it.file(&outline).exists());
    let request = v1::GetSweepRequest { sweep: spec.name.to_string() };
    let after = it.sweeps.get_sweep(request).await.unwrap().into_inner();
    assert_eq!(after.data, before.data);
}

#[tokio::test]
async fn a_block_that_does_not_fit_the_sweep_is_refused_with_its_reason() {
    let mut it = running(Settings::default()).await;
    let (_, spec) = csv(it.directory.path());
    let (bytes, outline) = block(&spec);
    let status = it.create(&spec, &outline).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "{status}");
    assert!(status.message().ends_with("hint: upload it first"), "{status}");

    it.put(messages(&outline, &bytes, 0)).await.unwrap();
    let (junk, junk_outline) = blob(1);
    it.put(messages(&junk_outline, &junk, 0)).await.unwrap();
    let status = it.create(&spec, &junk_outline).await.unwrap_err();
    assert!(status.message().contains("it is not a block of data"), "{status}");

    let mut regression = spec.clone();
    regression.data.task = Some(caviar_common::data::Task::Regression);
    regression.objective.metric = caviar_common::metric::Metric::ValidationLoss;
    regression.objective.goal = caviar_common::spec::Goal::Minimize;
    let status = it.create(&regression, &outline).await.unwrap_err();
    let expected = "its task is classification: expected regression, as in data.task";
    assert!(status.message().contains(expected), "{status}");

    let mut tiny = spec.clone();
    tiny.data.validation = 0.001;
    let status = it.create(&tiny, &outline).await.unwrap_err();
    assert!(status.message().starts_with("data.validation = 0.001: "), "{status}");

    let name: BlobName = "00".repeat(32).parse().unwrap();
    let mut request = support::create("external", &spec);
    request.block = Some(v1::Blob { name: name.to_string(), bytes: 0 });
    let status = it.sweeps.create_sweep(request).await.unwrap_err();
    assert!(status.message().starts_with("block.bytes = 0: "), "{status}");
    assert!(it.create(&spec, &outline).await.is_ok());
}

#[tokio::test]
async fn a_coordinator_that_only_reads_stores_nothing() {
    let mut it = running_in(tempfile::tempdir().unwrap(), Settings::default(), false).await;
    let (bytes, outline) = blob(1);
    let status = it.put(messages(&outline, &bytes, 0)).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    assert!(!it.folder().exists());
}
