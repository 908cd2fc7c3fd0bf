//! Samplers that another thread asks.

use caviar_common::ids::SweepId;
use caviar_common::message::FromWorker;
use caviar_common::spec::Strategy;
use caviar_core::event::Event;
use caviar_core::input::{ClientReply, Effect, Input, Reply, SamplingJob, Waiter, WaiterId};

use crate::support::{Bench, SWEEP, name, point, spec, summary};

/// The names of the events.
fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(Event::name).collect()
}

/// A sweep by `zoom` on a bench whose samplers are asked by hand.
fn zoom(bench: &mut Bench, sweep: &str, trials: u32) -> Vec<SamplingJob> {
    let mut spec = spec(sweep, trials);
    spec.search.strategy = Strategy::Zoom;
    let (request_id, data) = (name(&format!("request-{sweep}")), summary(0));
    let create = Input::CreateSweep { request_id, spec: Box::new(spec), data, for_slots: None };
    assert!(bench.core.hear(0, create).unwrap().reply.is_ok());
    let decided = bench.core.decide(&mut || true).unwrap();
    assert!(decided.is_all, "nothing can be decided before the sampler replies");
    assert_eq!(names(&decided.events), [""; 0]);
    decided.jobs
}

/// Gives the reply to a job back. Returns what is decided then, and the next jobs.
fn give_back(bench: &mut Bench, job: SamplingJob) -> (Vec<Event>, Vec<SamplingJob>) {
    let sampled = Input::Sampled(Box::new(job.run()));
    assert!(bench.core.hear(0, sampled).unwrap().reply.is_ok());
    let decided = bench.core.decide(&mut || true).unwrap();
    (decided.events, decided.jobs)
}

#[test]
fn a_sweep_waits_for_its_sampler_and_the_others_do_not() {
    let mut bench = Bench::new();
    let mut jobs = zoom(&mut bench, "slow", 4);
    assert_eq!(jobs.len(), 1, "one question at a time");
    bench.create("quick", 2, 0).unwrap();
    bench.hello(1, "w", 1, 4, &[]);
    let grants = bench.grants();
    assert_eq!(grants.len(), 2);
    assert!(grants.iter().all(|grant| grant.sweep == SweepId(2)));
    bench.say(1, FromWorker::Heartbeat { stuck: 0, waiting: Vec::new() }).unwrap();
    bench.report(1, grants[0].lease, vec![point(1, 1.0)]).unwrap();
    bench.step(Input::Tick).unwrap();
    let (events, next) = give_back(&mut bench, jobs.remove(0));
    assert_eq!(names(&events), ["trial_sampled", "lease_granted"]);
    assert_eq!(next.len(), 1, "there is room for a second trial");
}

#[test]
fn a_reply_that_comes_while_the_sweep_is_paused_is_used_when_it_goes_on() {
    let mut bench = Bench::new();
    let mut jobs = zoom(&mut bench, "s", 4);
    bench.step(Input::PauseSweep(SWEEP)).unwrap();
    let (events, next) = give_back(&mut bench, jobs.remove(0));
    assert!(events.is_empty() && next.is_empty(), "{events:?}");
    bench.core.hear(0, Input::ResumeSweep(SWEEP)).unwrap().reply.unwrap();
    let decided = bench.core.decide(&mut || true).unwrap();
    assert_eq!(names(&decided.events), ["trial_sampled"]);
    assert_eq!(decided.jobs.len(), 1);
}

#[test]
fn a_reply_for_a_sweep_that_has_ended_changes_nothing() {
    let mut bench = Bench::new();
    let mut jobs = zoom(&mut bench, "s", 4);
    bench.step(Input::CancelSweep(SWEEP)).unwrap();
    bench.step(Input::DeleteSweep(SWEEP)).unwrap();
    let (events, next) = give_back(&mut bench, jobs.remove(0));
    assert!(events.is_empty() && next.is_empty(), "{events:?}");
}

#[test]
fn a_client_that_wants_a_trial_at_once_waits_for_the_sampler() {
    let text = "name = \"x\"\n[data]\nsource = \"external\"\n[fixed]\nepochs = 1\n\
                [space]\nC = { low = 0.0, high = 1.0 }\n[search]\ntrials = 9\nparallelism = 1\n\
                [objective]\nmetric = \"m\"\ngoal = \"minimize\"\n";
    let spec = Box::new(caviar_common::spec::file::parse(text).unwrap().spec);
    let mut bench = Bench::new();
    let data = caviar_common::data::DataSummary::default();
    let create = Input::CreateSweep { request_id: name("r"), spec, data, for_slots: None };
    bench.core.hear(0, create).unwrap().reply.unwrap();
    let job = bench.core.decide(&mut || true).unwrap().jobs.remove(0);
    let (request_id, client) = (name("a"), name("c"));
    let ask = caviar_common::ask::Ask {
        key: caviar_common::ask::AskKey { request_id, client, token: None },
        count: 1,
        lease_ms: 1_000,
    };
    let waiter = Waiter { id: WaiterId(7), is_patient: false };
    let heard = bench.core.hear(0, Input::AskTrials(SWEEP, ask, waiter)).unwrap();
    assert_eq!(heard.reply, Ok(Reply::Waiting));
    assert!(bench.core.decide(&mut || true).unwrap().effects.is_empty(), "not yet");
    let sampled = Input::Sampled(Box::new(job.run()));
    bench.core.hear(0, sampled).unwrap().reply.unwrap();
    let decided = bench.core.decide(&mut || true).unwrap();
    let answered = decided.effects.iter().any(|effect| {
        let Effect::Answer(WaiterId(7), ClientReply::Trials(reply)) = effect else { return false };
        reply.trials.len() == 1
    });
    assert!(answered, "{:?}", decided.effects);
}
