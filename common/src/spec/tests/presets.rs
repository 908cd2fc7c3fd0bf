//! What the presets choose.

use std::fmt::Write as _;

use super::super::file;
use super::super::{Goal, Preset, SweepSpec};
use crate::data::{DataSummary, Task};
use crate::space::Domain;

/// A file without `[space]`, with these lines of `[fixed]`.
fn parsed(top: &str, fixed: &str) -> Result<SweepSpec, String> {
    let text = format!(
        "name = \"d\"\n{top}\n[data]\nsource = \"t.csv\"\nlabel = \"y\"\n[search]\ntrials = 10\n\
         [fixed]\n{fixed}\n"
    );
    file::parse(&text).map(|file| file.spec).map_err(|problems| problems.to_string())
}

fn table(train: u64, numbers: u32, task: Task) -> DataSummary {
    let (features, outputs) = (numbers + 3, if task == Task::Regression { 1 } else { 3 });
    let task = Some(task);
    DataSummary { train, validation: 100, features, numbers, outputs, task, ..Default::default() }
}

/// A file without `[space]`, with what its preset chooses for the data.
fn resolved(top: &str, fixed: &str, data: &DataSummary) -> SweepSpec {
    let mut spec = parsed(top, fixed).unwrap();
    spec.resolve(data);
    spec
}

/// The hyperparameters of a resolved sweep as a file, which every user may write.
fn written(spec: &SweepSpec) -> String {
    let task = spec.data.task.unwrap().name();
    let mut text = format!(
        "name = \"d\"\n[data]\nsource = \"t.csv\"\nlabel = \"y\"\ntask = \"{task}\"\n[search]\n\
         trials = 10\n[fixed]\n"
    );
    for (name, value) in spec.fixed.iter() {
        writeln!(text, "{name} = {value}").unwrap();
    }
    text += "[space]\n";
    for parameter in spec.space.parameters() {
        let name = &parameter.name;
        match &parameter.domain {
            Domain::Float { scale, low, high } => writeln!(
                text,
                "{name} = {{ scale = \"{}\", low = {low:?}, high = {high:?} }}",
                scale.name()
            ),
            Domain::Int { scale, low, high } => writeln!(
                text,
                "{name} = {{ type = \"int\", scale = \"{}\", low = {low}, high = {high} }}",
                scale.name()
            ),
            Domain::Choice { values } => {
                let values: Vec<String> = values.iter().map(ToString::to_string).collect();
                writeln!(text, "{name} = {{ choices = [{}] }}", values.join(", "))
            }
        }
        .unwrap();
    }
    text
}

#[test]
fn what_a_preset_chooses_agrees_with_everything_that_an_author_may_fix() {
    let optimizers = ["", "sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"];
    let others = [
        "",
        "layers = 0",
        "layers = 2",
        "normalization = \"none\"",
        "batch_norm_momentum = 0.8",
        "schedule = \"inverse_time\"\nlearning_rate_decay = 0.1",
        "learning_rate_decay = 0.1",
        "schedule = \"step\"",
        "schedule = \"one_cycle\"",
        "embedding = \"piecewise_linear\"\nembedding_size = 8",
        "scaling = \"quantile\"\ninput_scaling = \"false\"",
        "learning_rate = 0.01\nepochs = 3\nbatch_size = 9\nunits = 7\nweight_decay = 0.0",
        "dropout = 0.1\nactivation = \"tanh\"",
    ];
    let mut count = 0;
    for preset in Preset::ALL {
        for optimizer in optimizers {
            for other in others {
                for momentum in ["", "momentum = 0.8"] {
                    let rule = if optimizer.is_empty() {
                        ""
                    } else {
                        &format!("optimizer = {optimizer:?}")
                    };
                    let fixed = format!("{rule}\n{other}\n{momentum}");
                    let top = format!("preset = \"{}\"", preset.name());
                    // A momentum without an optimizer that has one.
                    let Ok(spec) = parsed(&top, &fixed) else { continue };
                    for data in [
                        table(300, 5, Task::Classification),
                        table(5_000, 0, Task::Regression),
                        table(50_000, 2_000, Task::Classification),
                        table(1_000_000, 100, Task::Regression),
                    ] {
                        let mut resolved = spec.clone();
                        resolved.resolve(&data);
                        for (name, value) in spec.fixed.iter() {
                            assert_eq!(resolved.fixed.get(name), Some(value), "{fixed}");
                        }
                        let text = written(&resolved);
                        let again = file::parse(&text).map_err(|it| it.to_string());
                        let again = again.unwrap_or_else(|it| panic!("{it}\nof\n{text}")).spec;
                        assert_eq!(
                            (again.fixed, again.space),
                            (resolved.fixed.clone(), resolved.space.clone())
                        );
                        let before = resolved.clone();
                        resolved.resolve(&data);
                        assert_eq!(resolved, before, "resolved twice");
                        count += 1;
                    }
                }
            }
        }
    }
    assert!(count > 500, "only {count} cases were legal");
}

#[test]
fn tables_have_the_tabular_preset_unless_the_file_says_otherwise() {
    let data = table(5_000, 5, Task::Classification);
    let spec = resolved("", "", &data);
    let text = |name: &str| spec.fixed.get(name).and_then(|value| value.as_str());
    assert_eq!((text("optimizer"), text("scaling")), (Some("adamw"), Some("robust")));
    assert!(spec.space.get("label_smoothing").is_some() && spec.space.get("embedding").is_some());
    assert!(spec.preset.is_none(), "it has chosen");

    let regression = resolved("", "", &table(5_000, 5, Task::Regression));
    assert!(regression.space.get("label_smoothing").is_none(), "only classes are smoothed");

    let basic = resolved("preset = \"basic\"", "", &data);
    assert!(basic.fixed.is_empty());
    let names: Vec<&str> = basic.space.parameters().iter().map(|it| it.name.as_str()).collect();
    assert_eq!(
        names,
        ["learning_rate", "momentum", "units", "batch_size", "layers", "learning_rate_decay"]
    );

    let large = resolved("", "", &table(20_000_000, 5, Task::Classification));
    assert!(large.fixed.get("scaling").is_none(), "quartiles need all numbers in memory");
    let wide = resolved("", "", &table(5_000, 2_000, Task::Classification));
    assert!(wide.space.get("embedding").is_none(), "an embedding makes wide tables wider");
    // The most inputs that a table may have, and the widest for each number of units.
    for (train, features) in [(500, 1 << 20), (50_000, 1 << 20), (50_000, 1 << 18)] {
        let data = DataSummary { features, ..table(train, 3, Task::Regression) };
        resolved("", "", &data).check_new(Some(&data)).unwrap();
    }
}

#[test]
fn pixels_have_the_basic_preset() {
    let data =
        DataSummary { train: 1_000, features: 64, outputs: 10, pixels: true, ..Default::default() };
    // An archive of images names the array of its labels.
    for label in ["", "label = \"y\"\n"] {
        let text =
            format!("name = \"d\"\n[data]\nsource = \"images.npz\"\n{label}[search]\ntrials = 3\n");
        let mut spec = file::parse(&text).unwrap().spec;
        spec.resolve(&data);
        assert!(spec.fixed.is_empty() && spec.space.get("momentum").is_some());
        let mut table = file::parse(&text).unwrap().spec;
        table.resolve(&DataSummary { pixels: false, ..data.clone() });
        assert!(table.fixed.get("optimizer").is_some(), "a table without numbers is one too");
    }
}

#[test]
fn a_preset_that_leaves_nothing_to_search_is_kept() {
    let fixed = "learning_rate = 0.1\nmomentum = 0.9\nunits = 8\nbatch_size = 32\nlayers = 1\n\
                 learning_rate_decay = 0.0";
    let data = table(500, 3, Task::Classification);
    let once = resolved("preset = \"basic\"", fixed, &data);
    assert_eq!((once.space.dimensions(), once.preset), (0, Some(Preset::Basic)));
    let mut twice = once.clone();
    twice.resolve(&data);
    assert_eq!(twice, once);
}

#[test]
fn what_is_learnt_from_all_values_is_refused_for_inputs_in_files() {
    // 256 MiB of inputs and one row more.
    let rows = (1 << 26) / 8;
    let data = DataSummary { features: 8, ..table(rows + 1, 5, Task::Classification) };
    let data = DataSummary { validation: 0, ..data };
    let error = |fixed: &str, data: &DataSummary| {
        let spec = resolved("", fixed, data);
        spec.check_new(Some(data)).map_err(|problems| problems.to_string())
    };
    assert_eq!(
        error("scaling = \"robust\"", &data).unwrap_err(),
        "fixed.scaling = \"robust\": expected one of \"standard\" for inputs too large for memory"
    );
    assert!(error("embedding = \"piecewise_linear\"", &data).is_err());
    assert!(error("embedding = \"periodic\"", &data).is_ok());
    let smaller = DataSummary { train: rows, ..data };
    assert!(error("scaling = \"robust\"", &smaller).is_ok());
    // The rows of folds are not counted twice.
    let folds = DataSummary { folds: 3, validation: rows, ..smaller };
    assert!(error("scaling = \"robust\"", &folds).is_ok());
    assert!(resolved("", "", &folds).fixed.get("scaling").is_some());
}

#[test]
fn a_preset_is_refused_where_nothing_is_left_to_it() {
    for (top, rest, expected) in [
        ("preset = \"wide\"", "", "preset = \"wide\": expected one of \"tabular\", \"basic\""),
        (
            "preset = \"basic\"",
            "[space]\nunits = { low = 1, high = 9 }",
            "preset = \"basic\": it chooses the space, and [space] gives another: remove one of \
             the two",
        ),
        (
            "preset = \"tabular\"",
            "[search]\ntrials = 1\nreplays = 3",
            "preset = \"tabular\": a sweep that repeats a trial searches nothing: remove preset",
        ),
    ] {
        let search = if rest.contains("[search]") { "" } else { "[search]\ntrials = 9\n" };
        let text = format!(
            "name = \"d\"\n{top}\n[data]\nsource = \"t.csv\"\nlabel = \"y\"\n{search}{rest}\n"
        );
        let problems = file::parse(&text).unwrap_err().to_string();
        assert!(problems.contains(expected), "{problems}");
    }
    let external = "name = \"d\"\npreset = \"basic\"\n[data]\nsource = \"external\"\n[space]\n\
                    c = { low = 1, high = 9 }\n[search]\ntrials = 9\n[objective]\n\
                    metric = \"m\"\ngoal = \"maximize\"\n";
    let problems = file::parse(external).unwrap_err().to_string();
    assert!(problems.contains("remove preset"), "{problems}");
}

#[test]
fn the_tabular_preset_chooses_the_objective_that_the_author_leaves_open() {
    let classes = table(500, 5, Task::Classification);
    let metric = |objective: &str, data: &DataSummary| {
        let text = format!(
            "name = \"d\"\n[data]\nsource = \"t.csv\"\nlabel = \"y\"\n[search]\ntrials = 10\n\
             [objective]\n{objective}\n"
        );
        let mut spec = file::parse(&text).unwrap().spec;
        spec.resolve(data);
        assert!(!spec.has_open_objective);
        (spec.objective.metric.name().to_owned(), spec.objective.goal, spec.objective.repeats)
    };
    let loss = |repeats| ("validation_loss".to_owned(), Goal::Minimize, repeats);
    let accuracy = |goal| ("validation_accuracy".to_owned(), goal, 1);
    assert_eq!(metric("", &classes), loss(1));
    assert_eq!(metric("repeats = 3", &classes), loss(3));
    assert_eq!(metric("", &table(500, 5, Task::Regression)), loss(1));
    assert_eq!(metric("metric = \"validation_accuracy\"", &classes), accuracy(Goal::Maximize));
    assert_eq!(metric("goal = \"maximize\"", &classes), accuracy(Goal::Maximize));
    let pixels = DataSummary { pixels: true, ..classes.clone() };
    assert_eq!(metric("", &pixels), accuracy(Goal::Maximize));
    let space = "[space]\nlearning_rate = { scale = \"log\", low = 0.01, high = 0.1 }";
    assert_eq!(metric(space, &classes), accuracy(Goal::Maximize), "no preset chooses");
}
