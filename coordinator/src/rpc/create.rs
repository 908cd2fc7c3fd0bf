//! `CreateSweep`: decodes and checks the request, reads the data or the block that the client has
//! uploaded, and only then creates the sweep.

use std::sync::Arc;

use caviar_common::blob::Blob;
use caviar_common::data::DataSummary;
use caviar_common::error::{ErrorClass, Problem, Problems};
use caviar_common::ids::{Name, SweepId};
use caviar_common::spec::SweepSpec;
use caviar_common::text::quoted;
use caviar_core::input::{Input, Refusal, Reply};
use caviar_data::{DataError, Dataset, load};
use caviar_proto::convert::artifacts::decode_optional_blob;
use caviar_proto::convert::spec::decode_spec;
use caviar_proto::{status, v1};
use tonic::Status;

use super::api::{Api, driver_gone, invalid, refused};
use super::artifacts::failed;
use crate::artifacts::Artifacts;
use crate::driver::DriverGone;

impl Api {
    /// Creates the sweep. If an earlier request had the same request id and spec, returns the sweep
    /// of that request.
    pub(super) async fn create(&self, request: v1::CreateSweepRequest) -> Result<SweepId, Status> {
        let for_slots = request.for_slots;
        let Create { request_id, spec, block } =
            decode(request).map_err(|problems| status::from_problems(&problems))?;
        if let Some(result) = self.result_without_data(&request_id, spec.clone(), for_slots) {
            return result.map_err(|refusal| refused(&refusal));
        }
        // Until the sweep refers to the block, the pin keeps it.
        let pin = block.map(|block| self.artifacts.pin(block)).transpose();
        let _pin = pin.map_err(|error| failed(&error))?;
        let data = self.read_data(&spec, block).await?;
        let mut filled = spec.clone();
        filled.resolve(&data);
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
            spec.resolve(&earlier.view.data);
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

    /// Reads the data of a sweep, from its block if there is one, on a thread of its own, after at
    /// most a few other requests have read theirs. The summary of external data is empty.
    async fn read_data(
        &self,
        spec: &SweepSpec,
        block: Option<Blob>,
    ) -> Result<DataSummary, Status> {
        if spec.data.is_external() {
            return match block {
                None => Ok(DataSummary::default()),
                Some(_) => Err(invalid(Problem::new(
                    "block",
                    "source = \"external\" reads no data: remove block",
                ))),
            };
        }
        let permit = Arc::clone(&self.data_permits).acquire_owned().await;
        let permit = permit.map_err(|_| driver_gone(DriverGone))?;
        let (artifacts, spec) = (Arc::clone(&self.artifacts), spec.clone());
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            match block {
                Some(block) => summary_of_block(&artifacts, block, &spec),
                None => load(&spec.data)
                    .and_then(|dataset| summary(&dataset, &spec))
                    .map_err(|error| invalid(data_problem(&error, &spec))),
            }
        });
        task.await.map_err(|_| {
            status::new(
                ErrorClass::Internal,
                "internal error: the thread that reads the data panicked",
            )
        })?
    }
}

/// Checks a block, which comes from a client, and the sweep on its data.
fn summary_of_block(
    artifacts: &Artifacts,
    block: Blob,
    spec: &SweepSpec,
) -> Result<DataSummary, Status> {
    let bytes = artifacts.data(&block.name).map_err(|error| failed(&error))?;
    let wrong = |message: String| invalid(Problem::with_value("block.name", block.name, message));
    if blake3::hash(bytes.get()).as_bytes() != block.name.hash() {
        artifacts.forget(&block.name);
        return Err(wrong("the stored blob is damaged: upload it again".to_owned()));
    }
    let dataset = Dataset::from_block(bytes).map_err(|error| wrong(error.to_string()))?;
    let (found, task) = (dataset.task(), spec.data.task);
    if let Some(task) = task.filter(|task| *task != found) {
        let (found, task) = (found.name(), task.name());
        return Err(wrong(format!("its task is {found}: expected {task}, as in data.task")));
    }
    let wanted: Vec<&str> = spec.data.label_names().map(str::trim).collect();
    let found: Vec<&str> = dataset.labels().collect();
    // A single name may be that of a matrix, whose columns are the labels.
    let is_wanted = match wanted.as_slice() {
        [] => true,
        [matrix] if found.len() > 1 => found
            .iter()
            .zip(1..)
            .all(|(name, number)| name.strip_prefix(matrix) == Some(format!("{number}").as_str())),
        names => names == found,
    };
    if !is_wanted {
        let message = format!("its labels are {found:?}: expected {wanted:?}, as in data.label");
        return Err(wrong(message));
    }
    let summary = summary(&dataset, spec);
    let summary = summary.map_err(|error| invalid(data_problem(&error, spec)))?;
    Ok(DataSummary { block: Some(block), ..summary })
}

fn summary(dataset: &Dataset, spec: &SweepSpec) -> Result<DataSummary, DataError> {
    dataset.summary_with(&spec.data, spec.seed, spec.objective.metric.measure())
}

/// A request whose fields are legal on their own.
struct Create {
    request_id: Name,
    spec: SweepSpec,
    block: Option<Blob>,
}

fn decode(request: v1::CreateSweepRequest) -> Result<Create, Problems> {
    let block = decode_optional_blob("block", request.block)?;
    let request_id = Name::parse("request_id", &request.request_id);
    let spec = match request.spec {
        Some(spec) => decode_spec(spec),
        None => Err(Problems::from(Problem::new("spec", "missing: expected a sweep spec"))),
    };
    match (request_id, spec) {
        (Ok(request_id), Ok(spec)) => Ok(Create { request_id, spec, block }),
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
        "data.label" => data.written_label(),
        "data.weight" => data.weights.column.as_deref().map(quoted),
        "data.labels" => data.labels.as_deref().map(quoted),
        "data.validation" => Some(data.validation.to_string()),
        "data.test" => Some(data.test.to_string()),
        _ => None,
    };
    Problem { value, ..Problem::new(field, error.to_string()) }
}
