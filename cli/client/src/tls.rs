//! What can be wrong with a TLS connection, in words for people.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use caviar_common::utc;
use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::{AlertDescription, CertificateError, Error};

use crate::trust::PinError;

/// Why the TLS handshake with a coordinator failed. Its text may end with a hint: `; hint: ...`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsProblem {
    /// The certificate is of another authority.
    #[error(transparent)]
    Pin(PinError),
    /// The certificate is not valid any more.
    #[error(
        "the coordinator's certificate has expired{}; hint: compare the clocks of both hosts with \
         date -u; if they agree, restart the coordinator",
        shown(.0.as_ref(), "until")
    )]
    Expired(Option<Validity>),
    /// The certificate is not valid yet.
    #[error(
        "the coordinator's certificate is not valid yet{}; hint: compare the clocks of both hosts \
         with date -u",
        shown(.0.as_ref(), "from")
    )]
    NotValidYet(Option<Validity>),
    /// The server sends something other than TLS.
    #[error(
        "the server there does not use TLS; hint: if the coordinator was started with --insecure, \
         write its address with http://"
    )]
    NotTls,
    /// The server speaks a protocol that no coordinator speaks.
    #[error(
        "the server there is not a Caviar coordinator; hint: check the address; a coordinator \
         listens on port 7070 unless it is told otherwise"
    )]
    NotACoordinator,
    /// The coordinator asks for a client certificate.
    #[error(
        "the coordinator asks for a client certificate; hint: --client-certificate FILE \
         --client-key FILE"
    )]
    ClientCertificate,
    /// The coordinator does not accept the client certificate.
    #[error(
        "the coordinator does not accept this client certificate; hint: an authority in the file \
         of its --client-authorities must have signed it, and it must be valid now"
    )]
    ClientCertificateRefused,
    /// The coordinator refuses the connection, for this reason.
    #[error("{0}")]
    Refused(String),
    /// The handshake took too long.
    #[error("the server there does not answer within {0:?}")]
    NoAnswer(Duration),
    /// The connection broke in the handshake.
    #[error("{0}")]
    Broken(String),
    /// Something else.
    #[error("TLS: {0}")]
    Other(String),
}

/// The limit of a certificate's validity that was not met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The beginning or the end of its validity.
    pub limit: SystemTime,
    /// What the clock of this host said.
    pub now: SystemTime,
}

impl Validity {
    fn new(limit: UnixTime, now: UnixTime) -> Self {
        Self { limit: time(limit), now: time(now) }
    }
}

fn time(time: UnixTime) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_secs(time.as_secs())).unwrap_or(UNIX_EPOCH)
}

fn shown(validity: Option<&Validity>, word: &str) -> String {
    validity.map_or_else(String::new, |Validity { limit, now }| {
        let (limit, now) = (utc::to_second(*limit), utc::to_second(*now));
        format!(": it is valid {word} {limit}, and the clock of this host says {now}")
    })
}

impl From<&Error> for TlsProblem {
    fn from(error: &Error) -> Self {
        if let Error::InvalidCertificate(problem) = error {
            Self::of_certificate(problem)
        } else if let Error::InvalidMessage(_) = error {
            Self::NotTls
        } else if let Error::AlertReceived(AlertDescription::CertificateRequired) = error {
            Self::ClientCertificate
        } else if let Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::DecryptError,
        ) = error
        {
            Self::ClientCertificateRefused
        } else {
            Self::Other(error.to_string())
        }
    }
}

impl TlsProblem {
    fn of_certificate(problem: &CertificateError) -> Self {
        if let CertificateError::Other(other) = problem {
            let pin = other.0.downcast_ref::<PinError>();
            pin.map_or_else(|| Self::Other(other.to_string()), |pin| Self::Pin(*pin))
        } else if let CertificateError::Expired = problem {
            Self::Expired(None)
        } else if let CertificateError::ExpiredContext { time, not_after } = problem {
            Self::Expired(Some(Validity::new(*not_after, *time)))
        } else if let CertificateError::NotValidYet = problem {
            Self::NotValidYet(None)
        } else if let CertificateError::NotValidYetContext { time, not_before } = problem {
            Self::NotValidYet(Some(Validity::new(*not_before, *time)))
        } else {
            Self::Other(Error::from(problem.clone()).to_string())
        }
    }

    /// An error of rustls is inside an I/O error.
    pub(crate) fn of_io(error: &io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        inner.map_or_else(|| Self::Broken(error.to_string()), Self::from)
    }
}
