//! The strategy `rounds`: rounds of random draws, each in a box around the best trials so far.
//!
//! The first round draws from the whole space. A later round starts when every trial of the earlier
//! rounds is over. All its trials are drawn from one box, which `caviar status` can show: the range
//! of the best trials on each scale, widened on both sides so that the optimum may lie just
//! outside. For a choice, the box keeps the values that the best trials use.
//!
//! With n trials over, the best k = max(4, ⌊√n⌋ + 1) count. If their coordinates range from a to b,
//! the side of the box is [a - m, b + m] within [0, 1], with the margin
//!
//! ```text
//! m = max((b - a) / (k + 1), (w - (b - a)) / 2)        w = 0.05, the least width
//! ```
//!
//! The first term corrects a bias: the range of k uniform draws from an interval is on average
//! shorter than the interval by 1 / (k + 1) of its length on each side.
//!
//! Example: after 30 trials, k = 6. If the best six lie between 0.4 and 0.54, m = 0.14 / 7 = 0.02,
//! and the next round draws from [0.38, 0.56].
//!
//! With early stopping, the expected costs of stopped trials ([`results()`](crate::results()))
//! change while later trials are trained. The box of a round changes if other trials become the
//! best ones.
//!
//! The rule is Caviar's own. docs/search.md compares it with the other strategies.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use caviar_common::assignment::Value;
use caviar_common::numbers::{index, real, to_u32};
use caviar_common::reason::{Reason, SearchBox, Source};
use caviar_common::space::{Domain, Space};

use crate::history::History;
use crate::observation::{Observation, Stage};
use crate::random::draw;
use crate::region::{Interval, Region};
use crate::results::{latest, median};
use crate::sampler::{Question, Sampler, SamplerReply, Suggestion};
use crate::sorted::{SortedList, TotalF64};

/// The least width of a box on every scale, so that a round whose best trials happen to agree does
/// not end the search.
const LEAST_WIDTH: f64 = 0.05;
/// The least number of best trials from which a box is made.
const LEAST_BEST: usize = 4;
/// An ask that reads at most this many new entries of the log is quick.
const QUICK_ENTRIES: usize = 1_024;

/// The sampler of `strategy = "rounds"`.
#[derive(Debug)]
pub(crate) struct Rounds {
    space: Space,
    seed: u64,
    /// The number of trials up to the end of each round.
    ends: Vec<u32>,
    progress: Progress,
    /// The last round that was asked for.
    current: Option<Round>,
}

/// What is counted entry by entry.
#[derive(Debug, Default)]
struct Progress {
    /// How many entries of the log have been counted.
    absorbed: usize,
    /// How many trials of each round are over.
    over: BTreeMap<usize, u32>,
    /// The last rung of each trial in flight that has passed one, and its cost there.
    passed: BTreeMap<u32, (u32, Option<f64>)>,
    /// The changes of cost from each rung to the next entry, by rung number.
    gains: BTreeMap<u32, SortedList<TotalF64>>,
}

/// What the trials of a round are drawn from.
#[derive(Debug)]
struct Round {
    /// Counted from 0.
    number: usize,
    /// The best trials of the earlier rounds that were stopped at each rung, or have ended.
    best: Vec<Class>,
    /// The expected change of cost of each class at the last ask, except that of trials that have
    /// ended; `None` before the first one.
    gains: Option<Vec<Option<f64>>>,
    /// How many trials of each class the box was made of.
    counts: Vec<usize>,
    region: Region,
    /// What `caviar status` shows of the region.
    shown: SearchBox,
}

/// Trials with the same expected change of cost.
#[derive(Debug)]
struct Class {
    /// The rung at which the trials were stopped; `None` if they have ended.
    rung: Option<u32>,
    /// Costs, places in the order of first entries, and trial numbers, in ascending order.
    trials: Vec<(f64, usize, u32)>,
}

impl Progress {
    /// Counts the new entries of the log.
    fn absorb(&mut self, history: &History, round_of: impl Fn(u32) -> usize) {
        let mut gains: BTreeMap<u32, Vec<TotalF64>> = BTreeMap::new();
        for Observation { trial, stage, cost } in history.entries_from(self.absorbed) {
            if let Some((rung, Some(before))) = self.passed.remove(&trial)
                && let Some(after) = cost
            {
                gains.entry(rung).or_default().push(TotalF64(after - before));
            }
            match stage {
                Stage::Passed(rung) => {
                    self.passed.insert(trial, (rung, cost));
                }
                Stage::Stopped(_) | Stage::Ended => {
                    *self.over.entry(round_of(trial)).or_default() += 1;
                }
            }
        }
        for (rung, new) in gains {
            self.gains.entry(rung).or_default().extend(new);
        }
        self.absorbed = history.len();
    }

    /// How many trials of the rounds before this one are over.
    fn over_before(&self, round: usize) -> u32 {
        self.over.range(..round).map(|(_, count)| count).sum()
    }

    /// The expected change of cost from a rung to the end, as in [`results()`](crate::results()).
    fn gain_from(&self, rung: u32) -> f64 {
        self.gains.range(rung..).map(|(_, gains)| median(gains)).sum()
    }
}

impl Rounds {
    pub(crate) fn new(space: Space, seed: u64, sizes: &[u32]) -> Self {
        let sum = |before: &mut u32, size: &u32| {
            *before = before.saturating_add(*size);
            Some(*before)
        };
        let ends = sizes.iter().scan(0, sum).collect();
        Self { space, seed, ends, progress: Progress::default(), current: None }
    }

    /// The round of a trial, counted from 0.
    fn round_of(&self, trial: u32) -> usize {
        self.ends.partition_point(|end| *end <= trial)
    }

    /// The number of trials in the rounds before this one.
    fn trials_before(&self, round: usize) -> u32 {
        round.checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or(0)
    }

    /// Counts the new entries of the log. A log that is shorter than before is a different log.
    fn absorb(&mut self, history: &History) {
        if history.len() < self.progress.absorbed {
            (self.progress, self.current) = (Progress::default(), None);
        }
        let mut progress = std::mem::take(&mut self.progress);
        progress.absorb(history, |trial| self.round_of(trial));
        self.progress = progress;
    }

    /// How many of the best trials of the rounds before this one count.
    fn best_count(&self, round: usize) -> usize {
        LEAST_BEST.max(index(self.trials_before(round)).isqrt() + 1)
    }

    /// A round that starts, without its box. Of each class, no more trials than count overall can
    /// be among the best.
    fn start(&self, history: &History, number: usize) -> Round {
        let before = self.trials_before(number);
        let mut classes = BTreeMap::<Option<u32>, Vec<(f64, usize, u32)>>::new();
        let earlier = |entry: &Observation| entry.trial < before;
        for (place, entry) in latest(history).filter(earlier).enumerate() {
            let class = match entry.stage {
                Stage::Passed(rung) | Stage::Stopped(rung) => Some(rung),
                Stage::Ended => None,
            };
            if let Some(cost) = entry.cost {
                classes.entry(class).or_default().push((cost, place, entry.trial));
            }
        }
        let sorted = |(rung, mut trials): (Option<u32>, Vec<_>)| {
            trials.sort_by(order);
            trials.truncate(self.best_count(number));
            trials.shrink_to_fit();
            Class { rung, trials }
        };
        let best = classes.into_iter().map(sorted).collect();
        let region = Region::whole(&self.space);
        let shown = region.to_box(&self.space);
        Round { number, best, gains: None, counts: Vec::new(), region, shown }
    }

    /// Makes the box around the best trials. Their expected costs may change during the round, but
    /// not their order within a class. So the box changes only if the number of the best trials in
    /// some class does.
    fn update_box(&self, history: &History, round: &mut Round) {
        let gain = |class: &Class| class.rung.map(|rung| self.progress.gain_from(rung));
        let gains: Vec<Option<f64>> = round.best.iter().map(gain).collect();
        if round.number == 0 || round.gains.as_ref() == Some(&gains) {
            return;
        }
        let counts = count_best(&round.best, &gains, self.best_count(round.number));
        let is_new = round.gains.replace(gains).is_none() || counts != round.counts;
        if !is_new {
            return;
        }
        let classes = round.best.iter().zip(&counts);
        let best: Vec<u32> = classes
            .flat_map(|(class, count)| class.trials.iter().take(*count))
            .map(|(_, _, trial)| *trial)
            .collect();
        let values =
            |j| best.iter().filter_map(|trial| history.value(*trial, j)).collect::<Vec<_>>();
        let parameters = self.space.parameters().iter().enumerate();
        let sides = parameters.map(|(j, p)| side(&p.domain, &values(j))).collect();
        (round.region, round.counts) = (Region { sides }, counts);
        round.shown = round.region.to_box(&self.space);
    }
}

/// How many trials of each class are among the best `count` ones of all classes. Equal costs are in
/// the order of the log.
fn count_best(classes: &[Class], gains: &[Option<f64>], count: usize) -> Vec<usize> {
    let mut counts = vec![0; classes.len()];
    for _ in 0..count {
        let next =
            classes.iter().zip(gains).zip(&mut counts).filter_map(|((class, gain), taken)| {
                let (cost, place, trial) = class.trials.get(*taken)?;
                Some(((gain.map_or(*cost, |gain| cost + gain), *place, *trial), taken))
            });
        match next.min_by(|(a, _), (b, _)| order(a, b)) {
            Some((_, taken)) => *taken += 1,
            None => break,
        }
    }
    counts
}

/// By cost, and then by place.
fn order(a: &(f64, usize, u32), b: &(f64, usize, u32)) -> Ordering {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
}

impl Sampler for Rounds {
    fn ask(&mut self, question: &Question<'_>) -> SamplerReply {
        self.absorb(question.history);
        let round = self.round_of(question.trial);
        if self.progress.over_before(round) != self.trials_before(round) {
            return SamplerReply::Wait;
        }
        let mut current = match self.current.take() {
            Some(current) if current.number == round => current,
            Some(_) | None => self.start(question.history, round),
        };
        self.update_box(question.history, &mut current);
        let reason = Reason {
            round: Some(to_u32(round).saturating_add(1)),
            search_box: Some(current.shown.clone()),
            ..Reason::from_source(Source::Round)
        };
        let assignment = draw(&self.space, self.seed, question.trial, &current.region);
        self.current = Some(current);
        SamplerReply::Suggest(Suggestion { assignment, reason })
    }

    /// The first ask of a round reads all results. The others are quick, and so is one that has to
    /// wait.
    fn is_quick(&self, question: &Question<'_>) -> bool {
        let new = question.history.len().saturating_sub(self.progress.absorbed);
        let round = self.round_of(question.trial);
        let is_known = self.current.as_ref().is_some_and(|current| current.number == round);
        let over = || index(self.progress.over_before(round)) + new;
        let waits = || over() < index(self.trials_before(round));
        new <= QUICK_ENTRIES && (round == 0 || is_known || waits())
    }
}

/// The side of the box along one parameter, around the values that the best trials have. It is the
/// whole side if they have none.
fn side(domain: &Domain, values: &[Value]) -> Interval {
    let values = values.iter();
    if let Domain::Choice { values: all } = domain {
        let mut used: Vec<usize> = values.filter_map(|v| all.iter().position(|a| a == v)).collect();
        used.sort_unstable();
        used.dedup();
        return Interval::Among(if used.is_empty() { (0..all.len()).collect() } else { used });
    }
    let units: Vec<f64> = values.filter_map(|v| domain.encode(v)).collect();
    if units.is_empty() {
        return Interval::Between(0.0, 1.0);
    }
    let (low, high) =
        units.iter().fold((1.0f64, 0.0f64), |(low, high), u| (low.min(*u), high.max(*u)));
    let margin = ((high - low) / (real(units.len()) + 1.0)).max((LEAST_WIDTH - (high - low)) / 2.0);
    Interval::Between((low - margin).max(0.0), (high + margin).min(1.0))
}
