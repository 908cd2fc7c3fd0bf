//! The weights of the best epoch so far.

use caviar_common::metric::EpochMetrics;
use caviar_common::spec::Objective;

use crate::error::TrainError;
use crate::network::Network;
use crate::weights::Weights;

/// The best epoch of a training so far by an objective, and the weights that were validated after
/// it.
pub(crate) struct Best {
    objective: Objective,
    /// The metrics of the epoch; `None` before the first epoch ends.
    pub(crate) metrics: Option<EpochMetrics>,
    pub(crate) weights: Weights,
}

impl Best {
    /// Before the first epoch of a training of the network.
    ///
    /// # Errors
    /// There is not enough memory.
    pub(crate) fn new(objective: &Objective, network: &Network) -> Result<Self, TrainError> {
        let weights = Weights::new(network.parameters.len(), &network.layers)?;
        Ok(Self { objective: objective.clone(), metrics: None, weights })
    }

    /// Takes the weights of the network if the epoch that has ended is the best one so far.
    pub(crate) fn see(&mut self, metrics: EpochMetrics, network: &mut Network) {
        let value = |metrics: EpochMetrics| metrics.get(&self.objective.metric);
        if self.objective.is_best(value(metrics), self.metrics.and_then(value)) {
            self.metrics = Some(metrics);
            network.exchange_average();
            self.weights.copy(&network.parameters, &network.layers);
            network.exchange_average();
        }
    }

    /// Exchanges these weights and those of the network. A second call undoes it.
    pub(crate) fn exchange(&mut self, network: &mut Network) {
        self.weights.exchange(&mut network.parameters, &mut network.layers);
    }

    /// What tells this objective from others.
    pub(crate) fn identity(&self) -> String {
        format!(" best {} {}", self.objective.metric.name(), self.objective.goal.name())
    }
}
