//! How the parts of a job find their coordinator. Everything about addresses and join strings that
//! `caviar slurm` needs is here.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context;
use caviar_client::{
    Client, ConnectionError, Dialer, FindError, Finder, Found, FoundIn, Target, read_secret_file,
};
use caviar_common::join::{JoinString, Role, join_file, trust_folder};

use crate::args::Source;
use crate::failure::Failure;
use crate::place::Place;

/// Digits of the pin that name a coordinator: 64 bits.
const NAME_DIGITS: usize = 16;
const HOW_TO_MAKE_ONE: &str =
    "to make one for workers: caviar tokens create --role worker --output worker.join";

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

/// Fails if the join string is on standard input.
pub(crate) fn check_is_not_input(source: &Source) -> Result<(), Failure> {
    if source.connection.join.as_deref() != Some(Path::new("-")) {
        return Ok(());
    }
    Err(Failure::hinted(
        "--join -: the command and its jobs read the join string more than once",
        "write the join string to a file of mode 0600 that every node sees",
    )
    .in_input())
}

/// The arguments by which a worker of the same user, on any node with the same folders, finds the
/// coordinator that this command asks.
pub(crate) fn worker_arguments(source: &Source) -> Result<Vec<String>, Failure> {
    Ok(arguments(source, worker_file(source)?.as_deref()))
}

/// The arguments of a worker that reads its join string from this file.
pub(crate) fn worker_arguments_with(source: &Source, file: &Path) -> Result<Vec<String>, Failure> {
    let refused = |why: String| {
        let message = format!("--worker-join {}: {why}", file.display());
        Failure::hinted(message, HOW_TO_MAKE_ONE).in_input()
    };
    let text = read_secret_file(file).map_err(|error| refused(error.to_string()))?;
    let join: JoinString = text.parse().map_err(|error| refused(format!("{error}")))?;
    if join.role != Role::Worker {
        return Err(refused(format!(
            "expected a join string of the role worker, not {}",
            join.role
        )));
    }
    match target_of(source) {
        Ok(Target::Trusted(own)) if own.pin != join.pin => {
            Err(refused("it is for another coordinator".to_owned()))
        }
        Ok(_) | Err(_) => Ok(arguments(source, Some(file))),
    }
}

fn arguments(source: &Source, join: Option<&Path>) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(file) = join {
        words.extend(["--join".to_owned(), absolute(file).display().to_string()]);
    }
    if let Some(address) = &source.connection.coordinator {
        words.extend(["--coordinator".to_owned(), address.clone()]);
    }
    words
}

/// The file with the join string for workers. `None` if a worker finds it in the home folder, or
/// needs none.
fn worker_file(source: &Source) -> Result<Option<PathBuf>, Failure> {
    if let Place::Store(store) = source.place()? {
        let file = join_file(&trust_folder(&store), Role::Worker);
        // A store that no coordinator has open has none: the worker looks in the home folder.
        return Ok(file.is_file().then_some(file));
    }
    let finder = source.connection.finder();
    if finder.join.is_none() && finder.variable.is_none() {
        return Ok(None);
    }
    let found = finder.find_place(Role::Worker).map_err(not_found)?;
    let Target::Trusted(join) = &found.target else { return Ok(None) };
    if let (FoundIn::File(file), Role::Worker) = (&found.place, join.role) {
        return Ok(Some(file.clone()));
    }
    let file = file_next_to(&found.place, join).or_else(|| file_of_user(&finder, join));
    file.map(Some).ok_or_else(|| no_worker_file(&found.place, join.role))
}

/// The file for workers in the trust folder that has this file of another role.
fn file_next_to(place: &FoundIn, join: &JoinString) -> Option<PathBuf> {
    let FoundIn::File(other) = place else { return None };
    let file = join_file(other.parent()?, Role::Worker);
    let found: JoinString = read_secret_file(&file).ok()?.parse().ok()?;
    (found.role == Role::Worker && found.pin == join.pin).then_some(file)
}

/// The file for workers that the same coordinator has left in the home folder.
fn file_of_user(finder: &Finder, join: &JoinString) -> Option<PathBuf> {
    let place = FoundIn::UserFolder(PathBuf::new());
    let known = Found { target: Target::Trusted(join.clone()), place };
    let found = finder.find_again(Role::Worker, &known).ok()??;
    match found.place {
        FoundIn::UserFolder(file) => Some(file),
        FoundIn::Address | FoundIn::File(_) | FoundIn::Input | FoundIn::Variable => None,
    }
}

fn no_worker_file(place: &FoundIn, role: Role) -> Failure {
    Failure::with_hints(
        format!(
            "the jobs need a file with a join string of the role worker, and {place} has one of \
             the role {role}"
        ),
        vec!["name that file with --worker-join FILE".to_owned(), HOW_TO_MAKE_ONE.to_owned()],
    )
    .in_input()
}

/// Fails unless the token of this client may read sweeps and workers.
pub(crate) async fn check_may_read(client: &Client) -> anyhow::Result<()> {
    // An earlier release does not tell the role.
    let token = client.coordinator().await?.and_then(|info| info.token);
    if token.is_none_or(|token| token.role != Role::Worker.name()) {
        return Ok(());
    }
    Err(Failure::with_hints(
        "the join string has the role worker, with which sweeps cannot be read: expected view, \
         submit or admin",
        vec![
            "to make one, as an admin: caviar tokens create --role view --output view.join"
                .to_owned(),
            "then: --join view.join for this command, and --worker-join FILE with the role worker \
             for its jobs"
                .to_owned(),
        ],
    )
    .in_input()
    .into())
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
    finder.find(Role::Worker).map_err(not_found)
}

fn not_found(error: FindError) -> Failure {
    let error = ConnectionError::from(error);
    Failure::with_hints(error.to_string(), error.hints())
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
        HOW_TO_MAKE_ONE,
    ))
}
