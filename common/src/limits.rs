//! The limits of every input. Each is far above what a sweep needs, and low enough that no input
//! can exhaust a machine.

/// Most trials of one sweep. Its history takes about 100 bytes for each.
pub const MAX_TRIALS: u32 = 10_000_000;
/// Most trials in flight in one sweep.
pub const MAX_PARALLELISM: u32 = 65_536;
/// Most changes of the number of trials in flight of one sweep.
pub const MAX_RESIZES: usize = 1_000;
/// Most times that trials can be added to a sweep.
pub const MAX_EXTENSIONS: usize = 1_000;
/// Most parameters that one sweep searches.
pub const MAX_PARAMETERS: usize = 64;
/// Most values of one list of choices.
pub const MAX_CHOICES: usize = 256;
/// Most rounds of one sweep.
pub const MAX_ROUNDS: usize = 64;
/// Most models that one sweep keeps.
pub const MAX_MODELS: u32 = 64;
/// Most folds of a cross-validation.
pub const MAX_FOLDS: u32 = 20;
/// Most trainings of the same assignment on the same fold.
pub const MAX_REPEATS: u32 = 10;
/// Most columns that one network predicts.
pub const MAX_LABELS: usize = 64;
/// Most epochs of one trial.
pub const MAX_EPOCHS: u32 = 100_000;
/// Most hidden layers of one network.
pub const MAX_LAYERS: u32 = 64;
/// Most units of one layer.
pub const MAX_UNITS: u32 = 8_192;
/// Most inputs that an embedding makes of one number.
pub const MAX_EMBEDDING_SIZE: u32 = 64;
/// Most weights of one network. With gradients and two moments in f32 they take 4 GiB.
pub const MAX_WEIGHTS: u64 = 1 << 28;
/// Largest weight of a row, and of a class.
pub const MAX_ROW_WEIGHT: u32 = 1_000_000_000;
/// Most examples in one mini-batch.
pub const MAX_BATCH_SIZE: u32 = 1_048_576;
/// Longest name of a sweep or worker and longest request id, in characters.
pub const MAX_NAME_CHARS: usize = 64;
/// Longest text of any other kind that a peer sends, in characters.
pub const MAX_TEXT_CHARS: usize = 4_096;
/// Most columns that one list of a sweep file names.
pub const MAX_COLUMN_NAMES: usize = 10_000;
/// Most notes about the data of a sweep.
pub const MAX_DATA_NOTES: usize = 200;
/// Most columns that one note names.
pub const MAX_NOTE_COLUMNS: usize = 20;
/// Largest sweep file, in bytes.
pub const MAX_SWEEP_FILE_BYTES: u64 = 1 << 20;
/// Most slots of one worker.
pub const MAX_SLOTS: u32 = 4_096;
/// Most trials that one worker keeps parked. Each keeps a thread and its memory.
pub const MAX_PARKED: u32 = 64;
/// Most epochs in one report.
pub const MAX_POINTS_PER_REPORT: usize = 1_024;
/// Most sweeps or trials in one page of a listing.
pub const MAX_PAGE: usize = 1_000;
/// Most results of an earlier sweep that a warm start uses.
pub const MAX_EARLIER_RESULTS: usize = 1_000;
/// Most sweeps in one store.
pub const MAX_SWEEPS: usize = 10_000;
/// Most workers connected at once.
pub const MAX_WORKERS: usize = 100_000;
/// Most metrics in one report of an external client.
pub const MAX_METRICS: usize = 64;
/// Most values of metrics that one trial of an external sweep stores over all its epochs, so that
/// they fit into one message. Each report may use an equal part.
pub const MAX_VALUES: u64 = 400_000;
/// Most trials in one reply to an external client.
pub const MAX_TRIALS_PER_ASK: u32 = 1_000;
/// Shortest lease of an external client, in milliseconds: one second.
pub const MIN_LEASE_MS: u64 = 1_000;
/// Longest lease of an external client, in milliseconds: seven days.
pub const MAX_LEASE_MS: u64 = 7 * 24 * 3_600_000;
/// Lease of an external client that asks for no other, in milliseconds: ten minutes.
pub const DEFAULT_LEASE_MS: u64 = 600_000;
/// Longest time that a request for trials waits for one, in milliseconds.
pub const MAX_WAIT_MS: u64 = 60_000;
/// How many replies to requests for trials a sweep keeps, the latest ones. A repeated request gets
/// the same reply.
pub const MAX_ASK_REPLIES: usize = 1_024;
/// Largest blob, in bytes. The largest data set that is read fits.
pub const MAX_BLOB_BYTES: u64 = 1 << 33;
/// Bytes of a chunk of a blob. Each chunk is checked before it is stored.
pub const CHUNK_BYTES: u64 = 1 << 20;
/// Most blobs that one request asks for.
pub const MAX_BLOBS_PER_REQUEST: usize = 1_024;
/// Most uploads of blobs at once; more are refused, to be tried again.
pub const MAX_PUTS: usize = 16;
/// Most downloads of blobs at once; more wait for their turn.
pub const MAX_GETS: usize = 32;
/// Bytes of the inputs of all splits up to which they are in memory.
pub const MAX_INPUT_BYTES_IN_MEMORY: usize = 256 << 20;
/// Most numbers of a row for which the preset of tables searches an embedding.
pub const MAX_EMBEDDED_BY_DEFAULT: u32 = 256;
