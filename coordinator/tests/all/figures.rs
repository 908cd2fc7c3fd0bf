//! Figures of the store by itself. They are measured on request only:
//! `cargo test --release -p caviar-coordinator --test all figures -- --ignored --nocapture`.

use std::path::Path;
use std::time::{Duration, Instant};

use caviar_common::assignment::{Assignment, Value};
use caviar_common::ids::{AttemptNumber, LeaseId, SweepId, TrialNumber};
use caviar_common::outcome::TrialState;
use caviar_common::reason::{Reason, Source};
use caviar_common::spec::Goal;
use caviar_common::view::{TrialTimes, TrialView};
use caviar_coordinator::store::query::{TrialOrder, TrialQuery};
use caviar_coordinator::store::sqlite::SqliteStore;
use caviar_coordinator::store::{Rows, Store};
use caviar_core::event::{Event, Payload, StoredAssignment, SweepDeleted};

use crate::events::{completed, created, decided, sampled};
use crate::support::{append_with, metrics, name};

/// Trials in one batch.
const AT_ONCE: u32 = 200;

fn assignment(trial: u32) -> Assignment {
    let names = ["learning_rate", "momentum", "dropout"].into_iter().zip(1..);
    names.map(|(name, i)| (name.to_owned(), Value::Float(f64::from(trial * i) * 1e-6))).collect()
}

/// A trial of one epoch from its choice to its decision, and its view.
fn trial(number: u32) -> (Vec<Event>, TrialView) {
    let loss = f64::from(number.wrapping_mul(2_654_435_761) % 1_000_000) * 1e-6;
    let mut events = vec![sampled(1, number)];
    if let Some(Payload::TrialSampled(sampled)) = events.first_mut().map(|e| &mut e.payload) {
        sampled.assignment = StoredAssignment::Named(assignment(number));
    }
    events.extend(completed(1, number, u64::from(number) + 1, loss));
    events.push(decided(1, number));
    let view = TrialView {
        trial: TrialNumber(number),
        state: TrialState::Completed,
        assignment: assignment(number),
        reason: Reason::from_source(Source::Random),
        attempts: AttemptNumber(1),
        worker: Some(name("worker-1")),
        epochs: 2,
        objective: Some(loss),
        last: Some(metrics(1, loss).into()),
        counting: Some(metrics(1, loss).into()),
        curve: Vec::new(),
        seconds: Some(1.5),
        memory_bytes: Some(4096),
        message: None,
        stopped: None,
        parked: false,
        times: TrialTimes::default(),
        retrained_epochs: 0,
    };
    (events, view)
}

fn millis(times: &mut [Duration], percent: usize) -> f64 {
    times.sort();
    times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3
}

fn write(store: &mut SqliteStore, trials: u32) {
    append_with(store, &[created(1, "digits")], Rows::default()).unwrap();
    let (began, mut commits) = (Instant::now(), Vec::new());
    for first in (0..trials).step_by(usize::try_from(AT_ONCE).unwrap()) {
        let (mut events, mut rows) = (Vec::new(), Rows::default());
        for number in first..first + AT_ONCE {
            let (more, view) = trial(number);
            events.extend(more);
            rows.trials.push((SweepId(1), view));
        }
        let began = Instant::now();
        append_with(store, &events, rows).unwrap();
        commits.push(began.elapsed());
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{trials} trials of one epoch, {AT_ONCE} in a commit: {:.0} trials/s; a commit p50 {:.1} \
         ms, p99 {:.1} ms",
        f64::from(trials) / seconds,
        millis(&mut commits, 50),
        millis(&mut commits, 99)
    );
}

fn read(store: &SqliteStore, trials: u32) {
    let mut reader = store.readers().unwrap().open().unwrap();
    let all = TrialQuery { known: trials, ..TrialQuery::all(SweepId(1), Goal::Minimize) };
    for (what, order, states) in [
        ("number", TrialOrder::Number, vec![]),
        ("objective", TrialOrder::Objective, vec![]),
        ("state", TrialOrder::Number, vec![TrialState::Completed]),
    ] {
        let mut times = Vec::new();
        for i in 0..200 {
            let after = Some(TrialNumber(i * (trials / 250)));
            let query =
                TrialQuery { order, after, states: states.clone(), limit: 100, ..all.clone() };
            let began = Instant::now();
            assert_eq!(reader.trials(&query).unwrap().trials.len(), 100);
            times.push(began.elapsed());
        }
        let first = times[0].as_secs_f64() * 1e3;
        println!(
            "a page of 100 by {what}: the first {first:.1} ms, p50 {:.2} ms, p99 {:.2} ms",
            millis(&mut times, 50),
            millis(&mut times, 99)
        );
    }
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

#[test]
#[ignore = "measures"]
fn figures_of_the_store() {
    let trials: u32 = std::env::var("TRIALS").map_or(100_000, |text| text.parse().unwrap());
    let directory = tempfile::tempdir_in(".").unwrap();
    let path = directory.path().join("caviar.db");
    let mut store = SqliteStore::open(&path).unwrap();
    write(&mut store, trials);
    read(&store, trials);
    let began = Instant::now();
    drop(store);
    println!(
        "closing {:.2} s; {} bytes a trial",
        began.elapsed().as_secs_f64(),
        size(&path) / u64::from(trials)
    );
    let began = Instant::now();
    let mut store = SqliteStore::open(&path).unwrap();
    let count = store.load().unwrap().map(Result::unwrap).count();
    let seconds = began.elapsed().as_secs_f64();
    println!("opening and loading {count} events: {seconds:.2} s, {:.0} events/s", {
        f64::from(u32::try_from(count).unwrap()) / seconds
    });
    let deleted = Event::new(SweepId(1), SweepDeleted { next_lease: LeaseId(1) });
    append_with(&mut store, &[deleted], Rows::default()).unwrap();
    let (began, mut slices) = (Instant::now(), Vec::new());
    loop {
        let began = Instant::now();
        let is_more = store.tidy().unwrap();
        slices.push(began.elapsed());
        if !is_more {
            break;
        }
    }
    println!(
        "deleting: {:.2} s in slices of p50 {:.1} ms, p99 {:.1} ms",
        began.elapsed().as_secs_f64(),
        millis(&mut slices, 50),
        millis(&mut slices, 99)
    );
}
