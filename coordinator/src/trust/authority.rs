//! The certificate authority of a coordinator, and the certificates that it issues.
//!
//! The authority is made once, next to the store, and its public key is what clients pin. A server
//! certificate is valid for [`VALIDITY`]. [`Certificates`] issues the next one when a third of that
//! is left, at the handshake that needs it, so a coordinator never has to be restarted for it.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use caviar_common::join::{Pin, SERVER_NAME};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use ring::digest::{SHA256, digest};
use time::OffsetDateTime;
use tokio_rustls::rustls::crypto::ring::sign::any_supported_type;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::files::{self, FileError};

/// How long a server certificate is valid. Clients accept it only while their clocks are in that
/// time.
pub(crate) const VALIDITY: Duration = Duration::from_secs(30 * 86_400);
/// How long before now a certificate is valid already: clocks of a cluster differ.
const CLOCK_SKEW: Duration = Duration::from_secs(3_600);
/// How long the authority's own certificate is valid.
const AUTHORITY_VALIDITY: Duration = Duration::from_secs(3_650 * 86_400);
/// The authority's certificate is made again, with the same key, when less than this is left.
const AUTHORITY_RENEWAL: Duration = Duration::from_secs(365 * 86_400);

/// The files of the authority in the trust folder.
const KEY_FILE: &str = "authority.key";
const CERTIFICATE_FILE: &str = "authority.pem";

/// Why an authority or a certificate cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file of the authority is not what this program wrote.
    #[error(
        "{path} is damaged: {cause}; hint: restore it from a backup, or delete the folder {folder} \
         to start with a new authority, which all workers and clients then have to join again",
        folder = path.parent().unwrap_or(path).display(), path = path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// A certificate cannot be made: a bug, or a name that no certificate can have.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The key cannot sign: a bug.
    #[error("cannot use the key of a certificate: {0}")]
    Key(#[from] tokio_rustls::rustls::Error),
}

/// An authority that issues certificates for one store.
pub struct Authority {
    key: KeyPair,
    certificate: CertificateDer<'static>,
    pem: String,
    pin: Pin,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("pin", &self.pin).finish_non_exhaustive()
    }
}

impl Authority {
    /// A new authority that is kept nowhere.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn create() -> Result<Self, AuthorityError> {
        let key = KeyPair::generate()?;
        let certificate = authority_params(&key)?.self_signed(&key)?;
        let pem = certificate.pem();
        Ok(Self::new(key, certificate.der().clone(), pem))
    }

    fn new(key: KeyPair, certificate: CertificateDer<'static>, pem: String) -> Self {
        let pin = pin_of(&key);
        Self { key, certificate, pem, pin }
    }

    /// The authority of a trust folder, which is made if the folder has none.
    ///
    /// # Errors
    /// A file cannot be read or written, others can read the key, or it is damaged.
    pub fn open(folder: &Path) -> Result<Self, AuthorityError> {
        let (key_path, path) = (folder.join(KEY_FILE), folder.join(CERTIFICATE_FILE));
        let Some(text) = files::read_secret(&key_path)? else {
            let new = Self::create()?;
            files::write_secret(&path, &with_comment(&new.pem, SystemTime::now()))?;
            // Last, because the other file is made again if it is missing.
            files::write_secret(&key_path, &new.key.serialize_pem())?;
            return Ok(new);
        };
        let damaged =
            |path: &Path, cause: String| AuthorityError::Damaged { path: path.to_owned(), cause };
        let key = KeyPair::from_pem(&text).map_err(|e| damaged(&key_path, e.to_string()))?;
        let stored = files::read_secret(&path)?;
        if let Some(pem) = stored.filter(|pem| is_current(pem, SystemTime::now())) {
            let der = CertificateDer::from_pem_slice(pem.as_bytes());
            let der = der.map_err(|error| damaged(&path, error.to_string()))?;
            return Ok(Self::new(key, der, without_comment(&pem)));
        }
        let certificate = authority_params(&key)?.self_signed(&key)?;
        let new = Self::new(key, certificate.der().clone(), certificate.pem());
        files::write_secret(&path, &with_comment(&new.pem, SystemTime::now()))?;
        Ok(new)
    }

    /// What clients pin.
    pub const fn pin(&self) -> Pin {
        self.pin
    }

    /// The certificate in PEM, for clients that do not know pins.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A server certificate with these host names and addresses besides the fixed name.
    ///
    /// # Errors
    /// A name cannot be part of a certificate.
    pub fn issue(
        &self,
        names: &[String],
        now: SystemTime,
        validity: Duration,
    ) -> Result<CertifiedKey, AuthorityError> {
        let mut all = vec![SERVER_NAME.to_owned()];
        all.extend(names.iter().filter(|name| is_certifiable(name)).cloned());
        let mut params = CertificateParams::new(all)?;
        params.distinguished_name.push(DnType::CommonName, SERVER_NAME);
        params.not_before = date(before(now, CLOCK_SKEW));
        params.not_after = date(now + validity);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let authority = authority_params(&self.key)?;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &Issuer::from_params(&authority, &self.key))?;
        let chain = vec![certificate.der().clone(), self.certificate.clone()];
        let private = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Ok(CertifiedKey::new(chain, any_supported_type(&private)?))
    }
}

/// True for what a certificate can name: an IP address, or a host name in ASCII.
fn is_certifiable(name: &str) -> bool {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    name.parse::<IpAddr>().is_ok() || (!name.is_empty() && name.chars().all(is_legal))
}

fn authority_params(key: &KeyPair) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::new(Vec::new())?;
    let number: String = pin_of(key).to_string().chars().take(8).collect();
    params.distinguished_name.push(DnType::CommonName, format!("Caviar authority {number}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let now = SystemTime::now();
    params.not_before = date(before(now, CLOCK_SKEW));
    params.not_after = date(now + AUTHORITY_VALIDITY);
    Ok(params)
}

fn pin_of(key: &KeyPair) -> Pin {
    let hash = digest(&SHA256, &key.subject_public_key_info());
    // SHA-256 has 32 bytes.
    Pin(hash.as_ref().try_into().unwrap_or_default())
}

fn before(time: SystemTime, duration: Duration) -> SystemTime {
    time.checked_sub(duration).unwrap_or(UNIX_EPOCH)
}

fn date(time: SystemTime) -> OffsetDateTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let seconds = i64::try_from(since).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// What stands before the number of seconds since 1970 at which the certificate was made.
const MADE_AT: &str = "# made at ";

fn with_comment(pem: &str, now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    format!("{MADE_AT}{since}\n{pem}")
}

fn without_comment(pem: &str) -> String {
    pem.find("-----BEGIN").and_then(|at| pem.get(at..)).unwrap_or_default().to_owned()
}

/// True if the certificate does not have to be made again soon.
fn is_current(pem: &str, now: SystemTime) -> bool {
    let made = pem.strip_prefix(MADE_AT).and_then(|rest| rest.lines().next()?.parse().ok());
    let Some(made) = made.map(Duration::from_secs) else { return false };
    let made = UNIX_EPOCH + made;
    // One from the future was made while the clock was wrong.
    let is_past = made <= now;
    let left = (made + AUTHORITY_VALIDITY).duration_since(now);
    is_past && left.is_ok_and(|left| left > AUTHORITY_RENEWAL)
}

/// The certificate that connections get now.
pub(crate) struct Certificates {
    authority: Arc<Authority>,
    names: Vec<String>,
    current: Mutex<Current>,
}

struct Current {
    key: Arc<CertifiedKey>,
    made_at: SystemTime,
    renew_at: SystemTime,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Certificates {
    /// Issues the first certificate.
    ///
    /// # Errors
    /// A name cannot be part of a certificate.
    pub(crate) fn new(
        authority: Arc<Authority>,
        names: Vec<String>,
    ) -> Result<Self, AuthorityError> {
        let current = Mutex::new(issue(&authority, &names, SystemTime::now())?);
        Ok(Self { authority, names, current })
    }

    /// The certificate to use at this time, a new one if the last one ends soon.
    fn at(&self, now: SystemTime) -> Arc<CertifiedKey> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // A certificate from the future was made while the clock was wrong.
        if now >= current.renew_at || now < current.made_at {
            match issue(&self.authority, &self.names, now) {
                Ok(renewed) => {
                    tracing::info!("the server's certificate is renewed");
                    *current = renewed;
                }
                Err(error) => tracing::error!("the server's certificate is not renewed: {error}"),
            }
        }
        current.key.clone()
    }
}

fn issue(
    authority: &Authority,
    names: &[String],
    now: SystemTime,
) -> Result<Current, AuthorityError> {
    let key = Arc::new(authority.issue(names, now, VALIDITY)?);
    Ok(Current { key, made_at: now, renew_at: now + VALIDITY * 2 / 3 })
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.at(SystemTime::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_the_same_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let first = Authority::open(folder.path()).unwrap();
        let second = Authority::open(folder.path()).unwrap();
        assert_eq!((first.pin(), first.pem()), (second.pin(), second.pem()));
        std::fs::remove_file(folder.path().join(CERTIFICATE_FILE)).unwrap();
        assert_eq!(Authority::open(folder.path()).unwrap().pin(), first.pin());
    }

    #[test]
    fn a_damaged_key_is_an_error_that_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        Authority::open(folder.path()).unwrap();
        files::write_secret(&folder.path().join(KEY_FILE), "nothing").unwrap();
        let error = Authority::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("authority.key is damaged") && error.contains("hint:"), "{error}");
    }

    #[test]
    fn a_certificate_is_renewed_when_a_third_of_its_time_is_left() {
        let authority = Arc::new(Authority::create().unwrap());
        let certificates = Certificates::new(authority, vec!["node-1".to_owned()]).unwrap();
        let (now, day) = (SystemTime::now(), Duration::from_secs(86_400));
        let first = certificates.at(now);
        assert!(Arc::ptr_eq(&first, &certificates.at(now + 19 * day)));
        let renewed = certificates.at(now + 21 * day);
        assert!(!Arc::ptr_eq(&first, &renewed));
        assert!(Arc::ptr_eq(&renewed, &certificates.at(now + 22 * day)));
    }
}
