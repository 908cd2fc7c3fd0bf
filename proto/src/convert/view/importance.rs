//! The importance of hyperparameters, as clients see it.

use caviar_common::error::Problem;
use caviar_common::limits::{MAX_PARAMETERS, MAX_TRIALS};
use caviar_common::view::{ImportanceView, PairView, ShareView};

use crate::convert::field::{Within, at_most, in_range};
use crate::v1;

/// Most pairs in one message.
pub const MAX_PAIRS: usize = 10;

/// How far a share can be outside 0 to 1 by rounding. Shares of one parameter, or from very many
/// trials, were 1.0000000000000002.
const ROUNDING: f64 = 1e-9;

/// Converts importance to the wire.
pub fn encode_importance(view: &ImportanceView) -> v1::Importance {
    let share = |share: &ShareView| v1::Share {
        parameter: share.parameter.clone(),
        share: share.share.clamp(0.0, 1.0),
    };
    let pair = |pair: &PairView| v1::PairShare {
        parameters: pair.parameters.to_vec(),
        share: pair.share.clamp(0.0, 1.0),
    };
    v1::Importance {
        trials: view.trials,
        provisional: view.provisional,
        parameters: view.parameters.iter().map(share).collect(),
        pairs: view.pairs.iter().take(MAX_PAIRS).map(pair).collect(),
    }
}

/// Reads importance. A share that rounding has taken outside 0 to 1 becomes 0 or 1.
///
/// # Errors
/// The first field that is wrong, such as `parameters[0].share`.
pub fn decode_importance(wire: v1::Importance) -> Result<ImportanceView, Problem> {
    let parameters =
        at_most("parameters", wire.parameters, MAX_PARAMETERS)?.into_iter().enumerate();
    let pairs = at_most("pairs", wire.pairs, MAX_PAIRS)?.into_iter().enumerate();
    Ok(ImportanceView {
        trials: in_range("trials", wire.trials, 0..=MAX_TRIALS)?,
        provisional: in_range("provisional", wire.provisional, 0..=wire.trials)?,
        parameters: parameters
            .map(|(i, share)| decode_share(share).at("parameters", i))
            .collect::<Result<_, _>>()?,
        pairs: pairs.map(|(i, pair)| decode_pair(pair).at("pairs", i)).collect::<Result<_, _>>()?,
    })
}

fn decode_share(wire: v1::Share) -> Result<ShareView, Problem> {
    Ok(ShareView { parameter: wire.parameter, share: share(wire.share)? })
}

fn decode_pair(wire: v1::PairShare) -> Result<PairView, Problem> {
    let two = <[String; 2]>::try_from(wire.parameters);
    let parameters = two.map_err(|given| {
        let message = format!("has {} elements: expected 2", given.len());
        Problem::new("parameters", message)
    })?;
    Ok(PairView { parameters, share: share(wire.share)? })
}

fn share(value: f64) -> Result<f64, Problem> {
    if (-ROUNDING..=1.0 + ROUNDING).contains(&value) {
        Ok(value.clamp(0.0, 1.0))
    } else {
        Err(Problem::with_value("share", value, "expected a number from 0 to 1"))
    }
}
