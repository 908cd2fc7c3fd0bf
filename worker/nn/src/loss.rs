//! The two losses: softmax with cross-entropy, and squared error. Each turns a mini-batch's outputs into their gradient in place.
#![allow(clippy::indexing_slicing, reason = "rows and classes were checked against the outputs when the trainer was made")]
#![allow(clippy::as_conversions, reason = "a row count is far below 2^24")]

use caviar_common::metric::Score;

use crate::elementary::exp;
use crate::kernels::{LANES, Lanes, Pass, Simd, offset, padded};

/// Loss and hits over some examples, not yet divided by their number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    /// Sum of the examples' losses.
    pub(crate) loss: f64,
    /// Examples classified correctly.
    pub(crate) correct: u64,
    /// Examples.
    pub(crate) examples: u64,
}

impl Tally {
    /// Adds what another one counted.
    pub(crate) fn add(&mut self, other: Self) {
        self.loss += other.loss;
        self.correct += other.correct;
        self.examples += other.examples;
    }

    /// The means. A loss that is not a number is the one NaN that all machines write alike.
    pub(crate) fn score(self, has_classes: bool) -> Score {
        let loss = self.loss / self.examples as f64;
        let accuracy = has_classes.then_some(self.correct as f64 / self.examples as f64);
        Score { loss: if loss.is_nan() { f64::NAN } else { loss }, accuracy }
    }
}

/// Softmax outputs below e^-60 of the largest are 0: they change no sum, and their products would leave the range of normal floats.
const FAINTEST: f32 = -60.0;

/// Mean cross-entropy of softmax(z + bias), z [rows, outputs] in panels: z becomes its gradient, (softmax - onehot) / rows, 0 in the
/// padding. `class_of` gives a row's class. Of equal outputs the lower class counts; a row with NaN is no hit.
pub(crate) struct CrossEntropy<'a, C> {
    pub(crate) rows: usize,
    pub(crate) outputs: usize,
    pub(crate) bias: &'a [f32],
    pub(crate) z: &'a mut [f32],
    pub(crate) class_of: C,
}

impl<C: Fn(usize) -> usize> Pass for CrossEntropy<'_, C> {
    type Output = Tally;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Tally {
        let Self { rows, outputs, bias, z, class_of } = self;
        let (bias, z) = (bias.as_chunks().0, z.as_chunks_mut().0);
        let share = 1.0 / rows as f32;
        let mut softmax = Softmax { s, outputs, share, bias, tally: Tally::default(), logarithm: LogOfProduct::default() };
        match padded(outputs) / LANES {
            // The usual case: with its length known when this is compiled, a row stays in a register.
            1 => (0..rows).for_each(
                #[inline(always)]
                |row| softmax.row(z, class_of(row), 1, |_| row),
            ),
            vectors => (0..rows).for_each(
                #[inline(always)]
                |row| softmax.row(z, class_of(row), vectors, |vector| vector * rows + row),
            ),
        }
        let Softmax { tally, logarithm, .. } = softmax;
        Tally { loss: tally.loss + logarithm.total(), examples: rows as u64, ..tally }
    }
}

/// What is done with every row.
struct Softmax<'a, S> {
    s: S,
    outputs: usize,
    /// 1 / rows
    share: f32,
    bias: &'a [Lanes],
    tally: Tally,
    logarithm: LogOfProduct,
}

impl<S: Simd> Softmax<'_, S> {
    /// Turns a row of `vectors` vectors, the i-th at `at(i)` of z, into its gradient, and counts its loss.
    #[inline(always)]
    fn row(&mut self, z: &mut [Lanes], class: usize, vectors: usize, at: impl Fn(usize) -> usize) {
        let s = self.s;
        let mut largest = s.splat(f32::NEG_INFINITY);
        for index in 0..vectors {
            let value = self.biased(s.load(&z[at(index)]), index);
            s.store(value, &mut z[at(index)]);
            largest = s.max(largest, value);
        }
        let largest = s.max_lanes(largest);
        let (mut first, mut sum) = (None, s.splat(0.0));
        for index in 0..vectors {
            let value = s.load(&z[at(index)]);
            let bits = s.mask_bits(s.equal(value, largest));
            first = first.or((bits != 0).then(|| index * LANES + bits.trailing_zeros() as usize));
            let x = s.sub(value, largest);
            if index == class / LANES {
                self.tally.loss -= f64::from(self.lane(x, class % LANES));
            }
            let power = s.select(s.less(x, s.splat(FAINTEST)), s.splat(0.0), exp(s, x));
            s.store(power, &mut z[at(index)]);
            sum = s.add(sum, power);
        }
        let sum = s.sum_lanes(sum);
        let total = self.lane(sum, 0);
        self.logarithm.add(f64::from(total));
        // NaN in the sum shows NaN in the row.
        self.tally.correct += u64::from(first == Some(class) && !total.is_nan());
        let factor = s.div(s.splat(self.share), sum);
        for index in 0..vectors {
            s.store(s.mul(s.load(&z[at(index)]), factor), &mut z[at(index)]);
        }
        z[at(class / LANES)][class % LANES] -= self.share;
    }

    /// Vector `index` of a row, with the bias, and minus infinity in the padding.
    #[inline(always)]
    fn biased(&self, z: S::F, index: usize) -> S::F {
        const PLACE: Lanes = [0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12., 13., 14., 15.];
        let s = self.s;
        let is_output = s.less(s.load(&PLACE), s.splat((self.outputs - index * LANES) as f32));
        s.select(is_output, s.add(z, s.load(&self.bias[index])), s.splat(f32::NEG_INFINITY))
    }

    #[inline(always)]
    fn lane(&self, x: S::F, lane: usize) -> f32 {
        let mut lanes = [0.0; LANES];
        self.s.store(x, &mut lanes);
        lanes[lane]
    }
}

/// The sum of logarithms of numbers from 1 on, as few logarithms of products: one costs more than a row of a small softmax.
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
        // A factor is a sum of so many outputs, far below 1e100. NaN stays in the product.
        if self.product > 1e200 {
            self.sum += libm::log(self.product);
            self.product = 1.0;
        }
    }

    fn total(&self) -> f64 {
        self.sum + libm::log(self.product)
    }
}

/// Mean squared error of z + bias, one output a row: z becomes its gradient, 2 (z + bias - target) / rows.
pub(crate) fn squared_error(rows: usize, bias: &[f32], z: &mut [f32], target_of: impl Fn(usize) -> f32) -> Tally {
    let share = 2.0 / rows as f32;
    let mut tally = Tally { examples: rows as u64, ..Tally::default() };
    for row in 0..rows {
        let value = &mut z[offset(rows, row, 0)];
        let error = *value + bias[0] - target_of(row);
        tally.loss += f64::from(error) * f64::from(error);
        *value = share * error;
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::CrossEntropy;
    use crate::kernels::{Buffer, Family, offset};

    /// Loss and hits of one row of outputs.
    fn of_row(outputs: &[f32], class: usize) -> (f64, u64) {
        let mut z = Buffer::new(outputs.len().next_multiple_of(16)).unwrap();
        for (column, &output) in outputs.iter().enumerate() {
            z[offset(1, 0, column)] = output;
        }
        let bias = vec![0.0; z.len()];
        let pass = CrossEntropy { rows: 1, outputs: outputs.len(), bias: &bias, z: &mut z, class_of: |_| class };
        let tally = Family::named(None).unwrap().run(pass);
        (tally.loss, tally.correct)
    }

    #[test]
    fn hits_ties_and_nan() {
        assert_eq!(of_row(&[0.0, 3.0, 1.0], 1).1, 1);
        assert_eq!(of_row(&[0.0, 3.0, 1.0], 2).1, 0);
        // Of equal outputs the lower class counts.
        assert_eq!((of_row(&[2.0, 2.0], 0).1, of_row(&[2.0, 2.0], 1).1), (1, 0));
        let (loss, correct) = of_row(&[5.0, f32::NAN, 1.0], 0);
        assert!(loss.is_nan() && correct == 0);
        // Past the first panel too.
        let mut many = [0.0; 40];
        many[35] = 1.0;
        assert_eq!(of_row(&many, 35).1, 1);
    }

    #[test]
    fn large_outputs_do_not_overflow() {
        let (loss, _) = of_row(&[1e30, 0.0], 0);
        assert!(loss.abs() < 1e-6, "{loss}");
        let (loss, _) = of_row(&[60.0, 0.0], 1);
        assert!((loss - 60.0).abs() < 1e-4, "{loss}");
    }
}
