//! The options of a command line that say which coordinator is meant.

use std::path::PathBuf;

use caviar_common::error::ErrorClass;
use caviar_common::join::Role;

use crate::dial::{Dialer, DialerError};
use crate::trust::{ClientCertificate, FindError, Finder};

/// Options for a program that connects to a coordinator.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct ConnectionArguments {
    /// Address of the coordinator: HOST:PORT, HOST or :PORT, or several separated by commas
    /// [default: the addresses in the join string]
    #[arg(long, env = "CAVIAR_COORDINATOR", hide_env_values = true, value_name = "ADDRESS")]
    pub coordinator: Option<String>,
    /// File of mode 0600 with a join string, or - for standard input [default: the value of
    /// CAVIAR_JOIN, or else what a coordinator of this user left in the home folder]
    #[arg(long, value_name = "FILE")]
    pub join: Option<PathBuf>,
    /// Certificate in PEM, for a coordinator that asks for one
    #[arg(
        long,
        env = "CAVIAR_CLIENT_CERTIFICATE",
        hide_env_values = true,
        value_name = "FILE",
        requires = "client_key",
        hide_short_help = true
    )]
    pub client_certificate: Option<PathBuf>,
    /// Private key of the certificate, in PEM
    #[arg(
        long,
        env = "CAVIAR_CLIENT_KEY",
        hide_env_values = true,
        value_name = "FILE",
        requires = "client_certificate",
        hide_short_help = true
    )]
    pub client_key: Option<PathBuf>,
}

/// Why no coordinator can be dialled.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The coordinator, or trust in it, was not found.
    #[error(transparent)]
    Find(#[from] FindError),
    /// It cannot be dialled.
    #[error(transparent)]
    Dialer(#[from] DialerError),
}

impl ConnectionError {
    /// What a caller can do about it.
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Find(FindError::Missing { .. }) => ErrorClass::NotFound,
            Self::Find(_) | Self::Dialer(_) => ErrorClass::Invalid,
        }
    }

    /// What to do about it, for people.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Find(error) => error.hints(),
            Self::Dialer(_) => Vec::new(),
        }
    }
}

impl ConnectionArguments {
    /// The coordinator that is meant, with a token of this role where the user has several.
    ///
    /// # Errors
    /// No join string was found, or something that was given cannot be used.
    pub fn dialer(&self, role: Role) -> Result<Dialer, ConnectionError> {
        Ok(Dialer::new(self.finder().find(role)?, self.certificate().as_ref())?)
    }

    /// What finds the coordinator that is meant.
    pub fn finder(&self) -> Finder {
        Finder::from_environment(self.coordinator.clone(), self.join.clone())
    }

    /// The certificate for a coordinator that asks for one.
    pub fn certificate(&self) -> Option<ClientCertificate> {
        let (certificate, key) = (self.client_certificate.clone()?, self.client_key.clone()?);
        Some(ClientCertificate { certificate, key })
    }
}
