//! Following a sweep until it ends.

use std::time::Duration;

use caviar_client::Client;
use caviar_common::outcome::TrialState;
use caviar_common::view::{SweepView, TrialView};
use tokio::time::{MissedTickBehavior, interval};

use crate::failure::Failure;
use crate::progress::Progress;

/// How often the running trials are requested while they are shown.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// The only worker that there can be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OnlyWorker<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// The command that continues the sweep with another one.
    pub(crate) resume: &'a str,
}

/// Shows a sweep until it ends, and returns its last state. A sweep that the only worker cannot
/// train is an error, because it would make no progress.
pub(crate) async fn follow(
    client: &Client,
    sweep: &str,
    only_worker: Option<OnlyWorker<'_>>,
) -> anyhow::Result<SweepView> {
    let mut progress = Progress::new(only_worker.is_none());
    let result = follow_with(client, sweep, only_worker, &mut progress).await;
    progress.clear();
    result
}

async fn follow_with(
    client: &Client,
    sweep: &str,
    only_worker: Option<OnlyWorker<'_>>,
    progress: &mut Progress,
) -> anyhow::Result<SweepView> {
    let mut changes = client.watch_sweep(sweep).await?;
    let mut last = match changes.next().await? {
        Some(first) => first,
        None => client.sweep(sweep).await?,
    };
    let mut running: Vec<TrialView> = Vec::new();
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        progress.show(&last, &running);
        if last.state.is_final() {
            return Ok(last);
        }
        if let Some(worker) = only_worker {
            check_worker(&last, worker)?;
        }
        tokio::select! {
            change = changes.next() => match change? {
                Some(view) => last = view,
                // The stream ends with the sweep, so this is its final state.
                None => return Ok(client.sweep(sweep).await?),
            },
            _ = looks.tick() => if progress.shows_trials() {
                running = client.list_trials(sweep, &[TrialState::Running]).await?;
            },
        }
    }
}

fn check_worker(sweep: &SweepView, worker: OnlyWorker<'_>) -> anyhow::Result<()> {
    let unable = format!("worker {} cannot", worker.name);
    match sweep
        .notes
        .iter()
        .find(|note| note.starts_with(&unable))
        .filter(|_| sweep.counts.running == 0)
    {
        Some(note) => Err(Failure::hinted(
            note.clone(),
            format!("fix that, then continue with: {}", worker.resume),
        )
        .into()),
        None => Ok(()),
    }
}
