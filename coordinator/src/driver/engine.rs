//! The driver's thread: takes what is queued, decides for a few milliseconds, commits once, and
//! only then lets anything out; and again while there is something to decide.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use caviar_common::ids::{SessionId, SweepId};
use caviar_core::Coordinator;
use caviar_core::event::Event;
use caviar_core::input::{Effect, Input, Refusal, Reply};
use tokio::sync::{broadcast, mpsc, oneshot};

use super::DriverError;
use super::log::log;
use super::sessions::{CloseReason, Outgoing, Sessions};
use crate::store::{Store, StoreError, TimesPage};

/// Commands that share a commit at most.
const MAX_BATCH: usize = 1_024;

/// A worker that reports does not notice so long a wait.
const THINKING: Duration = Duration::from_millis(5);

/// A look at the state, which sends its result itself.
type Look = Box<dyn FnOnce(&Coordinator) + Send>;
type Answer = oneshot::Sender<Result<Reply, Refusal>>;
type TimesReply = oneshot::Sender<Result<TimesPage, StoreError>>;

/// What can be asked of the driver.
pub(super) enum Command {
    Apply { input: Input, reply: Option<Answer> },
    Read(Look),
    Times { sweep: SweepId, after: i64, reply: TimesReply },
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
            Self::Times { .. } => "Times",
            Self::Open { .. } => "Open",
            Self::Close { .. } => "Close",
            Self::CloseAll => "CloseAll",
            Self::Stop => "Stop",
        })
    }
}

/// What waits for the commit.
enum After {
    Reply(Answer, Result<Reply, Refusal>),
    Effect(Effect),
    Read(Look),
    Times(SweepId, i64, TimesReply),
    Close(SessionId, Option<CloseReason>),
    CloseAll,
}

/// A batch on its way to the store.
#[derive(Default)]
struct Batch {
    events: Vec<Event>,
    after: Vec<After>,
    stop: bool,
}

/// The state machine, the store, and those who listen.
pub(super) struct Engine {
    core: Coordinator,
    store: Box<dyn Store>,
    sessions: Sessions,
    /// Sessions that were closed while effects were carried out; the state machine hears of them in
    /// the next batch.
    lost: Vec<SessionId>,
    changes: broadcast::Sender<SweepId>,
    started: Instant,
    /// How long samplers may think while what workers say waits; the trial that one is at is not
    /// interrupted.
    thinking: Duration,
    is_all_decided: bool,
}

impl Engine {
    pub(super) fn new(
        core: Coordinator,
        store: Box<dyn Store>,
        changes: broadcast::Sender<SweepId>,
    ) -> Self {
        let (sessions, lost, started) = (Sessions::default(), Vec::new(), Instant::now());
        Self {
            core,
            store,
            sessions,
            lost,
            changes,
            started,
            thinking: THINKING,
            is_all_decided: true,
        }
    }

    /// Serves until it is told to stop, or every handle is gone.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Command>) -> Result<(), DriverError> {
        let mut stop = false;
        while !stop {
            let mut commands = Vec::new();
            // With decisions left to take, there is no waiting.
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

    /// Whether to stop.
    fn serve(&mut self, commands: Vec<Command>) -> Result<bool, DriverError> {
        let (began, thinking) = (Instant::now(), self.thinking);
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut batch = Batch::default();
        for session in std::mem::take(&mut self.lost) {
            self.hear(now, Input::SessionClosed(session), None, &mut batch)?;
        }
        for command in commands {
            self.take(now, command, &mut batch)?;
            if batch.stop {
                break;
            }
        }
        self.decide(&mut || began.elapsed() < thinking, &mut batch)?;
        self.store.append(&batch.events)?;
        batch.events.iter().for_each(log);
        self.let_out(batch.after);
        Ok(batch.stop)
    }

    fn take(&mut self, now: u64, command: Command, batch: &mut Batch) -> Result<(), DriverError> {
        match command {
            Command::Apply { input, reply: None } => self.hear(now, input, None, batch)?,
            // Whoever waits for an answer hears of a state in which everything is decided, and asks
            // for it to be changed from such a one.
            Command::Apply { input, reply } => {
                self.decide(&mut || true, batch)?;
                self.hear(now, input, reply, batch)?;
                self.decide(&mut || true, batch)?;
            }
            Command::Read(look) => batch.after.push(After::Read(look)),
            Command::Times { sweep, after, reply } => {
                batch.after.push(After::Times(sweep, after, reply));
            }
            Command::Open { session, outbox, reply } => {
                let accepted = self.sessions.insert(session, outbox);
                if reply.send(accepted).is_err() {
                    // Whoever asked went away before it knew of the session.
                    self.sessions.close(session, None);
                }
            }
            Command::Close { session, reason } => {
                self.hear(now, Input::SessionClosed(session), None, batch)?;
                batch.after.push(After::Close(session, reason));
            }
            Command::CloseAll => batch.after.push(After::CloseAll),
            Command::Stop => batch.stop = true,
        }
        Ok(())
    }

    fn hear(
        &mut self,
        now: u64,
        input: Input,
        reply: Option<Answer>,
        batch: &mut Batch,
    ) -> Result<(), DriverError> {
        let step = self.core.hear(now, input)?;
        self.is_all_decided = false;
        batch.events.extend(step.events);
        if let Some(reply) = reply {
            batch.after.push(After::Reply(reply, step.reply));
        }
        batch.after.extend(step.effects.into_iter().map(After::Effect));
        Ok(())
    }

    /// Decides what there is to decide since something was heard; nothing for those who only look.
    fn decide(
        &mut self,
        go_on: &mut dyn FnMut() -> bool,
        batch: &mut Batch,
    ) -> Result<(), DriverError> {
        if self.is_all_decided {
            return Ok(());
        }
        let decided = self.core.decide(go_on)?;
        batch.events.extend(decided.events);
        batch.after.extend(decided.effects.into_iter().map(After::Effect));
        self.is_all_decided = decided.is_all;
        Ok(())
    }

    /// Carries out what waited for the commit, in order.
    fn let_out(&mut self, after: Vec<After>) {
        let mut changed = BTreeSet::new();
        for item in after {
            match item {
                // Whoever asked may have gone away.
                After::Reply(reply, answer) => drop(reply.send(answer)),
                After::Read(look) => look(&self.core),
                // The client may have gone away.
                After::Times(sweep, after, reply) => {
                    drop(reply.send(self.store.trial_times(sweep, after)));
                }
                After::Effect(Effect::Changed(sweep)) => drop(changed.insert(sweep)),
                After::Effect(Effect::Send(session, message)) => {
                    if !self.sessions.say(session, message) {
                        tracing::warn!(session = session.0, "closed a session that does not read");
                        self.lost.push(session);
                    }
                }
                After::Effect(Effect::Close(session, refusal)) => {
                    tracing::warn!(session = session.0, %refusal, "closed a session");
                    self.sessions.close(session, Some(CloseReason::Refused(refusal)));
                }
                After::Close(session, reason) => {
                    self.sessions.close(session, reason);
                }
                After::CloseAll => self.sessions.close_all(),
            }
        }
        for sweep in changed {
            // Nobody may be watching.
            let _ = self.changes.send(sweep);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use caviar_common::data::DataSummary;
    use caviar_common::ids::{Name, StoreId};
    use caviar_common::spec::file::parse;
    use caviar_core::input::Config;

    use super::*;
    use crate::store::StoreError;

    /// How many events each commit had.
    #[derive(Debug, Default)]
    struct Commits(Arc<Mutex<Vec<usize>>>);

    impl Store for Commits {
        fn id(&self) -> StoreId {
            StoreId(1)
        }

        fn load(&mut self) -> Result<Vec<(i64, Event)>, StoreError> {
            Ok(Vec::new())
        }

        fn append(&mut self, events: &[Event]) -> Result<(), StoreError> {
            self.0.lock().unwrap().push(events.len());
            Ok(())
        }
    }

    #[test]
    fn what_takes_long_to_decide_is_decided_in_pieces_though_nobody_says_more() {
        let commits = Arc::default();
        let core = Coordinator::new(Config::default(), StoreId(1));
        let mut engine =
            Engine::new(core, Box::new(Commits(Arc::clone(&commits))), broadcast::channel(16).0);
        engine.thinking = Duration::ZERO;
        let text = "name = \"x\"\n[data]\nsource = \"builtin:digits\"\n[search]\nstrategy = \"random\"\ntrials = 8\nparallelism = 8\n";
        let (spec, request_id) =
            (Box::new(parse(text).unwrap().spec), Name::parse("name", "r").unwrap());
        let input = Input::CreateSweep { request_id, spec, data: DataSummary::default() };
        let (commands, queue) = mpsc::channel(1);
        commands.try_send(Command::Apply { input, reply: None }).unwrap();
        drop(commands);
        engine.run(queue).unwrap();
        // The sweep and a trial, one trial at a time, and that there is no more.
        assert_eq!(*commits.lock().unwrap(), [2, 1, 1, 1, 1, 1, 1, 1, 0]);
    }
}
