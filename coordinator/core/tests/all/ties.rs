//! Trials whose objective is equal.

use caviar_common::blob::{Blob, BlobName};
use caviar_common::ids::{LeaseId, TrialNumber};
use caviar_common::message::{Finished, FromWorker, StoredModel};
use caviar_common::metric::{EpochMetrics, Score};
use caviar_core::Replay;
use caviar_core::event::{Event, Payload, Ties};
use caviar_core::tables::{TrialFilter, TrialOrder};

use crate::support::{Bench, CONFIG, STORE, SWEEP, completed};

/// The accuracies and the losses of the trials. Four have the same accuracy, and two of them the
/// same loss.
const TRIALS: [(f64, f64); 5] = [(0.9, 5.0), (0.9, 0.4), (0.8, 0.1), (0.9, 0.3), (0.9, 0.3)];

/// Trains a trial of two epochs and stores its model.
fn train(bench: &mut Bench, lease: LeaseId, (accuracy, loss): (f64, f64)) {
    let epoch = |epoch| {
        let validation = Score { loss, accuracy: Some(accuracy), measured: None };
        let train = Score { loss: 0.2, ..validation };
        EpochMetrics { epoch, train, validation, spread: None }
    };
    bench.report(1, lease, vec![epoch(1), epoch(2)]).unwrap();
    let blob = Blob { name: BlobName::from_hash([lease.0.to_le_bytes()[0]; 32]), bytes: 1 };
    let model = Some(StoredModel { epoch: 2, blob });
    let result = Finished { model, ..completed(Some(epoch(2))) };
    bench.say(1, FromWorker::Finished { lease, result }).unwrap();
}

/// A sweep of these trials, whose search has ended.
fn searched() -> Bench {
    let mut bench = Bench::new();
    bench.create("s", 5, 0).unwrap();
    bench.hello(1, "w", 1, 5, &[]);
    let mut waiting = bench.grants();
    while let Some(grant) = waiting.pop() {
        let result = TRIALS[usize::try_from(grant.trial.0).unwrap()];
        train(&mut bench, grant.lease, result);
        waiting.extend(bench.grants());
    }
    bench
}

#[test]
fn the_loss_decides_between_trials_of_equal_accuracy_and_then_the_number() {
    let bench = searched();
    let view = bench.core.sweep(SWEEP).unwrap();
    assert_eq!(view.best.unwrap().trial, TrialNumber(3));
    let numbers: Vec<u32> = view.models.iter().map(|model| model.trial.0).collect();
    assert_eq!(numbers, [3, 4, 1, 0, 2]);
    let by_objective = TrialFilter { order: TrialOrder::Objective, limit: 9, ..Default::default() };
    let listed = bench.tables.trials(SWEEP, &by_objective).unwrap();
    assert_eq!(listed.iter().map(|trial| trial.trial.0).collect::<Vec<_>>(), numbers);
}

#[test]
fn a_sweep_of_an_earlier_release_keeps_its_best_trial() {
    let bench = searched();
    let mut replay = Replay::new(CONFIG, STORE);
    for event in &bench.events {
        let mut event = event.clone();
        if let Payload::SweepCreated(created) = &mut event.payload {
            let now = serde_json::to_value(&*created).unwrap();
            assert_eq!(now["ties"], "loss");
            // What an earlier release wrote.
            let mut before = now;
            before.as_object_mut().unwrap().remove("ties");
            **created = serde_json::from_value(before).unwrap();
            assert_eq!(created.ties, Ties::Number);
        }
        replay.apply(&Event { ..event }).unwrap();
    }
    let view = replay.finish(0).sweep(SWEEP).unwrap();
    assert_eq!(view.best.unwrap().trial, TrialNumber(0));
    let numbers: Vec<u32> = view.models.iter().map(|model| model.trial.0).collect();
    assert_eq!(numbers, [0, 1, 3, 4, 2]);
}
