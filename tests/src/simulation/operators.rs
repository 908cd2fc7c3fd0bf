//! Operators: people who pause, resume, release, drain, cancel and delete.

use caviar_common::ids::{SweepId, TrialNumber};
use caviar_common::outcome::{SweepState, TrialState};
use caviar_common::spec::SweepSpec;
use caviar_common::spec::file::parse;
use caviar_core::input::{Input, Refusal};

use super::Simulation;
use super::faults::Source;
use super::marks::Mark;

/// Most sweeps of operators at once.
const MOST_EXTRAS: usize = 3;

/// What operators have done.
#[derive(Debug, Default)]
pub(super) struct Operators {
    /// The sweeps that they created and that are not deleted. They are compared with nothing.
    extras: Vec<(SweepId, SweepSpec)>,
    /// Sweeps that they created in all.
    created: usize,
}

/// The searches of the sweeps of operators. The samplers of the first two need a while to reply.
const SEARCHES: [&str; 3] = [
    "data.source = \"builtin:digits\"\n\
     search = { strategy = \"zoom\", trials = 30, parallelism = 3 }",
    "data.source = \"builtin:digits\"\n\
     search = { strategy = \"tpe\", trials = 30, parallelism = 3 }",
    "data.source = \"external\"\n\
     search = { strategy = \"tpe\", trials = 30, parallelism = 3 }\n\
     objective = { metric = \"error\", goal = \"minimize\" }",
];

fn extra_spec(number: usize) -> SweepSpec {
    let text = format!(
        "name = \"extra-{number}\"\nfixed.epochs = 3\n\
         space.learning_rate = {{ low = 1e-4, high = 1 }}\n\
         space.units = {{ low = 8, high = 512 }}\n{}\n",
        SEARCHES[number % SEARCHES.len()]
    );
    parse(&text).expect("the spec is right").spec
}

impl Simulation {
    pub(super) fn pause_or_resume(&mut self) {
        let paused = self.live_sweeps(|state| state == SweepState::Paused);
        let running = self.live_sweeps(|state| state != SweepState::Paused);
        let wants_pause = self.pick(Source::Pauses, 3) == 0;
        let (sweeps, is_pause) = if wants_pause { (running, true) } else { (paused, false) };
        if let Some(sweep) = self.choose(Source::Pauses, &sweeps) {
            let input = if is_pause { Input::PauseSweep(sweep) } else { Input::ResumeSweep(sweep) };
            self.step(input).expect("the sweep has not ended");
        }
    }

    pub(super) fn release(&mut self) {
        let record = self.core.record();
        let running = record.sweeps().values().flat_map(|sweep| {
            let trials = sweep.trials_in_flight();
            let running = trials.filter(|trial| trial.state() == TrialState::Running);
            running.map(|trial| (sweep.id(), trial.number()))
        });
        let running: Vec<(SweepId, TrialNumber)> = running.collect();
        if let Some((sweep, trial)) = self.choose(Source::Releases, &running) {
            self.marks.add(Mark::Release);
            self.step(Input::ReleaseTrial(sweep, trial)).expect("the trial runs");
        }
    }

    /// Asks a worker to finish its trials and leave, or stops its process.
    pub(super) fn drain_or_stop(&mut self) {
        let node = self.pick(Source::Drains, self.nodes.len());
        if self.pick(Source::Drains, 2) == 0 {
            let name = self.nodes[node].machine.name.clone();
            let connected = self.nodes.iter().filter(|node| node.machine.name == name);
            let mut connected = connected.filter(|node| node.session.is_some());
            let process = connected.next().map(|node| node.incarnation);
            if self.step(Input::DrainWorker(name.clone())).is_ok() {
                self.marks.add(Mark::Drain);
                // A twin that takes the name over makes the coordinator forget it.
                if let Some(process) = process.filter(|_| !self.faults.twins) {
                    self.oracle.drain(name, process);
                }
            }
        } else {
            self.marks.add(Mark::Stop);
            self.nodes[node].is_leaving = true;
            self.nodes[node].agent.stop();
            self.nodes[node].obey();
        }
    }

    /// Creates a sweep, repeats the request for one, cancels one or deletes one.
    pub(super) fn change_extras(&mut self) {
        let extras: Vec<SweepId> = self.operators.extras.iter().map(|(id, _)| *id).collect();
        let of_state = |is_wanted: fn(SweepState) -> bool| {
            let states = extras.iter().filter_map(|id| Some((*id, self.state(*id)?)));
            states.filter(|(_, state)| is_wanted(*state)).map(|(id, _)| id).collect()
        };
        let live: Vec<SweepId> = of_state(|state| !state.is_final());
        let ended: Vec<SweepId> = of_state(SweepState::is_final);
        // The reply of a sampler that thinks arrives after its sweep has ended.
        let thinks = |id: &SweepId| self.thoughts.iter().any(|thought| thought.job.sweep() == *id);
        let thinking: Vec<SweepId> = live.iter().copied().filter(thinks).collect();
        match self.pick(Source::Extras, 4) {
            0 | 1 if extras.len() < MOST_EXTRAS => self.create_extra(),
            0 => self.repeat_creation(),
            _ if !ended.is_empty() => self.delete_extra(&ended),
            _ => {
                self.cancel_extra(if thinking.is_empty() { &live } else { &thinking });
                if self.pick(Source::Extras, 2) == 0 {
                    let ended = self.operators.extras.iter().map(|(id, _)| *id);
                    let is_over = |id: &SweepId| self.state(*id).is_some_and(SweepState::is_final);
                    let ended: Vec<SweepId> = ended.filter(is_over).collect();
                    self.delete_extra(&ended);
                }
            }
        }
    }

    /// Changes how many trials of a sweep of operators are in flight.
    pub(super) fn resize_extra(&mut self) {
        let extras: Vec<SweepId> = self.operators.extras.iter().map(|(id, _)| *id).collect();
        let is_live = |id: &SweepId| self.state(*id).is_some_and(|state| !state.is_final());
        let live: Vec<SweepId> = extras.into_iter().filter(is_live).collect();
        let Some(sweep) = self.choose(Source::Resizes, &live) else { return };
        let parallelism = 1 + self.pick(Source::Resizes, 9) as u32;
        match self.step(Input::ResizeSweep(sweep, parallelism)) {
            Ok(_) => {}
            // All trials have started.
            Err(refusal) => assert!(matches!(refusal, Refusal::WrongState { .. }), "{refusal}"),
        }
    }

    fn create_extra(&mut self) {
        let spec = extra_spec(self.operators.created);
        self.operators.created += 1;
        self.marks.add(Mark::Create);
        let sweep = self.submit(&spec);
        self.operators.extras.push((sweep, spec));
    }

    fn repeat_creation(&mut self) {
        if let Some((sweep, spec)) = self.choose(Source::Extras, &self.operators.extras.clone()) {
            self.marks.add(Mark::CreateRepeated);
            assert_eq!(self.submit(&spec), sweep, "a repeated request finds the same sweep");
        }
    }

    fn cancel_extra(&mut self, live: &[SweepId]) {
        let Some(sweep) = self.choose(Source::Extras, live) else { return };
        let record = self.core.record().sweep(sweep);
        let has_leases = record.is_some_and(|sweep| !sweep.leases().is_empty());
        self.marks.add_if(has_leases, Mark::CancelWithLeases);
        let has_waiters = self.has_waiting_ask(sweep);
        self.marks.add_if(has_waiters, Mark::CancelWithWaiters);
        self.step(Input::CancelSweep(sweep)).expect("the sweep has not ended");
    }

    fn delete_extra(&mut self, ended: &[SweepId]) {
        let Some(sweep) = self.choose(Source::Extras, ended) else { return };
        self.step(Input::DeleteSweep(sweep)).expect("the sweep has ended");
        self.operators.extras.retain(|(id, _)| *id != sweep);
    }

    /// Resumes what is paused and cancels the sweeps of operators.
    pub(super) fn end_operations(&mut self) {
        for sweep in self.live_sweeps(|state| state == SweepState::Paused) {
            self.step(Input::ResumeSweep(sweep)).expect("the sweep is paused");
        }
        for (sweep, _) in std::mem::take(&mut self.operators.extras) {
            if self.state(sweep).is_some_and(|state| !state.is_final()) {
                self.step(Input::CancelSweep(sweep)).expect("the sweep has not ended");
            }
        }
    }
}
