//! The limits of messages about blobs and checkpoints.

use caviar_common::limits::{MAX_BLOB_BYTES, MAX_BLOBS_PER_REQUEST, MAX_EPOCHS};

use super::limits::{bad_grant, checkpoint, from_worker, long};
use crate::v1;
use crate::v1::worker_message::Kind as From;

fn checkpointed(change: impl FnOnce(&mut v1::Checkpoint)) -> From {
    let mut checkpoint = checkpoint();
    change(&mut checkpoint);
    From::Checkpointed(v1::Checkpointed { lease: 1, checkpoint: Some(checkpoint) })
}

#[test]
fn checkpoints_are_limited() {
    assert!(from_worker(checkpointed(|_| ())).is_ok());
    let refused = |change: fn(&mut v1::Checkpoint)| {
        let field = from_worker(checkpointed(change)).unwrap_err().field;
        assert_eq!(
            bad_grant(|grant| change(grant.checkpoint.as_mut().unwrap())),
            field.replace("checkpointed", "grant")
        );
        field
    };
    assert_eq!(refused(|it| it.blob = None), "checkpointed.checkpoint.blob");
    assert_eq!(refused(|it| it.epoch = MAX_EPOCHS + 1), "checkpointed.checkpoint.epoch");
    let blob = |it: &mut v1::Checkpoint, name: String, bytes| {
        it.blob = Some(v1::Blob { name, bytes });
    };
    let name = "checkpointed.checkpoint.blob.name";
    for wrong in [String::new(), "0".repeat(63), "A".repeat(64), long()] {
        let field = from_worker(checkpointed(|it| blob(it, wrong.clone(), 1))).unwrap_err().field;
        assert_eq!(field, name, "{wrong}");
    }
    for bytes in [0, MAX_BLOB_BYTES + 1] {
        let field = from_worker(checkpointed(|it| blob(it, "0".repeat(64), bytes)));
        assert_eq!(field.unwrap_err().field, "checkpointed.checkpoint.blob.bytes", "{bytes}");
    }
    let missing = From::Checkpointed(v1::Checkpointed { lease: 1, checkpoint: None });
    assert_eq!(from_worker(missing).unwrap_err().field, "checkpointed.checkpoint");
    let restarted = From::Restarted(v1::Restarted { lease: 1, reason: long() });
    assert_eq!(from_worker(restarted).unwrap_err().field, "restarted.reason");
}

#[test]
fn a_blob_is_named_by_a_hash_and_has_a_size() {
    use crate::convert::artifacts::{decode_blob, decode_blobs};
    let blob = |name: &str, bytes| v1::Blob { name: name.to_owned(), bytes };
    let name = "5a".repeat(32);
    assert!(decode_blob("blob", Some(blob(&name, MAX_BLOB_BYTES))).is_ok());
    for (wire, field) in [
        (None, "blob"),
        (Some(blob("../../etc/passwd", 1)), "blob.name"),
        (Some(blob(&name.to_uppercase(), 1)), "blob.name"),
        (Some(blob(&name, 0)), "blob.bytes"),
        (Some(blob(&name, MAX_BLOB_BYTES + 1)), "blob.bytes"),
    ] {
        assert_eq!(decode_blob("blob", wire).unwrap_err().field, field);
    }
    let many = vec![blob(&name, 1); MAX_BLOBS_PER_REQUEST];
    assert_eq!(decode_blobs(many.clone()).unwrap().len(), MAX_BLOBS_PER_REQUEST);
    assert_eq!(decode_blobs([many, vec![blob(&name, 1)]].concat()).unwrap_err().field, "blobs");
    assert_eq!(decode_blobs(vec![blob(&name, 1), blob("", 1)]).unwrap_err().field, "blobs[1].name");
}
