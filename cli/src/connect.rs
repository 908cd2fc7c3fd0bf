//! Connecting to the coordinator that the options mean.

use std::fmt;
use std::path::{Path, PathBuf};

use caviar_client::{
    Client, Connected, ConnectionArguments, ConnectionError, Found, FoundIn, Target, holder_of,
};
use caviar_common::address::address_file;
use caviar_common::join::{JoinString, Role, join_file, trust_folder};

use crate::args::Source;
use crate::place::{Place, connection_option};
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

/// A connection that can say which coordinator it leads to, and how other commands get there.
pub(crate) struct Named<'a> {
    arguments: &'a ConnectionArguments,
    connected: Connected,
    /// Whether nothing named a coordinator, and there were several.
    is_one_of_several: bool,
}

impl<'a> Named<'a> {
    /// Connects as [`connect`] does.
    pub(crate) async fn connect(arguments: &'a ConnectionArguments) -> anyhow::Result<Self> {
        let all = arguments.finder().find_all(Role::Admin).map_err(ConnectionError::from)?;
        let is_one_of_several = all.len() > 1;
        let connected = connect_to(arguments, all).await?;
        Ok(Self { arguments, connected, is_one_of_several })
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.connected.client
    }

    /// The options with which a command that reads asks this coordinator, with a space before each.
    /// Empty if no option is needed.
    pub(crate) async fn option(&self) -> String {
        let named = connection_option(self.arguments);
        if self.connected.found.place == FoundIn::Input {
            return format!("{named} --join -");
        }
        if !named.is_empty() || self.is_default().await {
            return named;
        }
        if let FoundIn::UserFolder(file) = &self.connected.found.place
            && !self.is_known_by_address()
        {
            return format!(" --join {}", file.display());
        }
        format!(" --coordinator {}", self.address())
    }

    /// The address that was dialled, as `HOST:PORT` if it needs a join string.
    fn address(&self) -> String {
        let url = self.connected.client.url();
        url.strip_prefix("https://").unwrap_or(url).to_owned()
    }

    /// Whether a command without options asks this coordinator, and not a store in this folder or
    /// of the environment, or another coordinator.
    async fn is_default(&self) -> bool {
        let store = std::env::var_os("CAVIAR_STORE").map(PathBuf::from);
        match (Source { connection: self.arguments.clone(), store }).place() {
            Ok(Place::Coordinator) => !self.is_one_of_several,
            Ok(Place::Store(store)) => self.has_open(&store).await,
            Err(_) => false,
        }
    }

    /// Whether this coordinator has the store open, and commands with the store find it.
    async fn has_open(&self, store: &Path) -> bool {
        let is_its_store = match &self.connected.found.target {
            Target::Trusted(join) => pin_of(store).is_some_and(|pin| pin == join.pin.to_string()),
            Target::Plain(address) => std::fs::read_to_string(address_file(store))
                .is_ok_and(|text| text.trim() == address.url()),
        };
        let certificate = self.arguments.certificate();
        is_its_store && matches!(holder_of(store, certificate.as_ref()).await, Ok(Some(_)))
    }

    /// Whether its address is enough to find its join string in the user's folder.
    fn is_known_by_address(&self) -> bool {
        let mut finder = self.arguments.finder();
        finder.coordinator = Some(self.address());
        match (finder.find(Role::Admin), &self.connected.found.target) {
            (Ok(Target::Trusted(found)), Target::Trusted(own)) => found.pin == own.pin,
            _ => false,
        }
    }
}

/// The pin of the coordinator of a store, as far as its files tell.
fn pin_of(store: &Path) -> Option<String> {
    let file = join_file(&trust_folder(store), Role::Admin);
    let join: JoinString = std::fs::read_to_string(file).ok()?.parse().ok()?;
    Some(join.pin.to_string())
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the coordinator at {}", self.connected.client.url())?;
        let place = &self.connected.found.place;
        if *place == FoundIn::Address {
            return Ok(());
        }
        write!(f, " (join string from {place})")
    }
}
