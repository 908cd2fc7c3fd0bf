//! Trials that are added to a sweep.

use caviar_common::error::ErrorClass;
use caviar_common::ids::TrialNumber;
use caviar_common::limits::MAX_EXTENSIONS;
use caviar_common::outcome::{Outcome, SweepState};
use caviar_common::spec::Strategy;
use caviar_common::view::ExtensionView;
use caviar_core::Coordinator;
use caviar_core::event::{Event, Payload};
use caviar_core::input::{Input, Refusal, Reply};

use crate::support::{Bench, CONFIG, STORE, SWEEP, name, point, spec, summary};

impl Bench {
    fn extend(&mut self, request: &str, added: u32) -> Result<Reply, Refusal> {
        self.step(Input::ExtendSweep { sweep: SWEEP, request_id: name(request), added })
    }

    /// Trains what is granted, until nothing is granted any more, and scores the winner.
    fn train_and_score(&mut self) {
        let mut open = self.grants();
        while let Some(grant) = open.pop() {
            if self.sweep_state() == SweepState::Scoring {
                let score = Some(point(2, 0.5).validation);
                self.finish(1, grant.lease, Outcome::Completed, score).unwrap();
            } else {
                self.train(1, grant.lease);
            }
            open.extend(self.grants());
        }
    }

    fn check_recovery(&self) {
        let recovered = Coordinator::recover(CONFIG, STORE, 0, self.events.clone()).unwrap();
        assert_eq!(recovered.record(), self.core.record());
    }
}

#[test]
fn a_running_sweep_gets_more_trials() {
    let mut bench = Bench::with_sweep(3, 2);
    let mut leases: Vec<_> = bench.grants().iter().map(|grant| grant.lease).collect();
    bench.extend("a", 2).unwrap();
    let view = bench.core.sweep(SWEEP).unwrap();
    assert_eq!((view.budget, view.spec.search.trials), (5, 3));
    assert_eq!(view.extensions, [ExtensionView { added: 2, trials: 2, decisions: 0 }]);
    for _ in 0..4 {
        assert_eq!(bench.sweep_state(), SweepState::Running);
        bench.train(1, leases.remove(0));
        leases.extend(bench.grants().iter().map(|grant| grant.lease));
    }
    bench.train(1, leases.remove(0));
    assert_eq!(bench.core.sweep(SWEEP).unwrap().counts.completed, 5);
    bench.check_recovery();
}

#[test]
fn a_completed_sweep_continues_and_another_winner_is_scored() {
    let mut bench = Bench::with_sweep(3, 2);
    bench.train_and_score();
    let scored = bench.core.sweep(SWEEP).unwrap();
    assert_eq!((scored.state, scored.counts.completed), (SweepState::Completed, 3));
    assert!(scored.test.is_some());
    bench.extend("a", 2).unwrap();
    let view = bench.core.sweep(SWEEP).unwrap();
    assert_eq!((view.state, &view.test), (SweepState::Running, &scored.test), "it is the best");
    assert_eq!(bench.grants().len(), 2, "its trials are granted at once");
    bench.train_and_score();
    let view = bench.core.sweep(SWEEP).unwrap();
    assert_eq!((view.state, view.counts.completed), (SweepState::Completed, 5));
    assert_eq!(view.test, scored.test, "the winner is the same, and is not scored again");
    let scorings = |bench: &Bench| {
        let is_scoring = |event: &&Event| matches!(event.payload, Payload::ScoringStarted(_));
        bench.events.iter().filter(is_scoring).count()
    };
    assert_eq!(scorings(&bench), 1);

    bench.extend("b", 1).unwrap();
    let lease = bench.grants()[0].lease;
    bench.report(1, lease, vec![point(1, 1.0), point(2, 0.25)]).unwrap();
    bench.finish(1, lease, Outcome::Completed, None).unwrap();
    let view = bench.core.sweep(SWEEP).unwrap();
    assert_eq!((view.state, view.test), (SweepState::Scoring, None), "another trial is better");
    bench.train_and_score();
    let view = bench.core.sweep(SWEEP).unwrap();
    assert_eq!(view.test.map(|test| test.trial), Some(TrialNumber(5)));
    assert_eq!(scorings(&bench), 2);
    bench.check_recovery();
}

#[test]
fn a_repeated_request_adds_nothing() {
    let mut bench = Bench::with_sweep(3, 2);
    let reply = bench.extend("a", 2).unwrap();
    assert_eq!(bench.extend("a", 2).unwrap(), reply);
    assert_eq!(bench.core.sweep(SWEEP).unwrap().budget, 5);
    let refusal = bench.extend("a", 3).unwrap_err();
    assert_eq!(refusal, Refusal::RequestReused(name("a")));
    // The request that created the sweep is still answered.
    let created = bench.create("s", 3, 10).unwrap();
    assert_eq!(created, Reply::Sweep(SWEEP));
}

#[test]
fn what_cannot_be_extended_is_refused_with_a_reason() {
    let refused = |bench: &mut Bench, added| bench.extend("a", added).unwrap_err();
    let mut bench = Bench::with_sweep(3, 2);
    for added in [0, 10_000_000] {
        assert_eq!(
            refused(&mut bench, added).to_string(),
            format!(
                "trials = {added}: the sweep has 3 trials and can have 10000000: expected a whole \
                 number from 1 to 9999997"
            )
        );
    }
    bench.step(Input::CancelSweep(SWEEP)).unwrap();
    let refusal = refused(&mut bench, 1);
    assert_eq!(refusal.class(), ErrorClass::Refused);
    assert!(refusal.to_string().contains("its trials were cancelled"), "{refusal}");

    let mut bench = Bench::new();
    let mut grid = spec("s", 9);
    grid.search.strategy = Strategy::Grid;
    let create = Input::CreateSweep {
        request_id: name("r"),
        spec: Box::new(grid),
        data: summary(0),
        for_slots: None,
    };
    bench.step(create).unwrap();
    let refusal = refused(&mut bench, 1).to_string();
    assert!(refusal.contains("the points of a grid are chosen for its number"), "{refusal}");

    let mut bench = Bench::with_sweep(3, 1);
    for number in 0..MAX_EXTENSIONS {
        bench.extend(&format!("r{number}"), 1).unwrap();
    }
    let refusal = bench.extend("one-more", 1).unwrap_err().to_string();
    assert!(refusal.contains("has been extended 1000 times"), "{refusal}");
}
