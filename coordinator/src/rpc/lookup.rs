//! Finding what a caller named, and saying what may have been meant where there is no such thing.

use caviar_common::error::ErrorClass;
use caviar_common::ids::{SweepId, TrialNumber};
use caviar_common::limits::MAX_NAME_CHARS;
use caviar_common::text::edit_distance;
use caviar_core::Coordinator;
use caviar_proto::status;
use tonic::Status;

use super::Api;

/// Names that are looked at for a hint.
const MAX_LOOKED_AT: usize = 1_000;
/// Names that a hint lists.
const MAX_LISTED: usize = 8;

impl Api {
    /// The sweep of that name or number.
    pub(super) async fn find(&self, sweep: String) -> Result<SweepId, Status> {
        let name = sweep.clone();
        if let Some(id) = self.read(move |core| core.find(&name)).await? {
            return Ok(id);
        }
        let list = |core: &Coordinator| {
            core.record()
                .sweeps()
                .values()
                .take(MAX_LOOKED_AT)
                .map(|s| s.spec().name.to_string())
                .collect()
        };
        let names: Vec<String> = self.read(list).await?;
        Err(no_such_sweep(&sweep, &names))
    }
}

/// The error for a trial that is not there (yet).
pub(super) fn no_such_trial(sweep: &str, trial: TrialNumber) -> Status {
    let sweep: String = sweep.chars().take(MAX_NAME_CHARS).collect();
    status::new(
        ErrorClass::NotFound,
        format!("sweep {sweep} has no trial {trial}; hint: it may not be sampled yet"),
    )
}

fn no_such_sweep(asked: &str, names: &[String]) -> Status {
    let asked: String = asked.chars().take(MAX_NAME_CHARS).collect();
    status::new(
        ErrorClass::NotFound,
        format!("there is no sweep {asked:?}; hint: {}", hint(&asked, names)),
    )
}

fn hint(asked: &str, names: &[String]) -> String {
    let nearest = names.iter().map(|name| (edit_distance(asked, name), name)).min();
    match nearest {
        None => "there are no sweeps; caviar submit makes one".to_owned(),
        Some((typos, name)) if typos <= 2 && typos < asked.chars().count() => {
            format!("did you mean {name}?")
        }
        Some(_) => {
            let listed: Vec<&str> = names.iter().take(MAX_LISTED).map(String::as_str).collect();
            let more = if names.len() > MAX_LISTED { ", ..." } else { "" };
            format!("there is {}{more}", listed.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_recognised() {
        let names = ["digits".to_owned(), "letters".to_owned()];
        assert_eq!(hint("digts", &names), "did you mean digits?");
        assert_eq!(hint("mnist", &names), "there is digits, letters");
        assert_eq!(hint("mnist", &[]), "there are no sweeps; caviar submit makes one");
    }
}
