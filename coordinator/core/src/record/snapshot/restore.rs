//! Restoring a snapshot.

use std::collections::BTreeMap;

use caviar_common::ids::SweepId;
use caviar_common::numbers::index;
use caviar_search::{History, SortedList, Stage, TotalF64};
use serde::Deserialize;

use super::stored::SweepPart;
use super::{Part, PartKind, RecordPart, VERSION, Written, WrittenSweep};
use crate::record::Broken;
use crate::record::event::SweepCreated;
use crate::record::state::past::{Past, from_bytes};
use crate::record::state::{Asks, Holder, Record, Sweep, TrialStatus, Trials, comparable};

/// A record that is being restored from the parts of a snapshot.
#[derive(Debug)]
pub struct Restore {
    record: Record,
    written: Written,
    sweep: Option<RestoredSweep>,
}

/// A record that was restored.
#[derive(Debug)]
pub struct Restored {
    pub(crate) record: Record,
    /// Which of its parts are stored.
    pub(crate) written: Written,
}

/// The sweep whose parts are being added.
#[derive(Debug)]
struct RestoredSweep {
    id: SweepId,
    created: SweepCreated,
    state: Option<SweepPart>,
    history: History,
    past: Past,
}

impl Restore {
    /// Begins with what belongs to no sweep.
    ///
    /// # Errors
    /// Another release wrote the snapshot.
    pub fn new(record: &[u8]) -> Result<Self, Broken> {
        let RecordPart { version, next_sweep, next_lease, results } = parse(record)?;
        if version != VERSION {
            return Err(Broken(format!("the snapshot has version {version}, not {VERSION}")));
        }
        let results: BTreeMap<_, _> = results.into_iter().collect();
        let record = Record { next_sweep, next_lease, results, ..Record::default() };
        Ok(Self { record, written: Written::default(), sweep: None })
    }

    /// Adds the next part: of each sweep the parts in the order of their kinds and numbers.
    ///
    /// # Errors
    /// The part does not fit.
    pub fn add(&mut self, part: &Part) -> Result<(), Broken> {
        let Part { sweep, kind, bytes, .. } = part;
        if *kind == PartKind::Created {
            self.end_sweep()?;
            let created: SweepCreated = parse(bytes)?;
            let history = History::new(created.spec.space.clone());
            let (state, past) = (None, Past::default());
            self.sweep = Some(RestoredSweep { id: *sweep, created, state, history, past });
            return Ok(());
        }
        let out_of_order = || Broken(format!("a part of sweep {sweep} is missing"));
        let restored = self.sweep.as_mut().filter(|restored| restored.id == *sweep);
        let RestoredSweep { state, history, past, .. } = restored.ok_or_else(out_of_order)?;
        let damaged = |error: caviar_search::HistoryError| Broken(error.to_string());
        match kind {
            PartKind::Created => {}
            PartKind::State => *state = Some(parse(bytes)?),
            PartKind::Trials => history.push_trial_chunk(bytes).map_err(damaged)?,
            PartKind::Log => history.push_entry_chunk(bytes).map_err(damaged)?,
            PartKind::Past => {
                let chunk = from_bytes(bytes);
                if !chunk.is_some_and(|chunk| past.push_chunk(chunk)) {
                    return Err(out_of_order());
                }
            }
        }
        Ok(())
    }

    /// The record, and which parts of it are stored.
    ///
    /// # Errors
    /// A part is missing.
    pub fn finish(mut self) -> Result<Restored, Broken> {
        self.end_sweep()?;
        Ok(Restored { record: self.record, written: self.written })
    }

    fn end_sweep(&mut self) -> Result<(), Broken> {
        let Some(mut restored) = self.sweep.take() else { return Ok(()) };
        let id = restored.id;
        let incomplete = || Broken(format!("the snapshot of sweep {id} is not complete"));
        let state = restored.state.take().ok_or_else(incomplete)?;
        let (trials, decisions) = (restored.history.trials(), restored.history.len());
        let counts = (state.trials, state.decisions, state.trials);
        if (trials, decisions, restored.past.len()) != counts || self.record.sweep(id).is_some() {
            return Err(incomplete());
        }
        self.written.0.insert(id, restored.written());
        for (lease, held) in &state.leases {
            if let Holder::Worker { name, .. } = &held.holder {
                self.record.held.entry(name.clone()).or_default().insert(*lease);
            }
            self.record.leases.insert(*lease, held.clone());
        }
        let sweep = restored.into_sweep(state)?;
        self.record.names.insert(sweep.spec.name.clone(), id);
        self.record.requests.insert(sweep.request_id.clone(), id);
        self.record.sweeps.insert(id, sweep);
        Ok(())
    }
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Broken> {
    serde_json::from_slice(bytes)
        .map_err(|error| Broken(format!("a part of the snapshot cannot be read: {error}")))
}

impl RestoredSweep {
    fn written(&self) -> WrittenSweep {
        WrittenSweep {
            trials: self.history.full_trial_chunks(),
            log: self.history.full_entry_chunks(),
            past: self.past.chunks().to_vec(),
        }
    }

    fn into_sweep(self, state: SweepPart) -> Result<Sweep, Broken> {
        let Self { id, created, history, past, .. } = self;
        let SweepCreated { request_id, spec, data, warm_start, rungs } = created;
        let rungs = rungs.unwrap_or_default();
        let mut asks = Asks::default();
        for ask in state.asks {
            let key = (ask.client.clone(), ask.request_id.clone());
            asks.restore(key, ask.restore(&history)?);
        }
        let best = state.best.map(|best| best.restore(&history)).transpose()?;
        let mut trials = Trials { past, best, ..Trials::default() };
        for stored in state.in_flight {
            let trial = stored.restore(&history)?;
            trials.in_flight.insert(trial.number, trial);
        }
        let mut sweep = Sweep {
            id,
            request_id,
            data,
            warm_start: warm_start.into(),
            phase: state.phase,
            is_paused: state.is_paused,
            trials,
            rung_costs: rung_costs(&history, rungs.len()),
            rungs,
            clock: state.clock,
            in_flight: Default::default(),
            queue: Default::default(),
            decidable: Default::default(),
            pending: Vec::new(),
            history,
            statistics: state.statistics,
            scoring: state.scoring,
            leases: state.leases.iter().map(|(lease, _)| *lease).collect(),
            asks,
            spec: spec.into(),
        };
        index_flight(&mut sweep);
        Ok(sweep)
    }
}

/// The costs of the trials that have reached each rung, from the decisions there.
fn rung_costs(history: &History, rungs: usize) -> Vec<SortedList<TotalF64>> {
    let mut costs: Vec<Vec<TotalF64>> = vec![Vec::new(); rungs];
    for entry in history.entries() {
        if let Stage::Passed(rung) | Stage::Stopped(rung) = entry.stage
            && let Some(costs) = costs.get_mut(index(rung))
        {
            costs.push(comparable(entry.cost.unwrap_or(f64::INFINITY)));
        }
    }
    costs.into_iter().map(|costs| costs.into_iter().collect()).collect()
}

/// Makes the indexes of the trials in flight.
fn index_flight(sweep: &mut Sweep) {
    for trial in sweep.trials.in_flight() {
        let place = (trial.due, trial.number);
        sweep.in_flight.insert(place);
        if matches!(trial.status, TrialStatus::Waiting) {
            sweep.queue.insert(place);
        }
        if sweep.is_decidable(trial) {
            sweep.decidable.insert(place);
        }
        if trial.passed_rungs == 0 {
            sweep.pending.push(trial.number.0);
        }
    }
}
