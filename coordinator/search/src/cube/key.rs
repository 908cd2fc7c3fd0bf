//! What identifies a point, in sixteen bytes.

/// Identifies a point: a mix of the cells of its parameters. Points that stand for the same
/// assignment have the same key.
///
/// The cells themselves would take eight bytes for each parameter, and a sampler keeps the key of
/// every trial. Two chains of 64 bits take in one cell after the other:
///
/// ```text
/// a = mix((a xor cell) + A)        b = mix((rotate(b) xor cell) * B)
/// ```
///
/// Each step is a bijection of the cell and of the chain. So two points that differ in one
/// parameter never have the same key. Two others have it with a probability of about 2^-128: among
/// 10,000,000 trials, with 10^14 / 2 pairs, the odds are 1.5e-25. Then a sampler would not suggest
/// the second point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(u128);

impl Key {
    /// The key of the cells of all parameters.
    pub(crate) fn new(cells: impl Iterator<Item = u64>) -> Self {
        // The first digits of π and of e in binary, without a meaning.
        let start = (0x243f_6a88_85a3_08d3_u64, 0xb7e1_5162_8aed_2a6a_u64);
        let (a, b) = cells.fold(start, |(a, b), cell| {
            let first = mix((a ^ cell).wrapping_add(0x9e37_79b9_7f4a_7c15));
            let second = mix((b.rotate_left(23) ^ cell).wrapping_mul(0xd134_2543_de82_ef95));
            (first, second)
        });
        Self(u128::from(a) << 64 | u128::from(b))
    }
}

/// A bijection in which every bit of the result depends on every bit of the argument (variant 13
/// of Stafford, "Better Bit Mixing", 2011).
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_a_key_depends_on_every_bit_of_every_cell() {
        let cells = [3, 1 << 29, u64::MAX, 0, 12_345];
        let key = Key::new(cells.into_iter());
        for place in 0..cells.len() {
            let mut flips = [0u32; 128];
            for bit in 0..64 {
                let mut other = cells;
                other[place] ^= 1 << bit;
                let difference = key.0 ^ Key::new(other.into_iter()).0;
                for (i, count) in flips.iter_mut().enumerate() {
                    *count += u32::from(difference >> i & 1 == 1);
                }
            }
            assert!(flips.iter().all(|count| (12..=52).contains(count)), "{place} {flips:?}");
        }
    }

    #[test]
    fn the_keys_of_a_million_points_differ() {
        let mut keys: Vec<Key> = (0..1_000_000u64)
            .map(|i| Key::new([i % 100, i / 100 % 100, i / 10_000].into_iter()))
            .collect();
        keys.sort_unstable();
        assert!(keys.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
