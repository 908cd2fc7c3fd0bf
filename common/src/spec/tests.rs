mod presets;
mod tasks;

use super::*;
use crate::scale::Scale;
use crate::space::Domain;

const DIGITS: &str = r#"
name = "digits"
seed = 7
[data]
source = "builtin:digits"
validation = 0.2
test = 0.1
[fixed]
epochs = 30
optimizer = "momentum"
[space]
learning_rate = { scale = "log", low = 1e-4, high = 1.0 }
momentum      = { scale = "one_minus_log", low = 0.9, high = 0.999 }
units         = { type = "int", low = 32, high = 128 }
layers        = { type = "int", low = 1, high = 4 }
batch_size    = { type = "int", scale = "log", low = 16, high = 256 }
activation    = { choices = ["relu", "tanh"] }
[search]
strategy = "rounds"
trials = 60
rounds = [30, 20, 10]
parallelism = 4
[objective]
metric = "validation_accuracy"
goal = "maximize"
"#;

fn errors(text: &str) -> Vec<String> {
    file::parse(text).map(|f| f.spec).unwrap_err().to_string().lines().map(str::to_owned).collect()
}

fn changed(from: &str, to: &str) -> Vec<String> {
    assert!(DIGITS.contains(from), "{from}");
    errors(&DIGITS.replace(from, to))
}

#[test]
fn a_complete_file_is_read() {
    let spec = file::parse(DIGITS).unwrap().spec;
    assert_eq!(spec.name.as_str(), "digits");
    assert_eq!((spec.seed, spec.search.trials, spec.search.parallelism.trials()), (7, 60, 4));
    assert_eq!(spec.search.rounds, [30, 20, 10]);
    let names: Vec<&str> = spec.space.parameters().iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["learning_rate", "momentum", "units", "layers", "batch_size", "activation"]);
    assert_eq!(
        spec.space.get("units").unwrap().domain,
        Domain::Int { scale: Scale::Linear, low: 32, high: 128 }
    );
}

#[test]
fn absent_keys_have_their_defaults() {
    let text = "name = \"d\"\n[data]\nsource = \"builtin:digits\"\n[search]\ntrials = 10\n";
    let mut spec = file::parse(text).unwrap().spec;
    assert_eq!((spec.data.validation, spec.data.test), (0.2, 0.1));
    assert_eq!(
        (spec.search.strategy, spec.search.order, spec.stopping),
        (Strategy::Zoom, Order::Virtual, StoppingRule::Halving)
    );
    assert!(spec.search.rounds.is_empty() && spec.search.warm_start.is_none());
    assert_eq!(
        spec.objective,
        Objective {
            metric: Metric::ValidationAccuracy,
            goal: Goal::Maximize,
            epoch: ObjectiveEpoch::Best,
            repeats: 1,
        }
    );
    let data = DataSummary {
        train: 1_000,
        validation: 300,
        test: 100,
        features: 64,
        pixels: true,
        outputs: 10,
        ..DataSummary::default()
    };
    spec.resolve(&data);
    let names: Vec<&str> = spec.space.parameters().iter().map(|p| p.name.as_str()).collect();
    assert_eq!(
        names,
        ["learning_rate", "momentum", "units", "batch_size", "layers", "learning_rate_decay"]
    );
}

#[test]
fn the_default_space_has_a_decay_only_for_schedules_that_use_it() {
    let hyper::Kind::Names(schedules) = lookup("schedule").unwrap().kind else {
        panic!("no names")
    };
    let (_, with_decay) = lookup("learning_rate_decay").unwrap().needs.unwrap();
    for schedule in schedules {
        let rest = format!("[fixed]\nschedule = \"{schedule}\"");
        let mut spec = with("random", &rest).unwrap();
        spec.resolve(&DataSummary::default());
        let is_searched = spec.space.get("learning_rate_decay").is_some();
        assert_eq!(is_searched, with_decay.contains(schedule), "{schedule}");
    }
}

fn with(strategy: &str, rest: &str) -> Result<SweepSpec, String> {
    let text = format!(
        "name = \"d\"\n[data]\nsource = \"builtin:digits\"\n\
         [search]\ntrials = 10\nstrategy = \"{strategy}\"\n{rest}\n"
    );
    file::parse(&text).map(|f| f.spec).map_err(|problems| problems.to_string())
}

#[test]
fn the_stopping_rule_follows_from_the_strategy_unless_the_file_gives_one() {
    for strategy in Strategy::ALL {
        let default = with(strategy.name(), "").unwrap().stopping;
        let halves = matches!(strategy, Strategy::Zoom | Strategy::Random | Strategy::Sobol);
        assert_eq!(
            default,
            if halves { StoppingRule::Halving } else { StoppingRule::None },
            "{strategy:?}"
        );
        for rule in StoppingRule::ALL {
            assert_eq!(
                with(strategy.name(), &format!("[stopping]\nrule = \"{}\"", rule.name()))
                    .unwrap()
                    .stopping,
                rule
            );
        }
    }
    assert_eq!(with("rounds", "").unwrap().search.rounds, [5, 3, 2]);
    let message = with("zoom", "[stopping]\nrule = \"half\"").unwrap_err();
    assert_eq!(
        message,
        "line 8: stopping.rule = \"half\": expected one of \"halving\", \"median\", \"none\""
    );
}

#[test]
fn order_and_warm_start_are_read_and_checked() {
    let search = with("zoom", "order = \"as_completed\"\nwarm_start = \"earlier\"").unwrap().search;
    assert_eq!(
        (search.order, search.warm_start.as_ref().map(Name::as_str)),
        (Order::AsCompleted, Some("earlier"))
    );
    for (strategy, rest, expected) in [
        (
            "zoom",
            "order = \"fast\"",
            "search.order = \"fast\": expected one of \"virtual\", \"as_completed\"",
        ),
        (
            "zoom",
            "warm_start = \"d\"",
            "search.warm_start = \"d\": a sweep cannot learn from itself: expected the name of an \
             earlier sweep",
        ),
        ("zoom", "warm_start = 3", "search.warm_start = 3: expected text in quotes"),
        (
            "tpe",
            "warm_start = \"e\"",
            "search.warm_start: strategy = \"tpe\" does not learn from earlier sweeps: remove \
             warm_start, or set strategy = \"zoom\"",
        ),
    ] {
        assert_eq!(with(strategy, rest).unwrap_err(), format!("line 7: {expected}"));
    }
    assert!(
        with("zoom", "warm_start = \"a b\"")
            .unwrap_err()
            .starts_with("line 7: search.warm_start = \"a b\": ")
    );
}

#[test]
fn the_scale_follows_from_the_hyperparameter_unless_the_file_gives_one() {
    let text = "name = \"d\"\n[data]\nsource = \"builtin:digits\"\n\
                [space]\nlearning_rate = { low = 1e-3, high = 1 }\n[search]\ntrials = 10\n";
    let spec = file::parse(text).unwrap().spec;
    assert_eq!(
        spec.space.get("learning_rate").unwrap().domain,
        Domain::Float { scale: Scale::Log, low: 1e-3, high: 1.0 }
    );
}

/// What is replaced in the file, by what, and the problem.
const MISTAKES: [(&str, &str, &str); 15] = [
    (
        "name = \"digits\"",
        "name = \"7\"",
        "line 2: name = \"7\": a name of only digits would be taken for the number of a sweep: \
             expected a name with a letter, such as run-7",
    ),
    ("seed = 7", "sede = 7", "line 3: sede: unknown key: did you mean seed?"),
    (
        "low = 32, high = 128",
        "low = 129, high = 128",
        "line 14: space.units.low = 129: low is above high = 128: swap the two",
    ),
    (
        "low = 1e-4",
        "low = 0.0",
        "line 12: space.learning_rate.low = 0.0: a log scale needs low > 0: expected a \
             small number such as 1e-5, or scale = \"linear\"",
    ),
    (
        "high = 0.999",
        "high = 1.0",
        "line 13: space.momentum.high = 1.0: a one_minus_log scale needs high < 1: \
             expected a number such as 0.999, or scale = \"linear\"",
    ),
    (
        "trials = 60",
        "trials = \"60\"",
        "line 20: search.trials = \"60\": expected a whole number from 1 to 10000000",
    ),
    (
        "trials = 60",
        "trials = -4",
        "line 20: search.trials = -4: expected a whole number from 1 to 10000000",
    ),
    (
        "trials = 60",
        "trials = 4.5",
        "line 20: search.trials = 4.5: expected a whole number from 1 to 10000000",
    ),
    (
        "trials = 60",
        "trials = 10000001",
        "line 20: search.trials = 10000001: expected a whole number from 1 to 10000000",
    ),
    (
        "parallelism = 4",
        "parallelism = -1",
        "line 22: search.parallelism = -1: expected a whole number from 1 to 65536 or \"auto\"",
    ),
    (
        "validation = 0.2",
        "validation = nan",
        "line 6: data.validation = nan: expected a number between 0 and 1, such as 0.2",
    ),
    (
        "high = 1.0",
        "high = inf",
        "line 12: space.learning_rate.high = inf: expected a finite number",
    ),
    ("epochs = 30", "epochs = nan", "line 9: fixed.epochs = nan: expected a finite number"),
    (
        "rounds = [30, 20, 10]",
        "rounds = [30, 20]",
        "line 21: search.rounds = [30, 20]: the rounds add up to 50, but trials = 60: \
             make the two equal",
    ),
    ("\"builtin:digits\"", "3", "line 5: data.source = 3: expected text in quotes"),
];

#[test]
fn each_mistake_names_the_line_the_field_the_value_and_what_is_expected() {
    for (from, to, expected) in MISTAKES {
        assert_eq!(changed(from, to), [expected]);
    }
}

#[test]
fn conditions_are_checked() {
    let text = DIGITS.replace(
        "[search]",
        "beta2 = { low = 0.9, high = 0.9999, when = { optimizer = [\"adam\"] } }\n[search]",
    );
    let found = errors(&text);
    assert!(
        found[0].contains(
            "space.beta2.when.optimizer: optimizer is not searched but fixed at \"momentum\""
        ),
        "{found:?}"
    );
    let text = DIGITS.replace("optimizer = \"momentum\"\n", "").replace(
        "[search]",
        "optimizer = { choices = [\"adam\", \"momentum\"] }\n\
         beta2 = { low = 0.9, high = 0.9999, when = { optimizer = \"adam\" } }\n[search]",
    );
    let spec = file::parse(&text).unwrap().spec;
    assert!(spec.space.get("beta2").unwrap().when.is_some());
}

#[test]
fn the_units_of_a_layer_are_active_if_the_layer_exists() {
    let text = DIGITS.replace("[search]", "units_3 = { low = 8, high = 16 }\n[search]");
    let spec = file::parse(&text).unwrap().spec;
    assert_eq!(spec.space.get("units_3").unwrap().when.as_ref().unwrap().parameter, "layers");
}

#[test]
fn every_mistake_is_reported_at_once_and_only_once() {
    let text = DIGITS
        .replace("name = \"digits\"", "name = \"a b\"")
        .replace("low = 32", "low = 0")
        .replace("trials = 60", "trials = 0");
    let found = errors(&text);
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn a_space_whose_only_entry_is_wrong_is_not_called_empty() {
    let text = "name = \"d\"\n[data]\nsource = \"builtin:digits\"\n\
                [space]\nunits = 64\n[search]\ntrials = 10\n";
    let found = errors(text);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("line 5: space.units = 64: expected a range"), "{found:?}");
    assert_eq!(errors(&text.replace("64", "[32, 64]")).len(), 1);
    assert!(errors(&text.replace("units = 64\n", ""))[0].starts_with("line 4: space: empty"));
}

#[test]
fn a_parameter_cannot_depend_on_itself() {
    let found = changed("high = 0.999 }", "high = 0.999, when = { momentum = [0.9] } }");
    assert_eq!(
        found,
        ["line 13: space.momentum.when.momentum: momentum cannot depend on itself: name \
             another parameter, or remove `when`"]
    );
}

#[test]
fn without_hidden_layers_searching_their_parameters_is_refused() {
    let text = DIGITS
        .replace("layers        = { type = \"int\", low = 1, high = 4 }\n", "")
        .replace("epochs = 30", "epochs = 30\nlayers = 0");
    let found = errors(&text);
    assert_eq!(found.len(), 2, "{found:?}");
    let what = "has no effect with layers = 0: set layers to 1 or more in [fixed], or remove it";
    assert_eq!(
        found,
        [format!("line 15: space.units: {what}"), format!("line 17: space.activation: {what}")]
    );
    let (space, _) = text.split_once("[space]").unwrap();
    let mut spec = file::parse(&format!("{space}[search]\ntrials = 10\n")).unwrap().spec;
    spec.resolve(&summary(64));
    assert!(spec.space.get("units").is_none() && spec.space.get("learning_rate").is_some());
}

fn summary(features: u32) -> DataSummary {
    DataSummary {
        train: 1_000,
        validation: 300,
        test: 100,
        features,
        outputs: 10,
        ..DataSummary::default()
    }
}

#[test]
fn a_sweep_whose_largest_network_exceeds_the_limit_is_refused() {
    let large = DIGITS
        .replace("low = 32, high = 128", "low = 32, high = 8192")
        .replace("low = 1, high = 4", "low = 1, high = 5");
    let found = errors(&large.replace("high = 5", "high = 6"));
    let what = "the largest network, 6 layers of 8192 units, has 335806464 weights: expected at \
                most 268435456; reduce units or layers";
    assert_eq!(found, [format!("line 14: space.units: {what}")]);
    // Four layers of 8190 units exceed the limit only with the inputs of a large data set.
    let spec =
        file::parse(&large.replace("high = 8192", "high = 8190").replace("high = 5", "high = 4"))
            .unwrap()
            .spec;
    assert_eq!(spec.check_new(Some(&summary(64))), Ok(()));
    let message = spec.check_new(Some(&summary(10_000))).unwrap_err().to_string();
    assert!(
        message.starts_with(
            "space.units: the largest network, 4 layers of 8190 units on 10000 features and 10 \
             outputs, has 283"
        ),
        "{message}"
    );
    // With narrow second and fourth layers even five layers stay within the limit.
    let narrow = large.replace(
        "[search]",
        "units_2 = { low = 8, high = 16 }\nunits_4 = { low = 8, high = 16 }\n[search]",
    );
    assert!(file::parse(&narrow).is_ok());
}

#[test]
fn a_toml_syntax_error_is_reported_with_its_line() {
    let found = errors("name = \"digits\"\nseed = = 7\n");
    assert!(found[0].starts_with("line 2: TOML syntax"), "{found:?}");
}

#[test]
fn a_grid_larger_than_the_budget_is_refused() {
    let text = DIGITS
        .replace("strategy = \"rounds\"", "strategy = \"grid\"")
        .replace("rounds = [30, 20, 10]\n", "")
        .replace("high = 1.0 }", "high = 1.0, points = 40 }");
    assert_eq!(
        errors(&text),
        ["line 20: search.trials = 60: the grid has 80 points: expected at least 80 trials, or \
             fewer points or choices"]
    );
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[a-z0-9_=.\\[\\]{}\"\n ,-]{0,200}") {
        let _ = file::parse(&text);
    }
}

fn problem(space: &str, rest: &str) -> String {
    let text = format!("name = \"s\"\n[data]\nsource = \"builtin:digits\"\n{rest}[space]\n{space}");
    match file::parse(&text) {
        Ok(_) => "none".to_owned(),
        Err(problems) => problems.to_string(),
    }
}

const RANDOM: &str = "[search]\nstrategy = \"random\"\ntrials = 4\n";

#[test]
fn a_condition_matches_drawn_values_whatever_the_spelling() {
    let space = "layers = { low = 1, high = 4 }\nbatch_size = { choices = [32, 64] }\n\
                 momentum = { low = 0.5, high = 0.9, when = { layers = [2.0] } }\n\
                 dropout = { low = 0.1, high = 0.2, when = { batch_size = [64.0] } }\n";
    let text = format!(
        "name = \"s\"\n[data]\nsource = \"builtin:digits\"\n\
         [fixed]\noptimizer = \"momentum\"\n[space]\n{space}{RANDOM}"
    );
    let space = file::parse(&text).unwrap().spec.space;
    let drawn = |layers: f64, batch: f64| {
        let names: Vec<&str> = space.parameters().iter().map(|p| p.name.as_str()).collect();
        let at = |name: &&str| match *name {
            "layers" => layers,
            "batch_size" => batch,
            _ => 0.5,
        };
        space.decode(&names.iter().map(at).collect::<Vec<_>>())
    };
    assert!(drawn(0.3, 0.9).get("momentum").is_some() && drawn(0.9, 0.9).get("momentum").is_none());
    assert!(drawn(0.3, 0.9).get("dropout").is_some() && drawn(0.3, 0.1).get("dropout").is_none());
}

#[test]
fn a_condition_that_never_holds_is_refused() {
    let init = "init = { choices = [\"he\", \"xavier\"], when = ";
    for (space, part) in [
        (
            format!("dropout = {{ low = 0.0, high = 0.5 }}\n{init}{{ dropout = [0.25] }} }}\n"),
            "never equals a given value",
        ),
        (
            format!("layers = {{ low = 1, high = 4 }}\n{init}{{ layers = [2.5] }} }}\n"),
            "layers never has this value",
        ),
        (
            "layers = { low = 1, high = 4 }\nunits_5 = { low = 8, high = 16 }\n".to_owned(),
            "layers is at most 4",
        ),
    ] {
        let problem = problem(&format!("{space}{RANDOM}"), "");
        assert!(problem.contains(part), "{problem}");
    }
}

#[test]
fn a_decay_above_1_is_refused_with_a_fixed_cosine_schedule() {
    let decay = |space: &str, schedule: &str| {
        problem(
            &format!("learning_rate_decay = {space}\n{RANDOM}"),
            &format!("[fixed]\nschedule = \"{schedule}\"\n"),
        )
    };
    for space in ["{ low = 0.0, high = 10.0 }", "{ choices = [0.5, 2.0] }"] {
        assert!(
            decay(space, "cosine").contains("share of the learning rate"),
            "{}",
            decay(space, "cosine")
        );
        assert_eq!(decay(space, "inverse_time"), "none");
    }
    assert_eq!(decay("{ low = 0.0, high = 1.0 }", "cosine"), "none");
}

#[test]
fn a_grid_counts_a_conditional_parameter_only_where_it_is_active() {
    let space = "optimizer = { choices = [\"sgd\", \"adam\"] }\n\
                 beta2 = { low = 0.9, high = 0.99, points = 3, when = { optimizer = \"adam\" } }\n";
    let grid = |trials: u32| {
        problem(&format!("{space}[search]\nstrategy = \"grid\"\ntrials = {trials}\n"), "")
    };
    assert_eq!(grid(4), "none");
    assert!(grid(3).contains("the grid has 4 points: expected at least 4 trials"), "{}", grid(3));
}

#[test]
fn max_epochs_comes_from_the_space_or_else_from_fixed() {
    let most = |epochs: &str, space: &str| {
        let text = DIGITS
            .replace("epochs = 30\n", epochs)
            .replace("[search]", &format!("{space}\n[search]"));
        file::parse(&text).unwrap().spec.max_epochs()
    };
    assert_eq!(most("epochs = 12\n", ""), 12);
    assert_eq!(most("", ""), 30);
    assert_eq!(most("", "epochs = { low = 3, high = 11 }"), 11);
    assert_eq!(most("", "epochs = { choices = [4, 9, 6] }"), 9);
    assert_eq!(most("", "epochs = { low = 3, high = 11, when = { activation = \"relu\" } }"), 30);
}

#[test]
fn a_share_that_is_not_a_number_is_told_its_range() {
    assert_eq!(
        changed("validation = 0.2", "validation = \"0.3.1\""),
        ["line 6: data.validation = \"0.3.1\": expected a number between 0 and 1, such as 0.2"]
    );
    assert_eq!(
        changed("test = 0.1", "test = 1.5"),
        ["line 7: data.test = 1.5: expected 0 or a number between 0 and 1, such as 0.1"]
    );
    assert_eq!(
        changed("test = 0.1", "test = 0.8"),
        ["line 7: data.test = 0.8: with validation = 0.2 no rows are left to train on: expected \
             a sum below 1"]
    );
}

#[test]
fn a_url_as_data_source_is_refused_by_name() {
    let what = "a URL: download the file first and give its path";
    for url in ["https://example.org/digits.csv", "s3://bucket/digits.csv"] {
        let found = changed("\"builtin:digits\"", &format!("{url:?}"));
        assert_eq!(found, [format!("line 5: data.source = {url:?}: {what}")]);
    }
    for path in ["a//b.csv", "odd name://x.csv", "https:/x.csv"] {
        assert!(file::parse(&DIGITS.replace("builtin:digits", path)).is_ok(), "{path}");
    }
}

#[test]
fn a_name_of_65_letters_is_shown_in_full() {
    let name = "a".repeat(65);
    let found = changed("\"digits\"\nseed", &format!("\"{name}\"\nseed"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with(&format!("line 2: name = \"{name}\": expected 1 to 64 ")));
    assert!(found[0].ends_with("; it has 65 characters"), "{found:?}");
}
