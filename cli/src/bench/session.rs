//! One session of a simulated worker, on a connection of its own.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, anyhow};
use caviar_proto::v1;
use caviar_proto::v1::worker_message::Kind;
use tokio::time::{Interval, MissedTickBehavior, interval_at};

use super::grpc::{Call, Transport, connect};
use super::route::Route;
use super::statistics::Tally;
use super::worker::{Outcome, Worker};

/// The call of a worker.
const WORK: &str = "caviar.v1.WorkerService/Work";

/// An open session.
#[derive(Debug)]
pub(crate) struct Session {
    call: Call,
    transport: Transport,
    worker: Worker,
    tally: Arc<Tally>,
    /// `None` before Welcome.
    heartbeat: Option<Interval>,
    /// Whether a message has arrived since the last heartbeat.
    has_heard: bool,
}

impl Session {
    /// Connects, sends Hello, and waits until the coordinator accepts the worker.
    pub(crate) async fn open(
        route: &Route,
        worker: Worker,
        tally: Arc<Tally>,
    ) -> anyhow::Result<Self> {
        let (caller, transport) = connect(route).await.context("connecting")?;
        let call = caller.call(WORK, &worker.hello(), false).await?;
        let mut session = Self { call, transport, worker, tally, heartbeat: None, has_heard: true };
        while session.heartbeat.is_none() {
            session.step().await?;
        }
        Ok(session)
    }

    /// Answers messages until the connection ends. Returns the worker, and why it ended.
    pub(crate) async fn serve(mut self) -> (Worker, anyhow::Error) {
        loop {
            if let Err(error) = self.step().await {
                return (self.worker, error);
            }
        }
    }

    /// Handles one message, reports what has ended, or sends a heartbeat.
    async fn step(&mut self) -> anyhow::Result<()> {
        tokio::select! {
            // Messages come first: the transport runs while none is complete.
            biased;
            message = self.call.next() => {
                self.on_message(message?.context("the coordinator ended the session")?)
            }
            ended = self.transport.run() => {
                ended?;
                Err(anyhow!("the coordinator closed the connection"))
            }
            () = ended(self.worker.next_end()) => self.report(),
            () = due(&mut self.heartbeat) => self.beat().await,
        }
    }

    fn on_message(&mut self, message: v1::CoordinatorMessage) -> anyhow::Result<()> {
        let now = Instant::now();
        self.has_heard = true;
        let (outcome, answer) = self.worker.on_message(message, now)?;
        if let Outcome::Welcomed { heartbeat } = outcome {
            let mut interval = interval_at(tokio::time::Instant::now() + heartbeat, heartbeat);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            self.heartbeat = Some(interval);
        }
        self.tally.add(outcome, now);
        answer.map_or(Ok(()), |answer| self.call.send(&answer))
    }

    /// Reports the epochs that have ended.
    fn report(&mut self) -> anyhow::Result<()> {
        while let Some(report) = self.worker.next_report(Instant::now()) {
            self.call.send(&report)?;
        }
        Ok(())
    }

    /// Sends a heartbeat. A worker also checks a connection on which nothing arrives with a ping.
    async fn beat(&mut self) -> anyhow::Result<()> {
        if !std::mem::take(&mut self.has_heard) {
            self.transport.ping().await?;
        }
        let kind = Some(Kind::Heartbeat(v1::Heartbeat::default()));
        self.call.send(&v1::WorkerMessage { kind })
    }
}

/// Ready when the epoch that ends next has ended; never without a running epoch.
async fn ended(epoch_end: Option<Instant>) {
    match epoch_end {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Ready when the next heartbeat is due; never before Welcome.
async fn due(heartbeat: &mut Option<Interval>) {
    match heartbeat {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
}
