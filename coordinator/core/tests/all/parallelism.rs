//! How many trials are in flight: resolved from the slots, and changed later.

use caviar_common::error::ErrorClass;
use caviar_common::limits::{MAX_PARALLELISM, MAX_RESIZES};
use caviar_common::outcome::SweepState;
use caviar_common::spec::{Order, Parallelism, Strategy};
use caviar_common::view::{IdleView, ResizeView};
use caviar_core::Coordinator;
use caviar_core::event::{Event, Payload};
use caviar_core::input::{Input, Refusal, Reply};

use super::support::{Bench, CONFIG, STORE, SWEEP, TTL, name, spec, summary};
use caviar_common::message::{FromWorker, Release};

/// A request for a sweep of random search with this parallelism.
fn create(trials: u32, parallelism: Parallelism, for_slots: Option<u32>) -> Input {
    let mut spec = spec("s", trials);
    spec.search.parallelism = parallelism;
    Input::CreateSweep { request_id: name("r"), spec: Box::new(spec), data: summary(0), for_slots }
}

fn auto(trials: u32) -> Input {
    create(trials, Parallelism::Auto, None)
}

/// How many trials are in flight after `input`, with the slots from which that was resolved.
fn resolved(slots: &[u32], input: Input) -> (u32, Option<u32>) {
    let mut bench = Bench::new();
    for (number, slots) in (1..).zip(slots) {
        bench.hello(number, &format!("w{number}"), 1, *slots, &[]);
    }
    bench.step(input).unwrap();
    let Payload::SweepCreated(created) = &bench.events[0].payload else { panic!() };
    let parallelism = bench.core.sweep(SWEEP).unwrap().parallelism;
    assert_eq!(created.spec.search.parallelism, Parallelism::Trials(parallelism));
    let sampled = bench.core.record().sweep(SWEEP).unwrap().sampled();
    assert_eq!(sampled, parallelism.min(created.spec.search.trials));
    let recovered = Coordinator::recover(CONFIG, STORE, 0, bench.events.clone()).unwrap();
    assert_eq!(recovered.record(), bench.core.record());
    (parallelism, created.auto_slots)
}

#[test]
fn auto_is_resolved_from_the_connected_slots_within_the_budget() {
    assert_eq!(resolved(&[], auto(1_000)), (8, Some(0)));
    assert_eq!(resolved(&[1], auto(1_000)), (8, Some(1)));
    assert_eq!(resolved(&[2], auto(1_000)), (8, Some(2)));
    assert_eq!(resolved(&[1, 2], auto(1_000)), (12, Some(3)));
    assert_eq!(resolved(&[64], auto(1_000)), (256, Some(64)));
    assert_eq!(resolved(&[64], auto(100)), (100, Some(64)), "more than the budget are useless");
    assert_eq!(resolved(&[64], auto(5)), (8, Some(64)), "as before");
}

#[test]
fn auto_can_be_resolved_for_workers_that_come_later() {
    let for_slots = |slots| create(1_000, Parallelism::Auto, Some(slots));
    assert_eq!(resolved(&[], for_slots(64)), (256, Some(64)));
    assert_eq!(resolved(&[64], for_slots(2)), (8, Some(2)), "whatever is connected");
    let refused = |input| Bench::new().step(input).unwrap_err().to_string();
    assert_eq!(
        refused(for_slots(MAX_PARALLELISM + 1)),
        "for_slots = 65537: expected a whole number from 1 to 65536"
    );
    assert_eq!(refused(for_slots(0)), "for_slots = 0: expected a whole number from 1 to 65536");
    assert_eq!(
        refused(create(9, Parallelism::Trials(4), Some(2))),
        "for_slots = 2: the sweep has parallelism = 4, so the number of slots has no effect: leave \
         it out, or set parallelism = \"auto\""
    );
}

#[test]
fn a_number_is_left_as_it_is() {
    assert_eq!(resolved(&[64], create(1_000, Parallelism::Trials(3), None)), (3, None));
}

#[test]
fn a_search_that_learns_has_a_quarter_of_its_budget_in_flight() {
    let large = spec("s", 1_000_000).search.auto_parallelism(20_480);
    assert_eq!(large, MAX_PARALLELISM);
    let mut search = spec("s", 400).search;
    for (strategy, expected) in
        [(Strategy::Zoom, 100), (Strategy::Tpe, 100), (Strategy::Random, 256)]
    {
        search.strategy = strategy;
        assert_eq!(search.auto_parallelism(64), expected, "{strategy:?}");
    }
    search.rounds = vec![200, 120, 80];
    assert_eq!(search.auto_parallelism(64), 200, "no round has more trials");
    let completed = |slots| {
        let search =
            caviar_common::spec::SearchSpec { order: Order::AsCompleted, ..search.clone() };
        search.auto_parallelism(slots)
    };
    assert_eq!((completed(64), completed(9), completed(2)), (80, 12, 8), "a slot never waits");
}

#[test]
fn a_repeated_request_finds_the_sweep_whatever_is_connected_now() {
    let mut bench = Bench::new();
    assert_eq!(bench.step(auto(100)), Ok(Reply::Sweep(SWEEP)));
    bench.hello(1, "w", 1, 64, &[]);
    assert_eq!(bench.step(auto(100)), Ok(Reply::Sweep(SWEEP)));
    let reused = Err(Refusal::RequestReused(name("r")));
    assert_eq!(bench.step(create(100, Parallelism::Auto, Some(64))), reused);
    assert_eq!(bench.step(create(100, Parallelism::Trials(9), None)), reused);
}

fn resize(bench: &mut Bench, parallelism: u32) -> Result<Reply, Refusal> {
    bench.step(Input::ResizeSweep(SWEEP, parallelism))
}

fn sampled(bench: &Bench) -> u32 {
    bench.core.record().sweep(SWEEP).unwrap().sampled()
}

#[test]
fn a_larger_number_starts_trials_at_once_and_a_smaller_one_lets_them_end() {
    let mut bench = Bench::with_sweep(40, 4);
    let grants = bench.grants();
    assert_eq!((grants.len(), sampled(&bench)), (2, 2));
    resize(&mut bench, 6).unwrap();
    assert_eq!((bench.grants().len(), sampled(&bench)), (2, 6));
    assert_eq!(bench.start_of(5), 0, "they start at the virtual time of the latest decision");
    resize(&mut bench, 1).unwrap();
    let view = bench.core.sweep(SWEEP).unwrap();
    assert_eq!(view.parallelism, 1);
    let places = [(6, 2), (1, 6)];
    let expected =
        places.map(|(parallelism, trials)| ResizeView { parallelism, trials, decisions: 0 });
    assert_eq!(view.resizes, expected);
    // Six trials are in flight. No other starts before the last of them has ended.
    let mut leases: Vec<_> = grants.iter().map(|grant| grant.lease).collect();
    leases.extend([3, 4].map(caviar_common::ids::LeaseId));
    while let Some(lease) = leases.pop() {
        bench.train(1, lease);
        leases.extend(bench.grants().iter().map(|grant| grant.lease));
        let sweep = bench.core.record().sweep(SWEEP).unwrap();
        assert!(sweep.sampled() == 6 || sweep.in_flight().len() <= 1);
        if sweep.sampled() == 9 {
            break;
        }
    }
    let recovered = Coordinator::recover(CONFIG, STORE, 0, bench.events.clone()).unwrap();
    assert_eq!(recovered.record(), bench.core.record());
}

#[test]
fn a_paused_sweep_can_be_resized_and_a_repeated_request_changes_nothing() {
    let mut bench = Bench::with_sweep(40, 1);
    bench.step(Input::PauseSweep(SWEEP)).unwrap();
    resize(&mut bench, 6).unwrap();
    let events = bench.events.len();
    resize(&mut bench, 6).unwrap();
    assert_eq!((bench.events.len(), sampled(&bench)), (events, 2));
    bench.step(Input::ResumeSweep(SWEEP)).unwrap();
    assert_eq!(sampled(&bench), 6);
}

#[test]
fn a_resize_that_can_change_nothing_is_refused_with_the_reason() {
    let refused = |bench: &mut Bench, parallelism| {
        let refusal = resize(bench, parallelism).unwrap_err();
        (refusal.to_string(), refusal.class())
    };
    let mut bench = Bench::with_sweep(40, 1);
    for number in [0, MAX_PARALLELISM + 1] {
        let expected = format!("parallelism = {number}: expected a whole number from 1 to 65536");
        assert_eq!(refused(&mut bench, number), (expected, ErrorClass::Invalid));
    }
    resize(&mut bench, 40).unwrap();
    let (text, class) = refused(&mut bench, 20);
    assert!(text.starts_with("sweep s is running: all trials of its budget"), "{text}");
    assert_eq!(class, ErrorClass::Refused);
    bench.step(Input::CancelSweep(SWEEP)).unwrap();
    let (text, _) = refused(&mut bench, 20);
    assert_eq!(text, "sweep s is cancelled: it has ended, so no trial will be in flight");
    // The largest round is the limit.
    let mut bench = Bench::with_rungs(20, 10, |spec| {
        spec.search.strategy = Strategy::Rounds;
        spec.search.rounds = vec![10, 6, 4];
    });
    let (text, _) = refused(&mut bench, 11);
    assert!(text.contains("the largest round has 10 trials"), "{text}");
    resize(&mut bench, 5).unwrap();
    // Somebody resizes without end.
    let mut bench = Bench::with_sweep(40, 1);
    for number in 0..MAX_RESIZES {
        resize(&mut bench, 3 + u32::try_from(number % 2).unwrap()).unwrap();
    }
    assert!(refused(&mut bench, 9).0.contains("resized 1000 times"));
}

#[test]
fn a_resize_at_another_place_of_the_record_does_not_fit() {
    let mut bench = Bench::with_sweep(40, 1);
    resize(&mut bench, 6).unwrap();
    let mut events = bench.events.clone();
    let is_resize = |event: &Event| matches!(event.payload, Payload::SweepResized(_));
    let at = events.iter().position(is_resize).unwrap();
    let resized = events.remove(at);
    events.push(resized);
    assert!(Coordinator::recover(CONFIG, STORE, 0, events).is_err());
}

/// Lets a few seconds pass in which the worker of session 1 sends heartbeats.
fn some_seconds(bench: &mut Bench) {
    for _ in 0..12_000 / (TTL / 8) {
        bench.now += TTL / 8;
        bench.say(1, FromWorker::Heartbeat { stuck: 0, waiting: Vec::new() }).unwrap();
        bench.step(Input::Tick).unwrap();
    }
}

fn idle(bench: &Bench) -> Option<IdleView> {
    bench.core.sweep(SWEEP).unwrap().idle
}

#[test]
fn idle_slots_are_explained_with_a_remedy_and_not_before_some_seconds() {
    let mut bench = Bench::with_sweep(1_000, 64);
    assert_eq!(bench.grants().len(), 2);
    assert_eq!(idle(&bench), None, "trials may come in a moment");
    some_seconds(&mut bench);
    let text = |bench: &Bench| idle(bench).unwrap().to_string();
    assert_eq!(
        text(&bench),
        "62 of 64 slots have nothing to do: it keeps 2 trials in flight; to use them: caviar \
         resize s --parallelism 256"
    );
    let worker = &bench.core.workers()[0];
    assert_eq!(worker.idle, 62);
    assert_eq!(
        worker.idle_because.as_deref(),
        Some(
            "sweep s: it keeps 2 trials in flight; to use them: caviar resize s --parallelism 256"
        )
    );
    bench.step(Input::PauseSweep(SWEEP)).unwrap();
    assert!(text(&bench).ends_with("it is paused; to continue it: caviar resume s"));
    bench.step(Input::ResumeSweep(SWEEP)).unwrap();
    resize(&mut bench, 256).unwrap();
    assert_eq!(idle(&bench), None, "the remedy works at once");
    assert_eq!(bench.core.workers()[0].idle, 0);
}

#[test]
fn idle_slots_at_the_end_of_the_budget_and_without_sweeps_are_explained() {
    let mut bench = Bench::with_sweep(2, 8);
    some_seconds(&mut bench);
    let view = idle(&bench).unwrap();
    assert_eq!(view.reason, "all 2 trials of its budget have been started");
    assert_eq!((view.idle, view.slots, view.remedy), (6, 8, None));
    bench.step(Input::CancelSweep(SWEEP)).unwrap();
    assert_eq!(bench.sweep_state(), SweepState::Cancelled);
    some_seconds(&mut bench);
    assert_eq!(idle(&bench), None, "the sweep has ended");
    let because = bench.core.workers()[0].idle_because.clone().unwrap();
    assert_eq!(because, "no sweep is unfinished; to start one: caviar submit FILE");
    bench.step(Input::DrainWorker(name("w"))).unwrap();
    let because = bench.core.workers()[0].idle_because.clone().unwrap();
    assert_eq!(because, "the worker leaves, so it takes no new trial");
}

#[test]
fn slots_of_workers_that_cannot_train_are_explained() {
    let mut bench = Bench::with_sweep(40, 2);
    let unable = |bench: &mut Bench| {
        for grant in bench.grants() {
            let release = Release::Unable { message: "no such file".to_owned() };
            bench.say(1, FromWorker::Released { lease: grant.lease, release }).unwrap();
        }
    };
    // It refuses again when it is asked after 10 s, and is asked next after 20 s.
    unable(&mut bench);
    for _ in 0..25_000 / (TTL / 8) {
        bench.now += TTL / 8;
        bench.say(1, FromWorker::Heartbeat { stuck: 0, waiting: Vec::new() }).unwrap();
        bench.step(Input::Tick).unwrap();
        unable(&mut bench);
    }
    let view = idle(&bench).unwrap();
    assert_eq!((view.idle, view.reason.as_str()), (2, "1 worker cannot train its trials"));
    assert_eq!(view.remedy.as_deref(), Some("to ask them again now: caviar resume s"));
    let because = bench.core.workers()[0].idle_because.clone().unwrap();
    assert_eq!(because, "the worker cannot train sweep s; see: caviar status s");
}
