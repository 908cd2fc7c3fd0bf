//! Sweeps that have ended and are not in memory: which requests need them, and loading them.
//!
//! What a request finds must not depend on whether its sweep is loaded. So the driver asks
//! [`Coordinator::needs`] before every input. An input that needs a sweep waits until the driver
//! has loaded it from the snapshot.

use caviar_common::ids::{Name, SweepId, TrialNumber};
use caviar_common::spec::SweepSpec;

use crate::Coordinator;
use crate::input::Input;
use crate::record;
use crate::record::snapshot::{LoadJob, LoadedSweep};
use crate::record::state::{Phase, Sweep};
use crate::volatile::Sampling;

impl Coordinator {
    /// Drops what a sweep that has ended does not need in memory. The caller has saved a snapshot
    /// of the sweep after its end. Returns false if the sweep does not exist, has not ended or has
    /// clients that wait for an answer.
    pub fn unload(&mut self, id: SweepId) -> bool {
        // Clients get their answers at the next decision, or once the sampler has replied.
        let is_sampling = self.volatile.samplers.get(&id).is_some_and(Sampling::is_away);
        let may_answer = is_sampling || self.volatile.undecided.contains(&id);
        !may_answer && record::snapshot::unload(&mut self.record, id)
    }

    /// The sweep that must be loaded before `input` is heard; `None` if every sweep that it needs
    /// is loaded. An input that is refused in any case needs none.
    pub fn needs(&self, input: &Input) -> Option<SweepId> {
        let sweep = match input {
            Input::CreateSweep { request_id, spec, .. } => self.new_sweep_needs(request_id, spec),
            Input::ReportTrial(sweep, report, _) => self.client_needs(*sweep, report.trial),
            Input::TellTrial(sweep, tell, _) => self.client_needs(*sweep, tell.trial),
            Input::ReleaseTrial(sweep, trial) => {
                self.sweep_of(*sweep).ok().filter(|sweep| trial.0 < sweep.sampled())
            }
            Input::ExtendSweep { sweep, request_id, .. } => {
                self.sweep_of(*sweep).ok().filter(|sweep| {
                    let is_new = sweep.extensions().iter().all(|it| it.request_id != *request_id);
                    is_new && sweep.phase() == Phase::Completed
                })
            }
            Input::PauseSweep(_)
            | Input::ResumeSweep(_)
            | Input::ResizeSweep(..)
            | Input::CancelSweep(_)
            | Input::DeleteSweep(_)
            | Input::AskTrials(..)
            | Input::StopWaiting(_)
            | Input::Sampled(_)
            | Input::Message { .. }
            | Input::SessionClosed(_)
            | Input::DrainWorker(_)
            | Input::Tick => None,
        };
        sweep.filter(|sweep| !sweep.is_loaded()).map(Sweep::id)
    }

    /// The sweep whose results a new sweep learns from.
    fn new_sweep_needs(&self, request_id: &Name, spec: &SweepSpec) -> Option<&Sweep> {
        let is_new = self.check_new(request_id, &spec.name).is_ok();
        is_new.then(|| self.earlier_sweep(spec).ok().flatten()).flatten()
    }

    fn client_needs(&self, id: SweepId, trial: TrialNumber) -> Option<&Sweep> {
        self.external_sweep(id).ok().filter(|sweep| trial.0 < sweep.sampled())
    }

    /// What loads a sweep; `None` if it is loaded or unknown.
    pub fn load_job(&self, id: SweepId) -> Option<LoadJob> {
        self.record.sweep(id).and_then(LoadJob::new)
    }

    /// Loads a sweep. A no-op if it was loaded or deleted in the meantime.
    pub fn load(&mut self, loaded: LoadedSweep) {
        record::snapshot::load(&mut self.record, loaded);
    }
}
