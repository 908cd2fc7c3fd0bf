//! The variance of a function that is constant on boxes, and of its marginals, exactly.
//!
//! All borders of the boxes cut an axis into cells. A marginal is constant on a cell, or on a cell
//! of a grid of two axes: it is the sum of the boxes that lie over it, each by the part that it
//! takes of the other axes. The sums are made of differences at the borders, so the work is one
//! step per box and one per cell.

use super::forest::{Axis, Leaf, Side};
use crate::real;

/// Boxes that fill the unit cube without overlap.
#[derive(Debug)]
pub(super) struct Partition {
    /// The widths of the cells of every axis, which add up to 1.
    cells: Vec<Vec<f64>>,
    boxes: Vec<Piece>,
    variance: f64,
}

/// One box.
#[derive(Debug)]
struct Piece {
    /// Its value less the mean over the cube.
    value: f64,
    volume: f64,
    spans: Vec<Span>,
}

/// What a box takes of one axis.
#[derive(Debug)]
struct Span {
    width: f64,
    /// Runs of neighbouring cells, each from the first to before the second: one of a line, several
    /// perhaps of choices.
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
        let piece = |leaf: Leaf| {
            let spans: Vec<Span> = leaf
                .sides
                .iter()
                .zip(&borders)
                .map(|(side, borders)| span(side, borders))
                .collect();
            Piece { value: leaf.value, volume: spans.iter().map(|s| s.width).product(), spans }
        };
        let mut boxes: Vec<Piece> = leaves.into_iter().map(piece).collect();
        let mean: f64 = boxes.iter().map(|b| b.volume * b.value).sum();
        boxes.iter_mut().for_each(|b| b.value -= mean);
        let variance = boxes.iter().map(|b| b.volume * b.value * b.value).sum();
        Self { cells, boxes, variance }
    }

    /// Of the function over the cube.
    pub(super) const fn variance(&self) -> f64 {
        self.variance
    }

    fn cells(&self, axis: usize) -> &[f64] {
        self.cells.get(axis).map_or(&[], Vec::as_slice)
    }

    /// Of its mean over all axes but one.
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
        square(&steps, cells)
    }

    /// Of its mean over all axes but two.
    pub(super) fn variance_of_pair(&self, first: usize, second: usize) -> f64 {
        let (rows, columns) = (self.cells(first), self.cells(second));
        if rows.len() <= 1 {
            return self.variance_of(second);
        }
        if columns.len() <= 1 {
            return self.variance_of(first);
        }
        let stride = columns.len() + 1;
        let mut steps = vec![0.0; (rows.len() + 1) * stride];
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
        let mut row = vec![0.0; stride];
        let mut variance = 0.0;
        for (width, more) in rows.iter().zip(steps.chunks(stride)) {
            row.iter_mut().zip(more).for_each(|(sum, step)| *sum += step);
            variance += width * square(&row, columns);
        }
        variance
    }
}

fn add(steps: &mut [f64], place: usize, height: f64) {
    if let Some(step) = steps.get_mut(place) {
        *step += height;
    }
}

/// The mean square of a function with mean 0, given by its steps at the borders of the cells.
fn square(steps: &[f64], cells: &[f64]) -> f64 {
    let mut value = 0.0;
    let term = |(step, width): (&f64, &f64)| {
        value += step;
        width * value * value
    };
    steps.iter().zip(cells).map(term).sum()
}

/// The borders of the cells of an axis, both ends included.
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
        Side::Among(there) => {
            let mut runs: Vec<(usize, usize)> = Vec::new();
            for (index, _) in there.iter().enumerate().filter(|(_, there)| **there) {
                match runs.last_mut() {
                    Some((_, end)) if *end == index => *end += 1,
                    Some(_) | None => runs.push((index, index + 1)),
                }
            }
            let count = there.iter().filter(|there| **there).count();
            Span { width: real(count) / real(there.len().max(1)), runs }
        }
    }
}
