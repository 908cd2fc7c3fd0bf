//! `SweepService`: creating, controlling and querying sweeps.

use caviar_common::error::Problem;
use caviar_common::ids::{Name, SweepId, TrialNumber};
use caviar_common::numbers::{to_u32, to_usize};
use caviar_common::outcome::{SweepState, TrialState};
use caviar_common::view::{TrialTimes, TrialView};
use caviar_core::input::Input;
use caviar_proto::convert::view::{
    encode_importance, encode_test, encode_trial, sweep_state_from_wire, sweep_state_to_wire,
    trial_state_from_wire, trial_state_to_wire,
};
use caviar_proto::v1;
use caviar_proto::v1::sweep_service_server::SweepService;
use tonic::{Request, Response, Status};

use super::api::{Api, ResponseStream, invalid};
use super::lookup;
use super::pages::{self, Listing, MAX_PAGE_VALUES};
use crate::store::query::{TrialOrder, TrialQuery};
use crate::trust::Caller;

/// Implements `SweepService` on the driver.
#[derive(Clone, Debug)]
pub(crate) struct Sweeps(pub(crate) Api);

impl Sweeps {
    /// Carries out a request on a sweep and responds with the sweep after it.
    async fn apply_and_respond(
        &self,
        caller: &Caller,
        sweep: String,
        input: impl FnOnce(SweepId) -> Input,
    ) -> Result<Response<v1::Sweep>, Status> {
        caller.changes(&sweep);
        let id = self.0.find(&sweep)?.view.id;
        self.0.apply(input(id)).await?;
        self.respond(id)
    }

    /// Responds with the current view of a sweep.
    fn respond(&self, id: SweepId) -> Result<Response<v1::Sweep>, Status> {
        Ok(Response::new(self.0.sweep(id)?.wire().clone()))
    }

    /// Responds with the current view of a trial.
    async fn respond_with_trial(
        &self,
        sweep: &str,
        trial: TrialNumber,
    ) -> Result<Response<v1::Trial>, Status> {
        let found = self.0.find(sweep)?;
        let view = self.0.trial(&found, trial).await?;
        let view = view.ok_or_else(|| lookup::no_such_trial(sweep, trial))?;
        Ok(Response::new(encode_trial(&view)))
    }
}

#[tonic::async_trait]
impl SweepService for Sweeps {
    type WatchSweepStream = ResponseStream<v1::Sweep>;
    type WatchTrialStream = ResponseStream<v1::Trial>;
    type ExportTrialsStream = ResponseStream<v1::Trial>;

    async fn create_sweep(
        &self,
        request: Request<v1::CreateSweepRequest>,
    ) -> Result<Response<v1::Sweep>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        caller.changes(request.spec.as_ref().and_then(|it| it.name.as_deref()).unwrap_or_default());
        let id = self.0.create(request).await?;
        self.respond(id)
    }

    async fn get_sweep(
        &self,
        request: Request<v1::GetSweepRequest>,
    ) -> Result<Response<v1::Sweep>, Status> {
        let sweep = self.0.find(&request.into_inner().sweep)?;
        Ok(Response::new(sweep.wire().clone()))
    }

    async fn list_sweeps(
        &self,
        request: Request<v1::ListSweepsRequest>,
    ) -> Result<Response<v1::ListSweepsResponse>, Status> {
        let v1::ListSweepsRequest { page_size, page_token, states } = request.into_inner();
        let states = sweep_states(&states)?;
        let listing =
            Listing::from_numbers(states.iter().map(|s| numeric(sweep_state_to_wire(*s))));
        let (after, length) = (SweepId(listing.position(&page_token)?), pages::length(page_size));
        let found = self.0.driver.sweeps().after(after, &states, length + 1);
        let sweeps = found.iter().take(length).map(|sweep| sweep.wire().clone()).collect();
        let sweeps: Vec<v1::Sweep> = pages::fit(sweeps);
        let next = sweeps.last().filter(|_| sweeps.len() < found.len());
        let next_page_token = next.map(|last| listing.token(last.id)).unwrap_or_default();
        Ok(Response::new(v1::ListSweepsResponse { sweeps, next_page_token }))
    }

    async fn watch_sweep(
        &self,
        request: Request<v1::WatchSweepRequest>,
    ) -> Result<Response<Self::WatchSweepStream>, Status> {
        let id = self.0.find(&request.into_inner().sweep)?.view.id;
        Ok(Response::new(self.0.watch_sweep(id)))
    }

    async fn pause_sweep(
        &self,
        request: Request<v1::PauseSweepRequest>,
    ) -> Result<Response<v1::Sweep>, Status> {
        let caller = Caller::of(&request);
        self.apply_and_respond(&caller, request.into_inner().sweep, Input::PauseSweep).await
    }

    async fn resume_sweep(
        &self,
        request: Request<v1::ResumeSweepRequest>,
    ) -> Result<Response<v1::Sweep>, Status> {
        let caller = Caller::of(&request);
        self.apply_and_respond(&caller, request.into_inner().sweep, Input::ResumeSweep).await
    }

    async fn resize_sweep(
        &self,
        request: Request<v1::ResizeSweepRequest>,
    ) -> Result<Response<v1::Sweep>, Status> {
        let caller = Caller::of(&request);
        let v1::ResizeSweepRequest { sweep, parallelism } = request.into_inner();
        self.apply_and_respond(&caller, sweep, |id| Input::ResizeSweep(id, parallelism)).await
    }

    async fn extend_sweep(
        &self,
        request: Request<v1::ExtendSweepRequest>,
    ) -> Result<Response<v1::Sweep>, Status> {
        let caller = Caller::of(&request);
        let v1::ExtendSweepRequest { sweep, request_id, trials: added } = request.into_inner();
        let request_id = Name::parse("request_id", &request_id).map_err(invalid)?;
        let extend = |sweep| Input::ExtendSweep { sweep, request_id, added };
        self.apply_and_respond(&caller, sweep, extend).await
    }

    async fn cancel_sweep(
        &self,
        request: Request<v1::CancelSweepRequest>,
    ) -> Result<Response<v1::Sweep>, Status> {
        let caller = Caller::of(&request);
        self.apply_and_respond(&caller, request.into_inner().sweep, Input::CancelSweep).await
    }

    async fn delete_sweep(
        &self,
        request: Request<v1::DeleteSweepRequest>,
    ) -> Result<Response<v1::DeleteSweepResponse>, Status> {
        let caller = Caller::of(&request);
        let sweep = request.into_inner().sweep;
        caller.changes(&sweep);
        let id = self.0.find(&sweep)?.view.id;
        self.0.apply(Input::DeleteSweep(id)).await?;
        Ok(Response::new(v1::DeleteSweepResponse {}))
    }

    async fn list_trials(
        &self,
        request: Request<v1::ListTrialsRequest>,
    ) -> Result<Response<v1::ListTrialsResponse>, Status> {
        let request = request.into_inner();
        let (states, order) = (trial_states(&request.states)?, trial_order(request.order)?);
        let sweep = self.0.find(&request.sweep)?;
        let key = [sweep.view.id.0, numeric(request.order)].into_iter();
        let listing = Listing::from_numbers(
            key.chain(states.iter().map(|s| numeric(trial_state_to_wire(*s)))),
        );
        let (position, length) =
            (listing.position(&request.page_token)?, pages::length(request.page_size));
        let query = TrialQuery {
            known: sweep.trials(),
            states,
            order,
            // Position 0 is the beginning. Other positions are one more than the number of the last
            // trial on the previous page.
            after: position.checked_sub(1).map(|number| TrialNumber(to_u32(to_usize(number)))),
            limit: length,
            max_values: request.with_curves.then_some(MAX_PAGE_VALUES),
            ..TrialQuery::all(sweep.view.id, sweep.view.spec.objective.goal)
        };
        let page = self.0.trials(&sweep, query).await?;
        let count = page.trials.len();
        let views = page.trials.into_iter().map(without_times);
        let trials = pages::fit(views.map(|view| encode_trial(&view)).collect());
        let last = trials.last().filter(|_| page.has_more || trials.len() < count);
        let next = last.map_or_else(String::new, |last| listing.token(u64::from(last.trial) + 1));
        Ok(Response::new(v1::ListTrialsResponse { trials, next_page_token: next }))
    }

    async fn get_trial(
        &self,
        request: Request<v1::GetTrialRequest>,
    ) -> Result<Response<v1::Trial>, Status> {
        let v1::GetTrialRequest { sweep, trial } = request.into_inner();
        self.respond_with_trial(&sweep, TrialNumber(trial)).await
    }

    async fn watch_trial(
        &self,
        request: Request<v1::WatchTrialRequest>,
    ) -> Result<Response<Self::WatchTrialStream>, Status> {
        let v1::WatchTrialRequest { sweep, trial } = request.into_inner();
        let id = self.0.find(&sweep)?.view.id;
        Ok(Response::new(self.0.watch_trial(id, sweep, TrialNumber(trial))))
    }

    async fn release_trial(
        &self,
        request: Request<v1::ReleaseTrialRequest>,
    ) -> Result<Response<v1::Trial>, Status> {
        let caller = Caller::of(&request);
        let v1::ReleaseTrialRequest { sweep, trial } = request.into_inner();
        caller.changes(&format!("{sweep}, trial {trial}"));
        let id = self.0.find(&sweep)?.view.id;
        self.0.apply(Input::ReleaseTrial(id, TrialNumber(trial))).await?;
        self.respond_with_trial(&sweep, TrialNumber(trial)).await
    }

    async fn get_best(
        &self,
        request: Request<v1::GetBestRequest>,
    ) -> Result<Response<v1::GetBestResponse>, Status> {
        let sweep = self.0.find(&request.into_inner().sweep)?;
        let trial = match &sweep.view.best {
            Some(best) => self.0.trial(&sweep, best.trial).await?,
            None => None,
        };
        let test = sweep.view.test.as_ref().map(encode_test);
        Ok(Response::new(v1::GetBestResponse { trial: trial.as_ref().map(encode_trial), test }))
    }

    async fn get_importance(
        &self,
        request: Request<v1::GetImportanceRequest>,
    ) -> Result<Response<v1::Importance>, Status> {
        let id = self.0.find(&request.into_inner().sweep)?.view.id;
        Ok(Response::new(encode_importance(&self.0.importance(id).await?)))
    }

    async fn export_trials(
        &self,
        request: Request<v1::ExportTrialsRequest>,
    ) -> Result<Response<Self::ExportTrialsStream>, Status> {
        let sweep = self.0.find(&request.into_inner().sweep)?;
        Ok(Response::new(self.0.export(sweep)))
    }
}

/// A trial without its times, which only an export has.
fn without_times(view: TrialView) -> TrialView {
    TrialView { times: TrialTimes::default(), ..view }
}

fn sweep_states(numbers: &[i32]) -> Result<Vec<SweepState>, Status> {
    decode_states(numbers, sweep_state_from_wire)
}

fn trial_states(numbers: &[i32]) -> Result<Vec<TrialState>, Status> {
    decode_states(numbers, trial_state_from_wire)
}

fn decode_states<S: Ord>(
    numbers: &[i32],
    decode: fn(i32) -> Result<Option<S>, Problem>,
) -> Result<Vec<S>, Status> {
    let mut states = Vec::new();
    for (i, number) in numbers.iter().enumerate() {
        let field = format!("states[{i}]");
        match decode(*number) {
            Ok(Some(state)) => states.push(state),
            Ok(None) => {
                return Err(invalid(Problem::with_value(
                    field,
                    number,
                    "expected a state; send an empty list for all states",
                )));
            }
            Err(problem) => return Err(invalid(Problem { field, ..problem })),
        }
    }
    // The token of a page must not depend on the order of the states.
    states.sort();
    states.dedup();
    Ok(states)
}

fn trial_order(number: i32) -> Result<TrialOrder, Status> {
    match v1::TrialOrder::try_from(number) {
        Ok(v1::TrialOrder::Unspecified) => Ok(TrialOrder::Number),
        Ok(v1::TrialOrder::Objective) => Ok(TrialOrder::Objective),
        Err(_) => Err(invalid(Problem::with_value(
            "order",
            number,
            "expected TRIAL_ORDER_UNSPECIFIED (0) or TRIAL_ORDER_OBJECTIVE (1); the client may be \
             newer than this coordinator",
        ))),
    }
}

/// The number of a protobuf enum. A decoded number is never negative.
fn numeric(number: i32) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
