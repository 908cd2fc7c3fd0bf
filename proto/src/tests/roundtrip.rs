//! Everything that is encoded comes back from its bytes as it was.

use std::fmt::Debug;

use caviar_common::ids::LeaseId;
use caviar_common::limits::MAX_TEXT_CHARS;
use caviar_common::message::{Finished, FromWorker, Release, ToWorker};
use caviar_common::metric::{EpochMetrics, Score};
use caviar_common::outcome::{Outcome, SweepState, TrialState};
use proptest::prelude::{ProptestConfig, prop_assert_eq, proptest};

use super::domain;
use crate::convert::{spec, view, worker};

/// The message after a journey as bytes.
pub(super) fn over_the_wire<M: prost::Message + Default>(message: &M) -> M {
    M::decode(message.encode_to_vec().as_slice()).unwrap()
}

/// As text, because a NaN is not equal to itself. The text has every digit and the sign of zero,
/// but not the bits of a NaN.
fn same(left: &impl Debug, right: &impl Debug) -> bool {
    format!("{left:?}") == format!("{right:?}")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_workers_say(message in domain::from_worker()) {
        let back = worker::decode_from_worker(over_the_wire(&worker::encode_from_worker(&message))).unwrap();
        assert!(same(&back, &message), "{back:?}\n{message:?}");
    }

    #[test]
    fn what_the_coordinator_says(message in domain::to_worker()) {
        let back = worker::decode_to_worker(over_the_wire(&worker::encode_to_worker(&message))).unwrap();
        prop_assert_eq!(back, message);
    }

    #[test]
    fn sweeps(sweep in domain::sweep()) {
        let back = view::decode_sweep(over_the_wire(&view::encode_sweep(&sweep))).unwrap();
        assert!(same(&back, &sweep), "{back:?}\n{sweep:?}");
    }

    #[test]
    fn trials(trial in domain::trial()) {
        let back = view::decode_trial(over_the_wire(&view::encode_trial(&trial))).unwrap();
        assert!(same(&back, &trial), "{back:?}\n{trial:?}");
    }

    #[test]
    fn test_scores(test in domain::test()) {
        let back = view::decode_test(over_the_wire(&view::encode_test(&test))).unwrap();
        assert!(same(&back, &test), "{back:?}\n{test:?}");
    }

    #[test]
    fn workers(seen in domain::worker()) {
        prop_assert_eq!(view::decode_worker(over_the_wire(&view::encode_worker(&seen))).unwrap(), seen);
    }

    #[test]
    fn data(data in domain::data()) {
        prop_assert_eq!(spec::decode_data(over_the_wire(&spec::encode_data(&data))).unwrap(), data);
    }
}

#[test]
fn losses_keep_every_bit() {
    for loss in [
        0.0,
        -0.0,
        f64::MIN_POSITIVE / 2.0,
        f64::INFINITY,
        f64::NAN,
        -f64::NAN,
        f64::from_bits(0x7ff0_0000_0000_0001),
    ] {
        let score = Score { loss, accuracy: Some(1.0) };
        let sent = FromWorker::Report {
            lease: LeaseId(1),
            points: vec![EpochMetrics { epoch: 1, train: score, validation: score }],
        };
        let back =
            worker::decode_from_worker(over_the_wire(&worker::encode_from_worker(&sent))).unwrap();
        let FromWorker::Report { points, .. } = back else { panic!("{back:?}") };
        assert_eq!(points[0].validation.loss.to_bits(), loss.to_bits());
    }
}

#[test]
fn states_have_a_number_each() {
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

/// A worker whose failure has a long story must be able to report it: refused, it would come back
/// and say the same for ever.
#[test]
fn long_texts_for_people_are_cut_and_arrive() {
    let message = "é".repeat(MAX_TEXT_CHARS + 1);
    let cut = format!("{}...", "é".repeat(MAX_TEXT_CHARS - 3));
    let lease = LeaseId(1);
    let result = Finished {
        outcome: Outcome::Failed { message: message.clone() },
        last: None,
        test: None,
        seconds: 0.0,
        memory_bytes: None,
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
