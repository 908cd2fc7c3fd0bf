//! Files of every format, written byte by byte or by the crates that define them.

use std::io::{Cursor, Write};
use std::path::Path;

use caviar_common::data::DataSpec;
use caviar_data::{DataError, Dataset, load};
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// An array of NumPy: the type as NPY writes it, the shape as Python writes it, and the items.
pub(crate) struct Npy<'a> {
    pub(crate) descr: &'a str,
    pub(crate) shape: &'a str,
    pub(crate) items: Vec<u8>,
}

impl<'a> Npy<'a> {
    pub(crate) fn floats(shape: &'a str, items: &[f64]) -> Self {
        let items = items.iter().flat_map(|item| item.to_le_bytes()).collect();
        Self { descr: "<f8", shape, items }
    }

    pub(crate) fn whole(shape: &'a str, items: &[i64]) -> Self {
        let items = items.iter().flat_map(|item| item.to_le_bytes()).collect();
        Self { descr: "<i8", shape, items }
    }

    pub(crate) fn bytes(shape: &'a str, items: &[u8]) -> Self {
        Self { descr: "|u1", shape, items: items.to_vec() }
    }

    pub(crate) fn bools(shape: &'a str, items: &[bool]) -> Self {
        Self { descr: "|b1", shape, items: items.iter().map(|&item| item.into()).collect() }
    }

    /// Text of at most 24 characters.
    pub(crate) fn texts(shape: &'a str, items: &[&str]) -> Self {
        let padded = |text: &str| -> Vec<u8> {
            let zeros = std::iter::repeat_n('\0', 24 - text.chars().count());
            text.chars().chain(zeros).flat_map(|c| u32::from(c).to_le_bytes()).collect()
        };
        Self { descr: "<U24", shape, items: items.iter().flat_map(|text| padded(text)).collect() }
    }

    pub(crate) fn file(&self) -> Vec<u8> {
        let Self { descr, shape, items } = self;
        let header =
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(items);
        bytes
    }
}

/// A zip archive.
pub(crate) fn zip(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        archive.start_file(*name, SimpleFileOptions::default()).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// An archive of arrays.
pub(crate) fn npz(arrays: &[(&str, Npy<'_>)]) -> Vec<u8> {
    let names: Vec<String> = arrays.iter().map(|(name, _)| format!("{name}.npy")).collect();
    let files: Vec<(&str, Vec<u8>)> =
        names.iter().map(String::as_str).zip(arrays.iter().map(|(_, npy)| npy.file())).collect();
    zip(&files)
}

/// A folder with files.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn with(files: &[(&str, Vec<u8>)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, content) in files {
            std::fs::write(folder.0.path().join(name), content).unwrap();
        }
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A spec of the files with these names.
    pub(crate) fn spec(&self, source: &str, label: Option<&str>, labels: Option<&str>) -> DataSpec {
        let path = |name: &str| self.0.path().join(name).to_str().unwrap().to_owned();
        DataSpec {
            source: path(source),
            label: label.map(str::to_owned),
            labels: labels.map(path),
            validation: 0.25,
            ..DataSpec::default()
        }
    }

    pub(crate) fn load(
        &self,
        source: &str,
        label: Option<&str>,
        labels: Option<&str>,
    ) -> Result<Dataset, DataError> {
        load(&self.spec(source, label, labels))
    }

    /// The field and the text of an error, without the path of the folder.
    pub(crate) fn error(&self, spec: &DataSpec) -> (&'static str, String) {
        let error = load(spec).unwrap_err();
        (error.field(), error.to_string().replace(&format!("{}/", self.path().display()), ""))
    }
}
