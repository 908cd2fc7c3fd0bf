//! How the parts of a job find their coordinator. Everything about addresses and join strings that
//! `caviar slurm` needs is here.

use std::path::{Path, PathBuf};

use caviar_client::{Client, holder_of};
use caviar_common::address::address_file;

use crate::args::Source;
use crate::failure::Failure;
use crate::place::Place;

/// How the parts of a job find its coordinator: by files next to the store, which every node sees.
#[derive(Clone, Debug)]
pub(crate) struct Meeting {
    store: PathBuf,
}

impl Meeting {
    /// The meeting of the job of this number.
    pub(crate) fn new(store: &Path, _job: &str) -> Self {
        Self { store: store.to_owned() }
    }

    /// The file that the coordinator writes once everything else is there.
    pub(crate) fn file(&self) -> PathBuf {
        address_file(&self.store)
    }

    /// The arguments of the coordinator.
    pub(crate) fn coordinator(&self) -> Vec<String> {
        let store = self.store.to_string_lossy().into_owned();
        ["coordinator", "--listen", "127.0.0.1:0", "--store", &store].map(str::to_owned).into()
    }

    /// The arguments by which a worker finds the coordinator, once the file is there.
    pub(crate) fn worker(&self) -> Vec<String> {
        let address = std::fs::read_to_string(self.file()).unwrap_or_default();
        vec!["--coordinator".to_owned(), address.trim().to_owned()]
    }

    /// Connects to the coordinator, once the file is there.
    pub(crate) async fn connect(&self) -> anyhow::Result<Client> {
        let message = || Failure::with_hints("the coordinator does not answer", Vec::new());
        Ok(holder_of(&self.store).await.ok_or_else(message)?)
    }
}

/// The arguments by which a worker on any node finds the coordinator that this command asks.
pub(crate) fn worker_arguments(source: &Source) -> Result<Vec<String>, Failure> {
    let address = match source.place()? {
        Place::Coordinator(address) => address,
        Place::Store(store) => std::fs::read_to_string(address_file(&store))
            .map_or_else(|_| source.connection.url().to_owned(), |text| text.trim().to_owned()),
    };
    Ok(vec!["--coordinator".to_owned(), address])
}

/// The join string of the coordinator that this command asks, for a worker on a host that cannot
/// read its file; `None` if there is none.
pub(crate) fn secret_of(_source: &Source) -> Result<Option<String>, Failure> {
    Ok(None)
}
