//! The network address of a coordinator, in every form that people type it, and the name of the
//! file that publishes it.
//!
//! | text | host | port |
//! |---|---|---|
//! | `node1:7070`, `http://node1:7070` | `node1` | 7070 |
//! | `node1` | `node1` | [`DEFAULT_PORT`] |
//! | `:7070`, `7070` | [`DEFAULT_HOST`] | 7070 |
//! | `[::1]:7070`, `http://[::1]:7070` | `::1` | 7070 |
//! | `https://node1` | `node1` | 443, as in every URL |
//! | `http://node1` | `node1` | 80; not encrypted, which a coordinator has to allow |

use std::ffi::OsString;
use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::text::quoted;

/// The port that a coordinator listens on unless it is told otherwise.
pub const DEFAULT_PORT: u16 = 7070;
/// The host of an address that names only a port.
pub const DEFAULT_HOST: &str = "127.0.0.1";
/// The ports of URLs that name none.
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// A host and a port. The host is a name, an IPv4 address or an IPv6 address without brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
    is_plain: bool,
}

impl Address {
    /// The host, as a name or a number; an IPv6 address has no brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port. 0 is meaningful only to listen on: it asks the system for any free port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// True if it was written with `http://`, which asks for a connection without encryption.
    pub const fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// True if both lead to the same host and port, encrypted or not.
    pub fn is_same_place(&self, other: &Self) -> bool {
        (&self.host, self.port) == (&other.host, other.port)
    }

    /// The same host at another port.
    #[must_use]
    pub fn with_port(&self, port: u16) -> Self {
        Self { port, ..self.clone() }
    }

    /// The address as a URL, such as `https://127.0.0.1:7070`.
    pub fn url(&self) -> String {
        let scheme = if self.is_plain { "http" } else { "https" };
        format!("{scheme}://{self}")
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port(), is_plain: false }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A text that is not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", quoted(text))]
pub struct AddressError {
    /// The text as it was written.
    pub text: String,
    /// What is wrong with it.
    pub problem: AddressProblem,
}

/// What can be wrong with an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressProblem {
    /// The text is empty, or a URL without a host.
    #[error("expected HOST:PORT, such as 127.0.0.1:7070")]
    Empty,
    /// A URL of another kind, such as `ftp://`.
    #[error("expected HOST:PORT or https://HOST:PORT, not {0}://")]
    Scheme(String),
    /// Something follows the port.
    #[error("expected nothing after HOST:PORT")]
    Path,
    /// The host has characters that no host name has.
    #[error("expected a host name or an IP address before the port")]
    Host,
    /// An IPv6 address without brackets, so that its port cannot be told from its last group.
    #[error("expected an IPv6 address in brackets, such as [::1]:7070")]
    Brackets,
    /// The port is not a number, or too large.
    #[error("port {0:?}: expected a number from 0 to 65535")]
    Port(String),
    /// The port is 0, at which nothing can be reached.
    #[error("port 0: expected the port at which the coordinator listens, from 1 to 65535")]
    AnyPort,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        parse(text.trim()).map_err(|problem| AddressError { text: text.to_owned(), problem })
    }
}

fn parse(text: &str) -> Result<Address, AddressProblem> {
    let (rest, default_port, is_plain) = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (rest, HTTP_PORT, true),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (rest, HTTPS_PORT, false),
        Some((scheme, _)) => return Err(AddressProblem::Scheme(scheme.to_owned())),
        None => (text, DEFAULT_PORT, false),
    };
    let authority = rest.trim_end_matches('/');
    if authority.is_empty() {
        return Err(AddressProblem::Empty);
    }
    if authority.contains(['/', '?', '#']) {
        return Err(AddressProblem::Path);
    }
    let (host, port) = split_port(authority)?;
    let port = match port {
        Some(digits) => digits.parse().map_err(|_| AddressProblem::Port(digits.to_owned()))?,
        None => default_port,
    };
    Ok(Address { host: host.to_owned(), port, is_plain })
}

/// The host, and the digits of the port if there are any.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), AddressProblem> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or(AddressProblem::Host)?;
        host.parse::<Ipv6Addr>().map_err(|_| AddressProblem::Host)?;
        return match port.strip_prefix(':') {
            None if port.is_empty() => Ok((host, None)),
            None => Err(AddressProblem::Path),
            digits => Ok((host, digits)),
        };
    }
    if authority.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok((DEFAULT_HOST, Some(authority)));
    }
    if authority.parse::<Ipv6Addr>().is_ok() {
        return Ok((authority, None));
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some(("", digits)) => (DEFAULT_HOST, Some(digits)),
        Some((host, digits)) => (host, Some(digits)),
        None => (authority, None),
    };
    if host.contains(':') {
        return Err(AddressProblem::Brackets);
    }
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if host.chars().all(is_legal) { Ok((host, port)) } else { Err(AddressProblem::Host) }
}

/// The file next to a store in which the coordinator that holds the store publishes its address:
/// `caviar.db.address` for `caviar.db`.
pub fn address_file(store: &Path) -> PathBuf {
    let mut path = OsString::from(store);
    path.push(".address");
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match text.parse::<Address>() {
            Ok(address) => address.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn every_usual_form_of_an_address_is_understood() {
        for (text, expected) in [
            ("node1:7071", "node1:7071"),
            ("node1", "node1:7070"),
            ("localhost:7070", "localhost:7070"),
            (":7071", "127.0.0.1:7071"),
            ("7071", "127.0.0.1:7071"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("http://node1:7071", "node1:7071"),
            ("HTTP://node1:7071/", "node1:7071"),
            ("https://node1:7071", "node1:7071"),
            ("https://node1", "node1:443"),
            ("http://node1", "node1:80"),
            ("[::1]:7071", "[::1]:7071"),
            ("http://[::1]:7071", "[::1]:7071"),
            ("[::1]", "[::1]:7070"),
            ("::1", "[::1]:7070"),
            (" node1:7071\n", "node1:7071"),
        ] {
            assert_eq!(shown(text), expected, "{text:?}");
        }
        let address: Address = "[::1]:7071".parse().unwrap();
        assert_eq!((address.host(), address.port()), ("::1", 7071));
        assert_eq!(address.url(), "https://[::1]:7071");
        let plain: Address = "http://[::1]:7071".parse().unwrap();
        assert_eq!(plain.url(), "http://[::1]:7071");
        assert!(plain.is_plain() && plain.is_same_place(&address) && plain != address);
    }

    #[test]
    fn a_wrong_address_is_refused_with_what_would_be_right() {
        for (text, expected) in [
            ("", "\"\": expected HOST:PORT, such as 127.0.0.1:7070"),
            ("http://", "\"http://\": expected HOST:PORT, such as 127.0.0.1:7070"),
            ("ftp://a", "\"ftp://a\": expected HOST:PORT or https://HOST:PORT, not ftp://"),
            ("http://a:1/b", "\"http://a:1/b\": expected nothing after HOST:PORT"),
            ("[::1]7070", "\"[::1]7070\": expected nothing after HOST:PORT"),
            ("not a host", "\"not a host\": expected a host name or an IP address before the port"),
            ("[no]:1", "\"[no]:1\": expected a host name or an IP address before the port"),
            ("a@b:1", "\"a@b:1\": expected a host name or an IP address before the port"),
            (
                "::1:x:7070",
                "\"::1:x:7070\": expected an IPv6 address in brackets, such as [::1]:7070",
            ),
            ("a:x", "\"a:x\": port \"x\": expected a number from 0 to 65535"),
            ("a:", "\"a:\": port \"\": expected a number from 0 to 65535"),
            ("99999", "\"99999\": port \"99999\": expected a number from 0 to 65535"),
        ] {
            assert_eq!(shown(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_address_file_is_named_after_the_store() {
        assert_eq!(address_file(Path::new("a/caviar.db")), Path::new("a/caviar.db.address"));
    }
}
