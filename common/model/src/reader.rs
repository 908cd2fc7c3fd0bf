//! Reads the numbers of a model's file.

/// The bytes of a float.
pub(crate) const FLOAT_LEN: usize = 4;

/// What is left of the bytes. Every method removes what it reads, and returns `None` if less is
/// left.
pub(crate) struct Reader<'a> {
    pub(crate) rest: &'a [u8],
}

impl Reader<'_> {
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*array)
    }

    pub(crate) fn floats(&mut self, count: usize) -> Option<Vec<f32>> {
        let (bytes, rest) = self.rest.split_at_checked(count.checked_mul(FLOAT_LEN)?)?;
        self.rest = rest;
        Some(bytes.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect())
    }
}
