//! A sweep that learns from an earlier one.
#![expect(clippy::as_conversions, reason = "small numbers, made here")]

use std::collections::BTreeMap;

use caviar_common::assignment::Value;
use caviar_common::error::ErrorClass;
use caviar_common::ids::{SweepId, TrialNumber};
use caviar_common::limits::MAX_EARLIER_RESULTS;
use caviar_common::outcome::{Outcome, SweepState};
use caviar_common::spec::SweepSpec;
use caviar_common::spec::file::parse;
use caviar_core::Coordinator;
use caviar_core::input::{Config, Input, Refusal, Reply};

use crate::support::{Bench, STORE, SWEEP, name, point, summary};

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
