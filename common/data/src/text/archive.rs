//! Finds the file in a zip archive and decompresses it.
//!
//! The crate `zip` reads the directory of the archive. Its reader of a file borrows the archive,
//! so it could not be returned from [`Entry::open`]. The file is decompressed here instead, from
//! the place, the sizes and the checksum that the directory states.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use caviar_common::numbers::{to_u64, to_usize};
use flate2::Crc;
use flate2::bufread::DeflateDecoder;
use zip::CompressionMethod;
use zip::ZipArchive;
use zip::read::ZipFile;

use crate::error::shown;

use super::failure::TextError;
use super::signature::SAVE_AS_CSV;

/// A file on disk or in the program. Only an archive needs [`Seek`].
pub(super) trait Input: Read + Seek {}

impl<T: Read + Seek> Input for T {}

/// How much of an archive is read to find its files, in bytes. This is room for the directory of
/// about 200 000 files, and bounds the memory that a directory can take.
const MAX_DIRECTORY_BYTES: u64 = 1 << 24;
/// Most files that an error lists.
const LISTED_FILES: usize = 10;

/// The methods that other programs use, with their names for the user.
const OTHER_METHODS: [(CompressionMethod, &str); 6] = [
    (CompressionMethod::DEFLATE64, "Deflate64"),
    (CompressionMethod::BZIP2, "bzip2"),
    (CompressionMethod::LZMA, "LZMA"),
    (CompressionMethod::ZSTD, "Zstandard"),
    (CompressionMethod::XZ, "XZ"),
    (CompressionMethod::PPMD, "PPMd"),
];

/// The only file of an archive, as the directory of the archive describes it.
#[derive(Debug)]
pub(super) struct Entry {
    name: String,
    /// The offset of the compressed data in the archive.
    start: u64,
    method: Method,
    compressed_bytes: u64,
    content_bytes: u64,
    crc: u32,
}

#[derive(Clone, Copy, Debug)]
enum Method {
    Stored,
    Deflated,
}

/// Finds the only file of the archive. Folders, and the files that macOS adds, do not count.
///
/// # Errors
/// The directory cannot be read, it does not list exactly one file, the file is encrypted or
/// compressed with an unusual method, or the archive is a document of an office program.
pub(super) fn find(input: &mut dyn Input, path: &str) -> Result<Entry, TextError> {
    let mut input = Rationed { input, left: MAX_DIRECTORY_BYTES };
    let mut archive = match ZipArchive::new(&mut input) {
        Ok(archive) => archive,
        Err(error) => return Err(unreadable(&mut input, path, error.into())),
    };
    let index = only_file(&archive, path)?;
    let entry = match archive.by_index_raw(index) {
        Ok(file) => Ok(Entry::from_directory(&file)),
        Err(error) => Err(io::Error::from(error)),
    };
    entry
        .map_err(|source| unreadable(&mut input, path, source))?
        .map_err(|what| TextError::archive(path, what))
}

/// The error of an archive whose directory cannot be read. A file that is cut off has none.
fn unreadable(input: &mut Rationed<'_>, path: &str, source: io::Error) -> TextError {
    if input.left == 0 {
        let what = "the directory of the zip archive is too long: unpack the file";
        return TextError::archive(path, what.to_owned());
    }
    let length = input.seek(SeekFrom::End(0)).unwrap_or(0);
    let text = format!("the directory of the zip archive is missing or damaged: {source}");
    TextError::read(path, length, io::Error::new(source.kind(), text))
}

/// The index of the only file in the directory of the archive.
fn only_file<R: Read + Seek>(archive: &ZipArchive<R>, path: &str) -> Result<usize, TextError> {
    if archive.file_names_raw().any(|name| name == b"[Content_Types].xml") {
        let what = "it is an Excel workbook or another Office document";
        return Err(TextError::not_text(path, what.to_owned(), SAVE_AS_CSV));
    }
    let mut files = archive.file_names_raw().enumerate().filter(|(_, name)| is_content(name));
    let Some((index, first)) = files.next() else {
        let what = "the zip archive has no file: expected one";
        return Err(TextError::archive(path, what.to_owned()));
    };
    let quoted = |name: &[u8]| format!("{:?}", shown(&String::from_utf8_lossy(name)));
    let mut names = vec![quoted(first)];
    names.extend(files.by_ref().take(LISTED_FILES - 1).map(|(_, name)| quoted(name)));
    let more = files.count();
    if names.len() > 1 {
        let count = names.len().saturating_add(more);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let names = names.join(", ");
        let what = format!(
            "the zip archive has {count} files: expected one; unpack the file that you need; the \
             files are {names}{more}"
        );
        return Err(TextError::archive(path, what));
    }
    if archive.has_duplicate_names() {
        let what = format!("the zip archive has several files with the name {}", names.join(", "));
        return Err(TextError::archive(path, format!("{what}: expected one; unpack the file")));
    }
    Ok(index)
}

/// False for folders and for the files that macOS adds to an archive.
fn is_content(name: &[u8]) -> bool {
    let last = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    !name.starts_with(b"__MACOSX/") && !last.is_empty() && last != b".DS_Store"
}

impl Entry {
    /// Checks that the file can be decompressed. An error is what is wrong, for the user.
    fn from_directory<R: Read>(file: &ZipFile<'_, R>) -> Result<Self, String> {
        let name = shown(&String::from_utf8_lossy(file.name_raw()));
        if file.encrypted() {
            return Err(format!("{name:?} in the zip archive is encrypted: unpack the file"));
        }
        let used = file.compression();
        let method = if used == CompressionMethod::STORE {
            Method::Stored
        } else if used == CompressionMethod::DEFLATE {
            Method::Deflated
        } else {
            let known = OTHER_METHODS.iter().find(|(method, _)| *method == used);
            let used = known.map_or("an unusual method", |(_, name)| *name);
            return Err(format!(
                "{name:?} in the zip archive is compressed with {used}: expected Deflate; unpack \
                 the file"
            ));
        };
        let Some(start) = file.data_start() else {
            return Err(format!("the zip archive does not say where {name:?} starts"));
        };
        let (compressed_bytes, content_bytes) = (file.compressed_size(), file.size());
        Ok(Self { name, start, method, compressed_bytes, content_bytes, crc: file.crc32() })
    }

    /// The name of the file in the archive, at most 40 characters of it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The decompressed file. Reading fails at its end if its size or its checksum is wrong.
    pub(super) fn open(&self, mut input: BufReader<Box<dyn Input>>) -> io::Result<Box<dyn Read>> {
        input.seek(SeekFrom::Start(self.start))?;
        let input = input.take(self.compressed_bytes);
        Ok(match self.method {
            Method::Stored => Box::new(self.checked(input)),
            Method::Deflated => Box::new(self.checked(DeflateDecoder::new(input))),
        })
    }

    fn checked<R: Read>(&self, input: R) -> Checked<R> {
        let (crc, content_bytes) = (self.crc, self.content_bytes);
        Checked { input, content_bytes, crc, seen_bytes: 0, seen: Crc::new() }
    }
}

/// Compares what it reads with the size and the checksum in the directory. This also finds data
/// that is cut off, for which [`DeflateDecoder`] does not report an error.
struct Checked<R> {
    input: R,
    content_bytes: u64,
    crc: u32,
    seen_bytes: u64,
    seen: Crc,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.input.read(buffer)?;
        self.seen.update(buffer.get(..got).unwrap_or_default());
        self.seen_bytes = self.seen_bytes.saturating_add(to_u64(got));
        if got == 0 && !buffer.is_empty() && self.seen_bytes < self.content_bytes {
            let text = format!(
                "the data in the zip archive ends after {} bytes: expected {}",
                self.seen_bytes, self.content_bytes
            );
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        // Not only at the end: the content of a damaged archive could be endless.
        if self.seen_bytes > self.content_bytes {
            let text = format!(
                "the data in the zip archive is longer than the {} bytes that its directory states",
                self.content_bytes
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        if got == 0 && !buffer.is_empty() && self.seen.sum() != self.crc {
            let text = "the data in the zip archive is damaged: its checksum is wrong";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(got)
    }
}

/// A reader with an allowance of bytes, which counts every byte that is read, also again.
struct Rationed<'a> {
    input: &'a mut dyn Input,
    left: u64,
}

impl Read for Rationed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let size = buffer.len().min(to_usize(self.left));
        let got = self.input.read(buffer.get_mut(..size).unwrap_or_default())?;
        self.left = self.left.saturating_sub(to_u64(got));
        Ok(got)
    }
}

impl Seek for Rationed<'_> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.input.seek(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::text::tests::{error_of, zip_of, zip_with};

    #[test]
    fn a_zip_file_with_a_wrong_checksum_or_size_is_a_read_error() {
        let whole = zip_with(CompressionMethod::Stored, &[("a.csv", b"a,b\n1,2\n")]);
        let at = whole.windows(3).position(|window| window == b"1,2").unwrap();
        let mut wrong = whole.clone();
        wrong[at] = b'3';
        assert_eq!(
            error_of(wrong),
            "table: cannot be read after byte 8: the data in the zip archive is damaged: its \
             checksum is wrong"
        );
        let directory = whole.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
        for (size, expected) in [
            (9, "ends after 8 bytes: expected 9"),
            (7, "is longer than the 7 bytes that its directory states"),
        ] {
            let mut wrong = whole.clone();
            wrong[directory + 24] = size;
            let error = error_of(wrong);
            assert!(error.ends_with(expected), "{error}");
        }
    }

    #[test]
    fn a_zip_archive_must_have_one_file() {
        let two = zip_of(&[("a.csv", b"a"), ("b.csv", b"b")]);
        assert_eq!(
            error_of(two),
            "table: the zip archive has 2 files: expected one; unpack the file that you need; the \
             files are \"a.csv\", \"b.csv\""
        );
        let names: Vec<String> = (0..12).map(|i| format!("{i}.csv")).collect();
        let files: Vec<(&str, &[u8])> =
            names.iter().map(|name| (name.as_str(), &b"a"[..])).collect();
        let error = error_of(zip_of(&files));
        assert!(
            error.contains("has 12 files") && error.ends_with("\"9.csv\" and 2 more"),
            "{error}"
        );
        for none in [zip_of(&[]), zip_of(&[("data/", b""), ("__MACOSX/x", b"x")])] {
            assert_eq!(error_of(none), "table: the zip archive has no file: expected one");
        }
        // The second name becomes that of the first.
        let mut twins = zip_of(&[("a.csv", b"a"), ("b.csv", b"b")]);
        for at in 0..twins.len() - 5 {
            if &twins[at..at + 5] == b"b.csv" {
                twins[at] = b'a';
            }
        }
        let error = error_of(twins);
        assert!(error.contains("several files with the name \"a.csv\""), "{error}");
        let workbook = zip_of(&[("[Content_Types].xml", b"<x/>"), ("xl/workbook.xml", b"<x/>")]);
        assert_eq!(
            error_of(workbook),
            "table: it is an Excel workbook or another Office document: save it as CSV"
        );
    }

    #[test]
    fn an_encrypted_zip_file_or_one_of_another_method_is_refused() {
        let whole = zip_of(&[("a.csv", b"a")]);
        let directory = whole.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
        let mut encrypted = whole.clone();
        encrypted[6] |= 1;
        encrypted[directory + 8] |= 1;
        assert_eq!(
            error_of(encrypted),
            "table: \"a.csv\" in the zip archive is encrypted: unpack the file"
        );
        for (number, method) in [(14, "LZMA"), (77, "an unusual method")] {
            let mut other = whole.clone();
            other[8] = number;
            other[directory + 10] = number;
            let error = error_of(other);
            assert!(
                error.ends_with(&format!(
                    "is compressed with {method}: expected Deflate; unpack the \
                                          file"
                )),
                "{error}"
            );
        }
    }

    #[test]
    fn a_long_zip_directory_is_refused() {
        // Names of 65 000 bytes, because the directory may have 16 MiB.
        let names: Vec<String> = (0..260).map(|i| format!("{i:065000}")).collect();
        let files: Vec<(&str, &[u8])> =
            names.iter().map(|name| (name.as_str(), &b""[..])).collect();
        assert_eq!(
            error_of(zip_with(CompressionMethod::Stored, &files)),
            "table: the directory of the zip archive is too long: unpack the file"
        );
    }
}
