//! Generators of views: what clients see of sweeps, trials and workers.

use caviar_common::ids::{AttemptNumber, SweepId, TrialNumber};
use caviar_common::limits::{MAX_EPOCHS, MAX_PARALLELISM, MAX_SLOTS, MAX_TRIALS};
use caviar_common::outcome::{SweepState, TrialState};
use caviar_common::view::{
    BoxView, Counts, ExtensionView, IdleView, MAX_BOXES, ModelView, ResizeView, RoundView,
    StoppedView, SweepView, TestView, TrialTimes, TrialView, WorkerView,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::{BoxedStrategy, Strategy, any};
use proptest::sample::select;

use super::domain::{
    assignment, blob, name, points, reason, score, search_box, seconds, summary, text,
};
use super::specs::spec;

fn stopped() -> BoxedStrategy<StoppedView> {
    (1..=MAX_EPOCHS, 1..=MAX_TRIALS, 0..=MAX_TRIALS)
        .prop_map(|(epoch, rank, more)| StoppedView { epoch, rank, of: rank.saturating_add(more) })
        .boxed()
}

pub(super) fn trial() -> BoxedStrategy<TrialView> {
    let what = (any::<u32>(), select(TrialState::ALL.as_slice()), assignment(), reason());
    let how = (any::<u32>(), of(name()), 0..=MAX_EPOCHS, of(any::<f64>()));
    let last = || {
        of(points().prop_filter_map("a curve without an epoch has no last one", |points| {
            points.last().cloned()
        }))
    };
    let result = (
        (last(), last()),
        points(),
        (of(seconds()), of(any::<u64>())),
        (of(text()), of(stopped()), any::<bool>(), of(text()), of(text()), any::<u64>()),
    );
    (what, how, result)
        .prop_map(
            |(
                (trial, state, assignment, reason),
                (attempts, worker, epochs, objective),
                (
                    (last, counting),
                    curve,
                    (seconds, memory_bytes),
                    (message, stopped, parked, started_at, ended_at, retrained_epochs),
                ),
            )| {
                TrialView {
                    trial: TrialNumber(trial),
                    state,
                    assignment,
                    reason,
                    attempts: AttemptNumber(attempts),
                    worker,
                    epochs,
                    objective,
                    last,
                    counting,
                    curve,
                    seconds,
                    memory_bytes,
                    message,
                    stopped,
                    parked,
                    times: TrialTimes { started_at, ended_at },
                    retrained_epochs,
                }
            },
        )
        .boxed()
}

pub(super) fn test() -> BoxedStrategy<TestView> {
    (any::<u32>(), of(score()), any::<bool>(), of(text()))
        .prop_map(|(trial, score, reproduced, message)| TestView {
            trial: TrialNumber(trial),
            score,
            reproduced,
            message,
        })
        .boxed()
}

fn counts() -> BoxedStrategy<Counts> {
    vec(0..=MAX_TRIALS, TrialState::ALL.len())
        .prop_map(|numbers| {
            let mut counts = Counts::default();
            TrialState::ALL
                .into_iter()
                .zip(numbers)
                .for_each(|(state, n)| *counts.counter_mut(state) = n);
            counts
        })
        .boxed()
}

fn round() -> BoxedStrategy<RoundView> {
    (1..=u32::MAX, 0..=MAX_TRIALS, 0..=MAX_TRIALS, of(search_box()), of(any::<f64>()))
        .prop_map(|(round, trials, finished, search_box, best)| RoundView {
            round,
            trials,
            finished,
            search_box,
            best,
        })
        .boxed()
}

fn box_of_trial() -> BoxedStrategy<BoxView> {
    (any::<u32>(), search_box())
        .prop_map(|(trial, search_box)| BoxView { trial: TrialNumber(trial), search_box })
        .boxed()
}

pub(super) fn sweep() -> BoxedStrategy<SweepView> {
    let what = (1..=u64::MAX, name(), select(SweepState::ALL.as_slice()), spec(), summary());
    let how = (
        counts(),
        vec(round(), 0..4),
        vec(box_of_trial(), 0..=MAX_BOXES),
        of(trial()),
        of(test()),
        of(any::<u32>()),
        vec(text(), 0..4),
        any::<u64>(),
    );
    let slots = (1..=MAX_PARALLELISM, of(any::<u32>()), vec(resize(), 0..4), of(idle()));
    let budget = (1..=MAX_TRIALS, vec(extension(), 0..4));
    let model = (any::<u32>(), 1..=MAX_EPOCHS, -1e9..1e9, blob()).prop_map(
        |(trial, epoch, objective, blob)| ModelView {
            trial: TrialNumber(trial),
            epoch,
            objective,
            blob,
        },
    );
    (what, how, (slots, budget), vec(model, 0..4))
        .prop_map(
            |(
                (id, name, state, spec, data),
                (counts, rounds, boxes, best, test, waits_for, notes, retrained_epochs),
                ((parallelism, auto_slots, resizes, idle), (budget, extensions)),
                models,
            )| SweepView {
                id: SweepId(id),
                name,
                state,
                spec: spec.into(),
                data,
                counts,
                rounds,
                best,
                test,
                boxes,
                waits_for: waits_for.map(TrialNumber),
                notes,
                parallelism,
                auto_slots,
                resizes,
                budget,
                extensions,
                idle,
                retrained_epochs,
                models,
            },
        )
        .boxed()
}

fn resize() -> BoxedStrategy<ResizeView> {
    (1..=MAX_PARALLELISM, any::<u32>(), any::<u32>())
        .prop_map(|(parallelism, trials, decisions)| ResizeView { parallelism, trials, decisions })
        .boxed()
}

fn extension() -> BoxedStrategy<ExtensionView> {
    (1..=MAX_TRIALS, any::<u32>(), any::<u32>())
        .prop_map(|(added, trials, decisions)| ExtensionView { added, trials, decisions })
        .boxed()
}

fn idle() -> BoxedStrategy<IdleView> {
    (any::<u32>(), any::<u32>(), text(), of(text()))
        .prop_map(|(idle, slots, reason, remedy)| IdleView { idle, slots, reason, remedy })
        .boxed()
}

pub(super) fn worker() -> BoxedStrategy<WorkerView> {
    let held = vec((name(), any::<u32>().prop_map(TrialNumber)), 0..6);
    let idle = (0..=MAX_SLOTS, of(text()));
    (name(), 1..=MAX_SLOTS, any::<[bool; 2]>(), held, any::<u64>(), idle)
        .prop_map(|(worker, slots, [connected, draining], trials, silent_ms, idle)| WorkerView {
            worker,
            slots,
            connected,
            draining,
            trials,
            silent_ms,
            idle: idle.0,
            idle_because: idle.1,
        })
        .boxed()
}
