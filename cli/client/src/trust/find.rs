//! Finding the coordinator that a user means, and the join string for it.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use caviar_common::address::{Address, AddressError};
use caviar_common::join::{
    JoinError, JoinString, MAX_ADDRESSES, Role, user_folder, user_join_folder,
};

use super::files::{SecretFileError, read_secret_file};
use super::{Target, dialable};

/// The environment variable with a join string.
const VARIABLE: &str = "CAVIAR_JOIN";
/// Longest join string on standard input, in bytes.
const MAX_INPUT_BYTES: u64 = 16_384;

/// Most files of the user's folder whose coordinators are tried, the latest first.
const MAX_TRIED: usize = 8;

/// What a user said about the coordinator, and where else to look.
///
/// The first of these that is there counts:
/// 1. an address that begins with `http://`: no encryption and no token,
/// 2. the file of `join`, or standard input,
/// 3. `variable`,
/// 4. the join string in `folder` for the address, or else the one that was written last.
///
/// An address replaces those of the join string.
#[derive(Clone, Default)]
pub struct Finder {
    /// Addresses, separated by commas, in any form of [`caviar_common::address`].
    pub coordinator: Option<String>,
    /// A file with a join string; `-` for standard input.
    pub join: Option<PathBuf>,
    /// A join string: the value of `CAVIAR_JOIN`.
    pub variable: Option<String>,
    /// The folder of join strings of this user.
    pub folder: Option<PathBuf>,
}

impl std::fmt::Debug for Finder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { coordinator, join, variable: _, folder } = self;
        f.debug_struct("Finder")
            .field("coordinator", coordinator)
            .field("join", join)
            .field("folder", folder)
            .finish_non_exhaustive()
    }
}

/// A coordinator that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// How it is reached.
    pub target: Target,
    /// What led to it.
    pub place: FoundIn,
}

impl Found {
    const fn of_user(join: JoinString, path: PathBuf) -> Self {
        Self { target: Target::Trusted(join), place: FoundIn::UserFolder(path) }
    }
}

/// Where a coordinator was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundIn {
    /// An `http://` address, which needs no join string.
    Address,
    /// The file of `--join`.
    File(PathBuf),
    /// Standard input.
    Input,
    /// The environment variable `CAVIAR_JOIN`.
    Variable,
    /// A file in the folder of join strings of this user.
    UserFolder(PathBuf),
}

impl std::fmt::Display for FoundIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address => f.write_str("the address"),
            Self::File(path) | Self::UserFolder(path) => path.display().fmt(f),
            Self::Input => f.write_str("standard input"),
            Self::Variable => f.write_str(VARIABLE),
        }
    }
}

/// Why no coordinator was found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The address is not an address.
    #[error("coordinator {0}")]
    Address(#[from] AddressError),
    /// There are more addresses than a join string may have.
    #[error("coordinator: expected at most {MAX_ADDRESSES} addresses")]
    TooManyAddresses,
    /// A text is not a join string.
    #[error("{place}: {problem}")]
    Join {
        /// The file or the variable.
        place: String,
        /// What is wrong with it.
        problem: JoinError,
    },
    /// The file cannot be read, or others could read it.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// Standard input cannot be read.
    #[error("cannot read a join string from standard input: {0}")]
    Input(#[source] io::Error),
    /// An `http://` address with a join string.
    #[error(
        "coordinator {address}: a join string is only sent over TLS; hint: leave http:// out, or \
         leave the join string out for a coordinator that was started with --insecure"
    )]
    Plain {
        /// The address as a URL.
        address: String,
    },
    /// No join string was found.
    #[error("no join string for {wanted}, so there is no coordinator to trust")]
    Missing {
        /// What was asked for.
        wanted: String,
        /// The folder of this user, in which there was none.
        folder: Option<PathBuf>,
    },
}

impl FindError {
    /// What to do about it, for people.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Missing { folder, .. } => {
                let place = folder.as_ref().map_or_else(String::new, |folder| {
                    format!(" (none of this user's is in {})", folder.display())
                });
                vec![
                    "start a coordinator with: caviar coordinator".to_owned(),
                    format!(
                        "or give the join string of one in a file of mode 0600 with --join FILE, \
                         or in {VARIABLE}{place}"
                    ),
                ]
            }
            Self::Address(_) => vec!["write HOST:PORT, for example 127.0.0.1:7070".to_owned()],
            Self::Join { .. }
            | Self::TooManyAddresses
            | Self::File(_)
            | Self::Input(_)
            | Self::Plain { .. } => Vec::new(),
        }
    }
}

impl Finder {
    /// What the arguments say, and the environment of this process.
    pub fn from_environment(coordinator: Option<String>, join: Option<PathBuf>) -> Self {
        let variable = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty());
        let folder = user_folder(|name| std::env::var_os(name));
        let folder = folder.map(|folder| user_join_folder(&folder));
        Self { coordinator, join, variable, folder }
    }

    /// The coordinator, with a token of this role where the user's folder has several.
    ///
    /// # Errors
    /// No join string was found, or it cannot be used.
    pub fn find(&self, role: Role) -> Result<Target, FindError> {
        Ok(self.find_place(role)?.target)
    }

    /// The coordinators that may be meant, the likeliest first; at least one. There are several if
    /// nothing names one: the join string that was written last may be of a coordinator that was
    /// killed.
    ///
    /// # Errors
    /// No join string was found, or the first one cannot be used.
    pub fn find_all(&self, role: Role) -> Result<Vec<Found>, FindError> {
        if self.coordinator.is_some() || self.join.is_some() || self.variable.is_some() {
            return Ok(vec![self.find_place(role)?]);
        }
        let mut joins = self.joins_of_user(role).take(MAX_TRIED);
        let first = joins.next().unwrap_or_else(|| Err(self.missing()))?;
        let found = std::iter::once(first).chain(joins.filter_map(Result::ok));
        Ok(found.map(|(join, path)| Found::of_user(join, path)).collect())
    }

    /// The same coordinator as before, as its join string says now. It may have been started again
    /// at another address, or its token may have a new secret. `None` if its join string is gone,
    /// or came from where it cannot be read twice.
    ///
    /// # Errors
    /// The join string cannot be used.
    pub fn find_again(&self, role: Role, before: &Found) -> Result<Option<Found>, FindError> {
        let (Target::Trusted(known), FoundIn::UserFolder(file)) = (&before.target, &before.place)
        else {
            let is_file = matches!(before.place, FoundIn::File(_));
            return match is_file.then(|| self.find_place(role)).transpose() {
                Err(FindError::File(error)) if error.is_missing() => Ok(None),
                found => found,
            };
        };
        let mut in_file = None;
        for join in self.joins_of_user(role) {
            match join {
                // The authority is that of the store, whatever the address.
                Ok((join, path)) if join.pin == known.pin => {
                    return Ok(Some(Found::of_user(self.placed(join)?, path)));
                }
                Ok((join, path)) if path == *file => in_file = Some((join, path)),
                Ok(_) | Err(_) => {}
            }
        }
        let Some((join, path)) = in_file else { return Ok(None) };
        Ok(Some(Found::of_user(self.placed(join)?, path)))
    }

    /// The coordinator, as [`find`](Self::find) returns it, and where it was found.
    ///
    /// # Errors
    /// No join string was found, or it cannot be used.
    pub fn find_place(&self, role: Role) -> Result<Found, FindError> {
        let addresses = self.addresses()?;
        if let Some(plain) = addresses.iter().find(|address| address.is_plain()) {
            if self.join.is_some() {
                return Err(FindError::Plain { address: plain.url() });
            }
            return Ok(Found { target: Target::Plain(plain.clone()), place: FoundIn::Address });
        }
        let (join, place) = match (&self.join, &self.variable) {
            (Some(path), _) if path.as_os_str() == "-" => (read_join(path)?, FoundIn::Input),
            (Some(path), _) => (read_join(path)?, FoundIn::File(path.clone())),
            (None, Some(text)) => (parse(VARIABLE, text)?, FoundIn::Variable),
            (None, None) => {
                let (join, path) = self.join_of_user(&addresses, role)?;
                (join, FoundIn::UserFolder(path))
            }
        };
        Ok(Found { target: Target::Trusted(self.placed(join)?), place })
    }

    /// The join string at the addresses that were given, or else at its own.
    fn placed(&self, join: JoinString) -> Result<JoinString, FindError> {
        let addresses = self.addresses()?;
        Ok(if addresses.is_empty() { join } else { join.at(addresses) })
    }

    fn addresses(&self) -> Result<Vec<Address>, FindError> {
        let Some(text) = &self.coordinator else { return Ok(Vec::new()) };
        let addresses: Vec<Address> = text.split(',').map(dialable).collect::<Result<_, _>>()?;
        if addresses.len() > MAX_ADDRESSES {
            return Err(FindError::TooManyAddresses);
        }
        Ok(addresses)
    }

    /// The join string in the user's folder for one of the addresses, or else the latest.
    fn join_of_user(
        &self,
        addresses: &[Address],
        role: Role,
    ) -> Result<(JoinString, PathBuf), FindError> {
        let mut latest = Err(self.missing());
        for join in self.joins_of_user(role) {
            let is_meant = join.as_ref().is_ok_and(|(join, _)| {
                addresses.iter().any(|a| join.addresses.iter().any(|b| a.is_same_place(b)))
            });
            if is_meant {
                return join;
            }
            if matches!(latest, Err(FindError::Missing { .. })) {
                latest = join;
            }
        }
        latest
    }

    /// The join strings in the user's folder, the latest first.
    fn joins_of_user(
        &self,
        role: Role,
    ) -> impl Iterator<Item = Result<(JoinString, PathBuf), FindError>> {
        let paths = self.folder.iter().flat_map(move |folder| files(folder, role));
        paths.filter_map(|path| match read_join(&path) {
            // A coordinator that has just stopped has removed its file.
            Err(FindError::File(error)) if error.is_missing() => None,
            read => Some(read.map(|join| (join, path))),
        })
    }

    fn missing(&self) -> FindError {
        FindError::Missing {
            wanted: self.coordinator.clone().unwrap_or_else(|| "a coordinator".to_owned()),
            folder: self.folder.clone(),
        }
    }
}

/// The files of a role, the latest first.
fn files(folder: &Path, role: Role) -> Vec<PathBuf> {
    let end = format!(".{role}.join");
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut files: Vec<(SystemTime, PathBuf)> = entries
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(&end))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    files.sort_unstable_by(|a, b| b.cmp(a));
    files.into_iter().map(|(_, path)| path).collect()
}

/// The join string in a file, or on standard input.
fn read_join(path: &Path) -> Result<JoinString, FindError> {
    if path.as_os_str() != "-" {
        return parse(&path.display().to_string(), &read_secret_file(path)?);
    }
    let mut text = String::new();
    let input = io::stdin().lock().take(MAX_INPUT_BYTES).read_to_string(&mut text);
    input.map_err(FindError::Input)?;
    parse("standard input", &text)
}

fn parse(place: &str, text: &str) -> Result<JoinString, FindError> {
    text.parse().map_err(|problem| FindError::Join { place: place.to_owned(), problem })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use caviar_common::join::{Pin, Secret};

    use super::*;

    fn join(address: &str) -> JoinString {
        JoinString {
            role: Role::Admin,
            pin: Pin([1; 32]),
            secret: Secret::new([2; 16]),
            addresses: vec![address.parse().unwrap()],
        }
    }

    fn write(path: &Path, text: &str, age: u64) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
        let file = File::options().append(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
    }

    fn found(finder: &Finder) -> String {
        match finder.find(Role::Admin) {
            Ok(Target::Trusted(join)) => join.addresses[0].to_string(),
            Ok(Target::Plain(address)) => address.url(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_users_join_string_is_found_by_address_or_by_age() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let finder = Finder { folder: Some(folder.path().to_owned()), ..Finder::default() };
        let at = |address: &str| Finder { coordinator: Some(address.to_owned()), ..finder.clone() };
        assert_eq!(
            found(&finder),
            "no join string for a coordinator, so there is no coordinator to trust"
        );
        write(&path("a-1.admin.join"), &join("a:1").reveal(), 60);
        write(&path("b-2.admin.join"), &join("b:2").reveal(), 5);
        write(&path("c-3.worker.join"), &join("c:3").reveal(), 0);
        assert_eq!(found(&finder), "b:2");
        assert_eq!(found(&at("a:1")), "a:1");
        // Through a tunnel: the latest, at the address of the tunnel.
        assert_eq!(found(&at("localhost:9")), "localhost:9");
        assert_eq!(found(&at("http://a:1")), "http://a:1");
        assert!(found(&at("a:x")).starts_with("coordinator \"a:x\": port \"x\""));
        assert!(found(&at("a:0")).contains("port 0: expected"));
    }

    #[test]
    fn the_join_strings_of_the_user_are_tried_from_the_latest_on() {
        let folder = tempfile::tempdir().unwrap();
        let finder = Finder { folder: Some(folder.path().to_owned()), ..Finder::default() };
        for age in 1..20 {
            let path = folder.path().join(format!("a-{age}.admin.join"));
            write(&path, &join(&format!("a:{age}")).reveal(), age);
        }
        let all = |finder: &Finder| -> Vec<String> {
            let all = finder.find_all(Role::Admin).unwrap();
            all.iter().map(|found| found.target.addresses()[0].to_string()).collect()
        };
        let expected: Vec<String> = (1..=MAX_TRIED).map(|age| format!("a:{age}")).collect();
        assert_eq!(all(&finder), expected);
        // A damaged file is an error only if it is the latest.
        write(&folder.path().join("a-2.admin.join"), "damaged", 2);
        assert_eq!(all(&finder).len(), MAX_TRIED - 1);
        let named = Finder { coordinator: Some("a:3".to_owned()), ..finder.clone() };
        assert_eq!(all(&named), ["a:3"]);
        write(&folder.path().join("a-1.admin.join"), "damaged", 1);
        assert!(finder.find_all(Role::Admin).is_err());
    }

    #[test]
    fn a_coordinator_is_found_again_by_its_authority_or_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let finder = Finder { folder: Some(folder.path().to_owned()), ..Finder::default() };
        let other = |address: &str| JoinString { pin: Pin([9; 32]), ..join(address) };
        let again = |before: &Found| {
            let found = finder.find_again(Role::Admin, before).unwrap()?;
            Some(found.target.addresses()[0].to_string())
        };
        write(&path("a-1.admin.join"), &join("a:1").reveal(), 60);
        let before = finder.find_place(Role::Admin).unwrap();
        assert_eq!(again(&before).as_deref(), Some("a:1"));
        // The latest is of another coordinator.
        write(&path("b-2.admin.join"), &other("b:2").reveal(), 0);
        assert_eq!(again(&before).as_deref(), Some("a:1"));
        write(&path("a-3.admin.join"), &join("a:3").reveal(), 30);
        assert_eq!(again(&before).as_deref(), Some("a:3"));
        // Its authority was made again.
        fs::remove_file(path("a-3.admin.join")).unwrap();
        write(&path("a-1.admin.join"), &other("a:1").reveal(), 20);
        assert_eq!(again(&before).as_deref(), Some("a:1"));
        fs::remove_file(path("a-1.admin.join")).unwrap();
        assert_eq!(again(&before), None);
        let file = Found { place: FoundIn::File(path("a-1.admin.join")), ..before.clone() };
        let given = Finder { join: Some(path("a-1.admin.join")), ..finder.clone() };
        assert_eq!(given.find_again(Role::Admin, &file).unwrap(), None);
        let input = Found { place: FoundIn::Input, ..before };
        assert_eq!(again(&input), None);
    }

    #[test]
    fn arguments_come_before_the_environment_and_both_before_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("given");
        write(&file, &join("file:1").reveal(), 0);
        write(&folder.path().join("x.admin.join"), &join("folder:1").reveal(), 0);
        let mut finder = Finder {
            coordinator: None,
            join: Some(file),
            variable: Some(join("variable:1").reveal()),
            folder: Some(folder.path().to_owned()),
        };
        assert_eq!(found(&finder), "file:1");
        finder.coordinator = Some("other:1".to_owned());
        assert_eq!(found(&finder), "other:1");
        finder.coordinator = Some("http://other:1".to_owned());
        assert!(found(&finder).contains("only sent over TLS"), "{}", found(&finder));
        (finder.join, finder.coordinator) = (None, None);
        assert_eq!(found(&finder), "variable:1");
        finder.variable = Some("caviar1.x".to_owned());
        assert!(found(&finder).starts_with("CAVIAR_JOIN: expected a join string"));
        finder.variable = None;
        assert_eq!(found(&finder), "folder:1");
    }

    #[test]
    fn a_join_string_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.admin.join");
        write(&path, &join("a:1").reveal(), 0);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let finder = Finder { folder: Some(folder.path().to_owned()), ..Finder::default() };
        assert!(found(&finder).contains("other users can read"), "{}", found(&finder));
    }
}
