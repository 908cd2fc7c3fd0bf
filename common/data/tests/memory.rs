//! Data that is larger than memory: the same data in temporary files.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot continue should panic"
)]

#[allow(dead_code, reason = "each file of tests uses a part")]
mod support;

#[path = "support/counting.rs"]
mod counting;

use caviar_blob::Outline;
use caviar_common::data::{DataSpec, SplitSpec};
use caviar_data::{
    BlockSource, Dataset, Examples, Features, MemoryBudget, Splits, Targets, load, load_within,
    split, split_rows, split_within,
};
use counting::{Counting, peak_of};
use support::Folder;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROWS: usize = 700;

/// Room for a few rows only.
const SMALL: MemoryBudget =
    MemoryBudget { table_bytes: 1000, inputs_bytes: 1000, window_bytes: 12_000 };

/// A table with every type of column and gaps, whose rows are sorted by the label.
fn table() -> String {
    let mut text = "number,whole,kind,flag,day,group,label\n".to_owned();
    for row in 0..ROWS {
        let number = if row % 9 == 4 { String::new() } else { format!("{}.25", row * 37 % 211) };
        let kind = ["red", "", "green", "blue"][row % 4];
        let (flag, day, group) = (row % 3 == 1, row * 5 % 28 + 1, row * 5 % 83);
        let label = ["a", "b", "c"][row * 3 / ROWS];
        text.push_str(&format!(
            "{number},{},{kind},{flag},2024-05-{day:02},g{group},{label}\n",
            row * 91 % 1013
        ));
    }
    text
}

fn block(data: &Dataset) -> String {
    Outline::of(&BlockSource::new(data).unwrap()).unwrap().blob().name.to_string()
}

fn features(examples: &Examples) -> Vec<Vec<f32>> {
    let array = examples.features.to_array().unwrap();
    array.rows().into_iter().map(|row| row.to_vec()).collect()
}

fn classes(examples: &Examples) -> Vec<u32> {
    match &examples.targets {
        Targets::Classes(classes) => classes.clone(),
        Targets::Values(values) => values.all().iter().map(|value| value.to_bits()).collect(),
    }
}

/// Each row with its target, as bits that can be sorted.
fn rows(examples: &Examples) -> Vec<(u32, Vec<u32>)> {
    let bits = |row: Vec<f32>| row.into_iter().map(f32::to_bits).collect();
    classes(examples).into_iter().zip(features(examples).into_iter().map(bits)).collect()
}

fn both(data: &Dataset, spec: &DataSpec) -> (Splits, Splits) {
    (split(data, spec, 5).unwrap(), split_within(data, spec, 5, SMALL).unwrap())
}

#[test]
fn a_table_in_files_is_the_same_block() {
    let folder = Folder::with(&[
        ("table.csv", table().into_bytes()),
        ("test.csv", table().lines().take(30).collect::<Vec<_>>().join("\n").into_bytes()),
    ]);
    let plain = folder.spec("table.csv", Some("label"), None);
    let test = folder.path().join("test.csv").to_str().unwrap().to_owned();
    let group = SplitSpec { group: Some("group".to_owned()), ..SplitSpec::default() };
    let time = SplitSpec { time: Some("day".to_owned()), ..SplitSpec::default() };
    let given = SplitSpec { test_source: Some(test), ..SplitSpec::default() };
    for roles in [SplitSpec::default(), group, time, given] {
        let spec = DataSpec { split: roles.clone(), test: 0.2, ..plain.clone() };
        let (in_memory, in_files) = (load(&spec).unwrap(), load_within(&spec, SMALL).unwrap());
        assert_eq!(in_files, in_memory, "{roles:?}");
        assert_eq!(block(&in_files), block(&in_memory), "{roles:?}");
        assert_eq!(in_files.summary(&spec, 5).unwrap(), in_memory.summary(&spec, 5).unwrap());
        assert_eq!(split(&in_files, &spec, 5).unwrap(), split(&in_memory, &spec, 5).unwrap());
    }
}

#[test]
fn large_inputs_are_the_same_rows_in_another_order() {
    let folder = Folder::with(&[("table.csv", table().into_bytes())]);
    for label in ["label", "number"] {
        let spec = DataSpec { test: 0.2, ..folder.spec("table.csv", Some(label), None) };
        let data = load_within(&spec, SMALL).unwrap();
        let (in_memory, in_files) = both(&data, &spec);
        assert!(matches!(in_files.train.features, Features::File(_)));
        assert_eq!(in_files.validation, in_memory.validation);
        assert_eq!(in_files.test, in_memory.test);
        assert_eq!(in_files.schema, in_memory.schema);
        assert_ne!(in_files.train, in_memory.train, "the order");
        let (mut left, mut right) = (rows(&in_files.train), rows(&in_memory.train));
        left.sort_unstable();
        right.sort_unstable();
        assert_eq!(left, right);
        assert_eq!(split_within(&data, &spec, 5, SMALL).unwrap(), in_files, "the order is fixed");
        let rows = split_rows(&data, &spec, 5).unwrap();
        assert_eq!(rows.train.len(), in_files.train.features.nrows());
    }
}

/// The order is a function of the seed and the number of rows: the size of the windows and what is
/// encoded at once do not matter.
#[test]
fn the_order_of_large_inputs_does_not_depend_on_the_windows() {
    let folder = Folder::with(&[("table.csv", table().into_bytes())]);
    let spec = folder.spec("table.csv", Some("label"), None);
    let data = load(&spec).unwrap();
    let within = |window_bytes| {
        split_within(&data, &spec, 5, MemoryBudget { window_bytes, ..SMALL }).unwrap()
    };
    let one = within(usize::MAX);
    for window_bytes in [0, 12_000, 12_345] {
        let other = within(window_bytes);
        assert_eq!(other, one);
        assert_ne!(other.train.features.window_rows(), one.train.features.window_rows());
    }
    let other = split_within(&data, &spec, 6, SMALL).unwrap();
    assert_ne!(other.train, one.train, "another seed");
}

#[test]
fn windows_of_a_sorted_table_have_all_classes() {
    let folder = Folder::with(&[("table.csv", table().into_bytes())]);
    let spec = folder.spec("table.csv", Some("label"), None);
    let data = load(&spec).unwrap();
    let (in_memory, in_files) = both(&data, &spec);
    let window = in_files.train.features.window_rows().unwrap();
    assert!((10..300).contains(&window), "{window}");
    let different = |classes: &[u32]| {
        let mut classes = classes.to_vec();
        classes.sort_unstable();
        classes.dedup();
        classes.len()
    };
    assert!(classes(&in_memory.train).chunks(window).any(|part| different(part) == 1));
    assert!(classes(&in_files.train).chunks_exact(window).all(|part| different(part) == 3));
}

/// The memory grows by a few numbers for each row, and not with the number of columns.
#[test]
fn a_large_table_takes_little_memory() {
    const ROWS: usize = 60_000;
    const COLUMNS: usize = 40;
    let mut text: String = (0..COLUMNS).map(|column| format!("x{column},")).collect();
    text.push_str("k\n");
    for row in 0..ROWS {
        for column in 0..COLUMNS {
            text.push_str(&format!("{}.5,", (row * 31 + column * row) % 9973));
        }
        text.push_str(["a\n", "b\n", "c\n"][row % 3]);
    }
    let folder = Folder::with(&[("table.csv", text.into_bytes())]);
    let spec = folder.spec("table.csv", Some("k"), None);
    let read = |memory| {
        peak_of(|| {
            let data = load_within(&spec, memory).unwrap();
            let summary = data.summary(&spec, 1).unwrap();
            let block = block(&data);
            (summary, block, split_within(&data, &spec, 1, memory).unwrap())
        })
    };
    const BYTES: usize = 1 << 20;
    let small = MemoryBudget { table_bytes: BYTES, inputs_bytes: BYTES, window_bytes: BYTES / 4 };
    let ((summary, name, splits), peak) = read(small);
    let ((expected, expected_name, in_memory), much) = read(MemoryBudget::DEFAULT);
    assert_eq!((summary, name), (expected, expected_name));
    assert_eq!(splits.validation, in_memory.validation);
    let all = isize::try_from(ROWS * COLUMNS * 8).unwrap();
    assert!(much > all, "{much} bytes in memory");
    let limit = isize::try_from(12 * BYTES + 60 * ROWS).unwrap();
    assert!(peak < limit, "{peak} bytes, more than {limit}");
}
