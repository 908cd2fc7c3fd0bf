//! Who is let in, and when. A trial that is stopped already does not wait: it shows whether there
//! is room now.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use caviar_common::data::{DataSpec, Task};

use super::*;

static GO: AtomicBool = AtomicBool::new(false);
static STOPPED: AtomicBool = AtomicBool::new(true);
const MIB: u64 = 1 << 20;
/// A test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The bundled digits, split by some seed.
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
            label: None,
            labels: None,
            task: Task::Classification,
            validation: 0.2,
            test: 0.1,
        };
        let digest = caviar_data::prepare(&spec, seed).unwrap().1.digest;
        Self { spec, seed, digest }
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted { data: &self.spec, seed: self.seed, digest: &self.digest }
    }

    fn bytes(&self) -> u64 {
        data_bytes(&caviar_data::prepare(&self.spec, self.seed).unwrap().0)
    }
}

/// The memory of a worker that has so much for its trials beside one data set.
fn memory(for_trials: u64, digits: &Digits) -> Memory {
    Memory::new(Some(MemoryLimit(ByteSize(for_trials + digits.bytes()))))
}

fn enter<'a>(
    memory: &'a Memory,
    lease: u64,
    stopped: &AtomicBool,
    digits: &Digits,
    bytes: u64,
) -> Option<Place<'a>> {
    memory.enter(LeaseId(lease), stopped, digits.wanted(), |_| bytes).unwrap()
}

/// Whether a trial would be let in now.
fn fits(memory: &Memory, digits: &Digits, bytes: u64) -> bool {
    enter(memory, 99, &STOPPED, digits, bytes).is_some()
}

/// What becomes of a trial that comes in a thread of its own.
type News = mpsc::Sender<(u64, &'static str)>;
const WAITS: &str = "waits for room, and sleeps or has the book";
const IS_IN: &str = "is in";
const STOPS: &str = "stops";

struct Comer {
    stopped: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Comer {
    fn join(self) -> thread::Result<()> {
        self.thread.join()
    }
}

/// A trial that wants so many bytes beside the data of seed 7, and leaves as soon as it is in.
fn comes(memory: &Arc<Memory>, lease: u64, bytes: u64, news: &News) -> Comer {
    let (memory, news, stopped) = (Arc::clone(memory), news.clone(), Arc::<AtomicBool>::default());
    let flag = Arc::clone(&stopped);
    let log = Log { lease, news: news.clone() };
    let thread = thread::spawn(move || {
        let logs = tracing_subscriber::fmt().with_writer(move || log.clone()).finish();
        let place = tracing::subscriber::with_default(logs, || {
            enter(&memory, lease, &flag, &Digits::new(7), bytes)
        });
        news.send((lease, if place.is_some() { IS_IN } else { STOPS })).unwrap();
    });
    Comer { stopped, thread }
}

/// Hears that a trial waits: what is logged is logged with the book in hand, just before the sleep.
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
fn sizes_are_read_as_people_write_them() {
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
            "write a number and its unit, such as 4GiB, 512MiB or 2GB",
            "{text}"
        );
    }
    let error = bytes("5").unwrap_err().to_string();
    assert_eq!(
        error,
        "5 B hold no trial: write at least 1MiB, with the unit, such as 4GiB, 512MiB or 2GB"
    );
    assert!(bytes("1048575").is_err() && bytes("0GiB").is_err());
}

#[test]
fn trials_share_what_the_data_leaves_and_give_it_back() {
    let digits = Digits::new(7);
    let memory = memory(10 * MIB, &digits);
    let first = enter(&memory, 1, &GO, &digits, 4 * MIB).unwrap();
    let second = enter(&memory, 2, &GO, &digits, 4 * MIB).unwrap();
    assert!(Arc::ptr_eq(&first.data(), &second.data()), "the data is shared");
    assert!(fits(&memory, &digits, 2 * MIB) && !fits(&memory, &digits, 2 * MIB + 1));
    drop(second);
    assert!(fits(&memory, &digits, 6 * MIB) && !fits(&memory, &digits, 6 * MIB + 1));
    drop(first);
    assert!(fits(&memory, &digits, 10 * MIB));
}

#[test]
fn what_does_not_fit_alone_is_refused_at_once_with_what_would_do() {
    let digits = Digits::new(7);
    let memory = memory(4 * MIB, &digits);
    let _place = enter(&memory, 1, &GO, &digits, 4 * MIB).unwrap();
    let refused = memory.enter(LeaseId(2), &GO, digits.wanted(), |_| 4 * MIB + 1).unwrap_err();
    let (limit, enough) = (ByteSize(4 * MIB + digits.bytes()), 4 * MIB + digits.bytes() + 1);
    let data = ByteSize(digits.bytes());
    assert_eq!(
        refused.to_string(),
        format!(
            "it needs 4.0 MiB beside {data} of data, and --memory is {limit}: --memory {enough} would do, or a smaller batch_size, units or layers"
        )
    );
    assert!(enough.to_string().parse::<MemoryLimit>().is_ok());
    let endless = memory.enter(LeaseId(2), &GO, digits.wanted(), |_| u64::MAX).unwrap_err();
    assert!(matches!(endless, Refused::TooLarge { .. }));
}

#[test]
fn without_a_limit_everything_is_let_in_at_once() {
    let digits = Digits::new(7);
    let memory = Memory::new(None);
    let _turn = memory.turn(LeaseId(1), &STOPPED).unwrap();
    let places: Vec<_> = (2..6)
        .map(|lease| enter(&memory, lease, &STOPPED, &digits, u64::MAX / 2).unwrap())
        .collect();
    assert_eq!(places.len(), 4);
}

#[test]
fn other_data_counts_while_it_is_used_and_gives_way_when_it_is_not() {
    let (digits, others) = (Digits::new(7), Digits::new(8));
    let memory = memory(4 * MIB + others.bytes(), &digits);
    let place = enter(&memory, 1, &GO, &digits, MIB).unwrap();
    let other = enter(&memory, 2, &GO, &others, MIB).unwrap();
    assert!(fits(&memory, &digits, 2 * MIB) && !fits(&memory, &digits, 2 * MIB + 1));
    drop(other);
    assert!(fits(&memory, &digits, 3 * MIB));
    assert_eq!(
        memory.data.bytes(),
        digits.bytes() + others.bytes(),
        "it stays as long as there is room"
    );
    assert!(fits(&memory, &digits, 3 * MIB + others.bytes()));
    assert_eq!(memory.data.bytes(), digits.bytes());
    drop(place);
}

#[test]
fn who_waits_is_let_in_when_others_end_and_nobody_passes_it() {
    let digits = Digits::new(7);
    let memory = Arc::new(memory(4 * MIB, &digits));
    let running = enter(&memory, 1, &GO, &digits, MIB).unwrap();
    let (say, heard) = mpsc::channel();
    let large = comes(&memory, 2, 4 * MIB, &say);
    assert_eq!(heard.recv_timeout(PATIENCE), Ok((2, WAITS)));
    assert!(!fits(&memory, &digits, MIB), "it would fit, but another came first");
    assert!(heard.try_recv().is_err(), "there is no room yet");
    drop(running);
    assert_eq!(heard.recv_timeout(PATIENCE), Ok((2, IS_IN)));
    large.join().unwrap();
    assert!(fits(&memory, &digits, 4 * MIB));
}

#[test]
fn who_waits_can_be_stopped_and_lets_the_next_one_in() {
    let digits = Digits::new(7);
    let memory = Arc::new(memory(4 * MIB, &digits));
    let _running = enter(&memory, 1, &GO, &digits, MIB).unwrap();
    let (say, heard) = mpsc::channel();
    let first = comes(&memory, 2, 4 * MIB, &say);
    assert_eq!(heard.recv_timeout(PATIENCE), Ok((2, WAITS)));
    let [second, _third] =
        [(3, 4 * MIB), (4, 2 * MIB)].map(|(lease, bytes)| comes(&memory, lease, bytes, &say));
    // Who is in the queue sleeps, or has the book.
    while memory.book().queue.len() < 3 {
        assert!(heard.try_recv().is_err(), "one after the other");
        thread::yield_now();
    }
    let stop = |comer: &Comer| {
        comer.stopped.store(true, Ordering::Relaxed);
        memory.wake();
    };
    stop(&second);
    assert_eq!(heard.recv_timeout(PATIENCE), Ok((3, STOPS)));
    stop(&first);
    // The next one may be in before the first has said that it stopped.
    let mut both = [heard.recv_timeout(PATIENCE).unwrap(), heard.recv_timeout(PATIENCE).unwrap()];
    both.sort_unstable();
    assert_eq!(both, [(2, STOPS), (4, IS_IN)]);
}

#[test]
fn a_refused_trial_does_not_stand_in_the_way_of_the_next() {
    let (digits, others) = (Digits::new(7), Digits::new(8));
    // Room for one of the two data sets.
    let memory = memory(4 * MIB, &digits);
    let refused = memory.enter(LeaseId(1), &GO, others.wanted(), |_| 5 * MIB);
    assert!(matches!(refused, Err(Refused::TooLarge { .. })));
    let unread = Wanted { digest: "0123", ..digits.wanted() };
    assert!(matches!(memory.enter(LeaseId(2), &GO, unread, |_| MIB), Err(Refused::Data(_))));
    assert!(fits(&memory, &digits, 4 * MIB));
}
