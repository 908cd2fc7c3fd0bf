//! The external clients that wait for an answer: for trials, in the order in which they asked, or
//! for the decision on what they reported.

use std::collections::{BTreeMap, BTreeSet};

use caviar_common::ask::{Ask, AskKey};
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
    /// The asks that want a trial now or none. Every report looks for them, so it must not search
    /// all asks: 100,000 of them took 2.5 ms.
    impatient: BTreeSet<(SweepId, WaiterId)>,
    /// The waiters for each request. A client that repeats a request waits for it several times.
    requests: BTreeMap<(SweepId, AskKey), BTreeSet<WaiterId>>,
    reports: BTreeMap<SweepId, Vec<WaitingReport>>,
}

impl Waiting {
    /// Adds an ask. Returns false if too many wait.
    pub(crate) fn add_ask(&mut self, sweep: SweepId, waiter: WaiterId, ask: WaitingAsk) -> bool {
        if self.sweeps.len() >= MOST {
            return false;
        }
        self.sweeps.insert(waiter, sweep);
        if !ask.is_patient {
            self.impatient.insert((sweep, waiter));
        }
        self.requests.entry((sweep, ask.ask.key.clone())).or_default().insert(waiter);
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
        self.impatient.remove(&(sweep, waiter));
        let asks = self.asks.get_mut(&sweep)?;
        let ask = asks.remove(&waiter);
        if asks.is_empty() {
            self.asks.remove(&sweep);
        }
        let request = (sweep, ask.as_ref()?.ask.key.clone());
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
        let waiters = self.requests.get(&(sweep, ask.key.clone())).cloned().unwrap_or_default();
        for waiter in &waiters {
            self.remove_ask(*waiter);
        }
        waiters
    }

    /// Takes out the asks of the sweep that want a trial now or none.
    pub(crate) fn take_impatient(&mut self, sweep: SweepId) -> Vec<WaiterId> {
        let all = (sweep, WaiterId(0))..=(sweep, WaiterId(u64::MAX));
        let impatient = self.impatient.range(all).map(|(_, waiter)| *waiter);
        let impatient: Vec<WaiterId> = impatient.collect();
        for waiter in &impatient {
            self.remove_ask(*waiter);
        }
        impatient
    }

    /// Takes out everything that waits for an answer of the sweep.
    pub(crate) fn take_sweep(&mut self, sweep: SweepId) -> Vec<WaiterId> {
        let asks = self.asks.get(&sweep).into_iter().flat_map(BTreeMap::keys);
        let mut waiters: Vec<WaiterId> = asks.copied().collect();
        for waiter in &waiters {
            self.remove_ask(*waiter);
        }
        waiters.extend(self.take_reports(sweep).into_iter().map(|report| report.waiter));
        waiters
    }

    /// Takes out the reports of the sweep, in the order in which they came.
    pub(crate) fn take_reports(&mut self, sweep: SweepId) -> Vec<WaitingReport> {
        self.reports.remove(&sweep).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use caviar_common::ids::Name;

    use super::*;

    fn ask(client: &str, is_patient: bool) -> WaitingAsk {
        let name = |text| Name::parse("name", text).unwrap();
        let (request_id, client) = (name("r"), name(client));
        WaitingAsk {
            ask: Ask { key: AskKey { request_id, client, token: None }, count: 1, lease_ms: 1_000 },
            is_patient,
        }
    }

    #[test]
    fn what_is_taken_out_leaves_nothing_behind() {
        let (one, two) = (SweepId(1), SweepId(2));
        let mut waiting = Waiting::default();
        for (sweep, waiter, is_patient) in
            [(one, 1, true), (one, 2, false), (two, 3, true), (two, 4, false), (two, 5, false)]
        {
            assert!(waiting.add_ask(sweep, WaiterId(waiter), ask("c", is_patient)));
        }
        let report = WaitingReport { waiter: WaiterId(6), trial: TrialNumber(0), is_end: false };
        waiting.add_report(one, report);
        assert_eq!(waiting.take_impatient(two), [WaiterId(4), WaiterId(5)]);
        assert_eq!(waiting.take_impatient(two), []);
        assert_eq!(waiting.take_sweep(one), [WaiterId(1), WaiterId(2), WaiterId(6)]);
        assert!(waiting.remove_ask(WaiterId(3)).is_some());
        assert_eq!(format!("{waiting:?}"), format!("{:?}", Waiting::default()));
    }
}
