//! Samplers, stopping rules and importance: what a sweep tries next, and why.
//!
//! The crate is pure: it reads no clock, file or environment, and starts no thread. The core
//! (`caviar-core`) asks it questions, and writes the replies into the sweep's events.
//!
//! - [`build`] makes the [`Sampler`] that a sweep's spec names. [`Sampler::ask`] chooses the
//!   hyperparameters of one trial.
//! - [`stopping`] says at which epochs trials are compared, and which trials continue.
//! - [`History`] holds the assignments of the trials and the log of decisions, packed.
//! - [`results()`] turns the decision log into one result per trial.
//! - [`SortedList`] keeps costs in order, with ranks.
//! - [`importance`] says which hyperparameters mattered.
//!
//! ```text
//! SweepSpec, earlier sweeps -- build() --> Sampler
//! Question { trial, history, pending }
//!                      -- ask() --> Suggest { assignment, reason } | Wait | Exhausted
//! ```
//!
//! A reply is a function of the space, the seed, the trial's number, the history, and the trials in
//! flight. So a restarted coordinator asks again and gets the same reply. The log is
//! in the order of virtual time, which does not depend on the speed of any machine. A trial has one
//! entry for each rung that it reached, and one for its end.
//!
//! # Example
//!
//! Ask for the first trial of a sweep, tell the result, and ask for the second one.
//!
//! ```
//! use caviar_common::spec::file::parse;
//! use caviar_search::{History, Observation, Question, SamplerReply, Stage, build};
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
//! let mut history = History::new(spec.space.clone());
//!
//! let reply = sampler.ask(&Question { trial: 0, history: &history, pending: &[] });
//! let SamplerReply::Suggest(first) = reply else { return Err("no trial".into()) };
//! assert!(spec.space.contains(&first.assignment));
//!
//! // The trial ended with an accuracy of 0.95. The objective is to be maximised, and a cost is
//! // lower for a better trial.
//! let trial = history.push_trial(&first.assignment)?;
//! let cost = Some(spec.objective.goal.as_cost(0.95));
//! history.push(Observation { trial, stage: Stage::Ended, cost })?;
//!
//! let reply = sampler.ask(&Question { trial: 1, history: &history, pending: &[] });
//! let SamplerReply::Suggest(second) = reply else { return Err("no trial".into()) };
//! assert_ne!(first.assignment, second.assignment);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Adding a strategy
//!
//! The compiler finds the six matches on [`Strategy`] and `Source`, because they have no wildcard
//! arm. It finds neither `ALL`, nor comparisons such as `== Strategy::Zoom`, nor lists in tests and
//! documents. `git grep -iw sobol` shows the places of a strategy that ignores results, and
//! `git grep -iw tpe` those of one with a model.
//!
//! 1. **Name it.** Add a variant to [`Strategy`] in `common/src/spec/mod.rs`, and to
//!    `Strategy::ALL`, `name`, `has_rounds` and `default_stopping`. The default is halving, unless
//!    the strategy compares completed trials only. The sweep file, the wire and the command line
//!    use the name, so no `.proto` file has an enum of strategies.
//! 2. **Check its keys.** `common/src/spec/check/mod.rs` refuses `rounds`, `points` and
//!    `warm_start` for strategies that do not use them, so a strategy without such keys needs no
//!    change here. With `has_rounds`, `rounds` are checked, sent over the wire and shown in
//!    `cli/src/show/boxes.rs`. A new key of `[search]` also needs a field in `SearchSpec`, in
//!    `DraftSearch` of `common/src/spec/draft.rs` and in `SearchSpec` of
//!    `proto/caviar/v1/types.proto`, and both conversions in `proto/src/convert/spec.rs`.
//! 3. **Give its trials a source.** A trial's reason contains its source. If no `Source` in
//!    `common/src/reason.rs` fits, add one to the enum, to `ALL` and to `name`. Add its name to the
//!    comment of `Reason.source` in `proto/caviar/v1/types.proto`, write `proto/generated` again
//!    (`CAVIAR_UPDATE_PROTO=1 cargo test -p caviar-proto --test generated`), and add its sentence
//!    to `cli/src/show/explain.rs`. An older release cannot read a store with the new names: raise
//!    `FORMAT` in `coordinator/src/store/schema.rs`, unless it was raised since the last release. A
//!    client of an earlier release refuses trials with a source that it does not know, so announce
//!    the source in the changelog. `PROTOCOL` concerns workers only and does not change.
//! 4. **Write the sampler.** Add a module to `coordinator/search/src` with a type that implements
//!    [`Sampler`], and its arm to [`build`]. [`Sampler::is_quick`] is true only if the cost of an
//!    ask does not grow with the history. A reply may only depend on what this page lists above.
//!    Take random numbers from `Seed::derive` in `common/src/seed.rs`. Uniform draws use the
//!    trial's number and `Purpose::Sample`, and models use it with `Purpose::Candidates`. A
//!    sequence is scrambled once for the sweep, with trial 0 and `Purpose::Scramble`. The docs of
//!    `Purpose` in `common/src/seed.rs` say when to add one. The documentation of the module begins
//!    with the idea, the formula, the source and a worked example.
//! 5. **Declare a new dependency, if it has one.** Name its version in the root `Cargo.toml`, use
//!    it in `coordinator/search/Cargo.toml`, and commit `Cargo.lock`. `deny.toml` lists the
//!    licences that are allowed.
//! 6. **Test it.**
//!    - In `coordinator/search/tests`, add it to `recorded.rs`, which holds hashes: run the test,
//!      and copy the new hash from its failure. The other hashes must not change.
//!    - Add it to `STRATEGIES` in `strategies.rs` or, for a strategy with a model, to a property
//!      test in its own module. Test in `strategies.rs` what it promises about its first trials,
//!      and add its second trial to the test that holds those of all strategies without a model.
//!    - A strategy that ignores results is added to `STRATEGIES` and `IN_ORDER_OF_ARRIVAL` in
//!      `tests/tests/stopping.rs`, and to `SEARCHES` in `tests/tests/simulation.rs`; one with a
//!      model to `STRATEGIES` only.
//!    - If its default is halving, add it to the test of the default stopping rules in
//!      `common/src/spec/tests.rs`. Add it to the round trips in `proto/src/tests/specs.rs`, and to
//!      `strategies` in `tests/compat/sweeps.py`.
//! 7. **Describe it.** `docs/sweep-file.md` describes every strategy and names the strategies under
//!    each default stopping rule, as `docs/concepts/rungs.md` does.
//!    `CAVIAR_UPDATE_DOCS=1 cargo test -p caviar-tests --test sweep_file_doc` updates its error for
//!    an unknown strategy. The list in `ARCHITECTURE.md` and the comment in `examples/digits.toml`
//!    name the strategies. `CHANGELOG.md` announces the new one under `[Unreleased]`, *Added*.
//!
//! To compare it with the others, run
//! `bench.py SEARCH_BENCH --strategy halton --label caviar-halton` in `tests/peers/search`. The
//! README there says what `SEARCH_BENCH` is. The label names the results.
//!
//! [`Strategy`]: caviar_common::spec::Strategy
#![forbid(unsafe_code)]

mod cube;
mod grid;
mod history;
pub mod importance;
mod in_flight;
mod ledger;
mod observation;
mod random;
mod region;
mod results;
mod rounds;
mod sampler;
mod sobol;
mod sorted;
pub mod stopping;
mod tpe;
mod unused;
mod zoom;

pub use history::{History, HistoryError};
pub use observation::{Observation, Stage};
pub use results::{TrialResult, each_result, results};
pub use sampler::{Question, Sampler, SamplerReply, Suggestion, WarmStart};
pub use sorted::{Iter, SortedList, TotalF64};

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
        Strategy::Rounds => Box::new(rounds::Rounds::new(space, seed, &spec.search.rounds)),
    }
}
