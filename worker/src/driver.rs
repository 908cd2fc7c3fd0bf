//! The single task of a worker. It passes messages between the agent, the runners and the
//! connection, and reconnects after a disconnect.
//!
//! ```text
//! loop: connect -> exchange messages until the connection is lost -> wait
//!       (in each phase it also handles runner events and the stop signal)
//! ```

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use caviar_client::{Dialer, FoundIn, SharedDialer};
use caviar_common::error::Problem;
use caviar_common::ids::LeaseId;
use caviar_common::message::{Checkpoint, FromWorker, StoredModel, ToWorker};
use caviar_proto::convert::worker::encode_from_worker;
use futures_core::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, sleep_until};

use crate::WorkerError;
use crate::agent::{Agent, Command, End, RunnerEvent};
use crate::leave::{Departure, Leave};
use crate::link::{Connection, Disconnect, Received};
use crate::pace::Pace;
use crate::runner::Runners;
use crate::transfers::{Transfer, Transfers};

/// How long a worker that was told to stop waits for its runners to write checkpoints, and stores
/// them. After that it gives its leases back without them.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long it then tries to deliver its checkpoints, results and releases.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a worker that leaves without a trial tries to deliver its results.
const EXIT_TIMEOUT: Duration = Duration::from_secs(4);
/// How long the coordinator may take to read the last messages of a worker that exits. With it, a
/// worker is gone within five seconds of a signal.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);
/// Shortest and longest heartbeat interval that a worker accepts from a coordinator.
const HEARTBEAT_INTERVALS: (Duration, Duration) =
    (Duration::from_millis(10), Duration::from_secs(3_600));

/// Broken connections without a Welcome after which the join string is read again.
const BROKEN_ATTEMPTS: u32 = 3;

/// Ready when the worker should stop.
pub(crate) type Stop<'a> = BoxFuture<'a, ()>;

/// Whether the coordinator knows that the worker leaves on its own. It hears of it from the Hello
/// of a new connection, which also returns grants that were on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Announcement {
    /// It knows, or there is nothing to know.
    Done,
    /// It has to be told.
    Wanted,
    /// Hello was sent and no Welcome has arrived.
    Sent,
}

/// What is known about join strings since the last Welcome.
#[derive(Debug, Default)]
struct Follow {
    /// Broken connections, and attempts to connect, without a Welcome.
    broken: u32,
    /// The places whose join string was taken and the problems with them, which were logged.
    logged: BTreeSet<String>,
}

/// Everything that exists for the lifetime of the worker.
pub(crate) struct Driver<'a> {
    agent: Agent,
    runners: Runners,
    events: mpsc::Receiver<RunnerEvent>,
    coordinator: SharedDialer,
    /// The dialer of the latest connection.
    dialer: Dialer,
    stop: Stop<'a>,
    transfers: Transfers,
    /// When a stopping worker gives up its unfinished checkpoints; `None` before it stops and
    /// afterwards.
    checkpoint_deadline: Option<Instant>,
    leave: Leave,
    announcement: Announcement,
    /// True once the stop signal has come.
    is_stopped: bool,
    /// When to exit even if results are undelivered; `None` before the worker leaves.
    exit_deadline: Option<Instant>,
    pace: Pace,
    /// The disconnect that was logged last; `None` while the coordinator is connected.
    logged: Option<Disconnect>,
    follow: Follow,
    /// The latest disconnect; `None` while the coordinator is connected, and before the first.
    disconnect: Option<Disconnect>,
    /// Set when the worker has left without a connection.
    failure: Option<WorkerError>,
}

impl<'a> Driver<'a> {
    pub(crate) fn new(
        agent: Agent,
        runners: Runners,
        events: mpsc::Receiver<RunnerEvent>,
        coordinator: SharedDialer,
        (transfers, stop, leave): (Transfers, Stop<'a>, Leave),
    ) -> Self {
        Self {
            agent,
            runners,
            events,
            dialer: coordinator.current(),
            coordinator,
            stop,
            transfers,
            checkpoint_deadline: None,
            leave,
            announcement: Announcement::Done,
            is_stopped: false,
            exit_deadline: None,
            pace: Pace::new(),
            logged: None,
            follow: Follow::default(),
            disconnect: None,
            failure: None,
        }
    }

    /// Serves the coordinator, across any number of connections, until the worker may exit.
    ///
    /// # Errors
    /// The worker left as idle without a connection.
    pub(crate) async fn run(mut self) -> Result<(), WorkerError> {
        while !self.should_exit() {
            let ended = match self.connect().await {
                Some(Ok(connection)) => self.serve_connection(connection).await,
                Some(Err(disconnect)) => Err(disconnect),
                None => break,
            };
            self.agent.disconnected();
            if let Err(disconnect) = ended {
                self.wait_after(disconnect).await;
            }
        }
        self.log_exit();
        self.failure.map_or(Ok(()), Err)
    }

    /// Dials and sends Hello; `None` if the worker should exit first.
    async fn connect(&mut self) -> Option<Result<Connection, Disconnect>> {
        let hello = self.agent.hello();
        if self.announcement == Announcement::Wanted {
            self.announcement = Announcement::Sent;
        }
        let dialer = self.coordinator.current();
        self.dialer = dialer.clone();
        self.run_until(Connection::open(&dialer, hello, self.pace.dial_timeout())).await
    }

    /// Sends and receives messages until the connection is lost, or the worker should exit or
    /// connect again to say that it leaves.
    async fn serve_connection(&mut self, mut connection: Connection) -> Result<(), Disconnect> {
        let welcome_by = Instant::now() + self.pace.dial_timeout();
        let mut heartbeat: Option<Interval> = None;
        let (outgoing, mut incoming) = connection.halves();
        while !self.should_exit() && self.announcement != Announcement::Wanted {
            let (sends, receives) = (self.agent.has_message(), self.agent.accepts_messages());
            tokio::select! {
                received = incoming.next(), if receives => match received? {
                    Received::Message(message) => self.on_message(message, &mut heartbeat),
                    Received::UnreadableGrant { lease, problem } => {
                        self.refuse_grant(lease, &problem);
                    }
                },
                permit = outgoing.reserve(), if sends => match permit {
                    Ok(permit) => if let Some(message) = self.agent.next_message() {
                        permit.send(encode_from_worker(&message));
                    },
                    Err(_) => return Err(incoming.reason().await),
                },
                () = heartbeat_due(&mut heartbeat) => {
                    self.pace.on_heartbeat();
                    // If the channel is full, the messages in it renew the leases as well.
                    let _full = outgoing.try_send(encode_from_worker(&self.heartbeat()));
                }
                () = sleep_until(welcome_by), if heartbeat.is_none() => {
                    let reason = "the coordinator did not answer Hello in time".to_owned();
                    return Err(Disconnect::Broken(reason));
                }
                () = self.handle_local_event() => {}
            }
        }
        connection.close(self.exit_deadline.unwrap_or_else(Instant::now) + CLOSE_TIMEOUT).await;
        Ok(())
    }

    /// The next heartbeat. Warns once for each job that does not stop.
    fn heartbeat(&mut self) -> FromWorker {
        let (message, stuck) = self.agent.heartbeat(self.runners.waiting());
        for lease in stuck {
            tracing::warn!(
                lease = lease.0,
                "a job that was told to stop still runs, and its slot cannot be used: restart this \
                 worker if that lasts"
            );
        }
        message
    }

    /// Waits for `work` and handles local events until it is done; `None` if the worker should exit
    /// first.
    async fn run_until<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        while !self.should_exit() {
            tokio::select! {
                done = &mut work => return Some(done),
                () = self.handle_local_event() => {}
            }
        }
        None
    }

    /// Handles one event that does not come from the connection. Dropping the future loses no
    /// event.
    async fn handle_local_event(&mut self) {
        let deadline = self.exit_deadline;
        let departs = self.leave.next().filter(|_| deadline.is_none());
        tokio::select! {
            Some(event) = self.events.recv() => self.on_event(event),
            transfer = self.transfers.next() => self.on_transfer(transfer),
            () = sleep_until(self.checkpoint_deadline.unwrap_or_else(Instant::now)),
                if self.checkpoint_deadline.is_some() => self.give_up_checkpoints(),
            () = self.stop.as_mut(), if !self.is_stopped => self.on_stop(),
            () = sleep_until(departs.unwrap_or_else(Instant::now)), if departs.is_some() => {
                self.depart();
            }
            // The caller checks `should_exit`.
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {}
        }
    }

    fn should_exit(&self) -> bool {
        (self.agent.may_exit() && self.announcement == Announcement::Done)
            || self.exit_deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    async fn wait_after(&mut self, disconnect: Disconnect) {
        let may_have_moved = self.may_have_moved(&disconnect);
        self.disconnect = Some(disconnect.clone());
        self.log_disconnect(disconnect.clone());
        let wait = if may_have_moved && self.find_again().await {
            self.pace.wait_after_change(rand::random())
        } else {
            self.pace.wait(&disconnect, rand::random())
        };
        self.run_until(sleep(wait)).await;
    }

    /// Whether another join string may help.
    fn may_have_moved(&mut self, disconnect: &Disconnect) -> bool {
        match disconnect {
            Disconnect::Refused(_) => true,
            Disconnect::Broken(_) => {
                self.follow.broken += 1;
                self.follow.broken >= BROKEN_ATTEMPTS || !self.coordinator.is_confirmed()
            }
            Disconnect::Postponed(_) => false,
        }
    }

    /// Reads the join string again. Returns whether it has changed.
    async fn find_again(&mut self) -> bool {
        let (coordinator, failed) = (self.coordinator.clone(), self.dialer.clone());
        let found = self.run_until(async move { coordinator.find_again(&failed).await }).await;
        match found {
            Some(Ok(Some(place))) => {
                self.log_change(&place);
                true
            }
            Some(Err(error)) => {
                if self.follow.logged.insert(error.to_string()) {
                    tracing::warn!("the join string cannot be read again: {error}");
                }
                false
            }
            Some(Ok(None)) | None => false,
        }
    }

    /// Logs once for each place that another join string is used.
    fn log_change(&mut self, place: &FoundIn) {
        let url = self.coordinator.current().url();
        if self.follow.logged.insert(format!("{place}: {url}")) {
            tracing::info!("going on with the join string of {place}, at {url}");
        }
    }

    fn on_message(&mut self, message: ToWorker, heartbeat: &mut Option<Interval>) {
        match &message {
            ToWorker::Welcome { heartbeat_ms, lease_ttl_ms, .. } => {
                *heartbeat = Some(heartbeat_interval(*heartbeat_ms));
                self.pace.on_welcome(*lease_ttl_ms);
                self.logged = None;
                self.follow = Follow::default();
                self.coordinator.confirm();
                self.disconnect = None;
                if self.announcement == Announcement::Sent {
                    self.announcement = Announcement::Done;
                }
                tracing::info!(held = self.agent.held_leases(), "connected to {}", self.url());
            }
            ToWorker::Revoke { lease, reason } => {
                self.in_trial_span(*lease, || tracing::info!("trial revoked: {reason}"));
            }
            ToWorker::Stop { lease, reason } => {
                self.in_trial_span(*lease, || tracing::info!("trial stopped: {reason}"));
            }
            ToWorker::Park { lease } => {
                self.in_trial_span(*lease, || tracing::debug!("trial parked"));
            }
            ToWorker::Unpark { lease } => {
                self.in_trial_span(*lease, || tracing::debug!("trial unparked"));
            }
            ToWorker::Drain => {
                let held = self.agent.held_leases();
                tracing::info!(held, "draining: training the held trials to their ends")
            }
            ToWorker::Grant(_) | ToWorker::Ack { .. } => {}
        }
        self.agent.on_message(message);
        self.run_commands();
    }

    fn refuse_grant(&mut self, lease: LeaseId, problem: &Problem) {
        let message = format!("it does not understand the grant: {problem}");
        tracing::warn!("trial given back: {message}");
        self.agent.refuse_grant(lease, message);
    }

    fn on_event(&mut self, event: RunnerEvent) {
        if let RunnerEvent::Ended { lease, end } = &event {
            self.runners.forget(*lease);
            self.log_end(*lease, end);
        }
        self.agent.on_event(event);
        self.run_commands();
    }

    fn on_stop(&mut self) {
        self.is_stopped = true;
        let held = self.agent.held_leases();
        tracing::info!(held, "stopping: giving unfinished trials back with their checkpoints");
        self.stop_until(Instant::now() + CHECKPOINT_TIMEOUT);
    }

    /// Gives the leases back with the checkpoints that are stored by then, or by the deadline of an
    /// earlier call.
    fn stop_until(&mut self, checkpoints: Instant) {
        let earlier = |known: Option<Instant>, new| Some(known.map_or(new, |known| known.min(new)));
        self.checkpoint_deadline = earlier(self.checkpoint_deadline, checkpoints);
        self.exit_deadline = earlier(self.exit_deadline, checkpoints + DELIVERY_TIMEOUT);
        self.agent.stop();
        self.run_commands();
    }

    fn give_up_checkpoints(&mut self) {
        self.checkpoint_deadline = None;
        self.agent.stop_waiting();
        self.run_commands();
    }

    /// Passes on a checkpoint that was stored or fetched, or could not be.
    fn on_transfer(&mut self, transfer: Transfer) {
        match transfer {
            Transfer::Stored { lease, result } => {
                self.in_trial_span(lease, || match &result {
                    Ok(checkpoint) => {
                        let Checkpoint { epoch, batch, blob } = checkpoint;
                        tracing::info!(epoch, batch, bytes = blob.bytes, "checkpoint stored");
                    }
                    Err(error) => tracing::warn!("a checkpoint is not stored: {error}"),
                });
                self.runners.checkpoint_handled(lease);
                self.agent.on_stored(lease, result.ok());
            }
            Transfer::ModelStored { lease, result } => {
                self.in_trial_span(lease, || match &result {
                    Ok(StoredModel { epoch, blob }) => {
                        tracing::info!(epoch, bytes = blob.bytes, "model stored");
                    }
                    Err(error) => tracing::warn!("the model of the trial is not stored: {error}"),
                });
                self.agent.on_model_stored(lease, result.ok());
            }
            Transfer::Fetched { lease, result } => self.runners.deliver(lease, result),
        }
        self.run_commands();
    }

    /// Leaves as far as the idle timeout or the time limit ask for it now.
    fn depart(&mut self) {
        let rules = self.leave.rules();
        let Some(departure) = self.leave.take_due(Instant::now()) else { return };
        tracing::info!("{}", departure.message(rules, self.agent.held_leases()));
        match departure {
            Departure::LimitReached { checkpoints_by } => {
                return self.stop_until(checkpoints_by.max(Instant::now() + CHECKPOINT_TIMEOUT));
            }
            Departure::Idle => {
                self.exit_deadline = Some(Instant::now() + EXIT_TIMEOUT);
                self.failure = self.not_connected();
            }
            Departure::LimitNear => {}
        }
        if self.agent.is_connected() {
            self.announcement = Announcement::Wanted;
        }
        self.agent.drain();
        self.run_commands();
    }

    /// What is wrong if the worker leaves now although it has nothing to do; `None` if it is
    /// connected.
    fn not_connected(&self) -> Option<WorkerError> {
        if self.agent.is_connected() {
            return None;
        }
        let reason = self.disconnect.as_ref().map_or_else(
            || "the first attempt to connect has not ended yet".to_owned(),
            Disconnect::to_string,
        );
        Some(WorkerError::NotConnected { url: self.url(), reason })
    }

    /// Carries out the agent's commands to the runners.
    fn run_commands(&mut self) {
        self.leave.note_held(self.agent.held_leases(), Instant::now());
        while let Some(command) = self.agent.next_command() {
            match command {
                Command::Cancel(lease) => {
                    self.runners.cancel(lease);
                    self.transfers.stop_fetch(lease);
                }
                Command::Leave(lease) => {
                    self.runners.leave(lease);
                    self.transfers.stop_fetch(lease);
                }
                Command::Fetch(lease, blob) => self.transfers.fetch(lease, blob),
                Command::Store(lease, state) => self.transfers.store(lease, *state),
                Command::StoreModel(lease, model) => self.transfers.store_model(lease, *model),
                Command::Discard(lease) => self.runners.checkpoint_handled(lease),
                Command::Park(lease) => self.runners.set_parked(lease, true),
                Command::Unpark(lease) => self.runners.set_parked(lease, false),
                Command::Start(grant) => {
                    let lease = grant.lease;
                    if let Err(error) = self.runners.start(grant) {
                        let message = format!("cannot start a thread for training: {error}");
                        let end = End::Unable { message };
                        self.log_end(lease, &end);
                        self.agent.on_event(RunnerEvent::Ended { lease, end });
                    }
                }
            }
        }
    }

    /// Logs how an attempt ended. If the lease is no longer held, its revocation or release was
    /// logged before.
    fn log_end(&self, lease: LeaseId, end: &End) {
        self.in_trial_span(lease, || match end {
            End::Finished(result) => {
                let outcome = result.outcome.state().name();
                let (seconds, epochs) = (result.seconds, result.last.map_or(0, |last| last.epoch));
                tracing::info!(outcome, epochs, seconds, "trial finished");
            }
            End::Unable { message } | End::TooLarge { message } => {
                tracing::warn!("trial given back: {message}");
            }
            End::Cancelled => tracing::info!("trial given back"),
        });
    }

    /// Calls `log` in a span that names the attempt of a held lease. No-op if the lease is not
    /// held.
    fn in_trial_span(&self, lease: LeaseId, log: impl FnOnce()) {
        let Some(attempt) = self.agent.attempt(lease) else { return };
        // A span of a lower level would be disabled together with the logs of that level, and the
        // warnings inside would no longer name the trial.
        let span = tracing::error_span!(
            "trial",
            sweep = %attempt.sweep,
            trial = %attempt.trial,
            attempt = %attempt.number,
        );
        span.in_scope(log);
    }

    /// Logs a disconnect once, and not again for each failed attempt to reconnect.
    fn log_disconnect(&mut self, disconnect: Disconnect) {
        let url = self.url();
        let is_new = match (&self.logged, &disconnect) {
            (Some(Disconnect::Broken(_)), Disconnect::Broken(_)) => false,
            (before, now) => before.as_ref() != Some(now),
        };
        if !is_new {
            return;
        }
        match &disconnect {
            Disconnect::Broken(why) => tracing::warn!(
                held = self.agent.held_leases(),
                "no connection to {url}, trying again until it is back: {why}"
            ),
            Disconnect::Postponed(why) => {
                tracing::warn!("{url} does not accept this worker yet, trying again: {why}")
            }
            Disconnect::Refused(why) => {
                tracing::error!("{url} refuses this worker, trying again every few seconds: {why}");
            }
        }
        self.logged = Some(disconnect);
    }

    fn url(&self) -> String {
        self.dialer.url()
    }

    fn log_exit(&self) {
        match self.agent.held_leases() {
            0 => tracing::info!("exiting"),
            held => tracing::warn!(
                held,
                "exiting; results that were not delivered in time will be trained again"
            ),
        }
    }
}

fn heartbeat_interval(interval_ms: u64) -> Interval {
    let (shortest, longest) = HEARTBEAT_INTERVALS;
    let every = Duration::from_millis(interval_ms).clamp(shortest, longest);
    let mut interval = interval_at(Instant::now() + every, every);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Waits for the next heartbeat. Never returns before the Welcome, which sets the interval.
async fn heartbeat_due(heartbeat: &mut Option<Interval>) {
    match heartbeat {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}
