use super::*;

const EPOCHS: u32 = 2;

/// A worker that trains nothing.
fn worker() -> Worker {
    trained(Schedule::new(EPOCHS, Duration::ZERO, 1))
}

fn trained(schedule: Schedule) -> Worker {
    Worker::new("w".to_owned(), 1, schedule)
}

fn message(kind: ToKind) -> v1::CoordinatorMessage {
    v1::CoordinatorMessage { kind: Some(kind) }
}

fn grant(lease: u64, work: v1::Work) -> v1::CoordinatorMessage {
    let grant = v1::Grant { lease, sweep: 3, trial: 5, work: work.into(), ..Default::default() };
    message(ToKind::Grant(grant))
}

fn ack(lease: u64, stored: Stored) -> v1::CoordinatorMessage {
    message(ToKind::Ack(v1::Ack { lease, stored: Some(stored) }))
}

/// Gives a message to the worker. Returns what it meant and the epoch of the report in the answer,
/// or 0 for a result.
fn tell(worker: &mut Worker, message: v1::CoordinatorMessage) -> (Outcome, Option<u32>) {
    let (outcome, answer) = worker.on_message(message, Instant::now()).unwrap();
    let epoch = answer.map(|answer| match answer.kind.unwrap() {
        FromKind::Report(report) => report.points[0].epoch,
        FromKind::Finished(finished) => {
            assert_eq!(finished.last.unwrap().epoch, EPOCHS);
            0
        }
        FromKind::Hello(_)
        | FromKind::Released(_)
        | FromKind::Heartbeat(_)
        | FromKind::Checkpointed(_)
        | FromKind::Restarted(_) => {
            panic!("not an answer")
        }
    });
    (outcome, epoch)
}

#[test]
fn every_message_waits_for_the_acknowledgement_of_the_one_before() {
    let mut worker = worker();
    let first = Outcome::Granted { waited: None };
    assert_eq!(tell(&mut worker, grant(1, v1::Work::Train)), (first, Some(1)));
    assert_eq!(tell(&mut worker, ack(1, Stored::Epoch(1))), (Outcome::Reported, Some(2)));
    let held = Held { sweep: 3, trial: 5, epoch: 1 };
    assert_eq!(worker.held().collect::<Vec<_>>(), [held]);
    assert_eq!(tell(&mut worker, ack(1, Stored::Epoch(2))), (Outcome::Reported, Some(0)));
    let finished = Outcome::Finished { sweep: 3 };
    assert_eq!(tell(&mut worker, ack(1, Stored::Finished(true))), (finished, None));
    assert_eq!(worker.held().count(), 0);
    let (outcome, _) = tell(&mut worker, grant(2, v1::Work::Train));
    assert!(matches!(outcome, Outcome::Granted { waited: Some(_) }), "{outcome:?}");
}

#[test]
fn a_scoring_has_no_epochs_and_repeats_the_metrics() {
    let mut worker = worker();
    let (outcome, answer) = worker.on_message(grant(1, v1::Work::Score), Instant::now()).unwrap();
    assert_eq!(outcome, Outcome::Granted { waited: None });
    let Some(FromKind::Finished(finished)) = answer.unwrap().kind else { panic!("no result") };
    let held = Held { sweep: 3, trial: 5, epoch: 0 };
    assert_eq!(finished.last, Some(metrics(held, EPOCHS)));
    assert_eq!(finished.test, Some(score(held, EPOCHS)));
    assert_eq!(worker.held().count(), 0);
    assert_eq!(tell(&mut worker, ack(1, Stored::Finished(true))), (Outcome::Other, None));
}

#[test]
fn a_parked_trial_continues_when_it_is_unparked() {
    let mut worker = worker();
    tell(&mut worker, grant(1, v1::Work::Train));
    tell(&mut worker, message(ToKind::Park(v1::Park { lease: 1 })));
    assert_eq!(tell(&mut worker, ack(1, Stored::Epoch(1))), (Outcome::Reported, None));
    let unpark = message(ToKind::Unpark(v1::Unpark { lease: 1 }));
    assert_eq!(tell(&mut worker, unpark), (Outcome::Other, Some(2)));
}

#[test]
fn epochs_of_an_earlier_attempt_are_not_repeated() {
    let mut worker = worker();
    tell(&mut worker, grant(1, v1::Work::Train));
    assert_eq!(tell(&mut worker, ack(1, Stored::Epoch(2))), (Outcome::Reported, Some(0)));
}

#[test]
fn a_second_connection_lists_what_is_not_acknowledged() {
    let mut worker = worker();
    let hello = |worker: &Worker| match worker.hello().kind.unwrap() {
        FromKind::Hello(hello) => (hello.store, hello.held),
        FromKind::Report(_)
        | FromKind::Finished(_)
        | FromKind::Released(_)
        | FromKind::Heartbeat(_)
        | FromKind::Checkpointed(_)
        | FromKind::Restarted(_) => panic!("not a greeting"),
    };
    assert_eq!(hello(&worker), (None, Vec::new()));
    let welcome =
        v1::Welcome { heartbeat_ms: 1, lease_ttl_ms: 4, store: 9, keeps_checkpoints: true };
    let outcome = Outcome::Welcomed { heartbeat: Duration::from_millis(10) };
    assert_eq!(tell(&mut worker, message(ToKind::Welcome(welcome))), (outcome, None));
    tell(&mut worker, grant(1, v1::Work::Train));
    assert_eq!(hello(&worker), (Some(9), vec![1]));
}

#[test]
fn an_epoch_is_reported_when_its_time_is_over() {
    let second = Duration::from_secs(1);
    let mut worker = trained(Schedule::new(EPOCHS, second * 8, 8));
    let start = Instant::now();
    // Trial 5 is the sixth of the eight that start together: it ends after 14 s.
    let (_, answer) = worker.on_message(grant(1, v1::Work::Train), start).unwrap();
    assert_eq!((answer, worker.next_end()), (None, Some(start + second * 10)));
    assert_eq!(worker.next_report(start + second * 9), None);
    let report = worker.next_report(start + second * 11).unwrap();
    assert!(matches!(report.kind, Some(FromKind::Report(_))), "{report:?}");
    assert_eq!(worker.next_end(), None, "it waits for the acknowledgement");
    let (_, answer) = worker.on_message(ack(1, Stored::Epoch(1)), start + second * 12).unwrap();
    assert_eq!((answer, worker.next_end()), (None, Some(start + second * 14)));
    worker.next_report(start + second * 14).unwrap();
    let (_, answer) = worker.on_message(ack(1, Stored::Epoch(2)), start + second * 15).unwrap();
    assert!(matches!(answer.unwrap().kind, Some(FromKind::Finished(_))));
    assert_eq!((worker.next_end(), worker.next_report(start + second * 99)), (None, None));
}

#[test]
fn a_revoked_lease_is_forgotten() {
    let mut worker = worker();
    tell(&mut worker, grant(1, v1::Work::Train));
    let revoke = message(ToKind::Revoke(v1::Revoke { lease: 1, ..Default::default() }));
    assert_eq!(tell(&mut worker, revoke), (Outcome::Revoked, None));
    assert_eq!(worker.held().count(), 0);
}

#[test]
fn an_impossible_message_is_an_error() {
    for wrong in [
        ack(1, Stored::Epoch(0)),
        ack(1, Stored::Finished(true)),
        ack(7, Stored::Epoch(1)),
        message(ToKind::Drain(v1::Drain {})),
        v1::CoordinatorMessage { kind: None },
    ] {
        let mut worker = worker();
        tell(&mut worker, grant(1, v1::Work::Train));
        assert!(worker.on_message(wrong.clone(), Instant::now()).is_err(), "{wrong:?}");
    }
}

#[test]
fn scores_differ_and_stay_between_0_and_1() {
    let mut values: Vec<f64> = (0..1_000)
        .map(|trial| score(Held { sweep: 1, trial, epoch: 0 }, 1).accuracy.unwrap())
        .collect();
    assert!(values.iter().all(|value| (0.0..=1.0).contains(value)));
    values.sort_by(f64::total_cmp);
    values.dedup();
    assert_eq!(values.len(), 1_000);
}
