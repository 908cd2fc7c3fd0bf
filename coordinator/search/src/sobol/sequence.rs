//! The scrambled Sobol sequence, beyond the 65,536 points of the library.
//!
//! Point i of the sequence has the coordinates
//!
//! ```text
//! x_d = scramble_d(v_d0 b_0 xor v_d1 b_1 xor v_d2 b_2 xor ...) / 2^32        i = ... b_2 b_1 b_0
//! ```
//!
//! with the direction numbers v of each dimension d (Joe and Kuo, "Constructing Sobol Sequences
//! with Better Two-Dimensional Projections", 2008), and with the index i shuffled first (Burley,
//! "Practical Hash-based Owen Scrambling", 2020). The library has the direction numbers of 16 bits,
//! so it repeats its points after 65,536.
//!
//! The others follow from them. A dimension has a primitive polynomial of degree s over the field
//! of two elements, x^s + a_1 x^(s-1) + ... + a_(s-1) x + 1, and
//!
//! ```text
//! v_k = a_1 v_(k-1) xor ... xor a_(s-1) v_(k-s+1) xor v_(k-s) xor (v_(k-s) >> s)
//! ```
//!
//! The shuffle permutes the upper 16 bits of an index among themselves, and the lower ones
//! depending on the upper ones. The library ignores the upper bits of the result. Here they are
//! used after an exclusive or with those of index 0, which takes the block of the first 65,536
//! indices to itself. So the first 65,536 points are those of the library, the next ones fill their
//! gaps, and the first 2^k points are a digital net for every k up to 32.
//!
//! Example: of the points 65,536 to 131,071, one lies in each of 65,536 equal intervals of every
//! coordinate. Together with the first 65,536 points, one lies in each half of these intervals.

use caviar_common::numbers;
use sobol_burley::parts::{hash, owen_scramble_rev, sobol_rev};

/// The number of points of the library, and the bits of their indices.
const FIRST: u32 = 1 << FIRST_BITS;
const FIRST_BITS: u32 = 16;
/// The bits of an index.
const BITS: u32 = 32;
/// The primitive polynomials of the dimensions from 1 on, one bit for each coefficient, in the
/// order of Joe and Kuo. Dimension 0 is the van der Corput sequence, which has none. A spec has at
/// most 64 parameters.
const POLYNOMIALS: [u32; 63] = [
    3, 7, 11, 13, 19, 25, 37, 41, 47, 55, 59, 61, 67, 91, 97, 103, 109, 115, 131, 137, 143, 145,
    157, 167, 171, 185, 191, 193, 203, 211, 213, 229, 239, 241, 247, 253, 285, 299, 301, 333, 351,
    355, 357, 361, 369, 391, 397, 425, 451, 463, 487, 501, 529, 539, 545, 557, 563, 601, 607, 617,
    623, 631, 637,
];
/// The library's constants for the shuffle of the index and for the scrambles of four successive
/// dimensions.
const SHUFFLE: u32 = 0x79c6_8e4a;
const SEED_FACTOR: u32 = 0x9c8f_2d3b;
const SCRAMBLES: [u32; 4] = [0x912f_69ba, 0x174f_18ab, 0x691e_72ca, 0xb40c_c1b8];

/// A scrambled Sobol sequence of 2^32 points.
#[derive(Debug)]
pub(crate) struct Sequence {
    scramble: u32,
    dimensions: Vec<Dimension>,
}

/// What the points after the first 65,536 need.
#[derive(Debug)]
struct Dimension {
    index: u32,
    /// The direction numbers of the bits from 16 on.
    directions: Vec<u32>,
    /// The argument of the scramble.
    scramble: u32,
}

impl Sequence {
    /// The sequence of this many dimensions, at most 64, with a scramble of its own for each
    /// `scramble`.
    pub(crate) fn new(dimensions: usize, scramble: u32) -> Self {
        let dimension = |index: u32| {
            let constant = SCRAMBLES.into_iter().cycle().nth(numbers::index(index));
            let seed = scramble.wrapping_mul(SEED_FACTOR);
            Dimension {
                index,
                directions: later_directions(index),
                scramble: hash((index >> 2) ^ seed ^ constant.unwrap_or_default()),
            }
        };
        Self { scramble, dimensions: (0u32..).take(dimensions).map(dimension).collect() }
    }

    /// The coordinates of a point.
    pub(crate) fn point(&self, index: u32) -> Vec<f64> {
        if index < FIRST {
            let sample = |d: &Dimension| sobol_burley::sample(index, d.index, self.scramble);
            return self.dimensions.iter().map(|d| f64::from(sample(d))).collect();
        }
        self.dimensions.iter().map(|d| f64::from(self.word(index, d)) / 2f64.powi(32)).collect()
    }

    /// A coordinate in units of 2^-32. For the first 65,536 points, the library rounds it down to
    /// a multiple of 2^-23.
    fn word(&self, index: u32, dimension: &Dimension) -> u32 {
        let shuffle = hash(self.scramble ^ SHUFFLE);
        let shuffled = owen_scramble_rev(index.reverse_bits(), shuffle);
        let of_zero = owen_scramble_rev(0, shuffle);
        let upper = (shuffled ^ of_zero).reverse_bits() >> FIRST_BITS;
        let later = dimension.directions.iter().enumerate();
        let later = later.filter(|(bit, _)| upper >> bit & 1 == 1).fold(0, |word, (_, v)| word ^ v);
        let word = sobol_rev(shuffled, dimension.index) ^ later.reverse_bits();
        owen_scramble_rev(word, dimension.scramble).reverse_bits()
    }
}

/// The direction numbers of a dimension for the bits from 16 on.
fn later_directions(dimension: u32) -> Vec<u32> {
    let mut all: Vec<u32> = (0..FIRST_BITS).map(|bit| direction(bit, dimension)).collect();
    for bit in FIRST_BITS..BITS {
        all.push(next_direction(&all, bit, dimension));
    }
    all.split_off(numbers::index(FIRST_BITS))
}

/// The library's direction number for a bit below 16.
fn direction(bit: u32, dimension: u32) -> u32 {
    sobol_rev((1u32 << bit).reverse_bits(), dimension).reverse_bits()
}

/// The direction number after those that are known. See the module's description.
fn next_direction(known: &[u32], bit: u32, dimension: u32) -> u32 {
    let number = dimension.checked_sub(1).map(numbers::index);
    let Some(polynomial) = number.and_then(|number| POLYNOMIALS.get(number)) else {
        return 1u32 << (BITS - 1 - bit);
    };
    let degree = polynomial.ilog2();
    // The coefficient of x^(s-k) belongs to the direction number k places back.
    let terms = (1..).zip(known.iter().rev()).take_while(|(back, _)| *back <= degree);
    let used = terms.filter(|(back, _)| polynomial >> (degree - back) & 1 == 1);
    used.fold(0, |sum, (back, v)| sum ^ v ^ if back == degree { v >> degree } else { 0 })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::as_conversions, reason = "the numbers are small")]

    use super::*;

    #[test]
    fn the_recurrence_gives_the_direction_numbers_of_the_library() {
        for dimension in 0..64 {
            let all: Vec<u32> = (0..FIRST_BITS).map(|bit| direction(bit, dimension)).collect();
            let degree =
                if dimension == 0 { 0 } else { POLYNOMIALS[dimension as usize - 1].ilog2() };
            for bit in degree..FIRST_BITS {
                let next = next_direction(&all[..bit as usize], bit, dimension);
                assert_eq!(next, all[bit as usize], "{bit} of {dimension}");
            }
        }
    }

    #[test]
    fn the_first_points_are_those_of_the_library() {
        for scramble in [0, 1, 0x1234_5678, u32::MAX] {
            let sequence = Sequence::new(64, scramble);
            for index in (0..FIRST).step_by(1_021).chain(FIRST - 3..FIRST) {
                for d in &sequence.dimensions {
                    let library = sobol_burley::sample(index, d.index, scramble);
                    let word = sequence.word(index, d) >> 9;
                    assert_eq!(f64::from(library), f64::from(word) / 2f64.powi(23), "{index}");
                }
            }
        }
    }

    /// The number of points of a range of indices in each of 2^bits intervals of a coordinate.
    fn counts(sequence: &Sequence, d: usize, indices: std::ops::Range<u32>, bits: u32) -> Vec<u8> {
        let mut counts = vec![0; 1 << bits];
        for index in indices {
            let word = sequence.word(index, &sequence.dimensions[d]);
            counts[(word >> (BITS - bits)) as usize] += 1;
        }
        counts
    }

    #[test]
    fn one_point_lies_in_each_interval_for_every_power_of_two_and_every_block() {
        let sequence = Sequence::new(64, 77);
        for d in 0..64 {
            for bits in [17, 18] {
                let counts = counts(&sequence, d, 0..1 << bits, bits);
                assert!(counts.iter().all(|count| *count == 1), "{bits} bits, dimension {d}");
            }
            let block = counts(&sequence, d, 5 * FIRST..6 * FIRST, FIRST_BITS);
            assert!(block.iter().all(|count| *count == 1), "block of dimension {d}");
        }
        for d in [0, 1, 7, 40, 63] {
            let counts = counts(&sequence, d, 0..1 << 21, 21);
            assert!(counts.iter().all(|count| *count == 1), "21 bits, dimension {d}");
        }
    }

    /// The first two dimensions are a net of the best quality: every box of volume 2^-19, whatever
    /// its shape, has one of the first 2^19 points.
    #[test]
    fn one_point_lies_in_each_box_of_the_first_two_dimensions() {
        let (sequence, bits) = (Sequence::new(2, 123), 19);
        for wide in [0, 3, 9, 10, 16, 19] {
            let mut is_taken = vec![false; 1 << bits];
            for index in 0..1u32 << bits {
                let [x, y] =
                    [0, 1].map(|d| u64::from(sequence.word(index, &sequence.dimensions[d])));
                let (x, y) = (x >> (32 - wide), y >> (32 - (bits - wide)));
                let place = (x << (bits - wide) | y) as usize;
                assert!(!is_taken[place], "{wide}");
                is_taken[place] = true;
            }
        }
    }

    #[test]
    fn points_of_many_dimensions_do_not_repeat() {
        let sequence = Sequence::new(3, 9);
        let mut points: Vec<Vec<u64>> =
            (0..300_000).map(|i| sequence.point(i).iter().map(|x| x.to_bits()).collect()).collect();
        assert!(sequence.point(u32::MAX).iter().all(|x| (0.0..1.0).contains(x)));
        points.sort_unstable();
        assert!(points.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
