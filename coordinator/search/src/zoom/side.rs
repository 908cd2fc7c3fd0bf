//! The side of the box: halved after failures, doubled after successes (Eriksson et al., "Scalable
//! Global Optimization via Local Bayesian Optimization", 2019).

use crate::{Observation, Stage, real};

const FIRST: f64 = 0.8;
const GREATEST: f64 = 1.6;
const LEAST: f64 = 0.03;
const SUCCESSES: u32 = 2;
/// A result is a success if it is better by more than this share of the best.
const BETTER: f64 = 1e-3;

/// The side after the results so far.
#[derive(Clone, Debug)]
pub(super) struct SideReplay {
    side: f64,
    successes: u32,
    failures: f64,
    patience: f64,
    /// Results that only set the best.
    free: u32,
    best: Option<f64>,
}

impl SideReplay {
    /// The first `free` results change nothing.
    pub(super) fn new(dimensions: usize, parallelism: u32, free: u32) -> Self {
        // With many in flight, many results come from before the last success.
        let patience = real(dimensions.max(5)) * (f64::from(parallelism) / 8.0).clamp(1.0, 4.0);
        Self { side: FIRST, successes: 0, failures: 0.0, patience, free, best: None }
    }

    /// What the log has more.
    pub(super) fn absorb(&mut self, log: &[Observation]) {
        for observation in log {
            match observation.stage {
                Stage::Passed(_) => {}
                Stage::Stopped(_) => self.take(None),
                Stage::Ended => self.take(observation.cost.filter(|cost| cost.is_finite())),
            }
        }
    }

    /// A trial is over, with its final cost; none if it failed or was stopped, which says that
    /// others were better.
    fn take(&mut self, cost: Option<f64>) {
        let better =
            cost.is_some_and(|cost| self.best.is_none_or(|best| cost < best - BETTER * best.abs()));
        self.best = match (self.best, cost) {
            (Some(best), Some(cost)) => Some(best.min(cost)),
            (best, cost) => best.or(cost),
        };
        if self.free > 0 {
            self.free -= 1;
            return;
        }
        if better {
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
