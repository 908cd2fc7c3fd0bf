//! A random forest: regression trees on bootstrap samples (Breiman, "Random Forests", 2001).
//!
//! A tree divides the unit cube into boxes. It cuts a box where this reduces the squared error
//! most, until all trials of a box have the same cost. If S is the sum of the costs of
//! its n trials, and S1 that of the n1 trials on one side of the cut, the reduction is, up to a
//! constant,
//!
//! ```text
//! S1² / n1 + (S - S1)² / (n - n1)
//! ```
//!
//! Every cut may use every parameter, as in Hutter, Hoos and Leyton-Brown, 2014. A tree differs
//! from the next one in the trials drawn for it, and in which of several equally good cuts it
//! takes.
//!
//! Example: four trials at x = 0.1, 0.2, 0.7, 0.9 with the costs -1, -1, 1, 1. The cut between 0.2
//! and 0.7 gives (-2)² / 2 + 2² / 2 = 4, and the other two cuts give 1 / 1 + 1 / 3 = 1.33. So the
//! first cut is at 0.45, and both boxes are leaves.

use caviar_common::numbers::{real, to_u64, to_usize};
use caviar_common::seed::Stream;

/// The most trials that a tree is grown on. More of them would change a share by less than it
/// differs between seeds. The time for 1,000 and 10,000 trials is in
/// docs/internals/search.md.
const SAMPLE_MOST: usize = 4096;
const DEEPEST: u32 = 64;
/// Coordinates that are nearer to each other than this count as equal, so no cut lies between them.
const NEAREST: f64 = 1e-9;

/// The kind of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Axis {
    /// A number in the unit interval. A cut divides it at a point.
    Line,
    /// A choice with this many values. A cut separates one value from the others.
    Choices(usize),
}

/// The part of an axis that a box covers.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Side {
    /// From the first number to the second.
    Between(f64, f64),
    /// For each value of a choice, whether it is included.
    Among(Vec<bool>),
}

/// A box of a tree.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Leaf {
    /// The mean cost of the trials in the box.
    pub(super) value: f64,
    /// One per axis.
    pub(super) sides: Vec<Side>,
}

/// The trials that the trees are grown on.
#[derive(Debug)]
pub(super) struct Rows {
    /// One coordinate per axis for each trial.
    points: Vec<f64>,
    costs: Vec<f64>,
}

impl Rows {
    pub(super) const fn new(points: Vec<f64>, costs: Vec<f64>) -> Self {
        Self { points, costs }
    }

    fn at(&self, row: usize, axis: usize) -> f64 {
        let axes = self.points.len() / self.costs.len().max(1);
        self.points.get(row * axes + axis).copied().unwrap_or_default()
    }

    fn cost(&self, row: usize) -> f64 {
        self.costs.get(row).copied().unwrap_or_default()
    }

    fn total(&self, rows: &[usize]) -> Total {
        Total { count: real(rows.len()), sum: rows.iter().map(|row| self.cost(*row)).sum() }
    }
}

/// The number of some trials, and the sum of their costs.
#[derive(Clone, Copy, Debug, Default)]
struct Total {
    count: f64,
    sum: f64,
}

impl Total {
    fn plus(self, cost: f64) -> Self {
        Self { count: self.count + 1.0, sum: self.sum + cost }
    }
}

#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Numbers up to this one on the first side, greater ones on the second.
    At(f64),
    /// This value of a choice on the second side, all others on the first.
    Without(usize),
}

/// A box that may be cut further.
struct Node {
    rows: Vec<usize>,
    sides: Vec<Side>,
    depth: u32,
}

/// Draws the trials that a tree is grown on, with replacement, among the first `all`.
pub(super) fn sample(all: usize, stream: &mut Stream) -> Vec<usize> {
    (0..all.min(SAMPLE_MOST)).map(|_| to_usize(stream.below(to_u64(all)))).collect()
}

/// Grows a tree on a sample of the rows. Returns its boxes.
pub(super) fn grow(
    axes: &[Axis],
    rows: &Rows,
    sample: Vec<usize>,
    stream: &mut Stream,
) -> Vec<Leaf> {
    let whole = |axis: &Axis| match axis {
        Axis::Line => Side::Between(0.0, 1.0),
        Axis::Choices(count) => Side::Among(vec![true; *count]),
    };
    let mut open = vec![Node { rows: sample, sides: axes.iter().map(whole).collect(), depth: 0 }];
    let mut leaves = Vec::new();
    while let Some(node) = open.pop() {
        match best_cut(axes, rows, &node, stream) {
            Some((axis, cut)) => open.extend(divide(rows, node, axis, cut)),
            None => {
                let total = rows.total(&node.rows);
                leaves.push(Leaf { value: total.sum / total.count.max(1.0), sides: node.sides });
            }
        }
    }
    leaves
}

/// The cut that reduces the squared error most. Of equally good cuts on several axes, a random one
/// is taken. Returns `None` for a leaf.
fn best_cut(axes: &[Axis], rows: &Rows, node: &Node, stream: &mut Stream) -> Option<(usize, Cut)> {
    let first = rows.cost(*node.rows.first()?);
    if node.depth == DEEPEST || node.rows.iter().all(|row| rows.cost(*row) == first) {
        return None;
    }
    let mut order: Vec<(usize, Axis)> = axes.iter().copied().enumerate().collect();
    stream.shuffle(&mut order);
    let mut best: Option<(f64, usize, Cut)> = None;
    for (axis, kind) in order {
        let found = match kind {
            Axis::Line => best_threshold(rows, &node.rows, axis),
            Axis::Choices(count) => best_choice(rows, &node.rows, axis, count),
        };
        if let Some((gain, cut)) =
            found.filter(|(gain, _)| best.is_none_or(|(most, ..)| *gain > most))
        {
            best = Some((gain, axis, cut));
        }
    }
    best.map(|(_, axis, cut)| (axis, cut))
}

/// The reduction of the squared error by a cut, up to a constant: see the module's description.
fn reduction(part: Total, all: Total) -> f64 {
    let rest = Total { count: all.count - part.count, sum: all.sum - part.sum };
    part.sum * part.sum / part.count + rest.sum * rest.sum / rest.count
}

fn better(best: Option<(f64, Cut)>, gain: f64, cut: Cut) -> Option<(f64, Cut)> {
    if best.is_none_or(|(most, _)| gain > most) { Some((gain, cut)) } else { best }
}

/// The best cut of a number: halfway between two trials.
fn best_threshold(rows: &Rows, node: &[usize], axis: usize) -> Option<(f64, Cut)> {
    let mut sorted: Vec<(f64, f64)> =
        node.iter().map(|row| (rows.at(*row, axis), rows.cost(*row))).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (all, mut part, mut best) = (rows.total(node), Total::default(), None);
    for ((left, cost), (right, _)) in sorted.iter().zip(sorted.iter().skip(1)) {
        part = part.plus(*cost);
        if right - left > NEAREST {
            best = better(best, reduction(part, all), Cut::At(0.5 * (left + right)));
        }
    }
    best
}

/// The best cut of a choice: one value against the others.
fn best_choice(rows: &Rows, node: &[usize], axis: usize, choices: usize) -> Option<(f64, Cut)> {
    let all = rows.total(node);
    let mut best = None;
    for choice in 0..choices {
        let with = node.iter().filter(|row| rows.at(**row, axis) == real(choice));
        let part = with.fold(Total::default(), |part, row| part.plus(rows.cost(*row)));
        if part.count > 0.0 && part.count < all.count {
            best = better(best, reduction(part, all), Cut::Without(choice));
        }
    }
    best
}

/// Divides a node at a cut.
fn divide(rows: &Rows, node: Node, axis: usize, cut: Cut) -> [Node; 2] {
    let goes_first = |row: &usize| match cut {
        Cut::At(border) => rows.at(*row, axis) <= border,
        Cut::Without(choice) => rows.at(*row, axis) != real(choice),
    };
    let (first, second) = node.rows.into_iter().partition(goes_first);
    let part = |is_first: bool| {
        let mut sides = node.sides.clone();
        match (sides.get_mut(axis), cut) {
            (Some(Side::Between(_, high)), Cut::At(border)) if is_first => *high = border,
            (Some(Side::Between(low, _)), Cut::At(border)) => *low = border,
            (Some(Side::Among(is_included)), Cut::Without(choice)) => {
                for (i, included) in is_included.iter_mut().enumerate() {
                    *included = *included && (i == choice) != is_first;
                }
            }
            (Some(Side::Between(..)), Cut::Without(_))
            | (Some(Side::Among(_)), Cut::At(_))
            | (None, _) => {}
        }
        sides
    };
    let depth = node.depth + 1;
    [
        Node { rows: first, sides: part(true), depth },
        Node { rows: second, sides: part(false), depth },
    ]
}
