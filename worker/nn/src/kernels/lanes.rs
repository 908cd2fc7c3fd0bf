//! A vector in memory.

/// Floats in a vector.
pub(crate) const LANES: usize = 16;

/// Floats in half a vector.
pub(crate) const HALF: usize = LANES / 2;

/// A vector in memory.
pub(crate) type Lanes = [f32; LANES];

/// The vectors of a buffer whose length is a multiple of [`LANES`].
pub(crate) fn vectors(values: &[f32]) -> &[Lanes] {
    values.as_chunks().0
}

/// The same as [`vectors`], to write.
pub(crate) fn vectors_mut(values: &mut [f32]) -> &mut [Lanes] {
    values.as_chunks_mut().0
}
