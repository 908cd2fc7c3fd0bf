//! The best completed trial of a sweep, for people, as JSON, and as TOML for another sweep file.

use std::io::{self, Write};

use caviar_common::assignment::Assignment;
use caviar_common::ids::Name;
use caviar_common::view::{SweepView, TestView, TrialView};
use serde::Serialize;

use super::page::Page;
use super::{sweep, sweep_toml, text};

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

/// Writes a sweep file that trains the same network again, with the same bits.
pub(crate) fn toml(out: &mut impl Write, view: &SweepView, best: &TrialView) -> io::Result<()> {
    let objective = text::objective(&view.spec, best);
    writeln!(
        out,
        "# trial {} of {}: {} {objective}{}",
        best.trial,
        view.name,
        view.spec.objective.metric.name(),
        text::spread(view, best).unwrap_or_default()
    )?;
    if let Some(score) = view.test.as_ref().and_then(|test| test.score.as_ref()) {
        writeln!(out, "# test: {}", text::score(score))?;
    }
    writeln!(out, "# found with {}", sweep::parallelism(view))?;
    let mut spec = sweep_toml::replay(view, best);
    // Next to the sweep in one store.
    let name = format!("{}-best", view.name);
    spec.name = Name::parse_sweep("name", &name).unwrap_or(spec.name);
    out.write_all(sweep_toml::text(&spec).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::tests::samples;
    use super::*;
    use caviar_common::assignment::Value;
    use caviar_common::spec::file::parse;

    #[test]
    fn the_file_repeats_the_trial() {
        let sweep = samples::sweep();
        let mut out = Vec::new();
        toml(&mut out, &sweep, sweep.best.as_ref().unwrap()).unwrap();
        let text = String::from_utf8(out).unwrap();
        let expected = "\
# trial 2 of digits: validation_accuracy 0.9778
# test: accuracy 0.9667, loss 0.125
# found with parallelism 8
name = \"digits-best\"
";
        assert!(text.starts_with(expected), "{text}");
        let spec = parse(&text).unwrap().spec;
        assert_eq!((spec.search.trials, spec.seed), (1, sweep.spec.seed));
        assert_eq!(spec.fixed.get("learning_rate"), Some(&Value::Float(0.05)));
        assert_eq!(spec.fixed.get("optimizer"), Some(&Value::Text("momentum".into())));
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
