//! The limits of importance.

use super::limits::refused;
use crate::convert::view;
use crate::v1;

fn importance(shares: [f64; 2]) -> v1::Importance {
    let [share, pair] = shares;
    let parameters = ["units".to_owned(), "layers".to_owned()];
    v1::Importance {
        trials: 12,
        provisional: 3,
        parameters: vec![v1::Share { parameter: "units".to_owned(), share }],
        pairs: vec![v1::PairShare { parameters: parameters.to_vec(), share: pair }],
    }
}

#[test]
fn a_share_above_1_by_rounding_is_accepted_as_1() {
    // The share of the only parameter of a sweep with 300 trials.
    let view = view::decode_importance(importance([1.000_000_000_000_000_2, -1e-17])).unwrap();
    assert_eq!((view.parameters[0].share, view.pairs[0].share), (1.0, 0.0));
}

#[test]
fn importance_is_limited() {
    for share in [1.001, -0.001, f64::NAN, f64::INFINITY] {
        let problem = view::decode_importance(importance([share, 0.5])).unwrap_err();
        let expected = format!("parameters[0].share = {share}: expected a number from 0 to 1");
        assert_eq!(problem.to_string(), expected);
        let problem = view::decode_importance(importance([0.5, share])).unwrap_err();
        assert_eq!(problem.field, "pairs[0].share");
    }
    let bad = |change: fn(&mut v1::Importance)| {
        refused(importance([0.5, 0.5]), change, view::decode_importance)
    };
    assert_eq!(bad(|i| i.provisional = 13), "provisional");
    assert_eq!(bad(|i| i.pairs[0].parameters.truncate(1)), "pairs[0].parameters");
    assert_eq!(bad(|i| i.pairs = vec![i.pairs[0].clone(); view::MAX_PAIRS + 1]), "pairs");
}
