//! Tests of the LIBSVM reader.

use std::fmt::Write;

use proptest::prelude::*;

use super::*;
use crate::tests::{python, run};

fn parse(text: impl AsRef<[u8]>) -> Result<Sparse, LibsvmError> {
    read(text.as_ref(), "a.svm")
}

fn error(text: impl AsRef<[u8]>) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn rows_are_read_with_their_labels_and_zeros() {
    let data = parse("-1 1:0.5 4:2  # the first customer\n+1\t3:-1e-3\nx\n").unwrap();
    assert_eq!(data.labels, ["-1", "+1", "x"]);
    assert_eq!(data.rows, [0..2, 2..3, 3..3]);
    assert_eq!(data.indices, [0, 3, 2]);
    assert_eq!(data.values, [0.5, 2.0, -1e-3]);
    assert_eq!((data.width, data.is_zero_based), (4, false));
    assert_eq!(data.dense(), [[0.5, 0.0, 0.0, 2.0], [0.0, 0.0, -1e-3, 0.0], [0.0; 4]].concat());
    let columns = data.into_columns();
    for (column, expected) in [
        (0, [0.5, 0.0, 0.0]),
        (1, [0.0; 3]),
        (2, [0.0, -1e-3, 0.0]),
        (3, [2.0, 0.0, 0.0]),
        (4, [0.0; 3]),
    ] {
        assert_eq!(columns.get(column).collect::<Vec<_>>(), expected, "{column}");
    }
}

#[test]
fn one_index_of_0_makes_the_file_zero_based() {
    let data = parse("1 1:2 3:4\n0 0:5\n").unwrap();
    assert_eq!((data.width, data.is_zero_based), (4, true));
    assert_eq!(data.dense(), [0.0, 2.0, 0.0, 4.0, 5.0, 0.0, 0.0, 0.0]);
    let data = parse("1 0:5").unwrap();
    assert_eq!((data.width, data.is_zero_based), (1, true));
}

#[test]
fn blank_lines_comments_and_other_ends_of_lines_are_left_out() {
    let text = b"\xef\xbb\xbf# Caf\xe9: 1 2:3\r\n\r\n 7 1:1 # qid:3 \xe9\r\n\t \n#\n8 1:2#x\n9 1:3";
    let data = parse(text).unwrap();
    assert_eq!(data.labels, ["7", "8", "9"]);
    assert_eq!(data.values, [1.0, 2.0, 3.0]);
}

#[test]
fn a_file_without_rows_or_features_is_refused() {
    for text in ["", "\n\n", "# nothing"] {
        assert_eq!(error(text), "a.svm: has no rows: expected lines such as 1 3:0.5 7:2");
    }
    assert_eq!(error("1\n2\n"), "a.svm: has no features: expected lines such as 1 3:0.5 7:2");
}

#[test]
fn a_wrong_item_is_named_with_its_line() {
    let long = format!("1 {}:", "9".repeat(50));
    for (text, expected) in [
        ("1:2 2:3", "\"1:2\" is where the label is missing: expected a label before the first"),
        (" 1:2", "\"1:2\" is where the label is missing"),
        ("1,3 1:2", "\"1,3\" has a comma: expected one label for each row, and a point in a"),
        ("1 qid:4 1:2", "\"qid:4\" is for ranking, which is not a task of Caviar: remove it"),
        ("qid:4 1:2", "\"qid:4\" is for ranking"),
        ("1 2", "\"2\" has no colon: expected index:value, such as 3:0.5"),
        ("1 2 : 3", "\"2\" has no colon"),
        ("1 x:3", "\"x:3\" has no whole number before the colon"),
        ("1 :3", "\":3\" has no whole number before the colon"),
        ("1 -1:3", "\"-1:3\" has no whole number before the colon"),
        ("1 +1:3", "\"+1:3\" has no whole number before the colon"),
        ("1 1.5:3", "\"1.5:3\" has no whole number before the colon"),
        ("1 1048577:3", "\"1048577:3\" has an index that is too high: expected at most 1048576"),
        ("1 4294967297:3", "\"4294967297:3\" has an index that is too high"),
        (&long, "\"9999999999999999999999999999999999999999...\" has an index that is too high"),
        ("1 2:3 2:4", "\"2:4\" has the index of the item before it: expected each index once"),
        ("1 7:3 2:4", "\"2:4\" follows the index 7: expected the indices of a line in ascending"),
        ("1 0:3 0:4", "\"0:4\" has the index of the item before it"),
        ("1 2:", "\"2:\" has no number after the colon: expected index:value"),
        ("1 2:x", "\"2:x\" has no number after the colon"),
        ("1 2:1,5", "\"2:1,5\" has no number after the colon"),
        ("1 2:3:4", "\"2:3:4\" has no number after the colon"),
        ("1 2:nan", "\"2:nan\" has a value that is not finite: give a number, or remove the row"),
        ("1 2:-inf", "\"2:-inf\" has a value that is not finite"),
        ("1 2:1e999", "\"2:1e999\" has a value that is not finite"),
    ] {
        let found = error(format!("# a comment\n1 1:1\n\n{text}\n1 x"));
        assert!(found.starts_with(&format!("a.svm, line 4: {expected}")), "{text}: {found}");
    }
    assert!(error(b"\xe9 1:2").starts_with("a.svm, line 1: \"\u{fffd}\" is not UTF-8"));
    assert!(error(b"1 1:\xe9").starts_with("a.svm, line 1: \"1:\u{fffd}\" is not UTF-8"));
}

#[test]
fn the_limit_of_features_depends_on_the_first_index() {
    assert_eq!(parse("1 1048576:1\n").unwrap().width, MAX_FEATURES);
    assert_eq!(parse("1 0:1 1048575:1\n").unwrap().width, MAX_FEATURES);
    assert_eq!(
        error("1 1:1\n2 1048576:1\n3 1048576:1\n4 0:1\n"),
        "a.svm, line 2: \"1048576:\" has an index that is too high: expected at most 1048576 \
         features"
    );
}

#[test]
fn rows_times_columns_are_limited() {
    let mut text = "1 1048576:1\n".to_owned();
    for _ in 1..512 {
        text.push_str("1\n");
    }
    assert_eq!(parse(&text).unwrap().rows.len(), 512);
    text.push_str("# one more\n1\n");
    assert!(error(text).starts_with("a.svm, line 514: too large: expected at most 536870912"));
}

#[test]
fn a_line_is_limited() {
    let mut line = "1 2:3 ".to_owned();
    line.push_str(&" ".repeat(MAX_RECORD_BYTES - line.len() - 1));
    line.push('\n');
    assert!(parse(&line).is_ok());
    assert_eq!(
        error(format!("0 1:1\n {line}")),
        "a.svm, line 2: has more than 67108864 bytes: is this a text file?"
    );
}

#[test]
fn a_long_line_is_not_read_to_its_end() {
    let length = 1 << 28;
    let mut input = io::BufReader::new(io::repeat(b'1').take(length));
    let result = read(&mut input, "a.svm");
    assert!(matches!(result, Err(LibsvmError::LongLine { line: 1, .. })), "{result:?}");
    let got = length - input.get_ref().limit();
    assert!(got < to_u64(MAX_RECORD_BYTES) + (1 << 16), "{got}");
}

#[test]
fn an_error_of_the_disk_says_how_much_was_read() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("bad sector"))
        }
    }
    let input = io::BufReader::new(Read::chain(&b"1 2:3\n1 4"[..], Broken));
    assert_eq!(
        read(input, "a.svm").unwrap_err().to_string(),
        "a.svm: cannot be read after byte 6: bad sector"
    );
}

/// Writes random sparse rows in both kinds of files, and prints them densely: for each row its
/// label and its values, separated by tabs.
const PROGRAM: &str = r#"
import numpy as np
from sklearn.datasets import dump_svmlight_file, load_svmlight_file
random = np.random.default_rng(7)
rows = random.standard_normal((50, 9)) * 10.0 ** random.integers(-9, 9, (50, 9))
rows[random.random(rows.shape) < 0.6] = 0
rows[0] = 0
rows[1, [0, 8]] = 1.5
labels = random.integers(-1, 3, 50)
for zero_based in False, True:
    path = f"{'zero' if zero_based else 'one'}.svm"
    dump_svmlight_file(rows, labels, path, zero_based=zero_based, comment="Caf\u00e9")
    read, targets = load_svmlight_file(path, zero_based=zero_based)
    for label, row in zip(targets, read.toarray()):
        print(path, int(label), *(repr(value) for value in row.tolist()), sep="\t")
"#;

#[test]
fn files_of_scikit_learn_are_read_as_scikit_learn_reads_them() {
    let Some(python) = python("sklearn") else { return };
    let directory = tempfile::tempdir().unwrap();
    let output = run(&python, PROGRAM, directory.path());
    for (name, is_zero_based) in [("one.svm", false), ("zero.svm", true)] {
        let file = std::fs::File::open(directory.path().join(name)).unwrap();
        let data = read(io::BufReader::new(file), name).unwrap();
        assert_eq!((data.is_zero_based, data.width, data.rows.len()), (is_zero_based, 9, 50));
        let (labels, dense, sorted) = (data.labels.clone(), data.dense(), data.into_columns());
        let columns: Vec<Vec<f64>> = (0..9).map(|column| sorted.get(column).collect()).collect();
        let expected =
            output.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('\t'));
        let mut compared = 0;
        for (row, line) in expected.enumerate() {
            let (label, values) = line.split_once('\t').unwrap();
            let values: Vec<f64> = values.split('\t').map(|value| value.parse().unwrap()).collect();
            assert_eq!(labels[row], label);
            assert_eq!(dense[row * 9..][..9], values);
            assert_eq!(columns.iter().map(|column| column[row]).collect::<Vec<_>>(), values);
            compared += 1;
        }
        assert_eq!(compared, 50);
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in any::<Vec<u8>>()) {
        let _ = parse(bytes);
    }

    #[test]
    fn damaged_files_do_not_panic(
        changes in prop::collection::vec((0..36_usize, 0..15_usize), 0..4),
    ) {
        let mut text = *b"1 1:2 3:4\n0 0:5 7:-1.5e3 # x\n-1 2:.5\r";
        for (place, byte) in changes {
            text[place] = b"0123-.:, #q\n\r\xe9e"[byte];
        }
        if let Ok(data) = parse(text) {
            prop_assert_eq!(data.dense().len(), data.labels.len() * data.width);
            prop_assert_eq!(data.indices.len(), data.values.len());
            let (width, rows, dense) = (data.width, data.labels.len(), data.dense());
            let columns = data.into_columns();
            for column in 0..width {
                let values: Vec<f64> = columns.get(column).collect();
                let expected: Vec<f64> = (0..rows).map(|row| dense[row * width + column]).collect();
                prop_assert_eq!(values, expected);
            }
        }
    }

    #[test]
    fn rows_that_are_written_are_read_again(
        rows in prop::collection::vec(prop::collection::vec(-9..9_i32, 5), 1..9),
        first in 0..2_usize,
    ) {
        let mut text = String::new();
        for row in &rows {
            write!(text, "1").unwrap();
            // The last value is written even if it is 0, so that the width is known.
            for (column, value) in row.iter().enumerate() {
                if *value != 0 || column == 0 || column == 4 {
                    write!(text, " {}:{value}", column + first).unwrap();
                }
            }
            writeln!(text).unwrap();
        }
        let dense: Vec<f64> = rows.concat().into_iter().map(f64::from).collect();
        prop_assert_eq!(parse(&text).unwrap().dense(), dense);
    }
}
