//! A [`Dialer`] that is replaced when the coordinator's join string has changed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use caviar_common::join::Role;
use futures_core::future::BoxFuture;

use crate::connection::ConnectionError;
use crate::dial::Dialer;
use crate::trust::{ClientCertificate, FindError, Finder, Found, FoundIn, Target};

/// How a program that runs for long reaches its coordinator, for all of its parts.
///
/// A token gets a new secret, and a coordinator that is started again may listen elsewhere. Both
/// change the join string. If it is in a file, [`find_again`](Self::find_again) reads it again, and
/// then every clone has the new [`Dialer`].
///
/// ```
/// use caviar_client::{Dialer, SharedDialer, Target};
///
/// // A fixed address.
/// let dialer = Dialer::new(Target::plain("http://127.0.0.1:7070")?, None)?;
/// let shared = SharedDialer::from(dialer);
/// assert_eq!(shared.current().url(), "http://127.0.0.1:7070");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SharedDialer {
    current: Arc<Mutex<Current>>,
    /// `None` for a fixed address.
    source: Option<Arc<Source>>,
    is_confirmed: Arc<AtomicBool>,
}

#[derive(Clone, Debug)]
struct Current {
    dialer: Dialer,
    /// `None` for a fixed address.
    found: Option<Found>,
}

/// Where the join string is found.
#[derive(Debug)]
struct Source {
    finder: Finder,
    role: Role,
    certificate: Option<ClientCertificate>,
}

impl From<Dialer> for SharedDialer {
    fn from(dialer: Dialer) -> Self {
        Self {
            current: Arc::new(Mutex::new(Current { dialer, found: None })),
            source: None,
            is_confirmed: Arc::default(),
        }
    }
}

impl SharedDialer {
    /// Finds a coordinator, with a token of this role where the user has several.
    ///
    /// # Errors
    /// No join string was found, or something that was given cannot be used.
    pub fn find(
        finder: Finder,
        role: Role,
        certificate: Option<ClientCertificate>,
    ) -> Result<Self, ConnectionError> {
        let found = finder.find_place(role)?;
        let dialer = Dialer::new(found.target.clone(), certificate.as_ref())?;
        Ok(Self {
            current: Arc::new(Mutex::new(Current { dialer, found: Some(found) })),
            source: Some(Arc::new(Source { finder, role, certificate })),
            is_confirmed: Arc::default(),
        })
    }

    /// The dialer to use for the next connection.
    pub fn current(&self) -> Dialer {
        self.lock().dialer.clone()
    }

    /// The role in the join string; `None` for a fixed address, or one without encryption.
    pub fn role(&self) -> Option<Role> {
        match &self.lock().found.as_ref()?.target {
            Target::Trusted(join) => Some(join.role),
            Target::Plain(_) => None,
        }
    }

    /// Notes that the coordinator has accepted this program. From now on, only the same coordinator
    /// is found again; before, it may be another one of this user.
    pub fn confirm(&self) {
        self.is_confirmed.store(true, Ordering::Relaxed);
    }

    /// True after [`confirm`](Self::confirm).
    pub fn is_confirmed(&self) -> bool {
        self.is_confirmed.load(Ordering::Relaxed)
    }

    /// Reads the join string again after a connection of the dialer `failed` did. Returns where it
    /// was found if there is another dialer now; `None` if nothing has changed.
    ///
    /// # Errors
    /// The join string cannot be used.
    pub fn find_again<'a>(
        &'a self,
        failed: &'a Dialer,
    ) -> BoxFuture<'a, Result<Option<FoundIn>, ConnectionError>> {
        Box::pin(async move {
            let (shared, failed) = (self.clone(), failed.clone());
            // A shared file system may take long to answer.
            let looked = tokio::task::spawn_blocking(move || shared.look_again(&failed)).await;
            // The task panicked or the runtime is shutting down.
            looked.unwrap_or(Ok(None))
        })
    }

    fn look_again(&self, failed: &Dialer) -> Result<Option<FoundIn>, ConnectionError> {
        let Current { dialer, found } = self.lock().clone();
        let (Some(source), Some(before)) = (&self.source, found) else { return Ok(None) };
        if !dialer.is_same(failed) {
            return Ok(Some(before.place));
        }
        let found = if self.is_confirmed() {
            source.finder.find_again(source.role, &before)?
        } else {
            source.next(&before)?
        };
        let Some(found) = found.filter(|found| found.target != before.target) else {
            return Ok(None);
        };
        let new = Dialer::new(found.target.clone(), source.certificate.as_ref())?;
        let place = found.place.clone();
        let mut current = self.lock();
        // Another part of the program may have replaced it in the meantime.
        if current.dialer.is_same(failed) {
            *current = Current { dialer: new, found: Some(found) };
        }
        Ok(Some(place))
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    /// The coordinator after this one among those that may be meant; after the last, the first.
    fn next(&self, before: &Found) -> Result<Option<Found>, FindError> {
        if !matches!(before.place, FoundIn::UserFolder(_)) {
            return self.finder.find_again(self.role, before);
        }
        let all = match self.finder.find_all(self.role) {
            // The coordinator has stopped, and none was started since.
            Err(FindError::Missing { .. }) => return Ok(None),
            found => found?,
        };
        let at = all.iter().position(|found| found == before).map_or(0, |at| at + 1);
        let first = all.first().cloned();
        Ok(all.into_iter().nth(at).or(first))
    }
}
