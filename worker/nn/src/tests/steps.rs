//! Whole training steps of random networks: every family against the plain network, and all
//! families against each other bit for bit.

use caviar_common::train::{Activation, Optimizer, TrainSpec};
use caviar_data::Examples;
use ndarray::{Array2, Axis};
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
};

use super::plain_network::{Outcome, Pass};
use super::plain_optimizers::{PlainUpdater, is_weight};
use super::support::{ACTIVATIONS, NORMALIZATIONS, draws, examples, optimizers, spec};
use super::{error_of_list, targets_at};
use crate::kernels::{Buffer, Family, offset};
use crate::layer::Layer;
use crate::network::Network;
use crate::optimizer::Updater;

const STEPS: u64 = 3;
/// The largest error of the trainer's f32, relative to the largest value of its kind, in a
/// well-conditioned step.
const ROUNDED: f64 = 1e-5;
/// The factor by which the values of a pass may differ more than by one rounding error each. The
/// worst of 6,000 passes differed by a factor of 6.2.
const SLACK: f64 = 20.0;
/// A step with a larger tolerance amplifies rounding errors so much that it tests nothing.
const ILL_CONDITIONED: f64 = 0.01;

#[derive(Clone, Debug)]
struct Case {
    spec: TrainSpec,
    rows: usize,
    features: usize,
    /// The number of classes; 0 is regression.
    outputs: u32,
    seed: u64,
}

/// A network and its update rule between two steps.
struct Training {
    network: Network,
    updater: Updater,
    examples: Examples,
}

impl Case {
    fn widths(&self) -> Vec<usize> {
        let hidden = self.spec.hidden.iter().map(|&units| units as usize);
        [self.features].into_iter().chain(hidden).chain([self.outputs.max(1) as usize]).collect()
    }

    fn training(&self, family: Family) -> Training {
        let mut stream = draws(self.seed);
        // Every second row is in the mini-batch.
        let examples = examples(2 * self.rows, self.features, self.outputs, &mut stream);
        let outputs = self.outputs.max(1) as usize;
        let mut network =
            Network::new(family, &self.spec, self.features, outputs, self.rows + 1).unwrap();
        let places: Vec<_> = network.tensors().collect();
        for tensor in places {
            let scale = (1.0 / tensor.rows as f64).sqrt();
            tensor.positions().for_each(|position| {
                network.parameters[position] = (scale * stream.normal()) as f32
            });
        }
        let updater = Updater::new(family, &self.spec, network.parameters.len()).unwrap();
        Training { network, updater, examples }
    }

    fn rows(&self) -> Vec<u32> {
        (0..).step_by(2).take(self.rows).collect()
    }
}

impl Training {
    /// The mini-batch's mean loss.
    fn backpropagate(&mut self, case: &Case, step: u64) -> f64 {
        let tally = self.network.backpropagate(&self.examples, &case.rows(), &mut draws(step));
        tally.unwrap().score(false).loss
    }

    fn update(&mut self, case: &Case) {
        self.updater.step(&mut self.network, case.spec.learning_rate);
    }

    fn in_order(&self, flat: &[f32]) -> Vec<f64> {
        self.network
            .tensors()
            .flat_map(|tensor| tensor.positions())
            .map(|position| f64::from(flat[position]))
            .collect()
    }

    /// The running means and variances.
    fn running(&self) -> [Vec<f64>; 2] {
        let statistics = || {
            let layers = self.network.layers.iter();
            layers.filter_map(|layer| Some((layer.outputs, layer.statistics()?)))
        };
        let wide = |values: &[f32]| values.iter().copied().map(f64::from).collect::<Vec<f64>>();
        [
            statistics().flat_map(|(units, of)| wide(&of.running_mean[..units])).collect(),
            statistics().flat_map(|(units, of)| wide(&of.running_variance[..units])).collect(),
        ]
    }

    /// The masks that the last pass drew.
    fn masks(&self, rows: usize) -> Vec<Array2<f64>> {
        let masks = self.network.layers.iter().filter_map(|layer| Some((layer, layer.mask()?)));
        let plain = |(layer, mask): (&Layer, &Buffer)| {
            Array2::from_shape_fn((rows, layer.outputs), |(row, unit)| {
                f64::from(mask[offset(rows, row, unit)])
            })
        };
        masks.map(plain).collect()
    }

    /// The bits of every float that later steps depend on, padding included.
    fn bits(&self) -> Vec<u32> {
        let statistics = self.network.layers.iter().filter_map(|layer| layer.statistics());
        let running =
            statistics.flat_map(|of| of.running_mean.iter().chain(of.running_variance.iter()));
        let flat = [&self.network.parameters, &self.network.gradients];
        flat.into_iter()
            .chain(self.updater.states())
            .flat_map(|buffer| buffer.iter())
            .chain(running)
            .map(|value| value.to_bits())
            .collect()
    }
}

/// One unit in the last place of an f32, up or down. A bit of the value that an f32 does not have
/// decides the direction.
fn unit<const BIT: u32>(value: f64) -> f64 {
    f64::from(if value.to_bits() >> BIT & 1 == 1 { f32::EPSILON } else { -f32::EPSILON })
}

/// The value with a rounding error relative to its size.
fn jolt<const BIT: u32>(value: f64) -> f64 {
    value + unit::<BIT>(value) * value.abs()
}

/// The same as [`jolt`], for a value that can be small while its error is not: a sum of larger
/// values, or an activation.
fn jolt_of_sum<const BIT: u32>(value: f64) -> f64 {
    value + unit::<BIT>(value) * value.abs().max(1.0)
}

/// The plain pass: exact, and with four different sets of rounding errors.
fn plain_passes(case: &Case, training: &Training, parameters: &[f64]) -> (Outcome, [Outcome; 4]) {
    let rows: Vec<usize> = case.rows().into_iter().map(|row| row as usize).collect();
    let x = training.examples.features.to_array().unwrap().select(Axis(0), &rows).mapv(f64::from);
    let targets = targets_at(&training.examples.targets, &rows);
    let (widths, masks) = (case.widths(), training.masks(case.rows));
    let pass = |round, round_back| {
        Pass {
            spec: &case.spec,
            widths: &widths,
            x: &x,
            targets: &targets,
            weights: &vec![1.0; rows.len()],
            masks: &masks,
            round,
            round_back,
        }
        .run(parameters)
    };
    let jolted = [
        pass(jolt_of_sum::<3>, jolt::<3>),
        pass(jolt_of_sum::<10>, jolt::<10>),
        pass(jolt_of_sum::<17>, jolt::<17>),
        pass(jolt_of_sum::<24>, jolt::<24>),
    ];
    (pass(|value| value, |value| value), jolted)
}

/// Checks `got` against the exact plain pass, with a tolerance that its rounded passes determine.
fn check(
    what: &str,
    got: &[f64],
    want: &[f64],
    least: f64,
    rounded: [&[f64]; 4],
) -> Result<(), String> {
    let sensitivity =
        rounded.map(|rounded| error_of_list(rounded, want, least)).into_iter().fold(0.0, f64::max);
    let (error, tolerance) = (error_of_list(got, want, least), ROUNDED + SLACK * sensitivity);
    if tolerance > ILL_CONDITIONED || error < tolerance {
        Ok(())
    } else {
        Err(format!("{what}: error {error:e}, tolerance {tolerance:e}"))
    }
}

/// True if a rounding error may move an activation over its kink, where its slope jumps.
fn is_on_a_kink(activation: Activation, exact: &Outcome, rounded: &[Outcome; 4]) -> bool {
    let moves = |index: usize| {
        rounded
            .iter()
            .map(|other| (other.activated[index] - exact.activated[index]).abs())
            .fold(0.0, f64::max)
    };
    let is_near = |(index, z): (usize, &f64)| z.abs() < ROUNDED + 10.0 * moves(index);
    matches!(activation, Activation::Relu | Activation::LeakyRelu | Activation::Selu)
        && exact.activated.iter().enumerate().any(is_near)
}

/// Checks the loss, gradients and running statistics of the last pass. `running` are the statistics
/// before it.
fn check_pass(
    case: &Case,
    training: &Training,
    loss: f64,
    running: [Vec<f64>; 2],
) -> Result<(), String> {
    let parameters = training.in_order(&training.network.parameters);
    let (exact, rounded) = plain_passes(case, training, &parameters);
    let of = |pick: fn(&Outcome) -> &[f64]| rounded.each_ref().map(pick);
    let losses: Vec<[f64; 1]> = rounded.iter().map(|outcome| [outcome.loss]).collect();
    check("loss", &[loss], &[exact.loss], 1.0, std::array::from_fn(|index| &losses[index][..]))?;
    if !is_on_a_kink(case.spec.activation, &exact, &rounded) {
        let got = training.in_order(&training.network.gradients);
        check("gradients", &got, &exact.gradients, 1e-2, of(|outcome| &outcome.gradients))?;
    }
    let keep = case.spec.batch_norm_momentum;
    // The mini-batch's contribution, because the old value would hide its errors.
    let contribution = |now: &[f64], before: &[f64]| {
        now.iter().zip(before).map(|(now, old)| (now - keep * old) / (1.0 - keep)).collect()
    };
    let ([means, variances], [old_means, old_variances]) = (training.running(), running);
    let (means, variances): (Vec<f64>, Vec<f64>) =
        (contribution(&means, &old_means), contribution(&variances, &old_variances));
    check("means", &means, &exact.means, 1.0, of(|outcome| &outcome.means))?;
    check(
        "variances",
        &variances,
        &exact.unbiased_variances,
        1.0,
        of(|outcome| &outcome.unbiased_variances),
    )
}

/// Trains some steps with the family; the bits of the resulting state.
fn train(case: &Case, family: Family) -> Vec<u32> {
    let mut training = case.training(family);
    for step in 0..STEPS {
        training.backpropagate(case, step);
        training.update(case);
    }
    training.bits()
}

/// The same as [`train`], and checks each step against the plain network and the plain rule.
fn train_and_check(case: &Case, family: Family) -> Result<Vec<u32>, String> {
    let mut training = case.training(family);
    let mut updater = PlainUpdater::new(&case.spec, is_weight(&training.network));
    for step in 0..STEPS {
        let running = training.running();
        let loss = training.backpropagate(case, step);
        check_pass(case, &training, loss, running)?;
        let mut want = training.in_order(&training.network.parameters);
        // Errors are relative to the parameters before the step, which may end near 0.
        let largest = want.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
        updater.step(&mut want, &training.in_order(&training.network.gradients));
        training.update(case);
        let error = error_of_list(&training.in_order(&training.network.parameters), &want, largest);
        if error > 1e-6 {
            return Err(format!("parameters after step {step}: error {error:e}"));
        }
    }
    Ok(training.bits())
}

fn cases() -> impl Strategy<Value = Case> {
    let width = || prop_oneof![1 => Just(1u32), 6 => 1u32..70];
    let rows = prop_oneof![1 => Just(2usize), 3 => 2usize..40];
    let shape = (
        rows,
        width(),
        prop::collection::vec(width(), 0..4),
        prop_oneof![1 => Just(0u32), 1 => Just(1), 4 => 2u32..40],
    );
    let kinds = (0..ACTIVATIONS.len(), 0..NORMALIZATIONS.len(), 0..optimizers(1e-3).len());
    (shape, kinds, any::<[bool; 2]>(), any::<u64>()).prop_map(
        |(shape, kinds, [has_dropout, has_extras], seed)| {
            let (rows, features, hidden, outputs) = shape;
            let spec = TrainSpec {
                hidden,
                activation: ACTIVATIONS[kinds.0],
                normalization: NORMALIZATIONS[kinds.1],
                // With a smaller epsilon, the rounding error of a gradient that vanishes could
                // decide the direction of the step.
                optimizer: optimizers(1e-3)[kinds.2],
                dropout: if has_dropout { 0.3 } else { 0.0 },
                // Odd seeds smooth labels, if there are classes.
                label_smoothing: if outputs > 0 && seed % 2 == 1 { 0.2 } else { 0.0 },
                weight_decay: if has_extras { 0.01 } else { 0.0 },
                gradient_clip: if has_extras { 0.5 } else { 0.0 },
                ..spec()
            };
            Case { spec, rows, features: features as usize, outputs, seed }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn steps_of_any_network_equal_plain_steps_with_the_same_bits_on_every_family(case in cases()) {
        let families = Family::available();
        let first = families[0];
        let checked = train_and_check(&case, first);
        prop_assert_eq!(checked.as_ref().err(), None);
        for &family in &families[1..] {
            let is_equal = checked.as_ref() == Ok(&train(&case, family));
            prop_assert!(is_equal, "{} differs from {}", family.name(), first.name());
        }
    }
}

/// The bits of the parameters after a step with a gradient whose square is infinite and an ordinary
/// step. Every NaN has the same bits.
fn after_an_infinite_square(family: Family, optimizer: Optimizer) -> Vec<u32> {
    let spec = TrainSpec { hidden: vec![5], optimizer, ..spec() };
    let case = Case { spec, rows: 4, features: 3, outputs: 2, seed: 1 };
    let mut training = case.training(family);
    for gradient in [1e20, 1.0] {
        training.network.gradients.fill(gradient);
        training.update(&case);
    }
    training
        .network
        .parameters
        .iter()
        .map(|w| if w.is_nan() { f32::NAN.to_bits() } else { w.to_bits() })
        .collect()
}

#[test]
fn divergence_has_the_same_bits_on_every_family() {
    let (beta1, epsilon) = (0.9, 1e-8);
    // With beta2 = 0, infinity times 0 is NaN, which must be visible in the parameters.
    for (beta2, is_lost) in [(0.0, true), (0.999, false)] {
        for optimizer in [
            Optimizer::Rmsprop { beta2, epsilon },
            Optimizer::Adam { beta1, beta2, epsilon },
            Optimizer::Adamw { beta1, beta2, epsilon },
        ] {
            let parameters = after_an_infinite_square(Family::available()[0], optimizer);
            assert!(
                parameters.iter().all(|&bits| f32::from_bits(bits).is_nan() == is_lost),
                "{optimizer:?}"
            );
            for family in Family::available() {
                let others = after_an_infinite_square(family, optimizer);
                assert!(parameters == others, "{optimizer:?} {}", family.name());
            }
        }
    }
}
