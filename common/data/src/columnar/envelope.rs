//! Checks the sizes that an Arrow file states, before the reader believes them.
//!
//! The reader allocates what the file states. One changed byte can so ask for more memory than any
//! machine has, which would end the process. A file is a row of messages, each with a head (a
//! FlatBuffer) and a body (the buffers of the columns). In Arrow's format for files, a footer says
//! where the messages are.

use std::io::{self, Read, Seek, SeekFrom};

use arrow_ipc::{Message, RecordBatch, root_as_footer, root_as_message};
use caviar_common::numbers::{to_u64, to_usize};

use crate::limits::MAX_VALUES;

/// The bytes before the length of each message since version 0.15 of the format.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// The length of the footer and the last magic number, in bytes.
const TRAILER_BYTES: usize = 10;

/// What a file states, as far as it was checked.
pub(super) struct Envelope<R> {
    reader: R,
    /// The length of the file, in bytes.
    length: u64,
    /// How many bytes the buffers may still have after decompression.
    budget: u64,
}

/// A part of the file, in bytes.
#[derive(Clone, Copy)]
struct Span {
    start: u64,
    length: u64,
}

impl<R: Read + Seek> Envelope<R> {
    /// `budget` is the most memory that the buffers may take, in bytes.
    pub(super) fn new(mut reader: R, budget: usize) -> io::Result<Self> {
        let length = reader.seek(SeekFrom::End(0))?;
        reader.seek(SeekFrom::Start(0))?;
        Ok(Self { reader, length, budget: to_u64(budget) })
    }

    /// Checks all messages that the footer lists.
    pub(super) fn check_file(&mut self) -> Result<(), String> {
        let trailer = to_u64(TRAILER_BYTES);
        let start = self.length.checked_sub(trailer).ok_or("it ends before its footer")?;
        let trailer = self.bytes(Span { start, length: trailer })?;
        let length = little(&trailer, 0).ok_or("its footer has no length")?;
        let span = start.checked_sub(length).map(|start| Span { start, length });
        let footer = self.bytes(span.ok_or("its footer is longer than the file")?)?;
        let footer = root_as_footer(&footer).map_err(|error| error.to_string())?;
        let batches = footer.recordBatches().into_iter().flatten();
        for block in footer.dictionaries().into_iter().flatten().chain(batches) {
            let head = self.span(block.offset(), block.metaDataLength().into())?;
            let body = self.span(sum(head)?, block.bodyLength())?;
            let bytes = self.bytes(head)?;
            let skipped = if bytes.starts_with(&CONTINUATION) { 8 } else { 4 };
            let bytes = bytes.get(skipped..).ok_or("a message ends before its head")?;
            let message = root_as_message(bytes).map_err(|error| error.to_string())?;
            self.check(message, body)?;
        }
        Ok(())
    }

    /// Checks all messages of a stream.
    pub(super) fn check_stream(&mut self) -> Result<(), String> {
        let mut at = 0;
        while at < self.length {
            let prefix = self.bytes(Span { start: at, length: 8.min(self.length - at) })?;
            let is_new = prefix.starts_with(&CONTINUATION);
            let (offset, skipped) = if is_new { (4, 8) } else { (0, 4) };
            let length = little(&prefix, offset).ok_or("a message ends before its length")?;
            if length == 0 {
                break;
            }
            let start = at + skipped;
            if length > self.length.saturating_sub(start) {
                return Err("a message is longer than the file".to_owned());
            }
            let bytes = self.bytes(Span { start, length })?;
            let message = root_as_message(&bytes).map_err(|error| error.to_string())?;
            let body = self.span(signed(start + length)?, message.bodyLength())?;
            self.check(message, body)?;
            at = body.start + body.length;
        }
        Ok(())
    }

    /// Checks the buffers of a message with rows.
    fn check(&mut self, message: Message<'_>, body: Span) -> Result<(), String> {
        let dictionary = message.header_as_dictionary_batch();
        let batch = message.header_as_record_batch();
        match batch.or_else(|| dictionary.and_then(|dictionary| dictionary.data())) {
            Some(batch) => self.check_batch(batch, body),
            None => Ok(()),
        }
    }

    fn check_batch(&mut self, batch: RecordBatch<'_>, body: Span) -> Result<(), String> {
        let nodes = batch.nodes().into_iter().flatten();
        let lengths = nodes.map(|node| node.length()).chain([batch.length()]);
        let most = signed(to_u64(MAX_VALUES))?;
        if lengths.into_iter().any(|length| !(0..=most).contains(&length)) {
            return Err("it states a number of rows that is out of range".to_owned());
        }
        let buffers = batch.buffers().into_iter().flatten();
        let count = buffers.clone().count();
        let counts = batch.variadicBufferCounts().into_iter().flatten();
        for variadic in counts {
            if usize::try_from(variadic).map_or(true, |variadic| variadic > count) {
                return Err("it states a number of buffers that is out of range".to_owned());
            }
        }
        for buffer in buffers {
            let (offset, length) = (unsigned(buffer.offset())?, unsigned(buffer.length())?);
            let end = offset.checked_add(length).filter(|end| *end <= body.length);
            end.ok_or("a column is longer than the file")?;
            if batch.compression().is_some() && length >= 8 {
                let span = Span { start: body.start + offset, length: 8 };
                let stated =
                    self.bytes(span)?.first_chunk().map(|bytes| i64::from_le_bytes(*bytes));
                // -1 marks a buffer that is not compressed.
                let stated = stated.filter(|stated| *stated != -1).unwrap_or_default();
                let left = self.budget.checked_sub(unsigned(stated)?);
                self.budget = left.ok_or("its columns are too large after decompression")?;
            }
        }
        Ok(())
    }

    /// A part of the file, if it lies in the file.
    fn span(&self, start: i64, length: i64) -> Result<Span, String> {
        let (start, length) = (unsigned(start)?, unsigned(length)?);
        let end = start.checked_add(length).filter(|end| *end <= self.length);
        end.map(|_| Span { start, length })
            .ok_or_else(|| "a message is longer than the file".into())
    }

    fn bytes(&mut self, span: Span) -> Result<Vec<u8>, String> {
        let mut bytes = vec![0; to_usize(span.length)];
        self.reader
            .seek(SeekFrom::Start(span.start))
            .and_then(|_| self.reader.read_exact(&mut bytes))
            .map_err(|error| error.to_string())?;
        Ok(bytes)
    }
}

/// The end of a part, as the format states it.
fn sum(span: Span) -> Result<i64, String> {
    signed(span.start + span.length)
}

/// A length of 4 bytes at an offset; `None` if there are fewer bytes, or it is negative.
fn little(bytes: &[u8], offset: usize) -> Option<u64> {
    let length = i32::from_le_bytes(*bytes.get(offset..)?.first_chunk()?);
    u64::try_from(length).ok()
}

fn signed(number: u64) -> Result<i64, String> {
    i64::try_from(number).map_err(|_| "it states a length that is out of range".to_owned())
}

fn unsigned(number: i64) -> Result<u64, String> {
    u64::try_from(number).map_err(|_| "it states a negative length".to_owned())
}
