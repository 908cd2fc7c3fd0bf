//! Looking through a write-ahead log before SQLite opens it.
//!
//! SQLite ignores all frames after the first one whose checksum is wrong, because a crash of the
//! machine may have torn the last transaction. But only the last one: every commit is synced before
//! the next transaction begins. Frames of later transactions show that the log is damaged, and that
//! ignoring them would lose commits.
//!
//! The format, from <https://sqlite.org/fileformat2.html#walformat>:
//! ```text
//! header: magic, version, page size, number, salt 1, salt 2, checksum (2 words)      32 bytes
//! frame:  page, pages after commit or 0, salt 1, salt 2, checksum (2 words), the page
//! ```
//! The checksum of a frame continues that of the frame before it. Frames with other salts are left
//! from an earlier use of the log.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// Without its last bit, which tells the byte order of checksums.
const MAGIC: u32 = 0x377f_0682;

/// What a log looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Log {
    /// There is no log, or it is empty.
    Missing,
    /// All its transactions can be read, except for one at the end that a crash may have torn.
    Sound,
    /// Transactions after a damaged part would be ignored.
    Damaged(String),
}

/// Looks through the log at `path`.
///
/// # Errors
/// The file cannot be read.
pub(super) fn examine(path: &Path) -> io::Result<Log> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Log::Missing),
        Err(error) => return Err(error),
    };
    let mut file = BufReader::with_capacity(1 << 16, file);
    let mut header = [0; HEADER_BYTES];
    match read_whole(&mut file, &mut header)? {
        0 => return Ok(Log::Missing),
        HEADER_BYTES => {}
        _ => return Ok(Log::Damaged("its header is cut off".to_owned())),
    }
    let Some(reader) = Frames::new(&header) else {
        return Ok(Log::Damaged("its header is damaged".to_owned()));
    };
    reader.examine(&mut file)
}

/// Reads until the buffer is full or the file ends; returns the number of bytes.
fn read_whole(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while let Some(rest) = buffer.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// The frames of a log after its header.
struct Frames {
    is_big_endian: bool,
    page_bytes: usize,
    salts: [u32; 2],
    /// The checksum of the header.
    sum: [u32; 2],
}

/// A frame, as far as its header tells.
struct Frame {
    is_commit: bool,
    /// Its salts are those of the log.
    is_current: bool,
    /// The checksum that it has.
    stored: [u32; 2],
    /// The checksum of its content after the frame before it, as that one has it.
    computed: [u32; 2],
}

impl Frames {
    fn new(header: &[u8; HEADER_BYTES]) -> Option<Self> {
        let word = |place| big_endian(header, place);
        let is_big_endian = word(0) == MAGIC | 1;
        let sum = checksum([0, 0], header.get(..24)?, is_big_endian);
        let page_bytes = usize::try_from(word(8)).ok()?;
        let is_right = word(0) & !1 == MAGIC
            && [word(24), word(28)] == sum
            && page_bytes.is_power_of_two()
            && (512..=65_536).contains(&page_bytes);
        is_right.then_some(Self { is_big_endian, page_bytes, salts: [word(16), word(20)], sum })
    }

    fn frame(&self, bytes: &[u8], before: [u32; 2]) -> Frame {
        let word = |place| big_endian(bytes, place);
        let begin = checksum(before, bytes.get(..8).unwrap_or_default(), self.is_big_endian);
        let page = bytes.get(FRAME_HEADER_BYTES..).unwrap_or_default();
        Frame {
            is_commit: word(4) != 0,
            is_current: [word(8), word(12)] == self.salts,
            stored: [word(16), word(20)],
            computed: checksum(begin, page, self.is_big_endian),
        }
    }

    /// Looks for transactions after the first frame that SQLite would not read.
    fn examine(&self, file: &mut impl Read) -> io::Result<Log> {
        let mut bytes = vec![0; FRAME_HEADER_BYTES + self.page_bytes];
        let (mut before, mut number) = (self.sum, 0_u64);
        // The first frame that is wrong, and whether a commit was found from there on.
        let (mut wrong, mut has_commit) = (None, false);
        while read_whole(file, &mut bytes)? == bytes.len() {
            number += 1;
            let frame = self.frame(&bytes, before);
            let is_right = frame.is_current && frame.computed == frame.stored;
            if wrong.is_none() && !is_right {
                wrong = Some(number);
                has_commit = frame.is_current && frame.is_commit;
            } else if let Some(wrong) = wrong
                && is_right
            {
                if has_commit {
                    return Ok(Log::Damaged(format!(
                        "frame {wrong} is damaged, and a later transaction follows it"
                    )));
                }
                has_commit = frame.is_commit;
            }
            before = frame.stored;
        }
        Ok(Log::Sound)
    }
}

fn big_endian(bytes: &[u8], place: usize) -> u32 {
    let word = bytes.get(place..).and_then(<[u8]>::first_chunk);
    word.map_or(0, |word| u32::from_be_bytes(*word))
}

/// SQLite's checksum over an even number of words, after the checksum `sum`.
fn checksum(sum: [u32; 2], bytes: &[u8], is_big_endian: bool) -> [u32; 2] {
    let word = |word: &[u8; 4]| {
        if is_big_endian { u32::from_be_bytes(*word) } else { u32::from_le_bytes(*word) }
    };
    let (words, _) = bytes.as_chunks::<4>();
    let (pairs, _) = words.as_chunks::<2>();
    let [mut first, mut second] = sum;
    for [a, b] in pairs {
        first = first.wrapping_add(word(a)).wrapping_add(second);
        second = second.wrapping_add(word(b)).wrapping_add(first);
    }
    [first, second]
}
