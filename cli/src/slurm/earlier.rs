//! A sweep of the same name in the store of a job.

use std::path::Path;

use caviar_client::ConnectionArguments;
use caviar_common::ids::Name;
use caviar_common::outcome::SweepState;
use caviar_common::view::SweepView;

use crate::args::Source;
use crate::embedded::Reader;
use crate::failure::Failure;
use crate::sweep_file::SweepSource;

/// The sweep of this name. `None` if the store has none, or cannot be read from this host: then the
/// job finds out.
pub(super) async fn earlier_sweep(store: &Path, name: &Name) -> Option<SweepView> {
    if !store.is_file() {
        return None;
    }
    let connection = ConnectionArguments::default();
    let source = Source { connection, store: Some(store.to_owned()) };
    let sweeps = Reader::with(&source, async |reader| Ok(reader.client.list_sweeps().await?)).await;
    sweeps.ok()?.into_iter().find(|sweep| sweep.name == *name)
}

/// Fails if a job cannot continue the sweep with this file.
pub(super) fn check_can_continue(
    source: &SweepSource,
    sweep: &SweepView,
    store: &Path,
) -> Result<(), Failure> {
    let (name, store) = (&sweep.name, store.display());
    if source.has_changed_since(sweep) {
        let message = format!("{store} has a sweep {name}, and its file has changed since");
        let hint = "to keep both: --name NAME; to start again, delete it first: caviar delete";
        return Err(Failure::hinted(message, format!("{hint} {name} --store {store}")));
    }
    if sweep.state == SweepState::Cancelled {
        let message = format!("sweep {name} was cancelled and cannot continue");
        let hint = format!("to delete it: caviar delete {name} --store {store}");
        return Err(Failure::hinted(message, hint));
    }
    Ok(())
}
