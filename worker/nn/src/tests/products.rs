//! The three products of every family of the machine: against a plain product in f64, and against
//! each other bit for bit.

use caviar_common::train::Precision;
use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};

use super::support::draws;
use crate::kernels::{Buffer, Family, Piece, Shape, offset, padded, strips};
use crate::products::Products;

/// A row-major matrix of random values, and the same values in panels.
struct Matrix {
    rows: usize,
    columns: usize,
    stored_rows: usize,
    values: Vec<f32>,
    panels: Buffer,
}

impl Matrix {
    /// A random matrix with `stored_rows` rows, padding included. Every padding element is
    /// `padding`.
    fn random(rows: usize, columns: usize, stored_rows: usize, padding: f32, index: u64) -> Self {
        let mut stream = draws(index);
        let values: Vec<f32> = (0..rows * columns).map(|_| stream.normal() as f32).collect();
        let mut panels = Buffer::new(stored_rows * padded(columns)).unwrap();
        panels.fill(padding);
        for row in 0..rows {
            for column in 0..columns {
                panels[offset(stored_rows, row, column)] = values[row * columns + column];
            }
        }
        Self { rows, columns, stored_rows, values, panels }
    }

    /// The values as a product of that precision uses them.
    fn rounded(&self, precision: Precision) -> Vec<f32> {
        let round = |&x: &f32| if precision == Precision::F32 { x } else { to_bf16(x) };
        self.values.iter().map(round).collect()
    }

    /// The largest error of `panels` against `exact`, divided by the length of the sums.
    fn error(&self, panels: &[f32], depth: usize, exact: impl Fn(usize, usize) -> f64) -> f64 {
        let mut worst = 0.0f64;
        for row in 0..self.rows {
            for column in 0..self.columns {
                let got = f64::from(panels[offset(self.stored_rows, row, column)]);
                // Written so that NaN counts as an error.
                let error = (got - exact(row, column)).abs() / (depth as f64);
                worst = if error <= worst { worst } else { error };
            }
        }
        worst
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Rounds to bf16, which has 8 significant bits, with ties to even.
fn to_bf16(x: f32) -> f32 {
    let step = (f64::from(x).abs().log2().floor() - 7.0).exp2();
    ((f64::from(x) / step).round_ties_even() * step) as f32
}

/// Runs the three products of one shape on every family and compares them.
fn check(shape: Shape, precision: Precision) -> Result<(), String> {
    let Shape { rows, inputs, outputs } = shape;
    // The padding of a must have no effect. For pairs it must be finite.
    let padding = if precision == Precision::F32 { f32::NAN } else { 7.0 };
    let a = Matrix::random(rows, inputs, rows, padding, 1);
    let w = Matrix::random(inputs, outputs, padded(inputs), 0.0, 2);
    let d = Matrix::random(rows, outputs, rows, 0.0, 3);
    let [factor_a, factor_w, factor_d] = [&a, &w, &d].map(|matrix| matrix.rounded(precision));
    let mut first: Option<[Vec<u32>; 3]> = None;
    for family in Family::available() {
        let (mut z, mut g, mut e) = (
            Buffer::new(rows * padded(outputs)).unwrap(),
            Buffer::new(padded(inputs) * padded(outputs)).unwrap(),
            Buffer::new(rows * padded(inputs)).unwrap(),
        );
        let mut products = Products::new(family, precision, [shape].into_iter()).unwrap();
        products.take(rows, inputs, &a.panels);
        for strip in strips(outputs) {
            let z = &mut z[strip.range(rows)];
            products.forward(Piece { shape, strip }, &a.panels, &w.panels, z);
        }
        products.weight_gradient(shape, &a.panels, &d.panels, &mut g);
        products.take(rows, outputs, &d.panels);
        for strip in strips(inputs) {
            let e = &mut e[strip.range(rows)];
            products.input_gradient(Piece { shape, strip }, &d.panels, &w.panels, e);
        }
        let (at_a, at_w, at_d) = (
            |r: usize, i: usize| f64::from(factor_a[r * inputs + i]),
            |i: usize, o: usize| f64::from(factor_w[i * outputs + o]),
            |r: usize, o: usize| f64::from(factor_d[r * outputs + o]),
        );
        let z_error =
            d.error(&z, inputs, |r, o| (0..inputs).map(|i| at_a(r, i) * at_w(i, o)).sum());
        let g_error = w.error(&g, rows, |i, o| (0..rows).map(|r| at_a(r, i) * at_d(r, o)).sum());
        let e_error =
            a.error(&e, outputs, |r, i| (0..outputs).map(|o| at_d(r, o) * at_w(i, o)).sum());
        if !(z_error < 2e-6 && g_error < 2e-6 && e_error < 2e-6) {
            return Err(format!(
                "{} {precision:?} {shape:?}: errors {z_error} {g_error} {e_error}",
                family.name()
            ));
        }
        let results = [bits(&z), bits(&g), bits(&e)];
        if first.get_or_insert_with(|| results.clone()) != &results {
            return Err(format!(
                "{} {precision:?} {shape:?}: the bits differ from those of {}",
                family.name(),
                Family::available()[0].name()
            ));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn products_of_any_shape_are_right(
        rows in 1usize..70,
        inputs in 1usize..100,
        outputs in 1usize..100,
    ) {
        for precision in [Precision::F32, Precision::Bf16] {
            prop_assert_eq!(check(Shape { rows, inputs, outputs }, precision), Ok(()));
        }
    }

    #[test]
    fn elements_of_a_matrix_do_not_overlap(rows in 1usize..20, columns in 1usize..100) {
        let place = |index: usize| offset(rows, index / columns, index % columns);
        let mut places: Vec<usize> = (0..rows * columns).map(place).collect();
        places.sort_unstable();
        places.dedup();
        prop_assert_eq!(places.len(), rows * columns);
        prop_assert!(places.last().is_some_and(|&last| last < rows * padded(columns)));
    }
}

#[test]
fn products_at_the_edges_of_tiles_and_strips_are_right() {
    for rows in [1, 2, 3, 4, 5, 6, 7, 13, 14, 15, 28, 29] {
        for inputs in [1, 8, 15, 16, 17, 24, 25, 31, 32, 33, 40, 48, 49, 64] {
            for outputs in [1, 8, 16, 17, 24, 25, 32, 33, 40] {
                check(Shape { rows, inputs, outputs }, Precision::F32).unwrap();
                check(Shape { rows, inputs, outputs }, Precision::Bf16).unwrap();
            }
        }
    }
}

#[test]
#[should_panic(expected = "buffers of")]
fn a_buffer_that_is_too_short_is_refused() {
    let shape = Shape { rows: 4, inputs: 5, outputs: 17 };
    let (a, w) = (Buffer::new(4 * 16).unwrap(), Buffer::new(16 * 32).unwrap());
    let mut z = Buffer::new(4 * 32 - 16).unwrap();
    for strip in strips(shape.outputs) {
        Family::available()[0].forward(Piece { shape, strip }, &a, &w, &mut z);
    }
}
