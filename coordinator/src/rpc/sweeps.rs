//! `SweepService`.

use std::ops::Bound;

use caviar_common::error::Problem;
use caviar_common::ids::{SweepId, TrialNumber};
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

use super::pages::{self, Listing};
use super::{Answers, Api, deleted, invalid, lookup};

/// Sweeps that are looked at in one go: others get their turn in between.
const SWEEPS_AT_ONCE: usize = 16;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Sweeps(pub(crate) Api);

impl Sweeps {
    async fn turn(
        &self,
        sweep: String,
        input: impl FnOnce(SweepId) -> Input,
    ) -> Result<Response<v1::Sweep>, Status> {
        let id = self.0.find(sweep).await?;
        self.0.apply(input(id)).await?;
        self.answer(id).await
    }

    async fn answer(&self, id: SweepId) -> Result<Response<v1::Sweep>, Status> {
        Ok(Response::new(encode_sweep(&self.0.sweep(id).await?)))
    }

    /// The views of as many of these sweeps as fit on a page, and the last that was looked at;
    /// those that were deleted meanwhile are left out.
    async fn views(&self, ids: &[SweepId]) -> Result<(Vec<v1::Sweep>, Option<SweepId>), Status> {
        let mut sweeps = Vec::with_capacity(ids.len());
        for some in ids.chunks(SWEEPS_AT_ONCE) {
            let some = some.to_vec();
            let views: Vec<_> = self
                .0
                .read(move |core| some.iter().filter_map(|id| core.sweep(*id)).collect())
                .await?;
            sweeps.extend(views.iter().map(encode_sweep));
        }
        let found = sweeps.len();
        let sweeps = pages::fit(sweeps);
        let last = last_seen(ids, found, &sweeps);
        Ok((sweeps, last))
    }
}

#[tonic::async_trait]
impl SweepService for Sweeps {
    type WatchSweepStream = Answers<v1::Sweep>;
    type WatchTrialStream = Answers<v1::Trial>;
    type ExportTrialsStream = Answers<v1::Trial>;

    async fn create_sweep(
        &self,
        request: Request<v1::CreateSweepRequest>,
    ) -> Result<Response<v1::Sweep>, Status> {
        let id = self.0.create(request.into_inner()).await?;
        self.answer(id).await
    }

    async fn get_sweep(
        &self,
        request: Request<v1::GetSweepRequest>,
    ) -> Result<Response<v1::Sweep>, Status> {
        let id = self.0.find(request.into_inner().sweep).await?;
        self.answer(id).await
    }

    async fn list_sweeps(
        &self,
        request: Request<v1::ListSweepsRequest>,
    ) -> Result<Response<v1::ListSweepsResponse>, Status> {
        let v1::ListSweepsRequest { page_size, page_token, states } = request.into_inner();
        let states = sweep_states(&states)?;
        let listing = Listing::of(states.iter().map(|s| numeric(sweep_state_to_wire(*s))));
        let (after, length) = (SweepId(listing.place(&page_token)?), pages::length(page_size));
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
        self.turn(request.into_inner().sweep, Input::PauseSweep).await
    }

    async fn resume_sweep(
        &self,
        request: Request<v1::ResumeSweepRequest>,
    ) -> Result<Response<v1::Sweep>, Status> {
        self.turn(request.into_inner().sweep, Input::ResumeSweep).await
    }

    async fn cancel_sweep(
        &self,
        request: Request<v1::CancelSweepRequest>,
    ) -> Result<Response<v1::Sweep>, Status> {
        self.turn(request.into_inner().sweep, Input::CancelSweep).await
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
        let about = [sweep.0, numeric(request.order)].into_iter();
        let listing =
            Listing::of(about.chain(states.iter().map(|s| numeric(trial_state_to_wire(*s)))));
        let (place, length) =
            (listing.place(&request.page_token)?, pages::length(request.page_size));
        // Zero is the beginning, so a place is one more than the number of the last trial of the
        // page before.
        let after = place
            .checked_sub(1)
            .map(|number| TrialNumber(u32::try_from(number).unwrap_or(u32::MAX)));
        let filter = TrialFilter {
            states,
            order,
            after,
            limit: length + 1,
            with_curves: request.with_curves,
        };
        // A page ends early where its curves are long, so whether more follow is asked without
        // them.
        let bare = TrialFilter { with_curves: false, ..filter.clone() };
        let look = move |core: &Coordinator| {
            Some((pages::trials(core, sweep, &filter)?, core.trials(sweep, &bare)?.len()))
        };
        let (views, following) = self.0.read(look).await?.ok_or_else(|| deleted(sweep))?;
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
        let look = move |core: &Coordinator| {
            let sweep = core.sweep(id)?;
            let trial = sweep.best.and_then(|best| core.trial(id, best.trial, true));
            Some((trial, sweep.test))
        };
        let (trial, test) = self.0.read(look).await?.ok_or_else(|| deleted(id))?;
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

/// Where the next page goes on. Where all that was found is shown, behind everything that was
/// looked for: a page of sweeps that were deleted a moment ago is empty, and not the last.
fn last_seen(looked_for: &[SweepId], found: usize, shown: &[v1::Sweep]) -> Option<SweepId> {
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
                    "unspecified: name a state, or send none for all",
                )));
            }
            Err(problem) => return Err(invalid(Problem { field, ..problem })),
        }
        states.sort();
        states.dedup();
    }
    Ok(states)
}

fn trial_order(number: i32) -> Result<TrialOrder, Status> {
    match v1::TrialOrder::try_from(number) {
        Ok(v1::TrialOrder::Unspecified) => Ok(TrialOrder::Number),
        Ok(v1::TrialOrder::Objective) => Ok(TrialOrder::Objective),
        Err(_) => Err(invalid(Problem::with_value(
            "order",
            number,
            "unknown: is the other side newer than this one?",
        ))),
    }
}

/// The number of an enum of the wire; those that were decoded are not negative.
fn numeric(number: i32) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_whose_sweeps_were_deleted_meanwhile_is_not_the_last() {
        let ids = [SweepId(3), SweepId(5)];
        let shown = |id| v1::Sweep { id, ..v1::Sweep::default() };
        assert_eq!(last_seen(&ids, 0, &[]), Some(SweepId(5)));
        assert_eq!(last_seen(&ids, 1, &[shown(3)]), Some(SweepId(5)));
        assert_eq!(last_seen(&ids, 2, &[shown(3)]), Some(SweepId(3)), "the second did not fit");
        assert_eq!(last_seen(&[], 0, &[]), None);
    }
}
