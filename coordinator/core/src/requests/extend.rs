//! Requests for more trials than a sweep has.

use caviar_common::error::Problem;
use caviar_common::ids::{Name, SweepId};
use caviar_common::limits::{MAX_EXTENSIONS, MAX_ROUNDS, MAX_TRIALS};
use caviar_common::numbers::to_u32;
use caviar_common::spec::Strategy;

use super::sweeps::wrong_state;
use crate::Coordinator;
use crate::halt::Halt;
use crate::input::{Refusal, Reply};
use crate::record::event::SweepExtended;
use crate::record::state::{Phase, Sweep};

impl Coordinator {
    /// Adds trials to the budget of a sweep. A completed one continues.
    pub(crate) fn extend_sweep(
        &mut self,
        id: SweepId,
        request_id: Name,
        added: u32,
    ) -> Result<Reply, Halt> {
        let sweep = self.sweep_of(id)?;
        if let Some(before) = sweep.extensions().iter().find(|it| it.request_id == request_id) {
            return match before.added == added {
                true => Ok(Reply::Sweep(id)),
                false => Err(Refusal::RequestReused(request_id).into()),
            };
        }
        check_phase(sweep)?;
        check_added(sweep, added).map_err(Refusal::Wrong)?;
        let (trials, decisions) = (sweep.sampled(), to_u32(sweep.history().len()));
        let has_rounds = sweep.spec().search.strategy.has_rounds();
        self.emit(id, SweepExtended { request_id, added, trials, decisions })?;
        if has_rounds {
            self.volatile.renew_sampler(id);
        }
        Ok(Reply::Sweep(id))
    }
}

fn check_phase(sweep: &Sweep) -> Result<(), Halt> {
    let hint = match sweep.phase() {
        Phase::Searching | Phase::Completed => return Ok(()),
        Phase::Scoring => "its winner is being scored: extend it when that is done",
        Phase::Cancelled => {
            "its trials were cancelled; submit a new sweep with warm_start to learn from it"
        }
    };
    Err(wrong_state(sweep, hint))
}

fn check_added(sweep: &Sweep, added: u32) -> Result<(), Problem> {
    let wrong = |message: String| Err(Problem::with_value("trials", added, message));
    let search = &sweep.spec().search;
    if search.replays.is_some() {
        return wrong("the sweep repeats one trial of another sweep: extend that one".to_owned());
    }
    match search.strategy {
        Strategy::Grid => {
            return wrong(
                "the points of a grid are chosen for its number of trials: submit a new sweep"
                    .to_owned(),
            );
        }
        Strategy::Rounds if sweep.rounds().count() >= MAX_ROUNDS => {
            return wrong(format!("the sweep has {MAX_ROUNDS} rounds, the most it can have"));
        }
        Strategy::Rounds | Strategy::Zoom | Strategy::Random | Strategy::Sobol | Strategy::Tpe => {}
    }
    if sweep.phase() == Phase::Completed && sweep.sampled() < sweep.budget() {
        let message = "every point of the space has been tried, so no trial can be added";
        return wrong(message.to_owned());
    }
    let most = MAX_TRIALS.saturating_sub(sweep.budget());
    if added == 0 || added > most {
        let budget = sweep.budget();
        return wrong(format!(
            "the sweep has {budget} trials and can have {MAX_TRIALS}: expected a whole number from \
             1 to {most}"
        ));
    }
    if sweep.extensions().len() >= MAX_EXTENSIONS {
        return wrong(format!(
            "the sweep has been extended {MAX_EXTENSIONS} times, the most it can be: submit a new \
             sweep with warm_start"
        ));
    }
    Ok(())
}
