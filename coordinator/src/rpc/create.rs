//! CreateSweep: decode, check, read the data, and only then begin.

use caviar_common::data::DataSummary;
use caviar_common::error::{ErrorClass, Problem, Problems};
use caviar_common::ids::{Name, SweepId};
use caviar_common::spec::SweepSpec;
use caviar_core::Coordinator;
use caviar_core::input::{Input, Refusal, Reply};
use caviar_data::DataError;
use caviar_proto::convert::spec::decode_spec;
use caviar_proto::{status, v1};
use tonic::Status;

use super::{Api, gone, refused};

impl Api {
    /// Creates the sweep, or finds the one that the same request created before.
    pub(super) async fn create(&self, request: v1::CreateSweepRequest) -> Result<SweepId, Status> {
        let (request_id, spec) =
            decode(request).map_err(|problems| status::from_problems(&problems))?;
        let (id, earlier) = (request_id.clone(), spec.clone());
        if let Some(known) = self.read(move |core| known(core, &id, earlier)).await? {
            return known.map_err(|refusal| refused(&refusal));
        }
        let data = self.read_data(&spec).await?;
        let mut filled = spec.clone();
        filled.fill_space(&data);
        filled.check_new(Some(&data)).map_err(|problems| status::from_problems(&problems))?;
        let input = Input::CreateSweep { request_id, spec: Box::new(spec), data };
        match self.driver.apply(input).await.map_err(gone)? {
            Ok(Reply::Sweep(id)) => Ok(id),
            Ok(Reply::Done) => Err(status::new(
                ErrorClass::Internal,
                "the coordinator did not say which sweep it made",
            )),
            Err(refusal) => Err(refused(&refusal)),
        }
    }

    /// Reads the data, if there is any, on a thread of its own, a few at a time.
    async fn read_data(&self, spec: &SweepSpec) -> Result<DataSummary, Status> {
        if spec.data.is_external() {
            return Ok(DataSummary::default());
        }
        let stopping = || status::new(ErrorClass::Unavailable, "the coordinator is stopping");
        let permit =
            std::sync::Arc::clone(&self.readers).acquire_owned().await.map_err(|_| stopping())?;
        let (data, seed) = (spec.data.clone(), spec.seed);
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            caviar_data::prepare(&data, seed).map(|(_, summary)| summary)
        });
        let read = task.await.map_err(|_| {
            status::new(ErrorClass::Internal, "reading the data ended without a word")
        })?;
        read.map_err(|error| status::from_problems(&Problems::from(problem(&error, spec))))
    }
}

fn decode(request: v1::CreateSweepRequest) -> Result<(Name, SweepSpec), Problems> {
    let request_id = Name::parse("request_id", &request.request_id);
    let spec = match request.spec {
        Some(spec) => decode_spec(spec),
        None => Err(Problems::from(Problem::new("spec", "missing: it must be sent"))),
    };
    match (request_id, spec) {
        (Ok(request_id), Ok(spec)) => Ok((request_id, spec)),
        (Ok(_), Err(problems)) => Err(problems),
        (Err(problem), Ok(_)) => Err(problem.into()),
        (Err(problem), Err(problems)) => Err(std::iter::once(problem).chain(problems).collect()),
    }
}

/// What can be answered without reading the data: the sweep of an earlier call with the same
/// request id, or a refusal.
fn known(
    core: &Coordinator,
    request_id: &Name,
    mut spec: SweepSpec,
) -> Option<Result<SweepId, Refusal>> {
    let sweeps = core.record().sweeps();
    if let Some(earlier) = sweeps.values().find(|s| s.request_id() == request_id) {
        spec.fill_space(earlier.data());
        return Some(if spec == *earlier.spec() {
            Ok(earlier.id())
        } else {
            Err(Refusal::RequestReused(request_id.clone()))
        });
    }
    let taken = sweeps.values().any(|s| s.spec().name == spec.name);
    taken.then_some(Err(Refusal::NameTaken(spec.name)))
}

/// The error of the data as a problem with the field that is at fault.
fn problem(error: &DataError, spec: &SweepSpec) -> Problem {
    let (field, data) = (error.field(), &spec.data);
    let value = match field {
        "data.source" => Some(format!("{:?}", data.source)),
        "data.label" => data.label.as_ref().map(|text| format!("{text:?}")),
        "data.labels" => data.labels.as_ref().map(|text| format!("{text:?}")),
        "data.validation" => Some(data.validation.to_string()),
        "data.test" => Some(data.test.to_string()),
        _ => None,
    };
    Problem { value, ..Problem::new(field, error.to_string()) }
}
