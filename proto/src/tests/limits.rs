//! Each limit is enforced, and its problem has the path of the field.

use std::collections::BTreeMap;

use caviar_common::error::Problem;
use caviar_common::limits::{
    DEFAULT_LEASE_MS, MAX_CHOICES, MAX_EPOCHS, MAX_EXTENSIONS, MAX_LEASE_MS, MAX_METRICS,
    MAX_PARALLELISM, MAX_PARAMETERS, MAX_PARKED, MAX_POINTS_PER_REPORT, MAX_RESIZES, MAX_ROUNDS,
    MAX_SLOTS, MAX_TEXT_CHARS, MAX_TRIALS, MAX_TRIALS_PER_ASK, MAX_WORKERS, MIN_LEASE_MS,
};
use caviar_common::message::FromWorker;

use crate::convert::{spec, trial, view, worker};
use crate::v1;
use crate::v1::coordinator_message::Kind as To;
use crate::v1::value::Kind;
use crate::v1::worker_message::Kind as From;

pub(super) fn long() -> String {
    "x".repeat(MAX_TEXT_CHARS + 1)
}

fn held() -> usize {
    usize::try_from(2 * MAX_SLOTS + MAX_PARKED).unwrap()
}

fn value(kind: Kind) -> v1::Value {
    v1::Value { kind: Some(kind) }
}

fn assignment(values: impl IntoIterator<Item = (String, v1::Value)>) -> Option<v1::Assignment> {
    Some(v1::Assignment { values: values.into_iter().collect() })
}

fn numbered(count: usize) -> impl Iterator<Item = (String, v1::Value)> {
    (0..count).map(|i| (format!("p{i}"), value(Kind::Int(1))))
}

fn score() -> v1::Score {
    v1::Score { loss: Some(0.5), accuracy: Some(0.5), measured: None }
}

fn point(epoch: u32) -> v1::EpochMetrics {
    v1::EpochMetrics {
        epoch,
        train: Some(score()),
        validation: Some(score()),
        ..v1::EpochMetrics::default()
    }
}

fn hello() -> v1::Hello {
    v1::Hello {
        protocol: 1,
        worker: "w".to_owned(),
        incarnation: 1,
        slots: 1,
        draining: false,
        store: None,
        held: Vec::new(),
        can_park: true,
    }
}

fn report(points: Vec<v1::EpochMetrics>) -> From {
    From::Report(v1::Report { lease: 1, points, seconds: None })
}

fn finished() -> v1::Finished {
    let outcome = v1::Outcome::Completed.into();
    v1::Finished {
        lease: 1,
        outcome,
        message: None,
        last: Some(point(1)),
        test: None,
        seconds: 1.0,
        memory_bytes: None,
        model: None,
    }
}

fn data() -> v1::DataSpec {
    v1::DataSpec { source: Some("d.csv".to_owned()), ..v1::DataSpec::default() }
}

fn grant() -> v1::Grant {
    v1::Grant {
        lease: 1,
        sweep: 1,
        sweep_name: "s".to_owned(),
        trial: 0,
        attempt: 1,
        work: v1::Work::Train.into(),
        seed: 0,
        data: Some(data()),
        digest: String::new(),
        block: None,
        fixed: assignment([]),
        assignment: assignment([("learning_rate".to_owned(), value(Kind::Float(0.1)))]),
        checkpoint: Some(checkpoint()),
        objective: Some(v1::ObjectiveSpec {
            metric: Some("validation_loss".to_owned()),
            goal: Some("minimize".to_owned()),
            epoch: Some("best".to_owned()),
            repeats: Some(2),
        }),
        keeps_model: true,
        keep_up_to: None,
        replays: None,
    }
}

fn welcome() -> v1::Welcome {
    v1::Welcome { heartbeat_ms: 1, lease_ttl_ms: 1, store: 1, keeps_checkpoints: true }
}

pub(super) fn checkpoint() -> v1::Checkpoint {
    let blob = v1::Blob { name: "0a".repeat(32), bytes: 5 };
    v1::Checkpoint { blob: Some(blob), epoch: 3, batch: u64::MAX }
}

fn trial() -> v1::Trial {
    let reason = v1::Reason { source: "round".to_owned(), round: Some(1), ..v1::Reason::default() };
    let state = v1::TrialState::Running.into();
    v1::Trial { state, assignment: assignment([]), reason: Some(reason), ..v1::Trial::default() }
}

pub(super) fn sweep() -> v1::Sweep {
    v1::Sweep {
        id: 1,
        name: "s".to_owned(),
        state: v1::SweepState::Running.into(),
        spec: Some(sweep_spec()),
        data: Some(v1::DataSummary::default()),
        counts: Some(v1::Counts::default()),
        ..v1::Sweep::default()
    }
}

fn sweep_spec() -> v1::SweepSpec {
    let search = v1::SearchSpec { trials: Some(10), ..v1::SearchSpec::default() };
    v1::SweepSpec {
        name: Some("s".to_owned()),
        data: Some(data()),
        search: Some(search),
        ..v1::SweepSpec::default()
    }
}

pub(super) fn from_worker(kind: From) -> Result<FromWorker, Problem> {
    worker::decode_from_worker(v1::WorkerMessage { kind: Some(kind) })
}

/// The field of the problem after `change` to a legal message.
pub(super) fn refused<M, T: std::fmt::Debug>(
    legal: M,
    change: impl FnOnce(&mut M),
    decode: impl FnOnce(M) -> Result<T, Problem>,
) -> String {
    let mut message = legal;
    change(&mut message);
    decode(message).unwrap_err().field
}

fn bad_hello(change: impl FnOnce(&mut v1::Hello)) -> String {
    refused(hello(), change, |hello| from_worker(From::Hello(hello)))
}

fn bad_finished(change: impl FnOnce(&mut v1::Finished)) -> String {
    refused(finished(), change, |finished| from_worker(From::Finished(finished)))
}

fn bad_point(change: impl FnOnce(&mut v1::EpochMetrics)) -> String {
    refused(point(2), change, |second| from_worker(report(vec![point(1), second])))
}

pub(super) fn bad_grant(change: impl FnOnce(&mut v1::Grant)) -> String {
    refused(grant(), change, |grant| {
        worker::decode_to_worker(v1::CoordinatorMessage { kind: Some(To::Grant(grant)) })
    })
}

fn bad_trial(change: impl FnOnce(&mut v1::Trial)) -> String {
    refused(trial(), change, view::decode_trial)
}

fn bad_sweep(change: impl FnOnce(&mut v1::Sweep)) -> String {
    refused(sweep(), change, view::decode_sweep)
}

#[test]
fn the_messages_before_their_change_are_legal() {
    assert!(from_worker(From::Hello(hello())).is_ok());
    assert!(from_worker(From::Finished(finished())).is_ok());
    assert!(from_worker(report(vec![point(1), point(2)])).is_ok());
    assert!(
        worker::decode_to_worker(v1::CoordinatorMessage { kind: Some(To::Grant(grant())) }).is_ok()
    );
    assert!(view::decode_trial(trial()).is_ok());
    assert!(view::decode_sweep(sweep()).is_ok());
    assert!(spec::decode_spec(sweep_spec()).is_ok());
}

#[test]
fn hellos_are_limited() {
    assert_eq!(bad_hello(|h| h.worker = "a b".to_owned()), "hello.worker");
    assert_eq!(bad_hello(|h| h.worker = "x".repeat(65)), "hello.worker");
    assert_eq!(bad_hello(|h| h.slots = 0), "hello.slots");
    assert_eq!(bad_hello(|h| h.slots = MAX_SLOTS + 1), "hello.slots");
    assert_eq!(bad_hello(|h| h.held = vec![1; held() + 1]), "hello.held");
    assert!(
        from_worker(From::Hello(v1::Hello { slots: MAX_SLOTS, held: vec![1; held()], ..hello() }))
            .is_ok()
    );
}

#[test]
fn reports_are_limited() {
    assert_eq!(
        bad_point(|p| p.validation.as_mut().unwrap().loss = None),
        "report.points[1].validation.loss"
    );
    assert_eq!(
        bad_point(|p| p.train.as_mut().unwrap().accuracy = Some(1.01)),
        "report.points[1].train.accuracy"
    );
    assert_eq!(
        bad_point(|p| p.train.as_mut().unwrap().accuracy = Some(f64::NAN)),
        "report.points[1].train.accuracy"
    );
    assert_eq!(bad_point(|p| p.train = None), "report.points[1].train");
    for epoch in [0, 1, 3, MAX_EPOCHS + 1] {
        assert_eq!(bad_point(|p| p.epoch = epoch), "report.points[1].epoch", "{epoch}");
    }
    let most = u32::try_from(MAX_POINTS_PER_REPORT).unwrap();
    assert!(from_worker(report((1..=most).map(point).collect())).is_ok());
    assert_eq!(
        from_worker(report((1..=most + 1).map(point).collect())).unwrap_err().field,
        "report.points"
    );
}

#[test]
fn ends_of_attempts_are_limited() {
    assert_eq!(bad_finished(|f| f.outcome = 0), "finished.outcome");
    assert_eq!(bad_finished(|f| f.outcome = 4), "finished.outcome");
    assert_eq!(bad_finished(|f| f.message = Some(String::new())), "finished.message");
    assert_eq!(bad_finished(|f| f.outcome = v1::Outcome::Failed.into()), "finished.message");
    for seconds in [-0.1, f64::NAN, f64::INFINITY] {
        assert_eq!(bad_finished(|f| f.seconds = seconds), "finished.seconds", "{seconds}");
    }
    assert_eq!(bad_finished(|f| f.last = Some(point(0))), "finished.last.epoch");
    for spread in [-0.1, f64::NAN, f64::INFINITY] {
        let last = v1::EpochMetrics { spread: Some(spread), ..point(1) };
        assert_eq!(bad_finished(|f| f.last = Some(last)), "finished.last.spread");
    }
    assert_eq!(
        bad_finished(|f| f.test = Some(v1::Score { accuracy: Some(-0.1), ..score() })),
        "finished.test.accuracy"
    );
    let failed = |message: String| v1::Finished {
        outcome: v1::Outcome::Failed.into(),
        message: Some(message),
        ..finished()
    };
    assert_eq!(from_worker(From::Finished(failed(long()))).unwrap_err().field, "finished.message");
    let unable =
        v1::Released { lease: 1, release: v1::Release::Unable.into(), message: Some(long()) };
    assert_eq!(from_worker(From::Released(unable)).unwrap_err().field, "released.message");
}

#[test]
fn a_message_without_a_kind_is_refused() {
    assert_eq!(worker::decode_from_worker(v1::WorkerMessage::default()).unwrap_err().field, "kind");
    assert_eq!(
        worker::decode_to_worker(v1::CoordinatorMessage::default()).unwrap_err().field,
        "kind"
    );
}

#[test]
fn grants_are_limited() {
    assert_eq!(bad_grant(|g| g.sweep = 0), "grant.sweep");
    assert_eq!(bad_grant(|g| g.sweep_name.clear()), "grant.sweep_name");
    assert_eq!(bad_grant(|g| g.attempt = 0), "grant.attempt");
    assert_eq!(bad_grant(|g| g.work = 0), "grant.work");
    assert_eq!(bad_grant(|g| g.work = 3), "grant.work");
    assert_eq!(bad_grant(|g| g.data = None), "grant.data");
    assert_eq!(bad_grant(|g| g.data.as_mut().unwrap().source = None), "grant.data.source");
    assert_eq!(
        bad_grant(|g| g.data.as_mut().unwrap().validation = Some(1.0)),
        "grant.data.validation"
    );
    assert_eq!(bad_grant(|g| g.digest = long()), "grant.digest");
    assert_eq!(bad_grant(|g| g.fixed = None), "grant.fixed");
    assert_eq!(bad_grant(|g| g.fixed = assignment(numbered(100))), "grant.fixed");
    assert_eq!(bad_grant(|g| g.assignment = None), "grant.assignment");
    assert_eq!(
        bad_grant(|g| g.assignment = assignment(numbered(MAX_PARAMETERS + 1))),
        "grant.assignment"
    );
}

#[test]
fn values_are_limited() {
    let with = |name: &str, v| {
        let name = name.to_owned();
        bad_grant(move |g| g.assignment = assignment([(name, v)]))
    };
    assert_eq!(with("momentum", value(Kind::Float(f64::NAN))), "grant.assignment.momentum");
    assert_eq!(with("momentum", value(Kind::Float(f64::INFINITY))), "grant.assignment.momentum");
    assert_eq!(with("momentum", v1::Value { kind: None }), "grant.assignment.momentum");
    assert_eq!(with("optimizer", value(Kind::Text(long()))), "grant.assignment.optimizer");
    assert_eq!(with("", value(Kind::Int(1))), "grant.assignment");
    assert_eq!(with(&"x".repeat(65), value(Kind::Int(1))), "grant.assignment");
}

#[test]
fn the_other_messages_of_the_coordinator_are_limited() {
    let to = |kind| {
        worker::decode_to_worker(v1::CoordinatorMessage { kind: Some(kind) }).unwrap_err().field
    };
    assert_eq!(
        to(To::Welcome(v1::Welcome { heartbeat_ms: 0, lease_ttl_ms: 1, ..welcome() })),
        "welcome.heartbeat_ms"
    );
    assert_eq!(
        to(To::Welcome(v1::Welcome { heartbeat_ms: 1, lease_ttl_ms: 0, ..welcome() })),
        "welcome.lease_ttl_ms"
    );
    assert_eq!(to(To::Ack(v1::Ack { lease: 1, stored: None })), "ack.stored");
    assert_eq!(
        to(To::Ack(v1::Ack { lease: 1, stored: Some(v1::ack::Stored::Finished(false)) })),
        "ack.finished"
    );
    assert_eq!(
        to(To::Ack(v1::Ack { lease: 1, stored: Some(v1::ack::Stored::Epoch(MAX_EPOCHS + 1)) })),
        "ack.epoch"
    );
    assert_eq!(to(To::Revoke(v1::Revoke { lease: 1, reason: long() })), "revoke.reason");
}

#[test]
fn trials_are_limited() {
    assert_eq!(bad_trial(|t| t.state = 0), "state");
    assert_eq!(bad_trial(|t| t.state = 99), "state");
    assert_eq!(bad_trial(|t| t.reason = None), "reason");
    assert_eq!(
        bad_trial(|t| t.reason.as_mut().unwrap().source = "guess".to_owned()),
        "reason.source"
    );
    assert_eq!(bad_trial(|t| t.reason.as_mut().unwrap().round = Some(0)), "reason.round");
    assert_eq!(bad_trial(|t| t.worker = Some("a b".to_owned())), "worker");
    assert_eq!(bad_trial(|t| t.epochs = MAX_EPOCHS + 1), "epochs");
    assert_eq!(bad_trial(|t| t.seconds = Some(-1.0)), "seconds");
    assert_eq!(bad_trial(|t| t.message = Some(long())), "message");
    assert_eq!(bad_trial(|t| t.curve = vec![point(1), point(2), point(4)]), "curve[2].epoch");
}

#[test]
fn boxes_are_limited() {
    let bad = |change: fn(&mut v1::Side)| {
        let low = Some(value(Kind::Int(1)));
        let mut side = v1::Side {
            parameter: "units".to_owned(),
            low,
            high: Some(value(Kind::Int(2))),
            choices: Vec::new(),
        };
        change(&mut side);
        bad_trial(move |t| {
            t.reason.as_mut().unwrap().r#box = Some(v1::SearchBox { sides: vec![side] })
        })
    };
    assert_eq!(bad(|s| s.parameter.clear()), "reason.box.sides[0].parameter");
    assert_eq!(bad(|s| s.low = None), "reason.box.sides[0].low");
    assert_eq!(bad(|s| s.high = None), "reason.box.sides[0].high");
    assert_eq!(bad(|s| (s.low, s.high) = (None, None)), "reason.box.sides[0].low");
    assert_eq!(bad(|s| s.choices = vec![value(Kind::Int(1))]), "reason.box.sides[0].choices");
    assert_eq!(
        bad(|s| s.choices = vec![value(Kind::Int(1)); MAX_CHOICES + 1]),
        "reason.box.sides[0].choices"
    );
    assert_eq!(
        bad(|s| s.choices = vec![v1::Value { kind: None }]),
        "reason.box.sides[0].choices[0]"
    );
    let sides = vec![v1::Side::default(); MAX_PARAMETERS + 1];
    assert_eq!(
        bad_trial(|t| t.reason.as_mut().unwrap().r#box = Some(v1::SearchBox { sides })),
        "reason.box.sides"
    );
}

#[test]
fn sweeps_are_limited() {
    assert_eq!(bad_sweep(|s| s.id = 0), "id");
    assert_eq!(bad_sweep(|s| s.name.clear()), "name");
    assert_eq!(bad_sweep(|s| s.state = 0), "state");
    assert_eq!(bad_sweep(|s| s.spec = None), "spec");
    assert_eq!(bad_sweep(|s| s.spec.as_mut().unwrap().search = None), "spec.search.trials");
    assert_eq!(bad_sweep(|s| s.data = None), "data");
    assert_eq!(bad_sweep(|s| s.data.as_mut().unwrap().digest = long()), "data.digest");
    assert_eq!(bad_sweep(|s| s.counts = None), "counts");
    assert_eq!(
        bad_sweep(|s| s.counts.as_mut().unwrap().running = MAX_TRIALS + 1),
        "counts.running"
    );
    assert_eq!(
        bad_sweep(
            |s| s.rounds = vec![v1::Round { round: 1, ..v1::Round::default() }; MAX_ROUNDS + 1]
        ),
        "rounds"
    );
    assert_eq!(bad_sweep(|s| s.rounds = vec![v1::Round::default()]), "rounds[0].round");
    assert_eq!(bad_sweep(|s| s.notes = vec![String::new(); MAX_WORKERS + 1]), "notes");
    assert_eq!(bad_sweep(|s| s.notes = vec![String::new(), long()]), "notes[1]");
    assert_eq!(bad_sweep(|s| s.parallelism = MAX_PARALLELISM + 1), "parallelism");
    let resizes = |count| vec![v1::Resize { parallelism: 1, trials: 0, decisions: 0 }; count];
    assert_eq!(bad_sweep(|s| s.resizes = resizes(MAX_RESIZES + 1)), "resizes");
    let resize = v1::Resize { parallelism: 0, trials: 0, decisions: 0 };
    assert_eq!(bad_sweep(|s| s.resizes = vec![resize]), "resizes[0].parallelism");
    let extensions = |count| vec![v1::Extension { added: 1, trials: 0, decisions: 0 }; count];
    assert_eq!(bad_sweep(|s| s.extensions = extensions(MAX_EXTENSIONS + 1)), "extensions");
    let extension = v1::Extension { added: 0, trials: 0, decisions: 0 };
    assert_eq!(bad_sweep(|s| s.extensions = vec![extension]), "extensions[0].added");
    assert_eq!(bad_sweep(|s| s.budget = MAX_TRIALS + 1), "budget");
    let idle = |reason, remedy| Some(v1::IdleSlots { idle: 1, slots: 1, reason, remedy });
    assert_eq!(bad_sweep(|s| s.idle = idle(long(), None)), "idle.reason");
    assert_eq!(bad_sweep(|s| s.idle = idle(String::new(), Some(long()))), "idle.remedy");
    assert_eq!(bad_sweep(|s| s.best = Some(v1::Trial { state: 0, ..trial() })), "best.state");
    assert_eq!(
        bad_sweep(
            |s| s.test = Some(v1::TestScore { message: Some(long()), ..v1::TestScore::default() })
        ),
        "test.message"
    );
}

#[test]
fn workers_are_limited() {
    let legal = || v1::Worker { worker: "w".to_owned(), slots: 1, ..v1::Worker::default() };
    let bad = |change: fn(&mut v1::Worker)| refused(legal(), change, view::decode_worker);
    assert!(view::decode_worker(legal()).is_ok());
    assert_eq!(bad(|w| w.worker.clear()), "worker");
    assert_eq!(bad(|w| w.slots = 0), "slots");
    assert_eq!(
        bad(|w| w.trials = vec![v1::HeldTrial { sweep: "s".to_owned(), trial: 0 }; held() + 1]),
        "trials"
    );
    assert_eq!(
        bad(|w| w.trials = vec![v1::HeldTrial { sweep: "a b".to_owned(), trial: 0 }]),
        "trials[0].sweep"
    );
}

fn bad_spec(change: impl FnOnce(&mut v1::SweepSpec)) -> Vec<String> {
    let mut wire = sweep_spec();
    change(&mut wire);
    spec::decode_draft(wire).unwrap_err().into_iter().map(|p| p.field).collect()
}

fn bad_parameter(change: impl FnOnce(&mut v1::Parameter)) -> Vec<String> {
    let mut parameter = v1::Parameter { name: "units".to_owned(), ..v1::Parameter::default() };
    change(&mut parameter);
    bad_spec(|s| s.space = Some(v1::Space { parameters: vec![parameter] }))
}

#[test]
fn drafts_are_limited() {
    assert_eq!(bad_spec(|s| s.name = Some(long())), ["name"]);
    assert_eq!(bad_spec(|s| s.data.as_mut().unwrap().label = Some(long())), ["data.label"]);
    assert_eq!(bad_spec(|s| s.data.as_mut().unwrap().more_labels = vec![long()]), ["data.label"]);
    assert_eq!(bad_spec(|s| s.fixed = numbered(100).collect()), ["fixed"]);
    assert_eq!(
        bad_spec(|s| s.fixed = BTreeMap::from([("units".to_owned(), v1::Value { kind: None })])),
        ["fixed.units"]
    );
    let rounds = |count| Some(v1::Rounds { trials: vec![1; count] });
    assert_eq!(
        bad_spec(|s| s.search.as_mut().unwrap().rounds = rounds(MAX_ROUNDS + 1)),
        ["search.rounds"]
    );
    assert_eq!(
        bad_spec(|s| s.search.as_mut().unwrap().strategy = Some(long())),
        ["search.strategy"]
    );
    let objective = v1::ObjectiveSpec {
        metric: Some(long()),
        goal: Some(long()),
        epoch: Some(long()),
        repeats: None,
    };
    assert_eq!(
        bad_spec(|s| s.objective = Some(objective)),
        ["objective.metric", "objective.goal", "objective.epoch"]
    );
    let parameters = vec![v1::Parameter::default(); MAX_PARAMETERS + 1];
    assert_eq!(bad_spec(|s| s.space = Some(v1::Space { parameters })), ["space"]);
}

#[test]
fn parameters_are_limited() {
    let infinite = || Some(value(Kind::Float(f64::INFINITY)));
    assert_eq!(bad_parameter(|p| p.name.clear()), ["space.parameters[0].name"]);
    assert_eq!(bad_parameter(|p| p.name = "x".repeat(65)), ["space.parameters[0].name"]);
    assert_eq!(
        bad_parameter(|p| (p.low, p.high) = (infinite(), infinite())),
        ["space.units.low", "space.units.high"]
    );
    assert_eq!(
        bad_parameter(|p| (p.r#type, p.scale) = (Some(long()), Some(long()))),
        ["space.units.type", "space.units.scale"]
    );
    let choices = |values| Some(v1::Values { values });
    assert_eq!(
        bad_parameter(|p| p.choices = choices(vec![v1::Value { kind: None }])),
        ["space.units.choices[0]"]
    );
    assert_eq!(
        bad_parameter(|p| p.choices = choices(vec![value(Kind::Int(1)); MAX_CHOICES + 1])),
        ["space.units.choices"]
    );
    let when =
        |parameter: &str, values| Some(v1::Condition { parameter: parameter.to_owned(), values });
    assert_eq!(bad_parameter(|p| p.when = when("", Vec::new())), ["space.units.when.parameter"]);
    assert_eq!(
        bad_parameter(|p| p.when = when("optimizer", vec![v1::Value { kind: None }])),
        ["space.units.when.optimizer[0]"]
    );
}

#[test]
fn the_requests_of_external_clients_are_limited() {
    let ask = v1::AskTrialsRequest {
        request_id: "r".to_owned(),
        client: "c".to_owned(),
        ..v1::AskTrialsRequest::default()
    };
    let read = trial::decode_ask(&ask, None).unwrap();
    assert_eq!((read.count, read.lease_ms), (1, DEFAULT_LEASE_MS));
    let bad_ask = |change: fn(&mut v1::AskTrialsRequest)| {
        let mut wire = ask.clone();
        change(&mut wire);
        trial::decode_ask(&wire, None).unwrap_err().field
    };
    assert_eq!(bad_ask(|a| a.request_id.clear()), "request_id");
    assert_eq!(bad_ask(|a| a.client = "a b".to_owned()), "client");
    assert_eq!(bad_ask(|a| a.count = MAX_TRIALS_PER_ASK + 1), "count");
    assert_eq!(bad_ask(|a| a.lease_ms = MIN_LEASE_MS - 1), "lease_ms");
    assert_eq!(bad_ask(|a| a.lease_ms = MAX_LEASE_MS + 1), "lease_ms");
    let metrics = |count: usize| (0..count).map(|i| (format!("m{i}"), f64::NAN)).collect();
    let report = |lease, epoch, metrics| {
        let wire = v1::ReportTrialRequest { lease, epoch, metrics, ..Default::default() };
        trial::decode_report(wire, None)
    };
    assert!(report(1, 1, metrics(MAX_METRICS)).is_ok());
    assert_eq!(report(0, 1, metrics(1)).unwrap_err().field, "lease");
    assert_eq!(report(1, 0, metrics(1)).unwrap_err().field, "epoch");
    assert_eq!(report(1, MAX_EPOCHS + 1, metrics(1)).unwrap_err().field, "epoch");
    assert_eq!(report(1, 1, metrics(MAX_METRICS + 1)).unwrap_err().field, "metrics");
    assert_eq!(report(1, 1, [("a b".to_owned(), 1.0)].into()).unwrap_err().field, "metrics");
    let tell = v1::TellTrialRequest {
        lease: 1,
        outcome: v1::Outcome::Completed.into(),
        ..v1::TellTrialRequest::default()
    };
    assert_eq!(trial::decode_tell(tell.clone(), None).unwrap().last, None);
    let bad_tell = |change: fn(&mut v1::TellTrialRequest)| {
        let mut wire = tell.clone();
        change(&mut wire);
        trial::decode_tell(wire, None).unwrap_err().field
    };
    assert_eq!(bad_tell(|t| t.outcome = 0), "outcome");
    assert_eq!(bad_tell(|t| t.outcome = v1::Outcome::Failed.into()), "message");
    assert_eq!(bad_tell(|t| t.seconds = -1.0), "seconds");
    assert_eq!(bad_tell(|t| t.metrics = [("a".to_owned(), 1.0)].into()), "epoch");
}
