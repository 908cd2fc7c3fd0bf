//! What the tests share: small sweeps, metrics, and a server on a free port.

use std::path::Path;

use caviar_common::data::DataSummary;
use caviar_common::ids::{Incarnation, LeaseId, Name, StoreId, SweepId};
use caviar_common::message::{Hello, PROTOCOL};
use caviar_common::metric::{EpochMetrics, Score};
use caviar_common::spec::{SweepSpec, file};
use caviar_coordinator::store::sqlite::SqliteStore;
use caviar_coordinator::store::{Batch, Position, Rows, Store, StoreError};
use caviar_coordinator::{Security, Server, ServerConfig, start};
use caviar_core::event::Event;
use caviar_core::input::Config;
use caviar_core::{Coordinator, Replay};
use caviar_proto::convert::spec::encode_spec;
use caviar_proto::v1;
use caviar_proto::v1::sweep_service_client::SweepServiceClient;
use tonic::transport::Channel;

/// Epochs of every trial in these tests.
pub(crate) const EPOCHS: u32 = 2;

pub(crate) fn name(text: &str) -> Name {
    Name::parse("name", text).unwrap()
}

pub(crate) fn spec(name: &str, trials: u32, parallelism: u32) -> SweepSpec {
    let text = format!(
        "name = \"{name}\"\nseed = 7\n[data]\nsource = \"builtin:digits\"\n\
         [fixed]\nepochs = {EPOCHS}\nlayers = 1\nunits = 8\n\
         [space]\nlearning_rate = {{ scale = \"log\", low = 1e-4, high = 1.0 }}\n\
         [search]\nstrategy = \"random\"\ntrials = {trials}\nparallelism = {parallelism}\n"
    );
    file::parse(&text).unwrap().spec
}

pub(crate) fn summary() -> DataSummary {
    DataSummary {
        train: 100,
        validation: 20,
        test: 10,
        features: 64,
        outputs: 10,
        digest: "00".to_owned(),
        ..DataSummary::default()
    }
}

pub(crate) fn metrics(epoch: u32, loss: f64) -> EpochMetrics {
    let score = |loss| Score { loss, accuracy: Some(0.5), measured: None };
    EpochMetrics { epoch, train: score(loss), validation: score(0.1 + 0.2), spread: None }
}

pub(crate) fn hello(worker: &str, incarnation: u64, slots: u32, held: &[u64]) -> Hello {
    let held = held.iter().copied().map(LeaseId).collect();
    Hello {
        protocol: PROTOCOL,
        worker: name(worker),
        incarnation: Incarnation(incarnation),
        slots,
        draining: false,
        can_park: true,
        store: None,
        held,
    }
}

/// Loads the sweeps that have ended.
pub(crate) fn load_all(core: &mut Coordinator, store: &SqliteStore) -> Result<(), StoreError> {
    let mut reader = store.readers().unwrap().open()?;
    let sweeps: Vec<SweepId> = core.record().sweeps().keys().copied().collect();
    for job in sweeps.into_iter().filter_map(|sweep| core.load_job(sweep)).collect::<Vec<_>>() {
        core.load(reader.load(job)?);
    }
    Ok(())
}

/// The events of an intact store.
pub(crate) fn loaded(store: &mut SqliteStore) -> Vec<Event> {
    let mut events = store.load().unwrap();
    let all: Vec<Event> = events.by_ref().map(|event| event.unwrap().1).collect();
    assert_eq!(events.damages(), []);
    all
}

/// What a coordinator says of the sweeps of `events` after all events so far.
pub(crate) fn rows(all: &[Event], events: &[Event]) -> Rows {
    let mut replay = Replay::new(Config::default(), StoreId(1));
    let (before, after) = all.split_at(all.len() - events.len());
    before.iter().for_each(|event| replay.apply(event).unwrap());
    after.iter().for_each(|event| replay.apply_with_rows(event).unwrap());
    let changed = replay.take_rows();
    let sweeps = changed.sweeps.iter().filter_map(|sweep| replay.sweep(*sweep)).collect();
    Rows { sweeps, trials: changed.trials }
}

/// Adds events to a store as one batch, with what they change.
pub(crate) fn append(store: &mut SqliteStore, events: &[Event]) -> Result<(), StoreError> {
    let mut all = loaded(store);
    all.extend_from_slice(events);
    append_with(store, events, rows(&all, events))
}

/// Adds events to a store as one batch.
pub(crate) fn append_with(
    store: &mut SqliteStore,
    events: &[Event],
    rows: Rows,
) -> Result<(), StoreError> {
    let Position { term, sequence } = store.position();
    store.append(&Batch { term, sequence: sequence + 1, events: events.to_vec(), rows })
}

pub(crate) fn config(store: &Path) -> ServerConfig {
    ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        store: store.to_owned(),
        core: Config::default(),
        ticks: false,
        security: Security::Plain,
    }
}

/// A server on its own store, and a client of it.
pub(crate) struct Running {
    pub(crate) server: Server,
    pub(crate) sweeps: SweepServiceClient<Channel>,
    pub(crate) channel: Channel,
    pub(crate) directory: tempfile::TempDir,
}

pub(crate) async fn connect(server: &Server) -> Channel {
    Channel::from_shared(format!("http://{}", server.address())).unwrap().connect().await.unwrap()
}

pub(crate) async fn running() -> Running {
    let directory = tempfile::tempdir().unwrap();
    let server = start(config(&directory.path().join("caviar.db"))).await.unwrap();
    let channel = connect(&server).await;
    Running { server, sweeps: SweepServiceClient::new(channel.clone()), channel, directory }
}

pub(crate) fn create(request_id: &str, spec: &SweepSpec) -> v1::CreateSweepRequest {
    let (request_id, spec) = (request_id.to_owned(), Some(encode_spec(spec)));
    v1::CreateSweepRequest { request_id, spec, ..v1::CreateSweepRequest::default() }
}
