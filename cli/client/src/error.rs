//! The error of this crate.

use std::time::Duration;

use caviar_common::error::{ErrorClass, Problem, Problems};
use caviar_proto::status::{class_of, problems_of};
use futures_core::future::BoxFuture;
use tonic::Status;

use crate::dial::{DialError, HINT};

/// A request to a coordinator, which is sent when it is awaited.
///
/// It is boxed so that gRPC's client is compiled once, in this crate: the body of an `async fn` is
/// compiled again in each crate that awaits it.
pub type Request<'a, T> = BoxFuture<'a, Result<T, Error>>;

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing accepts connections at the addresses, or at some of them; no other one leads to the
    /// coordinator.
    #[error("no coordinator answers at {url}: {cause}")]
    Unreachable {
        /// The URL that was dialled.
        url: String,
        /// What the system reports of each address, without hints.
        cause: String,
        /// What to do about addresses that lead to another server, one sentence each.
        hints: Vec<String>,
    },
    /// The server there cannot show that it is the coordinator. No secret was sent.
    #[error("the server at {url} cannot be trusted: {cause}")]
    Untrusted {
        /// The URL that was dialled.
        url: String,
        /// What is wrong, without its hints.
        cause: String,
        /// What to do about it, one sentence each.
        hints: Vec<String>,
    },
    /// Something accepts connections, and then does not answer.
    #[error("the server at {url} does not answer within {after:?}")]
    NoReply {
        /// The URL that was dialled.
        url: String,
        /// How long the client waited.
        after: Duration,
    },
    /// Another server listens at the address.
    #[error("the server at {url} is not a Caviar coordinator")]
    NotACoordinator {
        /// The URL that was dialled.
        url: String,
    },
    /// Fields of the request are wrong, for example of the sweep's specification.
    #[error("{problems}")]
    Invalid {
        /// The URL of the coordinator.
        url: String,
        /// Each field that is wrong, and what would be right.
        problems: Problems,
    },
    /// The coordinator refused the request, or went away.
    #[error("{message}")]
    Refused {
        /// The URL of the coordinator.
        url: String,
        /// What a caller can do about it.
        class: ErrorClass,
        /// The coordinator's message, without its hints.
        message: String,
        /// What the coordinator proposes to do, one sentence each.
        hints: Vec<String>,
    },
    /// The coordinator sent a reply that this version of the client cannot read.
    #[error(
        "the coordinator at {url} sent a reply that this version does not understand: {problem}"
    )]
    Unreadable {
        /// The URL of the coordinator.
        url: String,
        /// The field that cannot be read.
        problem: Problem,
    },
}

impl Error {
    /// What a caller can do about it.
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Invalid { .. } => ErrorClass::Invalid,
            Self::Unreachable { .. } | Self::NoReply { .. } => ErrorClass::Unavailable,
            Self::Untrusted { .. } | Self::NotACoordinator { .. } | Self::Unreadable { .. } => {
                ErrorClass::Refused
            }
            Self::Refused { class, .. } => *class,
        }
    }

    pub(crate) fn from_dial(error: DialError, url: &str) -> Self {
        let url = url.to_owned();
        let parts = |text: String| {
            let mut parts = text.split(HINT).map(str::to_owned);
            (parts.next().unwrap_or_default(), parts.collect())
        };
        match error {
            DialError::Unreachable(text) => {
                let (cause, hints) = parts(text);
                Self::Unreachable { url, cause, hints }
            }
            DialError::Untrusted(text) => {
                let (cause, hints) = parts(text);
                Self::Untrusted { url, cause, hints }
            }
            DialError::TimedOut(after) => Self::NoReply { url, after },
        }
    }

    pub(crate) fn from_status(status: &Status, url: &str) -> Self {
        let url = url.to_owned();
        if let Some(problems) = problems_of(status) {
            return Self::Invalid { url, problems };
        }
        let mut parts = status.message().split(HINT).map(str::to_owned);
        let message = parts.next().filter(|message| !message.is_empty());
        Self::Refused {
            url,
            class: class_of(status),
            message: message.unwrap_or_else(|| status.code().to_string()),
            hints: parts.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_becomes_a_message_and_its_hints() {
        let status = caviar_proto::status::new(
            ErrorClass::NotFound,
            "there is no sweep \"x\"; hint: did you mean y?",
        );
        let error = Error::from_status(&status, "http://a:1");
        assert_eq!(error.to_string(), "there is no sweep \"x\"");
        assert_eq!(error.class(), ErrorClass::NotFound);
        let Error::Refused { hints, .. } = error else { panic!("{error:?}") };
        assert_eq!(hints, ["did you mean y?"]);
    }

    #[test]
    fn a_status_with_problems_keeps_them() {
        let problems = Problems::from(Problem::new("name", "missing"));
        let status = caviar_proto::status::from_problems(&problems);
        let error = Error::from_status(&status, "http://a:1");
        assert_eq!(error, Error::Invalid { url: "http://a:1".to_owned(), problems });
    }

    #[test]
    fn a_status_without_a_message_names_its_code() {
        let error = Error::from_status(&Status::unavailable(""), "http://a:1");
        assert!(error.to_string().contains("unavailable"), "{error}");
    }
}
