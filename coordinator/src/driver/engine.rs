//! The driver's thread: it hears what is queued, decides for a few milliseconds, commits once, and
//! only then sends replies, effects and views. It repeats this while there is something to decide.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use caviar_common::ids::SessionId;
use caviar_core::Coordinator;
use caviar_core::event::Event;
use caviar_core::input::{Effect, Input, Refusal, Reply};
use tokio::sync::{mpsc, oneshot};

use super::DriverError;
use super::log::log;
use super::published::{Change, Sweeps};
use super::sessions::{CloseReason, Outgoing, Sessions};
use super::views::Views;
use crate::store::{self, Store};

/// How many commands share a commit at most. It bounds how long the first of them waits; chosen,
/// not measured.
const MAX_BATCH: usize = 1_024;

/// How long samplers may think while messages of workers wait. A worker does not notice a wait of
/// this length, because it sends a report and trains on; chosen, not measured.
const THINKING_TIME: Duration = Duration::from_millis(5);

/// Reads the state and sends its own result.
type View = Box<dyn FnOnce(&Coordinator) + Send>;
type ReplySender = oneshot::Sender<Result<Reply, Refusal>>;

/// What can be asked of the driver.
pub(super) enum Command {
    Apply { input: Input, reply: Option<ReplySender> },
    Read(View),
    Open { session: SessionId, outbox: mpsc::Sender<Outgoing>, reply: oneshot::Sender<bool> },
    Close { session: SessionId, reason: Option<CloseReason> },
    CloseAll,
    Stop,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Apply { .. } => "Apply",
            Self::Read(_) => "Read",
            Self::Open { .. } => "Open",
            Self::Close { .. } => "Close",
            Self::CloseAll => "CloseAll",
            Self::Stop => "Stop",
        })
    }
}

/// What waits for the commit.
enum AfterCommit {
    Reply(ReplySender, Result<Reply, Refusal>),
    Effect(Effect),
    Read(View),
    Close(SessionId, Option<CloseReason>),
    CloseAll,
}

/// The events of one commit, and what waits for it.
#[derive(Default)]
struct Batch {
    events: Vec<Event>,
    after: Vec<AfterCommit>,
    stop: bool,
}

/// The state machine, the store, the sessions of workers and the views of sweeps.
pub(super) struct Engine {
    core: Coordinator,
    store: Box<dyn Store>,
    sessions: Sessions,
    /// Sessions that were closed while effects were carried out. The state machine hears of them in
    /// the next batch.
    lost: Vec<SessionId>,
    views: Views,
    started: Instant,
    /// See [`THINKING_TIME`]. A sampler that is at work on a trial is not interrupted.
    thinking_time: Duration,
    is_all_decided: bool,
}

impl Engine {
    pub(super) fn new(core: Coordinator, store: Box<dyn Store>, sweeps: Arc<Sweeps>) -> Self {
        let views = Views::new(&core, sweeps);
        let (sessions, lost, started) = (Sessions::default(), Vec::new(), Instant::now());
        let (thinking_time, is_all_decided) = (THINKING_TIME, true);
        Self { core, store, sessions, lost, views, started, thinking_time, is_all_decided }
    }

    /// Serves until a command stops it, or every handle is gone.
    pub(super) fn run(&mut self, mut queue: mpsc::Receiver<Command>) -> Result<(), DriverError> {
        let mut stop = false;
        while !stop {
            let mut commands = Vec::new();
            // While there are decisions to take, the thread does not wait for a command.
            if self.is_all_decided {
                let Some(first) = queue.blocking_recv() else { break };
                commands.push(first);
            }
            while commands.len() < MAX_BATCH
                && let Ok(next) = queue.try_recv()
            {
                commands.push(next);
            }
            stop = self.serve(commands)?;
        }
        Ok(())
    }

    /// Serves some commands with one commit. Returns true if one of them stops the driver.
    fn serve(&mut self, commands: Vec<Command>) -> Result<bool, DriverError> {
        let (began, thinking_time) = (Instant::now(), self.thinking_time);
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut batch = Batch::default();
        for session in std::mem::take(&mut self.lost) {
            self.hear(now, Input::SessionClosed(session), None, &mut batch)?;
        }
        for command in commands {
            match self.store.read_only_path().map(Path::to_owned) {
                Some(store) => Self::take_read_only(&store, command, &mut batch),
                None => self.take(now, command, &mut batch)?,
            }
            if batch.stop {
                break;
            }
        }
        self.decide(&mut || began.elapsed() < thinking_time, &mut batch)?;
        let changes = self.store(&batch)?;
        batch.events.iter().for_each(log);
        self.views.publish(changes);
        self.finish(batch.after);
        Ok(batch.stop)
    }

    /// Stores the events with what they have changed. Returns what is to be published.
    fn store(&mut self, batch: &Batch) -> Result<Vec<Change>, DriverError> {
        let rows = self.core.take_rows();
        let effects = batch.after.iter().filter_map(|item| {
            if let AfterCommit::Effect(effect) = item { Some(effect) } else { None }
        });
        let changes = self.views.changes(&self.core, &rows, effects);
        if batch.events.is_empty() {
            return Ok(changes);
        }
        let sweeps = rows.sweeps.iter().filter_map(|id| self.core.sweep(*id)).collect();
        let rows = store::Rows { sweeps, trials: rows.trials };
        let position = self.store.position();
        let (term, sequence) = (position.term, position.sequence + 1);
        let events = batch.events.clone();
        self.store.append(&store::Batch { term, sequence, events, rows })?;
        Ok(changes)
    }

    fn take(&mut self, now: u64, command: Command, batch: &mut Batch) -> Result<(), DriverError> {
        match command {
            Command::Apply { input, reply: None } => self.hear(now, input, None, batch)?,
            // A client that waits for a reply sees a state in which everything is decided, before
            // its request and after it.
            Command::Apply { input, reply } => {
                self.decide(&mut || true, batch)?;
                self.hear(now, input, reply, batch)?;
                self.decide(&mut || true, batch)?;
            }
            Command::Read(view) => batch.after.push(AfterCommit::Read(view)),
            Command::Open { session, outbox, reply } => {
                let is_accepted = self.sessions.insert(session, outbox);
                if reply.send(is_accepted).is_err() {
                    // The requester is gone and will never close the session.
                    self.sessions.close(session, None);
                }
            }
            Command::Close { session, reason } => {
                self.hear(now, Input::SessionClosed(session), None, batch)?;
                batch.after.push(AfterCommit::Close(session, reason));
            }
            Command::CloseAll => batch.after.push(AfterCommit::CloseAll),
            Command::Stop => batch.stop = true,
        }
        Ok(())
    }

    /// Takes a command of a client of a store that can only be read: views, but no inputs and no
    /// sessions of workers.
    fn take_read_only(store: &Path, command: Command, batch: &mut Batch) {
        match command {
            Command::Apply { input: _, reply: Some(reply) } => {
                let refusal = Refusal::ReadOnlyStore(store.display().to_string());
                batch.after.push(AfterCommit::Reply(reply, Err(refusal)));
            }
            Command::Apply { input: _, reply: None } | Command::Close { .. } => {}
            Command::Read(view) => batch.after.push(AfterCommit::Read(view)),
            // The requester may be gone.
            Command::Open { reply, .. } => drop(reply.send(false)),
            Command::CloseAll => batch.after.push(AfterCommit::CloseAll),
            Command::Stop => batch.stop = true,
        }
    }

    fn hear(
        &mut self,
        now: u64,
        input: Input,
        reply: Option<ReplySender>,
        batch: &mut Batch,
    ) -> Result<(), DriverError> {
        let step = self.core.hear(now, input)?;
        self.is_all_decided = false;
        batch.events.extend(step.events);
        if let Some(reply) = reply {
            batch.after.push(AfterCommit::Reply(reply, step.reply));
        }
        batch.after.extend(step.effects.into_iter().map(AfterCommit::Effect));
        Ok(())
    }

    /// Takes the decisions that are possible since the last input. A no-op after views only.
    fn decide(
        &mut self,
        may_continue: &mut dyn FnMut() -> bool,
        batch: &mut Batch,
    ) -> Result<(), DriverError> {
        if self.is_all_decided {
            return Ok(());
        }
        let decided = self.core.decide(may_continue)?;
        batch.events.extend(decided.events);
        batch.after.extend(decided.effects.into_iter().map(AfterCommit::Effect));
        self.is_all_decided = decided.is_all;
        Ok(())
    }

    /// Carries out what waited for the commit, in order.
    fn finish(&mut self, after: Vec<AfterCommit>) {
        for item in after {
            match item {
                // The requester may be gone.
                AfterCommit::Reply(sender, reply) => drop(sender.send(reply)),
                AfterCommit::Read(view) => view(&self.core),
                AfterCommit::Effect(Effect::Changed(_)) => {}
                AfterCommit::Effect(Effect::Send(session, message)) => {
                    if !self.sessions.send(session, message) {
                        tracing::warn!(session = session.0, "closed a session that does not read");
                        self.lost.push(session);
                    }
                }
                AfterCommit::Effect(Effect::Close(session, refusal)) => {
                    tracing::warn!(session = session.0, %refusal, "closed a session");
                    self.sessions.close(session, Some(CloseReason::Refused(refusal)));
                }
                AfterCommit::Close(session, reason) => {
                    self.sessions.close(session, reason);
                }
                AfterCommit::CloseAll => self.sessions.close_all(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use caviar_common::data::DataSummary;
    use caviar_common::ids::{Name, StoreId};
    use caviar_common::spec::file::parse;
    use caviar_core::input::Config;

    use super::*;
    use crate::store::{Events, Position, StoreError};

    /// A store that counts the events of each commit.
    #[derive(Debug, Default)]
    struct Commits(Arc<Mutex<Vec<usize>>>);

    impl Store for Commits {
        fn id(&self) -> StoreId {
            StoreId(1)
        }

        fn position(&self) -> Position {
            Position::default()
        }

        fn load(&mut self) -> Result<Box<dyn Events + '_>, StoreError> {
            unimplemented!("the test does not load")
        }

        fn append(&mut self, batch: &store::Batch) -> Result<(), StoreError> {
            self.0.lock().unwrap().push(batch.events.len());
            Ok(())
        }
    }

    #[test]
    fn decisions_that_take_long_are_taken_in_several_commits_without_further_input() {
        let commits = Arc::default();
        let core = Coordinator::new(Config::default(), StoreId(1));
        let mut engine = Engine::new(core, Box::new(Commits(Arc::clone(&commits))), Arc::default());
        engine.thinking_time = Duration::ZERO;
        let text = "name = \"x\"\n[data]\nsource = \"builtin:digits\"\n\
                    [search]\nstrategy = \"random\"\ntrials = 8\nparallelism = 8\n";
        let (spec, request_id) =
            (Box::new(parse(text).unwrap().spec), Name::parse("name", "r").unwrap());
        let input = Input::CreateSweep { request_id, spec, data: DataSummary::default() };
        let (commands, queue) = mpsc::channel(1);
        commands.try_send(Command::Apply { input, reply: None }).unwrap();
        drop(commands);
        engine.run(queue).unwrap();
        // The sweep with the first trial, and seven more trials.
        assert_eq!(*commits.lock().unwrap(), [2, 1, 1, 1, 1, 1, 1, 1]);
    }
}
