use caviar_common::scale::Scale;
use caviar_common::space::{Domain, Parameter, Space};
use proptest::prelude::*;

use super::*;
use crate::results::results;

fn space() -> Space {
    let x = Domain::Float { scale: Scale::Linear, low: 0.0, high: 1.0 };
    Space::new(vec![Parameter { name: "x".into(), domain: x, when: None, points: None }]).unwrap()
}

/// What happens to a trial: the rungs that it passes with their costs, and its end.
type Fate = (Vec<Option<f64>>, bool, Option<f64>);

fn cost() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        4 => (-1.0..1.0f64).prop_map(Some),
        2 => (0..3u8).prop_map(|cost| Some(f64::from(cost))),
        1 => Just(None),
    ]
}

/// The trials of a sweep, and a number that orders the log.
fn fates() -> impl Strategy<Value = (Vec<Fate>, u64)> {
    let fate = (prop::collection::vec(cost(), 0..4), any::<bool>(), cost());
    (prop::collection::vec(fate, 1..60), any::<u64>())
}

/// The history in which the trials' entries are mixed.
fn history(fates: &[Fate], seed: u64) -> History {
    let mut history = History::new(space());
    let mut entries: Vec<Vec<Observation>> = Vec::new();
    for (trial, (passed, is_stopped, last)) in (0u32..).zip(fates) {
        let point = space().decode(&[f64::from(trial % 50) / 50.0]);
        history.push_trial(&point).unwrap();
        let rungs = (0..).zip(passed).map(|(rung, cost)| (Stage::Passed(rung), *cost));
        let end = if *is_stopped { Stage::Stopped(to_u32(passed.len())) } else { Stage::Ended };
        let all = rungs.chain([(end, *last)]);
        entries.push(all.map(|(stage, cost)| Observation { trial, stage, cost }).collect());
    }
    let mut state = seed;
    while !entries.is_empty() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let at = usize::try_from(state >> 33).unwrap() % entries.len();
        history.push(entries[at].remove(0)).unwrap();
        entries.retain(|rest| !rest.is_empty());
    }
    history
}

fn check(ledger: &Ledger, cube: &Cube, history: &History) {
    let plain = results(history);
    assert_eq!(ledger.len(), plain.len());
    let mut sorted: Vec<(f64, usize)> = Vec::new();
    for (place, result) in plain.iter().enumerate() {
        assert_eq!(ledger.trial(place), result.latest.trial);
        assert_eq!(ledger.cost(place), result.cost, "{result:?}");
        let point = cube.point(history, result.latest.trial);
        assert_eq!(ledger.point(place), point);
        assert!(ledger.is_used(&cube.key(&point)));
        sorted.extend(result.cost.map(|cost| (cost, place)));
    }
    assert!(!ledger.is_used(&cube.key(&[0.777])));
    let ranked: Vec<(f64, usize)> = ledger.ranked().collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let costs = |list: &[(f64, usize)]| list.iter().map(|(cost, _)| *cost).collect::<Vec<_>>();
    assert_eq!(costs(&ranked), costs(&sorted));
    let worst = costs(&sorted).last().copied().unwrap_or_default();
    let mut all = costs(&sorted);
    all.resize(plain.len() + 2, worst);
    assert_eq!(ledger.costs_at(&(0..all.len()).collect::<Vec<_>>()), all);
    for (rank, cost) in all.iter().enumerate() {
        assert_eq!(ledger.costs_at(&[rank]), [*cost], "{rank}");
    }
    if let Some((best, _)) = sorted.first() {
        let (below, above) = (all[(plain.len() - 1) / 2], all[plain.len() / 2]);
        let median = below + (above - below) / 2.0;
        assert_eq!(ledger.summary(), Summary { best: *best, median, worst });
    }
}

proptest! {
    #[test]
    fn it_has_the_same_results_as_the_whole_log((fates, seed) in fates(), steps in 1..9usize) {
        let (history, cube) = (history(&fates, seed), Cube::new(space()));
        let (mut stepwise, mut at_once) = (Ledger::default(), Ledger::default());
        let mut part = History::new(space());
        for trial in 0..history.trials() {
            part.push_trial(&history.assignment(trial).unwrap()).unwrap();
        }
        for (i, entry) in history.entries().enumerate() {
            let new = stepwise.new_trials(&history);
            let first = history.entries().position(|other| other.trial == entry.trial);
            prop_assert_eq!(new.first() == Some(&i), first == Some(i));
            part.push(entry).unwrap();
            stepwise.absorb(&cube, &part);
            if i % (steps * 10) == 0 {
                check(&stepwise, &cube, &part);
            }
        }
        check(&stepwise, &cube, &history);
        // The second half is added to a ledger that is not empty.
        for end in [history.len() / 2, history.len()] {
            let new = end - at_once.absorbed;
            at_once.absorb_many(&cube, &history, history.entries_from(at_once.absorbed).take(new));
            at_once.absorbed = end;
        }
        at_once.summary = at_once.summarise();
        check(&at_once, &cube, &history);
    }
}
