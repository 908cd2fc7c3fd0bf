//! What a sampler is asked for the next trial of a sweep: a function of the record only, so that
//! the same question can be asked again from a stored log.

use std::borrow::Cow;

use caviar_common::ids::{SweepId, TrialNumber};
use caviar_common::numbers::to_u32;
use caviar_common::reason::Source;
use caviar_search::{History, Question, Sampler, SamplerReply, Suggestion, WarmStart, build};

use super::state::Sweep;

/// A new sampler of the sweep's strategy.
pub(crate) fn new_sampler(sweep: &Sweep) -> Box<dyn Sampler> {
    let earlier = WarmStart { results: sweep.warm_start().clone() };
    let mut spec = Cow::Borrowed(sweep.spec().as_ref());
    if !sweep.extensions().is_empty() {
        spec.to_mut().search = sweep.search();
    }
    build(&spec, if earlier.results.is_empty() { &[] } else { std::slice::from_ref(&earlier) })
}

/// The question for the sweep's next trial.
pub(crate) fn next_question(sweep: &Sweep) -> Question<'_> {
    let (trial, history) = (sweep.sampled(), sweep.history());
    Question { trial, history, pending: sweep.pending() }
}

/// Makes the first trial of a warm start a repetition of the earlier winner. The sampler sees the
/// winner as a point of its space, which is rounded; with the same numbers and the same random
/// numbers, the result is the same.
pub(crate) fn repeat_winner(sweep: &Sweep, suggestion: &mut Suggestion) {
    if suggestion.reason.source == Source::WarmStart
        && let Some(winner) = sweep.earlier_winner()
    {
        suggestion.assignment = winner.assignment.clone();
        suggestion.reason.replays = winner.replays;
    }
}

/// Asks the sampler. A suggestion says how many entries of the log it took into account.
pub(crate) fn ask(sampler: &mut dyn Sampler, question: &Question<'_>) -> SamplerReply {
    let mut reply = sampler.ask(question);
    if let SamplerReply::Suggest(suggestion) = &mut reply {
        suggestion.reason.seen = to_u32(question.history.len());
    }
    reply
}

/// A question to a sampler that may take milliseconds to reply. The driver lets another thread
/// [run](Self::run) it and gives the result back as
/// [`Input::Sampled`](crate::input::Input::Sampled). Nothing of it is visible before its trial is
/// recorded, so it may run before the events of its step are stored.
#[derive(Debug)]
pub struct SamplingJob {
    pub(crate) sweep: SweepId,
    pub(crate) trial: TrialNumber,
    pub(crate) sampler: Box<dyn Sampler>,
    pub(crate) history: History,
    pub(crate) pending: Vec<u32>,
}

/// A sampler's reply to a [`SamplingJob`], and the sampler.
#[derive(Debug)]
pub struct Sampled {
    pub(crate) sweep: SweepId,
    pub(crate) trial: TrialNumber,
    /// The length of the log that the sampler saw.
    pub(crate) seen: usize,
    pub(crate) sampler: Box<dyn Sampler>,
    pub(crate) reply: SamplerReply,
}

impl SamplingJob {
    /// Asks the sampler.
    pub fn run(self) -> Sampled {
        let Self { sweep, trial, mut sampler, history, pending } = self;
        let question = Question { trial: trial.0, history: &history, pending: &pending };
        let reply = ask(sampler.as_mut(), &question);
        Sampled { sweep, trial, seen: history.len(), sampler, reply }
    }

    /// The sweep whose sampler is asked.
    pub const fn sweep(&self) -> SweepId {
        self.sweep
    }
}
