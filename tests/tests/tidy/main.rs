//! Measures the rules of the style, and compares what the documents state about the code with the
//! code.
//!
//! `cargo test -p caviar-tests --test tidy -- --nocapture` prints the counts.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "tests say at once what failed"
)]

mod documents;
mod imports;
mod links;
mod measures;
mod sources;

use measures::Measure;
use sources::RustFile;

/// Prints what was counted, and fails with every place that passes the limit.
fn check(measure: &Measure) {
    println!("{}: {}", measure.name, measure.summary);
    assert!(measure.places.is_empty(), "{}:\n{}", measure.name, measure.places.join("\n"));
}

#[test]
fn functions_are_short_and_take_few_parameters() {
    check(&measures::functions(&RustFile::all()));
}

#[test]
fn files_and_lines_are_short() {
    check(&measures::layout(&RustFile::all()));
}

#[test]
fn prose_is_wrapped() {
    check(&measures::prose());
}

#[test]
fn scripts_have_plain_comments_and_short_lines() {
    check(&measures::scripts());
}

#[test]
fn comments_are_plain_and_say_something() {
    check(&measures::comments(&RustFile::all()));
}

#[test]
fn every_public_crate_has_a_landing_page_with_an_example() {
    check(&measures::doctests(&RustFile::all()));
}

#[test]
fn modules_do_not_import_each_other_in_circles() {
    let circles = imports::circles(&RustFile::all());
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn links_lead_somewhere() {
    let broken = links::broken_links();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
