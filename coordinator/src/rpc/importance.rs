//! GetImportance: what the core knows is copied, and the forest grows on a thread of its own.

use std::sync::Arc;

use caviar_common::assignment::Assignment;
use caviar_common::error::ErrorClass;
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
    costs: Vec<(Assignment, f64)>,
    provisional: usize,
}

impl Api {
    /// Which hyperparameters of a sweep mattered.
    pub(super) async fn importance(&self, id: SweepId) -> Result<ImportanceView, Status> {
        // Whoever waits holds no copy of the results.
        let permit = Arc::clone(&self.growers).acquire_owned().await;
        let permit = permit
            .map_err(|_| status::new(ErrorClass::Unavailable, "the coordinator is stopping"))?;
        let results =
            self.read(move |core| results_of(core, id)).await?.ok_or_else(|| deleted(id))?;
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            learn(results)
        });
        let learnt = task
            .await
            .map_err(|_| status::new(ErrorClass::Internal, "the forest ended without a word"))?;
        learnt.map_err(|error| {
            status::new(
                error.class(),
                format!("{error}; hint: ask again when more trials are done"),
            )
        })
    }
}

fn results_of(core: &Coordinator, id: SweepId) -> Option<Results> {
    let sweep = core.record().sweep(id)?;
    let results = results(sweep.log());
    let with_cost = || results.iter().filter(|r| r.cost.is_some());
    let costs = with_cost().filter_map(|r| Some((r.latest.assignment.clone(), r.cost?))).collect();
    let provisional = with_cost().filter(|r| r.is_provisional()).count();
    Some(Results { space: sweep.spec().space.clone(), seed: sweep.spec().seed, costs, provisional })
}

fn learn(mut results: Results) -> Result<ImportanceView, TooLittle> {
    cap(&mut results.costs);
    let Importance { trials, parameters, pairs } =
        importance(&results.space, &results.costs, Measure::Scales, results.seed)?;
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Ok(ImportanceView {
        trials: number(trials),
        provisional: number(results.provisional),
        parameters: parameters
            .into_iter()
            .map(|s| ShareView { parameter: s.name, share: s.share })
            .collect(),
        pairs: pairs
            .into_iter()
            .take(MAX_PAIRS)
            .map(|p| PairView { parameters: p.names, share: p.share })
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::Poll;

    use caviar_common::data::DataSummary;
    use caviar_common::ids::Name;
    use caviar_common::spec::file::parse;
    use caviar_core::input::{Config, Input, Reply};
    use tokio::sync::watch;
    use tonic::Code;

    use super::*;
    use crate::driver;
    use crate::store::sqlite::SqliteStore;

    #[tokio::test]
    async fn whoever_waits_for_a_forest_holds_no_copy_of_the_results() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("caviar.db")).unwrap();
        let driver = driver::start(Config::default(), Box::new(store)).unwrap();
        let (_stop, stopping) = watch::channel(false);
        let api = Api::new(driver.handle.clone(), stopping);
        let text = "name = \"x\"\n[data]\nsource = \"external\"\n[space]\nC = { low = 0, high = 1 }\n[search]\nstrategy = \"random\"\n\
                    trials = 3\nparallelism = 3\n[objective]\nmetric = \"m\"\ngoal = \"minimize\"\n";
        let (spec, request_id) =
            (Box::new(parse(text).unwrap().spec), Name::parse("name", "r").unwrap());
        let create = Input::CreateSweep { request_id, spec, data: DataSummary::default() };
        let Ok(Reply::Sweep(sweep)) = driver.handle.apply(create).await.unwrap() else {
            panic!("no sweep")
        };
        let busy = Arc::clone(&api.growers).acquire_owned().await.unwrap();
        let mut asked = Box::pin(api.importance(sweep));
        // It comes as far as it can, and waits.
        let waits =
            std::future::poll_fn(|context| Poll::Ready(asked.as_mut().poll(context).is_pending()))
                .await;
        assert!(waits);
        for input in [Input::CancelSweep(sweep), Input::DeleteSweep(sweep)] {
            driver.handle.apply(input).await.unwrap().unwrap();
        }
        drop(busy);
        let error = asked.await.unwrap_err();
        assert_eq!(error.code(), Code::NotFound, "it looked once it might: {error}");
    }
}
