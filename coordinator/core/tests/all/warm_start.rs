//! A sweep that learns from an earlier one.
#![expect(clippy::as_conversions, reason = "small numbers, made here")]

use std::collections::BTreeMap;

use caviar_common::assignment::Value;
use caviar_common::error::ErrorClass;
use caviar_common::ids::{SweepId, TrialNumber};
use caviar_common::limits::MAX_EARLIER_RESULTS;
use caviar_common::message::{FromWorker, Grant};
use caviar_common::outcome::{Outcome, SweepState, TrialState};
use caviar_common::reason::Source;
use caviar_common::seed::{Purpose, Seed};
use caviar_common::spec::SweepSpec;
use caviar_common::spec::file::parse;
use caviar_core::event::{Event, Payload};
use caviar_core::input::{Config, Input, Refusal, Reply};
use caviar_core::{Coordinator, replay_decisions};

use crate::support::{Bench, STORE, SWEEP, completed, name, point, summary};

fn learning_from(earlier: &str, rest: &str) -> SweepSpec {
    let text = format!(
        "name = \"later\"\n[data]\nsource = \"builtin:digits\"\n\
         [space]\nlearning_rate = {{ low = 1e-3, high = 1 }}\nepochs = {{ low = 1, high = 3 }}\n\
         [search]\nstrategy = \"zoom\"\ntrials = 2\nwarm_start = \"{earlier}\"\n{rest}"
    );
    parse(&text).unwrap().spec
}

impl Bench {
    fn learn(&mut self, spec: SweepSpec) -> Result<Reply, Refusal> {
        self.step(Input::CreateSweep {
            request_id: name("learn"),
            spec: Box::new(spec),
            data: summary(0),
            for_slots: None,
        })
    }
}

/// A coordinator with the finished sweep `s`: one trial completed, one diverged.
fn with_results() -> Bench {
    let mut bench = Bench::new();
    bench.create("s", 2, 0).unwrap();
    bench.hello(1, "w", 1, 1, &[]);
    let lease = bench.grants()[0].lease;
    bench.train(1, lease);
    let lease = bench.grants()[0].lease;
    bench.report(1, lease, vec![point(1, f64::NAN)]).unwrap();
    bench.finish(1, lease, Outcome::Diverged, None).unwrap();
    assert_eq!(bench.sweep_state(), SweepState::Completed);
    bench
}

#[test]
fn the_results_are_copied_and_outlive_the_earlier_sweep() {
    let mut bench = with_results();
    let learning_rate = |bench: &Bench, trial| {
        bench.tables.trial(SWEEP, TrialNumber(trial), false).unwrap().assignment
    };
    let values = [learning_rate(&bench, 0), learning_rate(&bench, 1)];
    let reply = bench.learn(learning_from("s", "")).unwrap();
    bench.step(Input::DeleteSweep(SWEEP)).unwrap();
    let taken = bench.core.record().sweep(SweepId(2)).unwrap().warm_start().clone();
    assert_eq!(taken.len(), 2);
    // The accuracy of a loss of 0.5 is 0.95, and its cost is -0.95; the diverged trial has none.
    let losses: BTreeMap<String, Option<f64>> = taken
        .iter()
        .map(|(a, loss)| (a.get("learning_rate").unwrap().to_string(), *loss))
        .collect();
    let of = |i: usize| losses[&values[i].get("learning_rate").unwrap().to_string()];
    assert_eq!((of(0), of(1)), (Some(-0.95), None));
    // The later sweep searches epochs, which were fixed in the earlier one.
    assert!(taken.iter().all(|(a, _)| a.len() == 2 && a.get("epochs") == Some(&Value::Int(2))));
    let restarted =
        Coordinator::recover(Config::default(), STORE, 0, bench.events.clone()).unwrap();
    assert_eq!(restarted.record(), bench.core.record());
    // The repeated request finds the sweep, although the earlier one is gone.
    assert_eq!(bench.learn(learning_from("s", "")).unwrap(), reply);
}

#[test]
fn of_many_results_the_best_are_kept_and_some_of_all_ranks() {
    let most = u32::try_from(MAX_EARLIER_RESULTS).unwrap();
    let trials = 3 * most;
    let mut bench = Bench::new();
    bench.create("s", trials, 0).unwrap();
    bench.hello(1, "w", 1, 1, &[]);
    for i in 0..trials {
        let lease = bench.grants()[0].lease;
        // Every rank once, in mixed order.
        let loss = f64::from(i * 7 % trials) / f64::from(trials);
        bench.report(1, lease, vec![point(1, loss), point(2, loss)]).unwrap();
        bench.finish(1, lease, Outcome::Completed, None).unwrap();
    }
    bench.learn(learning_from("s", "")).unwrap();
    let taken = bench.core.record().sweep(SweepId(2)).unwrap().warm_start();
    // The objective is the accuracy, 1 - loss / 10.
    let rank =
        |loss: &Option<f64>| ((loss.unwrap() + 1.0) * 10.0 * f64::from(trials)).round() as u32;
    let in_order: Vec<u32> = taken.iter().map(|(_, loss)| rank(loss)).collect();
    let mut ranks = in_order.clone();
    ranks.sort_unstable();
    assert_eq!(
        (ranks.len(), ranks.last()),
        (MAX_EARLIER_RESULTS, Some(&(trials - 1))),
        "the worst is among them"
    );
    assert_eq!(
        ranks[..MAX_EARLIER_RESULTS / 2],
        (0..most / 2).collect::<Vec<u32>>(),
        "and so is the best half"
    );
    assert!(
        ranks.windows(2).all(|pair| (1..=6).contains(&(pair[1] - pair[0]))),
        "the others lie evenly: {ranks:?}"
    );
    let place = |rank: &u32| (0..trials).position(|i| i * 7 % trials == *rank).unwrap();
    assert!(in_order.iter().map(place).is_sorted(), "in the order of the decisions");
}

#[test]
fn a_warm_start_needs_results_of_a_sweep_with_the_same_objective() {
    let mut bench = with_results();
    bench.create("empty", 2, 0).unwrap();
    for (earlier, rest, expected) in [
        (
            "t",
            "",
            "search.warm_start = \"t\": this store has no such sweep: name one that caviar list \
             shows, or leave it out",
        ),
        (
            "s",
            "[objective]\nmetric = \"train_loss\"\n",
            "search.warm_start = \"s\": that sweep has another objective: write \
             metric = \"validation_accuracy\" and goal = \"maximize\" in [objective], or name \
             another sweep",
        ),
        (
            "empty",
            "",
            "search.warm_start = \"empty\": that sweep has no result yet: wait until one of its \
             trials is completed, or name another sweep",
        ),
    ] {
        let refusal = bench.learn(learning_from(earlier, rest)).unwrap_err();
        assert_eq!(
            (refusal.class(), refusal.to_string().as_str()),
            (ErrorClass::Invalid, expected)
        );
    }
}

/// The epochs of the trials below, whose rungs are at epochs 2 and 6.
const EPOCHS: u32 = 10;

/// A sweep under halving. With the same seed as another one, it has the same split.
fn halving(sweep: &str, seed: u64, learning_rates: &str, rest: &str) -> SweepSpec {
    let text = format!(
        "name = \"{sweep}\"\nseed = {seed}\n[data]\nsource = \"builtin:digits\"\n\
         [fixed]\nepochs = {EPOCHS}\n\
         [space]\nlearning_rate = {{ scale = \"log\", {learning_rates} }}\n\
         [objective]\nmetric = \"validation_loss\"\n\
         [search]\nstrategy = \"zoom\"\ntrials = 12\nparallelism = 3\n{rest}\n\
         [stopping]\nrule = \"halving\"\n"
    );
    parse(&text).unwrap_or_else(|problems| panic!("{problems:?}")).spec
}

impl Bench {
    fn submit(&mut self, spec: SweepSpec) {
        let request_id = spec.name.clone();
        let (spec, data) = (Box::new(spec), summary(0));
        self.step(Input::CreateSweep { request_id, spec, data, for_slots: None }).unwrap();
    }

    /// Trains trials of a stand-in for a network until nothing is granted any more.
    fn train_all(&mut self) {
        let mut open = self.grants();
        while let Some(grant) = open.pop() {
            let epochs = grant.fixed.get("epochs").unwrap().as_i64().unwrap() as u32;
            for epoch in 1..=epochs {
                let points = vec![point(epoch, loss(&grant, epoch))];
                // A trial that was stopped has no lease any more, and its results do not count.
                let _stopped = self.report(1, grant.lease, points);
                open.extend(self.grants());
            }
            let result = completed(Some(point(epochs, loss(&grant, epochs))));
            let _stopped = self.say(1, FromWorker::Finished { lease: grant.lease, result });
            open.extend(self.grants());
        }
    }

    /// The number and the objective of the best trial.
    fn best(&self, sweep: u64) -> (u32, f64) {
        let sweep = self.core.record().sweep(SweepId(sweep)).unwrap();
        assert_eq!(sweep.state(), SweepState::Completed);
        let best = sweep.best().unwrap();
        (best.number().0, sweep.objective(best).unwrap())
    }
}

/// The loss depends on the learning rate, the seed and the trial whose random numbers are used, as
/// that of a network does: by bits, not only nearly. Good trials are bad at the first rung.
fn loss(grant: &Grant, epoch: u32) -> f64 {
    let rate = grant.assignment.get("learning_rate").unwrap().as_f64().unwrap();
    let trial = grant.replays.unwrap_or(grant.trial);
    let noise =
        Seed::derive(grant.seed ^ rate.to_bits(), trial.0.into(), Purpose::Init).stream(0).normal();
    let final_loss = 1.0 + (rate.log10() + 1.0).powi(2) + noise;
    if epoch < EPOCHS { 10.0 - final_loss } else { final_loss }
}

#[test]
fn a_sweep_never_ends_worse_than_the_one_that_it_learns_from() {
    let rates = "low = 1e-4, high = 1";
    let mut others = 0;
    for seed in 0..40 {
        let mut bench = Bench::new();
        bench.hello(1, "w", 1, 3, &[]);
        bench.submit(halving("first", seed, rates, ""));
        bench.train_all();
        let (first, objective) = bench.best(1);
        others += u32::from(first != 0);
        // With other ends, the point of the winner in the unit interval is another one.
        let wider = "low = 5e-5, high = 3";
        bench.submit(halving("second", seed, wider, "warm_start = \"first\""));
        let winner = bench.core.record().sweep(SweepId(2)).unwrap().earlier_winner().unwrap();
        assert_eq!(winner.replays, Some(TrialNumber(first)), "seed {seed}");
        bench.train_all();
        let again = bench.tables.trial(SweepId(2), TrialNumber(0), false).unwrap();
        assert_eq!((again.state, again.objective), (TrialState::Completed, Some(objective)));
        let (second, better) = bench.best(2);
        assert!(better <= objective, "seed {seed}: {better} after {objective}");
        // The winner of the second one may be the repetition, which has another number.
        let replays = if second == 0 { first } else { second };
        bench.submit(halving("third", seed, wider, "warm_start = \"second\""));
        let winner = bench.core.record().sweep(SweepId(3)).unwrap().earlier_winner().unwrap();
        assert_eq!(winner.replays, Some(TrialNumber(replays)), "seed {seed}");
        bench.train_all();
        assert!(bench.best(3).1 <= better, "seed {seed}");
        let restarted =
            Coordinator::recover(Config::default(), STORE, 0, bench.events.clone()).unwrap();
        assert_eq!(restarted.record(), bench.core.record());
        assert_eq!(replay_decisions(&bench.events), Ok(Vec::new()));
    }
    assert!(others >= 20, "in {others} of 40 sweeps another trial than the first one is the best");
}

#[test]
fn trials_of_the_same_rows_and_epochs_count_at_the_rungs() {
    let reached = |change: &dyn Fn(&mut SweepSpec)| {
        let mut bench = Bench::new();
        bench.hello(1, "w", 1, 3, &[]);
        let rates = "low = 1e-4, high = 1";
        bench.submit(halving("first", 1, rates, ""));
        bench.train_all();
        let mut later = halving("second", 1, rates, "warm_start = \"first\"");
        change(&mut later);
        bench.submit(later);
        bench.train_all();
        let of_first = |trial: TrialNumber| trial == TrialNumber(0);
        let is_first = |event: &&Event| {
            let is_decision =
                matches!(event.payload, Payload::TrialPassed(_) | Payload::TrialStopped(_));
            is_decision && event.sweep == SweepId(2) && event.trials().into_iter().all(of_first)
        };
        let first = bench.events.iter().find(is_first).unwrap();
        let Payload::TrialPassed(passed) = &first.payload else { panic!("{first:?}") };
        passed.rung.reached
    };
    assert_eq!(reached(&|_| {}), 13, "twelve earlier trials reached the first rung");
    assert_eq!(reached(&|spec| spec.seed = 2), 1, "other rows");
    assert_eq!(reached(&|spec| spec.data.validation = 0.3), 1, "other rows");
    let longer = |spec: &mut SweepSpec| {
        spec.fixed.insert("epochs", Value::Int(11));
    };
    assert_eq!(reached(&longer), 1, "other epochs");
}

#[test]
fn a_winner_outside_the_space_is_moved_into_it_and_repeats_nothing() {
    let mut bench = Bench::new();
    bench.hello(1, "w", 1, 3, &[]);
    bench.submit(halving("first", 1, "low = 1e-4, high = 1e-2", ""));
    bench.train_all();
    bench.submit(halving("second", 1, "low = 0.1, high = 1", "warm_start = \"first\""));
    let view = bench.tables.trial(SweepId(2), TrialNumber(0), false).unwrap();
    assert_eq!((view.reason.source, view.reason.replays), (Source::WarmStart, None));
    assert_eq!(view.assignment.get("learning_rate"), Some(&Value::Float(0.1)));
    bench.train_all();
    let view = bench.tables.trial(SweepId(2), TrialNumber(0), false).unwrap();
    assert_eq!(view.state, TrialState::Completed, "no rung stops it");
}

#[test]
fn a_sweep_with_another_seed_has_other_rows_and_repeats_nothing() {
    let mut bench = Bench::new();
    bench.hello(1, "w", 1, 3, &[]);
    bench.submit(halving("first", 1, "low = 1e-4, high = 1", ""));
    bench.train_all();
    bench.submit(halving("second", 2, "low = 1e-4, high = 1", "warm_start = \"first\""));
    let sweep = bench.core.record().sweep(SweepId(2)).unwrap();
    assert_eq!(sweep.earlier_winner().unwrap().replays, None);
}
