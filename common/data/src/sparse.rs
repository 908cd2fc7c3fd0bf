//! Data in LIBSVM files: each index becomes a column, with its zeros.

use std::io::BufReader;

use caviar_common::data::DataSpec;

use crate::error::{DataError, LABEL, SOURCE};
use crate::file_error::FileError;
use crate::format::Format;
use crate::given::Given;
use crate::libsvm::{self, Columns, LibsvmError, Sparse};
use crate::limits::MAX_VALUES;
use crate::stored::{Builder, Kind, Place, Stored, is_left_out, read_label};
use crate::table::{Table, info};
use crate::text::TextSource;

/// What the labels are called, which no feature is.
pub(crate) const LABEL_NAME: &str = "label";

/// Most columns that have no value in any row. A wrong index would make a column of every index
/// below it.
const MAX_UNUSED: usize = 1 << 16;

/// Reads a file whose lines have a label and the values that are not zero.
pub(crate) fn read(spec: &DataSpec) -> Result<Table, DataError> {
    let path = spec.source.as_str();
    let mut remarks = Vec::new();
    let mut given = Given::of(spec, Format::Sparse)?;
    let files = given.read(|file| {
        let source = TextSource::detect(file.path)?;
        if file.field == SOURCE {
            remarks = source.remarks();
        }
        let sparse = rows(&source, file.path)?;
        let rows = sparse.labels.len();
        Ok((sparse, rows))
    })?;
    let mut sparse = Sparse::chain(files);
    if sparse.rows.len().saturating_mul(sparse.width) > MAX_VALUES {
        return Err(DataError::TooLarge { path: path.to_owned() });
    }
    let unused = sparse.unused();
    if unused > MAX_UNUSED {
        let (used, highest) =
            (sparse.width - unused, sparse.width - usize::from(sparse.is_zero_based));
        let what = format!(
            "{path}: has the index {highest}, but only {used} different ones: expected at most \
             {MAX_UNUSED} without a value below the highest; number the features without gaps"
        );
        return Err(FileError::Content { field: SOURCE, what }.into());
    }
    let names = names(&sparse);
    let labels = Texts(std::mem::take(&mut sparse.labels));
    let place = Place { field: LABEL, path, column: LABEL_NAME };
    let label = read_label(&labels, place, spec.task).map_err(|error| given.locate(error))?;
    drop(labels);
    let mut builder = Builder::new(spec, names.clone(), &[], label, given)?;
    for remark in remarks {
        builder.note(info("file", &[], format!("the file is {remark}")));
    }
    if sparse.is_zero_based {
        let text = "the indices begin at 0, so the first column is feature0".to_owned();
        builder.note(info("zero_based", &[], text));
    }
    let columns = sparse.into_columns();
    for (index, name) in names.iter().enumerate() {
        if is_left_out(spec, name, None) {
            builder.skip(name);
        } else {
            builder.add(name, &SparseColumn { columns: &columns, index })?;
        }
    }
    Ok(builder.finish())
}

/// The names of the label and of the columns.
pub(crate) fn column_names(spec: &DataSpec) -> Result<Vec<String>, DataError> {
    let sparse = rows(&TextSource::detect(&spec.source)?, &spec.source)?;
    let mut all = vec![LABEL_NAME.to_owned()];
    all.extend(names(&sparse));
    Ok(all)
}

pub(crate) fn rows(source: &TextSource, path: &str) -> Result<Sparse, DataError> {
    let input = BufReader::with_capacity(1 << 16, source.open()?);
    libsvm::read(input, path).map_err(|error| {
        if let LibsvmError::Read { path, at, source } = error {
            return DataError::Read { field: SOURCE, path, at, source };
        }
        FileError::Content { field: SOURCE, what: error.to_string() }.into()
    })
}

/// The columns are called by their index in the file.
fn names(sparse: &Sparse) -> Vec<String> {
    let first = usize::from(!sparse.is_zero_based);
    (0..sparse.width).map(|index| format!("feature{}", index + first)).collect()
}

/// The labels as they are written.
pub(crate) struct Texts(pub(crate) Vec<String>);

impl Stored for Texts {
    fn kind(&self) -> Kind {
        Kind::Spelling
    }

    fn numbers(&self, visit: &mut dyn FnMut(f64)) {
        self.0.iter().for_each(|_| visit(f64::NAN));
    }

    fn texts(&self, visit: &mut dyn FnMut(Option<&str>)) {
        self.0.iter().for_each(|text| visit(Some(text)));
    }
}

/// A column with its zeros. All are zero in one that the file does not have.
pub(crate) struct SparseColumn<'a> {
    pub(crate) columns: &'a Columns,
    pub(crate) index: usize,
}

impl Stored for SparseColumn<'_> {
    fn kind(&self) -> Kind {
        Kind::Number
    }

    fn numbers(&self, visit: &mut dyn FnMut(f64)) {
        self.columns.get(self.index).for_each(visit);
    }

    fn texts(&self, visit: &mut dyn FnMut(Option<&str>)) {
        self.columns.get(self.index).for_each(|value| visit(Some(&value.to_string())));
    }
}
