//! Taking a snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;

use caviar_common::data::DataSummary;
use caviar_common::ids::{LeaseId, Name, SweepId};
use caviar_common::numbers::to_u32;
use caviar_common::spec::SweepSpec;
use caviar_search::History;
use serde::Serialize;

use super::stored::{StoredAsk, StoredTrial, SweepPart};
use super::{Encoded, Part, PartKind, RecordPart, VERSION, Written, WrittenSweep};
use crate::record::Broken;
use crate::record::event::{
    EarlierResults, EarlierTrials, SweepCreated, SweepExtended, SweepResized, Ties,
};
use crate::record::state::past::to_bytes;
use crate::record::state::{
    Asks, Lease, Models, Phase, Record, Scoring, Statistics, Sweep, Trials,
};

/// The record at one moment, as far as it has changed since an earlier one.
#[derive(Debug)]
pub struct Capture {
    next_sweep: SweepId,
    next_lease: LeaseId,
    results: BTreeMap<LeaseId, SweepId>,
    sweeps: Vec<SweepCapture>,
    /// The changed sweeps that are not there any more.
    deleted: Vec<SweepId>,
}

/// A sweep at one moment.
#[derive(Debug)]
struct SweepCapture {
    id: SweepId,
    request_id: Name,
    spec: Arc<SweepSpec>,
    data: DataSummary,
    warm_start: Arc<EarlierResults>,
    earlier: Option<Arc<EarlierTrials>>,
    rungs: Vec<u32>,
    phase: Phase,
    is_paused: bool,
    auto_slots: Option<u32>,
    ties: Ties,
    resizes: Vec<SweepResized>,
    extensions: Vec<SweepExtended>,
    clock: u64,
    statistics: Statistics,
    scoring: Option<Scoring>,
    leases: Vec<(LeaseId, Lease)>,
    asks: Asks,
    models: Models,
    trials: Trials,
    history: History,
}

impl Capture {
    /// The record now. `changed` are the sweeps that may have changed since the last snapshot.
    pub(crate) fn new(record: &Record, changed: impl IntoIterator<Item = SweepId>) -> Self {
        let is_there = |id: &SweepId| record.sweep(*id).is_some();
        let (changed, deleted): (Vec<_>, Vec<_>) = changed.into_iter().partition(is_there);
        // The chunks of a sweep that is not loaded are stored, and it does not change any more.
        let sweeps = changed.into_iter().filter_map(|id| record.sweep(id));
        let sweeps = sweeps.filter(|sweep| sweep.is_loaded());
        Self {
            next_sweep: record.next_sweep,
            next_lease: record.next_lease,
            results: record.results.clone(),
            sweeps: sweeps.map(|sweep| SweepCapture::new(record, sweep)).collect(),
            deleted,
        }
    }

    /// The bytes of what is not `written` yet. They count as written from now on.
    ///
    /// # Errors
    /// Something has no JSON: a bug.
    pub fn encode(&self, written: &mut Written) -> Result<Encoded, Broken> {
        let mut parts = Vec::new();
        for deleted in &self.deleted {
            written.0.remove(deleted);
        }
        for sweep in &self.sweeps {
            sweep.encode(written, &mut parts)?;
        }
        let record = json(&RecordPart {
            version: VERSION,
            next_sweep: self.next_sweep,
            next_lease: self.next_lease,
            results: self.results.iter().map(|(lease, sweep)| (*lease, *sweep)).collect(),
        })?;
        Ok(Encoded { record, parts })
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, Broken> {
    serde_json::to_vec(value).map_err(|error| Broken(format!("a snapshot has no JSON: {error}")))
}

impl SweepCapture {
    fn new(record: &Record, sweep: &Sweep) -> Self {
        let lease = |id: &LeaseId| Some((*id, record.lease(*id)?.clone()));
        Self {
            id: sweep.id,
            request_id: sweep.request_id.clone(),
            spec: Arc::clone(&sweep.spec),
            data: sweep.data.clone(),
            warm_start: Arc::clone(&sweep.warm_start),
            earlier: sweep.earlier.clone(),
            rungs: sweep.rungs.clone(),
            phase: sweep.phase,
            is_paused: sweep.is_paused,
            auto_slots: sweep.auto_slots,
            ties: sweep.ties,
            resizes: sweep.resizes.clone(),
            extensions: sweep.extensions.clone(),
            clock: sweep.clock,
            statistics: sweep.statistics.clone(),
            scoring: sweep.scoring.clone(),
            leases: sweep.leases.iter().filter_map(lease).collect(),
            asks: sweep.asks.clone(),
            models: sweep.models.clone(),
            trials: sweep.trials.clone(),
            history: sweep.history.clone(),
        }
    }

    fn encode(&self, written: &mut Written, parts: &mut Vec<Part>) -> Result<(), Broken> {
        let part = |kind, number: usize, bytes| {
            let (sweep, number) = (self.id, to_u32(number));
            Part { sweep, kind, number, bytes }
        };
        if !written.0.contains_key(&self.id) {
            parts.push(part(PartKind::Created, 0, json(&self.created())?));
        }
        let state = self.state();
        parts.push(part(PartKind::State, 0, json(&state)?));
        let WrittenSweep { trials, log, past } = written.0.entry(self.id).or_default();
        // The last chunk, which is not full, is written each time.
        for chunk in *trials..=self.history.full_trial_chunks() {
            let bytes = self.history.trial_chunk_bytes(chunk);
            parts.extend(bytes.map(|bytes| part(PartKind::Trials, chunk, bytes)));
        }
        for chunk in *log..=self.history.full_entry_chunks() {
            let bytes = self.history.entry_chunk_bytes(chunk);
            parts.extend(bytes.map(|bytes| part(PartKind::Log, chunk, bytes)));
        }
        for (number, chunk) in self.trials.past.chunks().iter().enumerate() {
            if !past.get(number).is_some_and(|before| Arc::ptr_eq(before, chunk)) {
                parts.push(part(PartKind::Past, number, to_bytes(chunk)));
            }
        }
        *trials = self.history.full_trial_chunks();
        *log = self.history.full_entry_chunks();
        *past = self.trials.past.chunks().to_vec();
        if state.has_ended() {
            // Its chunks need not be known while it does not change. If it is extended, they are
            // written again.
            *past = Vec::new();
        }
        Ok(())
    }

    fn created(&self) -> SweepCreated {
        SweepCreated {
            request_id: self.request_id.clone(),
            spec: SweepSpec::clone(&self.spec),
            data: self.data.clone(),
            warm_start: EarlierResults::clone(&self.warm_start),
            rungs: Some(self.rungs.clone()),
            auto_slots: self.auto_slots,
            ties: self.ties,
            earlier: self.earlier.as_deref().cloned(),
        }
    }

    fn state(&self) -> SweepPart {
        let space = self.history.space();
        let in_flight = self.trials.in_flight.values();
        SweepPart {
            phase: self.phase,
            is_paused: self.is_paused,
            resizes: self.resizes.clone(),
            extensions: self.extensions.clone(),
            clock: self.clock,
            trials: self.history.trials(),
            decisions: self.history.len(),
            statistics: self.statistics.clone(),
            scoring: self.scoring.clone(),
            leases: self.leases.clone(),
            asks: self.asks.in_order().map(|(key, ask)| StoredAsk::new(space, key, ask)).collect(),
            in_flight: in_flight.map(|trial| StoredTrial::new(space, trial)).collect(),
            best: self.trials.best.as_ref().map(|trial| StoredTrial::with_assignment(space, trial)),
            models: self.models.clone(),
        }
    }
}
