//! The samplers of the sweeps, and what they replied.

use caviar_common::ids::{SweepId, TrialNumber};
use caviar_search::{Question, Sampler, SamplerReply};

use crate::record::sampling::{SamplingJob, ask};

/// Where a sweep's sampler is.
#[derive(Debug)]
pub(crate) enum Place {
    /// Here: it can be asked.
    Here(Box<dyn Sampler>),
    /// Another thread asks it for the sweep's next trial.
    Away,
}

/// A sweep's sampler, and what is known of its next reply.
#[derive(Debug)]
pub(crate) struct Sampling {
    pub(crate) place: Place,
    /// The reply to the question for the next trial, if it has arrived, and the length of the log
    /// that the sampler saw. After a resize, decisions may come before the trial, so that the reply
    /// is out of date.
    pub(crate) reply: Option<(usize, SamplerReply)>,
    /// The length of the log at which the sampler said that it waits for the next decision.
    pub(crate) waits_at: Option<usize>,
    /// True if every point of the space has been tried or is in flight.
    pub(crate) is_exhausted: bool,
    /// True if the sweep was extended while another thread asked the sampler, which does not know
    /// the new budget. It is made again when it has replied.
    pub(crate) is_outdated: bool,
}

/// What became of a question.
#[derive(Debug)]
pub(crate) enum Asked {
    /// The sampler replied at once.
    Reply(SamplerReply),
    /// Another thread asks it. `None` if it did so before.
    Away(Option<SamplingJob>),
}

impl Sampling {
    pub(crate) fn new(sampler: Box<dyn Sampler>) -> Self {
        let (place, reply, waits_at) = (Place::Here(sampler), None, None);
        Self { place, reply, waits_at, is_exhausted: false, is_outdated: false }
    }

    /// Asks the sampler, or hands it to another thread if the reply may take milliseconds.
    pub(crate) fn ask(&mut self, sweep: SweepId, question: &Question<'_>) -> Asked {
        match std::mem::replace(&mut self.place, Place::Away) {
            Place::Away => Asked::Away(None),
            Place::Here(mut sampler) if sampler.is_quick(question) => {
                let reply = ask(sampler.as_mut(), question);
                self.place = Place::Here(sampler);
                Asked::Reply(reply)
            }
            Place::Here(sampler) => Asked::Away(Some(SamplingJob {
                sweep,
                trial: TrialNumber(question.trial),
                sampler,
                history: question.history.clone(),
                pending: question.pending.to_vec(),
            })),
        }
    }

    /// True while another thread asks the sampler, so that decisions may follow without a further
    /// input.
    pub(crate) const fn is_away(&self) -> bool {
        matches!(self.place, Place::Away)
    }
}
