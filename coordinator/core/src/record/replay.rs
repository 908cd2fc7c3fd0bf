//! A check that the samplers of this release would take every decision of a stored log again.

use caviar_common::ids::{SweepId, TrialNumber};
use caviar_search::{SamplerReply, Suggestion};

use super::event::{Event, Payload};
use super::sampling::{ask, new_sampler, next_question, repeat_winner};
use super::state::Record;
use super::{Broken, apply};

/// A trial that this release would sample in another way.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The sweep of the trial.
    pub sweep: SweepId,
    /// The trial's number in its sweep.
    pub trial: TrialNumber,
    /// What a new sampler suggests when it sees the same results; `None` if it suggests nothing.
    pub suggestion: Option<Suggestion>,
}

/// Asks a new sampler for every trial of a log and returns the trials that come out differently.
/// Works for either order of decisions, because the log holds the order.
///
/// # Errors
/// The first event that does not fit the events before it.
pub fn replay_decisions<'a>(
    events: impl IntoIterator<Item = &'a Event>,
) -> Result<Vec<Difference>, Broken> {
    let mut record = Record::default();
    let mut differences = Vec::new();
    for event in events {
        if let Payload::TrialSampled(sampled) = &event.payload
            && let Some(sweep) = record.sweep(event.sweep)
        {
            let reply = ask(new_sampler(sweep).as_mut(), &next_question(sweep));
            let suggestion = match reply {
                SamplerReply::Suggest(mut suggestion) => {
                    repeat_winner(sweep, &mut suggestion);
                    Some(suggestion)
                }
                SamplerReply::Wait | SamplerReply::Exhausted => None,
            };
            if suggestion != sampled.suggestion(&sweep.spec().space) {
                let (sweep, trial) = (event.sweep, sampled.trial);
                differences.push(Difference { sweep, trial, suggestion });
            }
        }
        apply(&mut record, event)?;
        record.take_retired();
    }
    Ok(differences)
}
