//! What an ask needs of the results: the box, and the model of the results in and near it.
//!
//! The box is centred on the best result. Its width along parameter j is
//!
//! ```text
//! L * clamp(l_j / g, 0.3, 3)
//! ```
//!
//! with the side L ([`side`](super::side)), the length scale l_j, and the geometric mean g of all
//! length scales, and it is cut to [0, 1]. So it is wide along parameters that matter little, as in
//! Eriksson et al., "Scalable Global Optimization via Local Bayesian Optimization", 2019. A choice
//! keeps its whole side.
//!
//! Example: with L = 0.4 and the length scales 0.2 and 0.8, g = 0.4. The box is 0.4 * 0.5 = 0.2
//! wide along the first parameter and 0.4 * 2 = 0.8 wide along the second.

use caviar_common::numbers::real;

use super::all_results::{AllResults, TrainingSet, squared_distance};
use super::gp::{KernelParameters, Model, Prediction};
use super::limits::TOP;
use crate::cube::Cube;
use crate::in_flight::InFlight;
use crate::ledger::Summary;

/// The bounds of the factor by which the box is stretched along a parameter.
const STRETCH: (f64, f64) = (0.3, 3.0);
/// The most assignments in flight that a model believes. With thousands of them, those far from the
/// box would only take time.
const BELIEVED_MOST: usize = 128;

/// The box, and the model of the results in and near it.
#[derive(Debug)]
pub(super) struct LocalModel {
    pub(super) kernel: KernelParameters,
    /// The side L.
    pub(super) side: f64,
    /// The number of the trial in the centre of the box.
    pub(super) centre_trial: u32,
    centre: Vec<f64>,
    /// Low and high end of the box along each parameter.
    pub(super) sides: Vec<(f64, f64)>,
    /// The points of the best trials, in rows.
    pub(super) top: Vec<f64>,
    model: Model,
    /// The least predicted mean at the results.
    least: f64,
    summary: Summary,
    mean: f64,
    deviation: f64,
}

impl LocalModel {
    /// Makes the model of the results with the indices `chosen`.
    pub(super) fn new(
        cube: &Cube,
        results: &AllResults<'_>,
        kernel: KernelParameters,
        chosen: &[usize],
        side: f64,
    ) -> Self {
        let training = TrainingSet::new(results, chosen);
        let sample = training.sample(cube);
        let model = Model::new(&kernel, &sample);
        let centre = results.point(results.centre()).to_vec();
        Self {
            side,
            centre_trial: results.trial(results.centre()),
            sides: sides(cube, &centre, side, &kernel.length_scales),
            centre,
            top: results.points(&results.best(TOP)),
            least: model.least(&sample),
            model,
            kernel,
            summary: *results.summary(),
            mean: training.mean,
            deviation: training.deviation,
        }
    }

    /// The model after it has been told to believe the assignments in flight, and the value that a
    /// candidate has to beat.
    pub(super) fn believing(&self, cube: &Cube, in_flight: &InFlight) -> (Model, f64) {
        let mut model = self.model.clone();
        let mut least = self.least;
        for point in self.nearest_in_flight(cube, in_flight) {
            least = least.min(model.believe(point));
        }
        (model, least)
    }

    /// The assignments in flight that are nearest to the centre of the box, at most
    /// [`BELIEVED_MOST`].
    fn nearest_in_flight<'a>(&self, cube: &Cube, in_flight: &'a InFlight) -> Vec<&'a [f64]> {
        let points = in_flight.points();
        if points.len() <= BELIEVED_MOST {
            return points.collect();
        }
        let inverse: Vec<f64> = self.kernel.length_scales.iter().map(|scale| 1.0 / scale).collect();
        let distance =
            |point: &[f64]| squared_distance(&self.centre, point, &inverse, cube.is_choice());
        let mut far: Vec<(f64, &[f64])> = points.map(|point| (distance(point), point)).collect();
        far.sort_by(|a, b| a.0.total_cmp(&b.0));
        far.into_iter().map(|(_, point)| point).take(BELIEVED_MOST).collect()
    }

    /// The cost at a number of deviations above the predicted mean.
    pub(super) fn cost(&self, prediction: Prediction, deviations: f64) -> f64 {
        let value = prediction.mean + deviations * prediction.deviation;
        self.summary.restore(value * self.deviation + self.mean)
    }
}

/// Low and high end of the box along each parameter.
fn sides(cube: &Cube, centre: &[f64], side: f64, length_scales: &[f64]) -> Vec<(f64, f64)> {
    let logs = length_scales.iter().map(|scale| libm::log(*scale)).sum::<f64>();
    let mean = libm::exp(logs / real(length_scales.len()));
    let ends = |((unit, scale), is_choice): ((&f64, &f64), &bool)| {
        let half = side / 2.0 * (scale / mean).clamp(STRETCH.0, STRETCH.1);
        if *is_choice {
            (0.0, 1.0)
        } else {
            ((unit - half).clamp(0.0, 1.0), (unit + half).clamp(0.0, 1.0))
        }
    };
    centre.iter().zip(length_scales).zip(cube.is_choice()).map(ends).collect()
}
