//! Ask and tell: the requests of an external client, which runs trials itself, and the replies.

use serde::{Deserialize, Serialize};

use crate::assignment::Assignment;
use crate::ids::{AttemptNumber, LeaseId, Name, TokenId, TrialNumber};
use crate::metric::NamedMetrics;
use crate::outcome::Outcome;
use crate::reason::Reason;

/// Identifies an ask: the request, and the client that made it. An external client has no
/// connection, so its token and its name tell it from others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AskKey {
    /// Chosen by the client. Request ids of different clients are independent.
    pub request_id: Name,
    /// The name that the client gave itself.
    pub client: Name,
    /// The identity of the token with which the client proved who it is; `None` from a coordinator
    /// without tokens, and in what releases stored that did not tell clients apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
}

/// A request for trials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Identifies the request. A repeated request with the same key gets the same reply.
    pub key: AskKey,
    /// Most trials in the reply, at least 1.
    pub count: u32,
    /// How long the client may be silent about a trial before its lease ends, in milliseconds, from
    /// [`MIN_LEASE_MS`](crate::limits::MIN_LEASE_MS) to
    /// [`MAX_LEASE_MS`](crate::limits::MAX_LEASE_MS).
    pub lease_ms: u64,
}

/// The metrics of one epoch of a trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The trial that was measured.
    pub trial: TrialNumber,
    /// The lease under which the client runs it.
    pub lease: LeaseId,
    /// The identity of the token with which the client proved who it is, which must be that of
    /// the lease; `None` from a coordinator without tokens.
    pub token: Option<TokenId>,
    /// The epoch and its metrics.
    pub metrics: NamedMetrics,
    /// How long the trial has taken so far, in seconds. Shown to users and never used for a
    /// decision.
    pub seconds: Option<f64>,
}

/// The end of a trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Tell {
    /// The trial that ended.
    pub trial: TrialNumber,
    /// The lease under which the client ran it.
    pub lease: LeaseId,
    /// The identity of the token with which the client proved who it is, which must be that of
    /// the lease; `None` from a coordinator without tokens.
    pub token: Option<TokenId>,
    /// How the trial ended.
    pub outcome: Outcome,
    /// Its last epoch; `None` if that was reported before.
    pub last: Option<NamedMetrics>,
    /// How long it took, in seconds. Shown to users and never used for a decision.
    pub seconds: f64,
}

/// A trial that the client is to run.
#[derive(Clone, Debug, PartialEq)]
pub struct AskedTrial {
    /// The number of the trial in its sweep.
    pub trial: TrialNumber,
    /// The number of this execution of the trial, from 1.
    pub attempt: AttemptNumber,
    /// The lease, which every report must name.
    pub lease: LeaseId,
    /// The values of its active parameters.
    pub assignment: Assignment,
    /// Most reports that the client makes of it, at least 1.
    pub epochs: u32,
    /// Why it was chosen.
    pub reason: Reason,
}

/// The reply to an [`Ask`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AskReply {
    /// The trials to run. Empty if no trial can be sampled before other trials report.
    pub trials: Vec<AskedTrial>,
    /// Whether the sweep is completed or cancelled, so that no further trial will come.
    pub is_over: bool,
}

/// The reply to a [`Report`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Continue with the next epoch.
    Continue,
    /// The trial was stopped at a rung. End it and ask for another one.
    Stop,
}
