//! A prober that asks about the sweeps at a fixed rate while they run, on a connection of its own.
//!
//! A request is due at its time whether or not earlier ones were answered, and its latency counts
//! from then. So a coordinator that stops for a second delays every request of that second.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use caviar_proto::v1;
use serde::Serialize;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::grpc::{Caller, connect};
use super::load::{Load, sweep_name};
use super::route::Route;
use super::statistics::{Durations, Percentiles};

/// Most requests that wait for a reply. Further ones are sent late, which counts as their latency.
const MAX_WAITING: usize = 128;
/// How long the last replies may take.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(120);

/// The requests, in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Query {
    Sweep,
    Best,
    ByNumber,
    ByObjective,
}

impl Query {
    const ALL: [Self; 4] = [Self::Sweep, Self::Best, Self::ByNumber, Self::ByObjective];

    async fn ask(self, caller: &Caller, sweep: String) -> anyhow::Result<()> {
        let page = |order: v1::TrialOrder| v1::ListTrialsRequest {
            sweep: sweep.clone(),
            order: order.into(),
            ..Default::default()
        };
        match self {
            Self::Sweep => {
                caller
                    .unary("caviar.v1.SweepService/GetSweep", &v1::GetSweepRequest { sweep })
                    .await
            }
            Self::Best => {
                caller.unary("caviar.v1.SweepService/GetBest", &v1::GetBestRequest { sweep }).await
            }
            Self::ByNumber => caller.unary(LIST_TRIALS, &page(v1::TrialOrder::Unspecified)).await,
            Self::ByObjective => caller.unary(LIST_TRIALS, &page(v1::TrialOrder::Objective)).await,
        }
        .map(drop)
    }
}

const LIST_TRIALS: &str = "caviar.v1.SweepService/ListTrials";

/// The latencies of each kind of request, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Queries {
    pub(crate) get_sweep: Percentiles,
    pub(crate) get_best: Percentiles,
    pub(crate) list_trials_by_number: Percentiles,
    pub(crate) list_trials_by_objective: Percentiles,
}

/// A running prober. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Prober {
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<anyhow::Result<Queries>>,
}

impl Prober {
    /// Starts to ask about sweeps, one after the other, on a thread of its own: a thread that also
    /// serves the workers would read the replies late. Returns `None` for a load without requests.
    pub(crate) fn start(route: Route, load: &Load) -> anyhow::Result<Option<Self>> {
        let Some(period) = Duration::from_secs(1).checked_div(load.queries) else {
            return Ok(None);
        };
        let sweeps = load.sweeps;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let (report, ended) = oneshot::channel();
        let run = move || {
            let queries = runtime.block_on(probe(route, sweeps, period, stopped));
            // The benchmark may have failed by now.
            let _unread = report.send(queries);
        };
        thread::Builder::new().name("prober".to_owned()).spawn(run)?;
        Ok(Some(Self { stop, ended }))
    }

    /// Ends it, and waits for the replies to its last requests.
    pub(crate) async fn stop(self) -> anyhow::Result<Queries> {
        // It may have failed already.
        let _failed = self.stop.send(());
        self.ended.await.context("the prober panicked")?.context("the prober")
    }
}

type Reply = anyhow::Result<(Query, Duration)>;

async fn probe(
    route: Route,
    sweeps: u32,
    period: Duration,
    mut stopped: oneshot::Receiver<()>,
) -> anyhow::Result<Queries> {
    let (caller, mut transport) = connect(&route).await?;
    // A connection that ends fails the requests, and their errors are those that are reported.
    tokio::spawn(async move { transport.run().await });
    let mut timer = interval(period);
    timer.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut waiting, mut latencies) = (JoinSet::new(), Latencies::default());
    let queries = Query::ALL.into_iter().cycle();
    // Each kind of request goes to every sweep in turn.
    let places = (0..sweeps).flat_map(|place| [place; Query::ALL.len()]).cycle();
    for (query, place) in queries.zip(places) {
        let due = loop {
            tokio::select! {
                biased;
                _ = &mut stopped => return latencies.drain(waiting).await,
                Some(reply) = waiting.join_next() => latencies.add(reply?)?,
                due = timer.tick(), if waiting.len() < MAX_WAITING => break due.into_std(),
            }
        };
        waiting.spawn(timed(caller.clone(), query, sweep_name(place), due));
    }
    bail!("there are no sweeps to ask about")
}

async fn timed(caller: Caller, query: Query, sweep: String, due: Instant) -> Reply {
    query.ask(&caller, sweep).await?;
    Ok((query, due.elapsed()))
}

#[derive(Debug, Default)]
struct Latencies {
    sweep: Durations,
    best: Durations,
    by_number: Durations,
    by_objective: Durations,
}

impl Latencies {
    fn add(&mut self, reply: Reply) -> anyhow::Result<()> {
        let (query, latency) = reply?;
        let durations = match query {
            Query::Sweep => &mut self.sweep,
            Query::Best => &mut self.best,
            Query::ByNumber => &mut self.by_number,
            Query::ByObjective => &mut self.by_objective,
        };
        durations.push(latency);
        Ok(())
    }

    async fn drain(mut self, mut waiting: JoinSet<Reply>) -> anyhow::Result<Queries> {
        let replies = async {
            while let Some(reply) = waiting.join_next().await {
                self.add(reply?)?;
            }
            Ok::<(), anyhow::Error>(())
        };
        let after = DRAIN_TIMEOUT.as_secs();
        let replies = tokio::time::timeout(DRAIN_TIMEOUT, replies).await;
        replies.with_context(|| format!("no reply within {after} s"))??;
        Ok(Queries {
            get_sweep: self.sweep.percentiles(),
            get_best: self.best.percentiles(),
            list_trials_by_number: self.by_number.percentiles(),
            list_trials_by_objective: self.by_objective.percentiles(),
        })
    }
}
