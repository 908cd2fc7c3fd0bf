//! A coordinator as the command line asks it: connecting, paging, and wire types turned into the
//! words of Caviar.

use std::time::Duration;

use caviar_common::error::Problem;
use caviar_common::outcome::TrialState;
use caviar_common::spec::SweepSpec;
use caviar_common::view::{ImportanceView, SweepView, TrialView, WorkerView};
use caviar_proto::convert::spec::encode_spec;
use caviar_proto::convert::view::{
    decode_importance, decode_sweep, decode_trial, decode_worker, trial_state_to_wire,
};
use caviar_proto::v1;
use caviar_proto::v1::sweep_service_client::SweepServiceClient;
use caviar_proto::v1::worker_admin_service_client::WorkerAdminServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Response, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::failure::Failure;

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for the first answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// Sweeps or trials asked for at once.
const PAGE: u32 = 500;
/// The largest message taken: a trial with the longest curve, and something over.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// A coordinator.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    url: String,
    sweeps: SweepServiceClient<Channel>,
    workers: WorkerAdminServiceClient<Channel>,
}

impl Client {
    /// Connects.
    pub(crate) async fn connect(url: &str) -> anyhow::Result<Self> {
        let endpoint = caviar_worker::endpoint(url)
            .map_err(|error| Failure::hinted(error.to_string(), error.hint()))?;
        let channel = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .connect()
            .await
            .map_err(|error| unreachable(url, &error))?;
        check_coordinator(channel.clone(), url).await?;
        Ok(Self {
            url: url.to_owned(),
            sweeps: SweepServiceClient::new(channel.clone())
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
            workers: WorkerAdminServiceClient::new(channel)
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
        })
    }

    /// The error for an answer that is a status.
    fn take<T>(&self, answer: Result<Response<T>, Status>) -> anyhow::Result<T> {
        answer.map(Response::into_inner).map_err(|status| self.refused(&status))
    }

    fn refused(&self, status: &Status) -> anyhow::Error {
        Failure::of_status(status, &self.url).into()
    }

    fn view<W, T>(&self, wire: W, decode: impl Fn(W) -> Result<T, Problem>) -> anyhow::Result<T> {
        decode(wire).map_err(|problem| {
            let message = format!(
                "the coordinator at {} sent what this program does not understand: {problem}",
                self.url
            );
            Failure::hinted(message, "use the same release on both sides").into()
        })
    }

    /// Starts a sweep. The status is returned as it is: it may be about the sweep file.
    pub(crate) async fn create(
        &mut self,
        request_id: &str,
        spec: &SweepSpec,
    ) -> anyhow::Result<Result<SweepView, Status>> {
        let request = v1::CreateSweepRequest {
            request_id: request_id.to_owned(),
            spec: Some(encode_spec(spec)),
        };
        match self.sweeps.create_sweep(request).await {
            Ok(answer) => self.view(answer.into_inner(), decode_sweep).map(Ok),
            Err(status) => Ok(Err(status)),
        }
    }

    /// A refusal of this coordinator as an error.
    pub(crate) fn failure(&self, status: &Status) -> Failure {
        Failure::of_status(status, &self.url)
    }

    /// One sweep.
    pub(crate) async fn sweep(&mut self, sweep: &str) -> anyhow::Result<SweepView> {
        let answer = self.sweeps.get_sweep(v1::GetSweepRequest { sweep: sweep.to_owned() }).await;
        let wire = self.take(answer)?;
        self.view(wire, decode_sweep)
    }

    /// All sweeps.
    pub(crate) async fn list(&mut self) -> anyhow::Result<Vec<SweepView>> {
        let mut all = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListSweepsRequest { page_size: PAGE, page_token, states: Vec::new() };
            let answer = self.sweeps.list_sweeps(request).await;
            let page = self.take(answer)?;
            for wire in page.sweeps {
                all.push(self.view(wire, decode_sweep)?);
            }
            if page.next_page_token.is_empty() {
                return Ok(all);
            }
            page_token = page.next_page_token;
        }
    }

    /// The trials of a sweep by number, without their curves: in these states, or all.
    pub(crate) async fn trials(
        &mut self,
        sweep: &str,
        states: &[TrialState],
    ) -> anyhow::Result<Vec<TrialView>> {
        let mut all = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListTrialsRequest {
                sweep: sweep.to_owned(),
                page_size: PAGE,
                page_token,
                states: states.iter().copied().map(trial_state_to_wire).collect(),
                order: v1::TrialOrder::Unspecified.into(),
                with_curves: false,
            };
            let answer = self.sweeps.list_trials(request).await;
            let page = self.take(answer)?;
            for wire in page.trials {
                all.push(self.view(wire, decode_trial)?);
            }
            if page.next_page_token.is_empty() {
                return Ok(all);
            }
            page_token = page.next_page_token;
        }
    }

    /// The trials that run.
    pub(crate) async fn running(&mut self, sweep: &str) -> anyhow::Result<Vec<TrialView>> {
        self.trials(sweep, &[TrialState::Running]).await
    }

    /// Which hyperparameters mattered.
    pub(crate) async fn importance(&mut self, sweep: &str) -> anyhow::Result<ImportanceView> {
        let answer =
            self.sweeps.get_importance(v1::GetImportanceRequest { sweep: sweep.to_owned() }).await;
        let wire = self.take(answer)?;
        self.view(wire, decode_importance)
    }

    /// Every trial with its curve, by number, as they come.
    pub(crate) async fn export(&mut self, sweep: &str) -> anyhow::Result<Incoming<v1::Trial>> {
        let answer =
            self.sweeps.export_trials(v1::ExportTrialsRequest { sweep: sweep.to_owned() }).await;
        let stream = self.take(answer)?;
        Ok(Incoming { client: self.clone(), stream })
    }

    /// The sweep now and after every change, until it ends.
    pub(crate) async fn watch(&mut self, sweep: &str) -> anyhow::Result<Incoming<v1::Sweep>> {
        let answer =
            self.sweeps.watch_sweep(v1::WatchSweepRequest { sweep: sweep.to_owned() }).await;
        let stream = self.take(answer)?;
        Ok(Incoming { client: self.clone(), stream })
    }

    /// Pauses a sweep.
    pub(crate) async fn pause(&mut self, sweep: &str) -> anyhow::Result<SweepView> {
        let answer =
            self.sweeps.pause_sweep(v1::PauseSweepRequest { sweep: sweep.to_owned() }).await;
        let wire = self.take(answer)?;
        self.view(wire, decode_sweep)
    }

    /// Goes on with a sweep.
    pub(crate) async fn resume(&mut self, sweep: &str) -> anyhow::Result<SweepView> {
        let answer =
            self.sweeps.resume_sweep(v1::ResumeSweepRequest { sweep: sweep.to_owned() }).await;
        let wire = self.take(answer)?;
        self.view(wire, decode_sweep)
    }

    /// Ends a sweep.
    pub(crate) async fn cancel(&mut self, sweep: &str) -> anyhow::Result<SweepView> {
        let answer =
            self.sweeps.cancel_sweep(v1::CancelSweepRequest { sweep: sweep.to_owned() }).await;
        let wire = self.take(answer)?;
        self.view(wire, decode_sweep)
    }

    /// Removes a sweep.
    pub(crate) async fn delete(&mut self, sweep: &str) -> anyhow::Result<()> {
        let answer =
            self.sweeps.delete_sweep(v1::DeleteSweepRequest { sweep: sweep.to_owned() }).await;
        self.take(answer).map(|_| ())
    }

    /// All workers.
    pub(crate) async fn workers(&mut self) -> anyhow::Result<Vec<WorkerView>> {
        let answer = self.workers.list_workers(v1::ListWorkersRequest {}).await;
        let workers = self.take(answer)?.workers;
        workers.into_iter().map(|wire| self.view(wire, decode_worker)).collect()
    }

    /// Lets a worker leave.
    pub(crate) async fn drain(&mut self, worker: &str) -> anyhow::Result<WorkerView> {
        let answer =
            self.workers.drain_worker(v1::DrainWorkerRequest { worker: worker.to_owned() }).await;
        let wire = self.take(answer)?;
        self.view(wire, decode_worker)
    }
}

/// What a coordinator sends as it comes.
#[derive(Debug)]
pub(crate) struct Incoming<W> {
    client: Client,
    stream: Streaming<W>,
}

impl Incoming<v1::Sweep> {
    /// The next look at the sweep; none at the end.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<SweepView>> {
        let wire = self.stream.message().await.map_err(|status| self.client.refused(&status))?;
        wire.map(|wire| self.client.view(wire, decode_sweep)).transpose()
    }
}

impl Incoming<v1::Trial> {
    /// The next trial; none at the end.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<TrialView>> {
        let wire = self.stream.message().await.map_err(|status| self.client.refused(&status))?;
        wire.map(|wire| self.client.view(wire, decode_trial)).transpose()
    }
}

/// Asks for the service: another server that listens there would fail in ways that tell nothing.
async fn check_coordinator(channel: Channel, url: &str) -> anyhow::Result<()> {
    let request = HealthCheckRequest { service: v1::sweep_service_server::SERVICE_NAME.to_owned() };
    let asked =
        tokio::time::timeout(ANSWER_TIMEOUT, HealthClient::new(channel).check(request)).await;
    let Ok(answer) = asked else {
        return Err(no_coordinator(format!("what listens at {url} does not answer")).into());
    };
    let Err(status) = answer else { return Ok(()) };
    if matches!(status.code(), Code::NotFound | Code::Unimplemented)
        || caviar_worker::is_other_server(url).await
    {
        return Err(
            no_coordinator(format!("what answers at {url} is no Caviar coordinator")).into()
        );
    }
    Err(Failure::of_status(&status, url).into())
}

fn no_coordinator(message: String) -> Failure {
    Failure::hinted(
        message,
        "say where the coordinator is with --coordinator URL or CAVIAR_COORDINATOR; it listens on port 7070 unless told otherwise",
    )
}

fn unreachable(url: &str, error: &tonic::transport::Error) -> Failure {
    // The outer errors say no more than "transport error"; the innermost one says what happened.
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    Failure::Hinted {
        message: format!("no coordinator answers at {url}: {cause}"),
        hints: vec![
            "start one with: caviar-coordinator --listen 127.0.0.1:7070 --store caviar.db".to_owned(),
            "or say where it is with --coordinator URL or CAVIAR_COORDINATOR; to read a store without one: --store caviar.db".to_owned(),
        ],
    }
}
