//! What a sweep that has ended does not need in memory: its history, the ends of its trials and
//! the costs at its rungs.
//!
//! ```text
//! Sweep --unload--> a sweep that knows only how much it lacks
//!       <--load-- LoadedSweep <--LoadJob::{add, finish}-- its parts of the kinds in CHUNKS
//! ```
//! A snapshot has all of it, so it can be unloaded once the snapshot is saved. [`Restore`] leaves
//! it where it is, too. Only a few requests need it, such as a warm start; they wait until it is
//! loaded.
//!
//! [`Restore`]: super::Restore

use caviar_common::ids::SweepId;
use caviar_common::numbers::index;
use caviar_common::spec::SweepSpec;
use caviar_search::{History, SortedList, Stage, TotalF64};

use super::{Part, PartKind};
use crate::record::Broken;
use crate::record::cost::comparable;
use crate::record::state::past::{Past, from_bytes};
use crate::record::state::{Record, Sweep};

/// What the chunks of a sweep have.
#[derive(Debug)]
pub(super) struct Chunks {
    pub(super) history: History,
    pub(super) past: Past,
}

impl Chunks {
    pub(super) fn new(spec: &SweepSpec) -> Self {
        Self { history: History::new(spec.space.clone()), past: Past::default() }
    }

    /// Adds the next chunk.
    ///
    /// # Errors
    /// The part is not a chunk, or does not follow the chunks before it.
    pub(super) fn add(&mut self, part: &Part) -> Result<(), Broken> {
        let Part { sweep, kind, bytes, .. } = part;
        let damaged = |error: caviar_search::HistoryError| Broken(error.to_string());
        match kind {
            PartKind::Trials => self.history.push_trial_chunk(bytes).map_err(damaged),
            PartKind::Log => self.history.push_entry_chunk(bytes).map_err(damaged),
            PartKind::Past if from_bytes(bytes).is_some_and(|it| self.past.push_chunk(it)) => {
                Ok(())
            }
            PartKind::Past => Err(out_of_order(*sweep)),
            PartKind::Created | PartKind::State => {
                Err(Broken(format!("a part of sweep {sweep} is not a chunk")))
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.history.trials() == 0 && self.history.is_empty() && self.past.len() == 0
    }

    /// True if this is everything of a sweep with this number of trials and decisions.
    pub(super) fn has(&self, trials: u32, decisions: usize) -> bool {
        let Self { history, past } = self;
        (history.trials(), past.len(), history.len()) == (trials, trials, decisions)
    }

    /// The costs of the trials that have reached each rung, from the decisions there.
    pub(super) fn rung_costs(&self, rungs: usize) -> Vec<SortedList<TotalF64>> {
        let mut costs: Vec<Vec<TotalF64>> = vec![Vec::new(); rungs];
        for entry in self.history.entries() {
            if let Stage::Passed(rung) | Stage::Stopped(rung) = entry.stage
                && let Some(costs) = costs.get_mut(index(rung))
            {
                costs.push(comparable(entry.cost.unwrap_or(f64::INFINITY)));
            }
        }
        costs.into_iter().map(|costs| costs.into_iter().collect()).collect()
    }
}

pub(super) fn out_of_order(sweep: SweepId) -> Broken {
    Broken(format!("a part of sweep {sweep} is missing"))
}

pub(super) fn incomplete(sweep: SweepId) -> Broken {
    Broken(format!("the snapshot of sweep {sweep} is not complete"))
}

/// Makes what an unloaded sweep lacks from the chunks of the snapshot. That may take seconds for
/// millions of trials, so it is done on another thread than the coordinator's.
#[derive(Debug)]
pub struct LoadJob {
    sweep: SweepId,
    chunks: Chunks,
    rungs: usize,
    trials: u32,
    decisions: usize,
}

impl LoadJob {
    /// `None` if the sweep lacks nothing.
    pub(crate) fn new(sweep: &Sweep) -> Option<Self> {
        let decisions = sweep.unloaded_decisions?;
        let (chunks, rungs) = (Chunks::new(&sweep.spec), sweep.rungs.len());
        Some(Self { sweep: sweep.id, chunks, rungs, trials: sweep.sampled(), decisions })
    }

    /// The sweep.
    pub const fn sweep(&self) -> SweepId {
        self.sweep
    }

    /// Adds the next chunk, in the order of their kinds and numbers.
    ///
    /// # Errors
    /// The part is not the next chunk of the sweep.
    pub fn add(&mut self, part: &Part) -> Result<(), Broken> {
        if part.sweep == self.sweep { self.chunks.add(part) } else { Err(out_of_order(self.sweep)) }
    }

    /// What the sweep lacks.
    ///
    /// # Errors
    /// The chunks have more or fewer trials or decisions than the sweep.
    pub fn finish(self) -> Result<LoadedSweep, Broken> {
        let Self { sweep, chunks, rungs, trials, decisions } = self;
        if !chunks.has(trials, decisions) {
            return Err(incomplete(sweep));
        }
        let rung_costs = chunks.rung_costs(rungs);
        Ok(LoadedSweep { sweep, chunks, rung_costs })
    }
}

/// What an unloaded sweep lacks.
#[derive(Debug)]
pub struct LoadedSweep {
    sweep: SweepId,
    chunks: Chunks,
    rung_costs: Vec<SortedList<TotalF64>>,
}

impl LoadedSweep {
    /// The sweep.
    pub const fn sweep(&self) -> SweepId {
        self.sweep
    }
}

/// Unloads a sweep that has ended. Returns false if it has not, or is unknown.
pub(crate) fn unload(record: &mut Record, id: SweepId) -> bool {
    let Some(sweep) = record.sweeps.get_mut(&id).filter(|sweep| sweep.has_ended()) else {
        return false;
    };
    if sweep.is_loaded() {
        sweep.unloaded_decisions = Some(sweep.history.len());
        sweep.history = History::new(sweep.spec.space.clone());
        sweep.trials.past = Past::unloaded(sweep.trials.past.len());
        sweep.rung_costs = Vec::new();
    }
    true
}

/// Loads an unloaded sweep. A no-op if it was loaded or deleted in the meantime.
pub(crate) fn load(record: &mut Record, loaded: LoadedSweep) {
    let LoadedSweep { sweep, chunks: Chunks { history, past }, rung_costs } = loaded;
    let sweep = record.sweeps.get_mut(&sweep).filter(|sweep| !sweep.is_loaded());
    if let Some(sweep) = sweep {
        sweep.unloaded_decisions = None;
        sweep.history = history;
        sweep.trials.past = past;
        sweep.rung_costs = rung_costs;
    }
}
