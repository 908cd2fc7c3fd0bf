//! Which trials are admitted, and when. A trial that is already stopped does not wait, so admitting
//! one tells whether a trial of its size fits now.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use caviar_common::data::{DataSpec, Task};

use super::*;

static RUNNING: Flags = Flags::new(false);
static STOPPED: Flags = Flags::new(true);
const MIB: u64 = 1 << 20;
/// A test that waits for longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The bundled digits data set, split with `seed`.
struct Digits {
    spec: DataSpec,
    seed: u64,
    digest: String,
}

impl Digits {
    fn new(seed: u64) -> Self {
        let source = "builtin:digits".to_owned();
        let spec = DataSpec {
            source,
            task: Some(Task::Classification),
            validation: 0.2,
            test: 0.1,
            ..DataSpec::default()
        };
        let digest = caviar_data::prepare(&spec, seed).unwrap().1.digest;
        Self { spec, seed, digest }
    }

    fn key(&self) -> DataKey<'_> {
        DataKey { data: &self.spec, seed: self.seed, digest: &self.digest, block: None }
    }

    fn bytes(&self) -> u64 {
        data_bytes(&caviar_data::prepare(&self.spec, self.seed).unwrap().0)
    }
}

/// The memory of a worker that has `for_trials` bytes in addition to one data set.
fn memory(for_trials: u64, digits: &Digits) -> Memory {
    Memory::new(Some(MemoryLimit(ByteSize(for_trials + digits.bytes()))), None)
}

fn admit<'a>(
    memory: &'a Memory,
    lease: u64,
    flags: &Flags,
    digits: &Digits,
    bytes: u64,
) -> Option<Admission<'a>> {
    memory.admit(LeaseId(lease), flags, digits.key(), |_| bytes).unwrap()
}

/// Whether a trial of this size would be admitted now.
fn fits(memory: &Memory, digits: &Digits, bytes: u64) -> bool {
    admit(memory, 99, &STOPPED, digits, bytes).is_some()
}

/// What happens to a trial that arrives in a thread of its own: its lease, and one of the texts
/// below.
type News = mpsc::Sender<(u64, &'static str)>;
const WAITS: &str = "waits for memory, and sleeps or holds the ledger's lock";
const ADMITTED: &str = "was admitted";
const STOPS: &str = "stops";

struct Arrival {
    flags: Arc<Flags>,
    thread: thread::JoinHandle<()>,
}

impl Arrival {
    fn join(self) -> thread::Result<()> {
        self.thread.join()
    }
}

/// A trial that needs `bytes` in addition to the data of seed 7, and ends when it is admitted.
fn arrive(memory: &Arc<Memory>, lease: u64, bytes: u64, news: &News) -> Arrival {
    let (memory, news, flags) = (Arc::clone(memory), news.clone(), Arc::<Flags>::default());
    let of_thread = Arc::clone(&flags);
    let log = Log { lease, news: news.clone() };
    let thread = thread::spawn(move || {
        let logs = tracing_subscriber::fmt().with_writer(move || log.clone()).finish();
        let admission = tracing::subscriber::with_default(logs, || {
            admit(&memory, lease, &of_thread, &Digits::new(7), bytes)
        });
        news.send((lease, if admission.is_some() { ADMITTED } else { STOPS })).unwrap();
    });
    Arrival { flags, thread }
}

/// Notices that a trial waits: the trial logs it just before it sleeps, while it holds the ledger.
#[derive(Clone)]
struct Log {
    lease: u64,
    news: News,
}

impl std::io::Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        assert!(String::from_utf8_lossy(line).contains("trial waits for memory that others use"));
        self.news.send((self.lease, WAITS)).unwrap();
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn sizes_are_parsed_in_the_forms_that_people_write() {
    let bytes = |text: &str| text.parse::<MemoryLimit>().map(|limit| limit.0.as_u64());
    for (text, expected) in [
        ("4GiB", 4 << 30),
        ("512MiB", 512 << 20),
        ("512 mib", 512 << 20),
        ("2G", 2_000_000_000),
        ("2GB", 2_000_000_000),
        ("1.5GiB", 3 << 29),
        ("1048576", MIB),
    ] {
        assert_eq!(bytes(text), Ok(expected), "{text}");
    }
    for text in ["abc", "", "GiB", "4 elephants", "4Gib/s", "1.5.2GiB", "inf", "nan"] {
        let error = bytes(text).unwrap_err();
        assert_eq!(
            error.to_string(),
            "expected a number and its unit, such as 4GiB, 512MiB or 2GB",
            "{text}"
        );
    }
    let error = bytes("5").unwrap_err().to_string();
    assert_eq!(
        error,
        "5 B is too small for any trial: expected at least 1MiB, with the unit, such as 4GiB, \
         512MiB or 2GB"
    );
    assert!(bytes("1048575").is_err() && bytes("0GiB").is_err());
}

#[test]
fn trials_share_the_memory_that_the_data_leaves_and_return_it_when_they_end() {
    let digits = Digits::new(7);
    let memory = memory(10 * MIB, &digits);
    let first = admit(&memory, 1, &RUNNING, &digits, 4 * MIB).unwrap();
    let second = admit(&memory, 2, &RUNNING, &digits, 4 * MIB).unwrap();
    assert!(Arc::ptr_eq(&first.data(), &second.data()), "the data is shared");
    assert!(fits(&memory, &digits, 2 * MIB) && !fits(&memory, &digits, 2 * MIB + 1));
    drop(second);
    assert!(fits(&memory, &digits, 6 * MIB) && !fits(&memory, &digits, 6 * MIB + 1));
    drop(first);
    assert!(fits(&memory, &digits, 10 * MIB));
}

#[test]
fn a_trial_that_can_never_fit_is_refused_at_once_with_the_limit_that_would_suffice() {
    let digits = Digits::new(7);
    let memory = memory(4 * MIB, &digits);
    let _admission = admit(&memory, 1, &RUNNING, &digits, 4 * MIB).unwrap();
    let refused = memory.admit(LeaseId(2), &RUNNING, digits.key(), |_| 4 * MIB + 1).unwrap_err();
    let (limit, enough) = (ByteSize(4 * MIB + digits.bytes()), 4 * MIB + digits.bytes() + 1);
    let data = ByteSize(digits.bytes());
    assert_eq!(
        refused.to_string(),
        format!(
            "it needs 4.0 MiB in addition to {data} of data, but --memory is {limit}: \
             use --memory {enough}, or a smaller batch_size, units or layers"
        )
    );
    assert!(enough.to_string().parse::<MemoryLimit>().is_ok());
    let endless = memory.admit(LeaseId(2), &RUNNING, digits.key(), |_| u64::MAX).unwrap_err();
    assert!(matches!(endless, AdmissionError::TooLarge { .. }));
}

#[test]
fn without_a_limit_every_trial_is_admitted_at_once() {
    let digits = Digits::new(7);
    let memory = Memory::new(None, None);
    let _permit = memory.wait_for_permit(LeaseId(1), &STOPPED).unwrap();
    let admissions: Vec<_> = (2..6)
        .map(|lease| admit(&memory, lease, &STOPPED, &digits, u64::MAX / 2).unwrap())
        .collect();
    assert_eq!(admissions.len(), 4);
}

#[test]
fn other_data_counts_while_it_is_used_and_is_dropped_when_it_is_not() {
    let (digits, others) = (Digits::new(7), Digits::new(8));
    let memory = memory(4 * MIB + others.bytes(), &digits);
    let admission = admit(&memory, 1, &RUNNING, &digits, MIB).unwrap();
    let other = admit(&memory, 2, &RUNNING, &others, MIB).unwrap();
    assert!(fits(&memory, &digits, 2 * MIB) && !fits(&memory, &digits, 2 * MIB + 1));
    drop(other);
    assert!(fits(&memory, &digits, 3 * MIB));
    assert_eq!(
        memory.data.bytes(),
        digits.bytes() + others.bytes(),
        "it stays while there is memory for it"
    );
    assert!(fits(&memory, &digits, 3 * MIB + others.bytes()));
    assert_eq!(memory.data.bytes(), digits.bytes());
    drop(admission);
}

#[test]
fn a_waiting_trial_is_admitted_when_others_end_and_later_trials_do_not_overtake_it() {
    let digits = Digits::new(7);
    let memory = Arc::new(memory(4 * MIB, &digits));
    let running = admit(&memory, 1, &RUNNING, &digits, MIB).unwrap();
    let (say, heard) = mpsc::channel();
    let large = arrive(&memory, 2, 4 * MIB, &say);
    assert_eq!(heard.recv_timeout(PATIENCE), Ok((2, WAITS)));
    assert!(!fits(&memory, &digits, MIB), "it would fit, but another trial came first");
    assert!(heard.try_recv().is_err(), "there is no memory for it yet");
    drop(running);
    assert_eq!(heard.recv_timeout(PATIENCE), Ok((2, ADMITTED)));
    large.join().unwrap();
    assert!(fits(&memory, &digits, 4 * MIB));
}

#[test]
fn a_waiting_trial_can_be_stopped_and_lets_the_next_one_in() {
    let digits = Digits::new(7);
    let memory = Arc::new(memory(4 * MIB, &digits));
    let _running = admit(&memory, 1, &RUNNING, &digits, MIB).unwrap();
    let (say, heard) = mpsc::channel();
    let first = arrive(&memory, 2, 4 * MIB, &say);
    assert_eq!(heard.recv_timeout(PATIENCE), Ok((2, WAITS)));
    let [second, _third] =
        [(3, 4 * MIB), (4, 2 * MIB)].map(|(lease, bytes)| arrive(&memory, lease, bytes, &say));
    // A trial in the queue sleeps or holds the ledger's lock.
    while memory.lock().queue.len() < 3 {
        assert!(heard.try_recv().is_err(), "trials are admitted one at a time");
        thread::yield_now();
    }
    let stop = |arrival: &Arrival| {
        arrival.flags.stopped().store(true, Ordering::Relaxed);
        memory.wake();
    };
    stop(&second);
    assert_eq!(heard.recv_timeout(PATIENCE), Ok((3, STOPS)));
    stop(&first);
    // The next trial may be admitted before the first has reported that it stopped.
    let mut both = [heard.recv_timeout(PATIENCE).unwrap(), heard.recv_timeout(PATIENCE).unwrap()];
    both.sort_unstable();
    assert_eq!(both, [(2, STOPS), (4, ADMITTED)]);
}

#[test]
fn a_refused_trial_does_not_block_the_next_one() {
    let (digits, others) = (Digits::new(7), Digits::new(8));
    // There is memory for only one of the two data sets.
    let memory = memory(4 * MIB, &digits);
    let refused = memory.admit(LeaseId(1), &RUNNING, others.key(), |_| 5 * MIB);
    assert!(matches!(refused, Err(AdmissionError::TooLarge { .. })));
    let unread = DataKey { digest: "0123", ..digits.key() };
    assert!(matches!(
        memory.admit(LeaseId(2), &RUNNING, unread, |_| MIB),
        Err(AdmissionError::Data(_))
    ));
    assert!(fits(&memory, &digits, 4 * MIB));
}
