use super::*;
use crate::scale::Scale;
use crate::space::Domain;

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
fn parameters_and_metrics_have_any_names() {
    let spec = spec("C", "C").unwrap();
    assert!(spec.data.is_external());
    let domain = |name: &str| spec.space.get(name).unwrap().domain.clone();
    assert_eq!(domain("C"), Domain::Float { scale: Scale::Log, low: 1e-3, high: 1e3 });
    assert_eq!(domain("degree"), Domain::Int { scale: Scale::Linear, low: 2, high: 5 });
    assert_eq!(domain("units_3"), Domain::Float { scale: Scale::Linear, low: 0.0, high: 1.0 });
    assert_eq!(domain("mlp.alpha"), Domain::Float { scale: Scale::Linear, low: 0.0, high: 1.0 });
    assert!(spec.space.get("units_3").unwrap().when.is_none(), "it is no layer's");
    assert_eq!(spec.objective.metric.name(), "accuracy");
    assert_eq!(spec.check_new(Some(&DataSummary::default())), Ok(()));
}

#[test]
fn trials_of_one_report_have_no_rungs() {
    let with = spec("C", "C").unwrap();
    let without = spec("epochs = 10", "other = \"x\"").unwrap();
    assert_eq!((with.most_epochs(), with.stopping), (10, StoppingRule::Halving));
    assert_eq!((without.most_epochs(), without.stopping), (1, StoppingRule::None));
    assert!(spec("[fixed]\nepochs = 10\n", "").is_ok());
}

#[test]
fn each_mistake_names_what_would_be_right() {
    for (from, to, expected) in [
        (
            "source = \"external\"",
            "source = \"external\"\ntest = 0.1",
            "line 4: data.test: with source = \"external\" no data is read: leave it out",
        ),
        (
            "epochs = 10",
            "epochs = 0",
            "line 5: fixed.epochs = 0: expected a whole number from 1 to 100000",
        ),
        (
            "[fixed]",
            "[fixed]\n\"a b\" = 1",
            "line 5: fixed.a b: a name has 1 to 64 letters, digits, '-', '_' or '.'",
        ),
        (
            "degree =",
            "\"d/e\" =",
            "line 9: space.d/e: a name has 1 to 64 letters, digits, '-', '_' or '.'",
        ),
        (
            "[fixed]\nepochs = 10\n[space]\n",
            "[space]\nepochs = { low = 1, high = 9 }\n",
            "line 5: space.epochs: it says how many reports a trial makes at most, and all make as many: write it in [fixed]",
        ),
        (
            "low = 2,",
            "low = \"a\",",
            "line 9: space.degree.low = \"a\": write a number from -1e100 to 1e100",
        ),
        (
            "low = 2,",
            "type = \"int\", low = 2.5,",
            "line 9: space.degree.low = 2.5: write a whole number from -9007199254740992 to 9007199254740992, or type = \"float\"",
        ),
        (
            "low = 2, ",
            "",
            "line 9: space.degree.low: missing: degree needs low and high, or choices",
        ),
        (
            "low = 2,",
            "low = 6,",
            "line 9: space.degree.low = 6: low is above high = 5: exchange the two",
        ),
        (
            "low = 2,",
            "scale = \"one_minus_log\", low = 2,",
            "line 9: space.degree.scale = \"one_minus_log\": write one of linear, log",
        ),
        ("[\"rbf\", \"poly\"] }", "[] }", "line 8: space.kernel.choices: write 1 to 256 choices"),
        (
            "[\"poly\"] }",
            "[\"linear\"] }",
            "line 9: space.degree.when.kernel = \"linear\": kernel never has this value: write one that it can have",
        ),
        (
            "metric = \"accuracy\"\n",
            "",
            "line 14: objective.metric: missing: write the name under which the program reports what is optimised",
        ),
        (
            "\"accuracy\"",
            "\"a b\"",
            "line 15: objective.metric = \"a b\": write 1 to 64 letters, digits, '-', '_' or '.', beginning with a letter or a digit",
        ),
        (
            "goal = \"maximize\"\n",
            "",
            "line 14: objective.goal: missing: write \"minimize\" or \"maximize\"",
        ),
    ] {
        assert_eq!(spec(from, to).unwrap_err(), expected);
    }
    let (before, after) = SVM.split_once("[space]").unwrap();
    let (_, after) = after.split_once("[search]").unwrap();
    let message = file::parse(&format!("{before}[search]{after}")).unwrap_err().to_string();
    assert_eq!(
        message,
        "space: missing: with source = \"external\" there is no default space; name what to search"
    );
}
