//! External clients, which run the trials of a sweep themselves.

use caviar_common::ask::{Ask, AskKey, AskReply, AskedTrial, Report, Tell, Verdict};
use caviar_common::data::DataSummary;
use caviar_common::error::ErrorClass;
use caviar_common::ids::{SweepId, TokenId, TrialNumber};
use caviar_common::metric::NamedMetrics;
use caviar_common::outcome::{Outcome, SweepState, TrialState};
use caviar_common::spec::file::parse;
use caviar_common::spec::{Parallelism, SweepSpec};
use caviar_core::Coordinator;
use caviar_core::event::{Event, Payload};
use caviar_core::input::{ClientReply, Effect, Input, Refusal, Reply, Waiter, WaiterId};

use crate::support::{Bench, CONFIG, STORE, SWEEP, TTL, name, point};

/// How long an external client may be silent in these tests, in milliseconds.
pub(crate) const LEASE: u64 = 10 * TTL;

pub(crate) fn external(trials: u32, epochs: u32, rest: &str) -> SweepSpec {
    let text = format!(
        "name = \"x\"\n[data]\nsource = \"external\"\n[fixed]\nepochs = {epochs}\n\
         [space]\nC = {{ scale = \"log\", low = 1e-3, high = 1e3 }}\n\
         [search]\nstrategy = \"random\"\ntrials = {trials}\nparallelism = 3\n{rest}\n\
         [objective]\nmetric = \"error\"\ngoal = \"minimize\"\n"
    );
    parse(&text).unwrap().spec
}

fn metrics(epoch: u32, error: f64) -> NamedMetrics {
    NamedMetrics { epoch, metrics: [(name("error"), error), (name("time.fit"), 0.5)].into() }
}

impl Bench {
    pub(crate) fn with_external(spec: SweepSpec) -> Self {
        let mut bench = Self::new();
        bench
            .step(Input::CreateSweep {
                request_id: name("make"),
                spec: Box::new(spec),
                data: DataSummary::default(),
                for_slots: None,
            })
            .unwrap();
        bench
    }

    pub(crate) fn asks(&mut self, request: &str, count: u32) -> AskReply {
        self.asks_as("python", request, count)
    }

    pub(crate) fn asks_as(&mut self, client: &str, request: &str, count: u32) -> AskReply {
        let ask = Ask {
            key: AskKey { request_id: name(request), client: name(client), token: None },
            count,
            lease_ms: LEASE,
        };
        let waiter = Waiter { id: WaiterId(1), is_patient: false };
        let answer = self.answer(Input::AskTrials(SWEEP, ask, waiter)).unwrap();
        let ClientReply::Trials(trials) = answer else { panic!("{answer:?}") };
        trials
    }

    /// Takes a step with a request of the waiter 1, and returns its answer.
    fn answer(&mut self, input: Input) -> Result<ClientReply, Refusal> {
        assert_eq!(self.step(input)?, Reply::Waiting);
        let answer = self.effects.iter().find_map(|effect| {
            let Effect::Answer(WaiterId(1), answer) = effect else { return None };
            Some(answer.clone())
        });
        Ok(answer.expect("an answer"))
    }

    pub(crate) fn ask_one(&mut self, request: &str) -> AskedTrial {
        self.asks(request, 1).trials.remove(0)
    }

    pub(crate) fn reports(
        &mut self,
        of: &AskedTrial,
        epoch: u32,
        error: f64,
    ) -> Result<Verdict, Refusal> {
        let report = Report {
            trial: of.trial,
            lease: of.lease,
            token: None,
            metrics: metrics(epoch, error),
            seconds: None,
        };
        let answer = self.answer(Input::ReportTrial(SWEEP, report, WaiterId(1)))?;
        let ClientReply::Verdict(verdict) = answer else { panic!("{answer:?}") };
        Ok(verdict)
    }

    pub(crate) fn tells(
        &mut self,
        of: &AskedTrial,
        outcome: Outcome,
        last: Option<NamedMetrics>,
    ) -> Result<ClientReply, Refusal> {
        let tell =
            Tell { trial: of.trial, lease: of.lease, token: None, outcome, last, seconds: 2.5 };
        self.answer(Input::TellTrial(SWEEP, tell, WaiterId(1)))
    }

    pub(crate) fn completes(&mut self, of: &AskedTrial, error: f64) {
        self.tells(of, Outcome::Completed, Some(metrics(1, error))).unwrap();
    }

    /// Replaces the coordinator by one that reads the events.
    pub(crate) fn restart(&mut self) {
        let before = self.core.record().clone();
        self.core = Coordinator::recover(CONFIG, STORE, 0, self.events.clone()).unwrap();
        self.now = 0;
        assert_eq!(self.core.record(), &before);
    }
}

pub(crate) fn is_stale(answer: Result<impl std::fmt::Debug, Refusal>) -> bool {
    matches!(answer, Err(Refusal::StaleLease { .. }))
}

#[test]
fn a_client_runs_a_sweep_to_its_end_and_the_budget_is_exact() {
    let mut bench = Bench::with_external(external(7, 1, ""));
    bench.hello(1, "w", 1, 4, &[]);
    assert!(bench.grants().is_empty(), "no worker gets a trial of an external sweep");
    let mut seen = Vec::new();
    for round in 0.. {
        let asked = bench.asks(&format!("r{round}"), 2);
        if asked.is_over {
            break;
        }
        assert!((1..=2).contains(&asked.trials.len()));
        for of in asked.trials {
            bench.completes(&of, f64::from(of.trial.0));
            seen.push(of.trial.0);
        }
    }
    assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6]);
    let view = bench.core.sweep(SWEEP).unwrap();
    assert_eq!((view.state, view.counts.completed, view.test), (SweepState::Completed, 7, None));
    let best = view.best.unwrap();
    assert_eq!(
        (best.trial, best.objective, best.seconds, best.worker),
        (TrialNumber(0), Some(0.0), Some(2.5), Some(name("python")))
    );
    assert!(!view.notes.iter().any(|note| note.contains("worker")), "{:?}", view.notes);
}

#[test]
fn a_client_gets_no_more_trials_than_are_in_flight() {
    let mut bench = Bench::with_external(external(9, 1, ""));
    let first = bench.asks("a", 100);
    assert_eq!(first.trials.len(), 3, "parallelism");
    let none = bench.asks("b", 1);
    assert!(none.trials.is_empty() && !none.is_over);
    bench.completes(&first.trials[0], 1.0);
    assert_eq!(bench.asks("b", 5).trials.len(), 1, "an empty reply is not recorded");
}

#[test]
fn repeated_requests_change_nothing() {
    let mut bench = Bench::with_external(external(9, 5, ""));
    let of = bench.ask_one("a");
    let again = bench.ask_one("a");
    assert_eq!(of, again);
    assert_eq!((of.attempt.0, of.epochs), (1, 5));
    bench.reports(&of, 1, f64::NAN).unwrap();
    bench.reports(&of, 2, 0.5).unwrap();
    let events = bench.events.len();
    bench.reports(&of, 1, f64::NAN).unwrap();
    bench.reports(&of, 2, 0.5).unwrap();
    assert_eq!(bench.events.len(), events);
    for (epoch, error, expected) in [
        (
            2,
            0.25,
            "epoch = 2: other metrics were reported for this epoch before: report the same ones, \
             or the next epoch",
        ),
        (4, 0.5, "epoch = 4: report epoch 3 first: epochs are reported in order"),
        (
            6,
            0.5,
            "epoch = 6: a trial of this sweep makes at most 5 reports, as [fixed] epochs says",
        ),
    ] {
        let refusal = bench.reports(&of, epoch, error).unwrap_err();
        assert_eq!(
            (refusal.to_string().as_str(), refusal.class()),
            (expected, ErrorClass::Invalid)
        );
    }
    // The client ends the trial early, and repeats that.
    bench.tells(&of, Outcome::Completed, Some(metrics(3, 0.125))).unwrap();
    let events = bench.events.len();
    bench.tells(&of, Outcome::Completed, Some(metrics(3, 0.125))).unwrap();
    assert_eq!(bench.events.len(), events);
    let refusal = bench.tells(&of, Outcome::Diverged, None).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "outcome = diverged: the outcome was completed before: tell the same one, or nothing"
    );
    assert_eq!(bench.core.sweep(SWEEP).unwrap().best.unwrap().objective, Some(0.125));
    assert!(is_stale(bench.reports(&of, 4, 0.5)));
}

#[test]
fn a_request_that_is_repeated_while_it_waits_is_granted_once() {
    let mut bench = Bench::with_external(external(9, 1, ""));
    let first = bench.asks("a", 3);
    let ask = |client: &str, request: &str, id| {
        let ask = Ask {
            key: AskKey { request_id: name(request), client: name(client), token: None },
            count: 1,
            lease_ms: LEASE,
        };
        Input::AskTrials(SWEEP, ask, Waiter { id: WaiterId(id), is_patient: true })
    };
    // The client has lost its connection, and sends the request again. Others wait too.
    for (client, request, id) in
        [("one", "a", 2), ("two", "a", 3), ("one", "b", 4), ("one", "a", 5), ("one", "a", 6)]
    {
        assert_eq!(bench.step(ask(client, request, id)), Ok(Reply::Waiting));
    }
    bench.step(Input::StopWaiting(WaiterId(6))).unwrap();
    bench.completes(&first.trials[0], 1.0);
    let answers = bench.effects.iter().filter_map(|effect| {
        let Effect::Answer(WaiterId(id @ 2..), ClientReply::Trials(reply)) = effect else {
            return None;
        };
        Some((*id, reply.clone()))
    });
    let answers: Vec<(u64, AskReply)> = answers.collect();
    let reply = answers[0].1.clone();
    assert_eq!(answers, [(2, reply.clone()), (5, reply.clone())]);
    assert_eq!(reply.trials[0].trial, TrialNumber(3));
    assert_eq!(bench.asks_as("one", "a", 1), reply);
    bench.completes(&first.trials[1], 1.0);
    assert_eq!(bench.asks_as("two", "a", 1).trials[0].trial, TrialNumber(4));
}

#[test]
fn the_same_request_of_another_client_gets_other_trials() {
    let mut bench = Bench::with_external(external(9, 1, ""));
    let first = bench.asks_as("one", "a", 1);
    let second = bench.asks_as("two", "a", 1);
    assert_ne!(first.trials[0].trial, second.trials[0].trial);
    assert_eq!((bench.asks_as("one", "a", 1), bench.asks_as("two", "a", 1)), (first, second));
}

#[test]
fn a_lease_belongs_to_the_token_that_asked_for_it() {
    let mut bench = Bench::with_external(external(9, 1, ""));
    let token = |id: &str| Some(TokenId(id.into()));
    let ask = |id: &str| {
        let key = AskKey { request_id: name("a"), client: name("python"), token: token(id) };
        let ask = Ask { key, count: 1, lease_ms: LEASE };
        Input::AskTrials(SWEEP, ask, Waiter { id: WaiterId(1), is_patient: false })
    };
    let trials = |answer| match answer {
        Ok(ClientReply::Trials(mut reply)) => reply.trials.remove(0),
        other => panic!("{other:?}"),
    };
    let mine = trials(bench.answer(ask("mine")));
    // The same request with another token is another client's.
    assert_ne!(trials(bench.answer(ask("other"))).trial, mine.trial);
    assert_eq!(trials(bench.answer(ask("mine"))), mine);
    bench.restart();
    let AskedTrial { trial, lease, .. } = mine;
    for caller in [token("other"), None] {
        let refusal = Refusal::ForeignLease { trial, lease };
        assert_eq!(refusal.class(), ErrorClass::Refused);
        let (metrics, seconds) = (metrics(1, 0.5), None);
        let report = Report { trial, lease, token: caller.clone(), metrics, seconds };
        let input = Input::ReportTrial(SWEEP, report, WaiterId(1));
        assert_eq!(bench.answer(input), Err(refusal.clone()));
        let (outcome, last) = (Outcome::Failed { message: "no".into() }, None);
        let tell = Tell { trial, lease, token: caller, outcome, last, seconds: 2.5 };
        assert_eq!(bench.answer(Input::TellTrial(SWEEP, tell, WaiterId(1))), Err(refusal));
    }
    // A refused report does not renew the lease either.
    let (outcome, last) = (Outcome::Completed, Some(metrics(1, 0.5)));
    let tell = Tell { trial, lease, token: token("mine"), outcome, last, seconds: 2.5 };
    let told = bench.answer(Input::TellTrial(SWEEP, tell, WaiterId(1)));
    assert_eq!(told, Ok(ClientReply::Told(TrialState::Completed)));
}

#[test]
fn the_metrics_of_all_epochs_of_a_trial_are_limited() {
    let report = |bench: &mut Bench, of: &AskedTrial, epoch, count| {
        let metrics = (1..count)
            .map(|i| (name(&format!("m{i}")), 1.0))
            .chain([(name("error"), 1.0)])
            .collect();
        bench.step(Input::ReportTrial(
            SWEEP,
            Report {
                trial: of.trial,
                lease: of.lease,
                token: None,
                metrics: NamedMetrics { epoch, metrics },
                seconds: None,
            },
            WaiterId(1),
        ))
    };
    let mut bench = Bench::with_external(external(3, 100_000, ""));
    let of = bench.ask_one("a");
    // Each report has the same share. Without it, large reports in the first epochs would leave
    // nothing for the others.
    let refusal = report(&mut bench, &of, 1, 64).unwrap_err();
    let expected = "metrics = 64 values: a trial keeps 400000, which is 4 in each of 100000 \
                    reports: report fewer, or write fewer epochs in [fixed]";
    assert_eq!((refusal.to_string().as_str(), refusal.class()), (expected, ErrorClass::Invalid));
    report(&mut bench, &of, 1, 4).unwrap();
    let mut bench = Bench::with_external(external(3, 6_250, ""));
    let of = bench.ask_one("a");
    report(&mut bench, &of, 1, 64).unwrap();
}

#[test]
fn a_repeated_ask_gets_the_same_trials_after_a_restart_and_they_continue() {
    let mut bench = Bench::with_external(external(4, 3, ""));
    let asked = bench.asks("a", 2);
    bench.reports(&asked.trials[0], 1, 0.5).unwrap();
    bench.restart();
    assert_eq!(bench.asks("a", 2), asked);
    bench.reports(&asked.trials[0], 2, 0.25).unwrap();
    bench.wait(LEASE - TTL);
    assert_eq!(
        (bench.state(0), bench.state(1)),
        (TrialState::Running, TrialState::Running),
        "a full lease of grace"
    );
    bench.tells(&asked.trials[0], Outcome::Completed, None).unwrap();
    bench.restart();
    bench.tells(&asked.trials[0], Outcome::Completed, None).unwrap();
    assert_eq!(bench.state(0), TrialState::Completed);
}

#[test]
fn a_lease_is_valid_only_for_its_own_trial() {
    let mut bench = Bench::with_external(external(4, 3, ""));
    let trials = bench.asks("a", 2).trials;
    let crossed = AskedTrial { lease: trials[1].lease, ..trials[0].clone() };
    assert!(is_stale(bench.reports(&crossed, 1, 0.5)));
    assert!(is_stale(bench.tells(&crossed, Outcome::Completed, Some(metrics(1, 0.5)))));
    assert_eq!(
        [0, 1].map(|trial| bench
            .tables
            .trial(SWEEP, TrialNumber(trial), true)
            .unwrap()
            .curve
            .len()),
        [0, 0]
    );
}

#[test]
fn clients_of_weak_trials_are_told_to_stop() {
    let mut bench = Bench::with_external(external(6, 9, "[stopping]\nrule = \"halving\""));
    let trials = bench.asks("a", 3).trials;
    // The rungs are at epochs 2 and 6. In virtual time trial 0 reaches a rung first.
    for of in &trials[1..] {
        bench.reports(of, 1, 2.0).unwrap();
        assert_eq!(
            bench.reports(of, 2, 1.0),
            Ok(Verdict::Continue),
            "the decision waits for trial 0"
        );
    }
    bench.reports(&trials[0], 1, 2.0).unwrap();
    assert_eq!(bench.reports(&trials[0], 2, 0.5), Ok(Verdict::Continue));
    assert_eq!((bench.state(1), bench.state(2)), (TrialState::Stopped, TrialState::Stopped));
    assert_eq!(bench.reports(&trials[1], 3, 1.0), Ok(Verdict::Stop));
    assert_eq!(bench.reports(&trials[1], 3, 1.0), Ok(Verdict::Stop));
    bench.tells(&trials[1], Outcome::Completed, None).unwrap();
    let view = bench.tables.trial(SWEEP, TrialNumber(1), true).unwrap();
    assert_eq!((view.state, view.curve.len(), view.objective), (TrialState::Stopped, 2, Some(1.0)));
    // Their slots are free.
    assert_eq!(bench.asks("b", 3).trials.len(), 2);
}

#[test]
fn a_trial_without_a_finite_value_at_its_rung_ranks_last_and_delays_no_other() {
    let mut bench = Bench::with_external(external(6, 9, "[stopping]\nrule = \"halving\""));
    let trials = bench.asks("a", 3).trials;
    for (of, error) in trials.iter().zip([f64::NAN, 1.0, f64::INFINITY]) {
        bench.reports(of, 1, 2.0).unwrap();
        bench.reports(of, 2, error).unwrap();
    }
    assert_eq!(
        [0, 1, 2].map(|trial| bench.state(trial)),
        [TrialState::Running, TrialState::Running, TrialState::Stopped]
    );
    let rungs = bench.events.iter().filter_map(|event| {
        let (continues, rung) = if let Payload::TrialPassed(passed) = &event.payload {
            (true, passed.rung)
        } else if let Payload::TrialStopped(stopped) = &event.payload {
            (false, stopped.rung)
        } else {
            return None;
        };
        Some((continues, rung.rank, rung.reached))
    });
    assert_eq!(
        rungs.collect::<Vec<_>>(),
        [(true, 1, 1), (true, 1, 2), (false, 2, 3)],
        "the first trial at a rung always continues"
    );
    // Its later epochs count.
    bench.tells(&trials[0], Outcome::Completed, Some(metrics(3, 0.5))).unwrap();
    assert_eq!(
        bench.core.sweep(SWEEP).unwrap().best.map(|best| (best.trial, best.objective)),
        Some((TrialNumber(0), Some(0.5)))
    );
    // The log holds no number that JSON cannot express.
    let log = bench.core.record().sweep(SWEEP).unwrap().history();
    assert!(log.entries().all(|entry| entry.cost.is_none_or(f64::is_finite)), "{log:?}");
    assert_eq!(caviar_core::replay_decisions(&bench.events), Ok(Vec::new()));
}

#[test]
fn any_nan_equals_any_other_even_after_a_restart() {
    let mut bench = Bench::with_external(external(4, 5, ""));
    let of = bench.ask_one("a");
    let nan = f64::from_bits(f64::NAN.to_bits() | 1);
    bench.reports(&of, 1, nan).unwrap();
    // As a store writes and reads the event.
    let through_json =
        |event: &Event| serde_json::from_str(&serde_json::to_string(event).unwrap()).unwrap();
    let stored: Vec<Event> = bench.events.iter().map(through_json).collect();
    bench.core = Coordinator::recover(CONFIG, STORE, 0, stored).unwrap();
    let events = bench.events.len();
    for nan in [nan, f64::NAN, -f64::NAN] {
        bench.reports(&of, 1, nan).unwrap();
    }
    assert_eq!(bench.events.len(), events, "the epoch was recorded before");
}

#[test]
fn a_completed_trial_must_have_an_objective() {
    let mut bench = Bench::with_external(external(3, 2, ""));
    let trials = bench.asks("a", 3).trials;
    let refusal = bench.tells(&trials[0], Outcome::Completed, None).unwrap_err();
    assert!(
        refusal
            .to_string()
            .starts_with("metrics: missing: a completed trial has at least one epoch"),
        "{refusal}"
    );
    let other = NamedMetrics { epoch: 1, metrics: [(name("loss"), 1.0)].into() };
    let refusal = bench.tells(&trials[0], Outcome::Completed, Some(other)).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "metrics: error is missing: report the optimised metric under its name"
    );
    bench.completes(&trials[0], f64::INFINITY);
    bench.completes(&trials[0], f64::INFINITY);
    bench.tells(&trials[1], Outcome::Failed { message: "out of memory".to_owned() }, None).unwrap();
    bench.tells(&trials[2], Outcome::Diverged, None).unwrap();
    let states = [TrialState::Diverged, TrialState::Failed, TrialState::Diverged];
    assert_eq!([0, 1, 2].map(|trial| bench.state(trial)), states);
    assert_eq!(bench.core.sweep(SWEEP).unwrap().state, SweepState::Completed);
}

#[test]
fn only_external_sweeps_that_are_running_give_trials() {
    let mut bench = Bench::with_external(external(4, 1, ""));
    bench.create("s", 2, 0).unwrap();
    let ask = |sweep| {
        let (request_id, client) = (name("a"), name("python"));
        let ask =
            Ask { key: AskKey { request_id, client, token: None }, count: 1, lease_ms: LEASE };
        Input::AskTrials(SweepId(sweep), ask, Waiter { id: WaiterId(1), is_patient: false })
    };
    let refusal = bench.step(ask(2)).unwrap_err();
    assert_eq!(
        (refusal.class(), &refusal),
        (ErrorClass::Refused, &Refusal::NotExternal(name("s")))
    );
    assert_eq!(bench.step(ask(9)).unwrap_err().class(), ErrorClass::NotFound);
    bench.step(Input::PauseSweep(SWEEP)).unwrap();
    let asked = bench.asks("a", 1);
    assert!(asked.trials.is_empty() && !asked.is_over);
    bench.step(Input::ResumeSweep(SWEEP)).unwrap();
    let of = bench.ask_one("a");
    let unknown = AskedTrial { trial: TrialNumber(99), ..of.clone() };
    assert_eq!(bench.reports(&unknown, 1, 1.0).unwrap_err().class(), ErrorClass::NotFound);
    bench.step(Input::CancelSweep(SWEEP)).unwrap();
    assert!(is_stale(bench.reports(&of, 1, 1.0)));
    assert!(bench.asks("b", 1).is_over);
    bench.step(Input::DeleteSweep(SWEEP)).unwrap();
    bench.restart();
}

#[test]
fn a_worker_with_the_name_of_a_client_does_not_hold_its_leases() {
    let mut bench = Bench::with_external(external(4, 3, ""));
    bench.hello(1, "python", 0, 1, &[]);
    let of = bench.ask_one("a");
    bench.report(1, of.lease, vec![point(1, 1.0)]).unwrap();
    assert!(bench.revokes(of.lease));
    assert_eq!(bench.core.workers()[0].trials, []);
    bench.hello(2, "python", 0, 1, &[]);
    bench.step(Input::CancelSweep(SWEEP)).unwrap();
    assert!(!bench.revokes(of.lease));
}

#[test]
fn asks_are_kept_while_their_leases_are_in_force_and_of_the_others_the_latest() {
    let mut bench = Bench::with_external(external(65_536, 1, "order = \"as_completed\""));
    let held = bench.ask_one("held");
    let first = bench.ask_one("r0");
    bench.completes(&first, 1.0);
    let second = bench.ask_one("r1");
    bench.completes(&second, 1.0);
    for request in 2..=1_024 {
        let of = bench.ask_one(&format!("r{request}"));
        bench.completes(&of, 1.0);
    }
    assert_eq!(bench.ask_one("r1"), second, "one of the latest 1,024");
    assert_ne!(bench.ask_one("r0").trial, first.trial, "forgotten");
    assert_eq!(bench.ask_one("held"), held, "its lease is in force");
}

#[test]
fn of_large_asks_that_are_over_fewer_are_kept() {
    let mut spec = external(65_536, 1, "order = \"as_completed\"");
    spec.search.parallelism = Parallelism::Trials(1_000);
    let mut bench = Bench::with_external(spec);
    let mut asked = Vec::new();
    for request in ["a", "b", "c", "d", "e"] {
        let trials = bench.asks(request, 1_000).trials;
        assert_eq!(trials.len(), 1_000);
        trials.iter().for_each(|trial| bench.completes(trial, 1.0));
        asked.push(trials[0].trial);
    }
    assert_eq!(bench.asks("b", 1_000).trials[0].trial, asked[1], "4,000 trials are kept");
    assert_ne!(bench.asks("a", 1_000).trials[0].trial, asked[0], "5,000 are too many");
}

/// The answers of the latest step, by waiter.
fn answers(bench: &Bench) -> Vec<(u64, usize)> {
    let trials = |effect: &Effect| {
        let Effect::Answer(waiter, ClientReply::Trials(reply)) = effect else { return None };
        Some((waiter.0, reply.trials.len()))
    };
    bench.effects.iter().filter_map(trials).collect()
}

#[test]
fn clients_that_wait_get_trials_in_the_order_in_which_they_asked() {
    let mut bench = Bench::with_external(external(9, 2, ""));
    let held = bench.asks("held", 3);
    let ask = |bench: &mut Bench, waiter, is_patient| {
        let (request_id, client) = (name("a"), name(&format!("c{waiter}")));
        let ask =
            Ask { key: AskKey { request_id, client, token: None }, count: 2, lease_ms: LEASE };
        let waiter = Waiter { id: WaiterId(waiter), is_patient };
        bench.step(Input::AskTrials(SWEEP, ask, waiter)).unwrap();
        answers(bench)
    };
    for waiter in 2..6 {
        assert_eq!(ask(&mut bench, waiter, true), []);
    }
    assert_eq!(ask(&mut bench, 6, false), [(6, 0)], "it does not wait");
    bench.step(Input::StopWaiting(WaiterId(3))).unwrap();
    assert_eq!(answers(&bench), [(3, 0)]);
    bench.reports(&held.trials[0], 1, 1.0).unwrap();
    assert_eq!(answers(&bench), [], "a report without a free trial concerns no client that waits");
    bench.completes(&held.trials[0], 1.0);
    assert_eq!(answers(&bench), [(2, 1)]);
    bench.completes(&held.trials[1], 1.0);
    assert_eq!(answers(&bench), [(4, 1)]);
    bench.step(Input::CancelSweep(SWEEP)).unwrap();
    assert_eq!(answers(&bench), [(5, 0)], "the sweep is over");
}

#[test]
fn no_answer_of_many_asks_at_once_is_lost() {
    let mut spec = external(60_000, 1, "");
    spec.search.parallelism = Parallelism::Trials(4_096);
    let mut bench = Bench::with_external(spec);
    let mut trials = std::collections::BTreeSet::new();
    for client in 0..1_100 {
        let ask = |bench: &mut Bench| bench.asks_as(&format!("c{client}"), "a", 1).trials.remove(0);
        let first = ask(&mut bench);
        assert_eq!(ask(&mut bench), first);
        trials.insert(first.trial);
    }
    let again = bench.asks_as("c0", "a", 1).trials.remove(0);
    assert!(trials.contains(&again.trial), "its lease is in force");
    assert_eq!(trials.len(), 1_100);
    assert_eq!(bench.core.sweep(SWEEP).unwrap().counts.running, 1_100);
}
