//! How the parts of a job find their coordinator. Everything about addresses and join strings that
//! `caviar slurm` needs is here.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context;
use caviar_client::{Client, ConnectionError, Dialer, Finder, Target, read_secret_file};
use caviar_common::join::{JoinString, Role, join_file, trust_folder};

use crate::args::Source;
use crate::failure::Failure;
use crate::place::Place;

/// Digits of the pin that name a coordinator: 64 bits.
const NAME_DIGITS: usize = 16;

/// How the parts of a job find its coordinator: by files next to the store, which every node sees
/// and only this user can read.
#[derive(Clone, Debug)]
pub(crate) struct Meeting {
    store: PathBuf,
    /// The join string for the workers of the job.
    file: PathBuf,
}

impl Meeting {
    /// The meeting of the job of this number.
    pub(crate) fn new(store: &Path, job: &str) -> Self {
        let mut file = OsString::from(store);
        file.push(format!(".job-{job}.join"));
        Self { store: store.to_owned(), file: file.into() }
    }

    /// The file that the coordinator writes when it listens.
    pub(crate) fn file(&self) -> PathBuf {
        self.file.clone()
    }

    /// The arguments of the coordinator.
    pub(crate) fn coordinator(&self) -> Vec<String> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let (store, file) = (text(&self.store), text(&self.file));
        ["coordinator", "--listen", ":0", "--store", &store, "--join-file", &file]
            .map(str::to_owned)
            .into()
    }

    /// The arguments by which a worker finds the coordinator, once the file is there.
    pub(crate) fn worker(&self) -> Vec<String> {
        vec!["--join".to_owned(), self.file.to_string_lossy().into_owned()]
    }

    /// Connects to the coordinator, once the file is there.
    pub(crate) async fn connect(&self) -> anyhow::Result<Client> {
        let file = join_file(&trust_folder(&self.store), Role::Admin);
        let join: JoinString = read_secret_file(&file)?
            .parse()
            .with_context(|| format!("reading {}", file.display()))?;
        Ok(Client::connect(&Dialer::new(Target::Trusted(join), None)?).await?)
    }
}

/// The arguments by which a worker of the same user, on any node with the same folders, finds the
/// coordinator that this command asks.
pub(crate) fn worker_arguments(source: &Source) -> Result<Vec<String>, Failure> {
    let option = |name: &str, value: String| vec![name.to_owned(), value];
    let connection = &source.connection;
    let mut words = Vec::new();
    match (source.place()?, &connection.join) {
        (Place::Store(store), _) => {
            let file = absolute(&join_file(&trust_folder(&store), Role::Worker));
            // A store that no coordinator has open has none: the worker looks in the home folder.
            if file.is_file() {
                words.extend(option("--join", file.display().to_string()));
            }
        }
        (Place::Coordinator, Some(join)) if join.as_os_str() == "-" => {
            return Err(Failure::hinted(
                "--join -: the workers of a job cannot read this command's standard input",
                "write the join string to a file of mode 0600 that every node sees",
            )
            .in_input());
        }
        (Place::Coordinator, Some(join)) => {
            words.extend(option("--join", absolute(join).display().to_string()));
        }
        (Place::Coordinator, None) => {}
    }
    if let Some(address) = &connection.coordinator {
        words.extend(option("--coordinator", address.clone()));
    }
    Ok(words)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// What names the coordinator for as long as its store exists: the beginning of its pin, or its
/// address if it has no encryption.
pub(crate) fn name_of(source: &Source) -> Result<String, Failure> {
    Ok(match target_of(source)? {
        Target::Trusted(join) => join.pin.to_string().chars().take(NAME_DIGITS).collect(),
        Target::Plain(address) => address.url(),
    })
}

fn target_of(source: &Source) -> Result<Target, Failure> {
    let connection = &source.connection;
    let mut finder =
        Finder::from_environment(connection.coordinator.clone(), connection.join.clone());
    if let Place::Store(store) = source.place()? {
        let file = join_file(&trust_folder(&store), Role::Worker);
        finder.join = file.is_file().then_some(file);
    }
    finder.find(Role::Worker).map_err(|error| {
        let error = ConnectionError::from(error);
        Failure::with_hints(error.to_string(), error.hints())
    })
}

/// The join string for a worker on a host that cannot read this user's files. `None` for a
/// coordinator without encryption.
pub(crate) fn secret_of(source: &Source) -> Result<Option<String>, Failure> {
    let Target::Trusted(join) = target_of(source)? else { return Ok(None) };
    if join.role == Role::Worker {
        return Ok(Some(join.reveal()));
    }
    Err(Failure::hinted(
        format!("the join string has the role {}, and a worker should get no more than its own", {
            join.role
        }),
        "to make one for workers: caviar tokens create --role worker --output worker.join",
    ))
}
