//! Repeats the files that fuzzing found and those that it began with: `fuzz/README.md`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot continue should panic"
)]

#[path = "support/exercise.rs"]
mod exercise;
#[allow(dead_code, reason = "each file of tests uses a part")]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use exercise::{READERS, Reader};
use support::{Npy, npz, zip};

fn corpus(reader: &Reader) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(reader.name)
}

#[test]
fn every_file_of_the_corpus_gives_data_or_an_error() {
    for reader in &READERS {
        let folder = tempfile::tempdir().unwrap();
        let mut files: Vec<PathBuf> =
            fs::read_dir(corpus(reader)).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        assert!(files.len() >= 2, "{}", reader.name);
        for file in files {
            // The name of the file, if this panics.
            eprintln!("{}", file.display());
            reader.exercise(folder.path(), &fs::read(&file).unwrap());
        }
    }
}

const CSV: &str = "x,kind,day,k\n1.5,a,2024-01-02,yes\n2,b,2024-02-03,no\n,\"a, b\",,yes\n\
                   7e2,a,2024-03-04,no\n-3,b,2024-01-05,yes\n4,a,2024-06-07,no\n5,b,,yes\n";

/// The labels of a file, its length before it, and then the file.
fn with_labels(labels: &[u8], file: &[u8]) -> Vec<u8> {
    let length = u16::try_from(labels.len()).unwrap().to_le_bytes();
    [&length, labels, file].concat()
}

fn idx(sizes: &[u8], content: &[u8]) -> Vec<u8> {
    let dimensions = u8::try_from(sizes.len()).unwrap();
    let sizes = sizes.iter().flat_map(|size| [0, 0, 0, *size]);
    [0, 0, 8, dimensions].into_iter().chain(sizes).chain(content.iter().copied()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let numbers: Vec<f64> = (0..12u8).map(|n| f64::from(n * n) / 4.0).collect();
    let labels = [0, 1, 0, 1, 0, 1];
    let images: Vec<u8> = (0..24).collect();
    let list = Npy::whole("(6,)", &labels);
    let zstd = ruzstd::encoding::compress_to_vec;
    let zstd = zstd(CSV.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest);
    let utf16: Vec<u8> = CSV.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let classes = [0, 1, 0, 1, 0, 1];
    vec![
        ("text", "plain", CSV.into()),
        ("text", "semicolons", CSV.replace(", ", " ").replace(',', ";").into_bytes()),
        ("text", "carriage_returns", CSV.replace('\n', "\r").into_bytes()),
        ("text", "utf16", [&[0xff, 0xfe], &utf16[..]].concat()),
        ("text", "gzip", gzip(CSV.as_bytes())),
        ("text", "zstd", zstd),
        ("text", "zip", zip(&[("data.csv", CSV.into())])),
        ("libsvm", "plain", b"1 1:2 3:4\n0 2:1\n1 1:5\n0 3:2 # end\n1 1:1\n0 2:2\n".to_vec()),
        ("libsvm", "gzip", gzip(b"1 0:2 3:4\n0 2:1\n1 1:5\n0 3:2\n1 1:1\n0 2:2\n")),
        ("npz", "columns", {
            let texts = Npy::texts("(6,)", &["a", "b", "", "b", "a", "b"]);
            let x = Npy::floats("(6, 2)", &numbers);
            npz(&[("x", x), ("kind", texts), ("k", Npy::whole("(6,)", &labels))])
        }),
        ("npz", "images", npz(&[("x", Npy::bytes("(6, 2, 2)", &images)), ("k", list)])),
        ("npy", "columns", {
            let file = Npy::floats("(6, 2)", &numbers).file();
            with_labels(&Npy::whole("(6,)", &labels).file(), &file)
        }),
        ("npy", "images", {
            let file = Npy::bytes("(6, 2, 2)", &images).file();
            with_labels(&Npy::texts("(6,)", &["a", "b", "a", "b", "a", "b"]).file(), &file)
        }),
        ("idx", "plain", with_labels(&idx(&[6], &classes), &idx(&[6, 2, 2], &images))),
        ("idx", "gzip", with_labels(&gzip(&idx(&[6], &classes)), &gzip(&idx(&[6, 2, 2], &images)))),
    ]
}

#[cfg(feature = "arrow")]
fn columnar_seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray};
    use arrow_ipc::CompressionType;
    use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
    use parquet::arrow::ArrowWriter;
    use parquet::basic::{Compression, Encoding};
    use parquet::file::properties::{WriterProperties, WriterVersion};

    let x = vec![Some(1.0), None, Some(3.0), Some(4.0), Some(5.5), Some(-1.0)];
    let columns: [(&str, ArrayRef); 3] = [
        ("x", Arc::new(Float64Array::from(x))),
        ("kind", Arc::new(StringArray::from(vec!["a", "b", "a", "b", "c", "a"]))),
        ("k", Arc::new(BooleanArray::from(vec![true, false, true, false, true, false]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let write = |properties: WriterProperties| {
        let mut writer =
            ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    };
    let parquet = |compression| {
        let properties = WriterProperties::builder().set_compression(compression);
        write(properties.build())
    };
    let delta = |version, encoding| {
        let properties = WriterProperties::builder().set_dictionary_enabled(false);
        let properties = properties.set_writer_version(version);
        write(properties.set_column_encoding("kind".into(), encoding).build())
    };
    let file = |compression| {
        let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
        let mut writer =
            FileWriter::try_new_with_options(Vec::new(), &batch.schema(), options).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    };
    let mut stream = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    stream.write(&batch).unwrap();
    vec![
        ("parquet", "plain", parquet(Compression::UNCOMPRESSED)),
        ("parquet", "snappy", parquet(Compression::SNAPPY)),
        (
            "parquet",
            "lengths",
            delta(WriterVersion::PARQUET_1_0, Encoding::DELTA_LENGTH_BYTE_ARRAY),
        ),
        ("parquet", "shared", delta(WriterVersion::PARQUET_2_0, Encoding::DELTA_BYTE_ARRAY)),
        ("arrow", "plain", file(None)),
        ("arrow", "lz4", file(Some(CompressionType::LZ4_FRAME))),
        ("arrow", "stream", stream.into_inner().unwrap()),
    ]
}

#[cfg(not(feature = "arrow"))]
fn columnar_seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    Vec::new()
}

/// The files that fuzzing begins with. `CAVIAR_UPDATE_CORPUS=1` writes them again.
#[test]
fn seeds_are_in_the_corpus() {
    for (reader, name, bytes) in seeds().into_iter().chain(columnar_seeds()) {
        let folder = corpus(exercise::reader(reader));
        let path = folder.join(format!("seed_{name}"));
        if std::env::var_os("CAVIAR_UPDATE_CORPUS").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
        assert!(path.is_file(), "{}", path.display());
    }
}
