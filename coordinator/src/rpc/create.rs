//! `CreateSweep`: decodes and checks the request, reads the data, and only then creates the sweep.

use std::sync::Arc;

use caviar_common::data::DataSummary;
use caviar_common::error::{ErrorClass, Problem, Problems};
use caviar_common::ids::{Name, SweepId};
use caviar_common::spec::SweepSpec;
use caviar_common::text::quoted;
use caviar_core::input::{Input, Refusal, Reply};
use caviar_data::DataError;
use caviar_proto::convert::spec::decode_spec;
use caviar_proto::{status, v1};
use tonic::Status;

use super::api::{Api, driver_gone, invalid, refused};
use crate::driver::DriverGone;

impl Api {
    /// Creates the sweep. If an earlier request had the same request id and spec, returns the sweep
    /// of that request.
    pub(super) async fn create(&self, request: v1::CreateSweepRequest) -> Result<SweepId, Status> {
        let for_slots = request.for_slots;
        let (request_id, spec) =
            decode(request).map_err(|problems| status::from_problems(&problems))?;
        if let Some(result) = self.result_without_data(&request_id, spec.clone(), for_slots) {
            return result.map_err(|refusal| refused(&refusal));
        }
        let data = self.read_data(&spec).await?;
        let mut filled = spec.clone();
        filled.fill_space(&data);
        filled.check_new(Some(&data)).map_err(|problems| status::from_problems(&problems))?;
        let input = Input::CreateSweep { request_id, spec: Box::new(spec), data, for_slots };
        match self.driver.apply(input).await.map_err(driver_gone)? {
            Ok(Reply::Sweep(id)) => Ok(id),
            Ok(Reply::Done | Reply::Waiting) => Err(status::new(
                ErrorClass::Internal,
                "internal error: the reply to CreateSweep does not contain the sweep's id",
            )),
            Err(refusal) => Err(refused(&refusal)),
        }
    }

    /// The result of a request that needs no data: the sweep that an earlier request with the same
    /// id created, or a refusal. `None` if the data must be read.
    fn result_without_data(
        &self,
        request_id: &Name,
        mut spec: SweepSpec,
        for_slots: Option<u32>,
    ) -> Option<Result<SweepId, Refusal>> {
        let sweeps = self.driver.sweeps();
        if let Some(earlier) = sweeps.by_request(request_id) {
            spec.fill_space(&earlier.view.data);
            let slots = earlier.view.auto_slots;
            let has_slots = for_slots.is_none_or(|wanted| slots == Some(wanted));
            return Some(if has_slots && earlier.view.spec.answers(&spec) {
                Ok(earlier.view.id)
            } else {
                Err(Refusal::RequestReused(request_id.clone()))
            });
        }
        sweeps.by_name(&spec.name).map(|_| Err(Refusal::NameTaken(spec.name)))
    }

    /// Reads the data of a sweep on a thread of its own, after at most a few other requests have
    /// read theirs. The summary of external data is empty.
    async fn read_data(&self, spec: &SweepSpec) -> Result<DataSummary, Status> {
        if spec.data.is_external() {
            return Ok(DataSummary::default());
        }
        let permit = Arc::clone(&self.data_permits).acquire_owned().await;
        let permit = permit.map_err(|_| driver_gone(DriverGone))?;
        let (data, seed) = (spec.data.clone(), spec.seed);
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            caviar_data::prepare(&data, seed).map(|(_, summary)| summary)
        });
        let result = task.await.map_err(|_| {
            status::new(
                ErrorClass::Internal,
                "internal error: the thread that reads the data panicked",
            )
        })?;
        result.map_err(|error| invalid(data_problem(&error, spec)))
    }
}

fn decode(request: v1::CreateSweepRequest) -> Result<(Name, SweepSpec), Problems> {
    let request_id = Name::parse("request_id", &request.request_id);
    let spec = match request.spec {
        Some(spec) => decode_spec(spec),
        None => Err(Problems::from(Problem::new("spec", "missing: expected a sweep spec"))),
    };
    match (request_id, spec) {
        (Ok(request_id), Ok(spec)) => Ok((request_id, spec)),
        (Ok(_), Err(problems)) => Err(problems),
        (Err(problem), Ok(_)) => Err(problem.into()),
        (Err(problem), Err(problems)) => Err(std::iter::once(problem).chain(problems).collect()),
    }
}

/// An error in the data as a problem with the field that causes it.
fn data_problem(error: &DataError, spec: &SweepSpec) -> Problem {
    let (field, data) = (error.field(), &spec.data);
    let value = match field {
        "data.source" => Some(quoted(&data.source)),
        "data.label" => data.label.as_deref().map(quoted),
        "data.labels" => data.labels.as_deref().map(quoted),
        "data.validation" => Some(data.validation.to_string()),
        "data.test" => Some(data.test.to_string()),
        _ => None,
    };
    Problem { value, ..Problem::new(field, error.to_string()) }
}
