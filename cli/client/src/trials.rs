//! Requests about trials: the methods of the typed client.

use caviar_common::ids::TrialNumber;
use caviar_common::outcome::TrialState;
use caviar_common::view::TrialView;
use caviar_proto::convert::view::{decode_trial, trial_state_to_wire};
use caviar_proto::v1;

use crate::client::{Client, PAGE_SIZE};
use crate::error::Request;
use crate::stream::{Replies, TrialReplies};

impl Client {
    /// One trial with its curve.
    ///
    /// # Errors
    /// The sweep or the trial does not exist, or the request failed.
    pub fn trial<'a>(&'a self, sweep: &'a str, trial: TrialNumber) -> Request<'a, TrialView> {
        Box::pin(async move {
            let request = v1::GetTrialRequest { sweep: sweep.to_owned(), trial: trial.0 };
            self.decoded(self.sweeps.clone().get_trial(request).await, decode_trial)
        })
    }

    /// The trials of a sweep by number, without their curves: those in one of `states`, or all if
    /// `states` is empty.
    ///
    /// # Errors
    /// The sweep does not exist, or the request failed.
    pub fn list_trials<'a>(
        &'a self,
        sweep: &'a str,
        states: &'a [TrialState],
    ) -> Request<'a, Vec<TrialView>> {
        Box::pin(async move {
            let mut trials = Vec::new();
            let mut page_token = String::new();
            loop {
                let request = v1::ListTrialsRequest {
                    sweep: sweep.to_owned(),
                    page_size: PAGE_SIZE,
                    page_token,
                    states: states.iter().copied().map(trial_state_to_wire).collect(),
                    order: v1::TrialOrder::Unspecified.into(),
                    with_curves: false,
                };
                let page = self.reply(self.sweeps.clone().list_trials(request).await)?;
                for wire in page.trials {
                    trials.push(decode_trial(wire).map_err(|problem| self.unreadable(problem))?);
                }
                if page.next_page_token.is_empty() {
                    return Ok(trials);
                }
                page_token = page.next_page_token;
            }
        })
    }

    /// A trial with its curve as it is now, and again after its changes, until it ends.
    ///
    /// # Errors
    /// The sweep or the trial does not exist, or the request failed.
    pub fn watch_trial<'a>(
        &'a self,
        sweep: &'a str,
        trial: TrialNumber,
    ) -> Request<'a, TrialReplies> {
        Box::pin(async move {
            let request = v1::WatchTrialRequest { sweep: sweep.to_owned(), trial: trial.0 };
            let stream = self.reply(self.sweeps.clone().watch_trial(request).await)?;
            Ok(Replies::new(stream, decode_trial, self.url()))
        })
    }

    /// Takes the lease on a running trial away from its worker or external client, and returns the
    /// trial, which waits for a slot or has another one already.
    ///
    /// # Errors
    /// The sweep or the trial does not exist, the trial is not running, or the request failed.
    pub fn release_trial<'a>(
        &'a self,
        sweep: &'a str,
        trial: TrialNumber,
    ) -> Request<'a, TrialView> {
        Box::pin(async move {
            let request = v1::ReleaseTrialRequest { sweep: sweep.to_owned(), trial: trial.0 };
            self.decoded(self.sweeps.clone().release_trial(request).await, decode_trial)
        })
    }

    /// Every trial of a sweep with its curve, by number. They arrive one by one, so that a sweep of
    /// any size fits the memory of the caller.
    ///
    /// # Errors
    /// The sweep does not exist, or the request failed.
    pub fn export_trials<'a>(&'a self, sweep: &'a str) -> Request<'a, TrialReplies> {
        Box::pin(async move {
            let request = v1::ExportTrialsRequest { sweep: sweep.to_owned() };
            let stream = self.reply(self.sweeps.clone().export_trials(request).await)?;
            Ok(Replies::new(stream, decode_trial, self.url()))
        })
    }
}
