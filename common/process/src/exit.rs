//! The exit codes.

use std::process::ExitCode;

use caviar_common::error::ErrorClass;

/// How a program ends. Every program of Caviar uses the same codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: the program did what it was asked to do. A coordinator or a worker that was told to stop
    /// and has stopped is a success too.
    Success,
    /// 1: it failed, and the same command may succeed another time.
    Failure,
    /// 2: the arguments, the environment or an input file are wrong, and stay wrong until they are
    /// changed.
    Usage,
    /// 130: SIGINT, SIGTERM or SIGHUP ended it before it was done.
    Interrupted,
}

impl Exit {
    /// The code that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<ErrorClass> for Exit {
    fn from(class: ErrorClass) -> Self {
        match class {
            ErrorClass::Invalid => Self::Usage,
            ErrorClass::NotFound
            | ErrorClass::Exists
            | ErrorClass::Refused
            | ErrorClass::Stale
            | ErrorClass::Busy
            | ErrorClass::Unavailable
            | ErrorClass::Corrupt
            | ErrorClass::Internal => Self::Failure,
        }
    }
}
