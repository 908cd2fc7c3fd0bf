//! The one task of a worker: it carries messages between the agent, the runners and the connection,
//! and keeps the connection up.
//!
//! ```text
//! loop: dial -> converse until the connection is lost -> pause      meanwhile: runner events, the stop signal
//! ```

use std::pin::{Pin, pin};
use std::time::Duration;

use caviar_client::Dialer;
use caviar_common::ids::LeaseId;
use caviar_common::message::{FromWorker, ToWorker};
use caviar_proto::convert::worker::encode_from_worker;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, sleep_until};

use crate::agent::{Agent, Command, End, RunnerEvent};
use crate::link::{Connection, Loss};
use crate::pace::Pace;
use crate::runner::Runners;

/// How long a worker that is told to stop tries to hand in what it has.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the coordinator may take to hear the last words of a worker.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// A coordinator may ask for a heartbeat, but not for a flood of them, nor for none.
const HEARTBEATS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(3_600));

/// All that lives as long as the worker does.
pub(crate) struct Driver<S> {
    agent: Agent,
    runners: Runners,
    events: mpsc::Receiver<RunnerEvent>,
    dialer: Dialer,
    stop: Pin<Box<S>>,
    /// Set by the stop signal: when to leave, whatever is not handed in.
    leave_by: Option<Instant>,
    pace: Pace,
    /// The loss that was logged last, until the coordinator is back.
    logged: Option<Loss>,
}

impl<S: Future<Output = ()>> Driver<S> {
    pub(crate) fn new(
        agent: Agent,
        runners: Runners,
        events: mpsc::Receiver<RunnerEvent>,
        dialer: Dialer,
        stop: S,
    ) -> Self {
        Self {
            agent,
            runners,
            events,
            dialer,
            stop: Box::pin(stop),
            leave_by: None,
            pace: Pace::new(),
            logged: None,
        }
    }

    /// Works until it is told to leave.
    pub(crate) async fn run(mut self) {
        while !self.is_over() {
            let loss = match self.connect().await {
                Some(Ok(connection)) => self.converse(connection).await,
                Some(Err(loss)) => Err(loss),
                None => break,
            };
            self.agent.disconnected();
            if let Err(loss) = loss {
                self.pause(loss).await;
            }
        }
        self.log_leave();
    }

    /// None if it is time to leave.
    async fn connect(&mut self) -> Option<Result<Connection, Loss>> {
        let hello = self.agent.hello();
        let dialer = self.dialer.clone();
        self.meanwhile(Connection::open(&dialer, hello, self.pace.dial_timeout())).await
    }

    /// Speaks and listens until the connection is lost, or it is time to leave.
    async fn converse(&mut self, mut connection: Connection) -> Result<(), Loss> {
        let welcome_by = Instant::now() + self.pace.dial_timeout();
        let mut heartbeat: Option<Interval> = None;
        let (outgoing, mut incoming) = connection.halves();
        while !self.is_over() {
            let (speaks, listens) = (self.agent.has_message(), self.agent.accepts_messages());
            tokio::select! {
                message = incoming.next(), if listens => self.on_message(message?, &mut heartbeat),
                permit = outgoing.reserve(), if speaks => match permit {
                    Ok(permit) => if let Some(message) = self.agent.next_message() {
                        permit.send(encode_from_worker(&message));
                    },
                    Err(_) => return Err(incoming.reason().await),
                },
                () = beat(&mut heartbeat) => {
                    self.pace.lived();
                    // A full channel says that the worker is here as well as a heartbeat does.
                    let _full = outgoing.try_send(encode_from_worker(&FromWorker::Heartbeat));
                }
                () = sleep_until(welcome_by), if heartbeat.is_none() => return Err(Loss::Broken("no answer to Hello".to_owned())),
                () = self.tend() => {}
            }
        }
        connection.close(self.leave_by.unwrap_or_else(Instant::now) + CLOSE_TIMEOUT).await;
        Ok(())
    }

    /// Waits for `work` and does whatever else there is to do; none if it is time to leave.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        while !self.is_over() {
            tokio::select! {
                done = &mut work => return Some(done),
                () = self.tend() => {}
            }
        }
        None
    }

    /// One thing that has nothing to do with the connection. Nothing is lost when the future is
    /// dropped.
    async fn tend(&mut self) {
        let leave_by = self.leave_by;
        tokio::select! {
            Some(event) = self.events.recv() => self.on_event(event),
            () = self.stop.as_mut(), if leave_by.is_none() => self.on_stop(),
            // The caller looks whether it is over.
            () = sleep_until(leave_by.unwrap_or_else(Instant::now)), if leave_by.is_some() => {}
        }
    }

    fn is_over(&self) -> bool {
        self.agent.may_exit() || self.leave_by.is_some_and(|leave_by| Instant::now() >= leave_by)
    }

    async fn pause(&mut self, loss: Loss) {
        let wait = self.pace.wait(&loss, rand::random());
        self.log_loss(loss);
        self.meanwhile(sleep(wait)).await;
    }

    fn on_message(&mut self, message: ToWorker, heartbeat: &mut Option<Interval>) {
        match &message {
            ToWorker::Welcome { heartbeat_ms, lease_ttl_ms, .. } => {
                *heartbeat = Some(heartbeats(*heartbeat_ms));
                self.pace.welcomed(*lease_ttl_ms);
                self.logged = None;
                tracing::info!(held = self.agent.held(), "connected to {}", self.url());
            }
            ToWorker::Revoke { lease, reason } => {
                if let Some(task) = self.agent.task(*lease) {
                    tracing::info!(sweep = %task.sweep, trial = %task.trial, attempt = %task.attempt, "trial revoked: {reason}");
                }
            }
            ToWorker::Stop { lease, reason } => {
                if let Some(task) = self.agent.task(*lease) {
                    tracing::info!(sweep = %task.sweep, trial = %task.trial, attempt = %task.attempt, "trial stopped: {reason}");
                }
            }
            ToWorker::Park { lease } | ToWorker::Unpark { lease } => {
                let parks = matches!(message, ToWorker::Park { .. });
                if let Some(task) = self.agent.task(*lease) {
                    tracing::debug!(sweep = %task.sweep, trial = %task.trial, attempt = %task.attempt, parks, "trial parked, or goes on");
                }
            }
            ToWorker::Drain => {
                tracing::info!(held = self.agent.held(), "draining: finishing what is held")
            }
            ToWorker::Grant(_) | ToWorker::Ack { .. } => {}
        }
        self.agent.on_message(message);
        self.obey();
    }

    fn on_event(&mut self, event: RunnerEvent) {
        if let RunnerEvent::Ended { lease, end } = &event {
            self.runners.forget(*lease);
            self.log_end(*lease, end);
        }
        self.agent.on_event(event);
        self.obey();
    }

    fn on_stop(&mut self) {
        tracing::info!(held = self.agent.held(), "stopping: giving back what is unfinished");
        self.leave_by = Some(Instant::now() + LEAVE_TIMEOUT);
        self.agent.stop();
        self.obey();
    }

    /// Does what the agent wants of the runners.
    fn obey(&mut self) {
        while let Some(command) = self.agent.next_command() {
            match command {
                Command::Cancel(lease) => self.runners.cancel(lease),
                Command::Hold(lease) => self.runners.hold(lease, true),
                Command::Continue(lease) => self.runners.hold(lease, false),
                Command::Start(grant) => {
                    let lease = grant.lease;
                    if let Err(error) = self.runners.start(grant) {
                        let end =
                            End::Unable { message: format!("no thread to train in: {error}") };
                        self.log_end(lease, &end);
                        self.agent.on_event(RunnerEvent::Ended { lease, end });
                    }
                }
            }
        }
    }

    /// A runner whose lease is gone was revoked or given back, which is logged already.
    fn log_end(&self, lease: LeaseId, end: &End) {
        let Some(task) = self.agent.task(lease) else { return };
        match end {
            End::Finished(result) => {
                let outcome = result.outcome.state().name();
                let (seconds, epochs) = (result.seconds, result.last.map_or(0, |last| last.epoch));
                tracing::info!(sweep = %task.sweep, trial = %task.trial, attempt = %task.attempt, outcome, epochs, seconds, "trial finished");
            }
            End::Unable { message } | End::TooLarge { message } => {
                tracing::warn!(sweep = %task.sweep, trial = %task.trial, attempt = %task.attempt, "trial given back: {message}");
            }
            End::Cancelled => {
                tracing::info!(sweep = %task.sweep, trial = %task.trial, attempt = %task.attempt, "trial given back");
            }
        }
    }

    /// Once for every loss, not for every attempt to mend it.
    fn log_loss(&mut self, loss: Loss) {
        let url = self.url();
        let is_news = match (&self.logged, &loss) {
            (Some(Loss::Broken(_)), Loss::Broken(_)) => false,
            (before, now) => before.as_ref() != Some(now),
        };
        if !is_news {
            return;
        }
        match &loss {
            Loss::Broken(why) => tracing::warn!(
                held = self.agent.held(),
                "no connection to {url}, trying again until there is: {why}"
            ),
            Loss::Postponed(why) => {
                tracing::warn!("{url} does not take this worker yet, trying again: {why}")
            }
            Loss::Refused(why) => {
                tracing::error!("{url} refuses this worker, trying again every few seconds: {why}");
            }
        }
        self.logged = Some(loss);
    }

    fn url(&self) -> String {
        self.dialer.url().to_owned()
    }

    fn log_leave(&self) {
        match self.agent.held() {
            0 => tracing::info!("left"),
            held => tracing::warn!(
                held,
                "left; results that could not be handed in in time will be trained again"
            ),
        }
    }
}

fn heartbeats(interval_ms: u64) -> Interval {
    let (least, most) = HEARTBEATS;
    let every = Duration::from_millis(interval_ms).clamp(least, most);
    let mut interval = interval_at(Instant::now() + every, every);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// The next heartbeat; never before the coordinator has said how often.
async fn beat(heartbeat: &mut Option<Interval>) {
    match heartbeat {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}
