//! The files of a table whose formats store types: `source`, and those with given splits.

use caviar_common::data::DataSpec;

use crate::cells::Cells;
#[cfg(feature = "arrow")]
use crate::error::shown;
use crate::error::{DataError, SOURCE, TEST_SOURCE, VALIDATION_SOURCE};
use crate::file_error::FileError;
use crate::format::Format;
use crate::table::{GIVEN_POOL, GIVEN_TEST, GIVEN_VALIDATION};

/// The files, whose rows follow each other in the table.
pub(crate) struct Given<'a>(Vec<GivenFile<'a>>);

/// One of the files.
pub(crate) struct GivenFile<'a> {
    pub(crate) path: &'a str,
    /// The field of the sweep file that names it.
    pub(crate) field: &'static str,
    /// The split of its rows.
    part: f64,
    rows: usize,
}

impl<'a> Given<'a> {
    /// The files that a spec names, before the first is read.
    ///
    /// # Errors
    /// A file with a given split has another format than `source`.
    pub(crate) fn of(spec: &'a DataSpec, format: Format) -> Result<Self, DataError> {
        let split = &spec.split;
        let mut files = vec![GivenFile::new(&spec.source, SOURCE, GIVEN_POOL)];
        for (path, field, part) in [
            (&split.validation_source, VALIDATION_SOURCE, GIVEN_VALIDATION),
            (&split.test_source, TEST_SOURCE, GIVEN_TEST),
        ] {
            let Some(path) = path else { continue };
            if Format::of(path) != Some(format) {
                let what = format!("{path}: expected a file of the same format as {}", spec.source);
                return Err(FileError::Content { field, what }.into());
            }
            Format::of_file(path, field)?;
            files.push(GivenFile::new(path, field, part));
        }
        Ok(Self(files))
    }

    /// Reads each file in turn. `read` returns what it has read and the number of rows.
    pub(crate) fn read<T>(
        &mut self,
        mut read: impl FnMut(&GivenFile<'a>) -> Result<(T, usize), DataError>,
    ) -> Result<Vec<T>, DataError> {
        let mut all = Vec::with_capacity(self.0.len());
        for file in &mut self.0 {
            let (content, rows) = read(file).map_err(|error| error.of_field(file.field))?;
            file.rows = rows;
            all.push(content);
        }
        Ok(all)
    }

    /// The split of each row that has a label; `None` if there is one file.
    pub(crate) fn parts(&self, is_labelled: &[bool]) -> Option<Cells> {
        let of_file = |file: &GivenFile<'_>| std::iter::repeat_n(file.part, file.rows);
        let parts = self.0.iter().flat_map(of_file).zip(is_labelled);
        let parts: Vec<f64> =
            parts.filter(|(_, is_labelled)| **is_labelled).map(|(part, _)| part).collect();
        parts.iter().any(|part| *part != GIVEN_POOL).then(|| Cells::pack(&parts))
    }

    /// Names the file that has the row of an error, and counts the row from its start.
    pub(crate) fn locate(&self, mut error: DataError) -> DataError {
        let DataError::File(file_error) = &mut error else { return error };
        let (FileError::Value { path, row, .. } | FileError::NoTime { path, row, .. }) =
            file_error.as_mut()
        else {
            return error;
        };
        for file in &self.0 {
            if *row < file.rows {
                file.path.clone_into(path);
                return error.of_field(file.field);
            }
            *row -= file.rows;
        }
        error
    }
}

impl<'a> GivenFile<'a> {
    const fn new(path: &'a str, field: &'static str, part: f64) -> Self {
        Self { path, field, part, rows: 0 }
    }

    /// The rows that were read last.
    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    /// Checks the columns of this file, names and types, against those of `source`.
    ///
    /// # Errors
    /// The first column that differs.
    #[cfg(feature = "arrow")]
    pub(crate) fn check_columns(
        &self,
        found: &[(String, String)],
        expected: &[(String, String)],
        first: &str,
    ) -> Result<(), DataError> {
        let at = |columns: &[(String, String)], column: usize| -> (String, String) {
            columns.get(column).cloned().unwrap_or_default()
        };
        let differs = |&column: &usize| at(found, column) != at(expected, column);
        let Some(column) = (0..found.len().max(expected.len())).find(differs) else {
            return Ok(());
        };
        let ((name, kind), (expected, expected_kind)) = (at(found, column), at(expected, column));
        let (field, path) = (self.field, self.path.to_owned());
        if name == expected {
            let what = format!(
                "{path}: its column {:?} has the type {kind}: expected {expected_kind}, as in \
                 {first}",
                shown(&name)
            );
            return Err(FileError::Content { field, what }.into());
        }
        Err(DataError::OtherColumns {
            field,
            path,
            first: first.to_owned(),
            column: column + 1,
            found: shown(&name),
            expected: shown(&expected),
        })
    }
}
