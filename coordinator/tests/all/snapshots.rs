//! Snapshots: a restart reads them and the events after them, and never needs them.

use std::path::Path;

use caviar_common::ask::{Ask, AskKey, AskedTrial, Tell};
use caviar_common::data::DataSummary;
use caviar_common::ids::{SweepId, TrialNumber};
use caviar_common::metric::NamedMetrics;
use caviar_common::outcome::{Outcome, SweepState};
use caviar_common::spec::{SweepSpec, file};
use caviar_coordinator::driver::{self, Driver, SnapshotPolicy};
use caviar_coordinator::store::Store;
use caviar_coordinator::store::check::check;
use caviar_coordinator::store::sqlite::SqliteStore;
use caviar_core::input::{ClientReply, Config, Input, Refusal, Reply, Waiter};
use caviar_core::{Coordinator, Replay};
use rusqlite::Connection;

use crate::support::{load_all, loaded, name, spec, summary};

/// A snapshot after every batch that can have one.
const OFTEN: SnapshotPolicy = SnapshotPolicy { every: 1, at_end: 0 };
const NEVER: SnapshotPolicy = SnapshotPolicy { every: u64::MAX, at_end: u64::MAX };

fn open(path: &Path, policy: SnapshotPolicy) -> Driver {
    let store = SqliteStore::open(path).unwrap();
    driver::start_with(Config::default(), Box::new(store), policy).unwrap()
}

async fn end(Driver { handle, mut ended }: Driver) {
    handle.stop().await.unwrap();
    ended.wait().await.unwrap();
}

async fn create(driver: &Driver, sweep: u32) {
    let spec = Box::new(spec(&format!("s{sweep}"), 3, 3));
    let request_id = name(&format!("r{sweep}"));
    let input = Input::CreateSweep { request_id, spec, data: summary(), for_slots: None };
    driver.handle.apply(input).await.unwrap().unwrap();
}

async fn delete(driver: &Driver, sweep: SweepId) {
    for input in [Input::CancelSweep(sweep), Input::DeleteSweep(sweep)] {
        driver.handle.apply(input).await.unwrap().unwrap();
    }
}

/// What the record of the store is: from its snapshot, or from all events. Returns how many events
/// were read too.
fn record(path: &Path, from_snapshot: bool) -> Option<(String, usize)> {
    let mut store = SqliteStore::open(path).unwrap();
    let mut replay = if from_snapshot {
        Replay::from_snapshot(Config::default(), store.id(), store.restore()?).0
    } else {
        Replay::new(Config::default(), store.id())
    };
    let mut count = 0;
    let readers = store.readers().unwrap();
    for event in store.load_rest().unwrap() {
        let (_, event) = event.unwrap();
        if let Some(job) = replay.needs(&event) {
            replay.load(readers.open().unwrap().load(job).unwrap());
        }
        replay.apply(&event).unwrap();
        count += 1;
    }
    let mut core = replay.finish(0);
    load_all(&mut core, &store).unwrap();
    Some((format!("{:#?}", core.record()), count))
}

#[tokio::test]
async fn a_restart_needs_only_the_events_after_the_last_snapshot() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("caviar.db");
    let driver = open(&path, OFTEN);
    for sweep in 1..=4 {
        create(&driver, sweep).await;
    }
    delete(&driver, SweepId(2)).await;
    end(driver).await;
    let (all, events) = record(&path, false).unwrap();
    assert_eq!(record(&path, true).unwrap(), (all, 0), "the last one is from the end");
    assert!(events > 4);

    let driver = open(&path, NEVER);
    create(&driver, 5).await;
    delete(&driver, SweepId(1)).await;
    end(driver).await;
    let (all, events) = record(&path, false).unwrap();
    let (restored, rest) = record(&path, true).unwrap();
    assert_eq!(restored, all);
    assert!((1..events).contains(&rest), "{rest} of {events} events");
}

#[tokio::test]
async fn a_snapshot_that_is_damaged_is_not_used_and_is_written_again() {
    for damage in [
        "UPDATE snapshot_parts SET bytes = zeroblob(9) WHERE sweep = 2 AND kind = 4",
        "UPDATE snapshot_parts SET number = 7 WHERE sweep = 2 AND kind = 4",
        "DELETE FROM snapshot_parts WHERE sweep = 1 AND kind = 2",
        "DELETE FROM snapshot_heads WHERE sweep = 1",
        "UPDATE snapshot_heads SET chain = chain + 1",
        "UPDATE snapshot SET last_event = last_event - 1",
        "UPDATE snapshot SET record = zeroblob(3)",
        "DELETE FROM snapshot",
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("caviar.db");
        let driver = open(&path, OFTEN);
        create(&driver, 1).await;
        create(&driver, 2).await;
        end(driver).await;
        let (before, _) = record(&path, true).unwrap();
        Connection::open(&path).unwrap().execute(damage, []).unwrap();
        assert_eq!(record(&path, true), None, "{damage}");
        let report = check(&path).unwrap();
        let problems = usize::from(damage != "DELETE FROM snapshot");
        assert_eq!(report.problems.len(), problems, "{damage}: {report}");
        assert!(report.sweeps.iter().all(|sweep| sweep.damage.is_none()), "{report}");

        let driver = open(&path, OFTEN);
        let known = driver.handle.read(|core| format!("{:#?}", core.record())).await.unwrap();
        assert_eq!(known, before, "{damage}: all events are read instead");
        create(&driver, 3).await;
        end(driver).await;
        assert_eq!(record(&path, true).unwrap(), (record(&path, false).unwrap().0, 0), "{damage}");
    }
}

#[tokio::test]
async fn the_parts_of_a_deleted_sweep_are_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("caviar.db");
    let driver = open(&path, OFTEN);
    create(&driver, 1).await;
    create(&driver, 2).await;
    end(driver).await;
    let driver = open(&path, OFTEN);
    delete(&driver, SweepId(1)).await;
    end(driver).await;
    // The rows of deleted sweeps are removed while the coordinator has nothing else to do.
    let mut store = SqliteStore::open(&path).unwrap();
    while store.tidy().unwrap() {}
    drop(store);
    let connection = Connection::open(&path).unwrap();
    for table in ["snapshot_heads", "snapshot_parts"] {
        let sql = format!("SELECT group_concat(DISTINCT sweep) FROM {table}");
        let sweeps: String = connection.query_row(&sql, [], |row| row.get(0)).unwrap();
        assert_eq!(sweeps, "2", "{table}");
    }
    drop(connection);
    assert!(record(&path, true).is_some());
}

#[tokio::test]
async fn a_quarantined_sweep_keeps_the_last_sound_snapshot() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("caviar.db");
    let driver = open(&path, OFTEN);
    create(&driver, 1).await;
    end(driver).await;
    let driver = open(&path, NEVER);
    create(&driver, 2).await;
    end(driver).await;
    let sound = record(&path, true).unwrap();
    let last = loaded(&mut SqliteStore::open(&path).unwrap()).len();
    let damage = "UPDATE events SET body = replace(body, 's2', 'xx') WHERE id = \
                  (SELECT min(id) FROM events WHERE sweep = 2)";
    Connection::open(&path).unwrap().execute(damage, []).unwrap();

    let driver = open(&path, OFTEN);
    create(&driver, 3).await;
    end(driver).await;
    let sql = "SELECT last_event FROM snapshot";
    let connection = Connection::open(&path).unwrap();
    let kept: u32 = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(
        usize::try_from(kept).unwrap(),
        last - sound.1,
        "no snapshot was taken of a state that events do not make"
    );
}

/// A sweep of an external program with two trials that have ended.
async fn run_external(driver: &Driver) -> SweepId {
    let spec = Box::new(external("x", None));
    let input = Input::CreateSweep {
        request_id: name("x"),
        spec,
        data: DataSummary::default(),
        for_slots: None,
    };
    let Reply::Sweep(sweep) = driver.handle.apply(input).await.unwrap().unwrap() else {
        panic!("a sweep")
    };
    for trial in ["t0", "t1"] {
        run_trial(driver, sweep, trial).await;
    }
    sweep
}

/// Asks for a trial, with this request id, and finishes it.
async fn run_trial(driver: &Driver, sweep: SweepId, request: &str) {
    let (request_id, client) = (name(request), name("c"));
    let ask = Ask { key: AskKey { request_id, client, token: None }, count: 1, lease_ms: 60_000 };
    let id = driver.handle.next_waiter();
    let input = Input::AskTrials(sweep, ask, Waiter { id, is_patient: true });
    let ClientReply::Trials(asked) = driver.handle.ask(id, input).await.unwrap().unwrap() else {
        panic!("trials")
    };
    let AskedTrial { trial, lease, .. } = asked.trials.first().unwrap().clone();
    let metrics = [(name("score"), f64::from(trial.0))].into();
    let last = Some(NamedMetrics { epoch: 1, metrics });
    let tell = Tell { trial, lease, token: None, outcome: Outcome::Completed, last, seconds: 0.5 };
    let id = driver.handle.next_waiter();
    driver.handle.ask(id, Input::TellTrial(sweep, tell, id)).await.unwrap().unwrap();
}

fn external(name: &str, warm_start: Option<&str>) -> SweepSpec {
    let search = warm_start.map_or_else(
        || "strategy = \"random\"\ntrials = 2\n".to_owned(),
        |earlier| format!("strategy = \"zoom\"\ntrials = 20\nwarm_start = \"{earlier}\"\n"),
    );
    let text = format!(
        "name = \"{name}\"\n[data]\nsource = \"external\"\n[fixed]\nepochs = 1\n\
         [space]\nC = {{ scale = \"log\", low = 1e-3, high = 1e3 }}\n\
         [search]\nparallelism = 2\n{search}\
         [objective]\nmetric = \"score\"\ngoal = \"maximize\"\n"
    );
    file::parse(&text).unwrap().spec
}

/// Creates a sweep that learns from the external one. Returns what it learns.
async fn learn(driver: &Driver, later: &str) -> Result<String, Refusal> {
    let (request_id, spec) = (name(later), Box::new(external(later, Some("x"))));
    let input =
        Input::CreateSweep { request_id, spec, data: DataSummary::default(), for_slots: None };
    let Reply::Sweep(sweep) = driver.handle.apply(input).await.unwrap()? else { panic!("a sweep") };
    let results =
        move |core: &Coordinator| format!("{:?}", core.record().sweep(sweep).unwrap().warm_start());
    Ok(driver.handle.read(results).await.unwrap())
}

/// Waits until the sweep is in memory, or is not.
async fn until(driver: &Driver, sweep: SweepId, is_loaded: bool) {
    let is = move |core: &Coordinator| core.record().sweep(sweep).unwrap().is_loaded();
    while driver.handle.read(is).await.unwrap() != is_loaded {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_sweep_that_has_ended_is_read_when_it_is_needed_and_stays_for_a_while() {
    let directory = tempfile::tempdir().unwrap();
    let place = |name| directory.path().join(name);
    let driver = open(&place("a.db"), NEVER);
    run_external(&driver).await;
    let expected = learn(&driver, "y").await.unwrap();
    end(driver).await;

    let driver = open(&place("b.db"), OFTEN);
    let x = run_external(&driver).await;
    until(&driver, x, false).await;
    assert_eq!(learn(&driver, "y").await.unwrap(), expected);
    until(&driver, x, true).await;
    end(driver).await;

    let driver = open(&place("b.db"), NEVER);
    until(&driver, x, false).await;
    // Its last answer is known without its results, and a later tell needs them.
    let last = run_external(&driver).await;
    assert_eq!(last, x);
    until(&driver, x, true).await;
    let trial = |sweep| Input::ReleaseTrial(sweep, TrialNumber(0));
    let refusal = driver.handle.apply(trial(x)).await.unwrap().unwrap_err();
    assert!(refusal.to_string().contains("completed"), "{refusal}");
    end(driver).await;

    let driver = open(&place("b.db"), OFTEN);
    for sweep in ["1", "2", "3", "4"] {
        let spec = Box::new(spec(&format!("s{sweep}"), 3, 3));
        let input =
            Input::CreateSweep { request_id: name(sweep), spec, data: summary(), for_slots: None };
        let Reply::Sweep(sweep) = driver.handle.apply(input).await.unwrap().unwrap() else {
            panic!("a sweep")
        };
        driver.handle.apply(Input::CancelSweep(sweep)).await.unwrap().unwrap();
    }
    end(driver).await;
    let driver = open(&place("b.db"), OFTEN);
    driver.handle.apply(Input::Tick).await.unwrap().unwrap();
    driver.handle.load(x).await.unwrap().unwrap();
    // Others take its place.
    for sweep in x.0 + 2..x.0 + 6 {
        until(&driver, x, true).await;
        driver.handle.load(SweepId(sweep)).await.unwrap().unwrap();
    }
    until(&driver, x, false).await;
    end(driver).await;
}

#[tokio::test]
async fn results_that_cannot_be_read_are_refused_until_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("caviar.db");
    let driver = open(&path, OFTEN);
    let x = run_external(&driver).await;
    create(&driver, 9).await;
    let other = SweepId(x.0 + 1);
    driver.handle.apply(Input::CancelSweep(other)).await.unwrap().unwrap();
    end(driver).await;
    let damage = "UPDATE snapshot_parts SET bytes = zeroblob(9) WHERE sweep = 1 AND kind = 3";
    Connection::open(&path).unwrap().execute(damage, []).unwrap();
    let report = check(&path).unwrap();
    assert_eq!(report.problems.len(), 1, "{report}");

    let driver = open(&path, OFTEN);
    let refusal = learn(&driver, "y").await.unwrap_err();
    assert!(
        matches!(&refusal, Refusal::Unreadable { name, .. } if name.as_str() == "x"),
        "{refusal}"
    );
    create(&driver, 7).await;
    driver.handle.load(other).await.unwrap().expect("others can be read");
    let ends = driver.handle.apply(Input::ReleaseTrial(x, TrialNumber(0))).await.unwrap();
    assert!(matches!(ends, Err(Refusal::Unreadable { .. })), "{ends:?}");
    end(driver).await;

    let driver = open(&path, NEVER);
    assert!(learn(&driver, "y").await.unwrap().contains("Float"));
    end(driver).await;
}

#[tokio::test]
async fn a_completed_sweep_that_is_extended_is_loaded_and_continues() {
    let directory = tempfile::tempdir().unwrap();
    for (file, policy) in [("a.db", OFTEN), ("b.db", NEVER)] {
        let path = directory.path().join(file);
        let driver = open(&path, policy);
        let x = run_external(&driver).await;
        for (request, first) in [("more", 2), ("again", 4)] {
            // Without a snapshot it stays in memory.
            until(&driver, x, policy == NEVER).await;
            let extend = || Input::ExtendSweep { sweep: x, request_id: name(request), added: 2 };
            for _ in 0..2 {
                driver.handle.apply(extend()).await.unwrap().unwrap();
            }
            for trial in first..first + 2 {
                run_trial(&driver, x, &format!("t{trial}")).await;
            }
            let view = driver.handle.read(move |core| core.sweep(x).unwrap()).await.unwrap();
            assert_eq!((view.state, view.budget), (SweepState::Completed, first + 2));
            assert_eq!(view.counts.completed, first + 2);
            assert_eq!(view.best.map(|best| best.trial), Some(TrialNumber(first + 1)));
        }
        until(&driver, x, policy == NEVER).await;
        end(driver).await;
        let (all, _) = record(&path, false).unwrap();
        assert!(record(&path, true).is_none_or(|(restored, _)| restored == all));
        // A restart has it as it was.
        let driver = open(&path, policy);
        let budget = driver.handle.read(move |core| core.sweep(x).unwrap().budget).await.unwrap();
        assert_eq!(budget, 6);
        end(driver).await;
    }
}

#[tokio::test]
async fn a_sweep_that_was_extended_after_the_snapshot_is_restored() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("caviar.db");
    let driver = open(&path, OFTEN);
    let x = run_external(&driver).await;
    end(driver).await;
    // Nothing after the end of the sweep is in the snapshot.
    let driver = open(&path, NEVER);
    let extend = Input::ExtendSweep { sweep: x, request_id: name("more"), added: 2 };
    driver.handle.apply(extend).await.unwrap().unwrap();
    run_trial(&driver, x, "t2").await;
    end(driver).await;
    let (all, events) = record(&path, false).unwrap();
    let (restored, rest) = record(&path, true).unwrap();
    assert_eq!(restored, all);
    assert!((1..events).contains(&rest), "{rest} of {events} events");

    // If what it needs of the snapshot is damaged, all events are read.
    let damage = "UPDATE snapshot_parts SET bytes = zeroblob(9) WHERE sweep = 1 AND kind = 3";
    assert_eq!(Connection::open(&path).unwrap().execute(damage, []).unwrap(), 1);
    let driver = open(&path, OFTEN);
    let known = driver.handle.read(|core| format!("{:#?}", core.record())).await.unwrap();
    assert_eq!(known, all);
    run_trial(&driver, x, "t3").await;
    until(&driver, x, false).await;
    end(driver).await;
    assert_eq!(record(&path, true).unwrap().0, record(&path, false).unwrap().0);
}
