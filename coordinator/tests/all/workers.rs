//! `WorkerService` over loopback, with a worker written by hand.

use caviar_common::ids::LeaseId;
use caviar_common::message::{Finished, FromWorker, Grant, Hello, Stored, ToWorker};
use caviar_common::metric::Score;
use caviar_common::outcome::{Job, Outcome};
use caviar_proto::convert::worker::{decode_to_worker, encode_from_worker};
use caviar_proto::v1::worker_admin_service_client::WorkerAdminServiceClient;
use caviar_proto::v1::worker_service_client::WorkerServiceClient;
use caviar_proto::{status, v1};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::support::{EPOCHS, Running, create, hello, metrics, running, spec};

/// A connection, from the worker's side.
struct Line {
    say: mpsc::Sender<v1::WorkerMessage>,
    answers: Streaming<v1::CoordinatorMessage>,
}

impl Line {
    async fn open(channel: &Channel) -> Self {
        let (say, requests) = mpsc::channel(64);
        let answers = WorkerServiceClient::new(channel.clone())
            .work(ReceiverStream::new(requests))
            .await
            .unwrap()
            .into_inner();
        Self { say, answers }
    }

    async fn say(&self, message: FromWorker) {
        self.say.send(encode_from_worker(&message)).await.unwrap();
    }

    async fn hear(&mut self) -> ToWorker {
        decode_to_worker(self.answers.message().await.unwrap().unwrap()).unwrap()
    }

    /// The status that ends it, after any messages before it.
    async fn end(&mut self) -> Status {
        loop {
            match self.answers.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("ended without a status"),
                Err(status) => return status,
            }
        }
    }

    async fn work_on(&self, grant: &Grant) {
        let lease = grant.lease;
        let points: Vec<_> = (1..=EPOCHS)
            .map(|epoch| metrics(epoch, 1.0 / f64::from(grant.trial.0 + epoch)))
            .collect();
        let last = points.last().copied();
        let test = (grant.job == Job::Score).then_some(Score {
            loss: 0.25,
            accuracy: Some(0.75),
            measured: None,
        });
        if grant.job == Job::Train {
            self.say(FromWorker::Report { lease, points, seconds: None }).await;
        }
        self.say(FromWorker::Finished {
            lease,
            result: Finished {
                outcome: Outcome::Completed,
                last,
                test,
                seconds: 1.0,
                memory_bytes: Some(4096),
                model: None,
            },
        })
        .await;
    }
}

#[tokio::test]
async fn a_sweep_runs_from_hello_to_its_test_score() {
    let Running { mut sweeps, channel, server: _server, directory: _directory, .. } =
        running().await;
    sweeps.create_sweep(create("r1", &spec("digits", 4, 2))).await.unwrap();
    let mut watching = sweeps
        .watch_sweep(v1::WatchSweepRequest { sweep: "digits".to_owned() })
        .await
        .unwrap()
        .into_inner();
    let mut line = Line::open(&channel).await;
    line.say(FromWorker::Hello(hello("w", 1, 2, &[]))).await;
    assert!(matches!(line.hear().await, ToWorker::Welcome { lease_ttl_ms: 15_000, .. }));
    let (mut trained, mut acknowledged) = (Vec::new(), Vec::new());
    while acknowledged.len() < 5 {
        match line.hear().await {
            ToWorker::Grant(grant) => {
                trained.push((grant.trial.0, grant.job));
                line.work_on(&grant).await;
            }
            ToWorker::Ack { lease, stored: Stored::Finished } => acknowledged.push(lease),
            ToWorker::Ack { stored, .. } => assert_eq!(stored, Stored::Epoch(EPOCHS)),
            other @ (ToWorker::Welcome { .. }
            | ToWorker::Revoke { .. }
            | ToWorker::Stop { .. }
            | ToWorker::Park { .. }
            | ToWorker::Unpark { .. }
            | ToWorker::Drain) => panic!("{other:?}"),
        }
    }
    trained.sort_by_key(|(trial, work)| (*work == Job::Score, *trial));
    // All have the same accuracy, so the first one wins.
    assert_eq!(
        trained,
        [(0, Job::Train), (1, Job::Train), (2, Job::Train), (3, Job::Train), (0, Job::Score)]
    );
    let mut last = None;
    while let Some(sweep) = watching.message().await.unwrap() {
        last = Some(sweep);
    }
    let last = last.unwrap();
    assert_eq!((last.state(), last.counts.unwrap().completed), (v1::SweepState::Completed, 4));
    let best = sweeps
        .get_best(v1::GetBestRequest { sweep: "digits".to_owned() })
        .await
        .unwrap()
        .into_inner();
    let (trial, test) = (best.trial.unwrap(), best.test.unwrap());
    assert_eq!(
        (trial.trial, trial.curve.len(), test.score.unwrap().accuracy, test.reproduced),
        (0, 2, Some(0.75), true)
    );
    let filter = v1::ListTrialsRequest {
        sweep: "digits".to_owned(),
        order: 1,
        with_curves: true,
        ..v1::ListTrialsRequest::default()
    };
    let listed = sweeps.list_trials(filter).await.unwrap().into_inner().trials;
    assert_eq!(
        listed.iter().map(|t| (t.trial, t.curve.len())).collect::<Vec<_>>(),
        [(0, 2), (1, 2), (2, 2), (3, 2)]
    );
}

#[tokio::test]
async fn a_released_trial_leaves_its_worker_and_starts_again() {
    let Running { mut sweeps, channel, server: _server, directory: _directory, .. } =
        running().await;
    sweeps.create_sweep(create("r1", &spec("digits", 4, 1))).await.unwrap();
    let mut line = Line::open(&channel).await;
    line.say(FromWorker::Hello(hello("w", 1, 1, &[]))).await;
    assert!(matches!(line.hear().await, ToWorker::Welcome { .. }));
    let ToWorker::Grant(first) = line.hear().await else { panic!("no grant") };

    let release = |trial| v1::ReleaseTrialRequest { sweep: "digits".to_owned(), trial };
    let trial = sweeps.release_trial(release(0)).await.unwrap().into_inner();
    assert_eq!(trial.trial, first.trial.0);
    assert!(matches!(trial.state(), v1::TrialState::Queued | v1::TrialState::Running));
    let ToWorker::Revoke { lease, .. } = line.hear().await else { panic!("no revocation") };
    assert_eq!(lease, first.lease);
    let ToWorker::Grant(again) = line.hear().await else { panic!("no second grant") };
    assert_eq!((again.trial, again.attempt.0), (first.trial, 2));

    let absent = sweeps.release_trial(release(9)).await.unwrap_err();
    assert_eq!(absent.code(), Code::NotFound);
    line.work_on(&again).await;
    while !matches!(line.hear().await, ToWorker::Ack { stored: Stored::Finished, .. }) {}
    let refused = sweeps.release_trial(release(0)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().ends_with("is completed, so there is no lease to release"));
}

#[tokio::test]
async fn results_of_no_lease_are_fenced_off() {
    let Running { channel, server: _server, directory: _directory, .. } = running().await;
    let mut line = Line::open(&channel).await;
    line.say(FromWorker::Hello(hello("w", 1, 1, &[77]))).await;
    let ToWorker::Welcome { store, .. } = line.hear().await else { panic!("no Welcome") };
    let mut line = Line::open(&channel).await;
    line.say(FromWorker::Hello(Hello { store: Some(store), ..hello("w", 1, 1, &[77]) })).await;
    assert!(matches!(line.hear().await, ToWorker::Welcome { .. }));
    assert!(matches!(line.hear().await, ToWorker::Revoke { lease: LeaseId(77), .. }));
    line.say(FromWorker::Report {
        lease: LeaseId(78),
        points: vec![metrics(1, 0.5)],
        seconds: None,
    })
    .await;
    assert!(matches!(line.hear().await, ToWorker::Revoke { lease: LeaseId(78), .. }));
}

#[tokio::test]
async fn nonsense_gets_a_typed_error_and_costs_only_its_connection() {
    let Running { channel, server: _server, directory: _directory, .. } = running().await;
    let mut good = Line::open(&channel).await;
    good.say(FromWorker::Hello(hello("good", 1, 1, &[]))).await;
    assert!(matches!(good.hear().await, ToWorker::Welcome { .. }));

    let mut twice = Line::open(&channel).await;
    twice.say(FromWorker::Hello(hello("twice", 1, 1, &[]))).await;
    twice.say(FromWorker::Hello(hello("twice", 1, 1, &[]))).await;
    let status = twice.end().await;
    assert_eq!(
        (status.code(), status.message()),
        (Code::InvalidArgument, "a connection begins with one Hello")
    );

    let mut early = Line::open(&channel).await;
    early.say(FromWorker::Heartbeat { stuck: 0, waiting: Vec::new() }).await;
    assert_eq!(early.end().await.code(), Code::InvalidArgument);

    let mut older = hello("older", 1, 1, &[]);
    older.protocol = 0;
    let mut line = Line::open(&channel).await;
    line.say(FromWorker::Hello(older)).await;
    assert_eq!(line.end().await.code(), Code::FailedPrecondition);

    for (message, field) in malformed() {
        let mut line = Line::open(&channel).await;
        line.say(FromWorker::Hello(hello("bad", 1, 1, &[]))).await;
        line.say.send(message).await.unwrap();
        let status = line.end().await;
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status::problems_of(&status).unwrap().iter().next().unwrap().field, field);
    }

    let mut other = Line::open(&channel).await;
    other.say(FromWorker::Hello(hello("good", 2, 1, &[]))).await;
    assert_eq!(other.end().await.code(), Code::ResourceExhausted, "the name is taken");

    let mut replacing = Line::open(&channel).await;
    replacing.say(FromWorker::Hello(hello("good", 1, 1, &[]))).await;
    assert!(matches!(replacing.hear().await, ToWorker::Welcome { .. }), "the coordinator is alive");
    assert_eq!(good.end().await.code(), Code::Aborted, "and the older connection makes room");
}

fn malformed() -> Vec<(v1::WorkerMessage, &'static str)> {
    use v1::worker_message::Kind;
    let point = v1::EpochMetrics { epoch: 1, ..v1::EpochMetrics::default() };
    let report = v1::Report { lease: 1, points: vec![point], seconds: None };
    let finished = v1::Finished { lease: 1, outcome: 99, ..v1::Finished::default() };
    vec![
        (v1::WorkerMessage { kind: None }, "kind"),
        (v1::WorkerMessage { kind: Some(Kind::Report(report)) }, "report.points[0].train"),
        (v1::WorkerMessage { kind: Some(Kind::Finished(finished)) }, "finished.outcome"),
    ]
}

async fn listed(admin: &mut WorkerAdminServiceClient<Channel>) -> Vec<v1::Worker> {
    let request = v1::ListWorkersRequest::default();
    admin.list_workers(request).await.unwrap().into_inner().workers
}

#[tokio::test]
async fn workers_are_listed_in_pages() {
    let Running { channel, server: _server, directory: _directory, .. } = running().await;
    let mut lines = Vec::new();
    for name in ["c", "a", "e", "b", "d"] {
        let mut line = Line::open(&channel).await;
        line.say(FromWorker::Hello(hello(name, 1, 1, &[]))).await;
        assert!(matches!(line.hear().await, ToWorker::Welcome { .. }));
        lines.push(line);
    }
    let mut admin = WorkerAdminServiceClient::new(channel.clone());
    let (mut pages, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListWorkersRequest { page_size: 2, page_token };
        let page = admin.list_workers(request).await.unwrap().into_inner();
        pages.push(page.workers.iter().map(|w| w.worker.clone()).collect::<String>());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(pages, ["ab", "cd", "e"]);
    let request = v1::ListWorkersRequest { page_size: 2, page_token: "no good".to_owned() };
    let error = admin.list_workers(request).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn workers_are_listed_and_drained() {
    let Running { channel, server, directory: _directory, .. } = running().await;
    let mut admin = WorkerAdminServiceClient::new(channel.clone());
    let mut line = Line::open(&channel).await;
    line.say(FromWorker::Hello(hello("w", 1, 3, &[]))).await;
    assert!(matches!(line.hear().await, ToWorker::Welcome { .. }));
    let workers = listed(&mut admin).await;
    assert_eq!(
        (workers.len(), workers[0].slots, workers[0].connected, workers[0].draining),
        (1, 3, true, false)
    );
    let drained = admin
        .drain_worker(v1::DrainWorkerRequest { worker: "w".to_owned() })
        .await
        .unwrap()
        .into_inner();
    assert!(drained.draining);
    assert_eq!(line.hear().await, ToWorker::Drain);
    let error = admin
        .drain_worker(v1::DrainWorkerRequest { worker: "nobody".to_owned() })
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    let error = admin
        .drain_worker(v1::DrainWorkerRequest { worker: "no good".to_owned() })
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    server.stop().await.unwrap();
    assert_eq!(line.end().await.code(), Code::Unavailable, "a stopping coordinator says so");
}

#[tokio::test]
async fn a_worker_that_hangs_up_is_disconnected_but_keeps_its_lease() {
    let Running { mut sweeps, channel, server: _server, directory: _directory, .. } =
        running().await;
    sweeps.create_sweep(create("r1", &spec("digits", 1, 1))).await.unwrap();
    let mut line = Line::open(&channel).await;
    line.say(FromWorker::Hello(hello("w", 1, 1, &[]))).await;
    let ToWorker::Welcome { store, .. } = line.hear().await else { panic!("no Welcome") };
    let ToWorker::Grant(grant) = line.hear().await else { panic!("no grant") };
    let Line { say, mut answers } = line;
    drop(say);
    assert!(answers.message().await.unwrap().is_none(), "the other side hangs up as well");
    let mut admin = WorkerAdminServiceClient::new(channel.clone());
    let workers = listed(&mut admin).await;
    assert_eq!((workers[0].connected, workers[0].trials.len()), (false, 1));
    let mut line = Line::open(&channel).await;
    line.say(FromWorker::Hello(Hello { store: Some(store), ..hello("w", 1, 1, &[grant.lease.0]) }))
        .await;
    assert!(matches!(line.hear().await, ToWorker::Welcome { .. }));
    line.work_on(&grant).await;
    assert_eq!(
        line.hear().await,
        ToWorker::Ack { lease: grant.lease, stored: Stored::Epoch(EPOCHS) }
    );
    assert_eq!(line.hear().await, ToWorker::Ack { lease: grant.lease, stored: Stored::Finished });
}
