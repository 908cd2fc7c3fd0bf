//! The best completed trial of a sweep, for people, as JSON, and as TOML for another sweep file.

use std::io::{self, Write};

use caviar_common::assignment::{Assignment, Value};
use caviar_common::ids::Name;
use caviar_common::view::{SweepView, TestView, TrialView};
use serde::Serialize;

use super::page::Page;
use super::{sweep, text};

#[derive(Serialize)]
struct Best<'a> {
    sweep: &'a Name,
    state: &'a str,
    trial: &'a TrialView,
    fixed: &'a Assignment,
    test: Option<&'a TestView>,
}

/// Writes the trial for people.
pub(crate) fn text(
    out: &mut impl Write,
    view: &SweepView,
    best: &TrialView,
    page: Page,
) -> io::Result<()> {
    sweep::winner(out, view, best, page)
}

/// Writes one JSON object.
pub(crate) fn json(
    out: &mut impl Write,
    view: &SweepView,
    state: &str,
    best: &TrialView,
) -> io::Result<()> {
    let best = Best {
        sweep: &view.name,
        state,
        trial: best,
        fixed: &view.spec.fixed,
        test: view.test.as_ref(),
    };
    super::json(out, &best)
}

/// Writes a `[fixed]` section that trains the same network. It holds the fixed values of the sweep
/// and the values of the trial.
pub(crate) fn toml(out: &mut impl Write, view: &SweepView, best: &TrialView) -> io::Result<()> {
    let objective = text::objective(&view.spec, best);
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
    writeln!(out, "# found with {}", sweep::parallelism(view))?;
    writeln!(out, "[fixed]")?;
    let fixed = view.spec.fixed.iter().filter(|(name, _)| best.assignment.get(name).is_none());
    let mut values: Vec<(&str, &Value)> = fixed.chain(best.assignment.iter()).collect();
    values.sort_by_key(|(name, _)| *name);
    values.into_iter().try_for_each(|(name, value)| writeln!(out, "{} = {value}", key(name)))
}

/// A key of a TOML table, quoted if it has a dot, which would otherwise begin another table.
fn key(name: &str) -> String {
    if name.contains('.') { format!("{name:?}") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::tests::samples;
    use super::*;
    use caviar_common::spec::file::parse;

    #[test]
    fn the_fixed_section_can_be_used_in_a_sweep_file() {
        let sweep = samples::sweep();
        let mut out = Vec::new();
        toml(&mut out, &sweep, sweep.best.as_ref().unwrap()).unwrap();
        let text = String::from_utf8(out).unwrap();
        let expected = "\
# trial 2 of digits: validation_accuracy 0.9778
# test: accuracy 0.9667, loss 0.125
# found with parallelism 8
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
        assert_eq!(fixed.get("optimizer"), Some(&Value::Text("momentum".into())));
    }

    #[test]
    fn json_is_one_object() {
        let sweep = samples::sweep();
        let mut out = Vec::new();
        json(&mut out, &sweep, "completed", sweep.best.as_ref().unwrap()).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["trial"]["trial"], 2);
        assert_eq!(value["trial"]["assignment"]["learning_rate"], 0.05);
        assert_eq!(value["test"]["score"]["accuracy"], 174.0 / 180.0);
    }
}
