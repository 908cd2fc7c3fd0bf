//! A whole worker that trains the bundled digits, against a coordinator that the test plays over
//! real gRPC. No test sleeps: every step waits for a message of the other side.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should panic where it fails"
)]

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use caviar_common::assignment::{Assignment, Value};
use caviar_common::data::{DataSpec, Task};
use caviar_common::ids::{AttemptNumber, LeaseId, Name, StoreId, SweepId, TrialNumber};
use caviar_common::message::{
    FromWorker, Grant, Hello, KeepRule, PROTOCOL, Release, Stored, ToWorker,
};
use caviar_common::metric::EpochMetrics;
use caviar_common::outcome::{Job, Outcome};
use caviar_common::spec::Objective;
use caviar_proto::convert::worker::{decode_from_worker, encode_to_worker};
use caviar_proto::v1::coordinator_message::Kind;
use caviar_proto::v1::worker_service_server::{WorkerService, WorkerServiceServer};
use caviar_proto::v1::{CoordinatorMessage, WorkerMessage};
use caviar_worker::caviar_client::{Dialer, SharedDialer, Target};
use caviar_worker::{BlobPlaces, CheckpointConfig, LeaveRules, WorkerConfig, WorkerError, run};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::Stream;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

const PATIENCE: Duration = Duration::from_secs(60);

/// A coordinator without encryption.
fn plain(address: &str) -> SharedDialer {
    Dialer::new(Target::plain(&format!("http://{address}")).unwrap(), None).unwrap().into()
}

/// Passes every call of `Work` to the test.
struct Service {
    sessions: mpsc::Sender<Session>,
}

/// One call of `Work`, played by the test.
struct Session {
    received: Streaming<WorkerMessage>,
    sender: mpsc::Sender<Result<CoordinatorMessage, Status>>,
}

#[tonic::async_trait]
impl WorkerService for Service {
    type WorkStream = Pin<Box<dyn Stream<Item = Result<CoordinatorMessage, Status>> + Send>>;

    async fn work(
        &self,
        request: Request<Streaming<WorkerMessage>>,
    ) -> Result<Response<Self::WorkStream>, Status> {
        let (sender, sent) = mpsc::channel(16);
        let session = Session { received: request.into_inner(), sender };
        self.sessions.send(session).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(sent))))
    }
}

impl Session {
    async fn send(&self, message: ToWorker) {
        self.sender.send(Ok(encode_to_worker(&message))).await.unwrap();
    }

    async fn ack(&self, lease: u64, stored: Stored) {
        self.send(ToWorker::Ack { lease: LeaseId(lease), stored }).await;
    }

    /// The next message, even a heartbeat; `None` once the worker has closed its side.
    async fn next_or_heartbeat(&mut self) -> Option<FromWorker> {
        let message = tokio::time::timeout(PATIENCE, self.received.message())
            .await
            .expect("the worker is silent")
            .unwrap();
        message.map(|message| decode_from_worker(message).unwrap())
    }

    async fn next(&mut self) -> Option<FromWorker> {
        loop {
            match self.next_or_heartbeat().await {
                Some(FromWorker::Heartbeat { .. }) => {}
                other => return other,
            }
        }
    }

    /// Answers the worker's Hello and returns it.
    async fn greet(&mut self) -> Hello {
        self.greet_with(5_000).await
    }

    async fn greet_with(&mut self, lease_ttl_ms: u64) -> Hello {
        let Some(FromWorker::Hello(hello)) = self.next().await else { panic!("no Hello") };
        self.send(ToWorker::Welcome {
            heartbeat_ms: 20,
            lease_ttl_ms,
            store: StoreId(1),
            keeps_checkpoints: true,
        })
        .await;
        hello
    }

    async fn report(&mut self, lease: u64) -> Vec<EpochMetrics> {
        match self.next().await {
            Some(FromWorker::Report { lease: of, points, .. }) if of == LeaseId(lease) => points,
            other => panic!("{other:?}"),
        }
    }

    /// Acknowledges the result, and returns it with the epochs that were reported before it.
    async fn until_finished(&mut self, lease: u64) -> (Vec<EpochMetrics>, Outcome) {
        let mut all = Vec::new();
        loop {
            match self.next().await {
                Some(FromWorker::Report { lease: of, points, .. }) if of == LeaseId(lease) => {
                    all.extend(points)
                }
                Some(FromWorker::Finished { lease: of, result }) if of == LeaseId(lease) => {
                    assert_eq!(result.last, all.last().copied());
                    self.ack(lease, Stored::Finished).await;
                    return (all, result.outcome);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// The coordinator that the test plays.
struct Coordinator {
    address: std::net::SocketAddr,
    sessions: mpsc::Receiver<Session>,
    server: JoinHandle<()>,
}

impl Coordinator {
    async fn listen(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, sessions) = mpsc::channel(4);
        let service = WorkerServiceServer::new(Service { sessions: sender });
        let server = tokio::spawn(async move {
            Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .unwrap();
        });
        Self { address, sessions, server }
    }

    async fn session(&mut self) -> Session {
        tokio::time::timeout(PATIENCE, self.sessions.recv())
            .await
            .expect("the worker does not connect")
            .unwrap()
    }
}

/// A connection that the test can cut. What either side has sent and the other has not received is
/// lost then.
struct Wire {
    address: std::net::SocketAddr,
    listener: Arc<TcpListener>,
    carrying: JoinHandle<()>,
    target: std::net::SocketAddr,
}

impl Wire {
    async fn to(target: std::net::SocketAddr) -> Self {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let carrying = Self::carry(Arc::clone(&listener), target);
        Self { address: listener.local_addr().unwrap(), listener, carrying, target }
    }

    /// Carries one connection at a time.
    fn carry(listener: Arc<TcpListener>, target: std::net::SocketAddr) -> JoinHandle<()> {
        tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let mut far = TcpStream::connect(target).await.unwrap();
                let _broken = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            }
        })
    }

    async fn cut(&mut self) {
        self.carrying.abort();
        let aborted = (&mut self.carrying).await;
        assert!(aborted.unwrap_err().is_cancelled());
        self.carrying = Self::carry(Arc::clone(&self.listener), self.target);
    }
}

struct Worker {
    stop: oneshot::Sender<()>,
    run: JoinHandle<Result<(), WorkerError>>,
}

impl Worker {
    fn start(address: std::net::SocketAddr, slots: u32) -> Self {
        Self::start_with(address, slots, LeaveRules::default())
    }

    fn start_with(address: std::net::SocketAddr, slots: u32, leave: LeaveRules) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let config = WorkerConfig {
            coordinator: plain(&address.to_string()),
            name: Name::parse("name", "w1").unwrap(),
            slots,
            memory: None,
            checkpoints: CheckpointConfig::default(),
            blobs: BlobPlaces::default(),
            leave,
        };
        let run = tokio::spawn(run(config, async move {
            // A test that drops the sender wants the worker to continue.
            if stopped.await.is_err() {
                std::future::pending().await
            }
        }));
        Self { stop, run }
    }

    async fn left(self) {
        tokio::time::timeout(PATIENCE, self.run)
            .await
            .expect("the worker does not leave")
            .unwrap()
            .unwrap();
    }
}

fn grant(lease: u64, epochs: i64) -> ToWorker {
    let data = DataSpec {
        source: "builtin:digits".into(),
        task: Some(Task::Classification),
        validation: 0.2,
        test: 0.1,
        ..DataSpec::default()
    };
    let digest = caviar_data::prepare(&data, 7).unwrap().1.digest;
    let fixed =
        [("epochs", Value::Int(epochs)), ("units", Value::Int(8)), ("layers", Value::Int(1))];
    ToWorker::Grant(Box::new(Grant {
        lease: LeaseId(lease),
        sweep: SweepId(1),
        sweep_name: Name::parse("name", "digits").unwrap(),
        trial: TrialNumber(0),
        attempt: AttemptNumber(1),
        job: Job::Train,
        seed: 7,
        data,
        digest,
        block: None,
        fixed: fixed.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        assignment: Assignment::default(),
        checkpoint: None,
        objective: Objective::default_of(Task::Classification),
        keep: KeepRule::Nothing,
        replays: None,
    }))
}

fn epochs(points: &[EpochMetrics]) -> Vec<u32> {
    points.iter().map(|point| point.epoch).collect()
}

#[tokio::test]
async fn a_trial_continues_when_its_connection_breaks() {
    let mut coordinator = Coordinator::listen("127.0.0.1:0").await;
    let mut wire = Wire::to(coordinator.address).await;
    let worker = Worker::start(wire.address, 2);
    let mut session = coordinator.session().await;
    let hello = session.greet().await;
    assert_eq!(
        (hello.protocol, hello.worker.as_str(), hello.slots, hello.draining),
        (PROTOCOL, "w1", 2, false)
    );
    assert_eq!(hello.held, []);
    session.send(grant(5, 400)).await;
    let stored = session.report(5).await.last().unwrap().epoch;
    session.ack(5, Stored::Epoch(stored)).await;
    wire.cut().await;

    let mut session = coordinator.session().await;
    let again = session.greet().await;
    assert_eq!((again.incarnation, again.held), (hello.incarnation, vec![LeaseId(5)]));
    let (points, outcome) = session.until_finished(5).await;
    // The acknowledgement may have been lost with the connection, but no epoch was.
    assert!(
        points[0].epoch <= stored + 1,
        "{stored} epochs are stored, but the next report starts at {}",
        points[0].epoch
    );
    assert_eq!(epochs(&points), (points[0].epoch..=400).collect::<Vec<_>>());
    assert_eq!(outcome, Outcome::Completed);

    session.send(ToWorker::Drain).await;
    assert_eq!(session.next().await, None);
    drop(session);
    worker.left().await;
}

#[tokio::test]
async fn a_worker_trains_without_a_coordinator_and_delivers_everything_later() {
    let mut coordinator = Coordinator::listen("127.0.0.1:0").await;
    let address = coordinator.address;
    let worker = Worker::start(address, 1);
    let mut session = coordinator.session().await;
    session.greet().await;
    session.send(grant(5, 40)).await;
    session.report(5).await;
    drop(session);
    coordinator.server.abort();
    let _aborted = coordinator.server.await;

    let mut coordinator = Coordinator::listen(&address.to_string()).await;
    let mut session = coordinator.session().await;
    assert_eq!(session.greet().await.held, [LeaseId(5)]);
    let (points, outcome) = session.until_finished(5).await;
    // Nothing was acknowledged, so everything is sent again.
    assert_eq!(epochs(&points), (1..=40).collect::<Vec<_>>());
    assert_eq!(outcome, Outcome::Completed);
    worker.stop.send(()).unwrap();
    assert_eq!(session.next().await, None);
    drop(session);
    worker.run.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_worker_waits_for_a_coordinator_that_is_not_there_yet() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let worker = Worker::start(address, 1);
    // The first attempt fails.
    drop(listener.accept().await.unwrap());
    drop(listener);
    let mut coordinator = Coordinator::listen(&address.to_string()).await;
    let mut session = coordinator.session().await;
    session.greet().await;
    worker.stop.send(()).unwrap();
    assert_eq!(session.next().await, None);
    drop(session);
    worker.run.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stopped_worker_releases_unfinished_trials_and_leaves() {
    let mut coordinator = Coordinator::listen("127.0.0.1:0").await;
    let worker = Worker::start(coordinator.address, 1);
    let mut session = coordinator.session().await;
    session.greet().await;
    session.send(grant(5, 100_000)).await;
    session.report(5).await;
    worker.stop.send(()).unwrap();
    let released = loop {
        match session.next().await {
            Some(FromWorker::Report { .. }) => {}
            other => break other,
        }
    };
    assert_eq!(
        released,
        Some(FromWorker::Released { lease: LeaseId(5), release: Release::Drained })
    );
    assert_eq!(session.next().await, None);
    drop(session);
    worker.run.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stopped_worker_does_not_wait_indefinitely_for_an_acknowledgement() {
    let mut coordinator = Coordinator::listen("127.0.0.1:0").await;
    let worker = Worker::start(coordinator.address, 1);
    let mut session = coordinator.session().await;
    session.greet().await;
    session.send(grant(5, 1)).await;
    session.report(5).await;
    assert!(matches!(session.next().await, Some(FromWorker::Finished { .. })));
    worker.stop.send(()).unwrap();
    tokio::time::timeout(PATIENCE, worker.run)
        .await
        .expect("the worker does not leave")
        .unwrap()
        .unwrap();
    assert_eq!(session.next().await, None);
}

#[tokio::test]
async fn a_revoked_trial_ends_and_frees_its_slot() {
    let mut coordinator = Coordinator::listen("127.0.0.1:0").await;
    let worker = Worker::start(coordinator.address, 1);
    let mut session = coordinator.session().await;
    session.greet().await;
    session.send(grant(5, 100_000)).await;
    session.report(5).await;
    session.send(ToWorker::Revoke { lease: LeaseId(5), reason: "stopped".into() }).await;
    session.send(grant(6, 3)).await;
    let first = loop {
        match session.next().await {
            Some(FromWorker::Report { lease: LeaseId(5), .. }) => {}
            Some(FromWorker::Report { lease: LeaseId(6), points, .. }) => break points,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(first[0].epoch, 1);
    session.send(ToWorker::Drain).await;
    drop(session);
    let mut session = coordinator.session().await;
    let hello = session.greet().await;
    assert_eq!((hello.held, hello.draining), (vec![LeaseId(6)], true));
    assert_eq!(session.until_finished(6).await.1, Outcome::Completed);
    assert_eq!(session.next().await, None);
    drop(session);
    worker.left().await;
}

#[tokio::test]
async fn stopped_and_parked_trials_free_their_slots() {
    let mut coordinator = Coordinator::listen("127.0.0.1:0").await;
    let worker = Worker::start(coordinator.address, 1);
    let mut session = coordinator.session().await;
    assert!(session.greet().await.can_park);
    session.send(grant(5, 100_000)).await;
    session.report(5).await;
    session.send(ToWorker::Stop { lease: LeaseId(5), reason: "2 of 2".into() }).await;
    session.send(grant(6, 300)).await;
    let mut before = loop {
        match session.next().await {
            Some(FromWorker::Report { lease: LeaseId(5), .. }) => {}
            Some(FromWorker::Report { lease: LeaseId(6), points, .. }) => break points,
            other => panic!("{other:?}"),
        }
    };
    session.send(ToWorker::Park { lease: LeaseId(6) }).await;
    session.send(grant(7, 3)).await;
    loop {
        match session.next().await {
            // The epoch that was in progress. The only slot belongs to the other trial now.
            Some(FromWorker::Report { lease: LeaseId(6), points, .. }) => before.extend(points),
            Some(FromWorker::Report { lease: LeaseId(7), .. }) => {}
            Some(FromWorker::Finished { lease: LeaseId(7), .. }) => break,
            other => panic!("{other:?}"),
        }
    }
    session.ack(7, Stored::Finished).await;
    session.send(ToWorker::Unpark { lease: LeaseId(6) }).await;
    let (after, outcome) = loop {
        match session.next().await {
            Some(FromWorker::Report { lease: LeaseId(6), points, .. }) => before.extend(points),
            Some(FromWorker::Finished { lease: LeaseId(6), result }) => {
                break (result.last, result.outcome);
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((epochs(&before), after), ((1..=300).collect::<Vec<_>>(), before.last().copied()));
    assert_eq!(outcome, Outcome::Completed);
    session.ack(6, Stored::Finished).await;
    session.send(ToWorker::Drain).await;
    assert_eq!(session.next().await, None);
    drop(session);
    worker.left().await;
}

#[tokio::test]
async fn heartbeats_follow_the_interval_of_the_coordinator() {
    let mut coordinator = Coordinator::listen("127.0.0.1:0").await;
    let worker = Worker::start(coordinator.address, 1);
    let mut session = coordinator.session().await;
    session.greet().await;
    for _ in 0..5 {
        assert_eq!(
            session.next_or_heartbeat().await,
            Some(FromWorker::Heartbeat { stuck: 0, waiting: Vec::new() })
        );
    }
    worker.stop.send(()).unwrap();
    assert_eq!(session.next().await, None);
    drop(session);
    worker.run.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_refused_worker_keeps_trying_and_can_be_stopped() {
    let mut coordinator = Coordinator::listen("127.0.0.1:0").await;
    let worker = Worker::start(coordinator.address, 1);
    let mut session = coordinator.session().await;
    // With short leases, the worker retries soon after a refusal.
    session.greet_with(400).await;
    drop(session);
    for _ in 0..3 {
        let mut session = coordinator.session().await;
        assert!(matches!(session.next().await, Some(FromWorker::Hello(_))));
        session
            .sender
            .send(Err(Status::failed_precondition("protocol 1 is not supported")))
            .await
            .unwrap();
    }
    let mut session = coordinator.session().await;
    assert!(!worker.run.is_finished());
    assert!(matches!(session.next().await, Some(FromWorker::Hello(_))));
    worker.stop.send(()).unwrap();
    assert_eq!(session.next().await, None);
    drop(session);
    worker.run.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_grant_that_cannot_be_read_is_given_back_on_the_same_connection() {
    let mut coordinator = Coordinator::listen("127.0.0.1:0").await;
    let worker = Worker::start(coordinator.address, 1);
    let mut session = coordinator.session().await;
    session.greet().await;
    // A kind of work that a later release may have.
    let mut message = encode_to_worker(&grant(1, 2));
    let Some(Kind::Grant(of_later_release)) = &mut message.kind else { panic!("no grant") };
    of_later_release.work = 99;
    session.sender.send(Ok(message)).await.unwrap();
    let Some(FromWorker::Released { lease: LeaseId(1), release: Release::Unable { message } }) =
        session.next().await
    else {
        panic!("the lease was not given back")
    };
    assert!(
        message.starts_with("it does not understand the grant: grant.work = 99: "),
        "{message}"
    );
    session.send(grant(2, 1)).await;
    assert_eq!(session.until_finished(2).await.1, Outcome::Completed);
    session.send(ToWorker::Drain).await;
    assert_eq!(session.next().await, None);
    drop(session);
    worker.left().await;
}

#[tokio::test]
async fn an_idle_worker_says_that_it_leaves_and_leaves() {
    let mut coordinator = Coordinator::listen("127.0.0.1:0").await;
    let idle = LeaveRules { idle_timeout: Some(Duration::from_millis(500)), time_limit: None };
    let worker = Worker::start_with(coordinator.address, 1, idle);
    let mut session = coordinator.session().await;
    assert!(!session.greet().await.draining);
    // A worker with a trial is not idle.
    session.send(grant(7, 2)).await;
    session.until_finished(7).await;
    // Its connection ends, and the next one says that it takes no grants.
    assert_eq!(session.next().await, None);
    drop(session);
    let mut session = coordinator.session().await;
    let hello = session.greet().await;
    assert!(hello.draining && hello.held.is_empty(), "{hello:?}");
    assert_eq!(session.next().await, None);
    drop(session);
    worker.left().await;
}

#[tokio::test]
async fn before_its_time_limit_a_worker_drains_and_then_gives_its_trials_back() {
    let mut coordinator = Coordinator::listen("127.0.0.1:0").await;
    let limit = LeaveRules { idle_timeout: None, time_limit: Some(Duration::from_secs(2)) };
    let worker = Worker::start_with(coordinator.address, 2, limit);
    let mut session = coordinator.session().await;
    session.greet().await;
    session.send(grant(7, 100_000)).await;
    while let Some(message) = session.next().await {
        assert!(matches!(message, FromWorker::Report { .. }), "{message:?}");
    }
    drop(session);
    let mut session = coordinator.session().await;
    let hello = session.greet().await;
    assert_eq!((hello.draining, hello.held), (true, vec![LeaseId(7)]));
    // A grant that comes too late goes back.
    session.send(grant(8, 1)).await;
    let mut released = Vec::new();
    while let Some(message) = session.next().await {
        if let FromWorker::Released { lease, release } = message {
            assert_eq!(release, Release::Drained);
            released.push(lease.0);
        }
    }
    drop(session);
    assert_eq!(released, [8, 7]);
    worker.left().await;
}
