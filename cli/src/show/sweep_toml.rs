//! A sweep as a sweep file.

use caviar_common::assignment::{Assignment, Value};
use caviar_common::data::{ClassWeights, DataSpec};
use caviar_common::space::{Domain, Holds, Parameter, Space};
use caviar_common::spec::{Order, Parallelism, SearchSpec, StoppingRule, Strategy, SweepSpec};
use caviar_common::view::{SweepView, TrialView};
use toml::value::Array;
use toml::{Table, Value as Toml};

/// A complete sweep file of this spec, with every default filled in.
pub(crate) fn text(spec: &SweepSpec) -> String {
    let mut file = Table::new();
    file.insert("data".to_owned(), data(&spec.data).into());
    if spec.fixed.iter().next().is_some() {
        file.insert("fixed".to_owned(), fixed(&spec.fixed).into());
    }
    if spec.space.dimensions() > 0 {
        file.insert("space".to_owned(), space(&spec.space).into());
    }
    file.insert("search".to_owned(), search(&spec.search).into());
    let mut objective = Table::new();
    if spec.has_settled_metric() {
        put(&mut objective, "metric", spec.objective.metric.name());
    }
    if !spec.has_open_objective {
        put(&mut objective, "goal", spec.objective.goal.name());
    }
    put(&mut objective, "epoch", spec.objective.epoch.name());
    if spec.objective.repeats > 1 {
        put(&mut objective, "repeats", i64::from(spec.objective.repeats));
    }
    file.insert("objective".to_owned(), objective.into());
    let mut stopping = Table::new();
    put(&mut stopping, "rule", spec.stopping.name());
    file.insert("stopping".to_owned(), stopping.into());
    if !spec.data.is_external() {
        let mut keep = Table::new();
        put(&mut keep, "models", i64::from(spec.keep.models));
        file.insert("keep".to_owned(), keep.into());
    }
    // Seeds are whole numbers of 64 bits without a sign, which a value of TOML cannot hold.
    let sections = toml::to_string(&file).unwrap_or_default();
    let preset = spec.preset.map(|preset| format!("preset = {:?}\n", preset.name()));
    let preset = preset.unwrap_or_default();
    format!("name = \"{}\"\nseed = {}\n{preset}\n{sections}", spec.name, spec.seed)
}

/// The sweep that trains one trial of a sweep again, with the same bits.
pub(crate) fn replay(view: &SweepView, trial: &TrialView) -> SweepSpec {
    let spec = SweepSpec::clone(&view.spec);
    let mut fixed = spec.fixed.clone();
    for (name, value) in trial.assignment.iter() {
        fixed.insert(name.to_owned(), value.clone());
    }
    // What is a repetition already repeats the same trial.
    let replays = trial.reason.replays.or(spec.search.replays).unwrap_or(trial.trial);
    let search = SearchSpec {
        strategy: Strategy::Random,
        trials: 1,
        rounds: Vec::new(),
        parallelism: Parallelism::Trials(1),
        order: Order::default(),
        warm_start: None,
        replays: Some(replays),
    };
    SweepSpec { fixed, space: Space::default(), search, stopping: StoppingRule::None, ..spec }
}

fn put(table: &mut Table, key: &str, value: impl Into<Toml>) {
    table.insert(key.to_owned(), value.into());
}

fn put_some(table: &mut Table, key: &str, value: Option<impl Into<Toml>>) {
    if let Some(value) = value {
        put(table, key, value);
    }
}

fn data(data: &DataSpec) -> Table {
    let mut section = Table::new();
    put(&mut section, "source", data.source.as_str());
    if data.is_external() {
        return section;
    }
    if data.more_labels.is_empty() {
        put_some(&mut section, "label", data.label.as_deref());
    } else {
        let labels: Vec<String> = data.label_names().map(str::to_owned).collect();
        put(&mut section, "label", texts(&labels));
    }
    put_some(&mut section, "labels", data.labels.as_deref());
    put_some(&mut section, "task", data.task.map(|task| task.name()));
    let split = &data.split;
    if split.validation_source.is_none() && split.folds.is_none() {
        put(&mut section, "validation", data.validation);
    }
    if split.test_source.is_none() {
        put(&mut section, "test", data.test);
    }
    put_some(&mut section, "group", split.group.as_deref());
    put_some(&mut section, "time", split.time.as_deref());
    put_some(&mut section, "validation_source", split.validation_source.as_deref());
    put_some(&mut section, "test_source", split.test_source.as_deref());
    put_some(&mut section, "folds", split.folds.map(i64::from));
    let table = &data.table;
    put_some(&mut section, "delimiter", table.delimiter.map(String::from));
    put_some(&mut section, "header", table.header);
    for (key, list) in
        [("columns", &table.columns), ("ignore", &table.ignore), ("missing", &table.missing)]
    {
        put_some(&mut section, key, (!list.is_empty()).then(|| texts(list)));
    }
    let types = table.types.iter().map(|(column, kind)| (column.clone(), kind.name().into()));
    let types: Table = types.collect();
    put_some(&mut section, "types", (!types.is_empty()).then_some(types));
    match &data.weights.classes {
        Some(ClassWeights::Balanced) => put(&mut section, "class_weights", ClassWeights::BALANCED),
        Some(ClassWeights::Given(weights)) => {
            let weights = weights.iter().map(|(name, weight)| (name.clone(), (*weight).into()));
            put(&mut section, "class_weights", weights.collect::<Table>());
        }
        None => {}
    }
    put_some(&mut section, "weight", data.weights.column.as_deref());
    section
}

fn texts(list: &[String]) -> Array {
    list.iter().map(|text| Toml::from(text.as_str())).collect()
}

fn fixed(fixed: &Assignment) -> Table {
    fixed.iter().map(|(name, value)| (name.to_owned(), of_value(value))).collect()
}

fn of_value(value: &Value) -> Toml {
    match value {
        Value::Int(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Text(text) => text.to_string().into(),
    }
}

fn space(space: &Space) -> Table {
    space.parameters().iter().map(|it| (it.name.clone(), parameter(it).into())).collect()
}

fn parameter(parameter: &Parameter) -> Table {
    let mut entry = Table::new();
    match &parameter.domain {
        Domain::Float { scale, low, high } => {
            put(&mut entry, "type", "float");
            put(&mut entry, "scale", scale.name());
            put(&mut entry, "low", *low);
            put(&mut entry, "high", *high);
        }
        Domain::Int { scale, low, high } => {
            put(&mut entry, "type", "int");
            put(&mut entry, "scale", scale.name());
            put(&mut entry, "low", *low);
            put(&mut entry, "high", *high);
        }
        Domain::Choice { values } => {
            put(&mut entry, "choices", values.iter().map(of_value).collect::<Array>());
        }
    }
    put_some(&mut entry, "points", parameter.points.map(i64::from));
    // `units_3` and its like depend on the number of layers by their names.
    if let Some(condition) = &parameter.when
        && let Holds::OneOf(values) = &condition.holds
    {
        let values: Array = values.iter().map(of_value).collect();
        let when: Table = [(condition.parameter.clone(), values.into())].into_iter().collect();
        put(&mut entry, "when", when);
    }
    entry
}

fn search(search: &SearchSpec) -> Table {
    let mut section = Table::new();
    put(&mut section, "strategy", search.strategy.name());
    put(&mut section, "trials", i64::from(search.trials));
    if search.strategy.has_rounds() {
        let rounds: Array = search.rounds.iter().map(|trials| i64::from(*trials).into()).collect();
        put(&mut section, "rounds", rounds);
    }
    match search.parallelism {
        Parallelism::Auto => put(&mut section, "parallelism", "auto"),
        Parallelism::Trials(trials) => put(&mut section, "parallelism", i64::from(trials)),
    }
    put(&mut section, "order", search.order.name());
    put_some(&mut section, "warm_start", search.warm_start.as_ref().map(|name| name.as_str()));
    put_some(&mut section, "replays", search.replays.map(|trial| i64::from(trial.0)));
    section
}

#[cfg(test)]
mod tests {
    use caviar_common::ids::TrialNumber;
    use caviar_common::spec::file::parse;

    use super::super::tests::samples;
    use super::*;

    #[test]
    fn a_spec_is_read_back_from_its_file() {
        let rest = "[search]\nstrategy = \"rounds\"\ntrials = 6\nrounds = [4, 2]\n\
                    [objective]\nepoch = \"last\"\n[keep]\nmodels = 3\n";
        let table = "name = \"t\"\nseed = 18446744073709551615\n\
                     [data]\nsource = \"a b.csv\"\nlabel = \"y\"\ntask = \"regression\"\n\
                     delimiter = \";\"\nheader = false\nignore = [\"id\", \"x.y\"]\n\
                     types = { zip = \"category\" }\nmissing = [\"-9\"]\ngroup = \"who\"\n\
                     [fixed]\nepochs = 3\noptimizer = \"adam\"\nlearning_rate = 1e-3\n\
                     [space]\nlayers = { low = 1, high = 3 }\n\
                     units_2 = { low = 4, high = 8, scale = \"log\" }\n\
                     schedule = { choices = [\"constant\", \"cosine\"] }\n\
                     learning_rate_decay = { low = 0.1, high = 0.5, \
                     when = { schedule = [\"cosine\"] } }\n";
        let weights = "name = \"w\"\n[data]\nsource = \"a.csv\"\nlabel = \"y\"\nweight = \"n\"\n\
                       class_weights = { \"a b\" = 2.5, c = 1 }\n[search]\ntrials = 3\n\
                       [objective]\nmetric = \"pr_auc\"\n";
        for file in [samples::FILE.to_owned(), format!("{table}{rest}"), weights.to_owned()] {
            let spec = parse(&file).unwrap().spec;
            let again =
                parse(&text(&spec)).unwrap_or_else(|error| panic!("{error}\n{}", text(&spec)));
            assert_eq!(again.spec, spec, "{}", text(&spec));
        }
    }

    #[test]
    fn a_trial_becomes_a_sweep_of_one_trial() {
        let sweep = samples::sweep();
        let spec = replay(&sweep, sweep.best.as_ref().unwrap());
        let again = parse(&text(&spec)).unwrap().spec;
        assert_eq!(again, spec);
        assert_eq!(again.search.replays, Some(TrialNumber(2)));
        assert_eq!(again.fixed.get("learning_rate"), Some(&Value::Float(0.05)));
    }
}
