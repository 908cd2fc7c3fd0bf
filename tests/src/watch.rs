//! Waits for changes of a sweep or a trial, on the streams that clients watch.

use std::path::Path;
use std::time::Duration;

use caviar_client::{Channel, Dialer, Finder};
use caviar_common::join::{Role, user_join_folder};
use caviar_proto::v1;
use caviar_proto::v1::sweep_service_client::SweepServiceClient;

use crate::home::home;

/// Runs a future to its end.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(future)
}

/// How a program of the user with this folder reaches the coordinator at `url`.
pub fn dialer(home: &Path, url: &str) -> Dialer {
    let finder = Finder {
        coordinator: Some(url.to_owned()),
        folder: Some(user_join_folder(home)),
        ..Finder::default()
    };
    Dialer::new(finder.find(Role::Admin).expect("a join string"), None).expect("an address")
}

/// A client of the coordinator at `url`.
pub async fn client(url: &str) -> SweepServiceClient<Channel> {
    let dialer = dialer(home(), url);
    let channel = dialer.dial(Duration::from_secs(20)).await;
    SweepServiceClient::new(channel.expect("the coordinator answers"))
}

/// Waits until `done` is true for a sweep, and returns the sweep. Fails if the sweep ends first.
pub fn until(url: &str, sweep: &str, done: impl Fn(&v1::Sweep) -> bool) -> v1::Sweep {
    block_on(async {
        let request = v1::WatchSweepRequest { sweep: sweep.to_owned() };
        let mut stream =
            client(url).await.watch_sweep(request).await.expect("the sweep is there").into_inner();
        while let Some(view) = stream.message().await.expect("the stream goes on") {
            if done(&view) {
                return view;
            }
        }
        panic!("sweep {sweep} ended before the condition was true");
    })
}

/// Whether a trial of a sweep is running that has been trained for at least one epoch and at most
/// `epochs`.
pub fn is_in_training(url: &str, sweep: &str, epochs: usize) -> bool {
    block_on(async {
        let request = v1::ListTrialsRequest {
            sweep: sweep.to_owned(),
            page_size: 500,
            states: vec![v1::TrialState::Running.into()],
            with_curves: true,
            ..v1::ListTrialsRequest::default()
        };
        let reply = client(url).await.list_trials(request).await.expect("the sweep is there");
        let trials = reply.into_inner().trials;
        trials.iter().any(|trial| (1..=epochs).contains(&trial.curve.len()))
    })
}

/// Whether a sweep is completed.
pub fn is_completed(sweep: &v1::Sweep) -> bool {
    sweep.state() == v1::SweepState::Completed
}

/// The number of trials of a sweep that have ended.
pub fn done(sweep: &v1::Sweep) -> u32 {
    sweep.counts.as_ref().map_or(0, |c| c.completed + c.stopped + c.diverged + c.failed)
}
