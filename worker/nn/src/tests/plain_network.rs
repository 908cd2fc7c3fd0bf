//! The same network in f64 over ndarray, without panels and fused passes.
//!
//! The fast path must agree with it. Finite differences and PyTorch's numbers check the plain
//! network itself.

use caviar_common::train::{Activation, Normalization, TrainSpec};
use caviar_data::Targets;
use ndarray::{Array1, Array2, Axis};

pub(super) struct Outcome {
    pub(super) loss: f64,
    /// In the order of a checkpoint: layer by layer W [inputs, outputs], b, gamma, beta.
    pub(super) gradients: Vec<f64>,
    /// The batch means of the normalised layers, layer by layer.
    pub(super) means: Vec<f64>,
    pub(super) unbiased_variances: Vec<f64>,
    /// The arguments of the activation functions, layer by layer.
    pub(super) activated: Vec<f64>,
}

#[derive(Default)]
struct Layer {
    weights: Array2<f64>,
    bias: Option<Array1<f64>>,
    gamma_beta: Option<[Array1<f64>; 2]>,
}

#[derive(Default)]
struct Trace {
    input: Array2<f64>,
    slopes: Array2<f64>,
    normal: Array2<f64>,
    inverse_deviation: Array1<f64>,
}

fn value_and_slope(activation: Activation, z: f64) -> (f64, f64) {
    match activation {
        Activation::Relu => (z.max(0.0), if z > 0.0 { 1.0 } else { 0.0 }),
        Activation::LeakyRelu => {
            (if z > 0.0 { z } else { 0.01 * z }, if z > 0.0 { 1.0 } else { 0.01 })
        }
        Activation::Tanh => (libm::tanh(z), 1.0 - libm::tanh(z).powi(2)),
        Activation::Sigmoid => {
            let value = 1.0 / (1.0 + libm::exp(-z));
            (value, value * (1.0 - value))
        }
        Activation::Gelu => {
            let phi = 0.5 * (1.0 + libm::erf(z / 2f64.sqrt()));
            (z * phi, phi + z * libm::exp(-z * z / 2.0) / (2.0 * std::f64::consts::PI).sqrt())
        }
        Activation::Silu => {
            let sigmoid = 1.0 / (1.0 + libm::exp(-z));
            (z * sigmoid, sigmoid + z * sigmoid * (1.0 - sigmoid))
        }
        Activation::Mish => {
            let tangent = libm::tanh(libm::log1p(libm::exp(z)));
            let sigmoid = 1.0 / (1.0 + libm::exp(-z));
            (z * tangent, tangent + z * sigmoid * (1.0 - tangent * tangent))
        }
        Activation::Selu => {
            let (lambda, alpha) = (1.050_700_987_355_480_5, 1.673_263_242_354_377_2);
            let below = (lambda * alpha * libm::expm1(z), lambda * alpha * libm::exp(z));
            if z > 0.0 { (lambda * z, lambda) } else { below }
        }
    }
}

fn unpack(spec: &TrainSpec, widths: &[usize], parameters: &[f64]) -> Vec<Layer> {
    let mut rest = parameters.iter().copied();
    let mut vector = |len: usize| rest.by_ref().take(len).collect::<Array1<f64>>();
    let last = widths.len() - 2;
    let unpacked = widths.windows(2).enumerate().map(|(index, ends)| {
        let normalization = if index == last { Normalization::None } else { spec.normalization };
        Layer {
            weights: vector(ends[0] * ends[1]).into_shape_with_order((ends[0], ends[1])).unwrap(),
            bias: (normalization != Normalization::Before).then(|| vector(ends[1])),
            gamma_beta: (normalization != Normalization::None)
                .then(|| [vector(ends[1]), vector(ends[1])]),
        }
    });
    let layers = unpacked.collect();
    assert_eq!(rest.count(), 0, "parameters left over");
    layers
}

fn normalise(
    z: &Array2<f64>,
    [gamma, beta]: &[Array1<f64>; 2],
    trace: &mut Trace,
    outcome: &mut Outcome,
    round: fn(f64) -> f64,
) -> Array2<f64> {
    let rows = z.nrows() as f64;
    // If the rows hardly differ, an error of the mean is large relative to their deviations.
    let mean = z.mean_axis(Axis(0)).unwrap().mapv(round);
    let variance = z.var_axis(Axis(0), 0.0);
    outcome.means.extend(&mean);
    outcome.unbiased_variances.extend(&(&variance * (rows / (rows - 1.0))));
    trace.inverse_deviation = variance.mapv(|v| 1.0 / (v + 1e-5).sqrt());
    trace.normal = (z - &mean) * &trace.inverse_deviation;
    &trace.normal * gamma + beta
}

fn backward_of_normalise(
    d: &Array2<f64>,
    gamma: &Array1<f64>,
    trace: &Trace,
    round: fn(f64) -> f64,
) -> (Array2<f64>, [Array1<f64>; 2]) {
    let by_gamma = (d * &trace.normal).sum_axis(Axis(0));
    let by_beta = d.sum_axis(Axis(0));
    let rows = d.nrows() as f64;
    // With few rows these terms nearly cancel.
    let (constant, slope) =
        ((&by_beta / rows).mapv(round), (&trace.normal * &(&by_gamma / rows)).mapv(round));
    let centred = d - &constant - &slope;
    (centred * &(gamma * &trace.inverse_deviation), [by_gamma, by_beta])
}

/// The mean loss and its gradient by the outputs z [rows, outputs].
fn loss(
    z: &Array2<f64>,
    targets: &Targets,
    weights: &[f64],
    smoothing: f64,
    round: fn(f64) -> f64,
) -> (f64, Array2<f64>) {
    let of_each = smoothing / z.ncols() as f64;
    let all: f64 = weights.iter().sum();
    let (mut total, mut gradient) = (0.0, Array2::zeros(z.dim()));
    for row in 0..z.nrows() {
        match targets {
            Targets::Classes(classes) => {
                let class = classes[row] as usize;
                let largest = z.row(row).fold(f64::NEG_INFINITY, |a, &b| a.max(b));
                let powers = z.row(row).mapv(|x| libm::exp(x - largest));
                let of_targets = (1.0 - smoothing) * z[[row, class]] + of_each * z.row(row).sum();
                total += weights[row] * (libm::log(powers.sum()) + largest - of_targets);
                gradient.row_mut(row).assign(&(&powers / powers.sum()).mapv(round));
                gradient.row_mut(row).mapv_inplace(|share| share - of_each);
                gradient[[row, class]] -= 1.0 - smoothing;
                gradient.row_mut(row).mapv_inplace(|slope| slope * weights[row]);
            }
            Targets::Values(numbers) => {
                let outputs = numbers.outputs() as f64;
                for (output, target) in numbers.row(row).iter().enumerate() {
                    let error = z[[row, output]] - f64::from(*target);
                    total += weights[row] * error * error / outputs;
                    gradient[[row, output]] = 2.0 * weights[row] * error / outputs;
                }
            }
        }
    }
    (total / all, gradient / all)
}

/// One forward and backward pass without dropout. `widths` are features, hidden units and outputs.
pub(super) fn train_pass(
    spec: &TrainSpec,
    widths: &[usize],
    parameters: &[f64],
    x: &Array2<f64>,
    targets: &Targets,
) -> Outcome {
    weighted_pass(spec, widths, parameters, x, targets, &vec![1.0; x.nrows()])
}

/// The same for the weighted mean of the losses.
pub(super) fn weighted_pass(
    spec: &TrainSpec,
    widths: &[usize],
    parameters: &[f64],
    x: &Array2<f64>,
    targets: &Targets,
    weights: &[f64],
) -> Outcome {
    let round: fn(f64) -> f64 = |value| value;
    let round_back = round;
    Pass { spec, widths, x, targets, weights, masks: &[], round, round_back }.run(parameters)
}

/// A forward and backward pass with dropout and rounding.
pub(super) struct Pass<'a> {
    pub(super) spec: &'a TrainSpec,
    pub(super) widths: &'a [usize],
    pub(super) x: &'a Array2<f64>,
    pub(super) targets: &'a Targets,
    /// The weight of each row.
    pub(super) weights: &'a [f64],
    /// The dropout factors of each hidden layer's outputs; empty without dropout.
    pub(super) masks: &'a [Array2<f64>],
    /// Applied to every product, mean and activation.
    pub(super) round: fn(f64) -> f64,
    /// Applied to the same values of the backward pass, from the softmax on.
    pub(super) round_back: fn(f64) -> f64,
}

impl Pass<'_> {
    pub(super) fn run(&self, parameters: &[f64]) -> Outcome {
        let &Self { spec, widths, x, targets, weights, masks, round, round_back } = self;
        let layers = unpack(spec, widths, parameters);
        let mut outcome = Outcome {
            loss: 0.0,
            gradients: Vec::new(),
            means: Vec::new(),
            unbiased_variances: Vec::new(),
            activated: Vec::new(),
        };
        let mut traces = Vec::new();
        let mut a = x.clone();
        for (index, layer) in layers.iter().enumerate() {
            let mut trace = Trace { input: a.clone(), ..Trace::default() };
            let mut z = a.dot(&layer.weights);
            if let Some(bias) = &layer.bias {
                z += bias;
            }
            z.mapv_inplace(round);
            if index + 1 < layers.len() {
                if let (Normalization::Before, Some(pair)) = (spec.normalization, &layer.gamma_beta)
                {
                    z = normalise(&z, pair, &mut trace, &mut outcome, round);
                }
                outcome.activated.extend(&z);
                trace.slopes = z.mapv(|z| round(value_and_slope(spec.activation, z).1));
                z.mapv_inplace(|z| round(value_and_slope(spec.activation, z).0));
                if let (Normalization::After, Some(pair)) = (spec.normalization, &layer.gamma_beta)
                {
                    z = normalise(&z, pair, &mut trace, &mut outcome, round);
                }
                if let Some(mask) = masks.get(index) {
                    z *= mask;
                }
            }
            traces.push(trace);
            a = z;
        }
        let (loss, gradient) = loss(&a, targets, weights, spec.label_smoothing, round_back);
        outcome.loss = loss;
        outcome.gradients = self.backward(&layers, &traces, gradient);
        outcome
    }

    fn backward(&self, layers: &[Layer], traces: &[Trace], mut d: Array2<f64>) -> Vec<f64> {
        let &Self { spec, masks, round_back: round, .. } = self;
        let mut by_layer = Vec::new();
        for (index, (layer, trace)) in layers.iter().zip(traces).enumerate().rev() {
            let mut by_gamma_beta = None;
            if index + 1 < layers.len() {
                if let Some(mask) = masks.get(index) {
                    d *= mask;
                }
                if let (Normalization::After, Some([gamma, _])) =
                    (spec.normalization, &layer.gamma_beta)
                {
                    let (by_input, pair) = backward_of_normalise(&d, gamma, trace, round);
                    (d, by_gamma_beta) = (by_input, Some(pair));
                }
                d *= &trace.slopes;
                d.mapv_inplace(round);
                if let (Normalization::Before, Some([gamma, _])) =
                    (spec.normalization, &layer.gamma_beta)
                {
                    let (by_input, pair) = backward_of_normalise(&d, gamma, trace, round);
                    (d, by_gamma_beta) = (by_input, Some(pair));
                }
            }
            let mut gradients: Vec<f64> = trace.input.t().dot(&d).iter().copied().collect();
            if layer.bias.is_some() {
                gradients.extend(&d.sum_axis(Axis(0)));
            }
            gradients.extend(by_gamma_beta.iter().flatten().flatten());
            by_layer.push(gradients);
            d = d.dot(&layer.weights.t());
            d.mapv_inplace(round);
        }
        by_layer.into_iter().rev().flatten().collect()
    }
}
