//! Why slots have nothing to do, and what a user can do about it.

use std::collections::BTreeSet;

use caviar_common::ids::{Name, SweepId};
use caviar_common::numbers::index;
use caviar_common::spec::Strategy;
use caviar_common::view::IdleView;

use crate::Coordinator;
use crate::record::state::{Phase, Sweep};
use crate::volatile::Worker;

/// Most sweeps that are named as reasons for one worker.
const MOST_REASONS: usize = 3;

/// Why a sweep has nothing for a free slot.
#[derive(Debug)]
pub(crate) struct IdleReason {
    sweep: SweepId,
    name: Name,
    reason: String,
    remedy: Option<String>,
}

impl Coordinator {
    /// Notes how many slots are free now that everything is assigned that can be.
    pub(crate) fn watch_idle_slots(&mut self) {
        let (free, now) = (self.volatile.schedule.free_slots(), self.volatile.clock.now());
        if self.volatile.idle.see(free, now) {
            let unfinished = self.record.sweeps().values().filter(|s| !s.state().is_final());
            let unfinished: Vec<_> = unfinished.map(Sweep::id).collect();
            unfinished.into_iter().for_each(|sweep| self.volatile.mark_changed(sweep));
        }
    }

    /// The idle slots, as far as the sweep is why; `None` if all slots are busy or will be in a
    /// moment.
    pub(crate) fn idle_view(&self, sweep: &Sweep) -> Option<IdleView> {
        let idle = self.volatile.idle.slots();
        let IdleReason { reason, remedy, .. } =
            self.idle_reason(sweep).filter(|_| idle > 0 && !sweep.state().is_final())?;
        Some(IdleView { idle, slots: self.volatile.schedule.slots(), reason, remedy })
    }

    /// Why the first few sweeps have nothing for free slots. Empty if no slot is idle.
    pub(crate) fn idle_reasons(&self) -> Vec<IdleReason> {
        if self.volatile.idle.slots() == 0 {
            return Vec::new();
        }
        let sweeps = self.record.sweeps().values().filter(|sweep| !sweep.state().is_final());
        sweeps.filter_map(|sweep| self.idle_reason(sweep)).take(MOST_REASONS).collect()
    }

    /// How many slots of a worker are idle. Those of a worker that leaves stay idle.
    pub(crate) fn idle_slots_of(&self, name: &Name, worker: &Worker) -> u32 {
        let idle = self.volatile.idle.slots();
        if worker.session.is_none() {
            return 0;
        }
        if worker.is_draining {
            let held = u32::try_from(self.record.held_count(name)).unwrap_or(u32::MAX);
            return worker.slots.saturating_sub(held);
        }
        self.volatile.schedule.free_slots_of(name).min(idle)
    }

    /// Why slots of a worker are idle.
    pub(crate) fn idle_because(
        &self,
        name: &Name,
        worker: &Worker,
        reasons: &[IdleReason],
    ) -> String {
        if worker.is_draining {
            return "the worker leaves, so it takes no new trial".to_owned();
        }
        let of_sweep = |reason: &IdleReason| {
            let IdleReason { sweep, name: of, reason, remedy } = reason;
            if self.volatile.unable.is_barred(name, *sweep) {
                return format!("the worker cannot train sweep {of}; see: caviar status {of}");
            }
            let remedy = remedy.as_ref().map(|remedy| format!("; {remedy}")).unwrap_or_default();
            format!("sweep {of}: {reason}{remedy}")
        };
        let texts: Vec<String> = reasons.iter().map(of_sweep).collect();
        if !texts.is_empty() {
            return texts.join("; ");
        }
        let is_running = |sweep: &Sweep| !sweep.state().is_final();
        if self.record.sweeps().values().any(is_running) {
            "no trial waits for it at the moment".to_owned()
        } else {
            "no sweep is unfinished; to start one: caviar submit FILE".to_owned()
        }
    }

    /// Why a sweep has nothing for a free slot; `None` if it will have something in a moment, or
    /// is not run by workers.
    fn idle_reason(&self, sweep: &Sweep) -> Option<IdleReason> {
        let spec = sweep.spec();
        if spec.data.is_external() || self.quarantined(sweep.id()).is_some() {
            return None;
        }
        let name = &spec.name;
        let (reason, remedy) = if sweep.is_paused() {
            ("it is paused".to_owned(), Some(format!("to continue it: caviar resume {name}")))
        } else if sweep.phase() == Phase::Scoring {
            ("its search is over, and its winner is scored in one slot".to_owned(), None)
        } else if !sweep.queue().is_empty() {
            self.barred_reason(sweep)?
        } else if sweep.sampled() >= sweep.budget() {
            (format!("all {} trials of its budget have been started", sweep.budget()), None)
        } else if sweep.in_flight().len() >= index(sweep.parallelism()) {
            self.full_reason(sweep)
        } else {
            waiting_reason(spec.search.strategy)?
        };
        Some(IdleReason { sweep: sweep.id(), name: name.clone(), reason, remedy })
    }

    /// Trials wait, but workers with free slots cannot train them.
    fn barred_reason(&self, sweep: &Sweep) -> Option<(String, Option<String>)> {
        let unable = &self.volatile.unable;
        let barred = unable.of_sweep(sweep.id()).map(|((worker, _), _)| worker);
        let barred: BTreeSet<&Name> = barred.collect();
        let free = barred.iter().filter(|name| self.volatile.schedule.has_free_slot(name)).count();
        (free > 0).then(|| {
            let workers = if free == 1 { "worker" } else { "workers" };
            let name = &sweep.spec().name;
            let reason = format!("{free} {workers} cannot train its trials");
            (reason, Some(format!("to ask them again now: caviar resume {name}")))
        })
    }

    /// As many trials are in flight as may be.
    fn full_reason(&self, sweep: &Sweep) -> (String, Option<String>) {
        let (parallelism, search) = (sweep.parallelism(), &sweep.spec().search);
        let ended = sweep.statistics().ended_in_flight();
        let mut reason = format!("it keeps {parallelism} trials in flight");
        if ended > 0 {
            let (have, wait) = if ended == 1 { ("has", "waits") } else { ("have", "wait") };
            reason = format!("{reason}; {ended} of them {have} ended and {wait} for earlier ones");
        }
        let slots = self.volatile.schedule.slots();
        let advised = search.auto_parallelism(slots);
        let most = search.most_in_flight().min(slots.max(advised));
        let name = &sweep.spec().name;
        let resize = |number| format!("to use them: caviar resize {name} --parallelism {number}");
        let remedy = if advised > parallelism {
            Some(resize(advised))
        } else if most > parallelism {
            let cost = "its search then learns from fewer results";
            Some(format!("{} ({cost})", resize(most)))
        } else {
            None
        };
        (reason, remedy)
    }
}

/// The sampler waits for results although more trials could be in flight; `None` if it is only
/// thinking.
fn waiting_reason(strategy: Strategy) -> Option<(String, Option<String>)> {
    match strategy {
        Strategy::Rounds => {
            Some(("its next round begins when the trials of this one have ended".to_owned(), None))
        }
        Strategy::Grid => Some(("all points of its grid have been started".to_owned(), None)),
        Strategy::Zoom | Strategy::Random | Strategy::Sobol | Strategy::Tpe => None,
    }
}
