//! What a sampler is asked for the next trial of a sweep: a function of the record only, so that
//! the same question can be asked again from a stored log.

use caviar_common::ids::TrialNumber;
use caviar_common::numbers::to_u32;
use caviar_search::{Question, Sampler, SamplerReply, Suggestion, WarmStart, build};

use super::state::Sweep;

/// A new sampler of the sweep's strategy.
pub(crate) fn new_sampler(sweep: &Sweep) -> Box<dyn Sampler> {
    let earlier = WarmStart { results: sweep.warm_start().clone() };
    build(
        sweep.spec(),
        if earlier.results.is_empty() { &[] } else { std::slice::from_ref(&earlier) },
    )
}

/// The sampler's suggestion for the sweep's next trial; `None` if the sampler waits for a result or
/// has exhausted the space.
pub(crate) fn next_suggestion(sweep: &Sweep, sampler: &mut dyn Sampler) -> Option<Suggestion> {
    let trial = u32::try_from(sweep.trials().len()).ok()?;
    let mut numbers: Vec<TrialNumber> =
        sweep.in_flight().iter().map(|(_, number)| *number).collect();
    numbers.sort_unstable();
    let in_flight = numbers.into_iter().filter_map(|number| sweep.trial(number));
    // A trial that passed a rung is in the log already.
    let pending: Vec<u32> =
        in_flight.filter(|t| t.passed_rungs() == 0).map(|t| t.number().0).collect();
    match sampler.ask(&Question { trial, history: sweep.history(), pending: &pending }) {
        SamplerReply::Suggest(mut suggestion) => {
            suggestion.reason.seen = to_u32(sweep.history().len());
            Some(suggestion)
        }
        SamplerReply::Wait | SamplerReply::Exhausted => None,
    }
}
