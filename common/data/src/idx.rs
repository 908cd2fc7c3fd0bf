//! The reader of IDX files, the format of MNIST: a magic number, one big-endian size for each
//! dimension, then one byte for each value.

use std::io::{ErrorKind, Read};

use caviar_common::data::Task;
use caviar_common::numbers::{index, to_u32, to_u64, to_usize};

use crate::cells::Section;
use crate::dataset::Parts;
use crate::error::{DataError, LABELS, SOURCE};
use crate::examples::Targets;
use crate::inputs::Inputs;
use crate::labels::Labels;
use crate::limits::{MAX_FEATURES, MAX_VALUES};
use crate::pixels::Pixels;
use crate::table::Roles;

/// The magic number of a file of unsigned bytes, without the number of dimensions in its last byte.
const UNSIGNED_BYTES: u32 = 0x0800;

/// An open file, and the path that errors show.
pub(crate) struct Input<'a, R> {
    pub(crate) reader: R,
    pub(crate) path: &'a str,
}

/// Reads images (3 dimensions: image, row, column) and their labels (1 dimension). The inputs are
/// the pixels, row by row.
pub(crate) fn read<R: Read>(
    images: Input<'_, R>,
    labels: Input<'_, R>,
    task: Option<Task>,
) -> Result<Parts, DataError> {
    let (images_path, labels_path) = (images.path, labels.path);
    let mut images = File { input: images, field: SOURCE, read: 0 };
    let mut labels = File { input: labels, field: LABELS, read: 0 };
    let [count, height, width] =
        images.sizes("an IDX file of images (unsigned bytes, 3 dimensions)")?;
    let [label_count] = labels.sizes("an IDX file of labels (unsigned bytes, 1 dimension)")?;

    // Checked before any pixel is stored, so that a header with huge sizes costs no memory.
    let pixels = u64::from(height) * u64::from(width);
    let values = pixels
        .checked_mul(count.into())
        .filter(|&values| to_usize(pixels) <= MAX_FEATURES && to_usize(values) <= MAX_VALUES);
    let Some(values) = values else {
        return Err(DataError::TooLarge { path: images_path.to_owned() });
    };
    if pixels == 0 {
        return Err(DataError::NoFeatures { path: images_path.to_owned() });
    }
    if count != label_count {
        let (path, images_path) = (labels_path.to_owned(), images_path.to_owned());
        return Err(DataError::CountMismatch {
            path,
            labels: label_count.into(),
            images_path,
            images: count.into(),
        });
    }

    let mut bytes = Vec::new();
    images.content(values, |part| bytes.extend_from_slice(part))?;
    let (targets, classes) = labels.targets(label_count, task)?;
    let pixels = Pixels::new(index(height), index(width), Section::Owned(bytes));
    Ok(Parts {
        inputs: Inputs::Pixels(pixels),
        targets,
        classes,
        label: "label".to_owned(),
        label_form: None,
        more_labels: Vec::new(),
        roles: Roles::default(),
        notes: Vec::new(),
    })
}

/// The items of a file, read some at a time.
pub(crate) struct Items<R> {
    reader: R,
    path: String,
    field: &'static str,
    /// Height and width of an image; 1 and 1 for labels.
    size: [usize; 2],
    /// How many bytes were read, and how many the header says that the file has.
    read: u64,
    expected: u64,
}

impl<R: Read> Items<R> {
    /// Reads the header of a file of images.
    pub(crate) fn images(reader: R, path: &str) -> Result<Self, DataError> {
        let input = Input { reader, path };
        let mut file = File { input, field: SOURCE, read: 0 };
        let sizes = file.sizes("an IDX file of images (unsigned bytes, 3 dimensions)")?;
        let [count, height, width] = sizes;
        let pixels = u64::from(height) * u64::from(width);
        if to_usize(pixels) > MAX_FEATURES {
            return Err(DataError::TooLarge { path: path.to_owned() });
        }
        if pixels == 0 {
            return Err(DataError::NoFeatures { path: path.to_owned() });
        }
        Ok(Self::new(file, count, [index(height), index(width)]))
    }

    /// Reads the header of a file of labels.
    pub(crate) fn labels(reader: R, path: &str) -> Result<Self, DataError> {
        let input = Input { reader, path };
        let mut file = File { input, field: LABELS, read: 0 };
        let [count] = file.sizes("an IDX file of labels (unsigned bytes, 1 dimension)")?;
        Ok(Self::new(file, count, [1, 1]))
    }

    fn new(file: File<'_, R>, count: u32, size: [usize; 2]) -> Self {
        let File { input: Input { reader, path }, field, read } = file;
        let bytes = u64::from(count).saturating_mul(to_u64(size.iter().product()));
        let expected = read.saturating_add(bytes);
        Self { reader, path: path.to_owned(), field, size, read, expected }
    }

    /// Height and width of an image.
    pub(crate) const fn size(&self) -> [usize; 2] {
        self.size
    }

    /// The items that were not read.
    pub(crate) fn left(&self) -> u64 {
        (self.expected - self.read) / to_u64(self.size.iter().product()).max(1)
    }

    /// Adds at most `most` items to `bytes`, and returns their number. After the last one, it fails
    /// if more bytes follow.
    pub(crate) fn read(&mut self, most: usize, bytes: &mut Vec<u8>) -> Result<usize, DataError> {
        let count = to_usize(self.left()).min(most);
        let Self { reader, path, field, size, read, expected } = self;
        let mut file = File { input: Input { reader, path }, field, read: *read };
        let end = *read + to_u64(count * size.iter().product::<usize>());
        file.part(end, *expected, |part| bytes.extend_from_slice(part))?;
        *read = file.read;
        if *read == *expected {
            file.end(*expected)?;
        }
        Ok(count)
    }
}

struct File<'a, R> {
    input: Input<'a, R>,
    field: &'static str,
    /// How many bytes were read so far, after decompression.
    read: u64,
}

impl<R: Read> File<'_, R> {
    /// Reads the labels: classes unless the task is regression.
    fn targets(
        &mut self,
        count: u32,
        task: Option<Task>,
    ) -> Result<(Targets<f64>, Vec<String>), DataError> {
        let is_number = task == Some(Task::Regression);
        let mut labels = if is_number { Labels::values(1) } else { Labels::classes() };
        self.content(count.into(), |bytes| {
            for &byte in bytes {
                labels.push_value(byte.into());
                // A byte in decimal is always a valid class.
                let _ = labels.push_class(&byte.to_string());
            }
        })?;
        Ok(labels.finish())
    }

    /// Reads the header, and returns the size of each of `D` dimensions.
    fn sizes<const D: usize>(&mut self, what: &'static str) -> Result<[u32; D], DataError> {
        let Some(found) = self.word()? else { return Err(self.short(4)) };
        let expected = UNSIGNED_BYTES + to_u32(D);
        if found != expected {
            let path = self.input.path.to_owned();
            return Err(DataError::Magic { field: self.field, path, found, expected, what });
        }
        let mut sizes = [0; D];
        for size in &mut sizes {
            let Some(word) = self.word()? else {
                return Err(self.short(4 + 4 * u64::from(expected - UNSIGNED_BYTES)));
            };
            *size = word;
        }
        Ok(sizes)
    }

    /// The next big-endian number; `None` if the file ends before it.
    fn word(&mut self) -> Result<Option<u32>, DataError> {
        let mut word = [0; 4];
        Ok((self.fill(&mut word)? == word.len()).then_some(u32::from_be_bytes(word)))
    }

    /// Passes the `count` bytes after the header to `keep`, in pieces, and fails if more follow.
    fn content(&mut self, count: u64, keep: impl FnMut(&[u8])) -> Result<(), DataError> {
        let expected = self.read + count;
        self.part(expected, expected, keep)?;
        self.end(expected)
    }

    /// Passes the bytes up to the offset `end` to `keep`, in pieces. The header says that the file
    /// has `expected` bytes.
    fn part(
        &mut self,
        end: u64,
        expected: u64,
        mut keep: impl FnMut(&[u8]),
    ) -> Result<(), DataError> {
        let mut buffer = [0; 1 << 14];
        while self.read < end {
            let size = to_usize(end - self.read).min(buffer.len());
            let Some(part) = buffer.get_mut(..size) else { break };
            if self.fill(part)? < size {
                return Err(self.short(expected));
            }
            keep(part);
        }
        Ok(())
    }

    /// Fails if more bytes follow.
    fn end(&mut self, expected: u64) -> Result<(), DataError> {
        match self.fill(&mut [0])? {
            0 => Ok(()),
            _ => Err(DataError::Trailing {
                field: self.field,
                path: self.input.path.to_owned(),
                expected,
            }),
        }
    }

    /// Reads until the buffer is full or the file ends, and returns the number of bytes read.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, DataError> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.input.reader.read(rest) {
                Ok(0) => break,
                Ok(got) => filled += got,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => {
                    let (path, at) = (self.input.path.to_owned(), self.read + to_u64(filled));
                    return Err(DataError::Read { field: self.field, path, at, source });
                }
            }
        }
        self.read += to_u64(filled);
        Ok(filled)
    }

    /// The error for a file that ends too early.
    fn short(&self, expected: u64) -> DataError {
        let (field, path) = (self.field, self.input.path.to_owned());
        match self.read {
            0 => DataError::Empty { field, path },
            found => DataError::Truncated { field, path, found, expected },
        }
    }
}
