//! A bucket in memory, which fails when a test says so.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use futures_core::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path as Key;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use tokio_stream::StreamExt;

use super::*;
use crate::artifacts::bucket::Bucket;

pub(super) fn in_memory() -> Kept {
    bucket(Arc::new(InMemory::new()))
}

fn bucket(store: Arc<dyn ObjectStore>) -> Kept {
    let folder = tempfile::tempdir().unwrap();
    let address = "s3://bucket/some/prefix".parse().unwrap();
    let home = Bucket::with_store(store, address, folder.path().join("artifacts")).unwrap();
    Kept { home: Box::new(home), folder }
}

/// A store that can be broken.
#[derive(Debug, Default)]
struct Frail {
    store: InMemory,
    is_broken: AtomicBool,
    /// How many more parts of uploads succeed, if parts fail.
    parts: Option<AtomicUsize>,
    aborted: Arc<AtomicUsize>,
}

impl Frail {
    fn check(&self) -> Result<()> {
        if self.is_broken.load(Ordering::SeqCst) { Err(broken()) } else { Ok(()) }
    }
}

fn broken() -> Error {
    Error::Generic { store: "frail", source: "it is broken".into() }
}

impl fmt::Display for Frail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("frail")
    }
}

#[tonic::async_trait]
impl ObjectStore for Frail {
    async fn put_opts(
        &self,
        key: &Key,
        bytes: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.check()?;
        self.store.put_opts(key, bytes, options).await
    }

    async fn put_multipart_opts(
        &self,
        key: &Key,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.check()?;
        let upload = self.store.put_multipart_opts(key, options).await?;
        let left = self.parts.as_ref().map(|parts| parts.load(Ordering::SeqCst));
        Ok(Box::new(FrailUpload { upload, left, aborted: Arc::clone(&self.aborted) }))
    }

    async fn get_opts(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        self.check()?;
        self.store.get_opts(key, options).await
    }

    async fn get_ranges(&self, key: &Key, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.check()?;
        self.store.get_ranges(key, ranges).await
    }

    fn delete_stream(
        &self,
        keys: BoxStream<'static, Result<Key>>,
    ) -> BoxStream<'static, Result<Key>> {
        match self.check() {
            Ok(()) => self.store.delete_stream(keys),
            Err(error) => Box::pin(tokio_stream::once(Err(error))),
        }
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.check() {
            Ok(()) => self.store.list(prefix),
            // After a part of the list.
            Err(error) => {
                Box::pin(self.store.list(prefix).take(1).chain(tokio_stream::once(Err(error))))
            }
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct FrailUpload {
    upload: Box<dyn MultipartUpload>,
    left: Option<usize>,
    aborted: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl MultipartUpload for FrailUpload {
    fn put_part(&mut self, part: PutPayload) -> UploadPart {
        match &mut self.left {
            Some(0) => Box::pin(async { Err(broken()) }),
            left => {
                if let Some(left) = left {
                    *left -= 1;
                }
                self.upload.put_part(part)
            }
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.upload.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.aborted.fetch_add(1, Ordering::SeqCst);
        self.upload.abort().await
    }
}

#[test]
fn a_store_that_fails_is_an_error_and_loses_nothing() {
    let store = Arc::new(Frail::default());
    let kept = bucket(store.clone());
    let (one, two) = (kept.stored(b"one"), kept.stored(b"two"));
    let name = one.blob().name;
    let source = kept.home.open(&name).unwrap();

    store.is_broken.store(true, Ordering::SeqCst);
    let errors = [
        kept.home.open(&name).map(drop).unwrap_err(),
        kept.home.data(&name).map(drop).unwrap_err(),
        kept.home.outline(&name).map(drop).unwrap_err(),
        kept.home.list().map(drop).unwrap_err(),
        kept.home.remove(&name).unwrap_err(),
        kept.home.probe().unwrap_err(),
        source.chunk(0, 3).map(drop).unwrap_err(),
        {
            let (outline, path) = kept.uploaded(b"three");
            let error = kept.home.accept(&outline, &path).unwrap_err();
            assert_eq!(fs::read(path).unwrap(), b"three", "the upload is still there");
            error
        },
    ];
    for error in errors {
        assert_ne!(error.kind(), ErrorKind::NotFound, "{error}");
        let text = error.to_string();
        assert!(
            text.contains("s3://bucket/some/prefix: ") && text.contains("it is broken"),
            "{text}"
        );
    }

    store.is_broken.store(false, Ordering::SeqCst);
    let mut expected = [one.blob(), two.blob()];
    expected.sort_by_key(|blob| blob.name);
    assert_eq!(kept.listed(), expected);
    assert_eq!(*source.chunk(0, 3).unwrap(), *b"one");
}

#[test]
fn an_upload_whose_parts_fail_is_aborted_and_leaves_no_blob() {
    for good in 0..3 {
        let store = Arc::new(Frail { parts: Some(good.into()), ..Frail::default() });
        let kept = bucket(store.clone());
        let (outline, path) = kept.uploaded(&vec![7; 6 << 23]);
        kept.home.accept(&outline, &path).unwrap_err();
        assert_eq!(store.aborted.load(Ordering::SeqCst), 1, "after {good} parts");
        assert_eq!(kept.listed(), []);
    }
}

#[test]
fn objects_of_others_are_ignored_and_all_of_ours_have_the_prefix() {
    let store = Arc::new(InMemory::new());
    let kept = bucket(store.clone());
    let name = kept.stored(b"ours").blob().name;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let keys = runtime.block_on(async {
        use object_store::ObjectStoreExt;
        let other = Key::from("some/prefix/blobs/readme.txt");
        store.put(&other, "theirs".into()).await.unwrap();
        let objects: Vec<_> = store.list(None).collect().await;
        objects.into_iter().map(|object| object.unwrap().location.to_string()).collect::<Vec<_>>()
    });
    let ours = format!("some/prefix/blobs/{name}");
    assert_eq!(keys, [ours.clone(), ours + ".outline", "some/prefix/blobs/readme.txt".to_owned()]);
    assert_eq!(kept.listed().len(), 1);
    kept.home.clean().unwrap();
}

#[test]
fn a_bucket_is_used_and_dropped_on_the_threads_of_another_runtime() {
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    runtime.block_on(async {
        let kept = in_memory();
        let name = kept.stored(b"bytes").blob().name;
        assert_eq!(kept.read(&name), b"bytes");
    });
}
