//! Rows with weights, from the sweep file to a model of all rows.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};
use support::{caviar, stderr_of, stdout_of};

fn stdout(folder: &Path, words: &str) -> String {
    let mut command = caviar(folder, words);
    command.env("CAVIAR_HOME", folder.join("home"));
    stdout_of(command)
}

/// A table with the weight of each row in `w`. Every fifth row has none.
fn write_table(folder: &Path) {
    let mut text = "x,z,y,w\n".to_owned();
    for row in 0..90_u32 {
        let (x, z) = (row * 37 % 101, row * 53 % 89);
        writeln!(text, "{x},{z},{},{}", 2 * x + z, f64::from(row % 5) / 2.0).unwrap();
    }
    std::fs::write(folder.join("rows.csv"), text).unwrap();
}

#[test]
fn weights_go_with_folds_and_with_a_refit_on_all_rows() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_table(folder);
    for (name, folds) in [("plain", ""), ("folds", "folds = 3\n")] {
        let text = format!(
            "name = \"{name}\"\n[data]\nsource = \"rows.csv\"\nlabel = \"y\"\nweight = \"w\"\n\
             {folds}[fixed]\nepochs = 3\n[search]\ntrials = 3\n"
        );
        std::fs::write(folder.join("sweep.toml"), text).unwrap();
        let result = stdout(folder, "run sweep.toml --json --slots 1");
        let result: Value = serde_json::from_str(&result).unwrap();
        assert_eq!(result["counts"]["failed"], json!(0), "{name}");
        assert_eq!(result["test"]["reproduced"], json!(true), "{name}");
        stdout(folder, &format!("refit {name} -o {name}-model"));
        assert!(folder.join(format!("{name}-model/model.caviar")).exists(), "{name}");
    }
    // A weight of a label would not be one.
    let text = "name = \"label\"\n[data]\nsource = \"rows.csv\"\nlabel = \"w\"\nweight = \"w\"\n\
                [search]\ntrials = 3\n";
    std::fs::write(folder.join("sweep.toml"), text).unwrap();
    let refused = stderr_of(caviar(folder, "check sweep.toml"), false);
    assert!(refused.contains("data.label names it too: expected a column of its own"), "{refused}");
}
