//! The peak of a machine: multiply-adds and nothing else, to compare a training with.

use std::hint::black_box;

use caviar_common::numbers::to_u64;

use super::lanes::{LANES, Lanes};
use super::simd::{Pass, Simd};

/// `COUNT` independent chains of multiply-adds: enough to hide the latency of one, and few enough
/// to stay in registers.
pub(super) struct Chains<const COUNT: usize> {
    pub(super) rounds: u64,
}

impl<const COUNT: usize> Pass for Chains<COUNT> {
    /// The number of floating-point operations.
    type Output = u64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> u64 {
        // Opaque, so the compiler computes nothing beforehand. The values go towards 1, so they
        // do not become infinite or denormal.
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
        self.rounds * to_u64(COUNT * LANES * 2)
    }
}
