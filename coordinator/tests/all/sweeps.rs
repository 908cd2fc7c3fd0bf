//! `SweepService` over loopback: requests, pages, errors.

use caviar_common::spec::Parallelism;
use caviar_coordinator::{ServerError, start};
use caviar_proto::convert::spec::encode_spec;
use caviar_proto::v1::sweep_service_client::SweepServiceClient;
use caviar_proto::{status, v1};
use tonic::Code;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{Running, config, connect, create, running, spec};

fn fields(status: &tonic::Status) -> Vec<String> {
    status::problems_of(status).unwrap().iter().map(|p| p.field.clone()).collect()
}

#[tokio::test]
async fn creating_is_idempotent_and_names_are_unique() {
    let Running { server, mut sweeps, directory: _directory, .. } = running().await;
    let first =
        sweeps.create_sweep(create("r1", &spec("digits", 4, 2))).await.unwrap().into_inner();
    let again =
        sweeps.create_sweep(create("r1", &spec("digits", 4, 2))).await.unwrap().into_inner();
    assert_eq!((first.id, first.name.as_str(), again.id), (1, "digits", 1));
    assert_eq!(first.data.unwrap().features, 64, "the data was read");
    let reused = sweeps.create_sweep(create("r1", &spec("digits", 5, 2))).await.unwrap_err();
    assert_eq!(reused.code(), Code::AlreadyExists);
    assert!(reused.message().contains("request_id r1"), "{reused}");
    let taken = sweeps.create_sweep(create("r2", &spec("digits", 4, 2))).await.unwrap_err();
    assert_eq!(taken.code(), Code::AlreadyExists);
    assert!(taken.message().contains("a sweep named digits exists already"), "{taken}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn bad_specs_name_every_field() {
    let Running { mut sweeps, server: _server, directory: _directory, .. } = running().await;
    let mut wire = encode_spec(&spec("digits", 4, 2));
    wire.name = Some("no good".to_owned());
    wire.search.as_mut().unwrap().trials = Some(0);
    let request = v1::CreateSweepRequest { spec: Some(wire), ..v1::CreateSweepRequest::default() };
    let error = sweeps.create_sweep(request).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert_eq!(fields(&error), ["request_id", "name", "search.trials"]);
    let error = sweeps
        .create_sweep(v1::CreateSweepRequest {
            request_id: "r".to_owned(),
            spec: None,
            ..v1::CreateSweepRequest::default()
        })
        .await
        .unwrap_err();
    assert_eq!(fields(&error), ["spec"]);
    let mut unread = spec("digits", 4, 2);
    unread.data.source = "nowhere.csv".to_owned();
    unread.data.label = Some("y".to_owned());
    let error = sweeps.create_sweep(create("r", &unread)).await.unwrap_err();
    assert_eq!(
        (error.code(), fields(&error)),
        (Code::InvalidArgument, vec!["data.source".to_owned()])
    );
    assert!(error.message().contains("nowhere.csv"), "{error}");
    let mut wire = encode_spec(&spec("digits", 4, 2));
    wire.name = Some("7".to_owned());
    for (name, number) in [("layers", 6), ("units", 8_192)] {
        wire.fixed.insert(name.to_owned(), v1::Value { kind: Some(v1::value::Kind::Int(number)) });
    }
    let error = sweeps
        .create_sweep(v1::CreateSweepRequest {
            request_id: "r".to_owned(),
            spec: Some(wire),
            ..v1::CreateSweepRequest::default()
        })
        .await
        .unwrap_err();
    assert_eq!(fields(&error), ["name", "fixed.units"], "{error}");
    assert!(
        sweeps
            .list_sweeps(v1::ListSweepsRequest::default())
            .await
            .unwrap()
            .into_inner()
            .sweeps
            .is_empty()
    );
}

#[tokio::test]
async fn what_is_not_there_is_not_found_with_a_hint() {
    let Running { mut sweeps, server: _server, directory: _directory, .. } = running().await;
    sweeps.create_sweep(create("r1", &spec("digits", 4, 2))).await.unwrap();
    let error =
        sweeps.get_sweep(v1::GetSweepRequest { sweep: "digts".to_owned() }).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert_eq!(error.message(), "there is no sweep \"digts\"; hint: did you mean digits?");
    let error =
        sweeps.pause_sweep(v1::PauseSweepRequest { sweep: "x".repeat(100_000) }).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert!(error.message().len() < 300, "{}", error.message().len());
    let error = sweeps
        .get_trial(v1::GetTrialRequest { sweep: "digits".to_owned(), trial: 99 })
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), error.message().contains("digits has no trial 99")),
        (Code::NotFound, true),
        "{error}"
    );
    let best =
        sweeps.get_best(v1::GetBestRequest { sweep: "1".to_owned() }).await.unwrap().into_inner();
    assert_eq!(best, v1::GetBestResponse::default(), "by number, and nothing is best yet");
}

#[tokio::test]
async fn the_number_of_trials_in_flight_is_chosen_and_changed_by_request() {
    let Running { mut sweeps, server: _server, directory: _directory, .. } = running().await;
    let mut auto = spec("digits", 1_000, 2);
    auto.search.parallelism = Parallelism::Auto;
    // An earlier client sends no number, and gets what it can show.
    let request = create("r1", &auto);
    let wire = request.spec.as_ref().unwrap().search.as_ref().unwrap();
    assert_eq!(wire.parallelism, None);
    let for_slots = v1::CreateSweepRequest { for_slots: Some(64), ..request.clone() };
    let created = sweeps.create_sweep(for_slots.clone()).await.unwrap().into_inner();
    assert_eq!((created.parallelism, created.auto_slots), (256, Some(64)));
    assert_eq!(created.spec.unwrap().search.unwrap().parallelism, Some(256));
    for again in [request, for_slots.clone()] {
        assert_eq!(sweeps.create_sweep(again).await.unwrap().into_inner().id, created.id);
    }
    let other = v1::CreateSweepRequest { for_slots: Some(32), ..for_slots };
    assert_eq!(sweeps.create_sweep(other).await.unwrap_err().code(), Code::AlreadyExists);
    let wrong = v1::CreateSweepRequest { for_slots: Some(0), ..create("r2", &auto) };
    let mut wrong_name = wrong.clone();
    wrong_name.spec.as_mut().unwrap().name = Some("other".to_owned());
    let error = sweeps.create_sweep(wrong_name).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("for_slots = 0: expected a whole number"), "{error}");

    let resize = |parallelism| v1::ResizeSweepRequest { sweep: "1".to_owned(), parallelism };
    let resized = sweeps.resize_sweep(resize(300)).await.unwrap().into_inner();
    let expected = v1::Resize { parallelism: 300, trials: 256, decisions: 0 };
    assert_eq!((resized.parallelism, resized.resizes), (300, vec![expected]));
    for (number, code) in [(0, Code::InvalidArgument), (65_537, Code::InvalidArgument)] {
        assert_eq!(sweeps.resize_sweep(resize(number)).await.unwrap_err().code(), code);
    }
    sweeps.cancel_sweep(v1::CancelSweepRequest { sweep: "1".to_owned() }).await.unwrap();
    let refused = sweeps.resize_sweep(resize(9)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn states_are_turned_by_request() {
    let Running { mut sweeps, server: _server, directory: _directory, .. } = running().await;
    sweeps.create_sweep(create("r1", &spec("digits", 4, 2))).await.unwrap();
    let sweep = || "digits".to_owned();
    let paused =
        sweeps.pause_sweep(v1::PauseSweepRequest { sweep: sweep() }).await.unwrap().into_inner();
    assert_eq!(paused.state(), v1::SweepState::Paused);
    let resumed =
        sweeps.resume_sweep(v1::ResumeSweepRequest { sweep: sweep() }).await.unwrap().into_inner();
    assert_eq!(resumed.state(), v1::SweepState::Running);
    let early = sweeps.delete_sweep(v1::DeleteSweepRequest { sweep: sweep() }).await.unwrap_err();
    assert_eq!(early.code(), Code::FailedPrecondition);
    let mut watching =
        sweeps.watch_sweep(v1::WatchSweepRequest { sweep: sweep() }).await.unwrap().into_inner();
    assert_eq!(
        watching.message().await.unwrap().unwrap().state(),
        v1::SweepState::Running,
        "the state now comes first"
    );
    sweeps.cancel_sweep(v1::CancelSweepRequest { sweep: sweep() }).await.unwrap();
    assert_eq!(watching.message().await.unwrap().unwrap().state(), v1::SweepState::Cancelled);
    assert_eq!(watching.message().await.unwrap(), None, "and a final one comes last");
    let mut trial = sweeps
        .watch_trial(v1::WatchTrialRequest { sweep: sweep(), trial: 0 })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(trial.message().await.unwrap().unwrap().state(), v1::TrialState::Cancelled);
    assert_eq!(trial.message().await.unwrap(), None);
    sweeps.delete_sweep(v1::DeleteSweepRequest { sweep: sweep() }).await.unwrap();
    assert_eq!(
        sweeps.get_sweep(v1::GetSweepRequest { sweep: sweep() }).await.unwrap_err().code(),
        Code::NotFound
    );
}

#[tokio::test]
async fn sweeps_come_in_pages() {
    let Running { mut sweeps, server: _server, directory: _directory, .. } = running().await;
    for n in 1..=5 {
        sweeps.create_sweep(create(&format!("r{n}"), &spec(&format!("s{n}"), 4, 2))).await.unwrap();
    }
    sweeps.cancel_sweep(v1::CancelSweepRequest { sweep: "s2".to_owned() }).await.unwrap();
    let running = i32::from(v1::SweepState::Running);
    let mut pages: Vec<Vec<u64>> = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListSweepsRequest { page_size: 2, page_token, states: vec![running] };
        let page = sweeps.list_sweeps(request).await.unwrap().into_inner();
        pages.push(page.sweeps.iter().map(|s| s.id).collect());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(pages, [[1, 3], [4, 5]]);
    let nonsense = v1::ListSweepsRequest {
        page_token: "nonsense".to_owned(),
        ..v1::ListSweepsRequest::default()
    };
    assert_eq!(fields(&sweeps.list_sweeps(nonsense).await.unwrap_err()), ["page_token"]);
    let nonsense =
        v1::ListSweepsRequest { states: vec![running, 77], ..v1::ListSweepsRequest::default() };
    assert_eq!(fields(&sweeps.list_sweeps(nonsense).await.unwrap_err()), ["states[1]"]);
}

#[tokio::test]
async fn trials_come_in_pages_and_are_exported_whole() {
    let Running { mut sweeps, server: _server, directory: _directory, .. } = running().await;
    sweeps.create_sweep(create("r1", &spec("digits", 700, 700))).await.unwrap();
    let watch = v1::WatchSweepRequest { sweep: "digits".to_owned() };
    let mut views = sweeps.watch_sweep(watch).await.unwrap().into_inner();
    while views.message().await.unwrap().unwrap().counts.unwrap().queued < 700 {}
    let request = |page_size, page_token, order| v1::ListTrialsRequest {
        sweep: "digits".to_owned(),
        page_size,
        page_token,
        states: vec![v1::TrialState::Queued.into()],
        order,
        with_curves: true,
    };
    let first = sweeps.list_trials(request(400, String::new(), 0)).await.unwrap().into_inner();
    let last = sweeps
        .list_trials(request(400, first.next_page_token.clone(), 0))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (first.trials.len(), last.trials.len(), last.next_page_token.as_str()),
        (400, 300, "")
    );
    assert_eq!((last.trials[0].trial, last.trials[299].trial), (400, 699));
    let other = sweeps.list_trials(request(400, first.next_page_token, 1)).await.unwrap_err();
    assert_eq!(other.code(), Code::Aborted, "a token belongs to its listing");
    let error = sweeps.list_trials(request(400, String::new(), 9)).await.unwrap_err();
    assert_eq!(fields(&error), ["order"]);
    let mut export = sweeps
        .export_trials(v1::ExportTrialsRequest { sweep: "digits".to_owned() })
        .await
        .unwrap()
        .into_inner();
    let mut numbers = Vec::new();
    while let Some(trial) = export.message().await.unwrap() {
        numbers.push(trial.trial);
    }
    assert_eq!(numbers, (0..700).collect::<Vec<u32>>());
}

#[tokio::test]
async fn health_and_reflection_answer() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let Running { channel, server: _server, directory: _directory, .. } = running().await;
    let mut health = HealthClient::new(channel.clone());
    for service in
        ["", "caviar.v1.SweepService", "caviar.v1.WorkerService", "caviar.v1.WorkerAdminService"]
    {
        let request = tonic_health::pb::HealthCheckRequest { service: service.to_owned() };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(
            answer.status(),
            tonic_health::pb::health_check_response::ServingStatus::Serving,
            "{service}"
        );
    }
    let ask = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        host: String::new(),
    };
    let mut answers = ServerReflectionClient::new(channel)
        .server_reflection_info(tokio_stream::iter([ask]))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
    let names: Vec<&str> = list.service.iter().map(|s| s.name.as_str()).collect();
    for name in [
        "caviar.v1.SweepService",
        "caviar.v1.WorkerService",
        "caviar.v1.WorkerAdminService",
        "grpc.health.v1.Health",
    ] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
}

#[tokio::test]
async fn a_stopped_server_ends_its_streams_and_releases_its_store() {
    let Running { mut sweeps, server, directory, .. } = running().await;
    let path = directory.path().join("caviar.db");
    sweeps.create_sweep(create("r1", &spec("digits", 4, 2))).await.unwrap();
    let mut watching = sweeps
        .watch_sweep(v1::WatchSweepRequest { sweep: "digits".to_owned() })
        .await
        .unwrap()
        .into_inner();
    watching.message().await.unwrap().unwrap();
    let error = start(config(&path)).await.unwrap_err();
    assert!(error.to_string().contains("in use by another coordinator"), "{error}");
    server.stop().await.unwrap();
    assert_eq!(watching.message().await.unwrap_err().code(), Code::Unavailable);
    let again = start(config(&path)).await.unwrap();
    let mut sweeps = SweepServiceClient::new(connect(&again).await);
    assert_eq!(
        sweeps
            .get_sweep(v1::GetSweepRequest { sweep: "digits".to_owned() })
            .await
            .unwrap()
            .into_inner()
            .id,
        1
    );
}

#[tokio::test]
async fn other_hosts_are_kept_out_without_encryption() {
    let directory = tempfile::tempdir().unwrap();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7070"] {
        let config = caviar_coordinator::ServerConfig {
            listen: address.parse().unwrap(),
            ..config(&directory.path().join("caviar.db"))
        };
        let error = start(config).await.unwrap_err();
        assert!(matches!(error, ServerError::NotLoopback(_)), "{error}");
        assert!(error.to_string().contains("leave --insecure out"), "{error}");
    }
    assert!(!directory.path().join("caviar.db").exists(), "refused before anything is made");
}
