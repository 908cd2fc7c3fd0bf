//! The two ways in which a request ends without a reply.

use crate::input::Refusal;
use crate::record::Broken;

/// Why a request was not carried out.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The request is at fault: the requester gets the refusal, and the coordinator continues.
    Refused(Refusal),
    /// The coordinator is at fault: the process must end without storing anything of this step.
    Broken(Broken),
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Broken> for Halt {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}
