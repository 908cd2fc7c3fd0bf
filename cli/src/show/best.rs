//! The best trial of a sweep.

use std::io::{self, Write};

use caviar_common::assignment::{Assignment, Value};
use caviar_common::ids::Name;
use caviar_common::view::{SweepView, TestView, TrialView};
use serde::Serialize;

use super::{sweep, text};

#[derive(Serialize)]
struct Best<'a> {
    sweep: &'a Name,
    state: &'a str,
    trial: &'a TrialView,
    fixed: &'a Assignment,
    test: Option<&'a TestView>,
}

/// For people.
pub(crate) fn text(out: &mut impl Write, view: &SweepView, best: &TrialView) -> io::Result<()> {
    sweep::winner(out, view, best, view.test.as_ref())
}

/// One object.
pub(crate) fn json(out: &mut impl Write, view: &SweepView, best: &TrialView) -> io::Result<()> {
    let best = Best {
        sweep: &view.name,
        state: view.state.name(),
        trial: best,
        fixed: &view.spec.fixed,
        test: view.test.as_ref(),
    };
    super::json(out, &best)
}

/// A `[fixed]` section that trains the same network: what the sweep held fixed, and the values of
/// the trial.
pub(crate) fn toml(out: &mut impl Write, view: &SweepView, best: &TrialView) -> io::Result<()> {
    let objective = sweep::objective(&view.spec, best);
    writeln!(
        out,
        "# trial {} of {}: {} {objective}",
        best.trial,
        view.name,
        view.spec.objective.metric.name()
    )?;
    if let Some(score) = view.test.as_ref().and_then(|test| test.score.as_ref()) {
        writeln!(out, "# test: {}", text::score(score))?;
    }
    writeln!(out, "[fixed]")?;
    let fixed = view.spec.fixed.iter().filter(|(name, _)| best.assignment.get(name).is_none());
    let mut values: Vec<(&str, &Value)> = fixed.chain(best.assignment.iter()).collect();
    values.sort_by_key(|(name, _)| *name);
    values.into_iter().try_for_each(|(name, value)| writeln!(out, "{} = {value}", key(name)))
}

/// A key as TOML has it: a dot would begin another table.
fn key(name: &str) -> String {
    if name.contains('.') { format!("{name:?}") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use caviar_common::spec::file::parse;

    #[test]
    fn the_fixed_section_is_one_of_a_sweep_file() {
        let sweep = samples::sweep();
        let mut out = Vec::new();
        toml(&mut out, &sweep, sweep.best.as_ref().unwrap()).unwrap();
        let text = String::from_utf8(out).unwrap();
        let expected = "\
# trial 2 of digits: validation_accuracy 0.9778
# test: accuracy 0.9667, loss 0.125
[fixed]
epochs = 2
layers = 2
learning_rate = 0.05
optimizer = \"momentum\"
";
        assert_eq!(text, expected);
        let file = format!(
            "name = \"again\"\n[data]\nsource = \"builtin:digits\"\n{text}[search]\ntrials = 1\n"
        );
        let fixed = parse(&file).unwrap().spec.fixed;
        assert_eq!(fixed.get("learning_rate"), Some(&Value::Float(0.05)));
        assert_eq!(fixed.get("optimizer"), Some(&Value::Text("momentum".to_owned())));
    }

    #[test]
    fn programs_get_one_object() {
        let sweep = samples::sweep();
        let mut out = Vec::new();
        json(&mut out, &sweep, sweep.best.as_ref().unwrap()).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["trial"]["trial"], 2);
        assert_eq!(value["trial"]["assignment"]["learning_rate"], 0.05);
        assert_eq!(value["test"]["score"]["accuracy"], 174.0 / 180.0);
    }
}
