//! The options of a command line that say which coordinator is meant.

use std::path::PathBuf;
use std::time::Duration;

use caviar_common::join::Role;
use futures_core::future::BoxFuture;

use crate::client::{CONNECT_TIMEOUT, Client, FIRST_REPLY_TIMEOUT};
use crate::connection::{Connected, ConnectionError};
use crate::dial::Dialer;
use crate::error::Error;
use crate::shared::SharedDialer;
use crate::trust::{ClientCertificate, FindError, Finder, Found, FoundIn};

/// How long a further coordinator may take to accept the connection.
const NEXT_TIMEOUT: Duration = Duration::from_secs(2);

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

impl ConnectionArguments {
    /// Connects to the first that answers of the coordinators that [`finder`](Self::finder) has
    /// found.
    ///
    /// # Errors
    /// The client certificate cannot be used, or no coordinator answers.
    pub fn connect_to(&self, all: Vec<Found>) -> BoxFuture<'_, Result<Connected, ConnectionError>> {
        Box::pin(async move {
            connect(all, self.certificate().as_ref()).await.map_err(|error| match error {
                // The address is not that of the file.
                ConnectionError::Away { error, .. } if self.coordinator.is_some() => {
                    (*error).into()
                }
                ConnectionError::Find(_)
                | ConnectionError::Dialer(_)
                | ConnectionError::Client(_)
                | ConnectionError::Away { .. } => error,
            })
        })
    }

    /// The coordinator that is meant, for a program that connects to it again and again.
    ///
    /// # Errors
    /// No join string was found, or something that was given cannot be used.
    pub fn dialer(&self, role: Role) -> Result<SharedDialer, ConnectionError> {
        SharedDialer::find(self.finder(), role, self.certificate())
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

/// Connects to the first of the coordinators that may be meant whose address leads to it.
///
/// # Errors
/// No coordinator answers, or the first that answers refuses.
async fn connect(
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
