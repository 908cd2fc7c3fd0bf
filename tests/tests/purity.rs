//! The search and the core cannot reach a runtime, the wire, a clock or a store, because they do
//! not depend on any crate that provides one.
#![allow(clippy::expect_used, reason = "tests say at once what failed")]

use std::process::Command;

fn dependencies(package: &str) -> Vec<String> {
    let mut tree = Command::new(env!("CARGO"));
    tree.args([
        "tree",
        "--offline",
        "--package",
        package,
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]);
    let output = tree.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

#[test]
fn pure_crates_depend_on_nothing_that_does_io() {
    for package in ["caviar-common", "caviar-metrics", "caviar-search", "caviar-core"] {
        let found = dependencies(package);
        assert!(found.iter().any(|d| d == "serde"), "the list is real: {found:?}");
        for forbidden in [
            "tokio",
            "tonic",
            "prost",
            "rusqlite",
            "mio",
            "hyper",
            "caviar-nn",
            "caviar-proto",
            "getrandom",
        ] {
            assert!(!found.iter().any(|d| d == forbidden), "{package} depends on {forbidden}");
        }
    }
}

#[test]
fn the_networks_know_nothing_of_runtimes_or_the_wire() {
    let found = dependencies("caviar-nn");
    for forbidden in ["tokio", "tonic", "prost"] {
        assert!(!found.iter().any(|d| d == forbidden), "caviar-nn depends on {forbidden}");
    }
}
