//! The three products of every family that the machine has: against a plain product in f64, and against each other bit for bit.

use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};

use super::draws;
use crate::kernels::{Buffer, Family, Shape, offset, padded, panels};

/// Row-major matrices of random values, and the panels that hold them.
struct Matrix {
    rows: usize,
    columns: usize,
    stored_rows: usize,
    values: Vec<f32>,
    panels: Buffer,
}

impl Matrix {
    /// `stored_rows` counts the padding. All padding of the columns is NaN unless it must be 0.
    fn random(rows: usize, columns: usize, stored_rows: usize, padding: f32, index: u64) -> Self {
        let mut stream = draws(index);
        let values: Vec<f32> = (0..rows * columns).map(|_| stream.normal() as f32).collect();
        let mut panels = Buffer::new(stored_rows * padded(columns)).unwrap();
        panels.fill(padding);
        for row in 0..rows {
            for column in 0..columns {
                panels[offset(stored_rows, columns, row, column)] = values[row * columns + column];
            }
        }
        Self { rows, columns, stored_rows, values, panels }
    }

    fn at(&self, row: usize, column: usize) -> f64 {
        f64::from(self.values[row * self.columns + column])
    }

    /// The largest error of `panels` against `exact`, relative to the sum's length.
    fn error(&self, panels: &[f32], depth: usize, exact: impl Fn(usize, usize) -> f64) -> f64 {
        let mut worst = 0.0f64;
        for row in 0..self.rows {
            for column in 0..self.columns {
                let got = f64::from(panels[offset(self.stored_rows, self.columns, row, column)]);
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

/// Runs the three products of one shape on every family, and compares.
fn check(shape: Shape) -> Result<(), String> {
    let Shape { rows, inputs, outputs } = shape;
    // What lies in the padding of a, and of z's columns in the forward product, must not matter.
    let a = Matrix::random(rows, inputs, rows, f32::NAN, 1);
    let w = Matrix::random(inputs, outputs, padded(inputs), 0.0, 2);
    let d = Matrix::random(rows, outputs, rows, 0.0, 3);
    let mut first: Option<[Vec<u32>; 3]> = None;
    for family in Family::available() {
        let (mut z, mut g, mut e) = (
            Buffer::new(rows * padded(outputs)).unwrap(),
            Buffer::new(padded(inputs) * padded(outputs)).unwrap(),
            Buffer::new(rows * padded(inputs)).unwrap(),
        );
        let mut scratch = Buffer::new(shape.scratch_len()).unwrap();
        for panel in panels(outputs) {
            family.forward(shape, panel, &a.panels, &w.panels, &mut z[panel.range(rows)]);
        }
        family.weight_gradient(shape, &a.panels, &d.panels, &mut g);
        for panel in panels(inputs) {
            family.input_gradient(shape, panel, &d.panels, &w.panels, &mut scratch, &mut e[panel.range(rows)]);
        }
        let z_error = d.error(&z, inputs, |r, o| (0..inputs).map(|i| a.at(r, i) * w.at(i, o)).sum());
        let g_error = w.error(&g, rows, |i, o| (0..rows).map(|r| a.at(r, i) * d.at(r, o)).sum());
        let e_error = a.error(&e, outputs, |r, i| (0..outputs).map(|o| d.at(r, o) * w.at(i, o)).sum());
        if !(z_error < 2e-6 && g_error < 2e-6 && e_error < 2e-6) {
            return Err(format!("{} {shape:?}: errors {z_error} {g_error} {e_error}", family.name()));
        }
        let results = [bits(&z), bits(&g), bits(&e)];
        if first.get_or_insert_with(|| results.clone()) != &results {
            return Err(format!("{} {shape:?}: other bits than {}", family.name(), Family::available()[0].name()));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn products_of_any_shape(rows in 1usize..70, inputs in 1usize..100, outputs in 1usize..100) {
        prop_assert_eq!(check(Shape { rows, inputs, outputs }), Ok(()));
    }

    #[test]
    fn elements_of_a_matrix_lie_apart(rows in 1usize..20, columns in 1usize..100) {
        let mut places: Vec<usize> =
            (0..rows * columns).map(|index| offset(rows, columns, index / columns, index % columns)).collect();
        places.sort_unstable();
        places.dedup();
        prop_assert_eq!(places.len(), rows * columns);
        prop_assert!(places.last().is_some_and(|&last| last < rows * padded(columns)));
    }
}

#[test]
fn products_at_the_edges_of_tiles_and_panels() {
    for rows in [1, 2, 3, 4, 5, 6, 7, 13, 14, 15, 28, 29] {
        for inputs in [1, 15, 16, 17, 31, 32, 33, 48, 49, 64] {
            for outputs in [1, 16, 17, 32, 33] {
                check(Shape { rows, inputs, outputs }).unwrap();
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
    for panel in panels(shape.outputs) {
        Family::available()[0].forward(shape, panel, &a, &w, &mut z);
    }
}

#[test]
fn families_are_found_by_name() {
    for family in Family::available() {
        assert_eq!(Family::named(Some(family.name().to_owned())), Ok(family));
    }
    assert_eq!(Family::named(None), Ok(Family::available()[0]));
    assert_eq!(Family::named(Some("avx1024".to_owned())), Err("avx1024".to_owned()));
    assert_eq!(Family::available().last().unwrap().name(), "portable");
}
