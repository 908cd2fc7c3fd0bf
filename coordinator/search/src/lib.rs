//! Samplers, stopping rules and importance: what a sweep tries next, and why.
//!
//! The crate is pure: it reads no clock, file or environment, and starts no thread. The core
//! (`caviar-core`) asks it questions, and writes the replies into the sweep's events.
//!
//! - [`build`] makes the [`Sampler`] that a sweep's spec names. [`Sampler::ask`] chooses the
//!   hyperparameters of one trial.
//! - [`stopping`] says at which epochs trials are compared, and which trials continue.
//! - [`results()`] makes one result per trial of the log of decisions.
//! - [`importance`] says which hyperparameters mattered.
//!
//! ```text
//! SweepSpec, earlier sweeps -- build() --> Sampler
//! Question { trial, log, pending } -- ask() --> Suggest { assignment, reason } | Wait | Exhausted
//! ```
//!
//! A reply is a function of the space, the seed, the trial's number, the log of decisions, and the
//! assignments in flight. So a restarted coordinator asks again and gets the same reply. The log is
//! in the order of virtual time, which does not depend on the speed of any machine. A trial has one
//! entry for each rung that it reached, and one for its end.
//!
//! # Example
//!
//! Ask for the first trial of a sweep, tell the result, and ask for the second one.
//!
//! ```
//! use caviar_common::spec::file::parse;
//! use caviar_search::{Observation, Question, SamplerReply, Stage, build};
//!
//! let text = r#"
//!     name = "example"
//!     seed = 1
//!     [data]
//!     source = "builtin:digits"
//!     [space]
//!     learning_rate = { low = 1e-4, high = 1.0 }
//!     layers = { low = 1, high = 4 }
//!     [search]
//!     trials = 20
//! "#;
//! let spec = parse(text).map_err(|error| format!("{error:?}"))?.spec;
//! let mut sampler = build(&spec, &[]);
//! let mut log = Vec::new();
//!
//! let reply = sampler.ask(&Question { trial: 0, log: &log, pending: &[] });
//! let SamplerReply::Suggest(first) = reply else { return Err("no trial".into()) };
//! assert!(spec.space.contains(&first.assignment));
//!
//! // The trial ended with an accuracy of 0.95. The objective is to be maximised, and a cost is
//! // lower for a better trial.
//! let cost = Some(spec.objective.goal.as_cost(0.95));
//! let assignment = first.assignment.clone();
//! log.push(Observation { trial: 0, assignment, stage: Stage::Ended, cost });
//!
//! let reply = sampler.ask(&Question { trial: 1, log: &log, pending: &[] });
//! let SamplerReply::Suggest(second) = reply else { return Err("no trial".into()) };
//! assert_ne!(first.assignment, second.assignment);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Adding a strategy
//!
//! The compiler finds most places, because the matches on [`Strategy`] have no wildcard arm. The
//! strategy `tpe` is an example of each step: search the repository for `Tpe` and `"tpe"`.
//!
//! 1. **Name it.** Add a variant to [`Strategy`], to `Strategy::ALL`, `name` and
//!    `default_stopping` in `common/src/spec/mod.rs`. The sweep file, the wire and the command line
//!    use this name, so no `.proto` file has an enum of strategies.
//! 2. **Check its keys.** `common/src/spec/check/mod.rs` refuses `rounds`, `points` and
//!    `warm_start` for strategies that do not use them. A new key of `[search]` also needs a field
//!    in `SearchSpec`, in `DraftSearch` of `common/src/spec/draft.rs` and in `SearchSpec` of
//!    `proto/caviar/v1/types.proto`, and both conversions in `proto/src/convert/spec.rs`.
//! 3. **Give its trials a reason.** If no `Source` in `common/src/reason.rs` fits, add one to the
//!    enum, to `ALL` and to `name`. Add its name to the comment of `Reason.source` in
//!    `proto/caviar/v1/types.proto`, and its sentence to `cli/src/show/explain.rs`.
//! 4. **Write the sampler.** Add a module to `coordinator/search/src` with a type that implements
//!    [`Sampler`], and its arm to [`build`]. A reply may only depend on what this page lists above.
//!    Take random numbers from `Seed::derive` in `common/src/seed.rs`, with the trial's number and
//!    `Purpose::Candidates`.
//! 5. **Test it.** In `coordinator/search/tests`, add the strategy to `recorded.rs`, and to the
//!    property test of `strategies.rs` or to one of its own, as `tpe` has one in its module.
//!    Add it to the list of strategies in `tests/tests/stopping.rs`, to the test of the default
//!    stopping rules in `common/src/spec/tests.rs`, and to the round trips in
//!    `proto/src/tests/specs.rs`.
//! 6. **Describe it.** `docs/sweep-file.md` describes every strategy, names the strategies under
//!    each default stopping rule, and quotes the error for an unknown strategy. `ARCHITECTURE.md`
//!    lists the strategies, and `CHANGELOG.md` announces the new one.
//!
//! To compare it with the others, run `tests/peers/search/bench.py --strategy NAME`. The README in
//! that folder says how.
//!
//! [`Strategy`]: caviar_common::spec::Strategy
#![forbid(unsafe_code)]

mod cube;
mod grid;
pub mod importance;
mod ledger;
mod observation;
mod random;
mod region;
mod results;
mod rounds;
mod sampler;
mod sobol;
pub mod stopping;
mod tpe;
mod unused;
mod zoom;

pub use observation::{Observation, Stage};
pub use results::{TrialResult, results};
pub use sampler::{Question, Sampler, SamplerReply, Suggestion, WarmStart};

use caviar_common::spec::{Strategy, SweepSpec};

/// Builds the sampler of a sweep. Only [`Strategy::Zoom`] learns from `earlier` sweeps; the other
/// strategies ignore them.
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
