//! Restoring a snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;

use caviar_common::ids::SweepId;
use serde::Deserialize;

use super::load::{Chunks, incomplete, out_of_order};
use super::stored::SweepPart;
use super::{LoadJob, Part, PartKind, RecordPart, VERSION, Written, WrittenSweep};
use crate::record::Broken;
use crate::record::event::SweepCreated;
use crate::record::state::past::Past;
use crate::record::state::{Asks, Holder, Record, Sweep, TrialStatus, Trials};

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
    chunks: Chunks,
}

impl Restored {
    /// What loads the sweeps that have ended, whose chunks were not added.
    pub fn load_jobs(&self) -> impl Iterator<Item = LoadJob> {
        self.record.sweeps.values().filter_map(LoadJob::new)
    }
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

    /// True if the next part must be added if it has this kind. The chunks of a sweep that has
    /// ended can be left out.
    pub fn needs(&self, kind: PartKind) -> bool {
        let state = self.sweep.as_ref().and_then(|sweep| sweep.state.as_ref());
        !(kind.is_chunk() && state.is_some_and(SweepPart::has_ended))
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
            let chunks = Chunks::new(&created.spec);
            self.sweep = Some(RestoredSweep { id: *sweep, created, state: None, chunks });
            return Ok(());
        }
        let restored = self.sweep.as_mut().filter(|restored| restored.id == *sweep);
        let RestoredSweep { state, chunks, .. } = restored.ok_or_else(|| out_of_order(*sweep))?;
        if *kind == PartKind::State {
            *state = Some(parse(bytes)?);
            return Ok(());
        }
        chunks.add(part)
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
        let state = restored.state.take().ok_or_else(|| incomplete(id))?;
        let has_chunks = restored.chunks.has(state.trials, state.decisions);
        let is_unloaded = state.has_ended() && restored.chunks.is_empty();
        if !(has_chunks || is_unloaded) || self.record.sweep(id).is_some() {
            return Err(incomplete(id));
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
        let Chunks { history, past } = &self.chunks;
        WrittenSweep {
            trials: history.full_trial_chunks(),
            log: history.full_entry_chunks(),
            past: past.chunks().to_vec(),
        }
    }

    fn into_sweep(self, state: SweepPart) -> Result<Sweep, Broken> {
        let Self { id, created, chunks, .. } = self;
        let SweepCreated { request_id, spec, data, warm_start, earlier, .. } = created;
        let (auto_slots, ties) = (created.auto_slots, created.ties);
        let rungs = created.rungs.unwrap_or_default();
        let is_unloaded = chunks.is_empty() && state.has_ended();
        let rung_costs = if is_unloaded { Vec::new() } else { chunks.rung_costs(rungs.len()) };
        let Chunks { history, past } = chunks;
        let past = if is_unloaded { Past::unloaded(state.trials) } else { past };
        let mut asks = Asks::default();
        for ask in state.asks {
            asks.restore(ask.key.clone(), ask.restore(&spec.space)?);
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
            earlier: earlier.map(Arc::new),
            phase: state.phase,
            is_paused: state.is_paused,
            auto_slots,
            ties,
            resizes: state.resizes,
            extensions: state.extensions,
            trials,
            rung_costs,
            unloaded_decisions: is_unloaded.then_some(state.decisions),
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
            models: state.models,
            spec: spec.into(),
        };
        index_flight(&mut sweep);
        Ok(sweep)
    }
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
