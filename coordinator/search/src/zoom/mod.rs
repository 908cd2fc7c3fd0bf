//! Coarse to fine, one trial at a time: the best of many random candidates in and around a moving
//! box, by a small local model.
//!
//! The box stands around the best trial. It halves when results stop getting better and doubles
//! when they do, as the trust region of Eriksson et al. ("Scalable Global Optimization via Local
//! Bayesian Optimization", 2019); it is wide along parameters that matter little. Candidates are
//! ranked by the improvement that a Gaussian process of the results in and near the box expects
//! ([`gp`]). Trials in flight are believed to come out as that model expects (Ginsbourger et al.,
//! "Kriging is well-suited to parallelize optimization", 2010), so that slots asked one after the
//! other do not get the same answer. A quarter of the candidates come from the whole space, and
//! every eighth trial trusts no model: it is a plain random draw in the range of the best ones.
//!
//! ```text
//! log --Ledger--> sorted results, side L --fit at milestones--> length scales --Local--> box, model
//!                                               pending --believe--> model --rank--> candidates --> the best that is not used
//! ```
//!
//! An answer is a function of the space, the seed, the log and the assignments in flight. What is
//! kept between two questions are the log's entries in sorted form, the last fit, which sees the
//! log up to a milestone only, and what follows from the two.

mod candidates;
mod earlier;
mod fit;
mod gp;
mod local;
mod score;
mod side;

use caviar_common::reason::{Expected, Ranking, Reason, Source};
use caviar_common::seed::{Purpose, Seed, Stream};
use caviar_common::space::Domain;
use caviar_common::spec::{Goal, SweepSpec};

use candidates::{Ground, ROUNDS};
use earlier::Earlier;
use gp::{Belief, Theta};
use local::{Local, Nearest, Record, Training};
use side::SideReplay;

use crate::coded::{self, Coded, Key};
use crate::ledger::{self, Ledger};
use crate::unused;
use crate::{
    Interval, Observation, Question, Region, Sampler, SamplerReply, Suggestion, WarmStart,
};

/// Trials before the search begins: the centre of the space and a Sobol sequence. Fewer where there
/// is an earlier sweep.
const INITIAL: u32 = 6;
const INITIAL_WARM: u32 = 2;
/// Results that a model needs.
const NMIN: usize = 5;
/// Results that a model takes.
const NMAX: usize = 80;
/// Every so many trials, one is a plain draw.
const PLAIN: u32 = 8;
/// Best trials that candidates are changes of.
const TOP: usize = 5;
/// Assignments in flight that are believed: those nearest to the middle of the box.
const BELIEVED: usize = 128;

/// The sampler of `strategy = "zoom"`.
#[derive(Debug)]
pub(crate) struct Zoom {
    coded: Coded,
    seed: u64,
    scramble: u32,
    goal: Goal,
    /// Trials before the search begins.
    initial: u32,
    earlier: Earlier,
    ledger: Ledger,
    /// The side of the box after the log, and before it.
    side: SideReplay,
    first_side: SideReplay,
    /// The last fit, and how many results it saw.
    fitted: Option<(usize, Theta)>,
    nearest: Nearest,
    /// What follows from so many entries of the log.
    local: Option<(usize, Local)>,
}

/// What became of an ask: a point, and why.
struct Found {
    point: Vec<f64>,
    reason: Reason,
}

impl Zoom {
    pub(crate) fn new(spec: &SweepSpec, earlier: &[WarmStart]) -> Self {
        let coded = Coded::new(spec.space.clone());
        let earlier = Earlier::new(&coded, earlier);
        let initial = if earlier.len() == 0 { INITIAL } else { INITIAL_WARM };
        let first_side = SideReplay::new(coded.dimensions(), spec.search.parallelism, initial);
        Self {
            seed: spec.seed,
            scramble: Seed::derive(spec.seed, 0, Purpose::Scramble).word(),
            goal: spec.objective.goal,
            initial,
            earlier,
            ledger: Ledger::default(),
            side: first_side.clone(),
            first_side,
            coded,
            fitted: None,
            nearest: Nearest::default(),
            local: None,
        }
    }

    /// Takes in what is new. A shorter log is another one.
    fn absorb(&mut self, log: &[Observation]) {
        if log.len() < self.ledger.absorbed() {
            (self.ledger, self.side) = (Ledger::default(), self.first_side.clone());
            (self.fitted, self.local, self.nearest) = (None, None, Nearest::default());
        }
        self.side.absorb(log.get(self.ledger.absorbed()..).unwrap_or_default());
        self.ledger.absorb(&self.coded, log);
    }

    fn first(&self, trial: u32) -> Vec<f64> {
        if trial > 0 {
            return unused::sobol(&self.coded, self.scramble, trial);
        }
        self.earlier.best(&self.coded).unwrap_or_else(|| {
            let mut centre = vec![0.5; self.coded.dimensions()];
            self.coded.snap(&mut centre);
            centre
        })
    }

    /// A uniform draw in the range of the best trials, a little widened. Of a choice it keeps the
    /// values that they use.
    fn plain(&self, stream: &mut Stream) -> Found {
        let record = Record::new(&self.coded, &self.ledger, &self.earlier);
        let best = record.best(ledger::root(record.len()).max(4));
        let points: Vec<&[f64]> = best.iter().map(|index| record.point(*index)).collect();
        let parameters = self.coded.space().parameters().iter().enumerate();
        let sides =
            parameters.map(|(j, parameter)| plain_side(&parameter.domain, j, &points)).collect();
        let region = Region { sides };
        let draw = |(side, parameter): (&Interval, &caviar_common::space::Parameter)| match side {
            Interval::Between(low, high) => candidates::between((*low, *high), stream),
            Interval::Among(chosen) => {
                let pick = u64::try_from(chosen.len())
                    .ok()
                    .and_then(|n| usize::try_from(stream.below(n)).ok());
                let value = pick
                    .and_then(|i| chosen.get(i))
                    .and_then(|i| u64::try_from(*i).ok())
                    .unwrap_or(0);
                coded::level(&parameter.domain, value)
            }
        };
        let mut point: Vec<f64> =
            region.sides.iter().zip(self.coded.space().parameters()).map(draw).collect();
        self.coded.snap(&mut point);
        Found {
            point,
            reason: Reason {
                search_box: Some(region.to_box(self.coded.space())),
                ..Reason::from_source(Source::Plain)
            },
        }
    }

    /// The best of the candidates that `free` allows.
    fn ranked(
        &mut self,
        stream: &mut Stream,
        log: &[Observation],
        pending: &[Vec<f64>],
        free: &dyn Fn(&Self, &[f64]) -> bool,
    ) -> Option<Found> {
        self.prepare(log);
        let (_, local) = self.local.as_ref()?;
        let mut model = local.model.clone();
        let mut least = local.least;
        for point in self.believed(local, pending) {
            least = least.min(model.believe(point));
        }
        let ground = Ground {
            coded: &self.coded,
            sides: &local.sides,
            top: &local.top,
            scales: &local.theta.scales,
        };
        let d = self.coded.dimensions();
        let mut points = ground.draw(stream);
        let mut beliefs = model.beliefs(&points);
        let score = |belief: &Belief| score::log_expected_improvement(least, *belief);
        let mut scores: Vec<f64> = beliefs.iter().map(score).collect();
        for size in ROUNDS {
            let known = points.len();
            ground.moves(&mut points, &scores, size, stream);
            let new = model.beliefs(points.get(known..).unwrap_or_default());
            scores.extend(new.iter().map(score));
            beliefs.extend(new);
        }
        let mut order: Vec<(f64, usize)> = scores.iter().copied().zip(0..).collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let rows: Vec<&[f64]> = points.chunks_exact(d).collect();
        let allowed = |(_, (_, i)): &(usize, &(f64, usize))| {
            rows.get(*i).is_some_and(|point| free(self, point))
        };
        let (rank, (score, i)) = order.iter().enumerate().find(allowed)?;
        let ranking = Ranking {
            centre: local.centre,
            side: local.side,
            length_scales: local.theta.scales.clone(),
            expected: self.expected(local, beliefs.get(*i).copied().unwrap_or_default()),
            score: recorded(*score),
            rank: u32::try_from(rank).unwrap_or(u32::MAX).saturating_add(1),
            candidates: u32::try_from(order.len()).unwrap_or(u32::MAX),
        };
        let search_box = Some(self.region(&local.sides).to_box(self.coded.space()));
        let reason =
            Reason { search_box, ranking: Some(ranking), ..Reason::from_source(Source::Ranked) };
        Some(Found { point: rows.get(*i)?.to_vec(), reason })
    }

    /// The assignments in flight that the model hears of: with thousands of them, those far away
    /// would only take time.
    fn believed<'a>(&self, local: &Local, pending: &'a [Vec<f64>]) -> Vec<&'a [f64]> {
        let inverse: Vec<f64> = local.theta.scales.iter().map(|s| 1.0 / s).collect();
        let mut points: Vec<&[f64]> = pending.iter().map(Vec::as_slice).collect();
        if points.len() > BELIEVED {
            let distance = |point: &[f64]| {
                local::squared(&local.middle, point, &inverse, self.coded.choices())
            };
            points.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
            points.truncate(BELIEVED);
        }
        points
    }

    fn expected(&self, local: &Local, belief: Belief) -> Expected {
        let value = |deviations: f64| {
            recorded(self.goal.as_cost(local.cost(belief.mean + deviations * belief.deviation)))
        };
        Expected { worse: value(1.0), middle: value(0.0), better: value(-1.0) }
    }

    fn region(&self, sides: &[(f64, f64)]) -> Region {
        let mut region = Region::whole(self.coded.space());
        for (side, (low, high)) in region.sides.iter_mut().zip(sides) {
            if let Interval::Between(..) = side {
                *side = Interval::Between(*low, *high);
            }
        }
        region
    }

    /// Sees to it that `local` belongs to the log as it is now.
    fn prepare(&mut self, log: &[Observation]) {
        if self.local.as_ref().is_some_and(|(entries, _)| *entries == self.ledger.absorbed()) {
            return;
        }
        let record = Record::new(&self.coded, &self.ledger, &self.earlier);
        let fit = milestone(record.len());
        let theta = match self.fitted.take() {
            Some((seen, theta)) if seen == fit => theta,
            _ => self.fit(fit, log),
        };
        let centre = record.centre();
        let near = |count| self.nearest.of(&self.coded, &record, centre, &theta.scales, count);
        let chosen = local::chosen(&record, near);
        let local = Local::new(&self.coded, &record, theta.clone(), &chosen, self.side.side());
        self.fitted = Some((fit, theta));
        self.local = Some((self.ledger.absorbed(), local));
    }

    /// The fit to the first `count` results, as the log was when the last of them entered.
    fn fit(&self, count: usize, log: &[Observation]) -> Theta {
        // The entries after that are not looked at: the fit is the same whenever it is made.
        let entries = self.ledger.entered(count.saturating_sub(self.earlier.len()));
        let mut ledger = Ledger::default();
        ledger.absorb(&self.coded, log.get(..entries).unwrap_or(log));
        let record = Record::new(&self.coded, &ledger, &self.earlier);
        let even = vec![1.0; self.coded.dimensions()];
        let centre = record.centre();
        let near = |count| Nearest::default().of(&self.coded, &record, centre, &even, count);
        let training = Training::new(&record, &local::chosen(&record, near));
        fit::fit(self.coded.choices(), &training.points, &training.y, &training.factors)
    }
}

impl Sampler for Zoom {
    fn ask(&mut self, question: &Question<'_>) -> SamplerReply {
        self.absorb(question.log);
        let pending: Vec<Vec<f64>> =
            question.pending.iter().map(|a| self.coded.encode(a)).collect();
        let keys: Vec<Key> = pending.iter().map(|point| self.coded.key(point)).collect();
        let free = |zoom: &Self, point: &[f64]| {
            let key = zoom.coded.key(point);
            !keys.contains(&key) && !zoom.ledger.is_used(&key)
        };
        let mut stream =
            Seed::derive(self.seed, u64::from(question.trial), Purpose::Candidates).stream(0);
        let results = self.earlier.len() + self.ledger.len();
        let first = question.trial == 0 || question.trial < self.initial || results < NMIN;
        let found = if first {
            let source = if question.trial == 0 && self.earlier.len() > 0 {
                Source::WarmStart
            } else {
                Source::Initial
            };
            Some(Found { point: self.first(question.trial), reason: Reason::from_source(source) })
        } else if question.trial % PLAIN == PLAIN - 1 {
            Some(self.plain(&mut stream))
        } else {
            self.ranked(&mut stream, question.log, &pending, &free)
        };
        let next = || {
            let free = |point: &[f64]| free(self, point);
            let point = unused::next(&self.coded, self.scramble, question.trial, &free)?;
            Some(Found { point, reason: Reason::from_source(Source::Sobol) })
        };
        let Some(found) = found.filter(|found| free(self, &found.point)).or_else(next) else {
            return SamplerReply::Exhausted;
        };
        let seen = u32::try_from(question.log.len()).unwrap_or(u32::MAX);
        SamplerReply::Suggest(Suggestion {
            assignment: self.coded.decode(&found.point),
            reason: Reason { seen, ..found.reason },
        })
    }
}

/// The last milestone of `n` results: 5, then 12 % more each time.
fn milestone(n: usize) -> usize {
    let (mut last, mut next) = (NMIN, NMIN);
    while next <= n {
        last = next;
        next = (next + 1).max(next * 112 / 100);
    }
    last
}

/// The range of some points along parameter `j`, widened; the values that they use of a choice.
fn plain_side(domain: &Domain, j: usize, points: &[&[f64]]) -> Interval {
    let units: Vec<f64> =
        points.iter().filter_map(|point| point.get(j)).map(|unit| unit.clamp(0.0, 1.0)).collect();
    if let Domain::Choice { values } = domain {
        let used =
            |i: &usize| u64::try_from(*i).is_ok_and(|i| units.contains(&coded::level(domain, i)));
        let used: Vec<usize> = (0..values.len()).filter(used).collect();
        return Interval::Among(if used.is_empty() { (0..values.len()).collect() } else { used });
    }
    let (low, high) =
        units.iter().fold((1.0f64, 0.0f64), |(low, high), unit| (low.min(*unit), high.max(*unit)));
    let margin = 0.15 * (high - low) + 0.03;
    if units.is_empty() {
        Interval::Between(0.0, 1.0)
    } else {
        Interval::Between((low - margin).max(0.0), (high + margin).min(1.0))
    }
}
/// As a record can hold it: there is no infinity in JSON, and an improvement that is not to be
/// expected has the logarithm of nothing.
const fn recorded(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value.clamp(f64::MIN, f64::MAX) }
}
