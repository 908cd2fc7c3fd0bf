//! Finding the coordinator that holds a store.

use std::path::Path;
use std::time::Duration;

use caviar_common::address::{Address, address_file};
use caviar_common::join::{JoinString, MAX_ADDRESSES, Role, join_file, trust_folder};
use futures_core::future::BoxFuture;
use tokio::io::AsyncReadExt;

use crate::client::Client;
use crate::connection::ConnectionError;
use crate::dial::Dialer;
use crate::trust::{ClientCertificate, Target, read_secret_file};

/// How long the coordinator may take to accept the connection, and then to reply. It usually runs
/// on this machine.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Longest text in an address file, in bytes.
const MAX_FILE_BYTES: u64 = 1_024;

/// Connects to the coordinator that published its address next to `store`, as coordinators and
/// `caviar run` do. If nothing answers there, it tries the addresses in the join string next to the
/// store, so that another host that shares the store finds it too. Returns `None` if a file is
/// missing.
///
/// # Errors
/// Nothing answers, or what answers is not the coordinator, or refuses this client.
///
/// A process that was killed leaves its file behind, and another coordinator may listen at the
/// address in it by now. Use this only for a store that is known to be in use.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let store = folder.path().join("caviar.db");
/// # let mut server = caviar_coordinator::start(caviar_coordinator::ServerConfig {
/// #     listen: "127.0.0.1:0".parse()?,
/// #     store: store.clone(),
/// #     core: caviar_core::input::Config::default(),
/// #     ticks: true,
/// #     security: caviar_coordinator::Security::Plain,
/// # })
/// # .await?;
/// # server.publish_address(&store);
/// // `store` is the path of a store in use, such as "caviar.db".
/// if let Ok(Some(client)) = caviar_client::holder_of(&store, None).await {
///     println!("{} sweeps at {}", client.list_sweeps().await?.len(), client.url());
/// }
/// # assert!(caviar_client::holder_of(&store, None).await?.is_some());
/// # server.stop().await?;
/// # assert!(caviar_client::holder_of(&store, None).await?.is_none());
/// # Ok(())
/// # }
/// ```
pub fn holder_of<'a>(
    store: &'a Path,
    certificate: Option<&'a ClientCertificate>,
) -> BoxFuture<'a, Result<Option<Client>, ConnectionError>> {
    Box::pin(async move {
        let Some(target) = target_of(store).await else { return Ok(None) };
        let dialer = Dialer::new(target, certificate)?;
        Ok(Some(Client::connect_within(&dialer, TIMEOUT, TIMEOUT).await?))
    })
}

/// Where the coordinator of a store listens, as far as its files tell.
async fn target_of(store: &Path) -> Option<Target> {
    let mut text = String::new();
    let file = tokio::fs::File::open(address_file(store)).await.ok()?;
    file.take(MAX_FILE_BYTES).read_to_string(&mut text).await.ok()?;
    let address: Address = text.trim().parse().ok()?;
    if address.is_plain() {
        return Some(Target::Plain(address));
    }
    let file = join_file(&trust_folder(store), Role::Admin);
    let join: JoinString = read_secret_file(&file).ok()?.parse().ok()?;
    // On another host that shares the store, the address next to it may lead nowhere.
    let others = join.addresses.iter().filter(|other| **other != address).cloned();
    let addresses = std::iter::once(address.clone()).chain(others).take(MAX_ADDRESSES);
    let addresses = addresses.collect();
    Some(Target::Trusted(join.at(addresses)))
}
