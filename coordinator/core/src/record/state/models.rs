//! The models that a sweep keeps: those of its best trials.

use caviar_common::merit::Merit;
use caviar_common::message::{KeepRule, StoredModel};
use caviar_common::numbers::index;
use serde::{Deserialize, Serialize};

/// A model that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptModel {
    /// Its trial, and how good that is.
    pub merit: Merit,
    /// The value of the objective.
    pub objective: f64,
    /// Its epoch and its bytes.
    pub model: StoredModel,
}

/// The models of the best completed trials, the best first.
///
/// Which trials they are does not depend on the order in which they end: each trial whose model was
/// not stored, because the sweep had enough better ones, is not among the best at the end either.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Models(Vec<KeptModel>);

impl Models {
    /// The models, the best first.
    pub fn kept(&self) -> &[KeptModel] {
        &self.0
    }

    /// Adds the model of a trial unless it is known, and drops the worst one beyond `most`.
    pub(in crate::record) fn insert(&mut self, new: KeptModel, most: u32) {
        if self.0.iter().any(|known| known.merit.trial == new.merit.trial) {
            return;
        }
        let is_before = |known: &KeptModel| known.merit.order(&new.merit).is_lt();
        let place = self.0.partition_point(is_before);
        self.0.insert(place, new);
        self.0.truncate(index(most));
    }

    /// Which models are worth storing if `most` are kept. A model as good as the worst one is,
    /// since its loss or its number may decide.
    pub(super) fn rule(&self, most: u32) -> KeepRule {
        match self.0.last() {
            _ if most == 0 => KeepRule::Nothing,
            Some(worst) if self.0.len() >= index(most) => KeepRule::UpTo(worst.merit.cost),
            Some(_) | None => KeepRule::All,
        }
    }
}

#[cfg(test)]
mod tests {
    use caviar_common::blob::{Blob, BlobName};
    use caviar_common::ids::TrialNumber;
    use proptest::prelude::*;

    use super::*;

    /// A model of a trial of this cost and this loss; 0 stands for none.
    fn kept(trial: u32, (cost, loss): (u32, u32)) -> KeptModel {
        let blob = Blob { name: BlobName::from_hash([0; 32]), bytes: 1 };
        let cost = f64::from(cost);
        let loss = (loss > 0).then(|| f64::from(loss));
        let model = StoredModel { epoch: 1, blob };
        let merit = Merit { cost, loss, trial: TrialNumber(trial) };
        KeptModel { merit, objective: -cost, model }
    }

    proptest! {
        /// Trials that end in any order leave the same models, although only those are stored that
        /// the rule asks for.
        #[test]
        fn the_best_are_kept_in_any_order_of_ends(
            costs in prop::collection::vec((0_u32..5, 0_u32..4), 1..40),
            order in prop::collection::vec(any::<prop::sample::Index>(), 40),
            most in 0_u32..6,
        ) {
            let all: Vec<KeptModel> = (0..).zip(&costs).map(|(n, cost)| kept(n, *cost)).collect();
            let mut rest = all.clone();
            let mut models = Models::default();
            for index in order {
                if rest.is_empty() {
                    break;
                }
                let next = rest.remove(index.index(rest.len()));
                let is_stored = match models.rule(most) {
                    KeepRule::Nothing => false,
                    KeepRule::All => true,
                    KeepRule::UpTo(cost) => next.merit.cost <= cost,
                };
                if is_stored {
                    models.insert(next, most);
                    models.insert(next, most);
                }
            }
            let best = all;
            // A stable sort: of equal trials, the lower number comes first.
            let places = costs.iter().map(|(cost, loss)| (*cost, *loss == 0, *loss));
            let mut places: Vec<_> = places.zip(best).collect();
            places.sort_by_key(|(place, _)| *place);
            let mut best: Vec<KeptModel> = places.into_iter().map(|(_, kept)| kept).collect();
            best.truncate(usize::try_from(most).unwrap());
            prop_assert_eq!(models.kept(), best);
        }
    }
}
