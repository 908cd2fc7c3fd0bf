//! Connecting to the coordinator that was found, or to the next one that may be meant.

use std::path::PathBuf;
use std::time::Duration;

use caviar_common::error::ErrorClass;

use crate::client::{CONNECT_TIMEOUT, Client, FIRST_REPLY_TIMEOUT};
use crate::dial::{Dialer, DialerError};
use crate::error::Error;
use crate::trust::{ClientCertificate, FindError, Found, FoundIn};

/// How long a further coordinator may take to accept the connection.
const NEXT_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a coordinator was not connected to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The coordinator, or trust in it, was not found.
    #[error(transparent)]
    Find(#[from] FindError),
    /// It cannot be dialled.
    #[error(transparent)]
    Dialer(#[from] DialerError),
    /// It does not answer, or refuses.
    #[error(transparent)]
    Client(#[from] Error),
    /// None of the coordinators whose join strings are in the user's folder answers.
    #[error("{error}")]
    Away {
        /// What is wrong with the first one.
        error: Box<Error>,
        /// The files with their join strings, in the order in which they were tried.
        files: Vec<PathBuf>,
    },
}

impl ConnectionError {
    /// What a caller can do about it.
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Find(FindError::Missing { .. }) => ErrorClass::NotFound,
            Self::Find(_) | Self::Dialer(_) => ErrorClass::Invalid,
            Self::Client(error) => error.class(),
            Self::Away { error, .. } => error.class(),
        }
    }

    /// What to do about it, for people, next to what the error in it proposes.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Find(error) => error.hints(),
            Self::Away { files, .. } => {
                let names: Vec<String> =
                    files.iter().map(|file| file.display().to_string()).collect();
                vec![format!(
                    "the join string is from {}; remove the file of a coordinator that is gone",
                    names.join(", then from ")
                )]
            }
            Self::Dialer(_) | Self::Client(_) => Vec::new(),
        }
    }
}

/// A connection to a coordinator that was found.
#[derive(Clone, Debug)]
pub struct Connected {
    /// The connection.
    pub client: Client,
    /// How it was found.
    pub found: Found,
    /// Files with later join strings, whose coordinators do not answer.
    pub away: Vec<PathBuf>,
}

/// Connects to the first of the coordinators that may be meant whose address leads to it.
///
/// # Errors
/// None answers, or the first that answers refuses.
pub(crate) async fn connect(
    all: Vec<Found>,
    certificate: Option<&ClientCertificate>,
) -> Result<Connected, ConnectionError> {
    let (mut first, mut away) = (None, Vec::new());
    for found in all {
        let dialer = Dialer::new(found.target.clone(), certificate)?;
        let within = if first.is_none() { CONNECT_TIMEOUT } else { NEXT_TIMEOUT };
        let error = match dialer.dial(within).await {
            Ok(channel) => {
                let client = Client::greet(channel, &dialer, FIRST_REPLY_TIMEOUT).await?;
                return Ok(Connected { client, found, away });
            }
            Err(error) => Error::from_dial(error, &dialer.url()),
        };
        first.get_or_insert(error);
        if let FoundIn::UserFolder(file) = found.place {
            away.push(file);
        }
    }
    let Some(error) = first else {
        return Err(FindError::Missing { wanted: "a coordinator".to_owned(), folder: None }.into());
    };
    if away.is_empty() {
        return Err(error.into());
    }
    Err(ConnectionError::Away { error: Box::new(error), files: away })
}
