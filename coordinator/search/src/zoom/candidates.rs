//! What is ranked: random points in the box, changes of the best trials, and points from all over
//! the space; then small moves of the best candidates.
#![expect(
    clippy::indexing_slicing,
    reason = "numerical kernel: every index is bounded by the loop over the same buffer"
)]

use caviar_common::seed::Stream;

use crate::coded::Coded;
use crate::real;

/// How many candidates are drawn before any is moved, and the shares of them from the box and from
/// changes of the best trials.
const DRAWN: usize = 160;
const IN_BOX: usize = 60;
const CHANGED: usize = 60;
/// Moves of each of the best candidates in a round.
const MOVES: usize = 12;
const MOVED: usize = 4;
/// The deviation of a move, in length scales of at most 1, in each round.
pub(super) const ROUNDS: [f64; 2] = [0.125, 0.04];
const REDRAWN_CHOICE: f64 = 0.2;

/// Where candidates are drawn from.
#[derive(Debug)]
pub(super) struct Ground<'a> {
    pub(super) coded: &'a Coded,
    /// The box: low and high end of each parameter. A choice keeps its full range.
    pub(super) sides: &'a [(f64, f64)],
    /// The best trials' points, row after row.
    pub(super) top: &'a [f64],
    pub(super) scales: &'a [f64],
}

impl Ground<'_> {
    /// The candidates, row after row, each a point that some assignment has.
    pub(super) fn draw(&self, stream: &mut Stream) -> Vec<f64> {
        let d = self.coded.dimensions();
        let mut points = Vec::with_capacity(DRAWN * d);
        for i in 0..DRAWN {
            let start = points.len();
            if i < IN_BOX {
                points.extend(self.sides.iter().map(|side| between(*side, stream)));
            } else if i < IN_BOX + CHANGED && !self.top.is_empty() {
                self.change(&mut points, stream);
            } else {
                points.extend(self.sides.iter().map(|_| stream.uniform()));
            }
            self.coded.snap(&mut points[start..]);
        }
        points
    }

    /// One of the best trials with some parameters, at least one, drawn anew inside the box.
    fn change(&self, points: &mut Vec<f64>, stream: &mut Stream) {
        let d = self.sides.len();
        let probability = (3.0 / real(d)).clamp(0.2, 1.0);
        let which = below(self.top.len() / d, stream);
        let sure = below(d, stream);
        for (j, (side, unit)) in self.sides.iter().zip(&self.top[which * d..]).enumerate() {
            let redraw = stream.uniform() < probability || j == sure;
            points.push(if redraw { between(*side, stream) } else { *unit });
        }
    }

    /// Moves of the best points, appended to all of them.
    pub(super) fn moves(
        &self,
        points: &mut Vec<f64>,
        scores: &[f64],
        size: f64,
        stream: &mut Stream,
    ) {
        let d = self.coded.dimensions();
        let probability = (1.5 / real(d)).clamp(0.35, 1.0);
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
        for best in order.into_iter().take(MOVED) {
            for _ in 0..MOVES {
                let start = points.len();
                for j in 0..d {
                    let unit = points[best * d + j];
                    points.push(self.moved(j, unit, probability, size, stream));
                }
                self.coded.snap(&mut points[start..]);
            }
        }
    }

    fn moved(&self, j: usize, unit: f64, probability: f64, size: f64, stream: &mut Stream) -> f64 {
        let moves = stream.uniform();
        if self.coded.choices()[j] {
            return if moves < REDRAWN_CHOICE { stream.uniform() } else { unit };
        }
        if moves < probability {
            (unit + size * self.scales[j].min(1.0) * stream.normal()).clamp(0.0, 1.0)
        } else {
            unit
        }
    }
}

pub(super) fn between((low, high): (f64, f64), stream: &mut Stream) -> f64 {
    low + stream.uniform() * (high - low)
}

fn below(n: usize, stream: &mut Stream) -> usize {
    u64::try_from(n).ok().and_then(|n| usize::try_from(stream.below(n)).ok()).unwrap_or(0)
}
