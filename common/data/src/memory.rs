//! How much data is kept in memory.

use caviar_common::limits::MAX_INPUT_BYTES_IN_MEMORY;

/// The sizes of data above which it is in temporary files, and not in memory.
///
/// The results depend on [`inputs_bytes`](Self::inputs_bytes), because larger data is shuffled in
/// windows. So a sweep uses the default, which is the same on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBudget {
    /// Bytes of a table while it is read, and of its columns afterwards.
    pub table_bytes: usize,
    /// Bytes of the inputs of all splits.
    pub inputs_bytes: usize,
    /// Bytes of the inputs that a training has in memory at once, if not all are.
    pub window_bytes: usize,
}

impl MemoryBudget {
    /// 128 MiB of a table, 256 MiB of inputs, and windows of 16 MiB.
    pub const DEFAULT: Self = Self {
        table_bytes: 128 << 20,
        inputs_bytes: MAX_INPUT_BYTES_IN_MEMORY,
        window_bytes: 16 << 20,
    };
}

impl Default for MemoryBudget {
    fn default() -> Self {
        Self::DEFAULT
    }
}
