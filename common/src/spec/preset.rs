//! What a sweep without `[space]` trains: the values and the space that its preset chooses.
//!
//! A preset adds values to `[fixed]` and chooses the space. Both follow from the size of the data,
//! and from what the author has fixed: a fixed hyperparameter stays, and what has no effect with it
//! is left out. [`Choice`] collects the two.

use serde::{Deserialize, Serialize};

use crate::assignment::{Assignment, Value};
use crate::data::{DataSummary, Task};
use crate::limits::MAX_EMBEDDED_BY_DEFAULT;
use crate::metric::Metric;
use crate::scale::Scale;
use crate::space::{Domain, Parameter, Space};

/// Most inputs of a table whose networks have more than 128 units, so that no network of the space
/// exceeds [`MAX_WEIGHTS`](crate::limits::MAX_WEIGHTS).
const VERY_WIDE: u64 = 1 << 18;

/// How the hyperparameters are chosen that the author leaves open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// For tables: what the best networks on tables have, such as AdamW with cycles of the learning
    /// rate, robust scaling and embeddings of numbers (after RealMLP, Holzmueller et al. 2024).
    Tabular,
    /// The hyperparameters that matter most, around a plain network.
    Basic,
}

impl Preset {
    /// Both, the default of tables first.
    pub const ALL: [Self; 2] = [Self::Tabular, Self::Basic];

    /// The name in files and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tabular => "tabular",
            Self::Basic => "basic",
        }
    }

    /// The preset of a sweep that names none.
    pub(super) const fn default_of(data: &DataSummary) -> Self {
        if data.pixels { Self::Basic } else { Self::Tabular }
    }

    /// What a sweep optimises whose author names nothing; `None` for what its task says.
    ///
    /// The loss of a few hundred validation rows ranks trials that all classify nearly every one
    /// of them correctly. Their accuracies are equal, or differ by luck.
    pub(super) const fn metric(self) -> Option<Metric> {
        match self {
            Self::Tabular => Some(Metric::ValidationLoss),
            Self::Basic => None,
        }
    }

    /// What is added to the `fixed` hyperparameters, and the space.
    pub(super) fn choose(
        self,
        fixed: &Assignment,
        task: Option<Task>,
        data: &DataSummary,
    ) -> (Assignment, Space) {
        let choice = match self {
            Self::Tabular => tabular(fixed, task, data),
            Self::Basic => basic(fixed, data),
        };
        (choice.added, Space::new(choice.parameters).unwrap_or_default())
    }
}

/// What a preset chooses, apart from what the author has fixed.
struct Choice<'a> {
    given: &'a Assignment,
    added: Assignment,
    parameters: Vec<Parameter>,
}

impl<'a> Choice<'a> {
    fn new(given: &'a Assignment) -> Self {
        Self { given, added: Assignment::default(), parameters: Vec::new() }
    }

    /// Whether the author has fixed it.
    fn has(&self, name: &str) -> bool {
        self.given.get(name).is_some()
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.given.get(name).or_else(|| self.added.get(name)).and_then(Value::as_str)
    }

    fn has_hidden_layers(&self) -> bool {
        self.given.get("layers").and_then(Value::as_i64) != Some(0)
    }

    fn fix(&mut self, name: &str, value: Value) {
        if !self.has(name) {
            self.added.insert(name, value);
        }
    }

    fn fix_text(&mut self, name: &str, value: &str) {
        self.fix(name, Value::Text(value.into()));
    }

    fn search(&mut self, name: &str, domain: Domain) {
        if !self.has(name) {
            let name = name.to_owned();
            self.parameters.push(Parameter { name, domain, when: None, points: None });
        }
    }

    fn search_texts(&mut self, name: &str, values: [&str; 2]) {
        let values = values.map(|value| Value::Text(value.into())).to_vec();
        self.search(name, Domain::Choice { values });
    }
}

const fn float(scale: Scale, low: f64, high: f64) -> Domain {
    Domain::Float { scale, low, high }
}

const fn int(scale: Scale, low: i64, high: i64) -> Domain {
    Domain::Int { scale, low, high }
}

/// The learning rate; momentum (if the optimizer uses it), units and batch size; layers and the
/// learning-rate decay. Larger training splits allow wider networks and larger mini-batches.
fn basic<'a>(fixed: &'a Assignment, data: &DataSummary) -> Choice<'a> {
    let mut choice = Choice::new(fixed);
    let (most_units, most_batch) = match data.train {
        0..2_000 => (128, 128),
        2_000..20_000 => (256, 256),
        _ => (512, 512),
    };
    search_rate(&mut choice, 1e-4, 1e-1);
    if choice.has_hidden_layers() {
        choice.search("units", int(Scale::Linear, 32, most_units));
    }
    choice.search("batch_size", int(Scale::Log, 16, most_batch));
    choice.search("layers", int(Scale::Linear, 1, 4));
    search_decay(&mut choice);
    choice
}

/// The learning rate on the range of the optimizer, and the momentum of one that has it. The ends
/// are those of an adaptive optimizer.
fn search_rate(choice: &mut Choice<'_>, low: f64, high: f64) {
    let rate = match choice.text("optimizer") {
        Some("adam" | "adamw" | "rmsprop") => float(Scale::Log, low, high),
        Some("sgd") => float(Scale::Log, 1e-3, 1.0),
        _ => float(Scale::Log, 1e-4, 1.0),
    };
    choice.search("learning_rate", rate);
    if !matches!(choice.text("optimizer"), Some("adam" | "adamw" | "rmsprop" | "sgd")) {
        choice.search("momentum", float(Scale::OneMinusLog, 0.8, 0.99));
    }
}

fn search_decay(choice: &mut Choice<'_>) {
    if !matches!(choice.text("schedule"), Some("constant" | "one_cycle" | "cosine_cycles")) {
        choice.search("learning_rate_decay", float(Scale::Linear, 0.0, 0.3));
    }
}

fn tabular<'a>(fixed: &'a Assignment, task: Option<Task>, data: &DataSummary) -> Choice<'a> {
    let mut choice = Choice::new(fixed);
    if !choice.has("momentum") {
        choice.fix_text("optimizer", "adamw");
    }
    if matches!(choice.text("optimizer"), Some("adam" | "adamw")) {
        choice.fix("beta2", Value::Float(0.95));
    }
    if !choice.has("learning_rate_decay") {
        choice.fix_text("schedule", "cosine_cycles");
    }
    let (epochs, most_units, batches) = match data.train {
        0..1_000 => (128, 256, (32, 256)),
        1_000..20_000 => (64, 256, (32, 256)),
        20_000..200_000 => (32, 512, (64, 512)),
        _ => (16, 512, (128, 1024)),
    };
    // The weights of the first layer are limited.
    let most_units = if data.first_inputs() > VERY_WIDE { 128 } else { most_units };
    choice.fix("epochs", Value::Int(epochs));
    choice.fix_text("input_scaling", "true");
    search_rate(&mut choice, 1e-3, 1e-1);
    if choice.has_hidden_layers() {
        choice.search("units", int(Scale::Linear, 64, most_units));
    }
    choice.search("batch_size", int(Scale::Log, batches.0, batches.1));
    choice.search("layers", int(Scale::Linear, 1, 4));
    search_decay(&mut choice);
    regularize(&mut choice, task);
    scale_and_embed(&mut choice, data);
    choice
}

/// Dropout, weight decay and label smoothing, and what changes with a hidden layer.
fn regularize(choice: &mut Choice<'_>, task: Option<Task>) {
    let decay = match choice.text("optimizer") {
        Some("adamw") => float(Scale::Log, 1e-4, 0.3),
        // The others add it to the gradient.
        _ => float(Scale::Log, 1e-6, 1e-2),
    };
    choice.search("weight_decay", decay);
    choice.fix_text("weight_decay_schedule", "flat_cosine");
    if choice.has_hidden_layers() {
        choice.search("dropout", float(Scale::Linear, 0.0, 0.4));
        choice.fix_text("dropout_schedule", "flat_cosine");
        choice.search_texts("activation", ["relu", "mish"]);
        if choice.has("batch_norm_momentum") {
            choice.fix_text("normalization", "before");
        }
        if choice.text("normalization").is_none() {
            choice.search_texts("normalization", ["before", "none"]);
        }
    }
    if task == Some(Task::Classification) {
        let values = vec![Value::Float(0.0), Value::Float(0.1)];
        choice.search("label_smoothing", Domain::Choice { values });
    }
}

/// The scaling of numbers and their embedding. Very wide tables have no embedding, and inputs that
/// are not in memory have no quartiles.
fn scale_and_embed(choice: &mut Choice<'_>, data: &DataSummary) {
    if data.numbers == 0 {
        return;
    }
    if !data.is_in_files() {
        choice.fix_text("scaling", "robust");
    }
    if data.numbers <= MAX_EMBEDDED_BY_DEFAULT {
        choice.search_texts("embedding", ["none", "periodic"]);
    }
}
