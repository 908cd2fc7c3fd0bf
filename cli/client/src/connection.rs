//! Connections to coordinators that were found, and the reasons why one cannot be opened.

use std::path::PathBuf;

use caviar_common::error::ErrorClass;

use crate::client::Client;
use crate::dial::DialerError;
use crate::error::Error;
use crate::trust::{FindError, Found};

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
