//! What a fuzz target does with a file, which `tests/corpus.rs` repeats for the kept files.

use std::fs;
use std::path::Path;

use caviar_common::data::{DataSpec, SplitSpec};
use caviar_data::{
    MemoryBudget, ReadOptions, RowBatch, Schema, SchemaReader, inspect, load, split_within,
};

/// A format, and what its files are called.
pub(crate) struct Reader {
    /// The name of the fuzz target and of the folder of its files.
    pub(crate) name: &'static str,
    source: &'static str,
    label: Option<&'static str>,
    /// The file of the labels; the content begins with its length in two bytes, and its bytes.
    labels: Option<&'static str>,
}

/// A small part of every table in memory, so that the files of large ones are tried too.
const SMALL: MemoryBudget = MemoryBudget { table_bytes: 256, inputs_bytes: 256, window_bytes: 64 };

const fn table(name: &'static str, source: &'static str) -> Reader {
    Reader { name, source, label: Some("k"), labels: None }
}

/// All readers. Text has every compression, which its first bytes tell.
pub(crate) const READERS: [Reader; 7] = [
    table("text", "data.csv"),
    table("npz", "data.npz"),
    Reader { label: None, ..table("libsvm", "data.svm") },
    Reader { label: None, labels: Some("labels.npy"), ..table("npy", "data.npy") },
    Reader { label: None, labels: Some("labels.idx"), ..table("idx", "data.idx") },
    table("parquet", "data.parquet"),
    table("arrow", "data.arrow"),
];

/// The reader of a name.
pub(crate) fn reader(name: &str) -> &'static Reader {
    READERS.iter().find(|reader| reader.name == name).expect("a name of a reader")
}

impl Reader {
    /// Reads the content as a file in `folder`: as data, and then as rows for a model of that data.
    /// Every error must name the file or a field.
    pub(crate) fn exercise(&self, folder: &Path, content: &[u8]) {
        let path = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();
        let source = path(self.source);
        let (labels, content) = match self.labels {
            Some(_) => cut(content),
            None => (&[][..], content),
        };
        fs::write(&source, content).expect("a file in the folder");
        if let Some(name) = self.labels {
            fs::write(path(name), labels).expect("a file in the folder");
        }
        let spec = DataSpec {
            source: source.clone(),
            label: self.label.map(str::to_owned),
            labels: self.labels.map(path),
            validation: 0.3,
            test: 0.2,
            split: SplitSpec::default(),
            ..DataSpec::default()
        };
        let data = match load(&spec) {
            Ok(data) => data,
            Err(error) => {
                assert!(error.field().starts_with("data."), "{error}");
                let text = error.to_string();
                assert!(text.contains(folder.to_str().expect("UTF-8")), "{text}");
                assert!(text.chars().count() < 3000, "{text}");
                return;
            }
        };
        // Images are not inspected, and small data cannot be split.
        let _ = inspect(&spec);
        let Ok(splits) = split_within(&data, &spec, 1, SMALL) else { return };
        let again = split_within(&data, &spec, 1, MemoryBudget::DEFAULT).expect("splits");
        assert_eq!(splits.validation, again.validation);
        let Some(schema) = &splits.schema else { return };
        read(schema, &source, &ReadOptions { labels: self.labels.map(path), ..labelled() });
    }
}

/// Reads the rows of a file for a model.
fn read(schema: &Schema, source: &str, options: &ReadOptions) {
    let Ok(mut reader) = SchemaReader::open(schema, source, options) else { return };
    let mut batch = RowBatch::default();
    while reader.read(&mut batch, 3).is_ok_and(|rows| rows > 0) {
        assert!(batch.features().iter().all(|input| input.is_finite()));
    }
}

fn labelled() -> ReadOptions {
    ReadOptions { needs_label: true, ..ReadOptions::default() }
}

/// The file of the labels, which comes first, and the rest.
fn cut(content: &[u8]) -> (&[u8], &[u8]) {
    let Some((length, rest)) = content.split_first_chunk() else { return (content, &[]) };
    let length = usize::from(u16::from_le_bytes(*length));
    rest.split_at(length.min(rest.len()))
}
