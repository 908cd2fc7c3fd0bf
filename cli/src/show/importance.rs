//! Which hyperparameters mattered.

use std::io::{self, Write};

use caviar_common::view::{ImportanceView, SweepView};

use super::table::Table;
use super::text;

/// Pairs that are shown.
const PAIRS: usize = 5;
/// Characters of a bar for everything.
const BAR: f64 = 40.0;

/// For people: a bar for every hyperparameter, and the strongest pairs.
pub(crate) fn text(
    out: &mut impl Write,
    sweep: &SweepView,
    view: &ImportanceView,
    columns: Option<usize>,
) -> io::Result<()> {
    let trials = text::count(view.trials.into(), "trial");
    let provisional = match view.provisional {
        0 => String::new(),
        n => format!(", {n} of them by what they are expected to reach"),
    };
    writeln!(
        out,
        "{}: what made the difference in {}, by {trials}{provisional}",
        sweep.name,
        sweep.spec.objective.metric.name()
    )?;
    writeln!(out)?;
    let mut table = Table::default();
    for share in &view.parameters {
        table.row([share.parameter.clone(), percent(share.share), bar(share.share)]);
    }
    for pair in view.pairs.iter().take(PAIRS) {
        table.row([pair.parameters.join(" with "), percent(pair.share), bar(pair.share)]);
    }
    table.write(out, columns)
}

fn percent(share: f64) -> String {
    format!("{:5.1} %", 100.0 * share)
}

fn bar(share: f64) -> String {
    (0u32..).map(f64::from).take_while(|place| place + 0.5 <= share * BAR).map(|_| '#').collect()
}

#[cfg(test)]
mod tests {
    use caviar_common::view::{PairView, ShareView};

    use super::super::samples;
    use super::*;

    #[test]
    fn shares_are_bars_of_their_length() {
        let share = |parameter: &str, share| ShareView { parameter: parameter.to_owned(), share };
        let pair =
            PairView { parameters: ["learning_rate".to_owned(), "layers".to_owned()], share: 0.05 };
        let view = ImportanceView {
            trials: 60,
            provisional: 40,
            parameters: vec![share("learning_rate", 0.75), share("layers", 0.001)],
            pairs: vec![pair],
        };
        let mut out = Vec::new();
        text(&mut out, &samples::sweep(), &view, None).unwrap();
        let expected = "\
digits: what made the difference in validation_accuracy, by 60 trials, 40 of them by what they are expected to reach

learning_rate               75.0 %  ##############################
layers                       0.1 %
learning_rate with layers    5.0 %  ##
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
