//! The limits of every input. All are far above what a sweep needs and low enough that no input can
//! exhaust a machine.

/// Trials in one sweep: as many points as the Sobol sequence has.
pub const MAX_TRIALS: u32 = 65_536;
/// Trials in flight in one sweep.
pub const MAX_PARALLELISM: u32 = 4_096;
/// Hyperparameters searched in one sweep.
pub const MAX_PARAMETERS: usize = 64;
/// Values of one choice.
pub const MAX_CHOICES: usize = 256;
/// Rounds of one sweep.
pub const MAX_ROUNDS: usize = 64;
/// Epochs of one trial.
pub const MAX_EPOCHS: u32 = 100_000;
/// Hidden layers of one network.
pub const MAX_LAYERS: u32 = 64;
/// Units of one layer.
pub const MAX_UNITS: u32 = 8_192;
/// Weights of one network: with their gradients and moments, 4 GiB.
pub const MAX_WEIGHTS: u64 = 1 << 28;
/// Examples in one mini-batch.
pub const MAX_BATCH_SIZE: u32 = 1_048_576;
/// Characters of a sweep's name, a worker's id or a request id.
pub const MAX_NAME_CHARS: usize = 64;
/// Characters of any other text that a peer sends.
pub const MAX_TEXT_CHARS: usize = 4_096;
/// Bytes of a sweep file.
pub const MAX_SWEEP_FILE_BYTES: u64 = 1 << 20;
/// Slots of one worker.
pub const MAX_SLOTS: u32 = 4_096;
/// Trials that one worker may hold parked: each keeps a thread and its memory.
pub const MAX_PARKED: u32 = 64;
/// Epochs in one report.
pub const MAX_POINTS_PER_REPORT: usize = 1_024;
/// Sweeps or trials in one page of a listing.
pub const MAX_PAGE: usize = 1_000;
/// Results of an earlier sweep that one which learns from it takes along.
pub const MAX_EARLIER_RESULTS: usize = 1_000;
/// Sweeps in one store.
pub const MAX_SWEEPS: usize = 10_000;
/// Connected workers.
pub const MAX_WORKERS: usize = 10_000;
/// Metrics in one report of a program that runs trials by itself.
pub const MAX_METRICS: usize = 64;
/// Values of metrics that one trial of such a program keeps, over all its epochs: it must fit a
/// message. Every report has its share.
pub const MAX_VALUES: u64 = 400_000;
/// Trials in one answer to such a program.
pub const MAX_TRIALS_PER_ASK: u32 = 1_000;
/// How long such a program may be silent about a trial, in milliseconds: at least a second.
pub const MIN_LEASE_MS: u64 = 1_000;
/// And at most a week.
pub const MAX_LEASE_MS: u64 = 7 * 24 * 3_600_000;
/// And an hour, unless it says otherwise.
pub const DEFAULT_LEASE_MS: u64 = 3_600_000;
/// How long a question for trials may wait for one, in milliseconds.
pub const MAX_WAIT_MS: u64 = 60_000;
/// Answers to such questions that a sweep remembers, the latest: a question that is asked again has
/// the same answer.
pub const MAX_ASK_REPLIES: usize = 1_024;
