//! A queue of log lines in front of a writer that may be slow, stuck or closed.
//!
//! ```text
//! any thread --Queue::push--> queue of at most MAX_QUEUED_BYTES --"log" thread--> standard error
//!                  |
//!                  +-- full: the line is counted as lost, and nothing waits
//! ```

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

/// Bytes of lines that may wait to be written. A pipe holds 64 KiB; this is enough for a reader
/// that pauses for some seconds at the log level `debug`.
const MAX_QUEUED_BYTES: usize = 1 << 20;

enum Message {
    Line(Vec<u8>),
    /// Answered once everything before it is written.
    Flush(Sender<()>),
}

#[derive(Debug, Default)]
struct Counters {
    queued_bytes: AtomicUsize,
    lost_lines: AtomicU64,
}

/// The end of the queue that lines are pushed into. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    sender: Sender<Message>,
    counters: Arc<Counters>,
}

impl Queue {
    /// Starts the thread that writes to `out`. It reports lost lines with `on_lost` once there is
    /// room again.
    pub(crate) fn start(out: Box<dyn Write + Send>, on_lost: fn(u64)) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let counters = Arc::new(Counters::default());
        let shared = Arc::clone(&counters);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_all(out, &receiver, &shared, on_lost))?;
        Ok(Self { sender, counters })
    }

    /// Queues a line, or counts it as lost if the queue is full.
    pub(crate) fn push(&self, line: &[u8]) {
        let queued = self.counters.queued_bytes.load(Ordering::Relaxed);
        if queued.saturating_add(line.len()) > MAX_QUEUED_BYTES {
            self.counters.lost_lines.fetch_add(1, Ordering::Relaxed);
        } else {
            self.push_always(line);
        }
    }

    /// Queues a line even if the queue is full.
    pub(crate) fn push_always(&self, line: &[u8]) {
        self.counters.queued_bytes.fetch_add(line.len(), Ordering::Relaxed);
        // The thread ends only with the last sender.
        let _sent = self.sender.send(Message::Line(line.to_vec()));
    }

    /// Waits until everything that was queued before is written, or until the timeout.
    pub(crate) fn flush(&self, timeout: Duration) {
        let (done, written) = mpsc::channel();
        if self.sender.send(Message::Flush(done)).is_ok() {
            let _either_way = written.recv_timeout(timeout);
        }
    }
}

fn write_all(
    mut out: Box<dyn Write + Send>,
    messages: &Receiver<Message>,
    counters: &Counters,
    on_lost: fn(u64),
) {
    let report_lost = || {
        let lost = counters.lost_lines.swap(0, Ordering::Relaxed);
        if lost > 0 {
            on_lost(lost);
        }
    };
    let mut write = |line: &[u8]| {
        // A closed pipe stays closed, and then every line is lost. The program continues.
        let _written = out.write_all(line).and_then(|()| out.flush());
        counters.queued_bytes.fetch_sub(line.len(), Ordering::Relaxed)
    };
    for message in messages {
        match message {
            Message::Line(line) => {
                if write(&line) <= MAX_QUEUED_BYTES / 2 {
                    report_lost();
                }
            }
            Message::Flush(done) => {
                // The report is behind this message, so what is queued by now is written first.
                report_lost();
                for message in messages.try_iter() {
                    if let Message::Line(line) = message {
                        write(&line);
                    }
                }
                let _gone = done.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};
    use std::sync::Mutex;
    use std::sync::atomic::AtomicU64;
    use std::time::Instant;

    use super::*;

    /// A writer that keeps what it is given.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_written_in_order_before_a_flush_ends() {
        let kept = Kept::default();
        let queue = Queue::start(Box::new(kept.clone()), |_| ()).unwrap();
        (0..100).for_each(|i| queue.push(format!("{i}\n").as_bytes()));
        queue.flush(Duration::from_secs(10));
        let expected: String = (0..100).map(|i| format!("{i}\n")).collect();
        assert_eq!(*kept.0.lock().unwrap(), expected.as_bytes());
    }

    #[test]
    fn a_stuck_writer_delays_nothing_and_lost_lines_are_counted() {
        static LOST: AtomicU64 = AtomicU64::new(0);
        let (mut reader, writer) = io::pipe().unwrap();
        let queue = Queue::start(Box::new(writer), |lost| {
            LOST.fetch_add(lost, Ordering::Relaxed);
        });
        let queue = queue.unwrap();
        let line = [b'x'; 1 << 10];
        let began = Instant::now();
        // Four times what the pipe and the queue hold.
        let lines = 4 * MAX_QUEUED_BYTES / line.len();
        (0..lines).for_each(|_| queue.push(&line));
        queue.flush(Duration::from_millis(100));
        assert!(began.elapsed() < Duration::from_secs(5), "pushing waited for the writer");
        assert_eq!(LOST.load(Ordering::Relaxed), 0, "reported only once there is room");

        let reading = thread::spawn(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).unwrap();
            bytes.len()
        });
        queue.flush(Duration::from_secs(10));
        drop(queue);
        let written = reading.join().unwrap() / line.len();
        let lost = usize::try_from(LOST.load(Ordering::Relaxed)).unwrap();
        assert_eq!(written + lost, lines);
        assert!(lost > lines / 2, "{lost} of {lines}");
    }

    #[test]
    fn a_closed_reader_ends_nothing() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let queue = Queue::start(Box::new(writer), |_| ()).unwrap();
        queue.push(b"a\n");
        queue.flush(Duration::from_secs(10));
        queue.push(b"b\n");
        queue.flush(Duration::from_secs(10));
        assert_eq!(queue.counters.queued_bytes.load(Ordering::Relaxed), 0, "the thread is alive");
    }
}
