//! Finds the sweep that a request names. If it does not exist, the error suggests which one the
//! caller may have meant.

use std::sync::Arc;

use caviar_common::error::ErrorClass;
use caviar_common::ids::{Name, TrialNumber};
use caviar_common::limits::MAX_NAME_CHARS;
use caviar_common::text::{edit_distance, shortened};
use caviar_proto::status;
use tonic::Status;

use super::api::Api;
use crate::driver::Published;

/// Most names that are compared for a hint.
const MAX_COMPARED: usize = 1_000;
/// Most names that a hint lists.
const MAX_LISTED: usize = 8;
/// Most edits between a name and the one that a hint suggests instead.
const MAX_TYPOS: usize = 2;

impl Api {
    /// The sweep with this name or number, as it was after the last commit.
    pub(super) fn find(&self, sweep: &str) -> Result<Arc<Published>, Status> {
        let sweeps = self.driver.sweeps();
        sweeps.find(sweep).ok_or_else(|| no_such_sweep(sweep, &sweeps.names(MAX_COMPARED)))
    }
}

/// The error for a trial that the sweep does not have, at least not yet.
pub(super) fn no_such_trial(sweep: &str, trial: TrialNumber) -> Status {
    let sweep = shortened(sweep, MAX_NAME_CHARS);
    status::new(
        ErrorClass::NotFound,
        format!("sweep {sweep} has no trial {trial}; hint: it may not be sampled yet"),
    )
}

fn no_such_sweep(requested: &str, names: &[Name]) -> Status {
    let names: Vec<&str> = names.iter().map(Name::as_str).collect();
    let hint = hint(requested, &names);
    let requested = shortened(requested, MAX_NAME_CHARS);
    status::new(ErrorClass::NotFound, format!("there is no sweep {requested:?}; hint: {hint}"))
}

fn hint(requested: &str, names: &[&str]) -> String {
    let nearest = names.iter().map(|name| (edit_distance(requested, name), name)).min();
    match nearest {
        None => "there are no sweeps; create one with caviar submit".to_owned(),
        Some((typos, name)) if typos <= MAX_TYPOS && typos < requested.chars().count() => {
            format!("did you mean {name}?")
        }
        Some(_) => {
            let listed: Vec<&str> = names.iter().take(MAX_LISTED).copied().collect();
            let more = if names.len() > MAX_LISTED { ", ..." } else { "" };
            format!("the sweeps are {}{more}", listed.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_suggests_a_similar_name_or_lists_the_names() {
        let names = ["digits", "letters"];
        assert_eq!(hint("digts", &names), "did you mean digits?");
        assert_eq!(hint("mnist", &names), "the sweeps are digits, letters");
        assert_eq!(hint("mnist", &[]), "there are no sweeps; create one with caviar submit");
    }
}
