//! Configurations with which a worker does not start, and coordinators that it does not find.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic where it fails")]

use std::time::Duration;

use caviar_common::ids::Name;
use caviar_worker::caviar_client::{Dialer, Target};
use caviar_worker::{BlobPlaces, CheckpointConfig, LeaveRules, WorkerConfig, WorkerError, run};

/// A worker for a coordinator at this address.
fn config(url: &str, slots: u32, leave: LeaveRules) -> WorkerConfig {
    WorkerConfig {
        coordinator: Dialer::new(Target::plain(url).unwrap(), None).unwrap().into(),
        name: Name::parse("name", "w1").unwrap(),
        slots,
        memory: None,
        checkpoints: CheckpointConfig::default(),
        blobs: BlobPlaces::default(),
        leave,
    }
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_at_once() {
    for slots in [0, 5_000] {
        let config = config("http://127.0.0.1:1", slots, LeaveRules::default());
        assert_eq!(run(config, std::future::pending()).await, Err(WorkerError::Slots { slots }));
    }
}

#[tokio::test]
async fn a_worker_that_never_reached_its_coordinator_leaves_with_the_reason() {
    // A port that nobody listens on.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}");
    let idle_timeout = Some(Duration::from_secs(1));
    let config = config(&url, 1, LeaveRules { idle_timeout, time_limit: None });
    let error = run(config, std::future::pending()).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("the worker leaves without a connection to {url}")),
        "{text}"
    );
    assert!(text.contains("refused"), "{text}");
}
