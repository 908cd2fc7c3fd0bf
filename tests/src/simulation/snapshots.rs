//! The snapshots that the coordinator of a simulation takes, restarts from, and loads sweeps from.

use std::collections::BTreeMap;

use caviar_common::ids::SweepId;
use caviar_core::event::Event;
use caviar_core::input::Config;
use caviar_core::snapshot::{LoadJob, LoadedSweep, Part, PartKind, Restore, Written};
use caviar_core::{Coordinator, Replay};

use super::STORE;

/// Events after which the next snapshot is taken.
const EVERY: usize = 50;

/// The last snapshot.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    written: Written,
    record: Vec<u8>,
    parts: BTreeMap<(SweepId, PartKind, u32), Part>,
    /// How many events there were.
    events: usize,
}

impl Snapshots {
    /// Takes a snapshot if there were many events since the last one, and unloads the sweeps that
    /// have ended.
    pub(super) fn take(&mut self, core: &mut Coordinator, events: &[Event]) {
        if events.len() < self.events + EVERY {
            return;
        }
        let changed = events.iter().skip(self.events).map(|event| event.sweep);
        let changed: std::collections::BTreeSet<SweepId> = changed.collect();
        let capture = core.capture(changed.iter().copied()).expect("no sweep is quarantined");
        let encoded = capture.encode(&mut self.written).expect("it has JSON");
        self.record = encoded.record;
        let sweeps = core.record().sweeps();
        self.parts.retain(|(sweep, _, _), _| sweeps.contains_key(sweep));
        for part in encoded.parts {
            self.parts.insert((part.sweep, part.kind, part.number), part);
        }
        self.events = events.len();
        for sweep in changed {
            core.unload(sweep);
        }
    }

    /// Loads what a sweep that has ended lacks. Returns false if it lacks nothing.
    pub(super) fn load(&self, core: &mut Coordinator, sweep: SweepId) -> bool {
        let Some(job) = core.load_job(sweep) else { return false };
        core.load(self.loaded(job));
        true
    }

    fn loaded(&self, mut job: LoadJob) -> LoadedSweep {
        let sweep = job.sweep();
        let parts = self.parts.values().filter(|part| part.sweep == sweep && part.kind.is_chunk());
        parts.for_each(|part| job.add(part).expect("the parts fit"));
        job.finish().expect("no part is missing")
    }

    /// Loads all sweeps.
    pub(super) fn load_all(&self, core: &mut Coordinator) {
        let sweeps: Vec<SweepId> = core.record().sweeps().keys().copied().collect();
        for sweep in sweeps {
            self.load(core, sweep);
        }
    }

    /// A restart from the last snapshot and the events after it; `None` before the first one.
    pub(super) fn replay(&self, config: Config, events: &[Event]) -> Option<Replay> {
        (self.events > 0).then_some(())?;
        let mut restore = Restore::new(&self.record).expect("it is of this release");
        for part in self.parts.values() {
            if !restore.needs(part.kind) {
                continue;
            }
            restore.add(part).expect("the parts fit");
        }
        let restored = restore.finish().expect("no part is missing");
        let (mut replay, _) = Replay::from_snapshot(config, STORE, restored);
        for event in events.iter().skip(self.events) {
            if let Some(job) = replay.needs(event) {
                replay.load(self.loaded(job));
            }
            replay.apply(event).expect("the events fit");
        }
        Some(replay)
    }
}
