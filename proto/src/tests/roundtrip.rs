//! Round trips: every message is the same after it is encoded to bytes and decoded.

use std::fmt::Debug;

use caviar_common::ids::LeaseId;
use caviar_common::limits::MAX_TEXT_CHARS;
use caviar_common::message::{Finished, FromWorker, Release, ToWorker};
use caviar_common::metric::{EpochMetrics, Score};
use caviar_common::outcome::{Outcome, SweepState, TrialState};
use proptest::prelude::{ProptestConfig, prop_assert_eq, proptest};

use super::{domain, views};
use crate::convert::{data, spec, view, worker};
use crate::v1;

/// The message after it is encoded to bytes and decoded from them.
pub(super) fn over_the_wire<M: prost::Message + Default>(message: &M) -> M {
    M::decode(message.encode_to_vec().as_slice()).unwrap()
}

/// Compares as text, because a NaN is not equal to itself. The text has every digit and the sign of
/// zero, but not the bits of a NaN.
fn same(left: &impl Debug, right: &impl Debug) -> bool {
    format!("{left:?}") == format!("{right:?}")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn messages_of_workers_are_the_same_after_a_round_trip(message in domain::from_worker()) {
        let wire = over_the_wire(&worker::encode_from_worker(&message));
        let back = worker::decode_from_worker(wire).unwrap();
        assert!(same(&back, &message), "{back:?}\n{message:?}");
    }

    #[test]
    fn messages_of_the_coordinator_are_the_same_after_a_round_trip(message in domain::to_worker()) {
        let wire = over_the_wire(&worker::encode_to_worker(&message));
        let back = worker::decode_to_worker(wire).unwrap();
        prop_assert_eq!(back, message);
    }

    #[test]
    fn sweeps_are_the_same_after_a_round_trip(sweep in views::sweep()) {
        let back = view::decode_sweep(over_the_wire(&view::encode_sweep(&sweep))).unwrap();
        assert!(same(&back, &sweep), "{back:?}\n{sweep:?}");
    }

    #[test]
    fn trials_are_the_same_after_a_round_trip(trial in views::trial()) {
        let back = view::decode_trial(over_the_wire(&view::encode_trial(&trial))).unwrap();
        assert!(same(&back, &trial), "{back:?}\n{trial:?}");
    }

    #[test]
    fn test_scores_are_the_same_after_a_round_trip(test in views::test()) {
        let back = view::decode_test(over_the_wire(&view::encode_test(&test))).unwrap();
        assert!(same(&back, &test), "{back:?}\n{test:?}");
    }

    #[test]
    fn workers_are_the_same_after_a_round_trip(seen in views::worker()) {
        let wire = over_the_wire(&view::encode_worker(&seen));
        prop_assert_eq!(view::decode_worker(wire).unwrap(), seen);
    }

    #[test]
    fn data_specs_are_the_same_after_a_round_trip(data in domain::data()) {
        prop_assert_eq!(spec::decode_data(over_the_wire(&data::encode_data(&data))).unwrap(), data);
    }
}

#[test]
fn a_loss_keeps_every_bit() {
    for loss in [
        0.0,
        -0.0,
        f64::MIN_POSITIVE / 2.0,
        f64::INFINITY,
        f64::NAN,
        -f64::NAN,
        f64::from_bits(0x7ff0_0000_0000_0001),
    ] {
        let score = Score { loss, accuracy: Some(1.0), measured: None };
        let sent = FromWorker::Report {
            lease: LeaseId(1),
            points: vec![EpochMetrics { epoch: 1, train: score, validation: score, spread: None }],
            seconds: None,
        };
        let back =
            worker::decode_from_worker(over_the_wire(&worker::encode_from_worker(&sent))).unwrap();
        let FromWorker::Report { points, .. } = back else { panic!("{back:?}") };
        assert_eq!(points[0].validation.loss.to_bits(), loss.to_bits());
    }
}

#[test]
fn a_measure_has_a_known_name_and_a_value() {
    for (measure, value, field) in
        [("auc", Some(0.5), ".measure"), ("roc_auc", None, ".value"), ("roc_auc", Some(0.5), "")]
    {
        let measured = Some(v1::Measured { measure: measure.to_owned(), value });
        let score = v1::Score { loss: Some(0.5), accuracy: None, measured };
        let point = v1::EpochMetrics {
            epoch: 1,
            train: Some(v1::Score { measured: None, ..score.clone() }),
            validation: Some(score),
            ..v1::EpochMetrics::default()
        };
        let report = v1::Report { lease: 1, points: vec![point], seconds: None };
        let kind = Some(v1::worker_message::Kind::Report(report));
        let found = worker::decode_from_worker(v1::WorkerMessage { kind });
        let expected = format!("report.points[0].validation.measured{field}");
        match found {
            Ok(_) => assert_eq!(field, ""),
            Err(problem) => assert_eq!(problem.field, expected),
        }
    }
}

#[test]
fn every_state_has_a_number() {
    for state in SweepState::ALL {
        assert_eq!(view::sweep_state_from_wire(view::sweep_state_to_wire(state)), Ok(Some(state)));
    }
    for state in TrialState::ALL {
        assert_eq!(view::trial_state_from_wire(view::trial_state_to_wire(state)), Ok(Some(state)));
    }
    assert_eq!(view::sweep_state_from_wire(0), Ok(None));
    assert_eq!(view::trial_state_from_wire(0), Ok(None));
    assert_eq!(view::sweep_state_from_wire(6).unwrap_err().field, "state");
    assert_eq!(view::trial_state_from_wire(-1).unwrap_err().field, "state");
}

/// A worker must be able to report a failure with a long message. If the message were refused, the
/// worker would reconnect and send it again, indefinitely.
#[test]
fn a_long_text_for_people_is_cut_and_accepted() {
    let message = "é".repeat(MAX_TEXT_CHARS + 1);
    let cut = format!("{}...", "é".repeat(MAX_TEXT_CHARS - 3));
    let lease = LeaseId(1);
    let result = Finished {
        outcome: Outcome::Failed { message: message.clone() },
        last: None,
        test: None,
        seconds: 0.0,
        memory_bytes: None,
        model: None,
    };
    let failed =
        worker::encode_from_worker(&FromWorker::Finished { lease, result: result.clone() });
    let result = Finished { outcome: Outcome::Failed { message: cut.clone() }, ..result };
    assert_eq!(worker::decode_from_worker(failed).unwrap(), FromWorker::Finished { lease, result });

    let release = Release::Unable { message: message.clone() };
    let unable = worker::encode_from_worker(&FromWorker::Released { lease, release });
    let release = Release::Unable { message: cut.clone() };
    assert_eq!(
        worker::decode_from_worker(unable).unwrap(),
        FromWorker::Released { lease, release }
    );

    let revoke = worker::encode_to_worker(&ToWorker::Revoke { lease, reason: message });
    assert_eq!(worker::decode_to_worker(revoke).unwrap(), ToWorker::Revoke { lease, reason: cut });
}
