//! The names of workers: how long they are known, and to whom they belong.

use caviar_common::error::ErrorClass;
use caviar_common::ids::{LeaseId, SessionId, TokenId};
use caviar_common::message::{FromWorker, Release};
use caviar_common::outcome::{Outcome, TrialState};
use caviar_core::input::{Input, Refusal};

use crate::support::{Bench, SWEEP, TTL, hello, name};

#[test]
fn a_worker_without_trials_is_forgotten_with_its_connection() {
    let mut bench = Bench::with_sweep(3, 1);
    let listed = |bench: &Bench| bench.core.workers().len();
    bench.step(Input::PauseSweep(SWEEP)).unwrap();
    bench.hello(2, "idle", 2, 1, &[]);
    assert_eq!(listed(&bench), 2);
    bench.step(Input::SessionClosed(SessionId(2))).unwrap();
    assert_eq!(listed(&bench), 1);
    bench.step(Input::SessionClosed(SessionId(1))).unwrap();
    assert_eq!(listed(&bench), 1, "it may still train its trial");
    // One that is to drain may return without having heard that.
    bench.hello(3, "w", 1, 1, &[1]);
    bench.say(3, FromWorker::Released { lease: LeaseId(1), release: Release::Drained }).unwrap();
    bench.step(Input::SessionClosed(SessionId(3))).unwrap();
    assert_eq!(listed(&bench), 1);
    bench.wait(TTL + 1);
    assert_eq!(listed(&bench), 0);
}

#[test]
fn a_name_belongs_to_the_token_of_its_worker() {
    let mut bench = Bench::with_sweep(3, 1);
    let hello = |bench: &mut Bench, number, token: Option<&str>, incarnation, held: &[u64]| {
        bench.step(Input::Message {
            session: SessionId(number),
            token: token.map(|token| TokenId(token.into())),
            message: FromWorker::Hello(hello("w", incarnation, 1, held)),
        })
    };
    bench.step(Input::SessionClosed(SessionId(1))).unwrap();
    // This process knows its incarnation, so it is the worker that had connected without a token.
    hello(&mut bench, 2, Some("mine"), 1, &[1]).unwrap();
    bench.finish(2, LeaseId(1), Outcome::Failed { message: "no".into() }, None).unwrap();
    let lease = bench.grants()[0].lease;
    bench.step(Input::SessionClosed(SessionId(2))).unwrap();
    let foreign = |state| Err(Refusal::ForeignWorker { worker: name("w"), state });
    let lost = foreign("may return");
    assert_eq!(lost.clone().unwrap_err().class(), ErrorClass::Busy);
    assert_eq!(hello(&mut bench, 3, Some("other"), 2, &[]), lost);
    assert!(bench.closes(3));
    assert_eq!(hello(&mut bench, 4, None, 2, &[]), lost);
    bench.restart();
    assert_eq!(hello(&mut bench, 5, Some("other"), 2, &[lease.0]), lost);
    assert_eq!(bench.state(1), TrialState::Running);
    // Its token was replaced while it ran.
    hello(&mut bench, 6, Some("new"), 1, &[lease.0]).unwrap();
    assert!(!bench.revokes(lease));
    bench.step(Input::SessionClosed(SessionId(6))).unwrap();
    assert_eq!(hello(&mut bench, 7, Some("other"), 2, &[]), lost);
    // Once it is forgotten, its name is free.
    bench.wait(TTL + 1);
    hello(&mut bench, 8, Some("other"), 2, &[]).unwrap();
    let refused = hello(&mut bench, 9, Some("mine"), 1, &[lease.0]);
    assert_eq!(refused, foreign("is connected"));
}
