//! Samplers: what to try next, and why.
//!
//! A [`Sampler`] is a pure function: what it answers for trial `i` depends on the space, the
//! sweep's seed, the log of results in the order in which they were decided, and the assignments in
//! flight. What it keeps between two questions are shortcuts to the same answer, so a restarted
//! coordinator asks it again and hears the same. The log is in virtual time, which no machine's
//! speed can change.
//!
//! ```text
//! SweepSpec, earlier sweeps --build()--> dyn Sampler        ask(Question { trial, log, pending }) --> Suggest { assignment, reason } | Wait | Exhausted
//! ```
//!
//! A trial enters the log when its first rung is decided, once more at every later rung, and when
//! it ends; [`results()`] makes one value per trial of that.
#![forbid(unsafe_code)]

mod coded;
mod grid;
pub mod importance;
mod ledger;
mod random;
mod results;
mod rounds;
mod sobol;
pub mod stopping;
mod tpe;
mod unused;
mod zoom;

pub use results::{TrialResult, results};

use caviar_common::assignment::Assignment;
use caviar_common::reason::{Extent, Reason, SearchBox, Side};
use caviar_common::space::{Domain, Space};
use caviar_common::spec::{Strategy, SweepSpec};

/// How far a trial was when it entered the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It passed the rung of that number, from 0, and goes on.
    Passed(u32),
    /// It was stopped at the rung of that number.
    Stopped(u32),
    /// It is over: trained to its last epoch, diverged or failed.
    Ended,
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// The trial.
    pub trial: u32,
    /// Its values.
    pub assignment: Assignment,
    /// How far it was.
    pub stage: Stage,
    /// Its objective there, turned so that less is better; none for a trial that diverged or
    /// failed, or measured no finite value there, which counts as worse than any other.
    pub cost: Option<f64>,
}

/// What a sampler is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The trial that is to begin.
    pub trial: u32,
    /// The results so far, in the order of their decisions. Between two questions to one sampler it
    /// only grows.
    pub log: &'a [Observation],
    /// The assignments of trials in flight of which the log has nothing yet, by number.
    pub pending: &'a [&'a Assignment],
}

/// What a sampler answers.
#[derive(Clone, Debug, PartialEq)]
pub enum SamplerReply {
    /// Try this.
    Suggest(Suggestion),
    /// Ask again when another trial has finished.
    Wait,
    /// Every point of the space was tried.
    Exhausted,
}

/// An assignment to try.
#[derive(Clone, Debug, PartialEq)]
pub struct Suggestion {
    /// A value for every active parameter.
    pub assignment: Assignment,
    /// Why.
    pub reason: Reason,
}

/// Chooses assignments.
pub trait Sampler: std::fmt::Debug + Send {
    /// What the trial should try.
    fn ask(&mut self, question: &Question<'_>) -> SamplerReply;
}

/// What an earlier sweep found, for one that begins with it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WarmStart {
    /// Its trials' values, in its own ranges, and costs (less is better; none for a trial that
    /// diverged or failed), in any order.
    pub results: Vec<(Assignment, Option<f64>)>,
}

/// The sampler that a spec asks for. [`Strategy::Zoom`] learns from `earlier` sweeps too; the
/// others begin anew.
pub fn build(spec: &SweepSpec, earlier: &[WarmStart]) -> Box<dyn Sampler> {
    let (space, seed) = (spec.space.clone(), spec.seed);
    match spec.search.strategy {
        Strategy::Random => Box::new(random::Random::new(space, seed)),
        Strategy::Sobol => Box::new(sobol::Sobol::new(space, seed)),
        Strategy::Grid => Box::new(grid::Grid::new(space, spec.search.trials)),
        Strategy::Zoom => Box::new(zoom::Zoom::new(spec, earlier)),
        Strategy::Tpe => Box::new(tpe::Tpe::new(space, seed)),
        Strategy::Rounds => Box::new(rounds::Rounds::new(space, seed, spec.search.rounds.clone())),
    }
}

/// Part of the unit cube of a space: an interval per range, some of the values per choice.
#[derive(Clone, Debug, PartialEq)]
struct Region {
    sides: Vec<Interval>,
}

/// One side of a [`Region`].
#[derive(Clone, Debug, PartialEq)]
enum Interval {
    /// From the first to the second, within [0, 1].
    Between(f64, f64),
    /// The choices with these numbers.
    Among(Vec<usize>),
}

impl Region {
    /// All of the space.
    fn whole(space: &Space) -> Self {
        let side = |domain: &Domain| match domain {
            Domain::Choice { values } => Interval::Among((0..values.len()).collect()),
            Domain::Float { .. } | Domain::Int { .. } => Interval::Between(0.0, 1.0),
        };
        Self { sides: space.parameters().iter().map(|p| side(&p.domain)).collect() }
    }

    /// The region in the values of its space.
    fn to_box(&self, space: &Space) -> SearchBox {
        let extent = |domain: &Domain, side: &Interval| match (domain, side) {
            (Domain::Choice { values }, Interval::Among(chosen)) => {
                Extent::Choices(chosen.iter().filter_map(|i| values.get(*i).cloned()).collect())
            }
            (Domain::Choice { values }, Interval::Between(..)) => Extent::Choices(values.clone()),
            (Domain::Float { .. } | Domain::Int { .. }, Interval::Between(low, high)) => {
                Extent::Range { low: domain.decode(*low), high: domain.decode(*high) }
            }
            (Domain::Float { .. } | Domain::Int { .. }, Interval::Among(_)) => {
                Extent::Range { low: domain.decode(0.0), high: domain.decode(1.0) }
            }
        };
        let sides = space.parameters().iter().zip(&self.sides);
        SearchBox {
            sides: sides
                .map(|(p, side)| Side {
                    parameter: p.name.clone(),
                    extent: extent(&p.domain, side),
                })
                .collect(),
        }
    }
}

#[expect(clippy::as_conversions, reason = "counts of trials and choices are far below 2^53")]
const fn real(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
