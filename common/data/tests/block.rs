//! Blocks: the same data as the file they were made from, and an error for any other bytes.

#![expect(clippy::unwrap_used, reason = "a test that cannot continue should panic")]
#![expect(clippy::indexing_slicing, reason = "the tests know the layout of a block")]

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use caviar_blob::{Outline, Source};
use caviar_common::data::{ColumnType, DataSpec, Task};
use caviar_data::{BlockError, BlockSource, Bytes, Dataset, load, split};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

fn spec(source: &str, label: Option<&str>, task: Task) -> DataSpec {
    let label = label.map(str::to_owned);
    let source = source.to_owned();
    DataSpec { source, label, task: Some(task), validation: 0.3, test: 0.2, ..DataSpec::default() }
}

fn block(data: &Dataset) -> Vec<u8> {
    let source = BlockSource::new(data).unwrap();
    let outline = Outline::of(&source).unwrap();
    let chunks = outline.chunks_from(0);
    let bytes: Vec<u8> = chunks.flat_map(|(at, n)| source.chunk(at, n).unwrap().to_vec()).collect();
    assert_eq!(blake3::hash(&bytes).as_bytes(), outline.blob().name.hash());
    bytes
}

fn mapped(bytes: &[u8]) -> Bytes {
    let folder = tempfile::tempdir().unwrap();
    let mapped = of_file(bytes, folder.path(), 0o600);
    assert!(mapped.is_mapped());
    mapped
}

/// The bytes of a file with this mode in a folder.
fn of_file(bytes: &[u8], folder: &Path, mode: u32) -> Bytes {
    let path = folder.join("blob");
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    Bytes::of_blob(&File::open(&path).unwrap(), folder).unwrap()
}

#[test]
fn a_file_that_others_may_change_is_read_into_memory_and_not_mapped() {
    let folder = tempfile::tempdir().unwrap();
    for (of_file_mode, of_folder, is_mapped) in [
        (0o600, 0o700, true),
        (0o644, 0o755, true),
        (0o620, 0o700, false),
        (0o602, 0o700, false),
        (0o600, 0o770, false),
        (0o600, 0o1777, false),
    ] {
        fs::set_permissions(folder.path(), Permissions::from_mode(of_folder)).unwrap();
        let bytes = of_file(b"some bytes", folder.path(), of_file_mode);
        assert_eq!(bytes.get(), b"some bytes");
        assert_eq!(bytes.is_mapped(), is_mapped, "{of_file_mode:o} {of_folder:o}");
    }
}

/// Checks that the block of the data is the data, in memory and mapped, and returns it.
fn round_trip(spec: &DataSpec, data: &Dataset) -> Vec<u8> {
    let bytes = block(data);
    for bytes in [Bytes::from(bytes.clone()), mapped(&bytes)] {
        let again = Dataset::from_block(bytes).unwrap();
        assert_eq!(&again, data);
        assert_eq!(again.digest(), data.digest());
        assert_eq!(again.summary(spec, 7).ok(), data.summary(spec, 7).ok());
        assert_eq!(split(&again, spec, 7).ok(), split(data, spec, 7).ok());
        assert_eq!(block(&again), block(data), "the block of a block is the same block");
    }
    bytes
}

#[test]
fn the_block_of_the_digits_is_the_digits() {
    let spec = spec("builtin:digits", None, Task::Classification);
    let data = load(&spec).unwrap();
    let bytes = round_trip(&spec, &data);
    assert_eq!(data.label(), "digit");
    // Pinned: a release that made other bytes would upload every data set again.
    let name = blake3::hash(&bytes).to_hex();
    assert_eq!(name.as_str(), "caeb3be5e8736451ae9ad51b89c8269b7b4ef1931bea64dd6bddc42f767c6160");
    // Pinned: stores compare the digest of a sweep's data with it.
    assert_eq!(data.digest(), "db57df9e86b04771101718ab95dc3b878a22c057484e77b589fe16bc70fe9814");
}

/// A column of every type and storage, with missing values.
#[test]
fn the_block_of_a_table_keeps_every_type() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("types.csv");
    let row = |n: usize| {
        let (word, gap) = (["red", "green", "blue"][n % 3], ["", "1.25"][n % 2]);
        let (flag, day) = (["yes", "no"][n % 2], 1 + n % 28);
        format!("{word},{gap},{flag},2024-02-{day:02},{},{n}e9,{}\n", n % 7, n * n)
    };
    let rows: String = (0..50).map(row).collect();
    std::fs::write(&path, format!("word,gap,flag,day,digit,wide,k\n{rows}")).unwrap();
    let spec = spec(path.to_str().unwrap(), Some("k"), Task::Regression);
    let data = load(&spec).unwrap();
    let types: Vec<ColumnType> = (0..6).filter_map(|index| data.column_type(index)).collect();
    use ColumnType::{Boolean, Category, Date, Number};
    assert_eq!(types, [Category, Number, Boolean, Date, Number, Number]);
    assert!(data.column(1)[0].is_nan());
    round_trip(&spec, &data);
}

#[test]
fn the_block_of_an_image_file_keeps_its_pixels_pixels() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let pixels: Vec<u8> = (0..60u8).map(|i| i.wrapping_mul(37)).collect();
    let images = [&[0, 0, 8, 3, 0, 0, 0, 10, 0, 0, 0, 2, 0, 0, 0, 3][..], &pixels].concat();
    let labels = [&[0, 0, 8, 1, 0, 0, 0, 10][..], &[0, 1, 0, 1, 0, 1, 0, 1, 0, 1]].concat();
    std::fs::write(path("a.idx"), images).unwrap();
    std::fs::write(path("b.idx"), labels).unwrap();
    let spec = DataSpec {
        labels: Some(path("b.idx")),
        ..spec(&path("a.idx"), None, Task::Classification)
    };
    round_trip(&spec, &load(&spec).unwrap());
}

/// A CSV file with finite numbers and a label column `k`.
fn csv() -> impl Strategy<Value = (String, Task)> {
    let number = prop_oneof![any::<f32>().prop_filter("finite", |x| x.is_finite()), Just(-0.0)];
    (1..5usize, 3..40usize, any::<bool>()).prop_flat_map(move |(width, rows, has_classes)| {
        let cells = vec(vec(number.clone(), width + 1), rows);
        (cells, Just(has_classes)).prop_map(|(rows, has_classes)| {
            let width = rows[0].len() - 1;
            let names: Vec<String> = (0..width).map(|i| format!("\"x,{i}\u{e9}\"")).collect();
            let mut text = format!("{},k\n", names.join(","));
            for (i, row) in rows.iter().enumerate() {
                let cells: Vec<String> = row[..width].iter().map(f32::to_string).collect();
                let label =
                    if has_classes { format!("c{}", i % 2) } else { row[width].to_string() };
                text += &format!("{},{label}\n", cells.join(","));
            }
            (text, if has_classes { Task::Classification } else { Task::Regression })
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn any_table_survives_the_round_trip((text, task) in csv()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, text).unwrap();
        let spec = spec(path.to_str().unwrap(), Some("k"), task);
        if let Ok(data) = load(&spec) {
            round_trip(&spec, &data);
        }
    }

    #[test]
    fn a_damaged_block_gives_an_error_or_other_data(
        changes in vec((any::<Index>(), any::<u8>()), 1..4),
        cut in prop_oneof![Just(0), 1..200usize],
        is_in_the_head in any::<bool>(),
    ) {
        let data = load(&spec("builtin:digits", None, Task::Classification)).unwrap();
        let mut bytes = block(&data);
        for (at, byte) in changes {
            let range = if is_in_the_head { 3_000 } else { bytes.len() };
            bytes[at.index(range)] = byte;
        }
        bytes.truncate(bytes.len() - cut);
        if let Ok(other) = Dataset::from_block(mapped(&bytes)) {
            prop_assert_eq!(cut, 0);
            let mut values = (0..64).flat_map(|index| other.column(index));
            prop_assert!(values.all(|value| !value.is_infinite()));
        }
    }

    #[test]
    fn any_bytes_give_an_error(bytes in vec(any::<u8>(), 1..300)) {
        let after_magic = [&b"CAVIARBK"[..], &bytes].concat();
        prop_assert!(Dataset::from_block(Bytes::from(after_magic)).is_err());
        prop_assert!(Dataset::from_block(Bytes::from(bytes)).is_err());
    }
}

/// A block with this schema, one column of f32 and these targets.
fn forged(schema: &str, column: &[f32], targets: &[u32]) -> Vec<u8> {
    let mut bytes = b"CAVIARBK\x02\0\0\0".to_vec();
    bytes.extend(u32::try_from(schema.len()).unwrap().to_le_bytes());
    bytes.extend([0; 16]);
    bytes.extend(schema.as_bytes());
    bytes.extend(column.iter().flat_map(|value| value.to_le_bytes()));
    bytes.extend(targets.iter().flat_map(|value| value.to_le_bytes()));
    let length = u64::try_from(bytes.len()).unwrap();
    bytes[16..24].copy_from_slice(&length.to_le_bytes());
    bytes
}

#[test]
fn every_lie_of_a_block_is_refused_with_its_reason() {
    let schema = r#"{"task":"classification","rows":4,
        "inputs":{"columns":[{"name":"x","type":"number","width":"f32"}]},
        "label":{"name":"y","classes":["a","b"]}}"#;
    let (column, targets) = ([1.0, 2.0, 0.0, f32::NAN], [0, 1, 0, 1]);
    let read = |bytes: Vec<u8>| Dataset::from_block(Bytes::from(bytes));
    let forged_schema = |from: &str, to: &str| {
        assert!(schema.contains(from), "{from}");
        forged(&schema.replace(from, to), &column, &targets)
    };
    let misfit = "a value does not fit the type of its column";
    assert_eq!(read(forged(schema, &column, &targets)).unwrap().classes(), ["a", "b"]);
    for (bytes, expected) in [
        (forged_schema("number", "text"), "unknown variant `text`"),
        (forged_schema("f32", "f16"), "unknown variant `f16`"),
        (forged_schema("\"rows\":4", "\"rows\":18446744073709551615"), "rows: too many"),
        (forged_schema("\"rows\":4", "\"rows\":5"), "expected"),
        (forged_schema("[{\"name\":\"x\",\"type\":\"number\",\"width\":\"f32\"}]", "[]"), "inputs"),
        (forged_schema("number", "boolean"), misfit),
        (forged_schema("number", "category"), misfit),
        (forged_schema("\"f32\"", "\"f32\",\"categories\":[\"p\"]"), "only a category"),
        (
            forged_schema("number\"", "category\",\"categories\":[\"q\",\"p\",\"r\"]"),
            "different texts in order",
        ),
        (forged(schema, &[1.0, f32::INFINITY, 3.0, 4.0], &targets), misfit),
        (forged(schema, &column, &[0, 1, 2, 1]), "a class has no name"),
        (forged(schema, &column, &[0; 4]), "a class has no row"),
        (forged_schema("[\"a\",\"b\"]", "[]"), "label.classes"),
        (forged(&schema.replace("\"a\"", "\"b\",\"c\""), &column, &[0, 1, 2, 0]), "too many"),
        (forged_schema("classification", "regression"), "classes"),
        (forged(&schema[1..], &column, &targets), "its schema is wrong"),
    ] {
        let error = read(bytes).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}: {expected}");
    }
    for version in [1, 5] {
        let mut other = forged(schema, &column, &targets);
        other[8] = version;
        assert_eq!(read(other).unwrap_err(), BlockError::Version { found: version.into() });
    }
    let mut longer = forged(schema, &column, &targets);
    longer.push(0);
    assert!(matches!(read(longer).unwrap_err(), BlockError::Length { .. }));
    assert_eq!(read(b"CAVIARBK".to_vec()).unwrap_err(), BlockError::NotABlock);
}
