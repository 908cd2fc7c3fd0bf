//! Whole trainings: the same twice, on every family, and across a checkpoint; and that they learn.

use std::cell::Cell;
use std::sync::Barrier;

use caviar_common::metric::EpochMetrics;
use caviar_common::train::{Init, Normalization, Optimizer, Schedule, TrainSpec};

use super::{ACTIVATIONS, NORMALIZATIONS, OPTIMIZERS, spec, splits};
use crate::error::TrainError;
use crate::kernels::Family;
use crate::trainer::{Trainer, batches};

fn go_on() -> bool {
    true
}

/// Bits of what an epoch measured.
fn bits(metrics: &EpochMetrics) -> [u64; 4] {
    let score = |score: caviar_common::metric::Score| {
        [score.loss.to_bits(), score.accuracy.unwrap_or(-1.0).to_bits()]
    };
    let ([a, b], [c, d]) = (score(metrics.train), score(metrics.validation));
    [a, b, c, d]
}

fn rest(trainer: &mut Trainer, epochs: u32) -> Vec<[u64; 4]> {
    (trainer.epochs_done()..epochs)
        .map(|_| bits(&trainer.epoch(&go_on).unwrap().unwrap()))
        .collect()
}

/// Specs that between them reach every branch, with dropout and clipping in most.
fn specs() -> Vec<TrainSpec> {
    let mut specs = Vec::new();
    for (index, optimizer) in OPTIMIZERS.into_iter().enumerate() {
        specs.push(TrainSpec {
            optimizer,
            activation: ACTIVATIONS[index % 5],
            normalization: NORMALIZATIONS[index % 3],
            dropout: if index == 0 { 0.0 } else { 0.3 },
            gradient_clip: if index == 1 { 0.0 } else { 0.5 },
            weight_decay: 0.01,
            schedule: Schedule::Cosine,
            learning_rate_decay: 0.9,
            ..spec()
        });
    }
    specs
}

#[test]
fn parameters_are_what_is_learnt_without_padding() {
    let count = |normalization| {
        let spec = TrainSpec { hidden: vec![17, 5], normalization, ..spec() };
        Trainer::new(&spec, splits(41, 20, 3), 5, 6).unwrap().parameters()
    };
    let weights = 20 * 17 + 17 * 5 + 5 * 3;
    assert_eq!(count(Normalization::Before), weights + 2 * (17 + 5) + 3);
    assert_eq!(count(Normalization::After), weights + 3 * (17 + 5) + 3);
    assert_eq!(count(Normalization::None), weights + (17 + 5) + 3);
}

#[test]
fn a_trial_is_the_same_bits_twice_and_on_every_family() {
    for outputs in [3, 0] {
        for spec in specs() {
            let mut first: Option<(Vec<[u64; 4]>, Vec<u8>)> = None;
            let families = Family::available();
            for family in families.iter().chain(&families[..1]) {
                let mut trainer =
                    Trainer::with_family(*family, &spec, splits(41, 20, outputs), 5, 6).unwrap();
                let run = (rest(&mut trainer, spec.epochs), trainer.checkpoint().unwrap());
                let first = first.get_or_insert_with(|| run.clone());
                assert!(
                    *first == run,
                    "{} {:?} differs from {}",
                    family.name(),
                    spec.optimizer,
                    families[0].name()
                );
            }
        }
    }
}

#[test]
fn a_trial_is_the_same_bits_alone_and_beside_others() {
    let data = splits(41, 20, 3);
    // Metrics and all that the next epoch would depend on.
    let run = |(trial, spec): (u64, &TrainSpec)| {
        let mut trainer = Trainer::new(spec, data.clone(), 5, trial).unwrap();
        (rest(&mut trainer, spec.epochs), trainer.checkpoint().unwrap())
    };
    let specs = specs();
    let trials = || (0..).zip(&specs);
    let alone: Vec<_> = trials().map(run).collect();
    let start = Barrier::new(4);
    let beside: Vec<Vec<_>> = std::thread::scope(|scope| {
        let worker = |skipped: usize| {
            let mine = trials().cycle().skip(skipped).take(specs.len());
            let start = &start;
            scope.spawn(move || {
                start.wait();
                mine.map(run).collect()
            })
        };
        let workers: Vec<_> = (0..4).map(worker).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    for (skipped, runs) in beside.iter().enumerate() {
        assert!(
            runs.iter().eq(alone.iter().cycle().skip(skipped).take(specs.len())),
            "worker {skipped}"
        );
    }
}

#[test]
fn a_checkpoint_of_any_epoch_resumes_bit_for_bit_on_every_family() {
    for (spec, outputs) in specs().into_iter().flat_map(|spec| [(spec.clone(), 3), (spec, 0)]) {
        let data = splits(41, 20, outputs);
        let mut whole = Trainer::new(&spec, data.clone(), 5, 6).unwrap();
        let mut checkpoints = vec![whole.checkpoint().unwrap()];
        let mut metrics = Vec::new();
        for _ in 0..spec.epochs {
            metrics.push(bits(&whole.epoch(&go_on).unwrap().unwrap()));
            checkpoints.push(whole.checkpoint().unwrap());
        }
        let last =
            (checkpoints.last().unwrap().clone(), whole.test().unwrap().unwrap().loss.to_bits());
        for (epoch, checkpoint) in checkpoints.iter().enumerate() {
            for family in Family::available() {
                let mut resumed = Trainer::with_family(family, &spec, data.clone(), 5, 6).unwrap();
                resumed.restore(checkpoint).unwrap();
                let label = format!("{} {:?} from epoch {epoch}", family.name(), spec.optimizer);
                assert_eq!(resumed.epochs_done() as usize, epoch);
                assert_eq!(rest(&mut resumed, spec.epochs), metrics[epoch..], "{label}");
                assert!(
                    (
                        resumed.checkpoint().unwrap(),
                        resumed.test().unwrap().unwrap().loss.to_bits()
                    ) == last,
                    "{label}"
                );
            }
        }
    }
}

#[test]
fn seed_and_trial_and_epoch_matter() {
    let spec = TrainSpec { dropout: 0.2, ..spec() };
    let run =
        |seed, trial| rest(&mut Trainer::new(&spec, splits(41, 20, 3), seed, trial).unwrap(), 2);
    assert_ne!(run(5, 6), run(5, 7));
    assert_ne!(run(5, 6), run(6, 6));
}

#[test]
fn every_epoch_has_its_own_order() {
    // Nothing is learnt, so the losses can differ only by which examples share a mini-batch.
    let spec = TrainSpec { optimizer: Optimizer::Sgd, learning_rate: 1e-30, ..spec() };
    let epochs = rest(&mut Trainer::new(&spec, splits(41, 20, 3), 5, 6).unwrap(), 4);
    let mut losses: Vec<u64> = epochs.iter().map(|[train_loss, ..]| *train_loss).collect();
    losses.sort_unstable();
    losses.dedup();
    assert_eq!(losses.len(), 4);
}

#[test]
fn all_optimizers_and_placements_learn() {
    for optimizer in OPTIMIZERS {
        for normalization in NORMALIZATIONS {
            let spec =
                TrainSpec { optimizer, normalization, epochs: 30, learning_rate: 0.03, ..spec() };
            let mut trainer = Trainer::new(&spec, splits(300, 4, 3), 1, 1).unwrap();
            let metrics = (0..30).map(|_| trainer.epoch(&go_on).unwrap().unwrap()).last().unwrap();
            let accuracy = metrics.train.accuracy.unwrap();
            assert!(accuracy > 0.7, "{optimizer:?} {normalization:?}: {accuracy}");
            assert!(
                metrics.validation.accuracy.unwrap() > 0.5,
                "{optimizer:?} {normalization:?}: {metrics:?}"
            );
        }
    }
}

#[test]
fn divergence_is_a_result() {
    let spec = TrainSpec {
        learning_rate: 1e30,
        optimizer: Optimizer::Sgd,
        normalization: Normalization::None,
        ..spec()
    };
    for outputs in [3, 0] {
        let mut trainer = Trainer::new(&spec, splits(41, 20, outputs), 5, 6).unwrap();
        let metrics = trainer.epoch(&go_on).unwrap().unwrap();
        assert!(!metrics.is_finite(), "{metrics:?}");
        let resumed =
            Trainer::resume(&spec, splits(41, 20, outputs), 5, 6, &trainer.checkpoint().unwrap())
                .unwrap();
        assert_eq!(resumed.epochs_done(), 1);
    }
}

#[test]
fn an_abandoned_epoch_ends_the_trainer() {
    let mut trainer = Trainer::new(&spec(), splits(41, 20, 3), 5, 6).unwrap();
    let asked = Cell::new(0);
    let twice = || {
        asked.set(asked.get() + 1);
        asked.get() <= 2
    };
    assert_eq!(trainer.epoch(&twice), Ok(None));
    assert_eq!((asked.get(), trainer.epochs_done()), (3, 0));
    assert_eq!(trainer.epoch(&go_on), Err(TrainError::Abandoned));
    assert_eq!(trainer.checkpoint(), Err(TrainError::Abandoned));
    assert_eq!(trainer.test(), Err(TrainError::Abandoned));
}

#[test]
fn no_epoch_follows_the_last() {
    let mut trainer = Trainer::new(&spec(), splits(41, 20, 3), 5, 6).unwrap();
    rest(&mut trainer, 4);
    assert_eq!(trainer.epoch(&go_on), Err(TrainError::Finished { epochs: 4 }));
    assert!(trainer.test().unwrap().unwrap().loss.is_finite());
}

#[test]
fn mini_batches_cover_the_rows_and_none_has_one() {
    for rows in 2..60 {
        for size in 2..20 {
            let all: Vec<_> = batches(rows, size).collect();
            assert_eq!(
                all.iter().cloned().flatten().collect::<Vec<_>>(),
                (0..rows).collect::<Vec<_>>(),
                "{rows} by {size}"
            );
            assert!(
                all.iter().all(|batch| (2..=size + 1).contains(&batch.len())),
                "{rows} by {size}: {all:?}"
            );
        }
    }
    assert_eq!(batches(9, 4).collect::<Vec<_>>(), [0..4, 4..9]);
    assert_eq!(batches(5, 100).collect::<Vec<_>>(), vec![0..5; 1]);
}

#[test]
fn initial_weights_have_the_documented_spread() {
    for (init, want) in
        [(Init::Auto, 2.0 / 400.0), (Init::He, 2.0 / 400.0), (Init::Xavier, 2.0 / 1000.0)]
    {
        let spec = TrainSpec { hidden: vec![600], init, ..spec() };
        let mut network =
            crate::network::Network::new(Family::available()[0], &spec, 400, 200, 2).unwrap();
        let seed = caviar_common::seed::Seed::derive(1, 1, caviar_common::seed::Purpose::Init);
        network.initialise(&spec, seed);
        let variance = |layer: &crate::layer::Layer| {
            let squares = layer
                .weights
                .positions()
                .map(|position| f64::from(network.parameters[position]).powi(2));
            squares.sum::<f64>() / (layer.inputs * layer.outputs) as f64
        };
        let (hidden, output) = (variance(&network.layers[0]), variance(&network.layers[1]));
        assert!((hidden / want - 1.0).abs() < 0.02, "{init:?}: {hidden} but {want}");
        assert!((output / (2.0 / 800.0) - 1.0).abs() < 0.02, "output: {output}");
        let [gamma, beta] = network.layers[0].gamma_beta.unwrap();
        assert!(gamma.positions().all(|position| network.parameters[position] == 1.0));
        assert!(beta.positions().all(|position| network.parameters[position] == 0.0));
    }
}

#[test]
fn dropout_drops_its_share_and_keeps_the_mean() {
    let spec = TrainSpec { hidden: vec![200], dropout: 0.25, ..spec() };
    let mut stream = super::draws(3);
    let examples = super::examples(100, 4, 3, &mut stream);
    let mut network =
        crate::network::Network::new(Family::available()[0], &spec, 4, 3, 100).unwrap();
    let rows: Vec<u32> = (0..100).collect();
    network.backpropagate(&examples, &rows, &mut stream);
    let mask = &network.layers[0].mask[..100 * 208];
    let dropped = mask.iter().filter(|&&factor| factor == 0.0).count() as f64 / mask.len() as f64;
    assert!((dropped - 0.25).abs() < 0.01, "{dropped}");
    assert!(mask.iter().all(|&factor| factor == 0.0 || factor == (1.0f64 / 0.75) as f32));
}
