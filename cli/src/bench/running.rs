//! A coordinator with sessions, and waiting for what the sessions count.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::child::Child;
use super::load::Load;
use super::progress::Progress;
use super::recovery::Acknowledged;
use super::sessions::Sessions;
use super::statistics::{Counts, Tally};

/// How often the counts are looked at.
const POLL: Duration = Duration::from_millis(5);
/// How long the coordinator may send nothing at all while something is expected.
const STALL: Duration = Duration::from_secs(300);
/// How long a coordinator that closes a session may take to exit, if that is why it did.
const EXIT_TIME: Duration = Duration::from_millis(200);

/// The coordinator and the sessions of all workers.
pub(crate) struct Running {
    child: Child,
    sessions: Sessions,
    tally: Arc<Tally>,
    progress: Progress,
}

/// What is waited for.
#[derive(Clone, Copy)]
pub(crate) struct Goal {
    /// The count that has to reach `target`.
    pub(crate) count: fn(&Counts) -> u64,
    pub(crate) target: u64,
    /// When to wait no longer.
    pub(crate) until: Option<Instant>,
    /// What is counted, such as `trials finished`.
    pub(crate) what: &'static str,
}

impl Running {
    /// Opens the sessions of all workers, and waits until the coordinator has accepted each.
    pub(crate) async fn connect(child: Child, load: &Load) -> anyhow::Result<Self> {
        let tally = Arc::<Tally>::default();
        let sessions = Sessions::open(child.route(), load, &tally);
        let mut running = Self { child, sessions, tally, progress: Progress::new() };
        let target = u64::from(load.workers);
        let count = |counts: &Counts| counts.welcomed;
        running.reach(Goal { count, target, until: None, what: "workers connected" }).await?;
        Ok(running)
    }

    /// The coordinator.
    pub(crate) const fn child(&self) -> &Child {
        &self.child
    }

    /// What the sessions have counted so far.
    pub(crate) fn counts(&self) -> Counts {
        self.tally.counts().clone()
    }

    /// Waits until a count reaches its target, or until its time is over.
    ///
    /// # Errors
    /// The coordinator or a session ends, or the coordinator sends nothing for a long time.
    pub(crate) async fn reach(&mut self, goal: Goal) -> anyhow::Result<()> {
        let (began, mut messages, mut heard) = (Instant::now(), 0, Instant::now());
        loop {
            let (value, now_messages) = {
                let counts = self.tally.counts();
                ((goal.count)(&counts), counts.messages)
            };
            if now_messages != messages {
                (messages, heard) = (now_messages, Instant::now());
            }
            if value >= goal.target || goal.until.is_some_and(|until| Instant::now() >= until) {
                self.progress.clear();
                return Ok(());
            }
            self.check().await?;
            let seconds = began.elapsed().as_secs();
            let state = || format!("{value} of {} {}", goal.target, goal.what);
            if heard.elapsed() > STALL {
                let after = STALL.as_secs();
                let what = format!("has sent nothing for {after} s: {}", state());
                return Err(self.child.failed(&what).into());
            }
            self.progress.show(|| format!("{}, {seconds} s", state()));
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits, while nothing happens but heartbeats.
    ///
    /// # Errors
    /// The coordinator or a session ends.
    pub(crate) async fn rest(&mut self, time: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        while began.elapsed() < time {
            self.check().await?;
            let seconds = began.elapsed().as_secs();
            self.progress.show(|| format!("idle, {seconds} of {} s", time.as_secs()));
            tokio::time::sleep(POLL).await;
        }
        self.progress.clear();
        Ok(())
    }

    /// Fails if the coordinator or a session has ended.
    async fn check(&mut self) -> anyhow::Result<()> {
        if let Some(failure) = self.sessions.failure() {
            tokio::time::sleep(EXIT_TIME).await;
            self.child.check()?;
            return Err(failure);
        }
        self.child.check()
    }

    /// `kill -9` of the coordinator. Returns what it had acknowledged until then.
    pub(crate) async fn kill(self) -> anyhow::Result<Acknowledged> {
        let Self { mut child, sessions, tally, progress: _ } = self;
        child.kill();
        // The sessions read what had arrived before their connections broke.
        let workers = sessions.ended().await?;
        let trials = tally.counts().trials_by_sweep.clone();
        Ok(Acknowledged { trials, workers })
    }
}
