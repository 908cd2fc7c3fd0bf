//! Who may connect to a coordinator, and what each may do.
//!
//! ```text
//! connection --> tls: TLS 1.3, and a client certificate if the site wants one
//! request    --> access: token -> Caller; rules: method -> roles; throttle for failed attempts
//! handler    --> reads the Caller, and names what it changes
//! reply      --> audit: who, what, when
//!
//! STORE.trust/  0700   authority.key, authority.pem   the authority, made once
//!                      tokens.json                    hashes of the tokens
//!                      admin.join, worker.join        join strings for programs of the same user
//!                      audit.jsonl                    one line for every change
//! ```
//! Without a folder, everything is in memory: for a coordinator that only answers questions of the
//! process that it runs in.

mod access;
mod audit;
mod authority;
mod files;
mod rules;
mod throttle;
mod tls;
mod tokens;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use caviar_common::address::Address;
use caviar_common::error::ErrorClass;
use caviar_common::ids::{Name, TokenId};
use caviar_common::join::{JoinString, Pin, Role, Secret, join_file};

pub(crate) use self::access::{AccessLayer, Caller};
use self::audit::Audit;
use self::authority::Certificates;
pub use self::authority::{Authority, AuthorityError};
pub use self::files::FileError;
pub(crate) use self::files::write_secret;
use self::throttle::Throttle;
pub(crate) use self::tls::{TlsSetup, accept};
pub(crate) use self::tokens::now_ms;
pub use self::tokens::{TokenError, TokenView, Tokens};

/// The file of the tokens in the trust folder.
const TOKENS_FILE: &str = "tokens.json";
/// The roles of the tokens that a coordinator makes by itself.
const OWN_ROLES: [Role; 2] = [Role::Admin, Role::Worker];

/// How connections are protected.
#[derive(Clone, Debug)]
pub enum Security {
    /// TLS and tokens.
    Tls(TlsOptions),
    /// Neither encryption nor tokens, on a loopback address: every process of this host may do
    /// everything.
    Plain,
    /// The same on any address: everybody who reaches it may do everything.
    PlainOnNetwork,
}

/// The options of a coordinator with TLS.
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    /// The [trust folder](caviar_common::join::trust_folder); `None` to keep nothing.
    pub folder: Option<PathBuf>,
    /// Where clients reach the coordinator, for join strings. If empty, where it listens.
    pub advertised: Vec<Address>,
    /// A file with the authorities of client certificates, in PEM. If given, a client needs a
    /// certificate from one of them next to its token.
    pub client_authorities: Option<PathBuf>,
}

/// Why trust cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The authority cannot be had.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The tokens cannot be had.
    #[error(transparent)]
    Tokens(#[from] TokenError),
    /// The audit log cannot be opened.
    #[error("cannot open the audit log in {folder}: {source}", folder = folder.display())]
    Audit {
        /// The trust folder.
        folder: PathBuf,
        /// What the system reports.
        source: std::io::Error,
    },
    /// The authorities of client certificates cannot be used.
    #[error("client authorities {path}: {cause}", path = path.display())]
    ClientAuthorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The TLS library refuses the configuration: a bug.
    #[error("internal error: TLS: {0}")]
    Tls(#[from] tokio_rustls::rustls::Error),
}

impl TrustError {
    /// What a caller can do about it.
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::File(_) | Self::ClientAuthorities { .. } | Self::Audit { .. } => {
                ErrorClass::Invalid
            }
            Self::Authority(_) | Self::Tokens(_) => ErrorClass::Corrupt,
            Self::Tls(_) => ErrorClass::Internal,
        }
    }
}

/// The authority, the tokens and the audit log of a running coordinator.
#[derive(Debug)]
pub(crate) struct Trust {
    pub(crate) authority: Arc<Authority>,
    pub(crate) tokens: Tokens,
    audit: Audit,
    throttle: Throttle,
    folder: Option<PathBuf>,
    /// The tokens that the coordinator made by itself.
    own: Mutex<Vec<OwnToken>>,
    /// Held while a token gets a new secret and files get its join string.
    rotating: Mutex<()>,
    /// Files outside the folder that have a join string, and its role.
    published: Mutex<Vec<(PathBuf, Role)>>,
    /// Where clients reach the coordinator.
    pub(crate) advertised: Vec<Address>,
}

impl Trust {
    /// Opens what the folder has, and makes what it lacks.
    ///
    /// # Errors
    /// A file cannot be read or written, others can read it, or it is damaged.
    pub(crate) fn open(
        folder: Option<&Path>,
        advertised: Vec<Address>,
    ) -> Result<Self, TrustError> {
        let authority = match folder {
            Some(folder) => {
                files::create_folder(folder)?;
                Authority::open(folder)?
            }
            None => Authority::create()?,
        };
        let tokens = Tokens::open(folder.map(|folder| folder.join(TOKENS_FILE)))?;
        let own = own_tokens(&tokens, folder)?;
        let audit = Audit::open(folder).map_err(|source| TrustError::Audit {
            folder: folder.map(Path::to_owned).unwrap_or_default(),
            source,
        })?;
        Ok(Self {
            authority: Arc::new(authority),
            tokens,
            audit,
            throttle: Throttle::new(),
            folder: folder.map(Path::to_owned),
            own: Mutex::new(own),
            rotating: Mutex::default(),
            published: Mutex::default(),
            advertised,
        })
    }

    pub(crate) fn pin(&self) -> Pin {
        self.authority.pin()
    }

    /// The join string with a secret.
    pub(crate) fn join(&self, role: Role, secret: Secret) -> JoinString {
        JoinString { role, pin: self.pin(), secret, addresses: self.advertised.clone() }
    }

    /// The join string of a role that the coordinator makes a token for by itself.
    pub(crate) fn own_join(&self, role: Role) -> Option<JoinString> {
        let secret = self.own().iter().find(|own| own.role == role)?.secret.clone();
        Some(self.join(role, secret))
    }

    fn own(&self) -> MutexGuard<'_, Vec<OwnToken>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the join strings of the coordinator's own tokens into the trust folder.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(crate) fn write_joins(&self) -> Result<(), FileError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        OWN_ROLES.into_iter().try_for_each(|role| self.write_join(&join_file(folder, role), role))
    }

    fn write_join(&self, path: &Path, role: Role) -> Result<(), FileError> {
        match self.own_join(role) {
            Some(join) => write_secret(path, &format!("{}\n", join.reveal())),
            None => Ok(()),
        }
    }

    /// Writes a join string to a file outside the trust folder, and again when its token is
    /// rotated. Makes the folders that are missing.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn publish(&self, path: PathBuf, role: Role) -> Result<(), FileError> {
        if let Some(folder) = path.parent() {
            files::create_folder(folder)?;
        }
        self.write_join(&path, role)?;
        self.published.lock().unwrap_or_else(PoisonError::into_inner).push((path, role));
        Ok(())
    }

    /// Removes the published files, unless another coordinator has replaced them.
    pub(crate) fn unpublish(&self) {
        let published =
            std::mem::take(&mut *self.published.lock().unwrap_or_else(PoisonError::into_inner));
        for (path, role) in published {
            let own = self.own_join(role);
            let stored = files::read_secret(&path).ok().flatten();
            if stored.and_then(|text| text.parse().ok()) == own {
                // A file that stays leads nobody to another coordinator, because of its pin.
                let _removed = std::fs::remove_file(&path);
            }
        }
    }

    /// Gives a token a new secret. If it is one of the coordinator's own, all files with its join
    /// string get the new one. A file that cannot be written is logged: the caller must get the
    /// only copy of the secret in any case.
    ///
    /// # Errors
    /// No token has this id or name, or the tokens cannot be stored. Nothing was changed then.
    pub(crate) fn rotate(&self, token: &str, grace: Duration) -> Result<NewToken, TokenError> {
        let _rotating = self.rotating.lock().unwrap_or_else(PoisonError::into_inner);
        let (view, secret) = self.tokens.rotate(token, grace)?;
        let is_own = self.own().iter_mut().find(|own| own.id == view.id).map(|own| {
            own.secret = secret.clone();
        });
        if is_own.is_some() {
            self.rewrite_joins(view.role);
        }
        let join = self.join(view.role, secret);
        Ok(NewToken { view, join })
    }

    /// Writes the join string of a role to every file that has it.
    fn rewrite_joins(&self, role: Role) {
        let in_folder = self.folder.as_deref().map(|folder| (join_file(folder, role), role));
        let published = self.published.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (path, _) in in_folder.into_iter().chain(published).filter(|(_, it)| *it == role) {
            if let Err(error) = self.write_join(&path, role) {
                tracing::error!("a file keeps a join string that is not valid any more: {error}");
            }
        }
    }

    /// Ends a token at once.
    ///
    /// # Errors
    /// No token has this id or name, it is one of the coordinator's own, or the tokens cannot be
    /// stored.
    pub(crate) fn revoke(&self, token: &str) -> Result<TokenView, TokenError> {
        let own: Vec<TokenId> = self.own().iter().map(|own| own.id.clone()).collect();
        self.tokens.revoke_unless(token, |view| own.contains(&view.id))
    }

    /// Makes a token.
    ///
    /// # Errors
    /// There are too many, or the file cannot be written.
    pub(crate) fn create(
        &self,
        name: Name,
        role: Role,
        ttl: Option<Duration>,
    ) -> Result<NewToken, TokenError> {
        let (view, secret) = self.tokens.create(name, role, ttl)?;
        let join = self.join(role, secret);
        Ok(NewToken { view, join })
    }

    /// TLS with certificates of the authority that name these hosts.
    ///
    /// # Errors
    /// A certificate cannot be made, or the file of client authorities cannot be used.
    pub(crate) fn tls(
        &self,
        hosts: Vec<String>,
        client_authorities: Option<&Path>,
    ) -> Result<TlsSetup, TrustError> {
        let certificates = Certificates::new(self.authority.clone(), hosts)?;
        TlsSetup::new(certificates, client_authorities)
    }
}

/// A token that the coordinator made by itself, for the programs of its user.
#[derive(Clone, Debug)]
struct OwnToken {
    role: Role,
    id: TokenId,
    secret: Secret,
}

/// A token that was just made, with the only copy of its secret.
#[derive(Debug)]
pub(crate) struct NewToken {
    pub(crate) view: TokenView,
    pub(crate) join: JoinString,
}

/// The coordinator's own tokens: those in the join strings of the folder, or new ones.
fn own_tokens(tokens: &Tokens, folder: Option<&Path>) -> Result<Vec<OwnToken>, TrustError> {
    let mut own = Vec::new();
    for role in OWN_ROLES {
        let stored = folder.map(|it| files::read_secret(&join_file(it, role))).transpose()?;
        let join = stored.flatten().and_then(|text| text.parse::<JoinString>().ok());
        let valid = join.and_then(|join| {
            let accepted = tokens.accept(&join.secret, now_ms()).ok()?;
            // A secret that was replaced ends, and the coordinator's own do not.
            let is_own = accepted.token.role == role && accepted.ends_ms.is_none();
            is_own.then_some(OwnToken { role, id: accepted.token.id, secret: join.secret })
        });
        own.push(valid.map_or_else(|| new_own_token(tokens, role), Ok)?);
    }
    Ok(own)
}

fn new_own_token(tokens: &Tokens, role: Role) -> Result<OwnToken, TrustError> {
    let name = own_name(role);
    let name = Name::parse("name", &name).map_err(|_| TokenError::NoSuchToken(name))?;
    // A join string that was lost or replaced must not stay valid.
    for token in tokens.views() {
        if token.name == name && token.revoked_ms.is_none() {
            tokens.revoke(&token.id.0)?;
        }
    }
    let (view, secret) = tokens.create(name, role, None)?;
    Ok(OwnToken { role, id: view.id, secret })
}

/// The name of a token that the coordinator makes by itself.
fn own_name(role: Role) -> String {
    format!("first-{role}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path) -> Trust {
        Trust::open(Some(folder), vec!["127.0.0.1:7070".parse().unwrap()]).unwrap()
    }

    #[test]
    fn the_coordinators_own_tokens_are_rotated_and_not_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let trust = open(folder.path());
        let error = trust.revoke("first-admin").unwrap_err().to_string();
        assert!(error.ends_with("caviar tokens rotate first-admin"), "{error}");
        let accepts = |join: &JoinString| trust.tokens.accept(&join.secret, now_ms()).is_ok();
        let before = trust.own_join(Role::Admin).unwrap();
        assert!(accepts(&before));
        // A token with the same name is not the coordinator's own.
        let name = Name::parse("name", "first-admin").unwrap();
        let other = trust.create(name, Role::Admin, None).unwrap().view;
        trust.rotate(&other.id.0, Duration::ZERO).unwrap();
        assert_eq!(trust.own_join(Role::Admin), Some(before.clone()));
        trust.revoke(&other.id.0).unwrap();
        trust.rotate("first-admin", Duration::ZERO).unwrap();
        assert!(!accepts(&before));
        assert!(accepts(&trust.own_join(Role::Admin).unwrap()));
    }

    #[test]
    fn a_rotation_returns_the_new_secret_though_a_file_cannot_be_written() {
        let (folder, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let trust = open(folder.path());
        let [gone, kept] = ["gone", "kept"].map(|it| home.path().join(it).join("worker.join"));
        for path in [&gone, &kept] {
            trust.publish(path.clone(), Role::Worker).unwrap();
        }
        std::fs::remove_dir_all(gone.parent().unwrap()).unwrap();
        let new = trust.rotate("first-worker", Duration::ZERO).unwrap().join;
        assert!(trust.tokens.accept(&new.secret, now_ms()).is_ok());
        let stored = std::fs::read_to_string(kept).unwrap();
        assert_eq!(stored.trim().parse::<JoinString>().ok(), Some(new.clone()));
        // The next start takes the new one too.
        drop(trust);
        let again = open(folder.path());
        assert_eq!(again.own_join(Role::Worker).unwrap().secret, new.secret);
    }

    #[test]
    fn a_secret_that_was_replaced_is_not_the_coordinators_own_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let trust = open(folder.path());
        let (file, old) = (join_file(folder.path(), Role::Admin), trust.own_join(Role::Admin));
        trust.write_joins().unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        trust.rotate("first-admin", Duration::from_secs(3_600)).unwrap();
        // The process ended before it could write the new one.
        write_secret(&file, &text).unwrap();
        drop(trust);
        let again = open(folder.path());
        assert_ne!(again.own_join(Role::Admin).unwrap().secret, old.unwrap().secret);
    }
}
