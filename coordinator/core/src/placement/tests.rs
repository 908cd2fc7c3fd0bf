//! The indexed choices against plain ones, which look at every worker and every sweep.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use caviar_common::data::DataSummary;
use caviar_common::ids::{Incarnation, LeaseId, Name, SessionId, StoreId, SweepId};
use caviar_common::message::{Finished, FromWorker, Hello, PROTOCOL, Release, ToWorker};
use caviar_common::metric::{EpochMetrics, Score};
use caviar_common::numbers::{index, real, to_u32, to_u64, to_usize};
use caviar_common::outcome::Outcome;
use caviar_common::seed::{Purpose, Seed, Stream};
use caviar_common::spec::file::parse;

use super::candidates::{Placement, WaitingJob, waiting_job};
use crate::Coordinator;
use crate::input::{Config, Effect, Input};
use crate::record::state::{Sweep, Urgency};

/// A worker with a free slot.
struct PlainLoad<'a> {
    name: &'a Name,
    session: SessionId,
    free: usize,
    suspects: usize,
}

impl Coordinator {
    fn plain_loads(&self) -> Vec<PlainLoad<'_>> {
        let load = |(name, worker): (&'_ Name, &crate::volatile::Worker)| {
            let leases: Vec<LeaseId> = self.record.held_leases(name).collect();
            let active = leases.iter().filter(|id| !self.volatile.parked.contains(id)).count();
            let losses =
                leases.iter().map(|id| self.record.losses(self.record.lease(*id).unwrap()));
            let suspects = losses.filter(|losses| *losses >= 2).count();
            let free = index(worker.usable_slots()).checked_sub(active).filter(|free| *free > 0)?;
            Some((free, worker.accepting_session()?, suspects))
        };
        let mut loads: Vec<PlainLoad<'_>> = Vec::new();
        for (name, worker) in &self.volatile.workers {
            if let Some((free, session, suspects)) = load((name, worker)) {
                loads.push(PlainLoad { name, session, free, suspects });
            }
        }
        loads.sort_by_key(|load| (Reverse(load.free), load.name));
        loads
    }

    /// The waiting jobs of a sweep, most urgent first.
    fn plain_waiting(&self, sweep: &Sweep) -> Vec<WaitingJob> {
        if sweep.is_paused() {
            return Vec::new();
        }
        let winner = sweep.scoring().and_then(|scoring| sweep.trial(scoring.trial()));
        let trials = sweep.trials_in_flight().chain(winner);
        let jobs = trials.filter_map(|trial| waiting_job(sweep, trial));
        let mut jobs: Vec<WaitingJob> = jobs.collect();
        jobs.sort_by_key(WaitingJob::urgency);
        jobs
    }

    /// The parked trials of a sweep, with their workers.
    fn plain_parked<'a>(&'a self, sweep: &'a Sweep) -> Vec<(Urgency, LeaseId, &'a Name)> {
        let parked = self.volatile.parked.iter().filter_map(|id| {
            let lease = self.record.lease(*id).filter(|lease| lease.sweep() == sweep.id())?;
            let trial = sweep.trial(lease.trial())?;
            Some(((sweep.next_unreported(trial), trial.number()), *id, lease.worker()?))
        });
        parked.collect()
    }

    fn plain_busy(&self, id: SweepId) -> usize {
        let leases = self.record.leases().iter().filter(|(_, lease)| lease.sweep() == id);
        leases.filter(|(lease, _)| !self.volatile.parked.contains(lease)).count()
    }

    fn plain_start(
        &self,
        id: SweepId,
        jobs: &[WaitingJob],
        loads: &[&PlainLoad<'_>],
    ) -> Option<(Urgency, Placement)> {
        for job in jobs {
            let able =
                |load: &&&PlainLoad<'_>| self.volatile.unable.can_train(load.name, id, job.trial);
            if let Some(load) = loads.iter().find(able) {
                let (session, worker) = (load.session, load.name.clone());
                let start = Placement::Start { session, worker, sweep: id, trial: job.trial };
                return Some((job.urgency(), start));
            }
            let is_too_large =
                |load: &&PlainLoad<'_>| self.volatile.unable.is_too_large(load.name, id, job.trial);
            if !loads.iter().any(is_too_large) {
                return None;
            }
        }
        None
    }

    fn plain_assignment(&self) -> Option<Placement> {
        let loads = self.plain_loads();
        let all: Vec<&PlainLoad<'_>> = loads.iter().collect();
        let clean: Vec<&PlainLoad<'_>> = loads.iter().filter(|load| load.suspects == 0).collect();
        let mut sweeps: Vec<&Sweep> = self.record.sweeps().values().collect();
        sweeps.sort_by_key(|sweep| (self.plain_busy(sweep.id()), sweep.id()));
        let split = |sweep: &Sweep| -> (Vec<WaitingJob>, Vec<WaitingJob>) {
            self.plain_waiting(sweep).into_iter().partition(WaitingJob::is_suspect)
        };
        for sweep in &sweeps {
            if let Some((_, start)) = self.plain_start(sweep.id(), &split(sweep).0, &clean) {
                return Some(start);
            }
        }
        for sweep in &sweeps {
            let start = self.plain_start(sweep.id(), &split(sweep).1, &all);
            let parked = self.plain_parked(sweep).into_iter();
            let on_free = parked.filter(|(_, _, worker)| all.iter().any(|it| it.name == *worker));
            let parked = on_free.map(|(urgency, lease, _)| (urgency, lease)).min();
            if let Some(placement) = Placement::more_urgent(parked, start) {
                return Some(placement);
            }
        }
        None
    }

    /// Places as [`Coordinator::place`] does, and compares every choice.
    fn place_and_compare(&mut self) -> [u32; 3] {
        let [mut starts, mut suspects, mut unparked] = [0; 3];
        loop {
            let expected = self.plain_assignment();
            assert_eq!(self.next_assignment(), expected);
            let Some(placement) = expected else { return [starts, suspects, unparked] };
            match &placement {
                Placement::Start { sweep, trial, .. } => {
                    let trial = self.record.sweep(*sweep).unwrap().trial(*trial).unwrap();
                    starts += 1;
                    suspects += u32::from(trial.is_suspect());
                }
                Placement::Unpark(_) => unparked += 1,
            }
            self.carry_out(placement).unwrap();
        }
    }
}

struct Chaos {
    core: Coordinator,
    chance: Stream,
    now: u64,
    next: u64,
    /// The trainings of each session that is open: lease and epochs reported.
    held: BTreeMap<SessionId, Vec<(LeaseId, u32)>>,
    /// Jobs that began, suspects among them, and parked trials that continued.
    placed: [u32; 3],
}

impl Chaos {
    fn hear(&mut self, input: Input) {
        let step = self.core.hear(self.now, input).unwrap();
        self.obey(step.effects);
        self.core.take_decisions(&mut || true).unwrap();
        for (sum, placed) in self.placed.iter_mut().zip(self.core.place_and_compare()) {
            *sum += placed;
        }
        let decided = self.core.decide(&mut || true).unwrap();
        self.obey(decided.effects);
    }

    fn obey(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send(session, ToWorker::Grant(grant)) => {
                    self.held.entry(session).or_default().push((grant.lease, 0));
                }
                Effect::Send(
                    session,
                    ToWorker::Stop { lease, .. } | ToWorker::Revoke { lease, .. },
                ) => {
                    self.held.entry(session).or_default().retain(|(id, _)| *id != lease);
                }
                Effect::Close(session, _) => drop(self.held.remove(&session)),
                Effect::Send(..) | Effect::Answer(..) | Effect::Changed(_) => {}
            }
        }
    }

    fn act(&mut self) {
        self.now += self.chance.below(40);
        match self.chance.below(20) {
            0 => self.connect(),
            1 => {
                if let Some(session) = self.session() {
                    self.held.remove(&session);
                    self.hear(Input::SessionClosed(session));
                }
            }
            2 => self.hear(Input::Tick),
            3 => {
                let sweep = SweepId(1 + self.chance.below(3));
                let paused = self.chance.below(2) == 0;
                self.hear(if paused {
                    Input::PauseSweep(sweep)
                } else {
                    Input::ResumeSweep(sweep)
                });
            }
            4 => self.release(),
            5 => {
                if let Some(session) = self.session() {
                    let stuck = to_u32(to_usize(self.chance.below(12).saturating_sub(9)));
                    let message = FromWorker::Heartbeat { stuck, waiting: Vec::new() };
                    self.hear(Input::Message { session, token: None, message });
                }
            }
            _ => self.train(),
        }
    }

    fn session(&mut self) -> Option<SessionId> {
        let place = to_usize(self.chance.below(to_u64(self.held.len())));
        self.held.keys().nth(place).copied()
    }

    fn connect(&mut self) {
        self.next += 1;
        let worker = Name::parse("worker", &format!("w{}", self.chance.below(6))).unwrap();
        let hello = Hello {
            protocol: PROTOCOL,
            worker,
            incarnation: Incarnation(self.next),
            slots: 1 + to_u32(to_usize(self.chance.below(4))),
            draining: false,
            can_park: true,
            store: None,
            held: Vec::new(),
        };
        let session = SessionId(self.next);
        self.held.insert(session, Vec::new());
        self.hear(Input::Message { session, token: None, message: FromWorker::Hello(hello) });
    }

    fn release(&mut self) {
        let Some(session) = self.session() else { return };
        let Some((lease, _)) = self.held[&session].first().copied() else { return };
        self.held.get_mut(&session).unwrap().remove(0);
        let message = "no memory".to_owned();
        let release = match self.chance.below(4) {
            0 => Release::Unable { message },
            1 => Release::Declined,
            _ => Release::TooLarge { message },
        };
        self.hear(Input::Message {
            session,
            token: None,
            message: FromWorker::Released { lease, release },
        });
    }

    fn train(&mut self) {
        let Some(session) = self.session() else { return };
        let place = to_usize(self.chance.below(to_u64(self.held[&session].len())));
        let Some((lease, epoch)) = self.held.get_mut(&session).unwrap().get_mut(place) else {
            return;
        };
        let (lease, reported) = (*lease, *epoch);
        *epoch += 1;
        let loss = real(to_usize(self.chance.below(100)));
        let score = Score { loss, accuracy: Some(0.5), measured: None };
        let last =
            EpochMetrics { epoch: reported + 1, train: score, validation: score, spread: None };
        let message = if reported < 9 {
            FromWorker::Report { lease, points: vec![last], seconds: None }
        } else {
            self.held.get_mut(&session).unwrap().remove(place);
            let (outcome, test) = (Outcome::Completed, None);
            let result = Finished {
                outcome,
                last: None,
                test,
                seconds: 1.0,
                memory_bytes: None,
                model: None,
            };
            FromWorker::Finished { lease, result }
        };
        self.hear(Input::Message { session, token: None, message });
    }
}

#[test]
fn the_indexed_choices_are_those_of_a_plain_search() {
    let mut placed = [0; 3];
    for seed in 0..64 {
        let config = Config { lease_ttl_ms: 400, max_lost_workers: 4, least_stall_ms: 100_000 };
        let core = Coordinator::new(config, StoreId(1));
        let chance = Seed::derive(seed, 0, Purpose::Shuffle).stream(0);
        let (held, now, next) = (BTreeMap::new(), 0, 0);
        let mut chaos = Chaos { core, chance, now, next, held, placed };
        for sweep in 0..3 {
            let text = format!(
                "name = \"s{sweep}\"\n[data]\nsource = \"builtin:digits\"\n[fixed]\nepochs = 9\n\
                 [space]\nunits = {{ low = 4, high = 64 }}\n\
                 [search]\nstrategy = \"random\"\ntrials = 60\nparallelism = {}\n",
                3 + sweep * 2
            );
            let spec = Box::new(parse(&text).unwrap().spec);
            let request_id = Name::parse("name", &format!("r{sweep}")).unwrap();
            chaos.hear(Input::CreateSweep {
                request_id,
                spec,
                data: DataSummary::default(),
                for_slots: None,
            });
        }
        for _ in 0..400 {
            chaos.act();
        }
        placed = chaos.placed;
    }
    assert!(placed.iter().zip([2_000, 100, 20]).all(|(n, least)| *n > least), "{placed:?}");
}
