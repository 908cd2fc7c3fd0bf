//! Which hyperparameters mattered, as people see it.

use caviar_common::error::Problem;
use caviar_common::limits::{MAX_PARAMETERS, MAX_TRIALS};
use caviar_common::view::{ImportanceView, PairView, ShareView};

use crate::convert::field::{Within, at_most, in_range};
use crate::v1;

/// Pairs that are listed at most.
pub const MAX_PAIRS: usize = 10;

/// Importance, for the wire.
pub fn encode_importance(view: &ImportanceView) -> v1::Importance {
    let share =
        |share: &ShareView| v1::Share { parameter: share.parameter.clone(), share: share.share };
    let pair =
        |pair: &PairView| v1::PairShare { parameters: pair.parameters.to_vec(), share: pair.share };
    v1::Importance {
        trials: view.trials,
        provisional: view.provisional,
        parameters: view.parameters.iter().map(share).collect(),
        pairs: view.pairs.iter().take(MAX_PAIRS).map(pair).collect(),
    }
}

/// Reads importance.
///
/// # Errors
/// The first field that is wrong.
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
        Problem::with_value("parameters", given.len(), "a pair has two parameters")
    })?;
    Ok(PairView { parameters, share: share(wire.share)? })
}

fn share(value: f64) -> Result<f64, Problem> {
    let is_share = (0.0..=1.0).contains(&value);
    is_share
        .then_some(value)
        .ok_or_else(|| Problem::with_value("share", value, "must lie between 0 and 1"))
}
