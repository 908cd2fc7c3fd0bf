//! The client against a coordinator in this process.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic where it fails")]

use std::io::{Read, Write};

use caviar_client::caviar_common::error::ErrorClass;
use caviar_client::caviar_common::ids::TrialNumber;
use caviar_client::caviar_common::join::Role;
use caviar_client::caviar_common::outcome::{SweepState, TrialState};
use caviar_client::caviar_common::spec::{SweepSpec, file};
use caviar_client::{Client, CreateOptions, Dialer, Error, Target};
use caviar_coordinator::{Security, Server, ServerConfig, TlsOptions, start};
use caviar_core::input::Config;

struct Running {
    server: Server,
    client: Client,
    _folder: tempfile::TempDir,
}

async fn running() -> Running {
    let folder = tempfile::tempdir().unwrap();
    let config = ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        store: folder.path().join("caviar.db"),
        core: Config::default(),
        ticks: true,
        security: Security::Tls(TlsOptions::default()),
    };
    let server = start(config).await.unwrap();
    let join = server.join(Role::Admin).unwrap();
    let dialer = Dialer::new(join.into(), None).unwrap();
    let client = Client::connect(&dialer).await.unwrap();
    Running { server, client, _folder: folder }
}

fn spec(name: &str) -> SweepSpec {
    let text = format!(
        "name = \"{name}\"\n[data]\nsource = \"builtin:digits\"\n[fixed]\nepochs = 2\n\
         [search]\nstrategy = \"random\"\ntrials = 2\n"
    );
    file::parse(&text).unwrap().spec
}

#[tokio::test]
async fn a_sweep_is_created_read_controlled_and_deleted() {
    let Running { server, client, _folder } = running().await;
    assert_eq!(client.url(), format!("https://{}", server.address()));
    assert_eq!(client.list_sweeps().await.unwrap(), []);
    assert_eq!(client.list_workers().await.unwrap(), []);

    let created = client.create_sweep("r1", &spec("first")).await.unwrap();
    let again = client.create_sweep("r1", &spec("first")).await.unwrap();
    assert_eq!(again.id, created.id, "a repeated request starts nothing");
    assert_eq!(client.sweep("first").await.unwrap().id, created.id);
    assert_eq!(client.sweep("1").await.unwrap().id, created.id);

    let refused = client.resize_sweep("first", 1).await.unwrap_err().to_string();
    assert!(refused.contains("all trials of its budget have been started"), "{refused}");
    let for_slots = CreateOptions { for_slots: Some(64), ..CreateOptions::default() };
    let later = client.create_sweep_with("r2", &spec("later"), for_slots).await.unwrap();
    assert_eq!(later.auto_slots, Some(64));
    client.cancel_sweep("later").await.unwrap();
    client.delete_sweep("later").await.unwrap();
    assert_eq!(client.pause_sweep("first").await.unwrap().state, SweepState::Paused);
    assert_eq!(client.resume_sweep("first").await.unwrap().state, SweepState::Running);
    let mut changes = client.watch_sweep("first").await.unwrap();
    assert_eq!(changes.next().await.unwrap().unwrap().state, SweepState::Running);
    assert_eq!(client.cancel_sweep("first").await.unwrap().state, SweepState::Cancelled);
    assert_eq!(changes.next().await.unwrap().unwrap().state, SweepState::Cancelled);
    assert_eq!(changes.next().await.unwrap(), None);

    client.delete_sweep("first").await.unwrap();
    assert_eq!(client.list_sweeps().await.unwrap(), []);
    drop((changes, client));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn trials_are_listed_watched_and_exported() {
    let Running { server, client, _folder } = running().await;
    client.create_sweep("r1", &spec("first")).await.unwrap();
    let listed = client.list_trials("first", &[]).await.unwrap();
    assert!(listed.iter().all(|trial| trial.state == TrialState::Queued), "{listed:?}");
    assert_eq!(client.list_trials("first", &[TrialState::Running]).await.unwrap(), []);
    for trial in &listed {
        assert_eq!(&client.trial("first", trial.trial).await.unwrap(), trial);
    }
    let error = client.trial("first", TrialNumber(9)).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotFound);
    let error = client.release_trial("first", TrialNumber(0)).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Refused, "no worker has it");

    let mut exported = client.export_trials("first").await.unwrap();
    for trial in &listed {
        assert_eq!(exported.next().await.unwrap().as_ref(), Some(trial));
    }
    assert_eq!(exported.next().await.unwrap(), None);
    drop((exported, client));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_refusal_has_a_class_a_message_and_hints() {
    let Running { server, client, _folder } = running().await;
    client.create_sweep("r1", &spec("digits")).await.unwrap();
    let error = client.sweep("digts").await.unwrap_err();
    let Error::Refused { class, message, hints, .. } = error else { panic!("{error:?}") };
    assert_eq!(class, ErrorClass::NotFound);
    assert!(message.contains("\"digts\"") && hints == ["did you mean digits?"], "{message}");

    let taken = client.create_sweep("r2", &spec("digits")).await.unwrap_err();
    assert_eq!(taken.class(), ErrorClass::Exists);

    let mut wrong = spec("wrong");
    wrong.data.source = "/nowhere/absent.csv".to_owned();
    let error = client.create_sweep("r3", &wrong).await.unwrap_err();
    let Error::Invalid { problems, .. } = error else { panic!("{error:?}") };
    assert!(problems.touches("data.source"), "{problems}");
    drop(client);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_not_a_coordinator_is_named_as_such() {
    let plain = |address: &str| {
        let target = Target::plain(&format!("http://{address}")).unwrap();
        Dialer::new(target, None).unwrap()
    };
    let absent = Client::connect(&plain("127.0.0.1:1")).await.unwrap_err();
    assert!(matches!(absent, Error::Unreachable { .. }), "{absent:?}");
    assert_eq!(absent.class(), ErrorClass::Unavailable);
    assert!(Target::plain("ftp://somewhere").is_err());
    assert!(Target::plain("http://somewhere:0").is_err());

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _request = stream.read(&mut [0; 256]).unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").unwrap();
        }
    });
    let error = Client::connect(&plain(&address.to_string())).await.unwrap_err();
    assert_eq!(error, Error::NotACoordinator { url: format!("http://{address}") });
}
