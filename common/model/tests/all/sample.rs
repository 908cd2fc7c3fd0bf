//! A table with every kind of column, and models with random weights for it.

use std::fmt::Write;

use caviar_common::data::{DataSpec, SplitSpec, Task};
use caviar_common::numbers::{real, real_from_i64, single, to_usize};
use caviar_common::seed::{Purpose, Seed, Stream};
use caviar_common::train::Activation;
use caviar_data::{CategoryInput, Schema};
use caviar_model::{
    About, BatchNorm, CATEGORY_COLUMNS, CategoryEmbedding, InputStage, Layer, Member, Model, Place,
};

/// Rows of the validation split.
pub(crate) const ROWS: usize = 300;

/// The cells of one column, as a user of an exported model has them.
#[derive(Clone)]
pub(crate) enum Raw {
    /// NaN where a value is missing.
    Numbers(Vec<f64>),
    /// Empty where a value is missing.
    Texts(Vec<String>),
}

/// A table, and what Caviar makes of it.
pub(crate) struct Sample {
    pub(crate) schema: Schema,
    /// The validation split as a CSV file.
    pub(crate) csv: String,
    /// The validation split, column by column, in the order of the schema.
    pub(crate) raw: Vec<Raw>,
    /// The same, encoded.
    pub(crate) features: Vec<Vec<f32>>,
}

/// The random numbers of a test.
pub(crate) fn stream(number: u64) -> Stream {
    Seed::derive(number, 0, Purpose::Init).stream(0)
}

fn below(stream: &mut Stream, n: u64) -> usize {
    to_usize(stream.below(n))
}

/// The table of regression with two more labels, one of them constant.
pub(crate) fn several_labels() -> Sample {
    let mut sample = table(Task::Regression, false);
    let more = |name: &str, mean: f64, scale: f64| {
        let standard = serde_json::json!({ "mean": mean, "scale": scale });
        let label = serde_json::json!({ "name": name, "standard": standard });
        serde_json::from_value(label).unwrap()
    };
    sample.schema.more_labels = vec![more("small", -2e-3, 1e4), more("constant", 7.0, 0.0)];
    sample
}

/// The table as a user has it. If `season`, the column `bought` orders the rows.
pub(crate) fn table(task: Task, season: bool) -> Sample {
    made(task, season, false)
}

/// The same with two columns of more than 64 categories. Only the colours lack values in training
/// and have a number for a missing one.
pub(crate) fn many_categories(task: Task) -> Sample {
    made(task, false, true)
}

fn made(task: Task, season: bool, has_many: bool) -> Sample {
    let folder = tempfile::tempdir().unwrap();
    let mut random = stream(1);
    let (train, _) = rows(&mut random, task, [false, has_many]);
    let (csv, raw) = rows(&mut random, task, [true, has_many]);
    let path = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let split = SplitSpec {
        validation_source: Some(path("validation.csv", csv.clone())),
        time: season.then(|| "bought".to_owned()),
        ..SplitSpec::default()
    };
    let spec = DataSpec {
        source: path("train.csv", train),
        label: Some("target".to_owned()),
        task: Some(task),
        validation: 0.2,
        split,
        ..DataSpec::default()
    };
    let dataset = caviar_data::load(&spec).unwrap();
    let splits = caviar_data::split(&dataset, &spec, 1).unwrap();
    let schema = (**splits.schema.as_ref().unwrap()).clone();
    let features = splits.validation.features;
    assert_eq!(features.nrows(), ROWS);
    let features = features.in_memory().unwrap().outer_iter().map(|row| row.to_vec()).collect();
    Sample { schema, csv, raw, features }
}

const COLUMNS: [&str; 11] = [
    "amount", "size", "flag", "answer", "colour", "side", "city", "bought", "born", "hour",
    "constant",
];

/// A cell as a file has it, and its value.
struct Cell {
    text: String,
    value: Value,
}

enum Value {
    Number(f64),
    Text(String),
}

impl Cell {
    fn number(lacks: bool, value: f64, text: String) -> Self {
        let value = Value::Number(if lacks { f64::NAN } else { value });
        Self { text: if lacks { String::new() } else { text }, value }
    }

    fn text(lacks: bool, value: &str) -> Self {
        let value = if lacks { "" } else { value };
        let text =
            if lacks { String::new() } else { format!("\"{}\"", value.replace('"', "\"\"")) };
        Self { text, value: Value::Text(value.to_owned()) }
    }
}

/// CSV text and its cells. Only `later` rows lack values in some of the columns, have texts that
/// the others do not have, and numbers that lie far outside.
fn rows(random: &mut Stream, task: Task, [later, has_many]: [bool; 2]) -> (String, Vec<Raw>) {
    let count = if later { ROWS } else { 2 * ROWS };
    let mut text = COLUMNS.join(",") + ",target\n";
    let mut columns: Vec<Vec<Value>> = COLUMNS.iter().map(|_| Vec::new()).collect();
    for row in 0..count {
        let mut cells = inputs_of_row(random, row, later);
        if has_many {
            let lacks = random.below(5) == 0;
            let colour = below(random, if later { 120 } else { 100 });
            cells[4] = Cell::text(lacks, &format!("colour {colour}"));
            let city = below(random, 30) + below(random, if later { 71 } else { 61 });
            cells[6] = Cell::text(later && lacks, &format!("c{city:02}"));
            if !later && row < 12 {
                (cells[4], cells[6]) = (rare("colour", row), rare("city", row));
            }
        }
        assert_eq!(cells.len(), COLUMNS.len());
        for (cell, column) in cells.into_iter().zip(&mut columns) {
            text += &cell.text;
            text.push(',');
            column.push(cell.value);
        }
        let label = match task {
            Task::Classification => ["low", "middle", "high"][below(random, 3)].to_owned(),
            Task::Regression => format!("{}", 1e9 + random.normal()),
        };
        writeln!(text, "{label}").unwrap();
    }
    (text, columns.into_iter().map(raw).collect())
}

/// A value that only this row has.
fn rare(column: &str, row: usize) -> Cell {
    Cell::text(false, &format!("rare {column} {row}"))
}

fn raw(column: Vec<Value>) -> Raw {
    let (mut numbers, mut texts) = (Vec::new(), Vec::new());
    for value in column {
        match value {
            Value::Number(number) => numbers.push(number),
            Value::Text(text) => texts.push(text),
        }
    }
    if texts.is_empty() { Raw::Numbers(numbers) } else { Raw::Texts(texts) }
}

/// The cells of one row in the order of [`COLUMNS`].
fn inputs_of_row(random: &mut Stream, row: usize, later: bool) -> Vec<Cell> {
    let lacks = random.below(5) == 0;
    let lacks_later = later && row > 0 && random.below(5) == 0;
    let number = |lacks: bool, value: f64| Cell::number(lacks, value, format!("{value:?}"));
    let boolean = |lacks: bool, words: [&str; 2], value: usize| {
        Cell::number(lacks, real(value), words[value].to_owned())
    };
    let amount = number(lacks, 1e9 + 10.0 * random.normal());
    let size = if later && row == 0 { 1e90 } else { random.normal() };
    let flag = boolean(lacks, ["false", "true"], below(random, 2));
    let answer = boolean(lacks_later, ["no", "yes"], below(random, 2));
    let colours = ["red", "green", "blue", "a \"b\"", "violet"];
    let colour = colours[below(random, if later { 5 } else { 4 })];
    let side = ["left", "right"][below(random, 2)];
    let city = format!("c{:02}", below(random, 20) + below(random, 41));
    let day = hard_day(row).unwrap_or(i64::try_from(random.below(110_000)).unwrap() - 44_000);
    let second = random.below(86_400);
    let (hours, minutes, seconds) = (second / 3600, second / 60 % 60, second % 60);
    let bought = Cell::number(
        false,
        real_from_i64(day) + real(to_usize(second)) / 86_400.0,
        format!("{}T{hours:02}:{minutes:02}:{seconds:02}", iso(day)),
    );
    let hour = below(random, 24);
    vec![
        amount,
        number(lacks_later, size),
        flag,
        answer,
        Cell::text(lacks, colour),
        Cell::text(lacks_later, side),
        Cell::text(lacks_later, &city),
        bought,
        Cell::number(lacks, real_from_i64(day), iso(day)),
        Cell::number(lacks_later, real(hour) / 24.0, format!("{hour:02}:00")),
        number(false, if later { 4.0 } else { 3.0 }),
    ]
}

/// For the first rows, days around the ends of February and of the year, in years of every kind.
/// For the others `None`: they have days from 1849 to 2150.
fn hard_day(row: usize) -> Option<i64> {
    let years = [1600, 1897, 1900, 1904, 1999, 2000, 2003, 2096, 2100, 2400];
    let year = new_year(*years.get(row / 5)?);
    Some(year + [-1, 0, 58, 59, 60][row % 5])
}

/// Days from 1970-01-01 to 1 January of a year.
fn new_year(year: i64) -> i64 {
    let before = |year: i64| year * 365 + year / 4 - year / 100 + year / 400;
    before(year - 1) - before(1969)
}

/// The date, found by trying every year and month.
fn iso(day: i64) -> String {
    let year = (1500..2500).rfind(|&year| new_year(year) <= day).unwrap();
    let february = 28 + new_year(year + 1) - new_year(year) - 365;
    let mut rest = day - new_year(year);
    for (month, length) in
        [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31].into_iter().enumerate()
    {
        if rest < length {
            return format!("{year}-{:02}-{:02}", month + 1, rest + 1);
        }
        rest -= length;
    }
    panic!("a year ends with December")
}

/// Where an invented network is from.
pub(crate) fn about(trial: u32) -> About {
    About {
        caviar: "0.1.0".to_owned(),
        sweep: "shop".to_owned(),
        trial,
        epoch: 12,
        seed: u64::MAX,
        data_digest: "ab".repeat(32),
        hyperparameters: serde_json::json!({ "learning_rate": 0.1, "hidden": [8, 5] }),
        temperature: 1.0,
    }
}

/// A hidden layer with random numbers.
pub(crate) fn hidden(
    random: &mut Stream,
    sizes: (usize, usize),
    activation: Activation,
    place: Option<Place>,
) -> Layer {
    let mut layer = output(random, sizes);
    layer.activation = Some(activation);
    if place == Some(Place::BeforeActivation) {
        layer.bias = None;
    }
    let outputs = sizes.1;
    layer.norm = place.map(|place| BatchNorm {
        place,
        gamma: normals(random, outputs, 1.0),
        beta: normals(random, outputs, 1.0),
        mean: normals(random, outputs, 1.0),
        variance: normals(random, outputs, 1.0).iter().map(|v| v * v).collect(),
        epsilon: 1e-5,
    });
    layer
}

/// An output layer with random numbers.
pub(crate) fn output(random: &mut Stream, (inputs, outputs): (usize, usize)) -> Layer {
    Layer {
        inputs,
        outputs,
        weights: normals(random, inputs * outputs, 1.0 / real(inputs).sqrt()),
        bias: Some(normals(random, outputs, 0.5)),
        activation: None,
        norm: None,
    }
}

pub(crate) fn normals(random: &mut Stream, count: usize, scale: f64) -> Vec<f32> {
    (0..count).map(|_| single(scale * random.normal())).collect()
}

/// A member with two hidden layers of 8 and 5 units.
pub(crate) fn member(
    schema: &Schema,
    seed: u64,
    activation: Activation,
    place: Option<Place>,
) -> Member {
    let mut random = stream(seed);
    let outputs = usize::try_from(schema.outputs()).unwrap();
    let stage = least_stage(schema);
    let layers = vec![
        hidden(&mut random, (stage.width(schema.width()), 8), activation, place),
        hidden(&mut random, (8, 5), activation, place),
        output(&mut random, (5, outputs)),
    ];
    Member { weight: 1.0, about: about(3), stage, layers }
}

/// Replaces numbers of categories by some that no value has.
pub(crate) fn with_numbers_of_no_value(mut sample: Sample) -> Sample {
    for category in sample.schema.encoder.categories() {
        let most = real(category.values);
        for (row, features) in sample.features.iter_mut().enumerate() {
            let numbers = [-1.0, most + 1.0, 0.5, most + 70_000.0];
            if let Some(number) = numbers.get(row % 6) {
                features[category.place] = single(*number);
            }
        }
    }
    sample
}

/// The stage that the categories of a schema need, with random vectors; empty without such
/// categories.
pub(crate) fn least_stage(schema: &Schema) -> InputStage {
    let mut random = stream(79);
    let category = |CategoryInput { place, values }| {
        let weights = normals(&mut random, values * CATEGORY_COLUMNS, 0.7);
        CategoryEmbedding { place, values, weights }
    };
    let categories = schema.encoder.categories().into_iter().map(category).collect();
    InputStage { categories, ..InputStage::default() }
}

/// A model of one network.
pub(crate) fn model(schema: &Schema, activation: Activation, place: Option<Place>) -> Model {
    Model::new(schema.clone(), vec![member(schema, 1, activation, place)]).unwrap()
}

/// A model without hidden layers, which shows an error in any input.
pub(crate) fn linear(schema: &Schema) -> Model {
    let outputs = usize::try_from(schema.outputs()).unwrap();
    let stage = least_stage(schema);
    let layers = vec![output(&mut stream(9), (stage.width(schema.width()), outputs))];
    let member = Member { weight: 1.0, about: about(0), stage, layers };
    Model::new(schema.clone(), vec![member]).unwrap()
}

/// The largest allowed error of the prediction for a row of inputs: 1e-5, relative for large
/// numbers. The numbers of regression are measured in deviations from the mean of the label. Sums
/// of f32s lose more digits next to the one input of a million.
pub(crate) fn tolerance(schema: &Schema, features: &[f32], output: usize, expected: f64) -> f64 {
    let is_far = features.iter().any(|input| input.abs() > 1e5);
    let relative = if is_far { 1e-4 } else { 1e-5 };
    match schema.standards().get(output) {
        Some(standard) if standard.scale > 0.0 => {
            relative * (expected - standard.mean).abs().max(1.0 / standard.scale)
        }
        Some(_) | None => relative,
    }
}

/// A model of three networks with different weights, and for classification different temperatures.
pub(crate) fn ensemble(schema: &Schema) -> Model {
    let kinds = [
        (0.5, Activation::Silu, Some(Place::BeforeActivation)),
        (0.3, Activation::Tanh, Some(Place::AfterActivation)),
        (0.2, Activation::Gelu, None),
    ];
    let members = kinds.into_iter().zip(1..).map(|((weight, activation, place), seed)| {
        let mut member = member(schema, seed, activation, place);
        member.weight = weight;
        if schema.task() == Task::Classification {
            member.about.temperature = 1.0 + weight;
        }
        member
    });
    Model::new(schema.clone(), members.collect()).unwrap()
}
