//! A hash of everything that happens in a run, to compare runs of one seed.

use std::fmt::{self, Debug, Write};

/// The offset basis of the 64-bit FNV-1a hash.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
/// The prime of the 64-bit FNV-1a hash.
const PRIME: u64 = 0x0100_0000_01b3;

/// The FNV-1a hash of the texts of all inputs and events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trace(u64);

impl Trace {
    /// The hash of nothing.
    pub(super) const fn new() -> Self {
        Self(BASIS)
    }

    /// Adds the text of `item`.
    pub(super) fn add(&mut self, item: &impl Debug) {
        writeln!(self, "{item:?}").expect("a hash takes any text");
    }

    /// The hash of what was added.
    pub(super) const fn hash(self) -> u64 {
        self.0
    }
}

impl Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(PRIME);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_reference() {
        let mut trace = Trace::new();
        trace.write_str("foobar").unwrap();
        assert_eq!(trace.hash(), 0x8594_4171_f739_67e8);
    }
}
