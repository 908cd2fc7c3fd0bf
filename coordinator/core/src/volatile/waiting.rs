//! The external clients that wait for an answer: for trials, in the order in which they asked, or
//! for the decision on what they reported.

use std::collections::{BTreeMap, BTreeSet};

use caviar_common::ask::Ask;
use caviar_common::ids::{Name, SweepId, TrialNumber};

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

/// The sweep that trials are wanted of, the client that asks, and its identifier of the request.
type Request = (SweepId, Name, Name);

fn request(sweep: SweepId, ask: &Ask) -> Request {
    (sweep, ask.client.clone(), ask.request_id.clone())
}

/// What is not answered yet, by sweep.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    asks: BTreeMap<SweepId, BTreeMap<WaiterId, WaitingAsk>>,
    sweeps: BTreeMap<WaiterId, SweepId>,
    /// The waiters for each request. A client that repeats a request waits for it several times.
    requests: BTreeMap<Request, BTreeSet<WaiterId>>,
    reports: BTreeMap<SweepId, Vec<WaitingReport>>,
}

impl Waiting {
    /// Adds an ask. Returns false if too many wait.
    pub(crate) fn add_ask(&mut self, sweep: SweepId, waiter: WaiterId, ask: WaitingAsk) -> bool {
        if self.sweeps.len() >= MOST {
            return false;
        }
        self.sweeps.insert(waiter, sweep);
        self.requests.entry(request(sweep, &ask.ask)).or_default().insert(waiter);
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
        let request = request(sweep, &ask.as_ref()?.ask);
        if let Some(waiters) = self.requests.get_mut(&request) {
            waiters.remove(&waiter);
            if waiters.is_empty() {
                self.requests.remove(&request);
            }
        }
        ask
    }

    /// Takes out the asks of the sweep that repeat `ask`.
    pub(crate) fn take_repeated(&mut self, sweep: SweepId, ask: &Ask) -> BTreeSet<WaiterId> {
        let waiters = self.requests.get(&request(sweep, ask)).cloned().unwrap_or_default();
        for waiter in &waiters {
            self.remove_ask(*waiter);
        }
        waiters
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

    /// Takes out the reports of the sweep, in the order in which they came.
    pub(crate) fn take_reports(&mut self, sweep: SweepId) -> Vec<WaitingReport> {
        self.reports.remove(&sweep).unwrap_or_default()
    }
}
