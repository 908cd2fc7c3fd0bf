//! Multiply-adds and nothing else: the most arithmetic that a family can do, to measure the rest
//! against.
#![allow(clippy::as_conversions, reason = "a number of chains fits a u64")]

use std::hint::black_box;

use super::Family;
use super::simd::{LANES, Lanes, Pass, Simd};
use crate::error::TrainError;

/// Does `rounds` times a few multiply-adds of vectors in registers, and returns how many
/// floating-point operations that were: two for each lane of a multiply-add. Timed, it is the peak
/// that a training's products are measured against.
///
/// # Errors
/// As [`super::kernel_family`].
pub fn multiply_add(rounds: u64) -> Result<u64, TrainError> {
    Ok(Family::of_process()?.multiply_add(rounds))
}

/// `COUNT` chains of multiply-adds, independent of each other: enough of them to hide how long one
/// takes, and few enough to stay in registers.
pub(super) struct Chains<const COUNT: usize> {
    pub(super) rounds: u64,
}

impl<const COUNT: usize> Pass for Chains<COUNT> {
    type Output = u64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> u64 {
        // Opaque, and towards 1: nothing is known beforehand, and nothing becomes infinite or
        // denormal.
        let (factor, addend) = (s.splat(black_box(0.5)), s.splat(black_box(0.5)));
        let mut values: [Lanes; COUNT] = black_box([[0.0; LANES]; COUNT]);
        let mut chains = [s.splat(0.0); COUNT];
        for (chain, value) in chains.iter_mut().zip(&values) {
            *chain = s.load(value);
        }
        for _ in 0..self.rounds {
            for chain in &mut chains {
                *chain = s.mul_add(*chain, factor, addend);
            }
        }
        for (chain, value) in chains.into_iter().zip(&mut values) {
            s.store(chain, value);
        }
        black_box(values);
        self.rounds * (COUNT * LANES * 2) as u64
    }
}
