//! When trials started and ended, read from the times at which their events were stored.
//!
//! The state machine does not know these times, because it must decide the same way when events are
//! replayed. They are read for an export only, a limited number of rows at a time, so that the
//! driver is not held up by a long sweep.

use std::collections::BTreeMap;

use caviar_common::ids::{SweepId, TrialNumber};
use caviar_common::view::TrialTimes;
use rusqlite::{Connection, params};
use serde::Deserialize;

use super::StoreError;

/// Rows of events that are read at once: about 10 ms of the driver's time.
const ROWS: i64 = 5_000;

/// The times of a sweep's trials as far as they have been read.
#[derive(Clone, Debug, Default)]
pub struct TimesPage {
    /// The times, by trial.
    pub times: BTreeMap<TrialNumber, TrialTimes>,
    /// The last row that was read; `None` if there are no more rows.
    pub next: Option<i64>,
}

impl TimesPage {
    /// Adds the times of a later page. A trial keeps its first start, and gets its last end.
    pub fn extend(&mut self, later: Self) {
        for (trial, times) in later.times {
            self.times.entry(trial).or_default().update(times);
        }
        self.next = later.next;
    }
}

/// The fields of an event that tell which trials it is about.
#[derive(Deserialize)]
struct About {
    trial: Option<TrialNumber>,
    #[serde(default)]
    granted: Vec<Granted>,
    /// What a lease is for; a score is not a start of the trial.
    work: Option<String>,
}

#[derive(Deserialize)]
struct Granted {
    trial: TrialNumber,
}

/// Reads the next rows of a sweep's events after the row `after`.
pub(super) fn read(
    connection: &Connection,
    sweep: SweepId,
    after: i64,
) -> Result<TimesPage, StoreError> {
    let failed = |source| StoreError::Failed { doing: "read the times of trials", source };
    let sql = "SELECT id, at, event, CASE WHEN event IN ('lease_granted', 'trials_asked', \
               'trial_finished', 'trial_stopped') THEN body END FROM events \
               WHERE sweep = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let sweep = i64::try_from(sweep.0).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![sweep, after, ROWS]).map_err(failed)?;
    let (mut page, mut last, mut count) = (TimesPage::default(), after, 0);
    while let Some(row) = rows.next().map_err(failed)? {
        (last, count) = (row.get(0).map_err(failed)?, count + 1);
        let body: Option<String> = row.get(3).map_err(failed)?;
        let Some(body) = body else { continue };
        let (at, event): (String, String) =
            (row.get(1).map_err(failed)?, row.get(2).map_err(failed)?);
        let about: About = serde_json::from_str(&body)
            .map_err(|error| StoreError::Corrupt { row: last, detail: error.to_string() })?;
        add(&mut page, about, &at, &event);
    }
    page.next = (count == ROWS).then_some(last);
    Ok(page)
}

fn add(page: &mut TimesPage, about: About, at: &str, event: &str) {
    let times = match event {
        "trial_finished" | "trial_stopped" => {
            TrialTimes { started_at: None, ended_at: Some(at.to_owned()) }
        }
        _ if about.work.as_deref() == Some("score") => return,
        _ => TrialTimes { started_at: Some(at.to_owned()), ended_at: None },
    };
    for trial in about.trial.into_iter().chain(about.granted.into_iter().map(|it| it.trial)) {
        page.times.entry(trial).or_default().update(times.clone());
    }
}
