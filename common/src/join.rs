//! The join string: everything that a program needs to reach a coordinator and to trust it.
//!
//! ```text
//! caviar1.worker.<pin>.<secret>@login1.cluster:7070,10.0.0.1:7070
//!         |      |     |        '-- addresses of the coordinator, tried in turn
//!         |      |     '-- 128 bits in hexadecimal, sent as a bearer token
//!         |      '-- SHA-256 of the authority's public key, in hexadecimal
//!         '-- the role of the token
//! ```
//! A client verifies the pin before it sends the secret. So every join string has a pin.
//!
//! A join string is a password. It is read from a file that only its owner can read, from the
//! environment, or from standard input, and never from a command line, which other users can see.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::address::{Address, AddressError};
use crate::text::quoted;

/// What every join string begins with. The number is the version of the form.
const PREFIX: &str = "caviar1";
/// The name in a coordinator's certificate. It is the same everywhere, so that a coordinator can be
/// reached at any address and through any tunnel.
pub const SERVER_NAME: &str = "coordinator.caviar";
/// The header with which a coordinator tells a client without TLS, in HTTP/1.1, why it is refused.
pub const REFUSAL_HEADER: &str = "Caviar-Refusal";
/// Most addresses in one join string.
pub const MAX_ADDRESSES: usize = 16;

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Read sweeps, trials and workers.
    View,
    /// Work for sweeps: train trials, and read the artifacts that they need.
    Worker,
    /// Everything of `View`, and create, control and delete sweeps.
    Submit,
    /// Everything that the other roles may, and drain workers and manage tokens.
    Admin,
}

impl Role {
    /// Every role, the one that may least first.
    pub const ALL: [Self; 4] = [Self::View, Self::Worker, Self::Submit, Self::Admin];

    /// The name on the command line and in join strings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Worker => "worker",
            Self::Submit => "submit",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that is not a role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("role {}: expected view, submit, worker or admin", quoted(.0))]
pub struct UnknownRole(pub String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let found = Self::ALL.into_iter().find(|role| role.name() == text);
        found.ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// The SHA-256 of an authority's public key (its `SubjectPublicKeyInfo` in DER).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pin(pub [u8; 32]);

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({self})")
    }
}

/// The secret of a token: 128 random bits. It has no `Display`, and `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 16]);

impl Secret {
    /// A secret with these bits, which must be random.
    pub const fn new(bits: [u8; 16]) -> Self {
        Self(bits)
    }

    /// The secret as it is sent: 32 hexadecimal digits.
    pub fn reveal(&self) -> String {
        struct Hex<'a>(&'a [u8]);
        impl fmt::Display for Hex<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, self.0)
            }
        }
        Hex(&self.0).to_string()
    }

    /// Reads 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        parse_hex(text).map(Self)
    }

    /// The 128 random bits.
    pub const fn bits(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}

/// A parsed join string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinString {
    /// What the token allows. It only tells the reader: the coordinator decides by the secret.
    pub role: Role,
    /// The authority that the coordinator's certificate must come from.
    pub pin: Pin,
    /// The secret of the token.
    pub secret: Secret,
    /// Where the coordinator listens, the preferred address first; never empty.
    pub addresses: Vec<Address>,
}

impl JoinString {
    /// The whole text, which holds the secret.
    pub fn reveal(&self) -> String {
        let Self { role, pin, secret, addresses } = self;
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        format!("{PREFIX}.{role}.{pin}.{}@{}", secret.reveal(), addresses.join(","))
    }

    /// The same trust at other addresses, for example at the end of a tunnel.
    #[must_use]
    pub fn at(self, addresses: Vec<Address>) -> Self {
        Self { addresses, ..self }
    }
}

/// Why a text is not a join string. The text itself is never shown, because it may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// It does not begin as a join string does.
    #[error("expected a join string, such as caviar1.ROLE.PIN.SECRET@HOST:PORT")]
    Form,
    /// A later version made it.
    #[error("this join string is of a later version of Caviar; this version reads {PREFIX}.…")]
    Version,
    /// The role is not known.
    #[error(transparent)]
    Role(#[from] UnknownRole),
    /// The pin is not 64 hexadecimal digits.
    #[error("the pin: expected 64 hexadecimal digits; a join string without a pin is not accepted")]
    Pin,
    /// The secret is not 32 hexadecimal digits.
    #[error("the secret: expected 32 hexadecimal digits")]
    Secret,
    /// No address, or too many.
    #[error("expected 1 to {MAX_ADDRESSES} addresses after @, separated by commas")]
    Addresses,
    /// A part after `@` is not an address that can be dialled.
    #[error("address {0}")]
    Address(#[from] AddressError),
    /// An address with port 0.
    #[error("address {0}: expected a port from 1 to 65535")]
    Port(String),
    /// `http://`, which would send the secret in plain text.
    #[error("address {0}: a join string is only sent over TLS; leave http:// out")]
    Plain(String),
}

impl FromStr for JoinString {
    type Err = JoinError;

    fn from_str(text: &str) -> Result<Self, JoinError> {
        let (trust, addresses) = text.trim().split_once('@').ok_or(JoinError::Form)?;
        let mut parts = trust.split('.');
        match parts.next() {
            Some(PREFIX) => {}
            Some(other) if other.strip_prefix("caviar").is_some_and(is_number) => {
                return Err(JoinError::Version);
            }
            _ => return Err(JoinError::Form),
        }
        let (Some(role), Some(pin), Some(secret), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(JoinError::Form);
        };
        Ok(Self {
            role: role.parse()?,
            pin: Pin(parse_hex(pin).ok_or(JoinError::Pin)?),
            secret: Secret::parse(secret).ok_or(JoinError::Secret)?,
            addresses: parse_addresses(addresses)?,
        })
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn parse_addresses(text: &str) -> Result<Vec<Address>, JoinError> {
    let parts: Vec<&str> = text.split(',').collect();
    if parts.len() > MAX_ADDRESSES || parts.iter().any(|part| part.is_empty()) {
        return Err(JoinError::Addresses);
    }
    parts.into_iter().map(parse_address).collect()
}

fn parse_address(text: &str) -> Result<Address, JoinError> {
    let address: Address = text.parse()?;
    if address.port() == 0 {
        return Err(JoinError::Port(quoted(text)));
    }
    if address.is_plain() {
        return Err(JoinError::Plain(quoted(text)));
    }
    Ok(address)
}

/// The folder next to a store with the coordinator's keys, tokens and join strings:
/// `caviar.db.trust` for `caviar.db`.
pub fn trust_folder(store: &Path) -> PathBuf {
    let mut path = store.as_os_str().to_owned();
    path.push(".trust");
    path.into()
}

/// The file in a [trust folder](trust_folder) with the join string of a role that the coordinator
/// makes by itself: `Worker` or `Admin`.
pub fn join_file(trust: &Path, role: Role) -> PathBuf {
    trust.join(format!("{role}.join"))
}

/// The folder of a user's programs: `$CAVIAR_HOME`, or else `$XDG_STATE_HOME/caviar`, or else
/// `$HOME/.local/state/caviar`. `None` if none of them is set. `variable` reads the environment.
///
/// Clusters share home folders, so workers on other hosts find what a coordinator leaves there.
pub fn user_folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("CAVIAR_HOME")
        .or_else(|| set("XDG_STATE_HOME").map(|state| state.join("caviar")))
        .or_else(|| set("HOME").map(|home| home.join(".local/state/caviar")))
}

/// The folder of join strings in a [user's folder](user_folder).
pub fn user_join_folder(user: &Path) -> PathBuf {
    user.join("join")
}

/// The file in a [user's folder](user_folder) with the join string of a role for the coordinator
/// on this host and port. Any character that does not fit into a file name becomes `-`.
pub fn user_join_file(user: &Path, host: &str, port: u16, role: Role) -> PathBuf {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let host: String = host.chars().map(|c| if is_legal(c) { c } else { '-' }).collect();
    user_join_folder(user).join(format!("{host}-{port}.{role}.join"))
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != N * 2 {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        // `from_str_radix` would take a sign.
        if !pair.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> JoinString {
        JoinString {
            role: Role::Worker,
            pin: Pin([0xab; 32]),
            secret: Secret::new([7; 16]),
            addresses: vec!["login1.cluster:7070".parse().unwrap(), "[::1]:7".parse().unwrap()],
        }
    }

    #[test]
    fn a_join_string_is_read_as_it_was_written() {
        let text = example().reveal();
        assert_eq!(text.parse(), Ok(example()));
        assert_eq!(format!(" {text}\n").parse(), Ok(example()));
        assert!(text.ends_with("@login1.cluster:7070,[::1]:7"), "{text}");
    }

    #[test]
    fn only_reveal_shows_the_secret() {
        let shown = format!("{:?}", example());
        assert!(!shown.contains(&example().secret.reveal()), "{shown}");
        assert!(shown.contains("not shown"), "{shown}");
    }

    #[test]
    fn the_users_folder_is_the_first_that_is_set() {
        let folder = |set: &[(&str, &str)]| {
            user_folder(|name| {
                let found = set.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| OsString::from(value))
            })
        };
        let (own, state, home) = (("CAVIAR_HOME", "/a"), ("XDG_STATE_HOME", "/b"), ("HOME", "/c"));
        assert_eq!(folder(&[own, state, home]), Some("/a".into()));
        assert_eq!(folder(&[("CAVIAR_HOME", ""), state, home]), Some("/b/caviar".into()));
        assert_eq!(folder(&[home]), Some("/c/.local/state/caviar".into()));
        assert_eq!(folder(&[]), None);
        let file = user_join_file(Path::new("/a"), "node 1/x", 7, Role::Worker);
        assert_eq!(file, Path::new("/a/join/node-1-x-7.worker.join"));
    }

    #[test]
    fn a_wrong_join_string_is_refused_without_being_shown() {
        let right = example().reveal();
        let pin = "ab".repeat(32);
        for (text, expected) in [
            (String::new(), "expected a join string, such as caviar1.ROLE.PIN.SECRET@HOST:PORT"),
            ("node1:7070".to_owned(), "expected a join string"),
            (right.replace("caviar1", "caviar2"), "of a later version"),
            (right.replace("worker", "root"), "role \"root\": expected view, submit, worker or"),
            (right.replace(&format!("{pin}."), ""), "expected a join string"),
            (right.replace(&pin, "+b"), "the pin: expected 64 hexadecimal digits"),
            (right.replace(&pin, &"+b".repeat(32)), "the pin: expected 64 hexadecimal digits"),
            (right.replace("0707@", "@"), "the secret: expected 32 hexadecimal digits"),
            (right.replace("login1.cluster:7070,[::1]:7", ""), "expected 1 to 16 addresses"),
            (format!("{right},"), "expected 1 to 16 addresses"),
            (format!("{right}{}", ",a".repeat(16)), "expected 1 to 16 addresses"),
            (right.replace(":7070", ":0"), "\"login1.cluster:0\": expected a port from 1"),
            (right.replace("[::1]:7", "http://a:1"), "only sent over TLS"),
            (right.replace("[::1]:7", "a b"), "address \"a b\": expected a host name"),
        ] {
            let error = text.parse::<JoinString>().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains(&example().secret.reveal()), "{error}");
        }
    }
}
