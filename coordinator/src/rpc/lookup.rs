//! Finds the sweep that a request names. If it does not exist, the error suggests which one the
//! caller may have meant.

use caviar_common::error::ErrorClass;
use caviar_common::ids::{SweepId, TrialNumber};
use caviar_common::limits::MAX_NAME_CHARS;
use caviar_common::text::{edit_distance, shortened};
use caviar_core::Coordinator;
use caviar_proto::status;
use tonic::Status;

use super::api::Api;

/// Most names that are compared for a hint. It bounds the time on the driver's thread.
const MAX_COMPARED: usize = 1_000;
/// Most names that a hint lists.
const MAX_LISTED: usize = 8;
/// Most edits between a name and the one that a hint suggests instead.
const MAX_TYPOS: usize = 2;

impl Api {
    /// The id of the sweep with this name or number.
    pub(super) async fn find(&self, sweep: String) -> Result<SweepId, Status> {
        let name = sweep.clone();
        if let Some(id) = self.read(move |core| core.find(&name)).await? {
            return Ok(id);
        }
        let names_of = |core: &Coordinator| {
            core.record()
                .sweeps()
                .values()
                .take(MAX_COMPARED)
                .map(|s| s.spec().name.to_string())
                .collect()
        };
        let names: Vec<String> = self.read(names_of).await?;
        Err(no_such_sweep(&sweep, &names))
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

fn no_such_sweep(requested: &str, names: &[String]) -> Status {
    let hint = hint(requested, names);
    let requested = shortened(requested, MAX_NAME_CHARS);
    status::new(ErrorClass::NotFound, format!("there is no sweep {requested:?}; hint: {hint}"))
}

fn hint(requested: &str, names: &[String]) -> String {
    let nearest = names.iter().map(|name| (edit_distance(requested, name), name)).min();
    match nearest {
        None => "there are no sweeps; create one with caviar submit".to_owned(),
        Some((typos, name)) if typos <= MAX_TYPOS && typos < requested.chars().count() => {
            format!("did you mean {name}?")
        }
        Some(_) => {
            let listed: Vec<&str> = names.iter().take(MAX_LISTED).map(String::as_str).collect();
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
        let names = ["digits".to_owned(), "letters".to_owned()];
        assert_eq!(hint("digts", &names), "did you mean digits?");
        assert_eq!(hint("mnist", &names), "the sweeps are digits, letters");
        assert_eq!(hint("mnist", &[]), "there are no sweeps; create one with caviar submit");
    }
}
