//! What an error of the data is about, and what a caller can do about it.

use std::io;

use caviar_common::error::ErrorClass;

use crate::error::DataError;
use crate::fields::{CLASS_WEIGHTS, FOLDS, LABEL, LABELS, SOURCE, TIME, VALIDATION, WEIGHT};
use crate::file_error::FileError;

impl DataError {
    /// The same error for a file that another field of the sweep file names.
    pub(crate) fn of_field(mut self, other: &'static str) -> Self {
        if let Self::Open { field, .. } | Self::Read { field, .. } | Self::Empty { field, .. } =
            &mut self
        {
            *field = other;
        }
        if let Self::File(error) = &mut self
            && let FileError::Content { field, .. } | FileError::Value { field, .. } =
                error.as_mut()
            && *field == SOURCE
        {
            *field = other;
        }
        self
    }

    /// What a caller can do about it. Usually that is to fix the file or the sweep.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        if let Self::Open { source, .. } = self
            && source.kind() == io::ErrorKind::NotFound
        {
            ErrorClass::NotFound
        } else if matches!(self, Self::Open { .. } | Self::Read { .. }) || self.is_of_scratch() {
            ErrorClass::Unavailable
        } else {
            ErrorClass::Invalid
        }
    }

    /// Whether a temporary file failed, which is not the fault of the data.
    fn is_of_scratch(&self) -> bool {
        matches!(self, Self::File(error) if matches!(**error, FileError::Scratch { .. }))
    }

    /// The field of the sweep file to change: `data.source`, `data.label`, `data.labels`,
    /// `data.validation` or `data.test`.
    pub fn field(&self) -> &'static str {
        match self {
            Self::UnknownBuiltin { .. }
            | Self::UnknownFormat { .. }
            | Self::TooLarge { .. }
            | Self::TooFewRows { .. }
            | Self::NotText { .. }
            | Self::NoInputs { .. }
            | Self::ManyInputs { .. }
            | Self::NoFeatures { .. }
            | Self::NameTwice { .. }
            | Self::Ragged { .. }
            | Self::OpenQuote { .. }
            | Self::BrokenCell { .. }
            | Self::LongRow { .. } => SOURCE,
            Self::LabelNotGiven { .. } | Self::NoSuchColumn { .. } | Self::NoScale { .. } => LABEL,
            Self::LabelsNotGiven { .. } | Self::CountMismatch { .. } => LABELS,
            Self::SharesTooLarge { .. } | Self::SmallTraining { .. } => VALIDATION,
            Self::NoTime { .. } | Self::UnorderedTime { .. } => TIME,
            Self::ManyFolds { .. } | Self::LargeFolds { .. } => FOLDS,
            Self::Weight { .. } => WEIGHT,
            Self::UnknownClass { .. } => CLASS_WEIGHTS,
            Self::OneTime { field, .. }
            | Self::FewGroups { field, .. }
            | Self::NoWeight { field, .. }
            | Self::OtherColumns { field, .. }
            | Self::Superfluous { field, .. }
            | Self::UnknownColumn { field, .. }
            | Self::NoHeader { field, .. }
            | Self::NothingToSpare { field, .. }
            | Self::Open { field, .. }
            | Self::Read { field, .. }
            | Self::Empty { field, .. }
            | Self::Magic { field, .. }
            | Self::Truncated { field, .. }
            | Self::Trailing { field, .. }
            | Self::OneLabel { field, .. }
            | Self::LabelToo { field, .. }
            | Self::ManyClasses { field, .. }
            | Self::Share { field, .. }
            | Self::EmptySplit { field, .. } => field,
            Self::Cell { cell, .. } => cell.field,
            Self::File(error) => error.field(),
            Self::Schema(error) => error.field(),
        }
    }
}
