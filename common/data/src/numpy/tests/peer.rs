//! Comparison with NumPy itself.

use super::*;
use crate::tests::{python, run};

/// Writes every type in both byte orders, both orders, and in 1 to 4 dimensions, as files of all
/// versions and in both kinds of archives. Prints for each file its path, its shape and its items
/// in C order, as Python writes them, separated by tabs.
const PROGRAM: &str = r#"
import itertools, sys
import numpy as np
from numpy.lib import format
names = "b1 i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8 S3 U3".split()
shapes = [(6,), (2, 3), (3, 1, 2), (1, 2, 3, 2), (0, 3)]
versions = [(1, 0), (2, 0), (3, 0)]
random = np.random.default_rng(7)
arrays = {}
for name, order, layout, shape in itertools.product(names, "<>", "CF", shapes):
    count = int(np.prod(shape))
    dtype = np.dtype(order + name)
    if name[0] in "SU":
        words = ["", "a", "xyz", "\u20ac" if name[0] == "U" else "q"]
        array = np.array([words[i] for i in random.integers(4, size=count)], dtype)
    elif name == "b1":
        array = random.integers(2, size=count).astype(dtype)
    elif name[0] == "f":
        array = (random.standard_normal(count) * 10.0 ** random.integers(-6, 4, count))
        array = array.astype(dtype)
    else:
        limits = np.iinfo(dtype)
        array = random.integers(limits.min, limits.max, count, dtype.newbyteorder("="), True)
        array = array.astype(dtype)
    array = np.array(array.reshape(shape), order=layout)
    arrays[f"{name}_{'le' if order == '<' else 'be'}_{layout}_{len(arrays)}"] = array
np.savez("plain.npz", **arrays)
np.savez_compressed("packed.npz", **arrays)
def show(path, array):
    items = array.astype("U") if array.dtype.kind == "S" else array
    if array.dtype.kind == "f":
        items = array.astype("f8")
    print(path, list(array.shape), *(repr(item) for item in items.flatten().tolist()), sep="\t")
for name, array in arrays.items():
    for version in versions:
        path = f"{name}_{version[0]}.npy"
        with open(path, "wb") as file:
            format.write_array(file, array, version)
        show(path, array)
    show("plain.npz/" + name, array)
    show("packed.npz/" + name, array)
halves = np.arange(65536, dtype="u2").view("f2")
halves = halves[np.isfinite(halves)]
np.save("halves.npy", halves)
show("halves.npy", halves)
"#;

/// True if the items are what Python writes. Real numbers are compared by their value, because an
/// f64 can be written in several ways.
fn agrees(items: &Items, expected: &[&str]) -> bool {
    fn all<T>(items: &[T], expected: &[&str], same: impl Fn(&T, &str) -> bool) -> bool {
        items.len() == expected.len() && items.iter().zip(expected).all(|(a, b)| same(a, b))
    }
    match items {
        Items::U8(items) => all(items, expected, |item, text| item.to_string() == text),
        Items::Bool(items) => {
            all(items, expected, |item, text| text == if *item { "True" } else { "False" })
        }
        Items::Int(items) => all(items, expected, |item, text| item.to_string() == text),
        Items::UInt(items) => all(items, expected, |item, text| item.to_string() == text),
        Items::F32(items) => {
            all(items, expected, |item, text| Ok(f64::from(*item)) == text.parse())
        }
        Items::F64(items) => all(items, expected, |item, text| Ok(*item) == text.parse()),
        Items::Text(items) => all(items, expected, |item, text| format!("'{item}'") == text),
    }
}

/// The variant that a type becomes.
fn is_right_variant(name: &str, items: &Items) -> bool {
    match items {
        Items::U8(_) => name.starts_with("u1"),
        Items::Bool(_) => name.starts_with("b1"),
        Items::Int(_) => ["i", "u2", "u4"].iter().any(|start| name.starts_with(start)),
        Items::UInt(_) => name.starts_with("u8"),
        Items::F32(_) => ["f2", "f4", "halves"].iter().any(|start| name.starts_with(start)),
        Items::F64(_) => name.starts_with("f8"),
        Items::Text(_) => ["S3", "U3"].iter().any(|start| name.starts_with(start)),
    }
}

#[test]
fn arrays_of_numpy_are_read_as_numpy_reads_them() {
    let Some(python) = python("numpy") else { return };
    let directory = tempfile::tempdir().unwrap();
    let output = run(&python, PROGRAM, directory.path());
    let path_of = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let mut compared = 0;
    for line in output.lines() {
        let cells: Vec<&str> = line.split('\t').collect();
        let [path, shape, expected @ ..] = cells.as_slice() else { panic!("{line}") };
        let (name, array) = match path.split_once(".npz/") {
            Some((archive, name)) => {
                (name, read_npz(&path_of(&format!("{archive}.npz")), name).unwrap())
            }
            None => (*path, read_npy(&path_of(path)).unwrap()),
        };
        assert_eq!(format!("{:?}", array.shape), *shape, "{path}");
        assert!(is_right_variant(name, &array.items), "{path}: {:?}", array.items);
        assert!(agrees(&array.items, expected), "{path}: {:?} {expected:?}", array.items);
        compared += 1;
    }
    // 14 types, 2 byte orders, 2 orders, 5 shapes, and 3 files and 2 archives of each.
    assert_eq!(compared, 14 * 2 * 2 * 5 * 5 + 1);
    for archive in ["plain.npz", "packed.npz"] {
        assert_eq!(list_npz(&path_of(archive)).unwrap().len(), 14 * 2 * 2 * 5, "{archive}");
    }
}
