//! `TrialService`: external clients ask for trials, report epochs and tell results.

use std::time::Duration;

use caviar_common::error::ErrorClass;
use caviar_common::ids::TokenId;
use caviar_common::limits::MAX_WAIT_MS;
use caviar_core::input::{ClientReply, Input, Waiter, WaiterId};
use caviar_proto::convert::trial::{
    decode_ask, decode_report, decode_tell, encode_asked, verdict_to_wire,
};
use caviar_proto::convert::view::trial_state_to_wire;
use caviar_proto::v1::trial_service_server::TrialService;
use caviar_proto::{status, v1};
use tonic::{Request, Response, Status};

use super::api::{Api, driver_gone, invalid, refused};
use crate::driver::DriverGone;
use crate::trust::Caller;

/// Implements `TrialService` on the driver.
#[derive(Clone, Debug)]
pub(crate) struct Trials(pub(crate) Api);

#[tonic::async_trait]
impl TrialService for Trials {
    async fn ask_trials(
        &self,
        request: Request<v1::AskTrialsRequest>,
    ) -> Result<Response<v1::AskTrialsResponse>, Status> {
        let (token, ended) = (token(&request), Caller::of(&request).ended());
        let request = request.into_inner();
        let ask = decode_ask(&request, token).map_err(invalid)?;
        let wait = Duration::from_millis(request.wait_ms.min(MAX_WAIT_MS));
        let sweep = self.0.find(&request.sweep)?.view.id;
        let driver = &self.0.driver;
        let id = driver.next_waiter();
        let waiter = Waiter { id, is_patient: !wait.is_zero() };
        // If the client goes away, this future is dropped with the answer's receiver, and the
        // driver stops the waiting. The lease on a trial that was granted to it expires.
        let input = Input::AskTrials(sweep, ask, waiter);
        let mut asked = driver.send_ask(id, input).await.map_err(driver_gone)?;
        let answer = tokio::select! {
            answer = &mut asked => answer,
            () = self.0.stopped() => return Err(driver_gone(DriverGone)),
            status = ended => return Err(status),
            () = tokio::time::sleep(wait), if waiter.is_patient => {
                driver.post(Input::StopWaiting(id)).await.map_err(driver_gone)?;
                asked.await
            }
        };
        let answer = answer.map_err(|_| driver_gone(DriverGone))?;
        match answer.map_err(|refusal| refused(&refusal))? {
            ClientReply::Trials(reply) => Ok(Response::new(encode_asked(&reply))),
            ClientReply::Verdict(_) | ClientReply::Told(_) => Err(wrong_answer("AskTrials")),
        }
    }

    async fn report_trial(
        &self,
        request: Request<v1::ReportTrialRequest>,
    ) -> Result<Response<v1::ReportTrialResponse>, Status> {
        let token = token(&request);
        let mut request = request.into_inner();
        let name = std::mem::take(&mut request.sweep);
        let report = decode_report(request, token).map_err(invalid)?;
        let sweep = self.0.find(&name)?.view.id;
        let id = self.0.driver.next_waiter();
        match self.answer(id, Input::ReportTrial(sweep, report, id)).await? {
            ClientReply::Verdict(verdict) => {
                Ok(Response::new(v1::ReportTrialResponse { verdict: verdict_to_wire(verdict) }))
            }
            ClientReply::Trials(_) | ClientReply::Told(_) => Err(wrong_answer("ReportTrial")),
        }
    }

    async fn tell_trial(
        &self,
        request: Request<v1::TellTrialRequest>,
    ) -> Result<Response<v1::TellTrialResponse>, Status> {
        let token = token(&request);
        let mut request = request.into_inner();
        let name = std::mem::take(&mut request.sweep);
        let tell = decode_tell(request, token).map_err(invalid)?;
        let sweep = self.0.find(&name)?.view.id;
        let id = self.0.driver.next_waiter();
        match self.answer(id, Input::TellTrial(sweep, tell, id)).await? {
            ClientReply::Told(state) => {
                Ok(Response::new(v1::TellTrialResponse { state: trial_state_to_wire(state) }))
            }
            ClientReply::Trials(_) | ClientReply::Verdict(_) => Err(wrong_answer("TellTrial")),
        }
    }
}

impl Trials {
    async fn answer(&self, id: WaiterId, input: Input) -> Result<ClientReply, Status> {
        let answer = self.0.driver.ask(id, input).await.map_err(driver_gone)?;
        answer.map_err(|refusal| refused(&refusal))
    }
}

/// The identity of the caller's token; `None` from a coordinator without tokens.
fn token<T>(request: &Request<T>) -> Option<TokenId> {
    Caller::of(request).token().map(|token| token.id)
}

fn wrong_answer(call: &str) -> Status {
    let message = format!("internal error: the answer to {call} is one to another call");
    status::new(ErrorClass::Internal, message)
}
