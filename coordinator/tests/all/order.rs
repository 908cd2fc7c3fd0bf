//! The order of trials in the lists of a store.

use caviar_common::ids::{SweepId, TrialNumber};
use caviar_common::metric::{EpochMetrics, Score};
use caviar_common::outcome::{Job, Outcome, TrialState};
use caviar_common::spec::Goal;
use caviar_coordinator::store::Store;
use caviar_coordinator::store::query::{TrialOrder, TrialQuery};
use caviar_coordinator::store::sqlite::SqliteStore;

use crate::events::{completed, created, finished, granted, recorded, sampled};
use crate::store::{created_for_loss, place};
use crate::support::{append, metrics};

#[test]
fn a_page_has_the_trials_of_a_query_in_its_order() {
    let (_directory, path) = place();
    let mut store = SqliteStore::open(&path).unwrap();
    let mut events = vec![created_for_loss()];
    // The even trials complete with these objectives, and the odd ones wait.
    let objectives = [0.5, 0.25, 0.5, f64::INFINITY, 0.75];
    for (trial, objective) in (0..10).zip(objectives.iter().flat_map(|o| [Some(*o), None])) {
        events.push(sampled(1, trial));
        let Some(objective) = objective else { continue };
        events.extend(completed(1, trial, u64::from(trial) + 1, objective));
    }
    append(&mut store, &events).unwrap();
    let mut reader = store.readers().unwrap().open().unwrap();
    let mut page = |order, states: &[TrialState], after: Option<u32>, limit| {
        let (states, after) = (states.to_vec(), after.map(TrialNumber));
        let all = TrialQuery::all(SweepId(1), Goal::Minimize);
        let page =
            reader.trials(&TrialQuery { known: 10, states, order, after, limit, ..all }).unwrap();
        (page.trials.iter().map(|t| t.trial.0).collect::<Vec<_>>(), page.has_more)
    };
    use TrialOrder::{Number, Objective};
    assert_eq!(page(Number, &[], None, 3), (vec![0, 1, 2], true));
    assert_eq!(page(Number, &[], Some(6), 3), (vec![7, 8, 9], false));
    assert_eq!(page(Number, &[], Some(9), 3), (vec![], false));
    assert_eq!(page(Number, &[TrialState::Queued], Some(1), 3), (vec![3, 5, 7], true));
    assert_eq!(page(Objective, &[], None, 4), (vec![2, 0, 4, 8], true));
    assert_eq!(page(Objective, &[], Some(8), 9), (vec![1, 3, 5, 6, 7, 9], false));
    assert_eq!(page(Objective, &[TrialState::Completed], Some(0), 9), (vec![4, 8, 6], false));
    assert_eq!(page(Objective, &[TrialState::Failed], None, 9), (vec![], false));
    // What is committed later is in its place, although the order was read before.
    append(&mut store, &completed(1, 1, 50, 0.3)).unwrap();
    assert_eq!(page(Objective, &[], None, 2), (vec![2, 1], true));
}

#[test]
fn the_validation_loss_decides_between_equal_objectives_in_a_list() {
    let (_directory, path) = place();
    let mut store = SqliteStore::open(&path).unwrap();
    let mut events = vec![created(1, "digits")];
    // The accuracies and the losses of six trials.
    let results = [(0.9, f64::NAN), (0.8, 0.1), (0.9, 0.4), (0.9, 0.25), (0.95, 7.0), (0.9, 0.25)];
    for (trial, (accuracy, loss)) in (0..).zip(results) {
        let lease = u64::from(trial) + 1;
        let validation = Score { loss, accuracy: Some(accuracy), measured: None };
        events.push(sampled(1, trial));
        events.push(granted(1, trial, lease, Job::Train));
        let metrics = EpochMetrics { validation, ..metrics(1, 0.5) };
        events.push(recorded(1, trial, lease, metrics));
        events.push(finished(1, trial, lease, Outcome::Completed));
    }
    append(&mut store, &events).unwrap();
    let mut reader = store.readers().unwrap().open().unwrap();
    let mut page = |after: Option<u32>, limit| {
        let (order, after) = (TrialOrder::Objective, after.map(TrialNumber));
        let all = TrialQuery::all(SweepId(1), Goal::Maximize);
        let page = reader.trials(&TrialQuery { known: 6, order, after, limit, ..all }).unwrap();
        page.trials.iter().map(|t| t.trial.0).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 9), [4, 3, 5, 2, 0, 1]);
    assert_eq!(page(Some(3), 2), [5, 2]);
    // The order is read again after a restart.
    drop(store);
    let mut reader = SqliteStore::open(&path).unwrap().readers().unwrap().open().unwrap();
    let query =
        TrialQuery { order: TrialOrder::Objective, ..TrialQuery::all(SweepId(1), Goal::Maximize) };
    let page = reader.trials(&TrialQuery { known: 6, limit: 2, ..query }).unwrap();
    assert_eq!(page.trials.iter().map(|t| t.trial.0).collect::<Vec<_>>(), [4, 3]);
}
