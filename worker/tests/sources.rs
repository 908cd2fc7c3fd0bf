//! Data sources that are no files.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic where it stands")]

use std::process::Command;

use caviar_common::data::{DataSpec, Task};
use caviar_nn::data::load;

#[test]
fn a_pipe_or_a_directory_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (pipe, directory) = (folder.path().join("pipe.csv"), folder.path().join("directory.csv"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::fs::create_dir(&directory).unwrap();
    for path in [pipe, directory] {
        let source = path.to_str().unwrap().to_owned();
        let spec = DataSpec { source, label: None, labels: None, task: Task::Classification, validation: 0.2, test: 0.1 };
        let error = load(&spec).unwrap_err().to_string();
        assert!(error.contains("it is no regular file"), "{error}");
    }
}
