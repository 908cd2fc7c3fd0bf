//! Removals that fail or take long.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};

use caviar_common::error::ErrorClass;

use super::*;
use crate::artifacts::folder::Folder;

/// A folder that removes a blob when it is told to, and whether that works.
#[derive(Debug)]
struct Slow {
    folder: Folder,
    asked: Mutex<Sender<BlobName>>,
    works: Mutex<Receiver<bool>>,
}

impl Home for Slow {
    fn claim(&self, store: &str) -> io::Result<String> {
        self.folder.claim(store)
    }

    fn probe(&self) -> io::Result<()> {
        self.folder.probe()
    }

    fn partial(&self) -> io::Result<PathBuf> {
        self.folder.partial()
    }

    fn clean(&self) -> io::Result<()> {
        self.folder.clean()
    }

    fn accept(&self, outline: &Outline, file: &Path) -> io::Result<()> {
        self.folder.accept(outline, file)
    }

    fn open(&self, name: &BlobName) -> io::Result<Box<dyn Source + Send + Sync>> {
        self.folder.open(name)
    }

    fn outline(&self, name: &BlobName) -> io::Result<Option<Vec<u8>>> {
        self.folder.outline(name)
    }

    fn data(&self, name: &BlobName) -> io::Result<Bytes> {
        self.folder.data(name)
    }

    fn list(&self) -> io::Result<Vec<(Blob, Duration)>> {
        self.folder.list()
    }

    fn remove(&self, name: &BlobName) -> io::Result<()> {
        self.asked.lock().unwrap().send(*name).unwrap();
        let works = self.works.lock().unwrap().recv().unwrap();
        if works { self.folder.remove(name) } else { Err(io::Error::other("no connection")) }
    }
}

struct Kept {
    artifacts: Arc<Artifacts>,
    asked: Receiver<BlobName>,
    works: Sender<bool>,
    _folder: tempfile::TempDir,
}

fn kept() -> Kept {
    let folder = tempfile::tempdir().unwrap();
    let (ask, asked) = channel();
    let (works, answers) = channel();
    let home = Box::new(Slow {
        folder: Folder::new(folder.path().to_owned()),
        asked: Mutex::new(ask),
        works: Mutex::new(answers),
    });
    let settings = Settings { grace: Duration::ZERO, ..Settings::default() };
    let artifacts = Artifacts::with_home(
        home,
        settings,
        Owner { store: StoreId(1), place: String::new() },
        false,
    )
    .unwrap();
    Kept { artifacts, asked, works, _folder: folder }
}

impl Kept {
    fn upload(&self) -> Blob {
        let bytes = b"bytes".to_vec();
        let outline = Outline::of(&bytes).unwrap();
        let mut putting = self.artifacts.begin(outline.clone(), 0).unwrap().unwrap();
        putting.push(0, &bytes).unwrap();
        putting.finish().unwrap();
        outline.blob()
    }

    fn is_there(&self, blob: Blob) -> bool {
        self.artifacts.open_blob(blob).is_ok()
    }
}

#[test]
fn a_removal_that_failed_is_tried_again_unless_the_blob_was_uploaded_again() {
    let kept = kept();
    let (blob, none) = (kept.upload(), BTreeSet::new());
    kept.works.send(false).unwrap();
    assert_eq!(kept.artifacts.collect(&none), 1);
    assert_eq!(kept.asked.try_iter().count(), 1);
    assert_eq!(kept.artifacts.usage().blobs, 0);

    kept.works.send(true).unwrap();
    assert_eq!(kept.artifacts.collect(&none), 0);
    assert_eq!(kept.asked.try_iter().collect::<Vec<_>>(), [blob.name]);
    assert_eq!(kept.artifacts.collect(&none), 0);
    assert_eq!(kept.asked.try_iter().count(), 0, "it is gone");

    kept.upload();
    kept.works.send(false).unwrap();
    kept.artifacts.collect(&none);
    assert_eq!(kept.asked.try_iter().count(), 1);
    kept.upload();
    assert_eq!(kept.artifacts.collect(&BTreeSet::from([blob.name])), 0);
    assert_eq!(kept.asked.try_iter().count(), 0);
    assert!(kept.is_there(blob));
}

#[test]
fn while_a_blob_is_being_removed_questions_are_answered_and_an_upload_of_it_waits() {
    let kept = kept();
    let blob = kept.upload();
    std::thread::scope(|threads| {
        let removing = threads.spawn(|| kept.artifacts.collect(&BTreeSet::new()));
        assert_eq!(kept.asked.recv().unwrap(), blob.name);
        // The removal is under way.
        assert_eq!(kept.artifacts.find_missing(&[blob]), [(blob.name, 0)]);
        assert!(matches!(kept.artifacts.pin(blob), Err(ArtifactError::Missing(_))));
        let artifacts = Arc::clone(&kept.artifacts);
        let outline = Outline::of(&b"bytes".to_vec()).unwrap();
        let mut putting = artifacts.begin(outline, 0).unwrap().unwrap();
        putting.push(0, b"bytes").unwrap();
        let uploading = threads.spawn(move || putting.finish());
        // An upload that does not wait ends in this time, and one that waits never does.
        let ended = (0..200_000).any(|_| {
            std::thread::yield_now();
            uploading.is_finished()
        });
        kept.works.send(true).unwrap();
        assert!(!ended, "it did not wait");
        assert_eq!(removing.join().unwrap(), 1);
        uploading.join().unwrap().unwrap();
    });
    assert!(kept.is_there(blob), "the upload came after the removal");
    assert_eq!(kept.artifacts.find_missing(&[blob]), []);
}

#[test]
fn a_place_belongs_to_the_store_that_used_it_first() {
    let folder = tempfile::tempdir().unwrap();
    let open = |store| {
        let home = Box::new(Folder::new(folder.path().to_owned()));
        let owner = Owner { store: StoreId(store), place: "here".to_owned() };
        let settings = Settings { grace: Duration::ZERO, ..Settings::default() };
        Artifacts::with_home(home, settings, owner, false)
    };
    let upload = |artifacts: &Arc<Artifacts>, bytes: &[u8]| {
        let bytes = bytes.to_vec();
        let outline = Outline::of(&bytes).unwrap();
        let mut putting = artifacts.begin(outline.clone(), 0)?.unwrap();
        putting.push(0, &bytes)?;
        putting.finish()?;
        Ok::<Blob, ArtifactError>(outline.blob())
    };
    // Nobody has it until there is a blob.
    let (first, second) = (open(1).unwrap(), open(2).unwrap());
    let blob = upload(&first, b"bytes").unwrap();
    let error = upload(&second, b"other").unwrap_err();
    assert_eq!(error.class(), ErrorClass::Refused);
    let text = error.to_string();
    assert!(text.contains("in here belong to the store 1, and this one is 2"), "{text}");
    // A coordinator with another store, which would remove the blob, does not start.
    assert!(matches!(open(3).unwrap_err(), ArtifactError::Foreign { .. }));
    assert_eq!(open(1).unwrap().find_missing(&[blob]), []);
}

#[test]
fn an_upload_with_another_size_is_not_continued() {
    let kept = kept();
    let bytes = vec![7; 3 << 20];
    let outline = Outline::of(&bytes).unwrap();
    let Blob { name, bytes: size } = outline.blob();
    // A client that does not keep the protocol names a wrong size, and stops.
    let short = Blob { name, bytes: size - 1 };
    let wrong = Outline::from_bytes(short, &outline.to_bytes()).unwrap();
    let mut putting = kept.artifacts.begin(wrong, 0).unwrap().unwrap();
    putting.push(0, &bytes[..1 << 20]).unwrap();
    drop(putting);
    let error = kept.artifacts.begin(outline.clone(), 1 << 20).unwrap_err();
    assert!(matches!(error, ArtifactError::Offset { .. }), "{error}");
    assert_eq!(kept.artifacts.find_missing(&[outline.blob()]), [(name, 0)]);
    assert!(kept.artifacts.begin(outline, 0).unwrap().is_some());
}
