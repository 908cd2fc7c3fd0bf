//! GetImportance: what the core knows is copied, and the forest grows on a thread of its own.

use std::sync::Arc;

use caviar_common::assignment::Assignment;
use caviar_common::error::Class;
use caviar_common::ids::SweepId;
use caviar_common::space::Space;
use caviar_common::view::{ImportanceView, PairView, ShareView};
use caviar_core::Coordinator;
use caviar_proto::convert::view::MAX_PAIRS;
use caviar_proto::status;
use caviar_search::importance::{Importance, Measure, TooLittle, cap, importance};
use caviar_search::results;
use tonic::Status;

use super::{Api, deleted};

/// What importance is learnt from.
struct Results {
    space: Space,
    seed: u64,
    losses: Vec<(Assignment, f64)>,
    provisional: usize,
}

impl Api {
    /// Which hyperparameters of a sweep mattered.
    pub(super) async fn importance(&self, id: SweepId) -> Result<ImportanceView, Status> {
        // Whoever waits holds no copy of the results.
        let permit = Arc::clone(&self.growers).acquire_owned().await;
        let permit = permit.map_err(|_| status::new(Class::Unavailable, "the coordinator is stopping"))?;
        let results = self.read(move |core| results_of(core, id)).await?.ok_or_else(|| deleted(id))?;
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            learn(results)
        });
        let learnt = task.await.map_err(|_| status::new(Class::Internal, "the forest ended without a word"))?;
        learnt.map_err(|error| status::new(error.class(), format!("{error}; hint: ask again when more trials are done")))
    }
}

fn results_of(core: &Coordinator, id: SweepId) -> Option<Results> {
    let sweep = core.durable().sweeps.get(&id)?;
    let results = results(&sweep.log);
    let with_loss = || results.iter().filter(|r| r.loss.is_some());
    let losses = with_loss().filter_map(|r| Some((r.latest.assignment.clone(), r.loss?))).collect();
    let provisional = with_loss().filter(|r| r.is_provisional()).count();
    Some(Results { space: sweep.spec.space.clone(), seed: sweep.spec.seed, losses, provisional })
}

fn learn(mut results: Results) -> Result<ImportanceView, TooLittle> {
    cap(&mut results.losses);
    let Importance { trials, parameters, pairs } = importance(&results.space, &results.losses, Measure::Scales, results.seed)?;
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Ok(ImportanceView {
        trials: number(trials),
        provisional: number(results.provisional),
        parameters: parameters.into_iter().map(|s| ShareView { parameter: s.name, share: s.share }).collect(),
        pairs: pairs.into_iter().take(MAX_PAIRS).map(|p| PairView { parameters: p.names, share: p.share }).collect(),
    })
}
