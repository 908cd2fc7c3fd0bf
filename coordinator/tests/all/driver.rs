//! The driver: it sends nothing before the commit, and waits for no reader.

use std::pin::pin;
use std::sync::mpsc;
use std::task::Poll;

use caviar_common::ids::{StoreId, SweepId};
use caviar_common::message::{FromWorker, ToWorker};
use caviar_common::outcome::{Job, SweepState};
use caviar_coordinator::driver::{self, CloseReason, Driver, DriverError, DriverGone, Outgoing};
use caviar_coordinator::store::sqlite::SqliteStore;
use caviar_coordinator::store::{Batch, Damage, Events, Position, Store, StoreError};
use caviar_core::event::Event;
use caviar_core::input::{Config, Input, Refusal};

use crate::events::{created, granted};
use crate::support::{hello, name, spec, summary};

/// What becomes of an append.
enum Verdict {
    Store,
    Fail,
    Panic,
}

/// A store in which every append waits for the test's verdict.
struct Gate {
    appended: mpsc::Sender<usize>,
    verdicts: mpsc::Receiver<Verdict>,
}

impl Store for Gate {
    fn id(&self) -> StoreId {
        StoreId(1)
    }

    fn position(&self) -> Position {
        Position::default()
    }

    fn load(&mut self) -> Result<Box<dyn Events + '_>, StoreError> {
        Ok(Box::new(Given(Vec::new().into_iter())))
    }

    fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.appended.send(batch.events.len()).unwrap();
        let failed =
            StoreError::Failed { doing: "write events", source: rusqlite::Error::InvalidQuery };
        match self.verdicts.recv() {
            Ok(Verdict::Fail) => Err(failed),
            Ok(Verdict::Panic) => panic!("a bug of the store"),
            Ok(Verdict::Store) | Err(_) => Ok(()),
        }
    }
}

/// Events of a store that is intact.
#[derive(Debug)]
struct Given(std::vec::IntoIter<Event>);

impl Iterator for Given {
    type Item = Result<(i64, Event), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|event| Ok((1, event)))
    }
}

impl Events for Given {
    fn damages(&self) -> &[Damage] {
        &[]
    }
}

/// A store that loads these events and keeps nothing.
struct Open(Vec<Event>);

impl Store for Open {
    fn id(&self) -> StoreId {
        StoreId(1)
    }

    fn position(&self) -> Position {
        Position::default()
    }

    fn load(&mut self) -> Result<Box<dyn Events + '_>, StoreError> {
        Ok(Box::new(Given(std::mem::take(&mut self.0).into_iter())))
    }

    fn append(&mut self, _: &Batch) -> Result<(), StoreError> {
        Ok(())
    }
}

fn gated() -> (Driver, mpsc::Receiver<usize>, mpsc::Sender<Verdict>) {
    let ((appended, calls), (verdict, verdicts)) = (mpsc::channel(), mpsc::channel());
    (
        driver::start(Config::default(), Box::new(Gate { appended, verdicts })).unwrap(),
        calls,
        verdict,
    )
}

fn create(n: u32) -> Input {
    let spec = Box::new(spec(&format!("s{n}"), 8, 8));
    Input::CreateSweep {
        request_id: name(&format!("r{n}")),
        spec,
        data: summary(),
        for_slots: None,
    }
}

#[tokio::test]
async fn a_reply_and_a_view_wait_for_the_commit() {
    let (Driver { handle, .. }, calls, verdict) = gated();
    let mut reply = pin!(handle.apply(create(1)));
    assert!(poll_once(reply.as_mut()).await.is_pending());
    assert!(calls.recv().unwrap() > 0, "the store has the events");
    assert!(
        poll_once(reply.as_mut()).await.is_pending(),
        "nothing is acknowledged before the commit"
    );
    let mut view = pin!(handle.read(|core| core.record().sweeps().len()));
    assert!(poll_once(view.as_mut()).await.is_pending());
    assert!(handle.sweeps().find("s1").is_none(), "nothing is shown before the commit");
    verdict.send(Verdict::Store).unwrap();
    reply.await.unwrap().unwrap();
    assert!(handle.sweeps().find("s1").is_some(), "a client reads its own write");
    assert_eq!(view.await.unwrap(), 1);
}

async fn poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

#[tokio::test]
async fn queued_inputs_share_a_commit() {
    let (Driver { handle, .. }, calls, verdict) = gated();
    handle.post(create(0)).await.unwrap();
    let first = calls.recv().unwrap();
    assert!((1..20).contains(&first), "a sweep and its first trials");
    for n in 1..=20 {
        handle.post(create(n)).await.unwrap();
    }
    verdict.send(Verdict::Store).unwrap();
    // Each sweep has an event for itself and one for each of its eight trials.
    let (mut events, mut commits) = (first, 0);
    while events < 21 * 9 {
        events += calls.recv().unwrap();
        commits += 1;
        verdict.send(Verdict::Store).unwrap();
    }
    assert!(commits < 20, "{commits} transactions for twenty sweeps");
}

#[tokio::test]
async fn the_driver_goes_on_while_a_commit_is_under_way() {
    let (Driver { handle, .. }, calls, verdict) = gated();
    let mut first = pin!(handle.apply(create(1)));
    assert!(poll_once(first.as_mut()).await.is_pending());
    calls.recv().unwrap();
    // The first commit waits for the verdict, and the driver decides the next batch.
    handle.post(create(2)).await.unwrap();
    let (decided, next) = mpsc::channel();
    let mut view = pin!(handle.read(move |core| {
        decided.send(core.record().sweeps().len()).unwrap();
    }));
    assert!(poll_once(view.as_mut()).await.is_pending());
    assert_eq!(next.recv(), Ok(2), "the driver has decided the second batch");
    assert!(poll_once(first.as_mut()).await.is_pending());
    assert!(poll_once(view.as_mut()).await.is_pending(), "it shows what is not stored yet");
    assert!(handle.sweeps().find("s1").is_none());
    verdict.send(Verdict::Store).unwrap();
    first.await.unwrap().unwrap();
    assert!(handle.sweeps().find("s2").is_none());
    assert!(poll_once(view.as_mut()).await.is_pending());
    verdict.send(Verdict::Store).unwrap();
    view.await.unwrap();
    assert!(handle.sweeps().find("s2").is_some());
}

#[tokio::test]
async fn a_failed_commit_ends_a_driver_that_has_nothing_else_to_do() {
    let (Driver { handle, mut ended }, calls, verdict) = gated();
    handle.post(create(1)).await.unwrap();
    calls.recv().unwrap();
    verdict.send(Verdict::Fail).unwrap();
    let error = ended.wait().await.unwrap_err();
    assert!(matches!(error, DriverError::Store(StoreError::Failed { .. })), "{error}");
}

#[tokio::test]
async fn a_deleted_store_ends_the_driver_before_anything_more_is_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("caviar.db");
    let store = SqliteStore::open(&path).unwrap();
    let Driver { handle, mut ended } = driver::start(Config::default(), Box::new(store)).unwrap();
    handle.apply(create(1)).await.unwrap().unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(handle.apply(create(2)).await, Err(DriverGone));
    assert!(handle.sweeps().find("s2").is_none());
    let error = ended.wait().await.unwrap_err().to_string();
    assert!(error.contains("caviar.db was deleted or replaced while it was in use"), "{error}");
}

#[tokio::test]
async fn the_rows_of_a_deleted_sweep_are_removed_while_nothing_else_is_stored() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("caviar.db");
    let store = SqliteStore::open(&path).unwrap();
    let Driver { handle, mut ended } = driver::start(Config::default(), Box::new(store)).unwrap();
    let one = handle.apply(create(1)).await.unwrap().unwrap();
    let caviar_core::input::Reply::Sweep(one) = one else { panic!("no sweep") };
    for input in [Input::CancelSweep(one), Input::DeleteSweep(one)] {
        handle.apply(input).await.unwrap().unwrap();
    }
    let connection = rusqlite::Connection::open(&path).unwrap();
    let count = |table: &str| {
        let sql = format!("SELECT count(*) FROM {table} WHERE sweep = {one}");
        connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    while count("trial_states") + count("trial_samples") > 0 || count("events") > 1 {
        tokio::task::yield_now().await;
    }
    drop(connection);
    handle.stop().await.unwrap();
    ended.wait().await.unwrap();
}

#[tokio::test]
async fn a_failed_commit_acknowledges_nothing_and_ends_the_driver() {
    // The commit fails before, while or after the driver serves the second command.
    for _ in 0..200 {
        let (Driver { handle, mut ended }, _calls, verdict) = gated();
        let (session, mut outbox) = handle.open_session(8).await.unwrap().unwrap();
        let (first, second) = (handle.apply(create(1)), handle.apply(create(2)));
        let said = handle.post(Input::Message {
            session,
            token: None,
            message: FromWorker::Hello(hello("w", 1, 1, &[])),
        });
        verdict.send(Verdict::Fail).unwrap();
        let (first, second, _) = tokio::join!(first, second, said);
        assert_eq!((first, second), (Err(DriverGone), Err(DriverGone)));
        assert_eq!(outbox.recv().await, None, "no message to the worker");
        let error = ended.wait().await.unwrap_err();
        assert!(matches!(error, DriverError::Store(StoreError::Failed { .. })), "{error}");
        assert_eq!(handle.read(|_| ()).await, Err(DriverGone));
        handle.gone().await;
    }
}

#[tokio::test]
async fn a_committer_that_panics_ends_the_driver() {
    let (Driver { handle, mut ended }, _calls, verdict) = gated();
    verdict.send(Verdict::Panic).unwrap();
    assert_eq!(handle.apply(create(1)).await, Err(DriverGone));
    let error = ended.wait().await.unwrap_err();
    assert!(matches!(error, DriverError::Died), "{error}");
}

#[tokio::test]
async fn a_slow_session_is_closed_and_the_driver_continues() {
    let Driver { handle, mut ended } =
        driver::start(Config::default(), Box::new(Open(Vec::new()))).unwrap();
    handle.apply(create(1)).await.unwrap().unwrap();
    let (session, mut outbox) = handle.open_session(3).await.unwrap().unwrap();
    // Eight grants and a welcome for an outbox of three, which is not read in the meantime.
    handle
        .apply(Input::Message {
            session,
            token: None,
            message: FromWorker::Hello(hello("slow", 1, 8, &[])),
        })
        .await
        .unwrap()
        .unwrap();
    handle.read(|_| ()).await.unwrap();
    assert!(matches!(outbox.recv().await, Some(Outgoing::Message(ToWorker::Welcome { .. }))));
    assert!(matches!(outbox.recv().await, Some(Outgoing::Message(ToWorker::Grant(_)))));
    assert!(matches!(outbox.recv().await, Some(Outgoing::Message(ToWorker::Grant(_)))));
    assert_eq!(outbox.recv().await, Some(Outgoing::Close(CloseReason::Slow(3))));
    assert_eq!(outbox.recv().await, None);
    let workers = handle.read(caviar_core::Coordinator::workers).await.unwrap();
    assert_eq!((workers.len(), workers[0].connected), (1, false), "the state machine knows");
    handle.stop().await.unwrap();
    ended.wait().await.unwrap();
}

#[tokio::test]
async fn a_session_ends_with_its_reason_after_the_messages_before_it() {
    let Driver { handle, .. } =
        driver::start(Config::default(), Box::new(Open(Vec::new()))).unwrap();
    let (session, mut outbox) = handle.open_session(8).await.unwrap().unwrap();
    let message = FromWorker::Hello(hello("w", 1, 1, &[]));
    handle
        .apply(Input::Message { session, token: None, message: message.clone() })
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        handle.apply(Input::Message { session, token: None, message }).await.unwrap(),
        Err(Refusal::NoHello)
    );
    assert!(matches!(outbox.recv().await, Some(Outgoing::Message(ToWorker::Welcome { .. }))));
    assert_eq!(outbox.recv().await, Some(Outgoing::Close(CloseReason::Refused(Refusal::NoHello))));
    let (_, mut outbox) = handle.open_session(8).await.unwrap().unwrap();
    handle.close_sessions().await.unwrap();
    assert_eq!(outbox.recv().await, Some(Outgoing::Close(CloseReason::Stopping)));
    assert!(handle.open_session(8).await.unwrap().is_none(), "and no new ones");
}

#[tokio::test]
async fn changes_are_announced_once_they_are_stored() {
    let Driver { handle, .. } =
        driver::start(Config::default(), Box::new(Open(Vec::new()))).unwrap();
    let one = handle.apply(create(1)).await.unwrap().unwrap();
    let caviar_core::input::Reply::Sweep(one) = one else { panic!("no sweep") };
    let mut watcher = handle.sweeps().watch(one).unwrap();
    handle.apply(create(2)).await.unwrap().unwrap();
    assert!(!watcher.has_changed().unwrap(), "a change of the other sweep does not count");
    handle.apply(Input::PauseSweep(one)).await.unwrap().unwrap();
    watcher.changed().await.unwrap();
    assert_eq!(watcher.borrow().view.state, SweepState::Paused);
    handle.apply(Input::CancelSweep(one)).await.unwrap().unwrap();
    handle.apply(Input::DeleteSweep(one)).await.unwrap().unwrap();
    watcher.mark_unchanged();
    assert!(watcher.changed().await.is_err(), "the sweep is deleted");
}

#[tokio::test]
async fn a_sweep_whose_events_do_not_fit_is_stopped_and_the_others_are_served() {
    let events = vec![created(1, "digits"), created(2, "letters"), granted(1, 0, 1, Job::Train)];
    let Driver { handle, .. } = driver::start(Config::default(), Box::new(Open(events))).unwrap();
    let notes = handle.sweeps().find("digits").unwrap().view.notes.clone();
    assert!(notes[0].starts_with("this sweep is damaged and stopped: "), "{notes:?}");
    let refusal = handle.apply(Input::PauseSweep(SweepId(1))).await.unwrap().unwrap_err();
    assert!(refusal.to_string().starts_with("sweep digits is damaged and stopped"), "{refusal}");
    handle.apply(Input::PauseSweep(SweepId(2))).await.unwrap().unwrap();
}
