//! A coordinator that was killed under load: when it serves again on the same store, and whether it
//! still has everything that it had acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use caviar_client::Client;
use caviar_common::ids::TrialNumber;
use serde::Serialize;

use super::child::Child;
use super::folder::Folder;
use super::load::{Load, sweep_name};
use super::session::{Session, hello};
use super::statistics::Tally;
use super::worker::{Held, Worker};

/// What the coordinator had acknowledged when it was killed.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    /// Ended trials by sweep.
    pub(crate) trials: BTreeMap<u64, u64>,
    /// Trials in training, with their last acknowledged epoch.
    pub(crate) held: Vec<Held>,
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

/// Starts a coordinator on the store of one that was killed, and compares.
pub(crate) async fn recover(
    load: &Load,
    folder: &Folder,
    before: &Acknowledged,
) -> anyhow::Result<(Child, Recovery)> {
    let child = Child::start(folder.store()).await.context("after kill -9")?;
    let client = Client::connect(&child.address().to_string()).await?;
    client.sweep(&sweep_name(0)).await?;
    let reply_seconds = child.started().elapsed().as_secs_f64();
    let hello = hello("bench-recovery".to_owned(), 1);
    let tally = Arc::<Tally>::default();
    let worker = Worker::new(load.training());
    let mut session = Session::open(child.address(), &hello, worker, tally).await?;
    session.welcomed().await?;
    let welcome_seconds = child.started().elapsed().as_secs_f64();
    // It trains nothing, because a further attempt at a trial would replace what is compared.
    drop(session);
    let trials_in_training = before.held.iter().filter(|held| held.epoch > 0).count();
    let recovery = Recovery {
        reply_seconds,
        welcome_seconds,
        acknowledged_trials: before.trials.values().sum(),
        trials_in_training: u64::try_from(trials_in_training)?,
        lost_trials: lost_trials(&client, before).await?,
        lost_epochs: lost_epochs(&client, before).await?,
    };
    Ok((child, recovery))
}

async fn lost_trials(client: &Client, before: &Acknowledged) -> anyhow::Result<u64> {
    let mut lost = 0;
    for (sweep, acknowledged) in &before.trials {
        let sweep = client.sweep(&sweep.to_string()).await?;
        lost += acknowledged.saturating_sub(sweep.counts.finished().into());
    }
    Ok(lost)
}

async fn lost_epochs(client: &Client, before: &Acknowledged) -> anyhow::Result<u64> {
    let mut lost = 0;
    for held in before.held.iter().filter(|held| held.epoch > 0) {
        let trial = client.trial(&held.sweep.to_string(), TrialNumber(held.trial)).await?;
        let stored = trial.last.as_ref().map_or(0, |last| last.epoch());
        lost += u64::from(held.epoch.saturating_sub(stored));
    }
    Ok(lost)
}
