//! How the parts of a job find their coordinator. Everything about addresses and join strings that
//! `caviar slurm` needs is here.

use std::path::{Path, PathBuf};

use caviar_client::Client;
use caviar_common::address::address_file;

use crate::args::Source;
use crate::failure::Failure;
use crate::place::Place;

/// The file by which the coordinator of a job is found. It is next to the store, so that every node
/// sees it, and has the number of the job in its name.
#[derive(Clone, Debug)]
pub(crate) struct Meeting {
    store: PathBuf,
    file: PathBuf,
}

impl Meeting {
    /// The meeting of the job of this number.
    pub(crate) fn new(store: &Path, _job: &str) -> Self {
        Self { store: store.to_owned(), file: address_file(store) }
    }

    /// The file.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// The arguments of the coordinator.
    pub(crate) fn coordinator(&self) -> Vec<String> {
        let store = self.store.to_string_lossy().into_owned();
        ["coordinator", "--listen", "127.0.0.1:0", "--store", &store].map(str::to_owned).into()
    }

    /// The arguments by which a worker finds the coordinator, once the file is there.
    pub(crate) fn worker(&self) -> Vec<String> {
        vec!["--coordinator".to_owned(), self.address()]
    }

    /// Connects to the coordinator, once the file is there.
    pub(crate) async fn connect(&self) -> anyhow::Result<Client> {
        Ok(Client::connect(&self.address()).await?)
    }

    fn address(&self) -> String {
        std::fs::read_to_string(&self.file).unwrap_or_default().trim().to_owned()
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
