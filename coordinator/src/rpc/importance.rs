//! `GetImportance`: copies the results of a sweep from the driver and grows the forest on another
//! thread.

use std::sync::Arc;

use caviar_common::error::ErrorClass;
use caviar_common::ids::SweepId;
use caviar_common::numbers::to_u32;
use caviar_common::view::{ImportanceView, PairView, ShareView};
use caviar_core::state::Sweep;
use caviar_proto::convert::view::MAX_PAIRS;
use caviar_proto::status;
use caviar_search::importance::{Importance, Measure, TooLittle, cap, importance};
use caviar_search::{History, TrialResult, each_result};
use tonic::Status;

use super::api::{Api, driver_gone, refused, sweep_deleted};
use crate::driver::DriverGone;

/// A copy of what importance is computed from.
struct Results {
    history: History,
    seed: u64,
    /// True if the sweep will have no more results.
    is_final: bool,
}

impl Api {
    /// The share of each hyperparameter, and of each pair, in the variance of a sweep's results.
    pub(super) async fn importance(&self, id: SweepId) -> Result<ImportanceView, Status> {
        // The results are copied after the wait, so that waiting requests use no memory.
        let permit = Arc::clone(&self.importance_permits).acquire_owned().await;
        let permit = permit.map_err(|_| driver_gone(DriverGone))?;
        let results = self.results(id).await?;
        let hint = if results.is_final {
            "the sweep has ended, so start another one with more trials"
        } else {
            "ask again when more trials are finished"
        };
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            compute(results)
        });
        let importance = task.await.map_err(|_| {
            status::new(
                ErrorClass::Internal,
                "internal error: the thread that computes the importance panicked",
            )
        })?;
        importance.map_err(|error| status::new(error.class(), format!("{error}; hint: {hint}")))
    }

    /// The results of a sweep. Those of one that has ended may only be in the store.
    async fn results(&self, id: SweepId) -> Result<Results, Status> {
        loop {
            let results = self.read(move |core| core.record().sweep(id).map(results_of)).await?;
            if let Some(results) = results.ok_or_else(|| sweep_deleted(id))? {
                return Ok(results);
            }
            let loaded = self.driver.load(id).await.map_err(driver_gone)?;
            loaded.map_err(|refusal| refused(&refusal))?;
        }
    }
}

/// `None` if the sweep is not loaded.
fn results_of(sweep: &Sweep) -> Option<Results> {
    let (seed, is_final) = (sweep.spec().seed, sweep.state().is_final());
    sweep.is_loaded().then(|| Results { history: sweep.history().clone(), seed, is_final })
}

fn compute(copy: Results) -> Result<ImportanceView, TooLittle> {
    let Results { history, seed, .. } = copy;
    // The results of trials that have not finished.
    let mut provisional = 0_usize;
    let mut cost_of = |result: TrialResult| {
        let cost = result.cost?;
        provisional += usize::from(result.is_provisional());
        Some((result.latest.trial, cost))
    };
    let mut costs: Vec<(u32, f64)> = each_result(&history).filter_map(&mut cost_of).collect();
    cap(&mut costs);
    let Importance { trials, parameters, pairs } =
        importance(&history, &costs, Measure::Scales, seed)?;
    Ok(ImportanceView {
        trials: to_u32(trials),
        provisional: to_u32(provisional),
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
    use std::path::Path;
    use std::task::Poll;

    use caviar_common::data::DataSummary;
    use caviar_common::ids::{Name, StoreId};
    use caviar_common::spec::file::parse;
    use caviar_core::input::{Config, Input, Reply};
    use tokio::sync::watch;
    use tonic::Code;

    use super::*;
    use crate::artifacts::{Artifacts, Settings};
    use crate::driver::{self, Driver};
    use crate::store::sqlite::SqliteStore;

    /// A driver with a sweep of three trials without results.
    async fn driver_with_sweep(folder: &Path) -> (Driver, SweepId) {
        let store = SqliteStore::open(&folder.join("caviar.db")).unwrap();
        let driver = driver::start(Config::default(), Box::new(store)).unwrap();
        let text = "name = \"x\"\n[data]\nsource = \"external\"\n\
                    [space]\nC = { low = 0, high = 1 }\n\
                    [search]\nstrategy = \"random\"\ntrials = 3\nparallelism = 3\n\
                    [objective]\nmetric = \"m\"\ngoal = \"minimize\"\n";
        let (spec, request_id) =
            (Box::new(parse(text).unwrap().spec), Name::parse("name", "r").unwrap());
        let create =
            Input::CreateSweep { request_id, spec, data: DataSummary::default(), for_slots: None };
        let Ok(Reply::Sweep(sweep)) = driver.handle.apply(create).await.unwrap() else {
            panic!("no sweep")
        };
        (driver, sweep)
    }

    fn artifacts(folder: &Path) -> Arc<Artifacts> {
        let store = folder.join("caviar.db");
        Artifacts::open(Settings::default(), &store, StoreId(1), true).unwrap()
    }

    #[tokio::test]
    async fn the_hint_of_a_sweep_without_enough_results_depends_on_whether_it_has_ended() {
        let directory = tempfile::tempdir().unwrap();
        let (driver, sweep) = driver_with_sweep(directory.path()).await;
        let (_stop, stopping) = watch::channel(false);
        let api = Api::new(driver.handle.clone(), artifacts(directory.path()), stopping);
        let running = api.importance(sweep).await.unwrap_err();
        assert!(running.message().ends_with("hint: ask again when more trials are finished"));
        driver.handle.apply(Input::CancelSweep(sweep)).await.unwrap().unwrap();
        let ended = api.importance(sweep).await.unwrap_err();
        assert!(ended.message().contains("hint: the sweep has ended"), "{ended}");
    }

    #[tokio::test]
    async fn a_waiting_request_holds_no_copy_of_the_results() {
        let directory = tempfile::tempdir().unwrap();
        let (driver, sweep) = driver_with_sweep(directory.path()).await;
        let (_stop, stopping) = watch::channel(false);
        let api = Api::new(driver.handle.clone(), artifacts(directory.path()), stopping);
        let permit = Arc::clone(&api.importance_permits).acquire_owned().await.unwrap();
        let mut request = Box::pin(api.importance(sweep));
        // The first poll gets as far as the wait for the permit.
        let is_waiting = std::future::poll_fn(|context| {
            Poll::Ready(request.as_mut().poll(context).is_pending())
        })
        .await;
        assert!(is_waiting);
        for input in [Input::CancelSweep(sweep), Input::DeleteSweep(sweep)] {
            driver.handle.apply(input).await.unwrap().unwrap();
        }
        drop(permit);
        let error = request.await.unwrap_err();
        assert_eq!(error.code(), Code::NotFound, "it must read the sweep after the wait: {error}");
    }
}
