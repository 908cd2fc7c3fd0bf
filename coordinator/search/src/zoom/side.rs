//! The side of the box: halved after failures, doubled after successes, as the trust region of
//! Eriksson et al., "Scalable Global Optimization via Local Bayesian Optimization", 2019.
//!
//! A completed trial is a success if its cost is lower than the best one before by more than a
//! thousandth of it. Every other trial that is over is a failure, including stopped ones: the
//! stopping rule found others better. The side L starts at 0.8. Then
//!
//! ```text
//! two successes in a row:  L = min(2 L, 1.6)
//! p failures in a row:     L = L / 2, and again 0.8 if that is below 0.03
//! ```
//!
//! with the patience p = max(d, 5) * min(max(parallelism / 8, 1), 4) for d parameters. With many
//! trials in flight, many results belong to trials that were suggested before the last success, so
//! the patience is greater.
//!
//! Example: with 6 parameters and 8 trials in flight, p = 6. Six failures in a row shrink the box
//! from 0.8 to 0.4, and two successes in a row make it 0.8 again.

use caviar_common::numbers::real;

use crate::observation::{Observation, Stage};

const FIRST: f64 = 0.8;
const GREATEST: f64 = 1.6;
const LEAST: f64 = 0.03;
const SUCCESSES: u32 = 2;
/// A success is better than the best cost by more than this share of it.
const BETTER_BY: f64 = 1e-3;
/// The least number of dimensions in the patience. Half and a quarter of the patience changed the
/// regret by factors of .97 and .98 with 64 trials in flight, which was not confirmed on held-out
/// problems (docs/internals/search.md, "What was tried and rejected").
const LEAST_DIMENSIONS: usize = 5;

/// The side of the box after the decisions so far.
#[derive(Clone, Debug)]
pub(super) struct BoxSide {
    side: f64,
    /// Successes and failures in a row.
    successes: u32,
    failures: f64,
    patience: f64,
    /// How many further results only set the best cost.
    ignored: u32,
    best: Option<f64>,
}

impl BoxSide {
    /// The first `initial` trials that are over do not change the side.
    pub(super) fn new(dimensions: usize, parallelism: u32, initial: u32) -> Self {
        let patience =
            real(dimensions.max(LEAST_DIMENSIONS)) * (f64::from(parallelism) / 8.0).clamp(1.0, 4.0);
        Self { side: FIRST, successes: 0, failures: 0.0, patience, ignored: initial, best: None }
    }

    /// Adds further entries of the log.
    pub(super) fn absorb(&mut self, log: impl Iterator<Item = Observation>) {
        for observation in log {
            match observation.stage {
                Stage::Passed(_) => {}
                Stage::Stopped(_) => self.add(None),
                Stage::Ended => self.add(observation.cost.filter(|cost| cost.is_finite())),
            }
        }
    }

    /// Adds a trial that is over: with its cost if it has completed, or `None`.
    fn add(&mut self, cost: Option<f64>) {
        let is_success = cost
            .is_some_and(|cost| self.best.is_none_or(|best| cost < best - BETTER_BY * best.abs()));
        self.best = match (self.best, cost) {
            (Some(best), Some(cost)) => Some(best.min(cost)),
            (best, cost) => best.or(cost),
        };
        if self.ignored > 0 {
            self.ignored -= 1;
            return;
        }
        if is_success {
            (self.successes, self.failures) = (self.successes + 1, 0.0);
        } else {
            (self.successes, self.failures) = (0, self.failures + 1.0);
        }
        if self.successes == SUCCESSES {
            (self.side, self.successes) = ((2.0 * self.side).min(GREATEST), 0);
        } else if self.failures >= self.patience {
            (self.side, self.failures) = (self.side / 2.0, 0.0);
            if self.side < LEAST {
                self.side = FIRST;
            }
        }
    }

    pub(super) const fn side(&self) -> f64 {
        self.side
    }
}
