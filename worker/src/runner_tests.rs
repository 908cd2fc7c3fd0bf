//! The runners train the bundled digits, a few epochs of a small network each.

use std::sync::atomic::Ordering;
use std::time::Duration;

use caviar_common::assignment::Value;
use caviar_common::data::{DataSpec, Task};
use caviar_common::ids::{AttemptNumber, Name, SweepId, TrialNumber};

use super::*;

fn grant(lease: u64, epochs: i64, drawn: &[(&str, Value)]) -> Box<Grant> {
    let data = DataSpec {
        source: "builtin:digits".to_owned(),
        label: None,
        labels: None,
        task: Task::Classification,
        validation: 0.2,
        test: 0.1,
    };
    let digest = caviar_data::prepare(&data, 7).unwrap().1.digest;
    let fixed =
        [("epochs", Value::Int(epochs)), ("units", Value::Int(8)), ("layers", Value::Int(1))];
    let assignment = |values: &[(&str, Value)]| {
        values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    };
    Box::new(Grant {
        lease: LeaseId(lease),
        sweep: SweepId(1),
        sweep_name: Name::parse("name", "digits").unwrap(),
        trial: TrialNumber(3),
        attempt: AttemptNumber(1),
        job: Job::Train,
        seed: 7,
        data,
        digest,
        fixed: assignment(&fixed),
        assignment: assignment(drawn),
    })
}

/// Runs a grant to its end: the epochs it reported, and the end.
fn run(grant: Box<Grant>) -> (Vec<EpochMetrics>, End) {
    let (events, mut heard) = mpsc::channel(4);
    let mut runners = Runners::new(events, None);
    runners.start(grant).unwrap();
    to_end(&mut heard)
}

fn to_end(heard: &mut mpsc::Receiver<RunnerEvent>) -> (Vec<EpochMetrics>, End) {
    let mut epochs = Vec::new();
    loop {
        match heard.blocking_recv().unwrap() {
            RunnerEvent::Epoch { metrics, .. } => epochs.push(metrics),
            RunnerEvent::Ended { end, .. } => return (epochs, end),
        }
    }
}

fn finished(end: End) -> Finished {
    match end {
        End::Finished(result) => result,
        End::Unable { .. } | End::TooLarge { .. } | End::Cancelled => panic!("{end:?}"),
    }
}

#[test]
fn every_epoch_is_reported_and_the_last_once_more_with_the_end() {
    let (epochs, end) = run(grant(1, 4, &[]));
    assert_eq!(epochs.iter().map(|point| point.epoch).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let result = finished(end);
    assert_eq!(
        (result.outcome, result.last, result.test),
        (Outcome::Completed, epochs.last().copied(), None)
    );
    assert!(result.seconds > 0.0 && result.seconds.is_finite());
}

#[test]
fn the_score_of_a_winner_comes_from_the_same_training_without_reports() {
    let (epochs, _) = run(grant(1, 3, &[]));
    let (none, end) = run(Box::new(Grant { job: Job::Score, ..*grant(2, 3, &[]) }));
    let result = finished(end);
    assert_eq!(none, []);
    assert_eq!((result.outcome, result.last), (Outcome::Completed, epochs.last().copied()));
    assert!(result.test.unwrap().accuracy.unwrap() > 0.3, "{:?}", result.test);
}

#[test]
fn a_loss_that_is_not_finite_ends_the_trial_after_its_report() {
    let wild = [
        ("learning_rate", Value::Float(1000.0)),
        ("optimizer", Value::Text("sgd".to_owned())),
        ("normalization", Value::Text("none".to_owned())),
        ("weight_decay", Value::Float(100.0)),
    ];
    let (epochs, end) = run(grant(1, 50, &wild));
    let result = finished(end);
    assert_eq!(result.outcome, Outcome::Diverged);
    let last = epochs.last().unwrap();
    assert!(!last.is_finite() && last.epoch < 50);
    assert_eq!(result.last.unwrap().epoch, last.epoch);
}

#[test]
fn a_value_out_of_range_fails_the_trial_by_name() {
    let (epochs, end) = run(grant(1, 3, &[("learning_rate", Value::Float(-1.0))]));
    let Outcome::Failed { message } = finished(end).outcome else { panic!("not refused") };
    assert!(message.contains("learning_rate"), "{message}");
    assert_eq!(epochs, []);
}

#[test]
fn other_data_than_the_coordinator_read_is_not_trained_on() {
    let (epochs, end) = run(Box::new(Grant { digest: "0123".to_owned(), ..*grant(1, 3, &[]) }));
    let End::Unable { message } = end else { panic!("{end:?}") };
    assert!(message.contains("differs from what the coordinator read"), "{message}");
    assert_eq!(epochs, []);
}

#[test]
fn a_cancelled_runner_ends_at_the_next_mini_batch_and_dropping_them_cancels_all() {
    for by_drop in [false, true] {
        let (events, mut heard) = mpsc::channel(1);
        let mut runners = Runners::new(events, None);
        runners.start(grant(1, 100_000, &[])).unwrap();
        assert!(matches!(heard.blocking_recv(), Some(RunnerEvent::Epoch { .. })));
        let kept = if by_drop {
            drop(runners);
            None
        } else {
            runners.cancel(LeaseId(1));
            Some(runners)
        };
        // What was in the channel already, and the epoch that was being handed over.
        let mut others = 0;
        let end = loop {
            match heard.blocking_recv() {
                Some(RunnerEvent::Epoch { .. }) => others += 1,
                Some(RunnerEvent::Ended { end, .. }) => break end,
                None => panic!("no end"),
            }
        };
        assert_eq!(end, End::Cancelled);
        assert!(others <= 3, "{others}");
        drop(kept);
    }
}

#[test]
fn a_runner_that_nobody_hears_stops_by_itself() {
    let (events, heard) = mpsc::channel(1);
    let watch = events.clone();
    let mut runners = Runners::new(events, None);
    runners.start(grant(1, 100_000, &[])).unwrap();
    drop(heard);
    let control = Arc::clone(runners.controls.get(&LeaseId(1)).unwrap());
    // The thread holds one of three references to it, until it ends.
    let began = Instant::now();
    while Arc::strong_count(&control) > 2 {
        assert!(began.elapsed() < Duration::from_secs(60), "still training");
        thread::yield_now();
    }
    assert!(watch.is_closed() && !control.stopped().load(Ordering::Relaxed));
}

#[test]
fn a_held_runner_waits_and_goes_on_where_it_was() {
    let (expected, _) = run(grant(1, 40, &[]));
    let (events, mut heard) = mpsc::channel(1);
    let mut runners = Runners::new(events, None);
    runners.start(grant(1, 40, &[])).unwrap();
    runners.start(grant(2, 3, &[])).unwrap();
    let mut epochs = Vec::new();
    let mut hear = |heard: &mut mpsc::Receiver<RunnerEvent>| match heard.blocking_recv().unwrap() {
        RunnerEvent::Epoch { lease: LeaseId(1), metrics } => {
            epochs.push(metrics);
            None
        }
        RunnerEvent::Epoch { .. } => None,
        RunnerEvent::Ended { lease, end } => Some((lease, end)),
    };
    runners.hold(LeaseId(1), true);
    // The other one ends meanwhile, and the held one does not.
    let other = std::iter::repeat_with(|| hear(&mut heard)).find_map(|end| end).unwrap();
    assert_eq!(other.0, LeaseId(2));
    runners.hold(LeaseId(1), false);
    let (lease, end) = std::iter::repeat_with(|| hear(&mut heard)).find_map(|end| end).unwrap();
    assert_eq!((lease, finished(end).outcome), (LeaseId(1), Outcome::Completed));
    assert_eq!(epochs, expected, "not a bit differs");
}

#[test]
fn a_held_runner_can_be_cancelled_and_being_held_is_no_training() {
    let control = Arc::new(Control::default());
    assert_eq!(control.wait(), Some(Duration::ZERO));
    control.hold(true);
    let waiter = thread::spawn({
        let control = Arc::clone(&control);
        move || control.wait()
    });
    control.stop();
    assert_eq!(waiter.join().unwrap(), None);
    assert_eq!(control.wait(), None, "for good");
}

#[test]
fn a_panic_costs_its_trial_alone_and_says_so() {
    let (events, _heard) = mpsc::channel(1);
    let slot = Slot::new(&Runners::new(events, None), &Arc::default());
    let point = EpochMetrics {
        epoch: 2,
        train: Score { loss: 1.0, accuracy: None },
        validation: Score { loss: 1.0, accuracy: None },
    };
    slot.last.set(Some(point));
    let result = finished(slot.guarded(|| panic!("index {} out of range", 7)));
    let Outcome::Failed { message } = &result.outcome else { panic!("{result:?}") };
    assert!(message.ends_with("which is a bug in Caviar: index 7 out of range"), "{message}");
    assert_eq!(result.last, Some(point));
    assert_eq!(
        finished(slot.guarded(|| panic!("plain"))).outcome.state(),
        caviar_common::outcome::TrialState::Failed
    );
}

#[test]
fn what_this_machine_has_no_memory_for_is_given_back_and_not_failed() {
    let (events, _heard) = mpsc::channel(4);
    let slot = Slot::new(&Runners::new(events, None), &Arc::default());
    let end = slot.end(Err(TrialError::Train(TrainError::OutOfMemory { floats: 1 << 40 })));
    assert!(matches!(end, End::TooLarge { .. }), "{end:?}");
    let end = slot.end(Err(TrialError::Train(TrainError::TooLarge { weights: 2, limit: 1 })));
    assert!(matches!(finished(end).outcome, Outcome::Failed { .. }));
}

/// A network of one hidden layer with so many units.
fn wide(lease: u64, epochs: i64, units: i64) -> Box<Grant> {
    grant(lease, epochs, &[("units", Value::Int(units))])
}

/// What such a trial allocates, and its data.
fn sizes(grant: &Grant) -> (u64, u64) {
    let splits = caviar_data::prepare(&grant.data, grant.seed).unwrap().0;
    (
        trial_bytes(&train_spec(&grant.fixed, &grant.assignment).unwrap(), &splits),
        caviar_nn::data_bytes(&splits),
    )
}

fn limit(bytes: u64) -> Option<MemoryLimit> {
    Some(bytes.to_string().parse().unwrap())
}

#[test]
fn a_limited_worker_trains_what_fits_and_gives_back_what_never_does() {
    let (bytes, data) = sizes(&wide(1, 2, 1024));
    let (events, mut heard) = mpsc::channel(4);
    let mut runners = Runners::new(events, limit(bytes + data - 1));
    runners.start(wide(1, 2, 1024)).unwrap();
    let Some(RunnerEvent::Ended { end: End::TooLarge { message }, .. }) = heard.blocking_recv()
    else {
        panic!("not refused")
    };
    assert!(message.contains(&format!("--memory {} would do", bytes + data)), "{message}");
    let expected = run(wide(2, 2, 992));
    runners.start(wide(2, 2, 992)).unwrap();
    let found = to_end(&mut heard);
    assert_eq!(
        (found.0, finished(found.1).memory_bytes),
        (expected.0, finished(expected.1).memory_bytes)
    );
    assert_eq!(finished(run(wide(3, 1, 1024)).1).memory_bytes, Some(bytes), "it is reported");
}

#[test]
fn a_trial_waits_for_the_memory_of_another_and_can_be_told_to_stop_meanwhile() {
    let (bytes, data) = sizes(&wide(1, 1, 1024));
    let (events, mut heard) = mpsc::channel(1);
    let mut runners = Runners::new(events, limit(2 * bytes + data - 1));
    runners.start(wide(1, 100_000, 1024)).unwrap();
    assert!(matches!(heard.blocking_recv(), Some(RunnerEvent::Epoch { lease: LeaseId(1), .. })));
    runners.start(wide(2, 1, 1024)).unwrap();
    for _ in 0..5 {
        assert!(
            matches!(heard.blocking_recv(), Some(RunnerEvent::Epoch { lease: LeaseId(1), .. })),
            "the second has to wait"
        );
    }
    runners.cancel(LeaseId(2));
    let of_first =
        |event: &RunnerEvent| matches!(event, RunnerEvent::Epoch { lease: LeaseId(1), .. });
    let mut next = || {
        (0..1_000)
            .map(|_| heard.blocking_recv().unwrap())
            .find(|event| !of_first(event))
            .expect("nothing but the first")
    };
    assert_eq!(next(), RunnerEvent::Ended { lease: LeaseId(2), end: End::Cancelled });
    runners.start(wide(3, 1, 1024)).unwrap();
    runners.cancel(LeaseId(1));
    assert_eq!(next(), RunnerEvent::Ended { lease: LeaseId(1), end: End::Cancelled });
    assert!(matches!(next(), RunnerEvent::Epoch { lease: LeaseId(3), .. }), "its turn has come");
}
