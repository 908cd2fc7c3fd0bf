//! One sweep: its state, its best trial, the trials that run, and where it searched.

use std::io::{self, Write};

use caviar_common::metric::Point;
use caviar_common::outcome::{SweepState, TrialState};
use caviar_common::spec::Goal;
use caviar_common::view::{Counts, IdleView, SweepView, TestView, TrialView};

use super::baseline;
use super::boxes;
use super::notes::write_note;
use super::page::{Page, Tone, shorten, width};
use super::{text, trials};

/// Where a sweep was read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From a coordinator, which runs it.
    #[default]
    Coordinator,
    /// From a store that no coordinator has open, so the sweep does not make progress.
    Store,
}

/// How sweeps are shown.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct View {
    /// Where they were read from.
    pub(crate) origin: Origin,
    /// Where they are written to.
    pub(crate) page: Page,
}

impl View {
    /// The view for standard output, as it is now.
    pub(crate) fn on_stdout(origin: Origin) -> Self {
        Self { origin, page: Page::of_stdout() }
    }
}

/// The state in a word, and its tone. A sweep that no coordinator has open is interrupted,
/// whatever it did last.
pub(crate) fn state(sweep: &SweepView, origin: Origin) -> (&'static str, Tone) {
    match (origin, sweep.state) {
        (Origin::Store, SweepState::Running | SweepState::Scoring) => ("interrupted", Tone::Bad),
        (_, state @ (SweepState::Running | SweepState::Scoring)) => (state.name(), Tone::Busy),
        (_, state @ SweepState::Paused) => (state.name(), Tone::Waiting),
        (_, state @ SweepState::Completed) => (state.name(), Tone::Good),
        (_, state @ SweepState::Cancelled) => (state.name(), Tone::Bad),
    }
}

/// Trials that the sweep is planned to have. A grid may have fewer points than its budget, which
/// shows when it ends.
pub(crate) fn total(sweep: &SweepView) -> u32 {
    match sweep.state {
        SweepState::Completed | SweepState::Scoring => sweep.counts.finished(),
        SweepState::Running | SweepState::Paused | SweepState::Cancelled => sweep.budget,
    }
}

/// The running trial that is ahead at the moment. Its value may still change.
pub(crate) fn best_running<'a>(
    sweep: &SweepView,
    running: &'a [TrialView],
) -> Option<&'a TrialView> {
    let cost = |trial: &TrialView| {
        let value = trial.objective.filter(|value| value.is_finite())?;
        Some(sweep.spec.objective.goal.as_cost(value))
    };
    let with_cost = running
        .iter()
        .filter(|trial| trial.state == TrialState::Running)
        .filter_map(|trial| Some((trial, cost(trial)?)));
    with_cost.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(trial, _)| trial)
}

/// Writes the state of a sweep, its best trial, its running trials, and then where it searched.
pub(crate) fn status(
    out: &mut impl Write,
    sweep: &SweepView,
    running: &[TrialView],
    view: View,
) -> io::Result<()> {
    let page = view.page;
    let (state, tone) = state(sweep, view.origin);
    let headline = format!("sweep {} (number {}) is {state}", sweep.name, sweep.id);
    page.write(out, tone, 2, &headline)?;
    let parked = running.iter().filter(|trial| trial.parked).count();
    let parked = u32::try_from(parked).unwrap_or(u32::MAX);
    page.write(out, Tone::Plain, 2, &counts(sweep.counts, total(sweep), parked))?;
    if !sweep.state.is_final() {
        page.write(out, Tone::Faint, 2, &parallelism(sweep))?;
    }
    if let Some(line) = text::trained_again(sweep.retrained_epochs) {
        page.write(out, Tone::Plain, 2, &line)?;
    }
    if let Some(trial) = sweep.waits_for {
        let note = format!("note  the next decision waits for trial {trial}");
        page.write(out, Tone::Waiting, 6, &note)?;
    }
    for note in sweep.notes.iter().cloned().chain(sweep.idle.iter().map(IdleView::to_string)) {
        page.write(out, Tone::Waiting, 6, &format!("note  {note}"))?;
    }
    if let Some(best) = &sweep.best {
        writeln!(out)?;
        winner(out, sweep, best, page)?;
    }
    if let Some(line) = models(sweep) {
        page.write(out, Tone::Faint, 8, &line)?;
    }
    if let Some(ahead) = best_running(sweep, running) {
        writeln!(out)?;
        page.write(out, Tone::Strong, 2, &running_line(sweep, ahead))?;
    }
    if !running.is_empty() {
        writeln!(out)?;
        trials::table(out, sweep, &in_order(running), page)?;
    }
    boxes::write(out, sweep, page)?;
    writeln!(out)?;
    page.write(out, Tone::Faint, 6, &data(sweep))?;
    sweep.data.notes.iter().try_for_each(|note| write_note(out, note, page))
}

/// The trials whose models are kept, the best first, and how to write them; `None` if there are
/// none.
fn models(sweep: &SweepView) -> Option<String> {
    let trials: Vec<String> = sweep.models.iter().map(|model| model.trial.to_string()).collect();
    let name = &sweep.name;
    match trials.as_slice() {
        [] => None,
        [only] => Some(format!("model   of trial {only}; to write it: caviar model {name}")),
        several => Some(format!(
            "models  of the trials {}; to write the best: caviar model {name}; an average, which \
             is often better: caviar model {name} --ensemble",
            several.join(", ")
        )),
    }
}

/// How many trials are in flight at most, and where the number is from.
pub(crate) fn parallelism(sweep: &SweepView) -> String {
    let auto = sweep.auto_slots.filter(|_| sweep.resizes.is_empty());
    let why = match auto {
        Some(slots) => format!(" (auto, for {})", text::count(slots.into(), "slot")),
        None if sweep.resizes.is_empty() => String::new(),
        None => format!(" (it began with {})", sweep.spec.search.parallelism),
    };
    format!("parallelism {}{why}", sweep.parallelism)
}

/// What to tell the author of a new sweep about the number of trials in flight that was chosen;
/// `None` if the author chose it. `option` leads a command to its coordinator.
pub(crate) fn auto_note(sweep: &SweepView, option: &str) -> Option<String> {
    let (name, slots) = (&sweep.name, sweep.auto_slots?);
    let in_flight = text::count(sweep.parallelism.into(), "trial");
    let keeps = format!("it keeps at most {in_flight} in flight");
    let resize = format!("caviar resize {name} --parallelism N{option}");
    Some(if sweep.spec.data.is_external() {
        format!("{keeps}; for clients that run more at once: {resize}")
    } else if slots == 0 {
        format!(
            "no worker is connected yet, so {keeps}, enough for 2 slots; to use more: {resize}; \
             next time: caviar submit FILE --for-slots N"
        )
    } else {
        format!("{keeps}, for {}", text::count(slots.into(), "slot"))
    })
}

/// The trials that run, and after them those that are parked.
pub(crate) fn in_order(running: &[TrialView]) -> Vec<TrialView> {
    let mut trials = running.to_vec();
    trials.sort_by_key(|trial| (trial.parked, trial.trial));
    trials
}

fn running_line(sweep: &SweepView, trial: &TrialView) -> String {
    let epoch = trial.last.as_ref().map_or(0, Point::epoch);
    format!(
        "best running trial {}: {} {} after epoch {epoch} of {}",
        trial.trial,
        sweep.spec.objective.metric.name(),
        text::objective(&sweep.spec, trial),
        trial.epochs
    )
}

fn data(sweep: &SweepView) -> String {
    let data = &sweep.data;
    if sweep.spec.data.is_external() {
        return "data  external: other programs ask for the trials and run them".to_owned();
    }
    let repeats = match sweep.spec.objective.repeats {
        1 => String::new(),
        repeats => format!("; each trial is trained {repeats} times"),
    };
    format!(
        "data  {}: {}, {}{repeats}",
        sweep.spec.data.source,
        text::splits(data),
        text::count(data.features.into(), "input"),
    )
}

/// How many trials are finished and in which way, and what the others do. `parked` of the running
/// trials hold no slot.
pub(crate) fn counts(counts: Counts, total: u32, parked: u32) -> String {
    let named = |named: &[(u32, &str)]| {
        let parts = named.iter().filter(|(n, _)| *n > 0).map(|(n, name)| format!("{n} {name}"));
        parts.collect::<Vec<_>>().join(", ")
    };
    let ends = named(&[
        (counts.completed, "trained to the end"),
        (counts.stopped, "stopped early"),
        (counts.diverged, "diverged"),
        (counts.failed, "failed"),
    ]);
    let others = named(&[
        (counts.running.saturating_sub(parked), "running"),
        (parked.min(counts.running), "parked"),
        (counts.queued, "waiting"),
        (counts.cancelled, "cancelled"),
    ]);
    let done = counts.finished();
    let mut line = if done == total {
        format!("{} finished", text::count(total.into(), "trial"))
    } else {
        format!("{done} of {} finished", text::count(total.into(), "trial"))
    };
    if !ends.is_empty() {
        line = format!("{line}: {ends}");
    }
    if others.is_empty() { line } else { format!("{line}; {others}") }
}

/// Writes the best completed trial: its scores and its values.
pub(crate) fn winner(
    out: &mut impl Write,
    sweep: &SweepView,
    best: &TrialView,
    page: Page,
) -> io::Result<()> {
    let round = best.reason.round.map_or_else(String::new, |round| format!(" of round {round}"));
    let goal = match sweep.spec.objective.goal {
        Goal::Maximize => "highest",
        Goal::Minimize => "lowest",
    };
    let metric = sweep.spec.objective.metric.name();
    let which = if sweep.state == SweepState::Completed { "best" } else { "best completed" };
    let headline = format!(
        "{which} trial {}{round}: {goal} {metric} {}{}",
        best.trial,
        text::objective(&sweep.spec, best),
        text::spread(sweep, best).unwrap_or_default()
    );
    page.write(out, Tone::Strong, 2, &headline)?;
    let mut rows: Vec<(&str, Tone, String)> = Vec::new();
    match &best.counting {
        Some(Point::Network(counting)) => {
            let epoch = text::earlier_epoch(best).unwrap_or_default();
            let score = text::score(&counting.validation);
            rows.push(("validation", Tone::Plain, format!("{score}{epoch}")));
        }
        Some(Point::Named(counting)) => {
            let others = counting.metrics.iter().filter(|(name, _)| name.as_str() != metric);
            rows.extend(others.map(|(it, value)| (it.as_str(), Tone::Plain, text::number(*value))));
        }
        None => {}
    }
    rows.extend(sweep.test.as_ref().map(|test| ("test", Tone::Strong, test_text(test))));
    rows.extend(baseline::row(sweep).map(|text| ("baseline", Tone::Plain, text)));
    rows.extend(baseline::rmse(sweep, best).map(|text| ("rmse", Tone::Plain, text)));
    rows.extend(baseline::saved(sweep, best).map(|text| ("saved", Tone::Plain, text)));
    let values = best.assignment.iter();
    rows.extend(values.map(|(name, value)| (name, Tone::Plain, text::value(value))));
    write_pairs(out, &rows, page)?;
    match baseline::verdict(sweep, best) {
        Some(verdict) => page.write(out, Tone::Bad, 2, &verdict),
        None => match baseline::remark(sweep, best) {
            Some(remark) => page.write(out, Tone::Plain, 2, &remark),
            None => Ok(()),
        },
    }
}

/// Writes names and what belongs to them in two columns. A long text continues on further lines, so
/// that no figure is cut.
fn write_pairs(out: &mut impl Write, rows: &[(&str, Tone, String)], page: Page) -> io::Result<()> {
    let most = page.columns.map_or(usize::MAX, |columns| columns / 2);
    let widest = rows.iter().map(|(name, ..)| width(name)).max().unwrap_or(0).min(most);
    for (name, tone, text) in rows {
        let name = shorten(name, widest);
        let gap = " ".repeat(widest.saturating_sub(width(&name)) + 2);
        let lines = page.wrap(&format!("  {name}{gap}{text}"), 4);
        // Only the text has a tone, and it may begin on any line.
        let start = 4 + widest;
        for (place, line) in lines.iter().enumerate() {
            let split = if place == 0 { byte_at(line, start) } else { 0 };
            let (before, after) = line.split_at(split);
            writeln!(out, "{before}{}", page.paint(*tone, after))?;
        }
    }
    Ok(())
}

/// The byte at which the column `column` of a line begins, or its end.
fn byte_at(line: &str, column: usize) -> usize {
    line.char_indices().nth(column).map_or(line.len(), |(byte, _)| byte)
}

fn test_text(test: &TestView) -> String {
    match (&test.score, &test.message) {
        (Some(score), _) if test.reproduced => text::score(score),
        (Some(score), _) => {
            format!("{} (training the winner again gave other metrics)", text::score(score))
        }
        (None, Some(message)) => format!("no score: {message}"),
        (None, None) => "no score".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use caviar_common::blob::{Blob, BlobName};
    use caviar_common::ids::TrialNumber;
    use caviar_common::view::ModelView;

    use super::super::tests::samples;
    use super::*;

    fn shown(sweep: &SweepView, running: &[TrialView], view: View) -> String {
        let mut out = Vec::new();
        status(&mut out, sweep, running, view).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn kept_models_are_listed_with_the_commands_that_write_them() {
        let mut sweep = samples::sweep();
        assert_eq!(models(&sweep), None);
        let model = |trial| ModelView {
            trial: TrialNumber(trial),
            epoch: 1,
            objective: 0.9,
            blob: Blob { name: BlobName::from_hash([0; 32]), bytes: 1 },
        };
        sweep.models = vec![model(2)];
        assert_eq!(models(&sweep).unwrap(), "model   of trial 2; to write it: caviar model digits");
        sweep.models.push(model(0));
        let several = models(&sweep).unwrap();
        assert!(several.starts_with("models  of the trials 2, 0; "), "{several}");
        assert!(several.ends_with("caviar model digits --ensemble"), "{several}");
    }

    #[test]
    fn a_finished_sweep_shows_its_winner_before_its_rounds() {
        let expected = "\
sweep digits (number 1) is completed
3 trials finished: 2 trained to the end, 1 diverged

best trial 2 of round 2: highest validation_accuracy 0.9778
  validation     accuracy 0.9778, loss 0.1
  test           accuracy 0.9667, loss 0.125
  layers         2
  learning_rate  0.05

Where it searched: the range of each hyperparameter in each round.
                          round 1    round 2
trials                    2          1
learning_rate             1e-4 .. 1  0.01 .. 0.2
layers                    1 .. 4     2
best validation_accuracy  0.9500     0.9778

data  builtin:digits: 1257 training, 360 validation, 180 test examples, 64 inputs
";
        assert_eq!(shown(&samples::sweep(), &[], View::default()), expected);
    }

    #[test]
    fn the_scores_of_the_winner_are_those_of_the_epoch_that_counts() {
        let mut sweep = samples::sweep();
        let mut best = samples::trials().remove(2);
        best.counting = best.curve.first().cloned();
        sweep.best = Some(best);
        let text = shown(&sweep, &[], View::default());
        let row = "\n  validation     accuracy 0.9600, loss 0.2 (epoch 1 of 2)\n";
        assert!(text.contains(row), "{text}");
    }

    #[test]
    fn the_winner_of_several_trainings_is_shown_with_their_spread() {
        let mut sweep = samples::sweep();
        std::sync::Arc::make_mut(&mut sweep.spec).objective.repeats = 3;
        sweep.data.folds = 2;
        let best = sweep.best.as_mut().unwrap();
        let Some(Point::Network(counting)) = &mut best.counting else { panic!("it was trained") };
        counting.spread = Some(0.008_66);
        let text = shown(&sweep, &[], View::default());
        let headline = "highest validation_accuracy 0.9778 ± 0.0087 over 6 trainings\n";
        assert!(text.contains(headline), "{text}");
        let json = serde_json::to_value(&sweep).unwrap();
        assert_eq!(json["best"]["counting"]["spread"], 0.008_66);
        assert_eq!(json["best"]["last"].get("spread"), None);
    }

    #[test]
    fn a_running_sweep_shows_the_best_completed_and_the_best_running_trial() {
        let text = shown(&samples::running_sweep(), &samples::running(), View::default());
        assert!(
            text.starts_with(
                "sweep letters (number 2) is running\n\
                 24 of 60 trials finished: 11 trained to the end, 12 stopped early, 1 diverged; \
                 2 running, 2 parked, 1 waiting\n\
                 parallelism 8\n\
                 note  the next decision waits for trial 27\n"
            ),
            "{text}"
        );
        assert!(text.contains("\nbest completed trial 12: highest validation_accuracy 0.8356\n"));
        assert!(text.contains(
            "\nbest running trial 27: validation_accuracy 0.9525 after epoch 12 of 30\n"
        ));
        let places = ["\n27     running", "\n29     running", "\n25     parked"];
        let places: Vec<usize> =
            places.iter().map(|row| text.find(row).unwrap_or_else(|| panic!("{text}"))).collect();
        assert!(places.is_sorted(), "{text}");
    }

    #[test]
    fn a_sweep_of_a_store_is_interrupted_unless_it_has_ended() {
        let mut sweep = samples::sweep();
        sweep.state = SweepState::Running;
        sweep.waits_for = Some(TrialNumber(1));
        sweep.notes = vec!["no worker is connected".to_owned()];
        let text = shown(&sweep, &[], View::default());
        let notes = "note  the next decision waits for trial 1\nnote  no worker is connected\n";
        assert!(text.contains(notes), "{text}");
        sweep.retrained_epochs = 12;
        let text = shown(&sweep, &[], View::default());
        assert!(text.contains("\n12 epochs were trained again after a lost worker\n"), "{text}");
        let view = View { origin: Origin::Store, ..View::default() };
        assert!(shown(&sweep, &[], view).starts_with("sweep digits (number 1) is interrupted\n"));
    }

    #[test]
    fn counts_say_how_trials_ended_and_what_the_others_do() {
        let all = Counts { completed: 11, stopped: 49, ..Counts::default() };
        assert_eq!(
            counts(all, 60, 0),
            "60 trials finished: 11 trained to the end, 49 stopped early"
        );
        let some = Counts { running: 3, failed: 1, ..Counts::default() };
        assert_eq!(counts(some, 60, 1), "1 of 60 trials finished: 1 failed; 2 running, 1 parked");
        assert_eq!(counts(Counts::default(), 1, 0), "0 of 1 trial finished");
    }
}
