//! The coordinator as a pure state machine: no I/O, no clock, no threads.
//!
//! ```text
//! Input --hear(now)--> handlers (read) --> Event --> apply (writes)
//!          decide() --> decisions, placement (read) --> Event --> apply (writes)
//!                  --> events to store, then effects to carry out and replies to send
//! ```
//! The driver stores the events durably, and only then carries out the effects and sends the reply.
//! After a restart, [`Coordinator::recover`] applies the stored events with the same code.
//!
//! # Modules
//! - [`record`]: the events, and the state that they make. Only its `apply` changes that state.
//! - `volatile`: the state that a restart may forget, such as connections.
//! - `requests`: handlers of inputs from clients and workers, and of the tick.
//! - `decisions`: new trials, rungs and ends, in virtual time.
//! - `loading`: which requests need a sweep that has ended and is not in memory.
//! - `placement`: which worker executes which waiting trial, and which trials are parked.
//! - [`query`]: the views that clients see, and [`tables`]: the rows of all trials, in memory.
//!
//! # Example
//! A sweep whose trials an external client runs. A driver would store the events of every step
//! before it acts on the rest of it.
//!
//! ```
//! use caviar_common::ask::{Ask, AskKey, Tell};
//! use caviar_common::data::DataSummary;
//! use caviar_common::ids::{Name, StoreId};
//! use caviar_common::metric::NamedMetrics;
//! use caviar_common::outcome::{Outcome, SweepState};
//! use caviar_common::spec::file::parse;
//! use caviar_core::Coordinator;
//! use caviar_core::input::{ClientReply, Config, Effect, Input, Reply, Waiter, WaiterId};
//!
//! let file = r#"
//!     name = "tiny"
//!     data = { source = "external" }
//!     fixed = { epochs = 1 }
//!     space.x = { low = 0.0, high = 1.0 }
//!     search = { strategy = "random", trials = 2, parallelism = 1 }
//!     objective = { metric = "error", goal = "minimize" }
//! "#;
//! let spec = Box::new(parse(file).expect("a correct sweep file").spec);
//! let name = |text| Name::parse("name", text).expect("a legal name");
//!
//! let mut core = Coordinator::new(Config::default(), StoreId(1));
//! let data = DataSummary::default();
//! let (request_id, for_slots) = (name("create"), None);
//! let step = core.step(0, Input::CreateSweep { request_id, spec, data, for_slots })?;
//! let Ok(Reply::Sweep(sweep)) = step.reply else { panic!("{:?}", step.reply) };
//! assert_eq!(step.events[0].name(), "sweep_created");
//!
//! for request in ["first", "second"] {
//!     let key = AskKey { request_id: name(request), client: name("me"), token: None };
//!     let ask = Ask { key, count: 1, lease_ms: 60_000 };
//!     let waiter = Waiter { id: WaiterId(1), is_patient: false };
//!     let step = core.step(1, Input::AskTrials(sweep, ask, waiter))?;
//!     let answer = step.effects.into_iter().find_map(|effect| match effect {
//!         Effect::Answer(_, ClientReply::Trials(answer)) => Some(answer),
//!         _ => None,
//!     });
//!     let asked = answer.expect("an answer").trials.remove(0);
//!     let error = asked.assignment.get("x").and_then(|x| x.as_f64()).expect("x is searched");
//!     let last = NamedMetrics { epoch: 1, metrics: [(name("error"), error)].into() };
//!     let (trial, lease, outcome) = (asked.trial, asked.lease, Outcome::Completed);
//!     let tell = Tell { trial, lease, token: None, outcome, last: Some(last), seconds: 0.1 };
//!     core.step(2, Input::TellTrial(sweep, tell, WaiterId(2)))?;
//! }
//! let view = core.sweep(sweep).expect("the sweep exists");
//! assert_eq!(view.state, SweepState::Completed);
//! assert!(view.best.is_some());
//! # Ok::<(), caviar_core::Broken>(())
//! ```
#![forbid(unsafe_code)]

mod changes;
mod decisions;
mod halt;
mod idle;
pub mod input;
mod loading;
mod placement;
mod quarantine;
pub mod query;
mod record;
mod requests;
mod schedule;
pub mod tables;
mod volatile;

pub use record::{Broken, Difference, curve, event, replay_decisions, snapshot, state};

use std::collections::BTreeMap;

use caviar_common::ask::AskReply;
use caviar_common::ids::{LeaseId, StoreId, SweepId};
use caviar_common::view::{SweepView, TrialView};

use changes::Changes;
use event::{Event, LeaseEnd, LeaseEnded, Payload};
use halt::Halt;
use input::{ClientReply, Config, Decided, Effect, Input, Reply, Rows, Step};
use snapshot::{Capture, LoadJob, LoadedSweep, Restored, Written};
use state::Record;
use volatile::{Touched, Volatile};

/// The coordinator.
#[derive(Debug)]
pub struct Coordinator {
    config: Config,
    store: StoreId,
    record: Record,
    volatile: Volatile,
    changes: Changes,
}

impl Coordinator {
    /// An empty coordinator for the leases of `store`.
    pub fn new(config: Config, store: StoreId) -> Self {
        let (record, volatile) = (Record::default(), Volatile::default());
        Self { config, store, record, volatile, changes: Changes::default() }
    }

    /// The coordinator that wrote `events`, restarted at `now` (milliseconds on any monotonic
    /// clock). Every worker with a lease has one full lease duration to reconnect.
    ///
    /// # Errors
    /// The first event that does not fit the events before it.
    pub fn recover(
        config: Config,
        store: StoreId,
        now: u64,
        events: impl IntoIterator<Item = Event>,
    ) -> Result<Self, Broken> {
        let mut replay = Replay::new(config, store);
        for event in events {
            replay.apply(&event)?;
        }
        Ok(replay.finish(now))
    }

    /// Takes one input at time `now`, and every decision that is possible after it:
    /// [`Coordinator::hear`] and [`Coordinator::decide`]. It runs the samplers itself.
    ///
    /// # Errors
    /// A broken invariant: the process must end without storing anything of the step.
    pub fn step(&mut self, now: u64, input: Input) -> Result<Step, Broken> {
        let mut step = self.hear(now, input)?;
        loop {
            let decided = self.decide(&mut || true)?;
            step.events.extend(decided.events);
            step.effects.extend(decided.effects);
            if decided.jobs.is_empty() {
                return Ok(step);
            }
            for job in decided.jobs {
                self.hear(now, Input::Sampled(Box::new(job.run())))?;
            }
        }
    }

    /// Takes one input at time `now` without taking decisions, so it never waits for a sampler. A
    /// sweep that the input [needs](Coordinator::needs) must be loaded before. The caller stores
    /// the events, in order, before it carries out an effect or sends the reply.
    ///
    /// # Errors
    /// A broken invariant: the process must end without storing anything of the step.
    pub fn hear(&mut self, now: u64, input: Input) -> Result<Step, Broken> {
        // Workers send four heartbeats per lease duration, and ticks come more often than that.
        self.volatile.clock.advance(now, self.config.lease_ttl_ms / 4);
        let reply = match self.handle(now, input) {
            Ok(reply) => Ok(reply),
            Err(Halt::Refused(refusal)) => Err(refusal),
            Err(Halt::Broken(broken)) => Err(self.contain(broken)?),
        };
        let Changes { events, effects, jobs } = std::mem::take(&mut self.changes);
        // Only `decide` asks samplers.
        self.changes.jobs = jobs;
        Ok(Step { reply, events, effects })
    }

    /// Takes the possible decisions and places waiting trials on workers. After each of them,
    /// `may_continue` says whether to go on now. In virtual time the result does not depend on when
    /// decisions are taken.
    ///
    /// # Errors
    /// A broken invariant: the process must end without storing anything of the step.
    pub fn decide(&mut self, may_continue: &mut dyn FnMut() -> bool) -> Result<Decided, Broken> {
        let is_all = loop {
            match self.decide_and_place(may_continue) {
                Ok(is_all) => break is_all,
                Err(broken) => drop(self.contain(broken)?),
            }
        };
        if is_all {
            self.watch_idle_slots();
        }
        let changed = std::mem::take(&mut self.volatile.changed);
        self.changes.effects.extend(changed.into_iter().map(Effect::Changed));
        let Changes { events, effects, jobs } = std::mem::take(&mut self.changes);
        Ok(Decided { events, effects, jobs, is_all })
    }

    fn decide_and_place(&mut self, may_continue: &mut dyn FnMut() -> bool) -> Result<bool, Broken> {
        let is_decided = self.take_decisions(may_continue)?;
        Ok(self.place(may_continue)? && is_decided)
    }

    /// The sweeps and trials that have changed since the last call, as clients see them now. The
    /// driver writes them into the tables that people and queries read. A deleted sweep is not
    /// among them.
    pub fn take_rows(&mut self) -> Rows {
        let Touched { sweeps, trials } = std::mem::take(&mut self.volatile.touched);
        let row = |((id, number), retired): (_, Option<TrialView>)| {
            Some(((id, number), retired.or_else(|| self.trial_in_flight(id, number))?))
        };
        let trials = trials.into_iter().filter_map(row).map(|((id, _), view)| (id, view)).collect();
        let sweeps = sweeps.into_iter().filter(|id| self.record.sweep(*id).is_some()).collect();
        Rows { sweeps, trials }
    }

    /// What a snapshot needs of the state after the events so far. `changed` are the sweeps that
    /// may have changed since the last snapshot. `None` while a sweep is quarantined: its state is
    /// not one that events make, and a restart tries again.
    pub fn capture(&self, changed: impl IntoIterator<Item = SweepId>) -> Option<Capture> {
        self.volatile.quarantined.is_empty().then(|| Capture::new(&self.record, changed))
    }

    /// The leases that `event`, which is not applied yet, will end.
    fn leases_that_end(&self, event: &Event) -> Vec<LeaseId> {
        let sweep = self.record.sweep(event.sweep);
        match &event.payload {
            Payload::LeaseEnded(ended) => vec![ended.lease],
            Payload::TrialFinished(finished) => vec![finished.lease],
            Payload::WinnerScored(scored) => vec![scored.lease],
            Payload::TrialStopped(stopped) => {
                let trial = sweep.and_then(|sweep| sweep.trial(stopped.trial));
                trial.and_then(state::Trial::running_lease).into_iter().collect()
            }
            Payload::SweepCancelled => {
                sweep.into_iter().flat_map(|sweep| sweep.leases().iter().copied()).collect()
            }
            Payload::SweepCreated(_)
            | Payload::SweepPaused
            | Payload::SweepResumed
            | Payload::SweepResized(_)
            | Payload::SweepExtended(_)
            | Payload::LeaseRestored(_)
            | Payload::LossWithdrawn(_)
            | Payload::SweepDeleted(_)
            | Payload::SweepCompleted
            | Payload::TrialSampled(_)
            | Payload::LeaseGranted(_)
            | Payload::TrialsAsked(_)
            | Payload::EpochRecorded(_)
            | Payload::EpochsRecorded(_)
            | Payload::TrialPassed(_)
            | Payload::TrialDecided(_)
            | Payload::ScoringStarted(_)
            | Payload::CheckpointChanged(_) => Vec::new(),
        }
    }

    /// Notes what `event`, which is not applied yet, will change in the rows.
    fn touch(&mut self, event: &Event) {
        let touched = &mut self.volatile.touched;
        if matches!(event.payload, Payload::SweepCancelled)
            && let Some(sweep) = self.record.sweep(event.sweep)
        {
            // It also ends the trials in flight.
            let in_flight = sweep.in_flight().iter().map(|(_, trial)| *trial);
            touched.trials.extend(in_flight.map(|trial| ((event.sweep, trial), None)));
        }
        for trial in event.trials() {
            touched.trials.entry((event.sweep, trial)).or_default();
        }
    }

    /// The state that the events made.
    pub const fn record(&self) -> &Record {
        &self.record
    }

    fn handle(&mut self, now: u64, input: Input) -> Result<Reply, Halt> {
        match input {
            Input::CreateSweep { request_id, spec, data, for_slots } => {
                self.create_sweep(request_id, *spec, data, for_slots)
            }
            Input::PauseSweep(sweep) => self.pause_sweep(sweep),
            Input::ResumeSweep(sweep) => self.resume_sweep(sweep),
            Input::ResizeSweep(sweep, parallelism) => self.resize_sweep(sweep, parallelism),
            Input::ExtendSweep { sweep, request_id, added } => {
                self.extend_sweep(sweep, request_id, added)
            }
            Input::CancelSweep(sweep) => self.cancel_sweep(sweep),
            Input::DeleteSweep(sweep) => self.delete_sweep(sweep),
            Input::Message { session, token, message } => self.receive(session, token, message),
            Input::AskTrials(sweep, ask, waiter) => self.ask_trials(sweep, ask, waiter),
            Input::StopWaiting(waiter) => {
                if self.volatile.waiting.remove_ask(waiter).is_some() {
                    self.changes.answer(waiter, ClientReply::Trials(AskReply::default()));
                }
                Ok(Reply::Done)
            }
            Input::ReportTrial(sweep, report, waiter) => self.report_trial(sweep, report, waiter),
            Input::TellTrial(sweep, tell, waiter) => self.tell_trial(sweep, tell, waiter),
            Input::Sampled(sampled) => {
                self.take_sampled(*sampled);
                Ok(Reply::Done)
            }
            Input::SessionClosed(session) => {
                self.forget_session(session);
                Ok(Reply::Done)
            }
            Input::DrainWorker(worker) => self.drain_worker(&worker),
            Input::ReleaseTrial(sweep, trial) => self.release_trial(sweep, trial),
            Input::Tick => {
                // Silence is measured up to this tick, and the next time begins with it.
                self.volatile.clock.tick(now);
                self.expire_client_leases()?;
                self.end_stalled_trainings()?;
                self.expire_workers()?;
                Ok(Reply::Done)
            }
        }
    }

    /// Applies an event to the record, and notes what it changes in the rows.
    fn apply(&mut self, event: &Event) -> Result<(), Broken> {
        self.touch(event);
        record::apply(&mut self.record, event)?;
        for (id, trial) in self.record.take_retired() {
            let view = self.record.sweep(id).map(|sweep| query::view(sweep, &trial));
            self.volatile.touched.trials.insert((id, trial.number()), view);
        }
        Ok(())
    }

    /// Notes that workers whose leases `event`, which is not applied yet, will end may have more
    /// memory then. A worker that could not train has no more than before.
    fn note_memory(&mut self, event: &Event, ended: &[LeaseId]) {
        let is_refusal = |ended: &LeaseEnded| matches!(ended.cause, LeaseEnd::Unable { .. });
        if self.volatile.unable.is_empty()
            || matches!(&event.payload, Payload::LeaseEnded(ended) if is_refusal(ended))
        {
            return;
        }
        for lease in ended {
            if let Some(worker) = self.record.lease(*lease).and_then(state::Lease::worker) {
                self.volatile.unable.may_have_memory(worker);
            }
        }
    }

    /// Applies an event to the record and adds it to the step.
    fn emit(&mut self, sweep: SweepId, payload: impl Into<Payload>) -> Result<(), Broken> {
        let event = Event::new(sweep, payload);
        let ended = self.leases_that_end(&event);
        self.note_memory(&event, &ended);
        if let Err(broken) = self.apply(&event) {
            self.volatile.breaking = Some(sweep);
            return Err(broken);
        }
        ended.into_iter().for_each(|lease| self.forget_lease(lease));
        if let Payload::LeaseEnded(LeaseEnded { trial, lease, cause: LeaseEnd::Expired, .. }) =
            event.payload
        {
            self.volatile.remember_expired(lease, (sweep, trial));
        }
        self.volatile.mark_undecided(sweep);
        for trial in event.trials() {
            self.reschedule(sweep, trial);
        }
        if event.trials().is_empty() {
            self.reschedule_sweep(sweep);
        }
        if matches!(event.payload, Payload::SweepCompleted | Payload::SweepCancelled) {
            self.volatile.samplers.remove(&sweep);
        }
        self.changes.events.push(event);
        Ok(())
    }
}

/// A restart: the stored events are applied one after the other.
#[derive(Debug)]
pub struct Replay(Coordinator, BTreeMap<SweepId, String>);

impl Replay {
    /// A restart of the coordinator that granted the leases of `store`.
    pub fn new(config: Config, store: StoreId) -> Self {
        Self(Coordinator::new(config, store), BTreeMap::new())
    }

    /// A restart that begins with a snapshot, and which parts of it are stored. The next event is
    /// the one after it.
    pub fn from_snapshot(config: Config, store: StoreId, restored: Restored) -> (Self, Written) {
        let Restored { record, written } = restored;
        let coordinator = Coordinator { record, ..Coordinator::new(config, store) };
        (Self(coordinator, BTreeMap::new()), written)
    }

    /// What must be loaded before the next event is applied: a sweep that had ended in the
    /// snapshot, and was extended later. `None` if everything is in memory.
    pub fn needs(&self, event: &Event) -> Option<LoadJob> {
        let is_extended = matches!(event.payload, Payload::SweepExtended(_));
        is_extended.then(|| self.0.load_job(event.sweep)).flatten()
    }

    /// Loads what an event needs.
    pub fn load(&mut self, loaded: LoadedSweep) {
        self.0.load(loaded);
    }

    /// Applies the next event.
    ///
    /// # Errors
    /// The event does not fit the events before it.
    pub fn apply(&mut self, event: &Event) -> Result<(), Broken> {
        record::apply(&mut self.0.record, event)?;
        self.0.record.take_retired();
        Ok(())
    }

    /// Applies the next event, or quarantines its sweep if the event does not fit the events before
    /// it. Of a quarantined sweep, only the numbers that were used count.
    pub fn apply_or_quarantine(&mut self, event: &Event) {
        if !self.1.contains_key(&event.sweep)
            && let Err(broken) = self.apply(event)
        {
            self.quarantine(event.sweep, broken.0);
        }
        if self.1.contains_key(&event.sweep) {
            record::reserve(&mut self.0.record, event);
        }
    }

    /// Quarantines a sweep some of whose events are lost.
    pub fn quarantine(&mut self, sweep: SweepId, reason: String) {
        self.1.entry(sweep).or_insert(reason);
    }

    /// The sweeps that are quarantined so far, and why.
    pub const fn quarantined(&self) -> &BTreeMap<SweepId, String> {
        &self.1
    }

    /// Applies the next event, and notes what it changes in the rows.
    ///
    /// # Errors
    /// The event does not fit the events before it.
    pub fn apply_with_rows(&mut self, event: &Event) -> Result<(), Broken> {
        self.0.volatile.touched.sweeps.insert(event.sweep);
        self.0.apply(event)
    }

    /// The rows that the events since the last call have changed.
    pub fn take_rows(&mut self) -> Rows {
        self.0.take_rows()
    }

    /// The view of a sweep; `None` if it does not exist.
    pub fn sweep(&self, id: SweepId) -> Option<SweepView> {
        self.0.sweep(id)
    }

    /// The record so far.
    pub const fn record(&self) -> &Record {
        &self.0.record
    }

    /// The coordinator, restarted at `now`, in milliseconds on any monotonic clock. Every worker
    /// with a lease has one full lease duration to reconnect.
    pub fn finish(self, now: u64) -> Coordinator {
        let mut coordinator = self.0;
        coordinator.volatile = Volatile::after_restart(&coordinator.record, now);
        coordinator.reschedule_all();
        if !self.1.is_empty() {
            // Lost events may have used more numbers.
            record::leave_a_gap(&mut coordinator.record);
        }
        for (sweep, reason) in self.1 {
            coordinator.quarantine(sweep, reason);
        }
        coordinator
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sampler_of_a_sweep_that_ended_is_dropped() {
        let mut core = Coordinator::new(Config::default(), StoreId(1));
        for sweep in ["s", "t"] {
            let text = format!(
                "name = \"{sweep}\"\ndata = {{ source = \"builtin:digits\" }}\n\
                 search = {{ strategy = \"random\", trials = 1 }}\n"
            );
            let spec = Box::new(caviar_common::spec::file::parse(&text).unwrap().spec);
            let request_id = caviar_common::ids::Name::parse("name", sweep).unwrap();
            let data = caviar_common::data::DataSummary::default();
            core.step(0, Input::CreateSweep { request_id, spec, data, for_slots: None })
                .unwrap()
                .reply
                .unwrap();
        }
        assert_eq!(core.volatile.samplers.len(), 2);
        core.step(0, Input::CancelSweep(SweepId(2))).unwrap().reply.unwrap();
        let left: Vec<&SweepId> = core.volatile.samplers.keys().collect();
        assert_eq!(left, [&SweepId(1)]);
    }
}
