use std::fs;
use std::io::{Cursor, Write};

use flate2::write::GzEncoder;
use proptest::prelude::*;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::input::Compression;
use super::*;

const COMPRESSIONS: [Compression; 4] =
    [Compression::None, Compression::Gzip, Compression::Zstd, Compression::Zip];
/// Latin-1 has all of its characters. Half of them are ASCII, and UTF-16 needs no surrogates.
pub(super) const TABLE: &str = "größe,température\n1.5,été\n-2e3,\"naïve\"\n";

pub(super) fn source(bytes: impl Into<Vec<u8>>) -> Result<TextSource, TextError> {
    TextSource::from_bytes("table", Box::leak(bytes.into().into_boxed_slice()))
}

/// The text of a source, which is read twice to see that it can be.
fn text_of(source: &TextSource) -> io::Result<String> {
    let mut first = String::new();
    source.open().unwrap().read_to_string(&mut first)?;
    let (mut second, mut reader) = (Vec::new(), source.open().unwrap());
    while reader.by_ref().take(7).read_to_end(&mut second)? > 0 {}
    assert_eq!(first.as_bytes(), second);
    Ok(first)
}

pub(super) fn error_of(bytes: impl Into<Vec<u8>>) -> String {
    source(bytes).unwrap_err().to_string()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn zstd(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

pub(super) fn skippable_frame(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap();
    [&[0x5a, 0x2a, 0x4d, 0x18], length.to_le_bytes().as_slice(), content].concat()
}

pub(super) fn zip_with(method: CompressionMethod, files: &[(&str, &[u8])]) -> Vec<u8> {
    let options = SimpleFileOptions::default().compression_method(method);
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        if name.ends_with('/') {
            archive.add_directory(*name, options).unwrap();
        } else {
            archive.start_file(*name, options).unwrap();
            archive.write_all(content).unwrap();
        }
    }
    archive.finish().unwrap().into_inner()
}

pub(super) fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    zip_with(CompressionMethod::Deflated, files)
}

/// Two members or frames where the format has them, so that both must be read.
fn compress(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    match compression {
        Compression::None => bytes.to_owned(),
        Compression::Gzip => [gzip(first), gzip(second)].concat(),
        Compression::Zstd => {
            [skippable_frame(b"index"), zstd(first), skippable_frame(&[]), zstd(second)].concat()
        }
        Compression::Zip => zip_of(&[
            ("__MACOSX/._data.csv", b"\0\0"),
            ("data/", b""),
            ("data/.DS_Store", b"\0\0"),
            ("data/data.csv", bytes),
        ]),
    }
}

pub(super) fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(character).unwrap()).collect()
}

/// The text in every encoding, with what must be found out about it.
fn encodings(text: &str) -> Vec<(Vec<u8>, Encoding, Vec<String>)> {
    let marked = format!("\u{feff}{text}");
    let invalid_at = text.chars().position(|character| !character.is_ascii()).unwrap();
    let remark = |text: &str| vec![text.to_owned()];
    vec![
        (text.into(), Encoding::Utf8, vec![]),
        (marked.clone().into(), Encoding::Utf8, remark("UTF-8, by its byte order mark")),
        (
            utf16(&marked, u16::to_le_bytes),
            Encoding::Utf16Le,
            remark("UTF-16 (little-endian), by its byte order mark"),
        ),
        (
            utf16(&marked, u16::to_be_bytes),
            Encoding::Utf16Be,
            remark("UTF-16 (big-endian), by its byte order mark"),
        ),
        (
            utf16(text, u16::to_le_bytes),
            Encoding::Utf16Le,
            remark("UTF-16 (little-endian), by its zero bytes"),
        ),
        (
            utf16(text, u16::to_be_bytes),
            Encoding::Utf16Be,
            remark("UTF-16 (big-endian), by its zero bytes"),
        ),
        (
            latin1(text),
            Encoding::Latin1,
            vec![format!("windows-1252 (Latin-1), because byte {invalid_at} is not UTF-8")],
        ),
    ]
}

#[test]
fn every_compression_encoding_and_line_end_gives_the_same_text() {
    for compression in COMPRESSIONS {
        for (end, expected_end) in [("\n", "\n"), ("\r\n", "\r\n"), ("\r", "\n")] {
            let expected = TABLE.replace('\n', expected_end);
            for (bytes, encoding, mut remarks) in encodings(&TABLE.replace('\n', end)) {
                let case = format!("{compression:?}, {encoding:?}, {end:?}");
                let source = source(compress(compression, &bytes)).expect(&case);
                assert_eq!(text_of(&source).expect(&case), expected, "{case}");
                assert_eq!((source.compression(), source.encoding()), (compression, encoding));
                match compression {
                    Compression::None => {}
                    Compression::Gzip => remarks.insert(0, "compressed with gzip".to_owned()),
                    Compression::Zstd => remarks.insert(0, "compressed with zstd".to_owned()),
                    Compression::Zip => remarks
                        .insert(0, "a zip archive with the file \"data/data.csv\"".to_owned()),
                }
                if end == "\r" {
                    remarks.push("lines that end in a carriage return only".to_owned());
                }
                assert_eq!(source.remarks(), remarks, "{case}");
            }
        }
    }
}

#[test]
fn a_file_is_found_by_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.txt");
    let path = path.to_str().unwrap();
    for compression in COMPRESSIONS {
        fs::write(path, compress(compression, TABLE.as_bytes())).unwrap();
        let source = TextSource::detect(path).unwrap();
        assert_eq!((source.compression(), text_of(&source).unwrap()), (compression, TABLE.into()));
    }
    let folder = folder.path().to_str().unwrap();
    let error = TextSource::detect(folder).unwrap_err();
    assert!(matches!(&error, TextError::Open { .. }), "{error}");
    assert!(error.to_string().ends_with("a pipe or a device: expected a regular file"), "{error}");
    let missing = TextSource::detect(&format!("{folder}/missing.csv")).unwrap_err();
    let TextError::Open { path, source } = missing else { panic!("{missing}") };
    assert!(path.ends_with("missing.csv") && source.kind() == io::ErrorKind::NotFound);
}

#[test]
fn a_carriage_return_stays_if_the_file_has_a_line_feed() {
    for text in ["a,b\r1,2\r\"x\ny\"\r", "a\rb\n", "", "a", "a\n"] {
        assert_eq!(text_of(&source(text).unwrap()).unwrap(), text);
    }
}

#[test]
fn stored_zip_files_and_plain_text_without_line_ends_are_read() {
    let bytes = zip_with(CompressionMethod::Stored, &[("a.csv", TABLE.as_bytes())]);
    assert_eq!(text_of(&source(bytes).unwrap()).unwrap(), TABLE);
    let bytes = zip_of(&[("empty.csv", b"")]);
    assert_eq!(text_of(&source(bytes).unwrap()).unwrap(), "");
}

/// Long lines of digits that compress badly, so that the compressed data has several blocks.
pub(super) fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        b'0' + u8::try_from((state >> 33) % 10).unwrap()
    };
    (0..bytes).map(|_| next()).collect()
}

#[test]
fn compressed_data_that_is_cut_off_is_a_read_error_with_its_place() {
    let content = noise(300_000);
    for compression in [Compression::Gzip, Compression::Zstd, Compression::Zip] {
        let whole = match compression {
            Compression::None | Compression::Gzip => gzip(&content),
            Compression::Zstd => zstd(&content),
            Compression::Zip => zip_of(&[("a.csv", &content)]),
        };
        for cut in [5, 9, 15, 40, whole.len() / 2, whole.len() - 5, whole.len() - 1] {
            let error = source(&whole[..cut]).unwrap_err();
            let TextError::Read { at, ref source, .. } = error else { panic!("{cut}: {error}") };
            // The directory is at the end of a zip archive, so the place is the length.
            match compression {
                Compression::Zip => assert_eq!(at, to_u64(cut), "{error}"),
                Compression::None | Compression::Gzip | Compression::Zstd => {
                    assert_eq!(source.kind(), io::ErrorKind::UnexpectedEof, "{cut}: {error}");
                }
            }
            if compression == Compression::Gzip && cut >= whole.len() / 2 {
                assert!(at > 100_000, "{cut}: {error}");
            }
            // The zstd decoder keeps its window back, so only the place in the file is exact.
            if compression == Compression::Zstd {
                let place = format!("at byte {cut} of the file");
                assert!(error.to_string().ends_with(&place), "{cut}: {error}");
            }
        }
    }
}

#[test]
fn binary_files_are_called_by_their_name() {
    for (start, expected) in [
        (&b"PAR1\x15\0\x15"[..], "it is a Parquet file: save it as CSV"),
        (b"ARROW1\0\0", "it is an Arrow or Feather file: save it as CSV"),
        (b"\x93NUMPY\x01\0", "it is a NumPy array: save it as CSV"),
        (b"SQLite format 3\0", "it is an SQLite database: save it as CSV"),
        (b"%PDF-1.7\n", "it is a PDF document: save it as CSV"),
        (b"\x89HDF\r\n\x1a\n", "it is an HDF5 file: save it as CSV"),
        (b"\xff\xfe\0\0a\0\0\0", "it is UTF-32 text: save it as UTF-8"),
        (
            b"BZh91AY&SYabc",
            "it is compressed with bzip2: decompress it, or compress it with gzip, zstd or zip \
             instead",
        ),
        (b"a,b\n1,\0\n", "it is a binary file, not text (byte 6 is zero): save it as CSV"),
        (
            b"\xff\xfea\0\0\0b\0",
            "it is a binary file, not text (a character is zero): save it as CSV",
        ),
    ] {
        for compression in COMPRESSIONS {
            let bytes = match compression {
                Compression::None => start.to_owned(),
                Compression::Gzip => gzip(start),
                Compression::Zstd => zstd(start),
                Compression::Zip => zip_of(&[("a", start)]),
            };
            assert_eq!(error_of(bytes), format!("table: {expected}"), "{compression:?}");
        }
    }
    let error = error_of(gzip(&gzip(TABLE.as_bytes())));
    assert_eq!(error, "table: it is compressed twice: decompress it once and try again");
    // This can be the name of a column.
    assert_eq!(text_of(&source("PAR1,b\n1,2\n").unwrap()).unwrap(), "PAR1,b\n1,2\n");
    // A zero byte far behind the sample.
    let late = [noise(200_001), b"\0\n".to_vec()].concat();
    assert!(error_of(late).contains("(byte 200001 is zero)"));
}

#[test]
fn one_late_byte_that_is_not_utf8_makes_the_file_windows_1252() {
    let mut bytes = noise(200 << 10);
    bytes.extend(b"\x80\xe9\n");
    let source = source(bytes).unwrap();
    assert_eq!(source.encoding(), Encoding::Latin1);
    assert_eq!(
        source.remarks(),
        ["windows-1252 (Latin-1), because byte 204800 is not UTF-8".to_owned()]
    );
    assert!(text_of(&source).unwrap().ends_with("€é\n"));
    // A sequence that is cut off by the end of the file.
    let end = self::source("a,\u{20ac}".as_bytes()[..4].to_vec()).unwrap();
    assert_eq!(text_of(&end).unwrap(), "a,â‚");
    assert_eq!(
        error_of(b"\xef\xbb\xbfa,\xe9\n"),
        "table: it starts with the byte order mark of UTF-8, but byte 5 is not UTF-8: save it as \
         UTF-8"
    );
}

#[test]
fn a_character_can_be_cut_by_the_border_of_a_chunk() {
    for character in ["é", "€", "𝄞"] {
        for before in 65_530..65_540 {
            let text = format!("{}{character},1\n", "x".repeat(before));
            let utf8 = source(text.as_bytes()).unwrap();
            assert_eq!((utf8.encoding(), utf8.remarks()), (Encoding::Utf8, vec![]), "{before}");
            assert_eq!(text_of(&utf8).unwrap(), text);
            // An even number of bytes before the surrogate pair, so half as many characters.
            let text = format!("{}{character},1\n", "x".repeat(before / 2));
            let utf16 = source(utf16(&text, u16::to_le_bytes)).unwrap();
            assert_eq!(utf16.encoding(), Encoding::Utf16Le);
            assert_eq!(text_of(&utf16).unwrap(), text);
        }
    }
}

#[test]
fn utf16_without_a_mark_can_have_a_column_in_another_script() {
    let row = "1.25,17,-3.5,2024-01-01,да\n";
    let text = format!("a,b,c,d,e\n{}", row.repeat(50));
    assert_eq!(text_of(&source(utf16(&text, u16::to_le_bytes)).unwrap()).unwrap(), text);
    // The lower half of these letters is zero.
    let text = format!("{}Ā,Ā\n", "1.25,17\n".repeat(50));
    assert_eq!(text_of(&source(utf16(&text, u16::to_be_bytes)).unwrap()).unwrap(), text);
    // Whole numbers of 32 bits: too many lower halves are zero.
    let error = error_of(b"7\0\0\0".repeat(50));
    assert!(error.contains("is a binary file, not text (byte 1 is zero)"), "{error}");
    // Few zero bytes, on both sides: this is not UTF-16.
    let error = error_of([row.as_bytes(), &[0, 0, 1, 0], row.as_bytes()].concat());
    assert!(error.contains("is a binary file, not text (byte 29 is zero)"), "{error}");
}

#[test]
fn a_file_that_was_damaged_after_it_was_examined_is_a_read_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.csv.gz");
    let bytes = gzip(&noise(200_000));
    fs::write(&path, &bytes).unwrap();
    let source = TextSource::detect(path.to_str().unwrap()).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = text_of(&source).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    fs::remove_file(&path).unwrap();
    assert!(matches!(source.open(), Err(TextError::Open { .. })));
}

proptest! {
    #[test]
    fn arbitrary_bytes_give_utf8_or_an_error(
        start in prop::sample::select(vec![
            &b""[..], b"\x1f\x8b\x08\0", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"\xff\xfe",
            b"\xfe\xff", b"\xef\xbb\xbf", b"\x50\x2a\x4d\x18",
        ]),
        rest in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        never_panics([start, &rest].concat())?;
    }

    #[test]
    fn damaged_files_give_utf8_or_an_error(
        compression in prop::sample::select(COMPRESSIONS.to_vec()),
        encoding in 0_usize..7,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        length in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let (text, _, _) = encodings(&TABLE.repeat(3)).swap_remove(encoding);
        let mut bytes = compress(compression, &text);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if is_cut {
            bytes.truncate(length.index(bytes.len()));
        }
        never_panics(bytes)?;
    }
}

fn never_panics(bytes: Vec<u8>) -> Result<(), TestCaseError> {
    if let Ok(source) = source(bytes) {
        let text = text_of(&source);
        prop_assert!(text.is_ok(), "it was valid when it was examined: {text:?}");
    }
    Ok(())
}

/// The file for [`memory_of_a_bomb`], and the most memory that reading it may take, in KiB. This
/// is far below the content of 64 MiB.
#[cfg(target_os = "linux")]
const BOMB: &str = "CAVIAR_TEST_BOMB";
#[cfg(target_os = "linux")]
const BOMB_KIB: u64 = 8 << 10;

/// In a process for each file, because the peak of the memory includes all tests of a process.
#[test]
#[cfg(target_os = "linux")]
fn large_content_needs_no_more_memory() {
    let mebibyte = vec![b'7'; 1 << 20];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb");
    for compression in COMPRESSIONS {
        let bytes = match compression {
            Compression::None => mebibyte.repeat(64),
            Compression::Gzip => gzip(&mebibyte).repeat(64),
            Compression::Zstd => zstd(&mebibyte).repeat(64),
            Compression::Zip => zip_of(&[("a.csv", &mebibyte.repeat(64))]),
        };
        for end in [&b""[..], b"\xe9"] {
            // Latin-1, where a byte can be added.
            let end = match compression {
                Compression::None => end.to_owned(),
                Compression::Gzip => gzip(end),
                Compression::Zstd => zstd(end),
                Compression::Zip if end.is_empty() => Vec::new(),
                Compression::Zip => continue,
            };
            fs::write(&path, [&bytes[..], &end].concat()).unwrap();
            let output = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["text::tests::memory_of_a_bomb", "--exact", "--ignored", "--nocapture"])
                .env(BOMB, &path)
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(
                output.status.success() && text.contains("1 passed"),
                "{compression:?}: {text}"
            );
        }
    }
}

#[test]
#[ignore = "large_content_needs_no_more_memory runs it in a process of its own"]
#[cfg(target_os = "linux")]
fn memory_of_a_bomb() {
    let path = std::env::var(BOMB).unwrap();
    let peak_kib = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = peak_kib();
    let source = TextSource::detect(&path).unwrap();
    let length = io::copy(&mut source.open().unwrap(), &mut io::sink()).unwrap();
    assert!(length >= 64 << 20);
    let used = peak_kib() - before;
    assert!(used < BOMB_KIB, "{used} KiB");
}
