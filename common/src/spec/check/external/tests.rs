use super::*;
use crate::data::DataSummary;
use crate::spec::{SweepSpec, file};

const SVM: &str = r#"name = "svm"
[data]
source = "external"
[fixed]
epochs = 10
[space]
C = { scale = "log", low = 1e-3, high = 1e3 }
kernel = { choices = ["rbf", "poly"] }
degree = { low = 2, high = 5, when = { kernel = ["poly"] } }
units_3 = { low = 0, high = 1.0 }
"mlp.alpha" = { type = "float", low = 0, high = 1 }
[search]
trials = 40
[objective]
metric = "accuracy"
goal = "maximize"
"#;

fn spec(from: &str, to: &str) -> Result<SweepSpec, String> {
    assert!(SVM.contains(from), "{from}");
    file::parse(&SVM.replace(from, to))
        .map(|file| file.spec)
        .map_err(|problems| problems.to_string())
}

#[test]
fn parameters_and_metrics_of_an_external_sweep_have_any_name() {
    let spec = spec("C", "C").unwrap();
    assert!(spec.data.is_external());
    let domain = |name: &str| spec.space.get(name).unwrap().domain.clone();
    assert_eq!(domain("C"), Domain::Float { scale: Scale::Log, low: 1e-3, high: 1e3 });
    assert_eq!(domain("degree"), Domain::Int { scale: Scale::Linear, low: 2, high: 5 });
    assert_eq!(domain("units_3"), Domain::Float { scale: Scale::Linear, low: 0.0, high: 1.0 });
    assert_eq!(domain("mlp.alpha"), Domain::Float { scale: Scale::Linear, low: 0.0, high: 1.0 });
    assert!(spec.space.get("units_3").unwrap().when.is_none(), "units_3 belongs to no layer");
    assert_eq!(spec.objective.metric.name(), "accuracy");
    assert_eq!(spec.check_new(Some(&DataSummary::default())), Ok(()));
}

#[test]
fn without_epochs_a_trial_makes_one_report_and_is_not_stopped_early() {
    let with = spec("C", "C").unwrap();
    let without = spec("epochs = 10", "other = \"x\"").unwrap();
    assert_eq!((with.max_epochs(), with.stopping), (10, StoppingRule::Halving));
    assert_eq!((without.max_epochs(), without.stopping), (1, StoppingRule::None));
    assert!(spec("[fixed]\nepochs = 10\n", "").is_ok());
}

/// What is replaced in the file, by what, and the problem.
const MISTAKES: [(&str, &str, &str); 15] = [
    (
        "source = \"external\"",
        "source = \"external\"\ntest = 0.1",
        "line 4: data.test: source = \"external\" reads no data: remove test",
    ),
    (
        "epochs = 10",
        "epochs = 0",
        "line 5: fixed.epochs = 0: expected a whole number from 1 to 100000",
    ),
    (
        "[fixed]",
        "[fixed]\n\"a b\" = 1",
        "line 5: fixed.a b: expected a name of 1 to 64 ASCII letters, digits, '-', '_' or '.'",
    ),
    (
        "degree =",
        "\"d/e\" =",
        "line 9: space.d/e: expected a name of 1 to 64 ASCII letters, digits, '-', '_' or '.'",
    ),
    (
        "[fixed]\nepochs = 10\n[space]\n",
        "[space]\nepochs = { low = 1, high = 9 }\n",
        "line 5: space.epochs: the number of reports is the same for all trials and cannot be \
             searched: set it in [fixed]",
    ),
    (
        "low = 2,",
        "low = \"a\",",
        "line 9: space.degree.low = \"a\": expected a number from -1e100 to 1e100",
    ),
    (
        "low = 2,",
        "type = \"int\", low = 2.5,",
        "line 9: space.degree.low = 2.5: expected a whole number from -9007199254740992 to \
             9007199254740992, or type = \"float\"",
    ),
    ("low = 2, ", "", "line 9: space.degree.low: missing: expected low and high, or choices"),
    ("low = 2,", "low = 6,", "line 9: space.degree.low = 6: low is above high = 5: swap the two"),
    (
        "low = 2,",
        "scale = \"one_minus_log\", low = 2,",
        "line 9: space.degree.scale = \"one_minus_log\": expected one of \"linear\", \"log\"",
    ),
    (
        "[\"rbf\", \"poly\"] }",
        "[] }",
        "line 8: space.kernel.choices: has 0 choices: expected 1 to 256",
    ),
    (
        "[\"poly\"] }",
        "[\"linear\"] }",
        "line 9: space.degree.when.kernel = \"linear\": kernel never has this value: expected \
             one of \"rbf\", \"poly\"",
    ),
    (
        "metric = \"accuracy\"\n",
        "",
        "line 14: objective.metric: missing: expected the name of the reported metric to \
             optimise",
    ),
    (
        "\"accuracy\"",
        "\"a b\"",
        "line 15: objective.metric = \"a b\": expected 1 to 64 ASCII letters, digits, '-', '_' \
             or '.', starting with a letter or a digit; ' ' is not allowed",
    ),
    (
        "goal = \"maximize\"\n",
        "",
        "line 14: objective.goal: missing: expected \"minimize\" or \"maximize\"",
    ),
];

#[test]
fn each_mistake_names_the_field_the_value_and_what_is_expected() {
    for (from, to, expected) in MISTAKES {
        assert_eq!(spec(from, to).unwrap_err(), expected);
    }
}

#[test]
fn an_external_sweep_must_have_a_space() {
    let (before, after) = SVM.split_once("[space]").unwrap();
    let (_, after) = after.split_once("[search]").unwrap();
    let message = file::parse(&format!("{before}[search]{after}")).unwrap_err().to_string();
    assert_eq!(
        message,
        "space: missing: source = \"external\" has no default space: list the parameters to search"
    );
}
