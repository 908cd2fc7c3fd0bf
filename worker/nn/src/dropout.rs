//! Dropout masks (Srivastava et al. 2014) from a counter-based random number generator.
//!
//! An element of a mask is a function of a key and of the element's position, so sixteen elements
//! are drawn at a time, and every family of instructions draws the same mask.
#![allow(clippy::indexing_slicing, reason = "three keys and two rows of rotations")]

use crate::kernels::{LANES, Pass, Simd, padded, panels, panels_of_mut};

/// Writes a mask [rows, columns] in panels: each element is 0 with probability `dropout`, else
/// 1 / (1 - dropout).
pub(crate) struct DrawMask<'a> {
    pub(crate) key: [u32; 2],
    pub(crate) dropout: f32,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) mask: &'a mut [f32],
}

impl Pass for DrawMask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { key, dropout, rows, columns, mask } = self;
        // The random numbers are uniform on [1, 2), so the threshold is one higher too.
        let threshold = s.splat(1.0 + dropout);
        let (kept, dropped) = (s.splat(1.0 / (1.0 - dropout)), s.splat(0.0));
        let row_length = counter(padded(columns));
        for (first, mask) in panels(columns).zip(panels_of_mut(mask, rows)) {
            // The generator returns two words per lane: one for each of two rows.
            for (pair, two_rows) in mask.chunks_mut(2).enumerate() {
                let place = counter(pair).wrapping_mul(row_length).wrapping_add(counter(first));
                for (bits, to) in threefry(s, key, place).into_iter().zip(two_rows) {
                    let is_dropped = s.less(uniform(s, bits), threshold);
                    s.store(s.select(is_dropped, dropped, kept), to);
                }
            }
        }
    }
}

#[inline(always)]
#[allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "a position in a mini-batch; beyond 2^32 positions the counters repeat"
)]
fn counter(place: usize) -> u32 {
    place as u32
}

/// The upper 23 bits as a float in [1, 2).
#[inline(always)]
fn uniform<S: Simd>(s: S, bits: S::U) -> S::F {
    s.floats(s.add_words(s.shift_right(bits, 9), s.splat_word(0x3f80_0000)))
}

/// [`threefry_of`] the counters (`place` + lane, 0), one per lane.
#[inline(always)]
fn threefry<S: Simd>(s: S, key: [u32; 2], place: u32) -> [S::U; 2] {
    const COUNT: [u32; LANES] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    let first = s.add_words(s.load_words(&COUNT), s.splat_word(place));
    threefry_of(s, key, [first, s.splat_word(0)])
}

/// Threefry 2x32 with 20 rounds (Salmon, Moraes, Dror and Shaw 2011): two random words per lane,
/// from a key and a counter (a, b).
#[inline(always)]
fn threefry_of<S: Simd>(s: S, key: [u32; 2], [mut a, mut b]: [S::U; 2]) -> [S::U; 2] {
    const ROTATIONS: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];
    let keys = [key[0], key[1], 0x1bd1_1bda ^ key[0] ^ key[1]];
    a = s.add_words(a, s.splat_word(keys[0]));
    b = s.add_words(b, s.splat_word(keys[1]));
    for group in 0..5u32 {
        for rotation in ROTATIONS[usize::from(group % 2 == 1)] {
            a = s.add_words(a, b);
            // The two shifted halves have no bit in common, so their sum is a rotation.
            b = s.xor(a, s.add_words(s.shift_left(b, rotation), s.shift_right(b, 32 - rotation)));
        }
        let at = |offset: u32| {
            keys[[0, 1, 2, 0, 1, 2, 0][usize::from((group + offset).to_le_bytes()[0])]]
        };
        a = s.add_words(a, s.splat_word(at(1)));
        b = s.add_words(b, s.splat_word(at(2).wrapping_add(group + 1)));
    }
    [a, b]
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::as_conversions,
        clippy::float_cmp,
        reason = "counts, and values that must be exact"
    )]

    use super::*;
    use crate::kernels::{Buffer, Family, offset};

    struct Words {
        key: [u32; 2],
        counter: [u32; 2],
    }

    impl Pass for Words {
        type Output = [u32; 2];

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> [u32; 2] {
            threefry_of(s, self.key, self.counter.map(|word| s.splat_word(word))).map(|word| {
                let mut lanes = [0.0; LANES];
                s.store(s.floats(word), &mut lanes);
                lanes[LANES - 1].to_bits()
            })
        }
    }

    #[test]
    fn the_generator_returns_the_published_words() {
        // The known-answer tests of the library Random123, threefry2x32 with 20 rounds.
        for (key, counter, words) in [
            ([0, 0], [0, 0], [0x6b20_0159, 0x99ba_4efe]),
            ([u32::MAX; 2], [u32::MAX; 2], [0x1cb9_96fc, 0xbb00_2be7]),
            ([0x1319_8a2e, 0x0370_7344], [0x243f_6a88, 0x85a3_08d3], [0xc492_3a9c, 0x483d_f7a0]),
        ] {
            for family in Family::available() {
                assert_eq!(family.run(Words { key, counter }), words, "{}", family.name());
            }
        }
    }

    fn mask(family: Family, rows: usize, columns: usize, key: [u32; 2]) -> Vec<f32> {
        let mut mask = Buffer::new(rows * padded(columns)).unwrap();
        family.run(DrawMask { key, dropout: 0.3, rows, columns, mask: &mut mask });
        (0..rows * columns)
            .map(|index| mask[offset(rows, index / columns, index % columns)])
            .collect()
    }

    #[test]
    fn a_mask_drops_its_share_and_keeps_the_mean() {
        let family = Family::available()[0];
        let values = mask(family, 401, 250, [1, 2]);
        let dropped =
            values.iter().filter(|&&value| value == 0.0).count() as f64 / values.len() as f64;
        assert!((dropped - 0.3).abs() < 0.006, "{dropped}");
        assert!(values.iter().all(|&value| value == 0.0 || value == 1.0 / 0.7));
        assert_ne!(values, mask(family, 401, 250, [2, 2]));
        // No later row equals the first.
        let row = |index: usize| &values[index * 250..][..250];
        assert!((1..401).all(|index| row(index) != row(0)));
    }

    #[test]
    fn a_mask_is_the_same_on_every_family_and_in_a_smaller_batch() {
        let whole = mask(Family::available()[0], 9, 40, [5, 6]);
        for family in Family::available() {
            assert_eq!(mask(family, 9, 40, [5, 6]), whole, "{}", family.name());
            assert_eq!(mask(family, 3, 40, [5, 6]), whole[..120], "{}", family.name());
        }
    }
}
