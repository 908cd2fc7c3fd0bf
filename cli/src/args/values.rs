//! The values that several commands take.

use std::path::PathBuf;

use caviar_common::ids::Name;
use caviar_common::limits::MAX_SLOTS;
use clap::ValueEnum;
use clap::builder::{PathBufValueParser, RangedI64ValueParser, TypedValueParser};

/// A number of slots of one worker.
pub(super) fn slots() -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=i64::from(MAX_SLOTS))
}

/// A path, in which `~` is expanded.
pub(super) fn path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(caviar_process::expand_path)
}

/// The name of a sweep.
pub(super) fn name(text: &str) -> Result<Name, String> {
    Name::parse_sweep("name", text).map_err(|problem| problem.message)
}

/// The order of a list of trials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// In the order in which they were sampled
    Number,
    /// The best first, unfinished trials last
    Objective,
}
