//! A training allocates all its memory when it is made.
#![allow(unsafe_code, reason = "the trait of a global allocator is unsafe")]
#![allow(clippy::unwrap_used, clippy::as_conversions, reason = "tests with made-up data")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use caviar_common::data::{DataSpec, SplitSpec, Task};
use caviar_common::spec::{Objective, ObjectiveEpoch};
use caviar_common::train::{
    Activation, Embedding, Normalization, Optimizer, Precision, Scaling, Schedule, TrainSpec,
};
use caviar_data::{Examples, Fold, Splits, Targets, prepare};
use caviar_nn::{Trainer, TrialTrainer, data_bytes, trial_bytes};
use ndarray::Array2;

use support::optimizers;

/// The system's allocator, which counts what the current thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<u64> = const { Cell::new(0) };
    /// Bytes that are allocated and not yet freed.
    static LIVE: Cell<u64> = const { Cell::new(0) };
}

fn count(bytes: usize) {
    // A thread that is ending no longer has a counter.
    let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + 1));
    let _ = BYTES.try_with(|all| all.set(all.get() + bytes as u64));
}

fn live(more: usize, less: usize) {
    let _ =
        LIVE.try_with(|all| all.set(all.get().wrapping_add(more as u64).wrapping_sub(less as u64)));
}

// SAFETY: every call is passed to the system's allocator, and counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        live(layout.size(), 0);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        live(size, layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        live(0, layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn data(has_classes: bool) -> Arc<Splits> {
    let examples = |rows: usize| Examples {
        weights: None,
        features: Array2::from_shape_fn((rows, 10), |(row, column)| {
            ((row * 7 + column * 3) % 11) as f32 / 5.0 - 1.0
        })
        .into(),
        targets: match has_classes {
            true => Targets::Classes((0..rows).map(|row| (row % 3) as u32).collect()),
            false => {
                Targets::Values((0..rows).map(|row| (row % 3) as f32).collect::<Vec<_>>().into())
            }
        },
    };
    Arc::new(Splits {
        train: examples(65),
        validation: examples(300),
        folds: Vec::new(),
        test: Some(examples(20)),
        outputs: if has_classes { 3 } else { 1 },
        schema: None,
    })
}

fn spec(optimizer: Optimizer, normalization: Normalization) -> TrainSpec {
    let is_adam = matches!(optimizer, Optimizer::Adam { .. });
    TrainSpec {
        // One optimiser is enough for the average.
        weight_average: if is_adam { 0.99 } else { 0.0 },
        epochs: 3,
        batch_size: 16,
        hidden: vec![40, 20],
        activation: Activation::Gelu,
        normalization,
        dropout: 0.2,
        weight_decay: 0.01,
        gradient_clip: 1.0,
        optimizer,
        schedule: Schedule::Cosine { decay: 0.5 },
        ..support::spec()
    }
}

fn objective(epoch: ObjectiveEpoch) -> Objective {
    Objective { epoch, ..Objective::default_of(Task::Regression) }
}

#[test]
fn data_takes_the_memory_that_data_bytes_reports() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("narrow.csv").to_str().unwrap().to_owned();
    let rows: String = (0..40_000).map(|row| format!("{},{}\n", row % 17, row % 5)).collect();
    std::fs::write(&file, format!("x,y\n{rows}")).unwrap();
    let of_file = |task| DataSpec {
        source: file.clone(),
        label: Some("y".to_owned()),
        task: Some(task),
        validation: 0.2,
        test: 0.1,
        ..DataSpec::default()
    };
    let digits = DataSpec {
        source: "builtin:digits".to_owned(),
        label: None,
        ..of_file(Task::Classification)
    };
    let folds = SplitSpec { folds: Some(3), ..SplitSpec::default() };
    let folds = DataSpec { split: folds, ..digits.clone() };
    let names: Vec<String> = (0..9).map(|label| format!("y{label}")).collect();
    let wide = directory.path().join("wide.csv").to_str().unwrap().to_owned();
    let row = |row: u32| {
        let cells = (0..10).map(|column| (row * 7 % (13 + column)).to_string());
        cells.collect::<Vec<_>>().join(",") + "\n"
    };
    let rows: String = (0..20_000).map(row).collect();
    std::fs::write(&wide, format!("x,{}\n{rows}", names.join(","))).unwrap();
    let several = DataSpec {
        source: wide,
        label: names.first().cloned(),
        more_labels: names.get(1..).unwrap().to_vec(),
        ..of_file(Task::Regression)
    };
    let of_files = [of_file(Task::Classification), of_file(Task::Regression)];
    for spec in [digits, folds, several].into_iter().chain(of_files) {
        let before = LIVE.get();
        let splits = prepare(&spec, 7).unwrap().0;
        let (held, counted) = (LIVE.get().wrapping_sub(before), data_bytes(&splits));
        assert!(held >= counted && held < counted + 10_000, "{spec:?}: {held}, counted {counted}");
    }
}

#[test]
fn a_training_takes_the_memory_that_trial_bytes_reports() {
    for optimizer in optimizers(1e-8) {
        for normalization in [Normalization::Before, Normalization::After, Normalization::None] {
            let (f32, bf16) = (Precision::F32, Precision::Bf16);
            for (dropout, hidden, precision) in [
                (0.0, vec![300, 150], f32),
                (0.2, vec![700], f32),
                (0.2, vec![99, 201, 33], f32),
                (0.0, vec![99, 201, 33], bf16),
            ] {
                let spec =
                    TrainSpec { dropout, hidden, precision, ..spec(optimizer, normalization) };
                for epoch in ObjectiveEpoch::ALL {
                    let (data, objective) = (data(true), objective(epoch));
                    let expected = trial_bytes(&spec, &data, &objective);
                    let before = BYTES.get();
                    let trainer = Trainer::new(&spec, data, 1, 2).unwrap();
                    let _trainer = trainer.with_objective(&objective).unwrap();
                    let taken = BYTES.get() - before;
                    // Everything besides buffers is small and of constant size.
                    assert!(
                        taken >= expected && taken < expected + 8_192,
                        "{optimizer:?} {normalization:?} {epoch:?}: {taken}, expected {expected}"
                    );
                }
            }
        }
    }
}

fn stages() -> [(Scaling, Embedding); 2] {
    [
        (Scaling::Quantile, Embedding::Periodic { size: 20, frequency_scale: 0.1 }),
        (Scaling::Robust, Embedding::PiecewiseLinear { size: 6 }),
    ]
}

#[test]
fn a_stage_takes_the_memory_that_trial_bytes_reports() {
    for (scaling, embedding) in stages() {
        for input_scaling in [false, true] {
            let spec = TrainSpec {
                scaling,
                embedding,
                input_scaling,
                ..spec(Optimizer::Sgd, Normalization::Before)
            };
            let data = data(true);
            let expected = trial_bytes(&spec, &data, &objective(ObjectiveEpoch::Last));
            let before = LIVE.get();
            let trainer = Trainer::new(&spec, Arc::clone(&data), 1, 2).unwrap();
            let taken = LIVE.get().wrapping_sub(before);
            drop(trainer);
            // The knots of the ten numbers are not counted.
            assert!(
                taken >= expected && taken < expected + 65_536,
                "{spec:?}: {taken}, expected {expected}"
            );
        }
    }
}

/// A table with two categories, of 700 and of 70 values.
fn categories() -> Arc<Splits> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("categories.csv").to_str().unwrap().to_owned();
    let row = |row: usize| format!("{},a{},b{},{}\n", row % 17, row % 700, row % 70, row % 5);
    let rows: String = (0..5_000).map(row).collect();
    std::fs::write(&file, format!("x,a,b,y\n{rows}")).unwrap();
    let spec = DataSpec {
        source: file,
        label: Some("y".to_owned()),
        task: Some(Task::Classification),
        validation: 0.2,
        test: 0.1,
        ..DataSpec::default()
    };
    Arc::new(prepare(&spec, 7).unwrap().0)
}

#[test]
fn embedded_categories_take_the_memory_that_trial_bytes_reports_and_allocate_nothing() {
    let data = categories();
    let tables = data.schema.as_ref().unwrap().encoder.categories();
    // The few values with one row in the training split are too few for a number.
    assert_eq!(tables.iter().map(|it| it.values).collect::<Vec<_>>(), [695, 70]);
    let (scaling, segments) = stages()[1];
    for optimizer in optimizers(1e-8) {
        for (scaling, embedding, input_scaling) in
            [(Scaling::Standard, Embedding::None, false), (scaling, segments, true)]
        {
            let normalization = Normalization::Before;
            let spec = spec(optimizer, normalization);
            let spec = TrainSpec { scaling, embedding, input_scaling, ..spec };
            let objective = objective(ObjectiveEpoch::Best);
            let expected = trial_bytes(&spec, &data, &objective);
            let before = LIVE.get();
            let trainer = Trainer::new(&spec, Arc::clone(&data), 1, 2).unwrap();
            let mut trainer = trainer.with_objective(&objective).unwrap();
            let taken = LIVE.get().wrapping_sub(before);
            assert!(
                taken >= expected && taken < expected + 16_384,
                "{optimizer:?} {embedding:?}: {taken}, expected {expected}"
            );
            let before = ALLOCATIONS.get();
            trainer.epoch(&|| true).unwrap().unwrap();
            assert_eq!(ALLOCATIONS.get() - before, 0, "{optimizer:?} {embedding:?}");
        }
    }
}

#[test]
fn a_trial_of_several_trainings_takes_the_memory_that_trial_bytes_reports() {
    let whole = Arc::unwrap_or_clone(data(true));
    let fold =
        |train: Range<u32>| Fold { train: train.collect(), validation: whole.validation.clone() };
    let folds = vec![fold(0..21), fold(20..50), fold(40..65)];
    let data = Arc::new(Splits { folds, ..whole });
    let objective = Objective { repeats: 2, ..objective(ObjectiveEpoch::Best) };
    let spec = spec(Optimizer::Sgd, Normalization::Before);
    let expected = trial_bytes(&spec, &data, &objective);
    let before = BYTES.get();
    let trainer = TrialTrainer::new(&spec, (data, ""), &objective, 1, 2).unwrap();
    let taken = BYTES.get() - before;
    assert_eq!(trainer.parts(), 6);
    assert!(taken >= expected && taken < expected + 6 * 8_192, "{taken}, expected {expected}");
}

#[test]
fn epochs_and_tests_allocate_nothing() {
    for has_classes in [true, false] {
        for optimizer in optimizers(1e-8) {
            for normalization in [Normalization::Before, Normalization::After, Normalization::None]
            {
                // One optimiser is enough for the other precision.
                let is_adamw = matches!(optimizer, Optimizer::Adamw { .. });
                let precision = if is_adamw { Precision::Bf16 } else { Precision::F32 };
                let (scaling, embedding) = stages()[usize::from(is_adamw)];
                let spec = TrainSpec {
                    precision,
                    scaling,
                    embedding,
                    input_scaling: has_classes,
                    ..spec(optimizer, normalization)
                };
                let trainer = Trainer::new(&spec, data(has_classes), 1, 2).unwrap();
                let objective = objective(ObjectiveEpoch::Best);
                let mut trainer = trainer.with_objective(&objective).unwrap();
                let before = ALLOCATIONS.get();
                for _ in 0..3 {
                    assert!(trainer.epoch(&|| true).unwrap().is_some());
                }
                trainer.test().unwrap();
                assert_eq!(ALLOCATIONS.get() - before, 0, "{optimizer:?} {normalization:?}");
                // The counter works.
                assert!(!trainer.checkpoint(0.0).unwrap().is_empty());
                assert_ne!(ALLOCATIONS.get() - before, 0);
            }
        }
    }
}
