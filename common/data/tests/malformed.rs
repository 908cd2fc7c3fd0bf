//! Malformed files of every format: one clear error each, within a limit of memory.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot continue should panic"
)]

#[allow(dead_code, reason = "each file of tests uses a part")]
mod support;

#[path = "support/counting.rs"]
mod counting;

use std::io::Write;

use caviar_common::data::DataSpec;
use caviar_data::load;
use counting::{Counting, peak_of};
use flate2::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use support::{Folder, Npy, npz, zip};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MIB: isize = 1 << 20;

/// The field and the text of the error, without the folder; reading takes at most `mib` MiB.
#[track_caller]
fn error_within(folder: &Folder, spec: &DataSpec, mib: isize) -> (&'static str, String) {
    let (error, peak) = peak_of(|| load(spec).err());
    let error = error.unwrap_or_else(|| panic!("{}: is accepted", spec.source));
    let text = error.to_string().replace(&format!("{}/", folder.path().display()), "");
    assert!(peak <= mib * MIB, "{text}: {} KiB", peak / 1024);
    assert!(!text.contains('\n') && text.chars().count() < 600, "one line, not too long: {text}");
    (error.field(), text)
}

/// Checks the start of the error of each file. The label of a table is `k`.
#[track_caller]
fn refused(files: &[(&str, Vec<u8>, &str)]) {
    for (name, content, expected) in files {
        let folder = Folder::with(&[(name, content.clone())]);
        let label = (!name.contains(".svm")).then_some("k");
        let (field, text) = error_within(&folder, &folder.spec(name, label, None), 8);
        assert!(text.starts_with(expected), "{name}: {text}");
        assert_eq!(field, "data.source", "{text}");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

fn half(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len() / 2].to_vec()
}

/// A table whose rows do not compress well.
fn csv() -> String {
    let row = |row: u64| {
        let mixed = row.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        format!("{mixed},{},{}\n", mixed >> 40, ["a", "b"][usize::from(mixed >> 60 > 7)])
    };
    "x,y,k\n".to_owned() + &(0..500).map(row).collect::<String>()
}

#[test]
fn a_file_that_is_cut_off_is_refused() {
    let (text, sparse) = (csv(), "a 1:2 2:3\nb 2:1\n".repeat(200));
    let (inside, array) = (half(text.as_bytes()), npz(&[("k", Npy::whole("(2,)", &[0, 1]))]));
    refused(&[
        ("t.csv.gz", half(&gzip(text.as_bytes())), "t.csv.gz: cannot be read after byte "),
        ("t.csv.zst", half(&zstd(text.as_bytes())), "t.csv.zst: cannot be read after byte "),
        ("t.zip", half(&zip(&[("t.csv", text.clone().into())])), "t.zip: "),
        ("t.csv", inside[..inside.len() - 3].to_vec(), "t.csv, line "),
        ("t.svm.gz", half(&gzip(sparse.as_bytes())), "t.svm.gz: cannot be read after byte "),
        ("t.npz", half(&array), "t.npz: is not an archive"),
        ("t.csv", format!("{text}1,\"2").into_bytes(), "t.csv, line 502: a quote is opened here"),
    ]);
    let x = Npy::floats("(4, 2)", &[0.5; 8]).file();
    let images = [&[0, 0, 8, 3, 0, 0, 0, 9, 0, 0, 0, 2, 0, 0, 0, 2][..], &[7; 20]].concat();
    let folder = Folder::with(&[
        ("x.npy", x[..x.len() - 9].to_vec()),
        ("y.npy", Npy::whole("(4,)", &[0, 1, 0, 1]).file()),
        ("x.idx", images.clone()),
        ("x.idx.gz", half(&gzip(&images))),
        ("y.idx", [0, 0, 8, 1, 0, 0, 0, 9, 0, 1, 0, 1, 0, 1, 0, 1, 0].to_vec()),
    ]);
    for (name, labels, expected) in [
        ("x.npy", "y.npy", "x.npy: ends after "),
        ("x.idx", "y.idx", "x.idx: ends after 36 bytes: expected 52"),
        ("x.idx.gz", "y.idx", "x.idx.gz: cannot be read after byte "),
    ] {
        let (field, text) = error_within(&folder, &folder.spec(name, None, Some(labels)), 8);
        assert!(text.starts_with(expected), "{text}");
        assert_eq!(field, "data.source");
    }
}

#[test]
fn a_file_of_another_kind_is_called_by_its_name() {
    let parquet = b"PAR1\x15\x04\x15\x00PAR1".to_vec();
    let npy = Npy::whole("(2,)", &[0, 1]).file();
    refused(&[
        ("t.csv", parquet, "t.csv: it is a Parquet file"),
        ("t.csv", npy.clone(), "t.csv: it is a NumPy array"),
        ("t.csv", b"\x89PNG\r\n\x1a\n\0\0\0\0".to_vec(), "t.csv: it is "),
        ("t.csv", vec![0; 400], "t.csv: it is a binary file, not text"),
        ("t.npz", b"x,k\n1,2\n".to_vec(), "t.npz: is text, and not a file of NumPy"),
        ("t.svm", npy, "t.svm: it is a NumPy array"),
        ("t.svm", b"x,k\n1,2\n".to_vec(), "t.svm, line 1: \"x,k\" has a comma"),
        ("t.zip", zip(&[("a.csv", "x,k\n".into()), ("b.csv", "x,k\n".into())]), "t.zip: "),
    ]);
    let folder = Folder::with(&[
        ("x.idx", b"x,k\n1,2\n".to_vec()),
        ("y.idx", vec![0, 0, 8, 1, 0, 0, 0, 0]),
        ("x.npy", b"x,k\n1,2\n".to_vec()),
        ("y.npy", Npy::whole("(4,)", &[0, 1, 0, 1]).file()),
    ]);
    let expected = "x.idx: is text, and not an IDX file: give it a name that ends in .csv";
    let (_, text) = error_within(&folder, &folder.spec("x.idx", None, Some("y.idx")), 8);
    assert!(text.starts_with(expected), "{text}");
    let (_, text) = error_within(&folder, &folder.spec("x.npy", None, Some("y.npy")), 8);
    assert!(text.starts_with("x.npy: is text, and not a file of NumPy"), "{text}");
}

#[test]
fn rows_that_differ_and_values_that_are_not_numbers_are_named_with_their_place() {
    let numbers = |cell: &str| {
        let rows: String = (0..50).map(|row| format!("{row}.5,{}\n", row % 2)).collect();
        format!("x,k\n{rows}{cell},1\n").into_bytes()
    };
    refused(&[
        ("t.csv", b"x,y,k\n1,2,a\n1,2\n".to_vec(), "t.csv, line 3: has 2 cells: expected 3"),
        ("t.csv", b"x,y,k\n1,2,a\n1,2,a,b\n".to_vec(), "t.csv, line 3: has 4 cells: expected 3"),
        ("t.csv", numbers("inf"), "t.csv, line 52, column \"x\": \"inf\" "),
        ("t.csv", numbers("1e400"), "t.csv, line 52, column \"x\": \"1e400\" "),
        ("t.csv", numbers("oops"), "t.csv, line 52, column \"x\": \"oops\" "),
        ("t.svm", b"1 1:2\n0 1:nan\n".to_vec(), "t.svm, line 2: \"1:nan\" has a value that is not"),
        ("t.svm", b"1 1:2\n0 1:inf\n".to_vec(), "t.svm, line 2: \"1:inf\" has a value that is not"),
    ]);
    let folder = Folder::with(&[
        ("x.npy", Npy::floats("(4, 1)", &[0.5, f64::INFINITY, 1.0, 2.0]).file()),
        ("y.npy", Npy::whole("(4,)", &[0, 1, 0, 1]).file()),
        ("z.npy", Npy::floats("(4,)", &[0.5, f64::NEG_INFINITY, 1.25, 2.0]).file()),
    ]);
    let (field, text) = error_within(&folder, &folder.spec("x.npy", None, Some("y.npy")), 8);
    assert!(text.starts_with("x.npy, row 1 (from 0), column \"column1\": \"inf\" "), "{text}");
    assert_eq!(field, "data.source");
    let (field, text) = error_within(&folder, &folder.spec("y.npy", None, Some("z.npy")), 8);
    assert!(text.starts_with("z.npy, row 1 (from 0), column \"label\": \"-inf\" "), "{text}");
    assert_eq!(field, "data.labels");
}

/// A cell of 10 MB is a text, and a row of more than 64 MiB an error.
#[test]
fn a_long_cell_is_free_text_and_a_long_row_is_refused() {
    let long = "7".repeat(10_000_000);
    let rows: String = (0..40).map(|row| format!("{row}.5,t{},{}\n", row % 4, row % 2)).collect();
    let table = |cell: &str| format!("x,text,k\n{rows}1.5,{cell},1\n").into_bytes();
    let folder = Folder::with(&[
        ("t.csv", table(&long)),
        ("t.csv.gz", gzip(&table(&long.repeat(7)))),
        ("t.svm", format!("1 1:2\n0 1:{long}\n").into_bytes()),
        ("label.svm", format!("{} 1:2\n", long.repeat(7)).into_bytes()),
    ]);
    let data = folder.load("t.csv", Some("k"), None).unwrap();
    assert_eq!(data.column_names(), ["x"]);
    assert!(data.notes().iter().any(|note| note.code == "free_text"), "{:?}", data.notes());
    let (_, text) = error_within(&folder, &folder.spec("t.csv", Some("text"), None), 64);
    assert!(text.starts_with("t.csv, line 42, column \"text\": \"7777777"), "{text}");
    let (_, text) = error_within(&folder, &folder.spec("t.csv.gz", Some("k"), None), 200);
    assert!(text.starts_with("t.csv.gz, line 42: the row that starts here is too long"), "{text}");
    let (_, text) = error_within(&folder, &folder.spec("t.svm", None, None), 64);
    assert!(text.starts_with("t.svm, line 2: \"1:7777777"), "{text}");
    let (_, text) = error_within(&folder, &folder.spec("label.svm", None, None), 200);
    assert!(text.starts_with("label.svm, line 1: "), "{text}");
}

/// More columns than the limit, in every format that states or shows their number.
#[test]
fn too_many_columns_are_refused_before_they_are_read() {
    let header: String = (0..1_200_000).map(|column| format!("c{column},")).collect();
    let row = "1,".repeat(1_200_000);
    let text = format!("{header}k\n{row}a\n{row}b\n");
    let folder = Folder::with(&[
        ("t.csv", text.clone().into_bytes()),
        ("t.csv.gz", gzip(text.as_bytes())),
        ("t.svm", b"1 1200000:2\n0 1:1\n".to_vec()),
        ("gaps.svm", b"1 3:1\n0 3:2\n1 3:1\n0 900000:2\n".to_vec()),
        ("x.npy", Npy::bytes("(2, 1200000)", &vec![1; 2_400_000]).file()),
        ("y.npy", Npy::whole("(2,)", &[0, 1]).file()),
        ("x.idx", [0, 0, 8, 3, 0, 0, 0, 9, 0, 16, 0, 0, 0, 0, 1, 0].to_vec()),
        ("y.idx", vec![0, 0, 8, 1, 0, 0, 0, 9, 1]),
    ]);
    for (name, label, labels, expected) in [
        ("t.csv", Some("k"), None, "t.csv: too large: expected at most 1048576 features"),
        ("t.csv.gz", Some("k"), None, "t.csv.gz: too large: expected at most 1048576 features"),
        ("t.svm", None, None, "t.svm, line 1: \"1200000:2\" has an index that is too high"),
        ("gaps.svm", None, None, "gaps.svm: has the index 900000, but only 2 different ones: "),
        ("x.npy", None, Some("y.npy"), "x.npy: has the shape [2, 1200000], which is too large"),
        ("x.idx", None, Some("y.idx"), "x.idx: too large: expected at most 1048576 features"),
    ] {
        let (field, text) = error_within(&folder, &folder.spec(name, label, labels), 160);
        assert!(text.starts_with(expected), "{text}");
        assert_eq!(field, "data.source");
    }
}

/// A million columns are legal. Each takes about 300 bytes while the table is read.
#[test]
fn a_million_columns_are_read_in_a_limited_memory() {
    let row = |cell: &dyn Fn(usize) -> String| -> String {
        (0..1_000_000).map(|column| cell(column) + ",").collect()
    };
    let mut text = row(&|column| format!("c{column}")) + "k\n";
    for number in 0..4 {
        text += &row(&|column| format!("{}", (column + number * number) % 7));
        text += ["a\n", "b\n"][number % 2];
    }
    let folder = Folder::with(&[("t.csv", text.into_bytes())]);
    let (data, peak) = peak_of(|| folder.load("t.csv", Some("k"), None).unwrap());
    assert_eq!(data.column_names().len(), 1_000_000);
    assert!(peak < 420 * MIB, "{} MiB", peak / MIB);
}

/// A small file that becomes a large one. Its row is refused at the limit of a row, or its array at
/// the size that it states.
#[test]
fn a_bomb_is_refused_in_a_limited_memory() {
    const MORE: usize = 80;
    let mebibyte = vec![b'7'; 1 << 20];
    let text = b"x,k\n".to_vec();
    let bombs = [
        ("t.csv.gz", [gzip(&text), gzip(&mebibyte).repeat(MORE)].concat()),
        ("t.csv.zst", [zstd(&text), zstd(&mebibyte).repeat(MORE)].concat()),
        ("t.zip", zip(&[("t.csv", [text, mebibyte.repeat(MORE)].concat())])),
    ];
    for (name, bytes) in bombs {
        assert!(bytes.len() < 4 << 20, "{name}: {}", bytes.len());
        let folder = Folder::with(&[(name, bytes)]);
        let (field, text) = error_within(&folder, &folder.spec(name, Some("k"), None), 200);
        assert!(text.contains(", line 2: the row that starts here is too long"), "{text}");
        assert_eq!(field, "data.source");
    }
    let folder = Folder::with(&[("t.svm.gz", gzip(&mebibyte).repeat(MORE))]);
    let (_, text) = error_within(&folder, &folder.spec("t.svm.gz", None, None), 200);
    assert!(text.starts_with("t.svm.gz, line 1: "), "{text}");
    let shape = "(1099511627776, 4)";
    let folder = Folder::with(&[(
        "t.npz",
        npz(&[("x", Npy::bytes(shape, &[0; 1 << 20])), ("k", Npy::whole("(2,)", &[0, 1]))]),
    )]);
    let (_, text) = error_within(&folder, &folder.spec("t.npz", Some("x"), None), 8);
    assert!(text.starts_with("t.npz, array \"x\": "), "{text}");
}
