//! The external clients that wait for an answer: for trials, in the order in which they asked, or
//! for the decision on what they reported.

use std::collections::BTreeMap;

use caviar_common::ask::Ask;
use caviar_common::ids::{SweepId, TrialNumber};

use crate::input::WaiterId;

/// Most clients that wait for trials at once.
const MOST: usize = 100_000;

/// An ask for trials that is not answered yet.
#[derive(Debug)]
pub(crate) struct WaitingAsk {
    pub(crate) ask: Ask,
    /// True if the client waits until there is a trial; false if it wants one now or none.
    pub(crate) is_patient: bool,
}

/// A report that is recorded and not answered yet.
#[derive(Debug)]
pub(crate) struct WaitingReport {
    pub(crate) waiter: WaiterId,
    pub(crate) trial: TrialNumber,
    /// True if the client told the end of the trial.
    pub(crate) is_end: bool,
}

/// What is not answered yet, by sweep.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    asks: BTreeMap<SweepId, BTreeMap<WaiterId, WaitingAsk>>,
    sweeps: BTreeMap<WaiterId, SweepId>,
    reports: BTreeMap<SweepId, Vec<WaitingReport>>,
}

impl Waiting {
    /// Adds an ask. Returns false if too many wait.
    pub(crate) fn add_ask(&mut self, sweep: SweepId, waiter: WaiterId, ask: WaitingAsk) -> bool {
        if self.sweeps.len() >= MOST {
            return false;
        }
        self.sweeps.insert(waiter, sweep);
        self.asks.entry(sweep).or_default().insert(waiter, ask);
        true
    }

    /// Adds a report.
    pub(crate) fn add_report(&mut self, sweep: SweepId, report: WaitingReport) {
        self.reports.entry(sweep).or_default().push(report);
    }

    /// The ask of the sweep that has waited the longest.
    pub(crate) fn first_ask(&self, sweep: SweepId) -> Option<(WaiterId, &WaitingAsk)> {
        self.asks.get(&sweep)?.first_key_value().map(|(waiter, ask)| (*waiter, ask))
    }

    /// Takes an ask out.
    pub(crate) fn remove_ask(&mut self, waiter: WaiterId) -> Option<WaitingAsk> {
        let sweep = self.sweeps.remove(&waiter)?;
        let asks = self.asks.get_mut(&sweep)?;
        let ask = asks.remove(&waiter);
        if asks.is_empty() {
            self.asks.remove(&sweep);
        }
        ask
    }

    /// Takes out the asks of the sweep that want a trial now or none.
    pub(crate) fn take_impatient(&mut self, sweep: SweepId) -> Vec<WaiterId> {
        let asks = self.asks.get(&sweep).into_iter().flatten();
        let impatient = asks.filter(|(_, ask)| !ask.is_patient).map(|(waiter, _)| *waiter);
        let impatient: Vec<WaiterId> = impatient.collect();
        for waiter in &impatient {
            self.remove_ask(*waiter);
        }
        impatient
    }

    /// Takes out everything that waits for an answer of the sweep.
    pub(crate) fn take_sweep(&mut self, sweep: SweepId) -> Vec<WaiterId> {
        let asks = self.asks.remove(&sweep).unwrap_or_default();
        for waiter in asks.keys() {
            self.sweeps.remove(waiter);
        }
        let reports = self.take_reports(sweep).into_iter().map(|report| report.waiter);
        asks.into_keys().chain(reports).collect()
    }

    /// Takes out the reports of the sweep, in the order in which they came.
    pub(crate) fn take_reports(&mut self, sweep: SweepId) -> Vec<WaitingReport> {
        self.reports.remove(&sweep).unwrap_or_default()
    }
}
