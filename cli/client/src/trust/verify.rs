//! Verifying a coordinator's certificate against a pin.
//!
//! The coordinator sends its certificate and that of its authority. The client looks for the
//! authority whose key has the pinned hash. It then verifies the certificate as usual, with that
//! authority as the only root and with the [fixed name](SERVER_NAME).

use std::fmt;
use std::sync::Arc;

use caviar_common::join::{Pin, SERVER_NAME};
use ring::digest::{SHA256, digest};
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring as provider, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, PeerIncompatible, RootCertStore,
    SignatureScheme,
};

/// The server is not the coordinator that the pin belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinError {
    /// The pin of the join string.
    pub expected: Pin,
    /// True if its certificate has the name of a coordinator.
    pub is_coordinator: bool,
}

impl std::error::Error for PinError {}

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected, is_coordinator } = self;
        if *is_coordinator {
            write!(
                f,
                "another coordinator answers there: its authority does not have the key of this \
                 join string (expected {expected}); hint: get a new join string from the \
                 coordinator's user, or check the address"
            )
        } else {
            f.write_str(
                "another server answers there: its certificate is not that of a coordinator; \
                 hint: check the address; a coordinator listens on port 7070 unless it is told \
                 otherwise",
            )
        }
    }
}

/// The pin of an authority's certificate; `None` if it is not a certificate.
pub fn pin_of(authority: &CertificateDer<'_>) -> Option<Pin> {
    let certificate = webpki::EndEntityCert::try_from(authority).ok()?;
    let key = certificate.subject_public_key_info();
    digest(&SHA256, &key).as_ref().try_into().map(Pin).ok()
}

/// True for a certificate with the name of every coordinator.
fn has_fixed_name(certificate: &CertificateDer<'_>) -> bool {
    let name = ServerName::try_from(SERVER_NAME);
    let certificate = webpki::EndEntityCert::try_from(certificate);
    let (Ok(name), Ok(certificate)) = (name, certificate) else { return false };
    certificate.verify_is_valid_for_subject_name(&name).is_ok()
}

/// Accepts certificates of the authority with the pinned key.
pub(crate) struct PinVerifier {
    pin: Pin,
    provider: Arc<CryptoProvider>,
}

impl PinVerifier {
    pub(crate) fn new(pin: Pin) -> Self {
        Self { pin, provider: Arc::new(provider::default_provider()) }
    }

    fn authority<'a>(&self, chain: &'a [CertificateDer<'a>]) -> Option<&'a CertificateDer<'a>> {
        chain.iter().find(|certificate| pin_of(certificate) == Some(self.pin))
    }
}

impl fmt::Debug for PinVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PinVerifier").field(&self.pin).finish()
    }
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _dialled: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(authority) = self.authority(chain) else {
            let is_coordinator = has_fixed_name(certificate);
            let error = PinError { expected: self.pin, is_coordinator };
            let error = OtherError(Arc::new(error));
            return Err(Error::InvalidCertificate(CertificateError::Other(error)));
        };
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(roots.into(), self.provider.clone())
                .build()
                .map_err(|error| Error::General(error.to_string()))?;
        let name =
            ServerName::try_from(SERVER_NAME).map_err(|error| Error::General(error.to_string()))?;
        verifier.verify_server_cert(certificate, chain, &name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
