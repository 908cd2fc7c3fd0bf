//! Reading any bytes gives data or an error that names a field.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot continue should panic"
)]

#[allow(dead_code, reason = "each file of tests uses a part")]
mod support;

use caviar_common::data::{DataSpec, Task};
use caviar_data::{load, prepare};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_oneof, proptest};
use proptest::sample::select;
use proptest::test_runner::TestCaseError;
use support::{Npy, npz};

fn read(
    name: &str,
    content: &[u8],
    labels: Option<&[u8]>,
    task: Task,
) -> Result<(), TestCaseError> {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path(name), content).unwrap();
    let labels_name = if name.ends_with(".npy") { "labels.npy" } else { "labels" };
    if let Some(labels) = labels {
        std::fs::write(path(labels_name), labels).unwrap();
    }
    let label = (labels.is_none() && !name.ends_with(".svm")).then(|| "k".to_owned());
    let spec = DataSpec {
        source: path(name),
        label,
        labels: labels.map(|_| path(labels_name)),
        task: Some(task),
        validation: 0.3,
        test: 0.2,
        ..DataSpec::default()
    };
    if let Err(error) = load(&spec) {
        prop_assert!(error.field().starts_with("data."));
        prop_assert!(error.to_string().contains(&path("")), "{}", error);
    }
    if let Err(error) = prepare(&spec, 1) {
        prop_assert!(error.field().starts_with("data."));
    }
    Ok(())
}

fn task() -> impl Strategy<Value = Task> {
    select(vec![Task::Classification, Task::Regression])
}

/// Text that resembles a CSV file.
fn nearly_csv() -> impl Strategy<Value = String> {
    let cell =
        select(vec!["1", "2.5", "-3", "a", "", "k", "\"", "NaN", "1e99", "\u{e9}", ",", "\r"]);
    let row = vec(cell, 1..4).prop_map(|cells| cells.join(","));
    (select(vec!["x,k", "k,x", "x,y,k", "k"]), vec(row, 0..12))
        .prop_map(|(header, rows)| format!("{header}\n{}", rows.join("\n")))
}

/// An IDX header with small sizes, and any content.
fn nearly_idx(dimensions: u8) -> impl Strategy<Value = Vec<u8>> {
    (vec(0u8..6, usize::from(dimensions)), vec(any::<u8>(), 0..130)).prop_map(
        move |(sizes, content)| {
            let sizes = sizes.into_iter().flat_map(|size| [0, 0, 0, size]);
            [0, 0, 8, dimensions].into_iter().chain(sizes).chain(content).collect()
        },
    )
}

/// A good file with a few bytes changed, and perhaps cut off.
fn damaged(good: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let length = good.len();
    let changes = vec((0..length, any::<u8>()), 0..6);
    let end = prop_oneof![3 => Just(length), 1 => 0..length];
    (changes, end).prop_map(move |(changes, end)| {
        let mut bytes = good.clone();
        for (place, byte) in changes {
            bytes[place] = byte;
        }
        bytes.truncate(end);
        bytes
    })
}

/// An archive with these labels.
fn good_npz(labels: Npy<'_>) -> Vec<u8> {
    npz(&[
        ("x", Npy::floats("(4, 2)", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])),
        ("kind", Npy::texts("(4,)", &["a", "b", "a", "b"])),
        ("k", labels),
    ])
}

proptest! {
    #[test]
    fn damaged_arrays_give_data_or_an_error(
        images in damaged(Npy::bytes("(4, 2, 1)", &[1, 2, 3, 4, 5, 6, 7, 8]).file()),
        numbers in damaged(Npy::floats("(4,)", &[1.0, 2.0, 3.0, 4.0]).file()),
        labels in damaged(Npy::whole("(4,)", &[0, 1, 0, 1]).file()),
        matrix in damaged(Npy::whole("(4, 2)", &[0, 1, 0, 1, 2, 3, 4, 5]).file()),
        task in task(),
    ) {
        read("images.npy", &images, Some(&labels), task)?;
        read("numbers.npy", &numbers, Some(&labels), task)?;
        read("images.npy", &images, Some(&matrix), task)?;
        read("numbers.npy", &numbers, Some(&matrix), task)?;
    }

    #[test]
    fn damaged_archives_give_data_or_an_error(
        archive in damaged(good_npz(Npy::whole("(4,)", &[0, 1, 0, 1]))),
        matrix in damaged(good_npz(Npy::whole("(4, 2)", &[0, 1, 0, 1, 2, 3, 4, 5]))),
        task in task(),
    ) {
        read("data.npz", &archive, None, task)?;
        read("data.npz", &matrix, None, task)?;
    }

    #[test]
    fn damaged_sparse_files_give_data_or_an_error(
        text in damaged(b"1 1:2 3:4\n0 2:1\n1 1:5\n0 3:2\n".to_vec()),
        task in task(),
    ) {
        read("data.svm", &text, None, task)?;
    }

    #[test]
    fn any_bytes_as_csv_give_data_or_an_error(content in vec(any::<u8>(), 0..300), task in task()) {
        read("data.csv", &content, None, task)?;
    }

    #[test]
    fn damaged_csv_gives_data_or_an_error(content in nearly_csv(), task in task()) {
        read("data.csv", content.as_bytes(), None, task)?;
    }

    #[test]
    fn any_bytes_as_idx_give_data_or_an_error(
        images in vec(any::<u8>(), 0..100),
        labels in vec(any::<u8>(), 0..100),
        task in task(),
    ) {
        read("images.idx", &images, Some(&labels), task)?;
    }

    #[test]
    fn damaged_idx_gives_data_or_an_error(
        images in nearly_idx(3),
        labels in nearly_idx(1),
        task in task(),
    ) {
        read("images.idx", &images, Some(&labels), task)?;
    }

    #[test]
    fn any_bytes_as_gzip_give_data_or_an_error(tail in vec(any::<u8>(), 0..100), task in task()) {
        let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0];
        let content: Vec<u8> = header.into_iter().chain(tail).collect();
        read("data.csv.gz", &content, None, task)?;
        read("images.idx.gz", &content, Some(&content), task)?;
    }
}

#[cfg(feature = "arrow")]
mod columnar {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
    use arrow_ipc::CompressionType;
    use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
    use parquet::arrow::ArrowWriter;
    use parquet::basic::Compression;
    use parquet::file::properties::WriterProperties;
    use proptest::prelude::proptest;

    use super::{damaged, read, task};

    fn batch() -> RecordBatch {
        let columns: [(&str, ArrayRef); 3] = [
            ("x", Arc::new(Float64Array::from(vec![Some(1.0), None, Some(3.0), Some(4.0)]))),
            ("kind", Arc::new(StringArray::from(vec!["a", "b", "a", "b"]))),
            ("k", Arc::new(Int64Array::from(vec![0, 1, 0, 1]))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn parquet(compression: Compression) -> Vec<u8> {
        let properties = WriterProperties::builder().set_compression(compression).build();
        let batch = batch();
        let mut writer =
            ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    }

    fn file(compression: Option<CompressionType>) -> Vec<u8> {
        let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
        let batch = batch();
        let mut writer =
            FileWriter::try_new_with_options(Vec::new(), &batch.schema(), options).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    }

    fn stream() -> Vec<u8> {
        let batch = batch();
        let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    }

    proptest! {
        #[test]
        fn damaged_parquet_gives_data_or_an_error(
            plain in damaged(parquet(Compression::UNCOMPRESSED)),
            packed in damaged(parquet(Compression::SNAPPY)),
            task in task(),
        ) {
            read("plain.parquet", &plain, None, task)?;
            read("packed.parquet", &packed, None, task)?;
        }

        #[test]
        fn damaged_arrow_gives_data_or_an_error(
            plain in damaged(file(None)),
            packed in damaged(file(Some(CompressionType::LZ4_FRAME))),
            stream in damaged(stream()),
            task in task(),
        ) {
            read("plain.arrow", &plain, None, task)?;
            read("packed.arrow", &packed, None, task)?;
            read("stream.arrows", &stream, None, task)?;
        }
    }
}
