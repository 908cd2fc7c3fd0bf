//! A training that is cut anywhere, and goes on from a checkpoint with any kernels, has the bits of
//! one that was not.

use std::cell::Cell;
use std::sync::Arc;

use caviar_common::data::Task;
use caviar_common::measure::Measure;
use caviar_common::metric::Metric;
use caviar_common::spec::{Goal, Objective, ObjectiveEpoch};
use caviar_common::train::{
    Embedding, Init, Optimizer, Precision, RegularizationSchedule, Scaling, Schedule, TrainSpec,
};
use caviar_data::{Examples, RowWeight, Splits};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::select;

use super::support::{ACTIVATIONS, NORMALIZATIONS, draws, examples, optimizers, spec};
use crate::kernels::Family;
use crate::trainer::{Part, Trainer};

fn schedules() -> Vec<Schedule> {
    let decay = 0.4;
    vec![
        Schedule::Constant,
        Schedule::InverseTime { decay },
        Schedule::Exponential { decay },
        Schedule::Step { decay },
        Schedule::Cosine { decay },
        Schedule::OneCycle,
        Schedule::CosineCycles,
    ]
}

/// Every kind of training that a space can ask for.
fn specs() -> impl Strategy<Value = TrainSpec> {
    let rules = (
        select(optimizers(1e-8).to_vec()),
        select(schedules()),
        select(vec![Precision::F32, Precision::F32, Precision::Bf16]),
        select(vec![0.0, 0.01]),
        select(vec![0.0, 0.5]),
        select(vec![0.0, 0.1]),
        select(vec![0.0, 0.0, 0.9]),
    );
    let inputs = (
        select(vec![Scaling::Standard, Scaling::Robust, Scaling::Quantile]),
        select(vec![
            Embedding::None,
            Embedding::Periodic { size: 4, frequency_scale: 0.1 },
            Embedding::PiecewiseLinear { size: 3 },
        ]),
        any::<bool>(),
        select(vec![RegularizationSchedule::Constant, RegularizationSchedule::FlatCosine]),
    );
    let shapes = (
        vec(1u32..40, 0..3),
        select(ACTIVATIONS.to_vec()),
        select(NORMALIZATIONS.to_vec()),
        select(vec![0.0, 0.3]),
        select(vec![Init::Auto, Init::He, Init::Xavier]),
        2u32..50,
    );
    (rules, shapes, inputs).prop_map(|(rules, shapes, inputs)| {
        let (scaling, embedding, input_scaling, regularization) = inputs;
        let (
            optimizer,
            schedule,
            precision,
            weight_decay,
            gradient_clip,
            label_smoothing,
            weight_average,
        ) = rules;
        let (hidden, activation, normalization, dropout, init, batch_size) = shapes;
        TrainSpec {
            optimizer,
            schedule,
            precision,
            weight_decay,
            gradient_clip,
            label_smoothing,
            weight_average,
            hidden,
            activation,
            normalization,
            dropout,
            init,
            batch_size,
            epochs: 3,
            scaling,
            embedding,
            input_scaling,
            dropout_schedule: regularization,
            weight_decay_schedule: regularization,
            ..spec()
        }
    })
}

/// Splits whose validation takes two blocks. `outputs` 0 is regression.
fn data(outputs: u32, is_weighted: bool) -> Arc<Splits> {
    let mut stream = draws(2);
    let weight =
        |row: usize| RowWeight { loss: (row % 5) as f32 / 3.0, measures: (row % 7) as f32 };
    let mut make = |rows| {
        let examples = examples(rows, 7, outputs, &mut stream);
        Examples { weights: is_weighted.then(|| (1..=rows).map(weight).collect()), ..examples }
    };
    let (train, validation, test) = (make(41), make(300), Some(make(7)));
    Arc::new(Splits {
        train,
        validation,
        test,
        outputs: outputs.max(1),
        folds: Vec::new(),
        schema: None,
    })
}

/// The bits of the metrics of each epoch that ends, until `go_on` interrupts or the training ends.
fn run(trainer: &mut Trainer, epochs: u32, go_on: &dyn Fn() -> bool) -> Vec<[u64; 5]> {
    let mut ended = Vec::new();
    while trainer.epochs_done() < epochs {
        let Some(metrics) = trainer.epoch(go_on).unwrap() else { break };
        let scores = [metrics.train, metrics.validation];
        let words = scores.map(|it| [it.loss.to_bits(), it.accuracy.unwrap_or(-1.0).to_bits()]);
        let measured = metrics.validation.measured.map_or(0, |it| it.value.to_bits());
        ended.push([words[0][0], words[0][1], words[1][0], words[1][1], measured]);
    }
    ended
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_training_that_is_cut_has_the_same_bits(
        mut spec in specs(),
        outputs in select(vec![0u32, 3]),
        cuts in vec((0u32..40, any::<proptest::sample::Index>(), any::<bool>()), 1..5),
        epoch in select(ObjectiveEpoch::ALL.to_vec()),
        measure in select(vec![None, Some(Measure::RocAuc), Some(Measure::MacroF1)]),
        is_weighted in any::<bool>(),
    ) {
        if outputs == 0 {
            spec.label_smoothing = 0.0;
        }
        let (families, data) = (Family::available(), data(outputs, is_weighted));
        let mut objective = Objective { epoch, ..Objective::default_of(Task::Regression) };
        if let Some(measure) = measure.filter(|_| outputs > 0) {
            (objective.metric, objective.goal) = (Metric::Measure(measure), Goal::of(measure));
        }
        let new = |family| {
            let identity = (5, 6, Part::default());
            let trainer = Trainer::with_family(family, &spec, data.clone(), identity).unwrap();
            trainer.with_objective(&objective).unwrap()
        };
        let mut whole = new(families[0]);
        let expected = run(&mut whole, spec.epochs, &|| true);
        let mut trainer = new(families[0]);
        let mut got = Vec::new();
        let mut seconds = 0.0;
        for (steps, family, crashes) in cuts {
            let left = Cell::new(steps);
            let go_on = || left.replace(left.get().saturating_sub(1)) > 0;
            let checkpoint = trainer.checkpoint(seconds).unwrap();
            let before = got.len();
            got.extend(run(&mut trainer, spec.epochs, &go_on));
            let checkpoint = if crashes {
                // What came after the last checkpoint is lost and trained again.
                got.truncate(before);
                checkpoint
            } else {
                seconds += 1.5;
                trainer.checkpoint(seconds).unwrap()
            };
            trainer = new(families[family.index(families.len())]);
            prop_assert_eq!(trainer.restore(&checkpoint), Ok(seconds));
            prop_assert!(trainer.checkpoint(seconds).unwrap() == checkpoint);
        }
        got.extend(run(&mut trainer, spec.epochs, &|| true));
        prop_assert_eq!(got, expected);
        // Weights, moments, running statistics and counters.
        prop_assert!(trainer.checkpoint(0.0) == whole.checkpoint(0.0));
        prop_assert_eq!(trainer.test().unwrap(), whole.test().unwrap());
        prop_assert_eq!(trainer.counting(), whole.counting());
    }
}

#[test]
fn a_checkpoint_has_the_size_that_is_promised() {
    for optimizer in optimizers(1e-8) {
        let spec = TrainSpec { optimizer, ..spec() };
        let trainer = Trainer::with_family(
            Family::available()[0],
            &spec,
            data(3, false),
            (5, 6, Part::default()),
        )
        .unwrap();
        let slots = match optimizer {
            Optimizer::Sgd => 0,
            Optimizer::Momentum { .. } | Optimizer::Nesterov { .. } | Optimizer::Rmsprop { .. } => {
                1
            }
            Optimizer::Adam { .. } | Optimizer::Adamw { .. } => 2,
        };
        let statistics = 2 * (12 + 9);
        let floats = trainer.parameters() * (1 + slots) + statistics;
        assert_eq!(trainer.checkpoint(0.0).unwrap().len(), 4 * floats + 224, "{optimizer:?}");
        let spec = TrainSpec { weight_average: 0.9, ..spec };
        let trainer = Trainer::with_family(
            Family::available()[0],
            &spec,
            data(3, false),
            (5, 6, Part::default()),
        )
        .unwrap();
        let floats = floats + trainer.parameters() + statistics;
        assert_eq!(trainer.checkpoint(0.0).unwrap().len(), 4 * floats + 224, "{optimizer:?}");
        let trainer = trainer.with_objective(&Objective::default_of(Task::Regression)).unwrap();
        let floats = floats + trainer.parameters() + statistics;
        assert_eq!(trainer.checkpoint(0.0).unwrap().len(), 4 * floats + 224 + 60, "{optimizer:?}");
    }
}

#[test]
fn a_spec_without_later_hyperparameters_has_the_form_that_earlier_checkpoints_name() {
    let form = |spec: &TrainSpec| serde_json::to_value(spec).unwrap();
    for name in [
        "label_smoothing",
        "weight_average",
        "dropout_schedule",
        "weight_decay_schedule",
        "scaling",
        "embedding",
        "input_scaling",
    ] {
        assert_eq!(form(&spec()).get(name), None);
    }
    let changed = form(&TrainSpec { label_smoothing: 0.1, weight_average: 0.9, ..spec() });
    assert_eq!(
        (&changed["label_smoothing"], &changed["weight_average"]),
        (&0.1.into(), &0.9.into())
    );
}
