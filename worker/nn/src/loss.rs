//! The two losses: softmax with cross-entropy, and squared error. Each turns a mini-batch's outputs into their gradient in place.
#![allow(clippy::indexing_slicing, reason = "rows and classes were checked against the outputs when the trainer was made")]
#![allow(clippy::as_conversions, reason = "a row count is far below 2^24")]

use caviar_common::metric::Score;

use crate::elementary::exp;
use crate::kernels::{Family, LANES, blocks, offset, padded};

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

/// Mean cross-entropy of softmax(`z`), z [rows, outputs] in panels: z becomes its gradient, (softmax(z) - onehot) / rows, 0 in
/// the padding. `class_of` gives a row's class. Of equal outputs the lower class counts; a row with NaN is no hit.
pub(crate) fn cross_entropy(family: Family, rows: usize, outputs: usize, z: &mut [f32], class_of: impl Fn(usize) -> usize) -> Tally {
    let z = &mut z[..rows * padded(outputs)];
    let share = 1.0 / rows as f32;
    family.vectorised(
        #[inline(always)]
        || {
            let mut tally = Tally { examples: rows as u64, ..Tally::default() };
            for row in 0..rows {
                let (class, largest) = (class_of(row), subtract_largest(rows, outputs, z, row));
                tally.correct += u64::from(largest == class);
                tally.loss -= f64::from(z[offset(rows, outputs, row, class)]);
            }
            for value in z.iter_mut() {
                *value = exp(*value);
            }
            for row in 0..rows {
                let sum = clear_padding_and_sum(rows, outputs, z, row);
                tally.loss += libm::log(f64::from(sum));
                let factor = share / sum;
                for block in blocks(rows, outputs) {
                    z[block.row(row)].iter_mut().for_each(|value| *value *= factor);
                }
                z[offset(rows, outputs, row, class_of(row))] -= share;
            }
            tally
        },
    )
}

/// Mean squared error of one output a row: z becomes its gradient, 2 (z - target) / rows.
pub(crate) fn squared_error(rows: usize, z: &mut [f32], target_of: impl Fn(usize) -> f32) -> Tally {
    let share = 2.0 / rows as f32;
    let mut tally = Tally { examples: rows as u64, ..Tally::default() };
    for row in 0..rows {
        let value = &mut z[offset(rows, 1, row, 0)];
        let error = *value - target_of(row);
        tally.loss += f64::from(error) * f64::from(error);
        *value = share * error;
    }
    tally
}

/// Subtracts a row's largest output, so that exp cannot overflow, and gives the first column that has it (`outputs` if none).
#[inline(always)]
fn subtract_largest(rows: usize, outputs: usize, z: &mut [f32], row: usize) -> usize {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for block in blocks(rows, outputs) {
        let values = &z[block.row(row)];
        for lane in 0..LANES {
            let value = if block.column + lane < outputs { values[lane] } else { f32::NEG_INFINITY };
            lanes[lane] = if value > lanes[lane] { value } else { lanes[lane] };
        }
    }
    let largest = lanes.into_iter().fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a });
    let (mut at, mut has_nan) = (outputs, false);
    for block in blocks(rows, outputs) {
        let values = &mut z[block.row(row)];
        let width = (outputs - block.column).min(LANES);
        has_nan |= values[..width].iter().any(|value| value.is_nan());
        if at == outputs {
            at = values[..width].iter().position(|&value| value == largest).map_or(outputs, |lane| block.column + lane);
        }
        values.iter_mut().for_each(|value| *value -= largest);
    }
    if has_nan { outputs } else { at }
}

/// The sum of a row, lane by lane first so that its order does not depend on the vector width.
#[inline(always)]
fn clear_padding_and_sum(rows: usize, outputs: usize, z: &mut [f32], row: usize) -> f32 {
    let mut lanes = [0.0; LANES];
    for block in blocks(rows, outputs) {
        let values = &mut z[block.row(row)];
        for lane in 0..LANES {
            values[lane] = if block.column + lane < outputs { values[lane] } else { 0.0 };
            lanes[lane] += values[lane];
        }
    }
    lanes.into_iter().sum()
}

#[cfg(test)]
mod tests {
    use super::cross_entropy;
    use crate::kernels::{Buffer, Family, offset};

    /// Loss and hits of one row of outputs.
    fn of_row(outputs: &[f32], class: usize) -> (f64, u64) {
        let mut z = Buffer::new(outputs.len().next_multiple_of(16)).unwrap();
        for (column, &output) in outputs.iter().enumerate() {
            z[offset(1, outputs.len(), 0, column)] = output;
        }
        let tally = cross_entropy(Family::named(None).unwrap(), 1, outputs.len(), &mut z, |_| class);
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
