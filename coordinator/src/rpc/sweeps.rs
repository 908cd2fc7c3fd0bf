//! `SweepService`: creating, controlling and querying sweeps.

use std::ops::Bound;

use caviar_common::error::Problem;
use caviar_common::ids::{SweepId, TrialNumber};
use caviar_common::numbers::{to_u32, to_usize};
use caviar_common::outcome::{SweepState, TrialState};
use caviar_core::Coordinator;
use caviar_core::input::Input;
use caviar_core::query::{TrialFilter, TrialOrder};
use caviar_proto::convert::view::{
    encode_importance, encode_sweep, encode_test, encode_trial, sweep_state_from_wire,
    sweep_state_to_wire, trial_state_from_wire, trial_state_to_wire,
};
use caviar_proto::v1;
use caviar_proto::v1::sweep_service_server::SweepService;
use tonic::{Request, Response, Status};

use super::api::{Api, ResponseStream, invalid, sweep_deleted};
use super::lookup;
use super::pages::{self, Listing};

/// Most sweeps that one call to the driver reads, so that other requests are served in between.
const SWEEPS_AT_ONCE: usize = 16;

/// Implements `SweepService` on the driver.
#[derive(Clone, Debug)]
pub(crate) struct Sweeps(pub(crate) Api);

impl Sweeps {
    /// Carries out a request on a sweep and responds with the sweep after it.
    async fn apply_and_respond(
        &self,
        sweep: String,
        input: impl FnOnce(SweepId) -> Input,
    ) -> Result<Response<v1::Sweep>, Status> {
        let id = self.0.find(sweep).await?;
        self.0.apply(input(id)).await?;
        self.respond(id).await
    }

    /// Responds with the current view of a sweep.
    async fn respond(&self, id: SweepId) -> Result<Response<v1::Sweep>, Status> {
        Ok(Response::new(encode_sweep(&self.0.sweep(id).await?)))
    }

    /// The views of as many of these sweeps as fit on a page, and the last sweep that the page
    /// covers. Sweeps that were deleted in the meantime are omitted.
    async fn views(&self, ids: &[SweepId]) -> Result<(Vec<v1::Sweep>, Option<SweepId>), Status> {
        let mut sweeps = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(SWEEPS_AT_ONCE) {
            let chunk = chunk.to_vec();
            let views: Vec<_> = self
                .0
                .read(move |core| chunk.iter().filter_map(|id| core.sweep(*id)).collect())
                .await?;
            sweeps.extend(views.iter().map(encode_sweep));
        }
        let found = sweeps.len();
        let sweeps = pages::fit(sweeps);
        let last = last_covered(ids, found, &sweeps);
        Ok((sweeps, last))
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
        let id = self.0.create(request.into_inner()).await?;
        self.respond(id).await
    }

    async fn get_sweep(
        &self,
        request: Request<v1::GetSweepRequest>,
    ) -> Result<Response<v1::Sweep>, Status> {
        let id = self.0.find(request.into_inner().sweep).await?;
        self.respond(id).await
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
        let ids = self.0.read(move |core| sweeps_after(core, after, &states, length + 1)).await?;
        let (sweeps, last) = self.views(ids.get(..length).unwrap_or(&ids)).await?;
        let next = last.filter(|last| ids.last() != Some(last)).map(|last| listing.token(last.0));
        Ok(Response::new(v1::ListSweepsResponse {
            sweeps,
            next_page_token: next.unwrap_or_default(),
        }))
    }

    async fn watch_sweep(
        &self,
        request: Request<v1::WatchSweepRequest>,
    ) -> Result<Response<Self::WatchSweepStream>, Status> {
        let id = self.0.find(request.into_inner().sweep).await?;
        Ok(Response::new(self.0.watch_sweep(id)))
    }

    async fn pause_sweep(
        &self,
        request: Request<v1::PauseSweepRequest>,
    ) -> Result<Response<v1::Sweep>, Status> {
        self.apply_and_respond(request.into_inner().sweep, Input::PauseSweep).await
    }

    async fn resume_sweep(
        &self,
        request: Request<v1::ResumeSweepRequest>,
    ) -> Result<Response<v1::Sweep>, Status> {
        self.apply_and_respond(request.into_inner().sweep, Input::ResumeSweep).await
    }

    async fn cancel_sweep(
        &self,
        request: Request<v1::CancelSweepRequest>,
    ) -> Result<Response<v1::Sweep>, Status> {
        self.apply_and_respond(request.into_inner().sweep, Input::CancelSweep).await
    }

    async fn delete_sweep(
        &self,
        request: Request<v1::DeleteSweepRequest>,
    ) -> Result<Response<v1::DeleteSweepResponse>, Status> {
        let id = self.0.find(request.into_inner().sweep).await?;
        self.0.apply(Input::DeleteSweep(id)).await?;
        Ok(Response::new(v1::DeleteSweepResponse {}))
    }

    async fn list_trials(
        &self,
        request: Request<v1::ListTrialsRequest>,
    ) -> Result<Response<v1::ListTrialsResponse>, Status> {
        let request = request.into_inner();
        let (states, order) = (trial_states(&request.states)?, trial_order(request.order)?);
        let sweep = self.0.find(request.sweep).await?;
        let key = [sweep.0, numeric(request.order)].into_iter();
        let listing = Listing::from_numbers(
            key.chain(states.iter().map(|s| numeric(trial_state_to_wire(*s)))),
        );
        let (position, length) =
            (listing.position(&request.page_token)?, pages::length(request.page_size));
        // Position 0 is the beginning. Other positions are one more than the number of the last
        // trial on the previous page.
        let after = position.checked_sub(1).map(|number| TrialNumber(to_u32(to_usize(number))));
        let filter = TrialFilter {
            states,
            order,
            after,
            limit: length + 1,
            with_curves: request.with_curves,
        };
        // A page with long curves has fewer trials, so a query without curves tells whether more
        // trials follow.
        let bare = TrialFilter { with_curves: false, ..filter.clone() };
        let query = move |core: &Coordinator| {
            Some((pages::trials(core, sweep, &filter)?, core.trials(sweep, &bare)?.len()))
        };
        let (views, following) = self.0.read(query).await?.ok_or_else(|| sweep_deleted(sweep))?;
        let trials = pages::fit(views.iter().take(length).map(encode_trial).collect());
        let last = trials.last().filter(|_| trials.len() < following);
        let next = last.map_or_else(String::new, |last| listing.token(u64::from(last.trial) + 1));
        Ok(Response::new(v1::ListTrialsResponse { trials, next_page_token: next }))
    }

    async fn get_trial(
        &self,
        request: Request<v1::GetTrialRequest>,
    ) -> Result<Response<v1::Trial>, Status> {
        let v1::GetTrialRequest { sweep, trial } = request.into_inner();
        let (id, number) = (self.0.find(sweep.clone()).await?, TrialNumber(trial));
        let view = self.0.read(move |core| core.trial(id, number, true)).await?;
        let view = view.ok_or_else(|| lookup::no_such_trial(&sweep, number))?;
        Ok(Response::new(encode_trial(&view)))
    }

    async fn watch_trial(
        &self,
        request: Request<v1::WatchTrialRequest>,
    ) -> Result<Response<Self::WatchTrialStream>, Status> {
        let v1::WatchTrialRequest { sweep, trial } = request.into_inner();
        let id = self.0.find(sweep.clone()).await?;
        Ok(Response::new(self.0.watch_trial(id, sweep, TrialNumber(trial))))
    }

    async fn get_best(
        &self,
        request: Request<v1::GetBestRequest>,
    ) -> Result<Response<v1::GetBestResponse>, Status> {
        let id = self.0.find(request.into_inner().sweep).await?;
        let query = move |core: &Coordinator| {
            let sweep = core.sweep(id)?;
            let trial = sweep.best.and_then(|best| core.trial(id, best.trial, true));
            Some((trial, sweep.test))
        };
        let (trial, test) = self.0.read(query).await?.ok_or_else(|| sweep_deleted(id))?;
        let (trial, test) = (trial.as_ref().map(encode_trial), test.as_ref().map(encode_test));
        Ok(Response::new(v1::GetBestResponse { trial, test }))
    }

    async fn get_importance(
        &self,
        request: Request<v1::GetImportanceRequest>,
    ) -> Result<Response<v1::Importance>, Status> {
        let id = self.0.find(request.into_inner().sweep).await?;
        Ok(Response::new(encode_importance(&self.0.importance(id).await?)))
    }

    async fn export_trials(
        &self,
        request: Request<v1::ExportTrialsRequest>,
    ) -> Result<Response<Self::ExportTrialsStream>, Status> {
        let id = self.0.find(request.into_inner().sweep).await?;
        Ok(Response::new(self.0.export(id)))
    }
}

/// The first `length` sweeps after `after` in one of `states`; all states if it is empty.
fn sweeps_after(
    core: &Coordinator,
    after: SweepId,
    states: &[SweepState],
    length: usize,
) -> Vec<SweepId> {
    let sweeps = core.record().sweeps().range((Bound::Excluded(after), Bound::Unbounded));
    sweeps
        .filter(|(_, s)| states.is_empty() || states.contains(&s.state()))
        .map(|(id, _)| *id)
        .take(length)
        .collect()
}

/// The sweep after which the next page begins. If the page shows every sweep that was found, this
/// is the last sweep that was looked for. A page whose sweeps were all deleted in the meantime is
/// then empty, but not the last.
fn last_covered(looked_for: &[SweepId], found: usize, shown: &[v1::Sweep]) -> Option<SweepId> {
    if shown.len() < found {
        shown.last().map(|s| SweepId(s.id))
    } else {
        looked_for.last().copied()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_whose_sweeps_were_deleted_in_the_meantime_is_not_the_last() {
        let ids = [SweepId(3), SweepId(5)];
        let shown = |id| v1::Sweep { id, ..v1::Sweep::default() };
        assert_eq!(last_covered(&ids, 0, &[]), Some(SweepId(5)));
        assert_eq!(last_covered(&ids, 1, &[shown(3)]), Some(SweepId(5)));
        assert_eq!(last_covered(&ids, 2, &[shown(3)]), Some(SweepId(3)), "the second did not fit");
        assert_eq!(last_covered(&[], 0, &[]), None);
    }
}
