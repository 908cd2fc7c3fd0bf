//! Whom a client trusts, and where it finds out.
//!
//! ```text
//! Finder: --join, CAVIAR_JOIN, --coordinator, files of the user --> Target
//! Target: a join string, or an address without encryption       --> Dialer
//! PinVerifier: the certificate's authority has the pinned key   --> only then the token is sent
//! ```

mod bearer;
mod files;
mod find;
mod verify;

pub(crate) use bearer::Bearer;
pub use files::{SecretFileError, read_secret_file};
pub use find::{FindError, Finder, Found, FoundIn};
pub(crate) use verify::PinVerifier;
pub use verify::{PinError, pin_of};

use std::path::PathBuf;

use caviar_common::address::{Address, AddressError, AddressProblem};
use caviar_common::join::JoinString;

/// How a coordinator is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// With encryption, at any of the addresses of a join string.
    Trusted(JoinString),
    /// Without encryption and without a token. Only a coordinator that was started with
    /// `--insecure` accepts this.
    Plain(Address),
}

impl Target {
    /// A coordinator without encryption at an `http://` address.
    ///
    /// # Errors
    /// The text is not an address, or its port is 0.
    pub fn plain(text: &str) -> Result<Self, AddressError> {
        Ok(Self::Plain(dialable(text)?))
    }

    /// The addresses, the preferred one first.
    pub fn addresses(&self) -> &[Address] {
        match self {
            Self::Trusted(join) => &join.addresses,
            Self::Plain(address) => std::slice::from_ref(address),
        }
    }
}

impl From<JoinString> for Target {
    fn from(join: JoinString) -> Self {
        Self::Trusted(join)
    }
}

/// The certificate with which a client shows who it is, for coordinators that ask for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The file with the certificate and the chain of its authorities, in PEM.
    pub certificate: PathBuf,
    /// The file with its private key, in PEM.
    pub key: PathBuf,
}

/// An address that can be dialled: its port is not 0.
pub(crate) fn dialable(text: &str) -> Result<Address, AddressError> {
    let address: Address = text.parse()?;
    if address.port() == 0 {
        return Err(AddressError { text: text.to_owned(), problem: AddressProblem::AnyPort });
    }
    Ok(address)
}
