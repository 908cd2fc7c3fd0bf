//! A second set of the parameters and running statistics of a network.

use crate::error::TrainError;
use crate::kernels::Buffer;
use crate::layer::Layer;

/// Parameters and running statistics that can take the place of those of a network.
pub(crate) struct Weights {
    /// In the layout of the network's parameters.
    pub(crate) parameters: Buffer,
    /// The means and variances of each normalised layer, input side first.
    pub(crate) statistics: Vec<[Buffer; 2]>,
}

impl Weights {
    /// Zeros for a network of `layers` with `len` parameters.
    ///
    /// # Errors
    /// There is not enough memory.
    pub(crate) fn new(len: usize, layers: &[Layer]) -> Result<Self, TrainError> {
        let normalised = layers.iter().filter(|layer| layer.statistics().is_some());
        let statistics = normalised
            .map(|layer| Ok([Buffer::new(layer.outputs)?, Buffer::new(layer.outputs)?]))
            .collect::<Result<_, TrainError>>()?;
        Ok(Self { parameters: Buffer::new(len)?, statistics })
    }

    /// Exchanges these and those of the network. A second call undoes it.
    pub(crate) fn exchange(&mut self, parameters: &mut Buffer, layers: &mut [Layer]) {
        std::mem::swap(&mut self.parameters, parameters);
        let running = layers.iter_mut().filter_map(Layer::statistics_mut);
        for ([mean, variance], running) in self.statistics.iter_mut().zip(running) {
            std::mem::swap(mean, &mut running.running_mean);
            std::mem::swap(variance, &mut running.running_variance);
        }
    }

    /// Copies those of the network.
    pub(crate) fn copy(&mut self, parameters: &Buffer, layers: &[Layer]) {
        self.parameters.copy_from_slice(parameters);
        let running = layers.iter().filter_map(Layer::statistics);
        for ([mean, variance], running) in self.statistics.iter_mut().zip(running) {
            mean.copy_from_slice(&running.running_mean);
            variance.copy_from_slice(&running.running_variance);
        }
    }
}
