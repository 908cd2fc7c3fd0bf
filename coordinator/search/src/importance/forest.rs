//! Regression trees on bootstrap samples (Breiman, "Random Forests", 2001), with every parameter
//! looked at for every cut, as in the paper on importance.

use caviar_common::seed::Stream;

use crate::real;

/// A tree learns from this many trials at most: what more of them would add to a share is less than
/// its noise.
const SAMPLE_MOST: usize = 4096;
const DEEPEST: u32 = 64;
/// Two coordinates nearer than this are one: no cut fits between.
const NEAREST: f64 = 1e-9;

/// What the values of a parameter are to a tree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Axis {
    /// The unit interval, cut at a point.
    Line,
    /// So many choices, of which a cut takes out one.
    Choices(usize),
}

/// The part of an axis that a box takes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Side {
    Between(f64, f64),
    /// For each choice, whether it is there.
    Among(Vec<bool>),
}

/// A box of a tree and the mean cost of its trials.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Leaf {
    pub(super) value: f64,
    pub(super) sides: Vec<Side>,
}

/// What the trees learn from: one point and one cost per trial.
#[derive(Debug)]
pub(super) struct Rows {
    points: Vec<Vec<f64>>,
    costs: Vec<f64>,
}

impl Rows {
    /// None where all costs are 0: they have been centred.
    pub(super) fn new(points: Vec<Vec<f64>>, costs: Vec<f64>) -> Option<Self> {
        costs.iter().any(|cost| *cost != 0.0).then_some(Self { points, costs })
    }

    fn at(&self, row: usize, axis: usize) -> f64 {
        self.points.get(row).and_then(|point| point.get(axis)).copied().unwrap_or_default()
    }

    fn cost(&self, row: usize) -> f64 {
        self.costs.get(row).copied().unwrap_or_default()
    }

    /// The number of some trials and the sum of their costs.
    fn sum(&self, rows: &[usize]) -> (f64, f64) {
        (real(rows.len()), rows.iter().map(|row| self.cost(*row)).sum())
    }
}

#[derive(Clone, Copy, Debug)]
enum Cut {
    Below(f64),
    Without(usize),
}

struct Node {
    rows: Vec<usize>,
    sides: Vec<Side>,
    depth: u32,
}

/// The boxes of one tree.
pub(super) fn grow(axes: &[Axis], rows: &Rows, stream: &mut Stream) -> Vec<Leaf> {
    let all = rows.costs.len();
    let bound = u64::try_from(all).unwrap_or(u64::MAX);
    let sample = (0..all.min(SAMPLE_MOST))
        .filter_map(|_| usize::try_from(stream.below(bound)).ok())
        .collect();
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
                let (count, sum) = rows.sum(&node.rows);
                leaves.push(Leaf { value: sum / count.max(1.0), sides: node.sides });
            }
        }
    }
    leaves
}

/// The cut that leaves the least squared error; between equals that of an axis drawn at random.
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

/// The sum of squares that a cut explains, for the trials on one side of it and all of them, each
/// as number and sum.
fn explained(part: (f64, f64), all: (f64, f64)) -> f64 {
    let rest = (all.0 - part.0, all.1 - part.1);
    part.1 * part.1 / part.0 + rest.1 * rest.1 / rest.0
}

fn better(best: Option<(f64, Cut)>, gain: f64, cut: Cut) -> Option<(f64, Cut)> {
    if best.is_none_or(|(most, _)| gain > most) { Some((gain, cut)) } else { best }
}

fn best_threshold(rows: &Rows, node: &[usize], axis: usize) -> Option<(f64, Cut)> {
    let mut sorted: Vec<(f64, f64)> =
        node.iter().map(|row| (rows.at(*row, axis), rows.cost(*row))).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (all, mut part, mut best) = (rows.sum(node), (0.0, 0.0), None);
    for ((here, cost), (next, _)) in sorted.iter().zip(sorted.iter().skip(1)) {
        part = (part.0 + 1.0, part.1 + cost);
        if next - here > NEAREST {
            best = better(best, explained(part, all), Cut::Below(0.5 * (here + next)));
        }
    }
    best
}

fn best_choice(rows: &Rows, node: &[usize], axis: usize, choices: usize) -> Option<(f64, Cut)> {
    let all = rows.sum(node);
    let mut best = None;
    for choice in 0..choices {
        let with = node.iter().filter(|row| rows.at(**row, axis) == real(choice));
        let part = with.fold((0.0, 0.0), |(count, sum), row| (count + 1.0, sum + rows.cost(*row)));
        if part.0 > 0.0 && part.0 < all.0 {
            best = better(best, explained(part, all), Cut::Without(choice));
        }
    }
    best
}

fn divide(rows: &Rows, node: Node, axis: usize, cut: Cut) -> [Node; 2] {
    let goes_first = |row: &usize| match cut {
        Cut::Below(border) => rows.at(*row, axis) <= border,
        Cut::Without(choice) => rows.at(*row, axis) != real(choice),
    };
    let (first, second) = node.rows.into_iter().partition(goes_first);
    let part = |is_first: bool| {
        let mut sides = node.sides.clone();
        match (sides.get_mut(axis), cut) {
            (Some(Side::Between(_, high)), Cut::Below(border)) if is_first => *high = border,
            (Some(Side::Between(low, _)), Cut::Below(border)) => *low = border,
            (Some(Side::Among(there)), Cut::Without(choice)) => {
                there
                    .iter_mut()
                    .enumerate()
                    .for_each(|(i, t)| *t = *t && (i == choice) != is_first);
            }
            (Some(Side::Between(..)), Cut::Without(_))
            | (Some(Side::Among(_)), Cut::Below(_))
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
