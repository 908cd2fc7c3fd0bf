//! The rows of the reading tables: views as cells, and cells as views.

use caviar_common::assignment::{Assignment, Value};
use caviar_common::compact::CompactBox;
use caviar_common::ids::{AttemptNumber, LeaseId, Name, SweepId, TrialNumber};
use caviar_common::metric::{EpochMetrics, Measured, NamedMetrics, Point, Score};
use caviar_common::outcome::TrialState;
use caviar_common::reason::{Extent, Reason};
use caviar_common::view::{StoppedView, TrialTimes, TrialView};
use caviar_core::event::{StoredAssignment, TrialSampled};
use rusqlite::Row;
use rusqlite::types::{FromSql, ValueRef};
use serde::ser::Error;
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::digest::{Cell, checksum, int, optional, real, small, text};
use super::order::Key;

/// What may change of a trial, as the table `trial_states` has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StateRow {
    pub(super) trial: TrialNumber,
    pub(super) state: TrialState,
    pub(super) attempts: AttemptNumber,
    pub(super) worker: Option<Name>,
    pub(super) objective: Option<f64>,
    pub(super) seconds: Option<f64>,
    pub(super) memory_bytes: Option<u64>,
    pub(super) message: Option<String>,
    pub(super) stopped: Option<StoppedView>,
    pub(super) times: TrialTimes,
    /// The last epoch of its curve, which has all epochs from 1; 0 if the curve is empty.
    pub(super) last_epoch: u32,
    /// The epoch of the objective; `None` if the curve is empty.
    pub(super) counting_epoch: Option<u32>,
    /// The finite validation loss of that epoch, by which trials of equal objectives are listed.
    pub(super) counting_loss: Option<f64>,
    pub(super) retrained_epochs: u64,
}

impl StateRow {
    pub(super) const TABLE: &str = "trial_states";
    /// Reads the trials from a number on, in the order of their numbers, which is that of the
    /// primary key. With ORDER BY, SQLite prepares the statement again each time.
    pub(super) const SELECT: &str = "SELECT sweep, trial, state, attempts, worker, objective, \
        seconds, memory_bytes, message, stopped_epoch, stopped_rank, stopped_of, started_at, \
        ended_at, last_epoch, counting_epoch, counting_loss, retrained_epochs, checksum \
        FROM trial_states WHERE sweep = ?1 AND trial >= ?2";
    /// Reads one trial.
    pub(super) const SELECT_ONE: &str = "SELECT sweep, trial, state, attempts, worker, objective, \
        seconds, memory_bytes, message, stopped_epoch, stopped_rank, stopped_of, started_at, \
        ended_at, last_epoch, counting_epoch, counting_loss, retrained_epochs, checksum \
        FROM trial_states WHERE sweep = ?1 AND trial = ?2";
    /// How many columns are before the checksum.
    pub(super) const WIDTH: usize = 18;

    /// The row of a trial that looks like this, without times.
    pub(super) fn new(view: &TrialView) -> Self {
        Self {
            trial: view.trial,
            state: view.state,
            attempts: view.attempts,
            worker: view.worker.clone(),
            objective: view.objective,
            seconds: view.seconds,
            memory_bytes: view.memory_bytes,
            message: view.message.clone(),
            stopped: view.stopped,
            times: TrialTimes::default(),
            last_epoch: view.last.as_ref().map_or(0, Point::epoch),
            counting_epoch: view.counting_epoch(),
            counting_loss: view.tie_loss(),
            retrained_epochs: view.retrained_epochs,
        }
    }

    pub(super) fn cells(&self, sweep: SweepId) -> [Cell<'_>; Self::WIDTH] {
        let stopped = |number: fn(StoppedView) -> u32| {
            optional(self.stopped, |stopped| small(number(stopped)))
        };
        [
            int(sweep.0),
            small(self.trial.0),
            text(self.state.name()),
            small(self.attempts.0),
            optional(self.worker.as_ref(), |name| text(name.as_str())),
            optional(self.objective, real),
            optional(self.seconds, real),
            optional(self.memory_bytes, int),
            optional(self.message.as_deref(), text),
            stopped(|stopped| stopped.epoch),
            stopped(|stopped| stopped.rank),
            stopped(|stopped| stopped.of),
            optional(self.times.started_at.as_deref(), text),
            optional(self.times.ended_at.as_deref(), text),
            small(self.last_epoch),
            optional(self.counting_epoch, small),
            optional(self.counting_loss, real),
            int(self.retrained_epochs),
        ]
    }

    /// Reads only what tells the trial's place in lists, which is faster: its number, its state,
    /// its objective and the loss that decides between equal ones. The whole row is checked.
    pub(super) fn read_place(row: &Row<'_>) -> Result<Key, StoreError> {
        verify(row, Self::TABLE, Self::WIDTH)?;
        let state = row.get_ref(2).ok().and_then(|state| state.as_str().ok());
        let state = TrialState::ALL.into_iter().find(|known| Some(known.name()) == state);
        let unknown = || StoreError::corrupt(place(row, Self::TABLE), "its state is unknown");
        let values = (number(row, 5)?, number(row, 16)?);
        Ok(Key::new(TrialNumber(get(row, 1)?), state.ok_or_else(unknown)?, values))
    }

    /// Reads a row of [`StateRow::SELECT`].
    pub(super) fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        let trial = get(row, 1)?;
        let place = || place(row, Self::TABLE);
        verify(row, Self::TABLE, Self::WIDTH)?;
        let stopped = match (get(row, 9)?, get(row, 10)?, get(row, 11)?) {
            (Some(epoch), Some(rank), Some(of)) => Some(StoppedView { epoch, rank, of }),
            _ => None,
        };
        let state: String = get(row, 2)?;
        let state = TrialState::ALL.into_iter().find(|known| known.name() == state);
        let worker: Option<String> = get(row, 4)?;
        let worker = worker.map(|name| Name::parse("worker", &name)).transpose();
        Ok(Self {
            trial: TrialNumber(trial),
            state: state.ok_or_else(|| StoreError::corrupt(place(), "its state is unknown"))?,
            attempts: AttemptNumber(get(row, 3)?),
            worker: worker.map_err(|problem| StoreError::corrupt(place(), problem.to_string()))?,
            objective: number(row, 5)?,
            seconds: number(row, 6)?,
            memory_bytes: get::<Option<i64>>(row, 7)?.map(i64::cast_unsigned),
            message: get(row, 8)?,
            stopped,
            times: TrialTimes { started_at: get(row, 12)?, ended_at: get(row, 13)? },
            last_epoch: get(row, 14)?,
            counting_epoch: get(row, 15)?,
            counting_loss: number(row, 16)?,
            retrained_epochs: get::<i64>(row, 17)?.cast_unsigned(),
        })
    }
}

/// Bytes of texts up to which the tables have an assignment or a reason with all of them.
const LONGEST_TEXT: usize = 4_096;

/// True if the texts of these values have more than [`LONGEST_TEXT`] bytes.
fn is_long<'a>(values: impl IntoIterator<Item = &'a Value>) -> bool {
    let texts = values.into_iter().filter_map(Value::as_str);
    texts.map(str::len).sum::<usize>() > LONGEST_TEXT
}

/// A reason as the table `trial_samples` has it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum ReasonText {
    /// A reason without its box, and the box.
    Long { reason: Reason, sides: CompactBox },
    /// A reason.
    Short(Reason),
}

/// What never changes of a trial, as the table `trial_samples` has it.
#[derive(Clone, Debug)]
pub(super) struct SampleRow {
    pub(super) trial: TrialNumber,
    /// As JSON.
    pub(super) assignment: String,
    /// As JSON.
    pub(super) reason: String,
    pub(super) epochs: u32,
}

impl SampleRow {
    pub(super) const TABLE: &str = "trial_samples";
    /// Reads a trial.
    pub(super) const SELECT: &str = "SELECT sweep, trial, assignment, reason, epochs, checksum \
        FROM trial_samples WHERE sweep = ?1 AND trial = ?2";
    pub(super) const WIDTH: usize = 5;

    pub(super) fn cells(&self, sweep: SweepId) -> [Cell<'_>; Self::WIDTH] {
        [
            int(sweep.0),
            small(self.trial.0),
            text(&self.assignment),
            text(&self.reason),
            small(self.epochs),
        ]
    }

    /// The row of a new trial. Texts that are longer than [`LONGEST_TEXT`] are written without the
    /// names and texts of the space.
    pub(super) fn new(sampled: &TrialSampled, view: &TrialView) -> Result<Self, StoreError> {
        let assignment = if is_long(view.assignment.iter().map(|(_, value)| value)) {
            serde_json::to_string(&sampled.assignment)?
        } else {
            serde_json::to_string(&view.assignment)?
        };
        let sides = view.reason.search_box.iter().flat_map(|search_box| &search_box.sides);
        let choices = sides.flat_map(|side| match &side.extent {
            Extent::Choices(values) => values.as_slice(),
            Extent::Range { .. } => &[],
        });
        let reason = match &sampled.sides {
            Some(sides) if is_long(choices) => {
                let (reason, sides) = (sampled.reason.clone(), sides.clone());
                serde_json::to_string(&ReasonText::Long { reason, sides })?
            }
            Some(_) | None => serde_json::to_string(&view.reason)?,
        };
        Ok(Self { trial: view.trial, assignment, reason, epochs: view.epochs })
    }

    /// What a row says of the assignment and the reason.
    pub(super) fn texts(row: &Row<'_>) -> Result<(StoredAssignment, ReasonText), StoreError> {
        verify(row, Self::TABLE, Self::WIDTH)?;
        let parsed = |error: serde_json::Error| {
            StoreError::corrupt(place(row, Self::TABLE), error.to_string())
        };
        let (assignment, reason): (String, String) = (get(row, 2)?, get(row, 3)?);
        let assignment = serde_json::from_str(&assignment).map_err(parsed)?;
        Ok((assignment, serde_json::from_str(&reason).map_err(parsed)?))
    }

    /// The view of the trial with this sample and `state`, without a curve.
    pub(super) fn view(
        row: &Row<'_>,
        state: StateRow,
        (assignment, reason): (Assignment, Reason),
    ) -> Result<TrialView, StoreError> {
        Ok(TrialView {
            trial: state.trial,
            state: state.state,
            assignment,
            reason,
            attempts: state.attempts,
            worker: state.worker,
            epochs: get(row, 4)?,
            objective: state.objective,
            last: None,
            counting: None,
            curve: Vec::new(),
            seconds: state.seconds,
            memory_bytes: state.memory_bytes,
            message: state.message,
            stopped: state.stopped,
            parked: false,
            times: state.times,
            retrained_epochs: state.retrained_epochs,
        })
    }
}

/// One epoch of a trial, as the table `metrics` has it.
#[derive(Debug)]
pub(super) struct MetricsRow<'a> {
    pub(super) trial: TrialNumber,
    pub(super) lease: LeaseId,
    pub(super) point: &'a Point,
    /// The JSON of the metrics of an external client, or of the measure and the spread of networks;
    /// `None` if they have neither.
    named: Option<String>,
}

impl<'a> MetricsRow<'a> {
    pub(super) const TABLE: &'static str = "metrics";
    /// Reads the curve of a trial from an epoch on.
    pub(super) const SELECT: &'static str = "SELECT sweep, trial, epoch, lease, train_loss, \
        train_accuracy, validation_loss, validation_accuracy, named, checksum FROM metrics \
        WHERE sweep = ?1 AND trial = ?2 AND epoch >= ?3";
    /// Reads one epoch of a trial.
    pub(super) const SELECT_ONE: &'static str = "SELECT sweep, trial, epoch, lease, train_loss, \
        train_accuracy, validation_loss, validation_accuracy, named, checksum FROM metrics \
        WHERE sweep = ?1 AND trial = ?2 AND epoch = ?3";
    pub(super) const WIDTH: usize = 9;

    pub(super) fn new(
        trial: TrialNumber,
        lease: LeaseId,
        point: &'a Point,
    ) -> Result<Self, StoreError> {
        let named = match point {
            Point::Network(metrics) => {
                let extras = NetworkExtras::of(metrics);
                extras.as_ref().map(serde_json::to_string).transpose()?
            }
            // Without the epoch, so that a reader finds the metrics by their names.
            Point::Named(named) => match serde_json::to_value(named)?.get_mut("metrics") {
                Some(metrics) => Some(metrics.take().to_string()),
                None => return Err(serde_json::Error::custom("no metrics").into()),
            },
        };
        Ok(Self { trial, lease, point, named })
    }

    pub(super) fn cells(&self, sweep: SweepId) -> [Cell<'_>; 9] {
        let null = ValueRef::Null;
        let loss = |loss: f64| if loss.is_nan() { null } else { ValueRef::Real(loss) };
        let accuracy = |score: Score| optional(score.accuracy, loss);
        let named = self.named.as_deref().map_or(null, text);
        let key = [int(sweep.0), small(self.trial.0), small(self.point.epoch()), int(self.lease.0)];
        let values = match self.point {
            Point::Network(EpochMetrics { epoch: _, train, validation, spread: _ }) => [
                loss(train.loss),
                accuracy(*train),
                loss(validation.loss),
                accuracy(*validation),
                named,
            ],
            Point::Named(_) => [null, null, null, null, named],
        };
        let ([sweep, trial, epoch, lease], [a, b, c, d, e]) = (key, values);
        [sweep, trial, epoch, lease, a, b, c, d, e]
    }
}

/// How the JSON of what only some networks have begins. A value of an external client's metric is a
/// number or a text.
const NETWORK_EXTRAS: &str = "{\"validation\":{";

/// What only some networks have, in the column `named`: the measure that is the objective, and the
/// spread of several trainings, as in `{"validation":{"roc_auc":0.9},"spread":0.01}`.
#[derive(Default, Serialize, Deserialize)]
struct NetworkExtras {
    #[serde(with = "measure_by_name")]
    validation: Option<Measured>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spread: Option<f64>,
}

impl NetworkExtras {
    /// `None` if the metrics have neither.
    fn of(metrics: &EpochMetrics) -> Option<Self> {
        let EpochMetrics { validation, spread, .. } = *metrics;
        let has_any = validation.measured.is_some() || spread.is_some();
        has_any.then_some(Self { validation: validation.measured, spread })
    }
}

/// A measure as a map of one entry, or of none.
mod measure_by_name {
    use std::collections::BTreeMap;

    use caviar_common::measure::Measure;
    use caviar_common::metric::{Measured, finite_or_text, number_or_text};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Number(
        #[serde(serialize_with = "finite_or_text", deserialize_with = "number_or_text")] f64,
    );

    pub(super) fn serialize<S: Serializer>(
        measured: &Option<Measured>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(measured.iter().map(|it| (it.measure.name(), Number(it.value))))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<Measured>, D::Error> {
        let map = BTreeMap::<Measure, Number>::deserialize(d)?;
        Ok(map.into_iter().next().map(|(measure, Number(value))| Measured { measure, value }))
    }
}

/// Reads a row of [`MetricsRow::SELECT`].
pub(super) fn read_point(row: &Row<'_>) -> Result<Point, StoreError> {
    verify(row, MetricsRow::TABLE, MetricsRow::WIDTH)?;
    let named = get::<Option<String>>(row, 8)?;
    let corrupt = |error: serde_json::Error| {
        StoreError::corrupt(place(row, MetricsRow::TABLE), error.to_string())
    };
    let is_network = |named: &String| named.starts_with(NETWORK_EXTRAS);
    let extras = match named.as_ref().filter(|named| is_network(named)) {
        Some(text) => serde_json::from_str(text).map_err(corrupt)?,
        None => NetworkExtras::default(),
    };
    if let Some(named) = named.filter(|named| !is_network(named)) {
        let parsed = serde_json::from_str(&named).and_then(|metrics: serde_json::Value| {
            let epoch: serde_json::Value = row.get::<_, u32>(2).unwrap_or(0).into();
            let fields = [("epoch".to_owned(), epoch), ("metrics".to_owned(), metrics)];
            NamedMetrics::deserialize(serde_json::Value::from_iter(fields))
        });
        return Ok(Point::Named(parsed.map_err(corrupt)?));
    }
    let score = |loss, accuracy| {
        let loss = number(row, loss)?.unwrap_or(f64::NAN);
        Ok::<_, StoreError>(Score { loss, accuracy: number(row, accuracy)?, measured: None })
    };
    Ok(Point::Network(EpochMetrics {
        epoch: get(row, 2)?,
        train: score(4, 5)?,
        validation: Score { measured: extras.validation, ..score(6, 7)? },
        spread: extras.spread,
    }))
}

/// The cells, and their checksum as the last one.
pub(super) fn with_checksum<'a>(table: &str, cells: &[Cell<'a>]) -> Vec<Cell<'a>> {
    let sum = Cell::Integer(checksum(table, cells.iter().copied()));
    cells.iter().copied().chain([sum]).collect()
}

/// Checks a row of `width` columns, after which its checksum comes.
pub(super) fn verify(row: &Row<'_>, table: &str, width: usize) -> Result<(), StoreError> {
    let cells = (0..width).map(|i| row.get_ref(i).unwrap_or(ValueRef::Null));
    if get::<i64>(row, width)? == checksum(table, cells) {
        Ok(())
    } else {
        Err(StoreError::corrupt(place(row, table), "its checksum is wrong"))
    }
}

/// A row of a trial, as an error names it.
fn place(row: &Row<'_>, table: &str) -> String {
    let number = |i| row.get::<_, i64>(i).map_or_else(|_| "?".to_owned(), |v| v.to_string());
    format!("the row of trial {} of sweep {} in {table}", number(1), number(0))
}

/// A value of a row.
pub(super) fn get<T: FromSql>(row: &Row<'_>, column: usize) -> Result<T, StoreError> {
    row.get(column).map_err(|source| StoreError::database("read a row", source))
}

/// A number that was written with [`real`], or as a metric of a network.
fn number(row: &Row<'_>, column: usize) -> Result<Option<f64>, StoreError> {
    let value = row.get_ref(column).map_err(|source| StoreError::database("read a row", source))?;
    if value == text("NaN") { Ok(Some(f64::NAN)) } else { get(row, column) }
}
