//! Clients and workers that speak the protocol by themselves, and not as they should.

use std::fs;
use std::time::Duration;

use caviar_client::{Channel, Dialer, Finder};
use caviar_common::ids::{Incarnation, LeaseId, Name};
use caviar_common::join::{Role, SERVER_NAME};
use caviar_common::message::{FromWorker, Hello, PROTOCOL, Stored, ToWorker};
use caviar_common::metric::{EpochMetrics, Score};
use caviar_proto::convert::worker::{decode_to_worker, encode_from_worker};
use caviar_proto::v1;
use caviar_proto::v1::sweep_service_client::SweepServiceClient;
use caviar_proto::v1::trial_service_client::TrialServiceClient;
use caviar_proto::v1::worker_service_client::WorkerServiceClient;
use caviar_tests::home::home;
use caviar_tests::processes::caviar_ok;
use caviar_tests::watch::{block_on, dialer};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use tonic::{Code, Streaming};

use crate::Site;

const SWEEP: &str = "name = \"digits\"\nseed = 7\n[data]\nsource = \"builtin:digits\"\n\
                     [fixed]\nepochs = 2\nlayers = 1\nunits = 8\n\
                     [search]\nstrategy = \"random\"\ntrials = 2\nparallelism = 1\n";

const EXTERNAL: &str = "name = \"external\"\n[data]\nsource = \"external\"\n\
                        [space]\nC = { scale = \"log\", low = 1e-3, high = 1e3 }\n\
                        [search]\nstrategy = \"random\"\ntrials = 2\n\
                        [objective]\nmetric = \"error\"\ngoal = \"minimize\"\n";

/// Asks for the sweeps with this header, or none. Returns the message of the status.
pub(crate) fn list_with(site: &Site, authorization: Option<&str>) -> String {
    block_on(async {
        let authority = fs::read(site.trust().join("authority.pem")).expect("the authority");
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(authority))
            .domain_name(SERVER_NAME);
        let endpoint = Endpoint::from_shared(site.url().to_owned()).expect("a URL");
        let channel = endpoint.tls_config(tls).expect("TLS").connect().await.expect("it connects");
        let mut request = tonic::Request::new(v1::ListSweepsRequest::default());
        if let Some(value) = authorization {
            request.metadata_mut().insert("authorization", value.parse().expect("a header"));
        }
        let reply = SweepServiceClient::new(channel).list_sweeps(request).await;
        reply.expect_err("it is refused").message().to_owned()
    })
}

/// A connection, from the worker's side.
struct Line {
    say: mpsc::Sender<v1::WorkerMessage>,
    answers: Streaming<v1::CoordinatorMessage>,
}

impl Line {
    /// Connects as a worker with one slot, which the coordinator accepts.
    async fn open(channel: &Channel, name: &str, incarnation: u64) -> Self {
        let mut line = Self::greet(channel, name, incarnation).await;
        line.hear(|it| matches!(it, ToWorker::Welcome { .. }).then_some(())).await;
        line
    }

    /// Says the first message of a worker with one slot.
    async fn greet(channel: &Channel, name: &str, incarnation: u64) -> Self {
        let (say, requests) = mpsc::channel(64);
        let mut client = WorkerServiceClient::new(channel.clone());
        let hello = Hello {
            protocol: PROTOCOL,
            worker: Name::parse("name", name).expect("a name"),
            incarnation: Incarnation(incarnation),
            slots: 1,
            draining: false,
            can_park: true,
            store: None,
            held: Vec::new(),
        };
        say.send(encode_from_worker(&FromWorker::Hello(hello))).await.expect("it is open");
        let reply = client.work(ReceiverStream::new(requests)).await;
        Self { say, answers: reply.expect("a stream").into_inner() }
    }

    async fn report(&self, lease: LeaseId) {
        let score = Score { loss: 1.0, accuracy: Some(0.5), measured: None };
        let points = vec![EpochMetrics { epoch: 1, train: score, validation: score, spread: None }];
        let report = FromWorker::Report { lease, points, seconds: None };
        self.say.send(encode_from_worker(&report)).await.expect("it is open");
    }

    /// The next message that is wanted.
    async fn hear<T>(&mut self, wanted: impl Fn(ToWorker) -> Option<T>) -> T {
        loop {
            let message = self.answers.message().await.expect("it is open").expect("a message");
            if let Some(found) = wanted(decode_to_worker(message).expect("it can be read")) {
                return found;
            }
        }
    }
}

/// Connects two workers, and lets one report on the lease of the other. Returns the answer. The
/// lease stays with its holder.
pub(crate) fn report_on_the_lease_of_another(site: &Site) -> String {
    let sweep = site.path("digits.toml");
    fs::write(&sweep, SWEEP).expect("it can be written");
    caviar_ok(&["submit", &sweep.to_string_lossy(), "--coordinator", site.url()]);
    block_on(async {
        let dialled = dialer(home(), site.url()).dial(Duration::from_secs(20)).await;
        let channel = dialled.expect("the coordinator answers");
        let mut holder = Line::open(&channel, "holder", 1).await;
        let grant = |it| if let ToWorker::Grant(grant) = it { Some(grant.lease) } else { None };
        let lease = holder.hear(grant).await;
        let mut other = Line::open(&channel, "other", 2).await;
        other.report(lease).await;
        let revoked = |it| {
            let ToWorker::Revoke { lease: of, reason } = it else { return None };
            (of == lease).then_some(reason)
        };
        let answer = other.hear(revoked).await;

        holder.report(lease).await;
        let stored = |it| {
            assert!(!matches!(it, ToWorker::Revoke { .. }), "the holder has lost its lease");
            let ToWorker::Ack { lease: of, stored } = it else { return None };
            (of == lease).then_some(stored)
        };
        let stored = holder.hear(stored).await;
        assert_eq!(stored, Stored::Epoch(1));
        answer
    })
}

/// Connects a worker, breaks its connection, and lets a process with another token say its name.
/// Returns the answer. The worker keeps its lease.
pub(crate) fn say_the_name_of_another_worker(site: &Site) -> String {
    let sweep = site.path("digits.toml");
    fs::write(&sweep, SWEEP).expect("it can be written");
    caviar_ok(&["submit", &sweep.to_string_lossy(), "--coordinator", site.url()]);
    let other = site.token("worker", &[]);
    block_on(async {
        let dialled = dialer(home(), site.url()).dial(Duration::from_secs(20)).await;
        let channel = dialled.expect("the coordinator answers");
        let mut mine = Line::open(&channel, "node1", 1).await;
        let granted = |it| matches!(it, ToWorker::Grant(_)).then_some(());
        mine.hear(granted).await;
        drop(mine);
        let other = dial(&other).await;
        let mut other = Line::greet(&other, "node1", 2).await;
        let status = other.answers.message().await.expect_err("it is refused");
        // The number of the process shows that it is the worker itself.
        let mut mine = Line::open(&channel, "node1", 1).await;
        mine.hear(granted).await;
        status.message().to_owned()
    })
}

/// Lets a client ask for a trial, and another one, with a token of its own, report on it and end
/// it. Returns both answers. The trial stays with the first one.
pub(crate) fn use_the_lease_of_another_token(site: &Site) -> [String; 2] {
    let sweep = site.path("external.toml");
    fs::write(&sweep, EXTERNAL).expect("it can be written");
    caviar_ok(&["submit", &sweep.to_string_lossy(), "--coordinator", site.url()]);
    let [mine, other] = ["worker", "submit"].map(|role| site.token(role, &[]));
    block_on(async {
        let mut mine = trials(&mine).await;
        let mut other = trials(&other).await;
        let ask = v1::AskTrialsRequest {
            sweep: "external".to_owned(),
            request_id: "a".to_owned(),
            client: "python".to_owned(),
            count: 1,
            ..v1::AskTrialsRequest::default()
        };
        let first = mine.ask_trials(ask.clone()).await.expect("a trial").into_inner().trials;
        // The same request with another token is another client's.
        let second = other.ask_trials(ask).await.expect("a trial").into_inner().trials;
        assert_ne!(first[0].trial, second[0].trial);
        let (trial, lease) = (first[0].trial, first[0].lease);
        let metrics = std::collections::HashMap::from([("error".to_owned(), 0.5)]);
        let report = v1::ReportTrialRequest {
            sweep: "external".to_owned(),
            trial,
            lease,
            epoch: 1,
            metrics: metrics.clone().into_iter().collect(),
            seconds: None,
        };
        let tell = v1::TellTrialRequest {
            sweep: "external".to_owned(),
            trial,
            lease,
            outcome: v1::Outcome::Completed.into(),
            epoch: 1,
            metrics: metrics.into_iter().collect(),
            ..v1::TellTrialRequest::default()
        };
        let denied = [
            other.report_trial(report).await.expect_err("it is refused"),
            other.tell_trial(tell.clone()).await.expect_err("it is refused"),
        ];
        assert!(denied.iter().all(|status| status.code() == Code::PermissionDenied));
        mine.tell_trial(tell).await.expect("the lease is still in force");
        denied.map(|status| status.message().to_owned())
    })
}

/// A client of `TrialService` with the join string of this file.
async fn trials(join: &str) -> TrialServiceClient<Channel> {
    TrialServiceClient::new(dial(join).await)
}

/// A connection with the join string of this file.
async fn dial(join: &str) -> Channel {
    let finder = Finder { join: Some(join.into()), ..Finder::default() };
    let target = finder.find(Role::Admin).expect("a join string");
    let dialer = Dialer::new(target, None).expect("an address");
    dialer.dial(Duration::from_secs(20)).await.expect("the coordinator answers")
}
