//! What a sweep stores of its data: sizes, the baseline and notes.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashSet};
use std::hash::Hasher;
use std::ops::Range;

use caviar_common::data::{Baseline, DataNote, DataSpec, DataSummary, NoteLevel};
use caviar_common::limits::MAX_DATA_NOTES;
use caviar_common::metric::Score;
use caviar_common::numbers::{index, real, to_u32, to_u64};

use crate::dataset::Dataset;
use crate::draw::Rows;
use crate::encode::Encoder;
use crate::error::{DataError, shown};
use crate::examples::{Targets, pick};
use crate::inputs::Inputs;
use crate::split::Outputs;
use crate::table::warning;

/// A class with fewer rows than this is reported: a split has so few of them that a score says
/// little about the class.
const FEW_ROWS: usize = 10;
/// Most classes that a note names.
const NAMED: usize = 5;
/// The share of the rows of both splits that are copies of training rows before it is reported, and
/// their number.
const MANY_COPIES: f64 = 0.02;
const FEWEST_COPIES: usize = 3;
/// Rows whose hashes are computed together.
const HASHED_AT_ONCE: usize = 1 << 16;

impl Dataset {
    /// The sizes, the digest, the baseline and the notes that a sweep stores, for this data split
    /// as `spec` says. It draws the splits, but copies nothing.
    ///
    /// # Errors
    /// Those of [`split`](crate::split()).
    pub fn summary(&self, spec: &DataSpec, sweep_seed: u64) -> Result<DataSummary, DataError> {
        let rows = Rows::draw(self, spec, sweep_seed)?;
        let encoder = Encoder::fit(self.inputs(), self.roles(), &rows.train)?;
        let mut notes = self.notes().to_vec();
        notes.extend(self.rare_classes());
        notes.extend(self.copies(&rows));
        notes.extend(self.unseen_classes(&rows));
        notes.sort_by_key(|note| note.level == NoteLevel::Info);
        notes.truncate(MAX_DATA_NOTES);
        Ok(DataSummary {
            train: to_u64(rows.train.len()),
            validation: to_u64(rows.validation.len()),
            test: to_u64(rows.test.len()),
            features: to_u32(encoder.width()),
            outputs: self.outputs(),
            digest: self.digest().to_owned(),
            block: None,
            task: Some(self.task()),
            baseline: Some(self.baseline(&rows)),
            notes,
        })
    }

    /// The scores of the best prediction that does not depend on the inputs.
    fn baseline(&self, rows: &Rows) -> Baseline {
        let prediction = match self.targets() {
            Targets::Classes(classes) => {
                let mut counts = vec![0_usize; self.classes().len()];
                for class in pick(classes, &rows.train) {
                    if let Some(count) = counts.get_mut(index(class)) {
                        *count += 1;
                    }
                }
                Prediction::Shares { counts, total: real(rows.train.len()) }
            }
            Targets::Values(_) => Prediction::Mean(Outputs::fit(self.targets(), &rows.train)),
        };
        let score = |rows: &[usize]| prediction.score(self.targets(), rows);
        Baseline {
            validation: score(&rows.validation),
            test: (!rows.test.is_empty()).then(|| score(&rows.test)),
        }
    }

    /// A warning about the classes with few rows.
    fn rare_classes(&self) -> Option<DataNote> {
        let Targets::Classes(rows) = self.targets() else { return None };
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        for class in rows {
            *counts.entry(*class).or_default() += 1;
        }
        let rare: Vec<String> = counts
            .into_iter()
            .filter(|(_, count)| *count < FEW_ROWS)
            .filter_map(|(class, count)| {
                let name = self.classes().get(index(class))?;
                Some(format!("{:?} ({count})", shown(name)))
            })
            .collect();
        if rare.is_empty() {
            return None;
        }
        let more = rare.len().saturating_sub(NAMED);
        let named = rare.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let text = format!(
            "classes with fewer than {FEW_ROWS} rows, too few to judge a model by: {named}{more}"
        );
        Some(warning("rare_classes", &[self.label()], text))
    }

    /// A warning about classes that no training row has, as can be with groups, times and files.
    fn unseen_classes(&self, rows: &Rows) -> Option<DataNote> {
        let Targets::Classes(classes) = self.targets() else { return None };
        let seen: HashSet<u32> = pick(classes, &rows.train).into_iter().collect();
        let names = self.classes().iter().zip(0..);
        let unseen: Vec<String> = names
            .filter(|(_, class)| !seen.contains(class))
            .map(|(name, _)| format!("{:?}", shown(name)))
            .collect();
        if unseen.is_empty() {
            return None;
        }
        let text = format!(
            "no row of the training split has these classes, so none is ever predicted: {}",
            unseen.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ")
        );
        Some(warning("unseen_classes", &[self.label()], text))
    }

    /// A warning about rows of the validation or test split that are equal to a training row in all
    /// inputs and the label.
    fn copies(&self, rows: &Rows) -> Option<DataNote> {
        let hashes = self.row_hashes();
        // A sorted list is smaller than a set.
        let mut known = pick(&hashes, &rows.train);
        known.sort_unstable();
        let is_known =
            |row: &&usize| hashes.get(**row).is_some_and(|hash| known.binary_search(hash).is_ok());
        let copies = |rows: &[usize]| rows.iter().filter(is_known).count();
        let (validation, test) = (copies(&rows.validation), copies(&rows.test));
        let all = rows.validation.len() + rows.test.len();
        let copies = validation + test;
        if real(copies) < MANY_COPIES * real(all) || copies < FEWEST_COPIES {
            return None;
        }
        let text = format!(
            "{validation} of {} validation rows and {test} of {} test rows are equal to a training \
             row, with its label: scores on them say little about new rows",
            rows.validation.len(),
            rows.test.len()
        );
        Some(warning("duplicate_rows", &[], text))
    }

    /// A hash of the inputs and the target of each row.
    fn row_hashes(&self) -> Vec<u64> {
        let rows = self.targets().len();
        let mut hashes = Vec::with_capacity(rows);
        // The state of a hash is much larger than the hash.
        for first in (0..rows).step_by(HASHED_AT_ONCE) {
            self.hash_rows(first..rows.min(first + HASHED_AT_ONCE), &mut hashes);
        }
        hashes
    }

    fn hash_rows(&self, rows: Range<usize>, hashes: &mut Vec<u64>) {
        let mut hashers = vec![DefaultHasher::new(); rows.len()];
        match self.inputs() {
            Inputs::Columns(columns) => {
                for column in columns {
                    for (hasher, row) in hashers.iter_mut().zip(rows.clone()) {
                        let value = column.cells.get(row);
                        hasher.write_u64(if value.is_nan() { u64::MAX } else { value.to_bits() });
                    }
                }
            }
            Inputs::Pixels(pixels) => {
                for (hasher, row) in hashers.iter_mut().zip(rows.clone()) {
                    hasher.write(pixels.row(row));
                }
            }
        }
        match self.targets() {
            Targets::Classes(classes) => {
                let classes = classes.get(rows).unwrap_or_default();
                let pairs = hashers.iter_mut().zip(classes);
                pairs.for_each(|(hasher, class)| hasher.write_u32(*class));
            }
            Targets::Values(values) => {
                let pairs = hashers.iter_mut().zip(values.get(rows).unwrap_or_default());
                pairs.for_each(|(hasher, value)| hasher.write_u64(value.to_bits()));
            }
        }
        hashes.extend(hashers.iter().map(Hasher::finish));
    }
}

/// A prediction that does not depend on the inputs.
enum Prediction {
    /// The shares of the classes in the training split: rows of each class, and of all.
    Shares { counts: Vec<usize>, total: f64 },
    /// The mean of the training split.
    Mean(Outputs),
}

impl Prediction {
    fn score(&self, targets: &Targets<f64>, rows: &[usize]) -> Score {
        match (self, targets) {
            (Self::Shares { counts, total }, Targets::Classes(classes)) => {
                of_shares(counts, *total, &pick(classes, rows))
            }
            (Self::Mean(outputs), targets) => of_mean(&outputs.of(targets, rows)),
            // Shares are predicted of classes only.
            (Self::Shares { .. }, Targets::Values(_)) => Score { loss: 0.0, accuracy: None },
        }
    }
}

/// The score of predicting the shares of the classes in the training split. A class without a row
/// there counts as half a row, so that the loss is finite.
fn of_shares(counts: &[usize], total: f64, classes: &[u32]) -> Score {
    let most = counts.iter().copied().max().unwrap_or_default();
    let best = counts.iter().position(|&count| count == most);
    let count_of = |class: u32| counts.get(index(class)).copied().unwrap_or_default();
    let loss: f64 =
        classes.iter().map(|&class| -libm::log(real(count_of(class)).max(0.5) / total)).sum();
    let hits = classes.iter().filter(|&&class| Some(index(class)) == best).count();
    let rows = real(classes.len());
    Score { loss: loss / rows, accuracy: Some(real(hits) / rows) }
}

/// The score of predicting the mean of the training split, which is standardised to 0.
fn of_mean(targets: &Targets) -> Score {
    let Targets::Values(values) = targets else { return Score { loss: 0.0, accuracy: None } };
    let squares: f64 = values.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
    Score { loss: squares / real(values.len()), accuracy: None }
}
