//! Numbers of results, which several modules of zoom share.

/// The least number of results from which a model is made.
pub(super) const LEAST_RESULTS: usize = 5;
/// The greatest number of results in a model. Its cost grows with the square of this number for
/// each candidate: half of an ask is scoring candidates (docs/internals/search.md, "What an ask
/// costs").
pub(super) const MOST_RESULTS: usize = 80;
/// How many of the best trials candidates are made from.
pub(super) const TOP: usize = 5;
