//! The strategy `zoom`, the default: from coarse to fine, one trial at a time.
//!
//! Every trial is the best of 256 random candidates. Most candidates lie in a box around the best
//! trial so far. A Gaussian process of the results in and near the box ranks the candidates by
//! their expected improvement. The box is the trust region of Eriksson et al., "Scalable Global
//! Optimization via Local Bayesian Optimization", 2019: it shrinks while results do not get better,
//! grows when they do, and is wide along parameters that matter little.
//!
//! ```text
//! log -- Ledger --> sorted results, side L of the box
//!     -- fit at milestones --> length scales and noise
//!     -- LocalModel --> box, model of up to 80 results
//!     -- believe the assignments in flight --> model
//!     -- rank the candidates --> the best one that is not used
//! ```
//!
//! Each submodule describes its step with its formulas and an example: `side` and `local` the box,
//! `gp` the model, `fit` the fit of its parameters, `candidates` and `score` the ranking, `earlier`
//! the warm start, and `plain` the trials that trust no model. docs/decisions/0008-zoom.md explains
//! the design, and docs/internals/search.md has the measurements, also of the rejected variants.
//!
//! Example: a sweep with 8 trials in flight. Trial 0 is the centre of the space, and trials 1 to 5
//! are Sobol points. From trial 6 on, a trial with a number 7, 15, 23, … is a plain one, and the
//! others are the best candidates, as soon as there are five results. The parameters of the model
//! are fitted when the sweep has 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 19, 21, … results.
//!
//! A suggestion is a function of the space, the seed, the log and the assignments in flight. What
//! the sampler keeps between two asks (the sorted log, the last fit, the last model) follows from
//! these.

mod all_results;
mod candidates;
mod earlier;
mod fit;
mod gp;
mod limits;
mod local;
mod nearest;
mod plain;
mod score;
mod side;

use caviar_common::numbers::to_u32;
use caviar_common::reason::{Expected, Ranking, Reason, Source};
use caviar_common::seed::{Purpose, Seed, Stream};
use caviar_common::spec::{Goal, SweepSpec};

use crate::cube::Cube;
use crate::history::History;
use crate::in_flight::InFlight;
use crate::ledger::Ledger;
use crate::region::{Interval, Region};
use crate::sampler::{Question, Sampler, SamplerReply, Suggestion, WarmStart};
use crate::unused::Unused;
use all_results::{AllResults, TrainingSet};
use candidates::{CandidateSource, MOVE_SIZES};
use earlier::EarlierResults;
use gp::{KernelParameters, Prediction};
use limits::LEAST_RESULTS;
use local::LocalModel;
use nearest::Nearest;
use score::log_expected_improvement;
use side::BoxSide;

/// Trials before the search starts: the centre of the space, and points of a Sobol sequence.
const INITIAL: u32 = 6;
/// The same for a sweep with a warm start, whose first trial is the best earlier one.
const INITIAL_WARM: u32 = 2;
/// One trial in this many is a plain one. With one in 32 and 64 trials in flight the regret was .91
/// ± .05 times as high on the problems where this was found, but 1.04 ± .09 times on held-out ones
/// (docs/internals/search.md, "What was tried and rejected").
const PLAIN_ONE_IN: u32 = 8;

/// The sampler of `strategy = "zoom"`.
#[derive(Debug)]
pub(crate) struct Zoom {
    cube: Cube,
    seed: u64,
    goal: Goal,
    /// The number of trials before the search starts.
    initial: u32,
    earlier: EarlierResults,
    ledger: Ledger,
    /// The side of the box after the log.
    side: BoxSide,
    /// The side of the box before the log.
    first_side: BoxSide,
    /// The results that the next fit learns from, and the milestone at which they were chosen.
    training: Option<(usize, TrainingSet)>,
    /// The last fit, and the number of results that it has seen.
    fitted: Option<(usize, KernelParameters)>,
    nearest: Nearest,
    /// The last model, and the number of log entries that it has seen.
    local: Option<(usize, LocalModel)>,
    in_flight: InFlight,
    unused: Unused,
}

/// A point, and why it is suggested.
struct Proposal {
    point: Vec<f64>,
    reason: Reason,
}

/// Scored candidates.
struct Scored {
    /// In rows.
    points: Vec<f64>,
    predictions: Vec<Prediction>,
    /// The logarithm of each candidate's expected improvement.
    scores: Vec<f64>,
}

impl Zoom {
    pub(crate) fn new(spec: &SweepSpec, earlier: &[WarmStart]) -> Self {
        let cube = Cube::new(spec.space.clone());
        let earlier = EarlierResults::new(&cube, earlier);
        let initial = if earlier.len() == 0 { INITIAL } else { INITIAL_WARM };
        let first_side = BoxSide::new(cube.dimensions(), spec.search.parallelism.trials(), initial);
        Self {
            unused: Unused::new(&cube, Seed::derive(spec.seed, 0, Purpose::Scramble).word()),
            seed: spec.seed,
            goal: spec.objective.goal,
            initial,
            earlier,
            ledger: Ledger::default(),
            side: first_side.clone(),
            first_side,
            cube,
            training: None,
            fitted: None,
            nearest: Nearest::default(),
            local: None,
            in_flight: InFlight::default(),
        }
    }

    /// Adds the new entries of the log. A log that is shorter than before is a different log.
    fn absorb(&mut self, history: &History) {
        if history.len() < self.ledger.absorbed() {
            (self.ledger, self.side) = (Ledger::default(), self.first_side.clone());
            (self.training, self.fitted, self.local) = (None, None, None);
            (self.nearest, self.in_flight) = (Nearest::default(), InFlight::default());
            self.unused.reset(&self.cube);
        }
        self.side.absorb(history.entries_from(self.ledger.absorbed()));
        if let Some((count, end)) = self.reached_milestone(history) {
            self.ledger.absorb_up_to(&self.cube, history, end);
            self.training = Some((count, self.training_set(&self.ledger)));
        }
        self.ledger.absorb(&self.cube, history);
    }

    /// The last milestone that the new entries of the log reach, and the length of the log up to
    /// the entry that reaches it. `None` if they reach none, or if no trial of this sweep is needed
    /// for it.
    fn reached_milestone(&self, history: &History) -> Option<(usize, usize)> {
        let new = self.ledger.new_trials(history);
        let known = self.earlier.len() + self.ledger.len();
        let count = milestone(known + new.len());
        let last = count.checked_sub(known)?.checked_sub(1)?;
        Some((count, new.get(last)? + 1))
    }

    /// The results from which the parameters of the model are fitted.
    fn training_set(&self, ledger: &Ledger) -> TrainingSet {
        let results = AllResults::new(&self.cube, ledger, &self.earlier);
        // There are no length scales yet, so distances are those on the unit cube.
        let even = vec![1.0; self.cube.dimensions()];
        let nearest = || Nearest::default().update(&self.cube, &results, results.centre(), &even);
        TrainingSet::new(&results, &results.choose(nearest))
    }

    /// One of the trials before the search starts.
    fn initial_proposal(&self, trial: u32) -> Proposal {
        if trial > 0 {
            let point = self.unused.sobol_point(&self.cube, trial);
            return Proposal { point, reason: Reason::from_source(Source::Initial) };
        }
        if let Some(point) = self.earlier.best(&self.cube) {
            return Proposal { point, reason: Reason::from_source(Source::WarmStart) };
        }
        let mut point = vec![0.5; self.cube.dimensions()];
        self.cube.snap(&mut point);
        Proposal { point, reason: Reason::from_source(Source::Initial) }
    }

    fn plain_proposal(&self, stream: &mut Stream) -> Proposal {
        let space = self.cube.space();
        let results = AllResults::new(&self.cube, &self.ledger, &self.earlier);
        let best = results.best(plain::best_count(results.len()));
        let points: Vec<&[f64]> = best.iter().map(|index| results.point(*index)).collect();
        let region = plain::region(space, &points);
        let mut point = plain::draw(space, &region, stream);
        self.cube.snap(&mut point);
        let search_box = Some(region.to_box(space));
        Proposal { point, reason: Reason { search_box, ..Reason::from_source(Source::Plain) } }
    }

    /// The best of the candidates that are free; `None` if none is.
    fn ranked_proposal(
        &self,
        stream: &mut Stream,
        is_free: &dyn Fn(&[f64]) -> bool,
    ) -> Option<Proposal> {
        let (_, local) = self.local.as_ref()?;
        let candidates = self.score_candidates(local, stream);
        let mut order: Vec<(f64, usize)> = candidates.scores.iter().copied().zip(0..).collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let rows: Vec<&[f64]> = candidates.points.chunks_exact(self.cube.dimensions()).collect();
        let is_allowed =
            |(_, (_, i)): &(usize, &(f64, usize))| rows.get(*i).is_some_and(|point| is_free(point));
        let (rank, (score, i)) = order.iter().enumerate().find(is_allowed)?;
        let prediction = candidates.predictions.get(*i).copied().unwrap_or_default();
        let ranking = Ranking {
            centre: local.centre_trial,
            side: local.side,
            length_scales: local.kernel.length_scales.clone(),
            expected: self.expected(local, prediction),
            score: recordable(*score),
            rank: to_u32(rank).saturating_add(1),
            candidates: to_u32(order.len()),
        };
        let search_box = Some(self.region(&local.sides).to_box(self.cube.space()));
        let reason =
            Reason { search_box, ranking: Some(ranking), ..Reason::from_source(Source::Ranked) };
        Some(Proposal { point: rows.get(*i)?.to_vec(), reason })
    }

    /// Draws candidates, and moves the best ones.
    fn score_candidates(&self, local: &LocalModel, stream: &mut Stream) -> Scored {
        let (model, least) = local.believing(&self.cube, &self.in_flight);
        let source = CandidateSource {
            cube: &self.cube,
            sides: &local.sides,
            top: &local.top,
            length_scales: &local.kernel.length_scales,
        };
        let mut points = source.draw(stream);
        let mut predictions = model.predict(&points);
        let score = |prediction: &Prediction| log_expected_improvement(least, *prediction);
        let mut scores: Vec<f64> = predictions.iter().map(score).collect();
        for size in MOVE_SIZES {
            let known = points.len();
            source.add_moves(&mut points, &scores, size, stream);
            let new = model.predict(points.get(known..).unwrap_or_default());
            scores.extend(new.iter().map(score));
            predictions.extend(new);
        }
        Scored { points, predictions, scores }
    }

    /// A prediction in units of the objective.
    fn expected(&self, local: &LocalModel, prediction: Prediction) -> Expected {
        let value = |deviations| recordable(self.goal.as_cost(local.cost(prediction, deviations)));
        Expected { worse: value(1.0), middle: value(0.0), better: value(-1.0) }
    }

    fn region(&self, sides: &[(f64, f64)]) -> Region {
        let mut region = Region::whole(self.cube.space());
        for (side, (low, high)) in region.sides.iter_mut().zip(sides) {
            if let Interval::Between(..) = side {
                *side = Interval::Between(*low, *high);
            }
        }
        region
    }

    /// Makes the model of the log, unless the last one is.
    fn update_model(&mut self) {
        if self.local.as_ref().is_some_and(|(entries, _)| *entries == self.ledger.absorbed()) {
            return;
        }
        let results = AllResults::new(&self.cube, &self.ledger, &self.earlier);
        let count = milestone(results.len());
        let kernel = match self.fitted.take() {
            Some((seen, kernel)) if seen == count => kernel,
            _ => self.fit(count),
        };
        let scales = &kernel.length_scales;
        let nearest = || self.nearest.update(&self.cube, &results, results.centre(), scales);
        let chosen = results.choose(nearest);
        let local =
            LocalModel::new(&self.cube, &results, kernel.clone(), &chosen, self.side.side());
        self.fitted = Some((count, kernel));
        self.local = Some((self.ledger.absorbed(), local));
    }

    /// Fits the model to the first `count` results, with the log as it was when the last of them
    /// entered. Later entries are ignored, so the fit does not depend on when it is made.
    fn fit(&self, count: usize) -> KernelParameters {
        match &self.training {
            Some((milestone, training)) if *milestone == count => {
                fit::fit(&training.sample(&self.cube))
            }
            // The results of earlier sweeps are enough for the milestone.
            Some(_) | None => fit::fit(&self.training_set(&Ledger::default()).sample(&self.cube)),
        }
    }

    /// True for the trials before the search starts.
    fn is_initial(&self, trial: u32) -> bool {
        let results = self.earlier.len() + self.ledger.len();
        trial == 0 || trial < self.initial || results < LEAST_RESULTS
    }
}

impl Sampler for Zoom {
    fn ask(&mut self, question: &Question<'_>) -> SamplerReply {
        let trial = question.trial;
        self.absorb(question.history);
        let is_ranked = !self.is_initial(trial) && trial % PLAIN_ONE_IN != PLAIN_ONE_IN - 1;
        if is_ranked {
            self.update_model();
        }
        self.in_flight.update(&self.cube, question.history, question.pending);
        let is_used = |point: &[f64]| self.ledger.is_used(&self.cube.key(point));
        let is_free = |point: &[f64]| {
            let key = self.cube.key(point);
            !self.in_flight.has(&key) && !self.ledger.is_used(&key)
        };
        let mut stream = Seed::derive(self.seed, u64::from(trial), Purpose::Candidates).stream(0);
        let found = if self.is_initial(trial) {
            Some(self.initial_proposal(trial))
        } else if is_ranked {
            self.ranked_proposal(&mut stream, &is_free)
        } else {
            Some(self.plain_proposal(&mut stream))
        };
        let next = || {
            let point = self.unused.find(&self.cube, trial, &is_free, &is_used)?;
            Some(Proposal { point, reason: Reason::from_source(Source::Sobol) })
        };
        let found = found.filter(|found| is_free(&found.point)).or_else(next);
        found.map_or(SamplerReply::Exhausted, |found| {
            SamplerReply::Suggest(Suggestion {
                assignment: self.cube.decode(&found.point),
                reason: Reason { seen: to_u32(question.history.len()), ..found.reason },
            })
        })
    }

    fn is_quick(&self, _question: &Question<'_>) -> bool {
        false
    }
}

/// The last milestone up to `n` results. The first one is 5, and each further one is 12 % greater,
/// rounded down, but at least by 1. So a sweep has a number of fits that grows like the logarithm
/// of its results.
fn milestone(n: usize) -> usize {
    let (mut last, mut next) = (LEAST_RESULTS, LEAST_RESULTS);
    while next <= n {
        last = next;
        next = (next + 1).max(next * 112 / 100);
    }
    last
}

/// A value that JSON can hold: infinities become the greatest numbers, and a value that is not a
/// number becomes 0. The logarithm of an improvement that rounds to 0 is minus infinity.
const fn recordable(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value.clamp(f64::MIN, f64::MAX) }
}
