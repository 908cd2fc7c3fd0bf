//! The candidates that the model ranks.
//!
//! 160 candidates are drawn first: 60 uniformly from the box, 60 by drawing some parameters of one
//! of the best trials again, and 40 uniformly from the whole space. Then, in each of two rounds,
//! the four best candidates are moved twelve times each. So the model ranks 160 + 2 * 4 * 12 = 256
//! candidates.
//!
//! A move adds to some coordinates a normal deviate with the standard deviation `size * min(1,
//! length scale)`, where the size is 0.125 in the first round and 0.04 in the second. Example:
//! along a parameter with the length scale 0.2 the first moves are about 0.025 long.
#![expect(
    clippy::indexing_slicing,
    reason = "numerical kernel: every index is bounded by the loop over the same buffer"
)]

use caviar_common::numbers::{real, to_u64, to_usize};
use caviar_common::seed::Stream;

use crate::cube::Cube;

/// Candidates that are drawn before any is moved. A quarter comes from the whole space. An eighth
/// changed the regret by a factor of .99 ± .03 with 64 trials in flight (docs/internals/search.md,
/// "What was tried and rejected").
const DRAWN: usize = 160;
/// Candidates drawn from the box.
const IN_BOX: usize = 60;
/// Candidates made from the best trials.
const CHANGED: usize = 60;
/// Candidates that are moved in each round.
const MOVED: usize = 4;
/// Moves of each of these candidates.
const MOVES: usize = 12;
/// The size of a move in each round, as a multiple of the length scale.
pub(super) const MOVE_SIZES: [f64; 2] = [0.125, 0.04];
/// The probability with which a move draws a choice again.
const CHOICE_PROBABILITY: f64 = 0.2;

/// Where candidates come from.
#[derive(Debug)]
pub(super) struct CandidateSource<'a> {
    pub(super) cube: &'a Cube,
    /// Low and high end of the box along each parameter. A choice has its whole side.
    pub(super) sides: &'a [(f64, f64)],
    /// The points of the best trials, in rows.
    pub(super) top: &'a [f64],
    pub(super) length_scales: &'a [f64],
}

/// A random move of a candidate.
struct Move {
    /// The probability with which a coordinate of a number changes.
    probability: f64,
    /// One of [`MOVE_SIZES`].
    size: f64,
}

impl CandidateSource<'_> {
    /// The first candidates, as snapped points in rows.
    pub(super) fn draw(&self, stream: &mut Stream) -> Vec<f64> {
        let mut points = Vec::with_capacity(DRAWN * self.cube.dimensions());
        for i in 0..DRAWN {
            let start = points.len();
            if i < IN_BOX {
                points.extend(self.sides.iter().map(|side| between(*side, stream)));
            } else if i < IN_BOX + CHANGED && !self.top.is_empty() {
                self.change(&mut points, stream);
            } else {
                points.extend(self.sides.iter().map(|_| stream.uniform()));
            }
            self.cube.snap(&mut points[start..]);
        }
        points
    }

    /// Appends one of the best points with some coordinates, at least one, drawn again from the
    /// box.
    fn change(&self, points: &mut Vec<f64>, stream: &mut Stream) {
        let dimensions = self.sides.len();
        let probability = (3.0 / real(dimensions)).clamp(0.2, 1.0);
        let chosen = below(self.top.len() / dimensions, stream);
        let always = below(dimensions, stream);
        let point = &self.top[chosen * dimensions..];
        for (j, (side, unit)) in self.sides.iter().zip(point).enumerate() {
            let is_redrawn = stream.uniform() < probability || j == always;
            points.push(if is_redrawn { between(*side, stream) } else { *unit });
        }
    }

    /// Appends moves of the candidates with the greatest scores.
    pub(super) fn add_moves(
        &self,
        points: &mut Vec<f64>,
        scores: &[f64],
        size: f64,
        stream: &mut Stream,
    ) {
        let dimensions = self.cube.dimensions();
        let step = Move { probability: (1.5 / real(dimensions)).clamp(0.35, 1.0), size };
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
        for best in order.into_iter().take(MOVED) {
            for _ in 0..MOVES {
                let start = points.len();
                for j in 0..dimensions {
                    let unit = points[best * dimensions + j];
                    points.push(self.moved(j, unit, &step, stream));
                }
                self.cube.snap(&mut points[start..]);
            }
        }
    }

    /// The coordinate of parameter `j` after a move.
    fn moved(&self, j: usize, unit: f64, step: &Move, stream: &mut Stream) -> f64 {
        let uniform = stream.uniform();
        if self.cube.is_choice()[j] {
            return if uniform < CHOICE_PROBABILITY { stream.uniform() } else { unit };
        }
        if uniform < step.probability {
            let deviation = step.size * self.length_scales[j].min(1.0);
            (unit + deviation * stream.normal()).clamp(0.0, 1.0)
        } else {
            unit
        }
    }
}

/// A uniform number between two ends.
pub(super) fn between((low, high): (f64, f64), stream: &mut Stream) -> f64 {
    low + stream.uniform() * (high - low)
}

/// A uniform index below `n`.
pub(super) fn below(n: usize, stream: &mut Stream) -> usize {
    to_usize(stream.below(to_u64(n)))
}
