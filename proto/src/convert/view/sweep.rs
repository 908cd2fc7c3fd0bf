//! Sweeps as clients see them.

use caviar_common::error::Problem;
use caviar_common::ids::{Name, SweepId, TrialNumber};
use caviar_common::limits::{
    MAX_EPOCHS, MAX_EXTENSIONS, MAX_MODELS, MAX_PARALLELISM, MAX_RESIZES, MAX_ROUNDS, MAX_TRIALS,
    MAX_WORKERS,
};
use caviar_common::numbers::index;
use caviar_common::view::{
    BoxView, Counts, ExtensionView, IdleView, MAX_BOXES, ModelView, ResizeView, RoundView,
    SweepView, TestView,
};

use super::state::{sweep_state_from_wire, sweep_state_to_wire};
use super::trial::{decode_trial, encode_trial};
use crate::convert::artifacts::{decode_optional_blob, encode_blob};
use crate::convert::data::{decode_summary, encode_summary};
use crate::convert::field::{
    Within, at_most, clip, finite, in_range, optional_text, positive, required, text,
    unknown_number,
};
use crate::convert::metrics::{decode_optional_score, encode_score};
use crate::convert::spec::{decode_spec, encode_spec, first};
use crate::convert::value::{decode_optional_box, encode_box};
use crate::v1;

/// Converts a sweep to the wire.
pub fn encode_sweep(view: &SweepView) -> v1::Sweep {
    v1::Sweep {
        id: view.id.0,
        name: view.name.to_string(),
        state: sweep_state_to_wire(view.state),
        spec: Some(encode_spec(&view.spec)),
        data: Some(encode_summary(&view.data)),
        counts: Some(encode_counts(view.counts)),
        rounds: view.rounds.iter().map(encode_round).collect(),
        best: view.best.as_ref().map(encode_trial),
        test: view.test.as_ref().map(encode_test),
        waits_for: view.waits_for.map(|trial| trial.0),
        notes: view.notes.iter().map(|note| clip(note)).collect(),
        boxes: view.boxes.iter().map(encode_box_of_trial).collect(),
        parallelism: view.parallelism,
        auto_slots: view.auto_slots,
        resizes: view.resizes.iter().map(encode_resize).collect(),
        budget: view.budget,
        extensions: view.extensions.iter().map(encode_extension).collect(),
        idle: view.idle.as_ref().map(encode_idle),
        retrained_epochs: view.retrained_epochs,
        models: view.models.iter().map(encode_model).collect(),
    }
}

const fn encode_extension(view: &ExtensionView) -> v1::Extension {
    let ExtensionView { added, trials, decisions } = *view;
    v1::Extension { added, trials, decisions }
}

fn decode_extension(wire: v1::Extension) -> Result<ExtensionView, Problem> {
    Ok(ExtensionView {
        added: positive("added", wire.added)?,
        trials: wire.trials,
        decisions: wire.decisions,
    })
}

const fn encode_resize(view: &ResizeView) -> v1::Resize {
    let ResizeView { parallelism, trials, decisions } = *view;
    v1::Resize { parallelism, trials, decisions }
}

fn decode_resize(wire: v1::Resize) -> Result<ResizeView, Problem> {
    Ok(ResizeView {
        parallelism: in_range("parallelism", wire.parallelism, 1..=MAX_PARALLELISM)?,
        trials: wire.trials,
        decisions: wire.decisions,
    })
}

fn encode_idle(view: &IdleView) -> v1::IdleSlots {
    v1::IdleSlots {
        idle: view.idle,
        slots: view.slots,
        reason: clip(&view.reason),
        remedy: view.remedy.as_deref().map(clip),
    }
}

fn decode_idle(wire: v1::IdleSlots) -> Result<IdleView, Problem> {
    Ok(IdleView {
        idle: wire.idle,
        slots: wire.slots,
        reason: text("reason", wire.reason)?,
        remedy: optional_text("remedy", wire.remedy)?,
    })
}

/// Reads a sweep from the wire.
///
/// # Errors
/// The first field that is wrong, such as `spec.space.units.low`.
pub fn decode_sweep(wire: v1::Sweep) -> Result<SweepView, Problem> {
    let rounds = at_most("rounds", wire.rounds, MAX_ROUNDS)?.into_iter().enumerate();
    let boxes = at_most("boxes", wire.boxes, MAX_BOXES)?.into_iter().enumerate();
    // There is at most one note per worker that cannot train the sweep.
    let notes = at_most("notes", wire.notes, MAX_WORKERS)?.into_iter().enumerate();
    let extensions =
        at_most("extensions", wire.extensions, MAX_EXTENSIONS)?.into_iter().enumerate();
    let resizes = at_most("resizes", wire.resizes, MAX_RESIZES)?.into_iter().enumerate();
    let models = at_most("models", wire.models, index(MAX_MODELS))?.into_iter().enumerate();
    let spec = required("spec", wire.spec)
        .and_then(|spec| decode_spec(spec).map_err(first).within("spec"))?;
    // An older coordinator does not send the number, because it cannot change it.
    let parallelism = match in_range("parallelism", wire.parallelism, 0..=MAX_PARALLELISM)? {
        0 => spec.search.parallelism.trials(),
        parallelism => parallelism,
    };
    let budget = match in_range("budget", wire.budget, 0..=MAX_TRIALS)? {
        0 => spec.search.trials,
        budget => budget,
    };
    Ok(SweepView {
        budget,
        id: SweepId(positive("id", wire.id)?),
        name: Name::parse("name", &wire.name)?,
        state: sweep_state_from_wire(wire.state)?
            .ok_or_else(|| unknown_number("state", wire.state))?,
        spec: spec.into(),
        data: required("data", wire.data).and_then(|data| decode_summary(data).within("data"))?,
        counts: required("counts", wire.counts)
            .and_then(|counts| decode_counts(counts).within("counts"))?,
        rounds: rounds
            .map(|(i, round)| decode_round(round).at("rounds", i))
            .collect::<Result<_, _>>()?,
        boxes: boxes
            .map(|(i, of)| decode_box_of_trial(of).at("boxes", i))
            .collect::<Result<_, _>>()?,
        best: wire.best.map(decode_trial).transpose().within("best")?,
        test: wire.test.map(decode_test).transpose().within("test")?,
        waits_for: wire.waits_for.map(TrialNumber),
        notes: notes.map(|(i, note)| text("", note).at("notes", i)).collect::<Result<_, _>>()?,
        parallelism,
        auto_slots: wire.auto_slots,
        extensions: extensions
            .map(|(i, extension)| decode_extension(extension).at("extensions", i))
            .collect::<Result<_, _>>()?,
        resizes: resizes
            .map(|(i, resize)| decode_resize(resize).at("resizes", i))
            .collect::<Result<_, _>>()?,
        idle: wire.idle.map(decode_idle).transpose().within("idle")?,
        retrained_epochs: wire.retrained_epochs,
        models: models
            .map(|(i, model)| decode_model(model).at("models", i))
            .collect::<Result<_, _>>()?,
    })
}

fn encode_model(view: &ModelView) -> v1::KeptModel {
    v1::KeptModel {
        trial: view.trial.0,
        epoch: view.epoch,
        objective: view.objective,
        blob: Some(encode_blob(&view.blob)),
    }
}

fn decode_model(wire: v1::KeptModel) -> Result<ModelView, Problem> {
    Ok(ModelView {
        trial: TrialNumber(wire.trial),
        epoch: in_range("epoch", wire.epoch, 1..=MAX_EPOCHS)?,
        objective: finite("objective", wire.objective)?,
        blob: required("blob", decode_optional_blob("blob", wire.blob)?)?,
    })
}

fn encode_box_of_trial(view: &BoxView) -> v1::TrialBox {
    v1::TrialBox { trial: view.trial.0, r#box: Some(encode_box(&view.search_box)) }
}

fn decode_box_of_trial(wire: v1::TrialBox) -> Result<BoxView, Problem> {
    let search_box = required("box", decode_optional_box("box", wire.r#box)?)?;
    Ok(BoxView { trial: TrialNumber(wire.trial), search_box })
}

const fn encode_counts(counts: Counts) -> v1::Counts {
    let Counts { queued, running, completed, stopped, diverged, failed, cancelled } = counts;
    v1::Counts { queued, running, completed, stopped, diverged, failed, cancelled }
}

/// Each count is bounded, so that the sum of all cannot overflow.
fn decode_counts(wire: v1::Counts) -> Result<Counts, Problem> {
    let trials = |field, value| in_range(field, value, 0..=MAX_TRIALS);
    Ok(Counts {
        queued: trials("queued", wire.queued)?,
        running: trials("running", wire.running)?,
        completed: trials("completed", wire.completed)?,
        stopped: trials("stopped", wire.stopped)?,
        diverged: trials("diverged", wire.diverged)?,
        failed: trials("failed", wire.failed)?,
        cancelled: trials("cancelled", wire.cancelled)?,
    })
}

fn encode_round(view: &RoundView) -> v1::Round {
    v1::Round {
        round: view.round,
        trials: view.trials,
        done: view.finished,
        r#box: view.search_box.as_ref().map(encode_box),
        best: view.best,
    }
}

fn decode_round(wire: v1::Round) -> Result<RoundView, Problem> {
    Ok(RoundView {
        round: positive("round", wire.round)?,
        trials: in_range("trials", wire.trials, 0..=MAX_TRIALS)?,
        finished: in_range("done", wire.done, 0..=MAX_TRIALS)?,
        search_box: decode_optional_box("box", wire.r#box)?,
        best: wire.best,
    })
}

/// Converts a test score to the wire.
pub fn encode_test(view: &TestView) -> v1::TestScore {
    v1::TestScore {
        trial: view.trial.0,
        score: view.score.as_ref().map(encode_score),
        reproduced: view.reproduced,
        message: view.message.as_deref().map(clip),
    }
}

/// Reads a test score from the wire.
///
/// # Errors
/// The first field that is wrong, such as `score.loss`.
pub fn decode_test(wire: v1::TestScore) -> Result<TestView, Problem> {
    Ok(TestView {
        trial: TrialNumber(wire.trial),
        score: decode_optional_score("score", wire.score)?,
        reproduced: wire.reproduced,
        message: optional_text("message", wire.message)?,
    })
}
