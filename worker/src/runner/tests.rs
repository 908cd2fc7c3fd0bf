//! Runners that train a small network on the bundled digits for a few epochs each.

use std::sync::atomic::Ordering;
use std::time::Duration;

use caviar_common::assignment::Value;
use caviar_common::blob::{Blob, BlobName};
use caviar_common::data::{DataSpec, Task};
use caviar_common::ids::{AttemptNumber, Name, SweepId, TrialNumber};
use caviar_common::message::{Checkpoint, KeepRule};
use caviar_common::spec::Objective;

use super::*;

fn grant(lease: u64, epochs: i64, drawn: &[(&str, Value)]) -> Box<Grant> {
    let data = DataSpec {
        source: "builtin:digits".to_owned(),
        task: Some(Task::Classification),
        validation: 0.2,
        test: 0.1,
        ..DataSpec::default()
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
        block: None,
        fixed: assignment(&fixed),
        assignment: assignment(drawn),
        checkpoint: None,
        objective: Objective::default_of(Task::Classification),
        keep: KeepRule::Nothing,
        replays: None,
    })
}

/// Runs a grant to its end. Returns the epochs that it reported, and the end.
fn run(grant: Box<Grant>) -> (Vec<EpochMetrics>, End) {
    let (events, mut received) = mpsc::channel(4);
    let mut runners = Runners::new(events, None, None, None);
    runners.start(grant).unwrap();
    until_end(&mut received)
}

fn until_end(received: &mut mpsc::Receiver<RunnerEvent>) -> (Vec<EpochMetrics>, End) {
    let mut epochs = Vec::new();
    loop {
        match received.blocking_recv().unwrap() {
            RunnerEvent::Epoch { metrics, .. } => epochs.push(metrics),
            RunnerEvent::Checkpoint { .. } | RunnerEvent::Restarted { .. } => {
                panic!("no checkpoint was asked for")
            }
            RunnerEvent::Resumes { .. } | RunnerEvent::Model { .. } => {}
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
fn every_epoch_is_reported_and_the_end_repeats_the_last_one() {
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
fn scoring_the_winner_repeats_its_training_without_reports() {
    let (epochs, _) = run(grant(1, 3, &[]));
    let (none, end) = run(Box::new(Grant { job: Job::Score, ..*grant(2, 3, &[]) }));
    let result = finished(end);
    assert_eq!(none, []);
    assert_eq!((result.outcome, result.last), (Outcome::Completed, epochs.last().copied()));
    assert!(result.test.unwrap().accuracy.unwrap() > 0.3, "{:?}", result.test);
}

#[test]
fn a_loss_that_is_not_finite_is_reported_and_ends_the_trial() {
    let wild = [
        ("learning_rate", Value::Float(1000.0)),
        ("optimizer", Value::Text("sgd".into())),
        ("normalization", Value::Text("none".into())),
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
fn a_value_out_of_range_fails_the_trial_and_the_message_names_the_field() {
    let (epochs, end) = run(grant(1, 3, &[("learning_rate", Value::Float(-1.0))]));
    let Outcome::Failed { message } = finished(end).outcome else { panic!("not refused") };
    assert!(message.contains("learning_rate"), "{message}");
    assert_eq!(epochs, []);
}

#[test]
fn data_that_differs_from_the_coordinators_is_not_trained_on() {
    let (epochs, end) = run(Box::new(Grant { digest: "0123".to_owned(), ..*grant(1, 3, &[]) }));
    let End::Unable { message } = end else { panic!("{end:?}") };
    assert!(message.contains("differs from the data that the coordinator read"), "{message}");
    assert_eq!(epochs, []);
}

#[test]
fn a_runner_ends_at_the_next_mini_batch_when_it_is_cancelled_or_the_runners_are_dropped() {
    for by_drop in [false, true] {
        let (events, mut received) = mpsc::channel(1);
        let mut runners = Runners::new(events, None, None, None);
        runners.start(grant(1, 100_000, &[])).unwrap();
        assert!(matches!(received.blocking_recv(), Some(RunnerEvent::Epoch { .. })));
        let kept = if by_drop {
            drop(runners);
            None
        } else {
            runners.cancel(LeaseId(1));
            Some(runners)
        };
        // One epoch may be in the channel already, and one more on its way into it.
        let mut others = 0;
        let end = loop {
            match received.blocking_recv() {
                Some(RunnerEvent::Epoch { .. }) => others += 1,
                Some(
                    other @ (RunnerEvent::Checkpoint { .. }
                    | RunnerEvent::Model { .. }
                    | RunnerEvent::Resumes { .. }
                    | RunnerEvent::Restarted { .. }),
                ) => {
                    panic!("{other:?}")
                }
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
fn a_runner_stops_when_its_events_are_no_longer_received() {
    let (events, received) = mpsc::channel(1);
    let watch = events.clone();
    let mut runners = Runners::new(events, None, None, None);
    runners.start(grant(1, 100_000, &[])).unwrap();
    drop(received);
    let control = Arc::clone(runners.controls.get(&LeaseId(1)).unwrap());
    // The thread holds one of three references until it ends; the map and this test hold the
    // others.
    let began = Instant::now();
    while Arc::strong_count(&control) > 2 {
        assert!(began.elapsed() < Duration::from_secs(60), "still training");
        thread::yield_now();
    }
    assert!(watch.is_closed() && !control.flags().stopped().load(Ordering::Relaxed));
}

#[test]
fn a_parked_runner_waits_and_continues_where_it_was() {
    let (expected, _) = run(grant(1, 40, &[]));
    let (events, mut received) = mpsc::channel(1);
    let mut runners = Runners::new(events, None, None, None);
    runners.start(grant(1, 40, &[])).unwrap();
    runners.start(grant(2, 3, &[])).unwrap();
    let mut epochs = Vec::new();
    let mut receive =
        |received: &mut mpsc::Receiver<RunnerEvent>| match received.blocking_recv().unwrap() {
            RunnerEvent::Epoch { lease: LeaseId(1), metrics, .. } => {
                epochs.push(metrics);
                None
            }
            RunnerEvent::Epoch { .. } => None,
            RunnerEvent::Checkpoint { .. }
            | RunnerEvent::Model { .. }
            | RunnerEvent::Resumes { .. }
            | RunnerEvent::Restarted { .. } => None,
            RunnerEvent::Ended { lease, end } => Some((lease, end)),
        };
    runners.set_parked(LeaseId(1), true);
    // The other runner ends while the first is parked, and the first does not.
    let other = std::iter::repeat_with(|| receive(&mut received)).find_map(|end| end).unwrap();
    assert_eq!(other.0, LeaseId(2));
    runners.set_parked(LeaseId(1), false);
    let (lease, end) =
        std::iter::repeat_with(|| receive(&mut received)).find_map(|end| end).unwrap();
    assert_eq!((lease, finished(end).outcome), (LeaseId(1), Outcome::Completed));
    assert_eq!(epochs, expected, "parking must not change a bit of the result");
}

#[test]
fn a_parked_runner_can_be_stopped_and_one_that_is_not_parked_does_not_wait() {
    let control = Arc::new(Control::default());
    assert_eq!(control.wait_while_parked(), Some(Duration::ZERO));
    control.set_parked(true);
    let waiter = thread::spawn({
        let control = Arc::clone(&control);
        move || control.wait_while_parked()
    });
    control.stop();
    assert_eq!(waiter.join().unwrap(), None);
    assert_eq!(control.wait_while_parked(), None, "a stop is final");
}

#[test]
fn a_panic_fails_only_its_trial_and_the_message_reports_it() {
    let (events, _received) = mpsc::channel(1);
    let runner = Runner::new(&Runners::new(events, None, None, None), &Arc::default());
    let point = EpochMetrics {
        spread: None,
        epoch: 2,
        train: Score { loss: 1.0, accuracy: None, measured: None },
        validation: Score { loss: 1.0, accuracy: None, measured: None },
    };
    runner.last.set(Some(point));
    let result = finished(runner.catch_panic(|| panic!("index {} out of range", 7)));
    let Outcome::Failed { message } = &result.outcome else { panic!("{result:?}") };
    assert!(message.ends_with("which is a bug in Caviar: index 7 out of range"), "{message}");
    assert_eq!(result.last, Some(point));
    assert_eq!(
        finished(runner.catch_panic(|| panic!("plain"))).outcome.state(),
        caviar_common::outcome::TrialState::Failed
    );
}

#[test]
fn a_trial_that_this_machine_has_no_memory_for_is_given_back_instead_of_failed() {
    let (events, _received) = mpsc::channel(4);
    let runner = Runner::new(&Runners::new(events, None, None, None), &Arc::default());
    let end = runner.end(Err(TrialError::Train(TrainError::OutOfMemory { floats: 1 << 40 })));
    assert!(matches!(end, End::TooLarge { .. }), "{end:?}");
    let end = runner.end(Err(TrialError::Train(TrainError::TooLarge { weights: 2, limit: 1 })));
    assert!(matches!(finished(end).outcome, Outcome::Failed { .. }));
}

/// A grant of a network of one hidden layer with `units` units.
fn wide(lease: u64, epochs: i64, units: i64) -> Box<Grant> {
    grant(lease, epochs, &[("units", Value::Int(units))])
}

/// The bytes that the trial of a grant allocates, and the bytes of its data.
fn sizes(grant: &Grant) -> (u64, u64) {
    let splits = caviar_data::prepare(&grant.data, grant.seed).unwrap().0;
    (
        trial_bytes(
            &train_spec(&grant.fixed, &grant.assignment).unwrap(),
            &splits,
            &grant.objective,
        ),
        caviar_nn::data_bytes(&splits),
    )
}

fn limit(bytes: u64) -> Option<MemoryLimit> {
    Some(bytes.to_string().parse().unwrap())
}

#[test]
fn a_worker_with_a_memory_limit_trains_what_fits_and_gives_back_what_never_does() {
    let (bytes, data) = sizes(&wide(1, 2, 1024));
    let (events, mut received) = mpsc::channel(4);
    let mut runners = Runners::new(events, limit(bytes + data - 1), None, None);
    runners.start(wide(1, 2, 1024)).unwrap();
    let Some(RunnerEvent::Ended { end: End::TooLarge { message }, .. }) = received.blocking_recv()
    else {
        panic!("not refused")
    };
    assert!(message.contains(&format!("use --memory {},", bytes + data)), "{message}");
    let expected = run(wide(2, 2, 992));
    runners.start(wide(2, 2, 992)).unwrap();
    let actual = until_end(&mut received);
    assert_eq!(
        (actual.0, finished(actual.1).memory_bytes),
        (expected.0, finished(expected.1).memory_bytes)
    );
    assert_eq!(finished(run(wide(3, 1, 1024)).1).memory_bytes, Some(bytes));
}

#[test]
fn a_trial_waits_for_the_memory_of_another_and_can_be_cancelled_while_it_waits() {
    let (bytes, data) = sizes(&wide(1, 1, 1024));
    let (events, mut received) = mpsc::channel(1);
    let mut runners = Runners::new(events, limit(2 * bytes + data - 1), None, None);
    runners.start(wide(1, 100_000, 1024)).unwrap();
    assert!(matches!(received.blocking_recv(), Some(RunnerEvent::Epoch { lease: LeaseId(1), .. })));
    runners.start(wide(2, 1, 1024)).unwrap();
    for _ in 0..5 {
        assert!(
            matches!(received.blocking_recv(), Some(RunnerEvent::Epoch { lease: LeaseId(1), .. })),
            "the second trial has to wait"
        );
    }
    runners.cancel(LeaseId(2));
    let is_of_first =
        |event: &RunnerEvent| matches!(event, RunnerEvent::Epoch { lease: LeaseId(1), .. });
    let mut next = || {
        (0..1_000)
            .map(|_| received.blocking_recv().unwrap())
            .find(|event| !is_of_first(event))
            .expect("only events of the first trial arrive")
    };
    assert_eq!(next(), RunnerEvent::Ended { lease: LeaseId(2), end: End::Cancelled });
    runners.start(wide(3, 1, 1024)).unwrap();
    runners.cancel(LeaseId(1));
    assert_eq!(next(), RunnerEvent::Ended { lease: LeaseId(1), end: End::Cancelled });
    assert!(
        matches!(next(), RunnerEvent::Epoch { lease: LeaseId(3), .. }),
        "the third trial fits now"
    );
}

/// So short that every training is long, and a checkpoint is always due.
const ALWAYS: Option<Duration> = Some(Duration::from_nanos(1));

/// What a runner sent until its end, with all checkpoints handled at once.
#[derive(Default)]
struct Sent {
    epochs: Vec<EpochMetrics>,
    checkpoints: Vec<State>,
    restarts: Vec<String>,
    seconds: f64,
}

/// Receives until the runner ends. Lets it leave after `leave_after` epochs, or in the last of them
/// if it writes checkpoints.
fn sent(
    runners: &Runners,
    received: &mut mpsc::Receiver<RunnerEvent>,
    leave_after: usize,
) -> (Sent, End) {
    let mut sent = Sent::default();
    loop {
        match received.blocking_recv().unwrap() {
            RunnerEvent::Epoch { metrics, seconds, .. } => {
                sent.epochs.push(metrics);
                sent.seconds = seconds;
                if sent.epochs.len() == leave_after {
                    runners.leave(LeaseId(1));
                }
            }
            RunnerEvent::Checkpoint { lease, state } => {
                let last = sent.epochs.last().map_or(state.epoch, |last| last.epoch);
                assert_eq!(state.epoch, last, "its epochs were reported before");
                if sent.epochs.len() + 1 == leave_after && state.batch > 0 {
                    runners.leave(LeaseId(1));
                }
                sent.checkpoints.push(*state);
                runners.checkpoint_handled(lease);
            }
            RunnerEvent::Resumes { .. } | RunnerEvent::Model { .. } => {}
            RunnerEvent::Restarted { reason, .. } => sent.restarts.push(reason),
            RunnerEvent::Ended { end, .. } => return (sent, end),
        }
    }
}

/// A grant whose trial continues from a checkpoint.
fn granted_again(state: &State) -> Box<Grant> {
    let name = BlobName::from_hash([0; 32]);
    let blob = Blob { name, bytes: to_u64(state.bytes.len()) };
    let checkpoint = Some(Checkpoint { epoch: state.epoch, batch: state.batch, blob });
    Box::new(Grant { checkpoint, ..*grant(1, 40, &[]) })
}

#[test]
fn a_trial_that_changes_its_runner_in_an_epoch_has_the_same_bits() {
    let (expected, expected_end) = run(grant(1, 40, &[]));
    let (events, mut received) = mpsc::channel(1);
    let mut runners = Runners::new(events, None, None, ALWAYS);
    let mut epochs = Vec::new();
    let mut next = grant(1, 40, &[]);
    let (mut seconds, mut within, mut last) = (0.0, 0, None::<State>);
    let end = loop {
        runners.start(next).unwrap();
        if let Some(state) = &last {
            runners.deliver(LeaseId(1), Ok(state.bytes.to_vec()));
        }
        let (sent, end) = sent(&runners, &mut received, 7);
        runners.forget(LeaseId(1));
        epochs.extend(sent.epochs);
        assert!(sent.seconds >= seconds, "the training time goes on");
        seconds = sent.seconds;
        if end != End::Cancelled {
            break end;
        }
        let state = sent.checkpoints.last().unwrap().clone();
        within += u32::from(state.batch > 0);
        next = granted_again(&state);
        last = Some(state);
    };
    assert_eq!(epochs, expected);
    assert_eq!(finished(end).last, finished(expected_end).last);
    assert!(within > 0, "no checkpoint was within an epoch");
}

#[test]
fn a_checkpoint_that_cannot_be_used_is_reported_and_the_training_begins_again() {
    let (expected, _) = run(grant(1, 3, &[]));
    for fetched in [Err(CheckpointError::Lost("it is gone".to_owned())), Ok(b"damaged".to_vec())] {
        let (events, mut received) = mpsc::channel(1);
        let mut runners = Runners::new(events, None, None, None);
        let state = State { epoch: 2, batch: 1, bytes: vec![1].into() };
        let checkpoint = granted_again(&state).checkpoint;
        runners.start(Box::new(Grant { checkpoint, ..*grant(1, 3, &[]) })).unwrap();
        runners.deliver(LeaseId(1), fetched);
        let (sent, end) = sent(&runners, &mut received, usize::MAX);
        assert_eq!(sent.restarts.len(), 1, "{:?}", sent.restarts);
        assert_eq!((sent.epochs, finished(end).outcome), (expected.clone(), Outcome::Completed));
    }
}

#[test]
fn a_checkpoint_that_cannot_be_fetched_is_kept_and_the_trial_is_given_back() {
    for error in [
        CheckpointError::Unavailable("no answer".to_owned()),
        CheckpointError::Refused("no token".to_owned()),
    ] {
        let (events, mut received) = mpsc::channel(1);
        let mut runners = Runners::new(events, None, None, None);
        let state = State { epoch: 2, batch: 1, bytes: vec![1].into() };
        runners.start(granted_again(&state)).unwrap();
        runners.deliver(LeaseId(1), Err(error.clone()));
        let (sent, end) = sent(&runners, &mut received, usize::MAX);
        assert_eq!((sent.epochs.len(), sent.restarts.len()), (0, 0));
        let message = format!("this worker cannot fetch the checkpoint of the trial: {error}");
        assert_eq!(end, End::Unable { message });
    }
}

#[test]
fn a_checkpoint_is_asked_for_once_its_trial_has_memory_and_both_waits_can_be_seen() {
    let (bytes, data) = sizes(&wide(1, 1, 1024));
    let (events, mut received) = mpsc::channel(1);
    let mut runners = Runners::new(events, limit(2 * bytes + data - 1), None, None);
    runners.start(wide(1, 100_000, 1024)).unwrap();
    assert!(matches!(received.blocking_recv(), Some(RunnerEvent::Epoch { lease: LeaseId(1), .. })));
    assert_eq!(runners.waiting(), []);
    let state = State { epoch: 1, batch: 1, bytes: vec![1].into() };
    let checkpoint = granted_again(&state).checkpoint;
    runners.start(Box::new(Grant { checkpoint, ..*wide(2, 1, 1024) })).unwrap();
    let began = Instant::now();
    let is_late = || began.elapsed() > Duration::from_secs(60);
    while runners.waiting() != [LeaseId(2)] {
        assert!(!is_late(), "it does not wait for memory");
        let event = received.blocking_recv();
        assert!(matches!(event, Some(RunnerEvent::Epoch { lease: LeaseId(1), .. })), "{event:?}");
    }
    runners.cancel(LeaseId(1));
    let next = std::iter::repeat_with(|| received.blocking_recv().unwrap())
        .find(|event| !matches!(event, RunnerEvent::Epoch { .. } | RunnerEvent::Ended { .. }));
    assert_eq!(
        next,
        Some(RunnerEvent::Resumes { lease: LeaseId(2), blob: checkpoint.unwrap().blob })
    );
    while runners.waiting() != [LeaseId(2)] {
        assert!(!is_late(), "it does not wait for its checkpoint");
        thread::yield_now();
    }
    runners.cancel(LeaseId(2));
    assert_eq!(until_end(&mut received), (Vec::new(), End::Cancelled));
}

#[test]
fn a_checkpoint_of_the_last_epoch_completes_the_trial() {
    let (events, mut received) = mpsc::channel(1);
    let mut runners = Runners::new(events, None, None, None);
    let whole = grant(1, 3, &[]);
    let (expected, _) = run(whole.clone());
    let spec = train_spec(&whole.fixed, &whole.assignment).unwrap();
    let splits = Arc::new(caviar_data::prepare(&whole.data, 7).unwrap().0);
    let data = (splits, whole.digest.as_str());
    let mut trainer = TrialTrainer::new(&spec, data, &whole.objective, 7, 3).unwrap();
    (0..3).for_each(|_| assert!(trainer.epoch(&|| true).unwrap().is_some()));
    let bytes = trainer.checkpoint(1.5).unwrap();
    let state = State { epoch: 3, batch: 0, bytes: bytes.clone().into() };
    let checkpoint = granted_again(&state).checkpoint;
    runners.start(Box::new(Grant { checkpoint, ..*whole })).unwrap();
    runners.deliver(LeaseId(1), Ok(bytes));
    let (epochs, end) = until_end(&mut received);
    let result = finished(end);
    assert_eq!((epochs.len(), result.last), (0, expected.last().copied()));
    assert!(result.outcome == Outcome::Completed && result.seconds >= 1.5);
}

#[test]
fn a_short_trial_writes_no_checkpoint() {
    let (events, mut received) = mpsc::channel(1);
    let hours = Some(Duration::from_secs(100 * 3_600));
    let mut runners = Runners::new(events, None, None, hours);
    runners.start(grant(1, 1_000, &[])).unwrap();
    let (sent, end) = sent(&runners, &mut received, 2);
    assert_eq!((end, sent.checkpoints.len()), (End::Cancelled, 0));
}

#[test]
fn a_runner_that_waits_for_its_checkpoint_can_be_stopped() {
    let (events, mut received) = mpsc::channel(1);
    let mut runners = Runners::new(events, None, None, ALWAYS);
    let state = State { epoch: 2, batch: 1, bytes: vec![1].into() };
    runners.start(granted_again(&state)).unwrap();
    runners.leave(LeaseId(1));
    assert_eq!(until_end(&mut received), (Vec::new(), End::Cancelled));
}
