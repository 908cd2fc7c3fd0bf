//! Random numbers that are the same in every release and on every machine.
//!
//! [`Seed::derive`] is the only seed arithmetic of Caviar: it makes a key from the sweep's seed, a
//! trial and a purpose. A [`Stream`] is ChaCha8 with that key. Uniform draws, normal draws and
//! shuffles are written out here, because a library may change its draws from one release to the
//! next. Golden tests keep them fixed.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::numbers::{to_u64, to_usize};

/// What a stream of random numbers is used for. Every recorded result depends on the
/// discriminants, so they never change.
///
/// Two uses with the same purpose, trial and stream number get the same numbers. So a new use needs
/// a new purpose, with the next discriminant, unless it replaces an existing use in a sweep. For
/// example, a sweep has one strategy, so strategies share purposes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum Purpose {
    /// Drawing the assignment of a trial.
    Sample = 1,
    /// Splitting the data into training, validation and test parts.
    Split = 2,
    /// Drawing the initial weights.
    Init = 3,
    /// Ordering the examples of each epoch.
    Shuffle = 4,
    /// Drawing the masks of dropout.
    Dropout = 5,
    /// Scrambling a low-discrepancy sequence, such as the Sobol sequence.
    Scramble = 6,
    /// Drawing the candidates of a model-based sampler and choosing among them.
    Candidates = 7,
    /// Growing the trees of a random forest.
    Forest = 8,
    /// Drawing the rows of the resamples of a bootstrap interval.
    Bootstrap = 9,
}

/// The key of the random numbers for one purpose in one trial of one sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl Seed {
    /// The key for `purpose` in trial `trial` of the sweep with seed `sweep`. A purpose that
    /// concerns the whole sweep uses trial 0.
    ///
    /// The key holds the three next to each other, so different arguments never share a stream.
    pub fn derive(sweep: u64, trial: u64, purpose: Purpose) -> Self {
        let mut key = [0; 32];
        let (a, rest) = key.split_at_mut(8);
        let (b, rest) = rest.split_at_mut(8);
        a.copy_from_slice(&sweep.to_le_bytes());
        b.copy_from_slice(&trial.to_le_bytes());
        if let Some(tag) = rest.first_mut() {
            *tag = purpose_tag(purpose);
        }
        Self(key)
    }

    /// The key for one of several trainings of a trial; for number 0 this key itself. The number is
    /// where [`Self::derive`] leaves zeros, so no two keys become the same.
    #[must_use]
    pub fn part(mut self, number: u32) -> Self {
        let (_, rest) = self.0.split_at_mut(28);
        rest.copy_from_slice(&number.to_le_bytes());
        self
    }

    /// The stream with number `index` (for example an epoch) of this key, from its start.
    pub fn stream(self, index: u64) -> Stream {
        let mut rng = ChaCha8Rng::from_seed(self.0);
        rng.set_stream(index);
        Stream { rng }
    }

    /// The first 32 bits of stream 0, for generators whose seed is that short.
    pub fn word(self) -> u32 {
        self.stream(0).rng.next_u32()
    }
}

#[expect(clippy::as_conversions, reason = "a fieldless repr(u8) enum has no other conversion")]
fn purpose_tag(purpose: Purpose) -> u8 {
    purpose as u8
}

/// A deterministic stream of random numbers.
#[derive(Clone, Debug)]
pub struct Stream {
    rng: ChaCha8Rng,
}

impl Stream {
    /// A uniform draw from [0, 1), a multiple of 2^-53.
    #[expect(clippy::as_conversions, reason = "53 bits fit an f64 exactly")]
    pub fn uniform(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// A uniform draw from 0, 1, ..., `n` - 1 without bias; 0 for `n` = 0. It rejects draws, so the
    /// number of words that it uses varies.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 {
            return 0;
        }
        let limit = u64::MAX - u64::MAX % n;
        loop {
            let word = self.rng.next_u64();
            if word < limit {
                return word % n;
            }
        }
    }

    /// A standard normal draw by the polar method (Marsaglia and Bray 1964). It discards the second
    /// of the two values that the method makes.
    pub fn normal(&mut self) -> f64 {
        loop {
            let (u, v) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let s = u * u + v * v;
            if s > 0.0 && s < 1.0 {
                return u * (-2.0 * libm::log(s) / s).sqrt();
            }
        }
    }

    /// The next 64 random bits.
    pub fn word(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// Shuffles in place, by the Fisher-Yates method from the end.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            let other = to_usize(self.below(to_u64(end + 1)));
            items.swap(end, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_differ_in_one_part_give_different_streams() {
        let base = Seed::derive(7, 3, Purpose::Init).word();
        assert_ne!(base, Seed::derive(8, 3, Purpose::Init).word());
        assert_ne!(base, Seed::derive(7, 4, Purpose::Init).word());
        assert_ne!(base, Seed::derive(7, 3, Purpose::Shuffle).word());
    }

    #[test]
    fn the_trainings_of_a_trial_have_different_streams_and_the_first_has_that_of_the_trial() {
        let seed = Seed::derive(7, 3, Purpose::Init);
        assert_eq!(seed.part(0), seed);
        assert_ne!(seed.part(1).word(), seed.part(2).word());
        assert_ne!(seed.part(1).word(), seed.word());
    }

    #[test]
    fn the_streams_of_one_key_differ_and_repeat() {
        let seed = Seed::derive(1, 2, Purpose::Shuffle);
        assert_eq!(seed.stream(5).word(), seed.stream(5).word());
        assert_ne!(seed.stream(5).word(), seed.stream(6).word());
    }

    #[test]
    fn below_draws_every_number_equally_often() {
        let mut stream = Seed::derive(1, 0, Purpose::Sample).stream(0);
        let mut counts = [0; 3];
        for _ in 0..9000 {
            counts[usize::try_from(stream.below(3)).unwrap()] += 1;
        }
        assert!(counts.iter().all(|&c| (2800..3200).contains(&c)), "{counts:?}");
    }

    #[test]
    fn normal_draws_have_mean_0_and_variance_1() {
        let mut stream = Seed::derive(1, 0, Purpose::Init).stream(0);
        let draws: Vec<f64> = (0..20_000).map(|_| stream.normal()).collect();
        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }
}
