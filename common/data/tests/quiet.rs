//! A damaged file of Parquet or Arrow is one error, and not also the report of a panic. It has a
//! process of its own, because the hook that hears of panics is that of the process.

#![cfg(feature = "arrow")]

use std::panic::{catch_unwind, set_hook};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use caviar_common::data::DataSpec;

static HEARD: AtomicUsize = AtomicUsize::new(0);

#[test]
fn a_panic_of_the_crates_that_read_columns_becomes_an_error() {
    set_hook(Box::new(|_| {
        HEARD.fetch_add(1, Ordering::Relaxed);
    }));
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let folder = tempfile::tempdir().unwrap();
    let error_of = |kept: &str, name: &str| {
        let path = folder.path().join(name);
        std::fs::copy(corpus.join(kept), &path).unwrap();
        let source = path.to_str().unwrap().to_owned();
        let spec = DataSpec { source, label: Some("k".to_owned()), ..DataSpec::default() };
        caviar_data::load(&spec).expect_err("the file is damaged").to_string()
    };
    let what = "its parts do not fit each other";
    let error = error_of("parquet/panic_negative_start", "data.parquet");
    assert!(error.ends_with(&format!("is not a Parquet file, or is damaged: {what}")), "{error}");
    let error = error_of("arrow/panic_unaligned_offsets", "data.arrow");
    assert!(error.ends_with(&format!("is not an Arrow file, or is damaged: {what}")), "{error}");
    assert_eq!(HEARD.load(Ordering::Relaxed), 0);
    // All other panics are still heard.
    let nothing: Vec<u8> = Vec::new();
    assert!(catch_unwind(|| nothing[0]).is_err());
    assert_eq!(HEARD.load(Ordering::Relaxed), 1);
}
