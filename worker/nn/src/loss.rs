//! The two losses: softmax with cross-entropy, and squared error.
//!
//! Each turns the outputs of a mini-batch into their gradient, in place.
#![allow(
    clippy::indexing_slicing,
    reason = "rows and classes were checked against the outputs when the trainer was made"
)]
#![allow(
    clippy::as_conversions,
    reason = "rows are far below 2^24, and classes at most 2^24: the output layer stores at least \
              sixteen weights per class, and at most 2^28 in all"
)]

use std::ops::Range;

use caviar_common::metric::Score;
use caviar_common::numbers::{real, single};
use caviar_data::RowWeight;

use crate::elementary::exp;
use crate::kernels::{
    LANES, Lanes, Pass, Simd, offset, padded, panels_of, panels_of_mut, vectors_mut,
};

/// Sums of loss and hits over some examples, each times its weight. Without weights they are
/// numbers of examples, which an f64 holds exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    /// The sum of the examples' losses.
    pub(crate) loss: f64,
    /// The sum of the weights in it.
    pub(crate) loss_weight: f64,
    /// The weight of the examples that are classified correctly.
    pub(crate) hits: f64,
    /// The weight of all examples.
    pub(crate) weight: f64,
}

impl Tally {
    /// Adds the sums of other examples.
    pub(crate) fn add(&mut self, other: Self) {
        self.loss += other.loss;
        self.loss_weight += other.loss_weight;
        self.hits += other.hits;
        self.weight += other.weight;
    }

    /// The means. Every NaN becomes the NaN with the same bits on all machines.
    pub(crate) fn score(self, has_classes: bool) -> Score {
        let loss = self.loss / self.loss_weight;
        let accuracy = has_classes.then_some(self.hits / self.weight);
        Score { loss: if loss.is_nan() { f64::NAN } else { loss }, accuracy, measured: None }
    }
}

/// The weights of the rows of a mini-batch.
#[derive(Clone, Copy)]
pub(crate) struct BatchWeights<'a> {
    rows: &'a [RowWeight],
    /// The sum of the weights in the loss.
    total: f64,
}

impl<'a> BatchWeights<'a> {
    pub(crate) fn new(rows: &'a [RowWeight]) -> Self {
        Self { rows, total: rows.iter().map(|weight| f64::from(weight.loss)).sum() }
    }

    /// The part of a row's loss in the mean: w_i / sum(w), or 0 if no row counts.
    fn share(&self, row: usize) -> f32 {
        if self.total > 0.0 { single(f64::from(self.rows[row].loss) / self.total) } else { 0.0 }
    }

    /// Adds a row to the sums. One of weight 0 is absent, also if its loss is NaN.
    fn count(&self, row: usize, loss: f64, is_hit: bool, tally: &mut Tally) {
        let RowWeight { loss: weight, measures } = self.rows[row];
        if weight > 0.0 {
            tally.loss += f64::from(weight) * loss;
        }
        tally.loss_weight += f64::from(weight);
        tally.hits += if is_hit { f64::from(measures) } else { 0.0 };
        tally.weight += f64::from(measures);
    }
}

/// Softmax outputs below e^-60 times the largest become 0. They change no sum, and their products
/// would be below the normal floats.
const FAINTEST: f32 = -60.0;

/// The cross-entropy of softmax(z + bias), for z [rows, outputs] in panels.
///
/// z becomes the gradient of the mean loss, (softmax - onehot) / rows, and 0 in the padding. Of
/// equal outputs the lower class is predicted; a row with NaN is not a hit.
///
/// With label smoothing s (Szegedy et al. 2016) the target of class k of K is
/// q_k = (1 - s) onehot_k + s / K, as in PyTorch's `CrossEntropyLoss(label_smoothing=s)`. Then the
/// loss is -sum(q_k log softmax_k), and the gradient (softmax - q) / rows.
///
/// With weights w the mean loss is sum(w_i loss_i) / sum(w_i) over the mini-batch, and w_i / sum(w)
/// takes the place of 1 / rows: PyTorch's `CrossEntropyLoss(weight=...)` if w is the weight of the
/// row's class and labels are not smoothed.
///
/// Sixteen rows at a time are transposed, so a vector holds one class of sixteen rows. Then no sum
/// runs across lanes, and padding costs nothing: 1.6 times as fast with 10 classes as row by row
/// (docs/internals/kernels.md).
pub(crate) struct CrossEntropy<'a, C> {
    pub(crate) rows: usize,
    pub(crate) outputs: usize,
    pub(crate) bias: &'a [f32],
    /// The s of label smoothing, in [0, 1).
    pub(crate) smoothing: f64,
    /// `None` if every row counts once.
    pub(crate) weights: Option<BatchWeights<'a>>,
    pub(crate) z: &'a mut [f32],
    /// Sixteen floats per output, padding included.
    pub(crate) scratch: &'a mut [f32],
    /// The class of a row.
    pub(crate) class_of: C,
}

impl<C: Fn(usize) -> usize> Pass for CrossEntropy<'_, C> {
    type Output = Tally;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Tally {
        if self.smoothing > 0.0 { self.of::<S, true>(s) } else { self.of::<S, false>(s) }
    }
}

impl<C: Fn(usize) -> usize> CrossEntropy<'_, C> {
    /// The pass. Only with `SMOOTH` it reads the smoothing, which costs a sum over all classes.
    #[inline(always)]
    fn of<S: Simd, const SMOOTH: bool>(self, s: S) -> Tally {
        let Self { rows, outputs, bias, smoothing, weights, z, scratch, class_of } = self;
        let smoothing = Smoothing::new(if SMOOTH { smoothing } else { 0.0 }, outputs);
        let squares = &mut vectors_mut(scratch).as_chunks_mut().0[..padded(outputs) / LANES];
        let (mut tally, mut logarithm) = (Tally::default(), LogOfProduct::default());
        let share = 1.0 / rows as f32;
        for first in (0..rows).step_by(LANES) {
            let block = first..rows.min(first + LANES);
            let mut right = [0.0; LANES];
            for (right, row) in right.iter_mut().zip(block.clone()) {
                *right = class_of(row) as f32;
            }
            let right = s.load(&right);
            turn_over(s, z, rows, block.clone(), squares);
            let (classes, padding) = squares.as_flattened_mut().split_at_mut(outputs);
            padding.fill([0.0; LANES]);
            let [largest, of_right, predicted] = add_bias(s, classes, bias, right);
            let [sum, of_all] = exponentials::<S, SMOOTH>(s, classes, largest);
            // 0 for a hit. sum - sum is NaN if an output of the row is NaN, so that row is not one.
            let hit = s.select(s.equal(predicted, right), s.sub(sum, sum), s.splat(1.0));
            let mut of_targets = s.sub(of_right, largest);
            if SMOOTH {
                of_targets = s.mul(s.splat(smoothing.of_right), of_targets);
                of_targets = s.mul_add(s.splat(smoothing.of_each), of_all, of_targets);
            }
            let counts = lanes(s, of_targets).into_iter().zip(lanes(s, sum)).zip(lanes(s, hit));
            let mut shares = [share; LANES];
            if let Some(weights) = weights {
                for (((of_share, sum), hit), row) in counts.zip(block.clone()) {
                    let loss = libm::log(f64::from(sum)) - f64::from(of_share);
                    weights.count(row, loss, hit == 0.0, &mut tally);
                }
                for (share, row) in shares.iter_mut().zip(block.clone()) {
                    *share = weights.share(row);
                }
            } else {
                for ((of_share, sum), hit) in counts.take(block.len()) {
                    tally.loss -= f64::from(of_share);
                    logarithm.add(f64::from(sum));
                    tally.hits += f64::from(u8::from(hit == 0.0));
                }
            }
            let share = s.load(&shares);
            let targets = [smoothing.of_both, smoothing.of_each];
            let targets = [s.mul(share, s.splat(targets[0])), s.mul(share, s.splat(targets[1]))];
            gradient(s, classes, right, targets, s.div(share, sum));
            turn_back(s, squares, z, rows, block);
        }
        if weights.is_none() {
            tally.loss += logarithm.total();
            (tally.loss_weight, tally.weight) = (rows as f64, rows as f64);
        }
        tally
    }
}

/// Writes the rows `block` of z [rows, 16 squares], at most sixteen, as columns: row i of a square
/// is one class. If there are fewer rows, the last one is repeated.
#[inline(always)]
fn turn_over<S: Simd>(
    s: S,
    z: &[f32],
    rows: usize,
    block: Range<usize>,
    squares: &mut [[Lanes; LANES]],
) {
    for (square, panel) in squares.iter_mut().zip(panels_of(z, rows)) {
        let panel = &panel[block.clone()];
        s.transpose(
            #[inline(always)]
            |row| &panel[row.min(panel.len() - 1)],
            square.each_mut(),
        );
    }
}

/// The inverse of [`turn_over`].
#[inline(always)]
fn turn_back<S: Simd>(
    s: S,
    squares: &[[Lanes; LANES]],
    z: &mut [f32],
    rows: usize,
    block: Range<usize>,
) {
    for (square, panel) in squares.iter().zip(panels_of_mut(z, rows)) {
        let mut turned = [[0.0; LANES]; LANES];
        s.transpose(
            #[inline(always)]
            |class| &square[class],
            turned.each_mut(),
        );
        for (row, turned) in panel[block.clone()].iter_mut().zip(&turned) {
            s.store(s.load(turned), row);
        }
    }
}

/// Adds its bias to each class. Returns, per row, the largest output, the output of the `right`
/// class, and the class with the largest output.
#[inline(always)]
fn add_bias<S: Simd>(s: S, classes: &mut [Lanes], bias: &[f32], right: S::F) -> [S::F; 3] {
    let (mut largest, mut of_right, mut predicted) =
        (s.splat(f32::NEG_INFINITY), s.splat(0.0), s.splat(0.0));
    for (index, (class, &bias)) in classes.iter_mut().zip(bias).enumerate() {
        let (value, index) = (s.add(s.load(class), s.splat(bias)), s.splat(index as f32));
        s.store(value, class);
        predicted = s.select(s.less(largest, value), index, predicted);
        largest = s.max(value, largest);
        of_right = s.select(s.equal(index, right), value, of_right);
    }
    [largest, of_right, predicted]
}

/// Replaces each class by e^(class - largest) and returns their sum, as a sum of sums of sixteen.
/// With `SMOOTH` it also returns the sum of class - largest, else 0.
#[inline(always)]
fn exponentials<S: Simd, const SMOOTH: bool>(
    s: S,
    classes: &mut [Lanes],
    largest: S::F,
) -> [S::F; 2] {
    let (mut total, mut total_of_all) = (s.splat(0.0), s.splat(0.0));
    for classes in classes.chunks_mut(LANES) {
        let (mut sum, mut sum_of_all) = (s.splat(0.0), s.splat(0.0));
        for class in classes {
            let x = s.sub(s.load(class), largest);
            if SMOOTH {
                sum_of_all = s.add(sum_of_all, x);
            }
            let power = s.select(s.less(x, s.splat(FAINTEST)), s.splat(0.0), exp(s, x));
            s.store(power, class);
            sum = s.add(sum, power);
        }
        total = s.add(total, sum);
        if SMOOTH {
            total_of_all = s.add(total_of_all, sum_of_all);
        }
    }
    [total, total_of_all]
}

/// Replaces each class's exponential by that times `factor`, minus the first of the `targets` for
/// the right class and the second for the others.
#[inline(always)]
fn gradient<S: Simd>(s: S, classes: &mut [Lanes], right: S::F, targets: [S::F; 2], factor: S::F) {
    let [of_right, of_others] = targets;
    for (index, class) in classes.iter_mut().enumerate() {
        let target = s.select(s.equal(s.splat(index as f32), right), of_right, of_others);
        s.store(s.sub(s.mul(s.load(class), factor), target), class);
    }
}

/// The parts of a smoothed target: `of_right` for the right class, and `of_each` for every class.
struct Smoothing {
    of_right: f32,
    of_each: f32,
    /// The target of the right class, the sum of both, rounded once.
    of_both: f32,
}

impl Smoothing {
    /// The parts for label smoothing by `share`, in [0, 1). Without smoothing they are 1 and 0.
    fn new(share: f64, classes: usize) -> Self {
        let of_each = share / real(classes);
        Self {
            of_right: single(1.0 - share),
            of_each: single(of_each),
            of_both: single(1.0 - share + of_each),
        }
    }
}

#[inline(always)]
fn lanes<S: Simd>(s: S, x: S::F) -> Lanes {
    let mut lanes = [0.0; LANES];
    s.store(x, &mut lanes);
    lanes
}

/// The sum of the logarithms of numbers of at least 1, computed as the logarithms of a few
/// products. One logarithm takes longer than a row of a small softmax.
struct LogOfProduct {
    product: f64,
    sum: f64,
}

impl Default for LogOfProduct {
    fn default() -> Self {
        Self { product: 1.0, sum: 0.0 }
    }
}

impl LogOfProduct {
    #[inline(always)]
    fn add(&mut self, value: f64) {
        self.product *= value;
        // A factor is a sum of at most 2^24 exponentials, far below 1e100, so the product cannot
        // overflow. NaN stays in the product.
        if self.product > 1e200 {
            self.sum += libm::log(self.product);
            self.product = 1.0;
        }
    }

    fn total(&self) -> f64 {
        self.sum + libm::log(self.product)
    }
}

/// The squared error of a row, which is the mean of (z + bias - target)^2 over its K outputs, for
/// z [rows, K] in panels. `targets_of` gives the K targets of a row.
///
/// z becomes the gradient of the mean loss, 2 (z + bias - target) / (rows K). With weights w it is
/// 2 w_i (z + bias - target) / (sum(w) K), and the sums of the tally are weighted.
pub(crate) fn squared_error<'t>(
    rows: usize,
    bias: &[f32],
    weights: Option<BatchWeights<'_>>,
    z: &mut [f32],
    targets_of: impl Fn(usize) -> &'t [f32],
) -> Tally {
    let (count, mut tally) = (rows as f64, Tally::default());
    if weights.is_none() {
        (tally.loss_weight, tally.weight) = (count, count);
    }
    for row in 0..rows {
        let targets = targets_of(row);
        let outputs = targets.len();
        let share = match weights {
            Some(weights) => 2.0 * weights.share(row) / outputs as f32,
            None => 2.0 / (rows as f32 * outputs as f32),
        };
        let mut squares = 0.0;
        for (output, (target, bias)) in targets.iter().zip(bias).enumerate() {
            let value = &mut z[offset(rows, row, output)];
            let error = *value + bias - target;
            squares += f64::from(error) * f64::from(error);
            *value = share * error;
        }
        let square = squares / outputs as f64;
        match weights {
            Some(weights) => weights.count(row, square, false, &mut tally),
            None => tally.loss += square,
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Buffer, Family};

    /// The loss and the hits of one row of outputs.
    fn of_row(outputs: &[f32], class: usize) -> (f64, u64) {
        smoothed(outputs, class, 0.0)
    }

    /// The same with label smoothing.
    fn smoothed(outputs: &[f32], class: usize, smoothing: f64) -> (f64, u64) {
        let (tally, _) = tally(outputs, class, smoothing, None);
        (tally.loss, tally.hits as u64)
    }

    /// The sums and the gradient of one row.
    fn tally(
        outputs: &[f32],
        class: usize,
        smoothing: f64,
        weights: Option<BatchWeights<'_>>,
    ) -> (Tally, Vec<f32>) {
        let mut z = Buffer::new(outputs.len().next_multiple_of(16)).unwrap();
        for (column, &output) in outputs.iter().enumerate() {
            z[offset(1, 0, column)] = output;
        }
        let bias = vec![0.0; z.len()];
        let mut scratch = Buffer::new(16 * z.len()).unwrap();
        let pass = CrossEntropy {
            rows: 1,
            outputs: outputs.len(),
            bias: &bias,
            smoothing,
            weights,
            z: &mut z,
            scratch: &mut scratch,
            class_of: |_| class,
        };
        let tally = Family::from_name(None).unwrap().run(pass);
        (tally, (0..outputs.len()).map(|column| z[offset(1, 0, column)]).collect())
    }

    #[test]
    fn a_weight_of_the_only_row_changes_the_sums_and_not_the_gradient() {
        let outputs = [0.5, -0.25, 2.0];
        let (plain, gradient) = tally(&outputs, 2, 0.2, None);
        let row = [RowWeight { loss: 6.0, measures: 3.0 }];
        let (weighted, same) = tally(&outputs, 2, 0.2, Some(BatchWeights::new(&row)));
        assert_eq!(gradient, same);
        assert!((weighted.loss - 6.0 * plain.loss).abs() < 1e-12, "{weighted:?} {plain:?}");
        assert_eq!((weighted.loss_weight, weighted.hits, weighted.weight), (6.0, 3.0, 3.0));
        let absent = [RowWeight { loss: 0.0, measures: 0.0 }];
        let (tally, zeros) = tally(&outputs, 2, 0.0, Some(BatchWeights::new(&absent)));
        assert_eq!((tally, zeros), (Tally::default(), vec![0.0; 3]));
    }

    #[test]
    fn the_largest_output_is_the_prediction_and_nan_is_none() {
        assert_eq!(of_row(&[0.0, 3.0, 1.0], 1).1, 1);
        assert_eq!(of_row(&[0.0, 3.0, 1.0], 2).1, 0);
        // Of equal outputs the lower class is predicted.
        assert_eq!((of_row(&[2.0, 2.0], 0).1, of_row(&[2.0, 2.0], 1).1), (1, 0));
        let (loss, correct) = of_row(&[5.0, f32::NAN, 1.0], 0);
        assert!(loss.is_nan() && correct == 0);
        // A class beyond the first panel.
        let mut many = [0.0; 40];
        many[35] = 1.0;
        assert_eq!(of_row(&many, 35).1, 1);
    }

    #[test]
    fn a_smoothed_loss_is_the_mean_over_the_targets() {
        // For equal outputs every class has the loss log K, whatever the targets.
        let (loss, correct) = smoothed(&[2.0; 5], 0, 0.3);
        assert!((loss - 5f64.ln()).abs() < 1e-6 && correct == 1, "{loss}");
        // 0.8 of the target on one class, and 0.2 / 4 on each of the four.
        let (loss, _) = smoothed(&[0.0, 0.0, 40.0, 0.0], 2, 0.2);
        assert!((loss - 40.0 * 0.15).abs() < 1e-5, "{loss}");
        assert_eq!(of_row(&[0.5, -0.25, 0.0], 1), smoothed(&[0.5, -0.25, 0.0], 1, 0.0));
    }

    #[test]
    fn large_outputs_do_not_overflow() {
        let (loss, _) = of_row(&[1e30, 0.0], 0);
        assert!(loss.abs() < 1e-6, "{loss}");
        let (loss, _) = of_row(&[60.0, 0.0], 1);
        assert!((loss - 60.0).abs() < 1e-4, "{loss}");
    }
}
