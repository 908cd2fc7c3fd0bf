//! Invalid inputs that a worker reads: data sources that are not regular files, and forged
//! checkpoints.

use std::process::Command;
use std::sync::Arc;

use caviar_common::assignment::{Assignment, Value};
use caviar_common::data::{DataSpec, Task};
use caviar_common::hyper::train_spec;
use caviar_data::{load, prepare};
use caviar_nn::Trainer;

#[test]
fn a_pipe_or_a_directory_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (pipe, directory) = (folder.path().join("pipe.csv"), folder.path().join("directory.csv"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::fs::create_dir(&directory).unwrap();
    for path in [pipe, directory] {
        let source = path.to_str().unwrap().to_owned();
        let spec = DataSpec {
            source,
            task: Some(Task::Classification),
            validation: 0.2,
            test: 0.1,
            ..DataSpec::default()
        };
        let error = load(&spec).unwrap_err().to_string();
        assert!(error.contains("expected a regular file"), "{error}");
    }
}

#[test]
fn a_checkpoint_of_impossibly_many_steps_is_refused() {
    let source = "builtin:digits".to_owned();
    let data = DataSpec {
        source,
        task: Some(Task::Classification),
        validation: 0.2,
        test: 0.1,
        ..DataSpec::default()
    };
    let fixed = [("epochs", Value::Int(2)), ("units", Value::Int(2)), ("layers", Value::Int(1))];
    let fixed = fixed.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let spec = train_spec(&fixed, &Assignment::default()).unwrap();
    let splits = Arc::new(prepare(&data, 7).unwrap().0);
    let mut trainer = Trainer::new(&spec, Arc::clone(&splits), 7, 0).unwrap();
    trainer.epoch(&|| true).unwrap();
    let mut bytes = trainer.checkpoint(0.0).unwrap();
    let mut resumed = Trainer::new(&spec, splits, 7, 0).unwrap();
    assert!(resumed.restore(&bytes).is_ok());
    // The magic, version, identity, epochs and mini-batches precede the number of steps. The digest
    // is not a secret, so a forger can compute a matching one.
    bytes[56..64].copy_from_slice(&u64::MAX.to_le_bytes());
    let content = bytes.len() - 32;
    let digest = blake3::hash(&bytes[..content]);
    bytes[content..].copy_from_slice(digest.as_bytes());
    let error = resumed.restore(&bytes).unwrap_err().to_string();
    assert_eq!(error, "the checkpoint cannot be resumed: it has more steps than any training");
}
