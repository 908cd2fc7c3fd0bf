//! The tokens of a coordinator: who may connect, and what each may do.
//!
//! A token is 128 random bits. The file keeps their BLAKE3 hash only, so a reader of the file
//! cannot connect. 128 bits cannot be guessed, so the hash needs neither salt nor stretching.
//! Hashes are compared in constant time, and every hash is compared with every token, so the time
//! tells nothing about a token.
//!
//! ```text
//! create --> valid --expires_at--> expired ----.
//!              |  '--rotate--> the old secret is valid for a grace period, the new one from now
//!              '--revoke--> revoked            |
//!                              '---------------'--> forgotten after 90 days
//! ```

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use caviar_common::ids::{Name, TokenId};
use caviar_common::join::{Role, Secret};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::files::{self, FileError};

/// Most valid tokens of one coordinator.
pub(crate) const MAX_TOKENS: usize = 1_000;
/// How long an ended token is kept, so that its user is told how it ended.
const KEEP_ENDED: Duration = Duration::from_secs(90 * 86_400);
/// How long a replaced secret is kept, so that its user is told what happened to it.
const KEEP_REPLACED_MS: u64 = 90 * 86_400_000;
/// Most replaced secrets of a token that are kept.
const MAX_REPLACED: usize = 16;
/// The context of the hash: a BLAKE3 key derivation, so that it differs from all other hashes.
const CONTEXT: &str = "caviar 2026-11 bearer token";

/// What is known of a token, without its secret. Times are in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenView {
    /// Its identity.
    pub id: TokenId,
    /// The name that its maker gave it.
    pub name: Name,
    /// What it allows.
    pub role: Role,
    /// When it was made.
    pub created_ms: u64,
    /// When it ends by itself; `None` for never.
    pub expires_ms: Option<u64>,
    /// When it was revoked; `None` if it was not.
    pub revoked_ms: Option<u64>,
    /// When the last of its earlier secrets ends, or ended; `None` if it has none, or forgot them
    /// at a rotation 90 days later.
    pub earlier_until_ms: Option<u64>,
}

/// Why a secret is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The request has no token.
    #[error(
        "this coordinator needs a token; hint: give a join string with --join FILE or CAVIAR_JOIN; \
         for other clients: caviar access --token"
    )]
    Missing,
    /// The header is not a bearer token of Caviar.
    #[error(
        "the authorization header is not a token of Caviar: expected \"Bearer \" and 32 \
         hexadecimal digits; hint: caviar access --token"
    )]
    Malformed,
    /// No token has this secret.
    #[error(
        "the token is not one of this coordinator; hint: it may be of another store, or was \
         removed; make a new one on the coordinator's host: caviar tokens create --role ROLE"
    )]
    Unknown,
    /// The token has expired.
    #[error(
        "the token {name} ({id}) expired at {at}; hint: make a new one on the coordinator's host: \
         caviar tokens create --role {role}"
    )]
    Expired {
        /// The name of the token.
        name: Name,
        /// Its identity.
        id: TokenId,
        /// What it allowed.
        role: Role,
        /// When, in UTC.
        at: String,
    },
    /// The token was revoked, or replaced by a rotation.
    #[error(
        "the token {name} ({id}) was {how} at {at}; hint: ask the coordinator's user for a new \
         one: caviar tokens create --role {role}"
    )]
    Revoked {
        /// `revoked` or `replaced`.
        how: &'static str,
        /// The name of the token.
        name: Name,
        /// Its identity.
        id: TokenId,
        /// What it allowed.
        role: Role,
        /// When, in UTC.
        at: String,
    },
}

/// Why a change of the tokens is refused.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// No token has this identity or name.
    #[error("there is no token {0:?}; hint: caviar tokens list")]
    NoSuchToken(String),
    /// Several tokens have this name.
    #[error("several tokens are named {0:?}: name one by its id; hint: caviar tokens list")]
    Ambiguous(String),
    /// It has ended already.
    #[error("the token {0} has ended; hint: caviar tokens create makes a new one")]
    Ended(TokenId),
    /// It is one of those that the coordinator makes by itself.
    #[error(
        "{0} is the coordinator's own token, which its user's programs read from files; hint: \
         replace its secret instead, in these files too: caviar tokens rotate {0}"
    )]
    Own(Name),
    /// There are too many.
    #[error("there are {MAX_TOKENS} valid tokens; hint: revoke some: caviar tokens revoke ID")]
    TooMany,
    /// The system has no random numbers.
    #[error("the system has no random numbers")]
    NoRandomness,
    /// The file cannot be written. Nothing was changed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not what this program wrote.
    #[error("{path} is damaged: {cause}; hint: restore it from a backup, or delete it, which ends \
             every token", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
}

/// A token as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Token {
    id: TokenId,
    name: Name,
    role: StoredRole,
    hash: String,
    created_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked_ms: Option<u64>,
    /// The secrets before each rotation whose grace period may not be over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    earlier: Vec<Replaced>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Replaced {
    hash: String,
    until_ms: u64,
}

/// Which secret of a token a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UsedSecret {
    Current,
    Replaced { until_ms: u64 },
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredRole {
    View,
    Worker,
    Submit,
    Admin,
}

impl From<StoredRole> for Role {
    fn from(role: StoredRole) -> Self {
        match role {
            StoredRole::View => Self::View,
            StoredRole::Worker => Self::Worker,
            StoredRole::Submit => Self::Submit,
            StoredRole::Admin => Self::Admin,
        }
    }
}

impl From<Role> for StoredRole {
    fn from(role: Role) -> Self {
        match role {
            Role::View => Self::View,
            Role::Worker => Self::Worker,
            Role::Submit => Self::Submit,
            Role::Admin => Self::Admin,
        }
    }
}

impl Token {
    fn view(&self) -> TokenView {
        TokenView {
            id: self.id.clone(),
            name: self.name.clone(),
            role: self.role.into(),
            created_ms: self.created_ms,
            expires_ms: self.expires_ms,
            revoked_ms: self.revoked_ms,
            earlier_until_ms: self.earlier.iter().map(|earlier| earlier.until_ms).max(),
        }
    }

    /// When it ended or will end by itself.
    fn ends_ms(&self) -> Option<u64> {
        [self.expires_ms, self.revoked_ms].into_iter().flatten().min()
    }

    /// The current secret, or an earlier one, that has this hash. Every hash is compared.
    fn secret(&self, hash: &blake3::Hash) -> Option<UsedSecret> {
        // `Hash` compares in constant time, and no comparison is left out.
        let current = is_hash(&self.hash, hash).then_some(UsedSecret::Current);
        self.earlier.iter().fold(current, |found, earlier| {
            let is_it = is_hash(&earlier.hash, hash);
            found.or(is_it.then_some(UsedSecret::Replaced { until_ms: earlier.until_ms }))
        })
    }

    /// When a secret of it ends by itself.
    fn secret_ends_ms(&self, used: UsedSecret) -> Option<u64> {
        let replaced = match used {
            UsedSecret::Current => None,
            UsedSecret::Replaced { until_ms } => Some(until_ms),
        };
        [self.expires_ms, replaced].into_iter().flatten().min()
    }

    /// Why a secret of it is not accepted at this time.
    fn check(&self, used: UsedSecret, now_ms: u64) -> Result<(), Denied> {
        let revoked = |how, at_ms: u64| Denied::Revoked {
            how,
            name: self.name.clone(),
            id: self.id.clone(),
            role: self.role.into(),
            at: utc(at_ms),
        };
        if let Some(at_ms) = self.revoked_ms {
            return Err(revoked("revoked", at_ms));
        }
        if let UsedSecret::Replaced { until_ms } = used
            && now_ms >= until_ms
        {
            return Err(revoked("replaced", until_ms));
        }
        match self.expires_ms {
            Some(at_ms) if now_ms >= at_ms => Err(Denied::Expired {
                name: self.name.clone(),
                id: self.id.clone(),
                role: self.role.into(),
                at: utc(at_ms),
            }),
            _ => Ok(()),
        }
    }
}

/// A time in UTC, to the second.
pub(crate) fn utc(ms: u64) -> String {
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(ms)).unwrap_or(UNIX_EPOCH);
    caviar_common::utc::to_second(time)
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn hash(secret: &Secret) -> blake3::Hash {
    blake3::Hash::from_bytes(blake3::derive_key(CONTEXT, secret.bits()))
}

fn random<const N: usize>() -> Result<[u8; N], TokenError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| TokenError::NoRandomness)?;
    Ok(bytes)
}

/// An accepted token.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The token as lists show it.
    pub token: TokenView,
    /// When the secret that was used ends by itself, in milliseconds since 1970; `None` for never.
    /// One that was replaced ends before its token.
    pub ends_ms: Option<u64>,
    /// The hash of the secret that was used.
    hash: blake3::Hash,
}

/// All tokens of a coordinator.
#[derive(Debug)]
pub struct Tokens {
    /// `None` for tokens that are kept nowhere.
    path: Option<PathBuf>,
    /// Held while the list is changed and stored. Requests go on in the meantime.
    changing: Mutex<()>,
    list: Mutex<Vec<Token>>,
    /// Changes with every revocation and rotation.
    changes: watch::Sender<u64>,
}

impl Tokens {
    /// The tokens of a file, which may not exist yet. Without a path they are only in memory.
    ///
    /// # Errors
    /// The file cannot be read, others can read it, or it is damaged.
    pub fn open(path: Option<PathBuf>) -> Result<Self, TokenError> {
        let text = path.as_deref().map(files::read_secret).transpose()?.flatten();
        let list = match (&path, text) {
            (Some(path), Some(text)) => serde_json::from_str(&text).map_err(|error| {
                TokenError::Damaged { path: path.clone(), cause: error.to_string() }
            })?,
            _ => Vec::new(),
        };
        Ok(Self {
            path,
            changing: Mutex::default(),
            list: Mutex::new(list),
            changes: watch::Sender::new(0),
        })
    }

    fn list(&self) -> MutexGuard<'_, Vec<Token>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every token, the ended ones of the last 90 days included, in the order of their making.
    pub fn views(&self) -> Vec<TokenView> {
        self.list().iter().map(Token::view).collect()
    }

    /// The token of a secret.
    ///
    /// # Errors
    /// No token has the secret, or it has ended.
    pub fn accept(&self, secret: &Secret, now_ms: u64) -> Result<Accepted, Denied> {
        let hash = hash(secret);
        let list = self.list();
        let mut found = None;
        for token in list.iter() {
            if let Some(used) = token.secret(&hash) {
                found = Some((token, used));
            }
        }
        let (token, used) = found.ok_or(Denied::Unknown)?;
        token.check(used, now_ms)?;
        Ok(Accepted { token: token.view(), ends_ms: token.secret_ends_ms(used), hash })
    }

    /// Waits until an accepted token ends: it is revoked, replaced, or expires.
    pub async fn until_ended(&self, accepted: &Accepted) -> Denied {
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let left = match self.check(accepted, now_ms()) {
                Ok(left) => left,
                Err(denied) => return denied,
            };
            // A timer is checked against the clock again at least every day.
            let left = left.min(Duration::from_secs(86_400));
            tokio::select! {
                // The sender lives as long as this object.
                _ = changes.changed() => {}
                () = tokio::time::sleep(left) => {}
            }
        }
    }

    /// How long an accepted token is still valid if nothing changes.
    fn check(&self, accepted: &Accepted, now_ms: u64) -> Result<Duration, Denied> {
        let list = self.list();
        let token = list.iter().find(|it| it.id == accepted.token.id).ok_or(Denied::Unknown)?;
        // Only secrets whose grace period is over are forgotten.
        let forgotten = UsedSecret::Replaced { until_ms: now_ms };
        let used = token.secret(&accepted.hash).unwrap_or(forgotten);
        token.check(used, now_ms)?;
        let end = token.secret_ends_ms(used);
        Ok(end.map_or(Duration::MAX, |end| Duration::from_millis(end.saturating_sub(now_ms) + 1)))
    }

    /// Makes a token. Returns its secret, which cannot be read again.
    ///
    /// # Errors
    /// There are too many, or the file cannot be written.
    pub fn create(
        &self,
        name: Name,
        role: Role,
        ttl: Option<Duration>,
    ) -> Result<(TokenView, Secret), TokenError> {
        let (secret, now_ms) = (Secret::new(random()?), now_ms());
        let number = u32::from_be_bytes(random()?);
        let ttl_ms = ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        let token = Token {
            id: TokenId(format!("{number:08x}")),
            name,
            role: role.into(),
            hash: hash(&secret).to_hex().to_string(),
            created_ms: now_ms,
            expires_ms: ttl_ms.map(|ttl_ms| now_ms.saturating_add(ttl_ms)),
            revoked_ms: None,
            earlier: Vec::new(),
        };
        let view = token.view();
        self.change(now_ms, |list| {
            if list.iter().filter(|it| it.check(UsedSecret::Current, now_ms).is_ok()).count()
                >= MAX_TOKENS
            {
                return Err(TokenError::TooMany);
            }
            list.push(token);
            Ok(())
        })?;
        Ok((view, secret))
    }

    /// Ends a token at once. Connections that use it are closed.
    ///
    /// # Errors
    /// No token has this id or name, it has ended, or the file cannot be written.
    pub fn revoke(&self, token: &str) -> Result<TokenView, TokenError> {
        self.revoke_unless(token, |_| false)
    }

    /// Ends a token at once, unless it is one of the coordinator's own.
    ///
    /// # Errors
    /// Those of [`Tokens::revoke`], or `is_own` is true.
    pub(crate) fn revoke_unless(
        &self,
        token: &str,
        is_own: impl Fn(&TokenView) -> bool,
    ) -> Result<TokenView, TokenError> {
        let now_ms = now_ms();
        self.change(now_ms, |list| {
            let token = find(list, token, now_ms)?;
            if is_own(&token.view()) {
                return Err(TokenError::Own(token.name.clone()));
            }
            token.revoked_ms = Some(now_ms);
            Ok(token.view())
        })
    }

    /// Gives a token a new secret. The old one stays valid for `grace`, and so do older ones for
    /// theirs.
    ///
    /// # Errors
    /// No token has this id or name, it has ended, or the file cannot be written.
    pub fn rotate(&self, token: &str, grace: Duration) -> Result<(TokenView, Secret), TokenError> {
        let (secret, now_ms) = (Secret::new(random()?), now_ms());
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        let view = self.change(now_ms, |list| {
            let token = find(list, token, now_ms)?;
            let new = hash(&secret).to_hex().to_string();
            let old = std::mem::replace(&mut token.hash, new);
            token
                .earlier
                .retain(|earlier| earlier.until_ms.saturating_add(KEEP_REPLACED_MS) > now_ms);
            let surplus = token.earlier.len().saturating_sub(MAX_REPLACED - 1);
            token.earlier.drain(..surplus);
            let until_ms = now_ms.saturating_add(grace_ms);
            token.earlier.push(Replaced { hash: old, until_ms });
            Ok(token.view())
        })?;
        Ok((view, secret))
    }

    /// Changes the list, and keeps the change only if it can be stored.
    fn change<T>(
        &self,
        now_ms: u64,
        change: impl FnOnce(&mut Vec<Token>) -> Result<T, TokenError>,
    ) -> Result<T, TokenError> {
        let keep_ms = u64::try_from(KEEP_ENDED.as_millis()).unwrap_or(u64::MAX);
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = self.list().clone();
        new.retain(|it| it.ends_ms().is_none_or(|end| end.saturating_add(keep_ms) > now_ms));
        let changed = change(&mut new)?;
        if let Some(path) = &self.path {
            let text = serde_json::to_string_pretty(&new).map_err(|error| TokenError::Damaged {
                path: path.clone(),
                cause: error.to_string(),
            })?;
            files::write_secret(path, &text)?;
        }
        *self.list() = new;
        self.changes.send_modify(|version| *version += 1);
        Ok(changed)
    }
}

fn is_hash(hex: &str, hash: &blake3::Hash) -> bool {
    blake3::Hash::from_hex(hex).is_ok_and(|stored| stored == *hash)
}

/// The valid token with this identity or name.
fn find<'a>(list: &'a mut [Token], wanted: &str, now_ms: u64) -> Result<&'a mut Token, TokenError> {
    let is_id = list.iter().any(|token| token.id.0 == wanted);
    let is_meant =
        |token: &Token| if is_id { token.id.0 == wanted } else { token.name.as_str() == wanted };
    let is_valid = |token: &Token| token.check(UsedSecret::Current, now_ms).is_ok();
    match list.iter().filter(|token| is_meant(token) && is_valid(token)).count() {
        0 => {
            let ended = list.iter().find(|token| is_meant(token));
            Err(ended.map_or_else(
                || TokenError::NoSuchToken(wanted.to_owned()),
                |token| TokenError::Ended(token.id.clone()),
            ))
        }
        1 => list
            .iter_mut()
            .find(|token| is_meant(token) && is_valid(token))
            .ok_or_else(|| TokenError::NoSuchToken(wanted.to_owned())),
        _ => Err(TokenError::Ambiguous(wanted.to_owned())),
    }
}

#[cfg(test)]
mod tests;
