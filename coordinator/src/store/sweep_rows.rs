//! The rows of the table `sweeps`.

use caviar_common::ids::SweepId;
use caviar_common::outcome::SweepState;
use caviar_common::space::Space;
use caviar_common::spec::SweepSpec;
use caviar_common::view::SweepView;
use caviar_core::event::SweepCreated;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};

use super::StoreError;
use super::digest::{Cell, checksum, int, optional, real, small, text};

/// What never changes of a sweep.
pub(super) struct FixedRow<'a> {
    created: &'a SweepCreated,
    /// As JSON.
    spec: String,
    /// As JSON.
    data: String,
}

impl<'a> FixedRow<'a> {
    pub(super) const TABLE: &'static str = "sweeps";

    pub(super) fn new(created: &'a SweepCreated) -> Result<Self, StoreError> {
        let spec = serde_json::to_string(&created.spec)?;
        let data = serde_json::to_string(&created.data)?;
        Ok(Self { created, spec, data })
    }

    pub(super) fn cells(&self, sweep: SweepId) -> [Cell<'_>; 7] {
        let objective = &self.created.spec.objective;
        [
            int(sweep.0),
            text(self.created.spec.name.as_str()),
            text(self.created.request_id.as_str()),
            text(objective.metric.name()),
            text(objective.goal.name()),
            text(&self.spec),
            text(&self.data),
        ]
    }
}

/// The space that a sweep searches; `None` if there is no such sweep.
pub(super) fn space(connection: &Connection, sweep: SweepId) -> Result<Option<Space>, StoreError> {
    let failed = |source| StoreError::database("read a sweep", source);
    let sql = "SELECT id, name, request_id, metric, goal, spec, data, fixed_checksum FROM sweeps \
               WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let space = |row: &Row<'_>| {
        let cells = (0..7).map(|i| row.get_ref(i).unwrap_or(ValueRef::Null));
        let place = || format!("the row of sweep {sweep} in sweeps");
        if row.get::<_, i64>(7).map_err(failed)? != checksum(FixedRow::TABLE, cells) {
            return Err(StoreError::corrupt(place(), "its checksum is wrong"));
        }
        let spec: String = row.get(5).map_err(failed)?;
        let spec: SweepSpec = serde_json::from_str(&spec)
            .map_err(|error| StoreError::corrupt(place(), error.to_string()))?;
        Ok(spec.space)
    };
    let found = statement.query_row([sweep.0.cast_signed()], |row| Ok(space(row))).optional();
    found.map_err(failed)?.transpose()
}

/// What may change of a sweep.
pub(super) struct ShownRow<'a> {
    sweep: SweepId,
    state: SweepState,
    winner: Option<u32>,
    test_loss: Option<f64>,
    test_accuracy: Option<f64>,
    is_reproduced: Option<bool>,
    message: Option<&'a str>,
}

impl<'a> ShownRow<'a> {
    pub(super) const TABLE: &'static str = "sweeps.state";
    pub(super) const INSERT: &'static str = "INSERT INTO sweeps (id, name, request_id, metric, \
        goal, spec, data, fixed_checksum, state, winner, test_loss, test_accuracy, reproduced, \
        message, checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, \
        ?15)";
    pub(super) const UPDATE: &'static str = "UPDATE sweeps SET state = ?2, winner = ?3, \
        test_loss = ?4, test_accuracy = ?5, reproduced = ?6, message = ?7, checksum = ?8 \
        WHERE id = ?1";

    /// The row of a sweep that was just created.
    pub(super) const fn created(sweep: SweepId) -> Self {
        let (state, winner, test_loss) = (SweepState::Running, None, None);
        let (test_accuracy, is_reproduced, message) = (None, None, None);
        Self { sweep, state, winner, test_loss, test_accuracy, is_reproduced, message }
    }

    pub(super) fn new(view: &'a SweepView) -> Self {
        let test = view.test.as_ref();
        let score = test.and_then(|test| test.score);
        let has_winner = matches!(view.state, SweepState::Scoring | SweepState::Completed);
        let best = view.best.as_ref().filter(|_| has_winner).map(|best| best.trial);
        Self {
            sweep: view.id,
            state: view.state,
            winner: test.map(|test| test.trial).or(best).map(|trial| trial.0),
            test_loss: score.map(|score| score.loss),
            test_accuracy: score.and_then(|score| score.accuracy),
            is_reproduced: test.map(|test| test.reproduced),
            message: test.and_then(|test| test.message.as_deref()),
        }
    }

    pub(super) fn cells(&self) -> [Cell<'a>; 7] {
        [
            int(self.sweep.0),
            text(self.state.name()),
            optional(self.winner, small),
            optional(self.test_loss, real),
            optional(self.test_accuracy, real),
            optional(self.is_reproduced, |yes| int(yes.into())),
            optional(self.message, text),
        ]
    }
}
