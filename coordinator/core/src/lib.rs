//! The coordinator as a pure state machine: no I/O, no clock, no threads.
//!
//! ```text
//! Input --step(now)--> decide (reads) -> Event -> apply (writes) -+
//!                          ^                                      |     until there is nothing left to decide
//!                          +--------------------------------------+
//!                      --> Step { reply, events, effects }
//! ```
//! The driver stores the events durably, and only then carries out the effects and gives the reply.
//! After a restart [`Coordinator::recover`] applies the stored events with the same `apply`.
//!
//! [`state::Durable`] is what the events make; only `apply` writes it. [`volatile::Volatile`] is
//! what a restart may forget: who is connected, and when each worker was last heard. One step is:
//! handle the input ([`sweeps`], [`workers`]), then take the decisions whose results have arrived
//! ([`advance`], virtual time), then hand waiting trials to free slots ([`place`]).
#![forbid(unsafe_code)]

mod advance;
mod apply;
pub mod event;
mod external;
pub mod input;
mod park;
mod place;
pub mod query;
mod replay;
pub mod state;
mod sweeps;
mod volatile;
mod warm;
mod workers;

pub use replay::{Difference, replay_decisions};

use caviar_common::ids::StoreId;

use event::Event;
use input::{Config, Decided, Effect, Input, Refusal, Reply, Step};
use state::Durable;
use volatile::Volatile;

/// An event that the state does not allow: a bug, or a damaged store. Nothing of the step may be
/// written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event does not fit the state: {0}")]
pub struct Broken(pub String);

/// The coordinator.
#[derive(Debug)]
pub struct Coordinator {
    config: Config,
    store: StoreId,
    durable: Durable,
    volatile: Volatile,
}

/// What is being collected during one step.
#[derive(Debug, Default)]
struct Changes {
    events: Vec<Event>,
    effects: Vec<Effect>,
}

impl Coordinator {
    /// An empty coordinator, whose leases are those of `store`.
    pub fn new(config: Config, store: StoreId) -> Self {
        Self { config, store, durable: Durable::default(), volatile: Volatile::default() }
    }

    /// The coordinator that wrote `events`, restarted at `now` (milliseconds on any monotonic
    /// clock): every worker with a lease has one full lease of grace to come back.
    ///
    /// # Errors
    /// The first event that does not fit what came before it.
    pub fn recover(
        config: Config,
        store: StoreId,
        now: u64,
        events: impl IntoIterator<Item = Event>,
    ) -> Result<Self, Broken> {
        let mut coordinator = Self::new(config, store);
        for event in events {
            apply::apply(&mut coordinator.durable, &event)?;
        }
        coordinator.volatile = Volatile::after_restart(&coordinator.durable, now);
        Ok(coordinator)
    }

    /// Takes one input at time `now`, and every decision that can be taken after it:
    /// [`Coordinator::hear`] and [`Coordinator::decide`].
    ///
    /// # Errors
    /// A broken invariant: the process must end without writing.
    pub fn step(&mut self, now: u64, input: Input) -> Result<Step, Broken> {
        let mut step = self.hear(now, input)?;
        let decided = self.decide(&mut || true)?;
        step.events.extend(decided.events);
        step.effects.extend(decided.effects);
        Ok(step)
    }

    /// Takes one input at time `now` and decides nothing, which takes no time to speak of. Events
    /// are to be stored, in order, before any effect is carried out or reply given.
    ///
    /// # Errors
    /// A broken invariant: the process must end without writing.
    pub fn hear(&mut self, now: u64, input: Input) -> Result<Step, Broken> {
        let mut changes = Changes::default();
        let reply = self.handle(now, input, &mut changes)?;
        let Changes { events, effects } = changes;
        Ok(Step { reply, events, effects })
    }

    /// Takes the decisions that can be taken, and hands out what waits. A sampler may think for
    /// milliseconds over one trial: after each, `go_on` says whether to decide more now. When is
    /// all the same to the result in virtual time.
    ///
    /// # Errors
    /// A broken invariant: the process must end without writing.
    pub fn decide(&mut self, go_on: &mut dyn FnMut() -> bool) -> Result<Decided, Broken> {
        let mut changes = Changes::default();
        let is_all = self.advance(go_on, &mut changes)?;
        self.place(&mut changes)?;
        for sweep in std::mem::take(&mut self.volatile.changed) {
            changes.effects.push(Effect::Changed(sweep));
        }
        Ok(Decided { events: changes.events, effects: changes.effects, is_all })
    }

    /// What the events have made.
    pub fn durable(&self) -> &Durable {
        &self.durable
    }

    fn handle(
        &mut self,
        now: u64,
        input: Input,
        changes: &mut Changes,
    ) -> Result<Result<Reply, Refusal>, Broken> {
        match input {
            Input::CreateSweep { request_id, spec, data } => {
                self.create_sweep(request_id, *spec, data, changes)
            }
            Input::PauseSweep(sweep) => self.pause_sweep(sweep, changes),
            Input::ResumeSweep(sweep) => self.resume_sweep(sweep, changes),
            Input::CancelSweep(sweep) => self.cancel_sweep(sweep, changes),
            Input::DeleteSweep(sweep) => self.delete_sweep(sweep, changes),
            Input::Message { session, message } => self.on_message(now, session, message, changes),
            Input::AskTrials(sweep, ask) => self.ask_trials(now, sweep, &ask, changes),
            Input::ReportTrial(sweep, report) => self.report_trial(now, sweep, report, changes),
            Input::TellTrial(sweep, tell) => self.tell_trial(now, sweep, tell, changes),
            Input::SessionClosed(session) => {
                self.on_session_closed(session);
                Ok(Ok(Reply::Done))
            }
            Input::DrainWorker(worker) => Ok(self.drain_worker(&worker, changes)),
            Input::Tick => {
                self.expire_programs(now, changes)?;
                self.on_tick(now, changes)?;
                Ok(Ok(Reply::Done))
            }
        }
    }

    /// Makes an event part of the state and of the step.
    fn record(&mut self, event: Event, changes: &mut Changes) -> Result<(), Broken> {
        apply::apply(&mut self.durable, &event)?;
        self.volatile.touch(event.sweep());
        if matches!(event, Event::SweepCompleted { .. } | Event::SweepCancelled { .. }) {
            self.volatile.samplers.remove(&event.sweep());
        }
        changes.events.push(event);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
