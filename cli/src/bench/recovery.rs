//! A coordinator that was killed under load: when it serves again on the same store, and whether it
//! still has everything that it had acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use caviar_client::Client;
use caviar_common::ids::TrialNumber;
use caviar_common::numbers::to_u64;
use serde::Serialize;

use super::child::Child;
use super::folder::Folder;
use super::load::sweep_name;
use super::route::Encryption;
use super::session::Session;
use super::worker::{Held, Worker};

/// What the coordinator had acknowledged when it was killed.
#[derive(Debug)]
pub(crate) struct Acknowledged {
    /// Ended trials by sweep.
    pub(crate) trials: BTreeMap<u64, u64>,
    /// The workers with their trials in training.
    pub(crate) workers: Vec<Worker>,
}

/// The restart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Recovery {
    /// From the start of the process to the reply to the first `GetSweep`.
    pub(crate) reply_seconds: f64,
    /// From the start of the process until it has accepted a worker.
    pub(crate) welcome_seconds: f64,
    /// Trials whose end was acknowledged before.
    pub(crate) acknowledged_trials: u64,
    /// Trials in training that had acknowledged epochs.
    pub(crate) trials_in_training: u64,
    /// Acknowledged ends that the coordinator does not have any more.
    pub(crate) lost_trials: u64,
    /// Acknowledged epochs of the trials in training that it does not have any more.
    pub(crate) lost_epochs: u64,
}

impl Recovery {
    /// What was lost, in words.
    pub(crate) fn summary(&self) -> String {
        let Self { acknowledged_trials, lost_trials, lost_epochs, .. } = self;
        if self.is_complete() {
            format!("all {acknowledged_trials} acknowledged trials are there")
        } else {
            format!("{lost_trials} acknowledged trials and {lost_epochs} epochs are lost")
        }
    }

    /// Whether nothing that was acknowledged is lost.
    pub(crate) const fn is_complete(&self) -> bool {
        self.lost_trials == 0 && self.lost_epochs == 0
    }
}

/// Starts a coordinator on the store of one that was killed, connects one of its workers again, and
/// compares.
pub(crate) async fn recover(
    folder: &Folder,
    encryption: Encryption,
    before: Acknowledged,
) -> anyhow::Result<(Child, Recovery)> {
    let Acknowledged { trials, mut workers } = before;
    let held: Vec<Held> = workers.iter().flat_map(Worker::held).collect();
    let held: Vec<Held> = held.into_iter().filter(|held| held.epoch > 0).collect();
    let child = Child::start(folder, encryption).await.context("after kill -9")?;
    let client = child.client().await?;
    client.sweep(&sweep_name(0)).await?;
    let reply_seconds = child.started().elapsed().as_secs_f64();
    if let Some(worker) = workers.pop() {
        let name = worker.name().to_owned();
        let session = Session::open(child.route(), worker, Arc::default()).await;
        // It trains nothing: a further attempt at a trial would replace what is compared.
        drop(session.with_context(|| format!("worker {name} after kill -9"))?);
    }
    let welcome_seconds = child.started().elapsed().as_secs_f64();
    let recovery = Recovery {
        reply_seconds,
        welcome_seconds,
        acknowledged_trials: trials.values().sum(),
        trials_in_training: to_u64(held.len()),
        lost_trials: lost_trials(&client, &trials).await?,
        lost_epochs: lost_epochs(&client, &held).await?,
    };
    Ok((child, recovery))
}

async fn lost_trials(client: &Client, trials: &BTreeMap<u64, u64>) -> anyhow::Result<u64> {
    let mut lost = 0;
    for (sweep, acknowledged) in trials {
        let sweep = client.sweep(&sweep.to_string()).await?;
        lost += acknowledged.saturating_sub(sweep.counts.finished().into());
    }
    Ok(lost)
}

async fn lost_epochs(client: &Client, held: &[Held]) -> anyhow::Result<u64> {
    let mut lost = 0;
    for held in held {
        let trial = client.trial(&held.sweep.to_string(), TrialNumber(held.trial)).await?;
        let stored = trial.last.as_ref().map_or(0, |last| last.epoch());
        lost += u64::from(held.epoch.saturating_sub(stored));
    }
    Ok(lost)
}
