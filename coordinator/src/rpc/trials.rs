//! `TrialService`: external clients ask for trials, report epochs and tell results.

use std::time::Duration;

use caviar_common::ids::{SweepId, TrialNumber};
use caviar_common::limits::MAX_WAIT_MS;
use caviar_core::input::Input;
use caviar_proto::convert::trial::{
    decode_ask, decode_report, decode_tell, encode_asked, verdict_to_wire,
};
use caviar_proto::convert::view::trial_state_to_wire;
use caviar_proto::v1;
use caviar_proto::v1::trial_service_server::TrialService;
use tokio::time::{Instant, timeout_at};
use tonic::{Request, Response, Status};

use super::api::{Api, invalid, sweep_deleted};

/// Implements `TrialService` on the driver.
#[derive(Clone, Debug)]
pub(crate) struct Trials(pub(crate) Api);

#[tonic::async_trait]
impl TrialService for Trials {
    async fn ask_trials(
        &self,
        request: Request<v1::AskTrialsRequest>,
    ) -> Result<Response<v1::AskTrialsResponse>, Status> {
        let request = request.into_inner();
        let ask = decode_ask(&request).map_err(invalid)?;
        let deadline = Instant::now() + Duration::from_millis(request.wait_ms.min(MAX_WAIT_MS));
        let sweep = self.0.find(&request.sweep)?.view.id;
        let watcher = self.0.driver.sweeps().watch(sweep);
        let mut watcher = watcher.ok_or_else(|| sweep_deleted(sweep))?;
        loop {
            watcher.mark_unchanged();
            self.0.apply(Input::AskTrials(sweep, ask.clone())).await?;
            let repeated = ask.clone();
            let asked = self
                .0
                .read(move |core| core.asked(sweep, &repeated))
                .await?
                .ok_or_else(|| sweep_deleted(sweep))?;
            let reply = || Ok(Response::new(encode_asked(&asked)));
            if asked.is_over || !asked.trials.is_empty() {
                return reply();
            }
            tokio::select! {
                changed = timeout_at(deadline, watcher.changed()) => match changed {
                    Ok(changed) => changed.map_err(|_| sweep_deleted(sweep))?,
                    Err(_) => return reply(),
                },
                () = self.0.stopped() => return reply(),
            }
        }
    }

    async fn report_trial(
        &self,
        request: Request<v1::ReportTrialRequest>,
    ) -> Result<Response<v1::ReportTrialResponse>, Status> {
        let mut request = request.into_inner();
        let name = std::mem::take(&mut request.sweep);
        let report = decode_report(request).map_err(invalid)?;
        let (sweep, trial) = (self.0.find(&name)?.view.id, report.trial);
        self.0.apply(Input::ReportTrial(sweep, report)).await?;
        let verdict = self
            .0
            .read(move |core| core.verdict(sweep, trial))
            .await?
            .ok_or_else(|| sweep_deleted(sweep))?;
        Ok(Response::new(v1::ReportTrialResponse { verdict: verdict_to_wire(verdict) }))
    }

    async fn tell_trial(
        &self,
        request: Request<v1::TellTrialRequest>,
    ) -> Result<Response<v1::TellTrialResponse>, Status> {
        let mut request = request.into_inner();
        let name = std::mem::take(&mut request.sweep);
        let tell = decode_tell(request).map_err(invalid)?;
        let (sweep, trial) = (self.0.find(&name)?.view.id, tell.trial);
        self.0.apply(Input::TellTrial(sweep, tell)).await?;
        self.tell_reply(sweep, trial).await.map(Response::new)
    }
}

impl Trials {
    /// The reply to `TellTrial`: the state in which the trial is now.
    async fn tell_reply(
        &self,
        sweep: SweepId,
        trial: TrialNumber,
    ) -> Result<v1::TellTrialResponse, Status> {
        let view = self
            .0
            .read(move |core| core.trial(sweep, trial, false))
            .await?
            .ok_or_else(|| sweep_deleted(sweep))?;
        Ok(v1::TellTrialResponse { state: trial_state_to_wire(view.state) })
    }
}
