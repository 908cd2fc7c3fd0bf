//! Ask and tell: programs that run the trials of an external sweep by themselves.
//!
//! Such a program has no connection. It is known by its leases: whatever it says of one renews it,
//! and one of which nothing is heard for its time ends in [`Coordinator::expire_programs`] alone;
//! the trial then waits for whoever asks next. An answer is part of the durable state, so a
//! question that is asked again has it again; reports and ends are known by their lease and epoch.

use caviar_common::ask::{Ask, AskReply, AskedTrial, Report, Tell, Verdict};
use caviar_common::error::Problem;
use caviar_common::ids::{AttemptNumber, LeaseId, SweepId, TrialNumber};
use caviar_common::limits::MAX_VALUES;
use caviar_common::metric::{NamedMetrics, Point};
use caviar_common::outcome::{Outcome, TrialState};

use crate::event::{Event, Granted, LeaseEnd, Loss};
use crate::input::{Refusal, Reply};
use crate::state::{Lease, Phase, Sweep, Trial};
use crate::{Broken, Changes, Coordinator};

type Answer = Result<Result<Reply, Refusal>, Broken>;

impl Coordinator {
    pub(crate) fn ask_trials(
        &mut self,
        now: u64,
        id: SweepId,
        ask: &Ask,
        changes: &mut Changes,
    ) -> Answer {
        self.volatile.now = now;
        let sweep = match self.external(id) {
            Ok(sweep) => sweep,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Some(earlier) = sweep.answer(ask) {
            let leases: Vec<LeaseId> = earlier.granted.iter().map(|g| g.lease).collect();
            let leases = leases.into_iter().filter(|lease| self.durable.leases.contains_key(lease));
            self.volatile.heard.extend(leases.map(|lease| (lease, now)));
            return Ok(Ok(Reply::Done));
        }
        let is_open = sweep.phase == Phase::Searching && !sweep.paused;
        let trials = sweep
            .queue
            .iter()
            .filter(|_| is_open)
            .take(usize::try_from(ask.count).unwrap_or(usize::MAX));
        let trials =
            trials.filter_map(|(_, number)| sweep.trial(*number)).zip(self.durable.next_lease.0..);
        let granted = trials.map(|(t, lease)| Granted {
            trial: t.number,
            attempt: AttemptNumber(t.attempts + 1),
            lease: LeaseId(lease),
        });
        let granted: Vec<Granted> = granted.collect();
        if granted.is_empty() {
            // Nothing to remember: the same question may have an answer later.
            return Ok(Ok(Reply::Done));
        }
        self.volatile.heard.extend(granted.iter().map(|g| (g.lease, now)));
        let Ask { request_id, client, lease_ms, .. } = ask.clone();
        self.record(
            Event::TrialsAsked { sweep: id, request_id, client, lease_ms, granted },
            changes,
        )?;
        Ok(Ok(Reply::Done))
    }

    /// What the program was given that asked so; none where the sweep is not there.
    pub fn asked(&self, id: SweepId, ask: &Ask) -> Option<AskReply> {
        let sweep = self.durable.sweeps.get(&id)?;
        let granted = sweep.answer(ask).map_or(&[][..], |a| &a.granted);
        let trial = |Granted { trial, attempt, lease }: &Granted| {
            let Trial { assignment, epochs, reason, .. } = sweep.trial(*trial)?;
            let (assignment, epochs, reason) = (assignment.clone(), *epochs, reason.clone());
            Some(AskedTrial {
                trial: *trial,
                attempt: *attempt,
                lease: *lease,
                assignment,
                epochs,
                reason,
            })
        };
        Some(AskReply {
            trials: granted.iter().filter_map(trial).collect(),
            over: sweep.state().is_final(),
        })
    }

    pub(crate) fn report_trial(
        &mut self,
        now: u64,
        id: SweepId,
        report: Report,
        changes: &mut Changes,
    ) -> Answer {
        let Report { trial, lease, metrics } = report;
        match self.said_of(now, id, trial, lease) {
            Err(refusal) => Ok(Err(refusal)),
            // It hears the verdict.
            Ok(Standing::Stopped) => Ok(Ok(Reply::Done)),
            Ok(Standing::Over(_)) => Ok(Err(Refusal::StaleLease { trial, lease })),
            Ok(Standing::Running(record)) => self.measured(lease, &record, metrics, changes),
        }
    }

    /// Whether a program goes on with a trial; none where the trial is not there.
    pub fn verdict(&self, id: SweepId, trial: TrialNumber) -> Option<Verdict> {
        let trial = self.durable.sweeps.get(&id)?.trial(trial)?;
        Some(if trial.state == TrialState::Stopped { Verdict::Stop } else { Verdict::Continue })
    }

    pub(crate) fn tell_trial(
        &mut self,
        now: u64,
        id: SweepId,
        tell: Tell,
        changes: &mut Changes,
    ) -> Answer {
        let Tell { trial: number, lease, outcome, last, seconds } = tell;
        let record = match self.said_of(now, id, number, lease) {
            Err(refusal) => return Ok(Err(refusal)),
            Ok(Standing::Stopped) => return Ok(Ok(Reply::Done)),
            Ok(Standing::Over(state)) => return Ok(said_again(state, &outcome)),
            Ok(Standing::Running(record)) => record,
        };
        if let Some(metrics) = last
            && let Err(refusal) = self.measured(lease, &record, metrics, changes)?
        {
            return Ok(Err(refusal));
        }
        let Some(sweep) = self.durable.sweeps.get(&id) else {
            return Err(Broken(format!("lease {lease} has no sweep")));
        };
        let objective = sweep.trial(number).and_then(|trial| sweep.objective(trial));
        let outcome = match (outcome, objective) {
            (Outcome::Completed, None) => {
                let message = "missing: a completed trial has at least one epoch; report it, or tell it with the outcome";
                return Ok(Err(Refusal::Wrong(Problem::new("metrics", message))));
            }
            (Outcome::Completed, Some(value)) if !value.is_finite() => Outcome::Diverged,
            (outcome, _) => outcome,
        };
        let event = Event::TrialFinished {
            sweep: id,
            trial: number,
            lease,
            outcome,
            seconds: Some(seconds),
            memory_bytes: None,
        };
        self.record(event, changes)?;
        Ok(Ok(Reply::Done))
    }

    /// The leases end of which nothing was heard for their time. Time in which the coordinator
    /// stood still does not count.
    pub(crate) fn expire_programs(
        &mut self,
        now: u64,
        changes: &mut Changes,
    ) -> Result<(), Broken> {
        let still = now
            .saturating_sub(self.volatile.last_tick)
            .saturating_sub(self.config.lease_ttl_ms / 4);
        let leases = &self.durable.leases;
        self.volatile.heard.retain(|lease, _| leases.contains_key(lease));
        self.volatile
            .heard
            .values_mut()
            .for_each(|heard| *heard = heard.saturating_add(still).min(now));
        let silent = |lease: &LeaseId, ttl: u64| {
            self.volatile.heard.get(lease).is_none_or(|heard| now.saturating_sub(*heard) > ttl)
        };
        let expired = leases
            .iter()
            .filter(|(lease, record)| record.program_ms.is_some_and(|ttl| silent(lease, ttl)));
        let expired: Vec<(LeaseId, Lease)> =
            expired.map(|(lease, record)| (*lease, record.clone())).collect();
        expired
            .into_iter()
            .try_for_each(|(lease, record)| self.fell_silent(lease, &record, changes))
    }

    fn fell_silent(
        &mut self,
        lease: LeaseId,
        record: &Lease,
        changes: &mut Changes,
    ) -> Result<(), Broken> {
        let (sweep, trial) = (record.sweep, record.trial);
        let losses = 1 + self.durable.sweeps.get(&sweep).map_or(0, |s| s.losses(record).alone);
        let event = if losses < self.config.max_losses {
            Event::LeaseEnded {
                sweep,
                trial,
                lease,
                cause: LeaseEnd::Expired,
                loss: Some(Loss::Alone),
            }
        } else {
            // It may be what takes the programs down.
            let outcome = Outcome::Failed {
                message: format!("given up: {losses} programs that ran it fell silent"),
            };
            Event::TrialFinished { sweep, trial, lease, outcome, seconds: None, memory_bytes: None }
        };
        self.record(event, changes)
    }

    fn external(&self, id: SweepId) -> Result<&Sweep, Refusal> {
        let sweep =
            self.durable.sweeps.get(&id).ok_or_else(|| Refusal::NoSuchSweep(id.to_string()))?;
        if sweep.spec.data.is_external() {
            Ok(sweep)
        } else {
            Err(Refusal::NotExternal(sweep.spec.name.clone()))
        }
    }

    /// A program says something of a lease, which renews it.
    fn said_of(
        &mut self,
        now: u64,
        id: SweepId,
        number: TrialNumber,
        lease: LeaseId,
    ) -> Result<Standing, Refusal> {
        self.volatile.now = now;
        let sweep = self.external(id)?;
        let trial = sweep.trial(number).ok_or_else(|| Refusal::NoSuchTrial {
            sweep: sweep.spec.name.clone(),
            trial: number,
        })?;
        if trial.state == TrialState::Stopped {
            return Ok(Standing::Stopped);
        }
        let stale = Refusal::StaleLease { trial: number, lease };
        if trial.lease != Some(lease) {
            return Err(stale);
        }
        if let Some(record) = self.durable.leases.get(&lease).cloned() {
            self.volatile.heard.insert(lease, now);
            return Ok(Standing::Running(record));
        }
        if self.durable.results.contains_key(&lease) {
            Ok(Standing::Over(trial.state))
        } else {
            Err(stale)
        }
    }

    /// Takes the metrics of an epoch. Those that are there already change nothing.
    fn measured(
        &mut self,
        lease: LeaseId,
        record: &Lease,
        metrics: NamedMetrics,
        changes: &mut Changes,
    ) -> Answer {
        let sweep = self.durable.sweeps.get(&record.sweep);
        let Some((sweep, trial)) = sweep.and_then(|s| Some((s, s.trial(record.trial)?))) else {
            return Err(Broken(format!("lease {lease} has no trial")));
        };
        match is_new(sweep, trial, &metrics) {
            Err(problem) => Ok(Err(Refusal::Wrong(problem))),
            Ok(false) => Ok(Ok(Reply::Done)),
            Ok(true) => {
                let metrics = Point::Named(metrics);
                self.record(
                    Event::EpochRecorded {
                        sweep: record.sweep,
                        trial: record.trial,
                        lease,
                        metrics,
                    },
                    changes,
                )?;
                Ok(Ok(Reply::Done))
            }
        }
    }
}

/// What a trial is of which a program says something.
enum Standing {
    /// The program runs it.
    Running(Lease),
    /// It was stopped at a rung, and its lease with it.
    Stopped,
    /// The program told its end.
    Over(TrialState),
}

/// An end that was told before is told again.
fn said_again(state: TrialState, outcome: &Outcome) -> Result<Reply, Refusal> {
    let turned = state == TrialState::Diverged && *outcome == Outcome::Completed;
    if outcome.state() == state || turned {
        return Ok(Reply::Done);
    }
    let message =
        format!("the trial was told to be {} before: tell the same, or nothing", state.name());
    Err(Refusal::Wrong(Problem::with_value("outcome", outcome.state().name(), message)))
}

/// Whether the metrics are those of the trial's next epoch, and not of one that it has.
fn is_new(sweep: &Sweep, trial: &Trial, metrics: &NamedMetrics) -> Result<bool, Problem> {
    let objective = sweep.spec.objective.metric.name();
    if !metrics.metrics.keys().any(|name| name.as_str() == objective) {
        return Err(Problem::new(
            "metrics",
            format!("{objective} is missing: report what is optimised under its name"),
        ));
    }
    let wrong = |message: String| Err(Problem::with_value("epoch", metrics.epoch, message));
    if metrics.epoch > trial.epochs {
        return wrong(format!(
            "a trial of this sweep makes {} reports at most, as [fixed] epochs says",
            trial.epochs
        ));
    }
    let place = usize::try_from(metrics.epoch).ok().and_then(|epoch| epoch.checked_sub(1));
    if let Some(known) = place.and_then(|place| trial.curve.get(place)) {
        let same = matches!(known, Point::Named(known) if is_same(known, metrics));
        return if same {
            Ok(false)
        } else {
            wrong("other metrics were reported for this epoch before: report the same, or the next one".to_owned())
        };
    }
    let (count, epochs) = (metrics.metrics.len(), trial.epochs);
    // A share for each report, so that no trial finds out at its end that it kept too much.
    let most = MAX_VALUES / u64::from(epochs.max(1));
    if u64::try_from(count).is_ok_and(|count| count > most) {
        let message = format!(
            "a trial keeps {MAX_VALUES}, so {most} in each of {epochs} reports: report fewer, or write fewer epochs in [fixed]"
        );
        return Err(Problem::with_value("metrics", format!("{count} values"), message));
    }
    let next = trial.curve.last().map_or(0, Point::epoch) + 1;
    if metrics.epoch == next {
        Ok(true)
    } else {
        wrong(format!("report epoch {next} first: epochs come one after the other"))
    }
}

/// Bit for bit, but any NaN is the same as any other: a store keeps none of its bits.
fn is_same(a: &NamedMetrics, b: &NamedMetrics) -> bool {
    let bits_of = |value: f64| if value.is_nan() { f64::NAN } else { value }.to_bits();
    let bits = |m: &NamedMetrics| {
        m.metrics.iter().map(|(name, value)| (name.clone(), bits_of(*value))).collect::<Vec<_>>()
    };
    bits(a) == bits(b)
}
