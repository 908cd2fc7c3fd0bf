//! The driver's thread: it hears what is queued and decides. The committer stores what it decided
//! and carries it out, while this thread goes on with the next batch.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use caviar_common::ids::SessionId;
use caviar_core::Coordinator;
use caviar_core::event::{Event, Payload};
use caviar_core::input::{Effect, Input, Refusal, Reply, WaiterId};
use tokio::sync::mpsc;

use super::batch::{AfterCommit, Batch};
use super::command::{AnswerSender, Command, Loading, ReplySender};
use super::loader::Loader;
use super::samplers::SamplerPool;
use super::snapshots::Progress;
use super::views::Views;
use super::{DriverError, Helpers};
use crate::store::{self, Position, StoreError};

/// How many commands share a commit at most. It bounds how long the first of them waits; chosen,
/// not measured.
const MAX_COMMANDS: usize = 1_024;

/// How long decisions may be taken while messages of workers wait. A worker does not notice a wait
/// of this length, because it sends a report and trains on; chosen, not measured.
const THINKING_TIME: Duration = Duration::from_millis(5);

/// Decisions after which the size of a batch is looked at. Each may add an assignment of 256 KiB.
const DECISIONS_AT_ONCE: u32 = 32;

/// Sessions that the committer has closed, because their outboxes were full. The state machine
/// hears of them in the next batch.
#[derive(Clone, Debug, Default)]
pub(super) struct LostSessions(Arc<Mutex<Vec<SessionId>>>);

impl LostSessions {
    pub(super) fn push(&self, session: SessionId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    }

    fn take(&self) -> Vec<SessionId> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The number of batches that were handed over and are not carried out yet.
#[derive(Clone, Debug, Default)]
pub(super) struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    /// The number once the committer has ended.
    const ENDED: usize = usize::MAX / 2;

    fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }

    fn add(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    /// The committer has carried out a batch, and wakes the driver next.
    pub(super) fn remove(&self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }

    /// The committer has ended, and wakes the driver next.
    pub(super) fn end(&self) {
        self.0.fetch_add(Self::ENDED, Ordering::AcqRel);
    }

    fn has_ended(&self) -> bool {
        self.count() >= Self::ENDED
    }
}

/// The committer has ended, so that nothing can be stored. It says why.
pub(super) struct CommitterGone;

/// Why the driver's thread ended early.
pub(super) enum Halted {
    Broken(DriverError),
    CommitterGone,
}

impl From<CommitterGone> for Halted {
    fn from(_: CommitterGone) -> Self {
        Self::CommitterGone
    }
}

impl From<caviar_core::Broken> for Halted {
    fn from(broken: caviar_core::Broken) -> Self {
        Self::Broken(broken.into())
    }
}

/// The state machine, and what is known of the batches after it.
pub(super) struct Engine {
    core: Coordinator,
    views: Views,
    batches: SyncSender<Batch>,
    /// The last batch with events that was handed over.
    position: Position,
    /// The store's file, if it can only be read.
    read_only: Option<PathBuf>,
    lost: LostSessions,
    under_way: UnderWay,
    /// Asks the samplers.
    samplers: SamplerPool,
    /// Loads sweeps that have ended.
    loader: Loader,
    /// What has happened since the last snapshot.
    progress: Progress,
    /// The external clients that wait for an answer.
    waiting: BTreeMap<WaiterId, AnswerSender>,
    started: Instant,
    /// See [`THINKING_TIME`].
    thinking_time: Duration,
    is_all_decided: bool,
}

impl Engine {
    pub(super) fn new(
        (core, progress): (Coordinator, Progress),
        views: Views,
        batches: SyncSender<Batch>,
        (position, read_only): (Position, Option<PathBuf>),
        (lost, under_way, (samplers, loader)): (LostSessions, UnderWay, Helpers),
    ) -> Self {
        let waiting = BTreeMap::new();
        let (started, thinking_time, is_all_decided) = (Instant::now(), THINKING_TIME, true);
        Self {
            core,
            views,
            batches,
            position,
            read_only,
            lost,
            under_way,
            samplers,
            loader,
            progress,
            waiting,
            started,
            thinking_time,
            is_all_decided,
        }
    }

    /// Serves until a command stops it, or every handle is gone.
    pub(super) fn run(&mut self, queue: &mut mpsc::Receiver<Command>) -> Result<(), Halted> {
        let mut batch = Batch::default();
        loop {
            // The wake that the end of the committer sent may have been served with the last
            // commands, and no other one follows.
            if self.under_way.has_ended() {
                return Err(Halted::CommitterGone);
            }
            // While there are decisions to take, the thread does not wait for a command.
            let first = if self.is_all_decided {
                match queue.blocking_recv() {
                    Some(first) => Some(first),
                    None => break,
                }
            } else {
                None
            };
            if self.under_way.has_ended() {
                return Err(Halted::CommitterGone);
            }
            if self.serve(first, queue, &mut batch)? {
                break;
            }
            if self.is_due(&batch) {
                self.hand_over(std::mem::take(&mut batch), false)?;
            }
        }
        Ok(self.hand_over(batch, true)?)
    }

    /// True if the batch should go to the committer now. While that is busy, the batch grows, so
    /// that its commands share a commit. A large batch is handed over already, so that the
    /// committer does not wait for this thread. The committer wakes this thread after each commit.
    fn is_due(&self, batch: &Batch) -> bool {
        match self.under_way.count() {
            0 => true,
            1 => batch.is_large(),
            _ => batch.is_full(),
        }
    }

    /// Serves the queued commands. Returns true if one of them stops the driver.
    fn serve(
        &mut self,
        first: Option<Command>,
        queue: &mut mpsc::Receiver<Command>,
        batch: &mut Batch,
    ) -> Result<bool, Halted> {
        let until = Instant::now() + self.thinking_time;
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut views = Vec::new();
        for session in self.lost.take() {
            self.hear(now, Input::SessionClosed(session), None, batch)?;
        }
        let (mut next, mut count, mut stop) = (first, 0, false);
        while let Some(command) = next.take().or_else(|| queue.try_recv().ok()) {
            stop = matches!(command, Command::Stop);
            if let Command::Read(view) = command {
                views.push(view);
            } else if self.read_only.is_some() && !command.is_about_loading() {
                self.take_read_only(command, batch);
            } else {
                self.take(now, command, batch)?;
            }
            count += 1;
            if stop || count == MAX_COMMANDS || batch.is_full() {
                break;
            }
        }
        self.decide(until, batch)?;
        batch.after.extend(views.into_iter().map(|view| AfterCommit::Deliver(view(&self.core))));
        Ok(stop)
    }

    /// Gives a batch with what it has changed to the committer. Waits while the committer has one
    /// batch at hand and another one before it.
    fn hand_over(&mut self, mut batch: Batch, is_last: bool) -> Result<(), CommitterGone> {
        for event in &batch.stored.events {
            if matches!(event.payload, Payload::SweepExtended(_)) {
                self.progress.reopen(event.sweep);
                self.loader.reopen(event.sweep);
            }
        }
        batch.capture = self.progress.capture(&self.core, &batch.stored.events, is_last);
        let rows = self.core.take_rows();
        batch.changes = self.views.changes(&self.core, &rows, batch.effects());
        if !batch.stored.events.is_empty() {
            self.position.sequence += 1;
            let Position { term, sequence } = self.position;
            let sweeps = rows.sweeps.iter().filter_map(|id| self.core.sweep(*id)).collect();
            batch.stored.rows = store::Rows { sweeps, trials: rows.trials };
            (batch.stored.term, batch.stored.sequence) = (term, sequence);
        }
        self.loader.unload(&mut self.core, self.progress.take_saved());
        if batch.is_empty() {
            return Ok(());
        }
        self.under_way.add();
        self.batches.send(batch).map_err(|_| CommitterGone)
    }

    /// Takes a command, or keeps it until a sweep that it needs is loaded.
    fn take(&mut self, now: u64, command: Command, batch: &mut Batch) -> Result<(), Halted> {
        match command.needs(&self.core) {
            Some(sweep) => {
                self.loader.wait(&self.core, sweep, command);
                Ok(())
            }
            None => self.take_now(now, command, batch),
        }
    }

    fn take_now(&mut self, now: u64, command: Command, batch: &mut Batch) -> Result<(), Halted> {
        match command {
            Command::Apply { input: input @ Input::Tick, reply } => {
                self.forget_lost_clients(now, batch)?;
                self.hear(now, input, reply, batch)?;
            }
            Command::Apply { input, reply } => self.hear(now, input, reply, batch)?,
            Command::Ask { input, waiter, answer } => {
                self.waiting.insert(waiter, answer);
                let step = self.core.hear(now, input)?;
                self.is_all_decided = false;
                self.add(step.events, step.effects, batch);
                if let Err(refusal) = step.reply
                    && let Some(answer) = self.waiting.remove(&waiter)
                {
                    batch.after.push(AfterCommit::Answer(answer, Err(refusal)));
                }
            }
            Command::Open { session, outbox, reply } => {
                batch.after.push(AfterCommit::Open(session, outbox, reply));
            }
            Command::Close { session, reason } => {
                self.hear(now, Input::SessionClosed(session), None, batch)?;
                batch.after.push(AfterCommit::Close(session, reason));
            }
            Command::CloseAll => batch.after.push(AfterCommit::CloseAll),
            Command::Load { sweep: _, reply } => {
                batch.after.push(AfterCommit::Reply(reply, Ok(Reply::Done)));
            }
            Command::Loaded(loading) => self.take_loaded(now, loading, batch)?,
            Command::Read(_) | Command::Wake | Command::Stop => {}
        }
        Ok(())
    }

    /// Takes the commands that waited for a sweep. If that cannot be read, those that still need it
    /// are refused.
    fn take_loaded(
        &mut self,
        now: u64,
        (sweep, loaded): Loading,
        batch: &mut Batch,
    ) -> Result<(), Halted> {
        let commands = match (loaded, self.core.record().sweep(sweep)) {
            (Ok(loaded), _) => self.loader.loaded(&mut self.core, *loaded),
            // It was deleted in the meantime.
            (Err(_), None) => self.loader.take(sweep),
            (Err(error), Some(unreadable)) => {
                let name = unreadable.spec().name.clone();
                let reason = error.to_string();
                tracing::error!(%name, "the results of a sweep cannot be read: {reason}");
                if matches!(error, StoreError::Corrupt { .. }) {
                    batch.after.push(AfterCommit::ForgetSnapshot(sweep));
                }
                let refusal = Refusal::Unreadable { name, reason };
                let commands = self.loader.take(sweep).into_iter();
                batch.after.extend(commands.filter_map(|command| command.refused(&refusal)));
                return Ok(());
            }
        };
        commands.into_iter().try_for_each(|command| self.take(now, command, batch))
    }

    /// Takes a command of a client of a store that can only be read: no inputs and no sessions of
    /// workers.
    fn take_read_only(&self, command: Command, batch: &mut Batch) {
        let store = self.read_only.iter().map(|path| path.display().to_string()).collect();
        match command {
            Command::Ask { answer, .. } => {
                batch.after.push(AfterCommit::Answer(answer, Err(Refusal::ReadOnlyStore(store))));
            }
            Command::Apply { input: _, reply: Some(reply) } => {
                batch.after.push(AfterCommit::Reply(reply, Err(Refusal::ReadOnlyStore(store))));
            }
            // The requester may be gone.
            Command::Open { reply, .. } => drop(reply.send(false)),
            Command::CloseAll => batch.after.push(AfterCommit::CloseAll),
            Command::Apply { input: _, reply: None }
            | Command::Close { .. }
            | Command::Load { .. }
            | Command::Loaded(_)
            | Command::Read(_)
            | Command::Wake
            | Command::Stop => {}
        }
    }

    /// Stops the waiting of external clients whose calls have ended. They would get trials that
    /// nobody runs, and each would lose its lease only after its whole duration.
    fn forget_lost_clients(&mut self, now: u64, batch: &mut Batch) -> Result<(), Halted> {
        let lost = self.waiting.iter().filter(|(_, sender)| sender.is_closed());
        let lost: Vec<WaiterId> = lost.map(|(waiter, _)| *waiter).collect();
        for waiter in lost {
            self.hear(now, Input::StopWaiting(waiter), None, batch)?;
            self.waiting.remove(&waiter);
        }
        Ok(())
    }

    fn hear(
        &mut self,
        now: u64,
        input: Input,
        reply: Option<ReplySender>,
        batch: &mut Batch,
    ) -> Result<(), Halted> {
        let step = self.core.hear(now, input)?;
        self.is_all_decided = false;
        self.add(step.events, step.effects, batch);
        if let Some(reply) = reply {
            batch.after.push(AfterCommit::Reply(reply, step.reply));
        }
        Ok(())
    }

    /// Adds what a step led to. Answers go to those who wait for them.
    fn add(&mut self, events: Vec<Event>, effects: Vec<Effect>, batch: &mut Batch) {
        let (answers, effects): (Vec<Effect>, Vec<Effect>) =
            effects.into_iter().partition(|effect| matches!(effect, Effect::Answer(..)));
        batch.add(events, effects);
        for effect in answers {
            if let Effect::Answer(waiter, answer) = effect
                && let Some(sender) = self.waiting.remove(&waiter)
            {
                batch.after.push(AfterCommit::Answer(sender, Ok(answer)));
            }
        }
    }

    /// Takes the decisions that are possible since the last input, at least one. At `until` it
    /// leaves the others for later. Batches that become full are handed over. A no-op after views
    /// only.
    fn decide(&mut self, until: Instant, batch: &mut Batch) -> Result<(), Halted> {
        let is_time = || Instant::now() < until;
        while !self.is_all_decided {
            let mut left = DECISIONS_AT_ONCE;
            let decided = self.core.decide(&mut || {
                left = left.saturating_sub(1);
                left > 0 && is_time()
            })?;
            self.add(decided.events, decided.effects, batch);
            decided.jobs.into_iter().for_each(|job| self.samplers.ask(job));
            self.is_all_decided = decided.is_all;
            if !is_time() {
                break;
            }
            if batch.is_full() {
                self.hand_over(std::mem::take(batch), false)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::mpsc::sync_channel;

    use caviar_common::data::DataSummary;
    use caviar_common::ids::{Name, StoreId, SweepId};
    use caviar_common::spec::file::parse;
    use caviar_core::input::Config;

    use super::super::batch::Delivery;
    use super::super::snapshots::SnapshotPolicy;
    use super::*;

    #[test]
    fn decisions_that_take_long_are_taken_in_several_batches_without_further_input() {
        let core = Coordinator::new(Config::default(), StoreId(1));
        let (sender, batches) = sync_channel(100);
        let place = (Position { term: 7, sequence: 40 }, None);
        let (commands, mut queue) = mpsc::channel(3);
        let helpers = super::super::helpers(None, &commands).unwrap();
        let shared = (LostSessions::default(), UnderWay::default(), helpers);
        let progress = Progress::new(SnapshotPolicy::default(), 0, BTreeSet::new());
        let mut engine = Engine::new((core, progress), Views::default(), sender, place, shared);
        engine.thinking_time = Duration::ZERO;
        let text = "name = \"x\"\n[data]\nsource = \"builtin:digits\"\n\
                    [search]\nstrategy = \"random\"\ntrials = 8\nparallelism = 8\n";
        let (spec, request_id) =
            (Box::new(parse(text).unwrap().spec), Name::parse("name", "r").unwrap());
        let input =
            Input::CreateSweep { request_id, spec, data: DataSummary::default(), for_slots: None };
        let (sender, in_flight) = std::sync::mpsc::channel();
        let view = move |core: &Coordinator| -> Delivery {
            let counts = core.sweep(SweepId(1)).unwrap().counts;
            sender.send(counts.queued).unwrap();
            Box::new(|| ())
        };
        let apply = |input| Command::Apply { input, reply: None };
        for command in [apply(input), apply(Input::Tick), Command::Read(Box::new(view))] {
            commands.try_send(command).unwrap();
        }
        drop(commands);
        assert!(engine.run(&mut queue).is_ok());
        drop(engine);
        assert_eq!(in_flight.recv(), Ok(1), "the view waits for one decision, not for all");
        let batches: Vec<store::Batch> = batches.iter().map(|batch| batch.stored).collect();
        let counts: Vec<usize> = batches.iter().map(|batch| batch.events.len()).collect();
        // The sweep with the first trial, and seven more trials: they share a batch, because
        // nothing is carried out here.
        assert_eq!(counts, [2, 7]);
        let numbers: Vec<(u64, u64)> = batches.iter().map(|b| (b.term, b.sequence)).collect();
        assert_eq!(numbers, [(7, 41), (7, 42)]);
    }
}
