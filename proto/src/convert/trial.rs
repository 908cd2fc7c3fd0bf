//! Ask and tell: the requests of external clients and the replies.

use caviar_common::ask::{Ask, AskKey, AskReply, AskedTrial, Report, Tell, Verdict};
use caviar_common::error::Problem;
use caviar_common::ids::{LeaseId, Name, TokenId, TrialNumber};
use caviar_common::limits::{DEFAULT_LEASE_MS, MAX_LEASE_MS, MAX_TRIALS_PER_ASK, MIN_LEASE_MS};

use super::field::{in_range, optional_seconds, positive, seconds};
use super::metrics::decode_named;
use super::value::{encode_assignment, encode_reason};
use super::worker::decode_outcome;
use crate::v1;

/// Reads a request for trials. The caller reads the sweep and the time to wait.
///
/// # Errors
/// The first field that is wrong, such as `lease_ms`.
pub fn decode_ask(wire: &v1::AskTrialsRequest, token: Option<TokenId>) -> Result<Ask, Problem> {
    Ok(Ask {
        key: AskKey {
            request_id: Name::parse("request_id", &wire.request_id)?,
            client: Name::parse("client", &wire.client)?,
            token,
        },
        count: in_range("count", wire.count, 0..=MAX_TRIALS_PER_ASK)?.max(1),
        lease_ms: if wire.lease_ms == 0 {
            DEFAULT_LEASE_MS
        } else {
            in_range("lease_ms", wire.lease_ms, MIN_LEASE_MS..=MAX_LEASE_MS)?
        },
    })
}

/// Converts a reply to the wire.
pub fn encode_asked(asked: &AskReply) -> v1::AskTrialsResponse {
    v1::AskTrialsResponse {
        trials: asked.trials.iter().map(encode_asked_trial).collect(),
        over: asked.is_over,
    }
}

fn encode_asked_trial(asked: &AskedTrial) -> v1::AskedTrial {
    v1::AskedTrial {
        trial: asked.trial.0,
        attempt: asked.attempt.0,
        lease: asked.lease.0,
        assignment: Some(encode_assignment(&asked.assignment)),
        epochs: asked.epochs,
        reason: Some(encode_reason(&asked.reason)),
    }
}

/// Reads a report. The caller reads the sweep.
///
/// # Errors
/// The first field that is wrong, such as `epoch`.
pub fn decode_report(
    wire: v1::ReportTrialRequest,
    token: Option<TokenId>,
) -> Result<Report, Problem> {
    let metrics = decode_named(wire.epoch, wire.metrics)?;
    Ok(Report {
        trial: TrialNumber(wire.trial),
        lease: LeaseId(positive("lease", wire.lease)?),
        token,
        metrics,
        seconds: optional_seconds("seconds", wire.seconds)?,
    })
}

/// The number of a verdict on the wire.
pub fn verdict_to_wire(verdict: Verdict) -> i32 {
    match verdict {
        Verdict::Continue => v1::Verdict::Continue,
        Verdict::Stop => v1::Verdict::Stop,
    }
    .into()
}

/// Reads the end of a trial. The caller reads the sweep.
///
/// # Errors
/// The first field that is wrong, such as `outcome`.
pub fn decode_tell(wire: v1::TellTrialRequest, token: Option<TokenId>) -> Result<Tell, Problem> {
    let has_last = wire.epoch != 0 || !wire.metrics.is_empty();
    Ok(Tell {
        trial: TrialNumber(wire.trial),
        lease: LeaseId(positive("lease", wire.lease)?),
        token,
        outcome: decode_outcome(wire.outcome, wire.message)?,
        last: has_last.then(|| decode_named(wire.epoch, wire.metrics)).transpose()?,
        seconds: seconds("seconds", wire.seconds)?,
    })
}
