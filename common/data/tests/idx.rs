//! IDX files, correct and faulty.

#![expect(clippy::unwrap_used, reason = "a test that cannot continue should panic")]

use std::io::Write;
use std::path::{Path, PathBuf};

use caviar_common::data::DataSpec;
use caviar_data::Targets;
use caviar_data::{DataError, Dataset, load, prepare};
use flate2::Compression;
use flate2::write::GzEncoder;

/// A directory with an image file and a label file.
struct Files {
    directory: tempfile::TempDir,
    images: PathBuf,
    labels: PathBuf,
}

impl Files {
    fn new(images: &[u8], labels: &[u8]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (image_path, label_path) = (
            directory.path().join("images-idx3-ubyte"),
            directory.path().join("labels-idx1-ubyte"),
        );
        std::fs::write(&image_path, images).unwrap();
        std::fs::write(&label_path, labels).unwrap();
        Self { directory, images: image_path, labels: label_path }
    }

    fn load(&self) -> Result<Dataset, DataError> {
        load(&spec(&self.images, &self.labels))
    }

    #[track_caller]
    fn rejects(&self, field: &str, message: &str) {
        let error = self.load().unwrap_err();
        let directory = format!("{}/", self.directory.path().display());
        assert_eq!(
            (error.field(), error.to_string().replace(&directory, "").as_str()),
            (field, message)
        );
    }
}

fn spec(images: &Path, labels: &Path) -> DataSpec {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    DataSpec {
        source: text(images),
        labels: Some(text(labels)),
        validation: 0.25,
        test: 0.1,
        ..DataSpec::default()
    }
}

fn idx(sizes: &[u32], content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, u8::try_from(sizes.len()).unwrap()];
    bytes.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    bytes.extend(content);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Four images of 1 x 2 pixels.
fn images() -> Vec<u8> {
    idx(&[4, 1, 2], &[0, 255, 1, 2, 3, 4, 5, 6])
}

fn labels() -> Vec<u8> {
    idx(&[4], &[7, 0, 7, 0])
}

#[test]
fn images_become_rows_of_pixels() {
    let data = Files::new(&images(), &labels()).load().unwrap();
    assert_eq!([data.column(0), data.column(1)], [[0.0, 1.0, 3.0, 5.0], [255.0, 2.0, 4.0, 6.0]]);
    assert_eq!(data.targets(), &Targets::Classes(vec![1, 0, 1, 0]));
    assert_eq!(data.classes(), ["0", "7"]);
    assert_eq!(data.column_names(), ["pixel_0_0", "pixel_0_1"]);
}

#[test]
fn gzip_is_recognised_by_its_content_and_changes_nothing() {
    let plain = Files::new(&images(), &labels()).load().unwrap();
    assert_eq!(Files::new(&gzip(&images()), &gzip(&labels())).load().unwrap(), plain);
    let files = Files::new(&images(), &labels());
    let renamed = files.directory.path().join("Images.IDX.GZ");
    std::fs::copy(&files.images, &renamed).unwrap();
    assert_eq!(load(&spec(&renamed, &files.labels)).unwrap(), plain);
    let two_members = [gzip(&images()[..9]), gzip(&images()[9..])].concat();
    assert_eq!(Files::new(&two_members, &labels()).load().unwrap(), plain);
}

#[test]
fn a_faulty_header_is_refused() {
    Files::new(&[], &labels()).rejects("data.source", "images-idx3-ubyte: the file is empty");
    Files::new(&images(), &[0, 0]).rejects(
        "data.labels",
        "labels-idx1-ubyte: ends after 2 bytes: expected 4, as its header says",
    );
    Files::new(&images()[..10], &labels()).rejects(
        "data.source",
        "images-idx3-ubyte: ends after 10 bytes: expected 16, as its header says",
    );
    Files::new(&labels(), &labels()).rejects(
        "data.source",
        "images-idx3-ubyte: starts with 00000801: expected 00000803, an IDX file of images \
         (unsigned bytes, 3 dimensions)",
    );
    Files::new(&images(), &images()).rejects(
        "data.labels",
        "labels-idx1-ubyte: starts with 00000803: expected 00000801, an IDX file of labels \
         (unsigned bytes, 1 dimension)",
    );
    let nothing = "images-idx3-ubyte: has no features: expected a table with at least one column \
                   in addition to the label, or images of at least one pixel; if a character other \
                   than a comma separates the columns, set delimiter";
    Files::new(&idx(&[4, 0, 2], &[]), &labels()).rejects("data.source", nothing);
}

#[test]
fn sizes_are_checked_before_anything_is_stored() {
    let large = "images-idx3-ubyte: too large: expected at most 1048576 features and \
                 536870912 numbers (rows times features)";
    for sizes in [[u32::MAX; 3], [4, 1025, 1024], [1 << 20, 32, 32]] {
        Files::new(&idx(&sizes, &[]), &labels()).rejects("data.source", large);
    }
    // Within the limit: the header gives 512 MiB, and the file ends after the header.
    let (images, labels) = (idx(&[1 << 19, 32, 32], &[]), idx(&[1 << 19], &[]));
    Files::new(&images, &labels).rejects(
        "data.source",
        "images-idx3-ubyte: ends after 16 bytes: expected 536870928, as its header says",
    );
}

#[test]
fn a_content_that_does_not_match_its_header_is_refused() {
    Files::new(&images()[..23], &labels()).rejects(
        "data.source",
        "images-idx3-ubyte: ends after 23 bytes: expected 24, as its header says",
    );
    Files::new(&images(), &idx(&[4], &[7])).rejects(
        "data.labels",
        "labels-idx1-ubyte: ends after 9 bytes: expected 12, as its header says",
    );
    let long = [images(), vec![0]].concat();
    Files::new(&long, &labels()).rejects(
        "data.source",
        "images-idx3-ubyte: continues after byte 24: expected its end there, as its header \
         says",
    );
    let five = idx(&[5], &[7, 0, 7, 0, 1]);
    Files::new(&images(), &five).rejects(
        "data.labels",
        "labels-idx1-ubyte: has 5 labels: expected 4, one for each image of images-idx3-ubyte",
    );
    let same = idx(&[4], &[3; 4]);
    let one = "images-idx3-ubyte: every row has the label \"3\": expected at least two different \
               labels";
    Files::new(&images(), &same).rejects("data.labels", one);
}

#[test]
fn damaged_gzip_is_an_error() {
    let packed = gzip(&images());
    for end in [5, packed.len() - 12, packed.len() - 1] {
        let error = Files::new(&packed[..end], &labels()).load().unwrap_err();
        assert!(error.to_string().contains("cannot be read after byte"), "{end}: {error}");
    }
    let followed = [packed.clone(), b"garbage".to_vec()].concat();
    let error = Files::new(&followed, &labels()).load().unwrap_err();
    assert!(error.to_string().contains("cannot be read after byte 24"), "{error}");
    let mut wrong_sum = packed;
    let at = wrong_sum.len() - 6;
    wrong_sum[at] ^= 1;
    let error = Files::new(&wrong_sum, &labels()).load().unwrap_err();
    assert!(error.to_string().contains("cannot be read after byte 24"), "{error}");
}

#[test]
fn a_gzip_bomb_is_not_read_beyond_the_size_in_its_header() {
    let bomb = gzip(&[images(), vec![0; 1 << 26]].concat());
    assert!(bomb.len() < 1 << 17);
    Files::new(&bomb, &labels()).rejects(
        "data.source",
        "images-idx3-ubyte: continues after byte 24: expected its end there, as its header \
         says",
    );
}

#[test]
fn the_label_file_must_be_given_and_exist() {
    let files = Files::new(&images(), &labels());
    let error = load(&DataSpec { labels: None, ..spec(&files.images, &files.labels) }).unwrap_err();
    assert_eq!(error.field(), "data.labels");
    assert!(
        error.to_string().starts_with("missing: expected the path of the label file of /"),
        "{error}"
    );
    let error = load(&spec(&files.images, Path::new("none"))).unwrap_err();
    assert_eq!(error.field(), "data.labels");
    let error =
        load(&DataSpec { label: Some("k".to_owned()), ..spec(&files.images, &files.labels) })
            .unwrap_err();
    assert_eq!(error.field(), "data.label");
}

#[test]
fn mnist_is_read_where_it_exists() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/mnist10k"));
    if !folder.exists() {
        eprintln!("skipped: {} does not exist", folder.display());
        return;
    }
    let spec = spec(
        &folder.join("train-images-idx3-ubyte.gz"),
        &folder.join("train-labels-idx1-ubyte.gz"),
    );
    let (splits, summary) = prepare(&spec, 7).unwrap();
    assert_eq!((summary.train, summary.validation, summary.test), (5200, 2000, 800));
    assert_eq!((summary.features, summary.outputs), (784, 10));
    assert!(splits.train.features.in_memory().unwrap().iter().all(|pixel| pixel.is_finite()));
}
