//! Every decision of a sampler can be taken again from the record.

use caviar_common::ids::{SweepId, TrialNumber};
use caviar_search::Suggestion;

use crate::event::Event;
use crate::state::Durable;
use crate::{Broken, advance, apply};

/// A trial that would be sampled otherwise today.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The sweep.
    pub sweep: SweepId,
    /// The trial.
    pub trial: TrialNumber,
    /// What a fresh sampler says, shown what the record says the decision saw.
    pub answer: Option<Suggestion>,
}

/// Asks a fresh sampler for every trial in the record, of whatever order of results, and compares.
///
/// # Errors
/// The first event that does not fit what came before it.
pub fn replay_decisions<'a>(
    events: impl IntoIterator<Item = &'a Event>,
) -> Result<Vec<Difference>, Broken> {
    let mut durable = Durable::default();
    let mut differences = Vec::new();
    for event in events {
        if let Event::TrialSampled { sweep: id, trial, assignment, reason, .. } = event
            && let Some(sweep) = durable.sweeps.get(id)
        {
            let answer = advance::ask(sweep, advance::sampler(sweep).as_mut());
            if !answer.as_ref().is_some_and(|s| &s.assignment == assignment && &s.reason == reason)
            {
                differences.push(Difference { sweep: *id, trial: *trial, answer });
            }
        }
        apply::apply(&mut durable, event)?;
    }
    Ok(differences)
}
