//! Connecting to the coordinator that the options mean.

use caviar_client::{Client, Connected, ConnectionArguments, ConnectionError, Found};
use caviar_common::join::Role;

use crate::progress::talk;

/// Connects, and says so if it is not the coordinator that was started last.
pub(crate) async fn connect(arguments: &ConnectionArguments) -> anyhow::Result<Client> {
    let all = arguments.finder().find_all(Role::Admin).map_err(ConnectionError::from)?;
    Ok(connect_to(arguments, all).await?.client)
}

/// Connects to one of the coordinators that were found.
pub(crate) async fn connect_to(
    arguments: &ConnectionArguments,
    all: Vec<Found>,
) -> anyhow::Result<Connected> {
    let connected = arguments.connect_to(all).await?;
    let url = connected.client.url();
    for file in &connected.away {
        talk(&format!(
            "note: the coordinator of {} does not answer, so this is the one at {url}; remove the \
             file if that coordinator is gone",
            file.display()
        ));
    }
    Ok(connected)
}
