//! Configurations with which a worker does not start.

use caviar_common::ids::Name;
use caviar_worker::caviar_client::{Dialer, Target};
use caviar_worker::{BlobPlaces, CheckpointConfig, LeaveRules, WorkerConfig, WorkerError, run};

#[tokio::test]
async fn a_wrong_configuration_is_refused_at_once() {
    let name = Name::parse("name", "w1").unwrap();
    for slots in [0, 5_000] {
        let config = WorkerConfig {
            coordinator: Dialer::new(Target::plain("http://127.0.0.1:1").unwrap(), None)
                .unwrap()
                .into(),
            name: name.clone(),
            slots,
            memory: None,
            checkpoints: CheckpointConfig::default(),
            blobs: BlobPlaces::default(),
            leave: LeaveRules::default(),
        };
        assert_eq!(run(config, std::future::pending()).await, Err(WorkerError::Slots { slots }));
    }
}
