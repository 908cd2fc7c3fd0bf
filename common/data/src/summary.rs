//! What a sweep stores of its data: sizes, the baseline and notes.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashSet};
use std::hash::Hasher;
use std::ops::Range;

use caviar_common::data::{
    Baseline, DataNote, DataSpec, DataSummary, NoteLevel, ONE_CLASS, ONE_VALUE,
};
use caviar_common::limits::MAX_DATA_NOTES;
use caviar_common::measure::Measure;
use caviar_common::metric::{Measured, Score};
use caviar_common::numbers::{index, real, single, to_u32, to_u64};
use caviar_metrics::Predictions;

use crate::dataset::Dataset;
use crate::draw::Rows;
use crate::encode::Encoder;
use crate::error::{DataError, shown};
use crate::examples::{Targets, pick, pick_rows};
use crate::inputs::Inputs;
use crate::split::Outputs;
use crate::table::warning;
use crate::weights::Weights;

/// The value of all, if all are equal.
fn only<T: PartialEq>(mut values: impl Iterator<Item = T>) -> Option<T> {
    let first = values.next()?;
    values.all(|value| value == first).then_some(first)
}

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

/// Most probabilities of the baseline that are made to measure it. A measure of more is left out.
const MOST_PROBABILITIES: usize = 1 << 24;

impl Dataset {
    /// The sizes, the digest, the baseline and the notes that a sweep stores, for this data split
    /// as `spec` says. It draws the splits, but copies nothing.
    ///
    /// # Errors
    /// Those of [`split`](crate::split()).
    pub fn summary(&self, spec: &DataSpec, sweep_seed: u64) -> Result<DataSummary, DataError> {
        self.summary_with(spec, sweep_seed, None)
    }

    /// The same with the measure that is the objective, if there is one, which the baseline has too
    /// then.
    ///
    /// # Errors
    /// Those of [`split`](crate::split()).
    pub fn summary_with(
        &self,
        spec: &DataSpec,
        sweep_seed: u64,
        measure: Option<Measure>,
    ) -> Result<DataSummary, DataError> {
        let rows = Rows::draw(self, spec, sweep_seed)?;
        let encoder = Encoder::fit(self.inputs(), self.roles(), &rows.train)?;
        let categories = encoder.categories();
        let weights = Weights::new(self, spec, &rows)?;
        // The scale of regression is that of all folds.
        let outputs = Outputs::fit(self, &rows.train)?;
        let mut notes = self.notes().to_vec();
        notes.extend(self.rare_classes());
        notes.extend(self.copies(&rows));
        notes.extend(self.unseen_classes(&rows));
        notes.extend(self.equal_labels(&rows, &weights));
        notes.sort_by_key(|note| note.level == NoteLevel::Info);
        notes.truncate(MAX_DATA_NOTES);
        let validated = rows.validation.len() + rows.folds.iter().map(Vec::len).sum::<usize>();
        Ok(DataSummary {
            train: to_u64(rows.train.len()),
            validation: to_u64(validated),
            test: to_u64(rows.test.len()),
            features: to_u32(encoder.width()),
            numbers: to_u32(encoder.numbers().len()),
            pixels: matches!(self.inputs(), Inputs::Pixels(_)),
            categories: to_u32(categories.len()),
            category_values: categories.iter().map(|it| to_u64(it.values)).sum(),
            outputs: self.outputs(),
            folds: to_u32(rows.folds.len()).max(1),
            digest: self.digest().to_owned(),
            block: None,
            task: Some(self.task()),
            label_deviation: outputs.only_deviation(),
            baseline: Some(self.baseline(&rows, &outputs, &weights, measure)),
            notes,
        })
    }

    /// The scores of the best prediction that does not depend on the inputs; for a cross-validation
    /// the mean over the folds. A row counts with its weight, without that of its class.
    fn baseline(
        &self,
        rows: &Rows,
        outputs: &Outputs,
        weights: &Weights<'_>,
        measure: Option<Measure>,
    ) -> Baseline {
        let score = |train: &[usize], judged: &[usize]| {
            let is_part = train.len() < rows.train.len();
            let prediction = self.constant(train, outputs, is_part, weights);
            let score = prediction.score(self.targets(), judged, weights);
            let measured = |measure| {
                let predictions = prediction.of_rows(self.targets(), judged, weights)?;
                let value = predictions.measure(measure).filter(|value| value.is_finite())?;
                Some(Measured { measure, value })
            };
            Score { measured: measure.and_then(measured), ..score }
        };
        let of_parts: Vec<Score> =
            rows.parts().into_iter().map(|(train, judged)| score(&train, judged)).collect();
        Baseline {
            validation: mean_score(&of_parts),
            test: (!rows.test.is_empty()).then(|| score(&rows.train, &rows.test)),
        }
    }

    /// The best prediction for the rows of `train`, which may be a part of those that the outputs
    /// were fitted to, that does not depend on the inputs.
    fn constant(
        &self,
        train: &[usize],
        outputs: &Outputs,
        is_part: bool,
        weights: &Weights<'_>,
    ) -> Prediction {
        match self.targets() {
            Targets::Classes(classes) => {
                let mut shares = vec![0.0; self.classes().len()];
                let mut total = 0.0;
                for (class, &row) in pick(classes, train).into_iter().zip(train) {
                    if let Some(share) = shares.get_mut(index(class)) {
                        *share += weights.of_row(row);
                        total += weights.of_row(row);
                    }
                }
                Prediction::Shares { counts: shares, total }
            }
            Targets::Values(_) => {
                let mean = |values: Vec<(usize, f64)>| {
                    // Without folds and weights it is 0, because the rows set the scale.
                    let plain =
                        || values.iter().map(|(_, value)| value).sum::<f64>() / real(train.len());
                    weights.mean(&values).or_else(|| is_part.then(plain)).unwrap_or(0.0)
                };
                let means = standardised(outputs, self.targets(), train).into_iter().map(mean);
                Prediction::Means { means: means.collect(), outputs: outputs.clone() }
            }
        }
    }

    /// A warning about a validation split or a fold whose rows all have the same label. Rows
    /// without a weight do not count.
    fn equal_labels(&self, rows: &Rows, weights: &Weights<'_>) -> Option<DataNote> {
        if rows.folds.is_empty() {
            return self.equal_labels_of("the validation split", &rows.validation, weights);
        }
        let mut folds = rows.folds.iter().zip(1..);
        folds.find_map(|(fold, number)| {
            self.equal_labels_of(&format!("fold {number}"), fold, weights)
        })
    }

    fn equal_labels_of(
        &self,
        split: &str,
        rows: &[usize],
        weights: &Weights<'_>,
    ) -> Option<DataNote> {
        let counting = || rows.iter().copied().filter(|row| weights.of_row(*row) > 0.0);
        let (code, text) = match self.targets() {
            Targets::Classes(classes) => {
                let class = only(counting().filter_map(|row| classes.get(row)))?;
                let name = shown(self.classes().get(index(*class))?);
                (ONE_CLASS, format!("every row of {split} has the class {name:?}"))
            }
            Targets::Values(numbers) => {
                let equal = |(output, name)| {
                    let of_row = |row| numbers.row(row).get(output).copied();
                    Some((only(counting().filter_map(of_row))?, name))
                };
                let (value, name) = self.labels().enumerate().find_map(equal)?;
                let of = match self.more_labels() {
                    [] => String::new(),
                    _ => format!(" in {:?}", shown(name)),
                };
                let text = format!("every row of {split} has the label {value}{of}");
                return Some(warning(ONE_VALUE, &[name], text));
            }
        };
        Some(warning(code, &[self.label()], text))
    }

    /// A warning about the classes with few rows.
    pub(crate) fn rare_classes(&self) -> Option<DataNote> {
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
        let copies = |train: &[usize], judged: &[usize]| {
            // A sorted list is smaller than a set.
            let mut known = pick(&hashes, train);
            known.sort_unstable();
            let hashes = pick(&hashes, judged);
            hashes.iter().filter(|hash| known.binary_search(hash).is_ok()).count()
        };
        let parts = rows.parts();
        let validation: usize = parts.iter().map(|(train, judged)| copies(train, judged)).sum();
        let validated: usize = parts.iter().map(|(_, judged)| judged.len()).sum();
        let test = copies(&rows.train, &rows.test);
        let all = validated + rows.test.len();
        let copies = validation + test;
        if real(copies) < MANY_COPIES * real(all) || copies < FEWEST_COPIES {
            return None;
        }
        let text = format!(
            "{validation} of {} validation rows and {test} of {} test rows are equal to a training \
             row, with its label: scores on them say little about new rows",
            validated,
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
            Targets::Values(numbers) => {
                let all = numbers.rows_of(rows).chunks_exact(numbers.outputs());
                for (hasher, values) in hashers.iter_mut().zip(all) {
                    values.iter().for_each(|value| hasher.write_u64(value.to_bits()));
                }
            }
        }
        hashes.extend(hashers.iter().map(Hasher::finish));
    }
}

/// A prediction that does not depend on the inputs.
enum Prediction {
    /// The shares of the classes in the training split: the rows of each class, and of all, by
    /// their weights.
    Shares { counts: Vec<f64>, total: f64 },
    /// A number for each output, in units of the standardised target: the mean of the training
    /// split.
    Means { means: Vec<f64>, outputs: Outputs },
}

impl Prediction {
    /// The same prediction for each of these rows, in the units of the labels. `None` if nothing
    /// can be measured, as without rows that have a weight.
    fn of_rows(
        &self,
        targets: &Targets<f64>,
        rows: &[usize],
        weights: &Weights<'_>,
    ) -> Option<Predictions> {
        let predictions = match (self, targets) {
            (Self::Shares { counts, total }, Targets::Classes(classes)) => {
                if rows.len().saturating_mul(counts.len()) > MOST_PROBABILITIES {
                    return None;
                }
                let shares: Vec<f32> =
                    counts.iter().map(|count| single(count.max(0.5) / total)).collect();
                let all = rows.iter().flat_map(|_| shares.iter().copied()).collect();
                Predictions::from_probabilities(counts.len(), pick(classes, rows), all)
            }
            (Self::Means { means, outputs }, Targets::Values(numbers)) => {
                let truth = pick_rows(numbers, rows);
                let predicted = outputs.restored(means);
                let all = rows.iter().flat_map(|_| predicted.iter().copied()).collect();
                Predictions::from_rows(predicted.len(), truth, all)
            }
            (Self::Shares { .. }, Targets::Values(_))
            | (Self::Means { .. }, Targets::Classes(_)) => return None,
        };
        let weights = rows.iter().map(|&row| weights.of_row(row)).collect();
        predictions.and_then(|predictions| predictions.with_weights(weights)).ok()
    }

    fn score(&self, targets: &Targets<f64>, rows: &[usize], weights: &Weights<'_>) -> Score {
        let no_score = Score { loss: 0.0, accuracy: None, measured: None };
        match (self, targets) {
            (Self::Shares { counts, total }, Targets::Classes(classes)) => {
                of_shares(counts, *total, &pick(classes, rows), rows, weights)
            }
            (Self::Means { means, outputs }, targets) => {
                let total: f64 = rows.iter().map(|&row| weights.of_row(row)).sum();
                let loss = |(values, mean): (Vec<(usize, f64)>, &f64)| {
                    let errors = values.into_iter();
                    let squares = errors.map(|(row, value)| (row, (value - mean) * (value - mean)));
                    squares.map(|(row, square)| weights.of_row(row) * square).sum::<f64>() / total
                };
                let losses = standardised(outputs, targets, rows).into_iter().zip(means).map(loss);
                let sum: f64 = losses.sum();
                Score { loss: sum / real(means.len().max(1)), ..no_score }
            }
            // Shares are predicted of classes only.
            (Self::Shares { .. }, Targets::Values(_)) => no_score,
        }
    }
}

/// For each output, the rows with their standardised targets; empty for classes.
fn standardised(
    outputs: &Outputs,
    targets: &Targets<f64>,
    rows: &[usize],
) -> Vec<Vec<(usize, f64)>> {
    match outputs.of(targets, rows) {
        Targets::Values(numbers) => {
            let of_output = |output| {
                let values = numbers.output(output).copied().map(f64::from);
                rows.iter().copied().zip(values).collect()
            };
            (0..numbers.outputs()).map(of_output).collect()
        }
        Targets::Classes(_) => Vec::new(),
    }
}

/// The score of predicting the shares of the classes in the training split. A class without a row
/// there counts as half a row, so that the loss is finite.
fn of_shares(
    counts: &[f64],
    total: f64,
    classes: &[u32],
    rows: &[usize],
    weights: &Weights<'_>,
) -> Score {
    let most = counts.iter().copied().fold(0.0, f64::max);
    let best = counts.iter().position(|&count| count == most);
    let count_of = |class: u32| counts.get(index(class)).copied().unwrap_or_default();
    let (mut loss, mut hits, mut all) = (0.0, 0.0, 0.0);
    for (&class, &row) in classes.iter().zip(rows) {
        let weight = weights.of_row(row);
        loss -= weight * libm::log(count_of(class).max(0.5) / total);
        hits += if Some(index(class)) == best { weight } else { 0.0 };
        all += weight;
    }
    Score { loss: loss / all, accuracy: Some(hits / all), measured: None }
}

fn mean_score(scores: &[Score]) -> Score {
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / real(scores.len());
    let has_accuracy = scores.iter().any(|score| score.accuracy.is_some());
    Score {
        loss: mean(&mut scores.iter().map(|score| score.loss)),
        accuracy: has_accuracy.then(|| mean(&mut scores.iter().filter_map(|score| score.accuracy))),
        measured: mean_measured(scores),
    }
}

/// The mean of the measure; `None` unless all have it.
fn mean_measured(scores: &[Score]) -> Option<Measured> {
    let measure = scores.first()?.measured?.measure;
    let value = |score: &Score| Some(score.measured?.value);
    let values: Vec<f64> = scores.iter().map(value).collect::<Option<_>>()?;
    Some(Measured { measure, value: values.iter().sum::<f64>() / real(values.len()) })
}
