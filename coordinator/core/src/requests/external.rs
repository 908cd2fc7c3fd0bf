//! External clients: programs that run the trials of an external sweep themselves.
//!
//! An external client has no connection. The coordinator knows it by its leases: each report names
//! a lease and renews it. A lease whose client is silent for longer than the lease duration
//! expires, and the trial waits for the next client that asks. The trials that a client got are
//! part of the record, so a repeated ask gets them again. Repeated reports and results are
//! recognised by their lease and epoch.

use caviar_common::ask::{Ask, AskReply, Report, Tell, Verdict};
use caviar_common::error::Problem;
use caviar_common::ids::{AttemptNumber, LeaseId, SweepId, TokenId, TrialNumber};
use caviar_common::limits::MAX_VALUES;
use caviar_common::metric::{NamedMetrics, Point};
use caviar_common::numbers::{index, to_u64};
use caviar_common::outcome::{Outcome, TrialState};

use crate::Coordinator;
use crate::halt::Halt;
use crate::input::{ClientReply, Refusal, Reply, Waiter, WaiterId};
use crate::record::Broken;
use crate::record::event::{
    EpochsRecorded, GrantedTrial, LeaseEnd, TrialFinished, TrialsAsked, WorkerLost,
};
use crate::record::state::{Lease, Phase, Sweep, Trial};
use crate::volatile::{Sampling, WaitingAsk, WaitingReport};

/// What a lease that an external client names gives it a right to.
enum ClientLease {
    /// The lease is in force.
    InForce(Lease),
    /// The trial was stopped at a rung, which ended the lease.
    TrialStopped,
    /// The client told the end of the trial before.
    TrialFinished(TrialState),
}

impl Coordinator {
    /// Queues an ask. Its answer is sent once everything is decided that can be, and to a patient
    /// client once there is a trial for it.
    pub(crate) fn ask_trials(
        &mut self,
        id: SweepId,
        ask: Ask,
        waiter: Waiter,
    ) -> Result<Reply, Halt> {
        let now = self.volatile.clock.now();
        let sweep = self.external_sweep(id)?;
        if let Some(earlier) = sweep.earlier_ask(&ask) {
            let trials = earlier.trials().to_vec();
            let granted = earlier.trials().iter().map(|asked| asked.lease);
            let in_force = granted.filter(|lease| self.record.lease(*lease).is_some());
            let renewed: Vec<(LeaseId, u64)> = in_force.map(|lease| (lease, now)).collect();
            let is_over = sweep.state().is_final();
            self.volatile.client_leases_heard.extend(renewed);
            self.changes.answer(waiter.id, ClientReply::Trials(AskReply { trials, is_over }));
            return Ok(Reply::Waiting);
        }
        let waiting = WaitingAsk { ask, is_patient: waiter.is_patient };
        if !self.volatile.waiting.add_ask(id, waiter.id, waiting) {
            return Err(Refusal::TooManyWait.into());
        }
        self.volatile.undecided.insert(id);
        Ok(Reply::Waiting)
    }

    /// Answers the clients of a sweep that can be answered now, each kind in the order in which
    /// they asked. Called when everything is decided that can be without a further input.
    pub(crate) fn answer_clients(&mut self, id: SweepId) -> Result<(), Broken> {
        while let Some((waiter, waiting)) = self.volatile.waiting.first_ask(id) {
            let sweep = self.record.sweep(id).filter(|sweep| !sweep.state().is_final());
            let granted =
                sweep.map_or_else(Vec::new, |it| self.grantable_trials(it, waiting.ask.count));
            if sweep.is_some() && granted.is_empty() {
                break;
            }
            let Some(WaitingAsk { ask, .. }) = self.volatile.waiting.remove_ask(waiter) else {
                break;
            };
            let mut trials = Vec::new();
            let mut waiters = vec![waiter];
            if !granted.is_empty() {
                // The client may have sent the request again while it waited.
                waiters.extend(self.volatile.waiting.take_repeated(id, &ask));
                self.grant_to_client(id, ask.clone(), granted)?;
                let earlier = self.record.sweep(id).and_then(|sweep| sweep.earlier_ask(&ask));
                trials = earlier.map_or_else(Vec::new, |earlier| earlier.trials().to_vec());
            }
            // A sweep that was deleted in the meantime is over.
            let is_over = self.record.sweep(id).is_none_or(|sweep| sweep.state().is_final());
            for waiter in waiters {
                let reply = AskReply { trials: trials.clone(), is_over };
                self.changes.answer(waiter, ClientReply::Trials(reply));
            }
        }
        // A sampler that another thread asks holds the decisions of its sweep up.
        if !self.volatile.samplers.get(&id).is_some_and(Sampling::is_away) {
            for waiter in self.volatile.waiting.take_impatient(id) {
                self.changes.answer(waiter, ClientReply::Trials(AskReply::default()));
            }
            for report in self.volatile.waiting.take_reports(id) {
                self.answer_report(id, &report);
            }
        }
        Ok(())
    }

    fn answer_report(&mut self, id: SweepId, report: &WaitingReport) {
        let state = self.record.sweep(id).and_then(|sweep| sweep.state_of(report.trial));
        // A trial of a sweep that was deleted in the meantime was cancelled.
        let state = state.unwrap_or(TrialState::Cancelled);
        let answer = if report.is_end {
            ClientReply::Told(state)
        } else if state == TrialState::Stopped {
            ClientReply::Verdict(Verdict::Stop)
        } else {
            ClientReply::Verdict(Verdict::Continue)
        };
        self.changes.answer(report.waiter, answer);
    }

    fn grant_to_client(
        &mut self,
        id: SweepId,
        ask: Ask,
        granted: Vec<GrantedTrial>,
    ) -> Result<(), Broken> {
        let now = self.volatile.clock.now();
        for granted in &granted {
            self.volatile.client_leases_heard.insert(granted.lease, now);
            self.volatile.client_silences.insert(now, granted.lease);
        }
        let Ask { key, lease_ms, .. } = ask;
        self.emit(id, TrialsAsked { ask: key, lease_ms, granted })
    }

    /// The most urgent trials that wait, at most `count`, with new leases.
    fn grantable_trials(&self, sweep: &Sweep, count: u32) -> Vec<GrantedTrial> {
        if sweep.phase() != Phase::Searching || sweep.is_paused() {
            return Vec::new();
        }
        let trials = sweep.queue().iter().take(index(count));
        trials
            .filter_map(|(_, number)| sweep.trial(*number))
            .zip(self.record.next_lease().0..)
            .map(|(trial, lease)| GrantedTrial {
                trial: trial.number(),
                attempt: AttemptNumber(trial.attempts() + 1),
                lease: LeaseId(lease),
                recorded: Some(trial.recorded_epochs()),
            })
            .collect()
    }

    pub(crate) fn report_trial(
        &mut self,
        id: SweepId,
        report: Report,
        waiter: WaiterId,
    ) -> Result<Reply, Halt> {
        let Report { trial, lease, token, metrics, seconds } = report;
        match self.check_client_lease(id, (trial, lease), token.as_ref())? {
            // The client learns from the verdict that the trial was stopped.
            ClientLease::TrialStopped => {}
            ClientLease::TrialFinished(_) => {
                return Err(Refusal::StaleLease { trial, lease }.into());
            }
            ClientLease::InForce(held) => self.record_metrics(lease, &held, metrics, seconds)?,
        }
        Ok(self.answer_when_decided(id, WaitingReport { waiter, trial, is_end: false }))
    }

    pub(crate) fn tell_trial(
        &mut self,
        id: SweepId,
        tell: Tell,
        waiter: WaiterId,
    ) -> Result<Reply, Halt> {
        let trial = tell.trial;
        self.end_trial(id, tell)?;
        Ok(self.answer_when_decided(id, WaitingReport { waiter, trial, is_end: true }))
    }

    fn answer_when_decided(&mut self, id: SweepId, report: WaitingReport) -> Reply {
        self.volatile.waiting.add_report(id, report);
        self.volatile.undecided.insert(id);
        Reply::Waiting
    }

    fn end_trial(&mut self, id: SweepId, tell: Tell) -> Result<(), Halt> {
        let Tell { trial, lease, token, outcome, last, seconds } = tell;
        let held = match self.check_client_lease(id, (trial, lease), token.as_ref())? {
            ClientLease::TrialStopped => return Ok(()),
            ClientLease::TrialFinished(state) => {
                return Ok(check_repeated_outcome(state, &outcome)?);
            }
            ClientLease::InForce(held) => held,
        };
        if let Some(metrics) = last {
            self.record_metrics(lease, &held, metrics, None)?;
        }
        let sweep = self.record.sweep(id).ok_or_else(|| Broken::no_sweep(id))?;
        let objective = sweep.trial(trial).and_then(|trial| sweep.objective(trial));
        let outcome = match (outcome, objective) {
            (Outcome::Completed, None) => {
                let message = "missing: a completed trial has at least one epoch; report it, or \
                               tell it with the outcome";
                return Err(Refusal::Wrong(Problem::new("metrics", message)).into());
            }
            (Outcome::Completed, Some(value)) if !value.is_finite() => Outcome::Diverged,
            (outcome, _) => outcome,
        };
        let (seconds, memory_bytes) = (Some(seconds), None);
        let model = None;
        self.emit(id, TrialFinished { trial, lease, outcome, seconds, memory_bytes, model })?;
        Ok(())
    }

    /// Expires external leases whose client has been silent for longer than the lease duration.
    /// Part of every tick.
    pub(crate) fn expire_client_leases(&mut self) -> Result<(), Broken> {
        let now = self.volatile.clock.now();
        while let Some(id) = self.volatile.client_silences.take_due(now) {
            let lease = self.record.lease(id).cloned();
            let Some((ms, lease)) = lease.and_then(|it| Some((it.client_lease_ms()?, it))) else {
                continue;
            };
            let heard = self.volatile.client_leases_heard.get(&id).copied().unwrap_or_default();
            if now.saturating_sub(heard) > ms {
                // The trial may be what crashes the clients, so each silence counts against it.
                self.lose_lease(id, &lease, LeaseEnd::Expired, Some(WorkerLost::Alone))?;
            } else {
                let due = heard.saturating_add(ms).saturating_add(1);
                self.volatile.client_silences.insert(due, id);
            }
        }
        Ok(())
    }

    pub(crate) fn external_sweep(&self, id: SweepId) -> Result<&Sweep, Refusal> {
        let sweep = self.sweep_of(id)?;
        if sweep.spec().data.is_external() {
            Ok(sweep)
        } else {
            Err(Refusal::NotExternal(sweep.spec().name.clone()))
        }
    }

    /// Checks and renews the lease that an external client with the token `caller` names.
    fn check_client_lease(
        &mut self,
        id: SweepId,
        (number, lease): (TrialNumber, LeaseId),
        caller: Option<&TokenId>,
    ) -> Result<ClientLease, Refusal> {
        let sweep = self.external_sweep(id)?;
        let no_trial = || Refusal::NoSuchTrial { sweep: sweep.spec().name.clone(), trial: number };
        let state = sweep.state_of(number).ok_or_else(no_trial)?;
        if state == TrialState::Stopped {
            return Ok(ClientLease::TrialStopped);
        }
        let stale = Refusal::StaleLease { trial: number, lease };
        if let Some(past) = sweep.past_trial(number) {
            let is_its_own = past.lease() == Some(lease) && state != TrialState::Cancelled;
            return if is_its_own { Ok(ClientLease::TrialFinished(state)) } else { Err(stale) };
        }
        if sweep.trial(number).and_then(Trial::latest_lease) != Some(lease) {
            return Err(stale);
        }
        if let Some(held) = self.record.lease(lease).cloned() {
            if !held.belongs_to(caller) {
                return Err(Refusal::ForeignLease { trial: number, lease });
            }
            self.volatile.client_leases_heard.insert(lease, self.volatile.clock.now());
            return Ok(ClientLease::InForce(held));
        }
        if self.record.has_result(lease) {
            Ok(ClientLease::TrialFinished(state))
        } else {
            Err(stale)
        }
    }

    /// Records the metrics of an epoch. Metrics that were recorded before change nothing.
    fn record_metrics(
        &mut self,
        id: LeaseId,
        lease: &Lease,
        metrics: NamedMetrics,
        seconds: Option<f64>,
    ) -> Result<(), Halt> {
        let sweep = self.record.sweep(lease.sweep());
        let sweep = sweep.ok_or_else(|| Broken::no_sweep(lease.sweep()))?;
        let trial = self.trial_of(lease)?;
        check_objective(sweep, &metrics)?;
        if is_new_epoch(trial, &metrics).map_err(Refusal::Wrong)? {
            let recorded = EpochsRecorded {
                trial: lease.trial(),
                lease: id,
                points: vec![Point::Named(metrics)],
                seconds,
            };
            self.emit(lease.sweep(), recorded)?;
        }
        Ok(())
    }
}

/// Refuses an outcome that differs from the one that was told before.
fn check_repeated_outcome(told: TrialState, outcome: &Outcome) -> Result<(), Refusal> {
    // A completed trial whose objective is not finite counts as diverged.
    let is_diverged = told == TrialState::Diverged && *outcome == Outcome::Completed;
    if outcome.state() == told || is_diverged {
        return Ok(());
    }
    let message = format!("the outcome was {} before: tell the same one, or nothing", told.name());
    Err(Refusal::Wrong(Problem::with_value("outcome", outcome.state().name(), message)))
}

/// Refuses metrics without the one that the sweep optimises.
fn check_objective(sweep: &Sweep, metrics: &NamedMetrics) -> Result<(), Refusal> {
    let objective = sweep.spec().objective.metric.name();
    if metrics.metrics.keys().any(|name| name.as_str() == objective) {
        return Ok(());
    }
    let message = format!("{objective} is missing: report the optimised metric under its name");
    Err(Refusal::Wrong(Problem::new("metrics", message)))
}

/// True if the metrics are those of the trial's next epoch, and false if the epoch was recorded
/// before.
///
/// # Errors
/// The metrics are of another epoch, differ from those of the last epoch, or are too many.
fn is_new_epoch(trial: &Trial, metrics: &NamedMetrics) -> Result<bool, Problem> {
    let (epoch, epochs) = (metrics.epoch, trial.epochs());
    let wrong_epoch = |message: String| Err(Problem::with_value("epoch", epoch, message));
    if epoch > epochs {
        return wrong_epoch(format!(
            "a trial of this sweep makes at most {epochs} reports, as [fixed] epochs says"
        ));
    }
    if epoch <= trial.inherited_epochs() {
        // An earlier execution reported this epoch, and what was reported stays.
        return Ok(false);
    }
    let recorded = trial.recorded_epochs();
    if epoch <= recorded {
        // Only the last epoch is at hand, which is the one that a client repeats.
        let is_other = epoch == recorded
            && !matches!(trial.last(), Some(Point::Named(last)) if is_same(last, metrics));
        return if is_other {
            wrong_epoch(
                "other metrics were reported for this epoch before: report the same ones, or \
                 the next epoch"
                    .to_owned(),
            )
        } else {
            Ok(false)
        };
    }
    check_metric_count(metrics, epochs)?;
    let next = recorded + 1;
    if epoch == next {
        Ok(true)
    } else {
        wrong_epoch(format!("report epoch {next} first: epochs are reported in order"))
    }
}

/// Refuses more metrics than a report's share of what a trial may keep. Each report has the same
/// share, so that no trial finds at its end that its earlier reports were too large.
fn check_metric_count(metrics: &NamedMetrics, epochs: u32) -> Result<(), Problem> {
    let count = metrics.metrics.len();
    let share = MAX_VALUES / u64::from(epochs.max(1));
    if to_u64(count) <= share {
        return Ok(());
    }
    let message = format!(
        "a trial keeps {MAX_VALUES}, which is {share} in each of {epochs} reports: report fewer, \
         or write fewer epochs in [fixed]"
    );
    Err(Problem::with_value("metrics", format!("{count} values"), message))
}

/// True if both are the same, bit for bit. Any NaN equals any other, because a store does not keep
/// the bits of a NaN.
fn is_same(a: &NamedMetrics, b: &NamedMetrics) -> bool {
    let bits = |value: f64| if value.is_nan() { f64::NAN } else { value }.to_bits();
    let mut pairs = a.metrics.iter().zip(&b.metrics);
    a.metrics.len() == b.metrics.len()
        && pairs.all(|((name_a, a), (name_b, b))| name_a == name_b && bits(*a) == bits(*b))
}
