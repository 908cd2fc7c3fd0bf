//! Checks that several sections of a sweep share, and the texts that both the reader of the sweep
//! file and the checks of a draft use.

use super::draft::{Draft, DraftParameter};
use super::{Goal, ObjectiveEpoch, StoppingRule};
use crate::error::{Problem, Problems};
use crate::scale::Scale;
use crate::text::{one_of, quoted};

/// The legal values of `data.validation`.
pub(super) const EXPECTED_VALIDATION: &str = "expected a number between 0 and 1, such as 0.2";
/// The legal values of `data.test`.
pub(super) const EXPECTED_TEST: &str = "expected 0 or a number between 0 and 1, such as 0.1";
/// The legal values of `data.class_weights`.
pub(super) const EXPECTED_CLASS_WEIGHTS: &str =
    "expected \"balanced\", or the weights of classes, such as { rare = 10 }";
/// Two entries of one name.
pub(super) const GIVEN_TWICE: &str = "given twice: remove one of the two";

/// The legal values of a count.
pub(super) fn expected_whole(least: u64, most: impl Into<u64>) -> String {
    format!("expected a whole number from {least} to {}", most.into())
}

/// The value that `text` names in `known`. Where the text is absent it is `default`, and so is an
/// unknown name, which is also reported.
pub(super) fn named<T: Copy>(
    field: &str,
    text: Option<&str>,
    known: &[(&str, T)],
    default: T,
    problems: &mut Problems,
) -> T {
    let Some(text) = text else { return default };
    if let Some((_, value)) = known.iter().find(|(name, _)| *name == text) {
        return *value;
    }
    let message = format!("expected {}", one_of(known.iter().map(|(name, _)| *name)));
    problems.push(Problem::with_value(field, quoted(text), message));
    default
}

/// The scale of a parameter, which is not `one_minus_log` for whole numbers; `default` where it is
/// absent or wrong.
pub(super) fn check_scale(
    draft: &DraftParameter,
    is_int: bool,
    default: Scale,
    problems: &mut Problems,
) -> Scale {
    let scales = [Scale::Linear, Scale::Log, Scale::OneMinusLog].map(|scale| (scale.name(), scale));
    let usable = if is_int { &scales[..2] } else { &scales[..] };
    named(&draft.path("scale"), draft.scale.as_deref(), usable, default, problems)
}

pub(super) fn check_goal(draft: &Draft, default: Goal, problems: &mut Problems) -> Goal {
    let goals = [Goal::Minimize, Goal::Maximize].map(|goal| (goal.name(), goal));
    named("objective.goal", draft.objective.goal.as_deref(), &goals, default, problems)
}

pub(super) fn check_epoch(
    draft: &Draft,
    default: ObjectiveEpoch,
    problems: &mut Problems,
) -> ObjectiveEpoch {
    let known = ObjectiveEpoch::ALL.map(|epoch| (epoch.name(), epoch));
    named("objective.epoch", draft.objective.epoch.as_deref(), &known, default, problems)
}

pub(super) fn check_stopping(
    draft: &Draft,
    default: StoppingRule,
    problems: &mut Problems,
) -> StoppingRule {
    let known = StoppingRule::ALL.map(|rule| (rule.name(), rule));
    named("stopping.rule", draft.stopping.rule.as_deref(), &known, default, problems)
}
