//! What is found on this host and on the way to the coordinator.

use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use caviar_client::{
    Client, ClockReading, ConnectionArguments, CoordinatorInfo, Dialer, DialerError, Error,
    Examined, FindError, Found, Reached, Target,
};
use caviar_common::join::Role;
use caviar_worker::program::HostArguments;
use caviar_worker::{CacheReport, MemoryLimit, SlotChoice, available_memory};

use crate::args::doctor::Doctor;

/// Everything that the rows are made of.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) way: Way,
    pub(super) host: Host,
    /// The clock of this host.
    pub(super) now: SystemTime,
}

/// The way to the coordinator.
#[derive(Debug)]
pub(super) enum Way {
    /// It is not known which coordinator is meant.
    Unknown(FindError),
    /// A coordinator was named, and how it is to be dialled is wrong.
    Undialled(Found, DialerError),
    /// Its addresses were dialled.
    Dialled {
        found: Found,
        examined: Vec<Examined>,
        /// `None` if no address leads to the coordinator.
        meeting: Option<Meeting>,
    },
}

/// What the coordinator answers.
#[derive(Debug)]
pub(super) enum Meeting {
    /// It does not answer.
    Failed(Error),
    /// It answers.
    Met(Box<Answers>),
}

/// The answers of a coordinator.
#[derive(Debug)]
pub(super) struct Answers {
    /// `None` if the coordinator does not tell.
    pub(super) clock: Result<Option<ClockReading>, Error>,
    /// `None` if the coordinator does not tell.
    pub(super) info: Result<Option<CoordinatorInfo>, Error>,
    /// Why a worker with this token is refused; `None` if it is not.
    pub(super) refusal: Option<Error>,
}

/// What a worker has on this host.
#[derive(Debug)]
pub(super) struct Host {
    /// `None` without a home folder and without `--cache`.
    pub(super) cache: Option<Cache>,
    /// The folder of `--artifacts`, if it cannot be read.
    pub(super) unreadable: Option<(PathBuf, io::Error)>,
    pub(super) slots: SlotChoice,
    pub(super) memory: Option<MemoryLimit>,
    /// In bytes; `None` if the system does not tell.
    pub(super) available: Option<u64>,
}

/// A folder, and what can be kept there.
#[derive(Debug)]
pub(super) struct Cache {
    pub(super) folder: PathBuf,
    pub(super) report: io::Result<CacheReport>,
}

impl Findings {
    /// Looks at everything. What fails is a finding too.
    pub(super) async fn gather(args: &Doctor) -> Self {
        let way = Way::go(&args.connection).await;
        Self { way, host: Host::look(&args.host), now: SystemTime::now() }
    }
}

impl Way {
    async fn go(connection: &ConnectionArguments) -> Self {
        let all = match connection.finder().find_all(Role::Worker) {
            Ok(all) => all,
            Err(error) => return Self::Unknown(error),
        };
        let mut first = None;
        for found in all {
            let way = Self::to(found, connection).await;
            // A worker takes the first that answers too.
            if matches!(way, Self::Dialled { meeting: Some(_), .. }) {
                return way;
            }
            first.get_or_insert(way);
        }
        first.unwrap_or_else(|| {
            let wanted = "a coordinator".to_owned();
            Self::Unknown(FindError::Missing { wanted, folder: None })
        })
    }

    async fn to(found: Found, connection: &ConnectionArguments) -> Self {
        let certificate = connection.certificate();
        let dialer = match Dialer::new(found.target.clone(), certificate.as_ref()) {
            Ok(dialer) => dialer,
            Err(error) => return Self::Undialled(found, error),
        };
        let examined = dialer.examine().await;
        let Some(target) = trusted(&found.target, &examined) else {
            return Self::Dialled { found, examined, meeting: None };
        };
        match Dialer::new(target, certificate.as_ref()) {
            Ok(dialer) => {
                let meeting = Some(Meeting::with(&dialer).await);
                Self::Dialled { found, examined, meeting }
            }
            Err(error) => Self::Undialled(found, error),
        }
    }
}

/// The coordinator at those of its addresses that lead to it; `None` if none does.
fn trusted(target: &Target, examined: &[Examined]) -> Option<Target> {
    let trusted = examined.iter().filter(|it| matches!(it.reached, Reached::Trusted(_)));
    let addresses: Vec<_> = trusted.map(|it| it.address.clone()).collect();
    if addresses.is_empty() {
        return None;
    }
    Some(match target {
        Target::Trusted(join) => Target::Trusted(join.clone().at(addresses)),
        Target::Plain(_) => target.clone(),
    })
}

impl Meeting {
    async fn with(dialer: &Dialer) -> Self {
        let client = match Client::connect(dialer).await {
            Ok(client) => client,
            Err(error) => return Self::Failed(error),
        };
        let clock = client.clock().await;
        let info = client.coordinator().await;
        let may_work = match &info {
            Ok(Some(info)) => info.token.as_ref().is_none_or(|token| is_trainer(&token.role)),
            Ok(None) | Err(_) => false,
        };
        // The coordinator's log has a line for each worker's connection, so it is opened only if
        // the coordinator might refuse it.
        let refusal = match info {
            Ok(_) if !may_work => client.try_to_work().await.err(),
            Ok(_) | Err(_) => None,
        };
        Self::Met(Box::new(Answers { clock, info, refusal }))
    }
}

/// True for a role that may train.
fn is_trainer(role: &str) -> bool {
    [Role::Worker, Role::Admin].iter().any(|known| known.name() == role)
}

impl Host {
    fn look(args: &HostArguments) -> Self {
        let blobs = args.blobs();
        let cache = blobs.cache.map(|folder| {
            let report = CacheReport::of(&folder);
            Cache { folder, report }
        });
        let unreadable = blobs.folder.and_then(|folder| {
            let error = std::fs::read_dir(&folder).err()?;
            Some((folder, error))
        });
        Self {
            cache,
            unreadable,
            slots: args.slots(),
            memory: args.memory(),
            available: available_memory(),
        }
    }
}
