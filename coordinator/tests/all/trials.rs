//! `TrialService` over loopback: ask and tell.

use std::future::Future;
use std::task::Poll;
use std::time::Duration;

use caviar_common::ask::{Ask, AskKey, Tell};
use caviar_common::data::DataSummary;
use caviar_common::metric::NamedMetrics;
use caviar_common::outcome::Outcome;
use caviar_common::spec::{Parallelism, SweepSpec, file};
use caviar_coordinator::driver::{self, Driver};
use caviar_coordinator::start;
use caviar_coordinator::store::sqlite::SqliteStore;
use caviar_core::input::{ClientReply, Config, Input, Reply, Waiter};
use caviar_proto::v1::sweep_service_client::SweepServiceClient;
use caviar_proto::v1::trial_service_client::TrialServiceClient;
use caviar_proto::{status, v1};
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{Running, config, connect, create, name, running, spec};

fn external(trials: u32) -> SweepSpec {
    let text = format!(
        "name = \"svm\"\n[data]\nsource = \"external\"\n[fixed]\nepochs = 9\n\
         [space]\nC = {{ scale = \"log\", low = 1e-3, high = 1e3 }}\n\
         [search]\nstrategy = \"random\"\ntrials = {trials}\nparallelism = 2\n\
         [objective]\nmetric = \"accuracy\"\ngoal = \"maximize\"\n"
    );
    file::parse(&text).unwrap().spec
}

fn ask(request_id: &str, wait_ms: u64) -> v1::AskTrialsRequest {
    let (sweep, request_id, client) = ("svm".to_owned(), request_id.to_owned(), "test".to_owned());
    v1::AskTrialsRequest { sweep, request_id, client, count: 1, lease_ms: 60_000, wait_ms }
}

fn metrics(accuracy: f64) -> std::collections::BTreeMap<String, f64> {
    [("accuracy".to_owned(), accuracy), ("seconds".to_owned(), 0.5)].into()
}

fn report(of: &v1::AskedTrial, epoch: u32, accuracy: f64) -> v1::ReportTrialRequest {
    v1::ReportTrialRequest {
        sweep: "svm".to_owned(),
        trial: of.trial,
        lease: of.lease,
        epoch,
        metrics: metrics(accuracy),
        seconds: Some(0.25),
    }
}

fn tell(of: &v1::AskedTrial, epoch: u32, accuracy: f64) -> v1::TellTrialRequest {
    let (sweep, outcome) = ("svm".to_owned(), v1::Outcome::Completed.into());
    v1::TellTrialRequest {
        sweep,
        trial: of.trial,
        lease: of.lease,
        outcome,
        epoch,
        metrics: metrics(accuracy),
        seconds: 1.5,
        message: None,
    }
}

async fn ask_one(trials: &mut TrialServiceClient<Channel>, request_id: &str) -> v1::AskedTrial {
    trials.ask_trials(ask(request_id, 0)).await.unwrap().into_inner().trials.remove(0)
}

#[tokio::test]
async fn a_program_in_any_language_runs_a_sweep() {
    let Running { mut sweeps, channel, server, directory: _directory } = running().await;
    let sweep = sweeps.create_sweep(create("make", &external(3))).await.unwrap().into_inner();
    assert_eq!(sweep.spec.unwrap().data.unwrap().source.as_deref(), Some("external"));
    let mut trials = TrialServiceClient::new(channel.clone());
    for number in 0..3_u32 {
        let of = ask_one(&mut trials, &format!("r{number}")).await;
        assert_eq!(
            (of.trial, of.epochs, of.assignment.as_ref().unwrap().values.len()),
            (number, 9, 1)
        );
        let again = ask_one(&mut trials, &format!("r{number}")).await;
        assert_eq!(of, again);
        let verdict =
            trials.report_trial(report(&of, 1, 0.5)).await.unwrap().into_inner().verdict();
        assert_eq!(verdict, v1::Verdict::Continue);
        for _ in 0..2 {
            let told = trials
                .tell_trial(tell(&of, 2, 0.5 + f64::from(number) / 10.0))
                .await
                .unwrap()
                .into_inner();
            assert_eq!(told.state(), v1::TrialState::Completed);
        }
    }
    assert!(trials.ask_trials(ask("r3", 60_000)).await.unwrap().into_inner().over);
    let best =
        sweeps.get_best(v1::GetBestRequest { sweep: "svm".to_owned() }).await.unwrap().into_inner();
    let best = best.trial.unwrap();
    assert_eq!((best.trial, best.objective, best.worker.as_deref()), (2, Some(0.7), Some("test")));
    assert_eq!(
        best.curve.iter().map(|point| point.metrics.clone()).collect::<Vec<_>>(),
        [metrics(0.5), metrics(0.7)]
    );
    let service =
        tonic_health::pb::HealthCheckRequest { service: "caviar.v1.TrialService".to_owned() };
    let health = HealthClient::new(channel).check(service).await.unwrap().into_inner();
    assert_eq!(health.status(), tonic_health::pb::health_check_response::ServingStatus::Serving);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_question_waits_for_an_answer() {
    let Running { mut sweeps, channel, server: _server, directory: _directory } = running().await;
    sweeps.create_sweep(create("make", &external(3))).await.unwrap();
    let mut trials = TrialServiceClient::new(channel);
    let (first, second) = (ask_one(&mut trials, "a").await, ask_one(&mut trials, "b").await);
    let none = trials.ask_trials(ask("c", 0)).await.unwrap().into_inner();
    assert!(none.trials.is_empty() && !none.over);
    // In virtual time, the first trial is decided first. Then a place is free.
    let mut waiting = trials.clone();
    let waiting = tokio::spawn(async move { waiting.ask_trials(ask("c", 60_000)).await });
    trials.tell_trial(tell(&second, 1, 0.5)).await.unwrap();
    trials.tell_trial(tell(&first, 1, 0.5)).await.unwrap();
    let third = waiting.await.unwrap().unwrap().into_inner().trials.remove(0);
    assert_eq!(third.trial, 2);
    // The sweep ends while a client waits.
    let mut waiting = trials.clone();
    let waiting = tokio::spawn(async move { waiting.ask_trials(ask("d", 60_000)).await });
    trials.tell_trial(tell(&third, 1, 0.5)).await.unwrap();
    assert!(waiting.await.unwrap().unwrap().into_inner().over);
}

#[tokio::test]
async fn a_restart_in_the_middle_changes_nothing() {
    let Running { mut sweeps, channel, server, directory } = running().await;
    sweeps.create_sweep(create("make", &external(2))).await.unwrap();
    let mut trials = TrialServiceClient::new(channel);
    let of = ask_one(&mut trials, "a").await;
    trials.report_trial(report(&of, 1, 0.5)).await.unwrap();
    server.stop().await.unwrap();
    let server = start(config(&directory.path().join("caviar.db"))).await.unwrap();
    let channel = connect(&server).await;
    let mut trials = TrialServiceClient::new(channel.clone());
    assert_eq!(ask_one(&mut trials, "a").await, of);
    trials.report_trial(report(&of, 1, 0.5)).await.unwrap();
    trials.tell_trial(tell(&of, 2, 0.75)).await.unwrap();
    let mut sweeps = SweepServiceClient::new(channel);
    let trial = sweeps
        .get_trial(v1::GetTrialRequest { sweep: "svm".to_owned(), trial: 0 })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (trial.state(), trial.objective, trial.curve.len()),
        (v1::TrialState::Completed, Some(0.75), 2)
    );
}

#[tokio::test]
async fn wrong_words_are_told_what_is_wrong() {
    let Running { mut sweeps, channel, server: _server, directory: _directory } = running().await;
    sweeps.create_sweep(create("make", &external(2))).await.unwrap();
    sweeps.create_sweep(create("other", &spec("digits", 4, 2))).await.unwrap();
    let mut trials = TrialServiceClient::new(channel);
    let of = ask_one(&mut trials, "a").await;
    let fields = |error: &tonic::Status| -> Vec<String> {
        assert_eq!(error.code(), Code::InvalidArgument);
        status::problems_of(error).unwrap().iter().map(|p| p.field.clone()).collect()
    };
    let error = trials
        .ask_trials(v1::AskTrialsRequest { client: "a b".to_owned(), ..ask("b", 0) })
        .await
        .unwrap_err();
    assert_eq!(fields(&error), ["client"]);
    let error = trials
        .ask_trials(v1::AskTrialsRequest { sweep: "digits".to_owned(), ..ask("b", 0) })
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
    let error = trials
        .ask_trials(v1::AskTrialsRequest { sweep: "swm".to_owned(), ..ask("b", 0) })
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (Code::NotFound, "there is no sweep \"swm\"; hint: did you mean svm?")
    );
    let error = trials
        .report_trial(v1::ReportTrialRequest { epoch: 0, ..report(&of, 1, 0.5) })
        .await
        .unwrap_err();
    assert_eq!(fields(&error), ["epoch"]);
    let without = [("loss".to_owned(), 1.0)].into();
    let error = trials
        .report_trial(v1::ReportTrialRequest { metrics: without, ..report(&of, 1, 0.5) })
        .await
        .unwrap_err();
    assert_eq!(fields(&error), ["metrics"]);
    let error = trials
        .report_trial(v1::ReportTrialRequest { trial: 9, ..report(&of, 1, 0.5) })
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    let error = trials
        .report_trial(v1::ReportTrialRequest { lease: of.lease + 99, ..report(&of, 1, 0.5) })
        .await
        .unwrap_err();
    assert_eq!(error.code(), stale(), "{error}");
    let error = trials
        .tell_trial(v1::TellTrialRequest { outcome: 0, ..tell(&of, 1, 0.5) })
        .await
        .unwrap_err();
    assert_eq!(fields(&error), ["outcome"]);
}

fn stale() -> Code {
    status::new(caviar_common::error::ErrorClass::Stale, "").code()
}

#[tokio::test]
async fn programs_that_wait_on_a_connection_do_not_delay_its_reports() {
    let Running { mut sweeps, channel, server: _server, directory: _directory } = running().await;
    sweeps.create_sweep(create("make", &external(9))).await.unwrap();
    let mut trials = TrialServiceClient::new(channel.clone());
    let first = ask_one(&mut trials, "first").await;
    let second = ask_one(&mut trials, "second").await;
    // All trials in flight are taken, so these wait. They are sent before the report: each poll
    // lets the connection and the server go on.
    let mut waiting: Vec<_> = (0..300)
        .map(|i| {
            let mut trials = trials.clone();
            Box::pin(async move { trials.ask_trials(ask(&format!("w{i}"), 60_000)).await })
        })
        .collect();
    for _ in 0..20 {
        for request in &mut waiting {
            let poll = std::future::poll_fn(|context| Poll::Ready(request.as_mut().poll(context)));
            assert!(poll.await.is_pending());
            tokio::task::yield_now().await;
        }
    }
    let verdict = trials.report_trial(report(&first, 1, 0.5));
    let verdict = tokio::time::timeout(Duration::from_secs(30), verdict).await;
    assert_eq!(verdict.unwrap().unwrap().into_inner().verdict(), v1::Verdict::Continue);
    trials.tell_trial(tell(&second, 1, 0.5)).await.unwrap();
}

#[tokio::test]
async fn a_client_that_is_gone_gets_no_trial_before_one_that_waits() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&directory.path().join("caviar.db")).unwrap();
    let Driver { handle, mut ended } = driver::start(Config::default(), Box::new(store)).unwrap();
    let (request_id, spec) = (name("make"), Box::new(external(9)));
    let input =
        Input::CreateSweep { request_id, spec, data: DataSummary::default(), for_slots: None };
    let Reply::Sweep(sweep) = handle.apply(input).await.unwrap().unwrap() else { panic!("made") };
    let send = async |request_id: &str| {
        let id = handle.next_waiter();
        let (request_id, client) = (name(request_id), name("c"));
        let ask =
            Ask { key: AskKey { request_id, client, token: None }, count: 1, lease_ms: 60_000 };
        let input = Input::AskTrials(sweep, ask, Waiter { id, is_patient: true });
        Some(handle.send_ask(id, input).await.unwrap())
    };
    let trials = |answer| match answer {
        Ok(Ok(ClientReply::Trials(reply))) => reply.trials,
        other => panic!("{other:?}"),
    };
    let first = trials(send("first").await.unwrap().await).remove(0);
    let second = trials(send("second").await.unwrap().await);
    assert_eq!(second.len(), 1, "two trials are in flight");
    drop(send("gone").await);
    let waiting = send("waiting").await.unwrap();
    handle.apply(Input::Tick).await.unwrap().unwrap();
    let metrics = NamedMetrics { epoch: 1, metrics: [(name("accuracy"), 0.5)].into() };
    let (trial, lease, outcome) =
        (first.trial, first.lease, Outcome::Failed { message: "x".into() });
    let tell = Tell { trial, lease, token: None, outcome, last: Some(metrics), seconds: 0.5 };
    let id = handle.next_waiter();
    handle.ask(id, Input::TellTrial(sweep, tell, id)).await.unwrap().unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap();
    assert_eq!(trials(answer)[0].trial.0, 2);
    handle.stop().await.unwrap();
    ended.wait().await.unwrap();
}

#[tokio::test]
async fn no_answer_is_lost_when_many_clients_ask_at_once() {
    let Running { mut sweeps, channel, server, directory: _directory } = running().await;
    let mut spec = external(60_000);
    spec.search.parallelism = Parallelism::Trials(4_096);
    sweeps.create_sweep(create("make", &spec)).await.unwrap();
    let mut channels = vec![channel];
    for _ in 0..7 {
        channels.push(connect(&server).await);
    }
    // More clients than a sweep keeps replies to asks whose trials have ended.
    let asks = channels.iter().cycle().take(3_000).enumerate().map(|(i, channel)| {
        let mut trials = TrialServiceClient::new(channel.clone());
        let request = v1::AskTrialsRequest { client: format!("c{i}"), ..ask("a", 0) };
        tokio::spawn(async move { trials.ask_trials(request).await.unwrap().into_inner().trials })
    });
    let mut asked = std::collections::BTreeSet::new();
    for ask in asks.collect::<Vec<_>>() {
        let trials = ask.await.unwrap();
        assert_eq!(trials.len(), 1);
        asked.extend(trials.iter().map(|of| of.trial));
    }
    let request = v1::GetSweepRequest { sweep: "svm".to_owned() };
    let counts = sweeps.get_sweep(request).await.unwrap().into_inner().counts.unwrap();
    assert_eq!((asked.len(), counts.running), (3_000, 3_000), "each leased trial has its client");
}
