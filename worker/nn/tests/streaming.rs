//! Training on data that is larger than memory.

#![expect(
    clippy::unwrap_used,
    clippy::as_conversions,
    reason = "a test that cannot continue should panic"
)]

mod support;

use std::sync::Arc;

use caviar_common::data::DataSpec;
use caviar_common::metric::EpochMetrics;
use caviar_data::{MemoryBudget, Splits, load, split_within};
use caviar_nn::{Trainer, data_bytes};
use support::spec;

/// The digits in files, with windows of that many bytes. A row has 256 bytes.
fn digits(window_bytes: usize) -> Arc<Splits> {
    let spec = DataSpec {
        source: "builtin:digits".to_owned(),
        validation: 0.2,
        test: 0.1,
        ..DataSpec::default()
    };
    let memory = MemoryBudget { table_bytes: 0, inputs_bytes: 0, window_bytes };
    Arc::new(split_within(&load(&spec).unwrap(), &spec, 7, memory).unwrap())
}

/// The same examples in memory, in the same order.
fn in_memory(data: &Splits) -> Arc<Splits> {
    let mut data = data.clone();
    for examples in [&mut data.train, &mut data.validation].into_iter().chain(&mut data.test) {
        examples.features = examples.features.to_array().unwrap().into();
    }
    Arc::new(data)
}

/// The curve and the bytes of the state after each epoch.
fn train(mut trainer: Trainer) -> Vec<(EpochMetrics, Vec<u8>)> {
    (0..3)
        .map(|_| {
            let metrics = trainer.epoch(&|| true).unwrap().unwrap();
            (metrics, trainer.checkpoint(0.0).unwrap())
        })
        .collect()
}

fn curve(trained: &[(EpochMetrics, Vec<u8>)]) -> Vec<EpochMetrics> {
    trained.iter().map(|(metrics, _)| *metrics).collect()
}

#[test]
fn one_window_of_all_rows_trains_as_rows_in_memory_do() {
    let data = digits(1 << 30);
    let new = |data: Arc<Splits>| Trainer::new(&spec(), data, 1, 2).unwrap();
    let (mut file, mut memory) = (new(Arc::clone(&data)), new(in_memory(&data)));
    for _ in 0..3 {
        let go_on = || true;
        assert_eq!(file.epoch(&go_on).unwrap(), memory.epoch(&go_on).unwrap());
    }
    assert_eq!(file.test().unwrap(), memory.test().unwrap());
    assert!(file.test().unwrap().unwrap().accuracy.unwrap() > 0.8);
}

#[test]
fn a_training_in_windows_learns_and_continues_with_the_same_bits() {
    let data = digits(100 * 256);
    let new = || Trainer::new(&spec(), Arc::clone(&data), 1, 2).unwrap();
    let whole = train(new());
    assert_eq!(curve(&whole), curve(&train(new())));
    assert!(whole[2].0.validation.accuracy.unwrap() > 0.8, "{:?}", whole[2].0);

    // Stopped within an epoch, in the middle of a window, and continued elsewhere.
    let mut first = new();
    first.epoch(&|| true).unwrap().unwrap();
    let left = std::cell::Cell::new(7);
    let go_on = || {
        left.set(left.get() - 1);
        left.get() > 0
    };
    assert_eq!(first.epoch(&go_on).unwrap(), None);
    let checkpoint = first.checkpoint(0.0).unwrap();
    let mut second = Trainer::new(&spec(), digits(100 * 256), 1, 2).unwrap();
    second.restore(&checkpoint).unwrap();
    for (metrics, _) in &whole[1..] {
        assert_eq!(second.epoch(&|| true).unwrap().as_ref(), Some(metrics));
    }

    // Other windows have another order, so a checkpoint does not fit them.
    let mut other = Trainer::new(&spec(), digits(90 * 256), 1, 2).unwrap();
    assert!(other.restore(&checkpoint).is_err());
    assert_ne!(curve(&train(other)), curve(&whole));
}

#[test]
fn examples_in_files_take_no_memory() {
    let data = digits(100 * 256);
    let targets = data_bytes(&data);
    let rows = [&data.train, &data.validation, data.test.as_ref().unwrap()]
        .map(|examples| examples.targets.len())
        .iter()
        .sum::<usize>();
    assert_eq!(targets, 4 * rows as u64);
    assert!(data_bytes(&in_memory(&data)) > 60 * targets);
}
