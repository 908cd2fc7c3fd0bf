//! The exact variance of a function that is constant on boxes, and of its marginals.
//!
//! The marginal of an axis is the mean of the function over all other axes. All borders of the
//! boxes divide an axis into cells, and a marginal is constant on each cell: it is the sum of the
//! boxes above the cell, each weighted by its share of the other axes. The marginal of two axes
//! is constant on the cells of a grid in the same way.
//!
//! A box is added at the first of its cells and subtracted after the last one, and running sums
//! then give the marginal. So the work is one step per box and one per cell, instead of one per box
//! in each cell.
//!
//! Example: a function is 0 for x < 1/4 and 4 elsewhere, with no other axis. Its mean is 3, the
//! boxes less the mean are -3 and 1, and the variance is 1/4 * 9 + 3/4 * 1 = 3.

use caviar_common::numbers::real;

use super::forest::{Axis, Leaf, Side};

/// Boxes that fill the unit cube without overlap.
#[derive(Debug)]
pub(super) struct Partition {
    /// The widths of the cells of each axis. They add up to 1.
    cells: Vec<Vec<f64>>,
    boxes: Vec<CentredBox>,
    variance: f64,
}

/// One box of a [`Partition`].
#[derive(Debug)]
struct CentredBox {
    /// The function's value less its mean over the cube.
    value: f64,
    volume: f64,
    /// One per axis.
    spans: Vec<Span>,
}

/// The part of one axis that a box covers.
#[derive(Debug)]
struct Span {
    /// The covered share of the axis.
    width: f64,
    /// Runs of adjacent cells, each from the first cell to after the last one. A line has one run,
    /// and choices may have several.
    runs: Vec<(usize, usize)>,
}

impl Partition {
    pub(super) fn new(axes: &[Axis], leaves: Vec<Leaf>) -> Self {
        let borders: Vec<Vec<f64>> =
            axes.iter().enumerate().map(|(axis, kind)| borders(axis, *kind, &leaves)).collect();
        let cells = borders
            .iter()
            .map(|b| b.iter().zip(b.iter().skip(1)).map(|(low, high)| high - low).collect())
            .collect();
        let to_box = |leaf: Leaf| {
            let sides = leaf.sides.iter().zip(&borders);
            let spans: Vec<Span> = sides.map(|(side, borders)| span(side, borders)).collect();
            CentredBox { value: leaf.value, volume: spans.iter().map(|s| s.width).product(), spans }
        };
        let mut boxes: Vec<CentredBox> = leaves.into_iter().map(to_box).collect();
        let mean: f64 = boxes.iter().map(|b| b.volume * b.value).sum();
        boxes.iter_mut().for_each(|b| b.value -= mean);
        let variance = boxes.iter().map(|b| b.volume * b.value * b.value).sum();
        Self { cells, boxes, variance }
    }

    /// The variance of the function over the cube.
    pub(super) const fn variance(&self) -> f64 {
        self.variance
    }

    fn cells(&self, axis: usize) -> &[f64] {
        self.cells.get(axis).map_or(&[], Vec::as_slice)
    }

    /// The variance of the marginal of one axis.
    pub(super) fn variance_of(&self, axis: usize) -> f64 {
        let cells = self.cells(axis);
        if cells.len() <= 1 {
            return 0.0;
        }
        let mut steps = vec![0.0; cells.len() + 1];
        for piece in &self.boxes {
            let Some(span) = piece.spans.get(axis) else { continue };
            let height = piece.value * piece.volume / span.width;
            for (start, end) in &span.runs {
                add(&mut steps, *start, height);
                add(&mut steps, *end, -height);
            }
        }
        mean_square(&steps, cells)
    }

    /// The variance of the marginal of two axes.
    pub(super) fn variance_of_pair(&self, first: usize, second: usize) -> f64 {
        let (rows, columns) = (self.cells(first), self.cells(second));
        if rows.len() <= 1 {
            return self.variance_of(second);
        }
        if columns.len() <= 1 {
            return self.variance_of(first);
        }
        let stride = columns.len() + 1;
        let steps = self.pair_steps(first, second, stride);
        let mut row = vec![0.0; stride];
        let mut variance = 0.0;
        for (width, more) in rows.iter().zip(steps.chunks(stride)) {
            row.iter_mut().zip(more).for_each(|(sum, step)| *sum += step);
            variance += width * mean_square(&row, columns);
        }
        variance
    }

    /// The steps of the marginal of two axes at the borders of its cells, in rows of `stride`.
    fn pair_steps(&self, first: usize, second: usize, stride: usize) -> Vec<f64> {
        let mut steps = vec![0.0; (self.cells(first).len() + 1) * stride];
        for piece in &self.boxes {
            let (Some(along), Some(across)) = (piece.spans.get(first), piece.spans.get(second))
            else {
                continue;
            };
            let height = piece.value * piece.volume / (along.width * across.width);
            for (top, bottom) in &along.runs {
                for (left, right) in &across.runs {
                    add(&mut steps, top * stride + left, height);
                    add(&mut steps, top * stride + right, -height);
                    add(&mut steps, bottom * stride + left, -height);
                    add(&mut steps, bottom * stride + right, height);
                }
            }
        }
        steps
    }
}

fn add(steps: &mut [f64], place: usize, height: f64) {
    if let Some(step) = steps.get_mut(place) {
        *step += height;
    }
}

/// The mean square of a function on cells of these widths, given by its steps at their borders.
fn mean_square(steps: &[f64], cells: &[f64]) -> f64 {
    let mut value = 0.0;
    let term = |(step, width): (&f64, &f64)| {
        value += step;
        width * value * value
    };
    steps.iter().zip(cells).map(term).sum()
}

/// The borders of the cells of an axis, including both ends.
fn borders(axis: usize, kind: Axis, leaves: &[Leaf]) -> Vec<f64> {
    if let Axis::Choices(count) = kind {
        return (0..=count).map(|i| real(i) / real(count.max(1))).collect();
    }
    let ends = |leaf: &Leaf| match leaf.sides.get(axis) {
        Some(Side::Between(low, high)) => [*low, *high],
        Some(Side::Among(_)) | None => [0.0, 1.0],
    };
    let mut borders: Vec<f64> = leaves.iter().flat_map(ends).collect();
    borders.sort_by(f64::total_cmp);
    borders.dedup();
    borders
}

fn span(side: &Side, borders: &[f64]) -> Span {
    match side {
        Side::Between(low, high) => {
            let place = |border: f64| borders.partition_point(|b| *b < border);
            Span { width: high - low, runs: vec![(place(*low), place(*high))] }
        }
        Side::Among(is_included) => {
            let mut runs: Vec<(usize, usize)> = Vec::new();
            for (index, _) in is_included.iter().enumerate().filter(|(_, included)| **included) {
                match runs.last_mut() {
                    Some((_, end)) if *end == index => *end += 1,
                    Some(_) | None => runs.push((index, index + 1)),
                }
            }
            let count = is_included.iter().filter(|included| **included).count();
            Span { width: real(count) / real(is_included.len().max(1)), runs }
        }
    }
}
